/* Samples of the benchmark, the clock, and random data on the device. */
#include "tests/cuda/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_AT ((size_t)4 << 20) /* numbers made on the host; more are copies of them */

double bench_left(void) { return bench.seconds - (kv_now_us() - bench.began) * 1e-6; }

/* ---- samples ---- */

void bench_add(struct samples *s, double value)
{
    if (s->n < BENCH_SAMPLES) s->at[s->n++] = value;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const struct samples *s)
{
    struct samples copy = *s;
    if (!s->n) return NAN;
    qsort(copy.at, (size_t)copy.n, sizeof *copy.at, ascending);
    return copy.n % 2 ? copy.at[copy.n / 2] : (copy.at[copy.n / 2 - 1] + copy.at[copy.n / 2]) / 2;
}

struct samples bench_over(double factor, const struct samples *s)
{
    struct samples out = *s;
    for (int i = 0; i < out.n; i++) out.at[i] = factor / out.at[i];
    return out;
}

struct samples bench_times(double factor, const struct samples *s)
{
    struct samples out = *s;
    for (int i = 0; i < out.n; i++) out.at[i] *= factor;
    return out;
}

/* ---- the clock ---- */

double bench_once(void *ctx, bench_op *op, void *arg, int inner)
{
    bench_must(bench.be->sync(ctx, &bench.err));
    double from = kv_now_us();
    for (int i = 0; i < inner; i++) op(arg, i);
    bench_must(bench.be->sync(ctx, &bench.err));
    return (kv_now_us() - from) / inner;
}

void bench_time(struct samples *s, void *ctx, bench_op *op, void *arg, int warm, int count, int inner)
{
    *s = (struct samples){ 0 };
    if (bench.smoke) warm = 1, count = 2;
    for (int i = 0; i < warm + count; i++) {
        double us = bench_once(ctx, op, arg, inner);
        if (i >= warm) bench_add(s, us);
    }
}

void bench_time_both(
    struct samples s[2], void *ctx, bench_op *const op[2], void *arg, int warm, int count, int inner)
{
    s[0] = s[1] = (struct samples){ 0 };
    if (bench.smoke) warm = 1, count = 2;
    for (int i = 0; i < warm + count; i++)
        for (int k = 0; k < 2; k++) {
            double us = bench_once(ctx, op[k], arg, inner);
            if (i >= warm) bench_add(&s[k], us);
        }
}

/* ---- data ---- */

static uint64_t state = 88172645463325252u;

static float uniform(float scale)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return ((float)(state >> 40) * 0x1p-23F - 1) * scale;
}

static size_t size_of(int type) { return type == KV_TYPE_F32 ? 4 : 2; }

void *bench_random(void *ctx, int type, size_t count, float scale)
{
    size_t size = size_of(type), made = kv_min(count, RANDOM_AT);
    char *device = bench.be->alloc(ctx, count * size);
    unsigned char *host = kv_alloc(made, size);
    if (!device || !host) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %zu numbers.", count));
    for (size_t i = 0; i < made; i++) {
        float x = uniform(scale);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        memcpy(host + i * size, type == KV_TYPE_F32 ? (const void *)&x : (const void *)&half, size);
    }
    bench_must(bench.be->write(ctx, device, host, made * size, &bench.err));
    for (size_t at = made; at < count; at += made)
        bench_must(bench.be->copy(ctx, device + at * size, device, kv_min(made, count - at) * size, &bench.err));
    bench_must(bench.be->sync(ctx, &bench.err));
    free(host);
    return device;
}

struct kv_span bench_span(void *ctx, int type, int heads, int head_dim, int n)
{
    size_t count = (size_t)n * (size_t)heads * (size_t)head_dim;
    int32_t *pos = kv_alloc((size_t)n + 1, sizeof *pos);
    struct kv_span s = { .cap = n };
    s.pos = bench.be->alloc(ctx, ((size_t)n + 1) * sizeof *pos);
    if (!pos || !s.pos) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d positions.", n));
    for (int i = 0; i < n; i++) pos[i] = i;
    pos[n] = n;
    s.len = s.pos + n;
    s.k = bench_random(ctx, type, count, 1);
    s.v = bench_random(ctx, type, count, 1);
    bench_must(bench.be->write(ctx, s.pos, pos, ((size_t)n + 1) * sizeof *pos, &bench.err));
    bench_must(bench.be->sync(ctx, &bench.err));
    free(pos);
    return s;
}

void bench_release_span(void *ctx, struct kv_span *s, int type, int heads, int head_dim)
{
    size_t bytes = (size_t)s->cap * (size_t)heads * (size_t)head_dim * size_of(type);
    bench.be->release(ctx, s->k, bytes);
    bench.be->release(ctx, s->v, bytes);
    bench.be->release(ctx, s->pos, ((size_t)s->cap + 1) * sizeof *s->pos);
    *s = (struct kv_span){ 0 };
}
