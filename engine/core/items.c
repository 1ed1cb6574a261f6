/* The tensors of a core file, and where each is taken from. */
#include "engine/core/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/policy/score.h"

#define BEST_LOGITS 64

/* --- tensors -------------------------------------------------------------------------------------------------- */

static struct item *add(
    struct core_plan *p, const char *name, enum st_type type, int n_dim, const uint64_t *dim, struct kv_error *err)
{
    if (p->n_item == p->cap) {
        int cap = p->cap ? 2 * p->cap : 64;
        struct item *grown = realloc(p->item, (size_t)cap * sizeof *grown);
        if (!grown) {
            kv_fail(err, KV_NO_MEMORY, "No memory for the list of a core file's tensors.");
            return NULL;
        }
        p->item = grown;
        p->cap = cap;
    }
    struct item *item = &p->item[p->n_item++];
    *item = (struct item){ .tensor = { .type = type, .n_dim = n_dim, .bytes = st_type_bytes[type] } };
    snprintf(item->name, sizeof item->name, "%s", name);
    for (int d = 0; d < n_dim; d++) item->tensor.bytes *= item->tensor.dim[d] = dim[d];
    return item;
}

/* Sums over the last rows, where the policy that compress ran with has read them. */
static enum kv_status add_stats(struct core_plan *p, const struct core_value *v, struct kv_error *err)
{
    const struct kv_engine *e = p->e;
    const struct kv_policy *policy = &e->sel.policy;
    const struct kv_shape *s = &e->model->shape;
    const uint64_t dim[] = { (uint64_t)s->n_layer, (uint64_t)s->n_head, (uint64_t)e->n };
    bool last = !strcmp(v->name, "stats.last");
    if (!e->sel.allocated || e->sel.again || (e->in_place && e->at.tick > e->compress_tick)) return KV_OK;
    unsigned needs = policy_selector_needs(policy, policy_selector_at(policy->selector));
    if (!(needs & (last ? KV_NEED_LAST : KV_NEED_WINDOW))) return KV_OK;
    struct item *item = add(p, v->name, ST_F32, 3, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->part = v->part;
    item->source = FROM_STATS;
    item->which = last ? 'l' : 'w';
    return KV_OK;
}

/* A value as kv_value has it, if it is there; what a part is about must be there. */
static enum kv_status add_value(struct core_plan *p, const struct core_value *v, struct kv_error *err)
{
    static const enum st_type types[] = {
        [KV_F32] = ST_F32, [KV_F64] = ST_F64, [KV_I32] = ST_I32, [KV_U8] = ST_U8
    };
    struct kv_array a;
    uint64_t dim[4];
    if (!strncmp(v->name, "stats.", 6)) return add_stats(p, v, err);
    enum kv_status status = kv_value(p->e, v->name, &a, err);
    bool gone = status == KV_NOT_NOW || status == KV_DEVICE; /* not there yet, or lost with the GPU */
    if (gone && v->part == KV_CORE_BASE) return KV_OK;
    if (status) return status;
    for (int d = 0; d < a.n_dim; d++) dim[d] = a.dim[d];
    struct item *item = add(p, v->name, types[a.type], a.n_dim, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->part = v->part;
    return KV_OK;
}

static enum kv_status add_memory(
    struct core_plan *p, const char *name, enum st_type type, size_t n, const void *data, struct kv_error *err)
{
    const uint64_t dim[] = { n };
    struct item *item = add(p, name, type, 1, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->source = FROM_MEMORY;
    item->data = data;
    return KV_OK;
}

/* The user's edits: runs of tokens, and budgets. */
static enum kv_status add_pins(
    struct core_plan *p, const char *runs, const char *budgets, const struct pins *pins, struct kv_error *err)
{
    if (!pins) return KV_OK;
    const uint64_t dim[] = { (uint64_t)pins->n_run, 4 };
    _Static_assert(sizeof *pins->run == 4 * sizeof(int32_t), "a run is four int32");
    struct item *item = add(p, runs, ST_I32, 2, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->source = FROM_MEMORY;
    item->data = pins->run;
    return add_memory(p, budgets, ST_I32, (size_t)pins->n_layer, pins->budget, err);
}

/* How many tokens of the prompt each kept set has. */
static enum kv_status add_kept(struct core_plan *p, struct kv_error *err)
{
    const struct selection *s = &p->e->sel;
    const uint64_t dim[] = { (uint64_t)p->e->model->shape.n_layer, (uint64_t)s->sets };
    size_t rows = (size_t)(dim[0] * dim[1]);
    p->n_kept = kv_alloc(rows, sizeof *p->n_kept);
    if (!p->n_kept) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu kept sets.", rows);
    for (size_t row = 0; row < rows; row++) {
        const int32_t *kept = s->kept + row * (size_t)s->n;
        p->n_kept[row] = s->n_kept[row];
        while (p->n_kept[row] > 0 && kept[p->n_kept[row] - 1] >= p->e->n) p->n_kept[row]--;
    }
    struct item *item = add(p, "n_kept", ST_I32, s->sets > 1 && s->allocated ? 2 : 1, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->source = FROM_MEMORY;
    item->data = p->n_kept;
    return KV_OK;
}

/* What the stages of the pass under the cursor cost. */
static enum kv_status add_costs(struct core_plan *p, struct kv_error *err)
{
    int now, n = kv_pass_costs(p->e, NULL, 0, &now);
    const uint64_t dim[] = { (uint64_t)n, CORE_COST_FIELDS };
    if (!n) return KV_OK;
    struct kv_cost *cost = kv_alloc((size_t)n, sizeof *cost);
    p->cost = kv_alloc((size_t)n * CORE_COST_FIELDS, sizeof *p->cost);
    struct item *item = cost && p->cost ? add(p, "costs", ST_F64, 2, dim, err) : NULL;
    if (item) {
        kv_pass_costs(p->e, cost, n, &now);
        for (int i = 0; i < n; i++) {
            const double row[CORE_COST_FIELDS] = { cost[i].stage, cost[i].layer, (double)cost[i].tick, cost[i].us,
                cost[i].flops, cost[i].bytes };
            memcpy(p->cost + i * CORE_COST_FIELDS, row, sizeof row);
        }
        item->source = FROM_MEMORY;
        item->data = p->cost;
    }
    free(cost);
    if (!item) return kv_fail(err, KV_NO_MEMORY, "No memory for the costs of %d stages.", n);
    return core_note_number(p, "item", now, err);
}

/* --- pieces --------------------------------------------------------------------------------------------------- */

static void mark(uint8_t *used, size_t n_vocab, const int32_t *id, int n)
{
    for (int i = 0; i < n; i++)
        if (id[i] >= 0 && (size_t)id[i] < n_vocab) used[id[i]] = 1;
}

/* The best logits' tokens, each by one more look through the row. */
static void mark_best(const struct kv_engine *e, uint8_t *used)
{
    int n = e->model->shape.n_vocab;
    float bound = 0;
    for (int k = 0; k < BEST_LOGITS && k < n; k++) {
        int best = -1;
        for (int v = 0; v < n; v++)
            if ((!k || e->logits[v] < bound) && (best < 0 || e->logits[v] > e->logits[best])) best = v;
        if (best < 0) return;
        used[best] = 1;
        bound = e->logits[best];
    }
}

static enum kv_status add_pieces(struct core_plan *p, struct kv_error *err)
{
    const struct kv_engine *e = p->e;
    size_t n_vocab = (size_t)e->model->shape.n_vocab, n = 0, total = 0, length;
    if (!e->tok) return KV_OK;
    uint8_t *used = kv_alloc(n_vocab, 1);
    if (!used) return kv_fail(err, KV_NO_MEMORY, "No memory for a list of %zu tokens.", n_vocab);
    mark(used, n_vocab, e->ids, e->n_all);
    mark(used, n_vocab, e->run.reply, e->run.n_reply);
    mark(used, n_vocab, e->twin.full, e->twin.n);
    mark(used, n_vocab, e->twin.other, e->twin.n);
    if (e->run.n_reply) mark_best(e, used);
    for (size_t v = 0; v < n_vocab; v++) {
        if (!used[v]) continue;
        n++;
        tok_piece(e->tok, (int32_t)v, &length);
        total += length;
    }
    p->piece_id = kv_alloc(n, sizeof *p->piece_id);
    p->piece_start = kv_alloc(n + 1, sizeof *p->piece_start);
    p->piece_bytes = kv_alloc(total + 1, 1);
    bool room = p->piece_id && p->piece_start && p->piece_bytes;
    size_t i = 0, at = 0;
    for (size_t v = 0; room && v < n_vocab; v++) {
        if (!used[v]) continue;
        const char *piece = tok_piece(e->tok, (int32_t)v, &length);
        p->piece_id[i] = (int32_t)v;
        p->piece_start[i++] = (int32_t)at;
        if (length) memcpy(p->piece_bytes + at, piece, length);
        at += length;
    }
    free(used);
    if (!room) return kv_fail(err, KV_NO_MEMORY, "No memory for the texts of %zu tokens.", n);
    p->piece_start[n] = (int32_t)total;
    enum kv_status status = add_memory(p, "piece.id", ST_I32, n, p->piece_id, err);
    if (!status) status = add_memory(p, "piece.start", ST_I32, n + 1, p->piece_start, err);
    return status ? status : add_memory(p, "piece.bytes", ST_U8, total, p->piece_bytes, err);
}

/* --- attention and caches ------------------------------------------------------------------------------------- */

static enum kv_status add_map(struct core_plan *p, int layer, int head, struct kv_error *err)
{
    struct kv_engine *e = p->e;
    const uint64_t rows = (uint64_t)(run_seen(&e->run) > e->n ? run_seen(&e->run) : e->n), dim[] = { rows, rows };
    char name[48];
    float *row = kv_alloc(1, sizeof *row);
    if (!row) return kv_fail(err, KV_NO_MEMORY, "No memory for an attention row.");
    enum kv_status status = kv_attention(e, layer, head, 0, 1, row, 1, err); /* says why not, if not */
    free(row);
    if (status) return status;
    snprintf(name, sizeof name, "attn.%d.%d", layer, head);
    for (int i = 0; i < p->n_item; i++)
        if (!strcmp(p->item[i].name, name)) return KV_OK;
    struct item *item = add(p, name, ST_F32, 2, dim, err);
    if (!item) return KV_NO_MEMORY;
    item->source = FROM_ATTENTION;
    item->part = KV_CORE_ATTN;
    item->layer = layer;
    item->head = head;
    return KV_OK;
}

/* Slots of one KV head in both spans. */
static enum kv_status count_slots(const struct kv_engine *e, const struct kv_span *first,
    const struct kv_span *second, int g, uint64_t *n, struct kv_error *err)
{
    struct cache_head a, b = { 0 };
    enum kv_status status = cache_head(&e->format, first, g, &a, err);
    if (!status && second) status = cache_head(&e->format, second, g, &b, err);
    *n = (uint64_t)a.len + (uint64_t)b.len;
    return status;
}

/* k, v and, of the active cache, the positions of one layer. */
static enum kv_status add_spans(struct core_plan *p, const char *room, int layer, const struct kv_span *first,
    const struct kv_span *second, struct kv_error *err)
{
    static const enum st_type types[] = {
        [KV_TYPE_F32] = ST_F32, [KV_TYPE_F16] = ST_F16, [KV_TYPE_BF16] = ST_BF16
    };
    const struct kv_engine *e = p->e;
    const struct cache_format *f = &e->format;
    bool own = core_own_slots(e, second);
    uint64_t n = 0, one;
    enum kv_status status = KV_OK;
    for (int g = 0; g < (own ? f->n_kv_head : 1) && !status; g++, n += one)
        status = count_slots(e, first, second, g, &one, err);
    for (const char *which = second ? "kvp" : "kv"; *which && !status; which++) {
        char name[48];
        const uint64_t dim[] = { (uint64_t)f->n_kv_head, n, (uint64_t)f->head_dim };
        bool pos = *which == 'p';
        snprintf(name, sizeof name, "%s.%s.%d", room, pos ? "pos" : *which == 'k' ? "k" : "v", layer);
        struct item *item = add(p, name, pos ? ST_I32 : types[f->type],
            pos   ? 1
            : own ? 2
                  : 3,
            pos   ? &n
            : own ? dim + 1
                  : dim,
            err);
        if (!item) return KV_NO_MEMORY;
        item->source = FROM_CACHE;
        item->part = KV_CORE_KV;
        item->first = first;
        item->second = second;
        item->which = *which;
    }
    return status;
}

static enum kv_status add_caches(struct core_plan *p, struct kv_error *err)
{
    const struct kv_engine *e = p->e;
    enum kv_status status = KV_OK;
    for (int l = 0; l < e->model->shape.n_layer && !status; l++) {
        if (e->resident.span[l].cap) status = add_spans(p, "resident", l, &e->resident.span[l], NULL, err);
        bool active = e->run.prefix.span && e->run.tail.span &&
                      (e->run.prefix.span[l].cap || (selected(&e->sel, l) && selection_mean(&e->sel, l) == 0));
        if (!status && active)
            status = add_spans(p, "active", l, &e->run.prefix.span[l], &e->run.tail.span[l], err);
    }
    return status;
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

enum kv_status core_items(struct core_plan *p, const struct kv_core_want *want, struct kv_error *err)
{
    struct kv_engine *e = p->e;
    enum kv_status status = engine_logits(e, err);
    if (status == KV_DEVICE) status = KV_OK; /* their value goes, the rest can be had */
    for (int i = 0; i < CORE_VALUES && !status; i++)
        if (core_values[i].part == KV_CORE_BASE || want->part[core_values[i].part])
            status = add_value(p, &core_values[i], err);
    if (!status) status = add_kept(p, err);
    if (!status) status = add_pins(p, "pins", "pins.budget", e->pins, err);
    if (!status) status = add_pins(p, "compress.pins", "compress.pins.budget", e->sel.pins, err);
    if (!status && want->text) status = add_memory(p, "prompt.text", ST_U8, want->text_bytes, want->text, err);
    if (!status) status = add_costs(p, err);
    if (!status) status = add_pieces(p, err);
    for (int i = 0; i < want->n_map && !status; i++) status = add_map(p, want->layer[i], want->head[i], err);
    if (!status && want->part[KV_CORE_KV]) status = add_caches(p, err);
    return status;
}
