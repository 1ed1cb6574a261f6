/* Times one request on a real model through engine.h alone: one mode a process, one line of name=value a figure.
 *
 *     bench MODE MODEL [NUMBER]... [SETTING=VALUE]...
 *
 *     prefill N RUNS         prefill of N tokens, one untimed run first
 *     decode N TOKENS        greedy decode behind a prefill of N tokens, as the policy leaves them
 *     compress N TOKENS      the same from the whole cache and from the policy's, taking turns
 *     twin N TOKENS          decode of the run and its full twin as a batch of two
 *     score N REPLY SETS     one reply of REPLY tokens under SETS kept sets
 *     memory N TOKENS        a whole request: where its memory goes
 *     stages N TOKENS        time by stage, summed over layers
 *     boundary N TOKENS      what the stepper itself costs at a stage boundary
 *
 * Prompts are pseudo-random token ids, as llama-bench takes them. Wall clock around kv_step(), so whatever the
 * stepper, the statistics and the sampling cost is in. gflop and bytes are the least work that the figure needs:
 * multiply-adds of the matrices and of causal attention; weights and cache read once a token. */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SAMPLES = 4096, MAX_SETTINGS = 32, WARM_STEPS = 4, TURNS = 3 };

static struct {
    struct kv_model *model;
    struct kv_engine *engine;
    struct kv_model_facts facts;
    struct kv_error err;
    const char *name[MAX_SETTINGS], *value[MAX_SETTINGS];
    int settings;
} bench;

struct samples {
    double us[MAX_SAMPLES];
    int n;
};

/* --- helpers -------------------------------------------------------------------------------------------------- */

static void must(enum kv_status status)
{
    if (!status) return;
    fprintf(stderr, "%s\n", bench.err.text);
    exit(1);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(struct samples *s)
{
    qsort(s->us, (size_t)s->n, sizeof *s->us, ascending);
    return s->n % 2 ? s->us[s->n / 2] : (s->us[s->n / 2 - 1] + s->us[s->n / 2]) / 2;
}

static void add(struct samples *s, double us)
{
    if (s->n < MAX_SAMPLES) s->us[s->n++] = us;
}

static void set(const char *name, const char *value) { must(kv_set(bench.engine, &name, &value, 1, &bench.err)); }

/* Settings of the command line, once more where a mode has changed the policy. */
static void set_all(void) { must(kv_set(bench.engine, bench.name, bench.value, bench.settings, &bench.err)); }

static void set_number(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    set(name, text);
}

/* n ids that look random and are the same every time. */
static void prompt(int n)
{
    int32_t *ids = kv_alloc((size_t)n, sizeof *ids);
    uint32_t state = 1;
    for (int i = 0; ids && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        ids[i] = (int32_t)(state >> 8) % bench.facts.n_vocab;
    }
    must(ids ? kv_prompt_ids(bench.engine, ids, n, NULL, 0, &bench.err)
             : kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d ids.", n));
    free(ids);
}

static enum kv_phase phase(void)
{
    struct kv_where where;
    kv_where(bench.engine, &where);
    return where.phase;
}

/* From where the request stands to the first boundary of another phase than `from`; microseconds. */
static double leave(enum kv_phase from)
{
    double start = kv_now_us();
    while (phase() == from) must(kv_step(bench.engine, KV_UNIT_PHASE, &bench.err));
    return kv_now_us() - start;
}

static double start_and_prefill(int n)
{
    prompt(n);
    must(kv_start(bench.engine, &bench.err));
    return leave(KV_PHASE_prefill);
}

/* Decodes `tokens` tokens and keeps the time of each. A reply that the model ends before is taken up again from
 * the same depth. */
static void decode(int tokens, struct samples *out)
{
    int restarts = 0;
    for (int made = 0; made < tokens;) {
        if (phase() == KV_PHASE_compress) leave(KV_PHASE_compress);
        if (phase() == KV_PHASE_done) {
            if (restarts++ > tokens)
                must(
                    kv_fail(&bench.err, KV_EVENT, "The model ends its reply at once: take another prompt length."));
            must(kv_recompress(bench.engine, &bench.err));
            continue;
        }
        double start = kv_now_us();
        must(kv_step(bench.engine, KV_UNIT_PASS, &bench.err));
        add(out, kv_now_us() - start);
        made++;
    }
}

/* --- least work ----------------------------------------------------------------------------------------------- */

/* 1e9 operations of a prefill of n tokens: matrices, causal attention, one row of the head. */
static double prefill_gflop(int n, double *attention)
{
    const struct kv_model_facts *f = &bench.facts;
    double rows = n, hidden = f->hidden, q = (double)f->n_head * f->head_dim,
           kv = (double)f->n_kv_head * f->head_dim;
    double layer = 2 * hidden * q + 2 * hidden * kv + 3 * hidden * f->n_ff;
    *attention = 2 * rows * rows * q * f->n_layer * 1e-9;
    return 2 * rows * layer * f->n_layer * 1e-9 + *attention + 2 * hidden * f->n_vocab * 1e-9;
}

/* Bytes of one cached token, its positions included, as allocated. */
static double token_bytes(int n)
{
    struct kv_memory memory;
    kv_memory(bench.engine, &memory);
    return (double)memory.resident / n;
}

/* --- modes ---------------------------------------------------------------------------------------------------- */

static void run_prefill(const int *number)
{
    int n = number[0], runs = number[1];
    struct samples s = { 0 };
    double attention, gflop = prefill_gflop(n, &attention);
    start_and_prefill(n);
    for (int i = 0; i < runs; i++) add(&s, start_and_prefill(n));
    double us = median(&s);
    printf(
        "mode=prefill tokens=%d runs=%d ms=%.2f min_ms=%.2f max_ms=%.2f tps=%.2f gflop=%.2f attention_gflop=%.2f\n",
        n, s.n, us * 1e-3, s.us[0] * 1e-3, s.us[s.n - 1] * 1e-3, n / us * 1e6, gflop, attention);
}

static double sum(const struct samples *s)
{
    double total = 0;
    for (int i = 0; i < s->n; i++) total += s->us[i];
    return total;
}

static void run_decode(const int *number)
{
    int n = number[0], tokens = number[1];
    struct samples warm = { 0 }, s = { 0 };
    set_number("decode.tokens", tokens + WARM_STEPS + 1);
    start_and_prefill(n);
    decode(WARM_STEPS, &warm);
    decode(tokens, &s);
    double total = sum(&s), mid = median(&s), mean_depth = n + WARM_STEPS + tokens / 2.0;
    double bytes = (double)bench.facts.weight_bytes + token_bytes(n) * mean_depth;
    printf("mode=decode depth=%d tokens=%d tps=%.3f mean_ms=%.4f median_ms=%.4f min_ms=%.4f bytes=%.0f\n", n, s.n,
        s.n / total * 1e6, total / s.n * 1e-3, mid * 1e-3, s.us[0] * 1e-3, bytes);
}

static size_t active(void)
{
    struct kv_memory memory;
    kv_memory(bench.engine, &memory);
    return memory.active;
}

static void run_compress(const int *number)
{
    static struct samples whole, kept;
    int n = number[0], tokens = number[1];
    struct samples warm = { 0 };
    size_t whole_bytes = 0, kept_bytes = 0;
    set_number("decode.tokens", tokens + WARM_STEPS + 1);
    double prefill = start_and_prefill(n), compress = 0;
    for (int turn = 0; turn < 2 * TURNS; turn++) {
        bool full = turn % 2 == 0;
        if (full) {
            set("policy.preset", "full");
        } else {
            set("policy.preset", "seed"); /* what the command line edits, or replaces */
            set_all();
        }
        must(kv_recompress(bench.engine, &bench.err));
        double us = leave(KV_PHASE_compress);
        *(full ? &whole_bytes : &kept_bytes) = active();
        if (!full) compress = us;
        warm.n = 0;
        decode(WARM_STEPS, &warm);
        decode(tokens, full ? &whole : &kept);
    }
    double depth = n + WARM_STEPS + tokens / 2.0;
    printf("mode=compress tokens=%d steps=%d prefill_ms=%.1f compress_ms=%.2f whole_ms=%.4f kept_ms=%.4f "
           "saved_bytes=%.0f whole_bytes=%.0f\n",
        n, whole.n, prefill * 1e-3, compress * 1e-3, median(&whole) * 1e-3, median(&kept) * 1e-3,
        (double)whole_bytes - (double)kept_bytes, (double)bench.facts.weight_bytes + token_bytes(n) * depth);
}

static void run_twin(const int *number)
{
    int n = number[0], tokens = number[1];
    struct kv_verdict verdict;
    start_and_prefill(n);
    leave(KV_PHASE_compress);
    must(kv_twin(bench.engine, WARM_STEPS, &verdict, &bench.err));
    double start = kv_now_us();
    must(kv_twin(bench.engine, tokens, &verdict, &bench.err));
    double us = kv_now_us() - start;
    struct kv_array full;
    must(kv_value(bench.engine, "full", &full, &bench.err));
    printf("mode=twin tokens=%d steps=%zu step_ms=%.4f\n", n, full.dim[0], us * 1e-3 / (double)full.dim[0]);
}

/* The compressed run's kept sets as lists: *count[l] ascending positions of every layer. */
static int32_t **kept_lists(int *count)
{
    struct kv_array kept;
    must(kv_value(bench.engine, "kept", &kept, &bench.err));
    int32_t **list = kv_alloc(kept.dim[0], sizeof *list);
    for (size_t l = 0; l < kept.dim[0]; l++) {
        const uint8_t *row = (const uint8_t *)kept.data + l * kept.dim[1];
        list[l] = kv_alloc(kept.dim[1], sizeof **list);
        count[l] = 0;
        for (size_t j = 0; j < kept.dim[1]; j++)
            if (row[j]) list[l][count[l]++] = (int32_t)j;
    }
    return list;
}

static void run_score(const int *number)
{
    int n = number[0], n_reply = number[1], n_set = number[2], n_layer = bench.facts.n_layer;
    start_and_prefill(n);
    leave(KV_PHASE_compress);
    int *count = kv_alloc((size_t)n_set * (size_t)n_layer, sizeof *count);
    const int32_t **kept = kv_alloc((size_t)n_set * (size_t)n_layer, sizeof *kept);
    int32_t *reply = kv_alloc((size_t)n_reply, sizeof *reply), **list = kept_lists(count);
    struct kv_verdict *verdict = kv_alloc((size_t)n_set, sizeof *verdict);
    for (int t = 0; t < n_reply; t++) reply[t] = (t * 37 + 1000) % bench.facts.n_vocab;
    for (int i = 0; i < n_set * n_layer; i++) kept[i] = list[i % n_layer], count[i] = count[i % n_layer];
    double us[2];
    for (int i = 0; i < 2; i++) { /* the first call also reads the reply over the full cache */
        double start = kv_now_us();
        must(kv_score(bench.engine, reply, n_reply, n_set, kept, count, NULL, verdict, &bench.err));
        us[i] = kv_now_us() - start;
    }
    printf("mode=score tokens=%d reply=%d sets=%d first_ms=%.2f again_ms=%.2f set_ms=%.2f\n", n, n_reply, n_set,
        us[0] * 1e-3, us[1] * 1e-3, us[1] * 1e-3 / n_set);
    for (int l = 0; l < n_layer; l++) free(list[l]);
    free(list), free(kept), free(count), free(reply), free(verdict);
}

/* A field of /proc/self/status in bytes; 0 where there is none. */
static double status_bytes(const char *field)
{
    char line[200];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field))) kib = strtod(line + strlen(field) + 1, NULL);
    if (f) fclose(f);
    return kib * 1024;
}

/* At every phase's end the parts known then come off the peak; the largest rest counts. */
static void run_memory(const int *number)
{
    const double mib = 1 << 20;
    int n = number[0], tokens = number[1];
    double beyond = 0, before = status_bytes("VmHWM");
    struct kv_memory m = { 0 };
    set_number("decode.tokens", tokens + 1);
    prompt(n);
    must(kv_start(bench.engine, &bench.err));
    while (phase() != KV_PHASE_done) {
        leave(phase());
        kv_memory(bench.engine, &m);
        double rest = (double)m.peak - (double)m.weights - (double)m.resident - (double)m.active;
        beyond = rest > beyond ? rest : beyond;
    }
    struct kv_array reply;
    must(kv_value(bench.engine, "reply", &reply, &bench.err));
    printf(
        "mode=memory tokens=%zu beyond_mib=%.1f peak_mib=%.1f weights_mib=%.1f resident_mib=%.1f active_mib=%.1f "
        "stats_mib=%.1f scratch_mib=%.1f file_mib=%.1f open_mib=%.1f\n",
        (size_t)n + reply.dim[0], beyond / mib, (double)m.peak / mib, (double)m.weights / mib,
        (double)m.resident / mib, (double)m.active / mib, (double)m.stats / mib, (double)m.scratch / mib,
        status_bytes("RssFile") / mib, before / mib);
}

static void run_stages(const int *number)
{
    static double us[KV_PHASE_COUNT][KV_STAGE_COUNT];
    static int calls[KV_PHASE_COUNT][KV_STAGE_COUNT];
    int n = number[0], tokens = number[1];
    struct kv_where where;
    set_number("decode.tokens", tokens + 1);
    start_and_prefill(n);
    prompt(n);
    must(kv_start(bench.engine, &bench.err));
    for (kv_where(bench.engine, &where); where.phase != KV_PHASE_done; kv_where(bench.engine, &where)) {
        double start = kv_now_us();
        must(kv_step(bench.engine, KV_UNIT_STAGE, &bench.err));
        us[where.phase][where.stage] += kv_now_us() - start;
        calls[where.phase][where.stage]++;
    }
    for (int p = 0; p < KV_PHASE_COUNT; p++) {
        double total = 0;
        int passes = p == KV_PHASE_decode ? calls[p][KV_STAGE_embed] : 1;
        for (int s = 0; s < KV_STAGE_COUNT; s++) total += us[p][s];
        for (int s = 0; s < KV_STAGE_COUNT; s++)
            if (calls[p][s])
                printf("mode=stages phase=%s stage=%s us=%.1f share=%.4f calls=%d passes=%d\n", kv_phase_name[p],
                    kv_stage_name[s], us[p][s] / passes, us[p][s] / total, calls[p][s], passes);
    }
}

/* Decode has a stage without work, observe: stepping over it takes what every boundary takes. The clock that brackets
 * it is taken off. */
static void run_boundary(const int *number)
{
    struct samples empty = { .n = 0 }, clock = { .n = 0 };
    struct kv_where where;
    set_number("decode.tokens", number[1]);
    start_and_prefill(number[0]);
    leave(KV_PHASE_prefill);
    leave(KV_PHASE_compress);
    for (kv_where(bench.engine, &where); where.phase == KV_PHASE_decode; kv_where(bench.engine, &where)) {
        double start = kv_now_us();
        add(&clock, kv_now_us() - start);
        start = kv_now_us();
        must(kv_step(bench.engine, KV_UNIT_STAGE, &bench.err));
        if (where.stage == KV_STAGE_observe) add(&empty, kv_now_us() - start);
    }
    printf("mode=boundary boundaries=%d ns=%.1f\n", empty.n, 1e3 * (median(&empty) - median(&clock)));
}

/* --- main ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(const int *number);
    int numbers;
} mode[] = { { "prefill", run_prefill, 2 }, { "decode", run_decode, 2 }, { "compress", run_compress, 2 },
    { "twin", run_twin, 2 }, { "score", run_score, 3 }, { "memory", run_memory, 2 }, { "stages", run_stages, 2 },
    { "boundary", run_boundary, 2 } };

static int usage(void)
{
    fprintf(stderr, "Usage: bench MODE MODEL NUMBER... [SETTING=VALUE]...; modes and their numbers:");
    for (size_t i = 0; i < KV_COUNT(mode); i++) fprintf(stderr, " %s (%d)", mode[i].name, mode[i].numbers);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    int number[3] = { 0 }, numbers = 0;
    size_t i = 0;
    while (i < KV_COUNT(mode) && (argc < 3 || strcmp(argv[1], mode[i].name))) i++;
    if (i == KV_COUNT(mode)) return usage();
    for (int a = 3; a < argc; a++) {
        char *equals = strchr(argv[a], '=');
        if (equals && bench.settings < MAX_SETTINGS) {
            *equals = 0;
            bench.name[bench.settings] = argv[a];
            bench.value[bench.settings++] = equals + 1;
        } else if (!equals && numbers < 3 && atoi(argv[a]) > 0)
            number[numbers++] = atoi(argv[a]);
        else
            return usage();
    }
    if (numbers != mode[i].numbers) return usage();
    must(kv_model_open(argv[2], &bench.model, &bench.err));
    kv_model_facts(bench.model, &bench.facts);
    must(kv_engine_open(bench.model, &bench.engine, &bench.err));
    set_all();
    mode[i].run(number);
    char text[400];
    kv_describe(bench.engine, text, sizeof text);
    printf("engine=%s\n", text);
    kv_engine_close(bench.engine);
    kv_model_close(bench.model);
    return 0;
}
