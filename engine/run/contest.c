/* Decoding over several caches at once, all fed the tokens of one of them. */
#include "engine/state.h"

#include "engine/run/contest.h"
#include "engine/run/verdict.h"

#include <stdlib.h>
#include <string.h>

static size_t vocab(const struct contest *c) { return (size_t)c->e->model->shape.n_vocab; }
static struct kl_step *steps_of(const struct contest *c, int i) { return c->step + (size_t)i * (size_t)c->cap; }

static enum kv_status open_contest(struct contest *c, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    size_t n_seq = (size_t)c->n_seq;
    int cap = e->n_question + c->cap;
    enum kv_status status = machine_reserve(&e->machine, c->n_seq, e->n + cap + 1, err);
    if (status) return status;
    c->chunk = e->machine.rows / c->n_seq;
    c->logits = kv_alloc(n_seq * vocab(c), sizeof *c->logits);
    c->id = kv_alloc(n_seq * (size_t)c->chunk, sizeof *c->id);
    c->pos = kv_alloc(n_seq * (size_t)c->chunk, sizeof *c->pos);
    c->step = kv_alloc((n_seq + 1) * (size_t)c->cap, sizeof *c->step);
    if (!c->logits || !c->id || !c->pos || !c->step)
        return kv_fail(err, KV_NO_MEMORY, "No memory for %d runs of %d steps.", c->n_seq, c->cap);
    for (int i = 0; i < c->n_seq && !status; i++) {
        if (c->again[i].past) {
            status = line_open(&c->line[i], e, &c->again[i], cap, err);
            continue;
        }
        status = cache_init(&c->tail[i], &e->format, err);
        if (!status) status = cache_alloc(&c->tail[i], cap, err);
    }
    return status;
}

static void close_contest(struct contest *c)
{
    for (int i = 0; i < c->n_seq; i++) cache_free(&c->tail[i]), line_close(&c->line[i]);
    free(c->logits);
    free(c->id);
    free(c->pos);
    free(c->step);
}

/* Logits of sequence i from the row of a pass. */
static enum kv_status logits_of(struct contest *c, struct pass *p, int row, int i, struct kv_error *err)
{
    const struct machine *m = p->m;
    enum kv_status status = pass_head(p, row, 1, 0, err);
    return status ? status
                  : m->be->read(m->ctx, c->logits + (size_t)i * vocab(c), m->logits, vocab(c) * sizeof(float), err);
}

/* The batch of sequences first..first+n-1, none of which compresses again. */
static enum kv_status feed_batch(struct contest *c, int first, int n, int rows, bool logits, struct kv_error *err)
{
    struct machine *m = &c->e->machine;
    size_t at = (size_t)first * (size_t)rows;
    struct pass p = { .m = m, .ids = c->id + at, .pos = c->pos + at, .n = n * rows, .n_seq = n };
    for (int i = 0; i < n; i++)
        p.seq[i] =
            (struct pass_seq){ c->prefix[first + i], c->tail[first + i].span, 1, 1, rows, c->shift[first + i] };
    enum kv_status status = pass_stage(&p, KV_STAGE_embed, -1, err);
    if (!status) status = pass_layers(&p, 0, c->e->model->shape.n_layer, err);
    if (status || !logits) return status;
    for (int i = 0; i < n && rows > 1 && !status; i++)
        status = logits_of(c, &p, (i + 1) * rows - 1, first + i, err);
    if (rows > 1) return status;
    status = pass_head(&p, 0, n, 0, err);
    return status ? status
                  : m->be->read(m->ctx, c->logits + (size_t)first * vocab(c), m->logits,
                        (size_t)n * vocab(c) * sizeof(float), err);
}

static enum kv_status feed_line(struct contest *c, int i, int rows, int start, bool logits, struct kv_error *err)
{
    size_t at = (size_t)i * (size_t)rows;
    struct pass p;
    bool decode = start >= c->e->n + c->e->n_question;
    enum kv_status status = line_feed(&c->line[i], c->id + at, c->pos + at, rows, decode, &p, err);
    if (!status && logits) status = logits_of(c, &p, rows - 1, i, err);
    return status ? status : line_compress(&c->line[i], err);
}

/* Feeds `rows` tokens to each sequence (ids [n_seq][rows] in c->id) at positions from `start` on; logits of their last
 * rows when wanted. */
static enum kv_status feed(struct contest *c, int rows, int start, bool logits, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (int i = 0; i < c->n_seq * rows; i++) c->pos[i] = start + i % rows;
    for (int i = 0, n = 0; i < c->n_seq && !status; i += n) {
        for (n = 0; i + n < c->n_seq && !c->again[i + n].past;) n++;
        if (n)
            status = feed_batch(c, i, n, rows, logits, err);
        else
            status = feed_line(c, i, rows, start, logits, err), n = 1;
    }
    return status;
}

/* Logits that the first reply token comes from: the prefill's, or those behind the question. */
static enum kv_status first_logits(struct contest *c, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    enum kv_status status = KV_OK;
    for (int i = 0; i < c->n_seq && !e->n_question; i++)
        memcpy(c->logits + (size_t)i * vocab(c), e->prefill_logits, vocab(c) * sizeof(float));
    for (int at = 0; at < e->n_question && !status; at += c->chunk) {
        int rows = e->n_question - at < c->chunk ? e->n_question - at : c->chunk;
        for (int i = 0; i < c->n_seq; i++) memcpy(c->id + i * rows, e->question + at, (size_t)rows * sizeof *c->id);
        status = feed(c, rows, e->n + at, at + rows == e->n_question, err);
    }
    return status;
}

static enum kv_status decode(struct contest *c, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    int n_vocab = e->model->shape.n_vocab, start = e->n + e->n_question;
    int led = c->n_seq;
    while (led > 1 && c->own[led - 1]) led--;
    enum kv_status status = first_logits(c, err);
    while (!status) {
        int t = c->n++;
        for (int i = 0; i < c->n_seq; i++) {
            struct kl_step *step = steps_of(c, i) + t;
            kl_compare(c->logits, c->logits + (size_t)i * vocab(c), n_vocab, step);
            if (step->top_full < 0 || step->top_other < 0)
                return kv_fail(err, KV_EVENT, "The logits of step %d hold no number.", t);
        }
        if (led > 1) {
            const float *last = c->logits + (size_t)(led - 1) * vocab(c);
            kl_compare(last - vocab(c), last, n_vocab, steps_of(c, c->n_seq) + t);
        }
        engine_progress(e, c->what, c->n, c->cap);
        if (c->n == c->cap) break;
        int32_t next = steps_of(c, c->lead)[t].top_other;
        if (engine_is_end(e, next)) break;
        if (engine_stopped(e)) return kv_fail(err, KV_STOPPED, "Stopped on request.");
        for (int i = 0; i < c->n_seq; i++) c->id[i] = c->own[i] ? steps_of(c, i)[t].top_other : next;
        status = feed(c, 1, start + t, true, err);
    }
    return status;
}

static enum kv_status keep(const struct contest *c, struct kv_comparison *out, struct kv_error *err)
{
    size_t cells = (size_t)c->n_seq * (size_t)c->n;
    *out = (struct kv_comparison){ .n_run = c->n_seq, .steps = c->n, .first = c->e->n_question ? 0 : 1 };
    out->token = kv_alloc(cells, sizeof *out->token);
    out->kl = kv_alloc(cells, sizeof *out->kl);
    enum kv_status status =
        out->token && out->kl ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the result of %d steps.", c->n);
    for (int i = 0; i < c->n_seq && !status; i++) {
        const struct kl_step *step = steps_of(c, i);
        for (int t = 0; t < c->n; t++) {
            out->token[i * c->n + t] = step[t].top_other;
            if (!out->length[i] && (t + 1 == c->n || engine_is_end(c->e, step[t].top_other)))
                out->length[i] = t + 1;
            out->kl[i * c->n + t] = t < out->first ? 0 : step[t].kl;
        }
        status = verdict_of(step, c->n, out->first, &out->verdict[i], err);
    }
    if (!status && c->n_seq > 1) status = verdict_of(steps_of(c, c->n_seq), c->n, out->first, &out->last, err);
    if (status) kv_comparison_free(out);
    return status;
}

/* What leads over the resident prefill is the full cache's reply. It is only remembered: without memory, decoded again. */
static void remember_reply(const struct contest *c, const struct kv_comparison *r)
{
    struct full_reply *to = &c->e->full_reply;
    if (c->prefix[c->lead] != c->e->resident.span || c->own[c->lead] || r->steps <= to->n) return;
    int32_t *token = realloc(to->token, (size_t)r->steps * sizeof *token);
    if (!token) return;
    memcpy(token, r->token + c->lead * r->steps, (size_t)r->steps * sizeof *token);
    bool end = engine_is_end(c->e, token[r->steps - 1]);
    *to = (struct full_reply){ token, r->steps, end || r->steps == c->e->model->shape.n_context - c->e->n_all };
}

void kv_comparison_free(struct kv_comparison *c)
{
    free(c->token);
    free(c->kl);
    *c = (struct kv_comparison){ 0 };
}

enum kv_status contest_run(struct contest *c, int n, struct kv_comparison *out, struct kv_error *err)
{
    struct kv_engine *e = c->e;
    struct parked parked = { 0 };
    int room = e->model->shape.n_context - e->n_all;
    *out = (struct kv_comparison){ 0 };
    if (n < 1) return kv_fail(err, KV_BAD_ARG, "A comparison needs at least 1 step, not %d.", n);
    c->cap = n < room ? n : room;
    enum kv_status status = engine_park(e, &parked, err);
    if (!status) status = open_contest(c, err);
    if (!status) status = decode(c, err);
    if (!status) status = keep(c, out, err);
    if (!status) remember_reply(c, out);
    status = engine_unpark(e, &parked, status, err);
    close_contest(c);
    return status;
}
