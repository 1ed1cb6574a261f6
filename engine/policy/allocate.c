/* Totals and bounds, and the solver that shares a total out exactly. */
#include "engine/policy/allocate.h"

#include <math.h>
#include <stdlib.h>

/* --- total and bounds ----------------------------------------------------------------------------------- */

int64_t policy_total(const struct kv_policy *policy, int n, int n_layer, size_t bytes_per_token)
{
    if (policy->tokens) return (int64_t)policy->tokens * n_layer;
    if (policy->bytes) return bytes_per_token ? policy->bytes / (int64_t)bytes_per_token : 0;
    return (int64_t)floor(policy->ratio * ((double)n * n_layer) + 0.5);
}

enum kv_status policy_bounds(const struct kv_policy *policy, int layer, int n, const int8_t *pins, int32_t *lo,
    int32_t *hi, struct kv_error *err)
{
    int64_t kept = 0, free = n, pinned = 0;
    if (!pins)
        kept = (int64_t)policy->sinks + policy->recent;
    else {
        free = 0;
        for (int j = 0; j < n; j++) {
            bool forced = pins[j] > 0 || j < policy->sinks || j >= n - policy->recent;
            kept += pins[j] >= 0 && forced;
            free += pins[j] >= 0;
            pinned += pins[j] > 0;
        }
    }
    if (free < 1) return kv_fail(err, KV_BAD_ARG, "Layer %d would keep none of its %d tokens.", layer, n);
    int64_t most = policy->cap != POLICY_AUTO && policy->cap < free ? policy->cap : free;
    int64_t least = policy->floor != POLICY_AUTO ? policy->floor : kept > 1 ? kept : 1;
    if (least < pinned) least = pinned;
    if (most < pinned) most = pinned;
    *hi = (int32_t)most;
    *lo = (int32_t)(least < most ? least : most);
    return KV_OK;
}

/* --- the solver ----------------------------------------------------------------------------------------- */

/* Wide enough for every product here: weight 2^62 * 4096 layers * tokens 2^31 * 4096 layers. */
typedef __int128 wide;

struct solver {
    const struct policy_problem *p;
    int64_t rest;     /* tokens to share out among the free layers */
    uint8_t *bound;   /* [n_layer] enum policy_bound */
    uint64_t *weight; /* [n_layer] as integers, of the free layers */
    wide weights;     /* their sum */
};

static enum kv_status check_problem(const struct policy_problem *p, struct kv_error *err)
{
    if (p->n_layer < 1 || p->n_layer > POLICY_MAX_LAYERS)
        return kv_fail(err, KV_BAD_ARG, "Budgets need 1 to %d layers, got %d.", POLICY_MAX_LAYERS, p->n_layer);
    if (p->total < 0)
        return kv_fail(err, KV_BAD_ARG, "The total budget must not be negative, got %lld.", (long long)p->total);
    for (int l = 0; l < p->n_layer; l++) {
        if (!isfinite(p->weight[l]) || p->weight[l] < 0)
            return kv_fail(
                err, KV_BAD_ARG, "The weight of layer %d must be a number of 0 or more, got %g.", l, p->weight[l]);
        if (p->lo[l] < 0 || p->lo[l] > p->hi[l])
            return kv_fail(err, KV_BAD_ARG, "The bounds of layer %d must be ordered, got %d to %d.", l,
                (int)p->lo[l], (int)p->hi[l]);
        if (p->pinned && p->pinned[l] < -1)
            return kv_fail(
                err, KV_BAD_ARG, "The budget of layer %d must not be negative, got %d.", l, (int)p->pinned[l]);
    }
    return KV_OK;
}

/* Weights of the free layers as integers, scaled by the power of two that brings the largest to 62 bits: exact for
 * all within 2^-9 of it. */
static void scale_weights(struct solver *s)
{
    double most = 0;
    int exponent;
    for (int l = 0; l < s->p->n_layer; l++)
        if (s->bound[l] == POLICY_FREE && s->p->weight[l] > most) most = s->p->weight[l];
    frexp(most, &exponent);
    s->weights = 0;
    for (int l = 0; l < s->p->n_layer; l++) {
        if (s->bound[l] != POLICY_FREE) continue;
        s->weight[l] = most > 0 ? (uint64_t)rint(ldexp(s->p->weight[l], 62 - exponent)) : 1;
        s->weights += s->weight[l];
    }
}

/* One round of waterfilling: fixes the side that is violated more; false when no bound is. All terms are tokens
 * times the sum of weights. */
static bool fix_violations(struct solver *s)
{
    wide below = 0, above = 0;
    scale_weights(s);
    for (int l = 0; l < s->p->n_layer; l++) {
        if (s->bound[l] != POLICY_FREE) continue;
        wide share = (wide)s->weight[l] * s->rest;
        wide lo = s->p->lo[l] * s->weights, hi = s->p->hi[l] * s->weights;
        if (share < lo) below += lo - share;
        if (share > hi) above += share - hi;
    }
    if (!below && !above) return false;
    bool upper = above >= below;
    int64_t taken = 0;
    for (int l = 0; l < s->p->n_layer; l++) {
        if (s->bound[l] != POLICY_FREE) continue;
        wide share = (wide)s->weight[l] * s->rest;
        int32_t limit = upper ? s->p->hi[l] : s->p->lo[l];
        if (upper ? share <= limit * s->weights : share >= limit * s->weights) continue;
        s->bound[l] = upper ? POLICY_AT_HI : POLICY_AT_LO;
        taken += limit;
    }
    s->rest -= taken;
    return true;
}

struct remainder {
    wide left; /* fraction of a token, times the sum of weights */
    int layer;
};

static int by_remainder(const void *a, const void *b)
{
    const struct remainder *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? 1 : -1;
    return x->layer - y->layer;
}

/* Whole tokens to the free layers, the rest to the largest fractions. */
static void round_shares(struct solver *s, struct remainder *remainder, int32_t *budget)
{
    int n = 0;
    int64_t left = s->rest;
    for (int l = 0; l < s->p->n_layer; l++) {
        if (s->bound[l] != POLICY_FREE) continue;
        wide share = (wide)s->weight[l] * s->rest;
        budget[l] = (int32_t)(share / s->weights);
        left -= budget[l];
        remainder[n++] = (struct remainder){ share % s->weights, l };
    }
    qsort(remainder, (size_t)n, sizeof *remainder, by_remainder);
    for (int k = 0; k < n && left > 0; k++, left--) budget[remainder[k].layer]++;
}

static void start(struct solver *s, struct policy_solution *solution)
{
    const struct policy_problem *p = s->p;
    int64_t pinned = 0;
    solution->least = solution->most = 0;
    for (int l = 0; l < p->n_layer; l++) {
        bool fixed = p->pinned && p->pinned[l] >= 0;
        s->bound[l] = fixed ? POLICY_PINNED : POLICY_FREE;
        pinned += fixed ? p->pinned[l] : 0;
        solution->least += fixed ? p->pinned[l] : p->lo[l];
        solution->most += fixed ? p->pinned[l] : p->hi[l];
    }
    solution->total = p->total < solution->least ? solution->least : p->total;
    if (solution->total > solution->most) solution->total = solution->most;
    s->rest = solution->total - pinned;
    scale_weights(s);
    for (int l = 0; solution->request && l < p->n_layer; l++)
        solution->request[l] = s->bound[l] == POLICY_PINNED
                                   ? p->pinned[l]
                                   : (double)s->rest * ((double)s->weight[l] / (double)s->weights);
}

enum kv_status policy_solve(
    const struct policy_problem *problem, int32_t *budget, struct policy_solution *solution, struct kv_error *err)
{
    struct policy_solution unused = { 0 };
    struct solver s = { .p = problem };
    struct remainder *remainder = NULL;
    enum kv_status status = check_problem(problem, err);
    if (status) return status;
    size_t n = (size_t)problem->n_layer;
    s.weight = kv_alloc(n, sizeof *s.weight);
    s.bound = kv_alloc(n, 1);
    remainder = kv_alloc(n, sizeof *remainder);
    if (!s.weight || !s.bound || !remainder) {
        status = kv_fail(err, KV_NO_MEMORY, "Out of memory for the budgets of %zu layers.", n);
        goto out;
    }
    if (!solution) solution = &unused;
    start(&s, solution);
    while (fix_violations(&s)) continue;
    for (size_t l = 0; l < n; l++) {
        if (s.bound[l] == POLICY_PINNED) budget[l] = problem->pinned[l];
        if (s.bound[l] == POLICY_AT_LO) budget[l] = problem->lo[l];
        if (s.bound[l] == POLICY_AT_HI) budget[l] = problem->hi[l];
        if (solution->bound) solution->bound[l] = s.bound[l];
    }
    round_shares(&s, remainder, budget);
out:
    free(s.weight);
    free(s.bound);
    free(remainder);
    return status;
}
