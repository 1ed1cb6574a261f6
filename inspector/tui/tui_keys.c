/* What keys do, whatever window is focused: GDB's chords and SingleKey mode, htop's function keys. */
#include <string.h>

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
};

const struct view_key tui_keys[] = {
    { "C-x o, Tab", "The next window (Tab where nothing is typed)" },
    { "C-x 1, C-x 2", "The focused window alone, or back; the next layout" },
    { "C-x s", "SingleKey mode: c d f i n o r s u v w as in GDB, capitals go back in time" },
    { "", "b break here, k checkpoint, z undo an edit, q leaves the mode" },
    { "C-x a", "Leave the screen for the plain prompt; \"tui enable\" comes back" },
    { "C-c", "Stop what runs at the next stage, or drop the line" },
    { "C-l", "Draw again" },
    { "F1, ?", "This help (? in SingleKey mode)" },
    { "F5", "The next layout" },
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

static bool function_key(struct tui *t, int key)
{
    switch (key) {
    case TUI_F1: t->help = true; return true;
    case TUI_F5: next_layout(t); return true;
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
        tui_run(t, "%s", single_keys[i].command);
        return true;
    }
    return false;
}

static void click(struct tui *t)
{
    for (int i = 0; i < t->n_window; i++) {
        struct tui_window *w = &t->window[i];
        int row = t->click_row - w->pane.top, col = t->click_col - w->pane.left;
        if (w->pane.rows <= 0 || row < -1 || row >= w->pane.rows || col < 0 || col >= w->pane.cols) continue;
        t->focus = i;
        if (row >= 0 && w->ops->click) w->ops->click(w->self, t, row, col);
    }
}

void tui_key_press(struct tui *t, int key)
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
    if (key == TUI_MOUSE) {
        click(t);
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
    bool sign = letter && key < 128 && strchr("+-=*/[]{}<>0", key) && command_empty(t);
    if ((!letter || sign) && (key != TUI_ENTER || command_empty(t)) && w->ops->key(w->self, t, key)) return;
    if (key == TUI_ENTER) t->once = false;
    if (key == KEY_CTRL('d') && command_empty(t)) {
        tui_run(t, "quit");
        return;
    }
    command_key(t, key);
}
