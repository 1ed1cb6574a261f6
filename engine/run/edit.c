/* Edits put in force, checked against the budgets that they leave; policies side by side. */
#include "engine/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/policy/allocate.h"
#include "engine/run/compress.h"

void edit_take(struct kv_engine *e, struct pins *next)
{
    if (e->started && past_again(e) && !pins_same(e->pins, next)) e->past.cut = true;
    pins_drop(e->pins);
    e->pins = next;
}

/* --- what can be kept to -------------------------------------------------------------------------------------- */

/* Tokens that layers have beside their fixed budgets. */
struct room {
    int64_t total;       /* to share out */
    int64_t least, most; /* that all layers take, the fixed ones their budget */
    int free;            /* layers that are not fixed */
};

/* Whether a layer's fixed budget holds its pins and can be filled; pinned, left: tokens that must and may be kept. */
static bool layer_fits(
    const struct kv_engine *e, const struct pins *pins, int layer, int8_t *row, int *pinned, int *left)
{
    int budget = pins_budget(pins, layer);
    bool any = pins_row(pins, layer, e->n, row);
    *pinned = 0;
    *left = e->n;
    for (int j = 0; any && j < e->n; j++) *pinned += row[j] > 0, *left -= row[j] < 0;
    return budget < 0 || (budget >= *pinned && budget >= 1 && budget <= *left);
}

/* Fixed budgets that a change of policy or prompt has made impossible are no reason to refuse an edit. */
static enum kv_status check_layer(
    const struct kv_engine *e, const struct pins *pins, int layer, int8_t *row, struct kv_error *err)
{
    int pinned, left;
    if (!layer_fits(e, e->pins, layer, row, &pinned, &left)) return KV_OK;
    if (layer_fits(e, pins, layer, row, &pinned, &left)) return KV_OK;
    return kv_fail(err, KV_BAD_ARG,
        "Layer %d cannot have a budget of %d: %d of its %d tokens are pinned and %d evicted, so %d to %d fit.",
        layer, (int)pins_budget(pins, layer), pinned, e->n, e->n - left, pinned > 1 ? pinned : 1, left);
}

/* False where the total is not known yet, or is not a legal one: compress will say so. */
static bool find_room(
    const struct kv_engine *e, const struct pins *pins, const int32_t *lo, const int32_t *hi, struct room *room)
{
    const struct kv_policy *p = &e->set.policy;
    int n_layer = e->model->shape.n_layer;
    size_t bytes = compress_bytes_per_token(e);
    struct kv_error ignored;
    if ((p->bytes && !bytes) || policy_check(p, e->n, n_layer, bytes, &ignored)) return false;
    *room =
        (struct room){ .total = compress_total(&(struct candidates){ .e = e, .policy = p, .pins = pins }, lo, hi) };
    for (int l = 0; l < n_layer; l++) {
        int32_t fixed = pins_budget(pins, l);
        room->least += fixed < 0 ? lo[l] : fixed;
        room->most += fixed < 0 ? hi[l] : fixed;
        room->free += fixed < 0;
    }
    return true;
}

/* layer: the only one whose budget is asked for, or -1. */
static enum kv_status refuse_room(
    const struct kv_engine *e, const struct pins *pins, const struct room *r, int layer, struct kv_error *err)
{
    long long total = r->total, fixed = layer < 0 ? 0 : pins_budget(pins, layer);
    long long least = total - (r->most - fixed), most = total - (r->least - fixed);
    if (least < 1) least = 1;
    if (most > e->n) most = e->n;
    if (layer >= 0 && fixed >= 0 && least <= most && r->free)
        return kv_fail(err, KV_BAD_ARG,
            "Layer %d can have %lld to %lld tokens, not %lld: %lld are shared out, and the other layers need %lld "
            "to %lld.",
            layer, least, most, fixed, total, (long long)r->least - fixed, (long long)r->most - fixed);
    if (!r->free)
        return kv_fail(err, KV_BAD_ARG, "All budgets are fixed, and their sum is %lld; %lld tokens are shared out.",
            (long long)r->least, total);
    long long sum = 0;
    int last = 0;
    char others[40];
    for (int l = 0; l < e->model->shape.n_layer; l++)
        if (pins_budget(pins, l) >= 0)
            sum += pins_budget(pins, l);
        else
            last = l;
    snprintf(others, sizeof others, r->free == 1 ? "layer %d, which needs" : "the other %d layers, which need",
        r->free == 1 ? last : r->free);
    return kv_fail(err, KV_BAD_ARG, "The fixed budgets leave %lld of %lld tokens for %s %lld to %lld.", total - sum,
        total, others, (long long)r->least - sum, (long long)r->most - sum);
}

/* By how many tokens the total would have to give way. */
static int64_t amiss(const struct room *r)
{
    if (r->total < r->least) return r->least - r->total;
    return r->total > r->most ? r->total - r->most : 0;
}

/* By how many it has to now. */
static int64_t amiss_now(const struct kv_engine *e, int32_t *lo, int32_t *hi)
{
    struct room room;
    struct kv_error ignored;
    const struct candidates all = { .e = e, .policy = &e->set.policy, .pins = e->pins };
    if (compress_bounds(&all, lo, hi, &ignored)) return INT64_MAX;
    return find_room(e, e->pins, lo, hi, &room) ? amiss(&room) : 0;
}

/* Whether pins can be kept to under the present policy, or at least no worse than those in force. */
static enum kv_status check(const struct kv_engine *e, const struct pins *pins, int layer, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    int32_t *lo = kv_alloc(2 * (size_t)n_layer, sizeof *lo), *hi = lo + n_layer;
    int8_t *row = kv_alloc((size_t)e->n, 1);
    enum kv_status status =
        lo && row ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the bounds of %d layers.", n_layer);
    int64_t now = status ? 0 : amiss_now(e, lo, hi);
    struct room room;
    const struct candidates all = { .e = e, .policy = &e->set.policy, .pins = pins };
    if (!status && now < INT64_MAX) status = compress_bounds(&all, lo, hi, err);
    for (int l = 0; l < n_layer && !status; l++) status = check_layer(e, pins, l, row, err);
    if (!status && now < INT64_MAX && find_room(e, pins, lo, hi, &room) && amiss(&room) > now)
        status = refuse_room(e, pins, &room, layer, err);
    free(lo);
    free(row);
    return status;
}

static enum kv_status need_layer(const struct kv_engine *e, int layer, struct kv_error *err)
{
    int n = e->model->shape.n_layer;
    if (layer >= 0 && layer < n) return KV_OK;
    return kv_fail(err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", layer, n, n - 1);
}

/* --- edits ---------------------------------------------------------------------------------------------------- */

static enum kv_status need_prompt(const struct kv_engine *e, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    return e->n_all ? KV_OK : kv_fail(err, KV_NOT_NOW, "There is no prompt to edit the cache of.");
}

/* Takes over a set that an edit made, checked unless it only takes edits back. */
static enum kv_status take_checked(
    struct kv_engine *e, enum kv_status status, struct pins *next, bool back, int layer, struct kv_error *err)
{
    if (!status && !back) status = check(e, next, layer, err);
    if (status)
        pins_drop(next);
    else
        edit_take(e, next);
    return status;
}

enum kv_status kv_edit_tokens(
    struct kv_engine *e, enum kv_edit how, const int32_t *pos, int count, int first, int last, struct kv_error *err)
{
    struct pins *next = NULL;
    enum kv_status status = need_prompt(e, err);
    if (!status) status = need_layer(e, first, err);
    if (!status) status = need_layer(e, last, err);
    if (!status && first > last) status = kv_fail(err, KV_BAD_ARG, "Layers %d to %d are none.", first, last);
    for (int i = 0; pos && i < count && !status; i++)
        if (pos[i] < 0 || pos[i] >= e->n)
            status = kv_fail(
                err, KV_BAD_ARG, "Token %d out of range; the prompt has %d (0-%d).", pos[i], e->n, e->n - 1);
    if (!status)
        status = pins_with_tokens(
            e->pins, e->model->shape.n_layer, e->n_all, pos, count, first, last, (int)how, &next, err);
    return take_checked(e, status, next, how == KV_UNPIN, -1, err);
}

enum kv_status kv_edit_budgets(
    struct kv_engine *e, const int32_t *layer, const int32_t *tokens, int count, struct kv_error *err)
{
    struct pins *next = NULL;
    bool back = true;
    enum kv_status status = need_prompt(e, err);
    for (int i = 0; i < count && !status; i++) {
        back &= tokens[i] == KV_BUDGET_AUTO;
        status = need_layer(e, layer[i], err);
        if (!status && tokens[i] < KV_BUDGET_AUTO)
            status = kv_fail(err, KV_BAD_ARG, "A budget cannot be %d tokens.", tokens[i]);
        for (int k = 0; k < i && !status; k++)
            if (layer[k] == layer[i]) status = kv_fail(err, KV_BAD_ARG, "Layer %d is given twice.", layer[i]);
    }
    if (!status) status = pins_with_budgets(e->pins, e->model->shape.n_layer, layer, tokens, count, &next, err);
    return take_checked(e, status, next, back, count == 1 ? layer[0] : -1, err);
}

enum kv_status kv_next_budgets(struct kv_engine *e, int32_t *budget, struct kv_error *err)
{
    struct selection next = { 0 };
    struct parked parked = { 0 };
    int n_layer = e->model->shape.n_layer;
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (!status) status = selection_init(&next, n_layer, 0, err);
    if (!status) status = engine_park(e, &parked, err);
    if (!status) status = compress_solve_prefill(e, &e->set.policy, e->pins, &next, err);
    status = engine_unpark(e, &parked, status, err);
    if (!status) memcpy(budget, next.budget, (size_t)n_layer * sizeof *budget);
    selection_free(&next);
    return status;
}

/* --- policies in comparison ----------------------------------------------------------------------------------- */

/* One of them: *policy, and *pins (borrowed). */
static enum kv_status find_policy(const struct kv_engine *e, enum kv_policy_of of, struct kv_policy *policy,
    const struct pins **pins, struct kv_error *err)
{
    *policy = e->set.policy;
    *pins = e->pins;
    if (of == KV_POLICY_PRESET) {
        *pins = NULL;
        enum kv_status status = policy_preset(policy_preset_name(e->set.policy.preset), policy, err);
        policy->query_aware = e->set.policy.query_aware;
        return status;
    }
    if (of == KV_POLICY_NOW) return KV_OK;
    if (!e->started || !e->sel.allocated)
        return kv_fail(err, KV_NOT_NOW, "Nothing was compressed yet, by whatever policy.");
    *policy = e->sel.policy;
    *pins = e->sel.pins;
    return KV_OK;
}

enum kv_status kv_policy_get(const struct kv_engine *e, enum kv_policy_of of, const char *name, char *text,
    size_t size, struct kv_error *err)
{
    struct kv_policy policy;
    const struct pins *pins;
    enum kv_status status = find_policy(e, of, &policy, &pins, err);
    return status ? status : policy_get(&policy, name, text, size, err);
}

const char *kv_policy_title(const struct kv_engine *e, enum kv_policy_of of, char *text, size_t size)
{
    struct kv_policy policy;
    const struct pins *pins;
    const struct setting *changed[64];
    if (find_policy(e, of, &policy, &pins, NULL)) policy = e->set.policy, pins = e->pins;
    int n = policy_diff(&policy, changed, (int)KV_COUNT(changed));
    bool edited = pins != NULL;
    for (int i = 0; i < n && i < (int)KV_COUNT(changed); i++)
        edited |= strcmp(changed[i]->name, "policy.ratio") && strcmp(changed[i]->name, "policy.tokens") &&
                  strcmp(changed[i]->name, "policy.bytes");
    snprintf(text, size, "%s%s", policy_preset_name(policy.preset), edited ? " (edited)" : "");
    return text;
}

bool kv_policy_edits(const struct kv_engine *e, enum kv_policy_of of, int layer, int8_t *pin, int *budget)
{
    struct kv_policy policy;
    const struct pins *pins;
    if (find_policy(e, of, &policy, &pins, NULL)) pins = NULL;
    *budget = pins_budget(pins, layer);
    if (pin) pins_row(pins, layer, e->n, pin);
    return pins != NULL;
}

struct kv_policy_copy *kv_policy_take(const struct kv_engine *e)
{
    struct kv_policy_copy *copy = kv_alloc(1, sizeof *copy);
    if (copy) *copy = (struct kv_policy_copy){ e->set.policy, pins_hold(e->pins), e->prompt };
    return copy;
}

void kv_policy_free(struct kv_policy_copy *copy)
{
    if (copy) pins_drop(copy->pins);
    free(copy);
}

bool kv_policy_same(const struct kv_policy_copy *a, const struct kv_policy_copy *b)
{
    return a->prompt == b->prompt && pins_same(a->pins, b->pins) && settings_policy_same(&a->policy, &b->policy);
}

enum kv_status kv_policy_put(struct kv_engine *e, const struct kv_policy_copy *copy, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    if (copy->prompt != e->prompt)
        return kv_fail(err, KV_NOT_NOW, "That policy and its edits belong to another prompt.");
    struct settings next = e->set;
    next.policy = copy->policy;
    settings_take(e, &next);
    edit_take(e, pins_hold(copy->pins));
    return KV_OK;
}

const char *const kv_budget_rule_name[] = {
    [POLICY_FREE] = "share", [POLICY_AT_LO] = "floor", [POLICY_AT_HI] = "cap", [POLICY_PINNED] = "fixed", NULL
};
