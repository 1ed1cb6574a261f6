/* Logits that keys should get from queries that are normally distributed.
 *
 *   out[h][j] = ln E e^(scale q.k[j]) = scale k[j].mean[h] + scale^2 / 2 k[j]' cov[h] k[j],   q ~ N(mean[h], cov[h])
 *
 * for every slot j of the KV head of h. mean [H][d], cov [H][d][d] symmetric, out [H][stride], all f32. Arithmetic in
 * f32, dots in f64. n H d (d + 2) multiplications: bound by arithmetic. */
#include "kernels/cpu/attention.h"

static float expect(const float *k, const float *mean, const float *cov, int d, double scale)
{
    double linear = 0, square = 0;
    for (int c = 0; c < d; c++) {
        const float *row = cov + (size_t)c * (size_t)d;
        float part[8] = { 0 };
        int e = 0;
        for (; e + 8 <= d; e += 8)
            for (int i = 0; i < 8; i++) part[i] += row[e + i] * k[e + i];
        for (; e < d; e++) part[0] += row[e] * k[e];
        float dot = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
        linear += (double)mean[c] * (double)k[c];
        square += (double)k[c] * (double)dot;
    }
    return (float)(scale * linear + scale * scale / 2 * square);
}

enum kv_status kv_cpu_expect(void *ctx, const struct kv_span *span, int type, int n_head, int n_kv_head,
    int head_dim, const float *mean, const float *cov, float scale, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t d = (size_t)head_dim, row_bytes = kv_attn_row_bytes(type, head_dim);
    cpu->calls[KV_CPU_expect]++;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (head_dim < 1 || head_dim > KV_ATTN_MAX_DIM || n_head % n_kv_head)
        return kv_fail(err, KV_BAD_ARG, "Expected logits of %d heads over %d KV heads, head_dim %d; at most %d.",
            n_head, n_kv_head, head_dim, KV_ATTN_MAX_DIM);
    for (int h = 0; h < n_head; h++) {
        int g = h / (n_head / n_kv_head), n = kv_attn_span_len(span, g);
#pragma omp parallel for num_threads(n *head_dim < KV_PARALLEL_GRAIN / 8 ? 1 : cpu->threads) schedule(static)
        for (int j = 0; j < n; j++) {
            float k[KV_ATTN_MAX_DIM];
            kv_attn_load(type, (const char *)span->k + kv_attn_offset(span, g, j, row_bytes), head_dim, k);
            out[(size_t)h * stride + (size_t)j] =
                expect(k, mean + (size_t)h * d, cov + (size_t)h * d * d, head_dim, (double)scale);
        }
    }
    return KV_OK;
}
