/* An address is an expression and the elements behind it: E[3] + 2 is E[5]. */
#include "inspector/expr/examine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/expr_eval.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"

struct examine {
    struct expr e;
    char text[160];   /* of the expression */
    char label[240];  /* the same without the index of the element, which each line adds */
    bool parsed;      /* there is one */
    long long offset; /* elements from it to the next to show */
    struct format format;
    bool said; /* its letter was given for this expression: one that was not does not fit reals */
};

void examine_free(struct session *s)
{
    free(s->examine);
    s->examine = NULL;
}

/* Whether it is an array, or a part of one: else it is a position. */
static bool has_elements(struct session *s, const struct expr *e)
{
    const struct expr_node *root = &e->node[e->root];
    struct value v;
    struct kv_error ignored;
    if (root->kind != EXPR_DOLLAR) return root->kind == EXPR_NAME || root->kind == EXPR_INDEX;
    bool scalar = !names_dollar(s, e->pool + root->text, &v, &ignored) && v.kind == VALUE_NUMBER && !v.n_dim;
    value_free(&v);
    return !scalar;
}

/* 137, @137 and "text" are tokens of the prompt. */
static enum kv_status read_address(struct session *s, struct examine *x, const char *text)
{
    char token[1040];
    if (*text == '@' || *text == '"') {
        snprintf(token, sizeof token, "tok[%s]", text + (*text == '@'));
        text = token;
    }
    enum kv_status st = expr_parse_all(text, &x->e, &s->err);
    if (st) return st;
    if (!has_elements(s, &x->e)) {
        snprintf(token, sizeof token, "tok[%.1000s]", text);
        text = token;
        if ((st = expr_parse_all(text, &x->e, &s->err))) return st;
    }
    x->parsed = true;
    x->offset = 0;
    snprintf(x->text, sizeof x->text, "%.159s", text);
    return KV_OK;
}

/* Without the last index, or with what the focus stood in for. */
static void make_label(struct examine *x, bool indexed, const char *focus)
{
    int depth = 0;
    snprintf(x->label, sizeof x->label, "%s%.60s", x->text, focus);
    for (size_t i = strlen(x->label); indexed && i > 0; i--) {
        depth += (x->label[i - 1] == ']') - (x->label[i - 1] == '[');
        if (x->label[i - 1] != '[' || depth) continue;
        x->label[i - 1] = '\0';
        return;
    }
}

static int per_line(const struct value *v, const struct format *f)
{
    if (f->letter == 's' || f->letter == 'i' || (v->names && !f->letter)) return 1;
    return f->size == 'b' || f->size == 'h' || f->letter == 'c' ? 8 : f->size == 'g' ? 2 : 4;
}

static void end_line(struct session *s) { fprintf(s->out, "%s\n", s->computed ? session_mark(s) : ""); }

/* "@5:\t84 "T"\tkept 0.67  score 0.0123  rank 17": score and rank are the focused layer's. */
static void token_line(struct session *s, int32_t id, size_t position)
{
    char quoted[64];
    struct kv_array a;
    struct kv_error ignored;
    rows_new(s);
    rows_number(s, "position", (double)position);
    rows_number(s, "id", id);
    rows_token(s, "text", id);
    fprintf(s->out, "%s@%zu:\t%d %s", (int)position == s->token ? "=> " : "   ", position, id,
        tokens_quote(s, id, quoted, sizeof quoted));
    if (!session_set(s, s->engine, "kept", -1, &a, &ignored) && position < a.dim[1]) {
        size_t kept = 0;
        for (size_t l = 0; l < a.dim[0]; l++) kept += array_number(&a, l * a.dim[1] + position) != 0;
        fprintf(s->out, "\tkept %.2f", (double)kept / (double)a.dim[0]);
        rows_number(s, "kept in layers", (double)kept);
        s->computed = true;
    }
    const char *const names[] = { "score", "rank" };
    for (size_t i = 0; i < KV_COUNT(names); i++)
        if (!session_set(s, s->engine, names[i], -1, &a, &ignored) && position < a.dim[1]) {
            double x = array_number(&a, (size_t)s->layer * a.dim[1] + position);
            rows_number(s, names[i], !i || x >= 0 ? x : NAN); /* forced tokens have no rank */
            if (!i || x >= 0) fprintf(s->out, "  %s %.4g", names[i], x);
        }
    end_line(s);
}

/* The token at a position of an array over positions; -1 = that is none. */
static int32_t token_at(struct session *s, const struct value *v, size_t i)
{
    int n = 0;
    if (v->names == VALUE_TOKEN) return (int32_t)v->number[i];
    if (!v->axis[0] || strcmp(v->axis[0], "position")) return -1;
    const int32_t *ids = tokens_prompt(s, &n);
    return ids && v->at[0][i] < (size_t)n ? ids[v->at[0][i]] : -1;
}

static void row(struct session *s, const struct examine *x, const struct value *v, size_t i)
{
    char address[280];
    snprintf(address, sizeof address, "%s[%zu]", x->label, v->at[0][i]);
    rows_new(s);
    rows_text(s, "address", address);
    rows_number(s, "value", v->number[i]);
}

static enum kv_status show_tokens(struct session *s, const struct examine *x, const struct value *v, char letter)
{
    char quoted[256];
    for (size_t i = 0; i < v->count; i++) {
        int32_t id = token_at(s, v, i);
        if (id < 0)
            return kv_fail(&s->err, KV_BAD_ARG,
                "Format letter \"%c\" needs tokens: an array over positions, such as tok, kept[0] or score[0].",
                letter);
        row(s, x, v, i);
        rows_token(s, "text", id);
        if (letter == 'i' && v->axis[0] && !strcmp(v->axis[0], "position"))
            token_line(s, id, v->at[0][i]);
        else {
            fprintf(s->out, "%s[%zu]:\t", x->label, v->at[0][i]);
            if (letter == 'i') fprintf(s->out, "%d ", id);
            fputs(tokens_quote(s, id, quoted, sizeof quoted), s->out);
            end_line(s);
        }
    }
    return KV_OK;
}

static enum kv_status show_numbers(
    struct session *s, const struct examine *x, struct value *v, const struct format *f)
{
    static const char sizes[] = "bhwg";
    char text[128];
    size_t line = (size_t)per_line(v, f);
    char letter = x->said || v->integral ? f->letter : 0;
    const char *size = f->size ? strchr(sizes, f->size) : NULL;
    int width = size ? 1 << (size - sizes) : 0;
    if (width && (v->integral || width >= 4)) v->width = width; /* a real is a float or a double, no less */
    for (size_t i = 0; i < v->count; i++) {
        if (i % line == 0) fprintf(s->out, "%s[%zu]:", x->label, v->at[0][i]);
        row(s, x, v, i);
        fprintf(s->out, "\t%s", format_number(s, v, i, letter, text, sizeof text));
        if (i % line == line - 1 || i + 1 == v->count) end_line(s);
    }
    return KV_OK;
}

/* $_ is the last address that was shown, $__ what is there. */
static enum kv_status remember(struct session *s, const struct value *v)
{
    struct value at, what;
    size_t last = v->count - 1;
    enum kv_status st = value_scalar(&at, (double)v->at[0][last], true, "", &s->err);
    if (!st) st = names_assign(s, "_", &at, &s->err);
    value_free(&at);
    if (!st) st = value_scalar(&what, v->number[last], v->integral, v->unit, &s->err);
    if (st) return st;
    what.names = v->names;
    what.width = v->width;
    st = names_assign(s, "__", &what, &s->err);
    value_free(&what);
    return st;
}

static enum kv_status show(struct session *s, struct examine *x, const struct format *f)
{
    struct value v;
    long long count = f->count;
    if (!count) return KV_OK;
    if (count < 0) x->offset += count, count = -count;
    char focus[64];
    bool indexed;
    enum kv_status st = expr_window(s, &x->e, x->offset, count, &v, &indexed, focus, &s->err);
    if (st) return st;
    make_label(x, indexed, focus);
    bool tokens = f->letter == 'i' || (f->letter == 's' && token_at(s, &v, 0) >= 0);
    long long first = (long long)v.at[0][0], shown = (long long)v.count;
    st = tokens ? show_tokens(s, x, &v, f->letter) : show_numbers(s, x, &v, f);
    if (!st) st = rows_value(s, &v, 0);
    if (!st) st = remember(s, &v);
    value_free(&v);
    if (f->count > 0) x->offset += shown;
    if (st || shown == count) return st;
    return kv_fail(&s->err, KV_BAD_ARG, "Cannot access %s[%lld].", x->label, first + shown);
}

static enum kv_status check_letter(const struct format *f, struct kv_error *err)
{
    struct format plain = { 1, f->letter == 'i' ? 's' : f->letter, 0 };
    return format_check(&plain, "x", err);
}

enum kv_status examine_check(struct session *s, const char *text, const struct format *f)
{
    struct examine *x = kv_alloc(1, sizeof *x);
    if (!x) return kv_fail(&s->err, KV_NO_MEMORY, "No memory to examine anything.");
    enum kv_status st = check_letter(f, &s->err);
    if (!st) st = read_address(s, x, text);
    free(x);
    return st;
}

enum kv_status examine_show(struct session *s, const char *text, const struct format *f)
{
    struct examine *x = kv_alloc(1, sizeof *x);
    if (!x) return kv_fail(&s->err, KV_NO_MEMORY, "No memory to examine anything.");
    enum kv_status st = check_letter(f, &s->err);
    if (!st) st = read_address(s, x, text);
    x->said = true;
    s->computed = false;
    if (!st) st = show(s, x, f);
    free(x);
    return st;
}

struct reaction cmd_x(struct session *s, const char *args)
{
    struct examine *x = s->examine ? s->examine : kv_alloc(1, sizeof *x);
    if (!x) return refuse(s, KV_NO_MEMORY, "No memory to examine anything.");
    s->examine = x;
    struct format f = { 1, 0, x->format.size };
    if (*args == '/') {
        args++;
        format_parse(&args, &f);
    } else if (!*args && x->format.count) {
        f.count = x->format.count;
    }
    bool said = f.letter;
    if (!said) f.letter = s->print_letter;
    if (check_letter(&f, &s->err)) return failed(s);
    if (*args && read_address(s, x, args)) {
        x->parsed = false;
        return failed(s);
    }
    x->said = said || (!*args && x->said);
    if (!x->parsed) return refuse(s, KV_BAD_ARG, "Argument required (starting display address).");
    x->format = f;
    s->print_letter = f.letter;
    s->computed = false;
    enum kv_status st = show(s, x, &f);
    return st ? failed(s) : DONE;
}
