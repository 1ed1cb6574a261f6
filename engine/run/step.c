/* The stepper: walks the plan of every pass, one stage at a time, from prefill to done. */
#include "engine/run/compress.h"
#include "engine/run/tally.h"
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

/* --- where the request stands --------------------------------------------------------------------------------- */

static int segments(const struct kv_engine *e, int n) { return (n + e->used.segment - 1) / e->used.segment; }

static bool last_pass(const struct kv_engine *e)
{
    switch (e->at.phase) {
    case KV_PHASE_prefill: return e->at.pass == segments(e, e->n) - 1;
    case KV_PHASE_ask: return e->at.pass == segments(e, e->n_question) - 1;
    default: return true;
    }
}

const struct plan *step_plan(const struct kv_engine *e)
{
    switch (e->at.phase) {
    case KV_PHASE_prefill: return &e->plan[last_pass(e) && !e->n_question ? PLAN_GENERATE : PLAN_FORWARD];
    case KV_PHASE_ask: return &e->plan[last_pass(e) ? PLAN_GENERATE : PLAN_FORWARD];
    case KV_PHASE_decode: return &e->plan[PLAN_GENERATE];
    case KV_PHASE_compress: return &e->plan[PLAN_COMPRESS];
    default: return NULL;
    }
}

int step_rows(const struct kv_engine *e)
{
    int total = e->at.phase == KV_PHASE_prefill ? e->n : e->at.phase == KV_PHASE_ask ? e->n_question : 1;
    int first = e->at.phase == KV_PHASE_decode ? 0 : e->at.pass * e->used.segment;
    return total - first < e->used.segment ? total - first : e->used.segment;
}

int step_tail_cap(const struct kv_engine *e)
{
    int room = e->model->shape.n_context - e->n, want = e->n_question + e->set.tokens;
    if (want <= e->run.tail_len) want = e->run.tail_len + 1; /* decode.tokens was lowered on the way */
    return want < room ? want : room;
}

/* Puts the cursor before the current item of the current plan. */
static void point(struct kv_engine *e)
{
    const struct plan *plan = step_plan(e);
    e->at.stage = plan ? plan->item[e->item].stage : KV_STAGE_COUNT;
    e->at.layer = plan ? plan->item[e->item].layer : -1;
}

void step_begin_phase(struct kv_engine *e, enum kv_phase phase)
{
    e->at.phase = phase;
    e->at.pass = 0;
    e->item = 0;
    point(e);
}

void step_put(struct kv_engine *e, const struct kv_where *at)
{
    step_begin_phase(e, at->phase);
    e->at.pass = at->pass;
    e->at.tick = at->tick;
    point(e);
}

static bool reply_ended(const struct kv_engine *e)
{
    const struct run *r = &e->run;
    if (e->at.tick <= e->past.highest) return e->at.tick == e->past.done;
    return r->n_reply >= e->set.tokens || e->n + e->n_question + r->n_reply >= e->model->shape.n_context ||
           engine_is_end(e, r->reply[r->n_reply - 1]);
}

/* Goes on with the reply's last token, unless it ended the reply. */
static void begin_decode(struct kv_engine *e)
{
    step_begin_phase(e, reply_ended(e) ? KV_PHASE_done : KV_PHASE_decode);
    if (e->at.phase == KV_PHASE_decode) e->at.pass = e->run.n_reply - 1;
}

static enum kv_status begin_compress(struct kv_engine *e, int number, struct kv_error *err)
{
    step_begin_phase(e, KV_PHASE_compress);
    e->at.pass = number;
    return past_due(&e->past, number, e->at.tick, err);
}

/* From the end of one pass to the beginning of the next. */
static enum kv_status next_pass(struct kv_engine *e, struct kv_error *err)
{
    e->item = 0;
    switch (e->at.phase) {
    case KV_PHASE_prefill:
        if (!last_pass(e)) break;
        e->compress_tick = e->at.tick;
        return begin_compress(e, 0, err);
    case KV_PHASE_compress:
        if (e->n_question && !e->at.pass)
            step_begin_phase(e, KV_PHASE_ask);
        else
            begin_decode(e);
        return KV_OK;
    case KV_PHASE_ask:
        if (!last_pass(e)) break;
        begin_decode(e);
        return KV_OK;
    default:
        if (compress_due(&e->run, &e->sel) && !reply_ended(e)) return begin_compress(e, e->run.compressed, err);
        begin_decode(e);
        return KV_OK;
    }
    e->at.pass++;
    point(e);
    return KV_OK;
}

/* --- one stage ------------------------------------------------------------------------------------------------ */

/* Where decode.tokens has grown since compress, the tail moves to a longer one. */
static enum kv_status grow_tail(struct kv_engine *e, struct kv_error *err)
{
    struct run *r = &e->run;
    const struct cache_format *f = &e->format;
    if (r->tail_len < r->tail.span[0].cap) return KV_OK;
    struct cache longer = { 0 };
    int32_t *index = kv_alloc((size_t)r->tail_len, sizeof *index);
    enum kv_status status = index ? cache_init(&longer, f, err)
                                  : kv_fail(err, KV_NO_MEMORY, "No memory to move %d tokens.", r->tail_len);
    if (!status) status = cache_alloc(&longer, step_tail_cap(e), err);
    for (int i = 0; i < r->tail_len && index; i++) index[i] = i;
    for (int l = 0; l < f->n_layer && !status; l++) {
        const struct kv_seq from = { .prefix = r->tail.span[l] };
        status = f->be->gather(
            f->ctx, &from, f->type, f->n_kv_head, f->head_dim, index, r->tail_len, &longer.span[l], err);
    }
    free(index);
    if (status) {
        cache_free(&longer);
        return status;
    }
    cache_free(&r->tail);
    r->tail = longer;
    return machine_reserve(&e->machine, 0, e->n + step_tail_cap(e) + 1, err);
}

/* The statistics of a run that compresses again have a row for every token, whatever became of its keys. */
static enum kv_status grow_tally(struct kv_engine *e, struct kv_error *err)
{
    const struct run *r = &e->run;
    int want = e->n + step_tail_cap(e), seen = run_seen(r);
    if (!r->tally || seen < r->tally->n) return KV_OK;
    return tally_grow(r->tally, want > seen ? want : seen + KV_LAST_ROWS, e->machine.rows, err);
}

/* Lays out the rows of the pass under the cursor. */
static enum kv_status begin_pass(struct kv_engine *e, struct kv_error *err)
{
    bool prefill = e->at.phase == KV_PHASE_prefill, decode = e->at.phase == KV_PHASE_decode;
    struct run *r = &e->run;
    int rows = step_rows(e), first = decode ? 0 : e->at.pass * e->used.segment;
    int start = prefill ? first : run_seen(r);
    if (decode) {
        enum kv_status status = grow_tail(e, err);
        if (!status) status = grow_tally(e, err);
        if (status) return status;
    }
    if (prefill) {
        enum kv_status status = past_sums(e, err);
        if (status) return status;
    }
    const int32_t *ids = prefill ? e->ids + first : decode ? &r->reply[r->n_reply - 1] : e->question + first;
    memcpy(e->row_id, ids, (size_t)rows * sizeof *ids);
    for (int i = 0; i < rows; i++) e->row_pos[i] = start + i;
    e->pass = (struct pass){ .m = &e->machine, .ids = e->row_id, .pos = e->row_pos, .n = rows, .n_seq = 1 };
    e->pass.seq[0] = prefill ? (struct pass_seq){ .tail = e->resident.span, .tail_step = 1, .n = rows }
                             : (struct pass_seq){ r->prefix.span, r->tail.span, 1, 1, rows, r->shift };
    if (prefill || r->tally) record_begin_pass(prefill ? &e->record : r->tally, &e->pass, start);
    return KV_OK;
}

static enum kv_status add_reply(struct run *r, int32_t token, struct kv_error *err)
{
    if (r->n_reply == r->reply_cap) {
        int cap = r->reply_cap ? 2 * r->reply_cap : 256;
        int32_t *reply = realloc(r->reply, (size_t)cap * sizeof *reply);
        if (!reply) return kv_fail(err, KV_NO_MEMORY, "No memory for a reply of %d tokens.", cap);
        r->reply = reply;
        r->reply_cap = cap;
    }
    r->reply[r->n_reply++] = token;
    return KV_OK;
}

enum kv_status step_reply(struct kv_engine *e, const int32_t *token, int n, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    e->run.n_reply = 0;
    for (int t = 0; t < n && !status; t++) status = add_reply(&e->run, token[t], err);
    return status;
}

static enum kv_status draw_token(
    const struct kv_engine *e, const float *logits, struct sampler *sampler, int32_t *token, struct kv_error *err)
{
    const struct sampling how = { (float)e->set.temperature, e->set.top_k, (float)e->set.top_p,
        (float)e->set.min_p };
    return sample_token(logits, e->model->shape.n_vocab, &how, sampler, token, err);
}

enum kv_status engine_logits(struct kv_engine *e, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    size_t bytes = (size_t)e->model->shape.n_vocab * sizeof(float);
    if (!e->logits_owed) return KV_OK;
    enum kv_status status = m->be->read(m->ctx, e->logits, e->sampled, bytes, err);
    if (!status) e->logits_owed = false;
    return status;
}

/* The logits just made become the last ones; from a device they come when somebody looks. */
static enum kv_status keep_logits(struct kv_engine *e, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    size_t bytes = (size_t)e->model->shape.n_vocab * sizeof(float);
    if (!e->sampled) return m->be->read(m->ctx, e->logits, m->logits, bytes, err);
    enum kv_status status = m->be->copy(m->ctx, e->sampled, m->logits, bytes, err);
    if (!status) e->logits_owed = true;
    return status || e->at.phase != KV_PHASE_prefill ? status : engine_logits(e, err);
}

/* Greedy decoding takes the largest logit where it lies; what is no number is looked at on the host. */
static enum kv_status next_token(struct kv_engine *e, struct sampler *sampler, int32_t *token, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    int best = -1;
    enum kv_status status = KV_OK;
    if (e->logits_owed && e->set.temperature <= 0 && m->be->argmax)
        status = m->be->argmax(m->ctx, e->sampled, (size_t)e->model->shape.n_vocab, &best, err);
    *token = best;
    if (status || best >= 0) return status;
    status = engine_logits(e, err);
    return status ? status : draw_token(e, e->logits, sampler, token, err);
}

static enum kv_status stage_sample(struct kv_engine *e, struct kv_error *err)
{
    size_t bytes = (size_t)e->model->shape.n_vocab * sizeof(float);
    int32_t token;
    enum kv_status status = keep_logits(e, err);
    if (!status && past_again(e)) {
        token = e->past.token[e->run.n_reply];
        e->run.sampler = e->past.drawn[e->run.n_reply];
    } else if (!status) {
        struct sampler next = e->run.sampler;
        status = next_token(e, &next, &token, err);
        if (!status) status = past_token(&e->past, e->run.n_reply, token, &next, err);
        if (!status) e->run.sampler = next;
    }
    if (!status) status = add_reply(&e->run, token, err);
    if (!status && e->at.phase == KV_PHASE_prefill) memcpy(e->prefill_logits, e->logits, bytes);
    return status;
}

/* What stages take besides; of a reply only where it is compressed again. */
static enum kv_status observe(struct kv_engine *e, int layer, struct kv_error *err)
{
    const struct run *r = &e->run;
    if (e->at.phase == KV_PHASE_prefill)
        return record_observe(&e->record, &e->pass, layer, e->at.pass * e->used.segment, err);
    if (!r->tally) return KV_OK;
    int slots = e->sel.n_kept[selection_row(&e->sel, layer, 0)] + r->tail_len;
    return tally_observe(r->tally, &e->pass, layer, run_seen(r), slots, err);
}

static enum kv_status observe_residual(struct kv_engine *e, int layer, struct kv_error *err)
{
    const struct run *r = &e->run;
    if (e->at.phase == KV_PHASE_prefill)
        return record_residual(&e->record, &e->pass, layer, e->at.pass * e->used.segment, err);
    return r->tally ? record_residual(r->tally, &e->pass, layer, run_seen(r), err) : KV_OK;
}

static enum kv_status compress_stage(struct kv_engine *e, const struct plan_item *item, struct kv_error *err)
{
    const struct compression c = { e, &e->run, &e->sel, e->at.pass, step_tail_cap(e) };
    if (item->stage == KV_STAGE_select) return compress_select(&c, item->layer, err);
    if (item->stage == KV_STAGE_gather) return compress_gather(&c, item->layer, err);
    const struct decision *d = &e->past.decision[c.number];
    bool again = past_again(e);
    const struct kv_policy policy = again ? d->policy : e->set.policy;
    uint64_t seed = again ? d->seed : (uint64_t)e->set.seed;
    struct pins *pins = again ? d->pins : e->pins;
    enum kv_status status = compress_allocate(&c, &policy, seed, pins, err);
    if (!status) past_decide(&e->past, c.number, &policy, seed, pins);
    return status;
}

static enum kv_status run_item(struct kv_engine *e, const struct plan_item *item, struct kv_error *err)
{
    enum kv_status status;
    switch (item->stage) {
    case KV_STAGE_embed:
        status = begin_pass(e, err);
        return status ? status : pass_stage(&e->pass, KV_STAGE_embed, -1, err);
    case KV_STAGE_observe: return observe(e, item->layer, err);
    case KV_STAGE_oproj:
        status = pass_stage(&e->pass, KV_STAGE_oproj, item->layer, err);
        return status ? status : observe_residual(e, item->layer, err);
    case KV_STAGE_head: return pass_head(&e->pass, e->pass.n - 1, 1, 0, err);
    case KV_STAGE_sample: return stage_sample(e, err);
    case KV_STAGE_allocate:
    case KV_STAGE_select:
    case KV_STAGE_gather: return compress_stage(e, item, err);
    default: return pass_stage(&e->pass, item->stage, item->layer, err);
    }
}

static void report(struct kv_engine *e, const struct plan_item *item)
{
    double n_layer = e->model->shape.n_layer;
    if (item->stage == KV_STAGE_ffn && e->at.phase != KV_PHASE_decode) {
        bool prefill = e->at.phase == KV_PHASE_prefill;
        double before = (double)e->at.pass * e->used.segment;
        engine_progress(e, kv_phase_name[e->at.phase], before + step_rows(e) * (item->layer + 1) / n_layer,
            prefill ? e->n : e->n_question);
    } else if (item->stage == KV_STAGE_gather)
        engine_progress(e, kv_phase_name[e->at.phase], item->layer + 1, n_layer);
}

/* The boundary just reached; what is run again does not count as time spent. */
static void keep_past(struct kv_engine *e)
{
    struct past *p = &e->past;
    if (e->at.tick <= p->highest) return;
    p->highest = e->at.tick;
    if (e->at.phase == KV_PHASE_done) p->done = e->at.tick;
}

/* Whether a pass that is about to begin has no place any more: decode.tokens was lowered since the last token was drawn.
 * That boundary leads to the end with a tick of its own. */
static bool cut_short(const struct kv_engine *e)
{
    if (e->at.phase != KV_PHASE_decode || e->item) return false;
    return past_again(e) ? e->at.tick + 1 == e->past.done : e->run.n_reply >= e->set.tokens;
}

enum kv_status step_stage(struct kv_engine *e, struct kv_error *err)
{
    const struct plan *plan = step_plan(e);
    if (!plan) return kv_fail(err, KV_NOT_NOW, "The request is done.");
    if (cut_short(e)) {
        e->at.tick++;
        step_begin_phase(e, KV_PHASE_done);
        keep_past(e);
        return KV_OK;
    }
    const struct plan_item *item = &plan->item[e->item];
    struct kv_time *time = &e->time[e->at.phase];
    double begin = kv_now_us();
    enum kv_status status = run_item(e, item, err);
    bool again = past_again(e);
    e->stage_us[e->item] = kv_now_us() - begin;
    if (!again) time->us += e->stage_us[e->item];
    if (status) return status;
    report(e, item);
    e->at.tick++;
    if (++e->item < plan->n) {
        point(e);
        keep_past(e);
        return KV_OK;
    }
    status = record_settle(&e->record, err);
    if (!status && e->run.tally) status = record_settle(e->run.tally, err);
    if (status) return status;
    if (e->at.phase != KV_PHASE_compress && !again) time->tokens += e->pass.n;
    if (e->at.phase == KV_PHASE_ask || e->at.phase == KV_PHASE_decode) e->run.tail_len += e->pass.n;
    if (e->at.phase == KV_PHASE_decode) e->run.since++;
    status = next_pass(e, err);
    keep_past(e);
    return status;
}

static bool reached(const struct kv_where *from, const struct kv_where *to, enum kv_unit unit)
{
    if (to->phase != from->phase || to->phase == KV_PHASE_done) return true;
    switch (unit) {
    case KV_UNIT_STAGE: return true;
    case KV_UNIT_LAYER: return to->layer != from->layer || to->pass != from->pass;
    case KV_UNIT_PASS: return to->pass != from->pass;
    default: return false;
    }
}

enum kv_status kv_step(struct kv_engine *e, enum kv_unit unit, struct kv_error *err)
{
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    if (engine_need_live(e, err)) return err->code;
    if (e->past.cut && past_again(e)) {
        past_cut(e);
        e->at.branch++;
    }
    e->past.cut = false;
    const struct kv_where from = e->at;
    enum kv_status status = KV_OK;
    e->far = unit >= KV_UNIT_PASS;
    do status = engine_stopped(e) ? kv_fail(err, KV_STOPPED, "Stopped on request.") : step_stage(e, err);
    while (!status && !reached(&from, &e->at, unit));
    e->far = false;
    return status;
}

enum kv_status kv_recompress(struct kv_engine *e, struct kv_error *err)
{
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (status) return status;
    int branch = e->at.branch + 1;
    if (e->in_place && e->at.tick > e->compress_tick) {
        status = engine_begin(e, err);
        if (!status) e->at.branch = branch;
        if (!status) past_cut(e);
        e->past.seeded = e->run.sampler;
        while (!status && e->at.phase == KV_PHASE_prefill) status = kv_step(e, KV_UNIT_PASS, err);
        if (status) return status;
    }
    struct sampler sampler;
    int32_t first;
    sampler_seed(&sampler, (uint64_t)e->set.seed);
    const struct sampler seeded = sampler;
    if (!e->n_question) status = draw_token(e, e->prefill_logits, &sampler, &first, err);
    if (!status && !e->n_question) status = past_token(&e->past, 0, first, &sampler, err);
    if (status) return status;
    run_drop_caches(&e->run);
    selection_reset(&e->sel, e->model->shape.n_layer);
    twin_free(&e->twin);
    e->run.n_reply = 0;
    e->run.sampler = sampler;
    e->time[KV_PHASE_compress] = e->time[KV_PHASE_ask] = e->time[KV_PHASE_decode] = (struct kv_time){ 0 };
    e->at.branch = branch;
    e->at.tick = e->compress_tick;
    status = begin_compress(e, 0, err);
    if (status) return status;
    past_cut(e);
    e->past.n = !e->n_question;
    e->past.seeded = seeded;
    e->past.cut = false;
    if (e->n_question) return KV_OK;
    memcpy(e->logits, e->prefill_logits, (size_t)e->model->shape.n_vocab * sizeof(float));
    e->logits_owed = false;
    return add_reply(&e->run, first, err);
}
