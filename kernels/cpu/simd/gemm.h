/* What the GEMMs of AVX-512 share: a panel of KV_PACK_OUTPUTS outputs, two registers of 16 lanes wide. */
#ifndef KV_SIMD_GEMM_H
#define KV_SIMD_GEMM_H

#include "kernels/cpu/simd/ops.h"

/* Rows of registers to columns; a 4 x 4 transpose within the 128-bit lanes, then one of the lanes. */
VF_INLINE void gemm_transpose(__m512i v[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i ab = _mm512_unpacklo_epi32(v[i], v[i + 1]), AB = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i cd = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), CD = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(ab, cd);
        t[i + 1] = _mm512_unpackhi_epi64(ab, cd);
        t[i + 2] = _mm512_unpacklo_epi64(AB, CD);
        t[i + 3] = _mm512_unpackhi_epi64(AB, CD);
    }
    for (int i = 0; i < 4; i++) {
        __m512i low = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), Low = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
        __m512i top = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
        __m512i Top = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        v[i] = _mm512_shuffle_i32x4(low, top, 0x88);
        v[i + 4] = _mm512_shuffle_i32x4(Low, Top, 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(low, top, 0xdd);
        v[i + 12] = _mm512_shuffle_i32x4(Low, Top, 0xdd);
    }
}

/* What a tile writes to, and what it starts from. */
struct gemm_target {
    float *y;          /* its first row */
    size_t stride;     /* between rows, f32 */
    const float *bias; /* of the tile's outputs, or NULL */
    bool add;          /* to what is in y */
    int outputs;       /* 1..KV_PACK_OUTPUTS */
};

VF_INLINE void gemm_finish(const struct gemm_target *t, int i, int half, __m512 sum)
{
    int left = t->outputs - half * VF_WIDTH;
    if (left <= 0) return;
    __mmask16 mask = left >= VF_WIDTH ? 0xffff : vf_first((size_t)left);
    float *y = t->y + (size_t)i * t->stride + half * VF_WIDTH;
    if (t->bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, t->bias + half * VF_WIDTH));
    if (t->add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), sum);
    _mm512_mask_storeu_ps(y, mask, sum);
}

#endif
