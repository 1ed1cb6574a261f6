/* Attention of a reply's rows over the full cache, by layer, head and prompt position: one pass over the reply. */
#include "engine/regret.h"

#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

struct reader {
    struct kv_engine *e;
    int rows, keys; /* fed: question and reply but for its last token; that the last of them sees */
    struct cache_format format;
    struct cache tail; /* of the layer in hand */
    int32_t *id, *pos;
    float *device, *host; /* [rows][keys] probabilities of one head */
    float *mean;          /* [n_layer][n_head][n] */
};

void mass_forget(struct mass *m)
{
    free(m->reply);
    free(m->mean);
    *m = (struct mass){ 0 };
}

static enum kv_status open_reader(struct reader *r, const int32_t *reply, int n_reply, struct kv_error *err)
{
    struct kv_engine *e = r->e;
    const struct kv_shape *s = &e->model->shape;
    r->rows = e->n_question + n_reply - 1;
    r->keys = e->n + r->rows;
    enum kv_status status = machine_reserve(&e->machine, r->rows, r->keys + 1, err);
    if (status) return status;
    size_t rows = (size_t)r->rows, cells = rows * (size_t)r->keys;
    r->id = kv_alloc(rows, sizeof *r->id);
    r->pos = kv_alloc(rows, sizeof *r->pos);
    r->host = kv_alloc(cells, sizeof *r->host);
    r->mean = kv_alloc((size_t)s->n_layer * (size_t)s->n_head * (size_t)e->n, sizeof *r->mean);
    r->device = e->machine.be->alloc(e->machine.ctx, cells * sizeof *r->device);
    if (!r->id || !r->pos || !r->host || !r->mean || !r->device)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the attention of %d rows to %d keys.", r->rows, r->keys);
    for (int i = 0; i < r->rows; i++) {
        r->id[i] = i < e->n_question ? e->question[i] : reply[i - e->n_question];
        r->pos[i] = e->n + i;
    }
    r->format = e->format;
    r->format.n_layer = 1;
    status = cache_init(&r->tail, &r->format, err);
    return status ? status : cache_alloc(&r->tail, r->rows, err);
}

static void close_reader(struct reader *r)
{
    const struct machine *m = &r->e->machine;
    cache_free(&r->tail);
    free(r->id);
    free(r->pos);
    free(r->host);
    free(r->mean);
    if (r->device) m->be->release(m->ctx, r->device, (size_t)r->rows * (size_t)r->keys * sizeof *r->device);
}

/* Behind attend: what each head's rows that read the reply gave the prompt. */
static enum kv_status add_layer(struct reader *r, const struct pass *p, int layer, struct kv_error *err)
{
    const struct kv_engine *e = r->e;
    const struct machine *m = p->m;
    int n_head = e->model->shape.n_head, first = e->n_question;
    struct kv_seq seq[PASS_SEQS];
    const struct kv_attend a = pass_attention(p, layer, seq);
    enum kv_status status = KV_OK;
    for (int h = 0; h < n_head && !status; h++) {
        float *mean = r->mean + ((size_t)layer * (size_t)n_head + (size_t)h) * (size_t)e->n;
        status = m->be->probabilities(m->ctx, &a, h, r->device, (size_t)r->keys, err);
        if (!status)
            status =
                m->be->read(m->ctx, r->host, r->device, (size_t)r->rows * (size_t)r->keys * sizeof *r->host, err);
        for (int i = first; i < r->rows && !status; i++)
            for (int j = 0; j < e->n; j++) mean[j] += r->host[(size_t)i * (size_t)r->keys + (size_t)j];
        for (int j = 0; j < e->n; j++) mean[j] /= (float)(r->rows - first);
    }
    return status;
}

static enum kv_status read_reply(struct reader *r, struct kv_error *err)
{
    static const enum kv_stage before[] = { KV_STAGE_norm, KV_STAGE_qkv, KV_STAGE_rope, KV_STAGE_append,
        KV_STAGE_attend },
                               after[] = { KV_STAGE_oproj, KV_STAGE_ffn };
    struct kv_engine *e = r->e;
    int n_layer = e->model->shape.n_layer;
    struct pass p = { .m = &e->machine, .ids = r->id, .pos = r->pos, .n = r->rows, .n_seq = 1 };
    p.seq[0] =
        (struct pass_seq){ .prefix = e->resident.span, .tail = r->tail.span, .prefix_step = 1, .n = r->rows };
    enum kv_status status = pass_stage(&p, KV_STAGE_embed, -1, err);
    for (int l = 0; l < n_layer && !status; l++) {
        if (engine_stopped(e)) return kv_fail(err, KV_STOPPED, "Stopped on request.");
        status = cache_truncate(&r->tail, 0, 0, err);
        for (size_t i = 0; i < KV_COUNT(before) && !status; i++) status = pass_stage(&p, before[i], l, err);
        if (!status) status = add_layer(r, &p, l, err);
        for (size_t i = 0; i < KV_COUNT(after) && !status; i++) status = pass_stage(&p, after[i], l, err);
        engine_progress(e, "attention", l + 1, n_layer);
    }
    return status;
}

static enum kv_status check(const struct kv_engine *e, int n_reply, struct kv_error *err)
{
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (status) return status;
    if (e->in_place)
        return kv_fail(err, KV_NOT_NOW,
            "The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.");
    int room = e->model->shape.n_context - e->n_all;
    if (n_reply < 2 || n_reply > room)
        return kv_fail(err, KV_BAD_ARG, "A reply of %d tokens cannot be read; the context leaves room for 2 to %d.",
            n_reply, room);
    return KV_OK;
}

enum kv_status kv_mass(struct kv_engine *e, const int32_t *reply, int n_reply, struct kv_error *err)
{
    struct mass *m = &e->mass;
    struct reader r = { .e = e };
    struct parked parked = { 0 };
    enum kv_status status = check(e, n_reply, err);
    if (status) return status;
    if (m->n_reply == n_reply && !memcmp(m->reply, reply, (size_t)n_reply * sizeof *reply)) return KV_OK;
    status = engine_park(e, &parked, err);
    if (!status) status = open_reader(&r, reply, n_reply, err);
    if (!status) status = read_reply(&r, err);
    int32_t *copy = kv_alloc((size_t)n_reply, sizeof *copy);
    if (!status && !copy) status = kv_fail(err, KV_NO_MEMORY, "No memory for a reply of %d tokens.", n_reply);
    if (!status) {
        memcpy(copy, reply, (size_t)n_reply * sizeof *copy);
        mass_forget(m);
        *m = (struct mass){ copy, n_reply, r.mean };
        r.mean = NULL;
        copy = NULL;
    }
    free(copy);
    status = engine_unpark(e, &parked, status, err);
    close_reader(&r);
    return status;
}
