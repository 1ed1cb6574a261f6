/* The bf16 GEMM, AVX-512: vdpbf16ps adds two products to each of 16 f32 sums, at twice the f32 rate.
 *
 * Weights stay quantized in memory. PACK outputs at a time are dequantised, rounded to bf16 and packed in the second
 * cache, [columns / 2][PACK][2]: pairs of columns of neighboring outputs side by side, so that one register holds
 * a pair for 16 outputs while a pair of x is broadcast. A tile of 12 rows of x and 32 outputs is 24 sums: 24
 * multiplies for 14 loads. Each sum takes the columns in ascending order, whatever rows come with it and however
 * the work is cut. More than CHUNK columns are taken in chunks, whose sums are added up in y in order.
 *
 * x is rounded to bf16 once, in rows padded with zeros to whole pairs of 16. Denormals of bf16 count as 0.
 * Packing 16 rows of 32 columns is one transpose of 16 x 16 pairs in registers: about 3 % of the time at 512 rows.
 *
 * Measured (one core of a Zen 4 server, peak 234 GFLOP/s, 512 rows, results in cache): 223 to 231 GFLOP/s with
 * every type, packing included (5 to 27 G weights/s). oneDNN 2.6.3 makes 205 to 226 a core at these shapes with
 * weights packed beforehand, and cannot write into the rows of a wider matrix. */
#include "kernels/cpu/simd/ops.h"

#ifdef __AVX512BF16__

#include "kernels/cpu/simd/gemm.h"
#include "kernels/cpu/simd/groups.h"

#define COLUMNS 32 /* of one packing step; a divisor of CHUNK */
#define PAIRS   16
#define PACK    KV_PACK_OUTPUTS
#define CHUNK   KV_PACK_COLUMNS
#define TALL    12 /* rows of x in a tile */

/* y[columns, padded with 0 to a multiple of 32] = bf16 of x[columns]. */
void KV_NAME(kv_to_bf16)(const float *x, size_t cols, uint16_t *y)
{
    size_t c = 0;
    for (; c + VF_WIDTH <= cols; c += VF_WIDTH) vf_store_bf16(y + c, vf_load(x + c));
    if (c < cols) vf_store_bf16(y + c, vf_load_part(x + c, cols - c)), c += VF_WIDTH;
    if (c % COLUMNS) vf_store_bf16(y + c, vf_zero());
}

/* 32 bf16 from two vectors of f32, in order. */
VF_INLINE __m512i narrow(vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/* Columns [c, c + 32) of one row that starts at w, as bf16; type is a constant. */
VF_INLINE __m512i row_columns(int type, size_t elements, size_t block, const uint8_t *w, size_t c, size_t cols)
{
    size_t left = cols - c;
    const uint8_t *b = w + c / elements * block;
    if (type == KV_TYPE_BF16) {
        if (left >= COLUMNS) return _mm512_loadu_si512(b);
        return _mm512_maskz_loadu_epi16((__mmask32)((1u << left) - 1), b);
    }
    if (type == KV_TYPE_F32 && left >= COLUMNS)
        return narrow(vf_load((const float *)b), vf_load((const float *)b + VF_WIDTH));
    if (type == KV_TYPE_F16 && left >= COLUMNS)
        return narrow(vf_load_f16((const uint16_t *)b), vf_load_f16((const uint16_t *)b + VF_WIDTH));
    if (type == KV_TYPE_F32 || type == KV_TYPE_F16) {
        float values[COLUMNS] = { 0 };
        KV_NAME(kv_dequantize)(type, b, left < COLUMNS ? left : COLUMNS, values);
        return narrow(vf_load(values), vf_load(values + VF_WIDTH));
    }
    vf v[2];
    int g = (int)(c % elements / KV_GROUP);
    kv_group_floats(type, b, g, &v[0]);
    kv_group_floats(type, b, g + 1, &v[1]);
    return narrow(v[0], v[1]);
}

/* Columns [from, to) of outputs [row, row + rows) of w; outputs up to PACK and columns up to a multiple of 32 are
 * filled with 0. */
VF_INLINE void pack(int type, size_t elements, size_t block, const struct kv_matrix *w, int row, int rows,
    size_t from, size_t to, uint16_t *packed)
{
    size_t cols = (size_t)w->cols, bytes = cols / elements * block;
    const uint8_t *data = (const uint8_t *)w->data + (size_t)row * bytes;
    for (int first = 0; first < PACK; first += PAIRS) {
        int here = rows - first < PAIRS ? (rows > first ? rows - first : 0) : PAIRS;
        uint16_t *out = packed + 2 * first;
        for (size_t c = from; c < to; c += COLUMNS, out += COLUMNS * PACK) {
            __m512i v[PAIRS];
            for (int r = 0; r < PAIRS; r++)
                v[r] = r < here ? row_columns(type, elements, block, data + (size_t)(first + r) * bytes, c, cols)
                                : _mm512_setzero_si512();
            gemm_transpose(v);
            for (int p = 0; p < PAIRS; p++) _mm512_storeu_si512(out + (size_t)p * 2 * PACK, v[p]);
        }
    }
}

static void pack_any(const struct kv_matrix *w, int row, int rows, size_t from, size_t to, uint16_t *packed)
{
    switch (w->type) {
#define X(name, number, elements, bytes, half, halves)                                                             \
    case number: pack(number, elements, bytes, w, row, rows, from, to, packed); break;
        KV_TYPE_LIST(X)
#undef X
    default: break;
    }
}

/* x: `rows` rows, `wide` apart; packed: `pairs` pairs of columns. */
VF_INLINE void tile(
    int rows, const struct gemm_target *t, const uint16_t *x, size_t wide, const uint16_t *packed, size_t pairs)
{
    __m512 a[TALL], b[TALL];
    for (int i = 0; i < rows; i++) {
        a[i] = b[i] = _mm512_setzero_ps();
        __builtin_prefetch(t->y + (size_t)i * t->stride, 1);
        __builtin_prefetch(t->y + (size_t)i * t->stride + VF_WIDTH, 1);
    }
    for (size_t p = 0; p < pairs; p++, packed += 2 * PACK) {
        __m512bh v = (__m512bh)_mm512_loadu_si512(packed), w = (__m512bh)_mm512_loadu_si512(packed + PACK);
        for (int i = 0; i < rows; i++) {
            int pair;
            memcpy(&pair, x + (size_t)i * wide + 2 * p, sizeof pair);
            __m512bh u = (__m512bh)_mm512_set1_epi32(pair);
            a[i] = _mm512_dpbf16_ps(a[i], u, v);
            b[i] = _mm512_dpbf16_ps(b[i], u, w);
        }
    }
    for (int i = 0; i < rows; i++) gemm_finish(t, i, 0, a[i]), gemm_finish(t, i, 1, b[i]);
}

void KV_NAME(kv_gemm_bf16)(const struct kv_linear *l, int row, int rows, const uint16_t *x, int n, uint16_t *packed)
{
    size_t wide = kv_padded((size_t)l->w.cols);
    for (size_t from = 0; from < wide; from += CHUNK) {
        size_t to = kv_min(from + CHUNK, wide), pairs = (to - from) / 2;
        struct gemm_target t = { l->y + row, (size_t)l->w.rows, from || !l->bias ? NULL : l->bias + row,
            from || l->add, rows };
        pack_any(&l->w, row, rows, from, to, packed);
        for (int i = 0; i < n;) {
            const uint16_t *a = x + (size_t)i * wide + from;
            int tall = n - i >= TALL ? TALL : n - i >= 4 ? 4 : 1;
            if (tall == TALL)
                tile(TALL, &t, a, wide, packed, pairs);
            else if (tall == 4)
                tile(4, &t, a, wide, packed, pairs);
            else
                tile(1, &t, a, wide, packed, pairs);
            t.y += (size_t)tall * t.stride;
            i += tall;
        }
    }
}

#endif
