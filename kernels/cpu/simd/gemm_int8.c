/* The int8 GEMM, AVX-512 with VNNI: vpdpbusd adds four products of an unsigned byte and a signed one to each of 16 whole
 * numbers, at twice the rate of bf16.
 *
 * x comes in 8 bits with one scale a group (ops.h). Weights stay quantized in memory: of 32 outputs at a time, the whole
 * numbers of their groups are packed as bytes, [columns / 4][32][4], beside each group's scale, offset and what takes the
 * 128 of x away again. In a group all is exact; then one product with the two scales goes into the f32 sum, and of types
 * with an offset another with the sum of x. Groups are of 32 columns, or of 16 where a type's scales are.
 *
 * A tile of 6 rows of x and 32 outputs is 12 whole numbers and 12 sums in registers: 96 multiplies of a group for 64 loads
 * and 36 or 48 other instructions. Each sum takes the groups in ascending order, whatever rows come with it and however
 * the work is cut; more than CHUNK columns are taken in chunks, whose sums are added up in y in order. */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512VNNI__

#include "kernels/cpu/simd/gemm.h"
#include "kernels/cpu/simd/groups.h"
#include "kernels/cpu/simd/steps.h"

#include <math.h>

#define PACK  KV_PACK_OUTPUTS
#define CHUNK KV_PACK_COLUMNS
#define TALL  6 /* rows of x in a tile */
#define STEPS (KV_INT8_BLOCK / 4)

_Static_assert(sizeof(struct kv_packed_int8) == STEPS * PACK * 4 + 6 * PACK * sizeof(float), "no holes");

/* NaN or infinity makes the scale, and so every output, NaN. */
static void convert(const float *x, float largest, struct kv_int8_block *y)
{
    vf u = vf_load(x), v = vf_load(x + 16);
    float scale = largest < KV_TINY ? 0 : largest / 127, inverse = largest < KV_TINY ? 0 : 127 / largest;
    if (!(largest < HUGE_VALF)) scale = NAN, inverse = 0, u = v = vf_zero();
    __m512i a = _mm512_cvtps_epi32(vf_mul(u, vf_set1(inverse))),
            b = _mm512_cvtps_epi32(vf_mul(v, vf_set1(inverse)));
    const __m128i flip = _mm_set1_epi8((char)128);
    _mm_storeu_si128((void *)y->q, _mm_xor_si128(_mm512_cvtepi32_epi8(a), flip));
    _mm_storeu_si128((void *)(y->q + 16), _mm_xor_si128(_mm512_cvtepi32_epi8(b), flip));
    int first = _mm512_reduce_add_epi32(a), second = _mm512_reduce_add_epi32(b);
    y->scale = scale;
    y->sum[0] = scale * (float)first;
    y->sum[1] = scale * (float)second;
    y->whole = scale * (float)(first + second);
}

void KV_NAME(kv_to_int8)(const float *x, size_t cols, size_t group, struct kv_int8_block *y)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (size_t c = 0; c < cols; c += group) {
        __m512i top = _mm512_setzero_si512(); /* among bit patterns, where NaN is above infinity */
        for (size_t i = 0; i < group; i += 16)
            top = _mm512_max_epi32(top, _mm512_and_epi32(_mm512_castps_si512(vf_load(x + c + i)), magnitude));
        float largest = kv_bits_f32((uint32_t)_mm512_reduce_max_epi32(top));
        for (size_t i = 0; i < group; i += KV_INT8_BLOCK) convert(x + c + i, largest, y++);
    }
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* Scales and offsets of a row's block of 256 for output r of the 8 packed groups from p on. */
VF_INLINE void big_scales(int type, const uint8_t *b, struct kv_packed_int8 *p, int r)
{
    struct kv_steps steps = kv_steps_read(type, b);
    float s[16], t[16];
    vf_store(s, vf_mul(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(steps.s)), vf_set1(steps.d)));
    vf_store(t, vf_mul(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(steps.t)), vf_set1(steps.m)));
    for (int g = 0; g < 16; g++) p[g / 2].scale[g % 2][r] = s[g], p[g / 2].offset[g % 2][r] = t[g];
}

VF_INLINE void small_scales(int type, const uint8_t *b, struct kv_packed_int8 *p, int r)
{
    struct kv_group group;
    kv_group_scale(type, b, 0, &group);
    p->scale[0][r] = group.scale;
    p->offset[0][r] = group.offset;
}

/* The 64 columns from group g of 16 on of a row's block b, 32 of them where the row ends there. */
VF_INLINE __m512i row_bytes(int type, size_t elements, size_t block, const uint8_t *b, int g, bool both)
{
    __m512i v = _mm512_castsi128_si512(kv_group_bytes(type, b, g));
    v = _mm512_inserti32x4(v, kv_group_bytes(type, b, g + 1), 1);
    const uint8_t *next = elements == 32 ? b + block : b;
    int at = elements == 32 ? 0 : g + 2;
    __m512i w = _mm512_setzero_si512();
    if (both) {
        w = _mm512_inserti32x4(w, kv_group_bytes(type, next, at), 2);
        w = _mm512_inserti32x4(w, kv_group_bytes(type, next, at + 1), 3);
    }
    return _mm512_mask_blend_epi64(0x0f, w, v);
}

/* One group's columns of 16 outputs, transposed; split = a scale for each 16 columns. */
VF_INLINE void put_group(struct kv_packed_int8 *p, int first, const __m512i *v, bool split)
{
    const __m512i zero = _mm512_setzero_si512(), away = _mm512_set1_epi8((char)128);
    __m512i sum[2] = { zero, zero };
    for (int s = 0; s < STEPS; s++) {
        int half = split && s >= STEPS / 2;
        _mm512_storeu_si512(p->q[s] + 4 * first, v[s]);
        sum[half] = _mm512_dpbusd_epi32(sum[half], away, v[s]);
    }
    for (int half = 0; half < 2; half++)
        _mm512_storeu_si512(p->begin[half] + first, _mm512_sub_epi32(zero, sum[half]));
}

VF_INLINE bool is_split(int type) { return type == KV_TYPE_Q2_K || type == KV_TYPE_Q3_K || type == KV_TYPE_Q6_K; }

/* Whether the whole numbers that kv_group_bytes gives are all there is: d q, without an offset. */
VF_INLINE bool has_offset(int type)
{
    return type == KV_TYPE_Q4_1 || type == KV_TYPE_Q5_1 || type == KV_TYPE_Q2_K || type == KV_TYPE_Q4_K ||
           type == KV_TYPE_Q5_K;
}

/* Columns [from, to) of outputs [row, row + rows) of w; outputs up to PACK are filled with 0. */
VF_INLINE void pack(int type, size_t elements, size_t block, const struct kv_matrix *w, int row, int rows,
    size_t from, size_t to, struct kv_packed_int8 *packed)
{
    size_t bytes = (size_t)w->cols / elements * block;
    const uint8_t *data = (const uint8_t *)w->data + (size_t)row * bytes;
    if (rows < PACK) memset(packed, 0, (to - from) / KV_INT8_BLOCK * sizeof *packed);
    for (int r = 0; r < rows; r++)
        for (size_t c = from; c < to; c += elements) {
            const uint8_t *b = data + (size_t)r * bytes + c / elements * block;
            struct kv_packed_int8 *p = packed + (c - from) / KV_INT8_BLOCK;
            if (elements == 32)
                small_scales(type, b, p, r);
            else
                big_scales(type, b, p, r);
        }
    for (int first = 0; first < PACK; first += 16)
        for (size_t c = from; c < to; c += 64) {
            struct kv_packed_int8 *p = packed + (c - from) / KV_INT8_BLOCK;
            bool both = c + 32 < to;
            __m512i v[16];
            for (int r = 0; r < 16; r++) {
                const uint8_t *b = data + (size_t)(first + r) * bytes + c / elements * block;
                v[r] = first + r < rows ? row_bytes(type, elements, block, b, (int)(c % elements / KV_GROUP), both)
                                        : _mm512_setzero_si512();
            }
            gemm_transpose(v);
            put_group(p, first, v, is_split(type));
            if (both) put_group(p + 1, first, v + STEPS, is_split(type));
        }
}

/* --- products ----------------------------------------------------------------------------------------------------- */

/* Adds steps [from, to) of a group, which share a scale, to the sums of `rows` rows of x, `wide` blocks apart. */
VF_INLINE void add_steps(int rows, bool offset, const struct kv_int8_block *x, size_t wide,
    const struct kv_packed_int8 *w, int from, int to, vf a[], vf b[])
{
    int half = from > 0;
    __m512i s[TALL], t[TALL];
    for (int i = 0; i < rows; i++)
        s[i] = _mm512_load_si512(w->begin[half]), t[i] = _mm512_load_si512(w->begin[half] + 16);
    for (int k = from; k < to; k++) {
        __m512i v = _mm512_load_si512(w->q[k]), u = _mm512_load_si512(w->q[k] + 64);
        for (int i = 0; i < rows; i++) {
            int four;
            memcpy(&four, x[(size_t)i * wide].q + 4 * k, sizeof four);
            __m512i each = _mm512_set1_epi32(four);
            s[i] = _mm512_dpbusd_epi32(s[i], each, v);
            t[i] = _mm512_dpbusd_epi32(t[i], each, u);
        }
    }
    vf scale = vf_load(w->scale[half]), Scale = vf_load(w->scale[half] + 16);
    for (int i = 0; i < rows; i++) {
        const struct kv_int8_block *at = x + (size_t)i * wide;
        vf step = vf_set1(at->scale);
        a[i] = vf_fma(_mm512_cvtepi32_ps(s[i]), vf_mul(scale, step), a[i]);
        b[i] = vf_fma(_mm512_cvtepi32_ps(t[i]), vf_mul(Scale, step), b[i]);
        if (!offset) continue;
        vf sum = vf_set1(to - from == STEPS ? at->whole : at->sum[half]);
        a[i] = vf_fma(vf_load(w->offset[half]), sum, a[i]);
        b[i] = vf_fma(vf_load(w->offset[half] + 16), sum, b[i]);
    }
}

VF_INLINE void tile(int type, int rows, const struct gemm_target *t, const struct kv_int8_block *x, size_t wide,
    const struct kv_packed_int8 *w, size_t groups)
{
    vf a[TALL], b[TALL];
    for (int i = 0; i < rows; i++) a[i] = b[i] = vf_zero();
    for (size_t g = 0; g < groups; g++, x++, w++) {
        if (is_split(type)) {
            add_steps(rows, has_offset(type), x, wide, w, 0, STEPS / 2, a, b);
            add_steps(rows, has_offset(type), x, wide, w, STEPS / 2, STEPS, a, b);
        } else
            add_steps(rows, has_offset(type), x, wide, w, 0, STEPS, a, b);
    }
    for (int i = 0; i < rows; i++) gemm_finish(t, i, 0, a[i]), gemm_finish(t, i, 1, b[i]);
}

VF_INLINE void panel(int type, size_t elements, size_t block, const struct kv_linear *l, int row, int rows,
    const struct kv_int8_block *x, int n, struct kv_packed_int8 *packed)
{
    size_t cols = (size_t)l->w.cols, wide = cols / KV_INT8_BLOCK;
    for (size_t from = 0; from < cols; from += CHUNK) {
        size_t to = kv_min(from + CHUNK, cols), groups = (to - from) / KV_INT8_BLOCK;
        struct gemm_target t = { l->y + row, (size_t)l->w.rows, from || !l->bias ? NULL : l->bias + row,
            from || l->add, rows };
        pack(type, elements, block, &l->w, row, rows, from, to, packed);
        for (int i = 0, tall; i < n; i += tall, t.y += (size_t)tall * t.stride) {
            const struct kv_int8_block *at = x + (size_t)i * wide + from / KV_INT8_BLOCK;
            tall = n - i >= TALL ? TALL : n - i >= 2 ? 2 : 1;
            if (tall == TALL)
                tile(type, TALL, &t, at, wide, packed, groups);
            else if (tall == 2)
                tile(type, 2, &t, at, wide, packed, groups);
            else
                tile(type, 1, &t, at, wide, packed, groups);
        }
    }
}

void KV_NAME(kv_gemm_int8)(const struct kv_linear *l, int row, int rows, const struct kv_int8_block *x, int n,
    struct kv_packed_int8 *packed)
{
    switch (l->w.type) {
#define X(name, number, elements, bytes, half, halves)                                                             \
    case number: panel(number, elements, bytes, l, row, rows, x, n, packed); break;
        KV_QUANTIZED_LIST(X)
#undef X
    default: break;
    }
}

#endif
