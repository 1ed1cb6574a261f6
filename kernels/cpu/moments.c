/* First and second moments of query rows, by head, around a point of their own.
 *
 *   sum[h][c] += sum_i x[i][c],  product[h][c][e] += sum_i x[i][c] x[i][e]  for e <= c,   x[i] = q[i][h] - r[h]
 *
 * over the rows i of this call. q [n][H][d] f32, before RoPE. moments: a block of f32 for each head, r [d], sum [d],
 * product's lower triangle by rows [d (d + 1) / 2]; `fresh` makes q's first row r. Around a row of their own the sums do
 * not grow with what all rows have in common, which is most of a query, so nothing cancels when the covariance is taken
 * from them. 32 rows are added up before they join the rest. n H d (d + 1) flops; a job owns one head: the number of
 * threads changes no bit. */
#include "kernels/cpu/attention.h"

#include <string.h>

enum { ROWS = 32, LANES = 16 };

/* sum[k] = sum_i x[i][c] x[i][e + k]: kept in registers while the rows pass */
static void products(float (*x)[KV_ATTN_MAX_DIM], int n, int c, int e, float *sum)
{
    float part[LANES] = { 0 };
    for (int i = 0; i < n; i++)
        for (int k = 0; k < LANES; k++) part[k] += x[i][c] * x[i][e + k];
    memcpy(sum, part, sizeof part);
}

/* Some rows of one head, at most ROWS, into its block. */
static void add_rows(const float *q, size_t stride, int n, int d, float *block)
{
    float x[ROWS][KV_ATTN_MAX_DIM], part[LANES];
    float *sum = block + d, *product = block + 2 * d;
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < d; c++) x[i][c] = q[(size_t)i * stride + (size_t)c] - block[c];
        for (int c = d; c < KV_ATTN_MAX_DIM && c % LANES; c++) x[i][c] = 0;
    }
    for (int c = 0; c < d; product += ++c) {
        float all = 0;
        for (int i = 0; i < n; i++) all += x[i][c];
        sum[c] += all;
        for (int e = 0; e <= c; e += LANES) {
            products(x, n, c, e, part);
            for (int k = 0; k < LANES && e + k <= c; k++) product[e + k] += part[k];
        }
    }
}

enum kv_status kv_cpu_moments(
    void *ctx, const float *q, int n, int n_head, int head_dim, bool fresh, float *moments, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t d = (size_t)head_dim, stride = (size_t)n_head * d, block = 2 * d + d * (d + 1) / 2;
    cpu->calls[KV_CPU_moments]++;
    if (head_dim < 1 || head_dim > KV_ATTN_MAX_DIM)
        return kv_fail(err, KV_BAD_ARG, "Moments of head_dim %d; at most %d.", head_dim, KV_ATTN_MAX_DIM);
#pragma omp parallel for num_threads(n < ROWS ? 1 : cpu->threads) schedule(dynamic)
    for (int h = 0; h < n_head; h++) {
        float *to = moments + (size_t)h * block;
        const float *from = q + (size_t)h * d;
        for (int c = 0; fresh && n && c < head_dim; c++) to[c] = from[c];
        for (int i = 0; i < n; i += ROWS)
            add_rows(from + (size_t)i * stride, stride, n - i < ROWS ? n - i : ROWS, head_dim, to);
    }
    return KV_OK;
}
