/* Evaluation: operators element by element, and assignment. Indexing is in expr_index.c, calls are in expr_call.c. */
#include "inspector/expr/expr_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/names.h"
#include "inspector/session.h"

/* --- operators --------------------------------------------------------------------------------------------------- */

static int64_t apply_bits(enum expr_op op, int64_t a, int64_t b)
{
    switch (op) {
    case EXPR_BIT_OR: return a | b;
    case EXPR_BIT_XOR: return a ^ b;
    case EXPR_BIT_AND: return a & b;
    case EXPR_SHL: return (int64_t)((uint64_t)a << b);
    default: return a >> b;
    }
}

static bool is_bits(enum expr_op op)
{
    return op == EXPR_BIT_OR || op == EXPR_BIT_XOR || op == EXPR_BIT_AND || op == EXPR_SHL || op == EXPR_SHR;
}

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
    default: return (double)apply_bits(op, (int64_t)a, (int64_t)b);
    }
}

/* Bits are those of a long; what is shifted out is gone, as in GDB. */
static enum kv_status check_bits(enum expr_op op, double a, double b, struct kv_error *err)
{
    if (!(fabs(a) < 9.2e18) || !(fabs(b) < 9.2e18))
        return kv_fail(err, KV_BAD_ARG, "That number has more bits than the 64 that & | ^ ~ << >> work on.");
    if ((op == EXPR_SHL || op == EXPR_SHR) && !(b >= 0 && b < 64))
        return kv_fail(err, KV_BAD_ARG, "A shift count must be in 0..63, not %g.", b);
    return KV_OK;
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
    if (is_bits(op) && !(a->integral && b->integral))
        return kv_fail(err, KV_BAD_ARG, "Integer-only operation on floating point number.");
    bool integral = a->integral && b->integral, ordering = op >= EXPR_EQ && op <= EXPR_GE;
    enum kv_status st = value_array(out, shape->n_dim, shape->dim, err);
    for (size_t i = 0; !st && i < out->count; i++) {
        double x = a->number[a->n_dim ? i : 0], y = b->number[b->n_dim ? i : 0];
        if ((op == EXPR_MOD || (op == EXPR_DIV && integral)) && y == 0)
            st = kv_fail(err, KV_BAD_ARG, "Division by zero");
        if (is_bits(op)) st = check_bits(op, x, y, err);
        if (!st) out->number[i] = apply(op, x, y, integral);
        if (integral) out->number[i] += 0.0; /* whole numbers have no -0 */
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

static enum kv_status eval_unary(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    enum kv_status st = expr_node(s, e, n->left, out, err);
    if (st) return st;
    if (n->op == EXPR_NOT && out->kind == VALUE_VOID) return value_scalar(out, 1, true, "", err);
    if (out->kind != VALUE_NUMBER || (n->op == EXPR_COMPL && !out->integral)) {
        bool number = out->kind == VALUE_NUMBER;
        value_free(out);
        if (number) return kv_fail(err, KV_BAD_ARG, "Argument to complement operation not an integer, boolean.");
        return kv_fail(err, KV_BAD_ARG, "%c needs a number.", "-!~+"[n->op - EXPR_NEG]);
    }
    for (size_t i = 0; i < out->count && !st; i++) {
        double x = out->number[i];
        if (n->op == EXPR_COMPL) st = check_bits(EXPR_COMPL, x, 0, err);
        if (st) break;
        if (n->op == EXPR_NEG) out->number[i] = out->integral ? 0 - x : -x;
        if (n->op == EXPR_NOT) out->number[i] = !x;
        if (n->op == EXPR_COMPL) out->number[i] = -x - 1;
    }
    out->names = VALUE_PLAIN;
    out->width = 0;
    if (n->op == EXPR_NOT) {
        out->integral = true;
        out->unit[0] = '\0';
    }
    if (st) value_free(out);
    return st;
}

static enum kv_status truth(struct session *s, const struct expr *e, int node, bool *out, struct kv_error *err)
{
    struct value v;
    enum kv_status st = expr_node(s, e, node, &v, err);
    if (!st) st = value_true(&v, out, err);
    value_free(&v);
    return st;
}

static enum kv_status eval_binary(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    struct value a = { 0 }, b = { 0 };
    if (n->op == EXPR_AND || n->op == EXPR_OR) {
        bool yes;
        enum kv_status st = truth(s, e, n->left, &yes, err);
        if (!st && yes == (n->op == EXPR_AND)) st = truth(s, e, n->right, &yes, err);
        return st ? st : value_scalar(out, yes, true, "", err);
    }
    if (n->op == EXPR_AT) return expr_repeat(s, e, n, out, err);
    enum kv_status st;
    if (n->op == EXPR_COMMA) {
        st = expr_node(s, e, n->left, &a, err);
        value_free(&a);
        return st ? st : expr_node(s, e, n->right, out, err);
    }
    st = expr_node(s, e, n->left, &a, err);
    if (!st) st = expr_node(s, e, n->right, &b, err);
    if (!st) st = arithmetic(n->op, &a, &b, out, err);
    value_free(&a);
    value_free(&b);
    return st;
}

/* $name = value, or a setting: what it has from then on is the result. */
static enum kv_status assign(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    struct value old = { 0 }, right = { 0 }, stored = { 0 };
    const struct expr_node *to = &e->node[n->left];
    enum kv_status st = expr_node(s, e, n->right, &right, err);
    if (!st && n->op != EXPR_COMMA) {
        st = expr_node(s, e, n->left, &old, err);
        if (!st) st = arithmetic(n->op, &old, &right, &stored, err);
    } else {
        stored = right;
        right = (struct value){ 0 };
    }
    if (!st) st = value_copy(out, n->after ? &old : &stored, err);
    if (!st)
        st = to->kind == EXPR_DOLLAR ? names_assign(s, e->pool + to->text, &stored, err)
                                     : names_assign_setting(s, e->pool + to->text, &stored, err);
    value_free(&old);
    value_free(&right);
    value_free(&stored);
    if (st) value_free(out);
    return st;
}

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

enum kv_status expr_node(struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err)
{
    const struct expr_node *n = &e->node[node];
    bool yes;
    enum kv_status st;
    *out = (struct value){ 0 };
    switch (n->kind) {
    case EXPR_NUMBER: return value_scalar(out, n->number, n->integral, "", err);
    case EXPR_TEXT: return value_text(out, e->pool + n->text, err);
    case EXPR_UNARY: return eval_unary(s, e, n, out, err);
    case EXPR_BINARY: return eval_binary(s, e, n, out, err);
    case EXPR_CALL: return expr_call(s, e, n, out, err);
    case EXPR_ASSIGN: return assign(s, e, n, out, err);
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
