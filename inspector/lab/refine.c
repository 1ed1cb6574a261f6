/* Coordinate descent: what a layer gains by more tokens and loses by fewer, with all others as they are; then as many
 * pairs of a layer that gains and one that can spare at once as measure best. */
#include "inspector/lab/refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tune.h"
#include "inspector/lab/stopped.h"
#include "inspector/progress.h"

#define STEP   0.3  /* of a layer's share that is moved at first */
#define SMALL  0.02 /* and at least so much of its tokens */
#define FINEST 0.1  /* part of the step at which it ends */
#define ENOUGH 2e-3 /* part of KL that a move must save */
#define TRIALS 10   /* numbers of pairs moved at once that are tried */

struct search {
    struct refining *r;
    double *plan;  /* [most][n_layer] to be measured */
    double *score; /* [most] */
    double *base;  /* [n_kind] KL where it began */
    double *sum;   /* [most][n_kind] */
    struct kv_verdict *verdict;
    double *gain, *loss; /* [n_layer] KL a share, by more and by fewer tokens */
    double *step;        /* [n_layer] */
    int *up, *down;      /* [n_layer] layers by gain, largest first; by loss, smallest first */
    double best;
};

/* Scores of the first n plans: KL by kind, as shares of where it began, averaged. */
static enum kv_status measure(struct search *x, int n)
{
    struct refining *r = x->r;
    enum kv_status st = KV_OK;
    memset(x->sum, 0, (size_t)n * (size_t)r->n_kind * sizeof *x->sum);
    for (int i = 0; i < r->n_prompt && !st; i++) {
        struct judged *j = &r->judged[i];
        session_interrupts(j->engine);
        st = kv_score_shares(j->engine, j->reply, j->n_reply, n, x->plan, r->selector, x->verdict, &r->s->err);
        for (int c = 0; c < n && !st; c++) x->sum[c * r->n_kind + r->kind[i]] += x->verdict[c].kl_mean;
        st = lab_heard(r->s, st);
        r->sets += n;
    }
    if (st) return st;
    for (int k = 0; k < r->n_kind && !(x->base[k] > 0); k++) x->base[k] = fmax(x->sum[k], 1e-12);
    for (int c = 0; c < n; c++) {
        x->score[c] = 0;
        for (int k = 0; k < r->n_kind; k++) x->score[c] += x->sum[c * r->n_kind + k] / x->base[k] / r->n_kind;
    }
    return KV_OK;
}

static double *plan_at(const struct search *x, int i) { return x->plan + (size_t)i * (size_t)x->r->n_layer; }

static void start_plan(struct search *x, int i)
{
    memcpy(plan_at(x, i), x->r->share, (size_t)x->r->n_layer * sizeof(double));
}

/* --- one round ---------------------------------------------------------------------------------------------------- */

/* Every layer with a step more and a step fewer, where it may have them. */
static enum kv_status probe(struct search *x, double scale)
{
    struct refining *r = x->r;
    int n = 0, layers = r->n_layer;
    for (int side = 0; side < 2; side++)
        for (int l = 0; l < layers; l++) {
            double share = r->share[l], step = scale * fmax(STEP * share, SMALL);
            double to = side ? fmax(r->least, share - step) : fmin(1, share + step);
            x->step[l] = step;
            if (fabs(to - share) < step / 4) continue;
            start_plan(x, n);
            plan_at(x, n++)[l] = to;
        }
    enum kv_status st = measure(x, n);
    n = 0;
    for (int side = 0; side < 2 && !st; side++)
        for (int l = 0; l < layers; l++) {
            double share = r->share[l], step = x->step[l];
            double to = side ? fmax(r->least, share - step) : fmin(1, share + step);
            bool may = fabs(to - share) >= step / 4;
            double slope = may ? (x->score[n++] - x->best) / fabs(to - share) : INFINITY;
            if (side)
                x->loss[l] = slope;
            else
                x->gain[l] = -slope;
        }
    return st;
}

static void sort_layers(const struct search *x, int *order, const double *by, bool down)
{
    for (int l = 0; l < x->r->n_layer; l++) {
        int at = l;
        for (; at && (down ? by[order[at - 1]] < by[l] : by[order[at - 1]] > by[l]); at--)
            order[at] = order[at - 1];
        order[at] = l;
    }
}

/* The first `pairs` of them moved, in plan i; false where there are not so many that help. */
static bool move_pairs(struct search *x, int i, int pairs)
{
    struct refining *r = x->r;
    double *plan = plan_at(x, i);
    start_plan(x, i);
    for (int k = 0; k < pairs; k++) {
        int to = x->up[k], from = x->down[k];
        if (k >= r->n_layer / 2 || !(x->gain[to] > x->loss[from]) || to == from) return false;
        double some = fmin(fmin(x->step[to], 1 - plan[to]), fmin(x->step[from], plan[from] - r->least));
        if (!(some > 0)) return false;
        plan[to] += some;
        plan[from] -= some;
    }
    return true;
}

static enum kv_status one_round(struct search *x, double scale, bool *better)
{
    static const int sizes[TRIALS] = { 1, 2, 3, 4, 5, 6, 8, 10, 12, 15 };
    enum kv_status st = probe(x, scale);
    int n = 0, at = -1;
    sort_layers(x, x->up, x->gain, true);
    sort_layers(x, x->down, x->loss, false);
    while (!st && n < TRIALS && move_pairs(x, n, sizes[n])) n++;
    if (!st && n) st = measure(x, n);
    for (int i = 0; i < n && !st; i++)
        if (x->score[i] < x->best * (1 - ENOUGH) && (at < 0 || x->score[i] < x->score[at])) at = i;
    *better = !st && at >= 0;
    if (!*better) return st;
    x->best = x->score[at];
    memcpy(x->r->share, plan_at(x, at), (size_t)x->r->n_layer * sizeof(double));
    return KV_OK;
}

static enum kv_status search(struct search *x)
{
    struct refining *r = x->r;
    double scale = 1;
    start_plan(x, 0);
    enum kv_status st = measure(x, 1);
    x->best = r->before = r->after = 1;
    for (int round = 0; round < r->rounds && scale >= FINEST && !st; round++) {
        bool better;
        char what[64];
        snprintf(what, sizeof what, "refine: KL at %.3g of where it began, round", x->best);
        progress_show(r->s, what, round, r->rounds);
        st = one_round(x, scale, &better);
        if (!better) scale /= 2;
        r->after = x->best;
    }
    return st;
}

enum kv_status refine_shares(struct refining *r)
{
    size_t layers = (size_t)r->n_layer, most = kv_max(2 * layers, (size_t)TRIALS), kinds = (size_t)r->n_kind;
    struct search x = { .r = r,
        .plan = kv_alloc(most * layers, sizeof *x.plan),
        .score = kv_alloc(most, sizeof *x.score),
        .base = kv_alloc(kinds, sizeof *x.base),
        .sum = kv_alloc(most * kinds, sizeof *x.sum),
        .verdict = kv_alloc(most, sizeof *x.verdict),
        .gain = kv_alloc(layers, sizeof *x.gain),
        .loss = kv_alloc(layers, sizeof *x.loss),
        .step = kv_alloc(layers, sizeof *x.step),
        .up = kv_alloc(layers, sizeof *x.up),
        .down = kv_alloc(layers, sizeof *x.down) };
    bool room = x.plan && x.score && x.base && x.sum && x.verdict && x.gain && x.loss && x.step && x.up && x.down;
    enum kv_status st =
        room ? search(&x) : kv_fail(&r->s->err, KV_NO_MEMORY, "No memory to refine %zu layers.", layers);
    free(x.plan);
    free(x.score);
    free(x.base);
    free(x.sum);
    free(x.verdict);
    free(x.gain);
    free(x.loss);
    free(x.step);
    free(x.up);
    free(x.down);
    return st;
}
