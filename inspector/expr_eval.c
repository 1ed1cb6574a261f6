/* Evaluation: operators element by element, and calls. Indexing is in expr_index.c. */
#include "inspector/expr_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/session.h"

/* --- operators --------------------------------------------------------------------------------------------------- */

static double apply(enum expr_op op, double a, double b, bool integral)
{
    switch (op) {
    case EXPR_EQ: return a == b;
    case EXPR_NE: return a != b;
    case EXPR_LT: return a < b;
    case EXPR_LE: return a <= b;
    case EXPR_GT: return a > b;
    case EXPR_GE: return a >= b;
    case EXPR_ADD: return a + b;
    case EXPR_SUB: return a - b;
    case EXPR_MUL: return a * b;
    case EXPR_DIV: return integral ? trunc(a / b) : a / b;
    case EXPR_MOD: return fmod(a, b);
    default: return NAN;
    }
}

static enum kv_status compare_texts(
    enum expr_op op, const struct value *a, const struct value *b, struct value *out, struct kv_error *err)
{
    if (a->kind != b->kind || (op != EXPR_EQ && op != EXPR_NE))
        return kv_fail(err, KV_BAD_ARG, "A text can only be compared with == or != to another text.");
    return value_scalar(out, (strcmp(a->text, b->text) == 0) == (op == EXPR_EQ), true, "", err);
}

static enum kv_status arithmetic(
    enum expr_op op, const struct value *a, const struct value *b, struct value *out, struct kv_error *err)
{
    if (a->kind == VALUE_TEXT || b->kind == VALUE_TEXT) return compare_texts(op, a, b, out, err);
    if (a->kind == VALUE_VOID || b->kind == VALUE_VOID)
        return kv_fail(err, KV_BAD_ARG, "One side of the operator is void: it has no value yet.");
    bool same = a->n_dim == b->n_dim && !memcmp(a->dim, b->dim, (size_t)a->n_dim * sizeof a->dim[0]);
    if (!same && a->n_dim && b->n_dim)
        return kv_fail(err, KV_BAD_ARG, "The arrays on both sides of an operator must have the same shape.");
    const struct value *shape = a->n_dim ? a : b;
    bool integral = a->integral && b->integral, ordering = op >= EXPR_EQ && op <= EXPR_GE;
    enum kv_status st = value_array(out, shape->n_dim, shape->dim, err);
    for (size_t i = 0; !st && i < out->count; i++) {
        double x = a->number[a->n_dim ? i : 0], y = b->number[b->n_dim ? i : 0];
        if ((op == EXPR_MOD || (op == EXPR_DIV && integral)) && y == 0)
            st = kv_fail(err, KV_BAD_ARG, "Division by zero");
        out->number[i] = apply(op, x, y, integral);
    }
    if (st) {
        value_free(out);
        return st;
    }
    out->integral = integral || ordering;
    /* A unit survives sums of like with like and scaling by a plain number; a ratio of likes has none. */
    bool scaled = (op == EXPR_MUL && (!*a->unit || !*b->unit)) || (op == EXPR_DIV && !*b->unit);
    bool sum = (op == EXPR_ADD || op == EXPR_SUB || op == EXPR_MOD) &&
               (!strcmp(a->unit, b->unit) || !*a->unit || !*b->unit);
    if (scaled || sum) memcpy(out->unit, *a->unit ? a->unit : b->unit, sizeof out->unit);
    return KV_OK;
}

static enum kv_status unary(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    enum kv_status st = expr_node(s, e, n->left, out, err);
    if (st) return st;
    if (out->kind != VALUE_NUMBER) {
        value_free(out);
        return kv_fail(err, KV_BAD_ARG, "%s needs a number.", n->op == EXPR_NEG ? "-" : "!");
    }
    for (size_t i = 0; i < out->count; i++) out->number[i] = n->op == EXPR_NEG ? -out->number[i] : !out->number[i];
    out->names = VALUE_PLAIN;
    if (n->op == EXPR_NOT) {
        out->integral = true;
        out->unit[0] = '\0';
    }
    return KV_OK;
}

static enum kv_status truth(struct session *s, const struct expr *e, int node, bool *out, struct kv_error *err)
{
    struct value v;
    enum kv_status st = expr_node(s, e, node, &v, err);
    if (!st) st = value_true(&v, out, err);
    value_free(&v);
    return st;
}

static enum kv_status binary(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    struct value a = { 0 }, b = { 0 };
    if (n->op == EXPR_AND || n->op == EXPR_OR) {
        bool yes;
        enum kv_status st = truth(s, e, n->left, &yes, err);
        if (!st && yes == (n->op == EXPR_AND)) st = truth(s, e, n->right, &yes, err);
        return st ? st : value_scalar(out, yes, true, "", err);
    }
    enum kv_status st = n->op == EXPR_AT ? expr_repeat(s, e, n, out, err) : KV_OK;
    if (n->op == EXPR_AT || st) return st;
    st = expr_node(s, e, n->left, &a, err);
    if (!st) st = expr_node(s, e, n->right, &b, err);
    if (!st) st = arithmetic(n->op, &a, &b, out, err);
    value_free(&a);
    value_free(&b);
    return st;
}

/* --- functions --------------------------------------------------------------------------------------------------- */

static double fold_sum(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum;
}
static double fold_mean(const double *v, size_t n) { return fold_sum(v, n) / (double)n; }
static double fold_count(const double *v, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += v[i] != 0;
    return (double)count;
}
static double fold_any(const double *v, size_t n) { return fold_count(v, n) > 0; }
static double fold_all(const double *v, size_t n) { return fold_count(v, n) == (double)n; }
static double fold_argmax(const double *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return (double)best;
}
static double fold_argmin(const double *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] < v[best]) best = i;
    return (double)best;
}
static double fold_max(const double *v, size_t n) { return v[(size_t)fold_argmax(v, n)]; }
static double fold_min(const double *v, size_t n) { return v[(size_t)fold_argmin(v, n)]; }
static double fold_len(const double *v, size_t n) { return v ? (double)n : 0; }
static double fold_std(const double *v, size_t n)
{
    double mean = fold_mean(v, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / (double)n);
}

static const struct function {
    const char *name;
    double (*fold)(const double *v, size_t n);          /* of a whole array, or */
    double (*map)(double x);                            /* element by element */
    enum { GIVES_KIND, GIVES_REAL, GIVES_INDEX } gives; /* same type and unit; a fraction of that unit; a count */
} functions[] = {
    { "sum", fold_sum, NULL, GIVES_KIND },
    { "mean", fold_mean, NULL, GIVES_REAL },
    { "min", fold_min, NULL, GIVES_KIND },
    { "max", fold_max, NULL, GIVES_KIND },
    { "std", fold_std, NULL, GIVES_REAL },
    { "argmax", fold_argmax, NULL, GIVES_INDEX },
    { "argmin", fold_argmin, NULL, GIVES_INDEX },
    { "count", fold_count, NULL, GIVES_INDEX },
    { "any", fold_any, NULL, GIVES_INDEX },
    { "all", fold_all, NULL, GIVES_INDEX },
    { "len", fold_len, NULL, GIVES_INDEX },
    { "abs", NULL, fabs, GIVES_KIND },
    { "sqrt", NULL, sqrt, GIVES_REAL },
    { "log", NULL, log, GIVES_REAL },
    { "log2", NULL, log2, GIVES_REAL },
    { "exp", NULL, exp, GIVES_REAL },
};

const char *expr_function(int index)
{
    return index >= 0 && (size_t)index < KV_COUNT(functions) ? functions[index].name : NULL;
}

static enum kv_status no_function(const char *name, struct kv_error *err)
{
    char list[160] = "";
    for (size_t i = 0, at = 0; i < KV_COUNT(functions); i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? " " : "", functions[i].name);
    return kv_fail(err, KV_NOT_FOUND, "No function \"%.60s\"; there are: %s.", name, list);
}

static enum kv_status call(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    const char *name = e->pool + n->text;
    const struct function *f = NULL;
    for (size_t i = 0; i < KV_COUNT(functions); i++)
        if (!strcmp(name, functions[i].name)) f = &functions[i];
    if (!f) return no_function(name, err);
    if (n->first < 0 || e->node[n->first].next >= 0)
        return kv_fail(err, KV_BAD_ARG, "%s takes one argument.", name);
    struct value v;
    enum kv_status st = expr_node(s, e, n->first, &v, err);
    if (!st && (v.kind != VALUE_NUMBER || !v.count))
        st = kv_fail(err, KV_BAD_ARG, "%s needs numbers, not %s.", name,
            v.kind == VALUE_TEXT   ? "a text"
            : v.kind == VALUE_VOID ? "void"
                                   : "an empty array");
    if (!st && f->map) {
        for (size_t i = 0; i < v.count; i++) v.number[i] = f->map(v.number[i]);
        if (f->gives == GIVES_REAL) v.integral = false;
        v.names = VALUE_PLAIN;
        *out = v;
        return KV_OK;
    }
    if (!st)
        st = value_scalar(out, f->fold(v.number, v.count),
            f->gives == GIVES_INDEX || (f->gives == GIVES_KIND && v.integral),
            f->gives == GIVES_INDEX ? "" : v.unit, err);
    value_free(&v);
    return st;
}

enum kv_status expr_node(struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err)
{
    const struct expr_node *n = &e->node[node];
    bool yes;
    enum kv_status st;
    *out = (struct value){ 0 };
    switch (n->kind) {
    case EXPR_NUMBER: return value_scalar(out, n->number, n->integral, "", err);
    case EXPR_TEXT: return value_text(out, e->pool + n->text, err);
    case EXPR_UNARY: return unary(s, e, n, out, err);
    case EXPR_BINARY: return binary(s, e, n, out, err);
    case EXPR_CALL: return call(s, e, n, out, err);
    case EXPR_CHOICE:
        st = truth(s, e, n->left, &yes, err);
        return st ? st : expr_node(s, e, yes ? n->right : n->first, out, err);
    default: return expr_index(s, e, node, out, err);
    }
}

enum kv_status expr_eval(struct session *s, const struct expr *e, struct value *out, struct kv_error *err)
{
    enum kv_status st = expr_node(s, e, e->root, out, err);
    if (st) value_free(out);
    return st;
}

enum kv_status expr_text(struct session *s, const char *text, struct value *out, struct kv_error *err)
{
    struct expr e;
    *out = (struct value){ 0 };
    enum kv_status st = expr_parse_all(text, &e, err);
    return st ? st : expr_eval(s, &e, out, err);
}
