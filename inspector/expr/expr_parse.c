/* A recursive-descent parser with C's precedences, into a fixed array of nodes. */
#include "inspector/expr/expr.h"

#include <ctype.h>
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

static int assignment(struct parser *x);
static int comma(struct parser *x);

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

static int number_node(struct parser *x, double value, bool integral)
{
    int at = node(x, EXPR_NUMBER);
    if (at < 0) return -1;
    x->e->node[at].number = value;
    x->e->node[at].integral = integral;
    return at;
}

/* 12, 0x1f, 017, 0b101, 1.5e-3; a dot that begins ".." is none of it. */
static int number(struct parser *x)
{
    char digits[64], *end = digits;
    size_t n = 0;
    bool zero = x->p[0] == '0', hex = zero && (x->p[1] == 'x' || x->p[1] == 'X'),
         binary = zero && (x->p[1] == 'b' || x->p[1] == 'B'), integral = true;
    for (; n + 1 < sizeof digits; n++) {
        char c = x->p[n];
        bool plain = !hex && !binary;
        bool exponent = plain && n && (c == 'e' || c == 'E') && strspn(x->p + n + 1, "+-0123456789");
        bool sign = plain && n && (c == '+' || c == '-') && (x->p[n - 1] == 'e' || x->p[n - 1] == 'E');
        bool point = plain && c == '.' && x->p[n + 1] != '.';
        if (!isdigit((unsigned char)c) && !exponent && !sign && !point && !((hex || binary) && n == 1) &&
            !(hex && isxdigit((unsigned char)c)))
            break;
        integral = integral && !exponent && !point;
        digits[n] = c;
    }
    digits[n] = '\0';
    bool octal = zero && n > 1 && integral && !hex && !binary;
    double value = octal    ? (double)strtoull(digits, &end, 8)
                   : binary ? (double)strtoull(digits + 2, &end, 2)
                            : strtod(digits, &end);
    if (*end || end == digits || (binary && n == 2) || isalnum((unsigned char)x->p[n]) || x->p[n] == '_') {
        char sentence[96];
        while (isalnum((unsigned char)x->p[n]) && n + 1 < sizeof digits) n++;
        snprintf(sentence, sizeof sentence, "Invalid number \"%.*s\".", (int)n, x->p);
        return fail(x, sentence);
    }
    x->p += n;
    return number_node(x, value, integral);
}

/* 'A', '\n', '\101': the character's code. */
static int character(struct parser *x)
{
    static const char from[] = "abefnrtv\\'\"", to[] = "\a\b\033\f\n\r\t\v\\'\"";
    const char *p = x->p + 1, *hit;
    int value = (unsigned char)*p;
    if (*p == '\\' && p[1] >= '0' && p[1] <= '7') {
        value = 0;
        for (p++; *p >= '0' && *p <= '7' && value < 32; p++) value = 8 * value + (*p - '0');
    } else if (*p == '\\' && p[1] && (hit = strchr(from, p[1]))) {
        value = to[hit - from];
        p += 2;
    } else {
        p += *p != '\0';
    }
    if (p == x->p + 1 || !*p) return fail(x, "Unmatched single quote.");
    if (*p != '\'') return fail(x, "Invalid character constant.");
    x->p = p + 1;
    return number_node(x, value, true);
}

/* "..." and what follows at once in quotes, as in C. */
static int string(struct parser *x)
{
    char text[EXPR_POOL];
    size_t n = 0;
    do {
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
        blanks(x);
    } while (*x->p == '"');
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

/* run(2).kept is one name: its length, 0 where it is none. */
static size_t run_length(const char *p)
{
    size_t n = 4, digits = p[3] == '(' ? strspn(p + n, "0123456789") : 0;
    if (!digits || digits > 6 || p[n + digits] != ')' || p[n + digits + 1] != '.') return 0;
    n += digits + 2;
    return isalpha((unsigned char)p[n]) ? n + name_length(p + n) : 0;
}

/* X or X..Y, as an index or an argument may be. */
static int range(struct parser *x)
{
    int from = assignment(x);
    if (from < 0 || !take(x, "..")) return from;
    int to = assignment(x), at = to < 0 ? -1 : node(x, EXPR_RANGE);
    if (at < 0) return -1;
    x->e->node[at].left = from;
    x->e->node[at].right = to;
    return at;
}

static int arguments(struct parser *x, int call)
{
    int last = -1;
    bool in_index = x->in_index;
    x->in_index = false;
    if (!take(x, ")")) {
        do {
            int arg = range(x);
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
    if (c == '\'') return character(x);
    if (c == '$') {
        size_t n = 1;
        while (isalnum((unsigned char)x->p[n]) || x->p[n] == '_') n++;
        if (n == 1 && x->p[1] == '$') {
            for (n = 2; isdigit((unsigned char)x->p[n]);) n++;
        }
        const char *dollar = x->p;
        x->p += n;
        if (dollar[1] == '_' && take(x, "(")) {
            int call = text_node(x, EXPR_CALL, dollar, n);
            return call < 0 ? -1 : arguments(x, call);
        }
        return text_node(x, EXPR_DOLLAR, dollar + 1, n - 1);
    }
    if (c == '(') {
        bool in_index = x->in_index;
        x->p++;
        x->in_index = false;
        int inner = comma(x);
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
    size_t run = n == 3 && !memcmp(name, "run", 3) ? run_length(name) : 0;
    if (run) {
        x->p = name + run;
        return text_node(x, EXPR_NAME, name, run);
    }
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
        part = range(x);
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

/* left op= right; `after` gives the value from before. */
static int assign_node(struct parser *x, enum expr_op op, int left, int right, bool after)
{
    int at = left < 0 || right < 0 ? -1 : node(x, EXPR_ASSIGN);
    if (at < 0) return -1;
    if (x->e->node[left].kind != EXPR_DOLLAR && x->e->node[left].kind != EXPR_NAME)
        return fail(x, "Left operand of assignment is not an lvalue.");
    x->e->node[at].op = op;
    x->e->node[at].left = left;
    x->e->node[at].right = right;
    x->e->node[at].after = after;
    return at;
}

/* ++ or -- at p: EXPR_ADD, EXPR_SUB, or 0. */
static enum expr_op increment_at(const char *p)
{
    return !*p || p[0] != p[1] ? 0 : *p == '+' ? EXPR_ADD : *p == '-' ? EXPR_SUB : 0;
}

static int unary(struct parser *x)
{
    static const char signs[] = "-!~+";
    static const enum expr_op ops[] = { EXPR_NEG, EXPR_NOT, EXPR_COMPL, EXPR_PLUS };
    blanks(x);
    if (++x->depth > EXPR_DEPTH) return fail(x, "The expression is nested too deeply.");
    int at;
    if (*x->p == '*') return fail(x, "Attempt to take contents of a non-pointer value.");
    if (*x->p == '&' && x->p[1] != '&') return fail(x, "Attempt to take address of value not located in memory.");
    const char *sign = *x->p && !(*x->p == '!' && x->p[1] == '=') ? strchr(signs, *x->p) : NULL;
    enum expr_op step = increment_at(x->p);
    if (step && x->p[2] == '$') {
        x->p += 2;
        int operand = primary(x);
        at = assign_node(x, step, operand, operand < 0 ? -1 : number_node(x, 1, true), false);
    } else if (sign) {
        x->p++;
        int operand = unary(x);
        at = operand < 0 ? -1 : node(x, EXPR_UNARY);
        if (at >= 0) {
            x->e->node[at].op = ops[sign - signs];
            x->e->node[at].left = operand;
        }
    } else {
        at = postfix(x);
        step = at < 0 || x->e->node[at].kind != EXPR_DOLLAR ? 0 : increment_at(x->p);
        if (step &&
            (isalpha((unsigned char)x->e->pool[x->e->node[at].text]) || x->e->pool[x->e->node[at].text] == '_')) {
            x->p += 2;
            at = assign_node(x, step, at, number_node(x, 1, true), true);
        }
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
#define LEVELS 11
static const struct operator operators[] = {
    /* longer spellings first */
    { "||", EXPR_OR, 0 },
    { "&&", EXPR_AND, 1 },
    { "==", EXPR_EQ, 5 },
    { "!=", EXPR_NE, 5 },
    { "<<", EXPR_SHL, 7 },
    { ">>", EXPR_SHR, 7 },
    { "<=", EXPR_LE, 6 },
    { ">=", EXPR_GE, 6 },
    { "<", EXPR_LT, 6 },
    { ">", EXPR_GT, 6 },
    { "|", EXPR_BIT_OR, 2 },
    { "^", EXPR_BIT_XOR, 3 },
    { "&", EXPR_BIT_AND, 4 },
    { "+", EXPR_ADD, 8 },
    { "-", EXPR_SUB, 8 },
    { "*", EXPR_MUL, 9 },
    { "/", EXPR_DIV, 9 },
    { "%", EXPR_MOD, 9 },
    { "@", EXPR_AT, 10 },
};

/* The operator at p, the longest that fits; NULL = none. */
static const struct operator* operator_at(const char *p)
{
    for (size_t i = 0; i < KV_COUNT(operators); i++)
        if (!strncmp(p, operators[i].text, strlen(operators[i].text))) return &operators[i];
    return NULL;
}

/* The operator of an assignment at p: EXPR_COMMA for =, and how long it is; 0 = none is there. */
static size_t assignment_at(const char *p, enum expr_op *op)
{
    const struct operator* o = operator_at(p);
    *op = EXPR_COMMA;
    if (*p == '=' && p[1] != '=') return 1;
    if (!o || (o->level != 7 && o->level != 8 && o->level != 9 && (o->level < 2 || o->level > 4))) return 0;
    *op = o->op;
    size_t n = strlen(o->text);
    return p[n] == '=' && p[n + 1] != '=' ? n + 1 : 0;
}

static int binary(struct parser *x, int level)
{
    if (level == LEVELS) return unary(x);
    int left = binary(x, level + 1);
    while (left >= 0) {
        enum expr_op ignored;
        blanks(x);
        const struct operator* found = operator_at(x->p);
        if (!found || found->level != level || assignment_at(x->p, &ignored)) break;
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
        int yes = assignment(x);
        if (yes >= 0 && !take(x, ":")) return syntax(x);
        int no = yes < 0 ? -1 : choice(x), condition = at;
        at = no < 0 ? -1 : node(x, EXPR_CHOICE);
        if (at >= 0) x->e->node[at].left = condition, x->e->node[at].right = yes, x->e->node[at].first = no;
    }
    x->depth--;
    return at;
}

static int assignment(struct parser *x)
{
    enum expr_op op;
    int left = choice(x);
    if (left < 0) return -1;
    blanks(x);
    size_t n = assignment_at(x->p, &op);
    if (!n) return left;
    if (x->e->node[left].kind != EXPR_DOLLAR && x->e->node[left].kind != EXPR_NAME)
        return fail(x, "Left operand of assignment is not an lvalue.");
    if (++x->depth > EXPR_DEPTH) return fail(x, "The expression is nested too deeply.");
    x->p += n;
    int right = assignment(x);
    x->depth--;
    return assign_node(x, op, left, right, false);
}

/* The value of the last one; all are worked out. */
static int comma(struct parser *x)
{
    int left = assignment(x);
    while (left >= 0 && take(x, ",")) {
        int right = assignment(x), at = right < 0 ? -1 : node(x, EXPR_BINARY);
        if (at < 0) return -1;
        x->e->node[at].op = EXPR_COMMA;
        x->e->node[at].left = left;
        x->e->node[at].right = right;
        left = at;
    }
    return left;
}

static enum kv_status parse(
    const char *text, int (*rule)(struct parser *x), struct expr *out, size_t *used, struct kv_error *err)
{
    struct parser x = { .e = out, .start = text, .p = text, .err = err };
    out->count = out->pool_used = 0;
    out->root = rule(&x);
    if (out->root < 0) return err->code;
    blanks(&x);
    *used = (size_t)(x.p - text);
    if (*x.p && *x.p != ',') {
        syntax(&x);
        return err->code;
    }
    return KV_OK;
}

enum kv_status expr_parse(const char *text, struct expr *out, size_t *used, struct kv_error *err)
{
    return parse(text, assignment, out, used, err);
}

enum kv_status expr_parse_all(const char *text, struct expr *out, struct kv_error *err)
{
    size_t used;
    return parse(text, comma, out, &used, err);
}
