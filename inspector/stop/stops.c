/* The list of stops, and what each asks at a boundary. */
#include "inspector/stop/stops.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/stop/catch.h"
#include "inspector/json/jsonl.h"
#include "inspector/language/line.h"
#include "inspector/stop/place.h"
#include "inspector/stop/reads.h"
#include "inspector/run.h"
#include "inspector/stop/stop_commands.h"
#include "inspector/session.h"
#include "inspector/stop/watch.h"

/* --- the list ------------------------------------------------------------------------------------------------------- */

struct stop stop_new(enum stop_kind kind)
{
    return (struct stop){ .kind = kind, .enabled = true, .at = LOCATION_ANY, .head = -1 };
}

void stop_free(struct stop *stop)
{
    watch_free(stop->watch);
    reads_free(stop->reads);
    catch_free(stop->event);
    free(stop->condition);
    free(stop->parsed);
    free(stop->commands);
    free(stop->said);
    *stop = (struct stop){ 0 };
}

enum kv_status stop_condition(struct stop *stop, const char *condition, struct kv_error *err)
{
    char *copy = kv_strdup(condition);
    struct expr *parsed = condition ? kv_alloc(1, sizeof *parsed) : NULL;
    enum kv_status st = KV_OK;
    if (condition && (!copy || !parsed)) st = kv_fail(err, KV_NO_MEMORY, "No memory for a condition.");
    if (condition && !st) st = expr_parse_all(condition, parsed, err);
    if (st) {
        free(copy);
        free(parsed);
        return st;
    }
    free(stop->condition);
    free(stop->parsed);
    stop->condition = copy;
    stop->parsed = parsed;
    return KV_OK;
}

enum kv_status stops_add(struct stops *s, struct stop *stop, const char *condition, struct kv_error *err)
{
    enum kv_status st = condition ? stop_condition(stop, condition, err) : KV_OK;
    struct stop *list = st ? NULL : realloc(s->list, ((size_t)s->count + 1) * sizeof *list);
    if (!list) {
        stop_free(stop);
        return st ? st : kv_fail(err, KV_NO_MEMORY, "No memory for a breakpoint.");
    }
    s->list = list;
    stop->number = ++s->last_number;
    s->list[s->count++] = *stop;
    return KV_OK;
}

struct stop *stops_find(struct stops *s, int number)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i].number == number) return &s->list[i];
    return NULL;
}

bool stops_delete(struct stops *s, int number)
{
    struct stop *stop = stops_find(s, number);
    if (!stop) return false;
    stop_free(stop);
    memmove(stop, stop + 1, (size_t)(s->list + s->count - stop - 1) * sizeof *stop);
    s->count--;
    return true;
}

void stops_spent(struct stops *s)
{
    for (int i = s->count - 1; i >= 0; i--) {
        struct stop *stop = &s->list[i];
        if (!stop->here) continue;
        if (stop->disp == STOP_DISABLE && (stop->left < 2 || !--stop->left)) stop->enabled = false;
        if (stop->disp == STOP_DELETE) stops_delete(s, stop->number);
    }
}

void stops_free(struct stops *s)
{
    while (s->count) stops_delete(s, s->list[0].number);
    free(s->list);
    *s = (struct stops){ 0 };
}

const char *stop_type(const struct stop *stop)
{
    static const char *const type[] = { "breakpoint", "hw watchpoint", "read watchpoint", "acc watchpoint",
        "catchpoint" };
    return type[stop->kind];
}

const char *stop_word(enum stop_kind kind)
{
    static const char *const word[] = { "Breakpoint", "Hardware watchpoint", "Hardware read watchpoint",
        "Hardware access (read/write) watchpoint", "Catchpoint" };
    return word[kind];
}

void stop_what(const struct stop *stop, char *text, size_t size)
{
    char place[160];
    if (stop->event) {
        catch_title(stop->event, text, size);
    } else if (stop->reads) {
        snprintf(text, size, "%s", reads_text(stop->reads));
    } else if (stop->watch) {
        snprintf(text, size, "%s", watch_text(stop->watch));
    } else {
        location_text(&stop->at, place, sizeof place);
        if (stop->head >= 0)
            snprintf(text, size, "%s head %d", place, stop->head);
        else
            snprintf(text, size, "%s", place);
    }
}

/* --- at a boundary ---------------------------------------------------------------------------------------------------- */

/* Whether it may be here, by what the boundary's numbers alone tell. */
static bool near(const struct stop *stop, const struct kv_where *now, const struct kv_where *before)
{
    if (stop->event) return catch_near(stop->event, now, before);
    if (stop->reads && reads_near(stop->reads, now)) return true;
    if (stop->reads && !stop->watch) return false;
    if (stop->watch) return watch_near(stop->watch, now, before);
    return place_near(&stop->at, now, before);
}

/* With the engine here: whether the thing itself has happened. quiet: nothing is told or remembered. */
static bool happened(
    struct session *s, struct stop *stop, const struct kv_where *now, const struct kv_where *before, bool quiet)
{
    char *said = NULL;
    bool yes;
    bool back = stop->watch && s->pref.backward; /* where the value was another, before the place that made it so */
    if (!back && !near(stop, now, before)) return false;
    bool read =
        stop->reads && reads_near(stop->reads, now) && reads_happened(s, stop->reads, now, quiet ? NULL : &said);
    if (stop->event)
        yes = catch_happened(s, stop->event, now, before, quiet ? NULL : &said);
    else if (read || (stop->reads && !stop->watch))
        yes = read;
    else if (stop->reads && watch_void(stop->watch)) { /* a kept set that appears has evicted nothing */
        watch_reset(s, stop->watch);
        yes = false;
    } else if (stop->watch)
        yes = (before || back) && watch_changed(s, stop->watch, quiet ? NULL : &said);
    else
        yes = place_here(s, &stop->at, now, before);
    if (yes && !quiet) {
        free(stop->said);
        stop->said = said;
    }
    return yes;
}

enum kv_unit stops_unit(const struct stops *s, const struct kv_where *now)
{
    enum kv_unit unit = KV_UNIT_PASS;
    for (int i = 0; i < s->count && unit > KV_UNIT_STAGE; i++) {
        const struct stop *stop = &s->list[i];
        if (!stop->enabled) continue;
        if (stop->reads && reads_unit(now) < unit) unit = reads_unit(now);
        if (stop->reads && !stop->watch) continue;
        enum kv_unit own = stop->event   ? catch_unit(stop->event, now)
                           : stop->watch ? watch_unit(stop->watch, now)
                                         : location_unit(&stop->at, now);
        if (own < unit) unit = own;
    }
    return unit;
}

/* Whether the condition lets the stop stop here; an error in it does, and is told unless `quiet`. */
static bool holds(struct session *s, const struct stop *stop, bool quiet)
{
    struct value v;
    bool yes = true;
    if (!stop->parsed) return true;
    enum kv_status st = expr_eval(s, stop->parsed, &v, &s->err);
    if (!st) st = value_true(&v, &yes, &s->err);
    value_free(&v);
    if (st == KV_NOT_NOW) return false;
    if (st && !quiet) {
        fflush(s->out);
        fprintf(stderr, "Error in testing condition for breakpoint %d:\n%s\n", stop->number, s->err.text);
    }
    return yes;
}

struct stop *stops_check(struct session *s, const struct kv_where *now, const struct kv_where *before)
{
    struct stop *hit = NULL;
    for (int i = 0; i < s->stops.count; i++) {
        struct stop *stop = &s->stops.list[i];
        stop->here = false;
        if (!stop->enabled || !happened(s, stop, now, before, false) || !holds(s, stop, false)) continue;
        stop->hits++;
        stop->here = !stop->ignore;
        if (stop->ignore)
            stop->ignore--;
        else if (!hit)
            hit = stop;
    }
    return hit;
}

/* GDB's words for one reason; a breakpoint's, which begin the stop's own line, go to `why`, the first one's only. */
static void show_one(struct session *s, const struct stop *stop, char *why, size_t size)
{
    bool once = stop->disp == STOP_DELETE;
    const char *said = stop->said ? stop->said : "";
    char what[300];
    if (stop->kind == STOP_BREAK) {
        if (!*why) snprintf(why, size, "\n%s %d, ", once ? "Temporary breakpoint" : "Breakpoint", stop->number);
    } else if (stop->kind == STOP_CATCH) {
        fprintf(s->out, "\n%s %d, %s\n", once ? "Temporary catchpoint" : "Catchpoint", stop->number, said);
    } else {
        stop_what(stop, what, sizeof what);
        fprintf(s->out, "\n%s %d: %s\n\n%s", stop_word(stop->kind), stop->number, what, said);
    }
}

void stops_show(struct session *s, const struct kv_where *now)
{
    static const char *const reason[] = { "breakpoint", "watchpoint", "watchpoint", "watchpoint", "catchpoint" };
    char why[64] = "", what[300];
    bool first = true;
    for (int i = s->stops.count; i-- > 0;) /* hook-stop may delete it */
        if (s->stops.list[i].here)
            snprintf(s->stop_reason, sizeof s->stop_reason, "%s %d", reason[s->stops.list[i].kind],
                s->stops.list[i].number);
    if (run_hook_stop(s)) {
        s->hooked = false;
        return;
    }
    s->silent = stop_commands_silent(s);
    stop_commands_note(s);
    for (int i = 0; i < s->stops.count; i++) {
        const struct stop *stop = &s->stops.list[i];
        if (!stop->here) continue;
        if (first) run_end_line(s);
        first = false;
        stop_what(stop, what, sizeof what);
        jsonl_reason(s, stop->number, stop_type(stop), what, stop->said);
        if (!s->silent) show_one(s, stop, why, sizeof why);
        if (stop->head >= 0) s->head = stop->head;
    }
    if (!s->silent) run_show_stop(s, why, now);
    if (s->silent && now->layer >= 0) s->layer = now->layer;
    s->hooked = false;
    stops_spent(&s->stops);
}

bool stops_catch(const struct stops *s, int event)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i].enabled && s->list[i].event && (int)catch_event(s->list[i].event) == event) return true;
    return false;
}

bool stops_struck(struct session *s, int event, const struct kv_where *now)
{
    bool any = false;
    char *said = kv_strdup(s->err.text);
    for (int i = 0; i < s->stops.count; i++) {
        struct stop *stop = &s->stops.list[i];
        stop->here =
            stop->enabled && stop->event && (int)catch_event(stop->event) == event && holds(s, stop, false);
        if (!stop->here) continue;
        stop->hits++;
        free(stop->said);
        stop->said = kv_strdup(said);
        any = true;
    }
    free(said);
    if (any) stops_show(s, now);
    return any;
}

void stops_moved(struct session *s)
{
    for (int i = 0; i < s->stops.count; i++) {
        struct stop *stop = &s->stops.list[i];
        if (stop->watch) watch_reset(s, stop->watch);
        if (stop->event) catch_reset(s, stop->event);
        if (stop->reads) reads_reset(s, stop->reads);
    }
}

bool stops_near(const struct stops *s, const struct kv_where *now, const struct kv_where *before)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i].enabled && near(&s->list[i], now, before)) return true;
    return false;
}

bool stops_would(struct session *s, const struct kv_where *now, const struct kv_where *before)
{
    for (int i = 0; i < s->stops.count; i++) {
        struct stop *stop = &s->stops.list[i];
        if (stop->enabled && happened(s, stop, now, before, true) && holds(s, stop, true)) return true;
    }
    return false;
}
