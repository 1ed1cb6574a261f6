/* Weights of every allocator on random and on degenerate statistics, and the budgets that the solver makes of them. */
#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "tests/tap.h"
#include "tests/unit/policy_random.h"

#include <stdlib.h>

#define CASES      10000
#define MAX_LAYERS 12
#define MAX_TOKENS 40
#define MAX_HEADS  6
#define CELLS      (MAX_HEADS * MAX_TOKENS)

/* Statistics of all layers, drawn. */
struct drawn {
    int n_layer;
    struct kv_stats stats[MAX_LAYERS];
    float entropy[MAX_LAYERS][CELLS], window[MAX_LAYERS][CELLS], norms[MAX_LAYERS][2 * CELLS];
    float cosine[MAX_LAYERS][MAX_TOKENS];
    double spread[MAX_LAYERS][2];
};

static double unit(uint64_t *r) { return (double)(rng_next(r) >> 11) * 0x1p-53; }

/* kind 0: smooth; 1: a few values, many equal; 2: over many orders; 3: all zero. */
static float value(uint64_t *r, int kind)
{
    switch (kind) {
    case 0: return (float)unit(r);
    case 1: return (float)rng_draw(r, 0, 2) / 2;
    case 2: return (float)exp(40 * unit(r) - 35);
    default: return 0;
    }
}

static void draw(uint64_t *r, struct drawn *d)
{
    int n = (int)rng_draw(r, 1, MAX_TOKENS), kv = (int)rng_draw(r, 1, 2), heads = kv * (int)rng_draw(r, 1, 3);
    d->n_layer = (int)rng_draw(r, 1, MAX_LAYERS);
    int common = (int)rng_draw(r, 0, 5);
    for (int l = 0; l < d->n_layer; l++) {
        int kind = common < 4 ? common : (int)rng_draw(r, 0, 3);
        for (int k = 0; k < heads * n; k++) d->entropy[l][k] = 6 * value(r, kind), d->window[l][k] = value(r, kind);
        for (int k = 0; k < 2 * kv * n; k++) d->norms[l][k] = value(r, kind);
        for (int i = 0; i < n; i++) d->cosine[l][i] = 1 - value(r, kind);
        for (int k = 0; k < 2; k++) d->spread[l][k] = (double)value(r, kind);
        d->stats[l] = (struct kv_stats){ .layer = l, .n = n, .n_head = heads, .n_kv_head = kv };
        d->stats[l].entropy = d->entropy[l], d->stats[l].window = d->window[l],
        d->stats[l].value_norms = d->norms[l];
        d->stats[l].cosine = d->cosine[l], d->stats[l].spread = d->spread[l];
    }
}

static void draw_policy(uint64_t *r, struct kv_policy *p)
{
    p->window = (int)rng_draw(r, 2, 33);
    p->kernel = 2 * (int)rng_draw(r, 0, 3) + 1;
    p->power = (double)rng_draw(r, -8, 8) / 4;
    p->beta = (double)rng_draw(r, 1, 40);
    p->tau1 = (double)rng_draw(r, 1, 12) / 4, p->tau2 = (double)rng_draw(r, 1, 12) / 4;
    p->temperature = (double)rng_draw(r, 1, 12) / 4;
    p->mass = (double)rng_draw(r, 1, 10) / 10;
    p->boundary = (double)rng_draw(r, 0, 10) / 10;
    p->share = (double)rng_draw(r, 1, 10) / 10;
    p->rows = (int)rng_draw(r, 0, 2);
    p->entropy = (int)rng_draw(r, 0, 1);
}

static struct kv_policy with_allocator(int row)
{
    struct kv_policy p = { 0 };
    struct kv_error err = { 0 };
    CHECK(!policy_preset("seed", &p, &err), "%s", err.text);
    p.allocator = row;
    return p;
}

/* The budgets that come of weights: an exact sum within the bounds, no fewer for more weight. */
static void check_budgets(const char *name, int c, const double *weight, int n_layer, int n, uint64_t *r)
{
    int32_t lo[MAX_LAYERS], hi[MAX_LAYERS], budget[MAX_LAYERS], least = (int32_t)rng_draw(r, 0, n);
    struct kv_error err = { 0 };
    struct policy_solution s = { 0 };
    int64_t sum = 0;
    for (int l = 0; l < n_layer; l++) lo[l] = least, hi[l] = n;
    struct policy_problem problem = { n_layer, weight, lo, hi, NULL, rng_draw(r, 0, (int64_t)n * n_layer) };
    REQUIRE(!policy_solve(&problem, budget, &s, &err), "%s, case %d: %s", name, c, err.text);
    for (int l = 0; l < n_layer; l++) {
        sum += budget[l];
        CHECK(budget[l] >= lo[l] && budget[l] <= n, "%s, case %d: layer %d gets %d", name, c, l, budget[l]);
        for (int k = 0; k < n_layer; k++)
            CHECK(weight[l] <= weight[k] || budget[l] >= budget[k], "%s, case %d: weights %g > %g, budgets %d < %d",
                name, c, weight[l], weight[k], budget[l], budget[k]);
    }
    int64_t want = problem.total < s.least ? s.least : problem.total;
    CHECK(sum == want, "%s, case %d: %lld tokens of %lld", name, c, (long long)sum, (long long)want);
}

/* Whether an allocator gives layers in another order the same weights in that order. */
static bool ordered(const char *name) { return !strcmp(name, "pyramid"); }

static void check_order(
    const char *name, int c, const struct kv_policy *p, const struct drawn *d, const double *weight)
{
    struct kv_stats turned[MAX_LAYERS];
    double other[MAX_LAYERS];
    struct kv_error err = { 0 };
    for (int l = 0; l < d->n_layer; l++) turned[l] = d->stats[d->n_layer - 1 - l];
    REQUIRE(!policy_weights(p, turned, d->n_layer, NULL, other, &err), "%s, case %d: %s", name, c, err.text);
    for (int l = 0; l < d->n_layer && !ordered(name); l++) {
        double back = other[d->n_layer - 1 - l];
        CHECK(fabs(weight[l] - back) <= 1e-12 * fabs(back), "%s, case %d: layer %d weighs %g, in another place %g",
            name, c, l, weight[l], back);
    }
}

static void random_cases(void)
{
    static struct drawn d;
    uint64_t r = 3;
    for (int row = 0; policy_allocator_at(row); row++) {
        const char *name = policy_allocator_name(row);
        struct kv_policy p = with_allocator(row);
        for (int c = 0; c < CASES; c++) {
            double weight[MAX_LAYERS], again[MAX_LAYERS];
            struct kv_error err = { 0 };
            draw(&r, &d);
            draw_policy(&r, &p);
            if (!strcmp(name, "entropy") || !strcmp(name, "inverse")) p.power = fabs(p.power);
            enum kv_status status = policy_weights(&p, d.stats, d.n_layer, NULL, weight, &err);
            REQUIRE(!status, "%s, case %d: %s", name, c, err.text);
            for (int l = 0; l < d.n_layer; l++)
                CHECK(weight[l] >= 0 && isfinite(weight[l]), "%s, case %d: layer %d of %d weighs %g", name, c, l,
                    d.n_layer, weight[l]);
            REQUIRE(!policy_weights(&p, d.stats, d.n_layer, NULL, again, &err), "%s", err.text);
            CHECK(
                !memcmp(weight, again, (size_t)d.n_layer * sizeof *weight), "%s, case %d: other weights", name, c);
            check_order(name, c, &p, &d, weight);
            check_budgets(name, c, weight, d.n_layer, d.stats[0].n, &r);
            if (tap_state.failed) return;
        }
    }
}

/* A statistic that is no number makes no weight that is one: the solver names its layer. */
static void not_a_number(void)
{
    static struct drawn d;
    uint64_t r = 4;
    for (int row = 0; policy_allocator_at(row); row++) {
        const struct policy_allocator *a = policy_allocator_at(row);
        struct kv_policy p = with_allocator(row);
        for (int c = 0; c < 100 && a->needs; c++) {
            double weight[MAX_LAYERS];
            int32_t lo[MAX_LAYERS] = { 0 }, hi[MAX_LAYERS], budget[MAX_LAYERS];
            struct kv_error err = { 0 };
            draw(&r, &d);
            p.window = d.stats[0].n > 4 ? 2 : 8;
            int l = (int)rng_draw(&r, 0, d.n_layer - 1);
            for (int k = 0; k < CELLS; k++)
                d.entropy[l][k] = d.window[l][k] = d.norms[l][k] = d.norms[l][k + CELLS] = NAN;
            for (int i = 0; i < MAX_TOKENS; i++) d.cosine[l][i] = NAN;
            d.spread[l][0] = d.spread[l][1] = NAN;
            for (int k = 0; k < d.n_layer; k++) hi[k] = d.stats[0].n;
            struct policy_problem problem = { d.n_layer, weight, lo, hi, NULL, d.n_layer };
            REQUIRE(!policy_weights(&p, d.stats, d.n_layer, NULL, weight, &err), "%s: %s", a->name, err.text);
            bool nothing = !strcmp(a->name, "lava") && d.stats[0].n <= p.window; /* no token before the window */
            CHECK(
                nothing || (policy_solve(&problem, budget, NULL, &err) == KV_BAD_ARG && strstr(err.text, "weight")),
                "%s, case %d: weight %g of layer %d, which is no number, was taken: %s", a->name, c, weight[l], l,
                err.text);
        }
    }
}

/* What an allocator reads and is not there, it refuses in words. */
static void missing(void)
{
    for (int row = 0; policy_allocator_at(row); row++) {
        const struct policy_allocator *a = policy_allocator_at(row);
        struct kv_policy p = with_allocator(row);
        struct kv_stats none[2] = { { .layer = 0, .n = 3, .n_head = 2, .n_kv_head = 1 },
            { .layer = 1, .n = 3, .n_head = 2, .n_kv_head = 1 } };
        double weight[2];
        struct kv_error err = { 0 };
        enum kv_status status = policy_weights(&p, none, 2, NULL, weight, &err);
        CHECK((status == KV_BAD_ARG) == (a->needs != 0), "%s: status %d, %s", a->name, status, err.text);
        CHECK(!a->needs || strstr(err.text, "Layer 0 has no "), "%s says: %s", a->name, err.text);
    }
}

static int row_of(const char *name)
{
    int row = 0;
    while (policy_allocator_name(row) && strcmp(policy_allocator_name(row), name)) row++;
    return row;
}

static void check_weights(
    const char *name, const struct kv_policy *p, const double *measure, int n, const double *want)
{
    double weight[MAX_LAYERS];
    struct kv_policy policy = *p;
    struct kv_error err = { 0 };
    policy.allocator = row_of(name);
    REQUIRE(!policy_weigh(&policy, measure, n, NULL, weight, &err), "%s: %s", name, err.text);
    for (int l = 0; l < n; l++)
        CHECK(fabs(weight[l] - want[l]) <= 1e-12, "%s: layer %d weighs %.15g, must be %.15g", name, l, weight[l],
            want[l]);
}

/* Worked out by hand. */
static void vectors(void)
{
    struct kv_policy p = with_allocator(0);
    double none[5] = { 0 };
    check_weights("pyramid", &p, none, 3, (double[]){ 1.95, 1, .05 });
    check_weights("pyramid", &p, none, 1, (double[]){ 1 });
    check_weights("zigzag", &p, (double[]){ 1, 3 }, 2, (double[]){ .1 + .2, .1 + .6 });
    check_weights("zigzag", &p, none, 2, (double[]){ .5, .5 });
    check_weights("meda", &p, (double[]){ 0, log(2), log(4) }, 3, (double[]){ .25, .5, 1 });
    check_weights("cake", &p, (double[]){ -INFINITY, log(2), log(4) }, 3, (double[]){ 0, .5, 1 });
    check_weights("cake", &p, (double[]){ -INFINITY, -INFINITY }, 2, (double[]){ 0, 0 });
    /* upper group {.9, .91}: .3 each; the others share 5 - .6 */
    check_weights(
        "squeeze", &p, (double[]){ .1, .9, .5, .91, .12 }, 5, (double[]){ 4.4 / 3, .3, 4.4 / 3, .3, 4.4 / 3 });
    check_weights("squeeze", &p, (double[]){ .5, .9, .5 }, 3, (double[]){ 1.35, .3, 1.35 });
    check_weights("squeeze", &p, (double[]){ .5, .5, .5 }, 3, (double[]){ 1, 1, 1 });
    check_weights("squeeze", &p, (double[]){ .5 }, 1, (double[]){ 1 });
}

/* Measures of one layer, worked out by hand. */
static void measures(void)
{
    float window[2 * 5] = { 3, 0, 1, 2, 2, /* */ 0, 0, 8, 0, 0 }, norms[4 * 5] = { 0 },
                     cosine[5] = { 1, .5, 0, .5, .5 };
    double spread[2] = { 4, 9 }, out;
    struct kv_policy p = with_allocator(row_of("zigzag"));
    struct kv_error err = { 0 };
    struct kv_stats s = {
        .n = 5, .n_head = 2, .n_kv_head = 2, .window = window, .cosine = cosine, .spread = spread
    };
    p.mass = .75; /* 3 + 2 + 2 of 8; 8 of 8 */
    CHECK(!policy_measure(&p, &s, &out, &err) && out == 2, "zigzag: %g, %s", out, err.text);
    p.allocator = row_of("squeeze");
    CHECK(!policy_measure(&p, &s, &out, &err) && fabs(out - .5) <= 1e-15, "squeeze: %g, %s", out, err.text);
    p.allocator = row_of("cake");
    p.tau1 = 2, p.tau2 = .5; /* 4^(1/2) 9^2 */
    CHECK(!policy_measure(&p, &s, &out, &err) && fabs(out - log(162)) <= 1e-15, "cake: %g, %s", out, err.text);
    spread[0] = -1e-12; /* one-hot rows, by their 1e-10 */
    CHECK(!policy_measure(&p, &s, &out, &err) && out == -INFINITY, "cake, one-hot rows: %g, %s", out, err.text);
    p.window = 1;
    CHECK(policy_measure(&p, &s, &out, &err) == KV_BAD_ARG, "cake took a window of one row");
    p.allocator = row_of("lava");
    p.window = 2, p.kernel = 1;
    s.value_norms = norms;
    norms[10 + 4] = 2, norms[15 + 0] = .5f; /* L1: 2 and .5 at most */
    /* scores 3 0 1 of norm 2, 0 0 8 of .5, over 2 rows: 3 0 1 0 0 2, shares 1/2 0 1/6 0 0 1/3, of 6 */
    double want = (log(2) / 2 + log(6) / 6 + log(3) / 3) / log(6);
    CHECK(
        !policy_measure(&p, &s, &out, &err) && fabs(out - want) <= 1e-15, "lava: %.15g, must be %.15g", out, want);
    p.kernel = 3; /* the best of three neighbors: 3 3 1, 0 8 8 */
    CHECK(!policy_measure(&p, &s, &out, &err), "%s", err.text);
    double share[5] = { 3 / 11., 3 / 11., 1 / 11., 2 / 11., 2 / 11. }, entropy = 0;
    for (int i = 0; i < 5; i++) entropy -= share[i] * log(share[i]);
    CHECK(fabs(out - entropy / log(6)) <= 1e-15, "lava, pooled: %.15g, must be %.15g", out, entropy / log(6));
    s.n = 2; /* all in the window */
    CHECK(!policy_measure(&p, &s, &out, &err) && out == 0, "lava, a short prompt: %g", out);
}

/* Selectors that read keys and values, by hand. */
static void lengths(void)
{
    float columns[4 * 3] = { 1, 2, 3, /* */ 1, 0, 1, /* */ 4, 4, 4, /* */ 0, 2, 0 }, score[3];
    float key[2 * 3] = { 1, 2, 3, /* */ 2, 2, 2 }, value_norms[4 * 3] = { 1, 2, 1, /* */ 1, 1, 3 };
    float logit[4 * 3] = { 0, 0, 0, /* */ 9, 0, 0, /* */ 9, 0, (float)log(3), /* */ 0, 0, 0 };
    struct kv_policy p = with_allocator(0);
    struct kv_error err = { 0 };
    struct kv_stats s = { .n = 3,
        .n_head = 4,
        .n_kv_head = 2,
        .columns = columns,
        .key_norms = key,
        .value_norms = value_norms,
        .expected = logit };
    struct policy_scored scored = { .policy = &p, .stats = &s };
    p.sinks = 1;
    CHECK(!policy_set(&p, "policy.selector", "knorm", &err) && !policy_score(&scored, score, &err), "%s", err.text);
    CHECK(score[0] == -3 && score[1] == -4 && score[2] == -5, "knorm: %g %g %g", score[0], score[1], score[2]);
    p.reduce = POLICY_REDUCE_MAX;
    CHECK(!policy_score(&scored, score, &err) && score[0] == -1 && score[2] == -2, "knorm, max: %g %g", score[0],
        score[2]);
    p.reduce = POLICY_REDUCE_SUM;
    CHECK(!policy_set(&p, "policy.selector", "vnorm", &err) && !policy_score(&scored, score, &err), "%s", err.text);
    CHECK(score[0] == 6 && score[1] == 10 && score[2] == 16, "vnorm: %g %g %g", score[0], score[1], score[2]);
    p.epsilon = .5; /* on every head: twice the sum of a KV head's norm over two heads */
    CHECK(!policy_score(&scored, score, &err) && score[0] == 8 && score[2] == 20, "vnorm, epsilon: %g %g", score[0],
        score[2]);
    p.pool = POLICY_POOL_MAX, p.kernel = 1; /* head by head, the same */
    CHECK(!policy_score(&scored, score, &err) && score[0] == 8 && score[2] == 20, "vnorm, by head: %g %g", score[0],
        score[2]);
    p.pool = POLICY_POOL_AUTO, p.epsilon = 0;
    CHECK(!policy_set(&p, "policy.selector", "expected", &err) && !policy_score(&scored, score, &err), "%s",
        err.text);
    /* softmax behind the sink: 1/2 1/2, 1/2 1/2, 1/4 3/4, 1/2 1/2; times 2 1, 2 1, 1 3, 1 3 */
    CHECK(score[1] == 2.75f && score[2] == 4.75f && score[0] == 4.75f, "expected: %g %g %g", score[0], score[1],
        score[2]);
    p.group = POLICY_GROUP_KV_HEAD;
    scored.set = 1;
    CHECK(!policy_score(&scored, score, &err) && score[1] == .75f && score[2] == 3.75f,
        "expected of KV head 1: %g %g", score[1], score[2]);
    s.expected = s.key_norms = s.value_norms = NULL;
    for (size_t i = 0; i < 3; i++) {
        static const char *const name[] = { "knorm", "vnorm", "expected" };
        CHECK(!policy_set(&p, "policy.selector", name[i], &err), "%s", err.text);
        CHECK(policy_score(&scored, score, &err) == KV_BAD_ARG && strstr(err.text, "Layer 0 has no "), "%s: %s",
            name[i], err.text);
    }
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "weights worked out by hand", vectors },
        { "measures worked out by hand", measures },
        { "scores from keys and values worked out by hand", lengths },
        { "every allocator: whole weights, the same twice and in another order, exact budgets; 10,000 cases each",
            random_cases },
        { "a statistic that is no number is refused with its layer", not_a_number },
        { "statistics that were not collected are refused", missing },
    };
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
