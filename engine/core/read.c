/* Opening a core file: every text and tensor is checked before anything is built on it. */
#include "engine/core/parts.h"
#include "engine/model/window.h"
#include "engine/setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

#define MOST_LAYERS KV_MAX_LAYERS
#define MOST_TOKENS (1 << 28)

/* --- texts of the metadata ------------------------------------------------------------------------------------ */

/* A whole number in [least, most]; `absent` where there is none, unless that is below least: then it must be there. */
static enum kv_status number(const struct st_file *f, const char *key, int64_t least, int64_t most, int64_t absent,
    int64_t *out, struct kv_error *err)
{
    const char *text = st_note(f, key);
    char *end, shown[40];
    *out = absent;
    if (!text && absent >= least) return KV_OK;
    if (!text) return st_bad(f, err, "its metadata has no %s", key);
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (!*text || *end || strspn(text, "-0123456789") != strlen(text) || errno || n < least || n > most)
        return st_bad(f, err, "%s is \"%s\", expected a whole number in %lld..%lld", key,
            setting_quote(text, shown, sizeof shown), (long long)least, (long long)most);
    *out = n;
    return KV_OK;
}

static enum kv_status check_format(const struct st_file *f, struct kv_error *err)
{
    const char *format = st_note(f, "format");
    int64_t version;
    if (!format || strcmp(format, "kvdbg-core"))
        return st_bad(f, err, "its metadata does not say \"format\": \"kvdbg-core\"");
    enum kv_status status = number(f, "format.version", 1, INT32_MAX, 0, &version, err);
    if (!status && version > KV_CORE_VERSION)
        return kv_fail(err, KV_UNSUPPORTED, "%.200s has format version %lld; this kvdbg reads %d.", f->path,
            (long long)version, KV_CORE_VERSION);
    return status;
}

static void text(const struct st_file *f, const char *key, char *out, size_t size)
{
    const char *note = st_note(f, key);
    snprintf(out, size, "%s", note ? note : "unknown");
}

static enum kv_status read_model(const struct st_file *f, struct kv_model **out, struct kv_error *err)
{
    struct kv_model *m = *out = kv_alloc(1, sizeof *m);
    const char *path = st_note(f, "model.path"), *synthetic = st_note(f, "model.synthetic");
    if (!m || !(m->path = kv_strdup(path ? path : "unknown")))
        return kv_fail(err, KV_NO_MEMORY, "No memory for a model.");
    struct kv_shape *s = &m->shape;
    const struct {
        const char *key;
        int *to;
        int64_t least, most;
    } whole[] = {
        { "model.layers", &s->n_layer, 1, MOST_LAYERS },
        { "model.heads", &s->n_head, 1, 1 << 16 },
        { "model.kv-heads", &s->n_kv_head, 0, 1 << 16 },
        { "model.vocabulary", &s->n_vocab, 1, (1 << 28) },
        { "model.hidden", &s->hidden, 0, INT32_MAX },
        { "model.ffn", &s->n_ff, 0, INT32_MAX },
        { "model.head-dim", &s->head_dim, 0, 1 << 20 },
        { "model.context", &s->n_context, 0, INT32_MAX },
        { "model.sliding-window", &s->sliding_window, 0, INT32_MAX },
    };
    int64_t n;
    text(f, "model.arch", s->arch, sizeof s->arch);
    text(f, "model.name", s->name, sizeof s->name);
    m->synthetic = synthetic && !strcmp(synthetic, "on");
    for (size_t i = 0; i < KV_COUNT(whole); i++) {
        enum kv_status status =
            number(f, whole[i].key, whole[i].least, whole[i].most, whole[i].least ? 0 : whole[i].least, &n, err);
        if (status) return status;
        *whole[i].to = (int)n;
    }
    const char *windowed = st_note(f, "model.sliding-layers");
    if (windowed && !window_parse(windowed, s))
        return st_bad(f, err, "its metadata name no layers as those of the sliding window");
    if (!s->n_kv_head) s->n_kv_head = s->n_head;
    if (s->n_head % s->n_kv_head)
        return st_bad(f, err, "%d query heads are no multiple of %d KV heads", s->n_head, s->n_kv_head);
    enum kv_status status = number(f, "model.weight-bytes", 0, INT64_MAX, 0, &n, err);
    m->weight_bytes = (size_t)n;
    return status;
}

/* The row of a list of names, -1 where none of them is meant. */
static int named(const char *text_, const char *const *name, int count)
{
    for (int i = 0; text_ && i < count; i++)
        if (!strcmp(text_, name[i])) return i;
    return -1;
}

static enum kv_status read_place(struct kv_engine *e, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    const char *stage = st_note(f, "stage");
    int64_t pass = 0, layer = -1, tick = 0, branch = 0, highest = 0, compress = 0, item = 0;
    int phase = named(st_note(f, "phase"), kv_phase_name, KV_PHASE_COUNT);
    if (phase < KV_PHASE_prefill) return st_bad(f, err, "its metadata names no phase of a started request");
    int at = named(stage, kv_stage_name, KV_STAGE_COUNT);
    if (stage && *stage && at < 0) return st_bad(f, err, "its metadata names a stage that there is not");
    if (at < 0 && phase != KV_PHASE_done) at = phase == KV_PHASE_compress ? KV_STAGE_allocate : KV_STAGE_embed;
    enum kv_status status = number(f, "pass", 0, MOST_TOKENS, 0, &pass, err);
    if (!status) status = number(f, "layer", -1, e->model->shape.n_layer - 1, -1, &layer, err);
    if (!status) status = number(f, "tick", 0, INT64_MAX, 0, &tick, err);
    if (!status) status = number(f, "branch", 0, INT32_MAX, 0, &branch, err);
    if (!status) status = number(f, "item", 0, INT32_MAX, 0, &item, err);
    if (!status) status = number(f, "history.compress", 0, INT64_MAX, 0, &compress, err);
    if (!status) status = number(f, "history.highest", tick, INT64_MAX, tick, &highest, err);
    e->at = (struct kv_where){ (enum kv_phase)phase, (int)pass, (int)layer,
        phase == KV_PHASE_done ? KV_STAGE_COUNT : (enum kv_stage)at, (uint64_t)tick, (int)branch };
    e->core->item = (int)item;
    e->compress_tick = (uint64_t)compress;
    e->in_place = !e->used.snapshot;
    e->past.highest = (uint64_t)highest;
    if (phase == KV_PHASE_done) e->past.done = e->at.tick;
    return status;
}

/* A refused setting's sentence as the file's; it may quote what the file holds, a name of a profile for one. */
static enum kv_status bad_settings(const struct st_file *f, struct kv_error *err)
{
    char why[sizeof err->text];
    setting_quote(err->text, why, sizeof why);
    return st_bad(f, err, "its settings cannot be: %.*s", (int)strlen(why) - 1, why);
}

/* Fills a policy that has settings of its own, named "compress.policy.*". */
static enum kv_status read_policy(struct kv_engine *e, struct kv_policy *policy, struct kv_error *err)
{
    const struct setting *row;
    const char *name[128], *value[128];
    char key[80];
    int n = 0;
    *policy = e->set.policy;
    for (int i = 0; (row = policy_setting_at(i)) && n < (int)KV_COUNT(name); i++) {
        snprintf(key, sizeof key, "compress.%s", row->name);
        const char *note = st_note(&e->core->file, key);
        if (!note) continue;
        name[n] = row->name;
        value[n++] = note;
    }
    enum kv_status status = policy_set_many(policy, name, value, n, err);
    if (!status) return KV_OK;
    return bad_settings(&e->core->file, err);
}

static enum kv_status read_settings(struct kv_engine *e, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    const struct kv_setting *row;
    const char *name[128], *value[128];
    int n = 0;
    for (int i = 0; (row = kv_setting_at(i)) && n < (int)KV_COUNT(name); i++) {
        const char *note = st_note(f, row->name);
        if (!note) continue;
        name[n] = row->name;
        value[n++] = note;
    }
    enum kv_status status = kv_set(e, name, value, n, err);
    e->used = e->set;
    if (status) return bad_settings(f, err);
    int64_t rows;
    status = number(f, "segment", 1, SETTINGS_SEGMENT_MOST, engine_segment(e), &rows, err);
    e->used.segment = (int)rows;
    return status ? status : read_policy(e, &e->sel.policy, err);
}

static enum kv_status read_costs(struct kv_engine *e, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    struct kv_memory *m = &e->core->memory;
    const struct {
        const char *key;
        size_t *to;
    } bytes[] = { { "mem.weights", &m->weights }, { "mem.kv.resident", &m->resident },
        { "mem.kv.active", &m->active }, { "mem.stats", &m->stats }, { "mem.scratch", &m->scratch },
        { "mem.peak", &m->peak }, { "history.bytes", &e->past.bytes }, { "history.limit", &e->past.limit } };
    int64_t n;
    for (size_t i = 0; i < KV_COUNT(bytes); i++) {
        enum kv_status status = number(f, bytes[i].key, 0, INT64_MAX, 0, &n, err);
        if (status) return status;
        *bytes[i].to = (size_t)n;
    }
    for (int p = 0; p < KV_PHASE_COUNT; p++) {
        char key[32];
        int tokens = 0, used = 0;
        double us = 0;
        snprintf(key, sizeof key, "time.%s", kv_phase_name[p]);
        const char *note = st_note(f, key);
        if (note && (sscanf(note, "%lf %d%n", &us, &tokens, &used) != 2 || note[used] || !(us >= 0 && us < 1e18)))
            return st_bad(f, err, "%s is no time in microseconds and number of tokens", key);
        e->time[p] = (struct kv_time){ us, tokens };
    }
    const char *described = st_note(f, "backend");
    e->core->described = described ? described : "unknown backend";
    return KV_OK;
}

/* --- tensors -------------------------------------------------------------------------------------------------- */

static enum kv_status read_pieces(struct kv_engine *e, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    const struct st_tensor *t = st_find(f, "piece.bytes");
    int32_t *id = NULL, *start = NULL;
    size_t n = 0, n_start = 0;
    char *bytes = NULL;
    enum kv_status status = core_ints(e, "piece.id", "*", 't', &id, &n, err);
    if (!status) status = core_ints(e, "piece.start", "*", 'c', &start, &n_start, err);
    bool right = !status && id && start && t && t->type == ST_U8 && n_start == n + 1 && !start[0] &&
                 (uint64_t)start[n] == t->bytes;
    for (size_t i = 0; right && i < n; i++) right = start[i] <= start[i + 1] && (!i || id[i - 1] < id[i]);
    if (!status && !right && (id || start || t)) status = st_bad(f, err, "its tokens' pieces do not fit together");
    if (!status && right && !(bytes = kv_alloc(t->bytes, 1)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for %llu bytes of tokens.", (unsigned long long)t->bytes);
    if (!status && right) status = st_read(f, t, 0, t->bytes, bytes, err);
    if (!status && right) status = tok_from_pieces(e->model->shape.n_vocab, id, start, (int)n, bytes, &e->tok, err);
    free(id);
    free(start);
    free(bytes);
    return status;
}

static enum kv_status read_text(struct core *c, struct kv_error *err)
{
    const struct st_tensor *t = st_find(&c->file, "prompt.text");
    if (!t) return KV_OK;
    if (t->type != ST_U8 || t->n_dim != 1) return st_bad(&c->file, err, "tensor \"prompt.text\" is not U8 [*]");
    c->text = kv_alloc(t->bytes + 1, 1);
    if (!c->text)
        return kv_fail(err, KV_NO_MEMORY, "No memory for a prompt of %llu bytes.", (unsigned long long)t->bytes);
    c->n_text = (size_t)t->bytes;
    return st_read(&c->file, t, 0, c->n_text, c->text, err);
}

/* Runs that ascend without touching each other's tokens, of layers and tokens that there are. */
static bool runs_fit(const struct kv_engine *e, const int32_t *run, size_t n)
{
    for (size_t i = 0; i < n; i++, run += 4) {
        bool after = !i || run[-4] < run[0] || (run[-4] == run[0] && run[-2] <= run[1]);
        if (!after || run[0] < 0 || run[0] >= e->model->shape.n_layer || run[1] < 0 || run[1] >= run[2] ||
            (run[3] != 1 && run[3] != -1))
            return false;
    }
    return true;
}

static enum kv_status read_pins(
    struct kv_engine *e, const char *runs, const char *budgets, struct pins **out, struct kv_error *err)
{
    int32_t *run, *budget;
    size_t n_run, n_budget;
    enum kv_status status = core_ints(e, runs, "*4", 'p', &run, &n_run, err);
    if (status) return status;
    status = core_ints(e, budgets, "L", 'p', &budget, &n_budget, err);
    struct pins *pins = run && budget && !status ? kv_alloc(1, sizeof *pins) : NULL;
    if (!status && (!run != !budget || (run && !runs_fit(e, run, n_run / 4))))
        status = st_bad(&e->core->file, err, "the edits in %s do not fit together", runs);
    if (!status && run && !pins) status = kv_fail(err, KV_NO_MEMORY, "No memory for edits.");
    if (status || !pins) {
        free(run);
        free(budget);
        free(pins);
        return status;
    }
    *pins = (struct pins){ 1, e->model->shape.n_layer, (int)(n_run / 4), budget, (struct pin_run *)(void *)run };
    *out = pins;
    return KV_OK;
}

/* kv_why finds a layer's forced tokens by its budget. */
static enum kv_status copy_budget(struct kv_engine *e, struct kv_error *err)
{
    const struct kv_array *a = &e->core->value[core_value_index("budget.app")];
    if (!a->data) return KV_OK;
    e->sel.budget = kv_alloc(a->dim[0], sizeof *e->sel.budget);
    if (!e->sel.budget) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu layers.", a->dim[0]);
    memcpy(e->sel.budget, a->data, a->dim[0] * sizeof *e->sel.budget);
    return KV_OK;
}

/* How far select has come: the layers' n_kept, or what else the file says about it. */
static enum kv_status read_progress(struct kv_engine *e, struct kv_error *err)
{
    size_t n, rows = (size_t)e->model->shape.n_layer * (size_t)e->sel.sets;
    enum kv_status status = core_ints(e, "n_kept", "Ls", 'k', &e->sel.n_kept, &n, err);
    if (status || e->sel.n_kept) return status;
    e->sel.n_kept = kv_alloc(rows, sizeof *e->sel.n_kept);
    if (!e->sel.n_kept) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu kept sets.", rows);
    for (size_t i = 0; i < rows; i++) e->sel.n_kept[i] = e->at.phase > KV_PHASE_compress ? e->n : -1;
    return KV_OK;
}

/* Elements of a value's first dimension, 0 where it is not there. */
static int length(const struct kv_engine *e, const char *name)
{
    const struct kv_array *a = &e->core->value[core_value_index(name)];
    return a->data ? (int)a->dim[0] : 0;
}

static enum kv_status empty(struct kv_engine *e, const char *name, struct kv_error *err)
{
    int i = core_value_index(name);
    const struct core_value *v = &core_values[i];
    if (e->core->value[i].data) return KV_OK;
    e->core->value[i] =
        (struct kv_array){ v->type, 1, { 0 }, kv_alloc(1, sizeof(int32_t)), v->unit, { v->axis[0] } };
    return e->core->value[i].data ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %s.", name);
}

/* Whether compress has allocated, and for how many kept sets. */
static void read_sets(struct kv_engine *e)
{
    static const char *const allocated[] = { "weight", "budget.req", "budget.app", "budget.used", "budget.total" };
    e->sel.allocated = e->at.phase > KV_PHASE_compress;
    for (size_t i = 0; i < KV_COUNT(allocated); i++)
        e->sel.allocated = e->sel.allocated || st_find(&e->core->file, allocated[i]);
    e->sel.sets = e->sel.allocated ? policy_sets(&e->sel.policy, e->model->shape.n_kv_head) : 1;
}

static enum kv_status read_values(struct kv_engine *e, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    const struct st_tensor *tok = st_find(f, "tok");
    if (!tok || tok->n_dim != 1 || !tok->dim[0] || tok->dim[0] > MOST_TOKENS)
        return st_bad(f, err, "it has no tokens: tensor \"tok\" is not there or empty");
    e->n = e->n_context = (int)tok->dim[0];
    read_sets(e);
    enum kv_status status = KV_OK;
    for (int i = 0; i < CORE_VALUES && !status; i++)
        if (core_values[i].part == KV_CORE_BASE) status = core_value_read(e, i, err);
    if (!status) status = empty(e, "question", err);
    if (!status) status = empty(e, "reply", err);
    if (status) return status;
    e->n_question = length(e, "question");
    e->n_all = e->n + e->n_question;
    e->run.n_reply = length(e, "reply");
    e->twin.n = e->core->n_twin = length(e, "kl");
    if (length(e, "full") != e->twin.n || length(e, "other") != e->twin.n)
        return st_bad(f, err, "kl, full and other have not the same number of steps");
    int64_t most = (int64_t)e->n_question + e->run.n_reply, tail;
    status = number(f, "tail", 0, most, most ? most - 1 : 0, &tail, err);
    e->run.tail_len = (int)tail;
    e->sel.n = e->n;
    e->sel.again = e->core->value[core_value_index("kept.later")].data != NULL;
    if (!status) status = read_progress(e, err);
    if (!status) status = copy_budget(e, err);
    if (!status) status = core_read_costs(e, err);
    if (!status) status = read_text(e->core, err);
    if (!status) status = read_pins(e, "pins", "pins.budget", &e->pins, err);
    if (!status) status = read_pins(e, "compress.pins", "compress.pins.budget", &e->sel.pins, err);
    return status ? status : read_pieces(e, err);
}

static enum kv_status open_engine(struct kv_engine *e, struct kv_error *err)
{
    e->core->described = "";
    enum kv_status status = read_settings(e, err);
    if (!status) status = read_place(e, err);
    if (!status) status = read_costs(e, err);
    if (!status) status = read_values(e, err);
    for (int i = 0; i < PLAN_KINDS && !status; i++)
        status = plan_build((enum plan_kind)i, e->model->shape.n_layer, &e->plan[i], err);
    return status;
}

enum kv_status kv_core_open(
    const char *path, struct kv_model **model, struct kv_engine **engine, struct kv_error *err)
{
    struct core *c = kv_alloc(1, sizeof *c);
    struct kv_engine *e = NULL;
    *model = NULL;
    *engine = NULL;
    if (!c) return kv_fail(err, KV_NO_MEMORY, "No memory for a core file.");
    c->file.fd = -1;
    enum kv_status status = st_open(path, "core file", &c->file, err);
    if (!status) status = check_format(&c->file, err);
    if (!status) status = read_model(&c->file, model, err);
    if (!status) status = kv_engine_open(*model, &e, err);
    if (!status) {
        past_reset(&e->past);
        e->core = c;
        status = open_engine(e, err);
        e->started = true;
    } else
        core_free(c);
    if (status) {
        kv_engine_close(e);
        kv_model_close(*model);
        *model = NULL;
        return status;
    }
    *engine = e;
    return KV_OK;
}
