/* Statistics that go on growing in ask and decode. */
#include "engine/run/tally.h"

#include <stdlib.h>
#include <string.h>

static size_t layers(const struct record *t) { return (size_t)t->m->shape->n_layer; }
static size_t heads(const struct record *t) { return (size_t)t->m->shape->n_head; }

static enum kv_status init(struct record *t, const struct record *like, int cap, int rows, struct kv_error *err)
{
    enum kv_status status = record_init(t, like->m, like->needs, cap, rows, err);
    if (status) return status;
    size_t seen = layers(t) * (size_t)cap, compact = heads(t) * (size_t)cap;
    t->seen = kv_alloc(seen, sizeof *t->seen);
    t->compact = kv_alloc(compact, sizeof *t->compact);
    t->bytes += seen * sizeof *t->seen + compact * sizeof *t->compact;
    if (t->seen && t->compact) return KV_OK;
    record_free(t);
    return kv_fail(err, KV_NO_MEMORY, "No memory for the statistics of %d tokens.", cap);
}

/* The first n numbers of `count` rows that are `from` long, to rows that are `to` long. */
static void copy_rows(void *to, size_t to_long, const void *from, size_t from_long, size_t n, size_t count)
{
    for (size_t i = 0; i < count && to && from; i++)
        memcpy((char *)to + i * to_long * sizeof(float), (const char *)from + i * from_long * sizeof(float),
            n * sizeof(float));
}

/* All that has a number a row, and what belongs to the last rows. */
static enum kv_status copy_past(struct record *t, struct record *from, struct kv_error *err)
{
    enum kv_status status = record_settle(from, err);
    if (status) return status;
    const struct kv_shape *s = t->m->shape;
    size_t to_long = (size_t)t->n, from_long = (size_t)from->n, width = heads(t) * (size_t)s->head_dim;
    memcpy(t->rows, from->rows, layers(t) * sizeof *t->rows);
    copy_rows(t->entropy, to_long, from->entropy, from_long, from_long, layers(t) * heads(t));
    copy_rows(t->cosine, to_long, from->cosine, from_long, from_long, layers(t));
    if (t->last_q) memcpy(t->last_q, from->last_q, layers(t) * KV_LAST_ROWS * width * sizeof(float));
    if (from->seen) copy_rows(t->seen, to_long, from->seen, from_long, from_long, layers(t));
    for (size_t l = 0; l < layers(t) && !from->seen; l++) {
        int window = machine_window(t->m, (int)l);
        for (int i = 0; i < from->n; i++) t->seen[l * to_long + (size_t)i] = window && i >= window ? window : i + 1;
    }
    if (!t->moments) return KV_OK;
    return t->m->be->copy(
        t->m->ctx, t->moments, from->moments, layers(t) * heads(t) * record_block(s) * sizeof(float), err);
}

enum kv_status tally_open(struct record *t, struct record *prefill, int cap, int rows, struct kv_error *err)
{
    enum kv_status status = init(t, prefill, cap, rows, err);
    if (!status) status = copy_past(t, prefill, err);
    if (status) record_free(t);
    return status;
}

enum kv_status tally_grow(struct record *t, int cap, int rows, struct kv_error *err)
{
    struct record next;
    if (cap <= t->n) return KV_OK;
    enum kv_status status = init(&next, t, cap, rows, err);
    if (status) return status;
    status = copy_past(&next, t, err);
    for (size_t row = 0; row < layers(t) * heads(t) && t->columns && !status; row++)
        status = t->m->be->copy(t->m->ctx, next.columns + row * (size_t)next.n, t->columns + row * (size_t)t->n,
            (size_t)t->n * sizeof(float), err);
    record_free(status ? &next : t);
    if (!status) *t = next;
    return status;
}

enum kv_status tally_keep(
    struct record *t, const struct record *from, int layer, const int32_t *slot, int n, struct kv_error *err)
{
    const struct machine *m = t->m;
    size_t group = heads(t) / (size_t)m->shape->n_kv_head, row = (size_t)layer * heads(t);
    size_t there = (size_t)from->n, room = (size_t)t->n;
    if (!t->columns) return KV_OK;
    float *was = kv_alloc(there, sizeof *was), *now = kv_alloc(room, sizeof *now);
    enum kv_status status =
        was && now ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the columns of %zu slots.", room);
    for (size_t h = 0; h < heads(t) && !status; h++, row++) {
        const int32_t *kept = slot + h / group * (size_t)n;
        status = m->be->read(m->ctx, was, from->columns + row * there, there * sizeof *was, err);
        for (int i = 0; i < n && !status; i++) now[i] = was[kept[i]];
        if (!status) status = m->be->write(m->ctx, t->columns + row * room, now, room * sizeof *now, err);
    }
    free(was);
    free(now);
    t->have = 0;
    return status;
}

enum kv_status tally_observe(
    struct record *t, const struct pass *p, int layer, int first, int slots, struct kv_error *err)
{
    int window = machine_window(t->m, layer);
    int32_t *seen = t->seen + (size_t)layer * (size_t)t->n + first;
    for (int i = 0; i < p->n; i++) seen[i] = window && slots + i >= window ? window : slots + i + 1;
    return record_observe(t, p, layer, first, err);
}
