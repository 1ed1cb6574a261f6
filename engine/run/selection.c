/* What a compression decides and what it leaves: kept sets and their caches, made and given up. */
#include "engine/policy/select.h"
#include "engine/state.h"

#include <math.h>
#include <stdlib.h>

enum kv_status selection_init(struct selection *s, int n_layer, int n, struct kv_error *err)
{
    size_t layers = (size_t)n_layer;
    *s = (struct selection){ .weight = kv_alloc(layers, sizeof *s->weight),
        .request = kv_alloc(layers, sizeof *s->request),
        .lo = kv_alloc(layers, sizeof *s->lo),
        .hi = kv_alloc(layers, sizeof *s->hi),
        .unseen = kv_alloc(layers, sizeof *s->unseen),
        .rule = kv_alloc(layers, sizeof *s->rule),
        .budget = kv_alloc(layers, sizeof *s->budget),
        .selector = kv_alloc(layers, sizeof *s->selector) };
    enum kv_status status =
        s->weight && s->request && s->lo && s->hi && s->unseen && s->rule && s->budget && s->selector
            ? selection_sets(s, n_layer, n, 1, err)
            : kv_fail(err, KV_NO_MEMORY, "No memory for the budgets of %d layers.", n_layer);
    if (status) selection_free(s);
    return status;
}

static void free_sets(struct selection *s)
{
    free(s->kept);
    free(s->n_kept);
    free(s->score);
    free(s->reason);
}

/* Where memory is short the old rows stay. */
enum kv_status selection_sets(struct selection *s, int n_layer, int n, int sets, struct kv_error *err)
{
    size_t rows = (size_t)n_layer * (size_t)sets, cells = rows * (size_t)n;
    struct selection next = *s;
    if (s->sets != sets || s->n != n) {
        next.kept = kv_alloc(cells, sizeof *s->kept);
        next.n_kept = kv_alloc(rows, sizeof *s->n_kept);
        next.score = kv_alloc(cells, sizeof *s->score);
        next.reason = kv_alloc(cells, sizeof *s->reason);
        if (!next.kept || !next.n_kept || !next.score || !next.reason) {
            free_sets(&next);
            return kv_fail(err, KV_NO_MEMORY, "No memory for the kept sets of %zu rows of %d tokens.", rows, n);
        }
        free_sets(s);
        next.n = n;
        next.sets = sets;
        next.bytes = cells * (sizeof *s->kept + sizeof *s->score + sizeof *s->reason);
        *s = next;
    }
    selection_reset(s, n_layer);
    return KV_OK;
}

double selection_mean(const struct selection *s, int layer)
{
    double sum = 0;
    if (!selected(s, layer)) return 0;
    for (int g = 0; g < s->sets; g++) sum += s->n_kept[selection_row(s, layer, g)];
    return sum / s->sets;
}

void selection_free(struct selection *s)
{
    free(s->weight);
    free(s->request);
    free(s->lo);
    free(s->hi);
    free(s->unseen);
    free(s->rule);
    free(s->budget);
    free(s->selector);
    free_sets(s);
    free(s->ahead);
    pins_drop(s->pins);
    *s = (struct selection){ 0 };
}

struct kv_policy selection_policy(const struct selection *s, int layer)
{
    struct kv_policy p = s->policy;
    if (s->selector) p.selector = s->selector[layer];
    return p;
}

void selection_reset(struct selection *s, int n_layer)
{
    s->allocated = false;
    free(s->ahead);
    s->ahead = NULL;
    for (int row = 0; row < n_layer * s->sets; row++) s->n_kept[row] = -1;
}

bool selection_pins(const struct pins *pins, int layer, int n, int unseen, int8_t *pin)
{
    bool any = pins_row(pins, layer, n, pin);
    for (int j = 0; j < unseen && j < n; j++) pin[j] = pin[j] > 0 ? 1 : -1;
    return any || unseen > 0;
}

/* What is known of a later compression's tokens when the keys that it chose from are gone. */
static void mask_again(const struct selection *s, size_t row, uint8_t *forced)
{
    for (size_t j = 0, at = row * (size_t)s->n; j < (size_t)s->n; j++, at++) {
        int reason = s->reason[at];
        bool must = reason == POLICY_SINK || reason == POLICY_RECENT || reason == POLICY_PIN;
        bool gone = reason == POLICY_EVICTED && isnan(s->score[at]);
        forced[j] = must ? KV_MUST_KEEP : gone ? KV_MUST_DROP : KV_BY_SCORE;
    }
}

enum kv_status selection_mask(const struct selection *s, int layer, int g, uint8_t *forced, struct kv_error *err)
{
    if (s->again) {
        mask_again(s, selection_row(s, layer, g), forced);
        return KV_OK;
    }
    int8_t *pin = kv_alloc((size_t)s->n, 1);
    if (!pin) return kv_fail(err, KV_NO_MEMORY, "No memory for a mask of %d tokens.", s->n);
    bool any = selection_pins(s->pins, layer, s->n, s->unseen ? s->unseen[layer] : 0, pin);
    const struct policy_forcing forcing = { s->policy.sinks, s->policy.recent, any ? pin : NULL };
    policy_forced(&forcing, s->n, s->budget[layer], forced);
    free(pin);
    return KV_OK;
}

void run_drop_caches(struct run *r)
{
    cache_free(&r->prefix);
    cache_free(&r->tail);
    cache_free(&r->fresh);
    if (r->tally) record_free(r->tally);
    if (r->next) selection_free(r->next);
    free(r->tally);
    free(r->next);
    free(r->shift);
    r->shift = NULL;
    r->tally = NULL;
    r->next = NULL;
    r->base = r->tail_len = r->compressed = r->since = 0;
}
