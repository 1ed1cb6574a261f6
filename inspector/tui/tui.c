/* Windows, focus, drawing. Keys are in tui_keys.c, the commands of the screen in commands.c. */
#include "inspector/tui/tui.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/tui/state.h"
#include "render/utf8.h"

#define PROGRESS_US 5e4 /* between two pictures of the progress bar */

const struct view_ops *const view_all[] = { &view_heat, &view_attn, &view_budget, &view_tokens, &view_kept,
    &view_stages, &view_diff, &view_sensitivity, &view_command, &view_setup, NULL };

/* --- windows ------------------------------------------------------------------------------------------------------ */

struct tui_window *tui_window_named(struct tui *t, const char *name)
{
    for (int i = 0; i < t->n_window; i++)
        if (!strcmp(t->window[i].ops->name, name)) return &t->window[i];
    return NULL;
}

static struct tui_window *window_of(const struct tui *t, const void *self)
{
    for (int i = 0; i < t->n_window; i++)
        if (t->window[i].self == self) return (struct tui_window *)&t->window[i];
    return NULL;
}

struct pane tui_pane(const struct tui *t, const void *self) { return window_of(t, self)->pane; }

static bool known(const char *view)
{
    for (int i = 0; view_all[i]; i++)
        if (!strcmp(view_all[i]->name, view)) return true;
    return false;
}

static void least(const char *view, int *rows, int *cols)
{
    for (int i = 0; view_all[i]; i++)
        if (!strcmp(view_all[i]->name, view)) *rows = view_all[i]->min_rows + 1, *cols = view_all[i]->min_cols;
}

/* --- layouts ------------------------------------------------------------------------------------------------------ */

/* Below this the screen is a line of state and the prompt. */
static bool tiny(const struct tui *t) { return t->screen.rows < 10 || t->screen.cols < 40; }

/* The window that a layout is about is its first. */
static void focus_first(struct tui *t)
{
    const struct layout *l = &t->layouts[t->layout];
    for (int i = 0; i < l->count; i++) {
        const struct layout_node *n = &l->node[i];
        if (!*n->view || !n->shown) continue;
        t->focus = (int)(tui_window_named(t, n->view) - t->window);
        return;
    }
}

/* A window that is not shown cannot have the focus; it gets it back when it is. */
static void keep_focus(struct tui *t)
{
    if (t->wide_focus >= 0 && t->window[t->wide_focus].pane.rows > 0) {
        t->focus = t->wide_focus;
        t->wide_focus = -1;
    }
    if (t->grab >= 0 && t->window[t->grab].pane.rows <= 0) t->grab = -1;
    if (t->window[t->focus].pane.rows > 0) return;
    if (t->wide_focus < 0) t->wide_focus = t->focus;
    focus_first(t);
    for (int i = 0; t->window[t->focus].pane.rows <= 0 && i < t->n_window; i++)
        if (t->window[i].pane.rows > 0) t->focus = i;
}

static void place(struct tui *t)
{
    struct layout *l = &t->layouts[t->layout];
    for (int i = 0; i < t->n_window; i++) t->window[i].pane = (struct pane){ .screen = &t->screen };
    int rows = t->screen.rows - 2, cols = t->screen.cols;
    if (tiny(t)) {
        int bar = t->screen.rows > 1;
        tui_window_named(t, "command")->pane = (struct pane){ &t->screen, bar, 0, t->screen.rows - bar, cols };
    } else if (t->zoomed >= 0) {
        t->window[t->zoomed].pane = (struct pane){ &t->screen, 2, 0, rows - 1, cols };
    } else {
        layout_place(l, 1, 0, rows, cols, least);
        for (int i = 0; i < l->count; i++) {
            const struct layout_node *n = &l->node[i];
            struct tui_window *w = n->shown && *n->view ? tui_window_named(t, n->view) : NULL;
            bool edge = n->left + n->cols >= cols; /* else a column divides it from its neighbor */
            if (w) w->pane = (struct pane){ &t->screen, n->top + 1, n->left, n->rows - 1, n->cols - !edge };
        }
    }
    keep_focus(t);
}

/* Begins what windows want of the engine; true when one does. */
static bool begin_work(struct tui *t)
{
    for (int i = 0; i < t->n_window; i++) {
        const struct tui_window *w = &t->window[i];
        if (w->pane.rows > 0 && w->ops->work && w->ops->work->wants(w->self))
            return worker_call(&t->worker, w->ops->work->compute, w->self);
    }
    return false;
}

/* What windows show is taken anew, and what they want of the engine is begun. */
static void update_shown(struct tui *t)
{
    for (int i = 0; i < t->n_window; i++)
        if (t->window[i].pane.rows > 0) t->window[i].ops->update(t->window[i].self, t->s);
    begin_work(t);
}

/* After an edit and all that was queued behind it: its effect. */
static void follow_edit(struct tui *t)
{
    struct kv_where w;
    t->edited = false;
    if (t->s->err.code) tui_say(t, "%.250s", t->s->err.text); /* the command window may be covered */
    if (t->s->err.code || !kv_started(t->s->engine)) return;
    kv_where(t->s->engine, &w);
    if (w.phase < KV_PHASE_compress) return;
    tui_run(t, "recompress");
    tui_run(t, "advance decode");
    tui_run(t, "diff steps 16");
}

bool tui_layout(struct tui *t, const char *name)
{
    for (int i = 0; i < t->n_layouts; i++) {
        if (strcmp(t->layouts[i].name, name)) continue;
        t->layout = i;
        t->zoomed = t->wide_focus = -1;
        place(t);
        if (!tiny(t)) focus_first(t);
        if (worker_idle(&t->worker)) update_shown(t);
        t->dirty = true;
        return true;
    }
    return false;
}

void tui_zoom(struct tui *t)
{
    t->zoomed = t->zoomed < 0 ? t->focus : -1;
    place(t);
    t->dirty = true;
}

void tui_form(struct tui *t)
{
    int form = (int)(tui_window_named(t, "setup") - t->window);
    bool shown = t->zoomed == form;
    if (!shown) t->before_form = t->focus;
    t->zoomed = shown ? -1 : form;
    t->grab = t->wide_focus = -1;
    t->focus = shown && t->before_form >= 0 ? t->before_form : form;
    place(t);
    if (worker_idle(&t->worker)) update_shown(t);
    t->dirty = true;
}

void tui_focus_next(struct tui *t, int by)
{
    for (int i = 0; i < t->n_window; i++) {
        t->focus = (t->focus + by + t->n_window) % t->n_window;
        if (t->window[t->focus].pane.rows > 0) break;
    }
    t->dirty = true;
}

void tui_resize(struct tui *t, int rows, int cols)
{
    struct kv_error ignored;
    pthread_mutex_lock(&t->shape);
    if (rows > 0 && cols > 0 && !screen_resize(&t->screen, rows, cols, &ignored)) {
        place(t);
        if (worker_idle(&t->worker)) update_shown(t);
        t->dirty = true;
    }
    pthread_mutex_unlock(&t->shape);
}

/* --- what views may do -------------------------------------------------------------------------------------------- */

static void run_args(struct tui *t, const char *fmt, va_list args)
{
    char line[1100];
    vsnprintf(line, sizeof line, fmt, args);
    command_echo(t, line, false);
    if (!worker_submit(&t->worker, line)) tui_say(t, "Too many commands wait; Ctrl-C drops them.");
    t->dirty = true;
}

void tui_run(struct tui *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    run_args(t, fmt, args);
    va_end(args);
}

void tui_edit(struct tui *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    run_args(t, fmt, args);
    va_end(args);
    t->edited = true;
}

void tui_grab(struct tui *t, void *self, bool on)
{
    t->grab = on ? (int)(window_of(t, self) - t->window) : -1;
    t->dirty = true;
}

void tui_changed(struct tui *t)
{
    if (worker_idle(&t->worker)) update_shown(t);
    t->dirty = true;
}

struct session *tui_session(struct tui *t) { return worker_idle(&t->worker) ? t->s : NULL; }

bool tui_focus(struct tui *t, int layer, int head, int token)
{
    struct session *s = tui_session(t);
    char line[96] = "kv";
    size_t at = 2;
    if (!s) { /* the engine is at work: when it is done */
        t->later = true;
        if (layer >= 0) t->later_layer = layer;
        if (head >= 0) t->later_head = head;
        if (token >= 0) t->later_token = token;
        return false;
    }
    if (layer >= 0) at += (size_t)snprintf(line + at, sizeof line - at, " layer %d", s->layer = layer);
    if (head >= 0) at += (size_t)snprintf(line + at, sizeof line - at, " head %d", s->head = head);
    if (token >= 0) {
        snprintf(line + at, sizeof line - at, " token %d", s->token = token);
        s->list_next = -1;
    }
    command_echo(t, line, true);
    update_shown(t);
    t->dirty = true;
    return true;
}

/* Moves that were asked for while the engine was at work. */
static void move_later(struct tui *t)
{
    int layer = t->later_layer, head = t->later_head, token = t->later_token;
    if (!t->later) return;
    t->later = false;
    t->later_layer = t->later_head = t->later_token = -1;
    tui_focus(t, layer, head, token);
}

void tui_say(struct tui *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->say, sizeof t->say, fmt, args);
    va_end(args);
    t->dirty = true;
}

/* --- drawing ------------------------------------------------------------------------------------------------------ */

static void take_bar(struct tui *t)
{
    struct session *s = t->s;
    struct kv_where w;
    struct kv_memory m;
    struct kv_error ignored;
    char where[64] = "no request", preset[40] = "", ratio[32] = "", resident[32], active[32];
    kv_get(s->engine, "policy.preset", preset, sizeof preset, &ignored);
    kv_get(s->engine, "policy.ratio", ratio, sizeof ratio, &ignored);
    kv_memory(s->engine, &m);
    unsigned long long tick = 0;
    if (kv_started(s->engine)) {
        kv_where(s->engine, &w);
        location_where(&w, where, sizeof where);
        tick = w.tick;
    }
    int n = 0;
    memset(t->bar, 0, sizeof t->bar);
    snprintf(t->bar[n++], sizeof *t->bar, "%s, tick %llu", where, tick);
    snprintf(t->bar[n++], sizeof *t->bar, "policy %s %s", preset, ratio);
    if (s->facts.synthetic) snprintf(t->bar[n++], sizeof *t->bar, "synthetic");
    snprintf(t->bar[n++], sizeof *t->bar, "KV %s -> %s", line_bytes((double)m.resident, resident),
        line_bytes((double)m.active, active));
    snprintf(t->bar[n++], sizeof *t->bar, "%.100s", s->prompt_name ? s->prompt_name : "no prompt");
    snprintf(t->bar[n++], sizeof *t->bar, "kvdbg %.100s", s->facts.name);
}

/* As many of its parts as fit, in their order; the first in any case. */
static void draw_bar(struct tui *t, const struct pane *all)
{
    int col = 1;
    pane_fill(all, 0, 0, all->cols, COLOR_TEXT, SCREEN_REVERSE, ' ');
    for (int i = 0; i < TUI_BAR && *t->bar[i]; i++) {
        int width = (int)utf8_width(t->bar[i]) + (i ? 5 : 0);
        if (i && col + width > all->cols) continue;
        col = pane_printf(all, 0, col, COLOR_TEXT, SCREEN_REVERSE, "%s%s", i ? "  |  " : "", t->bar[i]);
    }
}

static void draw_window(struct tui *t, int i)
{
    const struct tui_window *w = &t->window[i];
    struct view_look look = t->look;
    char more[160] = "";
    if (w->pane.rows <= 0) return;
    if (tiny(t)) { /* no room for titles */
        w->ops->draw(w->self, &w->pane, &look);
        return;
    }
    bool focused = look.focused = i == t->focus;
    struct pane head = { &t->screen, w->pane.top - 1, w->pane.left, 1, w->pane.cols };
    pane_fill(&head, 0, 0, head.cols, focused ? COLOR_TEXT : COLOR_AXIS,
        focused ? SCREEN_REVERSE : SCREEN_UNDERLINE, ' ');
    unsigned attr = focused ? SCREEN_REVERSE | SCREEN_BOLD : SCREEN_UNDERLINE;
    if (w->ops->title) w->ops->title(w->self, more, sizeof more);
    pane_phrase(
        &head, 0, 1, focused ? COLOR_TEXT : COLOR_MUTED, attr, "%s%s%s", w->ops->name, *more ? "  " : "", more);
    if (w->pane.left + w->pane.cols < t->screen.cols)
        for (int r = -1; r < w->pane.rows; r++) {
            struct pane all = pane_all(&t->screen);
            pane_text(
                &all, w->pane.top + r, w->pane.left + w->pane.cols, COLOR_AXIS, 0, look.ascii ? "|" : "\u2502");
        }
    w->ops->draw(w->self, &w->pane, &look);
}

static void draw_bottom(struct tui *t, const struct pane *all)
{
    char what[96];
    double done, total;
    int row = all->rows - 1;
    pane_fill(all, row, 0, all->cols, COLOR_TEXT, SCREEN_REVERSE, ' ');
    if (worker_progress(&t->worker, what, sizeof what, &done, &total)) {
        t->progress = done;
        int width = all->cols / 3, filled = total > 0 ? (int)(width * done / total) : 0;
        int col = pane_printf(all, row, 1, COLOR_TEXT, SCREEN_REVERSE, "%s %.0f of %.0f ", what, done, total);
        pane_fill(all, row, col, filled, COLOR_TEXT, 0, '=');
        pane_text(all, row, col + width + 1, COLOR_TEXT, SCREEN_REVERSE, "C-c stops");
    } else if (t->say[0]) {
        pane_text(all, row, 1, COLOR_TEXT, SCREEN_REVERSE, t->say);
    } else {
        static const char *const keys[] = { "F1 Help", "F2 Setup", "F3 Search", "F4 Filter", "F5 Layout",
            "F6 Metric", "F10 Quit", "C-x s SingleKey", "C-x o Window", "C-x 1 Zoom" };
        int col = pane_text(all, row, 1, COLOR_TEXT, SCREEN_REVERSE,
            t->chord    ? "C-x ...  "
            : t->single ? "(SingleKey)  "
                        : "");
        for (size_t i = 0; i < KV_COUNT(keys); i++)
            if (col + (int)strlen(keys[i]) < all->cols)
                col = pane_printf(all, row, col, COLOR_TEXT, SCREEN_REVERSE, "%s  ", keys[i]);
    }
}

/* A key and what it does, broken at blanks; returns the row behind it. */
static int draw_key(const struct pane *p, int row, const struct view_key *k)
{
    int left = p->cols >= 60 ? 27 : 16, room = p->cols - left - 1;
    const char *text = k->help;
    pane_text(p, row, 1, COLOR_TEXT, SCREEN_BOLD, k->keys);
    if ((int)strlen(k->keys) + 2 > left) row++;
    if (room < 2) return row + 1; /* a screen of a few columns */
    do {
        int n = (int)strlen(text);
        if (n > room)
            for (n = room; n > 1 && text[n] != ' ';) n--;
        pane_printf(p, row++, left, COLOR_TEXT, 0, "%.*s", n, text);
        text += n + (text[n] == ' ');
    } while (*text);
    return row;
}

static void draw_help(struct tui *t, const struct pane *all)
{
    const struct view_ops *ops = t->window[t->focus].ops;
    bool wide = all->cols > 100;
    struct pane p = pane_part(all, 1, wide ? 4 : 0, all->rows - 2, wide ? all->cols - 8 : all->cols);
    struct pane list = pane_part(&p, 0, 0, p.rows - 1, p.cols);
    for (int r = 0; r < p.rows; r++) pane_fill(&p, r, 0, p.cols, COLOR_TEXT, 0, ' ');
    pane_printf(&list, 0, 1, COLOR_TEXT, SCREEN_BOLD, "%s: %s", ops->name, ops->help);
    int row = 2;
    for (const struct view_key *k = ops->keys; k && k->keys; k++) row = draw_key(&list, row, k);
    row++;
    for (const struct view_key *k = tui_keys; k->keys && row < list.rows; k++) row = draw_key(&list, row, k);
    pane_text(&p, p.rows - 1, 1, COLOR_MUTED, 0, "Any key goes back.");
}

static void draw_all(struct tui *t)
{
    struct pane all = pane_all(&t->screen);
    screen_clear(&t->screen);
    if (all.rows > 1) draw_bar(t, &all);
    for (int i = 0; i < t->n_window; i++) draw_window(t, i);
    if (!tiny(t)) draw_bottom(t, &all);
    if (t->help) draw_help(t, &all);
    t->shown_us = kv_now_us();
    t->dirty = false;
}

/* Windows learn their size when they are drawn, and may want something then. */
void tui_draw(struct tui *t)
{
    draw_all(t);
    pthread_mutex_lock(&t->shape);
    bool again = worker_idle(&t->worker) && begin_work(t) && !t->worker.threaded;
    if (again) update_shown(t);
    pthread_mutex_unlock(&t->shape);
    if (again) draw_all(t);
}

/* Work is shown as it goes on, but not more often than eyes can follow. */
static void see_progress(struct tui *t)
{
    char what[96];
    double done, total;
    if (!worker_progress(&t->worker, what, sizeof what, &done, &total)) return;
    if (done != t->progress && kv_now_us() - t->shown_us > PROGRESS_US) t->dirty = true;
}

void tui_refresh(struct tui *t)
{
    char question[512], *text;
    see_progress(t);
    while ((text = worker_take_log(&t->worker))) {
        command_log(t, text);
        free(text);
        t->dirty = true;
    }
    if (worker_question(&t->worker, question, sizeof question)) {
        command_ask(t, question);
        t->dirty = true;
    }
    if (worker_idle(&t->worker) && t->seen != worker_done(&t->worker)) {
        t->seen = worker_done(&t->worker);
        pthread_mutex_lock(&t->shape);
        tui_wishes(t);
        pthread_mutex_unlock(&t->shape);
        move_later(t);
        take_bar(t);
        update_shown(t);
        t->leaving = t->leaving || t->s->leaving;
        if (t->edited && !t->leaving) follow_edit(t);
        t->dirty = true;
    }
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

enum kv_status tui_open(struct tui *t, struct session *s, bool threaded, struct kv_error *err)
{
    *t = (struct tui){ .s = s,
        .zoomed = -1,
        .later_layer = -1,
        .later_head = -1,
        .later_token = -1,
        .wide_focus = -1,
        .grab = -1,
        .before_form = -1,
        .look = { .map = &color_maps[0], .color = true } };
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&t->shape, &recursive);
    pthread_mutexattr_destroy(&recursive);
    enum kv_status st = screen_resize(&t->screen, 24, 80, err);
    for (int i = 0; !st && view_all[i]; i++) {
        struct tui_window *w = &t->window[t->n_window++];
        *w = (struct tui_window){ .ops = view_all[i], .self = kv_alloc(1, view_all[i]->size) };
        if (!w->self) st = kv_fail(err, KV_NO_MEMORY, "No memory for the window %s.", w->ops->name);
    }
    for (const struct layout_row *row = layout_rows; !st && row->name; row++)
        st = layout_parse(&t->layouts[t->n_layouts++], row->name, row->text, known, err);
    if (!st) st = worker_open(&t->worker, s, threaded, err);
    if (st) return st;
    s->tui = t;
    take_bar(t);
    tui_layout(t, layout_rows[0].name);
    return KV_OK;
}

void tui_close(struct tui *t)
{
    t->s->tui = NULL;
    worker_close(&t->worker);
    for (int i = 0; i < t->n_window; i++) {
        if (t->window[i].self) t->window[i].ops->close(t->window[i].self);
        free(t->window[i].self);
    }
    screen_free(&t->screen);
    pthread_mutex_destroy(&t->shape);
}
