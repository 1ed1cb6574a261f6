/* break, tbreak, delete, enable, disable, condition, ignore, info breakpoints. */
#include "inspector/break.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/line.h"

static struct reaction set_break(struct session *s, const char *args, bool temporary)
{
    struct location at;
    struct kv_where w;
    char place[64];
    size_t n = strcspn(args, " \t");
    const char *rest = args + n + strspn(args + n, " \t"), *condition = NULL;
    enum kv_status st = KV_OK;
    if (!n && !kv_started(s->engine))
        return refuse(s, KV_BAD_ARG, "No default breakpoint location now: the request is not being run.");
    if (!n || (n == 2 && !memcmp(args, "if", 2))) {
        kv_where(s->engine, &w);
        at = (struct location){ (int)w.phase, w.pass, w.layer, w.phase == KV_PHASE_done ? -1 : (int)w.stage, -1 };
        rest = args;
    } else {
        st = location_parse(args, n, s->facts.n_layer, &at, &s->err);
    }
    if (st) return failed(s);
    if (!strncmp(rest, "if", 2) && strchr(" \t(", rest[2])) {
        condition = rest + 2 + strspn(rest + 2, " \t");
        if (!*condition) return refuse(s, KV_BAD_ARG, "Argument required (condition after \"if\").");
    } else if (*rest) {
        return refuse(s, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", rest);
    }
    if (stops_add(&s->stops, &at, temporary, condition, &s->err)) return failed(s);
    location_text(&at, place, sizeof place);
    fprintf(
        s->out, "%s %d at %s\n", temporary ? "Temporary breakpoint" : "Breakpoint", s->stops.last_number, place);
    return CHANGED;
}

struct reaction cmd_break(struct session *s, const char *args) { return set_break(s, args, false); }
struct reaction cmd_tbreak(struct session *s, const char *args) { return set_break(s, args, true); }

/* Calls act on every stop that a list of numbers and ranges N-M names. */
static struct reaction each_number(struct session *s, const char *args, void (*act)(struct session *s, int number))
{
    struct line_words words;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = 0; i < words.count; i++) {
        char *end;
        long from = strtol(words.word[i], &end, 10), to = from;
        if (end == words.word[i] || (*end && *end != '-'))
            return refuse(s, KV_BAD_ARG, "Bad breakpoint argument: '%.60s'.", words.word[i]);
        if (*end == '-') {
            char *second = end + 1;
            to = strtol(second, &end, 10);
            if (end == second || *end || to < from)
                return refuse(s, KV_BAD_ARG, "Bad breakpoint argument: '%.60s'.", words.word[i]);
        }
        if (from == to && (from < 1 || from > s->stops.last_number || !stops_find(&s->stops, (int)from)))
            return refuse(s, KV_NOT_FOUND, "No breakpoint number %ld.", from);
        for (long n = from < 1 ? 1 : from; n <= to && n <= s->stops.last_number; n++)
            if (stops_find(&s->stops, (int)n)) act(s, (int)n);
    }
    return CHANGED;
}

static struct reaction each(struct session *s, const char *args, void (*act)(struct session *s, int number))
{
    if (*args) return each_number(s, args, act);
    for (int i = s->stops.count - 1; i >= 0; i--) act(s, s->stops.list[i].number);
    return CHANGED;
}

static void delete_one(struct session *s, int number) { stops_delete(&s->stops, number); }
static void enable_one(struct session *s, int number) { stops_find(&s->stops, number)->enabled = true; }
static void disable_one(struct session *s, int number) { stops_find(&s->stops, number)->enabled = false; }

struct reaction cmd_delete(struct session *s, const char *args)
{
    if (!*args && s->stops.count && !session_ask(s, "Delete all breakpoints? "))
        return refuse(s, KV_NOT_NOW, "Not confirmed.");
    return each(s, args, delete_one);
}

struct reaction cmd_enable(struct session *s, const char *args) { return each(s, args, enable_one); }
struct reaction cmd_disable(struct session *s, const char *args) { return each(s, args, disable_one); }

/* The stop whose number begins args; *rest = what follows. */
static struct stop *named(struct session *s, const char *args, const char **rest)
{
    char *end;
    long n = strtol(args, &end, 10);
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
    if (count)
        fprintf(s->out, "Will ignore next %lld crossings of breakpoint %d.\n", count, stop->number);
    else
        fprintf(s->out, "Will stop next time breakpoint %d is reached.\n", stop->number);
    return CHANGED;
}

struct reaction cmd_info_breakpoints(struct session *s, const char *args)
{
    (void)args;
    if (!s->stops.count) {
        fprintf(s->out, "No breakpoints or watchpoints.\n");
        return DONE;
    }
    fprintf(s->out, "%-7s %-14s %-4s %-3s %s\n", "Num", "Type", "Disp", "Enb", "What");
    for (int i = 0; i < s->stops.count; i++) {
        const struct stop *stop = &s->stops.list[i];
        char place[64];
        location_text(&stop->at, place, sizeof place);
        fprintf(s->out, "%-7d %-14s %-4s %-3s %s\n", stop->number, "breakpoint", stop->temporary ? "del" : "keep",
            stop->enabled ? "y" : "n", place);
        if (stop->condition) fprintf(s->out, "\tstop only if %s\n", stop->condition);
        if (stop->hits)
            fprintf(s->out, "\tbreakpoint already hit %llu time%s\n", (unsigned long long)stop->hits,
                stop->hits == 1 ? "" : "s");
        if (stop->ignore) fprintf(s->out, "\tignore next %llu hits\n", (unsigned long long)stop->ignore);
    }
    return DONE;
}
