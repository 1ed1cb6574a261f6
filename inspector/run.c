/* The stop loop: runs the engine in the longest steps that cannot miss a stop, streams the reply, and says where and
 * why it stopped. */
#include "inspector/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bytes.h"
#include "engine/look.h"
#include "inspector/stop/events.h"
#include "inspector/stop/frames.h"
#include "inspector/json/jsonl.h"
#include "inspector/language/define.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/stop/place.h"
#include "inspector/expr/print.h"
#include "inspector/progress.h"
#include "inspector/picture/recipe.h"
#include "inspector/time/time.h"
#include "inspector/tokens.h"

#define CHARACTER_TOKENS 4 /* no character takes more tokens than bytes */

/* --- what is printed at a stop --------------------------------------------------------------------------------------- */

static bool number_at(struct session *s, const char *name, int layer, double *out)
{
    struct kv_array a;
    struct kv_error ignored;
    if (kv_value(s->engine, name, &a, &ignored) || (size_t)layer >= a.dim[0]) return false;
    *out = array_number(&a, (size_t)layer);
    return true;
}

static void rows_text(struct session *s, const struct kv_where *w, const char *name, char *text, size_t size)
{
    struct kv_array ids;
    struct kv_error ignored;
    long segment = kv_pass_rows(s->engine), total = 0;
    if (!kv_value(s->engine, name, &ids, &ignored)) total = (long)ids.dim[0];
    long first = w->pass * segment, last = first + segment < total ? first + segment : total;
    snprintf(text, size, "rows %ld-%ld of %ld", first, last - 1, total);
}

void run_pass_text(struct session *s, const struct kv_where *w, char *text, size_t size)
{
    struct kv_array reply;
    struct kv_error ignored;
    char quoted[64];
    text[0] = '\0';
    if (w->phase == KV_PHASE_prefill) rows_text(s, w, "tok", text, size);
    if (w->phase == KV_PHASE_ask) rows_text(s, w, "question", text, size);
    if (w->phase == KV_PHASE_decode && !kv_value(s->engine, "reply", &reply, &ignored) && reply.dim[0])
        snprintf(text, size, "token %s",
            tokens_quote(s, ((const int32_t *)reply.data)[reply.dim[0] - 1], quoted, sizeof quoted));
}

static void compress_text(struct session *s, const struct kv_where *w, char *text, size_t size)
{
    double entropy, budget;
    struct kv_array tok;
    struct kv_error ignored;
    unsigned long n = kv_value(s->engine, "tok", &tok, &ignored) ? 0 : tok.dim[0];
    if (w->pass) n = (unsigned long)kv_cache_tokens(s->engine, 0);
    char preset[64] = "";
    kv_get(s->engine, "policy.preset", preset, sizeof preset, &ignored);
    if (recipe_replays(s)) sscanf(s->policy_title, "policy %63[^,]", preset);
    if (w->stage == KV_STAGE_allocate)
        snprintf(text, size, "policy %s over %d layers of %lu tokens", preset, s->facts.n_layer, n);
    else if (number_at(s, "E", w->layer, &entropy) && number_at(s, "budget.app", w->layer, &budget))
        snprintf(text, size, "H=%.2f nats  budget %.0f of %lu tokens", entropy, budget, n);
    else
        text[0] = '\0';
}

void run_next_text(struct session *s, const struct kv_where *w, char *text, size_t size)
{
    char more[160] = "", stage[48];
    if (w->phase == KV_PHASE_done) {
        snprintf(text, size, "done");
        return;
    }
    if (w->phase == KV_PHASE_compress)
        compress_text(s, w, more, sizeof more);
    else
        run_pass_text(s, w, more, sizeof more);
    if (w->layer >= 0)
        snprintf(stage, sizeof stage, "L%d.%s", w->layer, kv_stage_name[w->stage]);
    else
        snprintf(stage, sizeof stage, "%s", kv_stage_name[w->stage]);
    snprintf(text, size, "%s%s%s%s", stage, *more ? "  " : "", more, session_mark(s));
}

void run_end_line(struct session *s)
{
    progress_clear();
    if (s->mid_line) fputc('\n', s->out);
    s->mid_line = false;
}

bool run_hook_stop(struct session *s)
{
    if (s->hooked) return false;
    uint64_t stops = s->n_stops;
    const struct kv_engine *engine = s->engine;
    run_end_line(s);
    struct reaction r = define_hook(s, "hook", "stop");
    if (r.status) session_complain(s); /* the stop is shown all the same */
    if (r.status && !s->exit) s->exit = session_exit(&r);
    s->err = (struct kv_error){ 0 };
    s->hooked = true;
    return s->n_stops != stops || s->engine != engine || !kv_started(s->engine);
}

void run_show_stop(struct session *s, const char *why, const struct kv_where *w)
{
    char where[64], next[256];
    bool gone = run_hook_stop(s);
    s->hooked = false;
    run_end_line(s);
    if (gone) return;
    location_where(w, where, sizeof where);
    run_next_text(s, w, next, sizeof next);
    if (why) fprintf(s->out, "%s%s, tick %llu\n", why, where, (unsigned long long)w->tick);
    fprintf(s->out, "%llu\t%s\n", (unsigned long long)w->tick, next);
    if (w->layer >= 0) s->layer = w->layer;
}

bool run_control_token(struct session *s, int32_t id)
{
    size_t n;
    const char *text = kv_token_bytes(s->engine, id, &n);
    bool bars = text && n > 4 && !memcmp(text, "<|", 2) && !memcmp(text + n - 2, "|>", 2);
    return bars || (text && n == 4 && !memcmp(text, "</s>", 4));
}

size_t run_reply(struct session *s, struct kv_array *reply, bool *ended)
{
    struct kv_where w;
    struct kv_error ignored;
    char tokens[32] = "0";
    *ended = false;
    if (kv_value(s->engine, "reply", reply, &ignored)) return 0;
    kv_where(s->engine, &w);
    kv_get(s->engine, "decode.tokens", tokens, sizeof tokens, &ignored);
    size_t n = reply->dim[0];
    if (w.phase != KV_PHASE_done || !n) return n;
    bool room = n < strtoul(tokens, NULL, 10) && names_rows(s) + 1 < s->facts.n_context;
    *ended = room || run_control_token(s, ((const int32_t *)reply->data)[n - 1]);
    return *ended ? n - 1 : n;
}

/* Whether the text ends inside a character. */
static bool broken_end(const char *text)
{
    static const char broken[] = "\xEF\xBF\xBD";
    size_t length = text ? strlen(text) : 0, tail = sizeof broken - 1;
    return length >= tail && !memcmp(text + length - tail, broken, tail);
}

static bool before_reply(const struct kv_where *w)
{
    return w->phase < KV_PHASE_compress || (w->phase == KV_PHASE_compress && !w->pass);
}

/* Prints the reply's new tokens as text. A token that ends inside a character waits for the next ones. */
static void stream(struct session *s)
{
    struct kv_array reply;
    struct kv_where w;
    bool ended;
    size_t all = run_reply(s, &reply, &ended);
    if (s->streamed > all) s->streamed = 0;
    size_t n = all - s->streamed;
    if (!n) return;
    kv_where(s->engine, &w);
    if (before_reply(&w)) return; /* the prefill's own token waits for the others */
    char *text = kv_tokens_text(s->engine, (const int32_t *)reply.data + s->streamed, (int)n);
    size_t length = text ? strlen(text) : 0;
    if (!broken_end(text) || w.phase == KV_PHASE_done || n >= CHARACTER_TOKENS) {
        progress_clear();
        jsonl_reply(s, (const int32_t *)reply.data + s->streamed, n, s->streamed);
        if (length) {
            fwrite(text, 1, length, s->out);
            s->mid_line = text[length - 1] != '\n';
            if (s->terminal) fflush(s->out);
        }
        s->streamed = all;
    }
    free(text);
}

/* Whether the text of the reply's first n tokens ends where a character does. */
static bool whole(struct session *s, const int32_t *reply, size_t n)
{
    for (size_t k = 1; k <= n && k <= CHARACTER_TOKENS; k++) {
        char *text = kv_tokens_text(s->engine, reply + n - k, (int)k);
        bool open = broken_end(text);
        free(text);
        if (!open) return true;
    }
    return !n;
}

void run_rewound(struct session *s)
{
    struct kv_array reply;
    struct kv_where w;
    bool ended;
    size_t n = run_reply(s, &reply, &ended), open = 0;
    kv_where(s->engine, &w);
    if (before_reply(&w)) n = 0;
    while (open < n && open < CHARACTER_TOKENS && !whole(s, reply.data, n - open)) open++;
    s->streamed = open < CHARACTER_TOKENS ? n - open : n;
}

static struct reaction finished(struct session *s)
{
    struct kv_array reply;
    bool ended;
    size_t n = run_reply(s, &reply, &ended);
    stream(s);
    run_end_line(s);
    fprintf(s->out, "[Request finished: %zu reply token%s, %s; %s]\n", n, n == 1 ? "" : "s",
        ended ? "ended by the model" : "cut by decode.tokens or by the context", session_mode(s));
    snprintf(s->stop_reason, sizeof s->stop_reason, "done");
    return STEPPED;
}

/* --- the loop ---------------------------------------------------------------------------------------------------------- */

bool run_crossed(const struct kv_where *from, const struct kv_where *to, enum kv_unit unit)
{
    if (to->phase != from->phase) return true;
    if (unit == KV_UNIT_PHASE) return false;
    if (unit == KV_UNIT_STAGE || to->pass != from->pass) return true;
    return unit == KV_UNIT_LAYER && to->layer != from->layer;
}

bool run_stop_here(struct session *s, const struct kv_where *now, const struct kv_where *before)
{
    if (!s->stops.count || !stops_check(s, now, before)) return false;
    stops_show(s, now);
    return true;
}

struct reaction run_interrupted(struct session *s)
{
    struct kv_where w;
    run_end_line(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "interrupt");
    fprintf(s->out, "\nProgram received signal SIGINT, Interrupt.\n");
    kv_where(s->engine, &w);
    run_show_stop(s, "", &w);
    if (!s->options->batch && !s->nest && !s->place) return STEPPED;
    return refuse(s, KV_STOPPED, "Interrupted."); /* the lines around this one do not go on */
}

static struct reaction step_failed(struct session *s, enum kv_status st)
{
    struct kv_where w;
    run_end_line(s);
    kv_where(s->engine, &w);
    snprintf(s->stop_reason, sizeof s->stop_reason, "error");
    if (events_struck(s, st, &w)) return STEPPED;
    return failed(s);
}

/* Whether the goal is reached at `now`; `mark` is where the present unit of it began. */
static bool arrived(struct session *s, struct goal *goal, const struct kv_where *first, struct kv_where *mark,
    const struct kv_where *now, const struct kv_where *before)
{
    enum kv_unit unit = goal->whole_layers && mark->phase == KV_PHASE_compress ? KV_UNIT_LAYER : goal->unit;
    if (goal->to && place_here(s, goal->to, now, before)) return true;
    if (goal->in_phase && now->phase != first->phase) return true;
    if (!goal->goes || !run_crossed(mark, now, unit)) return false;
    *mark = *now;
    return --goal->count <= 0;
}

static enum kv_unit goal_unit(struct session *s, const struct goal *goal, const struct kv_where *now)
{
    enum kv_unit unit = goal->free ? KV_UNIT_PASS : stops_unit(&s->stops, now);
    if (goal->goes && goal->unit < unit) unit = goal->unit;
    if (goal->to && location_unit(goal->to, now) < unit) unit = location_unit(goal->to, now);
    return unit;
}

struct reaction run_resume(struct session *s, struct goal goal)
{
    struct kv_where first, mark, before, now;
    if (s->pref.backward) return time_back(s, goal.goes, goal.unit, goal.count);
    kv_where(s->engine, &first);
    mark = now = first;
    if (first.phase < KV_PHASE_compress || (first.phase == KV_PHASE_compress && first.stage == KV_STAGE_allocate))
        recipe_note_policy(s);
    for (;;) {
        before = now;
        enum kv_status st = kv_step(s->engine, goal_unit(s, &goal, &now), &s->err);
        kv_where(s->engine, &now);
        bool passed = now.pass != before.pass || now.phase != before.phase;
        if (passed) stream(s);                                    /* a token comes at a pass's end */
        if (st == KV_STOPPED && !session_interrupted()) continue; /* meant for a command before this one */
        if (st == KV_STOPPED) return run_interrupted(s);
        if (st) return step_failed(s, st);
        if (!goal.free && run_stop_here(s, &now, &before)) return STEPPED;
        if (passed && !goal.free && events_here(s, &now, &before)) return STEPPED;
        bool there = arrived(s, &goal, &first, &mark, &now, &before);
        if (now.phase == KV_PHASE_done && !(there && goal.to)) return finished(s);
        if (!there) continue;
        snprintf(s->stop_reason, sizeof s->stop_reason, "%s", goal.reason ? goal.reason : "step");
        bool same = !goal.to && now.phase == first.phase && now.pass == first.pass;
        run_show_stop(s, same ? NULL : "", &now);
        return STEPPED;
    }
}

bool run_can_go_on(struct session *s)
{
    struct kv_where w;
    kv_where(s->engine, &w);
    if (w.phase != KV_PHASE_done || s->pref.backward) return true;
    kv_fail(&s->err, KV_NOT_NOW,
        "The request has finished; \"run\" starts it again, \"recompress\" goes back to compress.");
    return false;
}

bool run_count(struct session *s, const char *args, long *out)
{
    struct value v;
    *out = 1;
    if (!*args) return true;
    enum kv_status st = expr_text(s, args, &v, &s->err);
    if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] >= 1 && v.number[0] <= 1e9)))
        st = kv_fail(&s->err, KV_BAD_ARG, "The count must be a whole number from 1 on, not %.60s.", args);
    if (!st) *out = (long)v.number[0];
    value_free(&v);
    return !st;
}

static struct reaction step_by(struct session *s, const char *args, enum kv_unit unit)
{
    long count;
    if (!run_count(s, args, &count) || !run_can_go_on(s)) return failed(s);
    return run_resume(s, (struct goal){ .goes = true, .unit = unit, .count = count });
}

struct reaction cmd_step(struct session *s, const char *args) { return step_by(s, args, KV_UNIT_LAYER); }
struct reaction cmd_stepi(struct session *s, const char *args) { return step_by(s, args, KV_UNIT_STAGE); }
struct reaction cmd_next(struct session *s, const char *args) { return step_by(s, args, KV_UNIT_PASS); }

struct reaction cmd_continue(struct session *s, const char *args)
{
    long count;
    int number = 0;
    if (!run_count(s, args, &count) || !run_can_go_on(s)) return failed(s);
    const char *point = strstr(s->stop_reason, "point ");
    if (point) number = atoi(point + 6);
    struct stop *stop = stops_find(&s->stops, number);
    if (*args && stop) {
        stop->ignore = (uint64_t)count - 1;
        if (count > 1)
            fprintf(s->out, "Will ignore next %ld crossings of breakpoint %d.  Continuing.\n", count - 1, number);
        else
            fprintf(s->out, "Continuing.\n");
    } else {
        if (*args) fprintf(s->out, "Not stopped at any breakpoint; argument ignored.\n");
        fprintf(s->out, "Continuing.\n");
    }
    return run_resume(s, (struct goal){ 0 });
}

/* What a frame has brought, as GDB's "Value returned": a layer's entropy or kept tokens, a pass's token. */
static void show_returned(struct session *s, size_t frame, const struct kv_where *w)
{
    char text[64] = "";
    struct value v;
    bool generates = w->phase == KV_PHASE_decode || w->phase == KV_PHASE_ask;
    if (frame == FRAME_LAYER && w->phase == KV_PHASE_prefill)
        snprintf(text, sizeof text, "E[%d]", w->layer);
    else if (frame == FRAME_LAYER && w->phase == KV_PHASE_compress)
        snprintf(text, sizeof text, "sum(kept[%d])", w->layer);
    else if (frame == FRAME_PASS && generates)
        snprintf(text, sizeof text, "reply[last]");
    if (!*text) return;
    struct kv_error keep = s->err;
    if (!expr_text(s, text, &v, &s->err) && !print_remember(s, &v)) {
        fprintf(s->out, "Value returned is $%zu = ", s->n_history);
        print_value(s, &v);
        fprintf(s->out, "%s\n", session_mark(s));
    }
    value_free(&v);
    s->err = keep;
}

struct reaction cmd_finish(struct session *s, const char *args)
{
    static const char *const names[] = { "stage", "layer", "pass", "phase" };
    static const enum kv_unit units[] = { KV_UNIT_STAGE, KV_UNIT_LAYER, KV_UNIT_PASS, KV_UNIT_PHASE };
    struct kv_where w;
    char what[300];
    kv_where(s->engine, &w);
    size_t f = (size_t)frames_selected(s);
    if (*args) {
        for (f = 0; f < KV_COUNT(names) && strcmp(args, names[f]); f++) {
        }
        if (f == KV_COUNT(names))
            return refuse(s, KV_BAD_ARG, "\"%.40s\" is none of stage, layer, pass, phase.", args);
    } else if (f == FRAME_STAGE) {
        f = FRAME_LAYER; /* a stage alone is what stepi is for */
    }
    if (!run_can_go_on(s)) return failed(s);
    if (f == FRAME_REQUEST) return refuse(s, KV_NOT_NOW, "\"finish\" not meaningful in the outermost frame.");
    if (f == FRAME_LAYER && w.layer < 0) f = FRAME_PASS;
    frames_text(s, (int)f, what, sizeof what);
    fprintf(s->out, "%s %s\n", s->pref.backward ? "Run back to call of" : "Run till exit from", what);
    bool back = s->pref.backward;
    struct reaction r = run_resume(s, (struct goal){ .goes = true, .unit = units[f], .count = 1 });
    if (!r.status && !back && !strcmp(s->stop_reason, "step")) show_returned(s, f, &w);
    return r;
}

/* --- beginning ----------------------------------------------------------------------------------------------------------- */

#define SAY_MEMORY ((size_t)1 << 30) /* a request that takes more says so before it runs */

/* Bytes wanted and bytes free, where they matter: a request that takes much, or more than half of what is left. */
static void say_memory(struct session *s)
{
    struct kv_wanted w;
    struct kv_error ignored;
    char own[32], weights[32], left[32];
    size_t available = kv_memory_free();
    if (kv_wanted(s->engine, &w, &ignored) || !available) return;
    size_t mapped = s->facts.synthetic ? 0 : w.weights;
    if (w.own + mapped < SAY_MEMORY && w.own + mapped < available / 2) return;
    fprintf(s->out, "Memory: %s wanted beside %s of weights; %s free.\n", line_bytes((double)w.own, own),
        line_bytes((double)w.weights, weights), line_bytes((double)available, left));
    if (mapped && w.own + mapped > available)
        fprintf(s->out,
            "Not all weights fit beside it: their file will be read again for every pass, which is slow.\n");
}

bool run_begin(struct session *s)
{
    struct kv_array tok, question;
    struct kv_error ignored;
    if (kv_started(s->engine)) {
        struct kv_where w;
        kv_where(s->engine, &w);
        if (w.phase != KV_PHASE_done &&
            !session_ask(
                s, "The request being debugged has been started already.\nStart it from the beginning? ")) {
            kv_fail(&s->err, KV_NOT_NOW, "Request not restarted.");
            return false;
        }
    }
    s->pref.backward = false;
    s->streamed = 0;
    s->kl_mean = s->noise_mean = NAN;
    say_memory(s);
    if (kv_start(s->engine, &s->err)) return false;
    stops_moved(s);
    size_t n = kv_value(s->engine, "tok", &tok, &ignored) ? 0 : tok.dim[0];
    size_t asked = kv_value(s->engine, "question", &question, &ignored) ? 0 : question.dim[0];
    fprintf(s->out, "Starting request: %s, %zu token%s", s->prompt_name, n, n == 1 ? "" : "s");
    if (asked) fprintf(s->out, " and a question of %zu", asked);
    fprintf(s->out, " (%s; %s)\n", s->prompt_ids ? "token ids" : s->chat ? "chat" : "plain text", session_mode(s));
    return true;
}

struct reaction cmd_start(struct session *s, const char *args)
{
    struct kv_where w;
    (void)args;
    if (!run_begin(s)) return failed(s);
    kv_where(s->engine, &w);
    snprintf(s->stop_reason, sizeof s->stop_reason, "start");
    run_show_stop(s, "\n", &w);
    return STEPPED;
}

struct reaction cmd_run(struct session *s, const char *args)
{
    struct kv_where w;
    (void)args;
    if (!run_begin(s)) return failed(s);
    kv_where(s->engine, &w);
    if (run_stop_here(s, &w, NULL)) return STEPPED;
    return run_resume(s, (struct goal){ 0 });
}

struct reaction cmd_recompress(struct session *s, const char *args)
{
    struct kv_where w;
    (void)args;
    run_end_line(s);
    enum kv_status st = kv_recompress(s->engine, &s->err);
    if (st == KV_STOPPED) return run_interrupted(s);
    if (st) return failed(s);
    s->streamed = 0;
    s->kl_mean = NAN;
    kv_where(s->engine, &w);
    stops_moved(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "recompress");
    run_show_stop(s, "", &w);
    return STEPPED;
}
