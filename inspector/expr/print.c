/* Values as text. */
#include "inspector/expr/print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/format.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/json/rows.h"

enum kv_status print_remember(struct session *s, const struct value *v)
{
    struct value *grown = realloc(s->history, (s->n_history + 1) * sizeof *grown);
    if (!grown) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for $%zu.", s->n_history + 1);
    s->history = grown;
    enum kv_status st = value_copy(&s->history[s->n_history], v, &s->err);
    s->n_history += !st;
    return st;
}

void print_value(struct session *s, const struct value *v)
{
    const struct format_how how = format_how(s, 0);
    format_value(s, v, &how);
}

/* "/FMT" at the beginning of args, if there; *args is left behind it. */
static enum kv_status read_letter(struct session *s, const char **args, const char *command, char *letter)
{
    struct format f = { 1, s->print_letter, 0 };
    *letter = 0;
    if (**args != '/') return KV_OK;
    ++*args;
    format_parse(args, &f);
    enum kv_status st = format_check(&f, command, &s->err);
    if (!st) *letter = s->print_letter = f.letter;
    return st;
}

/* One option at p; *rest is left behind it. */
static enum kv_status read_option(struct session *s, const char *p, struct format_how *how, const char **rest)
{
    const struct {
        const char *name;
        int *number;
        bool *flag;
    } options[] = { { "-array", NULL, &how->array }, { "-array-indexes", NULL, &how->indexes },
        { "-elements", &how->elements, NULL }, { "-repeats", &how->repeats, NULL } };
    size_t n = strcspn(p, " "), found = KV_COUNT(options);
    const char *word = p + n + strspn(p + n, " ");
    size_t m = strcspn(word, " ");
    for (size_t i = 0; i < KV_COUNT(options) && n > 1; i++)
        if (!strncmp(options[i].name, p, n) && found == KV_COUNT(options)) found = i;
    if (found == KV_COUNT(options)) return kv_fail(&s->err, KV_BAD_ARG, "Unrecognized option at: %.200s", p);
    *rest = word;
    if (options[found].flag) {
        bool off = m == 3 && !strncmp(word, "off", m), on = m == 2 && !strncmp(word, "on", m);
        *options[found].flag = !off;
        if (on || off) *rest = word + m + strspn(word + m, " ");
        return KV_OK;
    }
    bool unlimited = m == 9 && !strncmp(word, "unlimited", m), digits = m && strspn(word, "0123456789") == m;
    if (!unlimited && (!digits || m > 9)) return kv_fail(&s->err, KV_BAD_ARG, "Expected integer at: %.200s", word);
    long value = unlimited ? 0 : strtol(word, NULL, 10);
    *options[found].number = value ? (int)value : INT32_MAX;
    *rest = word + m + strspn(word + m, " ");
    return KV_OK;
}

/* "-elements N -array -- " before an expression, abbreviated as far as they stay apart. Without a -- the whole is an
 * expression, as in GDB. */
static enum kv_status read_options(struct session *s, const char **args, struct format_how *how)
{
    const char *end = strstr(*args, " --");
    if (**args != '-' || !end || (end[3] && end[3] != ' ')) return KV_OK;
    for (const char *p = *args; p < end;) {
        enum kv_status st = read_option(s, p, how, &p);
        if (st) return st;
    }
    *args = end + 3 + strspn(end + 3, " ");
    return KV_OK;
}

/* print and call differ in what they do with void. */
static struct reaction print_as(struct session *s, const char *args, const char *command, bool show_void)
{
    struct value v;
    struct format_how how = format_how(s, 0);
    char letter;
    if (read_options(s, &args, &how) || read_letter(s, &args, command, &letter)) return failed(s);
    how.letter = letter;
    s->computed = false;
    enum kv_status st = *args ? expr_text(s, args, &v, &s->err) : names_dollar(s, "", &v, &s->err);
    if (st) return failed(s);
    size_t number = v.kind != VALUE_VOID || show_void ? s->n_history + 1 : 0;
    if (rows_value(s, &v, number)) {
        value_free(&v);
        return failed(s);
    }
    if (v.kind == VALUE_VOID && !show_void) return DONE;
    if (print_remember(s, &v)) {
        value_free(&v);
        return failed(s);
    }
    fprintf(s->out, "$%zu = ", s->n_history);
    format_value(s, &v, &how);
    fprintf(s->out, "%s\n", s->computed ? session_mark(s) : "");
    value_free(&v);
    return DONE;
}

struct reaction cmd_print(struct session *s, const char *args) { return print_as(s, args, "print", true); }
struct reaction cmd_call(struct session *s, const char *args) { return print_as(s, args, "call", false); }

struct reaction cmd_output(struct session *s, const char *args)
{
    struct value v;
    struct format_how how = format_how(s, 0);
    if (read_letter(s, &args, "output", &how.letter)) return failed(s);
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (expression to compute).");
    if (expr_text(s, args, &v, &s->err)) return failed(s);
    enum kv_status st = rows_value(s, &v, 0);
    if (!st) format_value(s, &v, &how);
    value_free(&v);
    return st ? failed(s) : DONE;
}

struct reaction cmd_set_var(struct session *s, const char *args)
{
    struct expr e;
    struct value v;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (expression to compute).");
    if (expr_parse_all(args, &e, &s->err)) return failed(s);
    if (e.node[e.root].kind != EXPR_ASSIGN)
        return refuse(s, KV_BAD_ARG, "Expression is not an assignment: $NAME = VALUE, or SETTING = VALUE.");
    enum kv_status st = expr_eval(s, &e, &v, &s->err);
    value_free(&v);
    return st ? failed(s) : CHANGED;
}

static void show_variable(struct session *s, const char *name, struct value *v)
{
    rows_new(s);
    rows_text(s, "name", name);
    rows_cell(s, "value", v);
    rows_text(s, "unit", v->kind == VALUE_NUMBER && *v->unit ? v->unit : NULL);
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

/* Ten values around number N, or the last ten. */
struct reaction cmd_show_values(struct session *s, const char *args)
{
    struct value v = { 0 };
    size_t first = s->n_history > 10 ? s->n_history - 10 : 0;
    if (*args) {
        enum kv_status st = expr_text(s, args, &v, &s->err);
        if (!st && (v.kind != VALUE_NUMBER || v.n_dim))
            st = kv_fail(&s->err, KV_BAD_ARG, "The number of a value must be one number, not %.60s.", args);
        double at = st ? 0 : v.number[0] - 6;
        value_free(&v);
        if (st) return failed(s);
        first = at > 0 ? (size_t)fmin(at, (double)s->n_history) : 0;
    }
    for (size_t i = first; i < s->n_history && i < first + 10; i++) {
        rows_new(s);
        rows_number(s, "number", (double)i + 1);
        rows_cell(s, "value", &s->history[i]);
        fprintf(s->out, "$%zu = ", i + 1);
        print_value(s, &s->history[i]);
        fputc('\n', s->out);
    }
    return DONE;
}

/* --- set print ------------------------------------------------------------------------------------------------------ */

static struct reaction set_limit(struct session *s, const char *args, int *limit)
{
    long long n = 0;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (integer to set it to, or \"unlimited\".)");
    size_t length = strlen(args);
    if (strncmp(args, "unlimited", length) && line_integer(args, 0, INT32_MAX, "a number of elements", &n, &s->err))
        return failed(s);
    *limit = n ? (int)n : INT32_MAX;
    return DONE;
}

static void show_limit(struct session *s, const char *what, int limit)
{
    fprintf(s->out, limit == INT32_MAX ? "%s is unlimited.\n" : "%s is %d.\n", what, limit);
}

struct reaction cmd_set_print_elements(struct session *s, const char *args)
{
    return set_limit(s, args, &s->pref.print_elements);
}

struct reaction cmd_set_print_repeats(struct session *s, const char *args)
{
    return set_limit(s, args, &s->pref.print_repeats);
}

struct reaction cmd_show_print_elements(struct session *s, const char *args)
{
    (void)args;
    show_limit(s, "Limit on string chars or array elements to print", s->pref.print_elements);
    return DONE;
}

struct reaction cmd_show_print_repeats(struct session *s, const char *args)
{
    (void)args;
    show_limit(s, "Threshold for repeated print elements", s->pref.print_repeats);
    return DONE;
}

static struct reaction set_flag(struct session *s, const char *args, bool *flag)
{
    if (*args && strcmp(args, "on") && strcmp(args, "off"))
        return refuse(s, KV_BAD_ARG, "\"on\" or \"off\" expected.");
    *flag = strcmp(args, "off") != 0;
    return DONE;
}

struct reaction cmd_set_print_array(struct session *s, const char *args)
{
    return set_flag(s, args, &s->pref.print_array);
}

struct reaction cmd_set_print_indexes(struct session *s, const char *args)
{
    return set_flag(s, args, &s->pref.print_indexes);
}

struct reaction cmd_show_print_array(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Pretty formatting of arrays is %s.\n", s->pref.print_array ? "on" : "off");
    return DONE;
}

struct reaction cmd_show_print_indexes(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Printing of array indexes is %s.\n", s->pref.print_indexes ? "on" : "off");
    return DONE;
}

struct reaction cmd_show_print(struct session *s, const char *args)
{
    if (*args)
        return refuse(s, KV_NOT_FOUND, "Undefined show print command: \"%.60s\".  Try \"help show print\".", args);
    fputs("print array:  ", s->out);
    cmd_show_print_array(s, args);
    fputs("print array-indexes:  ", s->out);
    cmd_show_print_indexes(s, args);
    fputs("print elements:  ", s->out);
    cmd_show_print_elements(s, args);
    fputs("print repeats:  ", s->out);
    return cmd_show_print_repeats(s, args);
}
