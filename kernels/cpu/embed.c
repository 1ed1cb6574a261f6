/* Embedding: x[i][c] = w[ids[i]][c], dequantised.
 *
 * w [rows][cols] any type, ids [n] i32 on the host, x [n][cols] f32. Bytes: n rows of w read, 4*n*cols written;
 * bound by latency of n scattered rows, negligible. */
#include "kernels/cpu/ops.h"

enum kv_status kv_cpu_embed(
    void *ctx, const struct kv_matrix *w, const int32_t *ids, int n, float *x, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    const struct kv_type_info *info = kv_type_info(w->type);
    size_t cols = (size_t)w->cols;
    cpu->calls[KV_CPU_embed]++;
    if (!info) return kv_fail(err, KV_UNSUPPORTED, "The embedding matrix has type number %d.", w->type);
    if (w->cols < 1 || w->cols % info->elements)
        return kv_fail(err, KV_BAD_ARG, "The embedding matrix has %d columns; %s needs a multiple of %d.", w->cols,
            info->name, info->elements);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->rows)
            return kv_fail(err, KV_BAD_ARG, "Token id %d at %d is not in a vocabulary of %d.", ids[i], i, w->rows);
    for (int i = 0; i < n; i++)
        cpu->ops->dequantize(w->type, (const char *)w->data + (size_t)ids[i] * kv_type_bytes(w->type, cols), cols,
            x + (size_t)i * cols);
    return KV_OK;
}
