/* Expressions, by recursive descent in Jinja's order: if-else, or, and, not, comparison, + and -, ~, * / // %, **, sign,
 * then a primary with what follows it. */
#include "engine/text/jinja_parts.h"

#include <string.h>

struct jnode *jinja_node(struct jinja *j, enum jn_kind kind)
{
    struct jnode *n = jinja_take(j, 1, sizeof *n);
    static struct jnode nowhere;
    if (!n) return &nowhere;
    n->kind = kind;
    n->line = j->token->line;
    return n;
}

bool jinja_is(const struct jinja *j, enum jtoken_kind kind, const char *text)
{
    const struct jtoken *t = j->token;
    return t->kind == kind && (!text || (strlen(text) == t->text.n && !memcmp(text, t->text.text, t->text.n)));
}

bool jinja_skip(struct jinja *j, enum jtoken_kind kind, const char *text)
{
    if (j->status || !jinja_is(j, kind, text)) return false;
    j->token++;
    return true;
}

static const char *shown(const struct jinja *j)
{
    static const char *const names[] = { "its end", "text", "a statement", "%}", "a value", "}}" };
    return j->token->kind < JT_NAME ? names[j->token->kind] : j->token->text.text;
}

void jinja_expect(struct jinja *j, enum jtoken_kind kind, const char *text)
{
    if (jinja_skip(j, kind, text)) return;
    j->line = j->token->line;
    jinja_wrong(j, "'%s' is missing before %.*s", text,
        (int)(j->token->kind < JT_NAME ? 20 : kv_min(j->token->text.n, 20)), shown(j));
}

const char *jinja_take_name(struct jinja *j)
{
    if (j->status) return "";
    if (jinja_is(j, JT_NAME, NULL)) return j->token++->text.text;
    j->line = j->token->line;
    jinja_wrong(j, "a name is missing");
    return "";
}

static bool skip_op(struct jinja *j, const char *text) { return jinja_skip(j, JT_OP, text); }
static bool skip_word(struct jinja *j, const char *text) { return jinja_skip(j, JT_NAME, text); }

static struct jnode *join(struct jinja *j, enum jn_kind kind, struct jnode *a, struct jnode *b)
{
    struct jnode *n = jinja_node(j, kind);
    n->a = a;
    n->b = b;
    return n;
}

/* ---- lists of expressions ---- */

/* Arguments up to ")": values, then name=value. */
static struct jnode *arguments(struct jinja *j)
{
    struct jnode *first = NULL, **last = &first;
    while (!j->status && !skip_op(j, ")")) {
        struct jnode *item;
        if (jinja_is(j, JT_OP, "*") || jinja_is(j, JT_OP, "**"))
            jinja_unsupported(j, "the call with", "*arguments");
        bool named = jinja_is(j, JT_NAME, NULL) && j->token[1].kind == JT_OP && j->token[1].text.n == 1 &&
                     *j->token[1].text.text == '=';
        if (named) {
            item = jinja_node(j, JN_KEYWORD);
            item->name = jinja_take_name(j);
            jinja_expect(j, JT_OP, "=");
            item->a = jinja_expression(j);
        } else {
            item = join(j, JN_KEYWORD, jinja_expression(j), NULL);
        }
        *last = item;
        last = &item->next;
        if (!jinja_is(j, JT_OP, ")")) jinja_expect(j, JT_OP, ",");
    }
    return first;
}

/* Items up to `close`, each in a JN_KEYWORD without a name; the first may be there already. */
static struct jnode *items(struct jinja *j, struct jnode *list, struct jnode *first, const char *close)
{
    struct jnode **last = &list->list;
    if (first) {
        *last = join(j, JN_KEYWORD, first, NULL);
        last = &(*last)->next;
    }
    while (!j->status && !skip_op(j, close)) {
        struct jnode *item = join(j, JN_KEYWORD, jinja_expression(j), NULL);
        *last = item;
        last = &item->next;
        if (!jinja_is(j, JT_OP, close)) jinja_expect(j, JT_OP, ",");
    }
    return list;
}

static struct jnode *dictionary(struct jinja *j)
{
    struct jnode *dict = jinja_node(j, JN_DICT), **last = &dict->list;
    while (!j->status && !skip_op(j, "}")) {
        struct jnode *pair = jinja_node(j, JN_PAIR);
        pair->a = jinja_expression(j);
        jinja_expect(j, JT_OP, ":");
        pair->b = jinja_expression(j);
        *last = pair;
        last = &pair->next;
        if (!jinja_is(j, JT_OP, "}")) jinja_expect(j, JT_OP, ",");
    }
    return dict;
}

/* Behind "(": one expression, or a tuple. */
static struct jnode *parenthesis(struct jinja *j)
{
    if (skip_op(j, ")")) return jinja_node(j, JN_TUPLE);
    struct jnode *first = jinja_expression(j);
    if (!skip_op(j, ",")) {
        jinja_expect(j, JT_OP, ")");
        return first;
    }
    return items(j, jinja_node(j, JN_TUPLE), first, ")");
}

/* ---- primaries ---- */

static struct jnode *constant(struct jinja *j, struct jv value)
{
    struct jnode *n = jinja_node(j, JN_CONST);
    n->value = value;
    return n;
}

static struct jnode *name_or_constant(struct jinja *j)
{
    static const struct {
        const char *name;
        struct jv value;
    } words[] = { { "true", { JV_BOOL, { .b = true } } }, { "True", { JV_BOOL, { .b = true } } },
        { "false", { JV_BOOL, { .b = false } } }, { "False", { JV_BOOL, { .b = false } } },
        { "none", { .kind = JV_NONE } }, { "None", { .kind = JV_NONE } } };
    for (size_t i = 0; i < KV_COUNT(words); i++)
        if (skip_word(j, words[i].name)) return constant(j, words[i].value);
    struct jnode *n = jinja_node(j, JN_NAME);
    n->name = jinja_take_name(j);
    return n;
}

static struct jnode *strings(struct jinja *j)
{
    struct jinja_text all = jt_of("");
    for (; jinja_is(j, JT_STRING, NULL) && !j->status; j->token++) all = jt_join(j, all, j->token->text);
    return constant(j, jv_string(all));
}

static struct jnode *subscript(struct jinja *j, struct jnode *of)
{
    struct jnode *n = join(j, JN_ITEM, of, NULL);
    if (!jinja_is(j, JT_OP, ":")) n->b = jinja_expression(j);
    if (jinja_is(j, JT_OP, ":")) n->kind = JN_SLICE;
    if (skip_op(j, ":") && !jinja_is(j, JT_OP, "]") && !jinja_is(j, JT_OP, ":")) n->c = jinja_expression(j);
    if (n->kind == JN_SLICE && skip_op(j, ":") && !jinja_is(j, JT_OP, "]")) n->d = jinja_expression(j);
    jinja_expect(j, JT_OP, "]");
    return n;
}

static struct jnode *followed(struct jinja *j, struct jnode *n)
{
    while (!j->status) {
        if (skip_op(j, "[")) {
            n = subscript(j, n);
        } else if (skip_op(j, "(")) {
            n = join(j, JN_CALL, n, NULL);
            n->list = arguments(j);
        } else if (skip_op(j, ".")) {
            bool number = jinja_is(j, JT_INT, NULL);
            n = join(j, number ? JN_ITEM : JN_ATTR, n, NULL);
            if (number)
                n->b = constant(j, jv_int(j->token++->i));
            else
                n->name = jinja_take_name(j);
        } else {
            break;
        }
    }
    return n;
}

struct jnode *jinja_primary(struct jinja *j)
{
    struct jnode *n;
    if (!jinja_enter(j)) return jinja_node(j, JN_CONST);
    if (jinja_is(j, JT_NAME, NULL)) {
        n = name_or_constant(j);
    } else if (jinja_is(j, JT_STRING, NULL)) {
        n = strings(j);
    } else if (jinja_is(j, JT_INT, NULL)) {
        n = constant(j, jv_int(j->token++->i));
    } else if (jinja_is(j, JT_FLOAT, NULL)) {
        n = constant(j, (struct jv){ .kind = JV_FLOAT, .f = j->token++->f });
    } else if (skip_op(j, "(")) {
        n = parenthesis(j);
    } else if (skip_op(j, "[")) {
        n = items(j, jinja_node(j, JN_LIST), NULL, "]");
    } else if (skip_op(j, "{")) {
        n = dictionary(j);
    } else {
        n = jinja_node(j, JN_CONST);
        j->line = j->token->line;
        jinja_wrong(j, "an expression is missing before %.*s",
            (int)(j->token->kind < JT_NAME ? 20 : kv_min(j->token->text.n, 20)), shown(j));
    }
    n = followed(j, n);
    jinja_leave(j);
    return n;
}

/* ---- filters and tests ---- */

/* A test's argument may stand without parentheses: "is divisibleby 3". */
static bool argument_follows(const struct jinja *j)
{
    static const char *const words[] = { "else", "or", "and", "is", "if", "not", "in", "recursive" };
    if (jinja_is(j, JT_STRING, NULL) || jinja_is(j, JT_INT, NULL) || jinja_is(j, JT_FLOAT, NULL)) return true;
    if (jinja_is(j, JT_OP, "[") || jinja_is(j, JT_OP, "{")) return true;
    for (size_t i = 0; i < KV_COUNT(words); i++)
        if (jinja_is(j, JT_NAME, words[i])) return false;
    return jinja_is(j, JT_NAME, NULL);
}

static struct jnode *test(struct jinja *j, struct jnode *of)
{
    bool negated = skip_word(j, "not");
    struct jnode *n = join(j, JN_TEST, of, NULL);
    n->name = jinja_take_name(j);
    if (skip_op(j, "("))
        n->list = arguments(j);
    else if (argument_follows(j))
        n->list = join(j, JN_KEYWORD, jinja_primary(j), NULL);
    return negated ? join(j, JN_NOT, n, NULL) : n;
}

static struct jnode *filtered(struct jinja *j, struct jnode *n)
{
    while (!j->status) {
        if (skip_op(j, "|")) {
            n = join(j, JN_FILTER, n, NULL);
            n->name = jinja_take_name(j);
            if (skip_op(j, "(")) n->list = arguments(j);
        } else if (skip_word(j, "is")) {
            n = test(j, n);
        } else if (skip_op(j, "(")) {
            n = join(j, JN_CALL, n, NULL);
            n->list = arguments(j);
        } else {
            break;
        }
    }
    return n;
}

/* ---- operators ---- */

static struct jnode *sign(struct jinja *j, bool with_filters)
{
    struct jnode *n;
    if (!jinja_enter(j)) return jinja_node(j, JN_CONST);
    if (skip_op(j, "-"))
        n = join(j, JN_NEGATE, sign(j, false), NULL);
    else if (skip_op(j, "+"))
        n = sign(j, false);
    else
        n = jinja_primary(j);
    if (with_filters) n = filtered(j, n);
    jinja_leave(j);
    return n;
}

struct level {
    struct {
        const char *text;
        enum jop op;
    } row[4];
};

/* Loosest first; all bind to the left. */
static const struct level levels[] = {
    { { { "+", OP_ADD }, { "-", OP_SUB } } },
    { { { "~", OP_JOIN } } },
    { { { "*", OP_MUL }, { "/", OP_DIV }, { "//", OP_FLOOR }, { "%", OP_MOD } } },
    { { { "**", OP_POW } } },
};

static struct jnode *binary(struct jinja *j, size_t level)
{
    if (level == KV_COUNT(levels)) return sign(j, true);
    struct jnode *n = binary(j, level + 1);
    for (bool more = true; more && !j->status;) {
        more = false;
        for (size_t i = 0; i < 4 && levels[level].row[i].text && !more; i++) {
            if (!skip_op(j, levels[level].row[i].text)) continue;
            n = join(j, JN_BINARY, n, binary(j, level + 1));
            n->op = levels[level].row[i].op;
            more = true;
        }
    }
    return n;
}

static bool take_comparison(struct jinja *j, enum jop *op)
{
    static const char *const texts[] = { "==", "!=", "<", "<=", ">", ">=" };
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        *op = OP_EQ + (enum jop)i;
        if (skip_op(j, texts[i])) return true;
    }
    *op = OP_IN;
    if (skip_word(j, "in")) return true;
    *op = OP_NOT_IN;
    if (!jinja_is(j, JT_NAME, "not") || j->token[1].kind != JT_NAME || j->token[1].text.n != 2 ||
        memcmp(j->token[1].text.text, "in", 2))
        return false;
    j->token += 2;
    return true;
}

static struct jnode *comparison(struct jinja *j)
{
    struct jnode *n = binary(j, 0), **last = NULL;
    for (enum jop op; !j->status && take_comparison(j, &op);) {
        if (!last) {
            n = join(j, JN_COMPARE, n, NULL);
            last = &n->list;
        }
        struct jnode *operand = join(j, JN_OPERAND, binary(j, 0), NULL);
        operand->op = op;
        *last = operand;
        last = &operand->next;
    }
    return n;
}

static struct jnode *negation(struct jinja *j)
{
    if (!jinja_is(j, JT_NAME, "not")) return comparison(j);
    struct jnode *n = jinja_node(j, JN_NOT);
    if (!jinja_enter(j)) return n;
    j->token++;
    n->a = negation(j);
    jinja_leave(j);
    return n;
}

static struct jnode *conjunction(struct jinja *j)
{
    struct jnode *n = negation(j);
    while (skip_word(j, "and")) n = join(j, JN_AND, n, negation(j));
    return n;
}

static struct jnode *disjunction(struct jinja *j)
{
    struct jnode *n = conjunction(j);
    while (skip_word(j, "or")) n = join(j, JN_OR, n, conjunction(j));
    return n;
}

struct jnode *jinja_expression(struct jinja *j)
{
    if (!jinja_enter(j)) return jinja_node(j, JN_CONST);
    struct jnode *n = disjunction(j);
    while (skip_word(j, "if")) {
        struct jnode *choice = jinja_node(j, JN_CHOICE);
        choice->a = disjunction(j);
        choice->b = n;
        choice->c = skip_word(j, "else") ? jinja_expression(j) : NULL;
        n = choice;
    }
    jinja_leave(j);
    return n;
}
