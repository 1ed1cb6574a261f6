/* The price of sharing: kept sets of the last compress's selector, once for all heads and once for each KV head, and
 * the attention that they hold by the column sums of the prefill. */
#include "engine/run/sharing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/parts.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "engine/state.h"

/* What one layer needs; rows of n tokens. */
struct room {
    float *score;
    uint8_t *forced;
    int8_t *pins;
    int32_t *kept;
    uint8_t *shared, *own; /* 1 = in the set */
};

static enum kv_status open_room(struct room *r, size_t n, struct kv_error *err)
{
    *r = (struct room){ kv_alloc(n, sizeof *r->score), kv_alloc(n, 1), kv_alloc(n, 1), kv_alloc(n, sizeof *r->kept),
        kv_alloc(n, 1), kv_alloc(n, 1) };
    if (r->score && r->forced && r->pins && r->kept && r->shared && r->own) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory for kept sets of %zu tokens.", n);
}

static void close_room(struct room *r)
{
    free(r->score);
    free(r->forced);
    free(r->pins);
    free(r->kept);
    free(r->shared);
    free(r->own);
}

static enum kv_status statistics(struct kv_engine *e, unsigned needs, int layer, const struct kv_policy *p,
    struct kv_stats *out, struct kv_error *err)
{
    return e->core ? core_stats(e, needs, layer, out, err)
                   : record_stats(&e->record, needs, layer, p, &e->resident.span[layer], out, err);
}

/* One set of a layer: what the rows of KV head g would keep of the layer's budget, or of all heads. */
static enum kv_status choose(const struct kv_engine *e, const struct kv_policy *p, const struct kv_stats *stats,
    int g, struct room *r, uint8_t *in, struct kv_error *err)
{
    int budget = e->sel.budget[stats->layer], n_kept = 0;
    int unseen = e->sel.unseen ? e->sel.unseen[stats->layer] : 0;
    bool any = selection_pins(e->sel.pins, stats->layer, e->n, unseen, r->pins);
    const struct policy_forcing forcing = { p->sinks, p->recent, any ? r->pins : NULL };
    const struct policy_scored scored = { p, stats, g, r->forced, e->sel.seed };
    policy_forced(&forcing, e->n, budget, r->forced);
    enum kv_status status = policy_score(&scored, r->score, err);
    if (!status) status = policy_select(&forcing, r->score, e->n, budget, r->kept, &n_kept, NULL, err);
    memset(in, 0, (size_t)e->n);
    for (int k = 0; k < n_kept && !status; k++) in[r->kept[k]] = 1;
    return status;
}

/* Share of a query head's attention that falls on a set. */
static double mass_of(const struct kv_stats *stats, int head, const uint8_t *in)
{
    const float *sums = stats->columns + (size_t)head * (size_t)stats->n;
    double held = 0, all = 0;
    for (int j = 0; j < stats->n; j++) {
        all += (double)sums[j];
        if (in[j]) held += (double)sums[j];
    }
    return all > 0 ? held / all : NAN;
}

static double overlap_of(const struct room *r, int n)
{
    int both = 0, either = 0;
    for (int j = 0; j < n; j++) both += r->shared[j] && r->own[j], either += r->shared[j] || r->own[j];
    return either ? (double)both / either : 1;
}

static enum kv_status layer_values(
    struct kv_engine *e, enum sharing_kind kind, int layer, struct room *r, double *out, struct kv_error *err)
{
    struct kv_policy shared = selection_policy(&e->sel, layer), own;
    struct kv_stats stats;
    int heads = e->model->shape.n_kv_head, group = e->model->shape.n_head / heads;
    unsigned needs = policy_selector_needs(&shared, policy_selector_at(shared.selector));
    if (kind != SHARING_OVERLAP) needs |= KV_NEED_COLUMNS;
    shared.group = POLICY_GROUP_SHARED;
    own = shared;
    own.group = POLICY_GROUP_KV_HEAD;
    enum kv_status status = statistics(e, needs, layer, &shared, &stats, err);
    if (!status) status = choose(e, &shared, &stats, 0, r, r->shared, err);
    for (int g = 0; g < heads && !status; g++) {
        if (kind != SHARING_MASS) status = choose(e, &own, &stats, g, r, r->own, err);
        if (status) return status;
        const uint8_t *in = kind == SHARING_MASS ? r->shared : r->own;
        double sum = 0;
        for (int h = g * group; kind != SHARING_OVERLAP && h < (g + 1) * group; h++) sum += mass_of(&stats, h, in);
        out[g] = kind == SHARING_OVERLAP ? overlap_of(r, e->n) : sum / group;
    }
    return status;
}

enum kv_status sharing_values(struct kv_engine *e, enum sharing_kind kind, double *out, struct kv_error *err)
{
    struct room room;
    struct parked parked = { 0 };
    enum kv_status status = open_room(&room, (size_t)e->n, err);
    if (!status && e->sel.again)
        status = kv_fail(err, KV_NOT_NOW,
            "What sharing costs is worked out from the prefill, and this cache was compressed again since.");
    if (!status && e->in_place && e->at.tick > e->compress_tick)
        status = kv_fail(err, KV_NOT_NOW,
            "The prompt's keys are gone, for they were compacted in place: set engine.snapshot on, then run "
            "again.");
    if (!status && e->core && !e->sel.budget)
        status = kv_fail(err, KV_NOT_NOW, "budget.app is not in this core file.");
    if (!status) status = engine_park(e, &parked, err); /* worked out on the machine */
    for (int l = 0; l < e->model->shape.n_layer && !status; l++)
        status = layer_values(e, kind, l, &room, out + (size_t)l * (size_t)e->model->shape.n_kv_head, err);
    close_room(&room);
    return engine_unpark(e, &parked, status, err);
}
