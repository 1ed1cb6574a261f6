/* Column sums and rows of the attention matrix: a second pass over the logits against the stored log-sum-exp.
 *
 * A job owns up to 64 slots of one KV head: their keys are packed once, then the rows pass in blocks of six
 * queries of one head, and what they add to a column is summed in f32 in row order, first within the job, then
 * into sums. So no two threads write one column and the order never changes.
 *
 * Logits are f32 in every mode. Products of bf16 would take 0.43 of fast attention's time instead of 0.66, but on
 * SmolLM2-135M they moved scores by 0.3 % (median) to 4 % and a row's total by up to 0.5 %: the sums of a head
 * would no longer add up to its rows.
 *
 * Measured on 2 x Zen 4, 3.65 GHz (117 GFLOP/s f32 a core), one thread's own processor time for 2 n_visible d flops:
 * 93 GFLOP/s, of which the logits alone take five sixths: bound by f32 arithmetic. */
#include "kernels/cpu/simd/attend.h"

struct block {
    const struct kv_attn_job *job;
    const struct kv_attn_range *range; /* [rows] */
    float *keys;                       /* [d][KV_ATTN_TILE] */
    float *s;                          /* [ROWS][KV_ATTN_TILE] */
    float *q;                          /* [ROWS][d]: the last rows, filled up to a block */
};

/* Logits of n <= ROWS rows from the i-th of head h to s; returns how many vectors of slots they see, 0 for none. */
static int logits(const struct block *b, int h, int i, int n)
{
    const struct kv_attn_job *job = b->job;
    const struct kv_attend *a = job->a;
    size_t d = (size_t)a->head_dim, stride = (size_t)a->n_head * d;
    const float *q = a->q + (job->first + (size_t)(job->row + i)) * stride + (size_t)h * d;
    int lo = INT32_MAX, hi = 0;
    for (int r = 0; r < n; r++) {
        if (b->range[i + r].lo >= b->range[i + r].hi) continue;
        if (b->range[i + r].lo < lo) lo = b->range[i + r].lo;
        if (b->range[i + r].hi > hi) hi = b->range[i + r].hi;
    }
    if (hi <= job->j0 || lo >= job->j1) return 0;
    if (n < ROWS) {
        memset(b->q, 0, ROWS * d * sizeof *b->q);
        for (int r = 0; r < n; r++) memcpy(b->q + (size_t)r * d, q + (size_t)r * stride, d * sizeof *q);
        q = b->q, stride = d;
    }
    int n_vector = ((hi < job->j1 ? hi : job->j1) - job->j0 + VF_WIDTH - 1) / VF_WIDTH;
    attn_logits(n_vector, q, stride, a->head_dim, b->keys, b->s);
    return n_vector;
}

/* Vector v of row r of the block's logits to probabilities; shift is -lse in base 2. Slots that the row doesn't
 * see get 0. */
VF_INLINE vf weight(const struct block *b, int r, int v, struct kv_attn_range range, vf scale, vf shift)
{
    int lo = range.lo - b->job->j0 - v * VF_WIDTH, hi = range.hi - b->job->j0 - v * VF_WIDTH;
    vf x = vf_fma(vf_load(b->s + r * KV_ATTN_TILE + v * VF_WIDTH), scale, shift);
    if (lo > 0 || hi < VF_WIDTH) x = attn_only(x, lo, hi);
    return attn_exp2(x);
}

static vf shift_of(const struct block *b, int h, int i)
{
    const struct kv_attend *a = b->job->a;
    return vf_set1(a->lse[(b->job->first + (size_t)(b->job->row + i)) * (size_t)a->n_head + (size_t)h] * -LOG2E);
}

/* Adds n rows' probabilities to the columns' sums, row by row: v0.. are the vectors that stay in registers. */
VF_INLINE void add_block(const struct block *b, int h, int i, int n, int v0, int n_vector, vf *sum)
{
    vf scale = vf_set1(b->job->a->scale * LOG2E), x[4];
#pragma GCC unroll 4
    for (int v = 0; v < n_vector; v++) x[v] = sum[v0 + v];
    for (int r = 0; r < n; r++) {
        struct kv_attn_range range = b->range[i + r];
        vf shift = shift_of(b, h, i + r);
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) x[v] = vf_add(x[v], weight(b, r, v0 + v, range, scale, shift));
    }
#pragma GCC unroll 4
    for (int v = 0; v < n_vector; v++) sum[v0 + v] = x[v];
}

static void add_columns(const struct block *b, int h)
{
    const struct kv_attn_job *job = b->job;
    vf sum[TILE_VECTORS];
    for (int v = 0; v < TILE_VECTORS; v++) sum[v] = vf_zero();
    for (int i = 0; i < job->rows; i += ROWS) {
        int n = job->rows - i < ROWS ? job->rows - i : ROWS, n_vector = logits(b, h, i, n), v = 0;
        for (; v + 4 <= n_vector; v += 4) add_block(b, h, i, n, v, 4, sum);
        for (; v < n_vector; v++) add_block(b, h, i, n, v, 1, sum);
    }
    float whole[KV_ATTN_TILE], *sums = job->sums + (size_t)h * job->stride;
    for (int v = 0; v < TILE_VECTORS; v++) vf_store(whole + v * VF_WIDTH, sum[v]);
    for (int j = job->j0; j < job->j1; j++) sums[j] += whole[j - job->j0];
}

static void store_rows(const struct block *b, int h)
{
    const struct kv_attn_job *job = b->job;
    size_t count = (size_t)(job->j1 - job->j0);
    vf scale = vf_set1(job->a->scale * LOG2E);
    for (int i = 0; i < job->rows; i += ROWS) {
        int n = job->rows - i < ROWS ? job->rows - i : ROWS, n_vector = logits(b, h, i, n);
        for (int r = 0; r < n; r++) {
            float *to = job->probs + (size_t)(job->row + i + r) * job->stride + job->j0,
                  *s = b->s + r * KV_ATTN_TILE;
            for (int v = 0; v < n_vector; v++)
                vf_store(s + v * VF_WIDTH, weight(b, r, v, b->range[i + r], scale, shift_of(b, h, i + r)));
            memset(to, 0, count * sizeof *to);
            memcpy(to, s, kv_min(count, (size_t)(n_vector * VF_WIDTH)) * sizeof *to);
        }
    }
}

void KV_NAME(kv_attn_columns)(const struct kv_attn_job *job, void *scratch)
{
    const struct kv_attend *a = job->a;
    int group = a->n_head / a->n_kv_head, d = a->head_dim;
    struct block b = { .job = job };
    b.keys = scratch;
    b.s = b.keys + (size_t)d * KV_ATTN_TILE;
    b.q = b.s + ROWS * KV_ATTN_TILE;
    struct kv_attn_range *range = (struct kv_attn_range *)(b.q + (size_t)ROWS * (size_t)d);
    b.range = range;
    kv_attn_ranges(job->seq, job->g, a->window, job->row, job->rows, range);
    attn_pack_keys(a->type, job->seq, job->g, job->j0, job->j1 - job->j0, d, b.keys);
    if (job->probs)
        store_rows(&b, job->head);
    else
        for (int h = job->g * group; h < (job->g + 1) * group; h++) add_columns(&b, h);
}
