/* The list of displays, and each as text. */
#include "inspector/expr/display.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/expr/examine.h"
#include "inspector/expr/format.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"

struct display {
    int number;
    bool enabled;
    struct format format;
    char *text; /* the expression, owned */
};

static struct display *find(struct session *s, long number)
{
    for (int i = 0; i < s->n_displays; i++)
        if (s->displays[i].number == number) return &s->displays[i];
    return NULL;
}

static void drop(struct session *s, struct display *d)
{
    free(d->text);
    memmove(d, d + 1, (size_t)(s->displays + s->n_displays - d - 1) * sizeof *d);
    s->n_displays--;
}

void display_free(struct session *s)
{
    while (s->n_displays) drop(s, s->displays);
    free(s->displays);
    s->displays = NULL;
}

static void row(struct session *s, const struct display *d)
{
    rows_new(s);
    rows_number(s, "Num", d->number);
    rows_flag(s, "Enb", d->enabled);
    rows_text(s, "Expression", d->text);
}

/* As in GDB, /i, /s and a size make a display one of memory. */
static bool examines(const struct format *f) { return f->letter == 'i' || f->letter == 's' || f->size; }

static void print_format(struct session *s, const struct format *f)
{
    fputc('/', s->out);
    if (examines(f) && f->count != 1) fprintf(s->out, "%d", f->count);
    if (f->letter) fputc(f->letter, s->out);
    if (f->size) fputc(f->size, s->out);
}

static void show_memory(struct session *s, const struct display *d)
{
    fputc('x', s->out);
    print_format(s, &d->format);
    fprintf(s->out, " %s\n", d->text);
    if (examine_show(s, d->text, &d->format)) fprintf(s->out, "<error: %s>\n", s->err.text);
    s->err = (struct kv_error){ 0 };
}

/* "1: /x E[0] = ..."; what cannot be shown says why in its place. */
static void show(struct session *s, const struct display *d)
{
    struct value v;
    struct kv_error err = { 0 };
    struct format_how how = format_how(s, d->format.letter);
    fprintf(s->out, "%d: ", d->number);
    if (examines(&d->format)) {
        show_memory(s, d);
        return;
    }
    if (d->format.letter) fprintf(s->out, "/%c ", d->format.letter);
    fprintf(s->out, "%s = ", d->text);
    s->computed = false;
    row(s, d);
    if (expr_text(s, d->text, &v, &err))
        fprintf(s->out, "<error: %s>\n", err.text);
    else {
        format_value(s, &v, &how);
        rows_cell(s, "value", &v);
        rows_text(s, "unit", *v.unit ? v.unit : NULL);
        fprintf(s->out, "%s\n", s->computed ? session_mark(s) : "");
    }
    value_free(&v);
}

void display_all(struct session *s)
{
    for (int i = 0; i < s->n_displays; i++)
        if (s->displays[i].enabled) show(s, &s->displays[i]);
}

/* A name that nothing has is refused at once; a value that is not there yet is not. */
static enum kv_status check(struct session *s, const char *text)
{
    struct value v;
    enum kv_status st = expr_text(s, text, &v, &s->err);
    value_free(&v);
    return st == KV_NOT_NOW ? KV_OK : st;
}

struct reaction cmd_display(struct session *s, const char *args)
{
    struct format f = { 1, 0, 0 };
    if (!*args) {
        display_all(s);
        return DONE;
    }
    if (*args == '/') {
        args++;
        format_parse(&args, &f);
        if (!examines(&f)) f.count = 1; /* as in GDB, a count alone means nothing */
        if (!examines(&f) && format_check(&f, "display", &s->err)) return failed(s);
        if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (expression to display).");
    }
    if (!examines(&f) && check(s, args)) return failed(s);
    if (examines(&f) && examine_check(s, args, &f)) return failed(s);
    struct display *list = realloc(s->displays, ((size_t)s->n_displays + 1) * sizeof *list);
    if (list) s->displays = list;
    char *text = list ? kv_strdup(args) : NULL;
    if (!text) return refuse(s, KV_NO_MEMORY, "No memory for a display.");
    list[s->n_displays++] = (struct display){ ++s->last_display, true, f, text };
    show(s, &list[s->n_displays - 1]);
    return DONE;
}

/* Calls act on the displays that a list of numbers and ranges N-M names, on all without one. */
static struct reaction each(struct session *s, const char *args, void (*act)(struct session *s, struct display *d))
{
    struct line_words words;
    struct reaction r = DONE;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = s->n_displays - 1; !words.count && i >= 0; i--) act(s, &s->displays[i]);
    for (int i = 0; i < words.count; i++) {
        char *end;
        long from = strtol(words.word[i], &end, 10), to = from;
        if (end > words.word[i] && *end == '-') to = strtol(end + 1, &end, 10);
        if (*end || from < 1 || to < from)
            return refuse(s, KV_BAD_ARG, "Bad display argument: '%.60s'.", words.word[i]);
        bool any = false;
        for (long n = from; n <= to && n <= s->last_display; n++) {
            struct display *d = find(s, n);
            any = any || d;
            if (d) act(s, d);
        }
        if (!any) r = refuse(s, KV_NOT_FOUND, "No display number %.20s.", words.word[i]);
    }
    return r;
}

static void enable(struct session *s, struct display *d) { (void)s, d->enabled = true; }
static void disable(struct session *s, struct display *d) { (void)s, d->enabled = false; }

struct reaction cmd_undisplay(struct session *s, const char *args)
{
    if (!*args && s->n_displays && !session_ask(s, "Delete all auto-display expressions? "))
        return refuse(s, KV_NOT_NOW, "Not confirmed.");
    return each(s, args, drop);
}

struct reaction cmd_enable_display(struct session *s, const char *args) { return each(s, args, enable); }
struct reaction cmd_disable_display(struct session *s, const char *args) { return each(s, args, disable); }

struct reaction cmd_info_display(struct session *s, const char *args)
{
    (void)args;
    if (!s->n_displays) {
        fprintf(s->out, "There are no auto-display expressions now.\n");
        return DONE;
    }
    fprintf(s->out, "Auto-display expressions now in effect:\nNum Enb Expression\n");
    for (int i = 0; i < s->n_displays; i++) {
        const struct display *d = &s->displays[i];
        row(s, d);
        fprintf(s->out, "%d:   %c  ", d->number, d->enabled ? 'y' : 'n');
        if (d->format.letter || d->format.size) {
            print_format(s, &d->format);
            fputc(' ', s->out);
        }
        fprintf(s->out, "%s\n", d->text);
    }
    return DONE;
}
