/* y[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + e^-x); y may be gate or up.
 *
 * Shapes: gate, up, y [count] f32. Bytes: 12 a value; bound by memory. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/steps.cuh"

/* ---- kernels ---- */

__global__ void __launch_bounds__(256) swiglu_kernel(struct kv_swiglu_args a)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < a.count) a.y[i] = kv_swiglu(a.gate[i], a.up[i]);
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_swiglu_args *a = (const struct kv_swiglu_args *)args;
    kv_cuda_launch(cu, "swiglu", kv_cuda_blocks(a->count, 256), 256, 0, swiglu_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_swiglu_kind = { "swiglu", launch };

enum kv_status kv_cuda_swiglu(
    void *ctx, const float *gate, const float *up, size_t count, float *y, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || !count) return status;
    const struct kv_swiglu_args a = { gate, up, y, count };
    kv_cuda_push(cu, &kv_cuda_swiglu_kind, &a, sizeof a);
    return KV_OK;
}
