/* Frames as text, and walking up and down. */
#include "inspector/stop/frames.h"

#include <string.h>

#include "inspector/stop/info_frame.h"
#include "inspector/json/rows.h"
#include "inspector/stop/info_frame.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

static const char *const names[FRAME_COUNT] = { "stage", "layer", "pass", "phase", "request" };

bool frames_there(const struct kv_where *w, int frame)
{
    if (frame < 0 || frame >= FRAME_COUNT) return false;
    if (w->phase == KV_PHASE_done) return frame == FRAME_REQUEST;
    return frame != FRAME_LAYER || w->layer >= 0;
}

static int innermost(const struct kv_where *w)
{
    int frame = FRAME_STAGE;
    while (!frames_there(w, frame)) frame++;
    return frame;
}

void frames_reset(struct session *s)
{
    struct kv_where w;
    kv_where(s->engine, &w);
    s->frame = innermost(&w);
}

int frames_selected(struct session *s)
{
    struct kv_where w;
    kv_where(s->engine, &w);
    if (!frames_there(&w, s->frame)) s->frame = innermost(&w);
    return s->frame;
}

static size_t length_of(struct session *s, const char *name)
{
    struct kv_array a;
    struct kv_error ignored;
    return kv_value(s->engine, name, &a, &ignored) ? 0 : a.dim[0];
}

static void layer_text(struct session *s, const struct kv_where *w, char *text, size_t size)
{
    struct kv_array a;
    struct kv_error ignored;
    size_t at = (size_t)snprintf(text, size, "L%d (", w->layer);
    double entropy = kv_value(s->engine, "E", &a, &ignored) ? 0 : array_number(&a, (size_t)w->layer);
    if (entropy > 0) at += (size_t)snprintf(text + at, size - at, "H=%.2f nats, ", entropy);
    if (!kv_value(s->engine, "budget.app", &a, &ignored))
        at += (size_t)snprintf(text + at, size - at, "budget=%.0f tokens, ", array_number(&a, (size_t)w->layer));
    snprintf(text + at, size - at, "heads=%d, KV heads=%d)", s->facts.n_head, s->facts.n_kv_head);
}

static void request_text(struct session *s, const struct kv_where *w, char *text, size_t size)
{
    char preset[64] = "";
    struct kv_error ignored;
    kv_get(s->engine, "policy.preset", preset, sizeof preset, &ignored);
    snprintf(text, size, "request (prompt=%.100s, tokens=%zu, policy=%.40s)%s", s->prompt_name, length_of(s, "tok"),
        preset, w->phase == KV_PHASE_done ? ", finished" : "");
}

void frames_text(struct session *s, int frame, char *text, size_t size)
{
    struct kv_where w;
    char what[320], more[160];
    kv_where(s->engine, &w);
    run_pass_text(s, &w, more, sizeof more);
    switch (frame) {
    case FRAME_STAGE: location_where(&w, what, sizeof what); break;
    case FRAME_LAYER: layer_text(s, &w, what, sizeof what); break;
    case FRAME_PASS:
        snprintf(what, sizeof what, *more ? "%s:%d (%s)" : "%s:%d", kv_phase_name[w.phase], w.pass, more);
        break;
    case FRAME_PHASE: snprintf(what, sizeof what, "%s", kv_phase_name[w.phase]); break;
    default: request_text(s, &w, what, sizeof what);
    }
    size_t at = (size_t)snprintf(text, size, "#%d  %s", frame, what);
    if (frame == FRAME_STAGE) snprintf(text + at, size - at, " at tick %llu", (unsigned long long)w.tick);
}

static void row(struct session *s, int frame, const char *text)
{
    rows_new(s);
    rows_number(s, "frame", frame);
    rows_text(s, "kind", names[frame]);
    rows_text(s, "what", text + strlen("#0  "));
}

/* The frame's line, and for the stage what runs next. */
static void show(struct session *s)
{
    char text[320];
    struct kv_where w;
    kv_where(s->engine, &w);
    frames_text(s, s->frame, text, sizeof text);
    fprintf(s->out, "%s\n", text);
    row(s, s->frame, text);
    if (s->frame != FRAME_STAGE) return;
    run_next_text(s, &w, text, sizeof text);
    fprintf(s->out, "%llu\t%s\n", (unsigned long long)w.tick, text);
}

static enum kv_status read_count(struct session *s, const char *args, long missing, long *out)
{
    struct value v;
    *out = missing;
    if (!*args) return KV_OK;
    enum kv_status st = expr_text(s, args, &v, &s->err);
    if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] >= -1e9 && v.number[0] <= 1e9)))
        st = kv_fail(&s->err, KV_BAD_ARG, "A number of frames must be one whole number, not %.60s.", args);
    if (!st) *out = (long)v.number[0];
    value_free(&v);
    return st;
}

struct reaction cmd_backtrace(struct session *s, const char *args)
{
    struct kv_where w;
    char text[320];
    long count;
    int there = 0, seen = 0;
    bool full = !strncmp(args, "full", 4) || !strncmp(args, "-full", 5);
    if (full) args += 4 + (*args == '-'), args += strspn(args, " \t");
    if (read_count(s, args, FRAME_COUNT, &count)) return failed(s);
    kv_where(s->engine, &w);
    for (int f = 0; f < FRAME_COUNT; f++) there += frames_there(&w, f);
    for (int f = 0; f < FRAME_COUNT; f++) {
        if (!frames_there(&w, f)) continue;
        bool shown = count >= 0 ? seen < count : seen >= there + count;
        seen++;
        if (!shown) continue;
        frames_text(s, f, text, sizeof text);
        fprintf(s->out, "%s\n", text);
        row(s, f, text);
        if (full) info_frame_locals(s, f, "        ");
    }
    if (count >= 0 && count < there && s->terminal) fprintf(s->out, "(More stack frames follow...)\n");
    return DONE;
}

struct reaction cmd_frame(struct session *s, const char *args)
{
    struct kv_where w;
    long frame;
    kv_where(s->engine, &w);
    if (!strncmp(args, "level ", 6)) args += 6;
    for (int f = 0; f < FRAME_COUNT; f++) {
        if (strcmp(args, names[f])) continue;
        if (!frames_there(&w, f)) return refuse(s, KV_NOT_NOW, "There is no %s frame here.", names[f]);
        s->frame = f;
        show(s);
        return CHANGED;
    }
    if (read_count(s, args, frames_selected(s), &frame)) return failed(s);
    if (!frames_there(&w, frame < FRAME_COUNT ? (int)frame : -1))
        return refuse(s, KV_NOT_FOUND, "No frame at level %ld.", frame);
    s->frame = (int)frame;
    show(s);
    return CHANGED;
}

/* Moves as far as it goes; not at all is an error. */
static struct reaction walk(struct session *s, const char *args, int direction)
{
    struct kv_where w;
    long count;
    if (read_count(s, args, 1, &count)) return failed(s);
    kv_where(s->engine, &w);
    int frame = frames_selected(s), first = innermost(&w);
    if (count < 0) direction = -direction, count = -count;
    bool edge = frame == (direction > 0 ? FRAME_REQUEST : first);
    if (count && edge)
        return refuse(s, KV_NOT_FOUND,
            direction > 0 ? "Initial frame selected; you cannot go up."
                          : "Bottom (innermost) frame selected; you cannot go down.");
    for (; count > 0; count--) {
        int next = frame + direction;
        while (next > first && next < FRAME_REQUEST && !frames_there(&w, next)) next += direction;
        if (!frames_there(&w, next)) break;
        frame = next;
    }
    s->frame = frame;
    show(s);
    return CHANGED;
}

struct reaction cmd_up(struct session *s, const char *args) { return walk(s, args, 1); }
struct reaction cmd_down(struct session *s, const char *args) { return walk(s, args, -1); }

struct reaction cmd_info_frame(struct session *s, const char *args)
{
    struct kv_where w;
    char where[64], text[320];
    (void)args;
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    int frame = frames_selected(s), outer = frame + 1;
    frames_text(s, frame, text, sizeof text);
    row(s, frame, text);
    fprintf(s->out, "Stack level %d, %s at %s:\n %s\n", frame, names[frame], where, text + strlen("#0  "));
    fprintf(s->out, " tick %llu of branch %d\n", (unsigned long long)w.tick, w.branch);
    while (outer < FRAME_COUNT && !frames_there(&w, outer)) outer++;
    if (outer < FRAME_COUNT) fprintf(s->out, " called by frame at level %d, the %s\n", outer, names[outer]);
    fprintf(s->out, " focus: layer %d, head %d, token %d\n", s->layer, s->head, s->token);
    return DONE;
}
