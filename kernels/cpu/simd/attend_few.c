/* Decode attention: a few query rows against one chunk of slots, reading every key and value once for all
 * query heads of its KV head.
 *
 * Moves 2 d sizeof(type) bytes a slot and KV head. Four keys at a time meet up to four queries in registers, and
 * the sixteen products are summed over lanes together: three instructions a logit instead of eight. The chunk's
 * logits become weights in place; then the values stream past outputs that stay in registers.
 *
 * Measured on 2 x Zen 4, 3.65 GHz, one thread's own processor time, 3 query heads a KV head of 64, 8,192 slots in
 * huge pages, plain reading of the same memory 33 GB/s: f16 22 GB/s (near the 20 to 21 GB/s of slots that lie in L2:
 * bound by arithmetic), f32 28 GB/s. In 4 KiB pages 18 and 22. */
#include "kernels/cpu/simd/attend.h"

#define QUERIES 4                          /* query vectors that share one read of a key from L1 */
#define STRIDE  (KV_ATTN_CHUNK + VF_WIDTH) /* of a row of logits: the last vector may begin anywhere */

struct few {
    const struct kv_attn_job *job;
    int d, wide, count, n_prefix; /* wide: d in whole vectors; count: rows * group query vectors */
    size_t row_bytes;
    float *q; /* [count][wide], scaled, 0 behind d */
    float *s; /* [count][STRIDE] */
};

/* Sums over the lanes of four vectors, first half: within each 128-bit quarter lane i holds a part of x[i]'s. */
VF_INLINE vf fold(const vf x[4])
{
#if VF_WIDTH == 16
    vf a = vf_add(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    vf b = vf_add(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    return vf_add(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
#else
    vf a = vf_add(_mm256_unpacklo_ps(x[0], x[1]), _mm256_unpackhi_ps(x[0], x[1]));
    vf b = vf_add(_mm256_unpacklo_ps(x[2], x[3]), _mm256_unpackhi_ps(x[2], x[3]));
    return vf_add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
#endif
}

/* Second half: VF_WIDTH / 4 folded vectors to one sum a lane, in order. */
VF_INLINE vf join(const vf x[VF_WIDTH / 4])
{
#if VF_WIDTH == 16
    vf a = vf_add(_mm512_shuffle_f32x4(x[0], x[1], 0x88), _mm512_shuffle_f32x4(x[0], x[1], 0xdd));
    vf b = vf_add(_mm512_shuffle_f32x4(x[2], x[3], 0x88), _mm512_shuffle_f32x4(x[2], x[3], 0xdd));
    return vf_add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
#else
    return vf_add(_mm256_permute2f128_ps(x[0], x[1], 0x20), _mm256_permute2f128_ps(x[0], x[1], 0x31));
#endif
}

/* Products of four keys with n_query queries from the q-th, one folded vector a query. */
VF_INLINE void four_keys(
    int type, int d, int n_query, const struct few *f, int q, const char *const key[4], vf folded[])
{
    const float *query = f->q + (size_t)q * (size_t)f->wide;
    vf sum[QUERIES][4];
#pragma GCC unroll 4
    for (int r = 0; r < n_query; r++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) sum[r][i] = vf_zero();
    for (int c = 0; c < d; c += VF_WIDTH) {
        vf k[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) k[i] = attn_load(type, key[i], c, d - c);
#pragma GCC unroll 4
        for (int r = 0; r < n_query; r++) {
            vf x = vf_load(query + r * f->wide + c);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) sum[r][i] = vf_fma(k[i], x, sum[r][i]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_query; r++) folded[r] = fold(sum[r]);
}

/* Logits of n_query queries from the q-th against n <= VF_WIDTH keys that lie behind one another. */
VF_INLINE void logits_of(
    int type, int d, int n_query, const struct few *f, int q, const char *keys, int n, float *s)
{
    vf folded[VF_WIDTH / 4][QUERIES], x[VF_WIDTH / 4];
#pragma GCC unroll 1
    for (int i = 0; i < VF_WIDTH; i += 4) {
        const char *key[4];
        for (int k = 0; k < 4; k++) key[k] = keys + (size_t)(i + k < n ? i + k : n - 1) * f->row_bytes;
        four_keys(type, d, n_query, f, q, key, folded[i / 4]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_query; r++) {
        for (int i = 0; i < VF_WIDTH / 4; i++) x[i] = folded[i][r];
        vf_store(s + (size_t)(q + r) * STRIDE, join(x));
    }
}

/* All queries against the keys of the chunk, run by run of slots that lie behind one another. */
VF_INLINE void logits(int type, int d, const struct few *f, int begin, int end)
{
    const struct kv_attn_job *job = f->job;
    for (int j = begin; j < end;) {
        int stop = j < f->n_prefix && f->n_prefix < end ? f->n_prefix : end, n = stop - j;
        if (n > VF_WIDTH) n = VF_WIDTH;
        const char *key = kv_attn_k(job->seq, job->g, f->n_prefix, j, f->row_bytes);
        for (int q = 0; q < f->count; q += QUERIES) switch (f->count - q) {
            case 1: logits_of(type, d, 1, f, q, key, n, f->s + j - job->j0); break;
            case 2: logits_of(type, d, 2, f, q, key, n, f->s + j - job->j0); break;
            case 3: logits_of(type, d, 3, f, q, key, n, f->s + j - job->j0); break;
            default: logits_of(type, d, 4, f, q, key, n, f->s + j - job->j0);
            }
        j += n;
    }
}

/* Logits s of slots [lo, hi) of the chunk to weights, 0 elsewhere in [begin, end); the state goes to head. */
static void weigh(float *s, int begin, int end, int lo, int hi, float head[3])
{
    vf max = vf_set1(KV_SOFTMAX_EMPTY), l = vf_zero(), u = vf_zero();
    head[0] = KV_SOFTMAX_EMPTY, head[1] = head[2] = 0;
    if (lo < begin) lo = begin;
    if (hi > end) hi = end;
    if (lo >= hi) {
        memset(s + begin, 0, (size_t)(end - begin) * sizeof *s);
        return;
    }
    for (int j = begin; j < end; j += VF_WIDTH) {
        vf x = attn_only(vf_load(s + j), lo - j, hi - j);
        vf_store(s + j, x);
        max = vf_max(x, max);
    }
    float m = vf_max_all(max);
    for (int j = begin; j < end; j += VF_WIDTH) {
        vf x = vf_max(vf_set1(KV_SOFTMAX_FAR), vf_sub(vf_load(s + j), vf_set1(m))), e = vf_exp(x);
        l = vf_add(l, e);
        u = vf_fma(e, x, u);
        vf_store(s + j, e);
    }
    head[0] = m, head[1] = vf_sum(l), head[2] = vf_sum(u);
}

/* out[n_query][n_vector vectors] = weights times values of slots [begin, end) of the chunk. */
VF_INLINE void mix_of(
    int type, int n_query, int n_vector, const struct few *f, int q, int c, int begin, int end, float *out)
{
    const struct kv_attn_job *job = f->job;
    vf sum[QUERIES][4];
#pragma GCC unroll 4
    for (int r = 0; r < n_query; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) sum[r][v] = vf_zero();
    for (int j = begin; j < end;) {
        int stop = j < f->n_prefix && f->n_prefix < end ? f->n_prefix : end;
        const char *value = kv_attn_v(job->seq, job->g, f->n_prefix, j, f->row_bytes);
        const float *s = f->s + (size_t)q * STRIDE - job->j0;
        for (; j < stop; j++, value += f->row_bytes) {
            vf x[4];
#pragma GCC unroll 4
            for (int v = 0; v < n_vector; v++)
                x[v] = attn_load(type, value, c + v * VF_WIDTH, n_vector == 1 ? f->d - c : VF_WIDTH);
#pragma GCC unroll 4
            for (int r = 0; r < n_query; r++) {
                vf p = vf_set1(s[(size_t)r * STRIDE + j]);
#pragma GCC unroll 4
                for (int v = 0; v < n_vector; v++) sum[r][v] = vf_fma(p, x[v], sum[r][v]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_query; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++)
            if (n_vector == 1 && c + VF_WIDTH > f->d)
                vf_store_part(out + (size_t)(q + r) * (size_t)f->d + c, sum[r][v], (size_t)(f->d - c));
            else
                vf_store(out + (size_t)(q + r) * (size_t)f->d + c + v * VF_WIDTH, sum[r][v]);
}

VF_INLINE void mix(int type, int n_query, const struct few *f, int q, int begin, int end, float *out)
{
    int c = 0, full = VF_WIDTH * (VF_REGISTERS == 32 ? 4 : 2);
    for (; c + full <= f->d; c += full) mix_of(type, n_query, full / VF_WIDTH, f, q, c, begin, end, out);
    for (; c < f->d; c += VF_WIDTH) mix_of(type, n_query, 1, f, q, c, begin, end, out);
}

VF_INLINE void chunk_of(int type, const struct few *f, const struct kv_attn_range *range, int begin, int end)
{
    const struct kv_attn_job *job = f->job;
    int group = f->count / job->rows, j0 = job->j0;
    float *out = job->part + 3 * (size_t)f->count;
    if (f->d == 64)
        logits(type, 64, f, begin, end);
    else if (f->d == 128)
        logits(type, 128, f, begin, end);
    else
        logits(type, f->d, f, begin, end);
    for (int r = 0; r < f->count; r++)
        weigh(f->s + (size_t)r * STRIDE, begin - j0, end - j0, range[r / group].lo - j0, range[r / group].hi - j0,
            job->part + 3 * r);
    for (int q = 0; q < f->count; q += QUERIES) switch (f->count - q) {
        case 1: mix(type, 1, f, q, begin, end, out); break;
        case 2: mix(type, 2, f, q, begin, end, out); break;
        case 3: mix(type, 3, f, q, begin, end, out); break;
        default: mix(type, 4, f, q, begin, end, out);
        }
}

void KV_NAME(kv_attn_chunk)(const struct kv_attn_job *job, void *scratch)
{
    const struct kv_attend *a = job->a;
    struct kv_attn_range range[KV_ATTN_FEW];
    int group = a->n_head / a->n_kv_head, d = a->head_dim, begin = job->j1, end = job->j0;
    struct few f = { .job = job,
        .d = d,
        .wide = (d + VF_WIDTH - 1) & -VF_WIDTH,
        .count = job->rows * group,
        .row_bytes = kv_attn_row_bytes(a->type, d),
        .n_prefix = kv_attn_span_len(&job->seq->prefix, job->g) };
    f.s = scratch;
    f.q = f.s + (size_t)f.count * STRIDE;

    kv_attn_ranges(job->seq, job->g, a->window, 0, job->rows, range);
    for (int i = 0; i < job->rows; i++) {
        int lo = range[i].lo > job->j0 ? range[i].lo : job->j0, hi = range[i].hi < job->j1 ? range[i].hi : job->j1;
        if (lo >= hi) continue;
        if (lo < begin) begin = lo;
        if (hi > end) end = hi;
    }
    if (begin >= end) {
        memset(job->part, 0, 3 * (size_t)f.count * sizeof(float)); /* l = 0: nothing to join */
        return;
    }
    for (int r = 0; r < f.count; r++) {
        const float *q =
            a->q + ((job->first + (size_t)(r / group)) * (size_t)a->n_head + (size_t)(job->g * group + r % group)) *
                       (size_t)d;
        for (int c = 0; c < f.wide; c++) f.q[r * f.wide + c] = c < d ? q[c] * a->scale : 0;
    }
    switch (a->type) {
    case KV_TYPE_F16: chunk_of(KV_TYPE_F16, &f, range, begin, end); break;
    case KV_TYPE_BF16: chunk_of(KV_TYPE_BF16, &f, range, begin, end); break;
    default: chunk_of(KV_TYPE_F32, &f, range, begin, end);
    }
}
