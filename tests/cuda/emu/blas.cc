/* The matrix products of cuBLAS, each sum in one fixed order. */
#include "cublas_v2.h"
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "runtime.h"

#include <vector>

struct emu_blas {
    cudaStream_t stream;
};

struct gemm {
    bool turn_a, turn_b;
    int m, n, k, lda, ldb, ldc;
    cudaDataType type_a, type_b, type_c;
    const void *a, *b;
    void *c;
    float alpha, beta;
};

static size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

static float value(cudaDataType type, const void *p, size_t i)
{
    switch (type) {
    case CUDA_R_16F: return __half2float(((const __half *)p)[i]);
    case CUDA_R_16BF: return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    default: return ((const float *)p)[i];
    }
}

static void put(cudaDataType type, void *p, size_t i, float x)
{
    switch (type) {
    case CUDA_R_16F: ((__half *)p)[i] = __half(x); break;
    case CUDA_R_16BF: ((__nv_bfloat16 *)p)[i] = __nv_bfloat16(x); break;
    default: ((float *)p)[i] = x;
    }
}

/* Vectors of k values, one behind the other: of rows of op(A), or of columns of op(B). `along`: k is the fast index. */
static std::vector<float> unpacked(cudaDataType type, const void *p, int count, int k, int ld, bool along)
{
    std::vector<float> out((size_t)count * (size_t)k);
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t x = 0; x < (size_t)k; x++)
            out[i * (size_t)k + x] = value(type, p, along ? i * (size_t)ld + x : x * (size_t)ld + i);
    return out;
}

static float dot(const float *x, const float *y, int k)
{
    float part[16] = {}, sum = 0;
    int i = 0;
    for (; i + 16 <= k; i += 16)
        for (int j = 0; j < 16; j++) part[j] += x[i + j] * y[i + j];
    for (; i < k; i++) part[i % 16] += x[i] * y[i];
    for (int j = 0; j < 16; j++) sum += part[j];
    return sum;
}

static void multiply(const gemm &g)
{
    std::vector<float> a = unpacked(g.type_a, g.a, g.m, g.k, g.lda, g.turn_a);
    std::vector<float> b = unpacked(g.type_b, g.b, g.n, g.k, g.ldb, !g.turn_b);
    for (size_t j = 0; j < (size_t)g.n; j++)
        for (size_t i = 0; i < (size_t)g.m; i++) {
            size_t at = j * (size_t)g.ldc + i;
            float x = g.alpha * dot(&a[i * (size_t)g.k], &b[j * (size_t)g.k], g.k);
            put(g.type_c, g.c, at, g.beta != 0 ? x + g.beta * value(g.type_c, g.c, at) : x);
        }
}

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    *handle = new emu_blas();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *workspace, size_t bytes)
{
    return (uintptr_t)workspace % 256 || (workspace && !emu_is_inside(workspace, bytes))
               ? CUBLAS_STATUS_INVALID_VALUE
               : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasSetPointerMode(cublasHandle_t, cublasPointerMode_t mode)
{
    return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version)
{
    *version = 120900;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
    int m, int n, int k, const void *alpha, const void *a, cudaDataType type_a, int lda, long long stride_a,
    const void *b, cudaDataType type_b, int ldb, long long stride_b, const void *beta, void *c, cudaDataType type_c,
    int ldc, long long stride_c, int count, cublasComputeType_t compute, cublasGemmAlgo_t)
{
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || lda < (op_a ? k : m) || ldb < (op_b ? n : k) || ldc < m || lda < 1 || ldb < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (type_a != type_b || compute < CUBLAS_COMPUTE_32F || (type_c != CUDA_R_32F && type_c != type_a))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!m || !n) return CUBLAS_STATUS_SUCCESS;
    /* No error on a GPU, but a product without tensor cores. */
    if (type_a != CUDA_R_32F && (lda % 8 || ldb % 8 || (uintptr_t)a % 16 || (uintptr_t)b % 16))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    gemm g = { op_a != CUBLAS_OP_N, op_b != CUBLAS_OP_N, m, n, k, lda, ldb, ldc, type_a, type_b, type_c, a, b, c,
        *(const float *)alpha, *(const float *)beta };
    emu_submit(handle->stream, [=] {
        for (long long i = 0; i < count; i++) {
            gemm one = g;
            one.a = (const char *)a + i * stride_a * (long long)size_of(type_a);
            one.b = (const char *)b + i * stride_b * (long long)size_of(type_b);
            one.c = (char *)c + i * stride_c * (long long)size_of(type_c);
            multiply(one);
        }
        emu_check_memory(NULL);
    });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
    int k, const void *alpha, const void *a, cudaDataType type_a, int lda, const void *b, cudaDataType type_b,
    int ldb, const void *beta, void *c, cudaDataType type_c, int ldc, cublasComputeType_t compute,
    cublasGemmAlgo_t algorithm)
{
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0,
        beta, c, type_c, ldc, 0, 1, compute, algorithm);
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
    int k, const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
    int ldc)
{
    return cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c,
        CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
