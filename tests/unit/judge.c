/* KL, agreement and summaries against torch and numpy (tests/golden/judge.txt, by tests/oracle/judge_golden.py), and
 * what they do with numbers that are none. */
#include "engine/bootstrap.h"
#include "engine/judge/kl.h"
#include "tests/tap.h"
#include "tests/unit/policy_random.h"

#include <stdlib.h>

#define GOLDEN "tests/golden/judge.txt"

static void golden_kl(void)
{
    static float full[3000], other[3000];
    unsigned long long seed;
    double kl;
    int top_full, top_other, seen = 0;
    char line[512];
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file, "%s is missing", GOLDEN);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "kl %llu %lf %d %d", &seed, &kl, &top_full, &top_other) != 4) continue;
        uint64_t r = seed;
        int n = (int)rng_draw(&r, 1, 3000), offset = (int)rng_draw(&r, -300, 300);
        int spread = (int)rng_draw(&r, 0, 4000);
        for (int v = 0; v < n; v++) full[v] = (float)((double)rng_draw(&r, -8000, 8000) / 1000 + offset);
        for (int v = 0; v < n; v++) other[v] = (float)(full[v] + (double)rng_draw(&r, -spread, spread) / 1000);
        struct kl_step step;
        kl_compare(full, other, n, &step);
        CHECK(fabs(step.kl - kl) <= 1e-12 + 1e-12 * kl, "kl %llu is %.17g, expected %.17g", seed, step.kl, kl);
        CHECK(step.top_full == top_full && step.top_other == top_other && step.agree == (top_full == top_other),
            "kl %llu: tops %d %d, expected %d %d", seed, step.top_full, step.top_other, top_full, top_other);
        seen++;
    }
    fclose(file);
    CHECK(seen == 30, "%d lines", seen);
}

static void golden_summaries(void)
{
    unsigned long long seed;
    double expected[6];
    int seen = 0;
    char line[512];
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file, "%s is missing", GOLDEN);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "summary %llu %lf %lf %lf %lf %lf %lf", &seed, &expected[0], &expected[1], &expected[2],
                &expected[3], &expected[4], &expected[5]) != 7)
            continue;
        static struct kl_step step[301];
        struct kl_summary s;
        struct kv_error err = { 0 };
        uint64_t r = seed;
        int n = (int)rng_draw(&r, 1, 300);
        step[0] = (struct kl_step){ .kl = 1e9 }; /* the prefill's own, left out */
        for (int i = 1; i <= n; i++) step[i] = (struct kl_step){ .kl = (double)rng_draw(&r, 0, 100000) / 7000 };
        REQUIRE(!kl_summarize(step, n + 1, 1, &s, &err), "%s", err.text);
        double got[6] = { s.mean, s.median, s.p90, s.p95, s.p99, s.max };
        CHECK(s.n == n, "summary %llu: %d steps, expected %d", seed, s.n, n);
        for (int k = 0; k < 6; k++)
            CHECK(fabs(got[k] - expected[k]) <= 1e-12 * expected[k],
                "summary %llu: figure %d is %.17g, expected %.17g", seed, k, got[k], expected[k]);
        seen++;
    }
    fclose(file);
    CHECK(seen == 10, "%d lines", seen);
}

static void golden_bootstraps(void)
{
    unsigned long long seed;
    double mean, low, high, x[60];
    int seen = 0;
    char line[512];
    struct bootstrap b;
    struct kv_error err = { 0 };
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file, "%s is missing", GOLDEN);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "bootstrap %llu %lf %lf %lf", &seed, &mean, &low, &high) != 4) continue;
        uint64_t r = seed;
        int n = (int)rng_draw(&r, 1, 60);
        for (int i = 0; i < n; i++) x[i] = (double)rng_draw(&r, -10000, 10000) / 7000;
        REQUIRE(!bootstrap_mean(x, n, 500, seed, &b, &err), "%s", err.text);
        CHECK(fabs(b.mean - mean) <= 1e-12 && fabs(b.low - low) <= 1e-12 && fabs(b.high - high) <= 1e-12,
            "bootstrap %llu: %.15g [%.15g, %.15g], expected %.15g [%.15g, %.15g]", seed, b.mean, b.low, b.high,
            mean, low, high);
        seen++;
    }
    fclose(file);
    CHECK(seen == 10, "%d lines", seen);
    x[0] = NAN;
    REQUIRE(!bootstrap_mean(x, 2, 10, 1, &b, &err), "%s", err.text);
    CHECK(isnan(b.mean) && isnan(b.low) && isnan(b.high), "NaN was lost");
    CHECK(bootstrap_mean(x, 0, 10, 1, &b, &err) == KV_BAD_ARG, "nothing to draw from");
}

static struct kl_step compare(const float *full, const float *other, int n)
{
    struct kl_step step;
    kl_compare(full, other, n, &step);
    return step;
}

static void odd_rows(void)
{
    const float a[3] = { 1, 2, 3 }, shifted[3] = { 101, 102, 103 }, tie[3] = { 5, 7, 7 };
    const float masked[3] = { 1, 2, -INFINITY }, none[3] = { -INFINITY, -INFINITY, -INFINITY };
    const float nan[3] = { NAN, 2, 1 }, all_nan[3] = { NAN, NAN, NAN }, inf[3] = { INFINITY, 1, 1 };
    CHECK(compare(a, a, 3).kl == 0 && compare(a, a, 3).agree, "a row and itself");
    CHECK(compare(a, shifted, 3).kl <= 1e-15, "a shift: %g", compare(a, shifted, 3).kl);
    CHECK(compare(tie, a, 3).top_full == 1, "ties go to %d", compare(tie, a, 3).top_full);
    CHECK(isfinite(compare(masked, a, 3).kl), "probability 0 in the full run: %g", compare(masked, a, 3).kl);
    CHECK(
        fabs(compare(masked, a, 3).kl - log((exp(1) + exp(2) + exp(3)) / (exp(1) + exp(2)))) <= 1e-14, "its value");
    CHECK(compare(a, masked, 3).kl == INFINITY, "probability 0 in the other: %g", compare(a, masked, 3).kl);
    CHECK(isnan(compare(nan, a, 3).kl) && isnan(compare(a, nan, 3).kl), "NaN was lost");
    CHECK(compare(nan, nan, 3).top_full == 1 && !compare(nan, nan, 3).agree, "NaN never agrees");
    CHECK(compare(all_nan, a, 3).top_full == -1, "no number: %d", compare(all_nan, a, 3).top_full);
    CHECK(isnan(compare(inf, a, 3).kl) && isnan(compare(a, inf, 3).kl), "an infinite logit");
    CHECK(isnan(compare(none, a, 3).kl) && compare(none, a, 3).top_full == 0, "nothing but -infinity");
}

/* Rows that differ in one improbable token, by one unit in the last place: only rounding is left of KL, and it falls
 * on either side of 0. */
static void never_negative(void)
{
    float full[64], other[64];
    uint64_t r = 9;
    for (int c = 0; c < 200; c++) {
        for (int v = 0; v < 64; v++) full[v] = other[v] = (float)rng_draw(&r, -4096, 4096) / 512;
        full[0] = -20, other[0] = nextafterf(-20, 0);
        double kl = compare(full, other, 64).kl;
        CHECK(kl >= 0 && kl <= 1e-14, "row %d: %g", c, kl);
    }
}

static void odd_summaries(void)
{
    struct kl_step step[5] = { { .kl = 1, .agree = true }, { .kl = 2, .agree = true }, { .kl = 3 },
        { .kl = INFINITY, .agree = true }, { .kl = INFINITY, .agree = true } };
    struct kl_summary s;
    struct kv_error err = { 0 };
    REQUIRE(!kl_summarize(step, 5, 0, &s, &err), "%s", err.text);
    CHECK(s.median == 3 && s.p90 == INFINITY && s.mean == INFINITY && s.max == INFINITY, "%g %g %g", s.median,
        s.p90, s.mean);
    CHECK(s.top1 == 0.8 && s.first_apart == 2, "%g, apart at %d", s.top1, s.first_apart);
    step[3].kl = NAN;
    REQUIRE(!kl_summarize(step, 5, 1, &s, &err), "%s", err.text);
    CHECK(s.n == 4 && s.n_bad == 1 && isnan(s.mean) && isnan(s.median) && isnan(s.max), "NaN was lost");
    CHECK(s.top1 == 0.75, "%g", s.top1);
    REQUIRE(!kl_summarize(step, 1, 1, &s, &err), "%s", err.text);
    CHECK(s.n == 0 && isnan(s.mean) && s.first_apart == -1, "no steps");
    CHECK(kl_summarize(step, 1, -1, &s, &err) == KV_BAD_ARG, "first of -1");
}

static void divergence(void)
{
    const int32_t a[4] = { 1, 2, 3, 4 }, b[4] = { 1, 2, 9, 4 };
    CHECK(kl_first_divergent(a, 4, b, 4) == 2, "at %d", kl_first_divergent(a, 4, b, 4));
    CHECK(kl_first_divergent(a, 4, a, 4) == -1, "equal");
    CHECK(
        kl_first_divergent(a, 4, a, 3) == 3 && kl_first_divergent(a, 0, a, 3) == 0, "one is the other's beginning");
    CHECK(kl_first_divergent(a, 0, b, 0) == -1, "both empty");
}

/* 49,152 logits in about a millisecond or less; the bound leaves room for a busy machine. */
static void a_row_is_quick(void)
{
    enum { N = 49152 };
    static float full[N], other[N];
    uint64_t r = 5;
    struct kl_step step;
    double best = 1e9;
    for (int v = 0; v < N; v++)
        full[v] = (float)rng_draw(&r, -8000, 8000) / 1000, other[v] = full[v] + 0.1f * (float)(v % 3);
    for (int k = 0; k < 20; k++) {
        double start = kv_now_us();
        kl_compare(full, other, N, &step);
        double us = kv_now_us() - start;
        if (us < best) best = us;
    }
    printf("# %d logits compared in %.0f us\n", N, best);
    CHECK(best <= 20000 && step.kl > 0, "%.0f us, %g nats", best, step.kl);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "bootstrap intervals as numpy's", golden_bootstraps },
        { "KL and argmax equal torch's, 30 rows", golden_kl },
        { "summaries equal numpy's, 10 runs", golden_summaries },
        { "ties, masks, NaN and infinities in logits", odd_rows },
        { "rounding makes no KL negative, 200 rows", never_negative },
        { "infinities, NaN and nothing in summaries", odd_summaries },
        { "first divergent token", divergence },
        { "49,152 logits", a_row_is_quick },
    };
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
