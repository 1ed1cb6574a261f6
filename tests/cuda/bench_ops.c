/* Single ops on shapes of real layers: 32 query heads over 8 KV heads, caches in bf16. */
#include "tests/cuda/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SETS_MAX 64
#define LAYERS   32

/* The layer that the single ops are part of. */
static int heads(void) { return bench.smoke ? 4 : 32; }
static int kv_heads(void) { return bench.smoke ? 2 : 8; }

static void *open_backend(int rows, int keys, int seqs, int head_dim)
{
    const struct kv_backend_options options = { .precision = KV_PRECISION_FAST };
    const struct kv_limits limits = { rows, keys, seqs, heads(), kv_heads(), head_dim, heads() * head_dim };
    void *ctx = NULL;
    bench_must(bench.be->init(&options, &ctx, &bench.err));
    bench_must(bench.be->reserve(ctx, &limits, &bench.err));
    return ctx;
}

/* An attention call on random data, its rows the last of the sequence. */
struct attention {
    void *ctx;
    struct kv_span span[SETS_MAX];
    int n_span, n, rows, head_dim;
    int32_t *pos;
    float *q, *out, *lse, *entropy, *sums;
};

static struct attention open_attention(int n, int rows, int head_dim, int spans)
{
    struct attention a = { .n_span = spans, .n = n, .rows = rows, .head_dim = head_dim };
    size_t wide = (size_t)heads() * (size_t)head_dim, count = (size_t)rows;
    a.ctx = open_backend(rows, n, 1, head_dim);
    for (int i = 0; i < spans; i++) a.span[i] = bench_span(a.ctx, KV_TYPE_BF16, kv_heads(), head_dim, n);
    a.pos = kv_alloc(count, sizeof *a.pos);
    for (int i = 0; i < rows; i++) a.pos[i] = n - rows + i;
    a.q = bench_random(a.ctx, KV_TYPE_F32, count * wide, 1.7f);
    a.out = bench.be->alloc(a.ctx, count * wide * sizeof(float));
    a.lse = bench.be->alloc(a.ctx, count * (size_t)heads() * sizeof(float));
    a.entropy = bench.be->alloc(a.ctx, count * (size_t)heads() * sizeof(float));
    a.sums = bench.be->alloc(a.ctx, (size_t)heads() * (size_t)n * sizeof(float));
    if (!a.pos || !a.out || !a.lse || !a.entropy || !a.sums)
        bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for attention over %d keys.", n));
    return a;
}

/* All of its memory goes with the context, but for what alloc() gave. */
static void close_attention(struct attention *a)
{
    size_t count = (size_t)a->rows, wide = (size_t)heads() * (size_t)a->head_dim;
    for (int i = 0; i < a->n_span; i++)
        bench_release_span(a->ctx, &a->span[i], KV_TYPE_BF16, kv_heads(), a->head_dim);
    bench.be->release(a->ctx, a->q, count * wide * sizeof(float));
    bench.be->release(a->ctx, a->out, count * wide * sizeof(float));
    bench.be->release(a->ctx, a->lse, count * (size_t)heads() * sizeof(float));
    bench.be->release(a->ctx, a->entropy, count * (size_t)heads() * sizeof(float));
    bench.be->release(a->ctx, a->sums, (size_t)heads() * (size_t)a->n * sizeof(float));
    bench.be->free(a->ctx);
    free(a->pos);
}

/* The last `rows` rows of the call, over span number i. */
static struct kv_attend call_of(const struct attention *a, struct kv_seq *seq, int i, int rows, bool entropy)
{
    size_t skip = (size_t)(a->rows - rows), wide = (size_t)heads() * (size_t)a->head_dim;
    *seq = (struct kv_seq){ .tail = a->span[i % a->n_span], .row_pos = a->pos + skip, .n_row = rows };
    return (struct kv_attend){ .seq = seq,
        .n_seq = 1,
        .n_head = heads(),
        .n_kv_head = kv_heads(),
        .head_dim = a->head_dim,
        .type = KV_TYPE_BF16,
        .scale = 1 / sqrtf((float)a->head_dim),
        .q = a->q + skip * wide,
        .out = a->out + skip * wide,
        .lse = a->lse + skip * (size_t)heads(),
        .entropy = entropy ? a->entropy + skip * (size_t)heads() : NULL };
}

static void attend(const struct attention *a, int i, bool entropy)
{
    struct kv_seq seq;
    const struct kv_attend call = call_of(a, &seq, i, a->rows, entropy);
    bench_must(bench.be->attend(a->ctx, &call, &bench.err));
}

static void with_entropy(void *arg, int i) { attend(arg, i, true); }
static void without_entropy(void *arg, int i) { attend(arg, i, false); }

static void columns(const struct attention *a, int i, int rows)
{
    struct kv_seq seq;
    const struct kv_attend call = call_of(a, &seq, i, rows, false);
    bench_must(bench.be->columns(a->ctx, &call, a->sums, (size_t)a->n, &bench.err));
}

static void last_rows(void *arg, int i)
{
    const struct attention *a = arg;
    columns(a, i, a->rows < 32 ? a->rows : 32);
}
static void all_rows(void *arg, int i) { columns(arg, i, ((const struct attention *)arg)->rows); }

/* ---- prefill attention ---- */

static bench_op *const entropy_or_not[2] = { with_entropy, without_entropy };

static void prefill(int head_dim, int n, double gate, double aim, double cost)
{
    struct attention a = open_attention(n, n, head_dim, 1);
    struct samples time[2], share, more = { 0 };
    double flops = 2.0 * n * n * heads() * head_dim;
    bench_time_both(time, a.ctx, entropy_or_not, &a, 4, 20, n > 8192 ? 2 : 5);
    struct samples rate = bench_over(flops * 1e-6, &time[0]), plain = bench_over(flops * 1e-6, &time[1]);
    for (int i = 0; i < time[0].n; i++) bench_add(&more, (time[0].at[i] / time[1].at[i] - 1) * 100);
    share = bench_times(1e12 / bench.matmul * 100, &rate);
    bench_row("TFLOP/s", &rate,
        (struct bench_want){ gate > 0 ? BENCH_AT_LEAST : BENCH_FREE, .gate = gate, .aim = aim },
        "prefill attention with entropy, d %d, %d tokens", head_dim, n);
    bench_row("TFLOP/s", &plain, (struct bench_want){ 0 }, "prefill attention without entropy, d %d, %d tokens",
        head_dim, n);
    bench_row("%", &more, (struct bench_want){ BENCH_AT_MOST, .gate = cost, .aim = 0.5 },
        "what entropy costs prefill attention, d %d, %d tokens", head_dim, n);
    bench_row("%", &share, (struct bench_want){ 0 }, "prefill attention as a share of cuBLAS, d %d, %d tokens",
        head_dim, n);
    close_attention(&a);
}

void bench_attention(void)
{
    int n = bench.smoke ? 64 : 8192;
    prefill(128, n, 335, 540, 3);
    prefill(128, 2 * n, 335, 554, 3);
    prefill(64, n, 0, 414, 6);
    if (bench_left() > 0) prefill(64, 2 * n, 0, 426, 6);
}

/* ---- decode attention ---- */

/* Enough for the queue's graphs, and that the sync behind them does not count. */
static int decode_calls(const struct attention *a)
{
    return bench.smoke ? 8 : a->n_span * (a->n > 65536 ? 16 : 32);
}

/* More of them than the L2 cache holds. */
static int decode_spans(int n, int head_dim)
{
    double bytes = 4.0 * n * kv_heads() * head_dim;
    int sets = bench.smoke ? 2 : (int)ceil(4 * (double)bench.cache / bytes) + 1;
    return sets < SETS_MAX ? sets : SETS_MAX;
}

void bench_decode_attention(void)
{
    static const int context[] = { 8192, 32768, 131072 };
    for (size_t i = 0; i < KV_COUNT(context); i++) {
        int n = bench.smoke ? 100 << i : context[i];
        double bytes = 4.0 * n * kv_heads() * 128, least = bytes * 1e6 / bench.copy;
        struct attention a = open_attention(n, 1, 128, decode_spans(n, 128));
        struct samples time;
        bench_time(&time, a.ctx, with_entropy, &a, 5, 30, decode_calls(&a));
        struct samples share = bench_over(least * 100, &time);
        bench_row("us", &time, (struct bench_want){ .floor = least }, "decode attention, %d tokens", n);
        bench_row("%", &share,
            (struct bench_want){ i ? BENCH_AT_LEAST : BENCH_FREE, .gate = i ? 75 : 0, .aim = i ? 90 : 60 },
            "decode attention as a share of copy bandwidth, %d tokens", n);
        close_attention(&a);
    }
}

/* ---- scores ---- */

void bench_scores(void)
{
    for (int i = 0; i < 2 && bench_left() > 0; i++) {
        static bench_op *const op[2] = { with_entropy, all_rows };
        int n = bench.smoke ? 64 : i ? 32768 : 8192;
        struct attention a = open_attention(n, n, 128, decode_spans(n, 128));
        struct samples time[2], last, share, part = { 0 };
        bench_time_both(time, a.ctx, op, &a, 2, 10, 1);
        bench_time(&last, a.ctx, last_rows, &a, 3, 20, 16);
        for (int k = 0; k < time[0].n; k++) bench_add(&part, time[1].at[k] / time[0].at[k]);
        /* what one of Mistral 7B's layers takes of a prefill at cuBLAS's rate, attention as it was measured */
        double layer = bench_median(&time[0]) + 2.0 * 218103808.0 * n / bench.matmul * 1e6;
        share = bench_times(100 / layer, &last);
        bench_row("us", &last, (struct bench_want){ .floor = 2.0 * n * kv_heads() * 128 / bench.copy * 1e6 },
            "scores of the last 32 rows, %d tokens", n);
        bench_row("%", &share, (struct bench_want){ BENCH_AT_MOST, .gate = 0.5 },
            "scores of the last 32 rows as a share of a layer's prefill, %d tokens", n);
        bench_row("x", &part, (struct bench_want){ BENCH_AT_MOST, .gate = 0.7, .aim = 0.5 },
            "scores of all rows over attention, %d tokens", n);
        close_attention(&a);
    }
}

/* ---- select and gather ---- */

struct selecting {
    void *ctx;
    struct kv_span from, to;
    struct kv_select layer[LAYERS];
    float *score; /* [LAYERS][n] */
    uint8_t *forced;
    int32_t *kept; /* [LAYERS][budget] */
    int32_t *len;  /* [LAYERS], on the device */
    int n, budget, n_kept[LAYERS];
};

/* As the engine compresses: all layers selected at once, then gathered one by one. */
static void select_and_gather(void *arg, int i)
{
    const struct selecting *s = arg;
    static const int32_t none[LAYERS] = { 0 };
    const struct kv_seq seq = { .prefix = s->from };
    (void)i;
    bench_must(bench.be->select_many(s->ctx, s->layer, LAYERS, &bench.err));
    bench_must(bench.be->write(s->ctx, s->len, none, sizeof none, &bench.err));
    for (int l = 0; l < LAYERS; l++) {
        struct kv_span to = s->to;
        to.len = s->len + l;
        bench_must(bench.be->gather(
            s->ctx, &seq, KV_TYPE_BF16, kv_heads(), 128, s->layer[l].kept, s->n_kept[l], &to, &bench.err));
    }
}

void bench_select(void)
{
    int n = bench.smoke ? 300 : 32768;
    struct selecting s = { .n = n, .budget = n / 4 };
    struct samples time;
    s.ctx = open_backend(1, n, 1, 128);
    s.from = bench_span(s.ctx, KV_TYPE_BF16, kv_heads(), 128, n);
    s.to = bench_span(s.ctx, KV_TYPE_BF16, kv_heads(), 128, s.budget);
    s.len = bench.be->alloc(s.ctx, LAYERS * sizeof *s.len);
    s.score = kv_alloc((size_t)n * LAYERS, sizeof *s.score);
    s.forced = kv_alloc((size_t)n, 1);
    s.kept = kv_alloc((size_t)s.budget * LAYERS, sizeof *s.kept);
    if (!s.len || !s.score || !s.forced || !s.kept)
        bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for the scores."));
    uint32_t x = 1;
    for (size_t i = 0; i < (size_t)n * LAYERS; i++)
        x = x * 1664525u + 1013904223u, s.score[i] = (float)(x >> 8) * 1e-6f;
    for (int i = 0; i < n; i++) s.forced[i] = i < 4 || i >= n - 32;
    for (size_t l = 0; l < LAYERS; l++)
        s.layer[l] = (struct kv_select){ s.score + l * (size_t)n, s.forced, n, s.budget,
            s.kept + l * (size_t)s.budget, &s.n_kept[l] };
    bench_time(&time, s.ctx, select_and_gather, &s, 2, 15, 1);
    time = bench_times(1e-3, &time);
    /* Mistral 7B at 32k: 457 TFLOP of products, 282 of attention at what FlashAttention-3 has beside such a cuBLAS */
    double prefill = (457e12 / bench.matmul + 282e12 / (630e12 * bench.matmul / 792e12)) * 1e3;
    /* the aim: two steps of it in bf16 over what is left of its cache */
    bench_row("ms", &time,
        (struct bench_want){ BENCH_AT_MOST, .gate = prefill / 100,
            .aim = 2 * (14.22e9 + 131072.0 * s.budget) / bench.copy * 1e3,
            .floor = 2 * 131072.0 * s.budget / bench.copy * 1e3 },
        "select and gather, %d layers of %d tokens, a quarter kept", LAYERS, n);
    bench_release_span(s.ctx, &s.from, KV_TYPE_BF16, kv_heads(), 128);
    bench_release_span(s.ctx, &s.to, KV_TYPE_BF16, kv_heads(), 128);
    bench.be->release(s.ctx, s.len, LAYERS * sizeof *s.len);
    bench.be->free(s.ctx);
    free(s.score), free(s.forced), free(s.kept);
}

/* ---- by turns with another program ---- */

double serve_attention(int rows, int head_dim, int n)
{
    static struct attention a;
    bool known = head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128;
    if (!known) {
        kv_fail(&bench.err, KV_BAD_ARG, "Heads of %d there are not.", head_dim);
        return -1;
    }
    if (a.n != n || a.rows != rows || a.head_dim != head_dim) {
        if (a.n) close_attention(&a);
        a = open_attention(n, rows, head_dim, rows == 1 ? decode_spans(n, head_dim) : 1);
        bench_once(a.ctx, with_entropy, &a, rows == 1 ? decode_calls(&a) : 2);
    }
    bench_once(a.ctx, with_entropy, &a, 1); /* the device comes from another program's work */
    return bench_once(a.ctx, with_entropy, &a, rows == 1 ? decode_calls(&a) : n > 8192 ? 2 : 5);
}
