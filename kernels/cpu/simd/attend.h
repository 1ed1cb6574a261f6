/* What the vector kernels of attention share: 2^x, lane masks, tiles of keys packed for reading, and the
 * logits of six rows against one tile.
 *
 * Logits are kept in base 2: q is multiplied by scale * log2(e) when it is packed, so that e^(s - m) costs one
 * 2^x without a further multiplication. */
#ifndef KV_SIMD_ATTEND_H
#define KV_SIMD_ATTEND_H

#include "kernels/cpu/attention.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/softmax.h"

#define LOG2E 1.44269504f
#define LN2   0.693147181f

#define ROWS         6                            /* rows of a block: with VECTORS, what the registers hold */
#define VECTORS      (VF_REGISTERS == 32 ? 4 : 2) /* key vectors of a block */
#define TILE_VECTORS (KV_ATTN_TILE / VF_WIDTH)

/* The functions of struct kv_attn_ops, one file each. */
void KV_NAME(kv_attn_tile)(const struct kv_attn_job *job, void *scratch);
void KV_NAME(kv_attn_chunk)(const struct kv_attn_job *job, void *scratch);
void KV_NAME(kv_attn_columns)(const struct kv_attn_job *job, void *scratch);
void KV_NAME(kv_attn_convert)(int type, const float *from, size_t n, void *to);

/* 2^x for x <= 128 to 1.6e-7 relative; 2^0 is 1 exactly, below -150 it is 0, NaN stays. */
VF_INLINE vf attn_exp2(vf x)
{
#if VF_WIDTH == 8
    x = vf_max(vf_set1(-252), x);
#endif
    vf n = vf_round(x), r = vf_sub(x, n);
    vf p = vf_fma(r, vf_set1(0x1.5bba14p-10f), vf_set1(0x1.3cea88p-7f));
    p = vf_fma(p, r, vf_set1(0x1.c6b752p-5f));
    p = vf_fma(p, r, vf_set1(0x1.ebf9bcp-3f));
    p = vf_fma(p, r, vf_set1(0x1.62e42ap-1f));
    p = vf_fma(p, r, vf_set1(1));
    return vf_scale2(p, n);
}

/* Whether any lane of a is above b, or either is NaN. */
VF_INLINE bool attn_any_above(vf a, vf b)
{
#if VF_WIDTH == 16
    return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ);
#else
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ));
#endif
}

VF_INLINE int attn_clamp(int x) { return x < 0 ? 0 : x > VF_WIDTH ? VF_WIDTH : x; }

/* x in lanes [lo, hi), the empty logit elsewhere; lo and hi may lie outside the vector. */
VF_INLINE vf attn_only(vf x, int lo, int hi)
{
#if VF_WIDTH == 16
    unsigned mask = ((1u << attn_clamp(hi)) - 1) & ~((1u << attn_clamp(lo)) - 1);
    return _mm512_mask_blend_ps((__mmask16)mask, vf_set1(KV_SOFTMAX_EMPTY), x);
#else
    __m256 in = _mm256_castsi256_ps(
        _mm256_andnot_si256(vf_first((size_t)attn_clamp(lo)), vf_first((size_t)attn_clamp(hi))));
    return _mm256_blendv_ps(vf_set1(KV_SOFTMAX_EMPTY), x, in);
#endif
}

/* Elements c.. of one row of keys or values; n of them, the rest 0. */
VF_INLINE vf attn_load(int type, const void *row, int c, int n)
{
    const uint16_t *half = (const uint16_t *)row + c;
    const float *full = (const float *)row + c;
    if (n >= VF_WIDTH)
        return type == KV_TYPE_F16 ? vf_load_f16(half) : type == KV_TYPE_BF16 ? vf_load_bf16(half) : vf_load(full);
    return type == KV_TYPE_F16    ? vf_load_f16_part(half, (size_t)n)
           : type == KV_TYPE_BF16 ? vf_load_bf16_part(half, (size_t)n)
                                  : vf_load_part(full, (size_t)n);
}

/* x[VF_WIDTH] as rows of a square, turned: x[i] lane j <-> x[j] lane i. */
VF_INLINE void attn_transpose(vf x[VF_WIDTH])
{
    vf y[VF_WIDTH];
#if VF_WIDTH == 16
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
        for (int k = 0; k < 2; k++) {
            __m512d a = _mm512_castps_pd(y[i + k]), b = _mm512_castps_pd(y[i + 2 + k]);
            x[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            x[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
#pragma GCC unroll 16
    for (int k = 0; k < 4; k++) {
        y[k] = _mm512_shuffle_f32x4(x[k], x[4 + k], 0x88);
        y[4 + k] = _mm512_shuffle_f32x4(x[k], x[4 + k], 0xdd);
        y[8 + k] = _mm512_shuffle_f32x4(x[8 + k], x[12 + k], 0x88);
        y[12 + k] = _mm512_shuffle_f32x4(x[8 + k], x[12 + k], 0xdd);
    }
#pragma GCC unroll 16
    for (int k = 0; k < 4; k++) {
        x[k] = _mm512_shuffle_f32x4(y[k], y[8 + k], 0x88);
        x[4 + k] = _mm512_shuffle_f32x4(y[4 + k], y[12 + k], 0x88);
        x[8 + k] = _mm512_shuffle_f32x4(y[k], y[8 + k], 0xdd);
        x[12 + k] = _mm512_shuffle_f32x4(y[4 + k], y[12 + k], 0xdd);
    }
#else
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; k++) {
            x[i + 2 * k] = _mm256_shuffle_ps(y[i + k], y[i + 2 + k], 0x44);
            x[i + 2 * k + 1] = _mm256_shuffle_ps(y[i + k], y[i + 2 + k], 0xee);
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < 4; k++) {
        y[k] = _mm256_permute2f128_ps(x[k], x[4 + k], 0x20);
        y[4 + k] = _mm256_permute2f128_ps(x[k], x[4 + k], 0x31);
    }
    memcpy(x, y, sizeof y);
#endif
}

/* Keys [j0, j0 + n) of a KV head as to[d][KV_ATTN_TILE] f32, slots past n as 0. */
VF_INLINE void attn_pack_keys_of(int type, const struct kv_seq *seq, int g, int j0, int n, int d, float *to)
{
    int n_prefix = kv_attn_span_len(&seq->prefix, g);
    size_t row_bytes = kv_attn_row_bytes(type, d);
    for (int j = 0; j < KV_ATTN_TILE; j += VF_WIDTH) {
        const void *row[VF_WIDTH];
        for (int i = 0; i < VF_WIDTH; i++)
            row[i] = j + i < n ? kv_attn_k(seq, g, n_prefix, j0 + j + i, row_bytes) : NULL;
        for (int c = 0; c < d; c += VF_WIDTH) {
            vf x[VF_WIDTH];
#pragma GCC unroll 16
            for (int i = 0; i < VF_WIDTH; i++) x[i] = row[i] ? attn_load(type, row[i], c, d - c) : vf_zero();
            attn_transpose(x);
            for (int i = 0; i < VF_WIDTH && c + i < d; i++) vf_store(to + (size_t)(c + i) * KV_ATTN_TILE + j, x[i]);
        }
    }
}

static inline void attn_pack_keys(int type, const struct kv_seq *seq, int g, int j0, int n, int d, float *to)
{
    switch (type) {
    case KV_TYPE_F16: attn_pack_keys_of(KV_TYPE_F16, seq, g, j0, n, d, to); break;
    case KV_TYPE_BF16: attn_pack_keys_of(KV_TYPE_BF16, seq, g, j0, n, d, to); break;
    default: attn_pack_keys_of(KV_TYPE_F32, seq, g, j0, n, d, to);
    }
}

/* s[ROWS][KV_ATTN_TILE] = q[ROWS][d] (rows `stride` apart) times the packed keys, for the first n_vector
 * vectors of keys at least. */
VF_INLINE void attn_logits_of(int n_vector, const float *q, size_t stride, int d, const float *keys, float *s)
{
    vf sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) sum[r][v] = vf_zero();
    for (int c = 0; c < d; c++) {
        vf k[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) k[v] = vf_load(keys + (size_t)c * KV_ATTN_TILE + v * VF_WIDTH);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            vf x = vf_set1(q[(size_t)r * stride + (size_t)c]);
#pragma GCC unroll 4
            for (int v = 0; v < n_vector; v++) sum[r][v] = vf_fma(x, k[v], sum[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vector; v++) vf_store(s + r * KV_ATTN_TILE + v * VF_WIDTH, sum[r][v]);
}

static inline void attn_logits(int n_vector, const float *q, size_t stride, int d, const float *keys, float *s)
{
    for (; n_vector >= VECTORS; n_vector -= VECTORS, keys += VECTORS * VF_WIDTH, s += VECTORS * VF_WIDTH)
        attn_logits_of(VECTORS, q, stride, d, keys, s);
    if (n_vector == 1) attn_logits_of(1, q, stride, d, keys, s);
#if VF_REGISTERS == 32
    if (n_vector == 2) attn_logits_of(2, q, stride, d, keys, s);
    if (n_vector == 3) attn_logits_of(3, q, stride, d, keys, s);
#endif
}

#endif
