/* Twin decode: the run's kept cache and the full one, fed the same tokens as a batch of two sequences. */
#include "engine/core_parts.h"
#include "engine/state.h"

#include "engine/judge/kl.h"
#include "engine/run/verdict.h"

#include <stdlib.h>
#include <string.h>

enum { FULL, OTHER, TWINS };

struct twin {
    struct kv_engine *e;
    struct cache tail[TWINS];
    float *logits;     /* host [TWINS][n_vocab] of the last step */
    int32_t *id, *pos; /* [TWINS * chunk] */
    int chunk;         /* question rows of one sequence in a pass */
    struct kl_step *step;
    int first; /* first step that is judged */
    int n;     /* steps done */
};

void twin_free(struct twin_result *t)
{
    free(t->full);
    free(t->other);
    free(t->kl);
    *t = (struct twin_result){ 0 };
}

static enum kv_status open_twin(struct twin *t, int n, struct kv_error *err)
{
    struct kv_engine *e = t->e;
    int cap = e->n_question + n;
    t->chunk = e->machine.rows / TWINS;
    t->first = e->n_question ? 0 : 1;
    t->logits = kv_alloc(TWINS * (size_t)e->model->shape.n_vocab, sizeof *t->logits);
    t->id = kv_alloc(TWINS * (size_t)t->chunk, sizeof *t->id);
    t->pos = kv_alloc(TWINS * (size_t)t->chunk, sizeof *t->pos);
    t->step = kv_alloc((size_t)n, sizeof *t->step);
    if (!t->logits || !t->id || !t->pos || !t->step)
        return kv_fail(err, KV_NO_MEMORY, "No memory for a twin of %d steps.", n);
    enum kv_status status = machine_reserve(&e->machine, 0, e->n + cap + 1, err);
    for (int i = 0; i < TWINS && !status; i++) {
        status = cache_init(&t->tail[i], &e->format, err);
        if (!status) status = cache_alloc(&t->tail[i], cap, err);
    }
    return status;
}

static void close_twin(struct twin *t)
{
    for (int i = 0; i < TWINS; i++) cache_free(&t->tail[i]);
    free(t->logits);
    free(t->id);
    free(t->pos);
    free(t->step);
}

/* Feeds `rows` tokens to each twin (ids [TWINS][rows] in t->id) at positions from `start` on; logits of their last
 * rows when wanted. */
static enum kv_status feed(struct twin *t, int rows, int start, bool logits, struct kv_error *err)
{
    struct kv_engine *e = t->e;
    struct machine *m = &e->machine;
    for (int i = 0; i < TWINS * rows; i++) t->pos[i] = start + i % rows;
    struct pass p = { .m = m, .ids = t->id, .pos = t->pos, .n = TWINS * rows, .n_seq = TWINS };
    p.seq[FULL] = (struct pass_seq){ e->resident.span, t->tail[FULL].span, 1, 1, rows };
    p.seq[OTHER] = (struct pass_seq){ e->run.prefix.span, t->tail[OTHER].span, 1, 1, rows };
    enum kv_status status = pass_stage(&p, KV_STAGE_embed, -1, err);
    if (!status) status = pass_layers(&p, 0, e->model->shape.n_layer, err);
    if (status || !logits) return status;
    if (rows == 1) status = pass_head(&p, 0, TWINS, 0, err);
    for (int i = 0; i < TWINS && rows > 1 && !status; i++) status = pass_head(&p, (i + 1) * rows - 1, 1, i, err);
    size_t bytes = TWINS * (size_t)e->model->shape.n_vocab * sizeof(float);
    return status ? status : m->be->read(m->ctx, t->logits, m->logits, bytes, err);
}

/* Logits that the first reply token comes from: the prefill's, or those behind the question. */
static enum kv_status first_logits(struct twin *t, struct kv_error *err)
{
    struct kv_engine *e = t->e;
    size_t n_vocab = (size_t)e->model->shape.n_vocab;
    if (!e->n_question) {
        memcpy(t->logits, e->prefill_logits, n_vocab * sizeof(float));
        memcpy(t->logits + n_vocab, e->prefill_logits, n_vocab * sizeof(float));
        return KV_OK;
    }
    enum kv_status status = KV_OK;
    for (int at = 0; at < e->n_question && !status; at += t->chunk) {
        int rows = e->n_question - at < t->chunk ? e->n_question - at : t->chunk;
        for (int i = 0; i < TWINS; i++) memcpy(t->id + i * rows, e->question + at, (size_t)rows * sizeof *t->id);
        status = feed(t, rows, e->n + at, at + rows == e->n_question, err);
    }
    return status;
}

static enum kv_status run_twin(struct twin *t, int n, struct kv_error *err)
{
    struct kv_engine *e = t->e;
    int n_vocab = e->model->shape.n_vocab, start = e->n + e->n_question;
    enum kv_status status = first_logits(t, err);
    while (!status) {
        struct kl_step *step = &t->step[t->n++];
        kl_compare(t->logits, t->logits + n_vocab, n_vocab, step);
        engine_progress(e, "twin", t->n, n);
        if (step->top_full < 0 || step->top_other < 0)
            return kv_fail(err, KV_EVENT, "The logits of step %d hold no number.", t->n - 1);
        if (t->n == n) break;
        int32_t next = e->set.leader_full ? step->top_full : step->top_other;
        if (engine_is_end(e, next)) break;
        if (engine_stopped(e)) return kv_fail(err, KV_STOPPED, "Stopped on request.");
        t->id[FULL] = t->id[OTHER] = next;
        status = feed(t, 1, start + t->n - 1, true, err);
    }
    return status;
}

static enum kv_status keep_result(struct twin *t, struct kv_error *err)
{
    struct twin_result *r = &t->e->twin;
    size_t n = (size_t)t->n;
    twin_free(r);
    *r = (struct twin_result){ t->n, kv_alloc(n, sizeof *r->full), kv_alloc(n, sizeof *r->other),
        kv_alloc(n, sizeof *r->kl) };
    if (!r->full || !r->other || !r->kl) {
        twin_free(r);
        return kv_fail(err, KV_NO_MEMORY, "No memory for the result of %d steps.", t->n);
    }
    for (int i = 0; i < t->n; i++) {
        r->full[i] = t->step[i].top_full;
        r->other[i] = t->step[i].top_other;
        r->kl[i] = i < t->first ? 0 : t->step[i].kl;
    }
    return KV_OK;
}

enum kv_status kv_twin(struct kv_engine *e, int n, struct kv_verdict *verdict, struct kv_error *err)
{
    enum kv_status status = engine_need_compressed(e, err);
    if (status) return status;
    if (n < 1) return kv_fail(err, KV_BAD_ARG, "A twin needs at least 1 step, not %d.", n);
    if (e->core) return core_twin(e, n, verdict, err);
    int room = e->model->shape.n_context - e->n_all;
    if (n > room) n = room;
    if (e->in_place)
        return kv_fail(err, KV_NOT_NOW,
            "The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.");
    struct twin t = { .e = e };
    struct parked parked = { 0 };
    bool live = e->item > 0;
    if (live) status = pass_park(&e->pass, &parked, err);
    if (!status) status = open_twin(&t, n, err);
    if (!status) status = run_twin(&t, n, err);
    if (!status) status = keep_result(&t, err);
    if (!status) status = verdict_of(t.step, t.n, t.first, verdict, err);
    if (live) {
        enum kv_status back = pass_unpark(&e->pass, &parked, status ? NULL : err);
        if (!status) status = back;
    }
    close_twin(&t);
    return status;
}
