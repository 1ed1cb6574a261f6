/* Groups of 16 quantized weights (blocks.h) in vectors, for every type; the same bits as kv_group_value. */
#ifndef KV_SIMD_GROUPS_H
#define KV_SIMD_GROUPS_H

#include "kernels/blocks.h"
#include "kernels/cpu/simd/simd.h"

VF_INLINE __m128i kv_load16(const uint8_t *p) { return _mm_loadu_si128((const void *)p); }

/* Bits [shift, shift + width of mask) of each byte. */
VF_INLINE __m128i kv_byte_field(__m128i x, int shift, int mask)
{
    return _mm_and_si128(_mm_srl_epi16(x, _mm_cvtsi32_si128(shift)), _mm_set1_epi8((char)mask));
}

/* The whole numbers of group g of a block, `minus` not yet taken away; type is a constant. */
VF_INLINE __m128i kv_group_raw(int type, const uint8_t *b, int g)
{
    struct kv_group_bits at = kv_group_locate(type, b, g);
    if (at.low_mask == 255) return kv_load16(at.low);
    __m128i q = kv_byte_field(kv_load16(at.low), at.shift, at.low_mask);
    if (at.coded) return _mm_shuffle_epi8(_mm_set_epi64x((long long)KV_IQ4_HIGH, (long long)KV_IQ4_LOW), q);
    if (at.scattered) {
        const __m128i spread = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        const __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201ull);
        __m128i bits = _mm_shuffle_epi8(_mm_set1_epi16((short)kv_u16(at.top)), spread);
        __m128i set = _mm_cmpeq_epi8(_mm_and_si128(bits, bit), bit);
        q = _mm_or_si128(q, _mm_and_si128(set, _mm_set1_epi8((char)(1 << at.top_at))));
    } else if (at.top) {
        __m128i top = kv_byte_field(kv_load16(at.top), at.top_shift, at.top_mask);
        q = _mm_or_si128(q, _mm_sll_epi16(top, _mm_cvtsi32_si128(at.top_at)));
    }
    return q;
}

VF_INLINE __m128i kv_group_bytes(int type, const uint8_t *b, int g)
{
    __m128i q = kv_group_raw(type, b, g);
    int minus = kv_group_locate(type, b, g).minus;
    return minus ? _mm_sub_epi8(q, _mm_set1_epi8((char)minus)) : q;
}

#define KV_GROUP_VECTORS (KV_GROUP / VF_WIDTH)

VF_INLINE void kv_group_floats(int type, const uint8_t *b, int g, vf out[KV_GROUP_VECTORS])
{
    struct kv_group scale;
    __m128i q = kv_group_bytes(type, b, g);
    kv_group_scale(type, b, g, &scale);
#ifdef __AVX512F__
    out[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
#else
    out[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
    out[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q)));
#endif
    for (int i = 0; i < KV_GROUP_VECTORS; i++) {
        out[i] = vf_mul(vf_set1(scale.scale), out[i]);
        if (scale.has_offset) out[i] = vf_add(out[i], vf_set1(scale.offset));
    }
}

#endif
