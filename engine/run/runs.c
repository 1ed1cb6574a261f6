/* Runs beside the selected one: everything that came of the prefill, put aside and taken up again. What the prefill left
 * (its keys and values, its record, its column sums) belongs to all and stays where it is. */
#include "engine/runs.h"

#include <stdlib.h>
#include <string.h>

#include "engine/run/line.h"

struct other_run {
    int number;
    struct settings set;
    struct pins *pins;
    struct kv_where at;
    int item;
    struct pass pass;
    struct parked parked;      /* activations of a pass under way */
    int32_t *row_id, *row_pos; /* of that pass */
    struct selection sel;
    struct run run;
    float *logits;
    struct kv_time time[KV_PHASE_COUNT];
    double *stage_us;
    struct past past; /* without column sums */
    struct twin_result twin;
};

int kv_run_selected(const struct kv_engine *e) { return e->number ? e->number : 1; }

static int last_number(const struct kv_engine *e) { return e->last_number ? e->last_number : KV_RUN_FULL; }

int kv_runs(const struct kv_engine *e, int *number, int room)
{
    int n = 0, selected = kv_run_selected(e);
    for (int want = 1; want <= last_number(e); want++) {
        bool there = want == selected;
        for (int i = 0; i < e->n_others; i++) there = there || e->others[i].number == want;
        if (there && n < room) number[n] = want;
        n += there;
    }
    return n;
}

/* --- putting aside ----------------------------------------------------------------------------------------------- */

static void other_free(struct other_run *o)
{
    pins_drop(o->pins);
    free(o->parked.host);
    free(o->row_id);
    free(o->row_pos);
    selection_free(&o->sel);
    run_drop_caches(&o->run);
    free(o->run.reply);
    free(o->logits);
    free(o->stage_us);
    o->past.n_sums = 0;
    o->past.sums = NULL;
    past_free(&o->past);
    twin_free(&o->twin);
    *o = (struct other_run){ 0 };
}

/* Exchanges what the engine has of a run for what *o holds. */
static void exchange(struct kv_engine *e, struct other_run *o)
{
    struct other_run mine = { .number = kv_run_selected(e),
        .set = e->set,
        .pins = e->pins,
        .at = e->at,
        .item = e->item,
        .pass = e->pass,
        .row_id = e->row_id,
        .row_pos = e->row_pos,
        .sel = e->sel,
        .run = e->run,
        .logits = e->logits,
        .stage_us = e->stage_us,
        .past = e->past,
        .twin = e->twin };
    memcpy(mine.time, e->time, sizeof mine.time);
    memcpy(e->time, o->time, sizeof mine.time);
    e->number = o->number;
    e->set = o->set;
    e->pins = o->pins;
    e->at = o->at;
    e->item = o->item;
    e->pass = o->pass;
    e->row_id = o->row_id;
    e->row_pos = o->row_pos;
    e->sel = o->sel;
    e->run = o->run;
    e->logits = o->logits;
    e->stage_us = o->stage_us;
    e->past = o->past;
    e->past.sums = mine.past.sums;
    e->past.n_sums = mine.past.n_sums;
    e->past.bytes = mine.past.bytes;
    e->past.limit = mine.past.limit;
    e->twin = o->twin;
    *o = mine;
}

/* The selected run changes places with *o, activations and all. */
static enum kv_status take_up(struct kv_engine *e, struct other_run *o, struct kv_error *err)
{
    struct parked mine = { NULL }, theirs = o->parked;
    enum kv_status status = engine_logits(e, err);
    if (!status) status = engine_park(e, &mine, err);
    if (status) return status;
    exchange(e, o);
    o->parked = mine;
    return engine_unpark(e, &theirs, KV_OK, err);
}

void runs_forget(struct kv_engine *e)
{
    for (int i = 0; i < e->n_others; i++) other_free(&e->others[i]);
    free(e->others);
    e->others = NULL;
    e->n_others = e->number = e->last_number = 0;
}

static struct other_run *find(const struct kv_engine *e, int number)
{
    for (int i = 0; i < e->n_others; i++)
        if (e->others[i].number == number) return &e->others[i];
    return NULL;
}

static enum kv_status no_such_run(int number, struct kv_error *err)
{
    return kv_fail(err, KV_NOT_FOUND, "No run number %d.", number);
}

/* --- cloning ----------------------------------------------------------------------------------------------------- */

static enum kv_status need_shared(const struct kv_engine *e, struct kv_error *err)
{
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (!status && e->in_place)
        status = kv_fail(err, KV_NOT_NOW,
            "The prefill's keys and values are not kept for another run: set engine.snapshot on, then run again.");
    return status;
}

/* Branches are numbered over all runs, so that a place of one is none of another's. */
static int last_branch(const struct kv_engine *e)
{
    int last = e->at.branch;
    for (int i = 0; i < e->n_others; i++)
        if (e->others[i].at.branch > last) last = e->others[i].at.branch;
    return last;
}

static enum kv_status fresh(struct kv_engine *e, struct other_run *o, struct kv_error *err)
{
    int rows = e->used.segment > KV_LAST_ROWS ? e->used.segment : KV_LAST_ROWS;
    *o = (struct other_run){ .number = last_number(e) + 1, .set = e->set, .pins = pins_hold(e->pins) };
    o->at = (struct kv_where){ KV_PHASE_compress, 0, -1, KV_STAGE_allocate, e->compress_tick, last_branch(e) };
    memcpy(o->time, e->time, sizeof o->time);
    past_reset(&o->past);
    o->row_id = kv_alloc((size_t)rows, sizeof *o->row_id);
    o->row_pos = kv_alloc((size_t)rows, sizeof *o->row_pos);
    o->logits = kv_alloc((size_t)e->model->shape.n_vocab, sizeof *o->logits);
    o->stage_us = kv_alloc((size_t)e->plan[PLAN_GENERATE].n, sizeof *o->stage_us);
    if (!o->row_id || !o->row_pos || !o->logits || !o->stage_us)
        return kv_fail(err, KV_NO_MEMORY, "No memory for another run.");
    return selection_init(&o->sel, e->model->shape.n_layer, e->n, err);
}

enum kv_status kv_run_fork(struct kv_engine *e, int *number, struct kv_error *err)
{
    enum kv_status status = need_shared(e, err);
    if (status) return status;
    struct other_run *list = realloc(e->others, ((size_t)e->n_others + 1) * sizeof *list);
    if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory for another run.");
    e->others = list;
    struct other_run *o = &list[e->n_others];
    status = fresh(e, o, err);
    if (!status) status = take_up(e, o, err);
    if (status) {
        other_free(o);
        return status;
    }
    e->n_others++;
    e->last_number = e->number;
    status = kv_recompress(e, err);
    if (status) {
        struct kv_error ignored;
        int failed = e->number;
        take_up(e, o, &ignored);
        kv_run_drop(e, failed, &ignored);
        return status;
    }
    *number = e->number;
    return KV_OK;
}

enum kv_status kv_run_clone(struct kv_engine *e, int *number, struct kv_error *err)
{
    struct kv_mark *mark;
    enum kv_status status = need_shared(e, err);
    if (!status) status = kv_mark_take(e, &mark, err);
    if (status) return status;
    int from = kv_run_selected(e);
    status = kv_run_fork(e, number, err);
    if (!status) {
        status = kv_mark_go(e, mark, err);
        if (status && status != KV_STOPPED) {
            struct kv_error ignored;
            kv_run_select(e, from, &ignored);
            kv_run_drop(e, *number, &ignored);
        }
    }
    kv_mark_free(mark);
    return status;
}

enum kv_status kv_run_select(struct kv_engine *e, int number, struct kv_error *err)
{
    enum kv_status status = engine_need_live(e, err);
    if (status || number == kv_run_selected(e)) return status;
    if (number == KV_RUN_FULL)
        return kv_fail(err, KV_BAD_ARG, "Run 2 is the twin on the full cache: it is compared with, not selected.");
    struct other_run *o = find(e, number);
    if (!o) return no_such_run(number, err);
    if (e->at.phase == KV_PHASE_prefill)
        return kv_fail(
            err, KV_NOT_NOW, "The prefill of all runs is being repeated (now in prefill:%d).", e->at.pass);
    return take_up(e, o, err);
}

enum kv_status kv_run_drop(struct kv_engine *e, int number, struct kv_error *err)
{
    if (number == kv_run_selected(e))
        return kv_fail(err, KV_BAD_ARG, "Run %d is selected: select another one first.", number);
    if (number == KV_RUN_FULL)
        return kv_fail(err, KV_BAD_ARG, "Run 2 is the twin on the full cache: it takes nothing.");
    struct other_run *o = find(e, number);
    if (!o) return no_such_run(number, err);
    other_free(o);
    memmove(o, o + 1, (size_t)(e->others + e->n_others - o - 1) * sizeof *o);
    e->n_others--;
    if (number == e->last_number) e->last_number--; /* nobody has seen more of a fork that was only tried */
    return KV_OK;
}

/* --- looking ----------------------------------------------------------------------------------------------------- */

enum kv_status runs_prefix(const struct kv_engine *e, int number, const struct kv_span **out,
    struct line_like *again, const int32_t **shift, struct kv_error *err)
{
    const struct other_run *o = number == kv_run_selected(e) ? NULL : find(e, number);
    *again = (struct line_like){ 0 };
    *shift = NULL;
    if (number == KV_RUN_FULL) {
        *out = e->resident.span;
        return KV_OK;
    }
    if (!o && number != kv_run_selected(e)) return no_such_run(number, err);
    const struct kv_where *at = o ? &o->at : &e->at;
    *out = o ? o->run.prefix.span : e->run.prefix.span;
    *shift = o ? o->run.shift : e->run.shift;
    if ((o ? &o->run : &e->run)->tally)
        *again =
            o ? (struct line_like){ &o->past, &o->set, o->pins } : (struct line_like){ &e->past, &e->set, e->pins };
    if (where_compressed(at)) return KV_OK;
    return kv_fail(err, KV_NOT_NOW, "The cache of run %d is not compressed yet (now in %s:%d).", number,
        kv_phase_name[at->phase], at->pass);
}

/* A look through kv_policy_title at the run where it stands: by exchange, which moves pointers and nothing else. */
enum kv_status kv_run_look(struct kv_engine *e, int number, struct kv_run_facts *out, struct kv_error *err)
{
    struct other_run *o = number == kv_run_selected(e) ? NULL : find(e, number);
    if (!o && number != kv_run_selected(e)) return no_such_run(number, err);
    if (o) exchange(e, o);
    *out = (struct kv_run_facts){ .where = e->at,
        .active = cache_bytes(&e->run.prefix) + cache_bytes(&e->run.tail) + cache_bytes(&e->run.fresh),
        .n_reply = e->run.n_reply,
        .compressed = where_compressed(&e->at) };
    kv_policy_title(e, e->sel.allocated ? KV_POLICY_COMPRESSED : KV_POLICY_NOW, out->policy, sizeof out->policy);
    if (o) exchange(e, o);
    return KV_OK;
}
