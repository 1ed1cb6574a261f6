/* Values as text. */
#include "inspector/print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/line.h"
#include "inspector/names.h"
#include "inspector/tokens.h"

#define REPEATS 10 /* so many equal elements are printed once, as GDB does */

static void number_text(struct session *s, const struct value *v, double x, char *out, size_t size)
{
    char quoted[64];
    if (v->names == VALUE_TOKEN && x >= 0)
        snprintf(out, size, "%.0f %s", x, tokens_quote(s, (int32_t)x, quoted, sizeof quoted));
    else if (v->names == VALUE_REASON && x >= 0) {
        int i = 0;
        while (i < (int)x && kv_reason_name[i]) i++;
        snprintf(out, size, "%s", kv_reason_name[i] ? kv_reason_name[i] : "?");
    } else if (isnan(x))
        snprintf(out, size, "nan");
    else if (v->integral)
        snprintf(out, size, "%.0f", x);
    else
        snprintf(out, size, "%.6g", x);
}

/* A row of the last dimension; *left elements may still be printed. */
static void print_row(struct session *s, const struct value *v, const double *x, size_t n, int *left)
{
    char text[96];
    fputc('{', s->out);
    for (size_t i = 0; i < n;) {
        size_t same = 1;
        if (i) fputs(", ", s->out);
        if (*left <= 0) {
            fputs("...", s->out);
            break;
        }
        while (i + same < n && (x[i + same] == x[i] || (isnan(x[i]) && isnan(x[i + same])))) same++;
        number_text(s, v, x[i], text, sizeof text);
        fputs(text, s->out);
        if (same >= REPEATS)
            fprintf(s->out, " <repeats %zu times>", same);
        else
            same = 1;
        --*left;
        i += same;
    }
    fputc('}', s->out);
}

static void print_level(struct session *s, const struct value *v, int d, const double *x, size_t count, int *left)
{
    if (d == v->n_dim - 1) {
        print_row(s, v, x, v->dim[d], left);
        return;
    }
    size_t step = v->dim[d] ? count / v->dim[d] : 0;
    fputc('{', s->out);
    for (size_t i = 0; i < v->dim[d]; i++) {
        if (i) fputs(", ", s->out);
        if (*left <= 0) {
            fputs("...", s->out);
            break;
        }
        print_level(s, v, d + 1, x + i * step, step, left);
    }
    fputc('}', s->out);
}

void print_value(struct session *s, const struct value *v)
{
    char text[1200];
    int left = s->print_elements;
    if (v->kind == VALUE_VOID)
        fputs("void", s->out);
    else if (v->kind == VALUE_TEXT)
        fputs(line_quote(v->text, strlen(v->text), text, sizeof text), s->out);
    else if (!v->n_dim) {
        number_text(s, v, v->number[0], text, sizeof text);
        fputs(text, s->out);
    } else
        print_level(s, v, 0, v->number, v->count, &left);
    if (v->kind == VALUE_NUMBER && *v->unit) fprintf(s->out, " %s", v->unit);
}

static enum kv_status remember(struct session *s, const struct value *v)
{
    struct value *grown = realloc(s->history, (s->n_history + 1) * sizeof *grown);
    if (!grown) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for $%zu.", s->n_history + 1);
    s->history = grown;
    enum kv_status st = value_copy(&s->history[s->n_history], v, &s->err);
    s->n_history += !st;
    return st;
}

struct reaction cmd_print(struct session *s, const char *args)
{
    struct value v;
    if (*args == '/')
        return refuse(s, KV_BAD_ARG, "Undefined output format \"%.*s\".", (int)strcspn(args + 1, " "), args + 1);
    s->computed = false;
    enum kv_status st = *args ? expr_text(s, args, &v, &s->err) : names_dollar(s, "", &v, &s->err);
    if (st) return failed(s);
    bool keep = v.kind != VALUE_VOID;
    if (keep && remember(s, &v)) {
        value_free(&v);
        return failed(s);
    }
    if (keep) fprintf(s->out, "$%zu = ", s->n_history);
    print_value(s, &v);
    fprintf(s->out, "%s\n", s->computed ? session_mark(s) : "");
    value_free(&v);
    return DONE;
}

struct reaction cmd_output(struct session *s, const char *args)
{
    struct value v;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (expression to compute).");
    if (expr_text(s, args, &v, &s->err)) return failed(s);
    print_value(s, &v);
    value_free(&v);
    return DONE;
}

struct reaction cmd_set_var(struct session *s, const char *args)
{
    char name[64];
    int used = 0;
    struct value v;
    if (sscanf(args, "$%63[A-Za-z0-9_] = %n", name, &used) != 1 || !used || !args[used])
        return refuse(
            s, KV_BAD_ARG, "Only $NAME = EXPRESSION can be set this way; \"set NAME VALUE\" sets a setting.");
    if (strspn(name, "0123456789") == strlen(name)) return refuse(s, KV_BAD_ARG, "History values cannot be set.");
    if (expr_text(s, args + used, &v, &s->err)) return failed(s);
    enum kv_status st = names_assign(s, name, &v, &s->err);
    value_free(&v);
    return st ? failed(s) : DONE;
}

static void show_variable(struct session *s, const char *name, struct value *v)
{
    fprintf(s->out, "$%s = ", name);
    print_value(s, v);
    fputc('\n', s->out);
}

struct reaction cmd_show_convenience(struct session *s, const char *args)
{
    (void)args;
    names_each(s, show_variable);
    return DONE;
}

struct reaction cmd_show_values(struct session *s, const char *args)
{
    (void)args;
    for (size_t i = s->n_history > 10 ? s->n_history - 10 : 0; i < s->n_history; i++) {
        fprintf(s->out, "$%zu = ", i + 1);
        print_value(s, &s->history[i]);
        fputc('\n', s->out);
    }
    return DONE;
}
