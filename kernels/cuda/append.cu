/* Puts new keys and values behind a span's last slot.
 *
 *   k[g][len + i] = k_new[i][g], v likewise, pos[len + i] = pos_new[i], len += n, for every KV head g
 *
 * k_new, v_new [n][G][d] f32, rounded to nearest even into the span's type; pos_new [n] i32 on the host. Bytes: n G d
 * (8 + 2 sizeof(type)); bound by memory, and in decode by its launches. Lengths lie on the device: where a head has no
 * room the span is left as it was and the fault is reported. A few rows are one block, which moves the lengths last;
 * more rows are many blocks, and the lengths a launch of their own behind them. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define ONE_BLOCK 32768 /* values up to which one block does it all */

/* ---- kernels ---- */

struct append_args {
    struct kv_span to;
    const float *k, *v;
    const int32_t *pos;
    struct kv_cuda_fault *fault;
    size_t count; /* n G d */
    int type, n_kv_head, head_dim, n;
};

/* First KV head without room; -1 = all have it. Every thread gets the answer. */
KV_DEVICE int append_full(const struct append_args *a)
{
    int heads = a->to.len_stride ? a->n_kv_head : 1;
    for (int g = 0; g < heads; g++)
        if (a->n > a->to.cap - kv_span_len(&a->to, g)) return g;
    return -1;
}

KV_DEVICE void append_value(const struct append_args *a, size_t at)
{
    size_t d = (size_t)a->head_dim, heads = (size_t)a->n_kv_head;
    size_t c = at % d, row = at / d, i = row / heads;
    int g = (int)(row % heads);
    size_t slot = (size_t)kv_span_len(&a->to, g) + i;
    size_t to = (kv_span_start(&a->to, g) + slot) * d + c;
    kv_store_f32(a->type, a->to.k, to, a->k[at]);
    kv_store_f32(a->type, a->to.v, to, a->v[at]);
    if (!c && (!g || a->to.pos_stride)) kv_span_pos(&a->to, g)[slot] = a->pos[i];
}

/* By one block, when all else is done. */
KV_DEVICE void append_lengths(const struct append_args *a, int full)
{
    int heads = a->to.len_stride ? a->n_kv_head : 1;
    if (full >= 0) {
        if (threadIdx.x || a->fault->code != KV_CUDA_FINE) return;
        a->fault->cap = a->to.cap;
        a->fault->len = kv_span_len(&a->to, full);
        a->fault->more = a->n;
        a->fault->head = full;
        a->fault->code = KV_CUDA_FULL;
        return;
    }
    for (int g = (int)threadIdx.x; g < heads; g += (int)blockDim.x)
        a->to.len[(size_t)g * (size_t)a->to.len_stride] += a->n;
}

__global__ void __launch_bounds__(256) append_kernel(struct append_args a)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < a.count && append_full(&a) < 0) append_value(&a, at);
}

__global__ void __launch_bounds__(256) append_lengths_kernel(struct append_args a)
{
    int full = append_full(&a);
    __syncthreads(); /* all have looked */
    append_lengths(&a, full);
}

__global__ void __launch_bounds__(1024) append_few_kernel(struct append_args a)
{
    int full = append_full(&a);
    for (size_t at = threadIdx.x; full < 0 && at < a.count; at += blockDim.x) append_value(&a, at);
    __syncthreads();
    append_lengths(&a, full);
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct append_args *a = (const struct append_args *)args;
    if (a->count <= ONE_BLOCK) {
        kv_cuda_launch(cu, "append", 1, 1024, 0, append_few_kernel, *a);
    } else {
        kv_cuda_launch(cu, "append", kv_cuda_blocks(a->count, 256), 256, 0, append_kernel, *a);
        kv_cuda_launch(cu, "append", 1, 256, 0, append_lengths_kernel, *a);
    }
}

static const struct kv_cuda_kind kind = { "append", launch };

enum kv_status kv_cuda_append(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
    const float *v, const int32_t *pos, int n, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (n < 0 || n > to->cap)
        return kv_fail(err, KV_BAD_ARG, "A cache of %d slots cannot take %d more tokens.", to->cap, n);
    if (!n || n_kv_head < 1) return KV_OK;
    enum kv_status status = kv_cuda_room(cu, (size_t)n * sizeof *pos + 16, err);
    if (status) return status;
    struct append_args a = {};
    a.to = *to;
    a.k = k;
    a.v = v;
    a.pos = (const int32_t *)kv_cuda_stage(cu, pos, (size_t)n * sizeof *pos);
    a.fault = cu->fault_device;
    a.count = (size_t)n * (size_t)n_kv_head * (size_t)head_dim;
    a.type = type;
    a.n_kv_head = n_kv_head;
    a.head_dim = head_dim;
    a.n = n;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
