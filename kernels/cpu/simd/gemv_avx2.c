/* Few rows of x against quantized blocks, AVX2: 16-bit multiplies, whose 32-bit sums of pairs cannot overflow.
 *
 * In each group of 32 columns x[c] = scale * q[c] with q in 16 bits, scale = max|x| / 32639 (coarse: / 127).
 * Weights are widened from nibbles or bytes to 16 bits. Per block: d * scale * (q.w) + m * (scale * sum q); the
 * whole-number part is below 32 * 32639 * 128 < 2^27, exact in 32 bits.
 *
 * Bytes: each weight once for up to 4 rows of x, from the first cache for the next 4. */
#include "kernels/cpu/simd/ops.h"

#ifndef __AVX512F__

#include "kernels/blocks.h"

#include <math.h>

#define BLOCK   32
#define AT_ONCE 4

struct group {
    int16_t q[BLOCK];
    float scale, sum; /* scale * sum of q */
    float pad[6];
};

bool KV_NAME(kv_has_gemv)(int type) { return type == KV_TYPE_Q4_0 || type == KV_TYPE_Q4_1 || type == KV_TYPE_Q8_0; }

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

/* As in gemv_vnni.c: NaN and infinity make the scale NaN, below 1e-30 all is taken for 0. */
static void quantize_group(const float *x, float most, struct group *g)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i top = _mm256_setzero_si256(), sum = top, q[4];
    for (int i = 0; i < 4; i++)
        top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(vf_load(x + 8 * i)), magnitude));
    float largest = kv_bits_f32((uint32_t)largest_lane(top));
    bool tiny = largest < 1e-30f, finite = largest < HUGE_VALF;
    vf inverse = vf_set1(tiny || !finite ? 0 : most / largest);
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(vf_mul(vf_load(x + 8 * i), inverse));
        sum = _mm256_add_epi32(sum, q[i]);
    }
    for (int i = 0; i < 4; i += 2) /* the packing interleaves its operands' halves */
        _mm256_store_si256(
            (void *)(g->q + 8 * i), _mm256_permute4x64_epi64(_mm256_packs_epi32(q[i], q[i + 1]), 0xd8));
    g->scale = !finite ? NAN : tiny ? 0 : largest / most;
    g->sum = g->scale * (float)sum_lanes(sum);
}

void KV_NAME(kv_quantize)(const float *x, int cols, bool coarse, void *out)
{
    struct group *g = out;
    for (int c = 0; c < cols; c += BLOCK) quantize_group(x + c, coarse ? 127.0f : 32639.0f, g++);
}

struct weights {
    __m256i low, high; /* columns 0-15, 16-31 */
    float d, m;
};

VF_INLINE struct weights read_block(int type, const uint8_t *b)
{
    struct weights w = { .d = kv_half(b) };
    if (type == KV_TYPE_Q8_0) {
        w.low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(b + 2)));
        w.high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(b + 18)));
        return w;
    }
    bool min = type == KV_TYPE_Q4_1;
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(b + (min ? 4 : 2))));
    w.low = _mm256_and_si256(both, _mm256_set1_epi16(15));
    w.high = _mm256_srli_epi16(both, 4);
    w.m = min ? kv_half(b + 2) : -8 * w.d;
    return w;
}

VF_INLINE void one_row(int type, int n, const uint8_t *w, size_t blocks, const struct group *g, float *out)
{
    const size_t size = type == KV_TYPE_Q4_1 ? 20 : type == KV_TYPE_Q4_0 ? 18 : 34;
    vf sum[AT_ONCE];
    float rest[AT_ONCE] = { 0 };
    for (int i = 0; i < n; i++) sum[i] = vf_zero();
    for (size_t b = 0; b < blocks; b++, w += size) {
        struct weights v = read_block(type, w);
        for (int i = 0; i < n; i++) {
            const struct group *x = g + (size_t)i * blocks + b;
            __m256i t = _mm256_add_epi32(_mm256_madd_epi16(v.low, _mm256_load_si256((const void *)x->q)),
                _mm256_madd_epi16(v.high, _mm256_load_si256((const void *)(x->q + 16))));
            sum[i] = vf_fma(_mm256_cvtepi32_ps(t), vf_set1(v.d * x->scale), sum[i]);
            if (type != KV_TYPE_Q8_0) rest[i] += v.m * x->sum;
        }
    }
    for (int i = 0; i < n; i++) out[i] = vf_sum(sum[i]) + rest[i];
}

VF_INLINE void all_rows(
    int type, int n, const struct kv_linear *l, int row, int rows, const struct group *g, size_t first)
{
    size_t blocks = (size_t)l->w.cols / BLOCK, bytes = kv_type_bytes(type, (size_t)l->w.cols);
    const uint8_t *w = (const uint8_t *)l->w.data + (size_t)row * bytes;
    float out[AT_ONCE];
    for (int r = 0; r < rows; r++, w += bytes) {
        one_row(type, n, w, blocks, g + first * blocks, out);
        for (int i = 0; i < n; i++) kv_finish(l, first + (size_t)i, (size_t)(row + r), out[i]);
    }
}

#define KERNEL(name, type)                                                                                         \
    static void name(const struct kv_linear *l, int row, int rows, const struct group *g, size_t first, int n)     \
    {                                                                                                              \
        switch (n) {                                                                                               \
        case 1: all_rows(type, 1, l, row, rows, g, first); break;                                                  \
        case 2: all_rows(type, 2, l, row, rows, g, first); break;                                                  \
        case 3: all_rows(type, 3, l, row, rows, g, first); break;                                                  \
        default: all_rows(type, 4, l, row, rows, g, first); break;                                                 \
        }                                                                                                          \
    }

KERNEL(rows_q4_0, KV_TYPE_Q4_0)
KERNEL(rows_q4_1, KV_TYPE_Q4_1)
KERNEL(rows_q8_0, KV_TYPE_Q8_0)

/* coarse changes what quantize wrote, not how it is multiplied. */
void KV_NAME(kv_gemv)(const struct kv_linear *l, int row, int rows, const void *q, int n, bool coarse)
{
    (void)coarse;
    for (int i = 0; i < n; i += AT_ONCE) {
        int here = n - i < AT_ONCE ? n - i : AT_ONCE;
        switch (l->w.type) {
        case KV_TYPE_Q4_0: rows_q4_0(l, row, rows, q, (size_t)i, here); break;
        case KV_TYPE_Q4_1: rows_q4_1(l, row, rows, q, (size_t)i, here); break;
        default: rows_q8_0(l, row, rows, q, (size_t)i, here); break;
        }
    }
}

#endif
