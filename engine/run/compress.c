/* Phase compress: budgets for the layers, then per layer the kept set and its compact cache. */
#include "engine/run/compress.h"

#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "engine/run/tuned.h"

#include <math.h>
#include <stdlib.h>

enum kv_status selection_init(struct selection *s, int n_layer, int n, struct kv_error *err)
{
    size_t layers = (size_t)n_layer;
    *s = (struct selection){ .weight = kv_alloc(layers, sizeof *s->weight),
        .request = kv_alloc(layers, sizeof *s->request),
        .lo = kv_alloc(layers, sizeof *s->lo),
        .hi = kv_alloc(layers, sizeof *s->hi),
        .rule = kv_alloc(layers, sizeof *s->rule),
        .budget = kv_alloc(layers, sizeof *s->budget),
        .selector = kv_alloc(layers, sizeof *s->selector) };
    enum kv_status status = s->weight && s->request && s->lo && s->hi && s->rule && s->budget && s->selector
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
    if (s->sets != sets) {
        next.kept = kv_alloc(cells, sizeof *s->kept);
        next.n_kept = kv_alloc(rows, sizeof *s->n_kept);
        next.score = kv_alloc(cells, sizeof *s->score);
        next.reason = kv_alloc(cells, sizeof *s->reason);
        if (!next.kept || !next.n_kept || !next.score || !next.reason) {
            free_sets(&next);
            return kv_fail(err, KV_NO_MEMORY, "No memory for the kept sets of %zu rows of %d tokens.", rows, n);
        }
        free_sets(s);
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
    free(s->rule);
    free(s->budget);
    free(s->selector);
    free_sets(s);
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
    for (int row = 0; row < n_layer * s->sets; row++) s->n_kept[row] = -1;
}

void run_drop_caches(struct run *r)
{
    cache_free(&r->prefix);
    cache_free(&r->tail);
    r->tail_len = 0;
}

size_t compress_bytes_per_token(const struct kv_engine *e)
{
    const struct cache_format *f = &e->format;
    return 2 * kv_type_bytes(f->type, (size_t)f->n_kv_head * (size_t)f->head_dim);
}

/* Empty prefix and tail for the run that this compression begins. */
static enum kv_status fresh_run(struct kv_engine *e, struct kv_error *err)
{
    struct run *r = &e->run;
    run_drop_caches(r);
    enum kv_status status = cache_init(&r->prefix, &e->format, err);
    if (!status) status = cache_init(&r->tail, &e->format, err);
    if (!status) status = cache_alloc(&r->tail, step_tail_cap(e), err);
    if (!status) status = machine_reserve(&e->machine, 0, e->n + step_tail_cap(e) + 1, err);
    return status;
}

static enum kv_status allocator_weights(
    struct kv_engine *e, const struct kv_policy *p, const double *given, double *weight, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    unsigned needs = policy_allocator_at(p->allocator)->needs;
    double *measure = kv_alloc((size_t)n_layer, sizeof *measure);
    if (!measure) return kv_fail(err, KV_NO_MEMORY, "No memory for the weights of %d layers.", n_layer);
    enum kv_status status = KV_OK;
    for (int l = 0; l < n_layer && !status; l++) {
        struct kv_stats stats;
        status = record_stats(&e->record, needs, l, p, &e->resident.span[l], &stats, err);
        if (!status) status = policy_measure(p, &stats, &measure[l], err);
    }
    if (!status) status = policy_weigh(p, measure, n_layer, given, weight, err);
    free(measure);
    return status;
}

enum kv_status compress_bounds(const struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    int32_t *lo, int32_t *hi, struct kv_error *err)
{
    int8_t *row = pins ? kv_alloc((size_t)e->n, 1) : NULL;
    if (pins && !row) return kv_fail(err, KV_NO_MEMORY, "No memory for the pins of %d tokens.", e->n);
    enum kv_status status = KV_OK;
    for (int l = 0; l < e->model->shape.n_layer && !status; l++) {
        bool any = row && pins_row(pins, l, e->n, row);
        status = policy_bounds(p, l, e->n, any ? row : NULL, &lo[l], &hi[l], err);
    }
    free(row);
    return status;
}

int64_t compress_total(const struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    const int32_t *lo, const int32_t *hi)
{
    int n_layer = e->model->shape.n_layer;
    int64_t total = policy_total(p, e->n, n_layer, compress_bytes_per_token(e)), least = 0, most = 0;
    int32_t policy_lo = 0, policy_hi = 0;
    policy_bounds(p, 0, e->n, NULL, &policy_lo, &policy_hi, NULL); /* without pins it cannot fail */
    for (int l = 0; l < n_layer; l++) {
        bool fixed = pins_budget(pins, l) >= 0;
        least += fixed ? policy_lo : lo[l];
        most += fixed ? policy_hi : hi[l];
    }
    return total < least ? least : total > most ? most : total;
}

/* The fixed budgets, as far as the tokens that are there allow them. */
static void fixed_budgets(const struct kv_engine *e, const struct pins *pins, int32_t *fixed, int8_t *row)
{
    for (int l = 0; l < e->model->shape.n_layer; l++) {
        int32_t least = 0, most = e->n;
        bool any = pins_row(pins, l, e->n, row);
        for (int j = 0; any && j < e->n; j++) least += row[j] > 0, most -= row[j] < 0;
        fixed[l] = pins_budget(pins, l);
        if (fixed[l] < 0) continue;
        if (fixed[l] > most) fixed[l] = most;
        if (fixed[l] < least) fixed[l] = least;
        if (fixed[l] < 1) fixed[l] = 1;
    }
}

/* Weights, and selectors where they differ by layer. */
static enum kv_status weigh_layers(struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    struct selection *out, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    int32_t least = 0, most;
    double *share = kv_alloc((size_t)n_layer, sizeof *share);
    int32_t *selector = kv_alloc((size_t)n_layer, sizeof *selector);
    policy_bounds(p, 0, e->n, NULL, &least, &most, NULL); /* without pins it cannot fail */
    enum kv_status status =
        share && selector
            ? tuned_layers(e, p, compress_total(e, p, pins, out->lo, out->hi), least, share, selector, err)
            : kv_fail(err, KV_NO_MEMORY, "No memory for the weights of %d layers.", n_layer);
    if (!status) status = allocator_weights(e, p, share, out->weight, err);
    for (int l = 0; l < n_layer && out->selector && !status; l++) out->selector[l] = selector[l];
    free(share);
    free(selector);
    return status;
}

enum kv_status compress_solve(struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    struct selection *out, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    enum kv_status status = policy_check(p, e->n, n_layer, compress_bytes_per_token(e), err);
    if (!status) status = compress_bounds(e, p, pins, out->lo, out->hi, err);
    if (!status) status = weigh_layers(e, p, pins, out, err);
    if (status) return status;
    int32_t *fixed = kv_alloc((size_t)n_layer, sizeof *fixed);
    int8_t *row = kv_alloc((size_t)e->n, 1);
    int64_t asked = policy_total(p, e->n, n_layer, compress_bytes_per_token(e));
    const struct policy_problem problem = { n_layer, out->weight, out->lo, out->hi, fixed,
        compress_total(e, p, pins, out->lo, out->hi) };
    struct policy_solution solution = { .request = out->request, .bound = out->rule };
    if (fixed && row) {
        fixed_budgets(e, pins, fixed, row);
        status = policy_solve(&problem, out->budget, &solution, err);
    } else
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the budgets of %d layers.", n_layer);
    free(fixed);
    free(row);
    if (status) return status;
    out->total[0] = asked < INT32_MAX ? (int32_t)asked : INT32_MAX;
    out->total[1] = (int32_t)solution.total;
    return KV_OK;
}

enum kv_status compress_allocate(struct kv_engine *e, struct kv_error *err)
{
    struct selection *s = &e->sel;
    bool again = past_again(e);
    const struct kv_policy *p = again ? &e->past.policy : &e->set.policy;
    struct pins *pins = again ? e->past.pins : e->pins;
    const struct kv_shape *shape = &e->model->shape;
    enum kv_status status = compress_solve(e, p, pins, s, err);
    if (!status) status = selection_sets(s, shape->n_layer, e->n, policy_sets(p, shape->n_kv_head), err);
    if (!status) status = fresh_run(e, err);
    if (status) return status;
    s->policy = *p;
    s->seed = again ? e->past.seed : (uint64_t)e->set.seed;
    e->past.policy = s->policy;
    e->past.seed = s->seed;
    pins_set(&s->pins, pins);
    pins_set(&e->past.pins, pins);
    s->allocated = true;
    return KV_OK;
}

/* Scores every row of a layer, and takes the kept sets: each row its budget, or all rows their sum. */
static enum kv_status select_rows(struct kv_engine *e, int layer, const struct kv_stats *stats,
    const struct policy_forcing *forcing, uint8_t *forced, struct kv_error *err)
{
    struct selection *s = &e->sel;
    const struct kv_policy own = selection_policy(s, layer), *p = &own;
    size_t n = (size_t)e->n, first = selection_row(s, layer, 0);
    int budget = s->budget[layer];
    bool adaptive = s->sets > 1 && p->alpha < 1;
    enum kv_status status = KV_OK;
    policy_forced(forcing, e->n, budget, forced);
    for (int g = 0; g < s->sets && !status; g++) {
        const struct policy_scored scored = { p, stats, g, forced, s->seed };
        size_t row = first + (size_t)g;
        status = policy_score(&scored, s->score + row * n, err);
        if (!status && !adaptive)
            status = e->machine.be->select(
                e->machine.ctx, s->score + row * n, forced, e->n, budget, s->kept + row * n, &s->n_kept[row], err);
    }
    if (!status && adaptive)
        status = policy_select_heads(s->score + first * n, forced, e->n, s->sets, budget, p->alpha,
            s->kept + first * n, s->n_kept + first, err);
    for (int g = 0; g < s->sets && !status; g++) {
        size_t row = first + (size_t)g;
        policy_reasons(forcing, s->score + row * n, e->n, s->kept + row * n, s->n_kept[row], s->reason + row * n);
    }
    for (int g = 0; g < s->sets && status; g++) s->n_kept[first + (size_t)g] = -1;
    return status;
}

enum kv_status compress_select(struct kv_engine *e, int layer, struct kv_error *err)
{
    struct selection *s = &e->sel;
    const struct kv_policy own = selection_policy(s, layer), *p = &own;
    size_t n = (size_t)e->n;
    struct kv_stats stats;
    uint8_t *forced = kv_alloc(n, 1);
    int8_t *pins = kv_alloc(n, 1);
    enum kv_status status =
        forced && pins ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a mask of %zu tokens.", n);
    const struct policy_forcing forcing = { p->sinks, p->recent,
        pins && pins_row(s->pins, layer, e->n, pins) ? pins : NULL };
    if (!status)
        status = record_stats(&e->record, policy_selector_needs(p, policy_selector_at(p->selector)), layer,
            p, &e->resident.span[layer], &stats, err);
    if (!status) status = select_rows(e, layer, &stats, &forcing, forced, err);
    free(forced);
    free(pins);
    return status;
}

/* Copies what each head of the layer keeps to a compact block. */
static enum kv_status gather_layer(struct kv_engine *e, int layer, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    const struct selection *s = &e->sel;
    struct cache *to = &e->run.prefix;
    size_t n = (size_t)e->n, row = selection_row(s, layer, 0);
    const struct kv_seq from = { .prefix = e->resident.span[layer] };
    bool shared = s->sets == 1;
    enum kv_status status = shared ? cache_alloc_layer(to, layer, s->n_kept[row], err)
                                   : cache_alloc_heads(to, layer, s->n_kept + row, err);
    if (status) return status;
    return shared ? m->be->gather(m->ctx, &from, e->format.type, e->format.n_kv_head, e->format.head_dim,
                        s->kept + row * n, s->n_kept[row], &to->span[layer], err)
                  : m->be->gather_heads(m->ctx, &from, e->format.type, e->format.n_kv_head, e->format.head_dim,
                        s->kept + row * n, n, s->n_kept + row, &to->span[layer], err);
}

/* A layer that keeps everything is not copied. In place, the resident layer is given up for the compact one. */
enum kv_status compress_gather(struct kv_engine *e, int layer, struct kv_error *err)
{
    struct cache *to = &e->run.prefix;
    if (selection_mean(&e->sel, layer) == e->n) {
        if (e->in_place)
            cache_move_layer(to, layer, &e->resident);
        else
            cache_borrow_layer(to, layer, &e->resident);
        return KV_OK;
    }
    enum kv_status status = gather_layer(e, layer, err);
    if (!status && e->in_place) cache_drop_layer(&e->resident, layer);
    return status;
}
