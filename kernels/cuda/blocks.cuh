/* Groups of 16 quantized weights (kernels/blocks.h) as packed bytes: the same numbers as kv_group_read. */
#ifndef KV_CUDA_BLOCKS_CUH
#define KV_CUDA_BLOCKS_CUH

#include "kernels/blocks.h"
#include "kernels/cuda/ptx.cuh"

#define KV_BYTES 0x01010101u

/* Whether blocks are a multiple of 2 bytes and not of 4. */
template <int type> struct kv_block_even {
    static constexpr bool is = type == KV_TYPE_Q4_0 || type == KV_TYPE_Q5_0 || type == KV_TYPE_Q8_0 ||
                               type == KV_TYPE_Q3_K || type == KV_TYPE_Q6_K || type == KV_TYPE_IQ4_NL;
};

/* 4 bytes of a block: at a multiple of 4 where blocks are one, else of 2. In shared memory (`padded`) two aligned words
 * are read, the second perhaps of what lies behind; elsewhere two halves. beside: 0 or 2 bytes that p lies below them, at
 * a multiple of 4, where the caller knows that. */
template <int type, bool padded> KV_DEVICE uint32_t kv_block_word(const uint8_t *p, int beside = -1)
{
    if (!kv_block_even<type>::is) return *(const uint32_t *)p;
    if (!padded) return kv_u16(p) | (uint32_t)kv_u16(p + 2) << 16;
    if (beside < 0) {
        beside = (int)((uintptr_t)p & 2);
        p -= beside;
    }
    const uint32_t *word = (const uint32_t *)p;
    return __funnelshift_r(word[0], word[1], (unsigned)beside * 8);
}

/* What four nibbles, a byte each, stand for in IQ4_NL and IQ4_XS: two tables of 8 by their low bits, then one of both. */
KV_DEVICE uint32_t kv_iq4_codes(uint32_t nibbles)
{
    uint32_t pairs = (nibbles | nibbles >> 4) & 0x00ff00ff, select = (pairs | pairs >> 8) & 0xffff;
    uint32_t low = __byte_perm((uint32_t)KV_IQ4_LOW, (uint32_t)(KV_IQ4_LOW >> 32), select & 0x7777);
    uint32_t high = __byte_perm((uint32_t)KV_IQ4_HIGH, (uint32_t)(KV_IQ4_HIGH >> 32), select & 0x7777);
    return __byte_perm(low, high, 0x3210 + ((select & 0x8888) >> 1));
}

/* Word i (0..3) of a group's whole numbers, `minus` not yet taken away; scattered: the 16 single bits, where there are. */
template <int type, bool padded>
KV_DEVICE uint32_t kv_block_quad(const struct kv_group_bits *at, uint32_t scattered, int i, int beside = -1)
{
    uint32_t q = kv_block_word<type, padded>(at->low + 4 * i, beside);
    if (at->low_mask != 255) q = q >> at->shift & (uint32_t)at->low_mask * KV_BYTES;
    if (at->coded) return kv_iq4_codes(q);
    if (at->scattered)
        return q | ((scattered >> 4 * i & 15) * 0x00204081u & KV_BYTES) << at->top_at; /* a bit a byte */
    if (!at->top) return q;
    uint32_t top = kv_block_word<type, padded>(at->top + 4 * i, beside);
    return q | (top >> at->top_shift & (uint32_t)at->top_mask * KV_BYTES) << at->top_at;
}

/* The whole numbers of group g of block b, four a word, `minus` not yet taken away. */
template <int type, bool padded> KV_DEVICE void kv_block_group(const uint8_t *b, int g, uint32_t q[4])
{
    struct kv_group_bits at = kv_group_locate(type, b, g);
    uint32_t scattered = at.scattered ? kv_u16(at.top) : 0;
#pragma unroll
    for (int i = 0; i < 4; i++) q[i] = kv_block_quad<type, padded>(&at, scattered, i);
}

/* Weight i (0..3) of a word as f32, rounded as blocks.h says. */
KV_DEVICE float kv_block_value(const struct kv_group *g, uint32_t q, int i, int minus)
{
    float x = __fmul_rn(g->scale, (float)((int8_t)(q >> 8 * i) - minus));
    return g->has_offset ? __fadd_rn(x, g->offset) : x;
}

#endif
