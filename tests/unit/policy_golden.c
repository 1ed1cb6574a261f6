/* Budgets, kept sets and scores against an independent implementation and kvpress (tests/golden/policy.txt, written
 * by tests/oracle/policy_golden.py, where the order of the draws is described by code). */
#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "tests/tap.h"
#include "tests/unit/policy_random.h"

#include <stdlib.h>

#define GOLDEN     "tests/golden/policy.txt"
#define MAX_LAYERS 40
#define MAX_TOKENS 200
#define MAX_HEADS  9

/* --- the golden file ------------------------------------------------------------------------------------ */

struct golden {
    const char *kind;
    uint64_t seed;
    char *field[2048];
    int n_field;
};

/* Calls check for every line of this kind; the case fails when there are fewer than `least`. */
static void each(const char *kind, int least, void (*check)(struct golden *g))
{
    static struct golden g;
    char *line = NULL, *save;
    size_t size = 0;
    int seen = 0;
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file, "%s is missing", GOLDEN);
    while (getline(&line, &size, file) > 0) {
        g.kind = strtok_r(line, " \n", &save);
        if (!g.kind || strcmp(g.kind, kind)) continue;
        g.seed = strtoull(strtok_r(NULL, " \n", &save), NULL, 10);
        g.n_field = 0;
        for (char *f; g.n_field < (int)KV_COUNT(g.field) && (f = strtok_r(NULL, " \n", &save));)
            g.field[g.n_field++] = f;
        check(&g);
        seen++;
    }
    free(line);
    fclose(file);
    CHECK(seen >= least, "%d lines of %s, expected %d", seen, kind, least);
}

/* Index of the field behind the slash. */
static int behind_slash(const struct golden *g)
{
    int i = 0;
    while (i < g->n_field && strcmp(g->field[i], "/")) i++;
    return i + 1;
}

static void check_digits(const struct golden *g, int field, const uint8_t *reason, int n, const char *what)
{
    REQUIRE(field < g->n_field, "%s %llu: too few fields", g->kind, (unsigned long long)g->seed);
    const char *expected = g->field[field];
    REQUIRE((int)strlen(expected) == n, "%s %llu: %d tokens, expected %zu", g->kind, (unsigned long long)g->seed, n,
        strlen(expected));
    for (int j = 0; j < n; j++)
        CHECK(reason[j] == expected[j] - '0', "%s %llu %s: token %d is %d, expected %c", g->kind,
            (unsigned long long)g->seed, what, j, reason[j], expected[j]);
}

/* --- budgets -------------------------------------------------------------------------------------------- */

static double draw_weight(uint64_t *r, int kind)
{
    switch (kind) {
    case 0: return (double)rng_draw(r, 0, 5);
    case 1: return (double)rng_draw(r, 1, 1000) / 1000;
    case 2: return 0;
    case 3: return ldexp(1, (int)rng_draw(r, -1000, 1000));
    case 4: return 1;
    case 5: return rng_draw(r, 0, 2) == 0 ? (double)rng_draw(r, 1, 9) : 0;
    default: return 1.0 / (double)rng_draw(r, 1, 100);
    }
}

static void check_solve(struct golden *g)
{
    uint64_t r = g->seed;
    double weight[MAX_LAYERS];
    int32_t lo[MAX_LAYERS], hi[MAX_LAYERS], pinned[MAX_LAYERS], budget[MAX_LAYERS];
    struct kv_error err = { 0 };
    int layers = (int)rng_draw(&r, 1, 40), n = (int)rng_draw(&r, 1, 4000);
    int kind = (int)rng_draw(&r, 0, 6), bounds = (int)rng_draw(&r, 0, 3);
    for (int l = 0; l < layers; l++) weight[l] = draw_weight(&r, kind);
    int common = (int)rng_draw(&r, 0, n / 4);
    for (int l = 0; l < layers; l++) {
        int any = (int)rng_draw(&r, 0, n);
        lo[l] = (int32_t[]){ 0, any, n < 36 ? n : 36, common }[bounds];
        int above = (int)rng_draw(&r, lo[l], n), above2 = (int)rng_draw(&r, lo[l], n);
        hi[l] = (int32_t[]){ n, above, n, above2 }[bounds];
    }
    bool pins = rng_draw(&r, 0, 2) == 0;
    for (int l = 0; l < layers; l++) pinned[l] = pins && rng_draw(&r, 0, 3) == 0 ? (int32_t)rng_draw(&r, 0, n) : -1;
    int64_t total = rng_draw(&r, 0, (int64_t)n * layers * 6 / 5);
    struct policy_problem p = { layers, weight, lo, hi, pinned, total };
    REQUIRE(!policy_solve(&p, budget, NULL, &err), "solve %llu: %s", (unsigned long long)g->seed, err.text);
    REQUIRE(g->n_field == layers, "solve %llu: %d layers, expected %d", (unsigned long long)g->seed, layers,
        g->n_field);
    for (int l = 0; l < layers; l++)
        CHECK(budget[l] == atoi(g->field[l]), "solve %llu: layer %d gets %d, expected %s",
            (unsigned long long)g->seed, l, budget[l], g->field[l]);
}

static void budgets(void) { each("solve", 120, check_solve); }

/* --- selection ------------------------------------------------------------------------------------------ */

static void draw_pins(uint64_t *r, int n, int8_t *pins)
{
    bool any = rng_draw(r, 0, 2) != 0;
    for (int j = 0; j < n; j++) {
        int x = any ? (int)rng_draw(r, 0, 19) : 2;
        pins[j] = x == 0 ? 1 : x == 1 ? -1 : 0;
    }
}

static void check_select(struct golden *g)
{
    uint64_t r = g->seed;
    float score[MAX_TOKENS];
    int8_t pins[MAX_TOKENS];
    int32_t kept[MAX_TOKENS];
    uint8_t reason[MAX_TOKENS];
    struct kv_error err = { 0 };
    int n = (int)rng_draw(&r, 1, 200), budget = (int)rng_draw(&r, 0, n + 10), n_kept;
    struct policy_forcing forcing = { .pins = pins };
    forcing.sinks = (int)rng_draw(&r, 0, 6);
    forcing.recent = (int)rng_draw(&r, 0, 40);
    int kind = (int)rng_draw(&r, 0, 3);
    for (int j = 0; j < n; j++) {
        if (kind == 0)
            score[j] = (float)rng_draw(&r, 0, 9);
        else if (kind == 1)
            score[j] = (float)rng_draw(&r, 0, (1 << 24) - 1) / 4096;
        else if (kind == 2) {
            int x = (int)rng_draw(&r, -6, 9);
            score[j] = x > 7 ? NAN : x == 7 ? -0.0f : x == 6 ? -INFINITY : (float)x;
        } else
            score[j] = 0.5f;
    }
    draw_pins(&r, n, pins);
    enum kv_status status = policy_select(&forcing, score, n, budget, kept, &n_kept, reason, &err);
    REQUIRE(!status, "select %llu: %s", (unsigned long long)g->seed, err.text);
    check_digits(g, 0, reason, n, "");
}

static void selections(void) { each("select", 120, check_select); }

/* --- scores --------------------------------------------------------------------------------------------- */

struct fields {
    float columns[MAX_HEADS * MAX_TOKENS], window[MAX_HEADS * MAX_TOKENS], last[MAX_HEADS * MAX_TOKENS];
    float entropy[MAX_HEADS * MAX_TOKENS];
};

static void draw_field(uint64_t *r, int count, int most, float unit, float *out)
{
    for (int k = 0; k < count; k++) out[k] = (float)rng_draw(r, 0, most) / unit;
}

static void draw_stats(uint64_t *r, struct fields *f, struct kv_stats *stats)
{
    int count = stats->n_head * stats->n;
    draw_field(r, count, 4095, 4096, f->columns);
    draw_field(r, count, 4095, 4096, f->window);
    draw_field(r, count, 4095, 4096, f->last);
    stats->columns = f->columns, stats->window = f->window, stats->last = f->last, stats->entropy = f->entropy;
}

static void draw_word(uint64_t *r, struct kv_policy *p, const char *name, const char *const *words, int count)
{
    struct kv_error err = { 0 };
    CHECK(!policy_set(p, name, words[rng_draw(r, 0, count - 1)], &err), "%s", err.text);
}
#define DRAW_WORD(r, p, name, ...)                                                                                 \
    draw_word(r, p, name, (const char *const[]){ __VA_ARGS__ },                                                    \
        sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *))

/* Draws the settings of a selector; returns the sliding window. */
static int draw_scoring(uint64_t *r, int n, struct kv_policy *p)
{
    DRAW_WORD(r, p, "policy.selector", "sum", "mean", "window", "last", "mix", "streaming");
    DRAW_WORD(r, p, "policy.rows", "all", "window", "last");
    p->window = (int)rng_draw(r, 1, 40);
    DRAW_WORD(r, p, "policy.pool", "auto", "none", "avg", "max");
    p->kernel = 2 * (int)rng_draw(r, 0, 3) + 1;
    DRAW_WORD(r, p, "policy.reduce", "sum", "mean", "max");
    DRAW_WORD(r, p, "policy.group", "shared", "kv-head");
    return rng_draw(r, 0, 2) == 0 ? (int)rng_draw(r, 1, n) : 0;
}

static void check_score(struct golden *g)
{
    static struct fields f;
    uint64_t r = g->seed;
    struct kv_error err = { 0 };
    struct kv_policy p;
    struct kv_stats stats = { 0 };
    uint8_t forced[MAX_TOKENS];
    float score[MAX_TOKENS];
    REQUIRE(!policy_preset("seed", &p, &err), "%s", err.text);
    int n = stats.n = (int)rng_draw(&r, 1, 48);
    stats.n_kv_head = (int)rng_draw(&r, 1, 3);
    stats.n_head = stats.n_kv_head * (int)rng_draw(&r, 1, 3);
    stats.sliding_window = draw_scoring(&r, n, &p);
    draw_stats(&r, &f, &stats);
    for (int j = 0; j < n; j++) forced[j] = rng_draw(&r, 0, 4) == 0;
    int sets = policy_sets(&p, stats.n_kv_head);
    REQUIRE(g->n_field == sets * n, "score %llu: %d scores, expected %d", (unsigned long long)g->seed, sets * n,
        g->n_field);
    for (int s = 0; s < sets; s++) {
        struct policy_scored scored = { &p, &stats, s, forced, 0 };
        REQUIRE(!policy_score(&scored, score, &err), "%s", err.text);
        for (int j = 0; j < n; j++) {
            uint32_t bits = (uint32_t)strtoul(g->field[s * n + j], NULL, 16);
            float expected;
            memcpy(&expected, &bits, sizeof bits);
            CHECK(fabsf(score[j] - expected) <= 1.2e-7f * fabsf(expected), /* one unit in the last place */
                "score %llu (%s): set %d token %d is %.9g, expected %.9g", (unsigned long long)g->seed,
                policy_selector_name(p.selector), s, j, (double)score[j], (double)expected);
        }
    }
}

static void scores(void) { each("score", 100, check_score); }

/* --- whole policies ------------------------------------------------------------------------------------- */

struct whole {
    struct kv_policy policy;
    int n, layers;
    struct kv_stats stats[8];
    int8_t pins[8][MAX_TOKENS];
    struct fields fields[8];
    double given[8];
    int32_t budget[8];
    int64_t total;
    size_t bytes_per_token;
};

static void draw_whole(uint64_t *r, struct whole *w)
{
    struct kv_error err = { 0 };
    struct kv_policy *p = &w->policy;
    REQUIRE(!policy_preset("seed", p, &err), "%s", err.text);
    w->layers = (int)rng_draw(r, 1, 8);
    w->n = (int)rng_draw(r, 1, 80);
    int kv = (int)rng_draw(r, 1, 3), group = (int)rng_draw(r, 1, 3);
    DRAW_WORD(r, p, "policy.allocator", "entropy", "uniform", "inverse", "manual");
    DRAW_WORD(r, p, "policy.entropy", "raw", "log-length");
    p->power = (double)rng_draw(r, 1, 8) / 4;
    p->sinks = (int)rng_draw(r, 0, 5);
    p->recent = (int)rng_draw(r, 0, 20);
    int form = (int)rng_draw(r, 0, 2), amount = (int)rng_draw(r, 1, 100);
    p->ratio = form == 0 ? amount / 100.0 : 0;
    p->tokens = form == 1 ? amount : 0;
    p->bytes = form == 2 ? (int64_t)amount * w->layers * 1000 : 0;
    if (rng_draw(r, 0, 3) == 0) p->floor = (int)rng_draw(r, 1, w->n);
    if (rng_draw(r, 0, 3) == 0) p->cap = (int)rng_draw(r, p->floor > 1 ? p->floor : 1, w->n);
    w->bytes_per_token = 16 * (size_t)rng_draw(r, 1, 64);
    int sliding = draw_scoring(r, w->n, p);
    for (int l = 0; l < w->layers; l++) {
        struct kv_stats *s = &w->stats[l];
        *s = (struct kv_stats){
            .layer = l, .n = w->n, .n_head = kv * group, .n_kv_head = kv, .sliding_window = sliding
        };
        draw_field(r, s->n_head * w->n, 8191, 1024, w->fields[l].entropy);
        w->given[l] = (double)rng_draw(r, 0, 20);
        draw_stats(r, &w->fields[l], s);
        draw_pins(r, w->n, w->pins[l]);
        bool all_evicted = true;
        for (int j = 0; j < w->n; j++) all_evicted &= w->pins[l][j] < 0;
        if (all_evicted) w->pins[l][0] = 0;
    }
}

static void allocate_whole(struct whole *w)
{
    struct kv_error err = { 0 };
    double weight[8];
    int32_t lo[8], hi[8];
    REQUIRE(!policy_weights(&w->policy, w->stats, w->layers, w->given, weight, &err), "%s", err.text);
    for (int l = 0; l < w->layers; l++)
        REQUIRE(!policy_bounds(&w->policy, l, w->n, w->pins[l], &lo[l], &hi[l], &err), "%s", err.text);
    struct policy_problem problem = { w->layers, weight, lo, hi, NULL,
        policy_total(&w->policy, w->n, w->layers, w->bytes_per_token) };
    struct policy_solution solution = { 0 };
    REQUIRE(!policy_solve(&problem, w->budget, &solution, &err), "%s", err.text);
    w->total = solution.total;
}

static void check_whole(struct golden *g)
{
    static struct whole w;
    uint64_t r = g->seed;
    struct kv_error err = { 0 };
    draw_whole(&r, &w);
    allocate_whole(&w);
    CHECK(w.total == atoll(g->field[0]), "whole %llu: %lld tokens, expected %s", (unsigned long long)g->seed,
        (long long)w.total, g->field[0]);
    int field = behind_slash(g);
    for (int l = 0; l < w.layers; l++) {
        CHECK(w.budget[l] == atoi(g->field[1 + l]), "whole %llu: layer %d gets %d, expected %s",
            (unsigned long long)g->seed, l, w.budget[l], g->field[1 + l]);
        struct policy_forcing forcing = { w.policy.sinks, w.policy.recent, w.pins[l] };
        uint8_t forced[MAX_TOKENS], reason[MAX_TOKENS];
        float score[MAX_TOKENS];
        int32_t kept[MAX_TOKENS];
        int n_kept;
        policy_forced(&forcing, w.n, w.budget[l], forced);
        for (int s = 0; s < policy_sets(&w.policy, w.stats[l].n_kv_head); s++, field++) {
            struct policy_scored scored = { &w.policy, &w.stats[l], s, forced, 0 };
            REQUIRE(!policy_score(&scored, score, &err), "%s", err.text);
            enum kv_status status = policy_select(&forcing, score, w.n, w.budget[l], kept, &n_kept, reason, &err);
            REQUIRE(!status, "%s", err.text);
            check_digits(g, field, reason, w.n, policy_selector_name(w.policy.selector));
        }
    }
}

static void whole_policies(void) { each("whole", 80, check_whole); }

/* --- kvpress -------------------------------------------------------------------------------------------- */

struct press {
    int n, n_kv, heads, window, kernel;
    float columns[MAX_HEADS * 48], recent[MAX_HEADS * 48], last[MAX_HEADS * 48];
};

/* Attention of random rows, folded into the three statistics as the engine would. */
static void draw_press(uint64_t *r, struct press *p)
{
    p->n = (int)rng_draw(r, 24, 48);
    p->n_kv = (int)rng_draw(r, 1, 3);
    p->heads = p->n_kv * (int)rng_draw(r, 1, 3);
    rng_draw(r, 1, 9); /* the ratio, which the golden line gives as a number of tokens */
    p->window = (int)rng_draw(r, 2, 10);
    p->kernel = 2 * (int)rng_draw(r, 0, 3) + 1;
    for (int h = 0; h < p->heads; h++) {
        double columns[48] = { 0 }, recent[48] = { 0 };
        for (int i = 0; i < p->n; i++) {
            double e[48], sum = 0;
            for (int j = 0; j <= i; j++) {
                double x = (double)rng_draw(r, 1, 1023);
                sum += e[j] = x * x;
            }
            for (int j = 0; j < p->n; j++) {
                float a = j <= i ? (float)(e[j] / sum) : 0;
                columns[j] += a;
                if (i >= p->n - p->window) recent[j] += a;
                if (i == p->n - 1) p->last[h * p->n + j] = a;
            }
        }
        for (int j = 0; j < p->n; j++) {
            p->columns[h * p->n + j] = (float)columns[j];
            p->recent[h * p->n + j] = (float)recent[j];
        }
    }
}

static void check_press(struct golden *g)
{
    static struct press p;
    uint64_t r = g->seed;
    struct kv_error err = { 0 };
    struct kv_policy policy;
    draw_press(&r, &p);
    bool snapkv = !strcmp(g->kind, "snapkv"), tova = !strcmp(g->kind, "tova");
    bool streaming = !strcmp(g->kind, "streaming");
    int n = p.n, budget = atoi(g->field[0]), scored_keys = snapkv ? n - p.window : tova ? n - 1 : n;
    struct policy_forcing forcing = { streaming ? 4 : 0, snapkv ? p.window : tova ? 1 : 0, NULL };
    const char *selector = snapkv ? "window" : tova ? "last" : streaming ? "streaming" : "mean";
    const char *group = tova || streaming ? "shared" : "kv-head";
    REQUIRE(!policy_preset("uniform", &policy, &err), "%s", err.text);
    policy.window = p.window, policy.kernel = p.kernel;
    const char *names[] = { "policy.selector", "policy.group", "policy.reduce" };
    const char *values[] = { selector, group, "mean" };
    REQUIRE(!policy_set_many(&policy, names, values, 3, &err), "%s", err.text);
    struct kv_stats stats = {
        .n = n, .n_head = p.heads, .n_kv_head = p.n_kv, .columns = p.columns, .window = p.recent, .last = p.last
    };
    int field = behind_slash(g);
    for (int s = 0; s < policy_sets(&policy, p.n_kv); s++) {
        float score[48];
        int32_t kept[48];
        uint8_t reason[48];
        int n_kept;
        struct policy_scored scored = { &policy, &stats, s, NULL, 0 };
        REQUIRE(!policy_score(&scored, score, &err), "%s", err.text);
        for (int j = 0; !streaming && j < scored_keys; j++) {
            double expected = strtod(g->field[1 + s * n + j], NULL); /* f32 sums there, f64 here */
            CHECK(fabs(score[j] - expected) <= 2e-6 * expected, "%s %llu: set %d token %d is %.9g, kvpress %.9g",
                g->kind, (unsigned long long)g->seed, s, j, (double)score[j], expected);
        }
        enum kv_status status = policy_select(&forcing, score, n, budget, kept, &n_kept, reason, &err);
        REQUIRE(!status, "%s", err.text);
        for (int j = 0; j < n; j++) reason[j] = reason[j] != POLICY_EVICTED;
        check_digits(g, field + s, reason, n, "kept");
    }
}

static void observed_attention(void) { each("observed", 12, check_press); }
static void snapkv_scores(void) { each("snapkv", 12, check_press); }
static void tova_scores(void) { each("tova", 12, check_press); }
static void streaming_sets(void) { each("streaming", 12, check_press); }

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "budgets equal the oracle's, 120 cases", budgets },
        { "kept sets and reasons equal the oracle's, 120 cases", selections },
        { "scores equal the oracle's, 100 cases", scores },
        { "whole policies equal the oracle's, 80 cases", whole_policies },
        { "mean equals kvpress ObservedAttention, 12 cases", observed_attention },
        { "window equals kvpress SnapKV, 12 cases", snapkv_scores },
        { "last equals kvpress TOVA, 12 cases", tova_scores },
        { "streaming equals kvpress StreamingLLM, 12 cases", streaming_sets },
    };
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
