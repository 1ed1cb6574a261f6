/* Few rows of x against quantized blocks, AVX-512 with VNNI: vpdpbusd multiplies 64 unsigned bytes by 64 signed.
 *
 * x is cut into quads of 128 columns. In each group of 32, x[c] = scale * (256 hi + lo) with signed bytes hi, lo and
 * scale = max|x| / 32639, so that 256*127 + 127 is the largest; coarse: x[c] = scale * hi, scale = max|x| / 127, where
 * max is over 32 columns or over 256.
 * Weights of every type are d q + m in groups of 16, q an unsigned byte with its bits as they stand in the block; what
 * a type subtracts from q goes into m. One row of outputs is then
 *     sum over groups of  d * scale * (256 hi.q + lo.q)  +  m * sum,    sum = scale * sum_c (256 hi + lo)
 * with everything inside the parentheses a whole number per lane of 4 columns. Where q needs all 8 bits (Q8_0 with its
 * sign bit flipped, the codes of IQ4_NL and IQ4_XS + 128) m would cost digits: there a number per lane that depends on
 * x alone, unsign, takes the 128 away, exactly. All are below 255 * 4 * 32768 < 2^26.
 *
 * A type is one function that lays out the q of a quad and one that gives d and m of its 8 groups: from the f16 fields
 * of 4 small blocks, or from the scales of a block of 256 (steps.h).
 *
 * Bytes: each weight once for up to 4 rows of x. Bound: memory for one row of x, except in the types of few bits. */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512VNNI__

#include "kernels/cpu/simd/steps.h"

#include <math.h>

#define QUAD       128 /* columns */
#define BLOCK      32  /* columns */
#define MAX_COARSE 127.0f
#define MAX_FINE   32639.0f
#define AT_ONCE    4 /* rows of x that one reading of the weights serves */
#define AHEAD      4096 /* bytes to prefetch ahead of the quad in work: some 300 ns, memory's latency and a page walk */

struct quad {
    int8_t hi[QUAD], lo[QUAD];
    float factor
        [16]; /* of each 16 columns: scale | sum. One product with 8 x d | 8 x m gives all that a quad needs */
    int32_t unsign[2][16]; /* per lane, -128 * (its four columns' q) */
};

size_t KV_NAME(kv_quantized_bytes)(int cols) { return ((size_t)cols + QUAD - 1) / QUAD * sizeof(struct quad); }

/* Bits of the largest magnitude among `cols` columns, a multiple of 32: NaN is above infinity there. */
static uint32_t largest_bits(const float *x, int cols)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i top = _mm512_setzero_si512();
    for (int c = 0; c < cols; c += 16)
        top = _mm512_max_epi32(top, _mm512_and_epi32(_mm512_castps_si512(_mm512_loadu_ps(x + c)), magnitude));
    return (uint32_t)_mm512_reduce_max_epi32(top);
}

/* Group b of a quad from 32 columns, of magnitudes up to largest. NaN or infinity makes the scale, and so every output,
 * NaN. */
static void quantize_group(const float *x, float largest, bool coarse, struct quad *q, int b)
{
    const __m512i bias = _mm512_set1_epi32(128);
    __m512 u = _mm512_loadu_ps(x), v = _mm512_loadu_ps(x + 16);
    float most = coarse ? MAX_COARSE : MAX_FINE;
    float scale = largest < KV_TINY ? 0 : largest / most, inverse = largest < KV_TINY ? 0 : most / largest;
    if (!(largest < HUGE_VALF)) scale = NAN, inverse = 0, u = v = _mm512_setzero_ps();
    __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(u, _mm512_set1_ps(inverse)));
    __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(inverse)));
    __m512i high_a = coarse ? a : _mm512_srai_epi32(_mm512_add_epi32(a, bias), 8);
    __m512i high_c = coarse ? c : _mm512_srai_epi32(_mm512_add_epi32(c, bias), 8);
    _mm_store_si128((void *)(q->hi + BLOCK * b), _mm512_cvtepi32_epi8(high_a));
    _mm_store_si128((void *)(q->hi + BLOCK * b + 16), _mm512_cvtepi32_epi8(high_c));
    if (!coarse) {
        _mm_store_si128((void *)(q->lo + BLOCK * b), _mm512_cvtepi32_epi8(a));
        _mm_store_si128((void *)(q->lo + BLOCK * b + 16), _mm512_cvtepi32_epi8(c));
    }
    q->factor[2 * b] = q->factor[2 * b + 1] = scale;
    q->factor[8 + 2 * b] = scale * (float)_mm512_reduce_add_epi32(a);
    q->factor[9 + 2 * b] = scale * (float)_mm512_reduce_add_epi32(c);
}

void KV_NAME(kv_quantize)(const float *x, int cols, int coarse, void *out)
{
    struct quad *q = out;
    int group = coarse ? coarse : BLOCK;
    float largest = 0;
    const __m512i flip = _mm512_set1_epi8((char)128), zero = _mm512_setzero_si512();
    for (int c = 0; c < cols; c += QUAD, q++) {
        if (c + QUAD > cols) memset(q, 0, sizeof *q);
        for (int b = 0, at = c; b < 4 && at < cols; b++, at += BLOCK) {
            if (at % group == 0) largest = kv_bits_f32(largest_bits(x + at, group));
            quantize_group(x + at, largest, coarse != 0, q, b);
        }
        for (int p = 0; p < 2; p++) {
            __m512i t = _mm512_dpbusd_epi32(zero, flip, _mm512_load_si512(q->hi + 64 * p));
            if (!coarse) t = _mm512_dpbusd_epi32(_mm512_slli_epi32(t, 8), flip, _mm512_load_si512(q->lo + 64 * p));
            _mm512_store_si512(q->unsign[p], _mm512_sub_epi32(zero, t));
        }
    }
}

/* A quad of weights: the bytes of its two pairs of blocks, and d, m of its blocks in the lanes that meet
 * factor's. */
/* Per byte: the 8 bits from bit `a` of the same byte on, for the lanes of 16 bytes in turn a, b, c, d. Bits that run over
 * come from the neighbor (a mask takes them away); a may be negative, which shifts up. */
VF_INLINE __m512i shifts(int a, int b, int c, int d)
{
    const uint64_t each = 0x0101010101010101, own = 0x3830282018100800;
    const long long la = (long long)(own + ((uint64_t)a & 63) * each),
                    lb = (long long)(own + ((uint64_t)b & 63) * each);
    const long long lc = (long long)(own + ((uint64_t)c & 63) * each),
                    ld = (long long)(own + ((uint64_t)d & 63) * each);
    return _mm512_set_epi64(ld, ld, lc, lc, lb, lb, la, la);
}

VF_INLINE __m512i bits(__m512i x, __m512i shift) { return _mm512_multishift_epi64_epi8(shift, x); }

VF_INLINE __m512i low_bits(__m512i x, __m512i shift, int mask)
{
    return _mm512_and_si512(bits(x, shift), _mm512_set1_epi8((char)mask));
}

/* x | (y & mask) */
VF_INLINE __m512i with_top(__m512i x, __m512i y, int mask)
{
    return _mm512_ternarylogic_epi64(x, y, _mm512_set1_epi8((char)mask), 0xf8);
}

VF_INLINE __m512i twice_32(const uint8_t *p) { return _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)p)); }

VF_INLINE __m512i decode(__m512i nibbles)
{
    const __m512i code =
        _mm512_xor_si512(_mm512_broadcast_i32x4(_mm_set_epi64x((long long)KV_IQ4_HIGH, (long long)KV_IQ4_LOW)),
            _mm512_set1_epi8((char)128));
    return _mm512_shuffle_epi8(code, nibbles);
}

/* q of a quad: columns 0-63 and 64-127; and d of its 8 groups, m of its 8 groups. */
struct weights {
    __m512i q[2];
    __m512 dm;
};

static bool flipped(int type) { return type == KV_TYPE_Q8_0 || type == KV_TYPE_IQ4_NL || type == KV_TYPE_IQ4_XS; }

/* --- blocks of 32: a quad is 4 of them --------------------------------------------------------------------------- */

/* Bytes of a block, and where its nibbles and its fifth bits begin. */
VF_INLINE int small_size(int type)
{
    return type == KV_TYPE_Q8_0   ? 34
           : type == KV_TYPE_Q5_1 ? 24
           : type == KV_TYPE_Q5_0 ? 22
           : type == KV_TYPE_Q4_1 ? 20
                                  : 18;
}
VF_INLINE bool has_minimum(int type) { return type == KV_TYPE_Q4_1 || type == KV_TYPE_Q5_1; }
VF_INLINE bool has_fifth(int type) { return type == KV_TYPE_Q5_0 || type == KV_TYPE_Q5_1; }

/* One byte index per byte: 16 bytes from a, twice, then 16 from b, twice. */
VF_INLINE __m512i twice(int a, int b)
{
    const __m128i step = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i at = _mm512_mask_mov_epi64(_mm512_set1_epi8((char)a), 0xf0, _mm512_set1_epi8((char)b));
    return _mm512_add_epi8(_mm512_broadcast_i32x4(step), at);
}

/* The f16 field at byte `at` of each of 4 blocks as an index into 64 of them: a quad's first 64 bytes, then its last. */
#define FIELD(size, block, at)                                                                                     \
    ((size) * (block) + (at) < 64 ? ((size) * (block) + (at)) / 2                                                  \
                                  : ((size) * (block) + (at) - (4 * (size)-64)) / 2 + 32)
#define FIELDS(size, at)                                                                                           \
    FIELD(size, 0, at), FIELD(size, 0, at), FIELD(size, 1, at), FIELD(size, 1, at), FIELD(size, 2, at),            \
        FIELD(size, 2, at), FIELD(size, 3, at), FIELD(size, 3, at)

VF_INLINE __m512 small_dm(int type, __m512i z, __m512i y)
{
    __m256i at;
    switch (type) {
    case KV_TYPE_Q4_1: at = _mm256_setr_epi16(FIELDS(20, 0), FIELDS(20, 2)); break;
    case KV_TYPE_Q5_1: at = _mm256_setr_epi16(FIELDS(24, 0), FIELDS(24, 2)); break;
    case KV_TYPE_Q5_0: at = _mm256_setr_epi16(FIELDS(22, 0), FIELDS(22, 0)); break;
    default: at = _mm256_setr_epi16(FIELDS(18, 0), FIELDS(18, 0)); break;
    }
    __m512i half = has_fifth(type) ? _mm512_permutex2var_epi16(z, _mm512_castsi256_si512(at), y)
                                   : _mm512_permutexvar_epi16(_mm512_castsi256_si512(at), z);
    __m512 dm = _mm512_cvtph_ps(_mm512_castsi512_si256(half));
    if (has_minimum(type) || flipped(type)) return dm;
    float minus = type == KV_TYPE_Q5_0 ? -16 : -8;
    return _mm512_mul_ps(dm, _mm512_mask_mov_ps(_mm512_set1_ps(1), 0xff00, _mm512_set1_ps(minus)));
}

/* z and y: the first and the last 64 bytes of the quad at w, of which `blocks` of 4 are there. */
VF_INLINE struct weights small_nibbles(int type, const uint8_t *w, int blocks, __m512i z, __m512i y)
{
    const int size = small_size(type), first = size - 16, skipped = 4 * size - 64, fifth = first - 4;
    const __m512i halves = shifts(0, 4, 0, 4);
    struct weights out = { .dm = small_dm(type, z, y) };
    out.q[0] = low_bits(_mm512_permutexvar_epi8(twice(first, first + size), z), halves, 15);
    out.q[1] = low_bits(
        _mm512_permutexvar_epi8(twice(first + 2 * size - skipped, first + 3 * size - skipped), y), halves, 15);
    for (int p = 0; p < 2; p++) {
        if (type == KV_TYPE_IQ4_NL) out.q[p] = decode(out.q[p]);
        if (!has_fifth(type)) continue;
        uint64_t top = 0;
        for (int k = 0; k < 2; k++)
            if (2 * p + k < blocks) top |= (uint64_t)kv_u32(w + (2 * p + k) * size + fifth) << 32 * k;
        out.q[p] = _mm512_mask_add_epi8(out.q[p], top, out.q[p], _mm512_set1_epi8(16));
    }
    return out;
}

VF_INLINE struct weights small_bytes(const uint8_t *w, int blocks)
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
    for (int p = 0; p < 2; p++) out.q[p] = _mm512_inserti64x4(_mm512_castsi256_si512(v[2 * p]), v[2 * p + 1], 1);
    const __m512i each = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3);
    out.dm = _mm512_permutexvar_ps(each, _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi64_si128((long long)d))));
    return out;
}

/* The first `blocks` of a quad's 4; what is not there is 0, and not read. */
VF_INLINE struct weights small_quad(int type, const uint8_t *w, int blocks)
{
    const int size = small_size(type), skipped = 4 * size - 64;
    if (type == KV_TYPE_Q8_0) return small_bytes(w, blocks);
    if (blocks == 4) return small_nibbles(type, w, blocks, _mm512_loadu_si512(w), _mm512_loadu_si512(w + skipped));
    int left = blocks * size;
    __mmask64 head = left >= 64 ? ~0ull : (1ull << left) - 1;
    __mmask64 tail = left > skipped ? (1ull << (left - skipped)) - 1 : 0;
    return small_nibbles(
        type, w, blocks, _mm512_maskz_loadu_epi8(head, w), _mm512_maskz_loadu_epi8(tail, w + skipped));
}

/* --- blocks of 256: two quads each ------------------------------------------------------------------------------- */

/* q of columns [64 p, 64 p + 64) of half h of a block; type, h and p are constants. */
VF_INLINE __m512i big_bytes(int type, const uint8_t *b, int h, int p)
{
    const int k = 4 * h + 2 * p; /* its first group of 32 */
    const __m512i pair = _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3);
    __m512i low;
    switch (type) {
    case KV_TYPE_Q2_K: return low_bits(twice_32(b + 16 + 32 * h), shifts(4 * p, 4 * p, 4 * p + 2, 4 * p + 2), 3);
    case KV_TYPE_Q3_K:
        low = low_bits(twice_32(b + 32 + 32 * h), shifts(4 * p, 4 * p, 4 * p + 2, 4 * p + 2), 3);
        return with_top(low, bits(twice_32(b), shifts(k - 2, k - 2, k - 1, k - 1)), 4);
    case KV_TYPE_Q4_K: return low_bits(twice_32(b + 16 + 16 * k), shifts(0, 0, 4, 4), 15);
    case KV_TYPE_Q5_K:
        low = low_bits(twice_32(b + 48 + 16 * k), shifts(0, 0, 4, 4), 15);
        return with_top(low, bits(twice_32(b + 16), shifts(k - 4, k - 4, k - 3, k - 3)), 16);
    case KV_TYPE_Q6_K:
        low = low_bits(_mm512_loadu_si512(b + 64 * h), shifts(4 * p, 4 * p, 4 * p, 4 * p), 15);
        return with_top(
            low, bits(twice_32(b + 128 + 32 * h), shifts(4 * p - 4, 4 * p - 4, 4 * p - 2, 4 * p - 2)), 48);
    default: /* IQ4_XS */
        low = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(b + 8 + 16 * k)));
        return decode(low_bits(_mm512_permutexvar_epi64(pair, low), shifts(0, 4, 0, 4), 15));
    }
}

VF_INLINE __m512 each_times(__m128i whole, float factor)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(whole)), _mm512_set1_ps(factor));
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* Whole numbers of 64 columns in 16 lanes. */
VF_INLINE __m512i products(const struct quad *q, int p, __m512i w, bool unsign, bool coarse)
{
    __m512i hi = _mm512_load_si512(q->hi + 64 * p), zero = _mm512_setzero_si512();
    if (coarse) return _mm512_dpbusd_epi32(unsign ? _mm512_load_si512(q->unsign[p]) : zero, w, hi);
    __m512i t = _mm512_slli_epi32(_mm512_dpbusd_epi32(zero, w, hi), 8);
    t = _mm512_dpbusd_epi32(t, w, _mm512_load_si512(q->lo + 64 * p));
    return unsign ? _mm512_add_epi32(t, _mm512_load_si512(q->unsign[p])) : t;
}

/* Adds a quad of weights, or its first half (halves 1), times the same of n rows of x. */
VF_INLINE void add_quad(int type, int n, bool coarse, int halves, struct weights v, const struct quad *q,
    size_t stride, __m512 sum[][AT_ONCE])
{
    const __m512i lane[2] = { _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
        _mm512_setr_epi32(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7) };
    for (int i = 0; i < n; i++) {
        const struct quad *x = q + (size_t)i * stride;
        __m512 factor = _mm512_mul_ps(v.dm, _mm512_load_ps(x->factor));
        for (int p = 0; p < halves; p++) {
            __m512 t = _mm512_cvtepi32_ps(products(x, p, v.q[p], flipped(type), coarse));
            sum[p][i] = _mm512_fmadd_ps(t, _mm512_permutexvar_ps(lane[p], factor), sum[p][i]);
        }
        if (!flipped(type)) sum[2][i] = _mm512_add_ps(sum[2][i], factor);
    }
}

VF_INLINE void small_row(int type, int n, bool coarse, const uint8_t *w, const uint8_t *end, const struct quad *q,
    size_t stride, __m512 sum[][AT_ONCE])
{
    const size_t size = 4 * (size_t)small_size(type);
    for (; w + size <= end; w += size, q++) {
        _mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)w + AHEAD + 64, _MM_HINT_T0);
        add_quad(type, n, coarse, 2, small_quad(type, w, 4), q, stride, sum);
    }
    int blocks = (int)((size_t)(end - w) / (size / 4));
    if (blocks == 3)
        add_quad(type, n, coarse, 2, small_quad(type, w, 3), q, stride, sum);
    else if (blocks)
        add_quad(type, n, coarse, 1, small_quad(type, w, blocks), q, stride, sum);
}

VF_INLINE void big_row(int type, int n, bool coarse, const uint8_t *w, const uint8_t *end, size_t size,
    const struct quad *q, size_t stride, __m512 sum[][AT_ONCE])
{
    for (; w < end; w += size, q += 2) {
        for (size_t line = 0; line < size; line += 64) _mm_prefetch((const char *)w + AHEAD + line, _MM_HINT_T0);
        struct kv_steps steps = kv_steps_read(type, w);
        __m512 d = each_times(steps.s, steps.d), m = flipped(type) ? d : each_times(steps.t, steps.m);
        struct weights one = { { big_bytes(type, w, 0, 0), big_bytes(type, w, 0, 1) },
            _mm512_shuffle_f32x4(d, m, 0x44) };
        add_quad(type, n, coarse, 2, one, q, stride, sum);
        struct weights two = { { big_bytes(type, w, 1, 0), big_bytes(type, w, 1, 1) },
            _mm512_shuffle_f32x4(d, m, 0xee) };
        add_quad(type, n, coarse, 2, two, q + 1, stride, sum);
    }
}

/* One row of weights for n rows of x: out[i] sums up to output i. n and type are constants; the same sums whatever n. */
VF_INLINE void one_row(int type, int elements, size_t size, int n, bool coarse, const uint8_t *w, size_t bytes,
    const struct quad *q, size_t stride, __m512 out[])
{
    __m512 sum[3][AT_ONCE];
    for (int i = 0; i < n; i++) sum[0][i] = sum[1][i] = sum[2][i] = _mm512_setzero_ps();
    if (elements == 32)
        small_row(type, n, coarse, w, w + bytes, q, stride, sum);
    else
        big_row(type, n, coarse, w, w + bytes, size, q, stride, sum);
    for (int i = 0; i < n; i++) {
        out[i] = _mm512_add_ps(sum[0][i], sum[1][i]);
        if (!flipped(type)) out[i] = _mm512_mask_add_ps(out[i], 0xff00, out[i], sum[2][i]);
    }
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

VF_INLINE void all_rows(int type, int elements, size_t size, int n, bool coarse, const struct kv_linear *l, int row,
    int rows, const struct quad *q, size_t first)
{
    size_t bytes = (size_t)l->w.cols / (size_t)elements * size, stride = ((size_t)l->w.cols + QUAD - 1) / QUAD;
    const uint8_t *w = (const uint8_t *)l->w.data + (size_t)row * bytes;
    __m512 sum[4][AT_ONCE];
    for (int r = 0; r < rows; r += 4) {
        int here = rows - r < 4 ? rows - r : 4;
        for (int k = 0; k < 4; k++) {
            if (k < here)
                one_row(type, elements, size, n, coarse, w, bytes, q + first * stride, stride, sum[k]);
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

#define GEMV_ACTIVATIONS struct quad
#include "kernels/cpu/simd/gemv_types.h"

#endif
