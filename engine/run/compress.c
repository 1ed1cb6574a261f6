/* Phase compress: budgets for the layers, then per layer the kept set and its compact cache. */
#include "engine/run/compress.h"

#include "engine/policy/allocate.h"
#include "engine/policy/score.h"
#include "engine/policy/select.h"
#include "engine/run/rerotate.h"
#include "engine/run/tally.h"
#include "engine/run/tuned.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t compress_bytes_per_token(const struct kv_engine *e)
{
    const struct cache_format *f = &e->format;
    return 2 * kv_type_bytes(f->type, (size_t)f->n_kv_head * (size_t)f->head_dim);
}

/* --- what there is to choose from ------------------------------------------------------------------------------- */

static int n_layer(const struct candidates *c) { return c->e->model->shape.n_layer; }
static int n_kv_head(const struct candidates *c) { return c->e->model->shape.n_kv_head; }
static int seen(const struct candidates *c) { return c->run ? run_seen(c->run) : c->e->n; }

/* Keys of each KV head. A run that compresses again has as many in all heads of a layer. */
static int slots(const struct candidates *c, int layer)
{
    return c->run ? c->sel->n_kept[selection_row(c->sel, layer, 0)] + c->run->tail_len : c->e->n;
}

static int position_of(const struct candidates *c, int layer, int g, int slot)
{
    return c->run ? selection_position(c->sel, layer, g, c->run->base, slot) : slot;
}

int compress_unseen(const struct candidates *c, int layer)
{
    int window = machine_window(&c->e->machine, layer), n = seen(c);
    int64_t all = (int64_t)n * n_layer(c);
    if (!window || window > n || c->policy->unseen == POLICY_UNSEEN_KEEP) return 0;
    if (policy_total(c->policy, n, n_layer(c), compress_bytes_per_token(c->e)) >= all) return 0;
    return n - window + 1 < n ? n - window + 1 : n - 1;
}

/* The edits as the head's slots meet them, and the sliding window: pin [slots]. False (and zeros) when there are none. */
static bool pin_row(const struct candidates *c, int layer, int g, int8_t *pin)
{
    int n = c->e->n, there = slots(c, layer), unseen = compress_unseen(c, layer);
    if (!c->run) return selection_pins(c->pins, layer, n, unseen, pin);
    memset(pin, 0, (size_t)there);
    int8_t *row = c->pins ? kv_alloc((size_t)n, 1) : NULL;
    bool any = row && pins_row(c->pins, layer, n, row);
    for (int i = 0; i < there && (any || unseen); i++) {
        int position = position_of(c, layer, g, i);
        if (any && position < n) pin[i] = row[position];
        if (position < unseen && pin[i] <= 0) pin[i] = -1;
    }
    free(row);
    return any || unseen;
}

/* Bounds of a layer whose budget is not fixed, from what each of its heads must and may keep. */
static enum kv_status layer_bounds(
    const struct candidates *c, int layer, int8_t *pin, int32_t *lo, int32_t *hi, struct kv_error *err)
{
    int heads = c->run && (c->pins || compress_unseen(c, layer)) ? n_kv_head(c) : 1;
    enum kv_status status = KV_OK;
    for (int g = 0; g < heads && !status; g++) {
        int32_t least, most;
        bool any = pin && pin_row(c, layer, g, pin);
        status = policy_bounds(c->policy, layer, slots(c, layer), any ? pin : NULL, &least, &most, err);
        *lo = g && *lo > least ? *lo : least;
        *hi = g && *hi < most ? *hi : most;
    }
    if (!status && *lo > *hi) *lo = *hi;
    return status;
}

enum kv_status compress_bounds(const struct candidates *c, int32_t *lo, int32_t *hi, struct kv_error *err)
{
    bool windows = false;
    for (int l = 0; l < n_layer(c); l++) windows = windows || compress_unseen(c, l);
    int8_t *pin = c->pins || windows ? kv_alloc((size_t)seen(c), 1) : NULL;
    if ((c->pins || windows) && !pin)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the pins of %d tokens.", seen(c));
    enum kv_status status = KV_OK;
    for (int l = 0; l < n_layer(c) && !status; l++) status = layer_bounds(c, l, pin, &lo[l], &hi[l], err);
    free(pin);
    return status;
}

int64_t compress_total(const struct candidates *c, const int32_t *lo, const int32_t *hi)
{
    int64_t total = policy_total(c->policy, seen(c), n_layer(c), compress_bytes_per_token(c->e));
    int64_t least = 0, most = 0;
    for (int l = 0; l < n_layer(c); l++) {
        int32_t own_lo = lo[l], own_hi = hi[l];
        if (pins_budget(c->pins, l) >= 0)
            policy_bounds(
                c->policy, l, slots(c, l), NULL, &own_lo, &own_hi, NULL); /* without pins it cannot fail */
        least += own_lo;
        most += own_hi;
    }
    return total < least ? least : total > most ? most : total;
}

/* --- budgets ---------------------------------------------------------------------------------------------------- */

/* Rows of the keys' positions [n_kv_head][slots], which the caller frees; NULL of the prefill's, or without memory. */
static int32_t *positions(const struct candidates *c, int layer)
{
    int heads = n_kv_head(c), n = slots(c, layer);
    int32_t *position = c->run ? kv_alloc((size_t)heads * (size_t)n, sizeof *position) : NULL;
    for (int k = 0; position && k < heads * n; k++) position[k] = position_of(c, layer, k / n, k % n);
    return position;
}

static enum kv_status stats_of(const struct candidates *c, unsigned needs, int layer, const struct kv_policy *p,
    const int32_t *position, struct kv_stats *out, struct kv_error *err)
{
    const struct run *r = c->run;
    if (!r) return record_stats(c->record, needs, layer, p, &c->e->resident.span[layer], out, err);
    const struct record_keys keys = { &r->prefix.span[layer], &r->tail.span[layer], r->tail_len, slots(c, layer),
        run_seen(r), position };
    if (!position) return kv_fail(err, KV_NO_MEMORY, "No memory for the positions of %d keys.", keys.n);
    c->record->have = 0;
    return record_stats_of(c->record, needs, layer, p, &keys, out, err);
}

static enum kv_status allocator_weights(
    const struct candidates *c, const double *given, double *weight, struct kv_error *err)
{
    unsigned needs = policy_allocator_at(c->policy->allocator)->needs;
    double *measure = kv_alloc((size_t)n_layer(c), sizeof *measure);
    if (!measure) return kv_fail(err, KV_NO_MEMORY, "No memory for the weights of %d layers.", n_layer(c));
    enum kv_status status = KV_OK;
    for (int l = 0; l < n_layer(c) && !status; l++) {
        struct kv_stats stats;
        int32_t *position = positions(c, l);
        status = stats_of(c, needs, l, c->policy, position, &stats, err);
        if (!status) status = policy_measure(c->policy, &stats, &measure[l], err);
        free(position);
    }
    if (!status) status = policy_weigh(c->policy, measure, n_layer(c), given, weight, err);
    free(measure);
    return status;
}

/* The fixed budgets, as far as the tokens that are there allow them. */
static void fixed_budgets(const struct candidates *c, int32_t *fixed, int8_t *row)
{
    for (int l = 0; l < n_layer(c); l++) {
        int32_t least = 0, most = slots(c, l);
        bool any = pin_row(c, l, 0, row);
        for (int j = 0; any && j < slots(c, l); j++) least += row[j] > 0, most -= row[j] < 0;
        fixed[l] = pins_budget(c->pins, l);
        if (fixed[l] < 0) continue;
        if (fixed[l] > most) fixed[l] = most;
        if (fixed[l] < least) fixed[l] = least;
        if (fixed[l] < 1) fixed[l] = 1;
    }
}

/* Weights, and selectors where they differ by layer. */
static enum kv_status weigh_layers(const struct candidates *c, struct selection *out, struct kv_error *err)
{
    int layers = n_layer(c);
    int32_t least = 0, most;
    double *share = kv_alloc((size_t)layers, sizeof *share);
    int32_t *selector = kv_alloc((size_t)layers, sizeof *selector);
    policy_bounds(c->policy, 0, slots(c, 0), NULL, &least, &most, NULL); /* without pins it cannot fail */
    enum kv_status status = share && selector
                                ? tuned_layers(c->e, c->policy, seen(c), compress_total(c, out->lo, out->hi), least,
                                      share, selector, err)
                                : kv_fail(err, KV_NO_MEMORY, "No memory for the weights of %d layers.", layers);
    if (!status) status = allocator_weights(c, share, out->weight, err);
    for (int l = 0; l < layers && out->selector && !status; l++) out->selector[l] = selector[l];
    free(share);
    free(selector);
    return status;
}

enum kv_status compress_solve(const struct candidates *c, struct selection *out, struct kv_error *err)
{
    int layers = n_layer(c);
    size_t token = compress_bytes_per_token(c->e);
    enum kv_status status = policy_check(c->policy, seen(c), layers, token, err);
    if (!status) status = compress_bounds(c, out->lo, out->hi, err);
    if (!status) status = weigh_layers(c, out, err);
    if (status) return status;
    int32_t *fixed = kv_alloc((size_t)layers, sizeof *fixed);
    int8_t *row = kv_alloc((size_t)seen(c), 1);
    int64_t asked = policy_total(c->policy, seen(c), layers, token);
    const struct policy_problem problem = { layers, out->weight, out->lo, out->hi, fixed,
        compress_total(c, out->lo, out->hi) };
    struct policy_solution solution = { .request = out->request, .bound = out->rule };
    if (fixed && row) {
        fixed_budgets(c, fixed, row);
        status = policy_solve(&problem, out->budget, &solution, err);
    } else
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the budgets of %d layers.", layers);
    free(fixed);
    free(row);
    if (status) return status;
    out->total[0] = asked < INT32_MAX ? (int32_t)asked : INT32_MAX;
    out->total[1] = (int32_t)solution.total;
    for (int l = 0; l < layers && out->unseen; l++) out->unseen[l] = compress_unseen(c, l);
    return KV_OK;
}

enum kv_status compress_solve_prefill(struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    struct selection *out, struct kv_error *err)
{
    const struct candidates all = { .e = e, .policy = p, .pins = pins, .record = &e->record };
    return compress_solve(&all, out, err);
}

/* --- stage allocate --------------------------------------------------------------------------------------------- */

static struct selection *target(const struct compression *c) { return c->number ? c->run->next : c->sel; }

static struct candidates candidates_of(
    const struct compression *c, const struct kv_policy *policy, const struct pins *pins)
{
    struct kv_engine *e = c->e;
    if (!c->number) return (struct candidates){ .e = e, .policy = policy, .pins = pins, .record = &e->record };
    return (struct candidates){ e, policy, pins, c->run, c->sel, c->run->tally };
}

/* Empty prefix and tail for the run that begins with this compression of the prefill. */
static enum kv_status fresh_run(const struct compression *c, const struct kv_policy *p, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    struct run *r = c->run;
    int cap = c->cap;
    run_drop_caches(r);
    enum kv_status status = cache_init(&r->prefix, &e->format, err);
    if (!status) status = cache_init(&r->tail, &e->format, err);
    if (!status) status = cache_alloc(&r->tail, cap, err);
    if (!status) status = machine_reserve(&e->machine, 0, e->n + cap + 1, err);
    r->base = e->n;
    if (!status && p->positions == POLICY_POSITIONS_REROTATE) {
        r->shift = kv_alloc((size_t)e->model->shape.n_layer, sizeof *r->shift);
        if (!r->shift) status = kv_fail(err, KV_NO_MEMORY, "No memory for the places of a cache.");
    }
    if (status || !p->every) return status;
    r->tally = kv_alloc(1, sizeof *r->tally);
    if (!r->tally) return kv_fail(err, KV_NO_MEMORY, "No memory for the statistics of a reply.");
    return tally_open(r->tally, &e->record, e->n + cap, e->machine.rows, err);
}

/* A selection and a cache beside those of the run. */
static enum kv_status fresh_round(const struct compression *c, struct kv_error *err)
{
    struct run *r = c->run;
    cache_free(&r->fresh);
    if (r->next)
        selection_free(r->next);
    else
        r->next = kv_alloc(1, sizeof *r->next);
    if (!r->next) return kv_fail(err, KV_NO_MEMORY, "No memory for compress:%d.", c->number);
    enum kv_status status = selection_init(r->next, c->e->model->shape.n_layer, 0, err);
    return status ? status : cache_init(&r->fresh, &c->e->format, err);
}

/* What was chosen for every head apart cannot become a set that they share. */
static enum kv_status check_round(const struct compression *c, const struct kv_policy *p, struct kv_error *err)
{
    if (c->sel->sets == 1 || policy_sets(p, c->e->model->shape.n_kv_head) > 1) return KV_OK;
    return kv_fail(err, KV_NOT_NOW,
        "compress:%d finds other tokens in each KV head, so they can share none: set policy.group kv-head, or "
        "recompress.",
        c->number);
}

enum kv_status compress_allocate(const struct compression *c, const struct kv_policy *policy, uint64_t seed,
    struct pins *pins, struct kv_error *err)
{
    const struct kv_shape *shape = &c->e->model->shape;
    const struct candidates from = candidates_of(c, policy, pins);
    enum kv_status status = c->number ? check_round(c, policy, err) : KV_OK;
    if (!status && c->number) status = fresh_round(c, err);
    struct selection *s = target(c);
    if (!status) status = compress_solve(&from, s, err);
    if (!status)
        status = selection_sets(s, shape->n_layer, seen(&from), policy_sets(policy, shape->n_kv_head), err);
    if (!status && !c->number) status = fresh_run(c, policy, err);
    if (status) return status;
    s->policy = *policy;
    s->seed = seed;
    pins_set(&s->pins, pins);
    s->allocated = true;
    s->again = c->number > 0;
    return KV_OK;
}

/* --- stage select ----------------------------------------------------------------------------------------------- */

/* One layer's keys at work: rows of what the selection will hold, but by slot. */
struct choice {
    const struct candidates *from;
    const struct kv_policy *policy; /* the layer's own */
    int layer, n, sets;             /* n: slots */
    float *score;                   /* [sets][n] */
    uint8_t *forced, *reason;       /* [sets][n] */
    int8_t *pin;                    /* [n] */
    int32_t *kept, *n_kept;         /* [sets][n], [sets] */
};

static enum kv_status open_choice(struct choice *w, struct kv_error *err)
{
    size_t n = (size_t)w->n, cells = n * (size_t)w->sets;
    w->score = kv_alloc(cells, sizeof *w->score);
    w->forced = kv_alloc(cells, 1);
    w->reason = kv_alloc(cells, 1);
    w->pin = kv_alloc(n, 1);
    w->kept = kv_alloc(cells, sizeof *w->kept);
    w->n_kept = kv_alloc((size_t)w->sets, sizeof *w->n_kept);
    if (w->score && w->forced && w->reason && w->pin && w->kept && w->n_kept) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory to choose from %zu tokens.", cells);
}

static void close_choice(struct choice *w)
{
    free(w->score);
    free(w->forced);
    free(w->reason);
    free(w->pin);
    free(w->kept);
    free(w->n_kept);
}

/* Scores every row of a layer, and takes the kept sets: each row its budget, or all rows their sum. */
static enum kv_status choose(
    struct choice *w, const struct kv_stats *stats, const struct selection *s, struct kv_error *err)
{
    const struct kv_policy *p = w->policy;
    const struct machine *m = &w->from->e->machine;
    int budget = s->budget[w->layer];
    bool adaptive = w->sets > 1 && p->alpha < 1;
    size_t n = (size_t)w->n;
    enum kv_status status = KV_OK;
    for (int g = 0; g < w->sets && !status; g++) {
        size_t row = (size_t)g * n;
        bool any = pin_row(w->from, w->layer, g, w->pin);
        const struct policy_forcing forcing = { p->sinks, p->recent, any ? w->pin : NULL };
        const struct policy_scored scored = { p, stats, g, w->forced + row, s->seed };
        policy_forced(&forcing, w->n, budget, w->forced + row);
        status = policy_score(&scored, w->score + row, err);
        if (!status && !adaptive)
            status = m->be->select(
                m->ctx, w->score + row, w->forced + row, w->n, budget, w->kept + row, &w->n_kept[g], err);
    }
    if (!status && adaptive)
        status = policy_select_heads(w->score, w->forced, w->n, w->sets, budget, p->alpha, w->kept, w->n_kept, err);
    for (int g = 0; g < w->sets && !status; g++) {
        size_t row = (size_t)g * n;
        bool any = pin_row(w->from, w->layer, g, w->pin);
        const struct policy_forcing forcing = { p->sinks, p->recent, any ? w->pin : NULL };
        policy_reasons(&forcing, w->score + row, w->n, w->kept + row, w->n_kept[g], w->reason + row);
    }
    return status;
}

/* From slots to positions; a token that was gone before has no score. */
static void place(const struct choice *w, struct selection *s)
{
    for (int g = 0; g < w->sets; g++) {
        size_t row = selection_row(s, w->layer, g), to = row * (size_t)s->n, from = (size_t)g * (size_t)w->n;
        for (int j = 0; w->from->run && j < s->n; j++) s->score[to + (size_t)j] = NAN;
        if (w->from->run) memset(s->reason + to, POLICY_EVICTED, (size_t)s->n);
        for (int i = 0; i < w->n; i++) {
            size_t at = to + (size_t)position_of(w->from, w->layer, g, i);
            bool competed = !w->from->run || w->forced[from + (size_t)i] != KV_MUST_DROP;
            s->score[at] = competed ? w->score[from + (size_t)i] : NAN;
            s->reason[at] = w->reason[from + (size_t)i];
        }
        for (int k = 0; k < w->n_kept[g]; k++)
            s->kept[to + (size_t)k] = position_of(w->from, w->layer, g, w->kept[from + (size_t)k]);
        s->n_kept[row] = w->n_kept[g];
    }
}

/* What was chosen before becomes what is selected. */
static void take_ahead(const struct compression *c, int layer)
{
    struct selection *s = c->sel;
    size_t row = selection_row(s, layer, 0);
    memcpy(s->n_kept + row, s->ahead + row, (size_t)s->sets * sizeof *s->ahead);
    if (layer < c->e->model->shape.n_layer - 1) return;
    free(s->ahead);
    s->ahead = NULL;
}

enum kv_status compress_select(const struct compression *c, int layer, struct kv_error *err)
{
    struct selection *s = target(c);
    enum kv_status ready = layer ? KV_OK : compress_ahead(c, err);
    if (ready) return ready;
    if (s->ahead) {
        take_ahead(c, layer);
        return KV_OK;
    }
    const struct kv_policy own = selection_policy(s, layer);
    const struct candidates from = candidates_of(c, &own, s->pins);
    struct choice w = { .from = &from, .policy = &own, .layer = layer, .n = slots(&from, layer), .sets = s->sets };
    struct kv_stats stats;
    unsigned needs = policy_selector_needs(&own, policy_selector_at(own.selector));
    int32_t *position = positions(&from, layer);
    enum kv_status status = stats_of(&from, needs, layer, &own, position, &stats, err);
    if (!status) status = open_choice(&w, err);
    if (!status) status = choose(&w, &stats, s, err);
    if (!status) place(&w, s);
    close_choice(&w);
    free(position);
    return status;
}

/* --- stage gather ----------------------------------------------------------------------------------------------- */

/* Slots [n_kv_head][stride] of the kept positions, which the caller frees; all ascend. */
static int32_t *kept_slots(
    const struct candidates *from, const struct selection *s, int layer, size_t stride, struct kv_error *err)
{
    int32_t *slot = kv_alloc((size_t)n_kv_head(from) * stride + 1, sizeof *slot);
    if (!slot) kv_fail(err, KV_NO_MEMORY, "No memory for the slots of %zu tokens.", stride);
    for (int g = 0; slot && g < n_kv_head(from); g++) {
        size_t row = selection_row(s, layer, g);
        int at = 0;
        for (int k = 0; k < s->n_kept[row]; k++) {
            int32_t position = s->kept[row * (size_t)s->n + (size_t)k];
            while (position_of(from, layer, g, at) < position) at++;
            slot[(size_t)g * stride + (size_t)k] = at;
        }
    }
    return slot;
}

/* Copies what each head of the layer keeps to a compact block. */
static enum kv_status gather_layer(const struct compression *c, int layer, struct cache *to,
    const struct kv_seq *seq, const int32_t *slot, size_t stride, struct kv_error *err)
{
    const struct machine *m = &c->e->machine;
    const struct cache_format *f = &c->e->format;
    const struct selection *s = target(c);
    const int32_t *n_kept = s->n_kept + selection_row(s, layer, 0);
    if (s->sets == 1) {
        enum kv_status status = cache_alloc_layer(to, layer, n_kept[0], err);
        return status ? status
                      : m->be->gather(m->ctx, seq, f->type, f->n_kv_head, f->head_dim, slot, n_kept[0],
                            &to->span[layer], err);
    }
    enum kv_status status = cache_alloc_heads(to, layer, n_kept, err);
    return status ? status
                  : m->be->gather_heads(m->ctx, seq, f->type, f->n_kv_head, f->head_dim, slot, stride, n_kept,
                        &to->span[layer], err);
}

/* What was made beside prefix and tail takes their place. */
static enum kv_status end_round(const struct compression *c, struct kv_error *err)
{
    struct run *r = c->run;
    enum kv_status status = cache_truncate(&r->tail, -1, 0, err);
    if (status) return status;
    cache_free(&r->prefix);
    r->prefix = r->fresh;
    r->fresh = (struct cache){ 0 };
    selection_free(c->sel);
    *c->sel = *r->next;
    free(r->next);
    r->next = NULL;
    r->base += r->tail_len;
    r->tail_len = 0;
    return KV_OK;
}

/* A layer of the prefill that keeps everything is not copied. In place, the resident layer is given up for the compact
 * one. */
static enum kv_status take_layer(
    const struct compression *c, int layer, const int32_t *slot, size_t stride, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    struct run *r = c->run;
    if (c->number) {
        const struct kv_seq seq = { .prefix = r->prefix.span[layer], .tail = r->tail.span[layer] };
        return gather_layer(c, layer, &r->fresh, &seq, slot, stride, err);
    }
    bool own = e->in_place && r == &e->run;
    if (selection_mean(c->sel, layer) == e->n) {
        (own ? cache_move_layer(&r->prefix, layer, &e->resident)
             : cache_borrow_layer(&r->prefix, layer, &e->resident));
        return KV_OK;
    }
    const struct kv_seq seq = { .prefix = e->resident.span[layer] };
    enum kv_status status = gather_layer(c, layer, &r->prefix, &seq, slot, stride, err);
    if (!status && r->shift) {
        int n = c->sel->n_kept[selection_row(c->sel, layer, 0)];
        r->shift[layer] = e->n - n;
        status = rerotate_layer(&e->machine, &r->prefix, layer, n, err);
    }
    if (!status && own) cache_drop_layer(&e->resident, layer);
    return status;
}

enum kv_status compress_gather(const struct compression *c, int layer, struct kv_error *err)
{
    struct run *r = c->run;
    struct selection *s = target(c);
    const struct candidates from = candidates_of(c, &s->policy, s->pins);
    int most = 0;
    for (int g = 0; g < s->sets; g++)
        if (s->n_kept[selection_row(s, layer, g)] > most) most = s->n_kept[selection_row(s, layer, g)];
    size_t stride = (size_t)most;
    int32_t *slot = kept_slots(&from, s, layer, stride, err);
    enum kv_status status = slot ? take_layer(c, layer, slot, stride, err) : KV_NO_MEMORY;
    if (!status && r->tally)
        status = tally_keep(r->tally, c->number ? r->tally : &c->e->record, layer, slot, most, err);
    free(slot);
    if (status || layer < c->e->model->shape.n_layer - 1) return status;
    if (c->number) status = end_round(c, err);
    if (status) return status;
    r->compressed = c->number + 1;
    r->since = 0;
    return KV_OK;
}
