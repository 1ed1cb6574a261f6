/* The args of small ops that fuse.cu joins with their neighbours, and the arithmetic that the joined kernels share with
 * them: so the bits are the same, joined or one by one. */
#ifndef KV_CUDA_STEPS_CUH
#define KV_CUDA_STEPS_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

struct kv_norm_args {
    const float *x, *weight;
    float *y;
    size_t n;
    float eps;
    int cols;
};

struct kv_swiglu_args {
    const float *gate, *up;
    float *y;
    size_t count;
};

struct kv_interleave_args {
    float *x;
    size_t heads; /* of all rows */
    int head_dim;
    int per_block; /* heads */
};

struct kv_rope_args {
    float *x;
    const float *angles;
    size_t count; /* n heads pairs */
    int heads, head_dim, pairs;
    int step, other; /* channels from one pair to the next, and from a to b */
};

struct kv_append_args {
    struct kv_span to;
    const float *k, *v;
    const int32_t *pos;
    struct kv_cuda_fault *fault;
    size_t count; /* n G d */
    int type, n_kv_head, head_dim, n;
};

extern const struct kv_cuda_kind kv_cuda_norm_kind, kv_cuda_swiglu_kind, kv_cuda_interleave_kind, kv_cuda_rope_kind,
    kv_cuda_angles_kind, kv_cuda_append_kind;

/* One pair of channels turns. */
KV_DEVICE void kv_rope_turn(float *x, float *y, float cosine, float sine)
{
    float was = *x;
    *x = __fsub_rn(__fmul_rn(was, cosine), __fmul_rn(*y, sine));
    *y = __fadd_rn(__fmul_rn(*y, cosine), __fmul_rn(was, sine));
}

/* First KV head of a span without room for n more slots; -1 = all have it. Every thread gets the answer. */
KV_DEVICE int kv_span_full(const struct kv_span *s, int heads, int n)
{
    for (int g = 0; g < (s->len_stride ? heads : 1); g++)
        if (n > s->cap - kv_span_len(s, g)) return g;
    return -1;
}

KV_DEVICE int kv_append_full(const struct kv_append_args *a) { return kv_span_full(&a->to, a->n_kv_head, a->n); }

/* By one thread: says that KV head g of a span has no room for n more slots, unless there is another fault before. */
KV_DEVICE void kv_span_refuse(const struct kv_span *s, int g, int n, struct kv_cuda_fault *fault)
{
    if (fault->code != KV_CUDA_FINE) return;
    fault->cap = s->cap;
    fault->len = kv_span_len(s, g);
    fault->more = n;
    fault->head = g;
    fault->code = KV_CUDA_FULL;
}

/* n more slots are in use; by some threads, of which this is number `at` of `of`. */
KV_DEVICE void kv_span_grow(const struct kv_span *s, int heads, int n, int at, int of)
{
    for (int g = at; g < (s->len_stride ? heads : 1); g += of) s->len[(size_t)g * (size_t)s->len_stride] += n;
}

/* Channel c of row i of KV head g. */
KV_DEVICE void kv_append_channel(const struct kv_append_args *a, size_t i, int g, size_t c, float k, float v)
{
    size_t slot = (size_t)kv_span_len(&a->to, g) + i, d = (size_t)a->head_dim;
    size_t to = (kv_span_start(&a->to, g) + slot) * d + c;
    kv_store_f32(a->type, a->to.k, to, k);
    kv_store_f32(a->type, a->to.v, to, v);
    if (!c && (!g || a->to.pos_stride)) kv_span_pos(&a->to, g)[slot] = a->pos[i];
}

/* By one block, when all else is done. */
KV_DEVICE void kv_append_lengths(const struct kv_append_args *a, int full)
{
    if (full < 0)
        kv_span_grow(&a->to, a->n_kv_head, a->n, (int)threadIdx.x, (int)blockDim.x);
    else if (!threadIdx.x)
        kv_span_refuse(&a->to, full, a->n, a->fault);
}

#endif
