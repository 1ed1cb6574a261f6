/* Damage curves: monotone, spent to the last token, and to the best that the hulls allow. */
#include "engine/judge/curves.h"

#include <stdlib.h>

#include "tests/tap.h"

#define LAYERS 6
#define SHARES 4

static const double grid[SHARES] = { .1, .25, .5, .75 };
static uint64_t state = 7;

static double lot(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static void settles(void)
{
    double a[] = { 4, 5, 1, 2, 0 }, b[] = { 1, 2, 3, 6, 0 }, c[] = { NAN, -1, .5, 0, 0 }, one[] = { 3 };
    const double want[] = { 4.5, 4.5, 1.5, 1.5, 0 };
    curves_settle(a, 5);
    for (int i = 0; i < 5; i++) CHECK(a[i] == want[i], "point %d: %g, not %g", i, a[i], want[i]);
    curves_settle(b, 5);
    for (int i = 0; i < 4; i++) CHECK(b[i] == 3, "point %d: %g, not 3", i, b[i]);
    curves_settle(c, 5);
    CHECK(fabs(c[0] - .5 / 3) < 1e-15 && c[0] == c[2] && c[3] == 0, "missing points count as 0: %g %g", c[0], c[2]);
    curves_settle(one, 1);
    CHECK(one[0] == 3, "got %g", one[0]);
}

static void interpolates(void)
{
    const double kl[] = { 8, 4, 2, 1 };
    const struct curves c = { 1, SHARES, 1, grid, kl };
    const double at[] = { 0, .1, .175, .5, .875, 1 }, want[] = { 8, 8, 6, 2, .5, 0 };
    for (size_t i = 0; i < KV_COUNT(at); i++)
        CHECK(fabs(curves_at(&c, 0, 0, at[i]) - want[i]) < 1e-12, "at %g: %g", at[i], curves_at(&c, 0, 0, at[i]));
}

static double sum_of(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* One layer matters ten times as much as the other: it gets all it can use first. */
static void spends_by_gain(void)
{
    const double kl[] = { 10, 6, 3, 1, 1, .6, .3, .1 };
    const struct curves c = { 2, SHARES, 1, grid, kl };
    double share[2], damage, uniform;
    struct curves_plan plan = {
        .total = .8, .least = 0, .most = 1, .share = share, .damage = &damage, .uniform = &uniform
    };
    REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused");
    CHECK(fabs(share[0] - .7) < 1e-12 && fabs(share[1] - .1) < 1e-12, "got %g %g", share[0], share[1]);
    CHECK(damage < uniform, "damage %g is not below that of equal shares, %g", damage, uniform);
    plan.most = .5;
    REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused");
    CHECK(fabs(share[0] - .5) < 1e-12 && fabs(share[1] - .3) < 1e-12, "with a cap: %g %g", share[0], share[1]);
    plan.most = 1;
    plan.least = .35;
    REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused");
    CHECK(fabs(share[0] - .45) < 1e-12 && fabs(share[1] - .35) < 1e-12, "with a floor: %g %g", share[0], share[1]);
}

static void equal_curves_share(void)
{
    double kl[LAYERS * SHARES], share[LAYERS];
    for (int i = 0; i < LAYERS * SHARES; i++) kl[i] = 1 - grid[i % SHARES];
    const struct curves c = { LAYERS, SHARES, 1, grid, kl };
    for (double mean = .05; mean <= 1; mean += .05) {
        struct curves_plan plan = { .total = mean * LAYERS, .most = 1, .share = share };
        REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused %g", mean);
        for (int l = 0; l < LAYERS; l++)
            CHECK(fabs(share[l] - mean) < 1e-9, "layer %d gets %g of a mean of %g", l, share[l], mean);
    }
}

static void draw(double *kl, int rows)
{
    for (int r = 0; r < rows; r++) {
        double scale = lot() * lot() * lot();
        for (int b = 0; b < SHARES; b++) kl[r * SHARES + b] = scale * lot();
        curves_settle(kl + r * SHARES, SHARES);
    }
}

/* No transfer of a little between two layers helps: the curves made convex are walked to their optimum. */
static void cannot_be_bettered(void)
{
    for (int round = 0; round < 3000; round++) {
        double kl[LAYERS * SHARES], share[LAYERS], damage;
        draw(kl, LAYERS);
        for (int l = 0; l < LAYERS; l++) /* convex: decreasing steps */
            for (int b = SHARES - 1; b >= 0; b--) {
                double x = b == SHARES - 1 ? 1 - grid[b] : grid[b + 1] - grid[b];
                double next = b == SHARES - 1 ? 0 : kl[l * SHARES + b + 1];
                double slope = b == SHARES - 1 ? 0
                                               : (next - (b == SHARES - 2 ? 0 : kl[l * SHARES + b + 2])) /
                                                     (b == SHARES - 2 ? .25 : grid[b + 2] - grid[b + 1]);
                kl[l * SHARES + b] = next + x * (slope + lot());
            }
        const struct curves c = { LAYERS, SHARES, 1, grid, kl };
        struct curves_plan plan = {
            .total = LAYERS * (.1 + .9 * lot()), .most = 1, .share = share, .damage = &damage
        };
        REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused");
        REQUIRE(
            fabs(sum_of(share, LAYERS) - plan.total) < 1e-9, "spent %g of %g", sum_of(share, LAYERS), plan.total);
        for (int a = 0; a < LAYERS; a++)
            for (int b = 0; b < LAYERS; b++) {
                double step = 1e-4, now = curves_at(&c, 0, a, share[a]) + curves_at(&c, 0, b, share[b]);
                if (a == b || share[a] - step < grid[0] || share[b] + step > 1) continue;
                double then = curves_at(&c, 0, a, share[a] - step) + curves_at(&c, 0, b, share[b] + step);
                REQUIRE(then >= now - 1e-12, "round %d: %g from layer %d to %d saves %g", round, step, a, b,
                    now - then);
            }
    }
}

/* Totals exact and bounds kept, whatever the curves, kinds and selectors. */
static void keeps_bounds(void)
{
    for (int round = 0; round < 3000; round++) {
        double kl[2][2 * LAYERS * SHARES], share[LAYERS], damage[2], uniform[2];
        int selector[LAYERS], kinds = 1 + (round & 1), selectors = 1 + (round >> 1 & 1);
        struct curves kind[2];
        for (int k = 0; k < 2; k++) {
            draw(kl[k], 2 * LAYERS);
            kind[k] = (struct curves){ LAYERS, SHARES, selectors, grid, kl[k] };
        }
        double least = .2 * lot(), most = .6 + .4 * lot();
        struct curves_plan plan = { LAYERS * (least + (most - least) * lot()), least, most, share, selector, damage,
            uniform };
        REQUIRE(!curves_spend(kind, kinds, &plan, NULL), "refused");
        CHECK(fabs(sum_of(share, LAYERS) - plan.total) < 1e-9, "spent %g of %g", sum_of(share, LAYERS), plan.total);
        for (int l = 0; l < LAYERS; l++) {
            CHECK(
                share[l] >= least - 1e-12 && share[l] <= most + 1e-12, "%g outside %g..%g", share[l], least, most);
            CHECK(selector[l] >= 0 && selector[l] < selectors, "selector %d of %d", selector[l], selectors);
        }
    }
}

/* Two kinds that need opposite layers: what is best for one alone is bad for the other. */
static void worst_kind_counts(void)
{
    const double a[] = { 8, 6, 4, 2, .8, .6, .4, .2 }, b[] = { .8, .6, .4, .2, 8, 6, 4, 2 };
    const struct curves kind[] = { { 2, SHARES, 1, grid, a }, { 2, SHARES, 1, grid, b } };
    double share[2], both[2], one[2], damage[2], uniform[2];
    struct curves_plan plan = { .total = 1, .most = 1, .share = share, .damage = damage, .uniform = uniform };
    REQUIRE(!curves_spend(kind, 2, &plan, NULL), "refused");
    memcpy(both, damage, sizeof both);
    CHECK(fabs(share[0] - share[1]) < .1, "shares of a mirrored problem are %g and %g", share[0], share[1]);
    REQUIRE(!curves_spend(kind, 1, &plan, NULL), "refused");
    for (int k = 0; k < 2; k++) one[k] = curves_at(&kind[k], 0, 0, share[0]) + curves_at(&kind[k], 0, 1, share[1]);
    CHECK(one[0] < both[0] && one[1] > both[1], "alone %g %g, together %g %g", one[0], one[1], both[0], both[1]);
}

/* The selector with the lower curve is taken, layer by layer. */
static void best_selector_of_a_layer(void)
{
    const double kl[] = { 8, 6, 4, 2, 1, .8, .4, .2, 4, 3, 2, 1, 2, 1.6, .8, .4 };
    const struct curves c = { 2, SHARES, 2, grid, kl };
    double share[2];
    int selector[2];
    struct curves_plan plan = { .total = 1, .most = 1, .share = share, .selector = selector };
    REQUIRE(!curves_spend(&c, 1, &plan, NULL), "refused");
    CHECK(selector[0] == 1 && selector[1] == 0, "got %d and %d", selector[0], selector[1]);
}

static void refuses(void)
{
    const double kl[] = { 1, 1, 1, 1 };
    const struct curves c = { 1, SHARES, 1, grid, kl };
    double share[1];
    struct kv_error err;
    const struct curves_plan bad[] = { { .total = 2, .most = 1, .share = share },
        { .total = -1, .most = 1, .share = share }, { .total = NAN, .most = 1, .share = share },
        { .total = .5, .least = .6, .most = .5, .share = share }, { .total = .5, .most = 2, .share = share } };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct curves_plan plan = bad[i];
        CHECK(curves_spend(&c, 1, &plan, &err) == KV_BAD_ARG, "plan %zu was taken", i);
    }
    struct curves_plan good = { .total = .5, .most = 1, .share = share };
    CHECK(curves_spend(&c, 0, &good, &err) == KV_BAD_ARG, "no kind was taken");
}

static const struct tap_case cases[] = {
    { "a curve is made non-increasing", settles },
    { "a curve between its points", interpolates },
    { "a total goes where it gains most", spends_by_gain },
    { "equal curves get equal shares", equal_curves_share },
    { "no transfer betters 3,000 convex plans", cannot_be_bettered },
    { "totals and bounds in 3,000 plans", keeps_bounds },
    { "with two kinds, the worst counts", worst_kind_counts },
    { "the better selector of each layer", best_selector_of_a_layer },
    { "bad plans are refused", refuses },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
