/* The block formats of GGUF files, decoded: shared by gcc and nvcc.
 *
 * Every quantized type is read through one shape, a group: 16 consecutive weights are scale * q[i] + offset with
 * small whole numbers q. A type without an offset (has_offset false) is scale * q[i] alone, so that the sign of
 * a zero is kept. Both operations are rounded to f32 one after the other (no fused multiply-add), which is what
 * the gguf Python package computes; tests/unit/linear.c holds every type to it bit for bit.
 *
 * Bytes of a block, little-endian, d and m being f16 (format: ggml's block_* structs):
 *   Q4_0  d | 16 x (weight i low nibble, weight i+16 high)                     d (q - 8)
 *   Q4_1  d m | nibbles as above                                               d q + m
 *   Q5_0  d | 32 fifth bits | nibbles                                          d (q - 16)
 *   Q5_1  d m | 32 fifth bits | nibbles                                        d q + m
 *   Q8_0  d | 32 x int8                                                        d q
 *   Q4_K  d m | 8 x (6-bit s, 6-bit t) in 12 | 4 x 32 nibble pairs             d s q - m t
 *   Q5_K  d m | the same 12 | 32 x 8 fifth bits | 4 x 32 nibble pairs          d s q - m t
 *   Q6_K  2 x 64 low nibbles | 2 x 32 x 4 top bit pairs | 16 x int8 s | d      d s (q - 32) */
#ifndef KV_BLOCKS_H
#define KV_BLOCKS_H

#include "kernels/types.h"

#include <stdbool.h>
#include <string.h>

#if defined(__F16C__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

#ifdef __CUDACC__
#define KV_BLOCK_INLINE static __host__ __device__ __forceinline__
#else
#define KV_BLOCK_INLINE static inline __attribute__((always_inline, unused))
#endif

#define KV_GROUP 16 /* weights */

struct kv_group {
    float scale, offset;
    bool has_offset;
    int8_t q[KV_GROUP];
};

KV_BLOCK_INLINE float kv_bits_f32(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

KV_BLOCK_INLINE float kv_f16_to_f32(uint16_t h)
{
#if defined(__F16C__) && !defined(__CUDACC__)
    return _cvtsh_ss(h);
#else
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return kv_bits_f32(sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00) << 22);
    if (rest < 0x400) { /* denormal: rest * 2^-24, exact in f32 */
        float x = (float)rest * kv_bits_f32(0x33800000);
        return sign ? -x : x;
    }
    return kv_bits_f32(sign | ((rest << 13) + 0x38000000));
#endif
}

KV_BLOCK_INLINE float kv_bf16_to_f32(uint16_t h) { return kv_bits_f32((uint32_t)h << 16); }

KV_BLOCK_INLINE uint16_t kv_u16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

KV_BLOCK_INLINE float kv_half(const uint8_t *p) { return kv_f16_to_f32(kv_u16(p)); }

KV_BLOCK_INLINE uint32_t kv_u32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Scale and minimum number k (0..7) of Q4_K and Q5_K. */
KV_BLOCK_INLINE int kv_k_scale(const uint8_t *s, int k)
{
    return k < 4 ? s[k] & 63 : (s[k + 4] & 15) | (s[k - 4] >> 6) << 4;
}

KV_BLOCK_INLINE int kv_k_min(const uint8_t *s, int k)
{
    return k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | (s[k] >> 6) << 4;
}

KV_BLOCK_INLINE void kv_nibbles(struct kv_group *out, const uint8_t *p, int shift, int minus)
{
    for (int i = 0; i < KV_GROUP; i++) out->q[i] = (int8_t)((p[i] >> shift & 15) - minus);
}

/* Adds 16 where bit `bit` of p[i] is set. */
KV_BLOCK_INLINE void kv_fifth_bits(struct kv_group *out, const uint8_t *p, int bit)
{
    for (int i = 0; i < KV_GROUP; i++) out->q[i] = (int8_t)(out->q[i] + ((p[i] >> bit & 1) << 4));
}

/* Group g of one block of a quantized type; g in [0, elements / 16). */
KV_BLOCK_INLINE void kv_group_read(int type, const uint8_t *b, int g, struct kv_group *out)
{
    out->offset = 0;
    out->has_offset = false;
    switch (type) {
    case KV_TYPE_Q4_0:
        out->scale = kv_half(b);
        kv_nibbles(out, b + 2, 4 * g, 8);
        break;
    case KV_TYPE_Q4_1:
        out->scale = kv_half(b);
        out->offset = kv_half(b + 2);
        out->has_offset = true;
        kv_nibbles(out, b + 4, 4 * g, 0);
        break;
    case KV_TYPE_Q5_0:
    case KV_TYPE_Q5_1: {
        bool m = type == KV_TYPE_Q5_1;
        const uint8_t *rest = b + (m ? 4 : 2);
        uint32_t top = kv_u32(rest) >> 16 * g;
        out->scale = kv_half(b);
        out->offset = m ? kv_half(b + 2) : 0;
        out->has_offset = m;
        kv_nibbles(out, rest + 4, 4 * g, m ? 0 : 16);
        for (int i = 0; i < KV_GROUP; i++) out->q[i] = (int8_t)(out->q[i] + ((int)(top >> i & 1) << 4));
        break;
    }
    case KV_TYPE_Q8_0:
        out->scale = kv_half(b);
        memcpy(out->q, b + 2 + KV_GROUP * g, KV_GROUP);
        break;
    case KV_TYPE_Q4_K:
    case KV_TYPE_Q5_K: {
        const uint8_t *s = b + 4;
        bool five = type == KV_TYPE_Q5_K;
        int k = g / 2, column = g % 2 * KV_GROUP;
        out->scale = kv_half(b) * (float)kv_k_scale(s, k);
        out->offset = -(kv_half(b + 2) * (float)kv_k_min(s, k));
        out->has_offset = true;
        kv_nibbles(out, s + (five ? 44 : 12) + k / 2 * 32 + column, k % 2 * 4, 0);
        if (five) kv_fifth_bits(out, s + 12 + column, k);
        break;
    }
    case KV_TYPE_Q6_K: {
        const uint8_t *low = b + g / 8 * 64 + g % 4 * KV_GROUP, *top = b + 128 + g / 8 * 32 + g % 2 * KV_GROUP;
        int quarter = g % 8 / 2;
        out->scale = kv_half(b + 208) * (float)(int8_t)b[192 + g];
        kv_nibbles(out, low, quarter / 2 * 4, 32);
        for (int i = 0; i < KV_GROUP; i++) out->q[i] = (int8_t)(out->q[i] + ((top[i] >> 2 * quarter & 3) << 4));
        break;
    }
    default:
        out->scale = 0;
        memset(out->q, 0, sizeof out->q);
        break;
    }
}

KV_BLOCK_INLINE float kv_group_value(const struct kv_group *g, int i)
{
    float x = g->scale * (float)g->q[i];
    return g->has_offset ? x + g->offset : x;
}

#endif
