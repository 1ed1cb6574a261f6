/* The scales of a block of 256 weights, all 16 groups at once: group g is  d * s[g] * q  +  m * t[g]  with small whole
 * numbers s and t and q as its bits say, nothing subtracted. Four types' worth of bit fields, in words of 4 or 8. */
#ifndef KV_SIMD_STEPS_H
#define KV_SIMD_STEPS_H

#include "kernels/blocks.h"
#include "kernels/cpu/simd/simd.h"

struct kv_steps {
    __m128i s, t; /* 16 signed bytes each */
    float d, m;
};

/* Bytes 0 0 1 1 .. 7 7: types whose scales serve 32 weights have 8 of them. */
VF_INLINE __m128i kv_each_twice(uint64_t bytes)
{
    __m128i v = _mm_cvtsi64_si128((long long)bytes);
    return _mm_unpacklo_epi8(v, v);
}

/* The 6-bit fields of Q4_K and Q5_K. */
VF_INLINE void kv_k_steps(const uint8_t *b, struct kv_steps *out)
{
    uint32_t a = kv_u32(b + 4), c = kv_u32(b + 8), e = kv_u32(b + 12);
    uint32_t s = (e & 0x0f0f0f0f) | (a >> 2 & 0x30303030), t = (e >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030);
    out->s = kv_each_twice((a & 0x3f3f3f3f) | (uint64_t)s << 32);
    out->t = kv_each_twice((c & 0x3f3f3f3f) | (uint64_t)t << 32);
    out->d = kv_half(b);
    out->m = -kv_half(b + 2);
}

/* The 6-bit fields of Q3_K. */
VF_INLINE __m128i kv_q3_steps(const uint8_t *s)
{
    const uint32_t two = 0x30303030;
    uint32_t a = kv_u32(s), c = kv_u32(s + 4), top = kv_u32(s + 8);
    __m128i low = _mm_and_si128(_mm_setr_epi32((int)a, (int)c, (int)(a >> 4), (int)(c >> 4)), _mm_set1_epi8(15));
    __m128i high =
        _mm_setr_epi32((int)(top << 4 & two), (int)(top << 2 & two), (int)(top & two), (int)(top >> 2 & two));
    return _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
}

/* Of one block; type is a constant. */
VF_INLINE struct kv_steps kv_steps_read(int type, const uint8_t *b)
{
    struct kv_steps out = { 0 };
    __m128i v;
    switch (type) {
    case KV_TYPE_Q2_K:
        v = _mm_loadu_si128((const void *)b);
        out.s = _mm_and_si128(v, _mm_set1_epi8(15));
        out.t = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
        out.d = kv_half(b + 80), out.m = -kv_half(b + 82);
        break;
    case KV_TYPE_Q3_K:
        out.s = out.t = kv_q3_steps(b + 96);
        out.d = kv_half(b + 108), out.m = -4 * out.d;
        break;
    case KV_TYPE_Q6_K:
        out.s = out.t = _mm_loadu_si128((const void *)(b + 192));
        out.d = kv_half(b + 208), out.m = -32 * out.d;
        break;
    case KV_TYPE_IQ4_XS:
        out.s = _mm_sub_epi8(kv_each_twice(_pdep_u64(kv_u32(b + 4), 0x0f0f0f0f0f0f0f0f) |
                                           _pdep_u64(kv_u16(b + 2), 0x3030303030303030)),
            _mm_set1_epi8(32));
        out.d = kv_half(b);
        break;
    default: kv_k_steps(b, &out); break;
    }
    return out;
}

#endif
