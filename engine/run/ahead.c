/* The kept sets of all layers in one go, for a device: what scores are made of is added over heads where it lies, comes
 * home in one read, and one call selects. The same numbers in the same order as layer by layer, hence the same sets. */
#include "engine/run/compress.h"

#include "engine/policy/score.h"
#include "engine/policy/select.h"

#include <stdlib.h>
#include <string.h>

static const unsigned kinds[] = { KV_NEED_COLUMNS, KV_NEED_WINDOW, KV_NEED_LAST };
#define KINDS KV_COUNT(kinds)

/* All layers at work. */
struct ahead {
    const struct compression *c;
    struct selection *s;
    int layers, sets, n;
    double *device, *host; /* added sums, one layer's kinds behind the other's */
    size_t bytes;
    uint8_t *forced;          /* [layers][sets][n] */
    struct kv_select *select; /* [layers][sets] */
};

static unsigned needs_of(const struct kv_policy *p)
{
    return policy_selector_needs(p, policy_selector_at(p->selector));
}

/* KV heads share their budget: one call chooses for all of a layer. */
static bool adaptive(const struct ahead *a, const struct kv_policy *p) { return a->sets > 1 && p->alpha < 1; }

static bool can(const struct ahead *a)
{
    const struct kv_engine *e = a->c->e;
    const struct kv_backend *be = e->machine.be;
    bool can_all = e->far && !a->c->number && !be->on_host && be->select_many;
    for (int l = 0; l < a->layers && can_all; l++) {
        const struct kv_policy own = selection_policy(a->s, l);
        can_all = policy_folds(&own) && record_can_fold(&e->record, needs_of(&own));
    }
    return can_all;
}

static enum kv_status open_ahead(struct ahead *a, struct kv_error *err)
{
    const struct machine *m = &a->c->e->machine;
    size_t rows = (size_t)a->layers * (size_t)a->sets, n = (size_t)a->n;
    for (int l = 0; l < a->layers; l++) {
        const struct kv_policy own = selection_policy(a->s, l);
        for (size_t k = 0; k < KINDS; k++)
            if (needs_of(&own) & kinds[k]) a->bytes += (size_t)a->sets * n * sizeof *a->host;
    }
    a->device = m->be->alloc(m->ctx, a->bytes);
    a->host = kv_alloc(a->bytes, 1);
    a->forced = kv_alloc(rows, n);
    a->select = kv_alloc(rows, sizeof *a->select);
    a->s->ahead = kv_alloc(rows, sizeof *a->s->ahead);
    if (a->device && a->host && a->forced && a->select && a->s->ahead) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory to choose from %d tokens in %d layers.", a->n, a->layers);
}

static void close_ahead(struct ahead *a, enum kv_status status)
{
    const struct machine *m = &a->c->e->machine;
    if (a->device) m->be->release(m->ctx, a->device, a->bytes);
    free(a->host);
    free(a->forced);
    free(a->select);
    if (!status) return;
    free(a->s->ahead);
    a->s->ahead = NULL;
}

static enum kv_status bring_sums(struct ahead *a, struct kv_error *err)
{
    struct kv_engine *e = a->c->e;
    double *at = a->device;
    enum kv_status status = record_settle(&e->record, err);
    for (int l = 0; l < a->layers; l++) {
        const struct kv_policy own = selection_policy(a->s, l);
        for (size_t k = 0; k < KINDS && !status; k++) {
            if (!(needs_of(&own) & kinds[k])) continue;
            status = record_fold(&e->record, kinds[k], l, &own, &e->resident.span[l], a->sets, at, err);
            at += (size_t)a->sets * (size_t)a->n;
        }
    }
    return status ? status : e->machine.be->read(e->machine.ctx, a->host, a->device, a->bytes, err);
}

/* Where the layer's sums begin. */
static const double *sums_of(const struct ahead *a, int layer)
{
    size_t count = 0;
    for (int l = 0; l < layer; l++) {
        const struct kv_policy own = selection_policy(a->s, l);
        for (size_t k = 0; k < KINDS; k++) count += (needs_of(&own) & kinds[k]) != 0;
    }
    return a->host + count * (size_t)a->sets * (size_t)a->n;
}

static struct kv_stats stats_of(const struct ahead *a, const struct kv_policy *own, int layer)
{
    const struct machine *m = &a->c->e->machine;
    const double *at = sums_of(a, layer), *kind[KINDS] = { 0 };
    for (size_t k = 0; k < KINDS; k++) {
        if (!(needs_of(own) & kinds[k])) continue;
        kind[k] = at;
        at += (size_t)a->sets * (size_t)a->n;
    }
    return (struct kv_stats){ .layer = layer,
        .n = a->n,
        .n_head = m->shape->n_head,
        .n_kv_head = m->shape->n_kv_head,
        .sliding_window = machine_window(m, layer),
        .rows = a->n,
        .columns_added = kind[0],
        .window_added = kind[1],
        .last_added = kind[2] };
}

/* What the user and the window force on a layer; pin [n] is scratch. */
static struct policy_forcing forcing_of(const struct ahead *a, const struct kv_policy *own, int layer, int8_t *pin)
{
    const struct candidates all = { .e = a->c->e, .policy = own, .pins = a->s->pins };
    bool any = selection_pins(a->s->pins, layer, a->n, compress_unseen(&all, layer), pin);
    return (struct policy_forcing){ own->sinks, own->recent, any ? pin : NULL };
}

/* Scores of one layer, right where the selection has them. */
static enum kv_status score_layer(struct ahead *a, int layer, struct kv_error *err)
{
    const struct kv_policy own = selection_policy(a->s, layer);
    const struct kv_stats stats = stats_of(a, &own, layer);
    struct selection *s = a->s;
    size_t n = (size_t)a->n, first = selection_row(s, layer, 0);
    int budget = s->budget[layer];
    int8_t *pin = kv_alloc(n, 1);
    if (!pin) return kv_fail(err, KV_NO_MEMORY, "No memory for the pins of %d tokens.", a->n);
    const struct policy_forcing forcing = forcing_of(a, &own, layer, pin);
    enum kv_status status = KV_OK;
    for (int g = 0; g < a->sets && !status; g++) {
        size_t row = first + (size_t)g;
        uint8_t *forced = a->forced + row * n;
        const struct policy_scored scored = { &own, &stats, g, forced, s->seed };
        policy_forced(&forcing, a->n, budget, forced);
        status = policy_score(&scored, s->score + row * n, err);
        a->select[row] =
            (struct kv_select){ s->score + row * n, forced, a->n, budget, s->kept + row * n, s->ahead + row };
    }
    if (!status && adaptive(a, &own))
        status = policy_select_heads(s->score + first * n, a->forced + first * n, a->n, a->sets, budget, own.alpha,
            s->kept + first * n, s->ahead + first, err);
    free(pin);
    return status;
}

static enum kv_status reason_layer(struct ahead *a, int layer, struct kv_error *err)
{
    const struct kv_policy own = selection_policy(a->s, layer);
    struct selection *s = a->s;
    int8_t *pin = kv_alloc((size_t)a->n, 1);
    if (!pin) return kv_fail(err, KV_NO_MEMORY, "No memory for the pins of %d tokens.", a->n);
    const struct policy_forcing forcing = forcing_of(a, &own, layer, pin);
    for (int g = 0; g < a->sets; g++) {
        size_t row = selection_row(s, layer, g), at = row * (size_t)a->n;
        policy_reasons(&forcing, s->score + at, a->n, s->kept + at, s->ahead[row], s->reason + at);
    }
    free(pin);
    return KV_OK;
}

/* A step of every layer, on all cores: the device waits for it. The first failure counts. */
static enum kv_status every_layer(
    struct ahead *a, enum kv_status (*step)(struct ahead *a, int layer, struct kv_error *err), struct kv_error *err)
{
    enum kv_status status = KV_OK;
#pragma omp parallel for schedule(dynamic)
    for (int l = 0; l < a->layers; l++) {
        struct kv_error own = { 0 };
        if (!step(a, l, &own)) continue;
#pragma omp critical
        if (!status) {
            status = own.code;
            if (err) *err = own;
        }
    }
    return status;
}

static enum kv_status select_layers(struct ahead *a, struct kv_error *err)
{
    const struct machine *m = &a->c->e->machine;
    bool shared_budget = adaptive(a, &a->s->policy);
    return shared_budget ? KV_OK : m->be->select_many(m->ctx, a->select, a->layers * a->sets, err);
}

enum kv_status compress_ahead(const struct compression *c, struct kv_error *err)
{
    struct ahead a = {
        .c = c, .s = c->sel, .layers = c->e->model->shape.n_layer, .sets = c->sel->sets, .n = c->e->n
    };
    free(a.s->ahead);
    a.s->ahead = NULL;
    if (!can(&a)) return KV_OK;
    enum kv_status status = open_ahead(&a, err);
    if (!status) status = bring_sums(&a, err);
    if (!status) status = every_layer(&a, score_layer, err);
    if (!status) status = select_layers(&a, err);
    if (!status) status = every_layer(&a, reason_layer, err);
    close_ahead(&a, status);
    return status;
}
