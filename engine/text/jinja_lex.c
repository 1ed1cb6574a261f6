/* A template's tokens, with the white space already gone that tags take: "-" on a tag takes all that touches it; a
 * statement or comment takes the line feed behind it, and the white space before it where it begins its line. */
#include "engine/text/jinja_parts.h"

#include <stdlib.h>
#include <string.h>

enum { NESTING_MAX = 64 };

struct lexer {
    struct jinja *j;
    const char *text; /* line feeds only */
    size_t n, at;
    int line;
    bool fresh; /* what was taken last ended in a line feed, or nothing was */
    struct jtoken *token;
    size_t count, room;
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) { return c == '_' || is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static struct jtoken *add(struct lexer *x, enum jtoken_kind kind, const char *text, size_t n)
{
    static struct jtoken nowhere;
    if (x->count == x->room) {
        size_t room = 2 * x->room + 64;
        struct jtoken *grown = jinja_take(x->j, room, sizeof *grown);
        if (!grown) return &nowhere;
        if (x->count) memcpy(grown, x->token, x->count * sizeof *grown);
        x->token = grown;
        x->room = room;
    }
    x->token[x->count] = (struct jtoken){ .kind = kind, .line = x->line, .text = { text, NULL, n } };
    return &x->token[x->count++];
}

static void move(struct lexer *x, size_t to)
{
    for (; x->at < to; x->at++) x->line += x->text[x->at] == '\n';
    x->fresh = to && x->text[to - 1] == '\n';
}

static bool looking_at(const struct lexer *x, const char *what)
{
    size_t n = strlen(what);
    return x->n - x->at >= n && !memcmp(x->text + x->at, what, n);
}

/* ---- strings ---- */

static size_t put_point(char *to, uint32_t c)
{
    if (c < 0x80) return to[0] = (char)c, 1;
    if (c < 0x800) return to[0] = (char)(0xC0 | c >> 6), to[1] = (char)(0x80 | (c & 0x3F)), 2;
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 0x3F)), to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F)), to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* The escape at p, behind its backslash; *used bytes. Python keeps the backslash of those that it does not know. */
static size_t unescape(const char *p, size_t left, size_t *used, char *to)
{
    static const char names[] = "ntr\\'\"abfv0", codes[] = "\n\t\r\\'\"\a\b\f\v";
    const char *found = left && *p ? strchr(names, *p) : NULL;
    size_t digits = left && *p == 'x' ? 2 : left && *p == 'u' ? 4 : 0;
    *used = 1;
    if (left && *p == '\n') return 0;
    if (found) return to[0] = codes[found - names], 1;
    char hex[5] = "", *end;
    if (digits && left > digits) {
        memcpy(hex, p + 1, digits);
        unsigned long point = strtoul(hex, &end, 16);
        if (end == hex + digits && is_name(hex[0]) && (point < 0xD800 || point > 0xDFFF)) {
            *used = 1 + digits;
            return put_point(to, (uint32_t)point);
        }
    }
    *used = 0;
    return to[0] = '\\', 1;
}

static void lex_string(struct lexer *x)
{
    char quote = x->text[x->at];
    size_t end = x->at + 1, n = 0, used;
    while (end < x->n && x->text[end] != quote) end += x->text[end] == '\\' ? 2 : 1;
    if (end >= x->n) {
        x->j->line = x->line;
        jinja_wrong(x->j, "a text has no end");
        return;
    }
    char *to = jinja_take(x->j, end - x->at + 1, 1);
    if (!to) return;
    for (size_t i = x->at + 1; i < end; i += used) {
        used = 1;
        if (x->text[i] != '\\') {
            to[n++] = x->text[i];
            continue;
        }
        n += unescape(x->text + i + 1, end - i - 1, &used, to + n);
        used++;
    }
    add(x, JT_STRING, to, n);
    move(x, end + 1);
}

static void lex_number(struct lexer *x)
{
    char digits[48];
    size_t n = 0, at = x->at;
    bool whole = true;
    for (; at < x->n && n < sizeof digits - 1; at++) {
        char c = x->text[at];
        bool fraction = c == '.' && at + 1 < x->n && is_digit(x->text[at + 1]) && whole;
        bool power = (c | 32) == 'e' && at + 1 < x->n && (is_digit(x->text[at + 1]) || x->text[at + 1] == '-');
        if (!is_digit(c) && c != '_' && !fraction && !power && !(c == '-' && n && (digits[n - 1] | 32) == 'e'))
            break;
        if (fraction || power) whole = false;
        if (c != '_') digits[n++] = c;
    }
    digits[n] = 0;
    struct jtoken *token = add(x, whole ? JT_INT : JT_FLOAT, x->text + x->at, at - x->at);
    token->i = whole && n < 19 ? atoll(digits) : INT64_MAX;
    token->f = strtod(digits, NULL);
    move(x, at);
}

/* ---- tags ---- */

static void lex_operator(struct lexer *x, char *nesting, int *depth)
{
    static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" };
    const char *p = x->text + x->at;
    for (size_t i = 0; i < KV_COUNT(two); i++) {
        if (!looking_at(x, two[i])) continue;
        add(x, JT_OP, p, 2);
        move(x, x->at + 2);
        return;
    }
    x->j->line = x->line;
    if (strchr("([{", *p) && *p) {
        if (*depth == NESTING_MAX) {
            jinja_unsupported(x->j, "brackets", "so deep in one another");
            return;
        }
        nesting[(*depth)++] = *p == '(' ? ')' : *p == '[' ? ']' : '}';
    } else if (strchr(")]}", *p) && *p) {
        if (!*depth || nesting[--*depth] != *p) jinja_wrong(x->j, "'%c' closes nothing", *p);
    } else if (!*p || !strchr("+-*/%~<>=.,:|!;", *p)) {
        jinja_wrong(x->j, "a character stands there that means nothing");
    }
    add(x, JT_OP, p, 1);
    move(x, x->at + 1);
}

/* Behind a tag's end: "-" takes all white space, a statement or comment one line feed unless "+" keeps it. */
static void take_space(struct lexer *x, char sign, bool value)
{
    size_t to = x->at;
    if (sign == '-')
        while (to < x->n && is_space(x->text[to])) to++;
    else if (!value && sign != '+' && to < x->n && x->text[to] == '\n')
        to++;
    if (to > x->at) move(x, to);
}

/* The inside of {% %} or {{ }}, up to and with its end. */
static void lex_tag(struct lexer *x, bool value)
{
    const char *close = value ? "}}" : "%}";
    char nesting[NESTING_MAX];
    int depth = 0;
    while (!x->j->status) {
        while (x->at < x->n && is_space(x->text[x->at])) move(x, x->at + 1);
        char sign = x->at < x->n ? x->text[x->at] : 0;
        size_t skip = sign == '-' || sign == '+';
        x->j->line = x->line;
        if (x->at >= x->n) {
            jinja_wrong(x->j, "a tag has no end");
        } else if (!depth && x->n - x->at >= skip + 2 && !memcmp(x->text + x->at + skip, close, 2)) {
            add(x, value ? JT_VALUE_END : JT_BLOCK_END, close, 2);
            move(x, x->at + skip + 2);
            take_space(x, skip ? sign : 0, value);
            return;
        } else if (sign == '\'' || sign == '"') {
            lex_string(x);
        } else if (is_digit(sign)) {
            lex_number(x);
        } else if (is_name(sign)) {
            size_t to = x->at;
            while (to < x->n && is_name(x->text[to])) to++;
            add(x, JT_NAME, arena_copy(&x->j->arena, x->text + x->at, to - x->at), to - x->at);
            if (!x->token || !x->token[x->count - 1].text.text)
                jinja_fail(x->j, KV_NO_MEMORY, "No memory for a chat template.");
            move(x, to);
        } else {
            lex_operator(x, nesting, &depth);
        }
    }
}

static void lex_comment(struct lexer *x)
{
    const char *end = memmem(x->text + x->at, x->n - x->at, "#}", 2);
    x->j->line = x->line;
    if (!end) {
        jinja_wrong(x->j, "a comment has no end");
        return;
    }
    char sign = end > x->text + x->at ? end[-1] : 0;
    move(x, (size_t)(end - x->text) + 2);
    take_space(x, sign, false);
}

/* The text before a tag, which begins at `to`. */
static void add_text(struct lexer *x, size_t to, char kind, char sign)
{
    size_t end = to, line = to;
    if (sign == '-') {
        while (end > x->at && is_space(x->text[end - 1])) end--;
    } else if (sign != '+' && kind != '{') {
        while (line > x->at && x->text[line - 1] != '\n') line--;
        bool blank = line > x->at || x->fresh;
        for (size_t i = line; i < to; i++) blank = blank && is_space(x->text[i]);
        if (blank) end = line;
    }
    if (end > x->at) add(x, JT_TEXT, x->text + x->at, end - x->at);
}

static void lex(struct lexer *x)
{
    while (x->at < x->n && !x->j->status) {
        size_t to = x->at;
        while (to + 1 < x->n && !(x->text[to] == '{' && strchr("{%#", x->text[to + 1]) && x->text[to + 1])) to++;
        if (to + 1 >= x->n) {
            add(x, JT_TEXT, x->text + x->at, x->n - x->at);
            move(x, x->n);
            return;
        }
        char kind = x->text[to + 1], sign = to + 2 < x->n ? x->text[to + 2] : 0;
        bool signed_tag = sign == '-' || sign == '+';
        add_text(x, to, kind, signed_tag ? sign : 0);
        move(x, to + 2 + signed_tag);
        if (kind == '#') {
            lex_comment(x);
            continue;
        }
        add(x, kind == '{' ? JT_VALUE : JT_BLOCK, kind == '{' ? "{{" : "{%", 2);
        lex_tag(x, kind == '{');
    }
}

struct jtoken *jinja_lex(struct jinja *j, struct kv_string template)
{
    struct lexer x = { .j = j, .line = 1, .fresh = true };
    char *text = jinja_take(j, template.length + 1, 1);
    if (!text) return NULL;
    for (size_t i = 0; i < template.length; i++) {
        char c = template.text[i];
        if (c == '\n' && i && template.text[i - 1] == '\r') continue;
        text[x.n++] = c == '\r' ? '\n' : c;
    }
    if (x.n && text[x.n - 1] == '\n') x.n--; /* the template's last line feed is not part of it */
    x.text = text;
    lex(&x);
    add(&x, JT_END, "", 0);
    return j->status ? NULL : x.token;
}
