/* break, tbreak, rbreak, clear, watch, catch, tcatch. */
#include "inspector/stop/break.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/language/lookup.h"
#include "inspector/stop/place.h"
#include "inspector/stop/reads.h"
#include "inspector/language/table_groups.h"
#include "inspector/stop/watch.h"

/* The last " if " that is in no string, and the condition behind it; "if COND" alone counts. NULL = none. */
static const char *find_if(const char *text, size_t *before)
{
    const char *found = NULL;
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && !strncmp(p, "if", 2) && strchr(" \t(", p[2]) && (p == text || strchr(" \t", p[-1])))
            found = p;
    }
    if (!found) return NULL;
    for (*before = (size_t)(found - text); *before && strchr(" \t", text[*before - 1]);) --*before;
    return found + 2 + strspn(found + 2, " \t");
}

static enum kv_status read_place(struct session *s, const char *text, size_t length, struct location *at)
{
    struct kv_where w;
    if (length) return location_parse(text, length, s->facts.n_layer, at, &s->err);
    if (!kv_started(s->engine))
        return kv_fail(&s->err, KV_BAD_ARG, "No default breakpoint location now: the request is not being run.");
    kv_where(s->engine, &w);
    *at = (struct location)LOCATION_ANY;
    at->phase = (int)w.phase;
    at->pass = w.pass;
    at->layer = w.layer;
    if (w.phase != KV_PHASE_done) at->stage = (int)w.stage;
    return KV_OK;
}

/* "head N" between the place and the condition. */
static enum kv_status read_head(struct session *s, const char *text, size_t length, int *head)
{
    char number[24];
    long long n;
    size_t word = 4 + strspn(text + kv_min(length, 4), " \t");
    if (!length) return KV_OK;
    if (strncmp(text, "head", 4) || word == 4 || length <= word || length - word >= sizeof number)
        return kv_fail(&s->err, KV_BAD_ARG, "Junk at end of arguments: \"%.*s\".", (int)kv_min(length, 60), text);
    snprintf(number, sizeof number, "%.*s", (int)(length - word), text + word);
    enum kv_status st = line_integer(number, 0, s->facts.n_head - 1, "a head", &n, &s->err);
    if (!st) *head = (int)n;
    return st;
}

static struct reaction set_break(struct session *s, const char *args, bool once)
{
    struct stop stop = stop_new(STOP_BREAK);
    char place[160], note[120];
    size_t length = strlen(args);
    const char *condition = find_if(args, &length);
    if (condition && !*condition) return refuse(s, KV_BAD_ARG, "Argument required (condition after \"if\").");
    size_t n = kv_min(location_length(args), length);
    if (!strncmp(args, "head", 4) && strchr(" \t", args[4])) n = 0;
    size_t blanks = strspn(args + n, " \t");
    if (n + blanks > length) blanks = length - n;
    if (read_place(s, args, n, &stop.at) || place_check(s, &stop.at, note, sizeof note) ||
        read_head(s, args + n + blanks, length - n - blanks, &stop.head))
        return failed(s);
    if (once) stop.disp = STOP_DELETE;
    if (stops_add(&s->stops, &stop, condition, &s->err)) return failed(s);
    stop_what(&stop, place, sizeof place);
    fprintf(
        s->out, "%s %d at %s%s\n", once ? "Temporary breakpoint" : "Breakpoint", s->stops.last_number, place, note);
    return CHANGED;
}

struct reaction cmd_break(struct session *s, const char *args) { return set_break(s, args, false); }
struct reaction cmd_tbreak(struct session *s, const char *args) { return set_break(s, args, true); }

struct reaction cmd_rbreak(struct session *s, const char *args)
{
    regex_t pattern;
    char why[160];
    int bad = regcomp(&pattern, *args ? args : ".", REG_EXTENDED | REG_NOSUB);
    if (bad) {
        regerror(bad, &pattern, why, sizeof why);
        return refuse(s, KV_BAD_ARG, "Invalid regexp: %s.", why);
    }
    enum kv_status st = KV_OK;
    int made = 0;
    for (int stage = 0; stage < KV_STAGE_COUNT && !st; stage++) {
        struct stop stop = stop_new(STOP_BREAK);
        if (regexec(&pattern, kv_stage_name[stage], 0, NULL, 0)) continue;
        stop.at.stage = stage;
        st = stops_add(&s->stops, &stop, NULL, &s->err);
        if (!st) fprintf(s->out, "Breakpoint %d at .%s\n", s->stops.last_number, kv_stage_name[stage]);
        made++;
    }
    regfree(&pattern);
    if (st) return failed(s);
    if (!made) return refuse(s, KV_NOT_FOUND, "No stage matches \"%.60s\".", args);
    return CHANGED;
}

static bool same_place(const struct location *a, const struct location *b)
{
    return a->phase == b->phase && a->pass == b->pass && a->layer == b->layer && a->stage == b->stage &&
           a->tick == b->tick && a->position == b->position && !strcmp(a->text, b->text);
}

struct reaction cmd_clear(struct session *s, const char *args)
{
    struct location at;
    struct kv_where w;
    int deleted[64], n = 0;
    char place[160];
    if (*args && location_length(args) != strlen(args))
        return refuse(s, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", args + location_length(args));
    if (read_place(s, args, strlen(args), &at)) return failed(s);
    kv_where(s->engine, &w);
    for (int i = s->stops.count - 1; i >= 0; i--) {
        struct stop *stop = &s->stops.list[i];
        bool match = stop->kind == STOP_BREAK &&
                     (same_place(&stop->at, &at) || (!*args && place_here(s, &stop->at, &w, NULL)));
        if (!match) continue;
        if (n < (int)KV_COUNT(deleted)) deleted[n++] = stop->number;
        stops_delete(&s->stops, stop->number);
    }
    location_text(&at, place, sizeof place);
    if (!n) return refuse(s, KV_NOT_FOUND, "No breakpoint at %s.", place);
    fprintf(s->out, "Deleted breakpoint%s", n == 1 ? "" : "s");
    while (n) fprintf(s->out, " %d", deleted[--n]);
    fputc('\n', s->out);
    return CHANGED;
}

/* --- values and events ------------------------------------------------------------------------------------------------ */

/* The keys' fate is the value that an access watchpoint compares. */
static enum kv_status open_watch(struct session *s, struct stop *stop, const char *text)
{
    char kept[sizeof s->command];
    if (stop->kind == STOP_WATCH) return watch_open(s, text, &stop->watch);
    enum kv_status st = reads_open(s, text, &stop->reads);
    if (st || stop->kind == STOP_READ) return st;
    reads_kept(stop->reads, kept, sizeof kept);
    st = watch_open(s, kept, &stop->watch);
    if (st) reads_free(stop->reads);
    return st;
}

static struct reaction set_watch(struct session *s, const char *args, enum stop_kind kind)
{
    struct stop stop = stop_new(kind);
    size_t length = strlen(args);
    const char *condition = find_if(args, &length);
    char text[sizeof s->command], what[300];
    if (condition && !*condition) return refuse(s, KV_BAD_ARG, "Argument required (condition after \"if\").");
    snprintf(text, sizeof text, "%.*s", (int)length, args);
    if (open_watch(s, &stop, text) || stops_add(&s->stops, &stop, condition, &s->err)) return failed(s);
    stop_what(&stop, what, sizeof what);
    fprintf(s->out, "%s %d: %s\n", stop_word(kind), s->stops.last_number, what);
    return CHANGED;
}

struct reaction cmd_watch(struct session *s, const char *args) { return set_watch(s, args, STOP_WATCH); }
struct reaction cmd_rwatch(struct session *s, const char *args) { return set_watch(s, args, STOP_READ); }
struct reaction cmd_awatch(struct session *s, const char *args) { return set_watch(s, args, STOP_ACCESS); }

static struct reaction set_catch(struct session *s, enum catch_event event, const char *args, bool once)
{
    struct stop stop = stop_new(STOP_CATCH);
    char what[300];
    if (once) stop.disp = STOP_DELETE;
    if (catch_open(s, event, args, &stop.event) || stops_add(&s->stops, &stop, NULL, &s->err)) return failed(s);
    stop_what(&stop, what, sizeof what);
    fprintf(s->out, "Catchpoint %d (%s)\n", s->stops.last_number, what);
    return CHANGED;
}

#define X(name, typed, usage, help)                                                                                \
    struct reaction cmd_catch_##name(struct session *s, const char *args)                                          \
    {                                                                                                              \
        return set_catch(s, CATCH_##name, args, false);                                                            \
    }
CATCH_EVENTS(X)
#undef X

/* Its events are the rows of catch, in their order. */
struct reaction cmd_tcatch(struct session *s, const char *args)
{
    const struct command *row;
    size_t n = strcspn(args, " \t");
    if (!n) return refuse(s, KV_BAD_ARG, "Argument required (event to catch, as for \"catch\").");
    if (lookup_row(catch_table, "catch", NULL, args, n, &row, &s->err)) return failed(s);
    return set_catch(s, (enum catch_event)(row - catch_table), args + n + strspn(args + n, " \t"), true);
}
