/* Marks: what must be known to come back to a boundary, and the way back. */
#include "engine/history.h"

#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

struct kv_mark {
    struct kv_where at;
    struct settings set, used;
    struct past compressed; /* the compressions until then, and nothing else */
    struct pins *pins;      /* edits of now */
    struct sampler seeded;
    int n_reply, n_ids, n; /* tokens: reply, prompt, prefill */
    int32_t *token;        /* [n_reply], then the prompt's ids [n_ids] */
    struct sampler *drawn; /* [n_reply] */
    size_t bytes;
};

static size_t token_bytes(const struct kv_engine *e)
{
    return ((size_t)e->run.n_reply + (size_t)e->n_all) * sizeof(int32_t);
}

/* Compressions that have begun by now, or are about to. */
static int decisions(const struct kv_engine *e)
{
    int n = 0;
    while (n < e->past.n_decision && e->past.decision[n].tick <= e->at.tick) n++;
    return n;
}

static size_t decision_bytes(const struct kv_engine *e)
{
    size_t sum = 0;
    for (int k = 0; k < decisions(e); k++) sum += sizeof *e->past.decision + pins_bytes(e->past.decision[k].pins);
    return sum;
}

size_t kv_mark_size(const struct kv_engine *e)
{
    return sizeof(struct kv_mark) + token_bytes(e) + (size_t)e->run.n_reply * sizeof(struct sampler) +
           pins_bytes(e->pins) + decision_bytes(e);
}

enum kv_status kv_mark_take(const struct kv_engine *e, struct kv_mark **out, struct kv_error *err)
{
    *out = NULL;
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    if (engine_need_live(e, err)) return err->code;
    struct kv_mark *m = kv_alloc(1, sizeof *m);
    size_t n = (size_t)e->run.n_reply;
    if (m)
        *m = (struct kv_mark){ e->at, e->set, e->used, { 0 }, pins_hold(e->pins), e->past.seeded, (int)n, e->n_all,
            e->n, kv_alloc(1, token_bytes(e) + 1), kv_alloc(n + 1, sizeof *m->drawn), kv_mark_size(e) };
    if (!m || !m->token || !m->drawn || past_take(&m->compressed, e->past.decision, decisions(e), NULL)) {
        kv_mark_free(m);
        return kv_fail(err, KV_NO_MEMORY, "No memory for a mark of %zu bytes.", kv_mark_size(e));
    }
    if (n) {
        memcpy(m->token, e->past.token, n * sizeof *m->token);
        memcpy(m->drawn, e->past.drawn, n * sizeof *m->drawn);
    }
    memcpy(m->token + n, e->ids, (size_t)e->n_all * sizeof *e->ids);
    *out = m;
    return KV_OK;
}

void kv_mark_free(struct kv_mark *m)
{
    if (!m) return;
    free(m->token);
    free(m->drawn);
    past_free(&m->compressed);
    pins_drop(m->pins);
    free(m);
}

size_t kv_mark_bytes(const struct kv_mark *m) { return m->bytes; }
void kv_mark_where(const struct kv_mark *m, struct kv_where *where) { *where = m->at; }

static enum kv_status check(const struct kv_engine *e, const struct kv_mark *m, struct kv_error *err)
{
    const struct settings *a = &e->used, *b = &m->used;
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    if (engine_need_live(e, err)) return err->code;
    if (m->n_ids != e->n_all || m->n != e->n ||
        memcmp(m->token + m->n_reply, e->ids, (size_t)e->n_all * sizeof *e->ids))
        return kv_fail(err, KV_NOT_NOW, "That place belongs to another prompt.");
    if (a->backend != b->backend || a->precision != b->precision || a->kv != b->kv || a->threads != b->threads ||
        a->segment != b->segment || a->snapshot != b->snapshot || a->stats_all != b->stats_all ||
        a->sliding != b->sliding)
        return kv_fail(err, KV_NOT_NOW, "That place belongs to a request with other engine.* settings.");
    return KV_OK;
}

static bool same_decision(const struct decision *a, const struct decision *b)
{
    return a->tick == b->tick && a->made == b->made && a->seed == b->seed &&
           settings_policy_same(&a->policy, &b->policy) && pins_same(a->pins, b->pins);
}

/* Whether the present branch went the same way as far as the mark. */
static bool same_past(const struct kv_engine *e, const struct kv_mark *m)
{
    const struct past *p = &e->past;
    size_t n = (size_t)m->n_reply;
    if (m->at.tick > p->highest || (m->at.tick == p->done) != (m->at.phase == KV_PHASE_done)) return false;
    if (memcmp(&p->seeded, &m->seeded, sizeof m->seeded) || p->n < m->n_reply) return false;
    if (n && (memcmp(p->token, m->token, n * sizeof *m->token) || memcmp(p->drawn, m->drawn, n * sizeof *m->drawn)))
        return false;
    for (int k = 0; k < m->compressed.n_decision; k++) {
        const struct decision *a = &m->compressed.decision[k];
        if (a->tick < m->at.tick && (k >= p->n_decision || !same_decision(a, &p->decision[k]))) return false;
    }
    return true;
}

/* The mark's past in place of the present one; the engine stands at or before the start of compress. */
static enum kv_status take_past(struct kv_engine *e, const struct kv_mark *m, struct kv_error *err)
{
    struct past *p = &e->past;
    enum kv_status status = KV_OK;
    p->n = 0;
    for (int t = 0; t < m->n_reply && !status; t++) status = past_token(p, t, m->token[t], &m->drawn[t], err);
    if (!status) status = past_take(p, m->compressed.decision, m->compressed.n_decision, err);
    p->seeded = m->seeded;
    p->highest = m->at.tick;
    p->done = m->at.phase == KV_PHASE_done ? m->at.tick : UINT64_MAX;
    p->cut = false;
    past_drop(p, m->at.tick);
    e->at.branch++;
    int n = e->at.phase == KV_PHASE_compress && !e->n_question ? 1 : 0;
    if (n > p->n) n = p->n;
    e->run.sampler = n ? p->drawn[n - 1] : p->seeded;
    return status ? status : step_reply(e, p->token, n, err);
}

enum kv_status kv_mark_go(struct kv_engine *e, const struct kv_mark *m, struct kv_error *err)
{
    enum kv_status status = check(e, m, err);
    if (status) return status;
    struct settings set = e->set;
    const struct settings *from = &m->set;
    set.policy = from->policy;
    set.tokens = from->tokens;
    set.temperature = from->temperature;
    set.top_k = from->top_k;
    set.top_p = from->top_p;
    set.min_p = from->min_p;
    set.seed = from->seed;
    if (!same_past(e, m)) {
        if (e->at.phase > KV_PHASE_prefill) status = kv_seek(e, e->compress_tick, err);
        if (!status && e->at.tick > m->at.tick) status = kv_seek(e, m->at.tick, err);
        if (!status) status = take_past(e, m, err);
    }
    if (!status) status = kv_seek(e, m->at.tick, err);
    if (status) return status;
    settings_take(e, &set);
    edit_take(e, pins_hold(m->pins));
    return KV_OK;
}
