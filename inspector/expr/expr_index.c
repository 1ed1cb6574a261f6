/* Indices: which elements of a named array are meant, and only those are copied, or computed. */
#include <stdlib.h>
#include <math.h>
#include <string.h>

#include "inspector/expr/expr_eval.h"
#include "inspector/expr/names.h"
#include "inspector/session.h"
#include "inspector/tokens.h"

#define ROWS_AT_ONCE 64

/* The chosen positions of one dimension. */
struct choice {
    size_t *at; /* [n], owned */
    size_t n;
    bool scalar; /* the dimension disappears */
};

static enum kv_status choose_run(struct choice *c, size_t first, size_t n, bool scalar, struct kv_error *err)
{
    *c = (struct choice){ kv_alloc(n, sizeof *c->at), n, scalar };
    if (!c->at) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu indices.", n);
    for (size_t i = 0; i < n; i++) c->at[i] = first + i;
    return KV_OK;
}

static enum kv_status out_of_range(const char *axis, long long at, size_t size, struct kv_error *err)
{
    if (axis && !strcmp(axis, "layer"))
        return kv_fail(err, KV_BAD_ARG, "Layer %lld out of range; model has %zu (0-%zu).", at, size, size - 1);
    if (axis && !strcmp(axis, "head"))
        return kv_fail(err, KV_BAD_ARG, "Head %lld out of range; model has %zu (0-%zu).", at, size, size - 1);
    if (!size)
        return kv_fail(
            err, KV_BAD_ARG, "Index %lld out of range; there is no %s yet.", at, axis ? axis : "element");
    return kv_fail(err, KV_BAD_ARG, "Index %lld out of range; there are %zu %ss (0-%zu).", at, size,
        axis ? axis : "element", size - 1);
}

/* One end of an index as a whole number; last and negative ones count from the end. */
static enum kv_status whole(struct session *s, const struct expr *e, int node, const char *axis, size_t size,
    long long *out, struct kv_error *err)
{
    if (e->node[node].kind == EXPR_LAST) {
        *out = (long long)size - 1;
        return size ? KV_OK : out_of_range(axis, -1, size, err);
    }
    struct value v;
    enum kv_status st = expr_node(s, e, node, &v, err);
    if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] > -1e15 && v.number[0] < 1e15) ||
                   v.number[0] != (double)(long long)v.number[0]))
        st = kv_fail(err, KV_BAD_ARG, "An index must be one whole number.");
    if (!st) *out = (long long)v.number[0] < 0 ? (long long)v.number[0] + (long long)size : (long long)v.number[0];
    if (!st && (*out < 0 || *out >= (long long)size)) st = out_of_range(axis, (long long)v.number[0], size, err);
    value_free(&v);
    return st;
}

static enum kv_status choose_text(
    struct session *s, const char *text, const char *axis, size_t size, struct choice *c, struct kv_error *err)
{
    if (!axis || (strcmp(axis, "position") && strcmp(axis, "row")))
        return kv_fail(err, KV_BAD_ARG, "A text can only be the index of a position or a row.");
    int32_t *list;
    int n, places;
    enum kv_status st = tokens_find(s, text, &list, &n, &places);
    if (st) return err == &s->err ? st : kv_fail(err, st, "%s", s->err.text);
    st = choose_run(c, 0, (size_t)n, false, err);
    for (int i = 0; !st && i < n; i++) {
        c->at[i] = (size_t)list[i];
        if (c->at[i] >= size) st = out_of_range(axis, list[i], size, err);
    }
    free(list);
    return st;
}

/* What the focus says about an axis, -1 = nothing. */
static int focus_of(struct session *s, const char *axis)
{
    if (!axis) return -1;
    if (!strcmp(axis, "layer")) return s->layer;
    if (!strcmp(axis, "head")) return s->head;
    if (!strcmp(axis, "KV head")) return s->head / (s->facts.n_head / s->facts.n_kv_head);
    return !strcmp(axis, "position") || !strcmp(axis, "token") ? s->token : -1;
}

static enum kv_status choose_focus(
    struct session *s, const char *axis, size_t size, struct choice *c, struct kv_error *err)
{
    int at = focus_of(s, axis);
    if (at < 0) return kv_fail(err, KV_BAD_ARG, "[] means the focus, and there is none for this index.");
    if ((size_t)at >= size) return out_of_range(axis, at, size, err);
    return choose_run(c, (size_t)at, 1, true, err);
}

/* Elements from a single index on: E@n, and what x shows. */
struct span {
    long long skip, count; /* begin so far behind the index */
    bool clip;             /* as many as there are, at least one */
};

static enum kv_status choose_span(
    const struct span *span, long long from, const char *axis, size_t size, struct choice *c, struct kv_error *err)
{
    long long last = (from += span->skip) + span->count - 1;
    if (from < 0 || from >= (long long)size) return out_of_range(axis, from, size, err);
    if (last >= (long long)size && !span->clip) return out_of_range(axis, last, size, err);
    if (last >= (long long)size) last = (long long)size - 1;
    return choose_run(c, (size_t)from, (size_t)(last - from + 1), false, err);
}

/* One index; `span` (NULL = none) stretches a single one, and of several the first. */
static enum kv_status choose(struct session *s, const struct expr *e, int node, const char *axis, size_t size,
    const struct span *span, struct choice *c, struct kv_error *err)
{
    const struct expr_node *n = &e->node[node];
    long long from, to;
    enum kv_status st;
    if (n->kind == EXPR_ALL)
        st = choose_run(c, 0, size, false, err);
    else if (n->kind == EXPR_FOCUS)
        st = choose_focus(s, axis, size, c, err);
    else if (n->kind == EXPR_TEXT)
        st = choose_text(s, e->pool + n->text, axis, size, c, err);
    else if (n->kind == EXPR_RANGE) {
        if ((st = whole(s, e, n->left, axis, size, &from, err)) ||
            (st = whole(s, e, n->right, axis, size, &to, err)))
            return st;
        if (to < from) return kv_fail(err, KV_BAD_ARG, "The range %lld..%lld runs backwards.", from, to);
        st = choose_run(c, (size_t)from, (size_t)(to - from + 1), false, err);
    } else {
        if ((st = whole(s, e, node, axis, size, &from, err))) return st;
        st = choose_run(c, (size_t)from, 1, true, err);
    }
    if (st || !span || (!c->scalar && !span->clip)) return st;
    from = c->n ? (long long)c->at[0] : 0;
    free(c->at);
    *c = (struct choice){ 0 };
    return choose_span(span, from, axis, size, c, err);
}

/* --- copying what was chosen ------------------------------------------------------------------------------------- */

static enum kv_status copy_chosen(const struct kv_array *a, const struct choice *c, struct value *out)
{
    size_t step[VALUE_DIMS], at[VALUE_DIMS] = { 0 }, stride = 1;
    for (int d = a->n_dim - 1; d >= 0; d--) {
        step[d] = stride;
        stride *= a->dim[d];
    }
    for (size_t i = 0; i < out->count; i++) {
        size_t from = 0;
        for (int d = 0; d < a->n_dim; d++) from += c[d].at[at[d]] * step[d];
        out->number[i] = array_number(a, from);
        for (int d = a->n_dim - 1; d >= 0 && ++at[d] == c[d].n; d--) at[d] = 0;
    }
    return KV_OK;
}

/* Rows that are made on demand are asked for in runs of consecutive ones; nothing N x N is ever held. */
static enum kv_status copy_rows(
    struct session *s, const struct named *named, const struct choice *c, struct value *out, struct kv_error *err)
{
    const struct kv_array *a = &named->array;
    int rows = a->n_dim - 2, columns = a->n_dim - 1;
    size_t width = a->dim[columns], to = 0, outer = rows > 1 ? c[1].n : 1;
    float *block = kv_alloc((size_t)ROWS_AT_ONCE * width, sizeof *block);
    enum kv_status st = block ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %d rows.", ROWS_AT_ONCE);
    for (size_t l = 0; l < c[0].n; l++)
        for (size_t h = 0; h < outer; h++)
            for (size_t i = 0; !st && i < c[rows].n;) {
                const size_t lead[] = { c[0].at[l], rows > 1 ? c[1].at[h] : 0 };
                size_t n = 1;
                while (n < ROWS_AT_ONCE && i + n < c[rows].n && c[rows].at[i + n] == c[rows].at[i] + n) n++;
                st = named->rows(s, lead, c[rows].at[i], n, width, block, err);
                for (size_t r = 0; !st && r < n; r++)
                    for (size_t j = 0; j < c[columns].n; j++)
                        out->number[to++] = block[r * width + c[columns].at[j]];
                i += n;
            }
    free(block);
    return st;
}

/* Shared sets answer for every head: kept[l][h][j] drops a checked h. */
static enum kv_status drop_head(
    struct session *s, const struct expr *e, const struct kv_array *a, int *part, int *n, struct kv_error *err)
{
    bool shared = *n == 3 && a->n_dim == 2 && a->axis[0] && a->axis[1] && !strcmp(a->axis[0], "layer") &&
                  !strcmp(a->axis[1], "position");
    if (!shared) return KV_OK;
    struct choice c = { 0 };
    enum kv_status st = choose(s, e, part[1], "head", (size_t)s->facts.n_head, NULL, &c, err);
    free(c.at);
    part[1] = part[2];
    *n = 2;
    return st;
}

/* What of an array is asked for. */
struct request {
    const struct expr_node *base; /* what has the indices */
    int part[8], n;               /* index nodes */
    const struct span *span;      /* of the last dimension; with clip, the focus stands in for indices left out */
    bool shape_only;              /* no numbers */
};

/* Sets of KV heads are asked for by query head too: kept[l][h][j]; without h the focus stands for it. */
static bool of_kv_heads(const struct kv_array *a, const struct request *r)
{
    return (r->n == 2 || r->n == 3) && a->n_dim == 3 && a->data && a->axis[1] && a->axis[2] &&
           !strcmp(a->axis[1], "KV head") && !strcmp(a->axis[2], "position");
}

static enum kv_status choose_set(
    struct session *s, const struct expr *e, const struct request *r, struct choice *c, struct kv_error *err)
{
    if (r->n == 2) return choose_focus(s, "KV head", (size_t)s->facts.n_kv_head, c, err);
    bool all = e->node[r->part[1]].kind == EXPR_ALL;
    size_t heads = (size_t)(all ? s->facts.n_kv_head : s->facts.n_head);
    enum kv_status st = choose(s, e, r->part[1], "head", heads, NULL, c, err);
    for (size_t i = 0; i < c->n && !st && !all; i++) c->at[i] = (size_t)session_kv_head(s, (int)c->at[i]);
    return st;
}

/* The choice of every dimension, and the dimensions that stay. */
static enum kv_status choose_all(struct session *s, const struct expr *e, const struct kv_array *a,
    const struct request *r, struct choice *c, size_t *dim, int *n_dim, struct kv_error *err)
{
    enum kv_status st = KV_OK;
    bool window = r->span && r->span->clip;
    *n_dim = 0;
    bool sets = !window && of_kv_heads(a, r);
    for (int d = 0; !st && d < a->n_dim; d++) {
        bool last = d == (window || sets ? a->n_dim : r->n) - 1;
        if (sets && d == 1)
            st = choose_set(s, e, r, &c[d], err);
        else if (d < r->n || sets)
            st = choose(
                s, e, r->part[d < r->n ? d : r->n - 1], a->axis[d], a->dim[d], last ? r->span : NULL, &c[d], err);
        else if (window && last)
            st = choose_span(r->span, 0, a->axis[d], a->dim[d], &c[d], err);
        else if (window)
            st = choose_focus(s, a->axis[d], a->dim[d], &c[d], err);
        else
            st = choose_run(&c[d], 0, a->dim[d], false, err);
        if (!st && !c[d].scalar) dim[(*n_dim)++] = c[d].n;
    }
    return st;
}

/* Room for the numbers, and the numbers; or their shape alone. */
static enum kv_status fill(struct session *s, const struct named *named, const struct choice *c,
    const struct request *r, int n_dim, const size_t *dim, struct value *out, struct kv_error *err)
{
    if (r->shape_only) {
        *out = (struct value){ .kind = VALUE_NUMBER, .n_dim = n_dim, .count = 1 };
        for (int d = 0; d < n_dim; d++) out->dim[d] = dim[d], out->count *= dim[d];
        return KV_OK;
    }
    enum kv_status st = value_array(out, n_dim, dim, err);
    if (st) return st;
    return named->kind == NAMED_ROWS ? copy_rows(s, named, c, out, err) : copy_chosen(&named->array, c, out);
}

static enum kv_status resolve(
    struct session *s, const struct expr *e, const struct expr_node *n, struct named *named, struct kv_error *err)
{
    *named = (struct named){ .kind = NAMED_VALUE };
    if (n->kind == EXPR_NAME) return names_find(s, e->pool + n->text, named, err);
    if (n->kind == EXPR_DOLLAR) return names_dollar(s, e->pool + n->text, &named->value, err);
    if (n->kind == EXPR_ALL || n->kind == EXPR_RANGE || n->kind == EXPR_LAST || n->kind == EXPR_FOCUS)
        return kv_fail(err, KV_BAD_ARG, "A range, *, last and [] only have a meaning inside an index.");
    return expr_node(s, e, (int)(n - e->node), &named->value, err);
}

/* Whether an index may ask for values itself: these may take the place of the array that it chooses from. */
static bool computed_index(const struct expr *e, const struct request *r)
{
    for (int i = 0; i < r->n; i++) {
        enum expr_kind kind = e->node[r->part[i]].kind;
        if (kind != EXPR_NUMBER && kind != EXPR_ALL && kind != EXPR_LAST && kind != EXPR_FOCUS) return true;
    }
    return false;
}

static enum kv_status index_named(struct session *s, const struct expr *e, struct named *named, struct request *r,
    struct value *out, struct kv_error *err)
{
    static const int bytes[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    const struct kv_array *a = &named->array;
    struct choice c[VALUE_DIMS] = { { 0 } };
    size_t dim[VALUE_DIMS];
    int n_dim = 0;
    bool again = named->kind == NAMED_ARRAY && computed_index(e, r);
    enum kv_status st = drop_head(s, e, a, r->part, &r->n, err);
    if (!st && r->n && !a->n_dim) st = kv_fail(err, KV_BAD_ARG, "A single number has no elements.");
    if (!st && r->n > a->n_dim)
        st = kv_fail(
            err, KV_BAD_ARG, "Too many indices: this has %d dimension%s.", a->n_dim, a->n_dim == 1 ? "" : "s");
    if (!st) st = choose_all(s, e, a, r, c, dim, &n_dim, err);
    if (!st && again) st = resolve(s, e, r->base, named, err);
    if (!st) st = fill(s, named, c, r, n_dim, dim, out, err);
    for (int d = 0, to = 0; d < VALUE_DIMS; d++) {
        bool stays = !st && d < a->n_dim && !c[d].scalar;
        if (!stays) {
            free(c[d].at);
            continue;
        }
        out->axis[to] = a->axis[d];
        out->at[to++] = c[d].at; /* moved */
    }
    if (st) {
        value_free(out);
        return st;
    }
    out->names = named->names;
    out->width = named->kind == NAMED_VALUE ? named->value.width : bytes[a->type];
    out->integral = a->type == KV_I32 || a->type == KV_U8 || named->value.integral;
    snprintf(out->unit, sizeof out->unit, "%s", a->unit ? a->unit : "");
    return KV_OK;
}

/* A finished value seen as an array, so that $1[3] works. */
static void as_array(struct named *named)
{
    const struct value *v = &named->value;
    named->array = (struct kv_array){ .type = KV_F64, .n_dim = v->n_dim, .data = v->number, .unit = v->unit };
    for (int d = 0; d < v->n_dim; d++) named->array.dim[d] = v->dim[d], named->array.axis[d] = v->axis[d];
    named->names = v->names;
}

/* Collects the indices of a node and the node that they belong to. */
static enum kv_status read_indices(const struct expr *e, int node, struct request *r, struct kv_error *err)
{
    bool indexed = e->node[node].kind == EXPR_INDEX;
    r->base = &e->node[indexed ? e->node[node].left : node];
    r->n = 0;
    for (int at = indexed ? e->node[node].first : -1; at >= 0; at = e->node[at].next) {
        if (r->n == (int)KV_COUNT(r->part)) return kv_fail(err, KV_BAD_ARG, "Too many indices.");
        r->part[r->n++] = at;
    }
    return KV_OK;
}

static enum kv_status index_value(struct session *s, const struct expr *e, int node, struct request *r,
    struct named *named, struct value *out, struct kv_error *err)
{
    *out = (struct value){ 0 };
    *named = (struct named){ .kind = NAMED_VALUE };
    enum kv_status st = read_indices(e, node, r, err);
    if (!st) st = resolve(s, e, r->base, named, err);
    if (!st && named->kind == NAMED_VALUE) {
        if (!r->n && !r->span) {
            *out = named->value;
            named->value = (struct value){ 0 };
            return KV_OK;
        }
        if (named->value.kind != VALUE_NUMBER)
            st = kv_fail(err, KV_BAD_ARG, "Only an array of numbers has elements.");
        else
            as_array(named);
    }
    if (!st) st = index_named(s, e, named, r, out, err);
    value_free(&named->value);
    return st;
}

/* A single entropy that its layer has not observed yet says so; in an array it is nan. */
static enum kv_status not_yet(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err)
{
    static const char *const observed[] = { "entropy", "E", "entropy_q" };
    const struct expr_node *n = &e->node[node];
    struct kv_where w;
    if (out->kind != VALUE_NUMBER || out->n_dim || !isnan(out->number[0]) || !kv_started(s->engine)) return KV_OK;
    const char *name = n->kind == EXPR_INDEX ? e->pool + e->node[n->left].text : e->pool + n->text;
    bool is = n->kind == EXPR_INDEX ? e->node[n->left].kind == EXPR_NAME : n->kind == EXPR_NAME;
    kv_where(s->engine, &w);
    if (!is || w.phase != KV_PHASE_prefill) return KV_OK;
    for (size_t i = 0; i < KV_COUNT(observed); i++) {
        if (strcmp(name, observed[i])) continue;
        value_free(out);
        return kv_fail(
            err, KV_NOT_NOW, "%s is not available before its layer is observed (now in prefill:%d).", name, w.pass);
    }
    return KV_OK;
}

enum kv_status expr_index(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err)
{
    struct request r = { 0 };
    struct named named;
    enum kv_status st = index_value(s, e, node, &r, &named, out, err);
    return st ? st : not_yet(s, e, node, out, err);
}

enum kv_status expr_repeat(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    struct value many;
    struct named named;
    *out = (struct value){ 0 };
    enum kv_status st = expr_node(s, e, n->right, &many, err);
    if (!st && (many.kind != VALUE_NUMBER || many.n_dim ||
                   !(many.number[0] >= 1 && many.number[0] <= (double)VALUE_LIMIT)))
        st = kv_fail(err, KV_BAD_ARG, "Invalid number %g of repetitions.",
            many.kind == VALUE_NUMBER && !many.n_dim ? many.number[0] : 0.0);
    const struct span span = { 0, st ? 0 : (long long)many.number[0], false };
    value_free(&many);
    if (st) return st;
    if (e->node[n->left].kind != EXPR_INDEX)
        return kv_fail(err, KV_BAD_ARG, "Only values with an index can be extended with '@'.");
    struct request r = { .span = &span };
    return index_value(s, e, n->left, &r, &named, out, err);
}

enum kv_status expr_shape(
    struct session *s, const struct expr *e, struct value *out, const char **where, struct kv_error *err)
{
    const struct expr_node *root = &e->node[e->root];
    struct request r = { .shape_only = true };
    struct named named;
    *where = NULL;
    if (root->kind == EXPR_ASSIGN) return expr_node(s, e, root->right, out, err);
    if (root->kind != EXPR_NAME && root->kind != EXPR_INDEX) return expr_eval(s, e, out, err);
    bool computed = s->computed;
    enum kv_status st = index_value(s, e, e->root, &r, &named, out, err);
    s->computed = computed;
    if (!st && named.kind == NAMED_ARRAY) *where = "host";
    if (!st && named.kind == NAMED_ROWS) *where = "made on demand";
    return st;
}

enum kv_status expr_window(struct session *s, const struct expr *e, long long skip, long long count,
    struct value *out, bool *indexed, char focus[64], struct kv_error *err)
{
    const struct span span = { skip, count, true };
    struct request r = { .span = &span };
    struct named named;
    enum kv_status st = index_value(s, e, e->root, &r, &named, out, err);
    *indexed = !st && r.n >= named.array.n_dim;
    focus[0] = '\0';
    size_t at = 0;
    for (int d = r.n; !st && d < named.array.n_dim - 1; d++)
        at += (size_t)snprintf(focus + at, 64 - at, "[%d]", focus_of(s, named.array.axis[d]));
    if (!st && out->n_dim != 1) {
        value_free(out);
        st = kv_fail(err, KV_BAD_ARG, "x shows one row: give every index but the last as one number.");
    }
    return st;
}
