/* Whole models of random weights: a decode step, prefill under a policy, and what compression saves of a step. */
#include "tests/cuda/bench.h"

#include "engine/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 15
#define DECODED   8 /* steps of one answer; with a clock around each op */

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

static void open_model(struct whole *w, const char *name, const char *path)
{
    char synthetic[64];
    *w = (struct whole){ .name = name };
    if (!strchr(path, '/')) {
        snprintf(synthetic, sizeof synthetic, "synthetic:%s", path);
        path = synthetic;
    }
    bench_must(kv_model_open(path, &w->model, &bench.err));
}

static void open_engine(struct whole *w)
{
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
}

static void open_whole(struct whole *w, const char *name, const char *path)
{
    double from = kv_now_us();
    open_model(w, name, path);
    double made = kv_now_us();
    open_engine(w);
    if (!bench.serve)
        bench_note("%s: %.2f GB read a step; weights made in %.1f s, on the device in %.1f s", name,
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

/* ---- the ops of a run ---- */

/* Says what run(w, n) takes by op, divided by times. Ops are launched one by one for that, so the sum is not the run's
 * own time. */
static void time_ops(struct whole *w, void (*run)(struct whole *w, int n), int n, int times, const char *of)
{
    struct kv_device before, after;
    double all = 0;
    bench_must(kv_device(w->engine, &before, &bench.err));
    bench_must(kv_time_ops(w->engine, true, &bench.err));
    run(w, n);
    bench_must(kv_time_ops(w->engine, false, &bench.err));
    bench_must(kv_device(w->engine, &after, &bench.err));
    for (int i = 0; i < after.n_op; i++)
        for (int k = 0; k < before.n_op; k++)
            if (!strcmp(after.op[i].name, before.op[k].name)) {
                after.op[i].us -= before.op[k].us;
                after.op[i].timed -= before.op[k].timed;
            }
    for (int i = 0; i < after.n_op; i++) all += after.op[i].us;
    for (int i = 0; i < after.n_op; i++)
        if (after.op[i].us > 0.002 * all)
            bench_op_time(of, after.op[i].name, after.op[i].us / times, (double)after.op[i].timed / times,
                after.op[i].us / all * 100);
}

/* ---- a decode step ---- */

static double decode_once(struct whole *w)
{
    double from = kv_now_us();
    bench_must(kv_step(w->engine, KV_UNIT_PASS, &bench.err));
    return kv_now_us() - from;
}

static void decode_some(struct whole *w, int n)
{
    while (n--) decode_once(w);
}

/* Steps behind the prompt that the engine was opened with; some are left. Returns their context in the middle. */
static double decode_steps(struct whole *w, struct samples *time)
{
    int n = bench.smoke ? 48 : 1024, warm = bench.smoke ? 2 : 20, count = bench.smoke ? 2 : BENCH_SAMPLES;
    *time = (struct samples){ 0 };
    set(w, "policy.preset", "full");
    set_number(w, "decode.tokens", warm + count + DECODED + 2);
    run_to(w, KV_PHASE_decode);
    decode_some(w, warm);
    for (int i = 0; i < count; i++) bench_add(time, decode_once(w));
    return n + warm + count / 2.0;
}

static void decode(struct whole *w, double gate, double aim)
{
    struct samples time;
    double context = decode_steps(w, &time);
    int n = bench.smoke ? 48 : 1024, some = bench.smoke ? 1 : DECODED;
    double floor_us = (w->step_bytes + w->kv_bytes * context) / bench.copy * 1e6;
    struct samples ms = bench_times(1e-3, &time), share = bench_over(floor_us * 100, &time);
    bench_row("ms", &ms, (struct bench_want){ .floor = floor_us * 1e-3 },
        "decode step with sampling, %s, context %d", w->name, n);
    bench_row("%", &share, (struct bench_want){ BENCH_AT_LEAST, .gate = gate, .aim = aim },
        "decode step as a share of the memory floor, %s, context %d", w->name, n);
    char of[BENCH_NAME];
    snprintf(of, sizeof of, "decode step, %s, context %d", w->name, n);
    time_ops(w, decode_some, some, some, of);
}

/* ---- prefill ---- */

/* FlashAttention-3's published rate at so many tokens, over the rate of products on the same GPU. */
static double attention_share(int n) { return (n <= 8192 ? 602 : n <= 32768 ? 630 : 640) / 792.0; }

/* The least time of n tokens: products at cuBLAS's rate, attention at FlashAttention-3's beside such a cuBLAS, and,
 * where all rows are scored, QK' once more. */
static double prefill_floor(const struct whole *w, int n, bool all_rows)
{
    const struct kv_shape *s = w->engine->machine.shape;
    double attention = 2.0 * n * n * s->n_head * s->head_dim * s->n_layer, rate = bench.matmul * attention_share(n);
    return w->flops * n / bench.matmul + attention * (all_rows ? 1.5 : 1) / rate;
}

static double prefill_once(struct whole *w, int n)
{
    kv_end(w->engine);
    prompt(w, n);
    bench_must(kv_start(w->engine, &bench.err));
    double from = kv_now_us();
    run_to(w, KV_PHASE_decode);
    bench_must(w->engine->machine.be->sync(w->engine->machine.ctx, &bench.err));
    return kv_now_us() - from;
}

static void prefill_again(struct whole *w, int n) { prefill_once(w, n); }

static void prefill(struct whole *w, const char *preset, int n, double gate)
{
    int count = bench.smoke ? 1 : n <= 8192 ? 5 : n <= 32768 ? 2 : 1, warm = !bench.smoke && n <= 8192;
    struct samples time = { 0 };
    if (bench_left() < 0) return;
    set(w, "policy.preset", preset);
    set(w, "policy.ratio", "0.25");
    for (int i = 0; i < warm + count && (bench_left() > 0 || !time.n); i++) {
        double s = prefill_once(w, n) * 1e-6;
        if (i >= warm) bench_add(&time, s);
    }
    double floor_s = prefill_floor(w, n, !strcmp(preset, "seed"));
    struct samples share = bench_over(floor_s * 100, &time);
    bench_row("s", &time, (struct bench_want){ .floor = floor_s },
        "prefill with entropy, scores and compaction, %s, %s, %d tokens", preset, w->name, n);
    bench_row("%", &share, (struct bench_want){ BENCH_AT_LEAST, .gate = gate, .aim = 80 },
        "prefill as a share of its floor, %s, %s, %d tokens", preset, w->name, n);
    if (n > 8192) return;
    char of[BENCH_NAME];
    snprintf(of, sizeof of, "prefill, %s, %s, %d tokens", preset, w->name, n);
    time_ops(w, prefill_again, n, 1, of);
}

/* ---- what compression saves ---- */

/* Batches of decoding sequences over caches cut out of one block of random numbers again and again: as long as a step
 * reads much more than the L2 cache holds, it makes no difference that the block is not larger. */
struct pool {
    struct machine *m;
    int n, n_span, context; /* sequences; times layers */
    char *block;
    int32_t *pos; /* [context] */
    size_t bytes;
};

/* What the sequences of a pool keep, and what each has decoded. */
struct batch {
    const struct pool *pool;
    struct kv_span *prefix, *tail;
    char *tails;
    int32_t *length; /* of all prefixes */
    int steps;
    int32_t id[BATCH_MAX], row_pos[BATCH_MAX];
};

enum { TAIL = 64 }; /* steps between two looks at the tails' lengths */

static size_t half_bytes(const struct pool *p, int tokens)
{
    return (size_t)tokens * (size_t)p->m->shape->n_kv_head * (size_t)p->m->shape->head_dim * 2;
}

static size_t tail_bytes(const struct pool *p) { return 2 * half_bytes(p, TAIL) + (TAIL + 64) * sizeof(int32_t); }

static void open_pool(struct pool *p, struct machine *m, int n, int context)
{
    size_t total = (size_t)n * (size_t)m->shape->n_layer * 2, most = (size_t)4 << 30;
    *p = (struct pool){ .m = m, .n = n, .n_span = n * m->shape->n_layer, .context = context };
    p->bytes = kv_max(kv_min(total * half_bytes(p, context), most), 2 * half_bytes(p, context));
    p->pos = m->be->alloc(m->ctx, (size_t)context * sizeof *p->pos);
    int32_t *pos = kv_alloc((size_t)context, sizeof *pos);
    if (!p->pos || !pos) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d positions.", context));
    p->block = bench_random(m->ctx, KV_TYPE_BF16, p->bytes / 2, 1);
    for (int i = 0; i < context; i++) pos[i] = i;
    bench_must(m->be->write(m->ctx, p->pos, pos, (size_t)context * sizeof *pos, &bench.err));
    bench_must(m->be->sync(m->ctx, &bench.err));
    free(pos);
}

static void close_pool(struct pool *p)
{
    p->m->be->release(p->m->ctx, p->block, p->bytes);
    p->m->be->release(p->m->ctx, p->pos, (size_t)p->context * sizeof *p->pos);
}

static void open_batch(struct batch *b, const struct pool *p)
{
    const struct machine *m = p->m;
    *b = (struct batch){ .pool = p };
    b->prefix = kv_alloc((size_t)p->n_span, sizeof *b->prefix);
    b->tail = kv_alloc((size_t)p->n_span, sizeof *b->tail);
    b->tails = m->be->alloc(m->ctx, tail_bytes(p) * (size_t)p->n_span);
    b->length = m->be->alloc(m->ctx, sizeof *b->length);
    if (!b->prefix || !b->tail || !b->tails || !b->length)
        bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d sequences.", p->n));
    for (int i = 0; i < p->n_span; i++) {
        char *at = b->tails + tail_bytes(p) * (size_t)i;
        int32_t *after = (int32_t *)(at + 2 * half_bytes(p, TAIL));
        b->tail[i] = (struct kv_span){
            .k = at, .v = at + half_bytes(p, TAIL), .pos = after, .len = after + TAIL, .cap = TAIL
        };
    }
    for (int i = 0; i < p->n; i++) b->id[i] = 5 + i;
}

static void close_batch(struct batch *b)
{
    const struct pool *p = b->pool;
    p->m->be->release(p->m->ctx, b->tails, tail_bytes(p) * (size_t)p->n_span);
    p->m->be->release(p->m->ctx, b->length, sizeof *b->length);
    free(b->prefix), free(b->tail);
}

/* All sequences keep n of the context's tokens, and have decoded nothing. */
static void cut(struct batch *b, int n)
{
    static const int32_t none = 0;
    const struct pool *p = b->pool;
    const struct machine *m = p->m;
    const int32_t length = n;
    size_t half = half_bytes(p, n), at = 0;
    bench_must(m->be->write(m->ctx, b->length, &length, sizeof length, &bench.err));
    for (int i = 0; i < p->n_span; i++) {
        if (at + 2 * half > p->bytes) at = 0;
        b->prefix[i] = (struct kv_span){
            .k = p->block + at, .v = p->block + at + half, .pos = p->pos, .len = b->length, .cap = n
        };
        at += (2 * half + 255) & ~(size_t)255;
        bench_must(m->be->write(m->ctx, b->tail[i].len, &none, sizeof none, &bench.err));
    }
    bench_must(m->be->sync(m->ctx, &bench.err));
    b->steps = 0;
}

static void step(struct batch *b)
{
    const struct pool *of = b->pool;
    int layers = of->m->shape->n_layer;
    struct pass p = { .m = of->m, .ids = b->id, .pos = b->row_pos, .n = of->n, .n_seq = of->n };
    for (int k = 0; k < of->n; k++) {
        b->row_pos[k] = of->context + b->steps;
        p.seq[k] = (struct pass_seq){
            .prefix = b->prefix + k * layers, .tail = b->tail + k * layers, .prefix_step = 1, .tail_step = 1, .n = 1
        };
    }
    b->steps++;
    bench_must(pass_stage(&p, KV_STAGE_embed, -1, &bench.err));
    bench_must(pass_layers(&p, 0, layers, &bench.err));
    bench_must(pass_head(&p, 0, of->n, 0, &bench.err));
}

static void whole_step(void *arg, int i) { (void)i, step(arg); }
static void kept_step(void *arg, int i) { (void)i, step((struct batch *)arg + 1); }

/* One context, batch and budget: a step over the whole caches and one over what is kept, by turns. b: both. */
static void saving(struct whole *w, struct batch b[2], int percent)
{
    static bench_op *const op[2] = { whole_step, kept_step };
    const struct pool *p = b[0].pool;
    double all = w->kv_bytes * p->context * p->n, kept = (double)percent / 100;
    struct samples time[2], gain = { 0 };
    cut(&b[0], p->context);
    cut(&b[1], (int)((int64_t)p->context * percent / 100));
    bench_time_both(time, p->m->ctx, op, b, 6, 20, 1);
    struct bench_saving s = { .batch = p->n,
        .context = p->context,
        .keep = percent,
        .whole = bench_median(&time[0]) * 1e-3,
        .least = INFINITY,
        .most = -INFINITY,
        .floor = (w->step_bytes + all) / bench.copy * 1e3,
        .predicted = all * (1 - kept) / bench.copy * 1e3,
        .allowance = all * (1 - kept) / (w->step_bytes + all) * 100 };
    for (int k = 0; k < time[0].n; k++) {
        double ms = (time[0].at[k] - time[1].at[k]) * 1e-3;
        bench_add(&gain, ms);
        s.least = fmin(s.least, ms), s.most = fmax(s.most, ms);
    }
    s.median = bench_median(&gain);
    snprintf(s.model, sizeof s.model, "%s", w->name);
    bench_save(&s);
}

static void saved_of(struct whole *w, int context, int n)
{
    static const int percent[] = { 10, 25, 50 };
    struct pool pool;
    struct batch b[2];
    bench_must(machine_reserve(&w->engine->machine, n, context + TAIL, &bench.err));
    open_pool(&pool, &w->engine->machine, n, context);
    open_batch(&b[0], &pool), open_batch(&b[1], &pool);
    for (size_t i = 0; i < (bench.smoke ? 1 : KV_COUNT(percent)); i++) saving(w, b, percent[i]);
    close_batch(&b[0]), close_batch(&b[1]);
    close_pool(&pool);
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
            if (bench.smoke && (i || k != 1)) continue;
            double bytes = w->step_bytes + w->kv_bytes * n * batch[k];
            if (bytes > 0.9 * (double)bench.memory)
                bench_skip(
                    "a GPU with so much memory it is not", "what a step saves, %s, %d x %d", w->name, batch[k], n);
            else
                saved_of(w, n, batch[k]);
        }
}

/* ---- models ---- */

/* What is short and has most rows comes first: time may run out, or a longer part fault. */
void bench_model(const struct bench_plan *plan)
{
    int more = bench.smoke ? 100 : 8192, most = bench.smoke ? 200 : 32768 - 128;
    struct whole w;
    open_whole(&w, plan->name, plan->path);
    decode(&w, plan->gate, plan->aim);
    if (plan->prefill) prefill(&w, "snapkv", more, 60), prefill(&w, "seed", more, 50);
    if (plan->saved && bench_left() > 0) saved(&w);
    if (plan->prefill) prefill(&w, "seed", most, 50);
    if (plan->longest) prefill(&w, "seed", bench.smoke ? 400 : 131072, 50);
    close_whole(&w);
}

/* ---- what the backend's own ways bring ---- */

void bench_plain(void)
{
    static const char *const without[] = { "", "early", "graphs", "fuse", "hopper" };
    static const char *const said[] = { "as it is", "without early starts", "without graphs", "without fusion",
        "without Hopper's kernels" };
    const char *name = bench.smoke ? "tiny-qwen3:q4_1" : "qwen3-4b:q4_1";
    int n = bench.smoke ? 100 : 8192;
    struct whole w;
    open_model(&w, name, name);
    for (size_t i = 0; i < (bench.smoke ? 2 : KV_COUNT(without)) && bench_left() > 0; i++) {
        struct samples time, whole = { 0 };
        setenv("KVDBG_PLAIN", without[i], 1);
        open_engine(&w);
        decode_steps(&w, &time);
        set(&w, "policy.preset", "snapkv"), set(&w, "policy.ratio", "0.25");
        for (int k = 0; k < (bench.smoke ? 1 : 3); k++) {
            double ms = prefill_once(&w, n) * 1e-3;
            if (k || bench.smoke) bench_add(&whole, ms);
        }
        time = bench_times(1e-3, &time);
        bench_row("ms", &time, (struct bench_want){ 0 }, "decode step, %s, %s", name, said[i]);
        bench_row("ms", &whole, (struct bench_want){ 0 }, "prefill of %d tokens, %s, %s", n, name, said[i]);
        kv_engine_close(w.engine);
    }
    kv_model_close(w.model);
}

/* ---- by turns with another program ---- */

double serve_model(bool decodes, const char *path, int n)
{
    static struct whole w;
    static char open[200], doing[240];
    char wanted[240];
    if (strcmp(open, path)) {
        if (*open) close_whole(&w);
        snprintf(open, sizeof open, "%s", path);
        open_whole(&w, open, open);
        *doing = 0;
    }
    snprintf(wanted, sizeof wanted, "%d %d", decodes, n);
    bool known = !strcmp(doing, wanted);
    if (!known) {
        set(&w, "policy.preset", decodes ? "full" : "snapkv");
        set(&w, "policy.ratio", decodes ? "1" : "0.25");
        set_number(&w, "decode.tokens", decodes ? 256 : 8);
        snprintf(doing, sizeof doing, "%s", wanted);
    }
    if (!decodes) {
        if (!known) prefill_once(&w, n);
        return prefill_once(&w, n);
    }
    if (!known) prefill_once(&w, n);
    double us = 0;
    for (int i = -2; i < DECODED; i++) {
        if (phase(&w) != KV_PHASE_decode) {
            kv_fail(&bench.err, KV_NOT_NOW, "The reply is at its end.");
            return -1;
        }
        double one = decode_once(&w);
        if (i >= 0) us += one / DECODED;
    }
    return us;
}
