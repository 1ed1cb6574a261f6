/* Neighbouring rows, query heads of a kept set, added up, so that one row goes home and not all.
 *
 *   out[g][j] = x[g*each][j] + x[g*each + 1][j] + ... in f64 and in this order
 *
 * x [groups*each][n] f32, rows `stride` apart; out [groups][n] f64. Bytes: 4 groups each n, and 8 groups n; bound by
 * memory: a thread a sum, neighbours side by side. The result is kv_cpu_fold's, bit for bit. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define THREADS 256

/* ---- kernels ---- */

struct fold_args {
    const float *x;
    double *out;
    size_t stride, n;
    int groups, each;
};

__global__ void __launch_bounds__(THREADS) fold_kernel(struct fold_args a)
{
    size_t j = (size_t)blockIdx.x * THREADS + threadIdx.x, g = blockIdx.y;
    if (j >= a.n) return;
    const float *x = a.x + g * (size_t)a.each * a.stride + j;
    double sum = (double)x[0];
    for (int i = 1; i < a.each; i++) sum += (double)x[(size_t)i * a.stride];
    a.out[g * a.n + j] = sum;
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct fold_args *a = (const struct fold_args *)args;
    dim3 grid(kv_cuda_blocks(a->n, THREADS), (unsigned)a->groups);
    kv_cuda_launch(cu, "fold", grid, THREADS, 0, fold_kernel, *a);
}

static const struct kv_cuda_kind kind = { "fold", launch };

enum kv_status kv_cuda_fold(
    void *ctx, const float *x, size_t stride, int groups, int each, size_t n, double *out, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (groups < 1 || groups > 65535 || each < 1)
        return kv_fail(err, KV_BAD_ARG, "Cannot add %d groups of %d rows.", groups, each);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || !n) return status;
    const struct fold_args a = { x, out, stride, n, groups, each };
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
