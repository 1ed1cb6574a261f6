/* Curves made monotone, their hulls, and the greedy walk down all hulls at once. */
#include "engine/judge/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 200 /* of the weights over kinds */
#define STEP   2.0 /* how fast they move */

void curves_settle(double *kl, int n_share)
{
    double mean[CURVES_SHARES];
    int count[CURVES_SHARES], n = 0;
    for (int i = 0; i < n_share && i < CURVES_SHARES; i++) {
        mean[n] = kl[i] > 0 ? kl[i] : 0;
        count[n++] = 1;
        while (n > 1 && mean[n - 1] > mean[n - 2]) {
            mean[n - 2] = (mean[n - 2] * count[n - 2] + mean[n - 1] * count[n - 1]) / (count[n - 2] + count[n - 1]);
            count[n - 2] += count[n - 1];
            n--;
        }
    }
    for (int k = 0, i = 0; k < n; k++)
        for (int j = 0; j < count[k]; j++) kl[i++] = mean[k];
}

/* --- one curve ---------------------------------------------------------------------------------------------------- */

static double between(const double *share, const double *kl, int n, double at)
{
    if (at <= share[0]) return kl[0];
    for (int i = 1; i < n; i++)
        if (at <= share[i])
            return kl[i - 1] + (kl[i] - kl[i - 1]) * (at - share[i - 1]) / (share[i] - share[i - 1]);
    return at >= 1 ? 0 : kl[n - 1] * (1 - at) / (1 - share[n - 1]);
}

static const double *row_of(const struct curves *c, int selector, int layer)
{
    return c->kl + ((size_t)selector * (size_t)c->n_layer + (size_t)layer) * (size_t)c->n_share;
}

double curves_at(const struct curves *c, int selector, int layer, double share)
{
    return between(c->share, row_of(c, selector, layer), c->n_share, share);
}

/* --- hulls -------------------------------------------------------------------------------------------------------- */

/* A piece of one layer's hull: nats saved a unit of share, on the way from one share to another. */
struct piece {
    int layer;
    double slope, from, to;
};

/* Points of the lower convex hull of x, y (ascending x); their indices in `at`. */
static int lower_hull(const double *x, const double *y, int n, int *at)
{
    int m = 0;
    for (int i = 0; i < n; i++) {
        while (m > 1 && (y[at[m - 1]] - y[at[m - 2]]) * (x[i] - x[at[m - 2]]) >=
                            (y[i] - y[at[m - 2]]) * (x[at[m - 1]] - x[at[m - 2]]))
            m--;
        at[m++] = i;
    }
    return m;
}

/* Pieces of the hull under all selectors' curves, cut to the plan's bounds. */
static int hull_pieces(const struct curves *c, int layer, const struct curves_plan *plan, struct piece *piece)
{
    double x[CURVES_SHARES + 1], y[CURVES_SHARES + 1];
    int at[CURVES_SHARES + 1], n = 0;
    for (int i = 0; i < c->n_share; i++) {
        x[i] = c->share[i];
        y[i] = row_of(c, 0, layer)[i];
        for (int s = 1; s < c->n_selector; s++) y[i] = fmin(y[i], row_of(c, s, layer)[i]);
    }
    x[c->n_share] = 1;
    y[c->n_share] = 0;
    int m = lower_hull(x, y, c->n_share + 1, at);
    for (int k = 1; k < m; k++) {
        double from = fmax(x[at[k - 1]], plan->least), to = fmin(x[at[k]], plan->most);
        double slope = (y[at[k - 1]] - y[at[k]]) / (x[at[k]] - x[at[k - 1]]);
        if (to > from) piece[n++] = (struct piece){ layer, slope > 0 ? slope : 0, from, to };
    }
    return n;
}

static int by_slope_down(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->slope != y->slope) return x->slope < y->slope ? 1 : -1;
    return x->layer - y->layer;
}

/* Walks down all hulls at once until the total is spent; pieces of one slope are taken by the same fraction. */
static void walk(const struct curves *c, const struct curves_plan *plan, struct piece *piece, double *share)
{
    int n = 0;
    double start = fmin(fmax(c->share[0], plan->least), plan->most), left = plan->total - start * c->n_layer;
    for (int l = 0; l < c->n_layer; l++) {
        share[l] = left > 0 ? start : plan->total / c->n_layer;
        n += hull_pieces(c, l, plan, piece + n);
    }
    qsort(piece, (size_t)n, sizeof *piece, by_slope_down);
    for (int i = 0, end; i < n && left > 0; i = end) {
        double cost = 0;
        for (end = i; end < n && piece[end].slope == piece[i].slope; end++) cost += piece[end].to - piece[end].from;
        double taken = cost <= left ? 1 : left / cost;
        for (int k = i; k < end; k++) share[piece[k].layer] += taken * (piece[k].to - piece[k].from);
        left -= taken * cost;
    }
}

/* --- several kinds ------------------------------------------------------------------------------------------------ */

struct spender {
    const struct curves *kind;
    int n_kind;
    struct piece *piece;
    double *mixed;    /* [n_selector][n_layer][n_share] the kinds' curves, weighted */
    double *weight;   /* [n_kind] */
    double *uniform;  /* [n_kind] */
    double *damage;   /* [n_kind] of the shares in hand */
    double *share;    /* [n_layer] in hand */
    int *selector;    /* [n_layer] in hand */
    double best;      /* largest ratio of the best plan so far */
    struct curves as; /* the mixed curves */
};

static double ratio_of(double damage, double uniform) { return uniform > 0 ? damage / uniform : damage > 0; }

static void mix_kinds(struct spender *s)
{
    size_t n = (size_t)s->as.n_selector * (size_t)s->as.n_layer * (size_t)s->as.n_share;
    memset(s->mixed, 0, n * sizeof *s->mixed);
    for (int k = 0; k < s->n_kind; k++) {
        double w = s->weight[k] / (s->uniform[k] > 0 ? s->uniform[k] : 1);
        for (size_t i = 0; i < n; i++) s->mixed[i] += w * s->kind[k].kl[i];
    }
}

/* The best selector of every layer at its share, and what that does to each kind; returns the largest ratio. */
static double judge_shares(struct spender *s)
{
    double worst = 0;
    memset(s->damage, 0, (size_t)s->n_kind * sizeof *s->damage);
    for (int l = 0; l < s->as.n_layer; l++) {
        s->selector[l] = 0;
        for (int c = 1; c < s->as.n_selector; c++)
            if (curves_at(&s->as, c, l, s->share[l]) < curves_at(&s->as, s->selector[l], l, s->share[l]))
                s->selector[l] = c;
        for (int k = 0; k < s->n_kind; k++) s->damage[k] += curves_at(&s->kind[k], s->selector[l], l, s->share[l]);
    }
    for (int k = 0; k < s->n_kind; k++) worst = fmax(worst, ratio_of(s->damage[k], s->uniform[k]));
    return worst;
}

static void uniform_damage(struct spender *s, double share)
{
    for (int k = 0; k < s->n_kind; k++) {
        s->uniform[k] = INFINITY;
        for (int c = 0; c < s->as.n_selector; c++) {
            double sum = 0;
            for (int l = 0; l < s->as.n_layer; l++) sum += curves_at(&s->kind[k], c, l, share);
            s->uniform[k] = fmin(s->uniform[k], sum);
        }
    }
}

static void keep_plan(const struct spender *s, const struct curves_plan *plan)
{
    size_t n = (size_t)s->as.n_layer;
    memcpy(plan->share, s->share, n * sizeof *s->share);
    if (plan->selector) memcpy(plan->selector, s->selector, n * sizeof *s->selector);
    if (plan->damage) memcpy(plan->damage, s->damage, (size_t)s->n_kind * sizeof *s->damage);
}

/* Each round spends by the weights in hand, then moves weight to the kinds that came off worst. */
static void search(struct spender *s, const struct curves_plan *plan)
{
    int rounds = s->n_kind > 1 ? ROUNDS : 1;
    for (int k = 0; k < s->n_kind; k++) s->weight[k] = 1.0 / s->n_kind;
    for (int round = 0; round < rounds; round++) {
        double sum = 0, step = STEP / sqrt(1 + round);
        mix_kinds(s);
        walk(&s->as, plan, s->piece, s->share);
        double worst = judge_shares(s);
        if (!round || worst < s->best) {
            s->best = worst;
            keep_plan(s, plan);
        }
        if (worst <= 0) return;
        for (int k = 0; k < s->n_kind; k++)
            sum += s->weight[k] *= exp(step * (ratio_of(s->damage[k], s->uniform[k]) / worst - 1));
        for (int k = 0; k < s->n_kind; k++) s->weight[k] /= sum;
    }
}

static enum kv_status check_plan(
    const struct curves *kind, int n_kind, const struct curves_plan *plan, struct kv_error *err)
{
    if (n_kind < 1) return kv_fail(err, KV_BAD_ARG, "There are no curves to spend a budget by.");
    if (kind->n_layer < 1 || kind->n_selector < 1 || kind->n_share < 1 || kind->n_share > CURVES_SHARES)
        return kv_fail(err, KV_BAD_ARG, "Curves need layers, selectors and 1 to %d shares.", CURVES_SHARES);
    if (!(plan->total >= 0 && plan->total <= kind->n_layer) || !(plan->least >= 0 && plan->least <= plan->most) ||
        !(plan->most <= 1))
        return kv_fail(err, KV_BAD_ARG, "A total of %g shares in [%g, %g] cannot be spent on %d layers.",
            plan->total, plan->least, plan->most, kind->n_layer);
    return KV_OK;
}

enum kv_status curves_spend(const struct curves *kind, int n_kind, struct curves_plan *plan, struct kv_error *err)
{
    enum kv_status status = check_plan(kind, n_kind, plan, err);
    if (status) return status;
    size_t layers = (size_t)kind->n_layer, kinds = (size_t)n_kind;
    size_t cells = (size_t)kind->n_selector * layers * (size_t)kind->n_share;
    struct spender s = { .kind = kind,
        .n_kind = n_kind,
        .piece = kv_alloc(layers * CURVES_SHARES, sizeof *s.piece),
        .mixed = kv_alloc(cells, sizeof *s.mixed),
        .weight = kv_alloc(kinds, sizeof *s.weight),
        .uniform = kv_alloc(kinds, sizeof *s.uniform),
        .damage = kv_alloc(kinds, sizeof *s.damage),
        .share = kv_alloc(layers, sizeof *s.share),
        .selector = kv_alloc(layers, sizeof *s.selector),
        .as = *kind };
    s.as.kl = s.mixed;
    if (s.piece && s.mixed && s.weight && s.uniform && s.damage && s.share && s.selector) {
        uniform_damage(&s, plan->total / kind->n_layer);
        search(&s, plan);
        if (plan->uniform) memcpy(plan->uniform, s.uniform, kinds * sizeof *s.uniform);
    } else
        status = kv_fail(err, KV_NO_MEMORY, "No memory to spend a budget on %d layers.", kind->n_layer);
    free(s.piece);
    free(s.mixed);
    free(s.weight);
    free(s.uniform);
    free(s.damage);
    free(s.share);
    free(s.selector);
    return status;
}
