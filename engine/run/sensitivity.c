/* Kept sets made for judging alone, and judged by score.c. */
#include "engine/runs.h"
#include "engine/tune.h"

#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "engine/run/compress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The sets of one call to kv_score: NULL = all. */
struct sets {
    struct kv_engine *e;
    int n_set, n_layer, heads; /* heads: 1, or rows of a layer, one a KV head */
    const int32_t **kept;      /* [n_set][n_layer][heads], each owned */
    int *n_kept;
    uint8_t *forced; /* [n] scratch */
    int8_t *pin;     /* [n] scratch */
    float *score;    /* [heads][n] scratch */
    int32_t *room;   /* [heads][n] scratch */
};

static enum kv_status sets_open(struct kv_engine *e, int n_set, int heads, struct sets *s, struct kv_error *err)
{
    size_t n = (size_t)e->n, rows = (size_t)heads, cells = (size_t)n_set * (size_t)e->model->shape.n_layer * rows;
    *s = (struct sets){ e, n_set, e->model->shape.n_layer, heads, kv_alloc(cells, sizeof *s->kept),
        kv_alloc(cells, sizeof *s->n_kept), kv_alloc(n, 1), kv_alloc(n, 1), kv_alloc(rows * n, sizeof *s->score),
        kv_alloc(rows * n, sizeof *s->room) };
    if (s->kept && s->n_kept && s->forced && s->pin && s->score && s->room) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory for %d kept sets.", n_set);
}

static void sets_close(struct sets *s)
{
    size_t cells = (size_t)s->n_set * (size_t)s->n_layer * (size_t)s->heads;
    for (size_t i = 0; s->kept && i < cells; i++) free((void *)s->kept[i]);
    free(s->kept);
    free(s->n_kept);
    free(s->forced);
    free(s->pin);
    free(s->score);
    free(s->room);
}

/* Scores the rows of a layer, and takes what each keeps into room; count [heads]. Heads compete only where policy.alpha
 * lets them, as in compress. */
static enum kv_status select_rows(struct sets *s, const struct kv_policy *p, const struct kv_stats *stats, int rows,
    int budget, int32_t *count, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    size_t n = (size_t)e->n;
    bool adaptive = rows > 1 && p->alpha < 1;
    enum kv_status status = KV_OK;
    for (int g = 0; g < rows && !status; g++) {
        const struct policy_scored scored = { p, stats, g, s->forced, (uint64_t)e->set.seed };
        float *score = s->score + (size_t)g * n;
        status = policy_score(&scored, score, err);
        if (!status && !adaptive)
            status = e->machine.be->select(
                e->machine.ctx, score, s->forced, e->n, budget, s->room + (size_t)g * n, &count[g], err);
    }
    if (!status && adaptive)
        status = policy_select_heads(s->score, s->forced, e->n, rows, budget, p->alpha, s->room, count, err);
    return status;
}

/* What a layer would keep of a budget, into one cell; a shared set stands in every head's row. */
static enum kv_status keep(struct sets *s, const struct kv_policy *p, const struct pins *pins, int unseen, int set,
    int layer, int budget, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    int rows = policy_sets(p, e->model->shape.n_kv_head);
    size_t n = (size_t)e->n, cell = ((size_t)set * (size_t)s->n_layer + (size_t)layer) * (size_t)s->heads;
    struct kv_stats stats;
    bool any = selection_pins(pins, layer, e->n, unseen, s->pin);
    if (budget >= e->n && !any) return KV_OK;
    const struct policy_forcing forcing = { p->sinks, p->recent, any ? s->pin : NULL };
    int32_t *count = kv_alloc((size_t)rows, sizeof *count);
    enum kv_status status =
        count ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a kept set of %d tokens.", e->n);
    policy_forced(&forcing, e->n, budget, s->forced);
    if (!status)
        status = record_stats(&e->record, policy_selector_needs(p, policy_selector_at(p->selector)), layer, p,
            &e->resident.span[layer], &stats, err);
    if (!status) status = select_rows(s, p, &stats, rows, budget, count, err);
    for (size_t g = 0; g < (size_t)s->heads && !status; g++) {
        size_t row = rows > 1 ? g : 0;
        int32_t *kept = kv_alloc(n, sizeof *kept);
        if (!kept) status = kv_fail(err, KV_NO_MEMORY, "No memory for a kept set of %d tokens.", e->n);
        if (status) break;
        memcpy(kept, s->room + row * n, (size_t)count[row] * sizeof *kept);
        s->kept[cell + g] = kept;
        s->n_kept[cell + g] = count[row];
    }
    free(count);
    return status;
}

/* Puts a pass under way aside, for scores are worked out on the machine. */
static enum kv_status begin(const struct kv_engine *e, struct parked *parked, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    enum kv_status status = engine_need_prefill(e, err);
    if (!status && e->in_place)
        status = kv_fail(err, KV_NOT_NOW,
            "The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.");
    return status ? status : engine_park(e, parked, err);
}

/* --- one layer ---------------------------------------------------------------------------------------------------- */

/* One that can be measured: `tuned` stands for others. */
static enum kv_status find_selector(const char *name, int *selector, struct kv_error *err)
{
    for (*selector = 0; policy_selector_at(*selector); ++*selector)
        if (!strcmp(policy_selector_name(*selector), name) && strcmp(name, POLICY_TUNED)) return KV_OK;
    return kv_fail(err, KV_BAD_ARG, "There is no selector \"%.40s\" to measure.", name);
}

/* A share of a layer's tokens into one cell, within what the policy allows. */
static enum kv_status keep_share(
    struct sets *s, const struct kv_policy *p, int set, int layer, double share, struct kv_error *err)
{
    int32_t least = 0, most = 0;
    enum kv_status status = policy_bounds(p, layer, s->e->n, NULL, &least, &most, err);
    int budget = (int)(share * s->e->n + 0.5);
    return status ? status
                  : keep(s, p, NULL, 0, set, layer,
                        budget < least  ? least
                        : budget > most ? most
                                        : budget,
                        err);
}

static enum kv_status check_layer(
    const struct kv_engine *e, const struct kv_sensitivity *what, int *selector, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    if (what->layer < 0 || what->layer >= n_layer)
        return kv_fail(
            err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", what->layer, n_layer, n_layer - 1);
    for (int b = 0; b < what->n_share; b++)
        if (!(what->share[b] > 0 && what->share[b] <= 1))
            return kv_fail(err, KV_BAD_ARG, "A share that is kept must be in (0, 1], not %g.", what->share[b]);
    return find_selector(what->selector, selector, err);
}

enum kv_status kv_sensitivity(
    struct kv_engine *e, const struct kv_sensitivity *what, double *kl, struct kv_error *err)
{
    struct kv_policy p = e->set.policy;
    struct sets s = { 0 };
    struct parked parked = { 0 };
    enum kv_status status = begin(e, &parked, err);
    if (!status) status = check_layer(e, what, &p.selector, err);
    struct kv_verdict *verdict = kv_alloc(kv_max(1, (size_t)what->n_share), sizeof *verdict);
    if (!status && !verdict) status = kv_fail(err, KV_NO_MEMORY, "No memory for %d verdicts.", what->n_share);
    if (!status) status = sets_open(e, what->n_share, policy_sets(&p, e->model->shape.n_kv_head), &s, err);
    for (int b = 0; b < what->n_share && !status; b++)
        status = keep_share(&s, &p, b, what->layer, what->share[b], err);
    status = engine_unpark(e, &parked, status, err);
    if (!status)
        status = kv_score_heads(
            e, what->reply, what->n_reply, what->n_share, s.heads, s.kept, s.n_kept, NULL, verdict, err);
    for (int b = 0; b < what->n_share && !status; b++) kl[b] = verdict[b].kl_mean;
    sets_close(&s);
    free(verdict);
    return status;
}

/* --- whole policies ----------------------------------------------------------------------------------------------- */

/* Budgets as the solver gives them now, and every layer's tokens. */
static enum kv_status keep_policy(
    struct sets *s, int set, const struct kv_policy_copy *copy, int32_t *budget, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    struct selection sel = { 0 };
    if (copy->prompt != e->prompt)
        return kv_fail(err, KV_NOT_NOW, "That policy and its edits belong to another prompt.");
    enum kv_status status = selection_init(&sel, s->n_layer, 0, err);
    sel.policy = copy->policy;
    if (!status) status = compress_solve_prefill(e, &copy->policy, copy->pins, &sel, err);
    for (int l = 0; l < s->n_layer && !status; l++) {
        const struct kv_policy p = selection_policy(&sel, l);
        status = keep(s, &p, copy->pins, sel.unseen[l], set, l, sel.budget[l], err);
        if (budget) budget[(size_t)set * (size_t)s->n_layer + (size_t)l] = sel.budget[l];
    }
    selection_free(&sel);
    return status;
}

/* Kept sets that are given stay as they are. */
static enum kv_status check_once(const struct kv_policy *p, struct kv_error *err)
{
    if (p->positions == POLICY_POSITIONS_REROTATE)
        return kv_fail(err, KV_UNSUPPORTED,
            "A reply is scored over keys at their true positions: set policy.positions keep, or compare runs "
            "(whatif, "
            "diff).");
    if (!p->every) return KV_OK;
    return kv_fail(err, KV_UNSUPPORTED,
        "A reply is scored over sets that are kept to its end, and policy.every is %d: set policy.every 0, or "
        "compare runs (whatif, diff).",
        p->every);
}

enum kv_status kv_score_policies(struct kv_engine *e, const int32_t *reply, int n_reply, int n_policy,
    const struct kv_policy_copy *const *policy, struct kv_verdict *verdict, int32_t *budget, struct kv_error *err)
{
    struct sets s = { 0 };
    struct parked parked = { 0 };
    enum kv_status status = begin(e, &parked, err);
    int heads = 1;
    for (int i = 0; i < n_policy; i++)
        if (policy_sets(&policy[i]->policy, e->model->shape.n_kv_head) > heads) heads = e->model->shape.n_kv_head;
    if (!status) status = sets_open(e, n_policy, heads, &s, err);
    for (int i = 0; i < n_policy && !status; i++) {
        status = check_once(&policy[i]->policy, err);
        if (!status) status = keep_policy(&s, i, policy[i], budget, err);
    }
    status = engine_unpark(e, &parked, status, err);
    if (!status) status = kv_score_heads(e, reply, n_reply, n_policy, heads, s.kept, s.n_kept, NULL, verdict, err);
    sets_close(&s);
    return status;
}

enum kv_status kv_score_shares(struct kv_engine *e, const int32_t *reply, int n_reply, int n_plan,
    const double *share, const char *const *selector, struct kv_verdict *verdict, struct kv_error *err)
{
    struct sets s = { 0 };
    struct parked parked = { 0 };
    struct kv_policy p = e->set.policy;
    int n_layer = e->model->shape.n_layer;
    enum kv_status status = begin(e, &parked, err);
    if (!status) status = sets_open(e, n_plan, policy_sets(&p, e->model->shape.n_kv_head), &s, err);
    for (int l = 0; l < n_layer && !status; l++) {
        int row = 0;
        status = find_selector(selector[l], &row, err);
        p.selector = row;
        for (int i = 0; i < n_plan && !status; i++)
            status = keep_share(&s, &p, i, l, share[(size_t)i * (size_t)n_layer + (size_t)l], err);
    }
    status = engine_unpark(e, &parked, status, err);
    if (!status) status = kv_score_heads(e, reply, n_reply, n_plan, s.heads, s.kept, s.n_kept, NULL, verdict, err);
    sets_close(&s);
    return status;
}
