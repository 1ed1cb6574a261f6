/* The values of a core file: where each stands, what it may hold, and what is worked out from it. */
#include "engine/core/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"
#include "engine/run/verdict.h"
#include "engine/state.h"
#include "kernels/blocks.h"

#define MOST_WORDS (1 << 28)

const char *const kv_core_part_name[KV_CORE_PARTS] = { "base", "scores", "entropy_q", "columns", "kv", "attn" };
const size_t core_element_bytes[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };

const struct core_value core_values[CORE_VALUES] = {
    { "tok", KV_CORE_BASE, KV_I32, "n", 't', "", { "position" } },
    { "question", KV_CORE_BASE, KV_I32, "*", 't', "", { "token" } },
    { "reply", KV_CORE_BASE, KV_I32, "*", 't', "", { "step" } },
    { "entropy", KV_CORE_BASE, KV_F64, "LH", 0, "nats", { "layer", "head" } },
    { "E", KV_CORE_BASE, KV_F64, "L", 0, "nats", { "layer" } },
    { "weight", KV_CORE_BASE, KV_F64, "L", 0, "", { "layer" } },
    { "budget.req", KV_CORE_BASE, KV_F64, "L", 0, "tokens", { "layer" } },
    { "budget.app", KV_CORE_BASE, KV_I32, "L", 'c', "tokens", { "layer" } },
    { "budget.used", KV_CORE_BASE, KV_I32, "L", 'c', "tokens", { "layer" } },
    { "budget.total", KV_CORE_BASE, KV_I32, "2", 'c', "tokens", { "asked, shared out" } },
    { "budget.floor", KV_CORE_BASE, KV_I32, "L", 'c', "tokens", { "layer" } },
    { "budget.cap", KV_CORE_BASE, KV_I32, "L", 'c', "tokens", { "layer" } },
    { "budget.rule", KV_CORE_BASE, KV_U8, "L", 'u', "", { "layer" } },
    { "cut", KV_CORE_BASE, KV_F32, "Ls", 0, "attention", { "layer" } },
    { "kept", KV_CORE_BASE, KV_U8, "Lsn", 'b', "", { "layer", "position" } },
    { "kept.later", KV_CORE_BASE, KV_U8, "Ls*", 'b', "", { "layer", "token" } },
    { "reason", KV_CORE_BASE, KV_U8, "Lsn", 'y', "", { "layer", "position" } },
    { "logit", KV_CORE_BASE, KV_F32, "V", 0, "nats", { "token" } },
    { "kl", KV_CORE_BASE, KV_F64, "*", 0, "nats", { "step" } },
    { "full", KV_CORE_BASE, KV_I32, "*", 't', "", { "step" } },
    { "other", KV_CORE_BASE, KV_I32, "*", 't', "", { "step" } },
    { "score", KV_CORE_SCORES, KV_F32, "Lsn", 0, "attention", { "layer", "position" } },
    { "rank", KV_CORE_SCORES, KV_I32, "Lsn", 'k', "", { "layer", "position" } },
    { "entropy_q", KV_CORE_ENTROPY_Q, KV_F32, "LHn", 0, "nats", { "layer", "head", "row" } },
    { "stats.window", KV_CORE_COLUMNS, KV_F32, "LHn", 0, "attention", { "layer", "head", "position" } },
    { "stats.last", KV_CORE_COLUMNS, KV_F32, "LHn", 0, "attention", { "layer", "head", "position" } },
    { "columns", KV_CORE_COLUMNS, KV_F32, "LHn", 0, "attention", { "layer", "head", "position" } },
};

int core_value_index(const char *name)
{
    for (int i = 0; i < CORE_VALUES; i++)
        if (!strcmp(core_values[i].name, name)) return i;
    return -1;
}

void core_free(struct core *c)
{
    if (!c) return;
    for (int i = 0; i < CORE_VALUES; i++) free((void *)c->value[i].data);
    st_close(&c->file);
    free(c->cost);
    free(c->text);
    free(c);
}

const char *kv_core_path(const struct kv_engine *e) { return e->core ? e->core->file.path : NULL; }
const char *kv_core_note(const struct kv_engine *e, const char *key)
{
    return e->core ? st_note(&e->core->file, key) : NULL;
}

const char *kv_core_text(const struct kv_engine *e, size_t *bytes)
{
    *bytes = e->core ? e->core->n_text : 0;
    return *bytes ? e->core->text : "";
}

/* --- elements ------------------------------------------------------------------------------------------------- */

bool core_is_real(enum st_type t) { return t == ST_F64 || t == ST_F32 || t == ST_F16 || t == ST_BF16; }
static bool is_whole(enum st_type t) { return t < ST_F8_E4M3 && !core_is_real(t); }

double core_element(enum st_type type, const void *data, size_t i)
{
    switch (type) {
    case ST_F64: return ((const double *)data)[i];
    case ST_I64: return (double)((const int64_t *)data)[i];
    case ST_U64: return (double)((const uint64_t *)data)[i];
    case ST_F32: return (double)((const float *)data)[i];
    case ST_I32: return ((const int32_t *)data)[i];
    case ST_U32: return ((const uint32_t *)data)[i];
    case ST_F16: return (double)kv_f16_to_f32(((const uint16_t *)data)[i]);
    case ST_BF16: return (double)kv_bf16_to_f32(((const uint16_t *)data)[i]);
    case ST_I16: return ((const int16_t *)data)[i];
    case ST_U16: return ((const uint16_t *)data)[i];
    case ST_I8: return ((const int8_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

static void put(enum kv_element type, void *data, size_t i, double x)
{
    switch (type) {
    case KV_F32: ((float *)data)[i] = (float)x; break;
    case KV_F64: ((double *)data)[i] = x; break;
    case KV_I32: ((int32_t *)data)[i] = (int32_t)x; break;
    case KV_U8: ((uint8_t *)data)[i] = (uint8_t)x; break;
    }
}

/* The largest whole number that an element of a value may be. */
static double most_of(const struct kv_engine *e, char range)
{
    int reasons = 0, rules = 0;
    while (kv_reason_name[reasons]) reasons++;
    while (kv_budget_rule_name[rules]) rules++;
    switch (range) {
    case 't': return e->model->shape.n_vocab - 1;
    case 'k': return e->n;
    case 'y': return reasons - 1;
    case 'u': return rules - 1;
    case 'b': return 1;
    case 'p': return e->n_all;
    default: return INT32_MAX;
    }
}

/* A whole tensor as elements of the value's type; NULL with the sentence. */
static void *read_elements(
    struct kv_engine *e, const struct core_value *v, const struct st_tensor *t, size_t count, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    void *raw = kv_alloc(t->bytes, 1), *data = kv_alloc(count, core_element_bytes[v->type]);
    enum kv_status status =
        raw && data ? st_read(f, t, 0, t->bytes, raw, err)
                    : kv_fail(err, KV_NO_MEMORY, "No memory for the %zu elements of %s.", count, v->name);
    double least = v->range == 'k' || v->range == 'p' ? -1 : 0, most = most_of(e, v->range);
    for (size_t i = 0; !status && i < count; i++) {
        double x = core_element(t->type, raw, i);
        if (v->range && !(x >= least && x <= most))
            status = st_bad(f, err, "element %zu of tensor \"%s\" is %.0f, out of range (%.0f to %.0f)", i, v->name,
                x, least, most);
        else
            put(v->type, data, i, x);
    }
    free(raw);
    if (!status) return data;
    free(data);
    return NULL;
}

/* The dimensions that the value has in this core: without s where the kept sets are shared. */
static void dims_of(const struct kv_engine *e, const struct core_value *v, char dims[8])
{
    for (const char *c = v->dims; *c; c++)
        if (*c != 's' || e->sel.sets > 1) *dims++ = *c;
    *dims = '\0';
}

static enum kv_status check_shape(
    const struct kv_engine *e, const struct core_value *v, const struct st_tensor *t, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    const struct kv_shape *s = &e->model->shape;
    if (v->range ? !is_whole(t->type) : !core_is_real(t->type))
        return st_bad(f, err, "tensor \"%s\" is %s, expected %s numbers", v->name, st_type_name[t->type],
            v->range ? "whole" : "floating-point");
    char dims[8];
    dims_of(e, v, dims);
    if (t->n_dim != (int)strlen(dims))
        return st_bad(f, err, "tensor \"%s\" has %d dimensions, expected %zu", v->name, t->n_dim, strlen(dims));
    for (int d = 0; d < t->n_dim; d++) {
        char dim = dims[d];
        uint64_t want = dim == 'L'   ? (uint64_t)s->n_layer
                        : dim == 'H' ? (uint64_t)s->n_head
                        : dim == 's' ? (uint64_t)e->sel.sets
                        : dim == 'n' ? (uint64_t)e->n
                        : dim == 'V' ? (uint64_t)s->n_vocab
                        : dim == '2' ? 2
                        : dim == '4' ? 4
                                     : t->dim[d];
        if (t->dim[d] != want)
            return st_bad(f, err, "dimension %d of tensor \"%s\" is %llu, expected %llu", d, v->name,
                (unsigned long long)t->dim[d], (unsigned long long)want);
        if (t->dim[d] > MOST_WORDS)
            return st_bad(f, err, "tensor \"%s\" has %llu elements, more than a request can have", v->name,
                (unsigned long long)t->dim[d]);
    }
    return KV_OK;
}

enum kv_status core_value_read(struct kv_engine *e, int i, struct kv_error *err)
{
    const struct core_value *v = &core_values[i];
    const struct st_tensor *t = st_find(&e->core->file, v->name);
    struct kv_array *a = &e->core->value[i];
    size_t count = 1;
    if (a->data || !t) return KV_OK;
    enum kv_status status = check_shape(e, v, t, err);
    if (status) return status;
    char dims[8];
    dims_of(e, v, dims);
    *a = (struct kv_array){ .type = v->type, .n_dim = t->n_dim, .unit = v->unit };
    for (int d = 0, axis = 0; d < t->n_dim; d++) {
        a->dim[d] = (size_t)t->dim[d];
        a->axis[d] = dims[d] == 's' ? "KV head" : v->axis[axis++];
        count *= a->dim[d];
    }
    a->data = read_elements(e, v, t, count, err);
    return a->data ? KV_OK : err->code;
}

enum kv_status core_ints(struct kv_engine *e, const char *name, const char *dims, char range, int32_t **out,
    size_t *n, struct kv_error *err)
{
    const struct core_value v = { .name = name, .type = KV_I32, .dims = dims, .range = range };
    const struct st_tensor *t = st_find(&e->core->file, name);
    *out = NULL;
    *n = 0;
    if (!t) return KV_OK;
    enum kv_status status = check_shape(e, &v, t, err);
    if (status) return status;
    *n = 1;
    for (int d = 0; d < t->n_dim; d++) *n *= (size_t)t->dim[d];
    *out = read_elements(e, &v, t, *n, err);
    return *out ? KV_OK : err->code;
}

/* --- what the engine asks ------------------------------------------------------------------------------------- */

/* Margins need no room in the file: (score - cut) / |cut| of tokens that competed, which have a rank; NaN of others. */
static enum kv_status make_margin(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    struct kv_array score, rank, cut;
    enum kv_status status = core_value_get(e, "score", &score, err);
    if (!status) status = core_value_get(e, "rank", &rank, err);
    if (!status) status = core_value_get(e, "cut", &cut, err);
    if (status) return status;
    size_t n = score.dim[score.n_dim - 1], cells = score.dim[0] * (size_t)e->sel.sets * n;
    free(e->value);
    double *margin = e->value = kv_alloc(cells, sizeof *margin);
    if (!margin) return kv_fail(err, KV_NO_MEMORY, "No memory for the margins of %zu tokens.", n);
    for (size_t i = 0; i < cells; i++) {
        double least = ((const float *)cut.data)[i / n], off = ((const float *)score.data)[i] - least;
        margin[i] = ((const int32_t *)rank.data)[i] < 0 ? NAN : off == 0 ? 0 : off / fabs(least);
    }
    *out = score;
    out->type = KV_F64;
    out->data = margin;
    out->unit = "";
    return KV_OK;
}

enum kv_status core_value_get(struct kv_engine *e, const char *name, struct kv_array *out, struct kv_error *err)
{
    if (!strcmp(name, "margin")) return make_margin(e, out, err);
    int i = core_value_index(name);
    enum kv_status status = i < 0 ? KV_OK : core_value_read(e, i, err);
    if (status) return status;
    if (i >= 0 && e->core->value[i].data) {
        *out = e->core->value[i];
        if (!strcmp(name, "kl") || !strcmp(name, "full") || !strcmp(name, "other")) out->dim[0] = (size_t)e->twin.n;
        return KV_OK;
    }
    if (i < 0 || core_values[i].part == KV_CORE_BASE)
        return kv_fail(err, KV_NOT_NOW, "%s is not in this core file.", name);
    return kv_fail(err, KV_NOT_NOW, "%s is not in this core file; gcore +%s writes it.", name,
        kv_core_part_name[core_values[i].part]);
}

enum kv_status core_stats(
    struct kv_engine *e, unsigned needs, int layer, struct kv_stats *out, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    *out = (struct kv_stats){ .layer = layer,
        .n = e->n,
        .n_head = s->n_head,
        .n_kv_head = s->n_kv_head,
        .sliding_window = e->set.sliding ? kv_shape_window(s, layer) : 0 };
    const struct {
        unsigned need;
        const char *name;
        const float **to;
    } kinds[] = { { KV_NEED_COLUMNS, "columns", &out->columns }, { KV_NEED_WINDOW, "stats.window", &out->window },
        { KV_NEED_LAST, "stats.last", &out->last } };
    if (needs & KV_NEED_VARIANCE)
        return kv_fail(err, KV_NOT_NOW, "How the window's rows differ is not in this core file.");
    if (needs & KV_NEED_VALUE_NORMS)
        return kv_fail(err, KV_NOT_NOW, "Lengths of values are not in this core file.");
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        struct kv_array a;
        if (!(needs & kinds[i].need)) continue;
        enum kv_status status = core_value_get(e, kinds[i].name, &a, err);
        if (status) return status;
        *kinds[i].to = (const float *)a.data + (size_t)layer * a.dim[1] * a.dim[2];
    }
    return KV_OK;
}

enum kv_status core_attention(
    struct kv_engine *e, int layer, int head, int first, int rows, float *out, size_t stride, struct kv_error *err)
{
    const struct st_file *f = &e->core->file;
    char name[48];
    snprintf(name, sizeof name, "attn.%d.%d", layer, head);
    const struct st_tensor *t = st_find(f, name);
    if (!t)
        return kv_fail(err, KV_NOT_NOW,
            "attn of layer %d head %d is not in this core file; gcore +attn %d.%d writes it.", layer, head, layer,
            head);
    if (!core_is_real(t->type) || t->n_dim != 2 || t->dim[0] != t->dim[1])
        return st_bad(f, err, "tensor \"%s\" is no square of floating-point numbers", name);
    size_t r = (size_t)t->dim[0], width = st_type_bytes[t->type];
    if ((size_t)first + (size_t)rows > r)
        return kv_fail(err, KV_BAD_ARG, "Rows %d-%d out of range; this core file has %zu (0-%zu).", first,
            first + rows - 1, r, r - 1);
    memset(out, 0, (size_t)rows * stride * sizeof *out);
    void *row = kv_alloc(r, width);
    if (!row) return kv_fail(err, KV_NO_MEMORY, "No memory for an attention row of %zu keys.", r);
    enum kv_status status = KV_OK;
    for (int i = 0; i < rows && !status; i++) {
        status = st_read(f, t, (uint64_t)(first + i) * r * width, r * width, row, err);
        for (size_t j = 0; !status && j < r && j < stride; j++)
            out[(size_t)i * stride + j] = (float)core_element(t->type, row, j);
    }
    free(row);
    return status;
}

enum kv_status core_twin(struct kv_engine *e, int n, struct kv_verdict *verdict, struct kv_error *err)
{
    struct kv_array kl, full, other;
    if (!e->core->n_twin)
        return kv_fail(
            err, KV_NOT_NOW, "No comparison is in this core file; diff before gcore would have put it there.");
    e->twin.n = n < e->core->n_twin ? n : e->core->n_twin;
    enum kv_status status = core_value_get(e, "kl", &kl, err);
    if (!status) status = core_value_get(e, "full", &full, err);
    if (!status) status = core_value_get(e, "other", &other, err);
    if (status) return status;
    struct kl_step *step = kv_alloc((size_t)e->twin.n, sizeof *step);
    if (!step) return kv_fail(err, KV_NO_MEMORY, "No memory for %d steps.", e->twin.n);
    for (int t = 0; t < e->twin.n; t++) {
        step[t] = (struct kl_step){ ((const double *)kl.data)[t], ((const int32_t *)full.data)[t],
            ((const int32_t *)other.data)[t], false };
        step[t].agree = !isnan(step[t].kl) && step[t].top_full == step[t].top_other;
    }
    status = verdict_of(step, e->twin.n, e->n_question ? 0 : 1, verdict, err);
    free(step);
    return status;
}
