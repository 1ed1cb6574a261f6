/* Whole models of random weights: a decode step, prefill under a policy, and what compression saves of a step. */
#include "tests/cuda/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 15

struct whole {
    struct kv_model *model;
    struct kv_engine *engine;
    const char *name;
    double step_bytes; /* weights that a decode step reads */
    double kv_bytes;   /* of one token in all layers */
    double flops;      /* multiply-adds of one token's products, twice */
};

static void set(struct whole *w, const char *name, const char *value)
{
    bench_must(kv_set(w->engine, &name, &value, 1, &bench.err));
}

static void set_number(struct whole *w, const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    set(w, name, text);
}

static double matrix_bytes(const struct kv_matrix *m)
{
    return m->data ? (double)kv_type_bytes(m->type, (size_t)m->rows * (size_t)m->cols) : 0;
}

/* Known once the machine is open. */
static void weigh(struct whole *w)
{
    const struct machine *m = &w->engine->machine;
    const struct kv_shape *s = m->shape;
    w->step_bytes = matrix_bytes(&m->head);
    w->flops = 0;
    for (int l = 0; l < s->n_layer; l++) {
        const struct machine_layer *y = &m->layer[l];
        const struct kv_matrix *all[] = { &y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down };
        for (size_t i = 0; i < KV_COUNT(all); i++) {
            w->step_bytes += matrix_bytes(all[i]);
            w->flops += 2.0 * all[i]->rows * all[i]->cols;
        }
    }
    w->kv_bytes = 4.0 * s->n_layer * s->n_kv_head * s->head_dim;
}

/* n pseudo-random tokens as the prompt. */
static void prompt(struct whole *w, int n)
{
    struct kv_model_facts facts;
    kv_model_facts(w->model, &facts);
    int32_t *ids = kv_alloc((size_t)n, sizeof *ids);
    uint32_t x = 12345;
    for (int i = 0; ids && i < n; i++)
        x = x * 1664525u + 1013904223u, ids[i] = (int32_t)(x >> 8) % (facts.n_vocab - 8);
    bench_must(ids ? kv_prompt_ids(w->engine, ids, n, NULL, 0, &bench.err)
                   : kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d tokens.", n));
    free(ids);
}

static void open_whole(struct whole *w, const char *name)
{
    char path[64];
    *w = (struct whole){ .name = name };
    snprintf(path, sizeof path, "synthetic:%s", name);
    double from = kv_now_us();
    bench_must(kv_model_open(path, &w->model, &bench.err));
    double made = kv_now_us();
    bench_must(kv_engine_open(w->model, &w->engine, &bench.err));
    set(w, "engine.backend", "cuda");
    set(w, "engine.kv", "bf16");
    set(w, "engine.sliding", "off");
    set(w, "engine.stats", "policy");
    set_number(w, "engine.segment", bench.smoke ? 64 : 4096);
    kv_history_limit(w->engine, 0); /* sums for going back in a prefill are not what is timed */
    prompt(w, bench.smoke ? 48 : 1024);
    bench_must(kv_start(w->engine, &bench.err));
    bench_must(w->engine->machine.be->sync(w->engine->machine.ctx, &bench.err));
    weigh(w);
    printf("# %s: %.2f GB read a step; weights made in %.1f s, on the device in %.1f s\n", name,
        w->step_bytes * 1e-9, (made - from) * 1e-6, (kv_now_us() - made) * 1e-6);
}

static void close_whole(struct whole *w)
{
    kv_engine_close(w->engine);
    kv_model_close(w->model);
}

static enum kv_phase phase(const struct whole *w)
{
    struct kv_where at;
    kv_where(w->engine, &at);
    return at.phase;
}

static void run_to(struct whole *w, enum kv_phase until)
{
    if (!kv_started(w->engine)) bench_must(kv_start(w->engine, &bench.err));
    while (phase(w) < until) bench_must(kv_step(w->engine, KV_UNIT_PHASE, &bench.err));
}

/* ---- a decode step ---- */

static void decode(struct whole *w, double gate, double aim)
{
    int n = bench.smoke ? 48 : 1024, warm = bench.smoke ? 2 : 10, count = bench.smoke ? 4 : BENCH_SAMPLES;
    struct samples time = { 0 };
    set(w, "policy.preset", "full");
    set_number(w, "decode.tokens", warm + count + 1);
    run_to(w, KV_PHASE_decode);
    for (int i = 0; i < warm + count && phase(w) == KV_PHASE_decode; i++) {
        double from = kv_now_us();
        bench_must(kv_step(w->engine, KV_UNIT_PASS, &bench.err));
        if (i >= warm) bench_add(&time, kv_now_us() - from);
    }
    double floor_us = (w->step_bytes + w->kv_bytes * (n + warm + count / 2.0)) / bench.copy * 1e6;
    struct samples ms = bench_times(1e-3, &time), share = bench_over(floor_us * 100, &time);
    bench_row("ms", &ms, BENCH_FREE, NAN, floor_us * 1e-3, "decode step with sampling, %s, context %d", w->name, n);
    bench_row(
        "%", &share, BENCH_AT_LEAST, gate * 100, aim * 100, "the same as a share of the memory floor, %s", w->name);
}

/* ---- prefill ---- */

/* The least time of n tokens: products at cuBLAS's rate, attention at FlashAttention-3's beside such a cuBLAS, and,
 * where all rows are scored, QK' once more. */
static double prefill_floor(const struct whole *w, int n, bool all_rows)
{
    const struct kv_shape *s = w->engine->machine.shape;
    double attention = 2.0 * n * n * s->n_head * s->head_dim * s->n_layer, rate = bench.matmul * 610 / 792;
    return w->flops * n / bench.matmul + attention * (all_rows ? 1.5 : 1) / rate;
}

static void prefill(struct whole *w, const char *preset, int n, double gate, double aim)
{
    int count = bench.smoke ? 1 : n <= 8192 ? 4 : n <= 32768 ? 2 : 1;
    struct samples time = { 0 };
    bool all_rows = !strcmp(preset, "seed");
    set(w, "policy.preset", preset);
    set(w, "policy.ratio", "0.25");
    for (int i = 0; i < count + (n <= 8192) && bench_left() > 0; i++) {
        kv_end(w->engine);
        prompt(w, n);
        bench_must(kv_start(w->engine, &bench.err));
        double from = kv_now_us();
        run_to(w, KV_PHASE_decode);
        bench_must(w->engine->machine.be->sync(w->engine->machine.ctx, &bench.err));
        if (i >= (n <= 8192)) bench_add(&time, (kv_now_us() - from) * 1e-6);
    }
    if (!time.n) return;
    double floor_s = prefill_floor(w, n, all_rows);
    struct samples share = bench_over(floor_s * 100, &time);
    bench_row("s", &time, BENCH_FREE, NAN, floor_s, "prefill and compress, %s, %s, %d tokens", preset, w->name, n);
    bench_row("%", &share, BENCH_AT_LEAST, gate * 100, aim * 100, "the same as a share of its floor, %s, %s, %d",
        preset, w->name, n);
}

/* ---- what compression saves ---- */

/* A batch of decoding sequences over caches of one length, cut out of a block of random numbers again and again: as
 * long as a step reads much more than the L2 cache holds, it makes no difference that the block is not larger. */
struct batch {
    struct machine *m;
    int n, n_span; /* sequences; times layers */
    struct kv_span *prefix, *tail;
    char *pool, *tails;
    int32_t *pos; /* [context], then the length of all prefixes */
    size_t pool_bytes, tails_bytes;
    int context, steps;
    int32_t id[BATCH_MAX], row_pos[BATCH_MAX];
};

enum { TAIL = 64 }; /* steps between two looks at the tails' lengths */

static size_t half_bytes(const struct batch *b, int tokens)
{
    return (size_t)tokens * (size_t)b->m->shape->n_kv_head * (size_t)b->m->shape->head_dim * 2;
}

static size_t tail_bytes(const struct batch *b) { return 2 * half_bytes(b, TAIL) + (TAIL + 64) * sizeof(int32_t); }

static void open_batch(struct batch *b, struct machine *m, int n, int context)
{
    size_t total = (size_t)n * (size_t)m->shape->n_layer * 2, most = (size_t)4 << 30;
    *b = (struct batch){ .m = m, .n = n, .n_span = n * m->shape->n_layer, .context = context };
    b->pool_bytes = kv_max(kv_min(total * half_bytes(b, context), most), 2 * half_bytes(b, context));
    b->tails_bytes = tail_bytes(b) * (size_t)b->n_span;
    b->prefix = kv_alloc((size_t)b->n_span, sizeof *b->prefix);
    b->tail = kv_alloc((size_t)b->n_span, sizeof *b->tail);
    b->tails = m->be->alloc(m->ctx, b->tails_bytes);
    b->pos = m->be->alloc(m->ctx, ((size_t)context + 1) * sizeof *b->pos);
    int32_t *pos = kv_alloc((size_t)context, sizeof *pos);
    if (!b->prefix || !b->tail || !b->tails || !b->pos || !pos)
        bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d sequences of %d tokens.", n, context));
    b->pool = bench_random(m->ctx, KV_TYPE_BF16, b->pool_bytes / 2, 1);
    for (int i = 0; i < context; i++) pos[i] = i;
    bench_must(m->be->write(m->ctx, b->pos, pos, (size_t)context * sizeof *pos, &bench.err));
    bench_must(m->be->sync(m->ctx, &bench.err));
    for (int i = 0; i < b->n_span; i++) {
        char *at = b->tails + tail_bytes(b) * (size_t)i;
        int32_t *after = (int32_t *)(at + 2 * half_bytes(b, TAIL));
        b->tail[i] = (struct kv_span){
            .k = at, .v = at + half_bytes(b, TAIL), .pos = after, .len = after + TAIL, .cap = TAIL
        };
    }
    for (int i = 0; i < n; i++) b->id[i] = 5 + i;
    free(pos);
}

static void close_batch(struct batch *b)
{
    b->m->be->release(b->m->ctx, b->pool, b->pool_bytes);
    b->m->be->release(b->m->ctx, b->tails, b->tails_bytes);
    b->m->be->release(b->m->ctx, b->pos, ((size_t)b->context + 1) * sizeof *b->pos);
    free(b->prefix), free(b->tail);
}

/* All sequences keep n of the context's tokens, and have decoded nothing. */
static void cut(struct batch *b, int n)
{
    static const int32_t none = 0;
    const struct machine *m = b->m;
    const int32_t length = n;
    size_t half = half_bytes(b, n), at = 0;
    bench_must(m->be->write(m->ctx, b->pos + b->context, &length, sizeof length, &bench.err));
    for (int i = 0; i < b->n_span; i++) {
        if (at + 2 * half > b->pool_bytes) at = 0;
        b->prefix[i] = (struct kv_span){
            .k = b->pool + at, .v = b->pool + at + half, .pos = b->pos, .len = b->pos + b->context, .cap = n
        };
        at += (2 * half + 255) & ~(size_t)255;
        bench_must(m->be->write(m->ctx, b->tail[i].len, &none, sizeof none, &bench.err));
    }
    bench_must(m->be->sync(m->ctx, &bench.err));
    b->steps = 0;
}

static void step(void *arg, int i)
{
    struct batch *b = arg;
    int layers = b->m->shape->n_layer;
    struct pass p = { .m = b->m, .ids = b->id, .pos = b->row_pos, .n = b->n, .n_seq = b->n };
    (void)i;
    for (int k = 0; k < b->n; k++) {
        b->row_pos[k] = b->context + b->steps;
        p.seq[k] = (struct pass_seq){
            .prefix = b->prefix + k * layers, .tail = b->tail + k * layers, .prefix_step = 1, .tail_step = 1, .n = 1
        };
    }
    b->steps++;
    bench_must(pass_stage(&p, KV_STAGE_embed, -1, &bench.err));
    bench_must(pass_layers(&p, 0, layers, &bench.err));
    bench_must(pass_head(&p, 0, b->n, 0, &bench.err));
}

/* One context and batch: the whole cache, then parts of it. */
static void saved_of(struct whole *w, int context, int n)
{
    static const int percent[] = { 10, 25, 50 };
    struct batch b;
    struct samples full, part, gain;
    open_batch(&b, &w->engine->machine, n, context);
    cut(&b, context);
    bench_time(&full, b.m->ctx, step, &b, 6, 20, 1);
    double before = bench_median(&full) * 1e-3, all = w->kv_bytes * context * n;
    double floor_ms = (w->step_bytes + all) / bench.copy * 1e3;
    char line[160];
    int at = snprintf(line, sizeof line, "%-15s %2d x %6d %8.3f", w->name, n, context, before);
    full = bench_times(1e-3, &full);
    bench_row("ms", &full, BENCH_FREE, NAN, floor_ms, BENCH_SAVED " nothing, %s, %d x %d", w->name, n, context);
    for (size_t i = 0; i < KV_COUNT(percent); i++) {
        double predicted = all * (100 - percent[i]) / 100 / bench.copy * 1e3, median, share;
        cut(&b, (int)((int64_t)context * percent[i] / 100));
        bench_time(&part, b.m->ctx, step, &b, 6, 20, 1);
        gain = part;
        for (int k = 0; k < gain.n; k++) gain.at[k] = before - part.at[k] * 1e-3;
        bench_row("ms", &gain, BENCH_AT_LEAST, 0.9 * predicted, predicted, BENCH_SAVED " at %d %%, %s, %d x %d",
            percent[i], w->name, n, context);
        median = bench_median(&gain);
        share = median / before * 100;
        at += snprintf(line + at, sizeof line - (size_t)at, " %9.3f (%.3f) %3.0f %%%s", median, predicted, share,
            share >= 46.6 ? "*" : " ");
    }
    bench_below(line);
    close_batch(&b);
}

static void saved(struct whole *w)
{
    static const int context[] = { 8192, 32768, 131072 }, batch[] = { 1, 4, 15 };
    kv_end(w->engine); /* its caches make room */
    prompt(w, 16);
    bench_must(kv_start(w->engine, &bench.err));
    for (size_t i = 0; i < KV_COUNT(context); i++)
        for (size_t k = 0; k < KV_COUNT(batch) && bench_left() > 0; k++) {
            int n = bench.smoke ? 200 : context[i];
            if (bench.smoke && i + k > 1) continue;
            double bytes = w->step_bytes + w->kv_bytes * n * batch[k];
            if (bytes > 0.9 * (double)bench.memory) {
                bench_skip(
                    "that much memory there is not", "what compression saves, %s, %d x %d", w->name, batch[k], n);
                continue;
            }
            bench_must(machine_reserve(&w->engine->machine, batch[k], n + TAIL, &bench.err));
            saved_of(w, n, batch[k]);
        }
}

/* ---- models ---- */

void bench_model(const char *name, double gate, double aim)
{
    struct whole w;
    open_whole(&w, name);
    decode(&w, gate, aim);
    if (bench_left() > 0) prefill(&w, "snapkv", bench.smoke ? 100 : 8192, 0.6, 0.8);
    if (bench_left() > 0) prefill(&w, "seed", bench.smoke ? 100 : 8192, 0.5, 0.8);
    if (bench_left() > 0) prefill(&w, "seed", bench.smoke ? 200 : 32768 - 128, 0.5, 0.8);
    saved(&w);
    close_whole(&w);
}

void bench_long_prefill(void)
{
    struct whole w;
    open_whole(&w, bench.smoke ? "long" : "qwen3-4b-128k:bf16");
    prefill(&w, "seed", bench.smoke ? 400 : 131072, 0.5, 0.8);
    close_whole(&w);
}
