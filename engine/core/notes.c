/* The notes of a core file: model, place, settings, costs. */
#include "engine/core/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/look.h"
#include "engine/model/window.h"
#include "engine/text/utf8.h"

/* A copy that is valid UTF-8; NULL = no memory. */
static char *well_formed(const char *text)
{
    size_t n = strlen(text), at = 0, used;
    char *out = malloc(3 * n + 1);
    for (size_t i = 0; out && i < n; i += used) {
        bool good = utf8_next(text + i, n - i, &used) == UTF8_GOOD;
        memcpy(out + at, good ? text + i : "\xEF\xBF\xBD", good ? used : 3);
        at += good ? used : 3;
    }
    if (out) out[at] = '\0';
    return out;
}

static enum kv_status note(struct core_plan *p, const char *key, const char *text, struct kv_error *err)
{
    bool room = p->n_note < CORE_MOST_NOTES;
    char *name = room ? kv_strdup(key) : NULL, *copy = room ? well_formed(text) : NULL;
    if (!name || !copy) {
        free(name);
        free(copy);
        return kv_fail(err, KV_NO_MEMORY, "No memory for the metadata of a core file.");
    }
    p->text[p->n_text++] = name;
    p->text[p->n_text++] = copy;
    p->note[p->n_note++] = (struct st_note){ name, copy };
    return KV_OK;
}

enum kv_status core_note_number(struct core_plan *p, const char *key, long long n, struct kv_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", n);
    return note(p, key, text, err);
}

static enum kv_status note_model(struct core_plan *p, struct kv_error *err)
{
    struct kv_model_facts f;
    kv_model_facts(p->e->model, &f);
    const struct {
        const char *key;
        long long n;
    } whole[] = { { "model.layers", f.n_layer }, { "model.hidden", f.hidden }, { "model.ffn", f.n_ff },
        { "model.heads", f.n_head }, { "model.kv-heads", f.n_kv_head }, { "model.head-dim", f.head_dim },
        { "model.vocabulary", f.n_vocab }, { "model.context", f.n_context },
        { "model.sliding-window", f.sliding_window }, { "model.weight-bytes", (long long)f.weight_bytes } };
    char windowed[WINDOW_TEXT];
    window_layers(&p->e->model->shape, windowed, sizeof windowed);
    enum kv_status status = note(p, "model.path", f.path, err);
    if (!status) status = note(p, "model.rope", f.rope, err);
    if (!status) status = note(p, "model.sliding-layers", windowed, err);
    if (!status) status = note(p, "model.arch", f.arch, err);
    if (!status) status = note(p, "model.name", f.name, err);
    if (!status) status = note(p, "model.synthetic", f.synthetic ? "on" : "off", err);
    for (size_t i = 0; i < KV_COUNT(whole) && !status; i++)
        status = core_note_number(p, whole[i].key, whole[i].n, err);
    return status;
}

static enum kv_status note_place(struct core_plan *p, struct kv_error *err)
{
    const struct kv_engine *e = p->e;
    const struct kv_where *w = &e->at;
    enum kv_status status = note(p, "phase", kv_phase_name[w->phase], err);
    if (!status) status = core_note_number(p, "pass", w->pass, err);
    if (!status) status = core_note_number(p, "layer", w->layer, err);
    if (!status) status = note(p, "stage", w->phase == KV_PHASE_done ? "" : kv_stage_name[w->stage], err);
    if (!status) status = core_note_number(p, "tick", (long long)w->tick, err);
    if (!status) status = core_note_number(p, "branch", w->branch, err);
    if (!status) status = core_note_number(p, "segment", kv_pass_rows(e), err);
    if (!status)
        status = core_note_number(p, "tail", e->run.base > e->n ? run_seen(&e->run) - e->n : e->run.tail_len, err);
    if (!status) status = core_note_number(p, "history.compress", (long long)e->compress_tick, err);
    if (!status) status = core_note_number(p, "history.highest", (long long)e->past.highest, err);
    if (!status) status = core_note_number(p, "history.bytes", (long long)e->past.bytes, err);
    return status ? status : core_note_number(p, "history.limit", (long long)e->past.limit, err);
}

/* Settings as they are, and the policy that compress ran with. */
static enum kv_status note_settings(struct core_plan *p, struct kv_error *err)
{
    const struct kv_setting *row;
    const struct setting *policy;
    char value[200], key[80];
    enum kv_status status = KV_OK;
    for (int i = 0; !status && (row = kv_setting_at(i)); i++) {
        snprintf(key, sizeof key, "%s", row->name);
        status = kv_get(p->e, key, value, sizeof value, err);
        if (!status && strcmp(value, "unset")) status = note(p, key, value, err);
    }
    for (int i = 0; p->e->sel.allocated && !status && (policy = policy_setting_at(i)); i++) {
        snprintf(key, sizeof key, "compress.%s", policy->name);
        status = policy_get(&p->e->sel.policy, policy->name, value, sizeof value, err);
        if (!status && strcmp(value, "unset")) status = note(p, key, value, err);
    }
    return status;
}

static enum kv_status note_costs(struct core_plan *p, struct kv_error *err)
{
    static const char *const keys[] = {
#define X(name) "time." #name,
        KV_PHASES(X)
#undef X
    };
    struct kv_memory m;
    char text[400];
    kv_memory(p->e, &m);
    kv_describe(p->e, text, sizeof text);
    enum kv_status status = note(p, "backend", text, err);
    if (!status) status = core_note_number(p, "mem.weights", (long long)m.weights, err);
    if (!status) status = core_note_number(p, "mem.kv.resident", (long long)m.resident, err);
    if (!status) status = core_note_number(p, "mem.kv.active", (long long)m.active, err);
    if (!status) status = core_note_number(p, "mem.stats", (long long)m.stats, err);
    if (!status) status = core_note_number(p, "mem.scratch", (long long)m.scratch, err);
    if (!status) status = core_note_number(p, "mem.peak", (long long)m.peak, err);
    for (int i = 0; i < KV_PHASE_COUNT && !status; i++) {
        struct kv_time time;
        kv_time(p->e, (enum kv_phase)i, &time);
        snprintf(text, sizeof text, "%.17g %d", time.us, time.tokens);
        if (time.us > 0) status = note(p, keys[i], text, err);
    }
    return status;
}

enum kv_status core_notes(struct core_plan *p, const struct kv_core_want *want, struct kv_error *err)
{
    enum kv_status status = note(p, "format", "kvdbg-core", err);
    if (!status) status = core_note_number(p, "format.version", KV_CORE_VERSION, err);
    if (!status) status = note_model(p, err);
    if (!status) status = note_place(p, err);
    if (!status) status = note_settings(p, err);
    if (!status) status = note_costs(p, err);
    for (int i = 0; i < want->n_note && !status; i++) status = note(p, want->note[i].key, want->note[i].text, err);
    return status;
}
