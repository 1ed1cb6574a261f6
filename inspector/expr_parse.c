/* A recursive-descent parser with C's precedences, into a fixed array of nodes. */
#include "inspector/expr.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct expr *e;
    const char *start, *p;
    int depth;
    bool in_index;
    struct kv_error *err;
    bool failed;
};

static int choice(struct parser *x);

static int fail(struct parser *x, const char *sentence)
{
    if (x->failed) return -1;
    x->failed = true;
    int column = (int)(x->p - x->start);
    if (strlen(x->start) <= 160 && !strpbrk(x->start, "\n\t"))
        kv_fail(x->err, KV_BAD_ARG, "%s\n  %s\n  %*s^", sentence, x->start, column, "");
    else
        kv_fail(x->err, KV_BAD_ARG, "%s", sentence);
    return -1;
}

static int syntax(struct parser *x)
{
    char sentence[96];
    snprintf(sentence, sizeof sentence, "A syntax error in expression, near `%.40s'.", x->p);
    return fail(x, sentence);
}

static int node(struct parser *x, enum expr_kind kind)
{
    if (x->failed) return -1;
    if (x->e->count == EXPR_NODES) return fail(x, "The expression has too many parts.");
    x->e->node[x->e->count] = (struct expr_node){ .kind = kind, .left = -1, .right = -1, .first = -1, .next = -1 };
    return x->e->count++;
}

static int text_node(struct parser *x, enum expr_kind kind, const char *text, size_t n)
{
    int at = node(x, kind);
    if (at < 0) return -1;
    if ((size_t)x->e->pool_used + n + 1 > EXPR_POOL)
        return fail(x, "The names and texts of the expression are too long.");
    x->e->node[at].text = x->e->pool_used;
    memcpy(x->e->pool + x->e->pool_used, text, n);
    x->e->pool[x->e->pool_used + (int)n] = '\0';
    x->e->pool_used += (int)n + 1;
    return at;
}

static void blanks(struct parser *x) { x->p += strspn(x->p, " \t"); }

/* Takes the token if it is next. */
static bool take(struct parser *x, const char *token)
{
    blanks(x);
    size_t n = strlen(token);
    if (strncmp(x->p, token, n)) return false;
    x->p += n;
    return true;
}

static int number(struct parser *x)
{
    char digits[64], *end;
    size_t n = 0;
    bool integral = true, hex = x->p[0] == '0' && (x->p[1] == 'x' || x->p[1] == 'X');
    for (; n + 1 < sizeof digits; n++) {
        char c = x->p[n];
        bool exponent = !hex && n && (c == 'e' || c == 'E') && strspn(x->p + n + 1, "+-0123456789");
        bool sign = !hex && n && (c == '+' || c == '-') && (x->p[n - 1] == 'e' || x->p[n - 1] == 'E');
        bool point = !hex && c == '.' && x->p[n + 1] != '.';
        if (!isdigit((unsigned char)c) && !exponent && !sign && !point && !(hex && n < 2) &&
            !(hex && isxdigit((unsigned char)c)))
            break;
        integral = integral && !exponent && !point;
        digits[n] = c;
    }
    digits[n] = '\0';
    errno = 0;
    double value = strtod(digits, &end);
    if (*end || end == digits || isalnum((unsigned char)x->p[n])) return fail(x, "Invalid number.");
    int at = node(x, EXPR_NUMBER);
    if (at < 0) return -1;
    x->e->node[at].number = value;
    x->e->node[at].integral = integral;
    x->p += n;
    return at;
}

static int string(struct parser *x)
{
    char text[EXPR_POOL];
    size_t n = 0;
    const char *open = x->p;
    for (x->p++; *x->p && *x->p != '"'; x->p++) {
        char c = *x->p;
        if (c == '\\' && x->p[1]) c = *++x->p == 'n' ? '\n' : *x->p;
        if (n == sizeof text) return fail(x, "The string is too long.");
        text[n++] = c;
    }
    if (!*x->p) {
        x->p = open;
        return fail(x, "Unterminated string in expression.");
    }
    x->p++;
    return text_node(x, EXPR_TEXT, text, n);
}

/* A name may have dots, and hyphens where it is a setting's ("decode.top-k", "policy.query-aware"). */
static size_t name_length(const char *p)
{
    static const char *const rooms[] = { "policy.", "engine.", "decode.", "judge." };
    size_t n = 0;
    bool setting = false;
    for (size_t i = 0; i < KV_COUNT(rooms); i++) setting = setting || !strncmp(p, rooms[i], strlen(rooms[i]));
    for (;; n++) {
        bool dot = p[n] == '.' && isalpha((unsigned char)p[n + 1]);
        bool hyphen = setting && p[n] == '-' && isalpha((unsigned char)p[n + 1]);
        if (!isalnum((unsigned char)p[n]) && p[n] != '_' && !dot && !hyphen) return n;
    }
}

static int arguments(struct parser *x, int call)
{
    int last = -1;
    bool in_index = x->in_index;
    x->in_index = false;
    if (!take(x, ")")) {
        do {
            int arg = choice(x);
            if (arg < 0) return -1;
            if (last < 0)
                x->e->node[call].first = arg;
            else
                x->e->node[last].next = arg;
            last = arg;
        } while (take(x, ","));
        if (!take(x, ")")) return syntax(x);
    }
    x->in_index = in_index;
    return call;
}

static int primary(struct parser *x)
{
    blanks(x);
    char c = *x->p;
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)x->p[1]))) return number(x);
    if (c == '"') return string(x);
    if (c == '$') {
        size_t n = 1;
        while (isalnum((unsigned char)x->p[n]) || x->p[n] == '_') n++;
        if (n == 1 && x->p[1] == '$') {
            for (n = 2; isdigit((unsigned char)x->p[n]);) n++;
        }
        int at = text_node(x, EXPR_DOLLAR, x->p + 1, n - 1);
        x->p += n;
        return at;
    }
    if (c == '(') {
        bool in_index = x->in_index;
        x->p++;
        x->in_index = false;
        int inner = choice(x);
        x->in_index = in_index;
        if (inner >= 0 && !take(x, ")")) return syntax(x);
        return inner;
    }
    if (!isalpha((unsigned char)c) && c != '_') return syntax(x);
    size_t n = name_length(x->p);
    if (x->in_index && n == 4 && !memcmp(x->p, "last", 4)) {
        x->p += 4;
        return node(x, EXPR_LAST);
    }
    const char *name = x->p;
    x->p += n;
    if (take(x, "(")) {
        int call = text_node(x, EXPR_CALL, name, n);
        return call < 0 ? -1 : arguments(x, call);
    }
    return text_node(x, EXPR_NAME, name, n);
}

/* What stands between [ and ]. */
static int index_part(struct parser *x)
{
    if (take(x, "]")) return node(x, EXPR_FOCUS);
    bool in_index = x->in_index;
    int part;
    x->in_index = true;
    if (take(x, "*")) {
        part = node(x, EXPR_ALL);
    } else {
        part = choice(x);
        if (part >= 0 && take(x, "..")) {
            int from = part, to = choice(x);
            part = to < 0 ? -1 : node(x, EXPR_RANGE);
            if (part >= 0) x->e->node[part].left = from, x->e->node[part].right = to;
        }
    }
    x->in_index = in_index;
    if (part >= 0 && !take(x, "]")) return syntax(x);
    return part;
}

static int postfix(struct parser *x)
{
    int base = primary(x), last = -1;
    if (base < 0) return -1;
    for (int at = -1; take(x, "[");) {
        int part = index_part(x);
        if (part < 0) return -1;
        if (last < 0) {
            if ((at = node(x, EXPR_INDEX)) < 0) return -1;
            x->e->node[at].left = base;
            x->e->node[at].first = part;
            base = at;
        } else {
            x->e->node[last].next = part;
        }
        last = part;
    }
    return base;
}

static int unary(struct parser *x)
{
    blanks(x);
    if (++x->depth > EXPR_DEPTH) return fail(x, "The expression is nested too deeply.");
    int at;
    bool minus = *x->p == '-', not = *x->p == '!' && x->p[1] != '=';
    if (minus || not ) {
        x->p++;
        int operand = unary(x);
        at = operand < 0 ? -1 : node(x, EXPR_UNARY);
        if (at >= 0) {
            x->e->node[at].op = minus ? EXPR_NEG : EXPR_NOT;
            x->e->node[at].left = operand;
        }
    } else {
        if (*x->p == '+') x->p++;
        at = postfix(x);
    }
    x->depth--;
    return at;
}

struct operator
{
    const char *text;
    enum expr_op op;
    int level;
};
#define LEVELS 7
static const struct operator operators[] = {
    /* longer spellings first */
    { "||", EXPR_OR, 0 },
    { "&&", EXPR_AND, 1 },
    { "==", EXPR_EQ, 2 },
    { "!=", EXPR_NE, 2 },
    { "<=", EXPR_LE, 3 },
    { ">=", EXPR_GE, 3 },
    { "<", EXPR_LT, 3 },
    { ">", EXPR_GT, 3 },
    { "+", EXPR_ADD, 4 },
    { "-", EXPR_SUB, 4 },
    { "*", EXPR_MUL, 5 },
    { "/", EXPR_DIV, 5 },
    { "%", EXPR_MOD, 5 },
    { "@", EXPR_AT, 6 },
};

static int binary(struct parser *x, int level)
{
    if (level == LEVELS) return unary(x);
    int left = binary(x, level + 1);
    while (left >= 0) {
        const struct operator* found = NULL;
        blanks(x);
        for (size_t i = 0; i < KV_COUNT(operators) && !found; i++)
            if (operators[i].level == level && !strncmp(x->p, operators[i].text, strlen(operators[i].text)))
                found = &operators[i];
        if (!found) break;
        x->p += strlen(found->text);
        int right = binary(x, level + 1);
        int at = right < 0 ? -1 : node(x, EXPR_BINARY);
        if (at < 0) return -1;
        x->e->node[at].op = found->op;
        x->e->node[at].left = left;
        x->e->node[at].right = right;
        left = at;
    }
    return left;
}

static int choice(struct parser *x)
{
    if (++x->depth > EXPR_DEPTH) return fail(x, "The expression is nested too deeply.");
    int at = binary(x, 0);
    if (at >= 0 && take(x, "?")) {
        int yes = choice(x);
        if (yes >= 0 && !take(x, ":")) return syntax(x);
        int no = yes < 0 ? -1 : choice(x), condition = at;
        at = no < 0 ? -1 : node(x, EXPR_CHOICE);
        if (at >= 0) x->e->node[at].left = condition, x->e->node[at].right = yes, x->e->node[at].first = no;
    }
    x->depth--;
    return at;
}

enum kv_status expr_parse(const char *text, struct expr *out, size_t *used, struct kv_error *err)
{
    struct parser x = { .e = out, .start = text, .p = text, .err = err };
    out->count = out->pool_used = 0;
    out->root = choice(&x);
    if (out->root < 0) return err->code;
    blanks(&x);
    *used = (size_t)(x.p - text);
    if (*x.p && *x.p != ',') {
        syntax(&x);
        return err->code;
    }
    return KV_OK;
}

enum kv_status expr_parse_all(const char *text, struct expr *out, struct kv_error *err)
{
    size_t used;
    enum kv_status st = expr_parse(text, out, &used, err);
    if (!st && text[used])
        st = kv_fail(err, KV_BAD_ARG, "A syntax error in expression, near `%.40s'.", text + used);
    return st;
}
