/* Runs a parsed template. A loop's body and a macro have scopes of their own; an if has none. */
#include "engine/text/jinja_parts.h"

#include <math.h>
#include <string.h>

static const struct jv undefined = { .kind = JV_UNDEFINED };

/* ---- names ---- */

static struct jvar *find(struct jscope *scope, const char *name)
{
    for (struct jvar *v = scope->var; v; v = v->next)
        if (!strcmp(v->name, name)) return v;
    return NULL;
}

void jinja_set(struct jinja *j, const char *name, struct jv value)
{
    struct jvar *v = find(j->scope, name);
    if (v) {
        v->value = value;
        return;
    }
    if (!(v = jinja_take(j, 1, sizeof *v))) return;
    *v = (struct jvar){ name, value, j->scope->var };
    j->scope->var = v;
}

static struct jv lookup(struct jinja *j, const char *name)
{
    for (struct jscope *s = j->scope; s && jinja_step(j, 1); s = s->up) {
        struct jvar *v = find(s, name);
        if (v) return v->value;
    }
    return jinja_function(name);
}

static struct jscope *push(struct jinja *j, struct jscope *up)
{
    struct jscope *before = j->scope, *fresh = jinja_take(j, 1, sizeof *fresh);
    if (fresh) {
        fresh->up = up;
        j->scope = fresh;
    }
    return before;
}

/* ---- arithmetic ---- */

static struct jv whole(struct jinja *j, enum jop op, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool over = false;
    if ((op == OP_FLOOR || op == OP_MOD) && b == 0) {
        jinja_wrong(j, "a division by zero");
        return undefined;
    }
    if (op == OP_ADD) over = __builtin_add_overflow(a, b, &r);
    if (op == OP_SUB) over = __builtin_sub_overflow(a, b, &r);
    if (op == OP_MUL) over = __builtin_mul_overflow(a, b, &r);
    if (op == OP_FLOOR || op == OP_MOD) {
        over = a == INT64_MIN && b == -1;
        if (!over) {
            int64_t rest = a % b;
            bool adjust = rest && (rest < 0) != (b < 0);
            r = op == OP_MOD ? rest + (adjust ? b : 0) : a / b - adjust;
        }
    }
    if (op == OP_POW) {
        over = b > 63;
        for (r = 1; b > 0 && !over; b--) over = __builtin_mul_overflow(r, a, &r);
    }
    if (over) jinja_wrong(j, "a number leaves 64 bits");
    return jv_int(r);
}

static struct jv arithmetic(struct jinja *j, enum jop op, struct jv a, struct jv b)
{
    double x, y, r = 0;
    bool ints = (a.kind == JV_INT || a.kind == JV_BOOL) && (b.kind == JV_INT || b.kind == JV_BOOL);
    if (!jv_number(a, &x) || !jv_number(b, &y)) {
        jinja_wrong(j, "%s and %s cannot be calculated with", jv_kind_name(a), jv_kind_name(b));
        return undefined;
    }
    if (ints && op != OP_DIV && !(op == OP_POW && y < 0))
        return whole(j, op, a.kind == JV_INT ? a.i : a.b, b.kind == JV_INT ? b.i : b.b);
    if ((op == OP_DIV || op == OP_FLOOR || op == OP_MOD) && y == 0) jinja_wrong(j, "a division by zero");
    if (op == OP_ADD) r = x + y;
    if (op == OP_SUB) r = x - y;
    if (op == OP_MUL) r = x * y;
    if (op == OP_DIV) r = x / y;
    if (op == OP_FLOOR) r = floor(x / y);
    if (op == OP_MOD) r = x - y * floor(x / y);
    if (op == OP_POW) r = pow(x, y);
    return (struct jv){ .kind = JV_FLOAT, .f = r };
}

static struct jv repeat(struct jinja *j, struct jinja_text s, int64_t times)
{
    struct jout out = { 0 };
    while (times-- > 0 && s.n && !j->status) jout_put(j, &out, s);
    return jv_string(jout_text(&out));
}

static struct jv binary(struct jinja *j, enum jop op, struct jv a, struct jv b)
{
    if (op == OP_JOIN) return jv_string(jt_join(j, jv_text(j, a), jv_text(j, b)));
    if (op == OP_ADD && a.kind == JV_STRING && b.kind == JV_STRING) return jv_string(jt_join(j, a.s, b.s));
    if (op == OP_ADD && a.kind == JV_LIST && b.kind == JV_LIST) {
        struct jv list = jv_list(j);
        for (size_t i = 0; i < a.list->n && !j->status; i++) jv_append(j, list, a.list->item[i]);
        for (size_t i = 0; i < b.list->n && !j->status; i++) jv_append(j, list, b.list->item[i]);
        return list;
    }
    if (op == OP_MUL && a.kind == JV_STRING && b.kind == JV_INT) return repeat(j, a.s, b.i);
    if (op == OP_MOD && a.kind == JV_STRING) {
        jinja_unsupported(j, "the operator", "% on texts");
        return undefined;
    }
    return arithmetic(j, op, a, b);
}

static bool compare(struct jinja *j, enum jop op, struct jv a, struct jv b)
{
    switch (op) {
    case OP_EQ: return jv_same(j, a, b);
    case OP_NE: return !jv_same(j, a, b);
    case OP_IN: return jv_in(j, a, b);
    case OP_NOT_IN: return !jv_in(j, a, b);
    case OP_LT: return jv_order(j, a, b) < 0;
    case OP_LE: return jv_order(j, a, b) <= 0;
    case OP_GT: return jv_order(j, a, b) > 0;
    default: return jv_order(j, a, b) >= 0;
    }
}

static struct jv comparison(struct jinja *j, const struct jnode *n)
{
    struct jv left = jinja_eval(j, n->a);
    bool holds = true;
    for (const struct jnode *o = n->list; o && holds && !j->status; o = o->next) {
        struct jv right = jinja_eval(j, o->a);
        holds = compare(j, o->op, left, right);
        left = right;
    }
    return jv_bool(holds);
}

/* ---- expressions ---- */

void jinja_arguments(struct jinja *j, const struct jnode *list, struct jarguments *args)
{
    args->n = 0;
    for (; list && !j->status; list = list->next) {
        if (args->n == JINJA_ARGUMENTS) {
            jinja_unsupported(j, "a call with", "more than eight arguments");
            return;
        }
        args->name[args->n] = list->name;
        args->value[args->n++] = jinja_eval(j, list->a);
    }
}

struct jv jinja_argument(const struct jarguments *args, int place, const char *name)
{
    for (int i = 0; i < args->n; i++)
        if (args->name[i] ? name && !strcmp(args->name[i], name) : place-- == 0) return args->value[i];
    return undefined;
}

static struct jv collection(struct jinja *j, const struct jnode *n)
{
    struct jv all = n->kind == JN_DICT ? jv_dict(j) : jv_list(j);
    if (n->kind == JN_TUPLE && all.kind == JV_LIST) all.list->tuple = true;
    for (const struct jnode *item = n->list; item && !j->status; item = item->next) {
        struct jv a = jinja_eval(j, item->a);
        if (n->kind != JN_DICT) {
            jv_append(j, all, a);
        } else if (a.kind != JV_STRING) {
            jinja_unsupported(j, "a dictionary's key that is", jv_kind_name(a));
        } else {
            jv_put(j, all, a.s, jinja_eval(j, item->b));
        }
    }
    return all;
}

static struct jv part(struct jinja *j, const struct jnode *n)
{
    struct jv of = jinja_eval(j, n->a);
    j->line = n->line;
    if (j->status) return undefined;
    if (n->kind == JN_ATTR) {
        if (of.kind == JV_UNDEFINED && n->a->kind == JN_NAME) jinja_wrong(j, "'%.40s' is undefined", n->a->name);
        return jv_attribute(j, of, jt_of(n->name));
    }
    struct jv b = n->b ? jinja_eval(j, n->b) : undefined, c = n->c ? jinja_eval(j, n->c) : undefined;
    struct jv d = n->d ? jinja_eval(j, n->d) : undefined;
    if (j->status) return undefined;
    return n->kind == JN_ITEM ? jv_item(j, of, b) : jv_slice(j, of, b, c, d);
}

static struct jv filter_or_test(struct jinja *j, const struct jnode *n)
{
    struct jarguments args;
    struct jv v = jinja_eval(j, n->a);
    jinja_arguments(j, n->list, &args);
    j->line = n->line;
    if (j->status) return undefined;
    if (n->kind == JN_FILTER) return jinja_filter(j, n->name, v, &args);
    return jv_bool(jinja_test(j, n->name, v, &args));
}

static struct jv negate(struct jinja *j, struct jv v)
{
    if (v.kind == JV_FLOAT) return (struct jv){ .kind = JV_FLOAT, .f = -v.f };
    return arithmetic(j, OP_SUB, jv_int(0), v);
}

static struct jv evaluate(struct jinja *j, const struct jnode *n)
{
    struct jv a;
    switch (n->kind) {
    case JN_CONST: return n->value;
    case JN_NAME: return lookup(j, n->name);
    case JN_LIST:
    case JN_TUPLE:
    case JN_DICT: return collection(j, n);
    case JN_ATTR:
    case JN_ITEM:
    case JN_SLICE: return part(j, n);
    case JN_CALL: return jinja_call(j, n);
    case JN_FILTER:
    case JN_TEST: return filter_or_test(j, n);
    case JN_NEGATE: return negate(j, jinja_eval(j, n->a));
    case JN_NOT: return jv_bool(!jv_true(jinja_eval(j, n->a)));
    case JN_AND: return jv_true(a = jinja_eval(j, n->a)) ? jinja_eval(j, n->b) : a;
    case JN_OR: return jv_true(a = jinja_eval(j, n->a)) ? a : jinja_eval(j, n->b);
    case JN_COMPARE: return comparison(j, n);
    case JN_BINARY: a = jinja_eval(j, n->a); return binary(j, n->op, a, jinja_eval(j, n->b));
    default:
        if (jv_true(jinja_eval(j, n->a))) return jinja_eval(j, n->b);
        return n->c ? jinja_eval(j, n->c) : undefined;
    }
}

struct jv jinja_eval(struct jinja *j, const struct jnode *n)
{
    if (!jinja_step(j, 1) || !jinja_enter(j)) return undefined;
    struct jv v = evaluate(j, n);
    jinja_leave(j);
    return j->status ? undefined : v;
}

/* ---- statements ---- */

static void assign_one(struct jinja *j, const struct jnode *target, struct jv value)
{
    j->line = target->line;
    if (target->kind == JN_NAME) {
        jinja_set(j, target->name, value);
        return;
    }
    struct jv of = lookup(j, target->a->name);
    if (of.kind != JV_NAMESPACE)
        jinja_wrong(j, "'%.40s' is no namespace", target->a->name);
    else
        jv_put(j, of, jt_of(target->name), value);
}

/* One target takes the value, several take its items. */
static void assign(struct jinja *j, const struct jnode *target, struct jv value)
{
    size_t n = 0;
    if (!target->next) {
        assign_one(j, target, value);
        return;
    }
    const struct jlist *list = jv_items(j, value);
    for (const struct jnode *t = target; t; t = t->next) n++;
    if (n != list->n) jinja_wrong(j, "%zu values cannot be shared out to %zu names", list->n, n);
    for (size_t i = 0; i < n && !j->status; i++, target = target->next) assign_one(j, target, list->item[i]);
}

/* The items that the loop's filter lets through. */
static const struct jlist *chosen(struct jinja *j, const struct jnode *n, const struct jlist *all)
{
    struct jv list = jv_list(j);
    if (!n->b || list.kind != JV_LIST) return all;
    for (size_t i = 0; i < all->n && !j->status; i++) {
        struct jscope *before = push(j, j->scope);
        assign(j, n->target, all->item[i]);
        if (jv_true(jinja_eval(j, n->b))) jv_append(j, list, all->item[i]);
        j->scope = before;
    }
    return list.list;
}

static void run_for(struct jinja *j, const struct jnode *n)
{
    struct jloop *loop = jinja_take(j, 1, sizeof *loop);
    const struct jlist *list = chosen(j, n, jv_items(j, jinja_eval(j, n->a)));
    if (!loop || j->status) return;
    loop->list = list;
    for (; loop->at < list->n && !j->status; loop->at++) {
        struct jscope *before = push(j, j->scope);
        jinja_set(j, "loop", (struct jv){ .kind = JV_LOOP, .loop = loop });
        assign(j, n->target, list->item[loop->at]);
        jinja_run(j, n->list);
        j->scope = before;
        bool over = j->leaving == JN_BREAK;
        j->leaving = JN_CONST;
        if (over) break;
    }
    if (!list->n) jinja_run(j, n->other);
}

static void capture(struct jinja *j, const struct jnode *n)
{
    struct jout out = { 0 }, *before = j->out;
    j->out = &out;
    jinja_run(j, n->list);
    j->out = before;
    assign(j, n->target, jv_string(jout_text(&out)));
}

static void run_one(struct jinja *j, const struct jnode *n)
{
    j->line = n->line;
    switch (n->kind) {
    case JN_TEXT: jout_put(j, j->out, n->value.s); break;
    case JN_OUTPUT: jout_put(j, j->out, jv_text(j, jinja_eval(j, n->a))); break;
    case JN_IF: jinja_run(j, jv_true(jinja_eval(j, n->a)) ? n->list : n->other); break;
    case JN_FOR: run_for(j, n); break;
    case JN_SET: assign(j, n->target, jinja_eval(j, n->a)); break;
    case JN_CAPTURE: capture(j, n); break;
    case JN_MACRO: jinja_set(j, n->name, (struct jv){ .kind = JV_MACRO, .macro = n }); break;
    default: j->leaving = n->kind;
    }
}

void jinja_run(struct jinja *j, const struct jnode *first)
{
    if (!first || !jinja_enter(j)) return;
    for (const struct jnode *n = first; n && j->leaving == JN_CONST && jinja_step(j, 1); n = n->next) run_one(j, n);
    jinja_leave(j);
}
