/* Attention rows and hidden rows on demand: the wanted rows alone go through the layers below once more, reading the
 * keys that are already in the cache, so a row costs what a decode step costs and nothing N x N is ever held. */
#include "engine/core/parts.h"
#include "engine/look.h"
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

struct probe {
    struct kv_engine *e;
    int layer, head; /* head -1: what enters the layer is wanted, not its attention */
    int32_t *id, *pos;
    float *device, *host; /* [rows][keys] probabilities by slot */
    int rows, keys;       /* of one pass; keys of a row, at most */
};

/* Tokens that a run has behind the prompt: question, then reply. */
static int32_t later_token(const struct kv_engine *e, int i)
{
    return i < e->n_question ? e->question[i] : e->run.reply[i - e->n_question];
}

static enum kv_status open_probe(struct probe *p, int rows, struct kv_error *err)
{
    const struct kv_engine *e = p->e;
    p->rows = rows < e->machine.rows ? rows : e->machine.rows;
    /* a pass under way has already put its own rows into the tails of the layers below it */
    p->keys = (run_seen(&e->run) > e->n ? run_seen(&e->run) : e->n) + (e->item > 0 ? e->pass.n : 0);
    size_t cells = (size_t)p->rows * (size_t)p->keys;
    p->id = kv_alloc((size_t)p->rows, sizeof *p->id);
    p->pos = kv_alloc((size_t)p->rows, sizeof *p->pos);
    p->host = kv_alloc(cells, sizeof *p->host);
    p->device = e->machine.be->alloc(e->machine.ctx, cells * sizeof *p->device);
    if (p->id && p->pos && p->host && p->device) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory for %d attention rows of %d keys.", p->rows, p->keys);
}

static void close_probe(struct probe *p)
{
    const struct machine *m = &p->e->machine;
    free(p->id);
    free(p->pos);
    free(p->host);
    if (p->device) m->be->release(m->ctx, p->device, (size_t)p->rows * (size_t)p->keys * sizeof *p->device);
}

/* Runs the pass up to the probe's layer, or to attention in it, appending nothing. */
static enum kv_status climb(struct probe *p, struct pass *pass, struct kv_error *err)
{
    static const enum kv_stage stage[] = { KV_STAGE_norm, KV_STAGE_qkv, KV_STAGE_rope, KV_STAGE_attend,
        KV_STAGE_oproj, KV_STAGE_ffn };
    enum kv_status status = pass_stage(pass, KV_STAGE_embed, -1, err);
    for (int l = 0; l <= p->layer && !status; l++) {
        size_t stages = l < p->layer ? KV_COUNT(stage) : p->head < 0 ? 0 : 4;
        for (size_t i = 0; i < stages && !status; i++) status = pass_stage(pass, stage[i], l, err);
    }
    return status;
}

/* Rows first..first+n-1, all of the prompt or all behind it; out[n][stride] by position, zeroed by the caller. */
static enum kv_status probe_rows(struct probe *p, int first, int n, float *out, size_t stride, struct kv_error *err)
{
    struct kv_engine *e = p->e;
    const struct machine *m = &e->machine;
    bool prompt = first < e->n;
    for (int i = 0; i < n; i++) {
        p->pos[i] = first + i;
        p->id[i] = prompt ? e->ids[first + i] : later_token(e, first + i - e->n);
    }
    struct pass pass = { .m = &e->machine, .ids = p->id, .pos = p->pos, .n = n, .n_seq = 1 };
    pass.seq[0] = prompt ? (struct pass_seq){ .prefix = e->resident.span, .prefix_step = 1, .n = n }
                         : (struct pass_seq){ e->run.prefix.span, e->run.tail.span, 1, 1, n, e->run.shift };
    enum kv_status status = climb(p, &pass, err);
    if (status) return status;
    if (p->head < 0) return m->be->read(m->ctx, out, m->x, (size_t)n * stride * sizeof *out, err);
    struct kv_seq seq[PASS_SEQS];
    const struct kv_attend a = pass_attention(&pass, p->layer, seq);
    status = m->be->probabilities(m->ctx, &a, p->head, p->device, (size_t)p->keys, err);
    if (!status)
        status = m->be->read(m->ctx, p->host, p->device, (size_t)n * (size_t)p->keys * sizeof *p->host, err);
    if (status) return status;
    const struct kv_shape *s = m->shape;
    size_t row = selection_row(&e->sel, p->layer, p->head / (s->n_head / s->n_kv_head));
    int kv_head = p->head / (s->n_head / s->n_kv_head);
    int n_slot = prompt ? e->n : e->sel.n_kept[row] + e->run.tail_len;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n_slot; j++) {
            int position = prompt ? j : selection_position(&e->sel, p->layer, kv_head, e->run.base, j);
            if (position <= first + i)
                out[(size_t)i * stride + (size_t)position] = p->host[(size_t)i * (size_t)p->keys + (size_t)j];
        }
    return KV_OK;
}

static enum kv_status check_probe(const struct kv_engine *e, int layer, int first, int rows, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    enum kv_status status = engine_need_prefill(e, err);
    if (status) return status;
    int n = e->n + e->run.tail_len; /* of a core */
    if (!e->core && run_seen(&e->run) > e->n) n = run_seen(&e->run);
    if (layer < 0 || layer >= s->n_layer)
        return kv_fail(
            err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", layer, s->n_layer, s->n_layer - 1);
    if (rows < 1 || first < 0 || first > n - rows)
        return kv_fail(err, KV_BAD_ARG, "Rows %d-%lld out of range; %d tokens were read (0-%d).", first,
            (long long)first + rows - 1, n, n - 1);
    if (first < e->n && e->in_place && e->at.tick > e->compress_tick)
        return kv_fail(err, KV_NOT_NOW,
            "The prompt's keys are gone, for they were compacted in place: set engine.snapshot on, then run "
            "again.");
    return KV_OK;
}

/* All rows in passes of what the machine holds; a pass under way is put aside meanwhile. */
static enum kv_status run_probe(
    struct probe *p, int first, int rows, float *out, size_t stride, struct kv_error *err)
{
    struct kv_engine *e = p->e;
    struct parked parked = { 0 };
    enum kv_status status = engine_park(e, &parked, err);
    if (!status) status = open_probe(p, rows, err);
    memset(out, 0, (size_t)rows * stride * sizeof *out);
    for (int at = first; at < first + rows && !status;) {
        int end = at < e->n && first + rows > e->n ? e->n : first + rows;
        int n = end - at < p->rows ? end - at : p->rows;
        status = probe_rows(p, at, n, out + (size_t)(at - first) * stride, stride, err);
        at += n;
        if (!status && at < first + rows && engine_stopped(e))
            status = kv_fail(err, KV_STOPPED, "Stopped on request.");
    }
    status = engine_unpark(e, &parked, status, err);
    close_probe(p);
    return status;
}

enum kv_status kv_attention(
    struct kv_engine *e, int layer, int head, int first, int rows, float *out, size_t stride, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    enum kv_status status = check_probe(e, layer, first, rows, err);
    if (status) return status;
    if (head < 0 || head >= s->n_head)
        return kv_fail(
            err, KV_BAD_ARG, "Head %d out of range; model has %d (0-%d).", head, s->n_head, s->n_head - 1);
    if (stride < (size_t)(first + rows))
        return kv_fail(err, KV_BAD_ARG, "Attention rows to %d need %d columns, not %zu.", first + rows - 1,
            first + rows, stride);
    if (e->core) return core_attention(e, layer, head, first, rows, out, stride, err);
    struct probe p = { .e = e, .layer = layer, .head = head };
    return run_probe(&p, first, rows, out, stride, err);
}

enum kv_status kv_hidden(struct kv_engine *e, int layer, int first, int rows, float *out, struct kv_error *err)
{
    enum kv_status status = check_probe(e, layer, first, rows, err);
    if (!status && e->core) status = kv_fail(err, KV_NOT_NOW, "hidden is not in this core file.");
    struct probe p = { .e = e, .layer = layer, .head = -1 };
    return status ? status : run_probe(&p, first, rows, out, (size_t)e->model->shape.hidden, err);
}
