/* Lengths of a layer's keys or values.
 *
 *   out[g][j] = (sum_c |x[g][j][c]|^power)^(1/power)   for slot j of KV head g, power 1 or 2
 *
 * x is the span's k or v, out [G][stride] f32, sums in f64. Bytes: n G d sizeof(type); bound by memory. A warp a slot;
 * the grid covers the capacity, for lengths lie on the device. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define SLOTS 8 /* of a block */

/* ---- kernels ---- */

struct norms_args {
    struct kv_span span;
    float *out;
    size_t stride;
    int type, head_dim, power, n_kv_head;
    bool values;
};

__global__ void __launch_bounds__(SLOTS *KV_WARP) norms_kernel(struct norms_args a)
{
    int g = (int)blockIdx.y, lane = (int)threadIdx.x % KV_WARP;
    int j = (int)(blockIdx.x * SLOTS + threadIdx.x / KV_WARP);
    if (j >= kv_span_len(&a.span, g)) return;
    size_t row = (kv_span_start(&a.span, g) + (size_t)j) * (size_t)a.head_dim;
    const void *from = a.values ? a.span.v : a.span.k;
    double sum = 0;
    for (int c = lane; c < a.head_dim; c += KV_WARP) {
        double x = (double)kv_load_as_f32(a.type, from, row + (size_t)c);
        sum += a.power == 1 ? fabs(x) : x * x;
    }
    for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(KV_ALL, sum, step);
    if (lane == 0) a.out[(size_t)g * a.stride + (size_t)j] = (float)(a.power == 1 ? sum : sqrt(sum));
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct norms_args *a = (const struct norms_args *)args;
    kv_cuda_launch(cu, "norms", dim3(kv_cuda_blocks((size_t)a->span.cap, SLOTS), (unsigned)a->n_kv_head),
        SLOTS * KV_WARP, 0, norms_kernel, *a);
}

static const struct kv_cuda_kind kind = { "norms", launch };

enum kv_status kv_cuda_norms(void *ctx, const struct kv_span *span, bool values, int power, int type, int n_kv_head,
    int head_dim, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (head_dim < 1 || head_dim > KV_CUDA_MAX_DIM || (power != 1 && power != 2))
        return kv_fail(err, KV_BAD_ARG, "There is no norm L%d of %d channels here; it is L1 or L2 of up to %d.",
            power, head_dim, KV_CUDA_MAX_DIM);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || span->cap < 1 || n_kv_head < 1) return status;
    struct norms_args a = {};
    a.span = *span;
    a.out = out;
    a.stride = stride;
    a.type = type;
    a.head_dim = head_dim;
    a.power = power;
    a.n_kv_head = n_kv_head;
    a.values = values;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
