/* Interleave: the two halves of each head's channels become pairs of neighbours,
 *   y[2c] = x[c],  y[2c + 1] = x[c + head_dim/2].
 *
 * x [n][heads][head_dim] f32 in place, head_dim even. Bytes: 8 a value; bound by memory. A block takes as many whole
 * heads as fit into its shared memory, so that what it reads and writes is one run of memory. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/steps.cuh"

/* ---- kernels ---- */

__global__ void __launch_bounds__(256) interleave_kernel(struct kv_interleave_args a)
{
    __shared__ float was[KV_INTERLEAVE_MAX];
    size_t first = (size_t)blockIdx.x * (size_t)a.per_block;
    int heads = (int)min((size_t)a.per_block, a.heads - first), count = heads * a.head_dim;
    float *x = a.x + first * (size_t)a.head_dim;
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) was[i] = x[i];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        int c = i % a.head_dim;
        x[i] = was[i - c + c / 2 + (c % 2 ? a.head_dim / 2 : 0)];
    }
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_interleave_args *a = (const struct kv_interleave_args *)args;
    kv_cuda_launch(cu, "interleave", kv_cuda_blocks(a->heads, (size_t)a->per_block), 256, 0, interleave_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_interleave_kind = { "interleave", launch };

enum kv_status kv_cuda_interleave(void *ctx, float *x, int n, int heads, int head_dim, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (n < 0 || heads < 1 || head_dim < 2 || head_dim % 2 || head_dim > KV_INTERLEAVE_MAX)
        return kv_fail(err, KV_BAD_ARG, "Interleaving %d rows of %d heads of %d channels; even widths go up to %d.",
            n, heads, head_dim, KV_INTERLEAVE_MAX);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || !n) return status;
    const struct kv_interleave_args a = { x, (size_t)n * (size_t)heads, head_dim, KV_INTERLEAVE_MAX / head_dim };
    kv_cuda_push(cu, &kv_cuda_interleave_kind, &a, sizeof a);
    return KV_OK;
}
