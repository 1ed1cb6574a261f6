/* The list of breakpoints. */
#include "inspector/stops.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/session.h"

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

enum kv_status stops_add(
    struct stops *s, const struct location *at, bool temporary, const char *condition, struct kv_error *err)
{
    struct stop stop = { .temporary = temporary, .enabled = true, .at = *at };
    enum kv_status st = stop_condition(&stop, condition, err);
    if (st) return st;
    struct stop *list = realloc(s->list, ((size_t)s->count + 1) * sizeof *list);
    if (!list) {
        free(stop.condition);
        free(stop.parsed);
        return kv_fail(err, KV_NO_MEMORY, "No memory for a breakpoint.");
    }
    s->list = list;
    stop.number = ++s->last_number;
    s->list[s->count++] = stop;
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
    free(stop->condition);
    free(stop->parsed);
    memmove(stop, stop + 1, (size_t)(s->list + s->count - stop - 1) * sizeof *stop);
    s->count--;
    return true;
}

void stops_drop_temporary(struct stops *s)
{
    for (int i = s->count - 1; i >= 0; i--)
        if (s->list[i].temporary && s->list[i].here) stops_delete(s, s->list[i].number);
}

void stops_free(struct stops *s)
{
    while (s->count) stops_delete(s, s->list[0].number);
    free(s->list);
    *s = (struct stops){ 0 };
}

enum kv_unit stops_unit(const struct stops *s, const struct kv_where *now)
{
    enum kv_unit unit = KV_UNIT_PASS;
    for (int i = 0; i < s->count; i++) {
        if (!s->list[i].enabled) continue;
        enum kv_unit own = location_unit(&s->list[i].at, now);
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
        if (!stop->enabled || !location_here(&stop->at, now, before) || !holds(s, stop, false)) continue;
        stop->hits++;
        stop->here = !stop->ignore;
        if (stop->ignore)
            stop->ignore--;
        else if (!hit)
            hit = stop;
    }
    return hit;
}

bool stops_near(const struct stops *s, const struct kv_where *now, const struct kv_where *before)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i].enabled && location_here(&s->list[i].at, now, before)) return true;
    return false;
}

bool stops_would(struct session *s, const struct kv_where *now, const struct kv_where *before)
{
    for (int i = 0; i < s->stops.count; i++) {
        const struct stop *stop = &s->stops.list[i];
        if (stop->enabled && location_here(&stop->at, now, before) && holds(s, stop, true)) return true;
    }
    return false;
}
