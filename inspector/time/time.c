/* Going back. Where a stop may stop is told by its place alone, without running anything; only passes that hold such a
 * place run again, from their start, and only there are conditions looked at. */
#include "inspector/time/time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/history.h"
#include "inspector/language/line.h"
#include "inspector/run.h"

/* --- moving ---------------------------------------------------------------------------------------------------------- */

void time_arrived(struct session *s)
{
    struct kv_where w;
    kv_where(s->engine, &w);
    run_rewound(s);
    if (w.phase <= KV_PHASE_compress) s->kl_mean = NAN;
}

/* A request to stop that was meant for an earlier command is not heard. */
static enum kv_status seek(struct session *s, uint64_t tick)
{
    enum kv_status st;
    do st = kv_seek(s->engine, tick, &s->err);
    while (st == KV_STOPPED && !session_interrupted());
    return st;
}

/* Says what ended the way there: st is not KV_OK. */
static struct reaction ended(struct session *s, enum kv_status st)
{
    time_arrived(s);
    if (st == KV_STOPPED) return run_interrupted(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "error");
    return failed(s);
}

/* The boundary at a tick of this branch, and the one before it; false at tick 0, which has none. */
static bool places(struct session *s, uint64_t tick, struct kv_where *now, struct kv_where *before)
{
    struct kv_error ignored;
    if (kv_where_at(s->engine, tick, now, &ignored)) kv_where(s->engine, now);
    return tick && !kv_where_at(s->engine, tick - 1, before, &ignored);
}

static bool begins(struct session *s, uint64_t tick, enum kv_unit unit)
{
    struct kv_where now, before;
    return !places(s, tick, &now, &before) || run_crossed(&before, &now, unit);
}

/* The tick at which the count-th unit before `from` begins; *count is what the request's start left over. */
static uint64_t unit_back(struct session *s, uint64_t from, enum kv_unit unit, long *count)
{
    while (from && *count > 0)
        if (begins(s, --from, unit)) --*count;
    return from;
}

/* --- stops on the way back --------------------------------------------------------------------------------------------- */

/* Whether a stop may stop at a tick on the way back: by its place, or, a watched value, before the place where it
 * changed. */
static bool near(struct session *s, uint64_t tick)
{
    struct kv_where after, now, before;
    bool later = places(s, tick + 1, &after, &now);
    const struct kv_where *from = places(s, tick, &now, &before) ? &before : NULL;
    return stops_near(&s->stops, &now, from) || (later && stops_near(&s->stops, &after, &now));
}

/* The last tick from `low` to `high`, which lie in one pass, where a stop would stop; the engine is left behind it. */
static enum kv_status last_hit(struct session *s, uint64_t low, uint64_t high, uint64_t *hit, bool *found)
{
    enum kv_status st = KV_OK;
    *found = false;
    for (uint64_t t = low; t <= high && !st; t++) {
        struct kv_where now, before;
        if (!near(s, t) || (st = seek(s, t))) continue;
        if (!stops_would(s, &now, places(s, t, &now, &before) ? &before : NULL)) continue;
        *hit = t;
        *found = true;
    }
    return st;
}

/* Goes to the latest boundary from `low` to before `from` that a stop stops at; *stopped says whether there is one.
 * Ignore counts let hits pass here, as they do on the way forward. */
static enum kv_status back_to_stop(struct session *s, uint64_t low, uint64_t from, bool *stopped)
{
    enum kv_status st = KV_OK;
    *stopped = false;
    while (from > low && s->stops.count && !st && !*stopped) {
        struct kv_where now, before;
        bool found;
        long one = 1;
        uint64_t hit, begin = unit_back(s, from, KV_UNIT_PASS, &one);
        if (begin < low) begin = low;
        st = last_hit(s, begin, from - 1, &hit, &found);
        from = found ? hit : begin;
        if (!st && found && !(st = seek(s, hit))) {
            time_arrived(s);
            *stopped = run_stop_here(s, &now, places(s, hit, &now, &before) ? &before : NULL);
        }
    }
    return st;
}

struct reaction time_back(struct session *s, bool goes, enum kv_unit unit, long count)
{
    struct kv_where first, now;
    bool stopped;
    kv_where(s->engine, &first);
    uint64_t low = goes ? unit_back(s, first.tick, unit, &count) : 0;
    run_end_line(s);
    enum kv_status st = back_to_stop(s, low, first.tick, &stopped);
    if (!st && !stopped) st = seek(s, low);
    stops_moved(s);
    if (!st && stopped) return STEPPED;
    if (st) return ended(s, st);
    time_arrived(s);
    kv_where(s->engine, &now);
    bool start = !goes || count > 0;
    snprintf(s->stop_reason, sizeof s->stop_reason, start ? "history" : "step");
    if (start) fprintf(s->out, "\nNo more reverse-execution history.\n");
    run_show_stop(s, !start && now.phase == first.phase && now.pass == first.pass ? NULL : "", &now);
    return STEPPED;
}

/* GDB's way: the forward command, with time turned round. */
static struct reaction reversed(struct session *s, const char *name, const char *args,
    struct reaction (*run)(struct session *s, const char *args))
{
    if (s->pref.backward)
        return refuse(
            s, KV_NOT_NOW, "Already in reverse mode.  Use \"%s\" or \"set exec-direction forward\".", name);
    s->pref.backward = true;
    struct reaction r = run(s, args);
    s->pref.backward = false;
    return r;
}

struct reaction cmd_reverse_step(struct session *s, const char *args)
{
    return reversed(s, "step", args, cmd_step);
}
struct reaction cmd_reverse_next(struct session *s, const char *args)
{
    return reversed(s, "next", args, cmd_next);
}
struct reaction cmd_reverse_stepi(struct session *s, const char *args)
{
    return reversed(s, "stepi", args, cmd_stepi);
}
struct reaction cmd_reverse_continue(struct session *s, const char *args)
{
    return reversed(s, "continue", args, cmd_continue);
}
struct reaction cmd_reverse_finish(struct session *s, const char *args)
{
    return reversed(s, "finish", args, cmd_finish);
}

struct reaction cmd_set_exec_direction(struct session *s, const char *args)
{
    size_t n = strlen(args);
    if (!n) return refuse(s, KV_BAD_ARG, "Requires an argument.  Valid arguments are forward, reverse.");
    if (strncmp("forward", args, n) && strncmp("reverse", args, n))
        return refuse(s, KV_BAD_ARG, "Undefined item: \"%.60s\".", args);
    s->pref.backward = *args == 'r';
    return CHANGED;
}

struct reaction cmd_show_exec_direction(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, s->pref.backward ? "Reverse.\n" : "Forward.\n");
    return DONE;
}

/* --- the record -------------------------------------------------------------------------------------------------------- */

struct reaction cmd_when(struct session *s, const char *args)
{
    struct kv_where w;
    char where[64];
    (void)args;
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    fprintf(s->out, "Tick %llu, %s, branch %d\n", (unsigned long long)w.tick, where, w.branch);
    return DONE;
}

struct reaction cmd_record_full(struct session *s, const char *args)
{
    (void)args;
    return refuse(s, KV_NOT_NOW,
        "The request is already being recorded: every boundary since its start can be gone back to.");
}

/* What no row of the group takes. */
struct reaction cmd_record(struct session *s, const char *args)
{
    if (*args)
        return refuse(s, KV_NOT_FOUND, "Undefined record command: \"%.*s\".  Try \"help record\".",
            (int)kv_min(strcspn(args, " \t"), 60), args);
    return cmd_record_full(s, args);
}

struct reaction cmd_record_coarse(struct session *s, const char *args)
{
    (void)args;
    return refuse(
        s, KV_UNSUPPORTED, "Every stage is recorded already; a record of less would take no less memory.");
}

struct reaction cmd_record_stop(struct session *s, const char *args)
{
    (void)args;
    return refuse(s, KV_UNSUPPORTED,
        "The record cannot be stopped; \"set record max-bytes\" bounds what it takes beyond the request itself.");
}

struct reaction cmd_record_delete(struct session *s, const char *args)
{
    (void)args;
    return refuse(s, KV_UNSUPPORTED,
        "What lies ahead is not deleted by hand: changing a policy.* or decode.* setting here starts a new "
        "branch.");
}

struct reaction cmd_record_save(struct session *s, const char *args)
{
    (void)args;
    return refuse(
        s, KV_UNSUPPORTED, "A record is not written to files: the same prompt and settings make it again.");
}

struct reaction cmd_record_goto(struct session *s, const char *args)
{
    static const char *const ends[] = { "begin", "start", "end" };
    struct kv_history h;
    struct kv_where w;
    struct value v;
    size_t n = strlen(args), word = 0;
    if (kv_history(s->engine, &h, &s->err)) return failed(s);
    uint64_t tick = h.lowest;
    if (!n) return refuse(s, KV_BAD_ARG, "Argument required (tick to go to, or begin, start, end).");
    while (word < KV_COUNT(ends) && strncmp(ends[word], args, n)) word++;
    if (word == 2) tick = h.highest;
    if (word == KV_COUNT(ends)) {
        if (expr_text(s, args, &v, &s->err)) return failed(s);
        double x = v.kind == VALUE_NUMBER && !v.n_dim ? v.number[0] : NAN;
        value_free(&v);
        if (!(x >= 0 && x <= (double)h.highest) || x != floor(x))
            return refuse(s, KV_BAD_ARG, "Target tick %.40s not found; the record holds ticks %llu to %llu.", args,
                (unsigned long long)h.lowest, (unsigned long long)h.highest);
        tick = (uint64_t)x;
    }
    if (tick == h.current) return refuse(s, KV_BAD_ARG, "Already at target tick %llu.", (unsigned long long)tick);
    run_end_line(s);
    fprintf(s->out, "Go %s to tick %llu\n", tick < h.current ? "backward" : "forward", (unsigned long long)tick);
    enum kv_status st = seek(s, tick);
    if (st) return ended(s, st);
    time_arrived(s);
    stops_moved(s);
    kv_where(s->engine, &w);
    snprintf(s->stop_reason, sizeof s->stop_reason, "goto");
    run_show_stop(s, "", &w);
    return STEPPED;
}

struct reaction cmd_maint_hash(struct session *s, const char *args)
{
    uint64_t hash;
    (void)args;
    if (kv_state_hash(s->engine, &hash, &s->err)) return failed(s);
    fprintf(s->out, "%016llx\n", (unsigned long long)hash);
    return DONE;
}
