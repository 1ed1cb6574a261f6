/* How little each row was turned.
 *
 *   out[i] = a[i].b[i] / (|a[i]| |b[i]|)
 *
 * a, b [n][cols] f32, out [n] f32, sums in f64; a row of zeros gives 1 beside another, else 0. Reads 8 n cols bytes:
 * bound by memory. */
#include "kernels/cpu/cpu.h"

#include <math.h>

static float cosine_of(const float *a, const float *b, int cols)
{
    double dot = 0, aa = 0, bb = 0;
    for (int c = 0; c < cols; c++) {
        dot += (double)a[c] * (double)b[c];
        aa += (double)a[c] * (double)a[c];
        bb += (double)b[c] * (double)b[c];
    }
    if (aa == 0 || bb == 0) return aa == bb;
    return (float)(dot / (sqrt(aa) * sqrt(bb)));
}

enum kv_status kv_cpu_cosine(
    void *ctx, const float *a, const float *b, int n, int cols, float *out, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    (void)err;
    cpu->calls[KV_CPU_cosine]++;
#pragma omp parallel for num_threads(n *cols < 2 * KV_PARALLEL_GRAIN ? 1 : cpu->threads) schedule(static)
    for (int i = 0; i < n; i++)
        out[i] = cosine_of(a + (size_t)i * (size_t)cols, b + (size_t)i * (size_t)cols, cols);
    return KV_OK;
}
