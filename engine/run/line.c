/* A run fed from outside, compressions and all. */
#include "engine/run/line.h"

#include "engine/run/compress.h"
#include "engine/run/tally.h"

/* Compression number k, with what the run decided there, or would. */
static enum kv_status compress(struct line *x, int k, int cap, struct kv_error *err)
{
    const struct past *past = x->like.past;
    const struct compression c = { x->e, &x->run, &x->sel, k, cap };
    bool made = k < past->n_decision && past->decision[k].made;
    const struct decision next = {
        .policy = x->like.set->policy, .seed = (uint64_t)x->like.set->seed, .pins = x->like.pins
    };
    const struct decision *d = made ? &past->decision[k] : &next;
    enum kv_status status = compress_allocate(&c, &d->policy, d->seed, d->pins, err);
    for (int l = 0; l < x->e->model->shape.n_layer && !status; l++) {
        status = compress_select(&c, l, err);
        if (!status) status = compress_gather(&c, l, err);
    }
    return status;
}

enum kv_status line_open(
    struct line *x, struct kv_engine *e, const struct line_like *like, int cap, struct kv_error *err)
{
    *x = (struct line){ .e = e, .like = *like };
    enum kv_status status = selection_init(&x->sel, e->model->shape.n_layer, e->n, err);
    if (!status) status = compress(x, 0, cap, err);
    return status;
}

void line_close(struct line *x)
{
    if (!x->e) return;
    run_drop_caches(&x->run);
    selection_free(&x->sel);
    *x = (struct line){ 0 };
}

/* One layer, and what the stages leave for the next compression. */
static enum kv_status feed_layer(struct line *x, struct pass *p, int layer, struct kv_error *err)
{
    static const enum kv_stage before[] = { KV_STAGE_norm, KV_STAGE_qkv, KV_STAGE_rope, KV_STAGE_append,
        KV_STAGE_attend };
    struct run *r = &x->run;
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < KV_COUNT(before) && !status; i++) status = pass_stage(p, before[i], layer, err);
    int slots = x->sel.n_kept[selection_row(&x->sel, layer, 0)] + r->tail_len;
    if (!status && r->tally) status = tally_observe(r->tally, p, layer, run_seen(r), slots, err);
    if (!status) status = pass_stage(p, KV_STAGE_oproj, layer, err);
    if (!status && r->tally) status = record_residual(r->tally, p, layer, run_seen(r), err);
    return status ? status : pass_stage(p, KV_STAGE_ffn, layer, err);
}

enum kv_status line_feed(struct line *x, const int32_t *ids, const int32_t *pos, int n, bool decode, struct pass *p,
    struct kv_error *err)
{
    struct run *r = &x->run;
    *p = (struct pass){ .m = &x->e->machine, .ids = ids, .pos = pos, .n = n, .n_seq = 1 };
    p->seq[0] = (struct pass_seq){ r->prefix.span, r->tail.span, 1, 1, n, r->shift };
    if (r->tally) record_begin_pass(r->tally, p, run_seen(r));
    enum kv_status status = pass_stage(p, KV_STAGE_embed, -1, err);
    for (int l = 0; l < x->e->model->shape.n_layer && !status; l++) status = feed_layer(x, p, l, err);
    if (status) return status;
    r->tail_len += n;
    r->since += decode;
    return KV_OK;
}

enum kv_status line_compress(struct line *x, struct kv_error *err)
{
    return compress_due(&x->run, &x->sel) ? compress(x, x->run.compressed, 0, err) : KV_OK;
}
