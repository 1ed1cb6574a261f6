/* Prefill attention: tiles of query rows against tiles of 64 keys, online softmax with entropy.
 *
 * Rows of a tile are (query, head of the KV head's group) pairs, so that one packed tile of keys serves all
 * heads of its group. Blocks of six rows go through logits, softmax and values while everything stays in L1:
 * keys [d][64] f32, 6 x 64 logits, values [64][d] f32 or pairs of slots [32][d][2] bf16.
 *
 * The running maximum is per row; l and u are kept as one vector a row and summed over lanes at the end. A row
 * skips tiles that it doesn't see and masks the ones that it sees in part, so its bits depend on its own slots
 * alone. Logits, l and u are f32 always; bf16 touches P and V only, after l and u were taken.
 *
 * Measured on 2 x Zen 4, 3.65 GHz (117 GFLOP/s f32, 234 bf16 a core), one thread's own processor time, 4 n_visible d
 * flops of 2,048 causal tokens in segments of 512, head_dim 64: 122 GFLOP/s with bf16 weights and values, 97 in f32,
 * 88 with AVX2. Entropy takes 1 to 3 % of this kernel. */
#include "kernels/cpu/simd/attend.h"

struct tile {
    int d, wide; /* wide: d rounded up to whole vectors */
    int rows;    /* of q, out: a multiple of ROWS */
    bool bf16;
    struct kv_attn_range *range; /* [rows] */
    float *q, *out;              /* [rows][d], [rows][wide] */
    float *m, *l, *u;            /* [rows], [rows][VF_WIDTH] twice */
    float *keys;                 /* [d][KV_ATTN_TILE] */
    void *values;
    float *s;    /* [ROWS][KV_ATTN_TILE]: logits, then P */
    uint16_t *p; /* the same as bf16 */
};

static float *take(float **at, size_t n)
{
    float *p = *at;
    *at += (n + 15) & ~(size_t)15;
    return p;
}

static void lay_out(struct tile *t, const struct kv_attn_job *job, int group, void *scratch)
{
    float *at = scratch;
    t->d = job->a->head_dim;
    t->wide = (t->d + VF_WIDTH - 1) & -VF_WIDTH;
    t->rows = (job->rows * group + ROWS - 1) / ROWS * ROWS;
    size_t rows = (size_t)t->rows;
    t->keys = take(&at, (size_t)t->d * KV_ATTN_TILE);
    t->values = take(&at, (size_t)t->wide * KV_ATTN_TILE);
    t->s = take(&at, ROWS * KV_ATTN_TILE);
    t->p = (uint16_t *)take(&at, ROWS * KV_ATTN_TILE / 2);
    t->q = take(&at, rows * (size_t)t->d);
    t->out = take(&at, rows * (size_t)t->wide);
    t->m = take(&at, rows);
    t->l = take(&at, rows * VF_WIDTH);
    t->u = take(&at, rows * VF_WIDTH);
    t->range = (struct kv_attn_range *)take(&at, 2 * rows);
#if VF_WIDTH == 16
    t->bf16 = job->bf16;
#endif
}

/* Queries in base 2, empty states, and what each row sees; the rows that fill the last block see nothing. */
static void open_rows(struct tile *t, const struct kv_attn_job *job, int group)
{
    const struct kv_attend *a = job->a;
    size_t d = (size_t)t->d, n = (size_t)job->rows * (size_t)group, rows = (size_t)t->rows;
    float factor = a->scale * LOG2E;
    struct kv_attn_range *query = (struct kv_attn_range *)t->l; /* not in use yet */
    kv_attn_ranges(job->seq, job->g, a->window, job->row, job->rows, query);
    for (size_t r = 0; r < rows; r++) {
        size_t i = r / (size_t)group, h = (size_t)job->g * (size_t)group + r % (size_t)group;
        const float *q = a->q + ((job->first + (size_t)job->row + i) * (size_t)a->n_head + h) * d;
        for (size_t c = 0; c < d; c++) t->q[r * d + c] = r < n ? q[c] * factor : 0;
        t->range[r] = r < n ? query[i] : (struct kv_attn_range){ 0, 0 };
        t->m[r] = KV_SOFTMAX_EMPTY;
    }
    memset(t->out, 0, rows * (size_t)t->wide * sizeof *t->out);
    memset(t->l, 0, rows * VF_WIDTH * sizeof *t->l);
    memset(t->u, 0, rows * VF_WIDTH * sizeof *t->u);
}

/* Values of slots [j0, j0 + n) in f32 [64][wide], or in bf16 [32][wide][2] with the odd slot of a pair in the
 * upper half, as vdpbf16ps reads them; slots past n as 0. */
VF_INLINE void pack_values_of(int type, struct tile *t, const struct kv_seq *seq, int g, int j0, int n)
{
    int n_prefix = kv_attn_span_len(&seq->prefix, g), step = t->bf16 ? 2 : 1;
    size_t row_bytes = kv_attn_row_bytes(type, t->d);
    for (int j = 0; j < (n + step - 1) / step * step; j += step) {
        const void *row = kv_attn_v(seq, g, n_prefix, j0 + j, row_bytes);
        const void *odd = j + 1 < n ? kv_attn_v(seq, g, n_prefix, j0 + j + 1, row_bytes) : NULL;
        for (int c = 0; c < t->d; c += VF_WIDTH) {
            vf x = attn_load(type, row, c, t->d - c);
            if (!t->bf16) {
                vf_store((float *)t->values + (size_t)j * (size_t)t->wide + c, x);
                continue;
            }
#if VF_WIDTH == 16
            vf y = odd ? attn_load(type, odd, c, t->d - c) : vf_zero();
            __m512i low = _mm512_cvtepu16_epi32(vf_narrow_bf16(x)), high = _mm512_cvtepu16_epi32(vf_narrow_bf16(y));
            _mm512_storeu_si512((uint16_t *)t->values + (size_t)j * (size_t)t->wide + 2 * c,
                _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
#else
            (void)odd;
#endif
        }
    }
}

static void pack_values(int type, struct tile *t, const struct kv_seq *seq, int g, int j0, int n)
{
    switch (type) {
    case KV_TYPE_F16: pack_values_of(KV_TYPE_F16, t, seq, g, j0, n); break;
    case KV_TYPE_BF16: pack_values_of(KV_TYPE_BF16, t, seq, g, j0, n); break;
    default: pack_values_of(KV_TYPE_F32, t, seq, g, j0, n);
    }
}

/* Brings one row's state to the maximum of its logits, if that is new, and its output along. */
static void raise(struct tile *t, int row, vf max, bool entropy)
{
    float old = t->m[row], new = vf_max_all(max);
    vf delta = vf_set1(old - new), shrink = attn_exp2(delta);
    vf l = vf_load(t->l + row * VF_WIDTH), u = vf_load(t->u + row * VF_WIDTH);
    t->m[row] = new;
    if (entropy) vf_store(t->u + row * VF_WIDTH, vf_mul(shrink, vf_fma(delta, l, u)));
    vf_store(t->l + row * VF_WIDTH, vf_mul(shrink, l));
    float *out = t->out + (size_t)row * (size_t)t->wide;
    for (int c = 0; c < t->wide; c += VF_WIDTH) vf_store(out + c, vf_mul(shrink, vf_load(out + c)));
}

/* One row of logits s[KV_ATTN_TILE] to weights, in place or to p as bf16; l and u with them. */
VF_INLINE void weigh(struct tile *t, int row, int j0, float *s, uint16_t *p, bool entropy, bool bf16)
{
    struct kv_attn_range range = t->range[row];
    int lo = range.lo - j0, hi = range.hi - j0;
    if (lo >= KV_ATTN_TILE || hi <= 0 || lo >= hi) {
        memset(bf16 ? (void *)p : (void *)s, 0, KV_ATTN_TILE * (bf16 ? sizeof *p : sizeof *s));
        return;
    }
    if (lo > 0 || hi < KV_ATTN_TILE)
        for (int v = 0; v < TILE_VECTORS; v++)
            vf_store(s + v * VF_WIDTH, attn_only(vf_load(s + v * VF_WIDTH), lo - v * VF_WIDTH, hi - v * VF_WIDTH));
    vf max = vf_load(s);
#pragma GCC unroll 8
    for (int v = 1; v < TILE_VECTORS; v++) max = vf_max(max, vf_load(s + v * VF_WIDTH));
    if (attn_any_above(max, vf_set1(t->m[row]))) raise(t, row, max, entropy);

    vf m = vf_set1(t->m[row]), l = vf_load(t->l + row * VF_WIDTH), u = vf_load(t->u + row * VF_WIDTH);
    vf e[TILE_VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < TILE_VECTORS; v++) {
        vf x = vf_max(vf_set1(KV_SOFTMAX_FAR), vf_sub(vf_load(s + v * VF_WIDTH), m)); /* 0 * -inf were NaN */
        e[v] = attn_exp2(x);
        l = vf_add(l, e[v]);
        if (entropy) u = vf_fma(e[v], x, u);
        if (!bf16) vf_store(s + v * VF_WIDTH, e[v]);
    }
#if VF_WIDTH == 16
    if (bf16)
#pragma GCC unroll 8
        for (int v = 0; v < TILE_VECTORS; v += 2)
            _mm512_storeu_si512(p + v * VF_WIDTH, (__m512i)_mm512_cvtne2ps_pbh(e[v + 1], e[v]));
#else
    (void)p;
#endif
    vf_store(t->l + row * VF_WIDTH, l);
    if (entropy) vf_store(t->u + row * VF_WIDTH, u);
}

/* out[ROWS][n_vector vectors] += P times n packed values, in f32 or by pairs of bf16. */
VF_INLINE void mix(int n_vector, const struct tile *t, float *out, int c0, int n, bool bf16)
{
    vf sum[ROWS][VECTORS];
    size_t wide = (size_t)t->wide;
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) sum[r][v] = vf_load(out + (size_t)r * wide + c0 + v * VF_WIDTH);
    if (!bf16) {
        const float *values = (const float *)t->values + c0;
        for (int j = 0; j < n; j++) {
            vf x[VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < n_vector; v++) x[v] = vf_load(values + (size_t)j * wide + v * VF_WIDTH);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) {
                vf p = vf_set1(t->s[r * KV_ATTN_TILE + j]);
#pragma GCC unroll 4
                for (int v = 0; v < n_vector; v++) sum[r][v] = vf_fma(p, x[v], sum[r][v]);
            }
        }
    }
#if VF_WIDTH == 16
    if (bf16) {
        const uint16_t *values = (const uint16_t *)t->values + 2 * c0;
        for (int j = 0; j < n; j += 2) {
            __m512bh x[VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < n_vector; v++)
                x[v] = (__m512bh)_mm512_loadu_si512(values + (size_t)j * wide + v * 2 * VF_WIDTH);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) {
                int32_t pair;
                memcpy(&pair, t->p + r * KV_ATTN_TILE + j, sizeof pair);
                __m512bh p = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
                for (int v = 0; v < n_vector; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], p, x[v]);
            }
        }
    }
#endif
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) vf_store(out + (size_t)r * wide + c0 + v * VF_WIDTH, sum[r][v]);
}

VF_INLINE void mix_all(const struct tile *t, float *out, int n, bool bf16)
{
    int c = 0;
    for (; c + VECTORS * VF_WIDTH <= t->wide; c += VECTORS * VF_WIDTH) mix(VECTORS, t, out, c, n, bf16);
    for (; c < t->wide; c += VF_WIDTH) mix(1, t, out, c, n, bf16);
}

/* One block of rows against the packed tile of n slots from j0. */
VF_INLINE void block(struct tile *t, int row, int j0, int n, bool entropy, bool bf16)
{
    int lo = t->range[row].lo, hi = t->range[row].hi;
    for (int r = 1; r < ROWS; r++) {
        struct kv_attn_range range = t->range[row + r];
        if (range.lo >= range.hi) continue;
        if (lo >= hi || range.lo < lo) lo = range.lo;
        if (range.hi > hi) hi = range.hi;
    }
    if (hi <= j0 || lo >= j0 + n || lo >= hi) return;
    if (hi > j0 + n) hi = j0 + n;
    attn_logits(
        (hi - j0 + VF_WIDTH - 1) / VF_WIDTH, t->q + (size_t)row * (size_t)t->d, (size_t)t->d, t->d, t->keys, t->s);
    for (int r = 0; r < ROWS; r++)
        weigh(t, row + r, j0, t->s + r * KV_ATTN_TILE, t->p + r * KV_ATTN_TILE, entropy, bf16);
    mix_all(t, t->out + (size_t)row * (size_t)t->wide, hi - j0, bf16);
}

/* The four kinds of block, each compiled for itself. */
static void blocks(struct tile *t, int j0, int n, bool entropy)
{
    for (int row = 0; row < t->rows; row += ROWS)
        if (t->bf16)
            entropy ? block(t, row, j0, n, true, true) : block(t, row, j0, n, false, true);
        else
            entropy ? block(t, row, j0, n, true, false) : block(t, row, j0, n, false, false);
}

static void close_rows(const struct tile *t, const struct kv_attn_job *job, int group)
{
    const struct kv_attend *a = job->a;
    size_t d = (size_t)t->d;
    for (int r = 0; r < job->rows * group; r++) {
        size_t at = (job->first + (size_t)(job->row + r / group)) * (size_t)a->n_head +
                    (size_t)(job->g * group + r % group);
        float l = vf_sum(vf_load(t->l + r * VF_WIDTH)), u = vf_sum(vf_load(t->u + r * VF_WIDTH));
        struct kv_softmax state = { t->m[r] * LN2, l, u * LN2 };
        float norm = l == 0 ? 0 : 1 / l, *out = a->out + at * d;
        for (size_t c = 0; c < d; c++) out[c] = t->out[(size_t)r * (size_t)t->wide + c] * norm;
        if (a->lse) a->lse[at] = kv_softmax_lse(state);
        if (a->entropy) a->entropy[at] = kv_softmax_entropy(state);
    }
}

void KV_NAME(kv_attn_tile)(const struct kv_attn_job *job, void *scratch)
{
    const struct kv_attend *a = job->a;
    int group = a->n_head / a->n_kv_head, begin = INT32_MAX, end = 0;
    struct tile t = { 0 };
    lay_out(&t, job, group, scratch);
    open_rows(&t, job, group);
    for (int r = 0; r < t.rows; r++) {
        if (t.range[r].lo >= t.range[r].hi) continue;
        if (t.range[r].lo < begin) begin = t.range[r].lo;
        if (t.range[r].hi > end) end = t.range[r].hi;
    }
    for (int j0 = begin / KV_ATTN_TILE * KV_ATTN_TILE; j0 < end; j0 += KV_ATTN_TILE) {
        int n = end - j0 < KV_ATTN_TILE ? end - j0 : KV_ATTN_TILE;
        attn_pack_keys(a->type, job->seq, job->g, j0, n, t.d, t.keys);
        pack_values(a->type, &t, job->seq, job->g, j0, n);
        blocks(&t, j0, n, a->entropy != NULL);
    }
    close_rows(&t, job, group);
}

const struct kv_attn_ops KV_NAME(kv_attn) = {
    .tile = KV_NAME(kv_attn_tile),
    .chunk = KV_NAME(kv_attn_chunk),
    .columns = KV_NAME(kv_attn_columns),
    .convert = KV_NAME(kv_attn_convert),
};
