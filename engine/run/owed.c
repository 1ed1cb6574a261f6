/* Statistics that wait on the device until a pass is over. */
#include "engine/run/record.h"

#include <stdlib.h>
#include <string.h>

static size_t layers(const struct record *r) { return (size_t)r->m->shape->n_layer; }
static size_t heads(const struct record *r) { return (size_t)r->m->shape->n_head; }
static size_t width(const struct record *r) { return heads(r) * (size_t)r->m->shape->head_dim; }

/* Where each kind begins, in floats. */
static size_t entropy_at(const struct record *r, size_t layer) { return layer * r->owed.rows * heads(r); }
static size_t cosine_at(const struct record *r, size_t layer)
{
    return entropy_at(r, layers(r)) + layer * r->owed.rows;
}
static size_t queries_at(const struct record *r, size_t layer)
{
    return cosine_at(r, layers(r)) + layer * KV_LAST_ROWS * width(r);
}

enum kv_status owed_open(struct owed *o, const struct record *r, int rows, struct kv_error *err)
{
    *o = (struct owed){ .rows = (size_t)rows };
    if (r->m->be->on_host) return KV_OK;
    size_t floats = r->last_q ? queries_at(r, layers(r)) : cosine_at(r, layers(r));
    o->bytes = floats * sizeof(float);
    o->device = r->m->be->alloc(r->m->ctx, o->bytes);
    o->host = kv_alloc(floats, sizeof *o->host);
    o->of = kv_alloc(layers(r), sizeof *o->of);
    if (o->device && o->host && o->of) return KV_OK;
    owed_close(o, r);
    return kv_fail(err, KV_NO_MEMORY, "No memory for the statistics of a pass of %d rows.", rows);
}

void owed_close(struct owed *o, const struct record *r)
{
    if (o->device) r->m->be->release(r->m->ctx, o->device, o->bytes);
    free(o->host);
    free(o->of);
    *o = (struct owed){ 0 };
}

/* The layer's rows; those of another pass are brought home first. */
static enum kv_status rows_of(struct record *r, int layer, int first, int n, struct kv_error *err)
{
    struct owed_rows *of = &r->owed.of[layer];
    bool other = of->n && (of->first != first || of->n != n);
    enum kv_status status = other ? record_settle(r, err) : KV_OK;
    of->first = first;
    of->n = n;
    r->owed.any = true;
    return status;
}

enum kv_status owed_entropy(struct record *r, int layer, int first, int n, struct kv_error *err)
{
    const struct machine *m = r->m;
    enum kv_status status = rows_of(r, layer, first, n, err);
    r->owed.of[layer].entropy = true;
    return status ? status
                  : m->be->copy(m->ctx, r->owed.device + entropy_at(r, (size_t)layer), m->entropy,
                        (size_t)n * heads(r) * sizeof(float), err);
}

enum kv_status owed_cosine(struct record *r, int layer, int first, int n, struct kv_error *err)
{
    const struct machine *m = r->m;
    enum kv_status status = rows_of(r, layer, first, n, err);
    r->owed.of[layer].cosine = true;
    return status ? status
                  : m->be->copy(m->ctx, r->owed.device + cosine_at(r, (size_t)layer), m->entropy,
                        (size_t)n * sizeof(float), err);
}

/* Rows from..from+n-1, at most KV_LAST_ROWS, with their queries at q; they lie in order on the device. */
enum kv_status owed_queries(struct record *r, int layer, int from, int n, const float *q, struct kv_error *err)
{
    const struct machine *m = r->m;
    r->owed.of[layer].last = from;
    r->owed.of[layer].n_last = n;
    r->owed.any = r->owed.queries = true;
    return m->be->copy(
        m->ctx, r->owed.device + queries_at(r, (size_t)layer), q, (size_t)n * width(r) * sizeof(float), err);
}

static void take_layer(struct record *r, size_t layer)
{
    struct owed_rows *of = &r->owed.of[layer];
    const float *host = r->owed.host, *entropy = host + entropy_at(r, layer);
    float *to = r->entropy + layer * heads(r) * (size_t)r->n + (size_t)of->first;
    size_t n_head = of->entropy ? heads(r) : 0;
#pragma omp parallel for schedule(static) if (n_head * (size_t)of->n >= 1 << 17) /* a GPU waits for it */
    for (size_t h = 0; h < n_head; h++)
        for (int i = 0; i < of->n; i++) to[h * (size_t)r->n + (size_t)i] = entropy[(size_t)i * n_head + h];
    if (of->cosine)
        memcpy(r->cosine + layer * (size_t)r->n + (size_t)of->first, host + cosine_at(r, layer),
            (size_t)of->n * sizeof(float));
    for (int i = 0; i < of->n_last; i++)
        memcpy(r->last_q + (layer * KV_LAST_ROWS + (size_t)((of->last + i) % KV_LAST_ROWS)) * width(r),
            host + queries_at(r, layer) + (size_t)i * width(r), width(r) * sizeof(float));
    *of = (struct owed_rows){ 0 };
}

enum kv_status record_settle(struct record *r, struct kv_error *err)
{
    struct owed *o = &r->owed;
    if (!o->any) return KV_OK;
    size_t bytes = o->queries ? o->bytes : cosine_at(r, layers(r)) * sizeof(float);
    enum kv_status status = r->m->be->read(r->m->ctx, o->host, o->device, bytes, err);
    for (size_t l = 0; l < layers(r) && !status; l++) take_layer(r, l);
    if (!status) o->any = o->queries = false;
    return status;
}
