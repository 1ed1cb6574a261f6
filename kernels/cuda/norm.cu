/* RMS norm: y[i][c] = x[i][c] / sqrt(mean_c x[i][c]^2 + eps) * weight[c].
 *
 * x, y [n][cols] f32, weight [cols] f32; y == x allowed. Bytes: 8 a value; bound by memory. One block a row, or one
 * warp a row where rows are heads (cols <= 256): the order of the sum depends on cols alone. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/steps.cuh"

/* ---- kernels ---- */

__global__ void __launch_bounds__(KV_NORM_THREADS) norm_kernel(struct kv_norm_args a)
{
    __shared__ float room[KV_WARP];
    const float *x = a.x + (size_t)blockIdx.x * (size_t)a.cols;
    float *y = a.y + (size_t)blockIdx.x * (size_t)a.cols, scale = kv_norm_scale(x, a.cols, a.eps, room);
    for (int c = (int)threadIdx.x; c < a.cols; c += KV_NORM_THREADS) y[c] = x[c] * scale * a.weight[c];
}

__global__ void __launch_bounds__(KV_NORM_THREADS) norm_heads_kernel(struct kv_norm_args a)
{
    size_t row = (size_t)blockIdx.x * (KV_NORM_THREADS / KV_WARP) + threadIdx.x / KV_WARP;
    if (row >= a.n) return;
    const float *x = a.x + row * (size_t)a.cols;
    float *y = a.y + row * (size_t)a.cols, scale = kv_norm_warp(x, a.cols, a.eps);
    for (int c = (int)threadIdx.x % KV_WARP; c < a.cols; c += KV_WARP) y[c] = x[c] * scale * a.weight[c];
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_norm_args *a = (const struct kv_norm_args *)args;
    unsigned heads = kv_cuda_blocks(a->n, KV_NORM_THREADS / KV_WARP);
    if (a->cols <= KV_NORM_HEAD)
        kv_cuda_launch(cu, "norm", heads, KV_NORM_THREADS, 0, norm_heads_kernel, *a);
    else
        kv_cuda_launch(cu, "norm", (unsigned)a->n, KV_NORM_THREADS, 0, norm_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_norm_kind = { "norm", launch };

enum kv_status kv_cuda_norm(
    void *ctx, const float *x, const float *weight, float eps, int n, int cols, float *y, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (n < 0 || cols < 1) return kv_fail(err, KV_BAD_ARG, "A norm of %d rows of %d columns.", n, cols);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || !n) return status;
    const struct kv_norm_args a = { x, weight, y, (size_t)n, eps, cols };
    kv_cuda_push(cu, &kv_cuda_norm_kind, &a, sizeof a);
    return KV_OK;
}
