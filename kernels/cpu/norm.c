/* RMS norm: y[i][c] = x[i][c] / sqrt(mean_c x[i][c]^2 + eps) * weight[c].
 *
 * x, y [n][cols] f32, weight [cols] f32; y == x allowed. Bytes: 4*n*cols read, as many written (from cache);
 * 3*n*cols flops. The mean is one sum in a fixed order (the vector paths: one sum a lane, then a tree), so rows
 * and threads change no bit. Also used per head (qwen3's q_norm, k_norm) with n = tokens * heads. */
#include "kernels/cpu/ops.h"

#include <math.h>

void kv_norm_row(const float *x, const float *weight, float eps, int cols, float *y)
{
    float sum = 0;
    for (int c = 0; c < cols; c++) sum += x[c] * x[c];
    float scale = 1.0f / sqrtf(sum / (float)cols + eps);
    for (int c = 0; c < cols; c++) y[c] = x[c] * scale * weight[c];
}

enum kv_status kv_cpu_norm(
    void *ctx, const float *x, const float *weight, float eps, int n, int cols, float *y, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_norm]++;
    if (n < 0 || cols < 1) return kv_fail(err, KV_BAD_ARG, "A norm of %d rows of %d columns.", n, cols);
    size_t step = (size_t)cols;
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if ((size_t)n * step >= 2 * KV_PARALLEL_GRAIN)
    for (int i = 0; i < n; i++) cpu->ops->norm(x + (size_t)i * step, weight, eps, cols, y + (size_t)i * step);
    return KV_OK;
}
