/* Compaction: copies the kept slots of prefix-then-tail to an empty span, in order, positions with them.
 *
 *   to.k[g][i] = k[g][index[i]], to.v likewise, to.pos[i] = pos[g][index[i]], to.len = n, for every KV head g,
 *   index and n the same for all heads, or each head's own (on the host)
 *
 * Bytes: 4 n G d sizeof(type); bound by memory. Keys and values of all heads are one launch, 16 bytes a thread where
 * rows allow it; before it one block looks whether `to` is empty and the slots are there, for lengths lie on the
 * device, and leaves its verdict in the scratch. `to` may not overlap the source. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define HEADS_MAX 256

/* ---- kernels ---- */

/* What is kept of one KV head. */
struct gather_head {
    const int32_t *index; /* [n] */
    int n;
};

struct gather_args {
    struct kv_seq from;
    struct kv_span to;
    const struct gather_head *head; /* [G] */
    struct kv_cuda_fault *fault;
    int *verdict;
    int n_kv_head, most; /* of all n */
    int units;           /* of a row */
};

KV_DEVICE void gather_fault(struct kv_cuda_fault *f, int code, int cap, int len, int more, int head)
{
    if (f->code != KV_CUDA_FINE) return;
    f->cap = cap;
    f->len = len;
    f->more = more;
    f->head = head;
    f->code = code;
}

/* Whether KV head g of `to` is empty and its last slot is there; reports, where it is not. */
KV_DEVICE bool gather_fits(const struct gather_args *a, int g, bool report)
{
    int n = a->head[g].n, last = n ? a->head[g].index[n - 1] : -1, used = kv_span_len(&a->to, g);
    int slots = kv_span_len(&a->from.prefix, g) + kv_span_len(&a->from.tail, g);
    if (report && used)
        gather_fault(a->fault, KV_CUDA_NOT_EMPTY, a->to.cap, used, n, g);
    else if (report && last >= slots)
        gather_fault(a->fault, KV_CUDA_NO_SLOT, slots, last, n - 1, g);
    return !used && last < slots;
}

__global__ void __launch_bounds__(32) gather_check_kernel(struct gather_args a)
{
    int bad = HEADS_MAX;
    for (int g = (int)threadIdx.x; g < a.n_kv_head; g += KV_WARP)
        if (!gather_fits(&a, g, false)) bad = min(bad, g);
    bad = __reduce_min_sync(KV_ALL, bad); /* all have looked */
    if (bad < HEADS_MAX && threadIdx.x == 0) gather_fits(&a, bad, true);
    for (int g = (int)threadIdx.x; bad == HEADS_MAX && g < a.n_kv_head; g += KV_WARP)
        a.to.len[(size_t)g * (size_t)a.to.len_stride] = a.head[g].n;
    if (threadIdx.x == 0) *a.verdict = bad == HEADS_MAX;
}

/* Grid: x over kept slots and units of a row, y over KV heads, z keys and values. */
template <typename unit> __global__ void __launch_bounds__(256) gather_kernel(struct gather_args a)
{
    int g = (int)blockIdx.y;
    bool values = blockIdx.z;
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x; /* 2^32 of 16 bytes no memory holds */
    uint32_t i = at / (uint32_t)a.units, c = at % (uint32_t)a.units;
    size_t units = (size_t)a.units;
    if (!*a.verdict || i >= (uint32_t)a.head[g].n) return;
    int slot = a.head[g].index[i], n_prefix = kv_span_len(&a.from.prefix, g);
    const struct kv_span *from = slot < n_prefix ? &a.from.prefix : &a.from.tail;
    if (slot >= n_prefix) slot -= n_prefix;
    const unit *source = (const unit *)(values ? from->v : from->k);
    unit *target = (unit *)(values ? a.to.v : a.to.k);
    target[(kv_span_start(&a.to, g) + i) * units + c] = source[(kv_span_start(from, g) + (size_t)slot) * units + c];
    if (!values && !c && (!g || a.to.start || a.to.pos_stride))
        kv_span_pos(&a.to, g)[i] = kv_span_pos(from, g)[slot];
}

/* ---- launch ---- */

template <typename unit> static void copy_slots(struct kv_cuda *cu, const struct gather_args *a)
{
    unsigned blocks = kv_cuda_blocks((size_t)a->most * (size_t)a->units, 256);
    kv_cuda_launch(cu, "gather", dim3(blocks, (unsigned)a->n_kv_head, 2), 256, 0, gather_kernel<unit>, *a);
}

template <typename unit> static void launch(struct kv_cuda *cu, const void *args)
{
    const struct gather_args *a = (const struct gather_args *)args;
    kv_cuda_launch(cu, "gather", 1, 32, 0, gather_check_kernel, *a);
    copy_slots<unit>(cu, a);
}

static const struct kv_cuda_kind kind[] = {
    { "gather", launch<uint4> },
    { "gather", launch<uint32_t> },
    { "gather", launch<uint16_t> },
};
static const size_t unit_bytes[] = { sizeof(uint4), sizeof(uint32_t), sizeof(uint16_t) };

/* Bits of where a span's rows begin. */
static uintptr_t address(const struct kv_span *s) { return s->cap ? (uintptr_t)s->k | (uintptr_t)s->v : 0; }

/* What the host can see. */
static enum kv_status check(int g, const int32_t *index, int n, const struct kv_span *to, struct kv_error *err)
{
    if (n < 0 || n > to->cap)
        return kv_fail(err, KV_BAD_ARG, "A cache of %d slots cannot take %d tokens.", to->cap, n);
    for (int i = 0; i < n; i++)
        if (index[i] < 0 || (i && index[i] <= index[i - 1]))
            return kv_fail(err, KV_BAD_ARG, "Slot %d is the %d-th to keep; slots must ascend from 0 (KV head %d).",
                index[i], i, g);
    return KV_OK;
}

/* n[g*n_stride] slots at index + g*index_stride; strides of 0: the same for all heads. */
struct gather_kept {
    const int32_t *index, *n;
    size_t index_stride, n_stride;
};

static enum kv_status gather(struct kv_cuda *cu, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const struct gather_kept *kept, struct kv_span *to, struct kv_error *err)
{
    struct gather_head head[HEADS_MAX];
    struct gather_args a = {};
    size_t bytes = (size_t)n_kv_head * sizeof *head + 16, kinds = 0;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (n_kv_head < 1 || n_kv_head > HEADS_MAX || head_dim < 1)
        return kv_fail(err, KV_UNSUPPORTED, "A cache of %d KV heads, head_dim %d; at most %d heads.", n_kv_head,
            head_dim, HEADS_MAX);
    for (int g = 0; g < n_kv_head; g++) {
        int n = kept->n[(size_t)g * kept->n_stride];
        enum kv_status status = check(g, kept->index + (size_t)g * kept->index_stride, n, to, err);
        if (status) return status;
        a.most = n > a.most ? n : a.most;
        if (!g || kept->n_stride) bytes += (size_t)n * sizeof *kept->index + 16;
    }
    if (!a.most) return KV_OK;
    enum kv_status status = kv_cuda_room(cu, bytes, err);
    if (status) return status;
    memset(head, 0, sizeof head);
    for (int g = 0; g < n_kv_head; g++) {
        head[g].n = kept->n[(size_t)g * kept->n_stride];
        head[g].index = g && !kept->n_stride
                            ? head[0].index
                            : (const int32_t *)kv_cuda_stage(cu, kept->index + (size_t)g * kept->index_stride,
                                  (size_t)head[g].n * sizeof *kept->index);
    }
    a.from = *from;
    a.from.row_pos = NULL;
    a.to = *to;
    a.head = (const struct gather_head *)kv_cuda_stage(cu, head, (size_t)n_kv_head * sizeof *head);
    a.fault = cu->fault_device;
    a.verdict = (int *)cu->scratch;
    a.n_kv_head = n_kv_head;
    size_t row = (size_t)head_dim * (type == KV_TYPE_F32 ? 4 : 2);
    uintptr_t every = (uintptr_t)row | address(&from->prefix) | address(&from->tail) | address(to);
    while (every % unit_bytes[kinds]) kinds++;
    a.units = (int)(row / unit_bytes[kinds]);
    kv_cuda_push(cu, &kind[kinds], &a, sizeof a);
    return KV_OK;
}

enum kv_status kv_cuda_gather(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, int n, struct kv_span *to, struct kv_error *err)
{
    const int32_t count = n;
    const struct gather_kept kept = { index, &count, 0, 0 };
    return gather((struct kv_cuda *)ctx, from, type, n_kv_head, head_dim, &kept, to, err);
}

enum kv_status kv_cuda_gather_heads(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, size_t index_stride, const int32_t *n, struct kv_span *to, struct kv_error *err)
{
    const struct gather_kept kept = { index, n, index_stride, 1 };
    if (to->cap && !(to->start && to->len_stride))
        return kv_fail(
            err, KV_BAD_ARG, "A cache whose heads share one length cannot take a kept set for each head.");
    return gather((struct kv_cuda *)ctx, from, type, n_kv_head, head_dim, &kept, to, err);
}
