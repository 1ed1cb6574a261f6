/* What columns and probabilities share: one sequence, its rows by position, and the log-sum-exp that attention gave. */
#ifndef KV_CUDA_COLUMNS_CUH
#define KV_CUDA_COLUMNS_CUH

#include "kernels/cuda/attend.cuh"

struct kv_columns_args {
    const struct kv_seq *seq; /* on the device */
    const float *q, *lse;
    float *out; /* sums, or probabilities */
    size_t stride;
    int n_row, n_head, n_kv_head, head_dim, group, type, window;
    int cap;   /* slots that the longest head has room for */
    int head;  /* of probabilities */
    int heads; /* of sums: query heads that a block takes */
    float scale, scale2;
    void *half;  /* of sums, on tensor cores: [H][n][d] queries, rounded */
    float *lse2; /* [H][n] lse, of two */
    struct kv_cuda_fault *fault;
};

/* Rows that see the key at a position, counted from the sequence's first. */
KV_DEVICE struct kv_slots_range kv_columns_seen(const struct kv_columns_args *a, int pos)
{
    const int32_t *rows = a->seq->row_pos;
    struct kv_slots_range r = { kv_lower_near(rows, a->n_row, pos), a->n_row };
    if (a->window) r.hi = kv_lower_near(rows, a->n_row, pos + a->window);
    return r;
}

/* Whether a row is one of them. */
KV_DEVICE bool kv_columns_in(struct kv_slots_range r, int row)
{
    return (unsigned)(row - r.lo) < (unsigned)(r.hi - r.lo);
}

/* Rows that see a key at one of ascending positions [from, to]: [begin, end); those that see all: [all_from, all_to). */
struct kv_columns_rows {
    int begin, end, all_from, all_to;
};

KV_DEVICE struct kv_columns_rows kv_columns_rows_of(const struct kv_columns_args *a, int from, int to)
{
    struct kv_slots_range first = kv_columns_seen(a, from), last = kv_columns_seen(a, to);
    return (struct kv_columns_rows){ first.lo, last.hi, last.lo, first.hi };
}

KV_DEVICE bool kv_columns_sees(const struct kv_columns_args *a, int row_pos, int key_pos)
{
    return key_pos <= row_pos && (!a->window || row_pos - key_pos < a->window);
}

/* What a block takes: tile of keys, KV head, query heads [head, last_head). */
struct kv_columns_place {
    int tile, g, head, last_head;
};

KV_DEVICE struct kv_columns_place kv_columns_place_of(const struct kv_columns_args *a)
{
    int parts = a->group / a->heads, block = (int)blockIdx.x, g = block / parts % a->n_kv_head;
    int head = g * a->group + block % parts * a->heads;
    return (struct kv_columns_place){ block / parts / a->n_kv_head, g, head, head + a->heads };
}

/* Where one is in a block's list of tiles of so many rows, head by head. */
struct kv_columns_step {
    int head, row;
};

KV_DEVICE void kv_columns_next(struct kv_columns_step *at, const struct kv_columns_rows *rows, int tile)
{
    at->row += tile;
    if (at->row < rows->end) return;
    at->row = rows->begin;
    at->head++;
}

/* Whether some row of the tile does not see some key, or the tile is not full. */
KV_DEVICE bool kv_columns_ragged(struct kv_columns_step at, const struct kv_columns_rows *rows, int tile)
{
    return at.row < rows->all_from || at.row + tile > rows->all_to || at.row + tile > rows->end;
}

/* Asks for the rows' lse: the first threads a word each; zeros from `end` on. */
KV_DEVICE void kv_columns_load_lse(
    unsigned char *to, const struct kv_columns_args *a, struct kv_columns_step at, int tile, int thread, int end)
{
    size_t lse = (size_t)at.head * (size_t)a->n_row + (size_t)(at.row + thread);
    if (thread < tile) kv_cp_async4(to + thread * 4, a->lse2 + lse, at.row + thread < end);
}

/* On Hopper, in columns_wgmma.cu: keys that a block takes, 0 where this GPU or head_dim is not for it; the launch. */
int kv_cuda_columns_wgmma_keys(const struct kv_cuda *cu, int head_dim);
void kv_cuda_columns_wgmma(struct kv_cuda *cu, const struct kv_columns_args *a, unsigned blocks);

/* Whether a row of the result has no room for the slots of KV head g; then that is the fault. */
KV_DEVICE bool kv_columns_short(const struct kv_columns_args *a, int slots, int g, bool sums)
{
    if ((size_t)slots <= a->stride) return false;
    if (threadIdx.x == 0 && a->fault->code == KV_CUDA_FINE) {
        a->fault->cap = (int)a->stride;
        a->fault->len = slots;
        a->fault->more = sums;
        a->fault->head = g;
        a->fault->code = KV_CUDA_SHORT;
    }
    return true;
}

/* Checks one call, stages its sequence and fills in the args. */
enum kv_status kv_cuda_columns_begin(struct kv_cuda *cu, const struct kv_attend *a, const char *op, float *out,
    size_t stride, struct kv_columns_args *args, struct kv_error *err);

#endif
