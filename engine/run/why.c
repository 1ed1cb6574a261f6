/* Why a token has its score: the selector's arithmetic once more, with its ingredients kept. */
#include "engine/edit.h"

#include <stdlib.h>

#include "engine/core/parts.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "engine/state.h"

static enum kv_status check(const struct kv_engine *e, int layer, int kv_head, int position, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer, heads = e->model->shape.n_kv_head;
    if (layer < 0 || layer >= n_layer)
        return kv_fail(err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", layer, n_layer, n_layer - 1);
    if (kv_head < 0 || kv_head >= heads)
        return kv_fail(err, KV_BAD_ARG, "KV head %d out of range; model has %d (0-%d).", kv_head, heads, heads - 1);
    if (!e->started || !e->sel.allocated || !selected(&e->sel, layer))
        return kv_fail(err, KV_NOT_NOW, "Layer %d is not selected yet.", layer);
    if (position < 0 || position >= e->n)
        return kv_fail(
            err, KV_BAD_ARG, "Token %d out of range; the prompt has %d (0-%d).", position, e->n, e->n - 1);
    return KV_OK;
}

static enum kv_status explain(struct kv_engine *e, int layer, int kv_head, int position, struct kv_why *out,
    double *head, struct kv_error *err)
{
    const struct kv_policy own = selection_policy(&e->sel, layer), *p = &own;
    unsigned needs = policy_selector_needs(p, policy_selector_at(p->selector));
    struct policy_part part[POLICY_PARTS];
    struct kv_stats stats;
    uint8_t *forced = kv_alloc((size_t)e->n, 1);
    enum kv_status status = forced ? selection_mask(&e->sel, layer, kv_head, forced, err)
                                   : kv_fail(err, KV_NO_MEMORY, "No memory for a mask of %d tokens.", e->n);
    if (!status)
        status = e->core ? core_stats(e, needs, layer, &stats, err)
                         : record_stats(&e->record, needs, layer, p, &e->resident.span[layer], &stats, err);
    const struct policy_scored scored = { p, &stats, e->sel.sets > 1 ? kv_head : 0, forced, e->sel.seed };
    if (!status) status = policy_explain(&scored, position, part, head, &out->n_part, err);
    free(forced);
    if (status) return status;
    out->score = 0;
    for (int i = 0; i < out->n_part; i++) {
        out->part[i] = (struct kv_part){ part[i].name, part[i].raw, part[i].divided, part[i].pooled, part[i].scaled,
            part[i].total };
        out->score += part[i].total != 0 ? part[i].scaled / part[i].total : part[i].scaled;
    }
    return KV_OK;
}

static enum kv_status gone(struct kv_error *err)
{
    return kv_fail(err, KV_NOT_NOW,
        "The parts of a score need the prompt's keys, which are compacted in place: set engine.snapshot on, then "
        "run again.");
}

static double score_at(const struct kv_engine *e, const float *score, int layer, int kv_head, int position)
{
    int n = e->core ? e->n : e->sel.n;
    return (double)score[selection_row(&e->sel, layer, kv_head) * (size_t)n + (size_t)position];
}

static enum kv_status core_why(struct kv_engine *e, int layer, int kv_head, int position, struct kv_why *out,
    double *head, struct kv_error *err)
{
    struct kv_array score;
    enum kv_status status = core_value_get(e, "score", &score, err);
    if (status) return status;
    *out = (struct kv_why){ .score = score_at(e, score.data, layer, kv_head, position) };
    if (!policy_selector_at(selection_policy(&e->sel, layer).selector)->parts) return KV_OK;
    if (e->in_place || e->sel.again) return gone(err);
    if (!e->sel.budget) return kv_fail(err, KV_NOT_NOW, "budget.app is not in this core file.");
    return explain(e, layer, kv_head, position, out, head, err);
}

enum kv_status kv_why(struct kv_engine *e, int layer, int kv_head, int position, struct kv_why *out, double *head,
    struct kv_error *err)
{
    struct parked parked = { 0 };
    enum kv_status status = check(e, layer, kv_head, position, err);
    if (status) return status;
    if (e->core) return core_why(e, layer, kv_head, position, out, head, err);
    *out = (struct kv_why){ .score = score_at(e, e->sel.score, layer, kv_head, position) };
    if (!policy_selector_at(selection_policy(&e->sel, layer).selector)->parts) return KV_OK;
    if (e->sel.again)
        return kv_fail(err, KV_NOT_NOW,
            "The parts of a score that compress:%d gave are gone with the keys that it chose from.",
            e->run.compressed - 1);
    if (e->in_place) return gone(err);
    status = engine_park(e, &parked, err);
    if (!status) status = explain(e, layer, kv_head, position, out, head, err);
    return engine_unpark(e, &parked, status, err);
}
