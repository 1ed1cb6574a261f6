/* SwiGLU: y[i] = silu(gate[i]) * up[i],  silu(g) = g / (1 + e^-g).
 *
 * gate, up, y [count] f32; y may be gate or up. Bytes: 8*count read, 4*count written (from cache); one
 * exponential and one division an element. silu(-inf) is NaN, as the formula says. */
#include "kernels/cpu/ops.h"

#include <math.h>

void kv_swiglu_span(const float *gate, const float *up, size_t count, float *y)
{
    for (size_t i = 0; i < count; i++) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

enum kv_status kv_cpu_swiglu(
    void *ctx, const float *gate, const float *up, size_t count, float *y, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    (void)err;
    cpu->calls[KV_CPU_swiglu]++;
    const size_t span = KV_PARALLEL_GRAIN / 4;
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (count >= KV_PARALLEL_GRAIN)
    for (size_t i = 0; i < count; i += span) cpu->ops->swiglu(gate + i, up + i, kv_min(span, count - i), y + i);
    return KV_OK;
}
