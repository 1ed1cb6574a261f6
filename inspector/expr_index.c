/* Indices: which elements of a named array are meant, and only those are copied, or computed. */
#include <stdlib.h>
#include <string.h>

#include "inspector/expr_eval.h"
#include "inspector/names.h"
#include "inspector/session.h"
#include "inspector/tokens.h"

#define ATTENTION_ROWS 64 /* asked for at once */

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
    if (!axis || strcmp(axis, "position"))
        return kv_fail(err, KV_BAD_ARG, "A text can only be the index of a position.");
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

static enum kv_status choose_focus(
    struct session *s, const char *axis, size_t size, struct choice *c, struct kv_error *err)
{
    int at = !axis                                                 ? -1
             : !strcmp(axis, "layer")                              ? s->layer
             : !strcmp(axis, "head")                               ? s->head
             : !strcmp(axis, "position") || !strcmp(axis, "token") ? s->token
                                                                   : -1;
    if (at < 0) return kv_fail(err, KV_BAD_ARG, "[] means the focus, and there is none for this index.");
    if ((size_t)at >= size) return out_of_range(axis, at, size, err);
    return choose_run(c, (size_t)at, 1, true, err);
}

/* `many` > 0: that many from the (single) index on, for E@n. */
static enum kv_status choose(struct session *s, const struct expr *e, int node, const char *axis, size_t size,
    long long many, struct choice *c, struct kv_error *err)
{
    const struct expr_node *n = &e->node[node];
    long long from, to;
    enum kv_status st;
    if (n->kind == EXPR_ALL) return choose_run(c, 0, size, false, err);
    if (n->kind == EXPR_FOCUS) return choose_focus(s, axis, size, c, err);
    if (n->kind == EXPR_TEXT) return choose_text(s, e->pool + n->text, axis, size, c, err);
    if (n->kind == EXPR_RANGE) {
        if ((st = whole(s, e, n->left, axis, size, &from, err)) ||
            (st = whole(s, e, n->right, axis, size, &to, err)))
            return st;
        if (to < from) return kv_fail(err, KV_BAD_ARG, "The range %lld..%lld runs backwards.", from, to);
        return choose_run(c, (size_t)from, (size_t)(to - from + 1), false, err);
    }
    if ((st = whole(s, e, node, axis, size, &from, err))) return st;
    if (!many) return choose_run(c, (size_t)from, 1, true, err);
    if (from + many > (long long)size) return out_of_range(axis, from + many - 1, size, err);
    return choose_run(c, (size_t)from, (size_t)many, false, err);
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

/* Attention rows are asked for in runs of consecutive ones; nothing N x N is ever held. */
static enum kv_status copy_attention(
    struct session *s, const struct kv_array *a, const struct choice *c, struct value *out, struct kv_error *err)
{
    size_t width = a->dim[3], to = 0;
    float *block = kv_alloc((size_t)ATTENTION_ROWS * width, sizeof *block);
    enum kv_status st =
        block ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %d attention rows.", ATTENTION_ROWS);
    for (size_t l = 0; l < c[0].n; l++)
        for (size_t h = 0; h < c[1].n; h++)
            for (size_t i = 0; !st && i < c[2].n;) {
                size_t n = 1;
                while (n < ATTENTION_ROWS && i + n < c[2].n && c[2].at[i + n] == c[2].at[i] + n) n++;
                st = kv_attention(
                    s->engine, (int)c[0].at[l], (int)c[1].at[h], (int)c[2].at[i], (int)n, block, width, err);
                for (size_t r = 0; !st && r < n; r++)
                    for (size_t j = 0; j < c[3].n; j++) out->number[to++] = block[r * width + c[3].at[j]];
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
    enum kv_status st = choose(s, e, part[1], "head", (size_t)s->facts.n_head, 0, &c, err);
    free(c.at);
    part[1] = part[2];
    *n = 2;
    return st;
}

static enum kv_status index_named(struct session *s, const struct expr *e, struct named *named, int *part, int n,
    long long many, struct value *out, struct kv_error *err)
{
    const struct kv_array *a = &named->array;
    struct choice c[VALUE_DIMS] = { { 0 } };
    size_t dim[VALUE_DIMS];
    int n_dim = 0;
    enum kv_status st = drop_head(s, e, a, part, &n, err);
    if (!st && n > a->n_dim)
        st = kv_fail(
            err, KV_BAD_ARG, "Too many indices: this has %d dimension%s.", a->n_dim, a->n_dim == 1 ? "" : "s");
    for (int d = 0; !st && d < a->n_dim; d++) {
        if (d < n)
            st = choose(s, e, part[d], a->axis[d], a->dim[d], d == n - 1 ? many : 0, &c[d], err);
        else
            st = choose_run(&c[d], 0, a->dim[d], false, err);
        if (!st && !c[d].scalar) dim[n_dim++] = c[d].n;
    }
    if (!st) st = value_array(out, n_dim, dim, err);
    if (!st) st = named->kind == NAMED_ATTENTION ? copy_attention(s, a, c, out, err) : copy_chosen(a, c, out);
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
    static const int bytes[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
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

static enum kv_status index_many(
    struct session *s, const struct expr *e, int node, long long many, struct value *out, struct kv_error *err)
{
    const struct expr_node *n = &e->node[node];
    bool indexed = n->kind == EXPR_INDEX;
    int part[8], count = 0;
    struct named named;
    *out = (struct value){ 0 };
    for (int at = indexed ? n->first : -1; at >= 0; at = e->node[at].next) {
        if (count == (int)KV_COUNT(part)) return kv_fail(err, KV_BAD_ARG, "Too many indices.");
        part[count++] = at;
    }
    enum kv_status st = resolve(s, e, indexed ? &e->node[n->left] : n, &named, err);
    if (!st && named.kind == NAMED_VALUE) {
        if (!count && !many) {
            *out = named.value;
            return KV_OK;
        }
        if (named.value.kind != VALUE_NUMBER)
            st = kv_fail(err, KV_BAD_ARG, "Only an array of numbers has elements.");
        else
            as_array(&named);
    }
    if (!st) st = index_named(s, e, &named, part, count, many, out, err);
    value_free(&named.value);
    return st;
}

enum kv_status expr_index(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err)
{
    return index_many(s, e, node, 0, out, err);
}

enum kv_status expr_repeat(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    struct value many;
    *out = (struct value){ 0 };
    enum kv_status st = expr_node(s, e, n->right, &many, err);
    if (!st && (many.kind != VALUE_NUMBER || many.n_dim ||
                   !(many.number[0] >= 1 && many.number[0] <= (double)VALUE_LIMIT)))
        st = kv_fail(err, KV_BAD_ARG, "Invalid number %g of repetitions.",
            many.kind == VALUE_NUMBER && !many.n_dim ? many.number[0] : 0.0);
    long long count = st ? 0 : (long long)many.number[0];
    value_free(&many);
    if (st) return st;
    if (e->node[n->left].kind != EXPR_INDEX)
        return kv_fail(err, KV_BAD_ARG, "Only values with an index can be extended with '@'.");
    return index_many(s, e, n->left, count, out, err);
}
