/* Entropy as the kernels have it, beside fp64 on the same logits. */
#include "tests/cuda/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whole eighths, so that logits are whole 64ths: exact in f32, whatever order they are added up in. */
static float eighth(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return (float)((int)(*x >> 16) % 17 - 8) / 8;
}

static uint16_t bf16_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Of the softmax over the first n keys. */
static double exact_entropy(const float *q, const float *k, int n, double scale)
{
    double most = -INFINITY, sum = 0, weighted = 0;
    double *logit = kv_alloc((size_t)n, sizeof *logit);
    for (int j = 0; j < n && logit; j++) {
        double dot = 0;
        for (int c = 0; c < 128; c++) dot += (double)q[c] * (double)k[(size_t)j * 128 + (size_t)c];
        logit[j] = dot * scale;
        most = fmax(most, logit[j]);
    }
    for (int j = 0; j < n && logit; j++) {
        double e = exp(logit[j] - most);
        sum += e, weighted += e * (logit[j] - most);
    }
    free(logit);
    return log(sum) - weighted / sum;
}

/* The largest difference over the last `rows` rows of a sequence of n, all logits moved by `offset`. */
static double entropy_error(void *ctx, struct kv_span *span, const float *k, int n, int rows, float offset)
{
    float *q = kv_alloc((size_t)rows * 128, sizeof *q), *got = kv_alloc((size_t)rows, sizeof *got);
    int32_t *pos = kv_alloc((size_t)rows, sizeof *pos);
    if (!q || !got || !pos) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d rows.", rows));
    uint32_t x = 7;
    for (int i = 0; i < rows * 128; i++)
        q[i] = i % 128 ? eighth(&x) : offset * 2; /* keys are 1 there, the scale 1/2 */
    for (int i = 0; i < rows; i++) pos[i] = n - rows + i;
    size_t wide = (size_t)rows * 128 * sizeof(float), narrow = (size_t)rows * sizeof(float);
    float *device = bench.be->alloc(ctx, 2 * wide + 2 * narrow);
    const struct kv_seq seq = { .tail = *span, .row_pos = pos, .n_row = rows };
    const struct kv_attend a = { &seq, 1, 1, 1, 128, KV_TYPE_BF16, 0.5f, 0, device, device + rows * 128,
        device + 2 * rows * 128, device + 2 * rows * 128 + rows };
    bench_must(bench.be->write(ctx, device, q, wide, &bench.err));
    bench_must(bench.be->attend(ctx, &a, &bench.err));
    bench_must(bench.be->read(ctx, got, a.entropy, narrow, &bench.err));
    double worst = 0;
#pragma omp parallel for reduction(max : worst)
    for (int i = 0; i < rows; i++) {
        double off = fabs((double)got[i] - exact_entropy(q + (size_t)i * 128, k, pos[i] + 1, 0.5));
        worst = fmax(worst, isnan(off) ? INFINITY : off);
    }
    bench.be->release(ctx, device, 2 * wide + 2 * narrow);
    free(q), free(got), free(pos);
    return worst;
}

void bench_entropy(void)
{
    static const float offset[] = { 0, 300, -300 };
    int n = bench.smoke ? 500 : 131072;
    const struct kv_backend_options options = { .precision = KV_PRECISION_FAST };
    const struct kv_limits limits = { 64, n, 1, 1, 1, 128, 128 };
    void *ctx = NULL;
    bench_must(bench.be->init(&options, &ctx, &bench.err));
    bench_must(bench.be->reserve(ctx, &limits, &bench.err));
    size_t count = (size_t)n * 128;
    float *k = kv_alloc(count, sizeof *k);
    uint16_t *half = kv_alloc(count, sizeof *half);
    struct kv_span span = bench_span(ctx, KV_TYPE_BF16, 1, 128, n);
    if (!k || !half) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d keys.", n));
    uint32_t x = 3;
    for (size_t i = 0; i < count; i++) k[i] = i % 128 ? eighth(&x) : 1, half[i] = bf16_bits(k[i]);
    bench_must(bench.be->write(ctx, span.k, half, count * sizeof *half, &bench.err));
    for (int rows = 1; rows <= 64; rows *= 64) {
        struct samples error = { 0 };
        for (size_t i = 0; i < KV_COUNT(offset); i++)
            bench_add(&error, entropy_error(ctx, &span, k, n, rows, offset[i]));
        for (int i = 0; i < error.n; i++) error.at[0] = fmax(error.at[0], error.at[i]);
        error.n = 1;
        bench_row("nats", &error, (struct bench_want){ BENCH_AT_MOST, .gate = 1e-4 },
            "entropy beside fp64, %d keys, %d rows, logits up to +-300", n, rows);
    }
    bench_release_span(ctx, &span, KV_TYPE_BF16, 1, 128);
    bench.be->free(ctx);
    free(k), free(half);
}
