/* The f32 GEMM in vectors: lanes over columns, a tile of several rows of x by several outputs in registers.
 *
 * Output (i, r) is one vector accumulator, filled in ascending columns by fused multiply-adds, then summed over
 * its lanes: the same order in a tile of any size, so one row of x alone gives the bits that it gives among 512.
 * A tile of R rows and C outputs does R*C multiply-adds for R + C loads. */
#include "kernels/cpu/simd/ops.h"

#define TILE_ROWS    4
#define TILE_OUTPUTS (VF_REGISTERS == 32 ? 6 : 3)
#define BLOCK_ROWS   32 /* rows of x that stay in the second cache while all outputs of a panel pass over them */

VF_INLINE void tile(const struct kv_linear *l, int nr, int nc, const float *x, const float *w, size_t i, size_t r)
{
    size_t cols = (size_t)l->w.cols, c = 0;
    vf sum[TILE_ROWS][TILE_OUTPUTS];
    for (int a = 0; a < nr; a++)
        for (int b = 0; b < nc; b++) sum[a][b] = vf_zero();
    for (; c + VF_WIDTH <= cols; c += VF_WIDTH) {
        vf v[TILE_OUTPUTS];
        for (int b = 0; b < nc; b++) v[b] = vf_load(w + (size_t)b * cols + c);
        for (int a = 0; a < nr; a++) {
            vf u = vf_load(x + (size_t)a * cols + c);
            for (int b = 0; b < nc; b++) sum[a][b] = vf_fma(u, v[b], sum[a][b]);
        }
    }
    if (c < cols)
        for (int a = 0; a < nr; a++)
            for (int b = 0; b < nc; b++)
                sum[a][b] = vf_fma(vf_load_part(x + (size_t)a * cols + c, cols - c),
                    vf_load_part(w + (size_t)b * cols + c, cols - c), sum[a][b]);
    for (int a = 0; a < nr; a++)
        for (int b = 0; b < nc; b++) kv_finish(l, i + (size_t)a, r + (size_t)b, vf_sum(sum[a][b]));
}

void KV_NAME(kv_gemm_panel)(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w)
{
    size_t cols = (size_t)l->w.cols, bytes = kv_type_bytes(l->w.type, cols);
    KV_NAME(kv_dequantize)(l->w.type, (const char *)l->w.data + (size_t)row * bytes, (size_t)rows * cols, w);
    for (int first = 0; first < n; first += BLOCK_ROWS) {
        int last = (int)kv_min((size_t)n, (size_t)first + BLOCK_ROWS);
        for (int r = 0; r < rows;) {
            bool wide = rows - r >= TILE_OUTPUTS;
            const float *b = w + (size_t)r * cols;
            for (int i = first; i < last;) {
                bool tall = last - i >= TILE_ROWS;
                const float *a = x + (size_t)i * cols;
                size_t at = (size_t)(row + r);
                if (wide && tall)
                    tile(l, TILE_ROWS, TILE_OUTPUTS, a, b, (size_t)i, at);
                else if (wide)
                    tile(l, 1, TILE_OUTPUTS, a, b, (size_t)i, at);
                else if (tall)
                    tile(l, TILE_ROWS, 1, a, b, (size_t)i, at);
                else
                    tile(l, 1, 1, a, b, (size_t)i, at);
                i += tall ? TILE_ROWS : 1;
            }
            r += wide ? TILE_OUTPUTS : 1;
        }
    }
}
