/* The device's own rates, by the runtime and cuBLAS alone: what the other figures are divided by. */
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern "C" {
bool rates_open(char *device, size_t size, char *facts, size_t facts_size, size_t *cache, size_t *memory, char *why,
    size_t why_size);
double rates_copy(size_t bytes);
double rates_matmul(int n);
void rates_close(void);
}

static struct {
    cudaStream_t stream;
    cudaEvent_t from, to;
    cublasHandle_t blas;
    unsigned char *block;
    size_t bytes;
} rates;

static bool fine(cudaError_t error) { return error == cudaSuccess; }

bool rates_open(char *device, size_t size, char *facts, size_t facts_size, size_t *cache, size_t *memory, char *why,
    size_t why_size)
{
    int n = 0, driver = 0;
    struct cudaDeviceProp prop;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (!fine(error) || !n) {
        snprintf(why, why_size, "no GPU (%s)", cudaGetErrorString(error));
        return false;
    }
    error = cudaGetDeviceProperties(&prop, 0);
    if (fine(error)) error = cudaStreamCreateWithFlags(&rates.stream, cudaStreamNonBlocking);
    if (fine(error)) error = cudaEventCreate(&rates.from);
    if (fine(error)) error = cudaEventCreate(&rates.to);
    if (!fine(error) || cublasCreate(&rates.blas) != CUBLAS_STATUS_SUCCESS) {
        snprintf(why, why_size, "the GPU cannot be used (%s)", cudaGetErrorString(error));
        return false;
    }
    cublasSetStream(rates.blas, rates.stream);
    cudaDriverGetVersion(&driver);
    snprintf(device, size, "%s", prop.name);
    *cache = (size_t)prop.l2CacheSize;
    *memory = prop.totalGlobalMem;
    snprintf(facts, facts_size, "%s: %d SMs, %.1f GiB, %.0f MiB of L2, driver for CUDA %d.%d, built for %d.%d",
        prop.name, prop.multiProcessorCount, (double)prop.totalGlobalMem / 1073741824.0, (double)*cache / 1048576.0,
        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    return true;
}

/* A block of at least so many bytes of random bf16 numbers in +-1, kept. */
static bool need(size_t bytes)
{
    size_t piece = (size_t)16 << 20;
    if (bytes <= rates.bytes) return true;
    if (bytes < piece) piece = bytes;
    cudaFree(rates.block);
    rates.block = NULL;
    rates.bytes = 0;
    uint16_t *host = (uint16_t *)malloc(piece);
    if (!host || !fine(cudaMalloc((void **)&rates.block, bytes))) {
        free(host);
        return false;
    }
    uint64_t state = 88172645463325252ull;
    for (size_t i = 0; i < piece / 2; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        host[i] = (uint16_t)((state >> 63) << 15 | (0x3c00 + (state >> 20 & 0x3ff))); /* exponents of 2^-7 to 2^1 */
    }
    bool done = true;
    for (size_t at = 0; at < bytes && done; at += piece)
        done = fine(
            cudaMemcpy(rates.block + at, host, bytes - at < piece ? bytes - at : piece, cudaMemcpyHostToDevice));
    free(host);
    rates.bytes = bytes;
    return done;
}

static double elapsed(void)
{
    float ms = 0;
    bool done = fine(cudaEventRecord(rates.to, rates.stream)) && fine(cudaEventSynchronize(rates.to)) &&
                fine(cudaEventElapsedTime(&ms, rates.from, rates.to));
    return done ? (double)ms * 1e-3 : 0;
}

double rates_copy(size_t bytes)
{
    if (!need(2 * bytes) || !fine(cudaEventRecord(rates.from, rates.stream))) return 0;
    bool done =
        fine(cudaMemcpyAsync(rates.block + bytes, rates.block, bytes, cudaMemcpyDeviceToDevice, rates.stream));
    double seconds = elapsed();
    return done ? seconds : 0;
}

double rates_matmul(int n)
{
    size_t matrix = (size_t)n * (size_t)n * 2;
    const float one = 1, zero = 0;
    if (!need(3 * matrix) || !fine(cudaEventRecord(rates.from, rates.stream))) return 0;
    bool done = cublasGemmEx(rates.blas, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, rates.block, CUDA_R_16BF, n,
                    rates.block + matrix, CUDA_R_16BF, n, &zero, rates.block + 2 * matrix, CUDA_R_16BF, n,
                    CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
    double seconds = elapsed();
    return done ? seconds : 0;
}

void rates_close(void)
{
    cudaFree(rates.block);
    rates.block = NULL;
    rates.bytes = 0;
}
