/* Few rows of x against quantized blocks, AVX-512 with VNNI: vpdpbusd multiplies 64 unsigned bytes by 64 signed.
 *
 * x is cut into quads of 128 columns (4 blocks). In each group of 32, x[c] = scale * (256 hi + lo) with signed
 * bytes hi, lo and scale = max|x| / 32639, so that 256*127 + 127 is the largest; coarse: x[c] = scale * hi, scale
 * = max|x| / 127. The bytes of the weights are unsigned: nibbles as they stand, Q8_0 with its sign bit flipped
 * (w + 128). What that adds is a number per lane that depends on x alone: unsign. One row of outputs is then
 *     sum over blocks of  d * scale * (256 hi.w + lo.w + unsign)  +  m * sum,    sum = scale * sum_c q[c]
 * with everything inside the parentheses whole numbers below 2^31 (255 * 4 * 32767 * ... < 2^27): exact.
 *
 * Bytes: each weight once for up to 4 rows of x. Bound: memory (Q4_1: 25 vector operations a quad of 80 bytes). */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512VNNI__

#include "kernels/blocks.h"

#include <math.h>

#define QUAD       128 /* columns */
#define BLOCK      32  /* columns */
#define MAX_COARSE 127.0f
#define MAX_FINE   32639.0f
#define AT_ONCE    4    /* rows of x that one reading of the weights serves */
#define AHEAD      1024 /* bytes to prefetch ahead of the quad in work */

struct quad {
    int8_t hi[QUAD], lo[QUAD];
    float scale[2][16];    /* per pair of blocks: eight lanes the first's, eight the second's */
    float sum[16];         /* lanes 0-3: -8 * sum of the four blocks, lanes 4-7: their sums, the rest 0 */
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
    _mm256_store_ps(q->scale[b / 2] + b % 2 * 8, _mm256_set1_ps(scale));
    q->sum[b] = -8 * (scale * (float)sum);
    q->sum[4 + b] = scale * (float)sum;
}

void KV_NAME(kv_quantize)(const float *x, int cols, bool coarse, void *out)
{
    struct quad *q = out;
    const __m512i flip = _mm512_set1_epi8((char)128), zero = _mm512_setzero_si512();
    for (int c = 0; c < cols; c += QUAD, q++) {
        if (c + QUAD > cols) memset(q, 0, sizeof *q);
        memset(q->sum, 0, sizeof q->sum);
        for (int b = 0; b < 4 && c + b * BLOCK < cols; b++) quantize_group(x + c + b * BLOCK, coarse, q, b);
        for (int p = 0; p < 2; p++) {
            __m512i t = _mm512_dpbusd_epi32(zero, flip, _mm512_load_si512(q->hi + 64 * p));
            if (!coarse) t = _mm512_dpbusd_epi32(_mm512_slli_epi32(t, 8), flip, _mm512_load_si512(q->lo + 64 * p));
            _mm512_store_si512(q->unsign[p], _mm512_sub_epi32(zero, t));
        }
    }
}

/* A quad of weights: bytes of the two pairs of blocks, d in the lanes of each pair, and what multiplies sum. */
struct weights {
    __m512i bytes[2];
    __m512 d[2], m;
};

/* Where f16 number k of each of four blocks stands, in 16-bit lanes, the blocks being `size` bytes long. */
#define LANES(size, k) k, (size) / 2 + k, (size) + k, (size)*3 / 2 + k

/* Nibbles of Q4_0 and Q4_1; `left` bytes from w on belong to the row. Both loads stay inside the quad: the
 * second ends where the quad ends. */
VF_INLINE struct weights read_nibbles(int type, const uint8_t *w, size_t left)
{
    const int size = type == KV_TYPE_Q4_1 ? 20 : 18, first = size - 16, second = 4 * size - 64;
    struct weights out;
    __m512i z, y;
    if (left >= (size_t)(4 * size)) {
        z = _mm512_loadu_si512(w);
        y = _mm512_loadu_si512(w + second);
    } else {
        __mmask64 all = left >= 64 ? ~0ull : (1ull << left) - 1;
        z = _mm512_maskz_loadu_epi8(all, w);
        y = left > (size_t)second ? _mm512_maskz_loadu_epi8((1ull << (left - (size_t)second)) - 1, w + second)
                                  : _mm512_setzero_si512();
    }
    const __m128i step = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i a = _mm_add_epi8(step, _mm_set1_epi8((char)first));
    const __m128i b = _mm_add_epi8(step, _mm_set1_epi8((char)(first + size)));
    const __m128i c = _mm_add_epi8(step, _mm_set1_epi8((char)(first + 2 * size - second)));
    const __m128i d = _mm_add_epi8(step, _mm_set1_epi8((char)(first + 3 * size - second)));
    const __m512i ab =
        _mm512_inserti32x4(_mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(a), a, 1), b, 2), b, 3);
    const __m512i cd =
        _mm512_inserti32x4(_mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(c), c, 1), d, 2), d, 3);
    const __m512i shift = _mm512_setr_epi64(
        0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004, 0x0004000400040004);
    const __m512i nibble = _mm512_set1_epi8(15);
    out.bytes[0] = _mm512_and_si512(_mm512_srlv_epi16(_mm512_permutexvar_epi8(ab, z), shift), nibble);
    out.bytes[1] = _mm512_and_si512(_mm512_srlv_epi16(_mm512_permutexvar_epi8(cd, y), shift), nibble);
    if (type == KV_TYPE_Q4_1) {
        const __m512i index =
            _mm512_castsi256_si512(_mm256_setr_epi16(0, 0, 0, 0, LANES(20, 1), LANES(20, 0), 0, 0, 0, 0));
        out.m = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_maskz_permutexvar_epi16(0x0ff0, index, z)));
        out.d[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9), out.m);
        out.d[1] = _mm512_permutexvar_ps(
            _mm512_setr_epi32(10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11), out.m);
    } else {
        const __m512i index =
            _mm512_castsi256_si512(_mm256_setr_epi16(LANES(18, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
        out.m = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_maskz_permutexvar_epi16(0x000f, index, z)));
        out.d[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), out.m);
        out.d[1] = _mm512_permutexvar_ps(_mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), out.m);
    }
    return out;
}

/* Q8_0: 4 blocks of d and 32 signed bytes; fewer at the end of a row. */
VF_INLINE struct weights read_bytes(const uint8_t *w, size_t left)
{
    struct weights out = { 0 };
    uint8_t part[4 * 34] = { 0 };
    if (left < sizeof part) {
        memcpy(part, w, left);
        w = part;
    }
    const __m512i flip = _mm512_set1_epi8((char)128);
    uint64_t d = kv_u16(w) | (uint64_t)kv_u16(w + 34) << 16 | (uint64_t)kv_u16(w + 68) << 32 |
                 (uint64_t)kv_u16(w + 102) << 48;
    __m512 four = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi64_si128((long long)d)));
    for (int p = 0; p < 2; p++) {
        __m256i a = _mm256_loadu_si256((const void *)(w + 68 * p + 2));
        __m256i b = _mm256_loadu_si256((const void *)(w + 68 * p + 36));
        out.bytes[p] = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1), flip);
    }
    out.d[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), four);
    out.d[1] = _mm512_permutexvar_ps(_mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), four);
    return out;
}

/* Whole numbers of one pair of blocks in 16 lanes. */
VF_INLINE __m512i products(const struct quad *q, int p, __m512i w, bool unsign, bool coarse)
{
    __m512i start = unsign ? _mm512_load_si512(q->unsign[p]) : _mm512_setzero_si512();
    __m512i hi = _mm512_load_si512(q->hi + 64 * p);
    if (coarse) return _mm512_dpbusd_epi32(start, w, hi);
    __m512i t = _mm512_slli_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, hi), 8);
    __m512i u = _mm512_dpbusd_epi32(start, w, _mm512_load_si512(q->lo + 64 * p));
    return _mm512_add_epi32(t, u);
}

/* Outputs of one row of weights for n rows of x, n and type constants. */
VF_INLINE void one_row(
    int type, int n, bool coarse, const uint8_t *w, size_t bytes, const struct quad *q, size_t stride, float *out)
{
    const size_t size = type == KV_TYPE_Q4_1 ? 80 : type == KV_TYPE_Q4_0 ? 72 : 136;
    __m512 even[AT_ONCE], odd[AT_ONCE], rest[AT_ONCE];
    for (int i = 0; i < n; i++) even[i] = odd[i] = rest[i] = _mm512_setzero_ps();
    for (size_t at = 0; at < bytes; at += size, q++) {
        _mm_prefetch((const char *)w + at + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)w + at + AHEAD + 64, _MM_HINT_T0);
        struct weights v =
            type == KV_TYPE_Q8_0 ? read_bytes(w + at, bytes - at) : read_nibbles(type, w + at, bytes - at);
        for (int i = 0; i < n; i++) {
            const struct quad *x = q + (size_t)i * stride;
            __m512 a = _mm512_cvtepi32_ps(products(x, 0, v.bytes[0], type == KV_TYPE_Q8_0, coarse));
            __m512 b = _mm512_cvtepi32_ps(products(x, 1, v.bytes[1], type == KV_TYPE_Q8_0, coarse));
            even[i] = _mm512_fmadd_ps(a, _mm512_mul_ps(v.d[0], _mm512_load_ps(x->scale[0])), even[i]);
            odd[i] = _mm512_fmadd_ps(b, _mm512_mul_ps(v.d[1], _mm512_load_ps(x->scale[1])), odd[i]);
            if (type != KV_TYPE_Q8_0) rest[i] = _mm512_fmadd_ps(v.m, _mm512_load_ps(x->sum), rest[i]);
        }
    }
    for (int i = 0; i < n; i++) out[i] = vf_sum(vf_add(vf_add(even[i], odd[i]), rest[i]));
}

VF_INLINE void all_rows(
    int type, int n, bool coarse, const struct kv_linear *l, int row, int rows, const struct quad *q, size_t first)
{
    size_t bytes = kv_type_bytes(type, (size_t)l->w.cols), stride = ((size_t)l->w.cols + QUAD - 1) / QUAD;
    const uint8_t *w = (const uint8_t *)l->w.data + (size_t)row * bytes;
    float out[AT_ONCE];
    for (int r = 0; r < rows; r++, w += bytes) {
        one_row(type, n, coarse, w, bytes, q + first * stride, stride, out);
        for (int i = 0; i < n; i++) kv_finish(l, first + (size_t)i, (size_t)(row + r), out[i]);
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
