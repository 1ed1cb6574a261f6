/* The f32 GEMM in vectors: lanes over columns, a tile of several rows of x by several outputs in registers.
 *
 * Output (i, r) is one vector accumulator, filled in ascending columns by fused multiply-adds, then summed over
 * its lanes: the same order in a tile of any size, so one row of x alone gives the bits that it gives among 512.
 * A tile of R rows and C outputs does R*C multiply-adds for R + C loads. */
#include "kernels/cpu/simd/ops.h"

#define TILE_ROWS    4
#define TILE_OUTPUTS (VF_REGISTERS == 32 ? 6 : 3)
#define ONE_OUTPUTS  6  /* of a tile of one row of x */
#define BLOCK_ROWS   32 /* rows of x that stay in the second cache while all outputs of a panel pass over them */
#define FEW_ROWS     16 /* below, weights that need no unpacking are read where they lie */

VF_INLINE vf load(int type, const char *w, size_t c)
{
    if (type == KV_TYPE_F16) return vf_load_f16((const uint16_t *)w + c);
    return type == KV_TYPE_BF16 ? vf_load_bf16((const uint16_t *)w + c) : vf_load((const float *)w + c);
}

VF_INLINE vf load_part(int type, const char *w, size_t c, size_t n)
{
    if (type == KV_TYPE_F16) return vf_load_f16_part((const uint16_t *)w + c, n);
    return type == KV_TYPE_BF16 ? vf_load_bf16_part((const uint16_t *)w + c, n)
                                : vf_load_part((const float *)w + c, n);
}

/* nr rows of x by nc outputs; w: their rows of weights of an unpacked type, `bytes` apart. */
VF_INLINE void tile(const struct kv_linear *l, int type, int nr, int nc, const float *x, const char *w,
    size_t bytes, size_t i, size_t r)
{
    size_t cols = (size_t)l->w.cols, c = 0;
    vf sum[TILE_ROWS][ONE_OUTPUTS];
    for (int a = 0; a < nr; a++)
        for (int b = 0; b < nc; b++) sum[a][b] = vf_zero();
    for (; c + VF_WIDTH <= cols; c += VF_WIDTH) {
        vf v[ONE_OUTPUTS];
        for (int b = 0; b < nc; b++) v[b] = load(type, w + (size_t)b * bytes, c);
        /* One row of x waits for memory, and several short streams are more than the processor follows by itself. */
        if (nr == 1 && type != KV_TYPE_F32)
            for (int b = 0; b < nc; b++) _mm_prefetch(w + (size_t)(b + nc) * bytes + 2 * c, _MM_HINT_T0);
        for (int a = 0; a < nr; a++) {
            vf u = vf_load(x + (size_t)a * cols + c);
            for (int b = 0; b < nc; b++) sum[a][b] = vf_fma(u, v[b], sum[a][b]);
        }
    }
    if (c < cols)
        for (int a = 0; a < nr; a++)
            for (int b = 0; b < nc; b++)
                sum[a][b] = vf_fma(vf_load_part(x + (size_t)a * cols + c, cols - c),
                    load_part(type, w + (size_t)b * bytes, c, cols - c), sum[a][b]);
    for (int a = 0; a < nr; a++)
        for (int b = 0; b < nc; b++) kv_finish(l, i + (size_t)a, r + (size_t)b, vf_sum(sum[a][b]));
}

/* Outputs [row, row + rows) of x[first..last); w: the first of them. type is a constant. */
VF_INLINE void panel(const struct kv_linear *l, int type, int row, int rows, const float *x, int first, int last,
    const char *w, size_t bytes)
{
    size_t cols = (size_t)l->w.cols;
    for (int r = 0, wide; r < rows; r += wide) {
        const char *b = w + (size_t)r * bytes;
        size_t at = (size_t)(row + r);
        wide = rows - r >= TILE_OUTPUTS ? TILE_OUTPUTS : 1;
        if (last - first < TILE_ROWS && rows - r >= ONE_OUTPUTS) wide = ONE_OUTPUTS;
        for (int i = first; i < last;) {
            const float *a = x + (size_t)i * cols;
            int tall = last - i >= TILE_ROWS ? TILE_ROWS : 1;
            if (wide == 1 && tall == 1)
                tile(l, type, 1, 1, a, b, bytes, (size_t)i, at);
            else if (wide == 1)
                tile(l, type, TILE_ROWS, 1, a, b, bytes, (size_t)i, at);
            else if (tall == TILE_ROWS)
                tile(l, type, TILE_ROWS, TILE_OUTPUTS, a, b, bytes, (size_t)i, at);
            else if (wide == TILE_OUTPUTS)
                tile(l, type, 1, TILE_OUTPUTS, a, b, bytes, (size_t)i, at);
            else
                tile(l, type, 1, ONE_OUTPUTS, a, b, bytes, (size_t)i, at);
            i += tall;
        }
    }
}

void KV_NAME(kv_gemm_panel)(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w)
{
    size_t cols = (size_t)l->w.cols, bytes = kv_type_bytes(l->w.type, cols);
    const char *data = (const char *)l->w.data + (size_t)row * bytes;
    if (n < FEW_ROWS && l->w.type == KV_TYPE_F32) return panel(l, KV_TYPE_F32, row, rows, x, 0, n, data, bytes);
    if (n < FEW_ROWS && l->w.type == KV_TYPE_F16) return panel(l, KV_TYPE_F16, row, rows, x, 0, n, data, bytes);
    if (n < FEW_ROWS && l->w.type == KV_TYPE_BF16) return panel(l, KV_TYPE_BF16, row, rows, x, 0, n, data, bytes);
    KV_NAME(kv_dequantize)(l->w.type, data, (size_t)rows * cols, w);
    for (int first = 0; first < n; first += BLOCK_ROWS)
        panel(l, KV_TYPE_F32, row, rows, x, first, (int)kv_min((size_t)n, (size_t)first + BLOCK_ROWS),
            (const char *)w, cols * sizeof *w);
}

/* NaN stays where it is; among infinities the step is one, and 0 times it NaN. */
void KV_NAME(kv_round_int8_row)(const float *x, size_t cols, size_t group, float *y)
{
    for (size_t end = group; end <= cols; end += group, x += group, y += group) {
        vf top = vf_zero();
        for (size_t c = 0; c < group; c += VF_WIDTH) {
            vf v = vf_load(x + c);
            top = vf_max(vf_max(v, vf_sub(vf_zero(), v)), top);
        }
        float largest = vf_max_all(top);
        vf step = vf_set1(largest < KV_TINY ? 0 : largest / 127),
           inverse = vf_set1(largest < KV_TINY ? 0 : 127 / largest);
        for (size_t c = 0; c < group; c += VF_WIDTH)
            vf_store(y + c, vf_mul(vf_round(vf_mul(vf_load(x + c), inverse)), step));
    }
}
