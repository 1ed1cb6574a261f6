/* delete, enable, disable, condition, ignore, info breakpoints and watchpoints, save breakpoints. */
#include "inspector/stop/stop_list.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/stop/catch.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/json/rows.h"
#include "inspector/picture/target.h"
#include "inspector/stop/watch.h"

/* --- numbers ---------------------------------------------------------------------------------------------------------- */

/* A number, or a convenience variable that is one, at the start of text; *end = behind it, text itself if there is none. */
static long read_number(struct session *s, const char *text, const char **end)
{
    char *behind;
    long n = strtol(text, &behind, 10);
    *end = behind;
    if (*text != '$') return n;
    char name[64];
    struct value v;
    struct kv_error ignored;
    size_t length = 1 + strspn(text + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    snprintf(name, sizeof name, "%.*s", (int)kv_min(length - 1, sizeof name - 1), text + 1);
    *end = text;
    if (names_dollar(s, name, &v, &ignored)) return 0;
    if (v.kind == VALUE_NUMBER && !v.n_dim && fabs(v.number[0]) < 1e9) {
        n = (long)v.number[0];
        *end = text + length;
    }
    value_free(&v);
    return n;
}

typedef void act_fn(struct session *s, struct stop *stop, uint64_t count);

/* Calls act on every stop that a list of numbers and ranges N-M names. */
static struct reaction each_number(struct session *s, const char *args, act_fn *act, uint64_t count)
{
    struct line_words words;
    struct stop *stop;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = 0; i < words.count; i++) {
        const char *end;
        long from = read_number(s, words.word[i], &end), to = from;
        if (end == words.word[i] || (*end && *end != '-'))
            return refuse(s, KV_BAD_ARG, "Bad breakpoint number '%.60s'.", words.word[i]);
        if (*end == '-') {
            const char *second = end + 1;
            to = read_number(s, second, &end);
            if (end == second || *end || to < from)
                return refuse(s, KV_BAD_ARG, "Bad breakpoint number '%.60s'.", words.word[i]);
        }
        if (from == to && (from < 1 || from > s->stops.last_number || !stops_find(&s->stops, (int)from)))
            return refuse(s, KV_NOT_FOUND, "No breakpoint number %ld.", from);
        for (long n = from < 1 ? 1 : from; n <= to && n <= s->stops.last_number; n++)
            if ((stop = stops_find(&s->stops, (int)n))) act(s, stop, count);
    }
    return CHANGED;
}

static struct reaction each(struct session *s, const char *args, act_fn *act)
{
    if (*args) return each_number(s, args, act, 0);
    for (int i = s->stops.count - 1; i >= 0; i--) act(s, &s->stops.list[i], 0);
    return CHANGED;
}

static void delete_one(struct session *s, struct stop *stop, uint64_t count)
{
    (void)count;
    stops_delete(&s->stops, stop->number);
}

/* A value or a phase that went by meanwhile is no change. */
static void wake(struct session *s, struct stop *stop)
{
    if (!stop->enabled && stop->watch) watch_reset(s, stop->watch);
    if (!stop->enabled && stop->event) catch_reset(s, stop->event);
    stop->enabled = true;
}

static void enable_one(struct session *s, struct stop *stop, uint64_t count)
{
    (void)count;
    wake(s, stop);
}

static void enable_once(struct session *s, struct stop *stop, uint64_t count)
{
    wake(s, stop);
    stop->disp = STOP_DISABLE;
    stop->left = count;
}

static void enable_delete(struct session *s, struct stop *stop, uint64_t count)
{
    (void)count;
    wake(s, stop);
    stop->disp = STOP_DELETE;
}

static void disable_one(struct session *s, struct stop *stop, uint64_t count)
{
    (void)s, (void)count;
    stop->enabled = false;
}

struct reaction cmd_delete(struct session *s, const char *args)
{
    if (!*args && s->stops.count && !session_ask(s, "Delete all breakpoints? "))
        return refuse(s, KV_NOT_NOW, "Not confirmed.");
    return each(s, args, delete_one);
}

struct reaction cmd_enable(struct session *s, const char *args) { return each(s, args, enable_one); }
struct reaction cmd_disable(struct session *s, const char *args) { return each(s, args, disable_one); }

struct reaction cmd_enable_once(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (one or more breakpoint numbers).");
    return each_number(s, args, enable_once, 1);
}

struct reaction cmd_enable_delete(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (one or more breakpoint numbers).");
    return each_number(s, args, enable_delete, 1);
}

struct reaction cmd_enable_count(struct session *s, const char *args)
{
    char first[24];
    long long count;
    size_t n = strcspn(args, " \t");
    if (!n) return refuse(s, KV_BAD_ARG, "Argument required (hit count).");
    snprintf(first, sizeof first, "%.*s", (int)kv_min(n, sizeof first - 1), args);
    if (line_integer(first, 1, 1000000000, "a hit count", &count, &s->err)) return failed(s);
    args += n + strspn(args + n, " \t");
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (one or more breakpoint numbers).");
    return each_number(s, args, enable_once, (uint64_t)count);
}

/* The stop whose number begins args; *rest = what follows. */
static struct stop *named(struct session *s, const char *args, const char **rest)
{
    const char *end;
    long n = read_number(s, args, &end);
    if (end == args) {
        kv_fail(&s->err, KV_BAD_ARG,
            *args ? "Bad breakpoint argument: '%.60s'." : "Argument required (breakpoint number).", args);
        return NULL;
    }
    struct stop *stop = n > 0 && n <= s->stops.last_number ? stops_find(&s->stops, (int)n) : NULL;
    if (!stop) kv_fail(&s->err, KV_NOT_FOUND, "No breakpoint number %ld.", n);
    *rest = end + strspn(end, " \t");
    return stop;
}

struct reaction cmd_condition(struct session *s, const char *args)
{
    const char *rest;
    struct stop *stop = named(s, args, &rest);
    if (!stop) return failed(s);
    if (stop_condition(stop, *rest ? rest : NULL, &s->err)) return failed(s);
    if (!*rest) fprintf(s->out, "Breakpoint %d now unconditional.\n", stop->number);
    return CHANGED;
}

struct reaction cmd_ignore(struct session *s, const char *args)
{
    const char *rest;
    long long count;
    struct stop *stop = named(s, args, &rest);
    if (!stop) return failed(s);
    if (!*rest) return refuse(s, KV_BAD_ARG, "Second argument (specified ignore-count) is missing.");
    if (line_integer(rest, 0, 1000000000, "an ignore count", &count, &s->err)) return failed(s);
    stop->ignore = (uint64_t)count;
    if (count == 1)
        fprintf(s->out, "Will ignore next crossing of breakpoint %d.\n", stop->number);
    else if (count)
        fprintf(s->out, "Will ignore next %lld crossings of breakpoint %d.\n", count, stop->number);
    else
        fprintf(s->out, "Will stop next time breakpoint %d is reached.\n", stop->number);
    return CHANGED;
}

/* --- tables ------------------------------------------------------------------------------------------------------------- */

static void indented(FILE *f, const char *lines, const char *indent)
{
    for (const char *p = lines; p && *p;) {
        int n = (int)strcspn(p, "\n");
        fprintf(f, "%s%.*s\n", indent, n, p);
        p += n + (p[n] == '\n');
    }
}

static void show_stop(struct session *s, const struct stop *stop, int width)
{
    static const char *const disp[] = { "keep", "del", "dis" };
    char what[400];
    stop_what(stop, what, sizeof what);
    rows_new(s);
    rows_number(s, "Num", stop->number);
    rows_text(s, "Type", stop_type(stop));
    rows_text(s, "Disp", disp[stop->disp]);
    rows_flag(s, "Enb", stop->enabled);
    rows_text(s, "What", what);
    rows_text(s, "condition", stop->condition);
    rows_number(s, "hits", (double)stop->hits);
    rows_number(s, "ignore", (double)stop->ignore);
    rows_text(s, "commands", stop->commands);
    fprintf(s->out, "%-7d %-*s %-4s %-3s %s\n", stop->number, width, stop_type(stop), disp[stop->disp],
        stop->enabled ? "y" : "n", what);
    if (stop->condition) fprintf(s->out, "\tstop only if %s\n", stop->condition);
    if (stop->hits)
        fprintf(s->out, "\tbreakpoint already hit %llu time%s\n", (unsigned long long)stop->hits,
            stop->hits == 1 ? "" : "s");
    if (stop->ignore) fprintf(s->out, "\tignore next %llu hits\n", (unsigned long long)stop->ignore);
    if (stop->disp == STOP_DISABLE && stop->left > 1)
        fprintf(s->out, "\tdisable after %s %llu hits\n", stop->ignore ? "additional" : "next",
            (unsigned long long)stop->left);
    indented(s->out, stop->commands, "        ");
}

static struct reaction show_stops(struct session *s, const char *args, bool watches)
{
    long long wanted = 0;
    int shown = 0, width = 14;
    if (*args && line_integer(args, 1, 1000000000, "a breakpoint number", &wanted, &s->err)) return failed(s);
    for (int i = 0; i < 2 * s->stops.count; i++) { /* once for the width of the column */
        const struct stop *stop = &s->stops.list[i % s->stops.count];
        if (wanted ? stop->number != wanted : watches && (stop->kind == STOP_BREAK || stop->kind == STOP_CATCH))
            continue;
        if (watches && (stop->kind == STOP_BREAK || stop->kind == STOP_CATCH)) continue;
        if (i < s->stops.count) {
            width = (int)strlen(stop_type(stop)) > width ? (int)strlen(stop_type(stop)) : width;
            continue;
        }
        if (!shown++) fprintf(s->out, "%-7s %-*s %-4s %-3s %s\n", "Num", width, "Type", "Disp", "Enb", "What");
        show_stop(s, stop, width);
    }
    if (!shown && wanted)
        fprintf(s->out, "No %swatchpoint matching '%s'.\n", watches ? "" : "breakpoint or ", args);
    else if (!shown)
        fprintf(s->out, "No %s.\n", watches ? "watchpoints" : "breakpoints or watchpoints");
    return DONE;
}

struct reaction cmd_info_breakpoints(struct session *s, const char *args) { return show_stops(s, args, false); }
struct reaction cmd_info_watchpoints(struct session *s, const char *args) { return show_stops(s, args, true); }

/* --- a script that sets them again ------------------------------------------------------------------------------------ */

static void save_one(FILE *f, const struct stop *stop)
{
    char what[400];
    bool once = stop->disp == STOP_DELETE;
    stop_what(stop, what, sizeof what);
    if (stop->event)
        fprintf(f, "%scatch %s%s%s\n", once ? "t" : "", catch_name(stop->event),
            *catch_args(stop->event) ? " " : "", catch_args(stop->event));
    else if (stop->watch || stop->reads)
        fprintf(f, "%swatch %s\n", stop->kind == STOP_READ ? "r" : stop->kind == STOP_ACCESS ? "a" : "", what);
    else
        fprintf(f, "%sbreak %s\n", once ? "t" : "", what);
    if (stop->condition) fprintf(f, "  condition $bpnum %s\n", stop->condition);
    if (stop->ignore) fprintf(f, "  ignore $bpnum %llu\n", (unsigned long long)stop->ignore);
    if (stop->disp == STOP_DISABLE && stop->left > 1)
        fprintf(f, "  enable count %llu $bpnum\n", (unsigned long long)stop->left);
    else if (stop->disp == STOP_DISABLE)
        fprintf(f, "  enable once $bpnum\n");
    if (once && (stop->watch || stop->reads)) fprintf(f, "  enable delete $bpnum\n");
    if (stop->commands) {
        fprintf(f, "  commands\n");
        indented(f, stop->commands, "    ");
        fprintf(f, "  end\n");
    }
    if (!stop->enabled) fprintf(f, "  disable $bpnum\n");
}

struct reaction cmd_save_breakpoints(struct session *s, const char *args)
{
    struct line_words words;
    struct target t;
    if (line_split(args, &words, &s->err)) return failed(s);
    bool force = words.count && !strcmp(words.word[0], "-f");
    if (words.count != 1 + force) return refuse(s, KV_BAD_ARG, "Argument required (file name in which to save).");
    const char *path = words.word[force];
    if (!s->stops.count) {
        fprintf(s->out, "Nothing to save.\n");
        return DONE;
    }
    if (target_open(s, path, force, &t)) return failed(s);
    FILE *f = fopen(t.fresh, "w");
    if (!f) return refuse(s, KV_IO, "Unable to open file '%.300s' for saving (%s).", path, strerror(errno));
    for (int i = 0; i < s->stops.count; i++) save_one(f, &s->stops.list[i]);
    bool bad = ferror(f);
    if (fclose(f) || bad) return refuse(s, KV_IO, "Cannot write %.300s: %s.", path, strerror(errno));
    if (target_close(s, &t)) return failed(s);
    fprintf(s->out, "Saved to file '%s'.\n", path);
    return DONE;
}
