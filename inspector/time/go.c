/* starti, nexti, until, advance, jump, kill, detach. */
#include "inspector/time/go.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/history.h"
#include "inspector/stop/place.h"
#include "inspector/run.h"

struct reaction cmd_starti(struct session *s, const char *args)
{
    struct kv_where w;
    (void)args;
    if (!run_begin(s)) return failed(s);
    kv_where(s->engine, &w);
    snprintf(s->stop_reason, sizeof s->stop_reason, "start");
    fprintf(s->out, "\nProgram stopped.\n");
    run_show_stop(s, "", &w);
    return STEPPED;
}

struct reaction cmd_nexti(struct session *s, const char *args)
{
    struct goal goal = { .goes = true, .unit = KV_UNIT_STAGE, .whole_layers = true };
    if (!run_count(s, args, &goal.count) || !run_can_go_on(s)) return failed(s);
    return run_resume(s, goal);
}

static enum kv_status read_place(struct session *s, const char *args, struct location *to)
{
    char note[120];
    size_t n = location_length(args);
    if (args[n]) return kv_fail(&s->err, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", args + n);
    enum kv_status st = location_parse(args, n, s->facts.n_layer, to, &s->err);
    return st ? st : place_check(s, to, note, sizeof note);
}

static struct reaction run_to(struct session *s, const char *args, const char *reason, bool in_phase)
{
    struct location to;
    if (read_place(s, args, &to) || !run_can_go_on(s)) return failed(s);
    if (s->pref.backward)
        return refuse(
            s, KV_UNSUPPORTED, "\"%s\" goes forward only: set a breakpoint and reverse-continue.", reason);
    return run_resume(s, (struct goal){ .reason = reason, .to = &to, .in_phase = in_phase });
}

struct reaction cmd_until(struct session *s, const char *args)
{
    if (*args) return run_to(s, args, "until", true);
    if (!run_can_go_on(s)) return failed(s);
    return run_resume(s, (struct goal){ .goes = true, .unit = KV_UNIT_PASS, .count = 1, .reason = "until" });
}

struct reaction cmd_advance(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (a location).");
    return run_to(s, args, "advance", false);
}

/* --- jump --------------------------------------------------------------------------------------------------------------- */

/* Whether the boundary at a tick of this branch is the place. */
static bool place_at(struct session *s, const struct location *to, uint64_t tick)
{
    struct kv_where now, before;
    struct kv_error ignored;
    if (kv_where_at(s->engine, tick, &now, &ignored)) return false;
    bool first = !tick || kv_where_at(s->engine, tick - 1, &before, &ignored);
    return location_here(to, &now, first ? NULL : &before);
}

/* The nearest boundary on record that is the place: behind, or else ahead. */
static bool find_tick(struct session *s, const struct location *to, const struct kv_history *h, uint64_t *tick)
{
    for (uint64_t t = h->current + 1; t-- > h->lowest;)
        if (place_at(s, to, t)) return *tick = t, true;
    for (uint64_t t = h->current + 1; t <= h->highest; t++)
        if (place_at(s, to, t)) return *tick = t, true;
    return false;
}

/* Every stage reads what the ones before it have written, so there is nothing to skip to: the request can only go on
 * from where it has been. */
struct reaction cmd_jump(struct session *s, const char *args)
{
    struct location to;
    struct kv_history h;
    uint64_t tick;
    struct kv_where w;
    char where[64];
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (starting address).");
    if (read_place(s, args, &to) || kv_history(s->engine, &h, &s->err)) return failed(s);
    if (location_token(&to))
        return refuse(s, KV_UNSUPPORTED, "A jump goes to a phase, pass, layer, stage or *TICK, not to a token.");
    if (!find_tick(s, &to, &h, &tick))
        return refuse(s, KV_NOT_NOW,
            "This branch has not been at %.60s, and its stages cannot be skipped: what follows reads what they "
            "write.  "
            "Use \"advance\".",
            args);
    run_end_line(s);
    enum kv_status st;
    do st = kv_seek(s->engine, tick, &s->err);
    while (st == KV_STOPPED && !session_interrupted());
    run_rewound(s);
    kv_where(s->engine, &w);
    if (w.phase <= KV_PHASE_compress) s->kl_mean = NAN;
    stops_moved(s);
    if (st == KV_STOPPED) return run_interrupted(s);
    if (st) return failed(s);
    location_where(&w, where, sizeof where);
    fprintf(s->out, "Continuing at %s, tick %llu.\n", where, (unsigned long long)tick);
    struct kv_where before;
    bool first = !tick || kv_where_at(s->engine, tick - 1, &before, &s->err);
    if (run_stop_here(s, &w, first ? NULL : &before)) return STEPPED;
    if (!run_can_go_on(s)) return failed(s);
    return run_resume(s, (struct goal){ 0 });
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

struct reaction cmd_kill(struct session *s, const char *args)
{
    if (*args) return refuse(s, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", args);
    if (!session_ask(s, "Kill the request being debugged? ")) return refuse(s, KV_NOT_NOW, "Not confirmed.");
    run_end_line(s);
    kv_end(s->engine);
    s->streamed = 0;
    s->kl_mean = NAN;
    s->pref.backward = false;
    s->stop_reason[0] = '\0';
    fprintf(s->out, "[Request 1 (%s) killed]\n", s->prompt_name);
    return CHANGED;
}

struct reaction cmd_detach(struct session *s, const char *args)
{
    if (*args) return refuse(s, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", args);
    if (!run_can_go_on(s)) return failed(s);
    s->pref.backward = false;
    fprintf(s->out, "Detaching from request: %s\n", s->prompt_name);
    struct reaction r = run_resume(s, (struct goal){ .free = true });
    if (!r.status) fprintf(s->out, "[Request 1 (%s) detached]\n", s->prompt_name);
    return r;
}
