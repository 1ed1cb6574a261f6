/* Opening and closing, the prompt, the start of a request. */
#include "engine/core/parts.h"
#include "engine/state.h"

#include "engine/model/rope.h"
#include "engine/model/window.h"
#include "engine/text/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- models --------------------------------------------------------------------------------------------------- */

void kv_model_facts(const struct kv_model *model, struct kv_model_facts *facts)
{
    const struct kv_shape *s = &model->shape;
    *facts = (struct kv_model_facts){ model->path, s->arch, s->name, s->n_layer, s->hidden, s->n_ff, s->n_head,
        s->n_kv_head, s->head_dim, s->n_vocab, s->n_context, s->sliding_window, model->weight_bytes,
        model->synthetic, "", "" };
    rope_describe(s, facts->rope, sizeof facts->rope);
    window_layers(s, facts->sliding_layers, sizeof facts->sliding_layers);
}

const char *kv_model_file(const struct kv_model *model, int index)
{
    return index < model->n_file ? model->file[index] : NULL;
}

bool engine_is_end(const struct kv_engine *e, int32_t id)
{
    return model_is_end(e->model, id) || (e->tok && tok_is_end(e->tok, id));
}

/* --- engines -------------------------------------------------------------------------------------------------- */

enum kv_status kv_engine_open(const struct kv_model *model, struct kv_engine **out, struct kv_error *err)
{
    struct kv_engine *e = kv_alloc(1, sizeof *e);
    *out = NULL;
    if (!e) return kv_fail(err, KV_NO_MEMORY, "No memory for an engine.");
    e->model = model;
    settings_init(&e->set);
    e->past.limit = (size_t)256 << 20;
    /* Without a tokenizer, prompts can still be given as ids. */
    if (tok_open(&model->vocabulary, &e->tok, &e->tok_error)) e->tok = NULL;
    if (!e->tok && model->no_text.code) e->tok_error = model->no_text;
    *out = e;
    return KV_OK;
}

static void end_request(struct kv_engine *e)
{
    runs_forget(e);
    run_drop_caches(&e->run);
    cache_free(&e->resident);
    record_free(&e->record);
    selection_free(&e->sel);
    twin_free(&e->twin);
    score_forget(&e->base);
    mass_forget(&e->mass);
    free(e->full_reply.token);
    e->full_reply = (struct full_reply){ 0 };
    free(e->run.reply);
    free(e->row_id);
    free(e->row_pos);
    if (e->sampled)
        e->machine.be->release(e->machine.ctx, e->sampled, (size_t)e->model->shape.n_vocab * sizeof *e->sampled);
    e->sampled = NULL;
    e->logits_owed = false;
    free(e->logits);
    free(e->prefill_logits);
    free(e->stage_us);
    e->run = (struct run){ 0 };
    e->row_id = e->row_pos = NULL;
    e->logits = e->prefill_logits = NULL;
    e->stage_us = NULL;
    for (int i = 0; i < PLAN_KINDS; i++) plan_free(&e->plan[i]);
    memset(e->time, 0, sizeof e->time);
    e->started = false;
}

void kv_engine_close(struct kv_engine *e)
{
    if (!e) return;
    end_request(e);
    core_free(e->core);
    past_free(&e->past);
    pins_drop(e->pins);
    machine_close(&e->machine);
    tok_close(e->tok);
    free(e->ids);
    free(e->value);
    free(e);
}

void kv_describe(const struct kv_engine *e, char *text, size_t size)
{
    static const char *const precision[] = { "fast", "f32", "int8" };
    char device[320] = "not opened yet";
    if (e->core) {
        snprintf(text, size, "%s", e->core->described);
        return;
    }
    if (e->machine.be) e->machine.be->describe(e->machine.ctx, device, sizeof device);
    snprintf(text, size, "%s; %s; precision %s%s", e->machine.be ? e->backend_note : "no backend", device,
        precision[e->machine.be ? e->used.precision : e->set.precision],
        e->model->synthetic ? "; synthetic weights, timing only" : "");
}

void kv_stop(struct kv_engine *e) { atomic_store(&e->stop, true); }

bool engine_stopped(struct kv_engine *e) { return atomic_exchange(&e->stop, false); }

void kv_on_progress(struct kv_engine *e, kv_progress_fn *fn, void *ctx)
{
    e->progress = fn;
    e->progress_ctx = ctx;
}

void engine_progress(struct kv_engine *e, const char *what, double done, double total)
{
    if (e->progress) e->progress(e->progress_ctx, what, done, total);
}

enum kv_status engine_park(const struct kv_engine *e, struct parked *out, struct kv_error *err)
{
    bool under_way = e->started && !e->core && e->item > 0 && e->at.phase != KV_PHASE_compress;
    enum kv_status status = under_way ? pass_park(&e->pass, out, err) : KV_OK;
    if (!status) return KV_OK;
    free(out->host);
    out->host = NULL;
    return status;
}

enum kv_status engine_unpark(
    const struct kv_engine *e, struct parked *parked, enum kv_status status, struct kv_error *err)
{
    enum kv_status back = parked->host ? pass_unpark(&e->pass, parked, status ? NULL : err) : KV_OK;
    return status ? status : back;
}

/* --- the prompt ----------------------------------------------------------------------------------------------- */

static enum kv_status take_prompt(
    struct kv_engine *e, int32_t *ids, size_t n, size_t n_context, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    enum kv_status status = KV_OK;
    if (!n_context)
        status = kv_fail(err, KV_BAD_ARG, "The prompt is empty.");
    else if (n >= (size_t)s->n_context)
        status = kv_fail(err, KV_BAD_ARG,
            "The prompt has %zu tokens; the model's context holds %d, reply included.", n, s->n_context);
    for (size_t i = 0; i < n && !status; i++)
        if (ids[i] < 0 || ids[i] >= s->n_vocab)
            status = kv_fail(err, KV_BAD_ARG, "Token id %d is out of range; the vocabulary has %d (0-%d).", ids[i],
                s->n_vocab, s->n_vocab - 1);
    if (status) {
        free(ids);
        return status;
    }
    end_request(e);
    free(e->ids);
    e->ids = ids;
    e->n_all = (int)n;
    e->n = e->n_context = (int)n_context;
    e->question = ids + n_context;
    e->n_question = (int)(n - n_context);
    past_reset(&e->past);
    pins_set(&e->pins, NULL);
    e->prompt++;
    e->set.policy.query_aware = !e->n_question;
    return KV_OK;
}

enum kv_status kv_prompt_ids(
    struct kv_engine *e, const int32_t *ids, int n, const int32_t *question, int n_question, struct kv_error *err)
{
    size_t context = n > 0 ? (size_t)n : 0, rest = question && n_question > 0 ? (size_t)n_question : 0;
    if (engine_need_live(e, err)) return err->code;
    int32_t *all = kv_alloc(context + rest, sizeof *all);
    if (!all) return kv_fail(err, KV_NO_MEMORY, "No memory for a prompt of %zu tokens.", context + rest);
    if (context) memcpy(all, ids, context * sizeof *all);
    if (rest) memcpy(all + context, question, rest * sizeof *all);
    return take_prompt(e, all, context + rest, context, err);
}

enum kv_status engine_encode(struct kv_engine *e, const char *text, size_t bytes, const char *question,
    struct chat_ids *out, struct kv_error *err)
{
    const struct kv_vocabulary *v = &e->model->vocabulary;
    size_t begin = v->add_bos && v->bos >= 0 ? 1 : 0, n = 0, n_rest = 0;
    int32_t *ids = NULL, *rest = NULL;
    char *tail = NULL;
    enum kv_status status = tok_encode(e->tok, text, bytes, false, &ids, &n, err);
    if (!status && question) {
        if (asprintf(&tail, "\n\n%s", question) < 0) {
            tail = NULL;
            status = kv_fail(err, KV_NO_MEMORY, "No memory for the question.");
        } else
            status = tok_encode_part(
                e->tok, tail, strlen(tail), &(struct tok_part){ .continues = true }, &rest, &n_rest, err);
    }
    *out = (struct chat_ids){ status ? NULL : kv_alloc(begin + n + n_rest, sizeof *ids), begin + n + n_rest,
        begin + n };
    if (!status && !out->ids)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for a prompt of %zu tokens.", begin + n + n_rest);
    if (!status) {
        if (begin) out->ids[0] = v->bos;
        memcpy(out->ids + begin, ids, n * sizeof *ids);
        if (rest) memcpy(out->ids + begin + n, rest, n_rest * sizeof *ids);
    }
    free(ids);
    free(rest);
    free(tail);
    return status;
}

enum kv_status kv_prompt_text(
    struct kv_engine *e, const char *text, size_t bytes, const char *question, bool chat, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    if (!e->tok) return kv_fail(err, e->tok_error.code, "%s", e->tok_error.text);
    if (!bytes) return kv_fail(err, KV_BAD_ARG, "The prompt is empty.");
    if (question && !*question) question = NULL;
    struct chat_ids out = { 0 };
    const struct chat_prompt prompt = { .context = { text, bytes },
        .question = { question, question ? strlen(question) : 0 } };
    enum kv_status status = chat ? chat_encode(e->tok, &e->model->vocabulary, &prompt, &out, err)
                                 : engine_encode(e, text, bytes, question, &out, err);
    return status ? status : take_prompt(e, out.ids, out.n, question ? out.n_context : out.n, err);
}

const char *kv_token_bytes(const struct kv_engine *e, int32_t id, size_t *length)
{
    *length = 0;
    return e->tok ? tok_piece(e->tok, id, length) : NULL;
}

char *kv_tokens_text(const struct kv_engine *e, const int32_t *ids, int n)
{
    struct tok_stream stream = { 0 };
    struct kv_error ignored;
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    if (!out) return NULL;
    for (int i = 0; i <= n && e->tok; i++) {
        const char *text;
        size_t bytes;
        enum kv_status status = i < n ? tok_stream_put(&stream, e->tok, ids[i], &text, &bytes, &ignored)
                                      : tok_stream_flush(&stream, &text, &bytes, &ignored);
        if (!status) fwrite(text, 1, bytes, out);
    }
    tok_stream_close(&stream);
    if (fclose(out)) {
        free(all);
        return NULL;
    }
    return all;
}

/* --- starting ------------------------------------------------------------------------------------------------- */

static bool same_machine(const struct settings *a, const struct settings *b)
{
    return a->backend == b->backend && a->precision == b->precision && a->kv == b->kv && a->threads == b->threads &&
           a->sliding == b->sliding;
}

static enum kv_status open_machine(struct kv_engine *e, struct kv_error *err)
{
    static const int kv_type[] = { KV_TYPE_F16, KV_TYPE_F32, KV_TYPE_BF16 };
    const struct kv_shape *s = &e->model->shape;
    const struct settings *set = &e->set;
    const struct kv_backend *be;
    if (e->machine.be && same_machine(set, &e->used)) return KV_OK;
    machine_close(&e->machine);
    enum kv_status status = backend_pick(set, &be, e->backend_note, sizeof e->backend_note, err);
    if (status) return status;
    const struct kv_backend_options options = { .precision = (enum kv_precision)set->precision,
        .threads = set->threads > 0 ? set->threads : 0 };
    int type = set->precision == KV_PRECISION_F32 ? KV_TYPE_F32 : kv_type[set->kv];
    status = machine_open(&e->machine, e->model, be, &options, type, set->sliding, err);
    if (status && backend_instead(set, &be, e->backend_note, sizeof e->backend_note, err))
        status = machine_open(&e->machine, e->model, be, &options, type, set->sliding, err);
    if (!status && e->time_ops && be->time_ops) status = be->time_ops(e->machine.ctx, true, err);
    e->format = (struct cache_format){ be, e->machine.ctx, type, s->n_layer, s->n_kv_head, s->head_dim };
    return status;
}

static enum kv_status alloc_request(struct kv_engine *e, int rows, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    e->row_id = kv_alloc((size_t)rows, sizeof *e->row_id);
    e->row_pos = kv_alloc((size_t)rows, sizeof *e->row_pos);
    e->logits = kv_alloc((size_t)s->n_vocab, sizeof *e->logits);
    e->prefill_logits = kv_alloc((size_t)s->n_vocab, sizeof *e->prefill_logits);
    if (!e->row_id || !e->row_pos || !e->logits || !e->prefill_logits)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the rows and logits of a request.");
    if (!e->machine.be->on_host) {
        e->sampled = e->machine.be->alloc(e->machine.ctx, (size_t)s->n_vocab * sizeof *e->sampled);
        if (!e->sampled) return kv_fail(err, KV_NO_MEMORY, "No memory for %d logits.", s->n_vocab);
    }
    enum kv_status status = KV_OK;
    for (int i = 0; i < PLAN_KINDS && !status; i++)
        status = plan_build((enum plan_kind)i, s->n_layer, &e->plan[i], err);
    e->stage_us = status ? NULL : kv_alloc((size_t)e->plan[PLAN_GENERATE].n, sizeof *e->stage_us);
    if (!status && !e->stage_us) status = kv_fail(err, KV_NO_MEMORY, "No memory for the times of a pass.");
    if (!status) status = cache_init(&e->resident, &e->format, err);
    if (!status) status = cache_alloc(&e->resident, e->n, err);
    if (!status) status = selection_init(&e->sel, s->n_layer, e->n, err);
    unsigned needs = KV_NEED_ENTROPY | (e->used.stats_all ? policy_needs_all() : policy_needs(&e->used.policy));
    if (!status) status = record_init(&e->record, &e->machine, needs, e->n, rows, err);
    return status;
}

enum kv_status engine_begin(struct kv_engine *e, struct kv_error *err)
{
    end_request(e);
    e->in_place = !e->used.snapshot;
    e->n = e->used.policy.query_aware ? e->n_all : e->n_context;
    e->question = e->ids + e->n;
    e->n_question = e->n_all - e->n;
    int rows = e->used.segment > KV_LAST_ROWS ? e->used.segment : KV_LAST_ROWS;
    int reply = e->set.tokens > e->set.judge_tokens ? e->set.tokens : e->set.judge_tokens;
    int room = e->model->shape.n_context - e->n_all;
    enum kv_status status = machine_reserve(&e->machine, rows, e->n_all + (reply < room ? reply : room) + 1, err);
    if (!status) status = alloc_request(e, rows, err);
    if (status) {
        end_request(e);
        return status;
    }
    sampler_seed(&e->run.sampler, (uint64_t)e->set.seed);
    e->at = (struct kv_where){ 0 };
    e->started = true;
    step_begin_phase(e, KV_PHASE_prefill);
    return KV_OK;
}

static void take_settings(struct kv_engine *e)
{
    e->used = e->set;
    e->used.segment = engine_segment(e);
}

enum kv_status engine_machine(struct kv_engine *e, struct kv_error *err)
{
    if (e->started) return KV_OK;
    enum kv_status status = open_machine(e, err);
    if (!status) take_settings(e);
    return status;
}

/* A device that is lost takes no request: the old one stays, to be looked at. */
static enum kv_status check_device(struct kv_engine *e, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    if (!m->be || m->be->on_host || !same_machine(&e->set, &e->used)) return KV_OK;
    return m->be->sync(m->ctx, err);
}

enum kv_status kv_start(struct kv_engine *e, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    if (!e->n_all) return kv_fail(err, KV_NOT_NOW, "No prompt: use the prompt command or the option -p.");
    if (check_device(e, err)) return err->code;
    end_request(e);
    enum kv_status status = open_machine(e, err);
    if (!status) status = engine_check_memory(e, err);
    if (status) return status;
    take_settings(e);
    past_reset(&e->past);
    status = engine_begin(e, err);
    e->past.seeded = e->run.sampler;
    return status;
}

void kv_end(struct kv_engine *e)
{
    end_request(e);
    past_reset(&e->past);
    e->n = e->n_context;
    e->question = e->ids + e->n;
    e->n_question = e->n_all - e->n;
}

bool kv_started(const struct kv_engine *e) { return e->started; }

void kv_where(const struct kv_engine *e, struct kv_where *where)
{
    *where = e->at;
    if (!e->started) *where = (struct kv_where){ .phase = KV_PHASE_load, .layer = -1, .stage = KV_STAGE_COUNT };
}

enum kv_status engine_need_live(const struct kv_engine *e, struct kv_error *err)
{
    return e->core && e->started ? kv_fail(err, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN) : KV_OK;
}

enum kv_status engine_need_prefill(const struct kv_engine *e, struct kv_error *err)
{
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    if (e->at.phase > KV_PHASE_prefill) return KV_OK;
    return kv_fail(err, KV_NOT_NOW, "The prefill is not complete yet (now in prefill:%d).", e->at.pass);
}

enum kv_status engine_need_compressed(const struct kv_engine *e, struct kv_error *err)
{
    enum kv_status status = engine_need_prefill(e, err);
    if (status || where_compressed(&e->at)) return status;
    return kv_fail(err, KV_NOT_NOW, "The cache is not compressed yet (now in compress:%d).", e->at.pass);
}
