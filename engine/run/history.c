/* Going back. A pass only appends: it is undone by cutting off what it appended, and any stage inside it is reached by
 * running it again from its start. Only compress destroys; it starts over from the resident prefill. */
#include "engine/history.h"

#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

/* --- what is kept --------------------------------------------------------------------------------------------- */

static void drop_sums(struct past *p, int from)
{
    for (int i = from; i < p->n_sums; i++) free(p->sums[i]);
    if (from < p->n_sums) p->n_sums = from;
    if (from) return;
    free(p->sums);
    p->sums = NULL;
    p->bytes = 0;
}

void past_reset(struct past *p)
{
    drop_sums(p, 0);
    decisions_free(p->decision, p->n_decision);
    p->n_decision = 0;
    p->highest = 0;
    p->done = UINT64_MAX;
    p->cut = false;
    p->n = 0;
}

void past_free(struct past *p)
{
    past_reset(p);
    free(p->token);
    free(p->drawn);
    free(p->decision);
    *p = (struct past){ 0 };
}

void past_cut(struct kv_engine *e)
{
    e->past.highest = e->at.tick;
    e->past.done = UINT64_MAX;
    e->past.n = e->run.n_reply;
    e->past.cut = false;
    past_drop(&e->past, e->at.tick);
}

/* --- compressions ------------------------------------------------------------------------------------------------ */

void decisions_free(struct decision *d, int count)
{
    for (int k = 0; k < count; k++) pins_set(&d[k].pins, NULL);
}

enum kv_status past_due(struct past *p, int k, uint64_t tick, struct kv_error *err)
{
    if (k < p->n_decision) return KV_OK;
    if (k == p->decision_cap) {
        int cap = k ? 2 * k : 4;
        struct decision *list = realloc(p->decision, (size_t)cap * sizeof *list);
        if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory to remember %d compressions.", cap);
        p->decision = list;
        p->decision_cap = cap;
    }
    p->decision[k] = (struct decision){ .tick = tick };
    p->n_decision = k + 1;
    return KV_OK;
}

void past_decide(struct past *p, int k, const struct kv_policy *policy, uint64_t seed, struct pins *pins)
{
    struct decision *d = &p->decision[k];
    d->made = true;
    d->policy = *policy;
    d->seed = seed;
    pins_set(&d->pins, pins);
}

enum kv_status past_take(struct past *p, const struct decision *from, int count, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    decisions_free(p->decision, p->n_decision);
    p->n_decision = 0;
    for (int k = 0; k < count && !status; k++) {
        status = past_due(p, k, from[k].tick, err);
        if (!status && from[k].made) past_decide(p, k, &from[k].policy, from[k].seed, from[k].pins);
    }
    return status;
}

void past_drop(struct past *p, uint64_t tick)
{
    while (p->n_decision && p->decision[p->n_decision - 1].tick > tick)
        pins_set(&p->decision[--p->n_decision].pins, NULL);
    if (!p->n_decision || p->decision[p->n_decision - 1].tick < tick) return;
    struct decision *due = &p->decision[p->n_decision - 1];
    pins_set(&due->pins, NULL);
    due->made = false;
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static enum kv_status reserve(struct past *p, int n, struct kv_error *err)
{
    if (n <= p->cap) return KV_OK;
    int cap = 2 * n > 64 ? 2 * n : 64;
    int32_t *token = realloc(p->token, (size_t)cap * sizeof *token);
    if (token) p->token = token;
    struct sampler *drawn = token ? realloc(p->drawn, (size_t)cap * sizeof *drawn) : NULL;
    if (!drawn) return kv_fail(err, KV_NO_MEMORY, "No memory to remember a reply of %d tokens.", cap);
    p->drawn = drawn;
    p->cap = cap;
    return KV_OK;
}

enum kv_status past_token(struct past *p, int t, int32_t token, const struct sampler *drawn, struct kv_error *err)
{
    enum kv_status status = reserve(p, t + 1, err);
    if (status) return status;
    p->token[t] = token;
    p->drawn[t] = *drawn;
    p->n = t + 1;
    return KV_OK;
}

/* Where memory is short nothing is kept: going back then takes longer. */
enum kv_status past_sums(struct kv_engine *e, struct kv_error *err)
{
    struct past *p = &e->past;
    size_t bytes = e->record.sums_bytes;
    int pass = e->at.pass;
    if (!e->machine.be->on_host) return KV_OK; /* reading them would take longer than going back from the start */
    if (!e->record.sums || !pass || p->n_sums != pass - 1 || p->bytes + bytes > p->limit) return KV_OK;
    float **list = realloc(p->sums, (size_t)pass * sizeof *list);
    if (!list) return KV_OK;
    p->sums = list;
    float *sums = malloc(bytes);
    if (!sums) return KV_OK;
    enum kv_status status = e->machine.be->read(e->machine.ctx, sums, e->record.sums, bytes, err);
    if (status) {
        free(sums);
        return status;
    }
    p->sums[p->n_sums++] = sums; /* [0] is of pass 1: pass 0 starts from zeros */
    p->bytes += bytes;
    return KV_OK;
}

static enum kv_status need_run(const struct kv_engine *e, struct kv_error *err)
{
    return e->started ? KV_OK : kv_fail(err, KV_NOT_NOW, "The request is not being run.");
}

enum kv_status kv_history(const struct kv_engine *e, struct kv_history *out, struct kv_error *err)
{
    *out = (struct kv_history){ 0, e->at.tick, e->past.highest, e->past.bytes, e->past.limit,
        past_again(e) && !e->past.cut };
    return need_run(e, err);
}

void kv_history_limit(struct kv_engine *e, size_t bytes)
{
    struct past *p = &e->past;
    p->limit = bytes;
    while (p->n_sums && p->bytes > bytes) {
        p->bytes -= p->bytes / (size_t)p->n_sums;
        drop_sums(p, p->n_sums - 1);
    }
}

/* --- where a tick stands -------------------------------------------------------------------------------------- */

static int segments(const struct kv_engine *e, int n) { return (n + e->used.segment - 1) / e->used.segment; }

static uint64_t prefill_ticks(const struct kv_engine *e)
{
    uint64_t all = (uint64_t)segments(e, e->n) * (uint64_t)e->plan[PLAN_FORWARD].n;
    return e->n_question ? all : all + 2; /* head and sample of the last pass */
}

/* The same of a tick `t` behind the first one of decode, whose passes stand between compressions. */
static int find_decode(
    const struct kv_engine *e, uint64_t tick, uint64_t begin, struct kv_where *where, const struct plan **plan)
{
    const struct past *p = &e->past;
    const uint64_t each = (uint64_t)e->plan[PLAN_GENERATE].n, compress = (uint64_t)e->plan[PLAN_COMPRESS].n;
    uint64_t pass = 0;
    int k = 1;
    for (; k < p->n_decision && p->decision[k].tick + compress <= tick; k++) {
        pass += (p->decision[k].tick - begin) / each;
        begin = p->decision[k].tick + compress;
    }
    bool between = k < p->n_decision && tick >= p->decision[k].tick;
    where->phase = between ? KV_PHASE_compress : KV_PHASE_decode;
    where->pass = between ? k : (int)(pass + (tick - begin) / each);
    where->tick = between ? p->decision[k].tick : tick - (tick - begin) % each;
    *plan = &e->plan[between ? PLAN_COMPRESS : PLAN_GENERATE];
    return (int)(tick - where->tick);
}

/* Boundary at which a pass begins: *where without its tick's stage. Returns the item of `tick` within it. */
static int find_pass(const struct kv_engine *e, uint64_t tick, struct kv_where *where, const struct plan **plan)
{
    const uint64_t forward = (uint64_t)e->plan[PLAN_FORWARD].n;
    const uint64_t first = prefill_ticks(e), compress = (uint64_t)e->plan[PLAN_COMPRESS].n;
    uint64_t t = tick;
    int last = segments(e, e->n) - 1;
    *where = (struct kv_where){ .phase = KV_PHASE_prefill, .layer = -1, .branch = e->at.branch };
    if (t >= first) {
        t -= first;
        last = 0;
        where->phase = KV_PHASE_compress;
        if (t >= compress) {
            uint64_t ask = e->n_question ? (uint64_t)segments(e, e->n_question) * forward + 2 : 0;
            t -= compress;
            last = segments(e, e->n_question) - 1;
            where->phase = KV_PHASE_ask;
            if (t >= ask) return find_decode(e, tick, first + compress + ask, where, plan);
        }
    }
    uint64_t pass = t / forward < (uint64_t)last ? t / forward : (uint64_t)last;
    where->pass = (int)pass;
    where->tick = tick - (t - pass * forward);
    bool sampled = pass == (uint64_t)last && (where->phase == KV_PHASE_ask || !e->n_question);
    *plan = &e->plan[where->phase == KV_PHASE_compress ? PLAN_COMPRESS : sampled ? PLAN_GENERATE : PLAN_FORWARD];
    return (int)(tick - where->tick);
}

static void where_is(const struct kv_engine *e, uint64_t tick, struct kv_where *where)
{
    const struct plan *plan;
    int item = find_pass(e, tick, where, &plan);
    if (tick == e->past.done) *where = (struct kv_where){ .phase = KV_PHASE_done, .branch = e->at.branch };
    where->tick = tick;
    where->stage = tick == e->past.done ? KV_STAGE_COUNT : plan->item[item].stage;
    where->layer = tick == e->past.done ? -1 : plan->item[item].layer;
}

enum kv_status kv_where_at(const struct kv_engine *e, uint64_t tick, struct kv_where *where, struct kv_error *err)
{
    enum kv_status status = need_run(e, err);
    if (status) return status;
    if (tick > e->past.highest)
        return kv_fail(err, KV_BAD_ARG, "Tick %llu is not in this branch's history; it has 0-%llu.",
            (unsigned long long)tick, (unsigned long long)e->past.highest);
    where_is(e, tick, where);
    return KV_OK;
}

/* --- going back ----------------------------------------------------------------------------------------------- */

/* The reply is its first n recorded tokens again. */
static enum kv_status cut_reply(struct kv_engine *e, int n, struct kv_error *err)
{
    e->run.sampler = n ? e->past.drawn[n - 1] : e->past.seeded;
    return step_reply(e, e->past.token, n, err);
}

/* To tick 0 with nothing of what was there, the record of the past and the time spent apart. */
static enum kv_status begin_again(struct kv_engine *e, struct kv_error *err)
{
    struct kv_time time[KV_PHASE_COUNT];
    int branch = e->at.branch;
    memcpy(time, e->time, sizeof time);
    enum kv_status status = engine_begin(e, err);
    memcpy(e->time, time, sizeof time);
    e->at.branch = branch;
    e->run.sampler = e->past.seeded;
    return status;
}

static void drop_compressed(struct kv_engine *e)
{
    run_drop_caches(&e->run);
    selection_reset(&e->sel, e->model->shape.n_layer);
    twin_free(&e->twin);
    e->record.have = 0;
}

/* To the start of the given prefill pass, or of an earlier one whose sums are there. */
static enum kv_status back_to_prefill(struct kv_engine *e, struct kv_where *to, struct kv_error *err)
{
    struct record *r = &e->record;
    const struct past *p = &e->past;
    if (e->in_place && e->at.tick > prefill_ticks(e)) return begin_again(e, err);
    int pass = !r->sums || to->pass <= p->n_sums ? to->pass : p->n_sums;
    int rows = pass * e->used.segment;
    enum kv_status status = cache_truncate(&e->resident, -1, rows, err);
    if (!status && r->sums) {
        size_t bytes = e->record.sums_bytes;
        float *zeros = pass ? NULL : kv_alloc(1, bytes);
        const float *sums = pass ? p->sums[pass - 1] : zeros;
        status = sums ? e->machine.be->write(e->machine.ctx, r->sums, sums, bytes, err)
                      : kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of statistics.", bytes);
        free(zeros);
    }
    if (status) return status;
    for (size_t l = 0; l < (size_t)e->model->shape.n_layer; l++) {
        r->rows[l] = rows;
        if (r->cosine) /* of rows that are observed, oproj writes it only later */
            memset(r->cosine + l * (size_t)r->n + rows, 0, (size_t)(r->n - rows) * sizeof *r->cosine);
    }
    drop_compressed(e);
    where_is(e, (uint64_t)pass * (uint64_t)e->plan[PLAN_FORWARD].n, to);
    step_put(e, to);
    return cut_reply(e, 0, err);
}

static void recall_prefill_logits(struct kv_engine *e)
{
    if (e->n_question) return;
    memcpy(e->logits, e->prefill_logits, (size_t)e->model->shape.n_vocab * sizeof(float));
    e->logits_owed = false;
}

/* To compress:0, with which everything behind the prefill begins. */
static enum kv_status back_to_compress(struct kv_engine *e, struct kv_where *to, struct kv_error *err)
{
    where_is(e, e->compress_tick, to);
    if (e->in_place && e->at.tick > to->tick) return begin_again(e, err);
    drop_compressed(e);
    recall_prefill_logits(e);
    step_put(e, to);
    return cut_reply(e, !e->n_question, err);
}

/* To an ask or decode pass; a decode pass is entered with the logits of the one before, so that runs again too. */
static enum kv_status back_to_tail(struct kv_engine *e, struct kv_where *to, struct kv_error *err)
{
    int reply = 0, tail = 0;
    if (to->phase == KV_PHASE_decode && (to->pass || e->n_question)) where_is(e, to->tick - 1, to);
    const struct plan *plan;
    find_pass(e, to->tick, to, &plan);
    if (to->phase == KV_PHASE_decode) {
        reply = to->pass + 1;
        tail = e->n_question + to->pass;
        if (!to->pass) recall_prefill_logits(e);
    } else {
        tail = to->pass * e->used.segment;
    }
    enum kv_status status = cache_truncate(&e->run.tail, -1, tail, err);
    if (status) return status;
    e->run.tail_len = tail;
    where_is(e, to->tick, to);
    step_put(e, to);
    return cut_reply(e, reply, err);
}

/* To a boundary at or before the tick from which it can be reached. */
static enum kv_status rewind_to(struct kv_engine *e, uint64_t tick, struct kv_error *err)
{
    struct kv_where to;
    const struct plan *plan;
    find_pass(e, tick, &to, &plan);
    if (to.phase == KV_PHASE_prefill) return back_to_prefill(e, &to, err);
    /* what compressions to come go by cannot be cut off row by row */
    if (to.phase == KV_PHASE_compress || e->run.tally) return back_to_compress(e, &to, err);
    return back_to_tail(e, &to, err);
}

enum kv_status kv_seek(struct kv_engine *e, uint64_t tick, struct kv_error *err)
{
    struct kv_where to, whole;
    const struct plan *plan;
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = kv_where_at(e, tick, &to, err);
    if (status) return status;
    find_pass(e, tick, &whole, &plan);
    bool back = tick < e->at.tick, cut_off = back && !e->run.tally;
    if (back) status = rewind_to(e, tick, err);
    while (!status && e->at.tick < tick) {
        /* between the pass before and this one the logits are not there yet */
        bool halfway = cut_off && whole.phase == KV_PHASE_decode && e->at.tick < whole.tick;
        if (!halfway && engine_stopped(e)) return kv_fail(err, KV_STOPPED, "Stopped on request.");
        status = step_stage(e, err);
    }
    return status;
}

/* --- the state as a number ------------------------------------------------------------------------------------ */

struct hash {
    uint64_t h;
    struct kv_engine *e;
    char *room; /* for what lies on the device */
    size_t size;
    enum kv_status status;
};

static void mix(struct hash *h, uint64_t x)
{
    h->h = (h->h ^ x) * 0x9e3779b97f4a7c15u;
    h->h ^= h->h >> 29;
}

static void mix_bytes(struct hash *h, const void *data, size_t n)
{
    const char *p = data;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x = 0;
        memcpy(&x, p + i, n - i < 8 ? n - i : 8);
        mix(h, x);
    }
    mix(h, n);
}

static void mix_device(struct hash *h, const void *data, size_t n, struct kv_error *err)
{
    if (h->status || !n) return;
    if (n > h->size) {
        free(h->room);
        h->room = malloc(n);
        h->size = h->room ? n : 0;
    }
    const struct machine *m = &h->e->machine;
    h->status = h->room ? m->be->read(m->ctx, h->room, data, n, err)
                        : kv_fail(err, KV_NO_MEMORY, "No memory to hash %zu bytes.", n);
    if (!h->status) mix_bytes(h, h->room, n);
}

static void mix_cache(struct hash *h, const struct cache *c, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    for (int l = 0; c->span && l < f->n_layer && !h->status; l++) {
        bool shared = !c->span[l].start;
        for (int g = 0; g < f->n_kv_head && !h->status; g++) {
            struct cache_head head;
            h->status = cache_head(f, &c->span[l], g, &head, err);
            size_t used = kv_type_bytes(f->type, (size_t)head.len * (size_t)f->head_dim);
            if (!g || !shared) mix(h, (uint64_t)head.len);
            mix_device(h, head.k, used, err);
            mix_device(h, head.v, used, err);
            if (!shared || g == f->n_kv_head - 1) mix_device(h, head.pos, (size_t)head.len * sizeof *head.pos, err);
        }
    }
}

static void mix_record(struct hash *h, struct record *r, struct kv_error *err)
{
    if (!h->status) h->status = record_settle(r, err);
    const struct kv_engine *e = h->e;
    size_t heads = (size_t)e->model->shape.n_head;
    for (size_t l = 0; l < (size_t)e->model->shape.n_layer; l++) {
        mix(h, (uint64_t)r->rows[l]);
        for (size_t k = 0; k < heads; k++)
            mix_bytes(h, r->entropy + (l * heads + k) * (size_t)r->n, (size_t)r->rows[l] * sizeof(float));
    }
    for (size_t l = 0; r->cosine && l < (size_t)e->model->shape.n_layer; l++)
        mix_bytes(h, r->cosine + l * (size_t)r->n, (size_t)r->rows[l] * sizeof(float));
    if (r->sums) mix_device(h, r->sums, r->sums_bytes, err);
}

/* What the selector is to keep and drop. */
static void mix_pins(struct hash *h, const struct pins *x)
{
    mix(h, x != NULL);
    if (!x) return;
    mix_bytes(h, x->budget, (size_t)x->n_layer * sizeof *x->budget);
    mix_bytes(h, x->run, (size_t)x->n_run * sizeof *x->run);
}

static void mix_selection(struct hash *h, const struct selection *s)
{
    size_t n = (size_t)s->n, layers = (size_t)h->e->model->shape.n_layer;
    mix(h, s->allocated);
    if (!s->allocated) return;
    mix_bytes(h, s->weight, layers * sizeof *s->weight);
    mix_bytes(h, s->request, layers * sizeof *s->request);
    mix_bytes(h, s->budget, layers * sizeof *s->budget);
    mix(h, (uint64_t)s->n);
    mix_bytes(h, s->total, sizeof s->total);
    mix_pins(h, s->pins);
    for (size_t row = 0; row < layers * (size_t)s->sets; row++) {
        mix(h, (uint64_t)s->n_kept[row]);
        if (s->n_kept[row] < 0) continue;
        mix_bytes(h, s->kept + row * n, (size_t)s->n_kept[row] * sizeof *s->kept);
        mix_bytes(h, s->score + row * n, n * sizeof *s->score);
        mix_bytes(h, s->reason + row * n, n);
    }
}

/* The residual, and what the next stage reads besides. */
static void mix_activations(struct hash *h, struct kv_error *err)
{
    const struct kv_engine *e = h->e;
    const struct machine *m = &e->machine;
    const struct kv_shape *s = &e->model->shape;
    size_t n = (size_t)e->pass.n * sizeof(float), heads = n * (size_t)s->n_head, q = heads * (size_t)s->head_dim;
    size_t kv = n * (size_t)s->n_kv_head * (size_t)s->head_dim;
    enum kv_stage next = e->at.stage;
    mix_device(h, m->x, n * (size_t)s->hidden, err);
    if (next == KV_STAGE_qkv) mix_device(h, m->h, n * (size_t)s->hidden, err);
    if (next >= KV_STAGE_rope && next <= KV_STAGE_observe) mix_device(h, m->q, q, err);
    if (next == KV_STAGE_rope || next == KV_STAGE_append) {
        mix_device(h, m->k, kv, err);
        mix_device(h, m->v, kv, err);
    }
    if (next == KV_STAGE_observe || next == KV_STAGE_oproj) mix_device(h, m->att, q, err);
    if (next == KV_STAGE_observe) {
        mix_device(h, m->lse, heads, err);
        mix_device(h, m->entropy, heads, err);
    }
    if (next == KV_STAGE_sample) mix_device(h, m->logits, (size_t)s->n_vocab * sizeof(float), err);
}

enum kv_status kv_state_hash(struct kv_engine *e, uint64_t *hash, struct kv_error *err)
{
    struct hash h = { .h = 0x6b76646267u, .e = e };
    enum kv_status status = need_run(e, err);
    if (!status) status = engine_need_live(e, err);
    if (status) return status;
    const struct kv_where *w = &e->at;
    const int place[] = { (int)w->phase, w->pass, w->layer, (int)w->stage, e->run.tail_len, e->run.n_reply };
    mix(&h, w->tick);
    mix_bytes(&h, place, sizeof place);
    mix_cache(&h, &e->resident, err);
    mix_cache(&h, &e->run.prefix, err);
    mix_cache(&h, &e->run.tail, err);
    mix_record(&h, &e->record, err);
    if (e->run.tally) mix_record(&h, e->run.tally, err);
    mix_selection(&h, &e->sel);
    if (e->run.next) mix_selection(&h, e->run.next);
    mix_cache(&h, &e->run.fresh, err);
    mix_bytes(&h, e->run.reply, (size_t)e->run.n_reply * sizeof *e->run.reply);
    mix_bytes(&h, &e->run.sampler, sizeof e->run.sampler);
    if (!h.status) h.status = engine_logits(e, err);
    if (e->run.n_reply) mix_bytes(&h, e->logits, (size_t)e->model->shape.n_vocab * sizeof(float));
    if (e->item > 0 && w->phase != KV_PHASE_compress) mix_activations(&h, err);
    free(h.room);
    *hash = h.h;
    return h.status;
}
