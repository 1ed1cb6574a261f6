/* The emulator against plain C, and its complaints: what it must find, it finds. */
#include "tests/tap.h"

#include <cublas_v2.h>
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdlib>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL          0xffffffffu

template <typename... Params, typename... Args>
static cudaError_t launch(dim3 grid, dim3 block, size_t shared, void (*kernel)(Params...), Args... args)
{
    cudaLaunchConfig_t config = { grid, block, shared, 0, NULL, 0 };
    return cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
}

static float noise(unsigned i)
{
    i = (i ^ 61) ^ (i >> 16), i *= 9, i ^= i >> 4, i *= 0x27d4eb2d, i ^= i >> 15;
    return (float)(i % 2001) / 1000 - 1;
}

template <typename T> static T *device_copy(const T *host, size_t count)
{
    T *p;
    cudaMalloc(&p, count * sizeof *p);
    if (host) cudaMemcpy(p, host, count * sizeof *p, cudaMemcpyHostToDevice);
    return p;
}

/* ---- warps and blocks ---- */

__global__ void shuffles(int *out)
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, *o = out + threadIdx.x * 8;
    o[0] = __shfl_sync(ALL, lane * 3, 7);
    o[1] = __shfl_xor_sync(ALL, lane, 5);
    o[2] = __shfl_up_sync(ALL, lane, 3);
    o[3] = __shfl_down_sync(ALL, lane, 4, 8);
    o[4] = (int)__ballot_sync(ALL, lane % 3 == warp % 3);
    o[5] = lane < 16 ? (int)__reduce_add_sync(0xffffu, (unsigned)lane) : __any_sync(0xffff0000u, lane == 20);
    o[6] = (int)__match_any_sync(ALL, lane % 4);
    o[7] = __syncthreads_count(lane < 5);
}

static void warps(void)
{
    static int host[96 * 8];
    int *out = device_copy(host, COUNT(host));
    CHECK(launch(1, 96, 0, shuffles, out) == cudaSuccess, "launch");
    cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost);
    for (int t = 0; t < 96; t++) {
        int lane = t % 32, *o = host + t * 8;
        unsigned ballot = 0;
        for (int i = 0; i < 32; i++) ballot |= (unsigned)(i % 3 == t / 32 % 3) << i;
        CHECK(o[0] == 21 && o[1] == (lane ^ 5) && o[2] == (lane < 3 ? lane : lane - 3),
            "shuffles of lane %d: %d %d %d", lane, o[0], o[1], o[2]);
        CHECK(o[3] == (lane % 8 < 4 ? lane + 4 : lane), "down in eights, lane %d: %d", lane, o[3]);
        CHECK((unsigned)o[4] == ballot, "ballot %x", (unsigned)o[4]);
        CHECK(o[5] == (lane < 16 ? 120 : 1), "half warps: %d", o[5]);
        CHECK((unsigned)o[6] == 0x11111111u << lane % 4, "match: %x", (unsigned)o[6]);
        CHECK(o[7] == 15, "count: %d", o[7]);
    }
    cudaFree(out);
}

__global__ void reversed(const float *in, float *out, int n)
{
    __shared__ float tile[256];
    unsigned char *more = emu_dynamic_shared();
    int i = (int)threadIdx.x;
    if (!isnan(tile[i]) || more[i] != 0xff) out[blockIdx.x * blockDim.x + i] = -1;
    tile[i] = in[blockIdx.x * (unsigned)n + threadIdx.x];
    more[i] = 1;
    __syncthreads();
    out[blockIdx.x * (unsigned)n + threadIdx.x] = tile[n - 1 - i];
}

static void blocks(void)
{
    static float host[50 * 256], back[50 * 256];
    for (unsigned i = 0; i < COUNT(host); i++) host[i] = noise(i);
    float *in = device_copy(host, COUNT(host)), *out = device_copy<float>(NULL, COUNT(host));
    CHECK(launch(50, 256, 256, reversed, in, out, 256) == cudaSuccess, "launch");
    cudaMemcpy(back, out, sizeof back, cudaMemcpyDeviceToHost);
    for (int i = 0; i < 50 * 256; i++)
        CHECK(back[i] == host[i / 256 * 256 + 255 - i % 256], "value %d is %g", i, (double)back[i]);
    cudaFree(in);
    cudaFree(out);
}

/* ---- matrices ---- */

__global__ void ampere(const uint16_t *a, const uint16_t *b, float *c, bool bf16)
{
    uint16_t *sa = (uint16_t *)emu_dynamic_shared(), *sb = sa + 256; /* a [16][16], b [16][8] */
    int lane = (int)threadIdx.x;
    for (int i = 0; i < 1; i++) emu_cp_async(sa + lane * 8, a + lane * 8, 16, 16);
    if (lane < 16) emu_cp_async(sb + lane * 8, b + lane * 8, 16, 16);
    emu_cp_async_commit();
    emu_cp_async_wait(0);
    __syncwarp();
    uint32_t fa[4], fb[4];
    float fc[4] = { 1, 1, 1, 1 };
    emu_ldmatrix_x4(fa, sa + (lane % 16) * 16 + lane / 16 * 8, false);
    emu_ldmatrix_x2(fb, sb + (lane % 16) * 8, true);
    emu_mma_m16n8k16(fc, fa, fb, bf16);
    for (int i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = fc[i];
}

static uint16_t bits_of(float x, bool bf16)
{
    return bf16 ? __bfloat16_as_ushort(__float2bfloat16(x)) : __half_as_ushort(__float2half(x));
}

static float float_of(uint16_t bits, bool bf16)
{
    return bf16 ? __bfloat162float(__ushort_as_bfloat16(bits)) : __half2float(__ushort_as_half(bits));
}

static void warp_matrices(void)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        uint16_t a[256], b[128];
        float c[128];
        for (unsigned i = 0; i < 256; i++) a[i] = bits_of(noise(i), bf16);
        for (unsigned i = 0; i < 128; i++) b[i] = bits_of(noise(i + 999), bf16);
        uint16_t *da = device_copy(a, 256), *db = device_copy(b, 128);
        float *dc = device_copy<float>(NULL, 128);
        CHECK(launch(1, 32, 768, ampere, da, db, dc, bf16) == cudaSuccess, "launch");
        cudaMemcpy(c, dc, sizeof c, cudaMemcpyDeviceToHost);
        for (int i = 0; i < 128; i++) {
            double sum = 1;
            for (int k = 0; k < 16; k++)
                sum += (double)float_of(a[i / 8 * 16 + k], bf16) * (double)float_of(b[k * 8 + i % 8], bf16);
            CHECK(fabs((double)c[i] - sum) <= 1e-5, "element %d: %g for %g", i, (double)c[i], sum);
        }
        cudaFree(da), cudaFree(db), cudaFree(dc);
    }
}

/* D[64][n] = A[64][64] B, A and B by TMA with the 128-byte swizzle; B is [n][64] (K-major) or [64][n] (MN-major). */
__global__ void hopper(__grid_constant__ const CUtensorMap map_a, __grid_constant__ const CUtensorMap map_b,
    float *d, int n, bool registers, bool transposed)
{
    unsigned char *a = emu_dynamic_shared(), *b = a + 8192;
    __shared__ __align__(8) uint64_t full;
    uint32_t bytes = 8192 + (uint32_t)n * 128;
    int t = (int)threadIdx.x;
    if (!t) {
        emu_mbarrier_init(&full, 1);
        emu_fence_mbarrier_init();
    }
    __syncthreads();
    if (!t) {
        emu_mbarrier_arrive_expect_tx(&full, bytes);
        emu_tma_load_2d(a, &map_a, &full, 0, 0);
        for (int i = 0; i < (transposed ? n / 64 : 1); i++) emu_tma_load_2d(b + i * 8192, &map_b, &full, i * 64, 0);
    }
    emu_mbarrier_wait(&full, 0);
    float acc[128];
    emu_wgmma_fence();
    for (int k = 0; k < 4; k++) {
        uint64_t start_a = emu_shared_address(a) + (uint32_t)k * 32, start_b = emu_shared_address(b);
        uint64_t group = (uint64_t)(1024 >> 4) << 32 | 1ull << 62;
        uint64_t desc_a = group | (start_a >> 4 & 0x3fff), desc_b;
        if (transposed)
            desc_b = group | (uint64_t)(8192 >> 4) << 16 | ((start_b + (uint32_t)k * 2048) >> 4 & 0x3fff);
        else
            desc_b = group | ((start_b + (uint32_t)k * 32) >> 4 & 0x3fff);
        if (registers) {
            uint32_t fa[4];
            for (int i = 0; i < 4; i++) {
                int row = t / 32 * 16 + t % 32 / 4 + i % 2 * 8, column = k * 16 + t % 4 * 2 + i / 2 * 8;
                uint32_t at = (uint32_t)(row * 128 + column * 2);
                memcpy(&fa[i], a + (at ^ (at >> 7 & 7) << 4), 4);
            }
            emu_wgmma_rs(acc, n, fa, desc_b, k > 0, true, transposed);
        } else {
            emu_wgmma_ss(acc, n, desc_a, desc_b, k > 0, true, false, transposed);
        }
    }
    emu_wgmma_commit();
    emu_wgmma_wait(0);
    for (int i = 0; i < n / 2; i++)
        d[(t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8) * n + i / 4 * 8 + t % 4 * 2 + i % 2] = acc[i];
}

static CUtensorMap tensor(void *p, cuuint64_t columns, cuuint64_t rows, cuuint32_t box_rows)
{
    CUtensorMap map;
    cuuint64_t size[2] = { columns, rows }, stride[1] = { columns * 2 };
    cuuint32_t box[2] = { 64, box_rows }, step[2] = { 1, 1 };
    CUresult bad = cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, p, size, stride, box, step,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    CHECK(!bad, "a tensor map of %llu columns", (unsigned long long)columns);
    return map;
}

static void one_warpgroup(int n, bool registers, bool transposed, int rows)
{
    static uint16_t a[64 * 64], b[256 * 64];
    static float d[64 * 256];
    for (unsigned i = 0; i < COUNT(a); i++) a[i] = bits_of(noise(i), true);
    for (int i = 0; i < n * 64; i++) b[i] = bits_of(noise((unsigned)i + 7777), true);
    uint16_t *da = device_copy(a, COUNT(a)), *db = device_copy(b, (size_t)n * 64);
    float *dd = device_copy<float>(NULL, COUNT(d));
    CUtensorMap map_a = tensor(da, 64, (cuuint64_t)rows, 64);
    CUtensorMap map_b =
        transposed ? tensor(db, (cuuint64_t)n, 64, 64) : tensor(db, 64, (cuuint64_t)n, (cuuint32_t)n);
    cudaFuncSetAttribute(hopper, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10);
    CHECK(launch(1, 128, 8192 + (size_t)n * 128, hopper, map_a, map_b, dd, n, registers, transposed) == cudaSuccess,
        "launch");
    cudaMemcpy(d, dd, sizeof d, cudaMemcpyDeviceToHost);
    for (int i = 0; i < 64 * n; i++) {
        double sum = 0;
        for (int k = 0; k < 64 && i / n < rows; k++)
            sum += (double)float_of(a[i / n * 64 + k], true) *
                   (double)float_of(transposed ? b[k * n + i % n] : b[i % n * 64 + k], true);
        CHECK(fabs((double)d[i] - sum) <= 1e-4, "n %d, row %d, column %d: %g for %g", n, i / n, i % n, (double)d[i],
            sum);
    }
    cudaFree(da), cudaFree(db), cudaFree(dd);
}

static void warpgroups(void)
{
    one_warpgroup(128, false, false, 64);
    one_warpgroup(64, true, false, 64);
    one_warpgroup(128, false, true, 50); /* rows from 50 on are outside of the tensor: zeros */
    one_warpgroup(192, true, true, 64);
    one_warpgroup(24, false, false, 33);
}

static void products(void)
{
    enum { M = 13, N = 7, K = 37 };
    float a[M * K], b[N * K], c[M * N];
    cublasHandle_t handle;
    const float one = 1, zero = 0;
    for (unsigned i = 0; i < M * K; i++) a[i] = noise(i);
    for (unsigned i = 0; i < N * K; i++) b[i] = noise(i + 31);
    float *da = device_copy(a, M * K), *db = device_copy(b, N * K), *dc = device_copy<float>(NULL, M * N);
    cublasCreate(&handle);
    for (int form = 0; form < 4; form++) {
        bool ta = form & 1, tb = form & 2;
        cublasStatus_t bad = cublasSgemm(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, M,
            N, K, &one, da, ta ? K : M, db, tb ? N : K, &zero, dc, M);
        CHECK(!bad, "%s", cublasGetStatusString(bad));
        cudaMemcpy(c, dc, sizeof c, cudaMemcpyDeviceToHost);
        for (int j = 0; j < N; j++)
            for (int i = 0; i < M; i++) {
                double sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (double)a[ta ? i * K + k : k * M + i] * (double)b[tb ? k * N + j : j * K + k];
                CHECK(fabs((double)c[j * M + i] - sum) <= 1e-5, "form %d (%d, %d): %g for %g", form, i, j,
                    (double)c[j * M + i], sum);
            }
    }
    cublasDestroy(handle);
    cudaFree(da), cudaFree(db), cudaFree(dc);
}

/* ---- graphs and errors ---- */

__global__ void add(float *p, float x) { p[threadIdx.x] += x; }

static void graphs(void)
{
    float host[32] = {}, *p = device_copy(host, 32);
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaStreamCreate(&stream);
    cudaLaunchConfig_t config = { 1, 32, 0, stream, NULL, 0 };
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    cudaLaunchKernelEx(&config, add, p, 1.0f);
    cudaLaunchKernelEx(&config, add, p, 2.0f);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph, "capture");
    CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess, "instantiate");
    for (int i = 0; i < 5; i++) cudaGraphLaunch(exec, stream);
    cudaStreamSynchronize(stream);
    cudaMemcpy(host, p, sizeof host, cudaMemcpyDeviceToHost);
    CHECK(host[31] == 15, "five times three is %g", (double)host[31]);
    cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);

    void *q;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    CHECK(cudaMalloc(&q, 4) == cudaErrorStreamCaptureUnsupported, "allocated in a capture");
    CHECK(
        cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && !graph, "the capture went on");
    cudaStreamDestroy(stream);
    cudaFree(p);
    cudaGetLastError();
}

/* What waits in a lazy stream reads pinned memory when it runs, and other memory when it is called. */
static int lazy_child(void)
{
    float *pinned, plain[2] = { 1, 1 }, back[4] = {}, *p;
    cudaStream_t stream;
    cudaEvent_t event;
    cudaStreamCreate(&stream), cudaEventCreate(&event);
    cudaMallocHost(&pinned, 8), cudaMalloc(&p, 16);
    pinned[0] = pinned[1] = 1;
    cudaMemcpyAsync(p, pinned, 8, cudaMemcpyHostToDevice, stream);
    cudaMemcpyAsync(p + 2, plain, 8, cudaMemcpyHostToDevice, stream);
    pinned[0] = plain[0] = 2; /* too early */
    cudaEventRecord(event, stream);
    if (cudaEventQuery(event) != cudaErrorNotReady) return 1;
    cudaEventSynchronize(event);
    pinned[1] = plain[1] = 3; /* in time */
    cudaMemcpy(back, p, 16, cudaMemcpyDeviceToHost);
    return back[0] != 2 || back[1] != 1 || back[2] != 1 || back[3] != 1;
}

static void lazy_streams(void)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setenv("EMU_LAZY", "1", 1);
        execl("/proc/self/exe", "emu_test", "--lazy", (char *)NULL);
        _exit(9);
    }
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "status %x", (unsigned)status);
}

static void refusals(void)
{
    float *p = device_copy<float>(NULL, 32);
    char host[256] = {};
    CHECK(launch(1, 1025, 0, add, p, 1) == cudaErrorInvalidConfiguration, "1025 threads");
    CHECK(launch(dim3(1, 65536), 32, 0, add, p, 1) == cudaErrorInvalidConfiguration, "65536 rows of blocks");
    CHECK(launch(0, 32, 0, add, p, 1) == cudaErrorInvalidConfiguration, "no blocks");
    CHECK(launch(1, 32, 49 << 10, add, p, 1) == cudaErrorInvalidValue, "49 KiB unasked");
    CHECK(
        cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) == cudaErrorInvalidValue,
        "228 KiB");
    CHECK(cudaMemcpy(p, host, 129, cudaMemcpyHostToDevice) == cudaErrorInvalidValue, "129 bytes into 128");
    CHECK(cudaMemcpy(p, host, 128, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue, "the wrong direction");
    CHECK(cudaFree(p + 1) == cudaErrorInvalidValue, "freed the middle");
    CHECK(cudaMalloc(&p, (size_t)1 << 50) == cudaErrorMemoryAllocation && !p, "a petabyte");
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess, "the last error");
}

/* ---- what ends the program ---- */

__global__ void lost_thread(void)
{
    if (threadIdx.x != 5) __syncthreads();
}
__global__ void two_places(void)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
__global__ void wrong_count(void) { emu_named_barrier_sync(1, 96); }
__global__ void half_shuffle(float *p)
{
    if (threadIdx.x < 16) p[0] = __shfl_sync(ALL, 1.0f, 0);
}
__global__ void never_loaded(void)
{
    __shared__ __align__(8) uint64_t full;
    if (!threadIdx.x) emu_mbarrier_init(&full, 1);
    __syncthreads();
    if (!threadIdx.x) emu_mbarrier_arrive_expect_tx(&full, 16);
    emu_mbarrier_wait(&full, 0);
}
__global__ void askew(const float *p) { emu_cp_async(emu_dynamic_shared() + 8, p, 16, 16); }
__global__ void vector_askew(float *p) { ((volatile float4 *)(p + 1))->x = 1; }
__global__ void too_far(float *p) { p[33] = 1; }
__global__ void no_exit(void) { emu_cp_async((void *)0, NULL, 16, 0); }
__global__ void far_matrix(void)
{
    uint32_t r[4];
    emu_ldmatrix_x4(r, emu_dynamic_shared() + threadIdx.x * 16, false);
}

struct offence {
    const char *name, *expected;
    void (*run)(float *p);
};

static const struct offence offences[] = {
    { "a barrier that a thread never reaches", "127 threads, the first of them 0, wait in __syncthreads at",
        [](float *) { launch(1, 128, 0, lost_thread); } },
    { "threads at two barriers", "threads of one block are at different barriers",
        [](float *) { launch(1, 64, 0, two_places); } },
    { "a named barrier for more threads than come", "wait in bar.sync at",
        [](float *) { launch(1, 64, 0, wrong_count); } },
    { "an mbarrier whose bytes never come", "wait in mbarrier.try_wait",
        [](float *) { launch(1, 64, 0, never_loaded); } },
    { "cp.async to 16 bytes at a multiple of 8", "which is no multiple of 16",
        [](float *p) { launch(1, 1, 64, askew, p); } },
    { "cp.async to what is no shared memory", "is no address in shared memory",
        [](float *) { launch(1, 1, 0, no_exit); } },
    { "ldmatrix beyond what the launch asked for", "is outside of the 256 bytes",
        [](float *) { launch(1, 32, 256, far_matrix); } },
#ifndef __SANITIZE_ADDRESS__
    { "a vector at no multiple of its size", "a misaligned access",
        [](float *p) { launch(1, 1, 0, vector_askew, p); } },
    { "a kernel that writes behind an allocation", "behind the end of an allocation of 128 bytes",
        [](float *p) { launch(1, 1, 0, too_far, p); } },
    { "host code that follows a device pointer", "host code touches device memory",
        [](float *p) { *(volatile float *)p = 1; } },
#endif
};

/* Runs the offence in a process of its own; its last words must have the expected ones and name the kernel. */
static void must_end(const struct offence *o)
{
    int ends[2];
    char text[4096];
    size_t used = 0;
    REQUIRE(!pipe(ends), "no pipe");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], 2);
        o->run(device_copy<float>(NULL, 32));
        cudaDeviceSynchronize();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; used < sizeof text - 1 && (n = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %x", o->name, (unsigned)status);
    CHECK(strstr(text, o->expected), "%s: says %s", o->name, text);
}

static void complaints(void)
{
    for (const struct offence &o : offences) must_end(&o);
}

static void half_a_warp(void)
{
    float *p = device_copy<float>(NULL, 1), x;
    launch(1, 32, 0, half_shuffle, p); /* lanes that have left are not waited for */
    cudaMemcpy(&x, p, sizeof x, cudaMemcpyDeviceToHost);
    CHECK(x == 1, "the shuffle gave %g", (double)x);
    cudaFree(p);
}

static const struct tap_case cases[] = {
    { "shuffles, votes and reductions", warps },
    { "blocks have their own, poisoned shared memory", blocks },
    { "lanes that left the kernel are not waited for", half_a_warp },
    { "cp.async, ldmatrix and mma give the product", warp_matrices },
    { "TMA, mbarrier and wgmma give the product", warpgroups },
    { "cuBLAS gives the product in all four forms", products },
    { "graphs run what was captured", graphs },
    { "a lazy stream reads pinned memory late", lazy_streams },
    { "launches and copies beyond the limits are refused", refusals },
    { "what must end the program does, with its reason", complaints },
};

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--lazy")) return lazy_child();
    return tap_main(argc, argv, cases, COUNT(cases));
}
