/* Tests: what may stand behind "is". */
#include "engine/text/jinja_parts.h"

#include <string.h>

static bool is_defined(struct jv v) { return v.kind != JV_UNDEFINED; }
static bool is_undefined(struct jv v) { return v.kind == JV_UNDEFINED; }
static bool is_none(struct jv v) { return v.kind == JV_NONE; }
static bool is_string(struct jv v) { return v.kind == JV_STRING; }
static bool is_mapping(struct jv v) { return v.kind == JV_DICT; }
static bool is_sequence(struct jv v) { return v.kind == JV_LIST || v.kind == JV_STRING || v.kind == JV_DICT; }
static bool is_iterable(struct jv v) { return is_sequence(v) || v.kind == JV_UNDEFINED || v.kind == JV_LOOP; }
static bool is_boolean(struct jv v) { return v.kind == JV_BOOL; }
static bool is_true(struct jv v) { return v.kind == JV_BOOL && v.b; }
static bool is_false(struct jv v) { return v.kind == JV_BOOL && !v.b; }
static bool is_integer(struct jv v) { return v.kind == JV_INT; }
static bool is_float(struct jv v) { return v.kind == JV_FLOAT; }
static bool is_number(struct jv v) { return v.kind == JV_INT || v.kind == JV_FLOAT || v.kind == JV_BOOL; }
static bool is_callable(struct jv v) { return v.kind == JV_MACRO || v.kind == JV_FUNCTION; }
static bool is_odd(struct jv v) { return v.kind == JV_INT && v.i % 2 != 0; }
static bool is_even(struct jv v) { return v.kind == JV_INT && v.i % 2 == 0; }

static const struct {
    const char *name;
    bool (*holds)(struct jv v);
} tests[] = { { "defined", is_defined }, { "undefined", is_undefined }, { "none", is_none },
    { "string", is_string }, { "mapping", is_mapping }, { "sequence", is_sequence }, { "iterable", is_iterable },
    { "boolean", is_boolean }, { "true", is_true }, { "false", is_false }, { "integer", is_integer },
    { "float", is_float }, { "number", is_number }, { "callable", is_callable }, { "odd", is_odd },
    { "even", is_even } };

/* Tests of two values, by their names and signs. */
static const struct {
    const char *names; /* with a space around each */
    enum jop op;
} pairs[] = { { " == eq equalto sameas ", OP_EQ }, { " != ne ", OP_NE }, { " < lt lessthan ", OP_LT },
    { " <= le ", OP_LE }, { " > gt greaterthan ", OP_GT }, { " >= ge ", OP_GE }, { " in ", OP_IN } };

static bool holds_pair(struct jinja *j, enum jop op, struct jv a, struct jv b)
{
    switch (op) {
    case OP_EQ: return jv_same(j, a, b);
    case OP_NE: return !jv_same(j, a, b);
    case OP_IN: return jv_in(j, a, b);
    case OP_LT: return jv_order(j, a, b) < 0;
    case OP_LE: return jv_order(j, a, b) <= 0;
    case OP_GT: return jv_order(j, a, b) > 0;
    default: return jv_order(j, a, b) >= 0;
    }
}

bool jinja_test(struct jinja *j, const char *name, struct jv v, const struct jarguments *args)
{
    size_t n = strlen(name);
    struct jv with = jinja_argument(args, 0, NULL);
    for (size_t i = 0; i < KV_COUNT(tests); i++)
        if (!strcmp(tests[i].name, name)) return tests[i].holds(v);
    for (size_t i = 0; i < KV_COUNT(pairs); i++) {
        const char *at = n ? strstr(pairs[i].names, name) : NULL;
        if (at && at[-1] == ' ' && at[n] == ' ') return holds_pair(j, pairs[i].op, v, with);
    }
    if (!strcmp(name, "divisibleby") && v.kind == JV_INT && with.kind == JV_INT && with.i > 0)
        return v.i % with.i == 0;
    jinja_unsupported(j, "the test", name);
    return false;
}
