/* Writing a core file's tensors: values, caches, attention maps and statistics, from where the engine has them. */
#include "engine/core/put.h"

#include <stdlib.h>

#define ATTENTION_ROWS 64

static enum kv_status put_map(struct output *o, const struct item *item, struct kv_error *err)
{
    size_t r = (size_t)item->tensor.dim[0];
    float *block = kv_alloc(ATTENTION_ROWS * r, sizeof *block);
    if (!block)
        return kv_fail(err, KV_NO_MEMORY, "No memory for %d attention rows of %zu keys.", ATTENTION_ROWS, r);
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < r && !status; i += ATTENTION_ROWS) {
        size_t n = kv_min(r - i, ATTENTION_ROWS);
        status = kv_attention(o->e, item->layer, item->head, (int)i, (int)n, block, r, err);
        if (!status) status = output_put(o, block, n * r * sizeof *block, err);
    }
    free(block);
    return status;
}

/* All slots of head g of a span. */
static enum kv_status put_slots(
    struct output *o, const struct item *item, const struct kv_span *span, int g, struct kv_error *err)
{
    const struct cache_format *f = &o->e->format;
    struct cache_head head;
    enum kv_status status = cache_head(f, span, g, &head, err);
    if (status || !head.len) return status;
    size_t slot = item->which == 'p' ? sizeof *head.pos : kv_type_bytes(f->type, (size_t)f->head_dim);
    size_t bytes = (size_t)head.len * slot;
    const void *from = item->which == 'p' ? (const void *)head.pos : item->which == 'k' ? head.k : head.v;
    void *host = kv_alloc(bytes, 1);
    if (!host) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of keys and values.", bytes);
    status = f->be->read(f->ctx, host, from, bytes, err);
    if (!status) status = output_put(o, host, bytes, err);
    free(host);
    return status;
}

static enum kv_status put_cache(struct output *o, const struct item *item, struct kv_error *err)
{
    int heads = item->which == 'p' && !core_own_slots(o->e, item->second) ? 1 : o->e->format.n_kv_head;
    enum kv_status status = KV_OK;
    for (int g = 0; g < heads && !status; g++) {
        status = put_slots(o, item, item->first, g, err);
        if (!status && item->second) status = put_slots(o, item, item->second, g, err);
    }
    return status;
}

/* Working them out uses the buffers of a pass under way. */
static enum kv_status put_stats(struct output *o, const struct item *item, struct kv_error *err)
{
    struct kv_engine *e = o->e;
    struct parked parked = { 0 };
    struct kv_stats stats;
    unsigned need = item->which == 'l' ? KV_NEED_LAST : KV_NEED_WINDOW;
    enum kv_status status = engine_park(e, &parked, err);
    for (int l = 0; l < e->model->shape.n_layer && !status; l++) {
        status = record_stats(&e->record, need, l, &e->sel.policy, &e->resident.span[l], &stats, err);
        size_t bytes = (size_t)e->model->shape.n_head * (size_t)e->n * sizeof(float);
        if (!status) status = output_put(o, item->which == 'l' ? stats.last : stats.window, bytes, err);
    }
    return engine_unpark(e, &parked, status, err);
}

enum kv_status core_put(struct output *o, const struct item *item, struct kv_error *err)
{
    struct kv_array a;
    enum kv_status status;
    switch (item->source) {
    case FROM_VALUE:
        status = kv_value(o->e, item->name, &a, err);
        return status ? status : output_put(o, a.data, (size_t)item->tensor.bytes, err);
    case FROM_ATTENTION: return put_map(o, item, err);
    case FROM_CACHE: return put_cache(o, item, err);
    case FROM_STATS: return put_stats(o, item, err);
    default: return output_put(o, item->data, (size_t)item->tensor.bytes, err);
    }
}
