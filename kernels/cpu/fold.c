/* Neighbouring rows, query heads of a kept set, added up.
 *
 *   out[g][j] = x[g*each][j] + x[g*each + 1][j] + ... in f64 and in this order
 *
 * x [groups*each][n] f32, rows `stride` apart; out [groups][n] f64. Bytes: 4 groups each n, and 8 groups n; bound by
 * memory. */
#include "kernels/cpu/cpu.h"

enum kv_status kv_cpu_fold(
    void *ctx, const float *x, size_t stride, int groups, int each, size_t n, double *out, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    (void)err;
    cpu->calls[KV_CPU_fold]++;
#pragma omp parallel for num_threads(n < KV_PARALLEL_GRAIN ? 1 : cpu->threads) schedule(static)
    for (int g = 0; g < groups; g++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (int i = 0; i < each; i++) {
                double one = (double)x[(size_t)(g * each + i) * stride + j];
                sum = i ? sum + one : one;
            }
            out[(size_t)g * n + j] = sum;
        }
    return KV_OK;
}
