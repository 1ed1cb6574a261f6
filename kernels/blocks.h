/* The block formats of GGUF files, decoded: shared by gcc and nvcc.
 *
 * Every quantized type is read through one shape, a group: 16 consecutive weights are scale * q[i] + offset with
 * small whole numbers q. A type without an offset (has_offset false) is scale * q[i] alone, so that the sign of
 * a zero is kept. Both operations are rounded to f32 one after the other (no fused multiply-add), which is what
 * the gguf Python package computes; tests/unit/linear.c holds every type to it bit for bit. Scales are taken as they
 * are: an infinite or NaN one makes infinities and NaN (a NaN's sign and payload are not kept to).
 *
 * Bytes of a block, little-endian, d and m being f16 (format: ggml's block_* structs):
 *   Q4_0  d | 16 x (weight i low nibble, weight i+16 high)                     d (q - 8)
 *   Q4_1  d m | nibbles as above                                               d q + m
 *   Q5_0  d | 32 fifth bits | nibbles                                          d (q - 16)
 *   Q5_1  d m | 32 fifth bits | nibbles                                        d q + m
 *   Q8_0  d | 32 x int8                                                        d q
 *   Q2_K  16 x (4-bit s, 4-bit t) | 2 x 32 quadruples of 2 bits | d m           d s q - m t
 *   Q3_K  32 x 8 third bits | 2 x 32 quadruples of 2 bits | 16 x 6-bit s in 12 | d    d (s - 32) (q - 4)
 *   Q4_K  d m | 8 x (6-bit s, 6-bit t) in 12 | 4 x 32 nibble pairs             d s q - m t
 *   Q5_K  d m | the same 12 | 32 x 8 fifth bits | 4 x 32 nibble pairs          d s q - m t
 *   Q6_K  2 x 64 low nibbles | 2 x 32 x 4 top bit pairs | 16 x int8 s | d      d s (q - 32)
 *   IQ4_NL  d | nibbles as in Q4_0                                             d code[q]
 *   IQ4_XS  d | 8 x (top 2 bits of s) | 8 x (low 4 bits of s) | 8 x 16 nibbles as above     d (s - 32) code[q] */
#ifndef KV_BLOCKS_H
#define KV_BLOCKS_H

#include "kernels/types.h"

#include <stdbool.h>
#include <string.h>

#if defined(__F16C__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif
#ifdef __CUDACC__
#include <cuda_fp16.h>
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

/* Rounded on its own, whatever the compiler may fuse. */
KV_BLOCK_INLINE float kv_block_product(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

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
#elif defined(__CUDA_ARCH__)
    return __half2float(__ushort_as_half(h));
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

/* At an even address, as all 16-bit fields of blocks are. */
KV_BLOCK_INLINE uint16_t kv_u16(const uint8_t *p)
{
#ifdef __CUDA_ARCH__
    return *(const uint16_t *)p;
#else
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
#endif
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

/* Scale number g (0..15) of Q3_K, its 32 not yet taken away. */
KV_BLOCK_INLINE int kv_q3_scale(const uint8_t *s, int g)
{
    return (s[g % 8] >> g / 8 * 4 & 15) | (s[8 + g % 4] >> g / 4 * 2 & 3) << 4;
}

/* Scale number k (0..7) of IQ4_XS, likewise; b is the block. */
KV_BLOCK_INLINE int kv_iq4_scale(const uint8_t *b, int k)
{
    return (b[4 + k / 2] >> k % 2 * 4 & 15) | (kv_u16(b + 2) >> 2 * k & 3) << 4;
}

/* What a nibble of IQ4_NL and IQ4_XS stands for: -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113. */
#define KV_IQ4_LOW  0xf6eaddcfbfad9881ull
#define KV_IQ4_HIGH 0x7159453526190d01ull
KV_BLOCK_INLINE int kv_iq4_code(int q) { return (int8_t)((q < 8 ? KV_IQ4_LOW : KV_IQ4_HIGH) >> q % 8 * 8); }

/* What group g of one block of a quantized type multiplies by and adds; g in [0, elements / 16). */
KV_BLOCK_INLINE void kv_group_scale(int type, const uint8_t *b, int g, struct kv_group *out)
{
    out->has_offset = false;
    out->offset = 0;
    switch (type) {
    case KV_TYPE_Q4_1:
    case KV_TYPE_Q5_1:
        out->has_offset = true;
        out->scale = kv_half(b), out->offset = kv_half(b + 2);
        break;
    case KV_TYPE_Q4_K:
    case KV_TYPE_Q5_K:
        out->has_offset = true;
        out->scale = kv_block_product(kv_half(b), (float)kv_k_scale(b + 4, g / 2));
        out->offset = -kv_block_product(kv_half(b + 2), (float)kv_k_min(b + 4, g / 2));
        break;
    case KV_TYPE_Q2_K:
        out->has_offset = true;
        out->scale = kv_half(b + 80) * (float)(b[g] & 15);
        out->offset = -kv_block_product(kv_half(b + 82), (float)(b[g] >> 4));
        break;
    case KV_TYPE_Q3_K: out->scale = kv_half(b + 108) * (float)(kv_q3_scale(b + 96, g) - 32); break;
    case KV_TYPE_Q6_K: out->scale = kv_half(b + 208) * (float)(int8_t)b[192 + g]; break;
    case KV_TYPE_IQ4_XS: out->scale = kv_half(b) * (float)(kv_iq4_scale(b, g / 2) - 32); break;
    default: out->scale = kv_half(b); break;
    }
}

/* Where the bits of group g lie. A weight is made of a field of low_mask in 16 bytes at `low`, from bit `shift` on,
 * and of one of top_mask in 16 bytes at `top` (NULL = none), from bit top_shift on, put at bit top_at; with
 * `scattered`, the top ones are single bits in 2 bytes. Then minus is subtracted, or `coded` looks it up. */
struct kv_group_bits {
    const uint8_t *low, *top;
    int shift, low_mask, top_shift, top_mask, top_at, minus;
    bool scattered, coded;
};

KV_BLOCK_INLINE struct kv_group_bits kv_group_locate(int type, const uint8_t *b, int g)
{
    struct kv_group_bits at = { b + 2, NULL, 4 * g, 15, 0, 1, 4, 0, false, false };
    int column = g % 2 * KV_GROUP, k = g / 2;
    at.scattered = type == KV_TYPE_Q5_0 || type == KV_TYPE_Q5_1;
    at.coded = type == KV_TYPE_IQ4_NL || type == KV_TYPE_IQ4_XS;
    switch (type) {
    case KV_TYPE_Q4_0: at.minus = 8; break;
    case KV_TYPE_Q4_1: at.low = b + 4; break;
    case KV_TYPE_Q5_0: at.low = b + 6, at.top = b + 2 + 2 * g, at.minus = 16; break;
    case KV_TYPE_Q5_1: at.low = b + 8, at.top = b + 4 + 2 * g; break;
    case KV_TYPE_Q8_0: at.low = b + 2 + KV_GROUP * g, at.shift = 0, at.low_mask = 255; break;
    case KV_TYPE_Q2_K: at.low = b + 16 + g / 8 * 32 + column, at.shift = k % 4 * 2, at.low_mask = 3; break;
    case KV_TYPE_Q3_K:
        at.low = b + 32 + g / 8 * 32 + column, at.shift = k % 4 * 2, at.low_mask = 3;
        at.top = b + column, at.top_shift = k, at.top_at = 2, at.minus = 4;
        break;
    case KV_TYPE_Q4_K: at.low = b + 16 + k / 2 * 32 + column, at.shift = k % 2 * 4; break;
    case KV_TYPE_Q5_K:
        at.low = b + 48 + k / 2 * 32 + column, at.shift = k % 2 * 4;
        at.top = b + 16 + column, at.top_shift = k;
        break;
    case KV_TYPE_Q6_K:
        at.low = b + g / 8 * 64 + g % 4 * KV_GROUP, at.shift = g % 8 / 4 * 4;
        at.top = b + 128 + g / 8 * 32 + column, at.top_shift = g % 8 / 2 * 2, at.top_mask = 3, at.minus = 32;
        break;
    case KV_TYPE_IQ4_XS: at.low = b + 8 + k * KV_GROUP, at.shift = g % 2 * 4; break;
    default: break;
    }
    return at;
}

/* Group g of one block of a quantized type. */
KV_BLOCK_INLINE void kv_group_read(int type, const uint8_t *b, int g, struct kv_group *out)
{
    struct kv_group_bits at = kv_group_locate(type, b, g);
    kv_group_scale(type, b, g, out);
    for (int i = 0; i < KV_GROUP; i++) {
        int q = at.low[i] >> at.shift & at.low_mask;
        if (at.scattered)
            q |= (at.top[i / 8] >> i % 8 & 1) << at.top_at;
        else if (at.top)
            q |= (at.top[i] >> at.top_shift & at.top_mask) << at.top_at;
        out->q[i] = (int8_t)(at.coded ? kv_iq4_code(q) : q - at.minus);
    }
}

KV_BLOCK_INLINE float kv_group_value(const struct kv_group *g, int i)
{
    float x = kv_block_product(g->scale, (float)g->q[i]);
    return g->has_offset ? x + g->offset : x;
}

#endif
