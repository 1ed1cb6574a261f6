/* Rates of the attention kernels at SmolLM2-135M's shape (9 query heads, 3 KV heads, head_dim 64, 30 layers).
 *
 * Prints minimum and median over rounds in which the variants take turns, so that the machine's drift meets
 * them all: prefill of 2,048 tokens in segments of 512, fast and f32, with entropy and without; column sums as
 * a share of it; decode at three depths as a share of the read bandwidth measured beside it.
 * Usage: kernels_attention [rounds] [threads] [H G d] */
#include "kernels/kernels.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAYERS = 30, PREFILL = 2048, SEGMENT = 512, MAX_ROUNDS = 64 };

struct shape {
    int n_head, n_kv_head, head_dim;
};

static struct shape shape = { 9, 3, 64 };

/* One layer's cache, and what attend() reads and writes. */
struct layer {
    void *ctx;
    struct kv_span tail;
    int32_t len;
    float *q, *k, *v, *out, *lse, *entropy;
    int32_t *pos;
};

static double timing[16][MAX_ROUNDS];

static void must(enum kv_status status, const struct kv_error *err)
{
    if (!status) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static float noise(void)
{
    static uint64_t state = 88172645463325252u;
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        sum += (float)(state >> 40) / 16777216 - 0.5f;
    }
    return sum * 1.7320508f;
}

static float *noise_array(size_t n)
{
    float *x = kv_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = noise();
    return x;
}

static struct layer open_layer(enum kv_precision precision, int threads, int type, int keys, int rows)
{
    struct kv_error err;
    struct kv_backend_options options = { .precision = precision, .threads = threads };
    struct layer l = { 0 };
    size_t h = (size_t)shape.n_head, g = (size_t)shape.n_kv_head, d = (size_t)shape.head_dim, n = (size_t)keys;
    struct kv_limits limits = { .rows = rows,
        .keys = keys,
        .seqs = 1,
        .n_head = shape.n_head,
        .n_kv_head = shape.n_kv_head,
        .head_dim = shape.head_dim,
        .widest = 64 };
    must(kv_backend_cpu.init(&options, &l.ctx, &err), &err);
    must(kv_backend_cpu.reserve(l.ctx, &limits, &err), &err);
    size_t bytes = kv_type_bytes(type, g * n * d);
    char *block = kv_backend_cpu.alloc(l.ctx, 2 * bytes); /* one for both, as the engine's cache has it */
    l.tail = (struct kv_span){ .k = block, .v = block + bytes, .pos = kv_alloc(n, sizeof(int32_t)), .cap = keys };
    l.q = noise_array(n * h * d), l.k = noise_array(n * g * d), l.v = noise_array(n * g * d);
    l.out = kv_alloc(n * h * d, sizeof(float));
    l.lse = kv_alloc(n * h, sizeof(float)), l.entropy = kv_alloc(n * h, sizeof(float));
    l.pos = kv_alloc(n, sizeof(int32_t));
    for (int i = 0; i < keys; i++) l.pos[i] = i;
    return l;
}

static void append(struct layer *l, int type, int at, int n)
{
    struct kv_error err;
    size_t row = (size_t)shape.n_kv_head * (size_t)shape.head_dim;
    l->tail.len = &l->len;
    must(kv_backend_cpu.append(l->ctx, &l->tail, type, shape.n_kv_head, shape.head_dim, l->k + (size_t)at * row,
             l->v + (size_t)at * row, l->pos + at, n, &err),
        &err);
}

static struct kv_attend attend_of(struct layer *l, int type, const struct kv_seq *seq, int at, bool entropy)
{
    size_t h = (size_t)shape.n_head, d = (size_t)shape.head_dim, row = (size_t)at;
    return (struct kv_attend){ .seq = seq,
        .n_seq = 1,
        .n_head = shape.n_head,
        .n_kv_head = shape.n_kv_head,
        .head_dim = shape.head_dim,
        .type = type,
        .scale = 0.125f,
        .q = l->q + row * h * d,
        .out = l->out + row * h * d,
        .lse = l->lse + row * h,
        .entropy = entropy ? l->entropy + row * h : NULL };
}

/* Seconds of one layer's prefill attention; of its column sums beside it. */
static double prefill(struct layer *l, int type, bool entropy, double *columns)
{
    struct kv_error err;
    double time = 0;
    float *sums = kv_alloc((size_t)shape.n_head * PREFILL, sizeof *sums);
    l->len = 0;
    for (int at = 0; at < PREFILL; at += SEGMENT) {
        append(l, type, at, SEGMENT);
        struct kv_seq seq = { .tail = l->tail, .row_pos = l->pos + at, .n_row = SEGMENT };
        struct kv_attend a = attend_of(l, type, &seq, at, entropy);
        double start = kv_now_us();
        must(kv_backend_cpu.attend(l->ctx, &a, &err), &err);
        time += kv_now_us() - start;
        if (!columns) continue;
        start = kv_now_us();
        must(kv_backend_cpu.columns(l->ctx, &a, sums, PREFILL, &err), &err);
        *columns += (kv_now_us() - start) * 1e-6;
    }
    free(sums);
    return time * 1e-6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sorted(double *t, int rounds)
{
    qsort(t, (size_t)rounds, sizeof *t, ascending);
    return t[rounds / 2];
}

static void bench_prefill(int rounds, int threads)
{
    static const struct {
        const char *name;
        enum kv_precision precision;
        int type;
        bool entropy, columns;
    } kind[] = {
        { "fast, f16 cache, entropy", KV_PRECISION_FAST, KV_TYPE_F16, true, false },
        { "fast, f16 cache", KV_PRECISION_FAST, KV_TYPE_F16, false, false },
        { "column sums, f16 cache", KV_PRECISION_FAST, KV_TYPE_F16, true, true },
        { "f32, f32 cache, entropy", KV_PRECISION_F32, KV_TYPE_F32, true, false },
        { "f32, f32 cache", KV_PRECISION_F32, KV_TYPE_F32, false, false },
    };
    struct layer layer[KV_COUNT(kind)];
    double flops = 2.0 * PREFILL * PREFILL * shape.n_head * shape.head_dim, base = 0;
    for (size_t i = 0; i < KV_COUNT(kind); i++)
        layer[i] = open_layer(kind[i].precision, threads, kind[i].type, PREFILL, SEGMENT);
    for (int r = -1; r < rounds; r++)
        for (size_t i = 0; i < KV_COUNT(kind); i++) {
            double columns = 0,
                   t = prefill(&layer[i], kind[i].type, kind[i].entropy, kind[i].columns ? &columns : NULL);
            if (r >= 0) timing[i][r] = kind[i].columns ? columns : t;
        }
    printf("prefill of %d in segments of %d, %d layers (%.0f GFLOP; column sums half)\n", PREFILL, SEGMENT, LAYERS,
        flops * LAYERS * 1e-9);
    for (size_t i = 0; i < KV_COUNT(kind); i++) {
        double median = sorted(timing[i], rounds), work = kind[i].columns ? flops / 2 : flops;
        if (!i) base = timing[i][0];
        printf("  %-28s min %.3f s, median %.3f s: %.0f, %.0f GFLOP/s; %.3f of the first\n", kind[i].name,
            timing[i][0] * LAYERS, median * LAYERS, work / timing[i][0] * 1e-9, work / median * 1e-9,
            timing[i][0] / base);
    }
}

/* Bytes a second of reading 256 MiB, the denominator of decode. */
static double read_bandwidth(int threads)
{
    enum { WORDS = 1 << 25 };
    static uint64_t *data, sum;
    double best = 1e30;
    if (!data)
        data = kv_backend_cpu.alloc(open_layer(KV_PRECISION_F32, threads, KV_TYPE_F32, 8, 1).ctx, WORDS * 8u);
    for (int r = 0; r < 4; r++) {
        double start = kv_now_us();
        uint64_t total = 0;
#pragma omp parallel for simd reduction(+ : total) num_threads(threads)
        for (size_t i = 0; i < WORDS; i++) total += data[i];
        sum += total;
        if (kv_now_us() - start < best) best = kv_now_us() - start;
    }
    return WORDS * 8.0 / best * 1e6 + (sum == 1);
}

/* All layers' caches in turn, so that nothing of them is left in the processor's caches from the last token. */
static void bench_decode(int rounds, int threads)
{
    static const int depth[] = { 512, 2048, 8192 };
    static const int types[] = { KV_TYPE_F16, KV_TYPE_F32 };
    struct kv_error err;
    for (size_t t = 0; t < KV_COUNT(types); t++) {
        static struct layer layer[LAYERS];
        for (int l = 0; l < LAYERS; l++) {
            layer[l] = open_layer(KV_PRECISION_FAST, threads, types[t], depth[2], 64);
            append(&layer[l], types[t], 0, depth[2]);
        }
        for (int r = -1; r < rounds; r++)
            for (size_t i = 0; i < KV_COUNT(depth); i++) {
                double start = kv_now_us();
                for (int l = 0; l < LAYERS; l++) {
                    layer[l].len = depth[i];
                    struct kv_seq seq = {
                        .tail = layer[l].tail, .row_pos = layer[l].pos + depth[i] - 1, .n_row = 1
                    };
                    seq.tail.len = &layer[l].len;
                    struct kv_attend a = attend_of(&layer[l], types[t], &seq, 0, true);
                    must(kv_backend_cpu.attend(layer[l].ctx, &a, &err), &err);
                }
                if (r >= 0) timing[i][r] = kv_now_us() - start;
            }
        double bandwidth = read_bandwidth(threads);
        printf("decode, %s cache, %d layers (reading goes at %.1f GB/s)\n", kv_type_info(types[t])->name, LAYERS,
            bandwidth * 1e-9);
        for (size_t i = 0; i < KV_COUNT(depth); i++) {
            double median = sorted(timing[i], rounds);
            double bytes = 2.0 * (double)LAYERS *
                           (double)kv_type_bytes(
                               types[t], (size_t)shape.n_kv_head * (size_t)shape.head_dim * (size_t)depth[i]);
            printf("  %5d keys: min %.3f ms, median %.3f ms a token: %.1f, %.1f GB/s, %.0f %% of reading\n",
                depth[i], timing[i][0] * 1e-3, median * 1e-3, bytes / timing[i][0] * 1e-3, bytes / median * 1e-3,
                bytes / timing[i][0] * 1e8 / bandwidth);
        }
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 7, threads = argc > 2 ? atoi(argv[2]) : omp_get_num_procs();
    if (argc > 5) shape = (struct shape){ atoi(argv[3]), atoi(argv[4]), atoi(argv[5]) };
    if (rounds < 1 || rounds > MAX_ROUNDS || threads < 1) return 1;
    bench_prefill(rounds, threads);
    bench_decode(rounds, threads);
    return 0;
}
