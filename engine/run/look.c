/* What is in the cache, and what the stages of a pass cost. */
#include "engine/look.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/parts.h"
#include "engine/state.h"

/* --- keys and values ------------------------------------------------------------------------------------------------ */

static int span_len(const struct kv_engine *e, const struct kv_span *span)
{
    int32_t len = 0;
    struct kv_error ignored;
    if (!span->cap || e->machine.be->read(e->machine.ctx, &len, span->len, sizeof len, &ignored)) return 0;
    return len;
}

static bool there(const struct kv_engine *e, int layer)
{
    return e->started && !e->core && e->resident.span && layer >= 0 && layer < e->model->shape.n_layer;
}

/* The prompt's tokens that the layer has read: those of the resident prefill, all of them where that was given up. */
static int prompt_tokens(const struct kv_engine *e, int layer)
{
    return e->resident.span[layer].cap ? span_len(e, &e->resident.span[layer]) : e->n;
}

static int tail_tokens(const struct kv_engine *e, int layer)
{
    return e->run.tail.span ? span_len(e, &e->run.tail.span[layer]) : 0;
}

/* Tokens that the layer's prefix was chosen from; what is in its tail comes behind them. */
static int base_tokens(const struct kv_engine *e, int layer)
{
    return e->run.base > e->n ? e->run.base : prompt_tokens(e, layer);
}

int kv_cache_tokens(const struct kv_engine *e, int layer)
{
    if (e->core) return layer >= 0 && layer < e->model->shape.n_layer ? core_cache_tokens(e, layer) : 0;
    return there(e, layer) ? base_tokens(e, layer) + tail_tokens(e, layer) : 0;
}

int kv_cache_slots(const struct kv_engine *e, int layer, int kv_head, int32_t *pos, int room)
{
    if (kv_head < 0 || kv_head >= e->model->shape.n_kv_head) return 0;
    if (e->core && layer >= 0 && layer < e->model->shape.n_layer)
        return core_cache_slots(e, layer, kv_head, pos, room);
    if (!there(e, layer)) return 0;
    size_t row = selection_row(&e->sel, layer, kv_head);
    bool kept = selected(&e->sel, layer);
    int n = (kept ? e->sel.n_kept[row] : prompt_tokens(e, layer)) + tail_tokens(e, layer);
    for (int i = 0; i < n && i < room; i++)
        pos[i] = kept ? selection_position(&e->sel, layer, kv_head, e->run.base, i) : i;
    return n;
}

int kv_cache_places(const struct kv_engine *e, int layer, int kv_head, int32_t *place, int room)
{
    int n = kv_cache_slots(e, layer, kv_head, place, room);
    bool turned = e->started && e->sel.allocated && layer >= 0 && layer < e->model->shape.n_layer &&
                  selected(&e->sel, layer) && e->sel.policy.positions == POLICY_POSITIONS_REROTATE;
    for (int i = 0; turned && i < n && i < room; i++) place[i] = i;
    return n;
}

/* n slots from `slot` on of one span. */
static enum kv_status read_slots(const struct kv_engine *e, const struct kv_span *span, bool values, int kv_head,
    int slot, int n, float *out, struct kv_error *err)
{
    const struct cache_format *f = &e->format;
    size_t row = kv_type_bytes(f->type, (size_t)f->head_dim), bytes = (size_t)n * row;
    struct cache_head head;
    void *host = kv_alloc(bytes, 1);
    if (!host) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of keys or values.", bytes);
    enum kv_status status = cache_head(f, span, kv_head, &head, err);
    const char *from = (values ? head.v : head.k) + (size_t)slot * row;
    if (!status) status = f->be->read(f->ctx, host, from, bytes, err);
    if (!status) cache_to_f32(f->type, host, (size_t)n * (size_t)f->head_dim, out);
    free(host);
    return status;
}

/* Slot of a position in the kept cache, -1 = evicted. */
static int kept_slot(const struct kv_engine *e, int layer, int kv_head, int position)
{
    size_t row = selection_row(&e->sel, layer, kv_head);
    const int32_t *kept = e->sel.kept + row * (size_t)e->sel.n;
    int low = 0, high = e->sel.n_kept[row];
    while (low < high) {
        int middle = (low + high) / 2;
        if (kept[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->sel.n_kept[row] && kept[low] == position ? low : -1;
}

/* One row of a layer that was compacted in place, or of a token behind the prompt that a later compression met. */
static enum kv_status read_kept(
    const struct kv_engine *e, bool values, int layer, int kv_head, int position, float *out, struct kv_error *err)
{
    int slot = kept_slot(e, layer, kv_head, position);
    for (int d = 0; d < e->format.head_dim; d++) out[d] = NAN;
    return slot < 0 ? KV_OK : read_slots(e, &e->run.prefix.span[layer], values, kv_head, slot, 1, out, err);
}

enum kv_status kv_cache_rows(const struct kv_engine *e, bool values, int layer, int kv_head, int first, int n,
    float *out, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    size_t width = (size_t)s->head_dim;
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    if (layer < 0 || layer >= s->n_layer)
        return kv_fail(
            err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", layer, s->n_layer, s->n_layer - 1);
    if (kv_head < 0 || kv_head >= s->n_kv_head)
        return kv_fail(err, KV_BAD_ARG, "KV head %d out of range; model has %d (0-%d).", kv_head, s->n_kv_head,
            s->n_kv_head - 1);
    int tokens = kv_cache_tokens(e, layer), prompt = tokens && !e->core ? prompt_tokens(e, layer) : 0;
    if (!tokens) return kv_fail(err, KV_NOT_NOW, "Layer %d has read no token yet.", layer);
    if (first < 0 || n < 1 || first > tokens - n)
        return kv_fail(err, KV_BAD_ARG, "Tokens %d-%lld out of range; layer %d has read %d (0-%d).", first,
            (long long)first + n - 1, layer, tokens, tokens - 1);
    if (e->core) return core_cache_rows(e, values, layer, kv_head, first, n, out, err);
    bool resident = e->resident.span[layer].cap;
    int base = e->run.base > prompt ? e->run.base : prompt, done = 0;
    enum kv_status status = KV_OK;
    if (first < prompt && resident) {
        done = first + n < prompt ? n : prompt - first;
        status = read_slots(e, &e->resident.span[layer], values, kv_head, first, done, out, err);
    }
    for (; done < n && first + done < base && !status; done++)
        status = read_kept(e, values, layer, kv_head, first + done, out + (size_t)done * width, err);
    if (!status && n > done)
        status = read_slots(e, &e->run.tail.span[layer], values, kv_head, first + done - base, n - done,
            out + (size_t)done * width, err);
    return status;
}

int kv_cache_sight(const struct kv_engine *e, int layer)
{
    bool there = layer >= 0 && layer < e->model->shape.n_layer;
    int window = there && e->used.sliding ? kv_shape_window(&e->model->shape, layer) : 0;
    int next = window ? kv_cache_tokens(e, layer) : 0;
    return window && next > window ? next - window + 1 : 0;
}

/* Slots of one KV head that the window has left behind. */
static int unseen_of(const struct kv_engine *e, int layer, int kv_head, int window)
{
    int unseen = 0, n = kv_cache_slots(e, layer, kv_head, NULL, 0), next = n ? kv_cache_tokens(e, layer) : 0;
    int32_t *pos = n ? kv_alloc((size_t)n, sizeof *pos) : NULL;
    if (pos) kv_cache_slots(e, layer, kv_head, pos, n);
    while (pos && unseen < n && pos[unseen] <= next - window) unseen++;
    free(pos);
    return unseen;
}

int kv_cache_unseen(const struct kv_engine *e, int layer)
{
    bool there = layer >= 0 && layer < e->model->shape.n_layer;
    int window = there && e->used.sliding ? kv_shape_window(&e->model->shape, layer) : 0, sum = 0;
    int heads = e->sel.sets > 1 ? e->model->shape.n_kv_head : 1;
    for (int g = 0; window && g < heads; g++) sum += unseen_of(e, layer, g, window);
    return sum / heads;
}

int kv_pass_rows(const struct kv_engine *e) { return e->used.segment ? e->used.segment : engine_segment(e); }

/* --- costs ---------------------------------------------------------------------------------------------------------- */

static double matrix_bytes(const struct kv_matrix *m)
{
    return (double)kv_type_bytes(m->type, (size_t)m->rows * (size_t)m->cols);
}

static double matrix_flops(const struct kv_matrix *m, double rows) { return 2 * rows * m->rows * (double)m->cols; }

/* Kept tokens that a query at this position still sees through a window, on average over the layer's KV heads. */
static double kept_in_sight(const struct kv_engine *e, int layer, int at, int window)
{
    double sum = 0;
    for (int g = 0; g < e->sel.sets; g++) {
        size_t row = selection_row(&e->sel, layer, g);
        const int32_t *kept = e->sel.kept + row * (size_t)e->sel.n;
        int n = e->sel.n_kept[row];
        while (n > 0 && kept[e->sel.n_kept[row] - n] <= at - window) n--;
        sum += n;
    }
    return sum / e->sel.sets;
}

/* Key positions that the pass's rows see, all rows together; *keys = how many different ones. */
static double visible(const struct kv_engine *e, int rows, int layer, double *keys)
{
    int window = machine_window(&e->machine, layer), first = run_seen(&e->run);
    bool prefill = e->at.phase == KV_PHASE_prefill;
    double before =
        prefill ? (double)e->at.pass * e->used.segment : selection_mean(&e->sel, layer) + e->run.tail_len;
    double pairs = 0;
    *keys = before + rows;
    if (!window || *keys <= window) return rows * before + rows * (rows + 1.0) / 2;
    for (int i = 0; i < rows; i++)
        pairs += prefill ? fmin(before + i + 1, window)
                         : fmin(e->run.tail_len + i + 1.0, window) + kept_in_sight(e, layer, first + i, window);
    *keys = prefill ? fmin(*keys, window + rows - 1.0)
                    : fmin(e->run.tail_len, window - 1.0) + rows + kept_in_sight(e, layer, first, window);
    return pairs;
}

static void attention_cost(const struct kv_engine *e, double rows, struct kv_cost *c)
{
    const struct kv_shape *s = &e->model->shape;
    double keys, pairs = visible(e, (int)rows, c->layer, &keys), head = s->head_dim;
    double key_bytes = keys * s->n_kv_head * (double)kv_type_bytes(e->format.type, (size_t)s->head_dim);
    bool observes = c->stage == KV_STAGE_observe;
    if (observes && ((e->at.phase != KV_PHASE_prefill && !e->run.tally) || !e->record.columns)) return;
    c->flops = (observes ? 2 : 4) * pairs * s->n_head * head;
    c->bytes = (observes ? key_bytes : 2 * key_bytes) + 8 * rows * s->n_head * head;
}

/* Stages of the forward plan. */
static void forward_cost(const struct kv_engine *e, double rows, struct kv_cost *c)
{
    const struct kv_shape *s = &e->model->shape;
    const struct machine_layer *w = c->layer >= 0 ? &e->machine.layer[c->layer] : NULL;
    double hidden = 4 * rows * s->hidden, q = 4 * rows * s->n_head * (double)s->head_dim,
           k = 4 * rows * s->n_kv_head * (double)s->head_dim;
    switch (c->stage) {
    case KV_STAGE_embed:
        c->bytes = hidden + rows * (double)kv_type_bytes(e->machine.embd.type, (size_t)s->hidden);
        break;
    case KV_STAGE_norm: c->flops = 3 * hidden / 4, c->bytes = 2 * hidden; break;
    case KV_STAGE_qkv:
        c->flops = matrix_flops(&w->q, rows) + matrix_flops(&w->k, rows) + matrix_flops(&w->v, rows);
        c->bytes = matrix_bytes(&w->q) + matrix_bytes(&w->k) + matrix_bytes(&w->v) + hidden + q + 2 * k;
        break;
    case KV_STAGE_rope: c->flops = 3 * (q + k) / 4, c->bytes = 2 * (q + k); break;
    case KV_STAGE_append:
        c->bytes = 2 * k + 2 * rows * s->n_kv_head * (double)kv_type_bytes(e->format.type, (size_t)s->head_dim);
        break;
    case KV_STAGE_attend:
    case KV_STAGE_observe: attention_cost(e, rows, c); break;
    case KV_STAGE_oproj:
        c->flops = matrix_flops(&w->o, rows), c->bytes = matrix_bytes(&w->o) + q + 2 * hidden;
        break;
    case KV_STAGE_ffn:
        c->flops = matrix_flops(&w->gate, rows) + matrix_flops(&w->up, rows) + matrix_flops(&w->down, rows);
        c->bytes = matrix_bytes(&w->gate) + matrix_bytes(&w->up) + matrix_bytes(&w->down) + 4 * hidden +
                   16 * rows * s->n_ff;
        break;
    case KV_STAGE_head:
        c->flops = matrix_flops(&e->machine.head, 1);
        c->bytes = matrix_bytes(&e->machine.head) + 4.0 * s->hidden + 4.0 * s->n_vocab;
        break;
    default: c->bytes = 4.0 * s->n_vocab; /* sample */
    }
}

static void compress_cost(const struct kv_engine *e, struct kv_cost *c)
{
    const struct kv_shape *s = &e->model->shape;
    double row = 2 * s->n_kv_head * (double)kv_type_bytes(e->format.type, (size_t)s->head_dim);
    if (c->stage == KV_STAGE_allocate) c->bytes = 4.0 * s->n_layer * s->n_head * e->n;
    if (c->stage == KV_STAGE_select) c->bytes = 4.0 * s->n_head * e->n;
    if (c->stage == KV_STAGE_gather && e->sel.allocated) c->bytes = 2 * row * e->sel.budget[c->layer];
}

int kv_pass_costs(const struct kv_engine *e, struct kv_cost *out, int room, int *now)
{
    if (e->core) return core_costs(e, out, room, now);
    const struct plan *plan = e->started ? step_plan(e) : NULL;
    *now = e->item;
    if (!plan) return 0;
    for (int i = 0; i < plan->n && i < room; i++) {
        out[i] = (struct kv_cost){ plan->item[i].stage, plan->item[i].layer,
            e->at.tick - (uint64_t)e->item + (uint64_t)i, i < e->item && e->stage_us ? e->stage_us[i] : NAN, 0, 0 };
        if (e->at.phase == KV_PHASE_compress)
            compress_cost(e, &out[i]);
        else
            forward_cost(e, step_rows(e), &out[i]);
    }
    return plan->n;
}
