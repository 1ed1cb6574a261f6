/* Lengths of a layer's keys or values.
 *
 *   out[g][j] = (sum_c |x[g][j][c]|^power)^(1/power)   for slot j of KV head g, power 1 or 2
 *
 * x is the span's k or v, out [G][stride] f32, sums in f64. Reads n G d sizeof(type) bytes: bound by memory. */
#include "kernels/cpu/attention.h"

#include <math.h>

static float norm_of(const float *x, int d, int power)
{
    double sum = 0;
    for (int c = 0; c < d; c++) sum += power == 1 ? fabs((double)x[c]) : (double)x[c] * (double)x[c];
    return (float)(power == 1 ? sum : sqrt(sum));
}

enum kv_status kv_cpu_norms(void *ctx, const struct kv_span *span, bool values, int power, int type, int n_kv_head,
    int head_dim, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_norms]++;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (head_dim < 1 || head_dim > KV_ATTN_MAX_DIM || (power != 1 && power != 2))
        return kv_fail(err, KV_BAD_ARG, "There is no norm L%d of %d channels here; it is L1 or L2 of up to %d.",
            power, head_dim, KV_ATTN_MAX_DIM);
    size_t row_bytes = kv_attn_row_bytes(type, head_dim);
    const char *from = values ? span->v : span->k;
    for (int g = 0; g < n_kv_head; g++) {
        int n = kv_attn_span_len(span, g);
#pragma omp parallel for num_threads(n *head_dim < 2 * KV_PARALLEL_GRAIN ? 1 : cpu->threads) schedule(static)
        for (int j = 0; j < n; j++) {
            float x[KV_ATTN_MAX_DIM];
            kv_attn_load(type, from + kv_attn_offset(span, g, j, row_bytes), head_dim, x);
            out[(size_t)g * stride + (size_t)j] = norm_of(x, head_dim, power);
        }
    }
    return KV_OK;
}
