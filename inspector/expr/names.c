/* Values of the engine, bytes and times, settings, history and convenience variables, by name. */
#include "inspector/expr/names.h"

#include "engine/runs.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/look.h"
#include "inspector/language/lookup.h"
#include "inspector/session.h"

struct number_name {
    const char *name;
    size_t offset; /* of a size_t in struct kv_memory */
};
static const struct number_name memory_names[] = {
    { "mem.weights", offsetof(struct kv_memory, weights) },
    { "mem.kv.resident", offsetof(struct kv_memory, resident) },
    { "mem.kv.active", offsetof(struct kv_memory, active) },
    { "mem.stats", offsetof(struct kv_memory, stats) },
    { "mem.scratch", offsetof(struct kv_memory, scratch) },
    { "mem.peak", offsetof(struct kv_memory, peak) },
};
static const char *const time_names[] = {
#define X(name) "time." #name,
    KV_PHASES(X)
#undef X
};
static const char *const own_names[] = { "attn", "prob", "k", "v", "pos", "place", "hidden" };

double array_number(const struct kv_array *a, size_t i)
{
    switch (a->type) {
    case KV_F32: return ((const float *)a->data)[i];
    case KV_F64: return ((const double *)a->data)[i];
    case KV_I32: return ((const int32_t *)a->data)[i];
    case KV_U8: return ((const uint8_t *)a->data)[i];
    }
    return NAN;
}

const char *names_at(int index)
{
    int at = index, engine = 0;
    if (at < (int)KV_COUNT(own_names)) return own_names[at];
    at -= (int)KV_COUNT(own_names);
    if (at < (int)KV_COUNT(memory_names)) return memory_names[at].name;
    at -= (int)KV_COUNT(memory_names);
    if (at < (int)KV_COUNT(time_names)) return time_names[at];
    at -= (int)KV_COUNT(time_names);
    for (; kv_value_name(engine); engine++)
        if (engine == at) return kv_value_name(engine);
    const struct kv_setting *setting = kv_setting_at(at - engine);
    return setting ? setting->name : NULL;
}

static enum kv_status unknown(const char *name, struct kv_error *err)
{
    const char *near = NULL;
    for (int i = 0; names_at(i); i++)
        if (strlen(name) > 2 && lookup_distance(name, strlen(name), names_at(i)) == 1) near = names_at(i);
    return kv_fail(err, KV_NOT_FOUND, "No value \"%.60s\" here.%s%s%s", name, near ? "  Did you mean \"" : "",
        near ? near : "", near ? "\"?" : "");
}

enum kv_status session_value(struct session *s, const char *name, struct kv_array *out)
{
    enum kv_status st = kv_value(s->engine, name, out, &s->err);
    return st == KV_NOT_FOUND ? unknown(name, &s->err) : st;
}

int session_kv_head(const struct session *s, int head) { return head / (s->facts.n_head / s->facts.n_kv_head); }

/* Whether a value has a dimension for the KV heads' own sets. */
static bool has_sets(const struct kv_array *a, const char *name)
{
    bool own = a->n_dim > 1 && a->axis[1] && !strcmp(a->axis[1], "KV head");
    return own && (a->n_dim == 3 || !strcmp(name, "cut"));
}

enum kv_status session_set(struct session *s, struct kv_engine *e, const char *name, int kv_head,
    struct kv_array *out, struct kv_error *err)
{
    static const size_t bytes[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    enum kv_status st = kv_value(e, name, out, err);
    if (st || !has_sets(out, name)) return st;
    size_t width = out->n_dim == 3 ? out->dim[2] : 1, row = width * bytes[out->type], sets = out->dim[1];
    size_t g = (size_t)(kv_head < 0 ? session_kv_head(s, s->head) : kv_head);
    free(s->set);
    char *to = s->set = kv_alloc(out->dim[0], row);
    if (!to) return kv_fail(err, KV_NO_MEMORY, "No memory for the kept sets of %zu layers.", out->dim[0]);
    for (size_t l = 0; l < out->dim[0]; l++)
        memcpy(to + l * row, (const char *)out->data + (l * sets + g) * row, row);
    out->data = to;
    out->n_dim--;
    out->dim[1] = width;
    out->axis[1] = "position";
    return KV_OK;
}

const char *session_set_name(struct session *s)
{
    static _Thread_local char text[32];
    struct kv_array a;
    struct kv_error ignored;
    bool own = kv_started(s->engine) && !kv_value(s->engine, "kept", &a, &ignored) && has_sets(&a, "kept");
    snprintf(text, sizeof text, own ? ", KV head %d" : "", session_kv_head(s, s->head));
    return text;
}

static enum kv_status finished(struct named *out, double number, const char *unit, struct kv_error *err)
{
    out->kind = NAMED_VALUE;
    return value_scalar(&out->value, number, true, unit, err);
}

/* A setting is a number where its text is one. */
static enum kv_status setting(struct session *s, const char *name, struct named *out, struct kv_error *err)
{
    char text[128], *end;
    enum kv_status st = kv_get(s->engine, name, text, sizeof text, err);
    if (st) return st == KV_NOT_FOUND ? unknown(name, err) : st;
    out->kind = NAMED_VALUE;
    double number = strtod(text, &end);
    if (end == text || *end || isalpha((unsigned char)text[0])) return value_text(&out->value, text, err);
    return value_scalar(&out->value, number, !strpbrk(text, ".eE"), "", err);
}

int64_t names_rows(struct session *s)
{
    struct kv_array tok, part;
    struct kv_error ignored;
    struct kv_where w;
    if (kv_value(s->engine, "tok", &tok, &ignored)) return 0;
    int64_t rows = (int64_t)tok.dim[0];
    kv_where(s->engine, &w);
    if (!kv_started(s->engine) || w.phase < KV_PHASE_decode) return rows;
    if (!kv_value(s->engine, "question", &part, &ignored)) rows += (int64_t)part.dim[0];
    if (!kv_value(s->engine, "reply", &part, &ignored) && part.dim[0]) rows += (int64_t)part.dim[0] - 1;
    return rows;
}

static enum kv_status attention_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    return kv_attention(s->engine, (int)lead[0], (int)lead[1], (int)first, (int)n, out, width, err);
}

static enum kv_status key_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    (void)width;
    return kv_cache_rows(s->engine, false, (int)lead[0], (int)lead[1], (int)first, (int)n, out, err);
}

static enum kv_status value_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    (void)width;
    return kv_cache_rows(s->engine, true, (int)lead[0], (int)lead[1], (int)first, (int)n, out, err);
}

static enum kv_status hidden_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    (void)width;
    return kv_hidden(s->engine, (int)lead[0], (int)first, (int)n, out, err);
}

/* A row is a KV head. */
static enum kv_status rows_of_slots(struct session *s,
    int (*look)(const struct kv_engine *e, int layer, int kv_head, int32_t *pos, int room), const size_t *lead,
    size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    int32_t *pos = kv_alloc(width, sizeof *pos);
    if (!pos) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu positions.", width);
    for (size_t r = 0; r < n; r++) {
        size_t used = (size_t)look(s->engine, (int)lead[0], (int)(first + r), pos, (int)width);
        for (size_t i = 0; i < width; i++) out[r * width + i] = i < used ? (float)pos[i] : -1;
    }
    free(pos);
    return KV_OK;
}

static enum kv_status slot_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    return rows_of_slots(s, kv_cache_slots, lead, first, n, width, out, err);
}

static enum kv_status place_rows(
    struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out, struct kv_error *err)
{
    return rows_of_slots(s, kv_cache_places, lead, first, n, width, out, err);
}

/* Most tokens that a layer has read, or slots that it holds. */
static size_t most_of(struct session *s, bool slots)
{
    int most = 0;
    for (int l = 0; l < s->facts.n_layer; l++)
        for (int g = 0; g < (slots ? s->facts.n_kv_head : 1); g++) {
            int n = slots ? kv_cache_slots(s->engine, l, g, NULL, 0) : kv_cache_tokens(s->engine, l);
            if (n > most) most = n;
        }
    return (size_t)most;
}

/* Arrays whose rows are made when they are asked for. */
static enum kv_status on_demand(struct session *s, const char *name, struct named *out, struct kv_error *err)
{
    const struct kv_model_facts *f = &s->facts;
    bool cache = !strcmp(name, "k") || !strcmp(name, "v"), places = !strcmp(name, "place"),
         slots = places || !strcmp(name, "pos"), hidden = !strcmp(name, "hidden");
    struct kv_array tok;
    enum kv_status st = kv_value(s->engine, "tok", &tok, err);
    if (st) return st;
    if ((cache || slots) && !kv_started(s->engine))
        return kv_fail(err, KV_NOT_NOW, "%s is not available before the request is run.", name);
    size_t rows = cache ? most_of(s, false) : slots ? most_of(s, true) : (size_t)names_rows(s);
    if ((cache || slots) && !rows)
        return kv_cache_rows(s->engine, name[0] == 'v', 0, 0, 0, 1, NULL, err); /* its sentence */
    s->computed = true;
    *out = (struct named){ .kind = NAMED_ROWS };
    if (cache)
        out->array =
            (struct kv_array){ KV_F32, 4, { (size_t)f->n_layer, (size_t)f->n_kv_head, rows, (size_t)f->head_dim },
                NULL, "", { "layer", "KV head", "position", "channel" } };
    else if (slots)
        out->array = (struct kv_array){ KV_I32, 3, { (size_t)f->n_layer, (size_t)f->n_kv_head, rows }, NULL, "",
            { "layer", "KV head", "slot" } };
    else if (hidden)
        out->array = (struct kv_array){ KV_F32, 3, { (size_t)f->n_layer, rows, (size_t)f->hidden }, NULL, "",
            { "layer", "row", "channel" } };
    else
        out->array = (struct kv_array){ KV_F32, 4, { (size_t)f->n_layer, (size_t)f->n_head, rows, rows }, NULL, "",
            { "layer", "head", "row", "position" } };
    out->rows = cache    ? (name[0] == 'k' ? key_rows : value_rows)
                : places ? place_rows
                : slots  ? slot_rows
                : hidden ? hidden_rows
                         : attention_rows;
    return KV_OK;
}

/* softmax of logit */
static enum kv_status probabilities(struct session *s, struct named *out, struct kv_error *err)
{
    struct kv_array logit;
    enum kv_status st = kv_value(s->engine, "logit", &logit, err);
    if (!st) st = value_array(&out->value, logit.n_dim, logit.dim, err);
    if (st) return st;
    s->computed = true;
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < out->value.count; i++) most = fmax(most, array_number(&logit, i));
    for (size_t i = 0; i < out->value.count; i++) sum += out->value.number[i] = exp(array_number(&logit, i) - most);
    for (size_t i = 0; i < out->value.count; i++) out->value.number[i] /= sum;
    out->kind = NAMED_VALUE;
    return KV_OK;
}

/* What the twin on the full cache has by nature: it keeps everything. */
static enum kv_status twin(struct session *s, const char *name, struct named *out, struct kv_error *err)
{
    static const char *const same[] = { "tok", "question", "entropy", "E", "entropy_q", "columns", "kl" };
    struct kv_array tok;
    for (size_t i = 0; i < KV_COUNT(same); i++)
        if (!strcmp(name, same[i])) return names_find(s, name, out, err); /* of the prefill, which both share */
    if (!strcmp(name, "reply")) return names_find(s, "full", out, err);
    bool kept = !strcmp(name, "kept");
    if (!kept && strncmp(name, "budget.", 7))
        return kv_fail(err, KV_NOT_FOUND, "Run 2, the twin on the full cache, has no value \"%.60s\".", name);
    enum kv_status st = kv_value(s->engine, "tok", &tok, err);
    const size_t dim[] = { (size_t)s->facts.n_layer, st ? 0 : tok.dim[0] };
    if (!st) st = value_array(&out->value, kept ? 2 : 1, dim, err);
    for (size_t i = 0; !st && i < out->value.count; i++) out->value.number[i] = kept ? 1 : (double)dim[1];
    out->kind = NAMED_VALUE;
    out->value.integral = true;
    out->value.axis[0] = "layer";
    out->value.axis[1] = "position";
    if (!kept) snprintf(out->value.unit, sizeof out->value.unit, "tokens");
    return st;
}

/* The array as a value of its own, which stays when another run is selected. */
static enum kv_status own_copy(struct named *out, struct kv_error *err)
{
    const struct kv_array a = out->array;
    struct value v;
    enum kv_status st = value_array(&v, a.n_dim, a.dim, err);
    if (st) return st;
    for (size_t i = 0; i < v.count; i++) v.number[i] = array_number(&a, i);
    for (int d = 0; d < a.n_dim; d++) v.axis[d] = a.axis[d];
    v.integral = a.type == KV_I32 || a.type == KV_U8;
    v.names = out->names;
    snprintf(v.unit, sizeof v.unit, "%s", a.unit ? a.unit : "");
    out->kind = NAMED_VALUE;
    out->value = v;
    return KV_OK;
}

/* A value of a run that is not selected: it is, for as long as that takes. */
static enum kv_status elsewhere(
    struct session *s, int run, const char *name, struct named *out, struct kv_error *err)
{
    int back = kv_run_selected(s->engine);
    struct kv_error ignored;
    enum kv_status st = kv_run_select(s->engine, run, err);
    if (st) return st;
    st = names_find(s, name, out, err);
    if (!st && out->kind == NAMED_ARRAY) st = own_copy(out, err);
    if (!st && out->kind == NAMED_ROWS)
        st = kv_fail(err, KV_NOT_NOW, "%.60s is worked out for the selected run alone: see inferior.", name);
    enum kv_status again = kv_run_select(s->engine, back, st ? &ignored : err);
    if (again && !st && out->kind == NAMED_VALUE) value_free(&out->value);
    return st ? st : again;
}

/* run(N).NAME */
static enum kv_status of_run(struct session *s, const char *name, struct named *out, struct kv_error *err)
{
    char *rest;
    long run = strtol(name + 4, &rest, 10);
    int selected = kv_run_selected(s->engine);
    struct kv_run_facts facts;
    struct kv_error ignored;
    if (run == selected) return names_find(s, rest + 2, out, err);
    if (run == KV_RUN_FULL) return twin(s, rest + 2, out, err);
    if (!kv_run_look(s->engine, (int)run, &facts, &ignored)) return elsewhere(s, (int)run, rest + 2, out, err);
    return kv_fail(err, KV_NOT_FOUND,
        "No run number %ld; %d is the run, 2 its twin on the full cache: see info inferiors.", run, selected);
}

enum kv_status names_find(struct session *s, const char *name, struct named *out, struct kv_error *err)
{
    *out = (struct named){ .kind = NAMED_ARRAY };
    if (!strncmp(name, "run(", 4)) return of_run(s, name, out, err);
    static const char *const made[] = { "attn", "k", "v", "pos", "place", "hidden" };
    for (size_t i = 0; i < KV_COUNT(made); i++)
        if (!strcmp(name, made[i])) return on_demand(s, name, out, err);
    if (!strcmp(name, "prob")) return probabilities(s, out, err);
    if (!strncmp(name, "mem.", 4)) {
        struct kv_memory memory;
        kv_memory(s->engine, &memory);
        for (size_t i = 0; i < KV_COUNT(memory_names); i++)
            if (!strcmp(name, memory_names[i].name))
                return finished(
                    out, (double)*(const size_t *)((const char *)&memory + memory_names[i].offset), "bytes", err);
        return unknown(name, err);
    }
    if (!strncmp(name, "time.", 5)) {
        for (int i = 0; i < KV_PHASE_COUNT; i++) {
            if (strcmp(name, time_names[i])) continue;
            struct kv_time time;
            kv_time(s->engine, (enum kv_phase)i, &time);
            enum kv_status st = finished(out, time.us, "us", err);
            out->value.integral = false;
            return st;
        }
        return unknown(name, err);
    }
    enum kv_status st = kv_value(s->engine, name, &out->array, err);
    s->computed = s->computed || !st;
    if (st == KV_NOT_FOUND) return strchr(name, '.') ? setting(s, name, out, err) : unknown(name, err);
    static const char *const tokens[] = { "tok", "question", "reply", "full", "other" };
    for (size_t i = 0; i < KV_COUNT(tokens); i++)
        if (!strcmp(name, tokens[i])) out->names = VALUE_TOKEN;
    if (!strcmp(name, "reason")) out->names = VALUE_REASON;
    if (!strcmp(name, "budget.rule")) out->names = VALUE_RULE;
    return st;
}

/* --- $ ----------------------------------------------------------------------------------------------------------- */

static const char *const own_variables[] = { "layer", "head", "token", "phase", "pass", "tick", "nprompt", "nlayer",
    "nhead", "nkv", "bpnum", "_exitcode", "_kl" };

/* Variables that follow the session; KV_NOT_FOUND for any other name, void where there is nothing yet. */
static enum kv_status own(struct session *s, const char *name, struct value *out, struct kv_error *err)
{
    struct kv_where where = { 0 };
    bool started = kv_started(s->engine);
    if (started) kv_where(s->engine, &where);
    struct kv_array a;
    struct kv_error ignored;
    *out = (struct value){ 0 };
    if (!strcmp(name, "layer")) return value_scalar(out, s->layer, true, "", err);
    if (!strcmp(name, "head")) return value_scalar(out, s->head, true, "", err);
    if (!strcmp(name, "token")) return value_scalar(out, s->token, true, "", err);
    if (!strcmp(name, "nlayer")) return value_scalar(out, s->facts.n_layer, true, "", err);
    if (!strcmp(name, "nhead")) return value_scalar(out, s->facts.n_head, true, "", err);
    if (!strcmp(name, "nkv")) return value_scalar(out, s->facts.n_kv_head, true, "", err);
    if (!strcmp(name, "bpnum"))
        return s->stops.last_number ? value_scalar(out, s->stops.last_number, true, "", err) : KV_OK;
    if (!strcmp(name, "phase")) return started ? value_text(out, kv_phase_name[where.phase], err) : KV_OK;
    if (!strcmp(name, "pass")) return started ? value_scalar(out, where.pass, true, "", err) : KV_OK;
    if (!strcmp(name, "tick")) return started ? value_scalar(out, (double)where.tick, true, "", err) : KV_OK;
    if (!strcmp(name, "_exitcode"))
        return started && where.phase == KV_PHASE_done ? value_scalar(out, 0, true, "", err) : KV_OK;
    if (!strcmp(name, "nprompt")) {
        if (!s->prompt_name || kv_value(s->engine, "tok", &a, &ignored)) return KV_OK;
        return value_scalar(out, (double)a.dim[0], true, "tokens", err);
    }
    if (!strcmp(name, "_kl")) return isnan(s->kl_mean) ? KV_OK : value_scalar(out, s->kl_mean, false, "nats", err);
    return kv_fail(err, KV_NOT_FOUND, "No variable $%s.", name);
}

/* $ $N $$ $$N; sets *is when the name is one of them. */
static enum kv_status history(
    struct session *s, const char *name, struct value *out, bool *is, struct kv_error *err)
{
    bool back = name[0] == '$';
    const char *digits = name + back;
    *is = digits[strspn(digits, "0123456789")] == '\0';
    if (!*is) return KV_OK;
    size_t n = strtoul(digits, NULL, 10), wanted = n;
    if (!*digits || back) {
        size_t steps = *digits ? n : back ? 1 : 0;
        if (!s->n_history && !steps) return kv_fail(err, KV_NOT_FOUND, "The history is empty.");
        if (steps >= s->n_history) return kv_fail(err, KV_NOT_FOUND, "History does not go back to $$%zu.", steps);
        wanted = s->n_history - steps;
    }
    if (wanted < 1 || wanted > s->n_history)
        return kv_fail(err, KV_NOT_FOUND, "History has not yet reached $%zu.", wanted);
    return value_copy(out, &s->history[wanted - 1], err);
}

enum kv_status names_dollar(struct session *s, const char *name, struct value *out, struct kv_error *err)
{
    bool is;
    *out = (struct value){ 0 };
    enum kv_status st = history(s, name, out, &is, err);
    if (is) return st;
    st = own(s, name, out, err);
    if (st != KV_NOT_FOUND) return st;
    for (const struct variable *v = s->variables; v; v = v->next)
        if (!strcmp(v->name, name)) return value_copy(out, &v->value, err);
    return KV_OK;
}

enum kv_status names_assign(struct session *s, const char *name, struct value *value, struct kv_error *err)
{
    if (strspn(name, "0123456789$") == strlen(name))
        return kv_fail(err, KV_BAD_ARG, "Left operand of assignment is not a modifiable lvalue.");
    for (size_t i = 0; i < KV_COUNT(own_variables); i++)
        if (!strcmp(name, own_variables[i]))
            return kv_fail(err, KV_BAD_ARG, "$%s is set by kvdbg itself; choose another name.", name);
    struct variable *v = s->variables;
    while (v && strcmp(v->name, name)) v = v->next;
    if (!v) {
        v = kv_alloc(1, sizeof *v);
        if (!v || !(v->name = kv_strdup(name))) {
            free(v);
            return kv_fail(err, KV_NO_MEMORY, "No memory for $%s.", name);
        }
        v->next = s->variables;
        s->variables = v;
    }
    value_free(&v->value);
    v->value = *value;
    *value = (struct value){ 0 };
    return KV_OK;
}

enum kv_status names_assign_setting(
    struct session *s, const char *name, const struct value *value, struct kv_error *err)
{
    char text[64];
    const struct kv_setting *row;
    int i = 0;
    while ((row = kv_setting_at(i)) && strcmp(row->name, name)) i++;
    if (!row) return kv_fail(err, KV_BAD_ARG, "Left operand of assignment is not an lvalue.");
    bool number = value->kind == VALUE_NUMBER && !value->n_dim;
    if (!number && value->kind != VALUE_TEXT)
        return kv_fail(err, KV_BAD_ARG, "A setting takes one number or one text.");
    if (number) snprintf(text, sizeof text, value->integral ? "%.0f" : "%.17g", value->number[0]);
    const char *what = number ? text : value->text;
    return kv_set(s->engine, &name, &what, 1, err);
}

void names_each(struct session *s, void (*visit)(struct session *s, const char *name, struct value *v))
{
    struct kv_error ignored;
    for (size_t i = 0; i < KV_COUNT(own_variables); i++) {
        struct value v;
        if (own(s, own_variables[i], &v, &ignored)) continue;
        visit(s, own_variables[i], &v);
        value_free(&v);
    }
    for (struct variable *v = s->variables; v; v = v->next) visit(s, v->name, &v->value);
}
