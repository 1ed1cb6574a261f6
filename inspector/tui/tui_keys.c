/* What keys do, whatever window is focused: GDB's chords and SingleKey mode, htop's function keys. */
#include <string.h>
#include <unistd.h>

#include "inspector/lab/board.h"
#include "inspector/tui/state.h"

static const struct {
    char key;
    const char *command;
} single_keys[] = {
    { 'c', "continue" },
    { 'C', "reverse-continue" },
    { 'd', "down" },
    { 'f', "finish" },
    { 'F', "reverse-finish" },
    { 'n', "next" },
    { 'N', "reverse-next" },
    { 'o', "nexti" },
    { 'O', "reverse-nexti" },
    { 'r', "run" },
    { 's', "step" },
    { 'S', "reverse-step" },
    { 'i', "stepi" },
    { 'I', "reverse-stepi" },
    { 'u', "up" },
    { 'v', "info locals" },
    { 'w', "where" },
    { 'b', "break" },
    { 'k', "checkpoint" },
    { 'z', "policy undo" },
    { 'e', "" }, /* by the focused window: export_key */
    { 'y', "" },
    { 'g', "" },
    { '[', "" },
    { ']', "" },
    { '{', "" },
    { '}', "" },
};

const struct view_key tui_keys[] = {
    { "C-x o, Tab", "The next window (Tab where nothing is typed)" },
    { "C-x 1, C-x 2", "The focused window alone, or back; the next layout" },
    { "C-x s", "SingleKey mode: c d f i n o r s u v w as in GDB, capitals go back in time" },
    { "", "b break here, k checkpoint, y why, e export the picture, g go to a tick, z undo an edit" },
    { "", "[ ] layer, { } head, q leaves the mode" },
    { "C-x a", "Leave the screen for the plain prompt; \"tui enable\" comes back" },
    { "C-c", "Stop what runs at the next stage, or drop the line" },
    { "C-l", "Draw again" },
    { "F1, ?", "This help (? in SingleKey mode)" },
    { "F2", "Settings of the policy in a form, or back" },
    { "F3, F4", "Search the prompt; show only what was evicted or kept" },
    { "F5", "The next layout" },
    { "F6", "The next number in heat or sensitivity" },
    { "F10", "Quit" },
    { NULL, NULL },
};

static void next_layout(struct tui *t)
{
    t->layout = (t->layout + 1) % t->n_layouts;
    char name[32];
    snprintf(name, sizeof name, "%s", t->layouts[t->layout].name);
    tui_run(t, "layout %s", name);
}

static void chord(struct tui *t, int key)
{
    t->chord = false;
    switch (key) {
    case 'o': tui_focus_next(t, 1); break;
    case '1': tui_zoom(t); break;
    case '2': next_layout(t); break;
    case 's':
    case KEY_CTRL('s'): t->single = !t->single; break;
    case 'a':
    case KEY_CTRL('a'): t->leaving = t->plain = true; break;
    default: tui_say(t, "C-x %c is no key; F1 lists them.", key > ' ' && key < 127 ? key : '?');
    }
}

/* A key of another window than the focused one, which gets the focus; where it is not shown, one says so. */
static void key_of_window(struct tui *t, const char *name, int key)
{
    struct tui_window *w = tui_window_named(t, name);
    if (w->pane.rows <= 0) {
        tui_say(t, "The window %s is not shown here; F5 goes through the layouts.", name);
        return;
    }
    t->focus = (int)(w - t->window);
    w->ops->key(w->self, t, key);
}

/* The window whose number F6 changes: the focused one of the two that have several, else the one that is shown. */
static const char *metric_window(struct tui *t)
{
    const struct tui_window *heat = tui_window_named(t, "heat"), *other = tui_window_named(t, "sensitivity");
    bool is = t->focus == (int)(other - t->window) || (heat->pane.rows <= 0 && other->pane.rows > 0);
    return is ? other->ops->name : heat->ops->name;
}

static bool function_key(struct tui *t, int key)
{
    switch (key) {
    case TUI_F1: t->help = true; return true;
    case TUI_F2: tui_form(t); return true;
    case TUI_F3:
    case TUI_F4: key_of_window(t, "tokens", key); return true;
    case TUI_F5: next_layout(t); return true;
    case TUI_F6: key_of_window(t, metric_window(t), key); return true;
    case TUI_F10: tui_run(t, "quit"); return true;
    case TUI_BACKTAB: tui_focus_next(t, -1); return true;
    case KEY_CTRL('l'): t->redraw = true; return true;
    case KEY_CTRL('x'): t->chord = true; return true;
    default: return false;
    }
}

static void interrupt(struct tui *t)
{
    if (!worker_idle(&t->worker)) {
        worker_interrupt(&t->worker);
        return;
    }
    command_key(t, KEY_CTRL('a'));
    command_key(t, KEY_CTRL('k'));
    command_log(t, "Quit\n");
}

/* The first file name that is free. */
static void free_name(const char *window, char *file, size_t size)
{
    for (int i = 1; i < 10000; i++) {
        snprintf(file, size, "kvdbg-%s-%d.png", window, i);
        if (access(file, F_OK)) break;
    }
}

/* The picture of the profile in hand. */
static void export_profile(struct tui *t, const char *file)
{
    struct board b = { 0 };
    if (board_take(&b))
        tui_run(t, "profile %s -png %s", b.path, file);
    else
        tui_say(t, "There is no profile yet.");
    board_free(&b);
}

/* Writes what the focused window shows. */
static void export_key(struct tui *t, const struct session *s)
{
    static const char *const what[][2] = { { "heat", "entropy" }, { "budget", "budget" }, { "kept", "kept" },
        { "tokens", "kept" }, { "diff", "kl" } };
    const char *name = t->window[t->focus].ops->name;
    char file[64], args[64] = "";
    for (size_t i = 0; i < KV_COUNT(what); i++)
        if (!strcmp(what[i][0], name)) snprintf(args, sizeof args, "%s", what[i][1]);
    free_name(name, file, sizeof file);
    if (!strcmp(name, "sensitivity")) {
        export_profile(t, file);
        return;
    }
    if (!strcmp(name, "attn")) snprintf(args, sizeof args, "attn layer %d head %d", s->layer, s->head);
    if (!*args) {
        tui_say(t, "The window %s has no picture.", name);
        return;
    }
    tui_run(t, "export png %s %s", file, args);
}

static void move_focus(struct tui *t, const struct session *s, int key)
{
    int layer = s->layer + (key == ']') - (key == '['), head = s->head + (key == '}') - (key == '{');
    if (layer >= 0 && layer < s->facts.n_layer && head >= 0 && head < s->facts.n_head)
        tui_focus(t, layer, head, -1);
}

static void special(struct tui *t, int key)
{
    const struct session *s = tui_session(t);
    if (key == 'g') {
        command_put(t, "advance *");
        t->once = true;
    } else if (!s) {
        tui_say(t, "A command runs; C-c stops it.");
    } else if (key == 'e') {
        export_key(t, s);
    } else if (key == 'y') {
        tui_run(t, "why @%d layer %d", s->token, s->layer);
    } else {
        move_focus(t, s, key);
    }
}

/* SingleKey mode; false = the key opens the prompt for one command. */
static bool single(struct tui *t, int key)
{
    struct tui_window *w = &t->window[t->focus];
    if (w->ops->key(w->self, t, key)) return true;
    if (key == 'q') {
        t->single = false;
        return true;
    }
    if (key == '?') {
        t->help = true;
        return true;
    }
    for (size_t i = 0; i < KV_COUNT(single_keys); i++) {
        if (single_keys[i].key != key) continue;
        if (*single_keys[i].command)
            tui_run(t, "%s", single_keys[i].command);
        else
            special(t, key);
        return true;
    }
    return false;
}

/* The wheel is the window's under it, whichever has the focus. */
static void click(struct tui *t, int key)
{
    for (int i = 0; i < t->n_window; i++) {
        struct tui_window *w = &t->window[i];
        int row = t->click_row - w->pane.top, col = t->click_col - w->pane.left;
        if (w->pane.rows <= 0 || row < -1 || row >= w->pane.rows || col < 0 || col >= w->pane.cols) continue;
        if (key != TUI_MOUSE) {
            bool own = w->ops->key(w->self, t, key);
            for (int n = 0; !own && n < 3; n++) w->ops->key(w->self, t, key == TUI_WHEEL_UP ? TUI_UP : TUI_DOWN);
            return;
        }
        t->focus = i;
        if (row >= 0 && w->ops->click) w->ops->click(w->self, t, row, col);
    }
}

static void press(struct tui *t, int key)
{
    struct tui_window *w = &t->window[t->focus];
    char question[8];
    t->dirty = true;
    t->say[0] = '\0';
    if (t->help) {
        t->help = false;
        return;
    }
    if (key == KEY_CTRL('c')) {
        interrupt(t);
        return;
    }
    if (worker_question(&t->worker, question, sizeof question)) {
        command_key(t, key);
        return;
    }
    if (t->chord) {
        chord(t, key);
        return;
    }
    if (key == TUI_MOUSE || key == TUI_WHEEL_UP || key == TUI_WHEEL_DOWN) {
        click(t, key);
        return;
    }
    if (t->grab >= 0) {
        const struct tui_window *grab = &t->window[t->grab];
        if (grab->ops->key(grab->self, t, key)) return;
        t->grab = -1;
    }
    if (key == TUI_ESCAPE && t->zoomed >= 0 && command_empty(t)) {
        if (!strcmp(w->ops->name, "setup"))
            tui_form(t);
        else
            tui_zoom(t);
        return;
    }
    if (function_key(t, key)) return;
    bool letter = key >= ' ' && key < TUI_KEY_FIRST && key != TUI_BACKSPACE;
    if (t->single && !t->once && letter) {
        if (single(t, key)) return;
        t->once = true;
    }
    if (key == TUI_TAB && command_empty(t)) {
        tui_focus_next(t, 1);
        return;
    }
    /* Signs begin no command, so that a window may have them where nothing is typed; letters go to the prompt. */
    bool sign = letter && key < 128 && strchr("+-=*/\\[]{}<>0", key) && command_empty(t);
    if ((!letter || sign) && (key != TUI_ENTER || command_empty(t)) && w->ops->key(w->self, t, key)) return;
    if (key == TUI_ENTER) t->once = false;
    if (key == KEY_CTRL('d') && command_empty(t)) {
        tui_run(t, "quit");
        return;
    }
    command_key(t, key);
}

void tui_key_press(struct tui *t, int key)
{
    pthread_mutex_lock(&t->shape);
    press(t, key);
    pthread_mutex_unlock(&t->shape);
}
