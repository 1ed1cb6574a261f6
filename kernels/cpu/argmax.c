/* Argmax: the first of the largest of x[n] f32, as an index on the host; -1 when one of them is NaN or none is finite.
 *
 * Bytes: 4 n read; bound by memory. What greedy sampling takes from the logits. */
#include "kernels/cpu/cpu.h"

#include <math.h>

enum kv_status kv_cpu_argmax(void *ctx, const float *x, size_t n, int *index, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t best = 0;
    bool nan = false;
    cpu->calls[KV_CPU_argmax]++;
    if (n < 1 || n > INT32_MAX) return kv_fail(err, KV_BAD_ARG, "The largest of %zu numbers.", n);
    for (size_t i = 0; i < n; i++) {
        nan |= isnan(x[i]);
        if (x[i] > x[best]) best = i;
    }
    *index = nan || !isfinite(x[best]) ? -1 : (int)best;
    return KV_OK;
}
