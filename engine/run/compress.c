/* Phase compress: budgets for the layers, then per layer the kept set and its compact cache. */
#include "engine/state.h"

#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"

#include <math.h>
#include <stdlib.h>

enum kv_status selection_init(struct selection *s, int n_layer, int n, struct kv_error *err)
{
    size_t layers = (size_t)n_layer, cells = layers * (size_t)n;
    *s = (struct selection){ .weight = kv_alloc(layers, sizeof *s->weight),
        .request = kv_alloc(layers, sizeof *s->request),
        .budget = kv_alloc(layers, sizeof *s->budget),
        .kept = kv_alloc(cells, sizeof *s->kept),
        .n_kept = kv_alloc(layers, sizeof *s->n_kept),
        .score = kv_alloc(cells, sizeof *s->score),
        .reason = kv_alloc(cells, sizeof *s->reason) };
    if (s->weight && s->request && s->budget && s->kept && s->n_kept && s->score && s->reason) {
        s->bytes = cells * (sizeof *s->kept + sizeof *s->score + sizeof *s->reason);
        selection_reset(s, n_layer);
        return KV_OK;
    }
    selection_free(s);
    return kv_fail(err, KV_NO_MEMORY, "No memory for the kept sets of %d layers and %d tokens.", n_layer, n);
}

void selection_free(struct selection *s)
{
    free(s->weight);
    free(s->request);
    free(s->budget);
    free(s->kept);
    free(s->n_kept);
    free(s->score);
    free(s->reason);
    *s = (struct selection){ 0 };
}

void selection_reset(struct selection *s, int n_layer)
{
    s->allocated = false;
    for (int l = 0; l < n_layer; l++) s->n_kept[l] = -1;
}

void run_drop_caches(struct run *r)
{
    cache_free(&r->prefix);
    cache_free(&r->tail);
    r->tail_len = 0;
}

static size_t bytes_per_token(const struct kv_engine *e)
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
    struct kv_engine *e, const struct kv_policy *p, double *weight, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    unsigned needs = policy_allocator_at(p->allocator)->needs;
    struct kv_stats *stats = kv_alloc((size_t)n_layer, sizeof *stats);
    if (!stats) return kv_fail(err, KV_NO_MEMORY, "No memory for the statistics of %d layers.", n_layer);
    enum kv_status status = KV_OK;
    for (int l = 0; l < n_layer && !status; l++)
        status = record_stats(&e->record, needs, l, p->window, &e->resident.span[l], &stats[l], err);
    if (!status) status = policy_weights(p, stats, n_layer, NULL, weight, err);
    free(stats);
    return status;
}

enum kv_status compress_allocate(struct kv_engine *e, struct kv_error *err)
{
    struct selection *s = &e->sel;
    bool again = past_again(e);
    const struct kv_policy *p = again ? &e->past.policy : &e->set.policy;
    int n_layer = e->model->shape.n_layer;
    enum kv_status status = policy_check(p, e->n, n_layer, bytes_per_token(e), err);
    if (!status) status = fresh_run(e, err);
    if (!status) status = allocator_weights(e, p, s->weight, err);
    if (status) return status;

    int32_t *lo = kv_alloc(2 * (size_t)n_layer, sizeof *lo);
    if (!lo) return kv_fail(err, KV_NO_MEMORY, "No memory for the bounds of %d layers.", n_layer);
    int32_t *hi = lo + n_layer;
    for (int l = 0; l < n_layer && !status; l++) status = policy_bounds(p, l, e->n, NULL, &lo[l], &hi[l], err);
    const struct policy_problem problem = { .n_layer = n_layer,
        .weight = s->weight,
        .lo = lo,
        .hi = hi,
        .total = policy_total(p, e->n, n_layer, bytes_per_token(e)) };
    struct policy_solution solution = { .request = s->request };
    if (!status) status = policy_solve(&problem, s->budget, &solution, err);
    free(lo);
    if (status) return status;
    s->policy = *p;
    s->seed = again ? e->past.seed : (uint64_t)e->set.seed;
    e->past.policy = s->policy;
    e->past.seed = s->seed;
    s->total[0] = problem.total < INT32_MAX ? (int32_t)problem.total : INT32_MAX;
    s->total[1] = (int32_t)solution.total;
    s->allocated = true;
    return KV_OK;
}

enum kv_status compress_select(struct kv_engine *e, int layer, struct kv_error *err)
{
    struct selection *s = &e->sel;
    const struct kv_policy *p = &s->policy;
    size_t n = (size_t)e->n, row = (size_t)layer * n;
    const struct policy_forcing forcing = { p->sinks, p->recent, NULL };
    const struct policy_selector *selector = policy_selector_at(p->selector);
    struct kv_stats stats;
    uint8_t *forced = kv_alloc(n, 1);
    if (!forced) return kv_fail(err, KV_NO_MEMORY, "No memory for a mask of %zu tokens.", n);
    policy_forced(&forcing, e->n, s->budget[layer], forced);
    enum kv_status status = record_stats(
        &e->record, policy_selector_needs(p, selector), layer, p->window, &e->resident.span[layer], &stats, err);
    const struct policy_scored scored = { p, &stats, 0, forced, s->seed };
    if (!status) status = policy_score(&scored, s->score + row, err);
    int n_kept = 0;
    if (!status)
        status = e->machine.be->select(
            e->machine.ctx, s->score + row, forced, e->n, s->budget[layer], s->kept + row, &n_kept, err);
    free(forced);
    if (status) return status;
    s->n_kept[layer] = n_kept;
    policy_reasons(&forcing, s->score + row, e->n, s->kept + row, n_kept, s->reason + row);
    return KV_OK;
}

/* A layer that keeps everything is not copied. In place, the resident layer is given up for the compact one. */
enum kv_status compress_gather(struct kv_engine *e, int layer, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    struct cache *to = &e->run.prefix;
    int n_kept = e->sel.n_kept[layer];
    if (n_kept == e->n) {
        if (e->in_place)
            cache_move_layer(to, layer, &e->resident);
        else
            cache_borrow_layer(to, layer, &e->resident);
        return KV_OK;
    }
    const struct kv_seq from = { .prefix = e->resident.span[layer] };
    enum kv_status status = cache_alloc_layer(to, layer, n_kept, err);
    if (!status)
        status = m->be->gather(m->ctx, &from, e->format.type, e->format.n_kv_head, e->format.head_dim,
            e->sel.kept + (size_t)layer * (size_t)e->n, n_kept, &to->span[layer], err);
    if (!status && e->in_place) cache_drop_layer(&e->resident, layer);
    return status;
}
