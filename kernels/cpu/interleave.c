/* Interleave: the two halves of each head's channels become pairs of neighbours,
 *   y[2c] = x[c],  y[2c + 1] = x[c + head_dim/2].
 *
 * x [n][heads][head_dim] f32 in place, head_dim even. Bytes: 4*n*heads*head_dim read and written (from cache). The
 * numbers stay; only their order changes, so that keys and queries of the same weights in either order of rows are
 * summed in one order, to the same bits. */
#include "kernels/cpu/ops.h"

#include <string.h>

static void interleave_head(float *x, int head_dim)
{
    float was[KV_INTERLEAVE_MAX];
    int half = head_dim / 2;
    memcpy(was, x, (size_t)head_dim * sizeof *x);
    for (int c = 0; c < half; c++) {
        x[2 * c] = was[c];
        x[2 * c + 1] = was[c + half];
    }
}

enum kv_status kv_cpu_interleave(void *ctx, float *x, int n, int heads, int head_dim, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t row = (size_t)heads * (size_t)head_dim;
    cpu->calls[KV_CPU_interleave]++;
    if (n < 0 || heads < 1 || head_dim < 2 || head_dim % 2 || head_dim > KV_INTERLEAVE_MAX)
        return kv_fail(err, KV_BAD_ARG, "Interleaving %d rows of %d heads of %d channels; even widths go up to %d.",
            n, heads, head_dim, KV_INTERLEAVE_MAX);
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if ((size_t)n * row >= 2 * KV_PARALLEL_GRAIN)
    for (int i = 0; i < n; i++)
        for (int h = 0; h < heads; h++)
            interleave_head(x + (size_t)i * row + (size_t)h * (size_t)head_dim, head_dim);
    return KV_OK;
}
