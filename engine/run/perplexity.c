/* Windows of a text through the model, every one from an empty cache, and what it said of their second halves. */
#include "engine/perplexity.h"

#include "engine/judge/kl.h"
#include "engine/state.h"

#include <math.h>
#include <stdlib.h>

#define PASS_ROWS 512

struct reader {
    struct kv_engine *e;
    int window, first; /* tokens of a window; the first of them whose logits are judged */
    int32_t *pos;      /* [window] */
    float *logits;     /* host [LOGIT_ROWS][n_vocab] */
    double *nll;       /* [LOGIT_ROWS] */
    struct cache cache;
    double sum, squares;
    int count;
};

static enum kv_status open_reader(struct reader *r, struct kv_error *err)
{
    struct machine *m = &r->e->machine;
    enum kv_status status = machine_reserve(m, r->window < PASS_ROWS ? r->window : PASS_ROWS, r->window + 1, err);
    if (status) return status;
    r->first = r->window / 2;
    r->pos = kv_alloc((size_t)r->window, sizeof *r->pos);
    r->logits = kv_alloc((size_t)LOGIT_ROWS * (size_t)m->shape->n_vocab, sizeof *r->logits);
    r->nll = kv_alloc(LOGIT_ROWS, sizeof *r->nll);
    if (!r->pos || !r->logits || !r->nll)
        return kv_fail(err, KV_NO_MEMORY, "No memory for a window of %d tokens.", r->window);
    for (int i = 0; i < r->window; i++) r->pos[i] = i;
    status = cache_init(&r->cache, &r->e->format, err);
    return status ? status : cache_alloc(&r->cache, r->window, err);
}

static void close_reader(struct reader *r)
{
    cache_free(&r->cache);
    free(r->pos);
    free(r->logits);
    free(r->nll);
}

/* Rows [row, row + n) of a pass that begins at token `from` of the window: each predicts the token behind it. */
static enum kv_status judge_rows(
    struct reader *r, struct pass *p, const int32_t *ids, int from, int row, int n, struct kv_error *err)
{
    const struct machine *m = p->m;
    size_t vocab = (size_t)m->shape->n_vocab;
    enum kv_status status = pass_head(p, row, n, 0, err);
    if (!status) status = m->be->read(m->ctx, r->logits, m->logits, (size_t)n * vocab * sizeof(float), err);
    if (status) return status;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++)
        r->nll[i] = kl_surprise(r->logits + (size_t)i * vocab, (int)vocab, ids[from + row + i + 1]);
    for (int i = 0; i < n; i++) {
        r->sum += r->nll[i];
        r->squares += r->nll[i] * r->nll[i];
    }
    r->count += n;
    return KV_OK;
}

/* Tokens [from, from + n) of a window, and the judgement of those of its second half. */
static enum kv_status read_rows(struct reader *r, const int32_t *ids, int from, int n, struct kv_error *err)
{
    struct machine *m = &r->e->machine;
    struct pass p = { .m = m, .ids = ids + from, .pos = r->pos + from, .n = n, .n_seq = 1 };
    p.seq[0] = (struct pass_seq){ .tail = r->cache.span, .tail_step = 1, .n = n };
    enum kv_status status = pass_stage(&p, KV_STAGE_embed, -1, err);
    for (int l = 0; l < m->shape->n_layer && !status; l++)
        status =
            engine_stopped(r->e) ? kv_fail(err, KV_STOPPED, "Stopped on request.") : pass_layers(&p, l, l + 1, err);
    int begin = r->first > from ? r->first - from : 0, end = r->window - 1 - from < n ? r->window - 1 - from : n;
    for (int row = begin; row < end && !status; row += LOGIT_ROWS)
        status = judge_rows(r, &p, ids, from, row, end - row < LOGIT_ROWS ? end - row : LOGIT_ROWS, err);
    return status;
}

static enum kv_status read_window(struct reader *r, int32_t *ids, struct kv_error *err)
{
    const struct kv_vocabulary *v = &r->e->model->vocabulary;
    int32_t own = ids[0];
    enum kv_status status = cache_truncate(&r->cache, -1, 0, err);
    if (v->add_bos && v->bos >= 0) ids[0] = v->bos;
    for (int from = 0; from < r->window && !status; from += PASS_ROWS)
        status = read_rows(r, ids, from, r->window - from < PASS_ROWS ? r->window - from : PASS_ROWS, err);
    ids[0] = own;
    return status;
}

static void summarize(const struct reader *r, int windows, struct kv_perplexity *out)
{
    out->windows = windows;
    out->tokens = r->count;
    if (!r->count) return;
    out->nll = r->sum / r->count;
    double variance = r->squares / r->count - out->nll * out->nll;
    out->nll_error = r->count > 1 && variance > 0 ? sqrt(variance / (r->count - 1)) : 0;
    out->ppl = exp(out->nll);
    out->ppl_error = out->ppl * out->nll_error;
}

static enum kv_status check_window(const struct kv_engine *e, size_t n, int window, struct kv_error *err)
{
    int context = e->model->shape.n_context;
    if (window < 4 || window > context)
        return kv_fail(err, KV_BAD_ARG, "A window of %d tokens; the model takes 4 to %d.", window, context);
    if (n < (size_t)window)
        return kv_fail(err, KV_BAD_ARG, "The text has %zu tokens, less than a window of %d.", n, window);
    return KV_OK;
}

static enum kv_status read_all(
    struct reader *r, int32_t *ids, int windows, struct kv_perplexity *out, struct kv_error *err)
{
    enum kv_status status = open_reader(r, err);
    for (int w = 0; w < windows && !status; w++) {
        engine_progress(r->e, "perplexity: windows", w, windows);
        struct reader before = *r;
        status = read_window(r, ids + (size_t)w * (size_t)r->window, err);
        if (status) r->sum = before.sum, r->squares = before.squares, r->count = before.count;
        summarize(r, status ? w : w + 1, out);
    }
    close_reader(r);
    return status;
}

enum kv_status kv_perplexity(struct kv_engine *e, const char *text, size_t bytes, int window, int most,
    struct kv_perplexity *out, struct kv_error *err)
{
    double start = kv_now_us();
    struct chat_ids ids = { 0 };
    struct reader r = { .e = e, .window = window };
    struct parked parked = { 0 };
    *out = (struct kv_perplexity){ .nll = NAN, .nll_error = NAN, .ppl = NAN, .ppl_error = NAN };
    if (engine_need_live(e, err)) return err->code;
    if (!e->tok) return kv_fail(err, e->tok_error.code, "%s", e->tok_error.text);
    enum kv_status status = engine_encode(e, text, bytes, NULL, &ids, err);
    if (!status) status = check_window(e, ids.n, window, err);
    if (!status) status = engine_machine(e, err);
    if (!status) status = engine_park(e, &parked, err);
    if (!status) {
        size_t windows = ids.n / (size_t)window;
        if (most > 0 && windows > (size_t)most) windows = (size_t)most;
        out->text_tokens = (int)ids.n;
        status = read_all(&r, ids.ids, (int)windows, out, err);
    }
    status = engine_unpark(e, &parked, status, err);
    free(ids.ids);
    out->us = kv_now_us() - start;
    return status;
}
