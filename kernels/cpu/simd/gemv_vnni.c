/* Few rows of x against quantized blocks, AVX-512 with VNNI: vpdpbusd multiplies 64 unsigned bytes by 64 signed.
 *
 * x is cut into quads of 128 columns (4 blocks). In each group of 32, x[c] = scale * (256 hi + lo) with signed
 * bytes hi, lo and scale = max|x| / 32639, so that 256*127 + 127 is the largest; coarse: x[c] = scale * hi, scale
 * = max|x| / 127. The bytes of the weights are unsigned: nibbles as they stand, Q8_0 with its sign bit flipped
 * (w + 128). What that adds is a number per lane that depends on x alone: unsign. One row of outputs is then
 *     sum over blocks of  d * scale * (256 hi.w + lo.w + unsign)  +  m * sum,    sum = scale * sum_c q[c]
 * with everything inside the parentheses a whole number per lane of 4 columns, below 255 * 4 * 32768 < 2^26: exact.
 *
 * Bytes: each weight once for up to 4 rows of x. Bound: memory (Q4_1: 20 vector operations a quad of 80 bytes). */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512VNNI__

#include "kernels/blocks.h"

#include <math.h>

#define QUAD       128 /* columns */
#define BLOCK      32  /* columns */
#define MAX_COARSE 127.0f
#define MAX_FINE   32639.0f
#define AT_ONCE    4 /* rows of x that one reading of the weights serves */
#define AHEAD      4096 /* bytes to prefetch ahead of the quad in work: some 300 ns, memory's latency and a page walk */

struct quad {
    int8_t hi[QUAD], lo[QUAD];
    /* Per block, four lanes each: scale | sum | scale / 16 | -8 sum. One multiplication by a vector of d and m
     * gives all that a quad of any type needs. */
    float factor[16];
    int32_t unsign[2][16]; /* per lane, -128 * (its four columns' q) */
};

bool KV_NAME(kv_has_gemv)(int type) { return type == KV_TYPE_Q4_0 || type == KV_TYPE_Q4_1 || type == KV_TYPE_Q8_0; }

size_t KV_NAME(kv_quantized_bytes)(int cols) { return ((size_t)cols + QUAD - 1) / QUAD * sizeof(struct quad); }

/* Group b of a quad from 32 columns. The largest magnitude is found among the bit patterns, where NaN is above
 * infinity: either makes the scale, and so every output, NaN. Below 1e-30 all is taken for 0. */
static void quantize_group(const float *x, bool coarse, struct quad *q, int b)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff), bias = _mm512_set1_epi32(128);
    __m512 u = _mm512_loadu_ps(x), v = _mm512_loadu_ps(x + 16);
    __m512i top = _mm512_max_epi32(
        _mm512_and_epi32(_mm512_castps_si512(u), magnitude), _mm512_and_epi32(_mm512_castps_si512(v), magnitude));
    float largest = kv_bits_f32((uint32_t)_mm512_reduce_max_epi32(top)), most = coarse ? MAX_COARSE : MAX_FINE;
    float scale = largest < 1e-30f ? 0 : largest / most, inverse = largest < 1e-30f ? 0 : most / largest;
    if (!(largest < HUGE_VALF)) scale = NAN;
    __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(u, _mm512_set1_ps(inverse)));
    __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(inverse)));
    int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, c));
    __m512i high_a = coarse ? a : _mm512_srai_epi32(_mm512_add_epi32(a, bias), 8);
    __m512i high_c = coarse ? c : _mm512_srai_epi32(_mm512_add_epi32(c, bias), 8);
    _mm_store_si128((void *)(q->hi + BLOCK * b), _mm512_cvtepi32_epi8(high_a));
    _mm_store_si128((void *)(q->hi + BLOCK * b + 16), _mm512_cvtepi32_epi8(high_c));
    if (!coarse) {
        _mm_store_si128((void *)(q->lo + BLOCK * b), _mm512_cvtepi32_epi8(a));
        _mm_store_si128((void *)(q->lo + BLOCK * b + 16), _mm512_cvtepi32_epi8(c));
    }
    float total = scale * (float)sum;
    q->factor[b] = scale;
    q->factor[4 + b] = total;
    q->factor[8 + b] = scale / 16;
    q->factor[12 + b] = -8 * total;
}

void KV_NAME(kv_quantize)(const float *x, int cols, bool coarse, void *out)
{
    struct quad *q = out;
    const __m512i flip = _mm512_set1_epi8((char)128), zero = _mm512_setzero_si512();
    for (int c = 0; c < cols; c += QUAD, q++) {
        if (c + QUAD > cols) memset(q, 0, sizeof *q);
        for (int b = 0; b < 4 && c + b * BLOCK < cols; b++) quantize_group(x + c + b * BLOCK, coarse, q, b);
        for (int p = 0; p < 2; p++) {
            __m512i t = _mm512_dpbusd_epi32(zero, flip, _mm512_load_si512(q->hi + 64 * p));
            if (!coarse) t = _mm512_dpbusd_epi32(_mm512_slli_epi32(t, 8), flip, _mm512_load_si512(q->lo + 64 * p));
            _mm512_store_si512(q->unsign[p], _mm512_sub_epi32(zero, t));
        }
    }
}

/* A quad of weights: the bytes of its two pairs of blocks, and d, m of its blocks in the lanes that meet
 * factor's. */
struct weights {
    __m512i bytes[2];
    __m512 dm;
};

/* Where f16 number k of each of four blocks of `size` bytes stands, in 16-bit lanes. */
#define LANES(size, k) k, (size) / 2 + k, (size) + k, (size)*3 / 2 + k

/* One byte index per byte: 16 bytes from a, twice, then 16 from b, twice. */
VF_INLINE __m512i twice(int a, int b)
{
    const __m128i step = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i at = _mm512_mask_mov_epi64(_mm512_set1_epi8((char)a), 0xf0, _mm512_set1_epi8((char)b));
    return _mm512_add_epi8(_mm512_broadcast_i32x4(step), at);
}

/* Nibbles of Q4_0 and Q4_1. The high ones are not shifted down: their lanes stand for 16 times the weight, and
 * take scale / 16. z and y are the first and the last 64 bytes of the quad. */
VF_INLINE struct weights nibbles(int type, __m512i z, __m512i y)
{
    const int size = type == KV_TYPE_Q4_1 ? 20 : 18, first = size - 16, skipped = 4 * size - 64;
    const __m512i low_high = _mm512_set_epi64(-0xf0f0f0f0f0f0f10, -0xf0f0f0f0f0f0f10, 0xf0f0f0f0f0f0f0f,
        0xf0f0f0f0f0f0f0f, -0xf0f0f0f0f0f0f10, -0xf0f0f0f0f0f0f10, 0xf0f0f0f0f0f0f0f, 0xf0f0f0f0f0f0f0f);
    const __m512i ab = twice(first, first + size);
    const __m512i cd = twice(first + 2 * size - skipped, first + 3 * size - skipped);
    const __m512i dm = _mm512_castsi256_si512(
        type == KV_TYPE_Q4_1 ? _mm256_setr_epi16(LANES(20, 0), LANES(20, 1), LANES(20, 0), LANES(20, 0))
                             : _mm256_setr_epi16(LANES(18, 0), LANES(18, 0), LANES(18, 0), LANES(18, 0)));
    return (struct weights){
        .bytes = { _mm512_and_si512(_mm512_permutexvar_epi8(ab, z), low_high),
            _mm512_and_si512(_mm512_permutexvar_epi8(cd, y), low_high) },
        .dm = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(dm, z))),
    };
}

/* `left` bytes from w on belong to the row; what a short quad lacks is 0. */
VF_INLINE struct weights read_nibbles(int type, const uint8_t *w, size_t left)
{
    const size_t quad = type == KV_TYPE_Q4_1 ? 80 : 72, skipped = quad - 64;
    if (left >= quad) return nibbles(type, _mm512_loadu_si512(w), _mm512_loadu_si512(w + skipped));
    __mmask64 head = left >= 64 ? ~0ull : (1ull << left) - 1;
    __mmask64 tail = left > skipped ? (1ull << (left - skipped)) - 1 : 0;
    return nibbles(type, _mm512_maskz_loadu_epi8(head, w), _mm512_maskz_loadu_epi8(tail, w + skipped));
}

/* Q8_0: d and 32 signed bytes of the first `blocks` of a quad's 4; the others are 0. */
VF_INLINE struct weights read_bytes(const uint8_t *w, int blocks)
{
    const __m256i flip = _mm256_set1_epi8((char)128);
    struct weights out;
    __m256i v[4];
    uint64_t d = 0;
    for (int b = 0; b < 4; b++) {
        v[b] = flip;
        if (b >= blocks) continue;
        v[b] = _mm256_xor_si256(_mm256_loadu_si256((const void *)(w + 34 * b + 2)), flip);
        d |= (uint64_t)kv_u16(w + 34 * b) << 16 * b;
    }
    out.dm = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi64_si128((long long)d)));
    for (int p = 0; p < 2; p++)
        out.bytes[p] = _mm512_inserti64x4(_mm512_castsi256_si512(v[2 * p]), v[2 * p + 1], 1);
    return out;
}

/* Whole numbers of one pair of blocks in 16 lanes. */
VF_INLINE __m512i products(const struct quad *q, int p, __m512i w, bool unsign, bool coarse)
{
    __m512i hi = _mm512_load_si512(q->hi + 64 * p), zero = _mm512_setzero_si512();
    if (coarse) return _mm512_dpbusd_epi32(unsign ? _mm512_load_si512(q->unsign[p]) : zero, w, hi);
    __m512i t = _mm512_slli_epi32(_mm512_dpbusd_epi32(zero, w, hi), 8);
    t = _mm512_dpbusd_epi32(t, w, _mm512_load_si512(q->lo + 64 * p));
    return unsign ? _mm512_add_epi32(t, _mm512_load_si512(q->unsign[p])) : t;
}

/* Adds a quad of weights times the same of n rows of x; `pairs` of its two pairs of blocks are there. */
VF_INLINE void add_quad(int type, int n, bool coarse, int pairs, struct weights v, const struct quad *q,
    size_t stride, __m512 sum[][AT_ONCE])
{
    const bool bytes = type == KV_TYPE_Q8_0;
    const __m512i lane[2] = {
        bytes ? _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
              : _mm512_setr_epi32(0, 0, 0, 0, 8, 8, 8, 8, 1, 1, 1, 1, 9, 9, 9, 9),
        bytes ? _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3)
              : _mm512_setr_epi32(2, 2, 2, 2, 10, 10, 10, 10, 3, 3, 3, 3, 11, 11, 11, 11),
    };
    for (int i = 0; i < n; i++) {
        const struct quad *x = q + (size_t)i * stride;
        __m512 factor = _mm512_mul_ps(v.dm, _mm512_load_ps(x->factor));
        for (int p = 0; p < pairs; p++) {
            __m512 t = _mm512_cvtepi32_ps(products(x, p, v.bytes[p], bytes, coarse));
            sum[p][i] = _mm512_fmadd_ps(t, _mm512_permutexvar_ps(lane[p], factor), sum[p][i]);
        }
        if (!bytes) sum[2][i] = _mm512_add_ps(sum[2][i], factor);
    }
}

/* One row of weights for n rows of x: out[i] sums up to output i. n and type are constants. */
VF_INLINE void one_row(
    int type, int n, bool coarse, const uint8_t *w, size_t bytes, const struct quad *q, size_t stride, __m512 out[])
{
    const size_t size = type == KV_TYPE_Q4_1 ? 80 : type == KV_TYPE_Q4_0 ? 72 : 136;
    const __mmask16 rest = type == KV_TYPE_Q4_1 ? 0x00f0 : type == KV_TYPE_Q4_0 ? 0xf000 : 0;
    const uint8_t *end = w + bytes;
    __m512 sum[3][AT_ONCE];
    for (int i = 0; i < n; i++) sum[0][i] = sum[1][i] = sum[2][i] = _mm512_setzero_ps();
    for (; w + size <= end; w += size, q++) {
        _mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)w + AHEAD + 64, _MM_HINT_T0);
        struct weights v = type == KV_TYPE_Q8_0 ? read_bytes(w, 4) : read_nibbles(type, w, size);
        add_quad(type, n, coarse, 2, v, q, stride, sum);
    }
    if (w < end) {
        size_t left = (size_t)(end - w);
        struct weights v = type == KV_TYPE_Q8_0 ? read_bytes(w, (int)(left / 34)) : read_nibbles(type, w, left);
        if (left <= size / 2)
            add_quad(type, n, coarse, 1, v, q, stride, sum);
        else
            add_quad(type, n, coarse, 2, v, q, stride, sum);
    }
    for (int i = 0; i < n; i++)
        out[i] = _mm512_mask_add_ps(
            _mm512_add_ps(sum[0][i], sum[1][i]), rest, _mm512_add_ps(sum[0][i], sum[1][i]), sum[2][i]);
}

/* Sums over the lanes of four vectors, each in vf_sum's order. */
VF_INLINE __m128 four_sums(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 all = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0xb1));
    const __m512i first = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(first, all));
}

VF_INLINE void all_rows(
    int type, int n, bool coarse, const struct kv_linear *l, int row, int rows, const struct quad *q, size_t first)
{
    size_t bytes = kv_type_bytes(type, (size_t)l->w.cols), stride = ((size_t)l->w.cols + QUAD - 1) / QUAD;
    const uint8_t *w = (const uint8_t *)l->w.data + (size_t)row * bytes;
    __m512 sum[4][AT_ONCE];
    for (int r = 0; r < rows; r += 4) {
        int here = rows - r < 4 ? rows - r : 4;
        for (int k = 0; k < 4; k++) {
            if (k < here)
                one_row(type, n, coarse, w, bytes, q + first * stride, stride, sum[k]);
            else
                for (int i = 0; i < n; i++) sum[k][i] = _mm512_setzero_ps();
            w += bytes;
        }
        for (int i = 0; i < n; i++) {
            float out[4];
            _mm_storeu_ps(out, four_sums(sum[0][i], sum[1][i], sum[2][i], sum[3][i]));
            for (int k = 0; k < here; k++) kv_finish(l, first + (size_t)i, (size_t)(row + r + k), out[k]);
        }
    }
}

#define CALL(type, n)                                                                                              \
    case n:                                                                                                        \
        if (coarse)                                                                                                \
            all_rows(type, n, true, l, row, rows, q, first);                                                       \
        else                                                                                                       \
            all_rows(type, n, false, l, row, rows, q, first);                                                      \
        break;

#define KERNEL(name, type)                                                                                         \
    static void name(                                                                                              \
        const struct kv_linear *l, int row, int rows, const struct quad *q, size_t first, int n, bool coarse)      \
    {                                                                                                              \
        switch (n) {                                                                                               \
            CALL(type, 1) CALL(type, 2) CALL(type, 3) CALL(type, 4)                                                \
        }                                                                                                          \
    }

KERNEL(rows_q4_0, KV_TYPE_Q4_0)
KERNEL(rows_q4_1, KV_TYPE_Q4_1)
KERNEL(rows_q8_0, KV_TYPE_Q8_0)

void KV_NAME(kv_gemv)(const struct kv_linear *l, int row, int rows, const void *q, int n, bool coarse)
{
    for (int i = 0; i < n; i += AT_ONCE) {
        int here = n - i < AT_ONCE ? n - i : AT_ONCE;
        switch (l->w.type) {
        case KV_TYPE_Q4_0: rows_q4_0(l, row, rows, q, (size_t)i, here, coarse); break;
        case KV_TYPE_Q4_1: rows_q4_1(l, row, rows, q, (size_t)i, here, coarse); break;
        default: rows_q8_0(l, row, rows, q, (size_t)i, here, coarse); break;
        }
    }
}

#endif
