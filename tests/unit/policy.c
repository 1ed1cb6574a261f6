/* The solver's and the selection's vectors and invariants, on random cases of their own. */
#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "tests/tap.h"
#include "tests/unit/policy_random.h"

#include <stdlib.h>

#define CASES      5000
#define MAX_LAYERS 48

/* --- solver --------------------------------------------------------------------------------------------- */

static void spec_vectors(void)
{
    static const struct {
        int layers;
        double weight[6];
        int64_t total;
        int32_t lo, hi, budget[6];
    } vector[] = {
        { 4, { 1, 2, 3, 4 }, 100, 4, 64, { 10, 20, 30, 40 } },
        { 4, { 1, 2, 3, 4 }, 200, 4, 64, { 24, 48, 64, 64 } },
        { 4, { .01, 1, 1, 1 }, 100, 10, 64, { 10, 30, 30, 30 } },
        { 3, { 1, 1, 1 }, 100, 0, 64, { 34, 33, 33 } },
        { 3, { 0, 0, 0 }, 10, 1, 64, { 4, 3, 3 } },
        { 4, { 5.1, 4.2, 3.3, .9 }, 1000, 36, 512, { 378, 311, 244, 67 } },
        /* extremes: only ratios count, and nothing overflows */
        { 3, { 1e300, 1e300, 1e300 }, 10, 0, 64, { 4, 3, 3 } },
        { 3, { 1e-300, 2e-300, 1e-300 }, 8, 0, 64, { 2, 4, 2 } },
        { 3, { 1e300, 1e-300, 1e-300 }, 100, 0, 64, { 64, 18, 18 } },
        { 3, { 5e-324, 0, 5e-324 }, 9, 1, 64, { 4, 1, 4 } },
        { 1, { 0 }, 7, 1, 64, { 7 } },
        /* 1/3 is a tie however its share is rounded: 1/3, 4/3, 1/3 and one token left */
        { 3, { 1, 4, 1 }, 2, 0, 64, { 1, 1, 0 } },
    };
    for (size_t i = 0; i < KV_COUNT(vector); i++) {
        int32_t lo[6], hi[6], budget[6];
        struct kv_error err = { 0 };
        for (int l = 0; l < 6; l++) lo[l] = vector[i].lo, hi[l] = vector[i].hi;
        struct policy_problem p = { vector[i].layers, vector[i].weight, lo, hi, NULL, vector[i].total };
        REQUIRE(!policy_solve(&p, budget, NULL, &err), "%zu: %s", i, err.text);
        for (int l = 0; l < p.n_layer; l++)
            CHECK(budget[l] == vector[i].budget[l], "vector %zu: layer %d gets %d, expected %d", i, l, budget[l],
                vector[i].budget[l]);
    }
}

static void solution_report(void)
{
    double weight[4] = { 1, 2, 3, 4 }, request[4];
    int32_t lo[4] = { 4, 4, 4, 4 }, hi[4] = { 64, 64, 64, 64 }, pinned[4] = { -1, 50, -1, -1 }, budget[4];
    uint8_t bound[4];
    struct policy_solution s = { .request = request, .bound = bound };
    struct policy_problem p = { 4, weight, lo, hi, pinned, 150 };
    struct kv_error err = { 0 };
    REQUIRE(!policy_solve(&p, budget, &s, &err), "%s", err.text);
    CHECK(s.total == 150 && s.least == 62 && s.most == 242, "%lld of %lld..%lld", (long long)s.total,
        (long long)s.least, (long long)s.most);
    CHECK(budget[0] == 13 && budget[1] == 50 && budget[2] == 37 && budget[3] == 50, "%d %d %d %d", budget[0],
        budget[1], budget[2], budget[3]);
    CHECK(request[0] == 12.5 && request[1] == 50 && request[2] == 37.5 && request[3] == 50, "requests");
    CHECK(bound[0] == POLICY_FREE && bound[1] == POLICY_PINNED, "bounds %d %d", bound[0], bound[1]);

    p.total = 1000;
    REQUIRE(!policy_solve(&p, budget, &s, &err), "%s", err.text);
    CHECK(s.total == 242 && budget[0] == 64 && bound[3] == POLICY_AT_HI, "clamped to %lld, %d", (long long)s.total,
        budget[0]);
    p.total = 0;
    REQUIRE(!policy_solve(&p, budget, &s, &err), "%s", err.text);
    CHECK(s.total == 62 && budget[3] == 4, "raised to %lld, %d", (long long)s.total, budget[3]);
    pinned[0] = 100; /* a pin is the user's word: above hi it stands */
    pinned[2] = pinned[3] = 0;
    REQUIRE(!policy_solve(&p, budget, &s, &err), "%s", err.text);
    CHECK(s.total == 150 && budget[0] == 100 && budget[2] == 0, "all pinned: %lld", (long long)s.total);
}

static void solver_refuses(void)
{
    static const struct {
        double weight;
        int32_t lo, hi, pinned;
        int64_t total;
        int layers;
        const char *says;
    } bad[] = {
        { NAN, 0, 9, -1, 5, 2, "The weight of layer 1 must be a number of 0 or more, got nan." },
        { INFINITY, 0, 9, -1, 5, 2, "The weight of layer 1 must be a number of 0 or more, got inf." },
        { -1, 0, 9, -1, 5, 2, "The weight of layer 1 must be a number of 0 or more, got -1." },
        { 1, 9, 8, -1, 5, 2, "The bounds of layer 1 must be ordered, got 9 to 8." },
        { 1, -1, 8, -1, 5, 2, "The bounds of layer 1 must be ordered, got -1 to 8." },
        { 1, 0, 9, -2, 5, 2, "The budget of layer 1 must not be negative, got -2." },
        { 1, 0, 9, -1, -5, 2, "The total budget must not be negative, got -5." },
        { 1, 0, 9, -1, 5, 0, "Budgets need 1 to 4096 layers, got 0." },
        { 1, 0, 9, -1, 5, 4097, "Budgets need 1 to 4096 layers, got 4097." },
    };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        double weight[2] = { 1, bad[i].weight };
        int32_t lo[2] = { 0, bad[i].lo }, hi[2] = { 9, bad[i].hi }, pinned[2] = { -1, bad[i].pinned };
        int32_t budget[2] = { -7, -7 };
        struct policy_problem p = { bad[i].layers, weight, lo, hi, pinned, bad[i].total };
        struct kv_error err = { 0 };
        CHECK(policy_solve(&p, budget, NULL, &err) == KV_BAD_ARG, "case %zu was accepted", i);
        CHECK(!strcmp(err.text, bad[i].says), "case %zu says: %s", i, err.text);
        CHECK(budget[0] == -7, "case %zu wrote a budget", i);
    }
}

/* Sum exact, bounds held, a larger weight with equal bounds never less, twice the same. */
static void solver_invariants(void)
{
    uint64_t r = 1;
    for (int c = 0; c < CASES; c++) {
        double weight[MAX_LAYERS];
        int32_t lo[MAX_LAYERS], hi[MAX_LAYERS], pinned[MAX_LAYERS], budget[MAX_LAYERS], again[MAX_LAYERS];
        int layers = (int)rng_draw(&r, 1, MAX_LAYERS), n = (int)rng_draw(&r, 1, 131072);
        int spread = (int)rng_draw(&r, 0, 3);
        bool common = rng_draw(&r, 0, 1), pins = rng_draw(&r, 0, 3) == 0;
        int least = (int)rng_draw(&r, 0, n / 2);
        for (int l = 0; l < layers; l++) {
            double u = (double)(rng_next(&r) >> 11) * 0x1p-53;
            weight[l] = spread == 0   ? u
                        : spread == 1 ? exp(20 * u)
                        : spread == 2 ? 1 + 1e-12 * u
                                      : exp(1000 * u - 500);
            lo[l] = common ? least : (int32_t)rng_draw(&r, 0, n);
            hi[l] = common ? n : (int32_t)rng_draw(&r, lo[l], n);
            pinned[l] = pins && rng_draw(&r, 0, 3) == 0 ? (int32_t)rng_draw(&r, 0, n) : -1;
        }
        struct policy_problem p = { layers, weight, lo, hi, pinned, rng_draw(&r, 0, (int64_t)n * layers) };
        struct policy_solution s = { 0 };
        struct kv_error err = { 0 };
        REQUIRE(!policy_solve(&p, budget, &s, &err), "case %d: %s", c, err.text);
        int64_t sum = 0;
        for (int l = 0; l < layers; l++) {
            sum += budget[l];
            bool fixed = pinned[l] >= 0;
            CHECK(fixed ? budget[l] == pinned[l] : budget[l] >= lo[l] && budget[l] <= hi[l],
                "case %d: layer %d gets %d of %d..%d", c, l, budget[l], lo[l], hi[l]);
            for (int k = 0; common && !fixed && k < layers; k++)
                CHECK(pinned[k] >= 0 || weight[l] <= weight[k] || budget[l] >= budget[k],
                    "case %d: weights %g > %g, budgets %d < %d", c, weight[l], weight[k], budget[l], budget[k]);
        }
        CHECK(sum == s.total, "case %d: budgets add up to %lld, not %lld", c, (long long)sum, (long long)s.total);
        int64_t clamped = p.total < s.least ? s.least : p.total > s.most ? s.most : p.total;
        CHECK(s.total == clamped, "case %d: total %lld, expected %lld", c, (long long)s.total, (long long)clamped);
        REQUIRE(!policy_solve(&p, again, NULL, &err), "%s", err.text);
        CHECK(
            !memcmp(again, budget, (size_t)layers * sizeof *budget), "case %d: another result the second time", c);
    }
}

static void most_layers(void)
{
    static double weight[POLICY_MAX_LAYERS];
    static int32_t lo[POLICY_MAX_LAYERS], hi[POLICY_MAX_LAYERS], budget[POLICY_MAX_LAYERS];
    for (int l = 0; l < POLICY_MAX_LAYERS; l++) weight[l] = l + 1, hi[l] = INT32_MAX;
    struct policy_problem p = { POLICY_MAX_LAYERS, weight, lo, hi, NULL, (int64_t)INT32_MAX * POLICY_MAX_LAYERS };
    struct kv_error err = { 0 };
    REQUIRE(!policy_solve(&p, budget, NULL, &err), "%s", err.text);
    for (int l = 0; l < POLICY_MAX_LAYERS; l++) CHECK(budget[l] == INT32_MAX, "layer %d gets %d", l, budget[l]);
}

/* --- entropy, totals, bounds ---------------------------------------------------------------------------- */

static struct kv_policy preset(const char *name)
{
    struct kv_policy p = { 0 };
    struct kv_error err = { 0 };
    CHECK(!policy_preset(name, &p, &err), "%s", err.text);
    return p;
}

static void entropy_of_uniform_rows(void)
{
    enum { N = 1024 };
    static float row[2 * N];
    double head[2], raw = 0;
    struct kv_policy p = preset("seed");
    for (int i = 0; i < N; i++) row[i] = (float)log(i + 1), raw += log(i + 1) / N;
    struct kv_stats s = { .n = N, .n_head = 2, .n_kv_head = 1, .entropy = row };
    double e = policy_layer_entropy(&p, &s, head);
    CHECK(fabs(head[0] - 5.936) <= 5e-4 && fabs(head[0] - raw) <= 1e-6, "uniform rows: %.6f", head[0]);
    CHECK(head[1] == 0 && fabs(e - head[0] / 2) <= 1e-12, "one-hot rows: %g, mean %g", head[1], e);
    p.entropy = POLICY_ENTROPY_LOG_LENGTH;
    policy_layer_entropy(&p, &s, head);
    CHECK(fabs(head[0] - 1) <= 1e-6, "share of the possible: %.9f", head[0]);
    p.entropy = POLICY_ENTROPY_RAW;
    p.rows = POLICY_ROWS_LAST;
    policy_layer_entropy(&p, &s, head);
    CHECK(fabs(head[0] - log(N)) <= 1e-6, "last row: %.9f", head[0]);
    s.n = 1; /* a prompt of one token sees one key */
    p.entropy = POLICY_ENTROPY_LOG_LENGTH;
    CHECK(policy_layer_entropy(&p, &s, head) == 0, "one token: %g", head[0]);
    row[0] = NAN;
    p.entropy = POLICY_ENTROPY_RAW;
    CHECK(isnan(policy_layer_entropy(&p, &s, NULL)), "NaN was lost");
}

static void weights_by_allocator(void)
{
    float high[2] = { 2, 2 }, low[2] = { 1, 1 }, none[2] = { -1e-8f, 0 };
    struct kv_stats s[3] = { { .n = 2, .n_head = 1, .n_kv_head = 1, .entropy = high },
        { .n = 2, .n_head = 1, .n_kv_head = 1, .entropy = low },
        { .n = 2, .n_head = 1, .n_kv_head = 1, .entropy = none } };
    double w[3], given[3] = { 5, 6, 7 };
    struct kv_error err = { 0 };
    struct kv_policy p = preset("seed");
    REQUIRE(!policy_weights(&p, s, 3, given, w, &err), "%s", err.text);
    CHECK(w[0] == 2 && w[1] == 1 && w[2] == 0, "entropy: %g %g %g", w[0], w[1], w[2]);
    p.power = 3;
    REQUIRE(!policy_weights(&p, s, 3, given, w, &err), "%s", err.text);
    CHECK(w[0] == 8 && w[1] == 1, "power: %g %g", w[0], w[1]);
    p = preset("inverse");
    REQUIRE(!policy_weights(&p, s, 3, given, w, &err), "%s", err.text);
    CHECK(w[0] == .5 && w[1] == 1 && fabs(w[2] - 1e6) <= 1e-3, "inverse: %g %g %g", w[0], w[1], w[2]);
    p = preset("uniform");
    REQUIRE(!policy_weights(&p, s, 3, given, w, &err), "%s", err.text);
    CHECK(w[0] == 1 && w[2] == 1, "uniform: %g %g", w[0], w[2]);
    p = preset("manual");
    REQUIRE(!policy_weights(&p, s, 3, given, w, &err), "%s", err.text);
    CHECK(w[0] == 5 && w[2] == 7, "manual: %g %g", w[0], w[2]);
    p = preset("seed");
    s[1].entropy = NULL;
    CHECK(policy_weights(&p, s, 3, given, w, &err) == KV_BAD_ARG, "entropy that was not collected was read");
}

static void totals_and_bounds(void)
{
    struct kv_policy p = preset("seed");
    struct kv_error err = { 0 };
    int8_t pins[100] = { 0 };
    int32_t lo, hi;
    CHECK(policy_total(&p, 1000, 30, 768) == 7500, "a quarter");
    CHECK(policy_total(&p, 1, 30, 768) == 8, "half a token is rounded up");
    p.ratio = 0, p.tokens = 64;
    CHECK(policy_total(&p, 1000, 30, 768) == 1920, "tokens");
    p.tokens = 0, p.bytes = 767999;
    CHECK(policy_total(&p, 1000, 30, 768) == 999, "bytes");
    REQUIRE(!policy_bounds(&p, 0, 100, NULL, &lo, &hi, &err), "%s", err.text);
    CHECK(lo == 36 && hi == 100, "seed: %d..%d", lo, hi);
    pins[50] = 1, pins[2] = -1, pins[60] = -1;
    REQUIRE(!policy_bounds(&p, 0, 100, pins, &lo, &hi, &err), "%s", err.text);
    CHECK(lo == 36 && hi == 98, "pins: %d..%d", lo, hi);
    REQUIRE(!policy_bounds(&p, 0, 20, NULL, &lo, &hi, &err), "%s", err.text);
    CHECK(lo == 20 && hi == 20, "a prompt shorter than the forced tokens: %d..%d", lo, hi);
    p.cap = 10;
    REQUIRE(!policy_bounds(&p, 0, 100, NULL, &lo, &hi, &err), "%s", err.text);
    CHECK(lo == 10 && hi == 10, "cap below the forced tokens: %d..%d", lo, hi);
    p = preset("seed-literal");
    REQUIRE(!policy_bounds(&p, 0, 100, NULL, &lo, &hi, &err), "%s", err.text);
    CHECK(lo == 1 && hi == 100, "literal: %d..%d", lo, hi);
    memset(pins, -1, sizeof pins);
    CHECK(policy_bounds(&p, 3, 100, pins, &lo, &hi, &err) == KV_BAD_ARG, "an empty layer was accepted");
    CHECK(!strcmp(err.text, "Layer 3 would keep none of its 100 tokens."), "%s", err.text);
}

/* --- selection ------------------------------------------------------------------------------------------ */

struct row {
    float score[600];
    int8_t pins[600];
    int n, budget, free; /* free: tokens that the user did not evict */
    struct policy_forcing forcing;
};

static void draw_row(uint64_t *r, struct row *row)
{
    row->n = (int)rng_draw(r, 1, 600);
    row->budget = (int)rng_draw(r, 0, row->n + 5);
    row->free = row->n;
    row->forcing = (struct policy_forcing){ .sinks = (int)rng_draw(r, 0, 8), .pins = row->pins };
    row->forcing.recent = (int)rng_draw(r, 0, 64);
    int kind = (int)rng_draw(r, 0, 4), pinned = (int)rng_draw(r, 0, 1);
    for (int j = 0; j < row->n; j++) {
        uint32_t bits = (uint32_t)rng_next(r);
        if (kind == 0)
            memcpy(&row->score[j], &bits, sizeof bits); /* any float, NaN and infinities too */
        else
            row->score[j] = (float)rng_draw(r, 0, 1 << 3 * kind) / 8;
        int x = pinned ? (int)rng_draw(r, 0, 15) : 2;
        row->pins[j] = x == 0 ? 1 : x == 1 ? -1 : 0;
        row->free -= row->pins[j] < 0;
    }
}

/* Forced tokens are kept, the set is sorted, unique and as large as the budget, nothing evicted beats anything kept
 * by score, reasons say so, and the ranks agree with the cut. */
static void selection_invariants(void)
{
    static struct row row;
    uint64_t r = 2;
    for (int c = 0; c < CASES; c++) {
        int32_t kept[605], rank[600];
        uint8_t reason[600], forced[600];
        int n_kept = -1;
        struct kv_error err = { 0 };
        struct policy_cut cut;
        draw_row(&r, &row);
        int n = row.n;
        enum kv_status status = policy_select(&row.forcing, row.score, n, row.budget, kept, &n_kept, reason, &err);
        REQUIRE(!status, "case %d: %s", c, err.text);
        int must = policy_forced(&row.forcing, n, row.budget, forced);
        int expected = row.budget < row.free ? row.budget : row.free;
        CHECK(n_kept == expected, "case %d: %d kept, expected %d", c, n_kept, expected);
        CHECK(must <= row.budget, "case %d: %d forced into %d", c, must, row.budget);
        for (int k = 0; k < n_kept; k++) {
            CHECK(kept[k] >= k && kept[k] < n && (!k || kept[k] > kept[k - 1]), "case %d: slot %d is %d", c, k,
                kept[k]);
            CHECK(row.pins[kept[k]] >= 0, "case %d: token %d was to be evicted", c, kept[k]);
        }
        REQUIRE(!policy_rank(row.score, forced, n, rank, &err), "%s", err.text);
        policy_find_cut(row.score, forced, n, kept, n_kept, &cut);
        CHECK(cut.by_score == n_kept - must, "case %d: %d by score, expected %d", c, cut.by_score, n_kept - must);
        for (int j = 0, k = 0; j < n; j++) {
            bool in = k < n_kept && kept[k] == j;
            k += in;
            CHECK(in == (reason[j] != POLICY_EVICTED), "case %d: token %d has reason %d", c, j, reason[j]);
            CHECK(forced[j] != KV_MUST_KEEP || in, "case %d: forced token %d was evicted", c, j);
            if (forced[j] == KV_BY_SCORE)
                CHECK(in == (rank[j] < cut.by_score), "case %d: token %d of rank %d, cut %d", c, j, rank[j],
                    cut.by_score);
            else
                CHECK(rank[j] == -1, "case %d: forced token %d has rank %d", c, j, rank[j]);
        }
        CHECK(cut.position < 0 || rank[cut.position] == cut.by_score - 1, "case %d: the cut is at rank %d", c,
            cut.position < 0 ? -1 : rank[cut.position]);
    }
}

static void small_budgets(void)
{
    float score[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    int8_t pins[8] = { 0, 0, 0, 1, 0, 0, 0, 0 };
    struct policy_forcing f = { 2, 3, NULL };
    struct kv_error err = { 0 };
    int32_t kept[8];
    int n;
    REQUIRE(!policy_select(&f, score, 8, 3, kept, &n, NULL, &err), "%s", err.text);
    CHECK(n == 3 && kept[0] == 0 && kept[1] == 1 && kept[2] == 7, "sinks, then the most recent: %d %d %d", kept[0],
        kept[1], kept[2]);
    f.pins = pins;
    REQUIRE(!policy_select(&f, score, 8, 2, kept, &n, NULL, &err), "%s", err.text);
    CHECK(n == 2 && kept[0] == 0 && kept[1] == 3, "pins before sinks: %d %d", kept[0], kept[1]);
    REQUIRE(!policy_select(&f, score, 8, 0, kept, &n, NULL, &err), "%s", err.text);
    CHECK(n == 0, "budget 0 keeps %d", n);
    REQUIRE(!policy_select(&f, score, 8, 99, kept, &n, NULL, &err), "%s", err.text);
    CHECK(n == 8, "a budget above n keeps %d", n);
    f = (struct policy_forcing){ 4, 32, NULL };
    REQUIRE(!policy_select(&f, score, 3, 3, kept, &n, NULL, &err), "%s", err.text);
    CHECK(n == 3 && kept[2] == 2, "a prompt shorter than sinks + recent keeps %d", n);
    CHECK(policy_select(&f, score, 3, -1, kept, &n, NULL, &err) == KV_BAD_ARG, "budget -1 was accepted");
    CHECK(!strcmp(err.text, "Cannot keep -1 of 3 tokens."), "%s", err.text);
}

static void numbers_order(void)
{
    static const float rising[] = { -INFINITY, -1e30f, -1, -1e-45f, 0, 1e-45f, 1, 1e30f, INFINITY };
    for (size_t i = 1; i < KV_COUNT(rising); i++)
        CHECK(kv_select_key(rising[i - 1]) < kv_select_key(rising[i]), "%g before %g", (double)rising[i - 1],
            (double)rising[i]);
    CHECK(kv_select_key(-0.0f) == kv_select_key(0.0f), "-0 and 0");
    CHECK(kv_select_key(NAN) == 0 && kv_select_key(-NAN) == 0, "NaN");
    float score[4] = { NAN, 1, NAN, -INFINITY };
    struct policy_forcing f = { 0 };
    struct policy_cut cut;
    struct kv_error err = { 0 };
    int32_t kept[4];
    uint8_t reason[4];
    int n;
    REQUIRE(!policy_select(&f, score, 4, 3, kept, &n, reason, &err), "%s", err.text);
    CHECK(n == 3 && kept[0] == 0 && kept[1] == 1 && kept[2] == 3, "NaN comes last, the first of two first");
    CHECK(reason[0] == POLICY_TIE && reason[1] == POLICY_TOP_K && reason[2] == POLICY_EVICTED, "reasons");
    policy_find_cut(score, NULL, 4, kept, n, &cut);
    CHECK(
        cut.n_nan == 2 && cut.competitors == 4 && cut.position == 0, "%d NaN, cut at %d", cut.n_nan, cut.position);
}

static void core_refuses(void)
{
    float score[4] = { 1, 2, 3, 4 };
    uint8_t two[4] = { 1, 1, 0, 2 }, odd[4] = { 3, 0, 0, 0 };
    int32_t kept[4];
    int n;
    CHECK(kv_select_cpu(score, two, 4, 1, kept, &n) == KV_BAD_ARG, "two forced into one");
    CHECK(kv_select_cpu(score, odd, 4, 1, kept, &n) == KV_BAD_ARG, "a mask of 3");
    CHECK(kv_select_cpu(score, NULL, -1, 1, kept, &n) == KV_BAD_ARG, "n of -1");
    CHECK(kv_select_cpu(score, NULL, 4, -1, kept, &n) == KV_BAD_ARG, "a budget of -1");
    CHECK(kv_select_cpu(NULL, NULL, 0, 5, NULL, &n) == KV_OK && n == 0, "nothing of nothing");
    CHECK(kv_select_cpu(score, two, 4, 9, kept, &n) == KV_OK && n == 3, "all but what must go: %d", n);
}

/* 36 layers of 131,072 tokens: the bound is loose, a quadratic method would take minutes. */
static void long_rows_are_quick(void)
{
    enum { N = 131072, LAYERS = 36 };
    float *score = kv_alloc(N, sizeof *score);
    int32_t *kept = kv_alloc(N, sizeof *kept);
    uint8_t *reason = kv_alloc(N, 1);
    uint64_t r = 3;
    struct policy_forcing f = { 4, 32, NULL };
    struct kv_error err = { 0 };
    int n = 0;
    if (score && kept && reason) {
        for (int j = 0; j < N; j++) score[j] = (float)(rng_next(&r) >> 40) * 0x1p-24f;
        double start = kv_now_us();
        for (int l = 0; l < LAYERS; l++)
            CHECK(!policy_select(&f, score, N, N / 4, kept, &n, reason, &err), "%s", err.text);
        double us = kv_now_us() - start;
        printf("# %d layers of %d tokens selected in %.1f ms\n", LAYERS, N, us / 1e3);
        CHECK(us <= 5e6 && n == N / 4, "%.1f ms, %d kept", us / 1e3, n);
    }
    CHECK(score && kept && reason, "no memory");
    free(score);
    free(kept);
    free(reason);
}

/* --- selectors ------------------------------------------------------------------------------------------ */

static void random_is_repeatable(void)
{
    enum { N = 4096 };
    static float a[N], b[N];
    struct kv_policy p = preset("uniform");
    struct kv_stats s = { .n = N, .n_head = 1, .n_kv_head = 1 };
    struct policy_scored scored = { &p, &s, 0, NULL, 7 };
    struct kv_error err = { 0 };
    double sum = 0;
    int same = 0;
    REQUIRE(!policy_set(&p, "policy.selector", "random", &err), "%s", err.text);
    REQUIRE(!policy_score(&scored, a, &err) && !policy_score(&scored, b, &err), "%s", err.text);
    CHECK(!memcmp(a, b, sizeof a), "another row the second time");
    for (int j = 0; j < N; j++) {
        CHECK(a[j] >= 0 && a[j] < 1, "score %g", (double)a[j]);
        sum += a[j] / N;
    }
    CHECK(fabs(sum - .5) <= .03, "mean %g", sum);
    s.layer = 1;
    REQUIRE(!policy_score(&scored, b, &err), "%s", err.text);
    for (int j = 0; j < N; j++) same += a[j] == b[j];
    CHECK(same < 5, "layers 0 and 1 share %d scores", same);
    s.layer = 0, scored.seed = 8, same = 0;
    REQUIRE(!policy_score(&scored, b, &err), "%s", err.text);
    for (int j = 0; j < N; j++) same += a[j] == b[j];
    CHECK(same < 5, "seeds 7 and 8 share %d scores", same);
}

/* Attention that was added over heads elsewhere gives the score to the bit, wherever policy_folds() says so. */
static void added_sums(void)
{
    enum { N = 200, HEADS = 6, KV_HEADS = 3 };
    static const char *const selector[] = { "sum", "mean", "window", "last", "mix", "vnorm", "cake", "random" };
    static float sums[3][HEADS * N], a[N], b[N];
    static double added[3][KV_HEADS * N];
    struct kv_error err = { 0 };
    uint64_t r = 5;
    for (int k = 0; k < 3 * HEADS * N; k++)
        sums[k / (HEADS * N)][k % (HEADS * N)] = (float)(rng_next(&r) >> 40) * 0x1p-20f;
    for (int i = 0; i < 400; i++) {
        struct kv_policy p = preset("uniform");
        const char *const name[] = { "policy.selector", "policy.group", "policy.reduce", "policy.pool",
            "policy.rows" };
        const char *const value[] = { selector[i % 8], i / 8 % 2 ? "kv-head" : "shared",
            i % 5 == 4   ? "max"
            : i % 5 == 3 ? "mean"
                         : "sum",
            i % 7 == 6   ? "max"
            : i % 7 == 5 ? "avg"
                         : "auto",
            i % 3 == 2   ? "last"
            : i % 3 == 1 ? "window"
                         : "all" };
        REQUIRE(!policy_set_many(&p, name, value, 5, &err), "%s", err.text);
        int sets = policy_sets(&p, KV_HEADS), each = HEADS / sets;
        for (int kind = 0; kind < 3; kind++)
            for (int k = 0; k < sets * N; k++) {
                const float *from = sums[kind] + (size_t)(k / N * each) * N + k % N;
                added[kind][k] = (double)from[0];
                for (int h = 1; h < each; h++) added[kind][k] += (double)from[h * N];
            }
        const struct kv_stats whole = {
            .n = N, .n_head = HEADS, .n_kv_head = KV_HEADS, .columns = sums[0], .window = sums[1], .last = sums[2]
        };
        const struct kv_stats folded = { .n = N,
            .n_head = HEADS,
            .n_kv_head = KV_HEADS,
            .columns_added = added[0],
            .window_added = added[1],
            .last_added = added[2] };
        struct policy_scored scored = { &p, &whole, (int)(rng_next(&r) % (uint64_t)sets), NULL, 0 };
        bool folds = policy_folds(&p), plain = i % 8 < 5 && i % 5 != 4 && i % 7 != 6;
        CHECK(
            folds == plain, "%s, %s, pool %s: %s", value[0], value[2], value[3], folds ? "folds" : "does not fold");
        if (!folds) continue;
        REQUIRE(!policy_score(&scored, a, &err), "%s", err.text);
        scored.stats = &folded;
        REQUIRE(!policy_score(&scored, b, &err), "%s", err.text);
        CHECK(!memcmp(a, b, sizeof a), "%s, %s, %s: another score", value[0], value[1], value[3]);
    }
}

static void missing_sums(void)
{
    float score[4];
    struct kv_policy p = preset("seed");
    struct kv_stats s = { .layer = 5, .n = 4, .n_head = 1, .n_kv_head = 1 };
    struct policy_scored scored = { &p, &s, 0, NULL, 0 };
    struct kv_error err = { 0 };
    CHECK(policy_score(&scored, score, &err) == KV_BAD_ARG, "sums that are not there were read");
    CHECK(!strcmp(err.text, "Layer 5 has no attention sums to score by."), "%s", err.text);
    s.columns = score;
    scored.set = 1;
    CHECK(policy_score(&scored, score, &err) == KV_BAD_ARG, "a second shared set");
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "solver: vectors of the method's description, extremes, ties", spec_vectors },
        { "solver: pins, clamped totals, requested shares, bounds that decided", solution_report },
        { "solver: refuses what is no weight, bound or total", solver_refuses },
        { "solver: exact sum, bounds, monotone, on 5,000 cases", solver_invariants },
        { "solver: the most layers and tokens do not overflow", most_layers },
        { "entropy: uniform and one-hot rows, row choices, NaN", entropy_of_uniform_rows },
        { "weights of every allocator", weights_by_allocator },
        { "totals and bounds, short prompts, an emptied layer", totals_and_bounds },
        { "selection: invariants, ranks and the cut, on 5,000 cases", selection_invariants },
        { "selection: budgets below the forced tokens and above n", small_budgets },
        { "selection: order of all kinds of numbers", numbers_order },
        { "selection: the core refuses bad masks and sizes", core_refuses },
        { "selection: 36 rows of 131,072 tokens", long_rows_are_quick },
        { "random selector: repeatable, different by layer and seed", random_is_repeatable },
        { "selectors: sums that were added over heads before", added_sums },
        { "selectors refuse statistics that were not collected", missing_sums },
    };
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
