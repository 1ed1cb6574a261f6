/* Compaction: copies the kept slots of prefix-then-tail to an empty span, in order, positions with them.
 *
 *   to.k[g][i] = k[g][index[i]], to.v likewise, to.pos[i] = pos[g][index[i]], to.len = n, for every KV head g,
 *   index and n the same for all heads, or each head's own
 *
 * Reads and writes 2 n G d sizeof(type) bytes: bound by memory. Keys stay rotated at their true positions. `to`
 * may not overlap the source. */
#include "kernels/cpu/attention.h"

#include <string.h>

/* The kept slots of one KV head's keys, or values; runs of neighboring slots are one copy. */
static void copy_slots(const struct kv_seq *from, int g, bool values, size_t row_bytes, const int32_t *index, int n,
    const struct kv_span *to)
{
    int n_prefix = kv_attn_span_len(&from->prefix, g);
    char *dst = (char *)(values ? to->v : to->k) + kv_attn_offset(to, g, 0, row_bytes);
    for (int i = 0; i < n;) {
        int run = 1;
        while (i + run < n && index[i + run] == index[i] + run && index[i + run] != n_prefix) run++;
        memcpy(dst + (size_t)i * row_bytes,
            (values ? kv_attn_v : kv_attn_k)(from, g, n_prefix, index[i], row_bytes), (size_t)run * row_bytes);
        i += run;
    }
}

/* What is kept of each KV head: n[g*n_stride] slots at index + g*index_stride. */
struct kept {
    const int32_t *index, *n;
    size_t index_stride, n_stride;
};

static const int32_t *index_of(const struct kept *kept, int g)
{
    return kept->index + (size_t)g * kept->index_stride;
}
static int count_of(const struct kept *kept, int g) { return kept->n[(size_t)g * kept->n_stride]; }

static enum kv_status check(const struct kv_seq *from, int type, int n_kv_head, const struct kept *kept,
    const struct kv_span *to, struct kv_error *err)
{
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    for (int g = 0; g < n_kv_head; g++) {
        const int32_t *index = index_of(kept, g);
        int slots = kv_attn_slots(from, g), n = count_of(kept, g);
        if (n < 0 || n > to->cap)
            return kv_fail(err, KV_BAD_ARG, "A cache of %d slots cannot take %d tokens.", to->cap, n);
        if (to->cap && kv_attn_span_len(to, g))
            return kv_fail(err, KV_BAD_ARG, "Gather wants an empty cache; this one holds %d tokens (KV head %d).",
                kv_attn_span_len(to, g), g);
        for (int i = 0; i < n; i++)
            if (index[i] < 0 || index[i] >= slots || (i && index[i] <= index[i - 1]))
                return kv_fail(err, KV_BAD_ARG,
                    "Slot %d is the %d-th to keep; slots must ascend and lie in 0 to %d (KV head %d).", index[i], i,
                    slots - 1, g);
        if (!from->prefix.len_stride && !from->tail.len_stride && !kept->index_stride) break;
    }
    return KV_OK;
}

static enum kv_status gather(struct kv_cpu *cpu, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const struct kept *kept, struct kv_span *to, struct kv_error *err)
{
    size_t most = 0;
    cpu->calls[KV_CPU_gather]++;
    enum kv_status status = check(from, type, n_kv_head, kept, to, err);
    for (int g = 0; g < n_kv_head && !status; g++) most = kv_max(most, (size_t)count_of(kept, g));
    if (status || !most) return status;
    size_t row_bytes = kv_attn_row_bytes(type, head_dim);
#pragma omp parallel for num_threads(most *row_bytes < KV_PARALLEL_GRAIN ? 1 : cpu->threads) schedule(dynamic)
    for (int task = 0; task < 2 * n_kv_head; task++)
        copy_slots(from, task / 2, task % 2, row_bytes, index_of(kept, task / 2), count_of(kept, task / 2), to);
    for (int g = 0; g < n_kv_head; g++) {
        const int32_t *index = index_of(kept, g);
        int n_prefix = kv_attn_span_len(&from->prefix, g), n = count_of(kept, g);
        int32_t *pos = kv_attn_positions(to, g);
        for (int i = 0; i < n; i++) pos[i] = kv_attn_pos(from, g, n_prefix, index[i]);
        to->len[(size_t)g * (size_t)to->len_stride] = n;
    }
    return KV_OK;
}

enum kv_status kv_cpu_gather(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, int n, struct kv_span *to, struct kv_error *err)
{
    const int32_t count = n;
    const struct kept kept = { .index = index, .n = &count };
    return gather(ctx, from, type, n_kv_head, head_dim, &kept, to, err);
}

enum kv_status kv_cpu_gather_heads(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, size_t index_stride, const int32_t *n, struct kv_span *to, struct kv_error *err)
{
    const struct kept kept = { index, n, index_stride, 1 };
    if (to->cap && !(to->start && to->len_stride))
        return kv_fail(
            err, KV_BAD_ARG, "A cache whose heads share one length cannot take a kept set for each head.");
    return gather(ctx, from, type, n_kv_head, head_dim, &kept, to, err);
}
