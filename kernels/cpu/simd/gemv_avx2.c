/* Few rows of x against quantized blocks, AVX2: 16-bit multiplies, whose 32-bit sums of pairs cannot overflow.
 *
 * In each group of 32 columns x[c] = scale * q[c] with q in 16 bits, scale = max|x| / 32639 (coarse: / 127,
 * where max is over 32 columns or over 256).
 * Weights of every type are d w + m, w the bits of the block as they stand (signed where they need 8), widened to 16
 * bits. Per group: d * scale * (q.w) + m * (scale * sum q); the whole-number part is below 32 * 32639 * 128 < 2^27,
 * exact in 32 bits.
 *
 * Bytes: each weight once for up to 4 rows of x, from the first cache for the next 4. */
#include "kernels/cpu/simd/ops.h"

#ifndef __AVX512F__

#include "kernels/cpu/simd/groups.h"
#include "kernels/cpu/simd/steps.h"

#include <math.h>

#define BLOCK   32
#define AT_ONCE 4

struct group {
    int16_t q[BLOCK];
    float scale, sum[2]; /* scale * sum of q over each 16 columns */
    float pad[5];
};

size_t KV_NAME(kv_quantized_bytes)(int cols) { return (size_t)cols / BLOCK * sizeof(struct group); }

VF_INLINE int largest_lane(__m256i x)
{
    __m128i a = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    a = _mm_max_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

VF_INLINE int sum_lanes(__m256i x)
{
    __m128i a = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

static float largest_of(const float *x, int cols)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i top = _mm256_setzero_si256();
    for (int c = 0; c < cols; c += 8)
        top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(vf_load(x + c)), magnitude));
    return kv_bits_f32((uint32_t)largest_lane(top));
}

/* As in gemv_vnni.c: NaN and infinity make the scale NaN. */
static void quantize_group(const float *x, float largest, float most, struct group *g)
{
    __m256i q[4];
    bool tiny = largest < KV_TINY, finite = largest < HUGE_VALF;
    vf inverse = vf_set1(tiny || !finite ? 0 : most / largest);
    for (int i = 0; i < 4; i++) q[i] = _mm256_cvtps_epi32(vf_mul(vf_load(x + 8 * i), inverse));
    for (int i = 0; i < 4; i += 2) /* the packing interleaves its operands' halves */
        _mm256_store_si256(
            (void *)(g->q + 8 * i), _mm256_permute4x64_epi64(_mm256_packs_epi32(q[i], q[i + 1]), 0xd8));
    g->scale = !finite ? NAN : tiny ? 0 : largest / most;
    for (int i = 0; i < 2; i++) g->sum[i] = g->scale * (float)sum_lanes(_mm256_add_epi32(q[2 * i], q[2 * i + 1]));
}

void KV_NAME(kv_quantize)(const float *x, int cols, int coarse, void *out)
{
    struct group *g = out;
    int group = coarse ? coarse : BLOCK;
    float largest = 0;
    for (int c = 0; c < cols; c += BLOCK) {
        if (c % group == 0) largest = largest_of(x + c, group);
        quantize_group(x + c, largest, coarse ? 127.0f : 32639.0f, g++);
    }
}

/* 32 columns of weights from group g on, and what they are worth: d w + m in each 16 of them. */
struct weights {
    __m256i low, high;
    float d[2], m[2];
};

VF_INLINE bool is_signed(int type)
{
    return type == KV_TYPE_Q8_0 || type == KV_TYPE_IQ4_NL || type == KV_TYPE_IQ4_XS;
}

VF_INLINE __m256i widen(int type, __m128i bytes)
{
    return is_signed(type) ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

VF_INLINE void read_bits(int type, const uint8_t *b, int g, struct weights *w)
{
    struct kv_group_bits at = kv_group_locate(type, b, g);
    if (type == KV_TYPE_Q4_0 || type == KV_TYPE_Q4_1) {
        __m256i both = _mm256_cvtepu8_epi16(kv_load16(at.low));
        w->low = _mm256_and_si256(both, _mm256_set1_epi16(15));
        w->high = _mm256_srli_epi16(both, 4);
        return;
    }
    w->low = widen(type, kv_group_raw(type, b, g));
    w->high = widen(type, kv_group_raw(type, b, g + 1));
}

VF_INLINE struct weights read_small(int type, const uint8_t *b)
{
    struct weights w;
    float d = kv_half(b), m = 0;
    read_bits(type, b, 0, &w);
    if (type == KV_TYPE_Q4_1 || type == KV_TYPE_Q5_1) m = kv_half(b + 2);
    if (type == KV_TYPE_Q4_0) m = -8 * d;
    if (type == KV_TYPE_Q5_0) m = -16 * d;
    w.d[0] = w.d[1] = d;
    w.m[0] = w.m[1] = m;
    return w;
}

/* out[16] = factor times each whole number. */
VF_INLINE void each_times(__m128i whole, float factor, float *out)
{
    vf f = vf_set1(factor);
    vf_store(out, vf_mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(whole)), f));
    vf_store(out + 8, vf_mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(whole, whole))), f));
}

/* Adds 32 columns of weights times those of n rows of x. */
VF_INLINE void add_block(
    int type, int n, const struct weights *w, const struct group *g, size_t stride, vf sum[], float rest[])
{
    const bool split = type == KV_TYPE_Q2_K || type == KV_TYPE_Q3_K || type == KV_TYPE_Q6_K;
    for (int i = 0; i < n; i++) {
        const struct group *x = g + (size_t)i * stride;
        __m256i a = _mm256_madd_epi16(w->low, _mm256_load_si256((const void *)x->q));
        __m256i b = _mm256_madd_epi16(w->high, _mm256_load_si256((const void *)(x->q + 16)));
        if (split) {
            sum[i] = vf_fma(_mm256_cvtepi32_ps(a), vf_set1(w->d[0] * x->scale), sum[i]);
            sum[i] = vf_fma(_mm256_cvtepi32_ps(b), vf_set1(w->d[1] * x->scale), sum[i]);
        } else
            sum[i] = vf_fma(_mm256_cvtepi32_ps(_mm256_add_epi32(a, b)), vf_set1(w->d[0] * x->scale), sum[i]);
        if (!is_signed(type)) rest[i] += w->m[0] * x->sum[0] + w->m[1] * x->sum[1];
    }
}

VF_INLINE void small_row(int type, size_t size, int n, const uint8_t *w, size_t blocks, const struct group *g,
    size_t stride, vf sum[], float rest[])
{
    for (size_t b = 0; b < blocks; b++, w += size) {
        struct weights v = read_small(type, w);
        add_block(type, n, &v, g + b, stride, sum, rest);
    }
}

VF_INLINE void big_row(int type, size_t size, int n, const uint8_t *w, size_t blocks, const struct group *g,
    size_t stride, vf sum[], float rest[])
{
    for (size_t b = 0; b < blocks; b++, w += size) {
        float d[16], m[16] = { 0 };
        struct kv_steps steps = kv_steps_read(type, w);
        each_times(steps.s, steps.d, d);
        if (!is_signed(type)) each_times(steps.t, steps.m, m);
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            struct weights v = { .d = { d[2 * k], d[2 * k + 1] }, .m = { m[2 * k], m[2 * k + 1] } };
            read_bits(type, w, 2 * k, &v);
            add_block(type, n, &v, g + 8 * b + k, stride, sum, rest);
        }
    }
}

/* coarse changes what quantize wrote, not how it is multiplied. */
VF_INLINE void all_rows(int type, int elements, size_t size, int n, bool coarse, const struct kv_linear *l, int row,
    int rows, const struct group *g, size_t first)
{
    (void)coarse;
    size_t stride = (size_t)l->w.cols / BLOCK, blocks = (size_t)l->w.cols / (size_t)elements, bytes = blocks * size;
    const uint8_t *w = (const uint8_t *)l->w.data + (size_t)row * bytes;
    for (int r = 0; r < rows; r++, w += bytes) {
        vf sum[AT_ONCE];
        float rest[AT_ONCE] = { 0 };
        for (int i = 0; i < n; i++) sum[i] = vf_zero();
        if (elements == BLOCK)
            small_row(type, size, n, w, blocks, g + first * stride, stride, sum, rest);
        else
            big_row(type, size, n, w, blocks, g + first * stride, stride, sum, rest);
        for (int i = 0; i < n; i++) kv_finish(l, first + (size_t)i, (size_t)(row + r), vf_sum(sum[i]) + rest[i]);
    }
}

#define GEMV_ACTIVATIONS struct group
#include "kernels/cpu/simd/gemv_types.h"

#endif
