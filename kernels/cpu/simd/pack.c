/* What the bf16 GEMM is fed: x rounded to bf16, and weights dequantised, rounded and packed.
 *
 * packed is [ceil(cols/32)][16][64][2] bf16: for 32 columns, 16 pairs of them, each pair of 64 outputs side by
 * side, so that one vdpbf16ps takes 16 outputs at once. That is the layout which oneDNN calls BA16a64b2a.
 * Sixteen rows of 32 columns are dequantised into 16 registers of 16 pairs, and the 16 x 16 pairs transposed.
 * Zero where rows or cols end early. Denormals of bf16 become 0. */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512BF16__

#include "kernels/blocks.h"

#define COLUMNS 32
#define PAIRS   16

void KV_NAME(kv_to_bf16)(const float *x, size_t n, uint16_t *y)
{
    size_t i = 0;
    for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store_bf16(y + i, vf_load(x + i));
    if (i < n) vf_store_bf16_part(y + i, vf_load_part(x + i, n - i), n - i);
}

/* Rows of registers to columns; a 4 x 4 transpose within the 128-bit lanes, then one of the lanes. */
VF_INLINE void transpose(__m512i v[PAIRS])
{
    __m512i t[PAIRS];
    for (int i = 0; i < PAIRS; i += 4) {
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

/* 32 bf16 from two vectors of f32, in order. */
VF_INLINE __m512i narrow(vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

VF_INLINE __m512i nibble_columns(const uint8_t *b, vf d, vf m, bool min)
{
    __m128i both = _mm_loadu_si128((const void *)b);
    __m512i wide = _mm512_cvtepu8_epi32(both);
    vf low = _mm512_cvtepi32_ps(_mm512_and_si512(wide, _mm512_set1_epi32(15)));
    vf high = _mm512_cvtepi32_ps(_mm512_srli_epi32(wide, 4));
    if (min) return narrow(vf_add(vf_mul(low, d), m), vf_add(vf_mul(high, d), m));
    const vf eight = vf_set1(8);
    return narrow(vf_mul(vf_sub(low, eight), d), vf_mul(vf_sub(high, eight), d));
}

/* Columns [c, c + 32) of one row that starts at w, as bf16; type is a constant. */
VF_INLINE __m512i row_columns(int type, size_t elements, size_t block, const uint8_t *w, size_t c, size_t cols)
{
    size_t left = cols - c;
    const uint8_t *b = w + c / elements * block;
    switch (type) {
    case KV_TYPE_Q4_0: return nibble_columns(b + 2, vf_set1(kv_half(b)), vf_zero(), false);
    case KV_TYPE_Q4_1: return nibble_columns(b + 4, vf_set1(kv_half(b)), vf_set1(kv_half(b + 2)), true);
    case KV_TYPE_Q8_0: {
        vf d = vf_set1(kv_half(b));
        vf low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(b + 2))));
        vf high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(b + 18))));
        return narrow(vf_mul(low, d), vf_mul(high, d));
    }
    case KV_TYPE_BF16:
        if (left >= COLUMNS) return _mm512_loadu_si512(b);
        return _mm512_maskz_loadu_epi16((__mmask32)((1u << left) - 1), b);
    default: {
        float values[COLUMNS] = { 0 };
        if (type == KV_TYPE_F32 || type == KV_TYPE_F16) {
            KV_NAME(kv_dequantize)(type, b, left < COLUMNS ? left : COLUMNS, values);
        } else {
            struct kv_group g;
            for (int k = 0; k < 2; k++) {
                kv_group_read(type, b, (int)(c % elements / KV_GROUP) + k, &g);
                for (int i = 0; i < KV_GROUP; i++) values[KV_GROUP * k + i] = kv_group_value(&g, i);
            }
        }
        return narrow(vf_load(values), vf_load(values + VF_WIDTH));
    }
    }
}

VF_INLINE void pack(
    int type, size_t elements, size_t block, const struct kv_matrix *w, int row, int rows, uint16_t *packed)
{
    size_t cols = (size_t)w->cols, bytes = cols / elements * block;
    const uint8_t *data = (const uint8_t *)w->data + (size_t)row * bytes;
    for (int first = 0; first < KV_PACK_ROWS; first += PAIRS) {
        int here = rows - first < PAIRS ? (rows > first ? rows - first : 0) : PAIRS;
        uint16_t *out = packed + 2 * first;
        for (size_t c = 0; c < cols; c += COLUMNS, out += COLUMNS * KV_PACK_ROWS) {
            __m512i v[PAIRS];
            for (int r = 0; r < PAIRS; r++)
                v[r] = r < here ? row_columns(type, elements, block, data + (size_t)(first + r) * bytes, c, cols)
                                : _mm512_setzero_si512();
            transpose(v);
            for (int p = 0; p < PAIRS; p++) _mm512_storeu_si512(out + (size_t)p * 2 * KV_PACK_ROWS, v[p]);
        }
    }
}

void KV_NAME(kv_pack)(const struct kv_matrix *w, int row, int rows, uint16_t *packed)
{
    switch (w->type) {
#define X(name, number, elements, bytes)                                                                           \
    case number: pack(number, elements, bytes, w, row, rows, packed); break;
        KV_TYPE_LIST(X)
#undef X
    default: break;
    }
}

#endif
