/* The form of F2: settings of the policy, each change a set command. */
#include <stdlib.h>
#include <string.h>

#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"
#include "render/utf8.h"

#define ROWS 64

struct setup_row {
    char name[40], value[64], legal[400], help[160];
};

struct setup_view {
    struct setup_row row[ROWS];
    int n, at, top;
    bool editing;
    char text[64]; /* being typed */
};

static void update(void *self, struct session *s)
{
    struct setup_view *v = self;
    struct kv_error ignored;
    v->n = 0;
    for (int i = 0; v->n < ROWS; i++) {
        const struct kv_setting *setting = kv_setting_at(i);
        if (!setting) break;
        if (strncmp(setting->name, "policy.", 7)) continue;
        struct setup_row *row = &v->row[v->n++];
        snprintf(row->name, sizeof row->name, "%s", setting->name);
        snprintf(row->legal, sizeof row->legal, "%s", setting->legal);
        snprintf(row->help, sizeof row->help, "%s", setting->help);
        if (kv_get(s->engine, row->name, row->value, sizeof row->value, &ignored)) row->value[0] = '\0';
    }
    if (v->at >= v->n) v->at = 0;
}

static void title(const void *self, char *text, size_t size)
{
    const struct setup_view *v = self;
    snprintf(text, size, v->editing ? "Enter sets it, Escape leaves it" : "Enter edits a value, F2 goes back");
}

/* The text from `row` on, broken at blanks; returns how many rows it takes. With p NULL it is only measured. */
static int wrapped(const struct pane *p, int cols, int row, enum color_role role, const char *text)
{
    int count = 0, room = cols > 12 ? cols - 2 : 10;
    while (*text) {
        int n = (int)strlen(text);
        if (n > room)
            for (n = room; n > 1 && text[n] != ' ';) n--;
        if (p) pane_printf(p, row + count, 1, role, 0, "%.*s", n, text);
        text += n + (text[n] == ' ');
        count++;
    }
    return count;
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct setup_view *v = self;
    int help = v->n ? wrapped(NULL, p->cols, 0, COLOR_TEXT, v->row[v->at].help) : 0;
    int legal = v->n ? wrapped(NULL, p->cols, 0, COLOR_MUTED, v->row[v->at].legal) : 0;
    int rows = p->rows - help - legal;
    if (rows < 1) rows = 1;
    (void)look;
    if (v->at < v->top) v->top = v->at;
    if (v->at >= v->top + rows) v->top = v->at - rows + 1;
    for (int i = 0; i < rows && v->top + i < v->n; i++) {
        const struct setup_row *row = &v->row[v->top + i];
        bool here = v->top + i == v->at;
        pane_printf(p, i, 1, here ? COLOR_TEXT : COLOR_MUTED, here ? SCREEN_BOLD : 0, "%-20s", row->name);
        int end = pane_text(p, i, 22, COLOR_TEXT, 0, here && v->editing ? v->text : row->value);
        if (here && v->editing)
            pane_cursor(p, i, end);
        else if (here)
            pane_reverse(p, i, 22, end > 22 ? end - 22 : 1);
    }
    if (!v->n) return;
    wrapped(p, p->cols, rows, COLOR_TEXT, v->row[v->at].help);
    wrapped(p, p->cols, rows + help, COLOR_MUTED, v->row[v->at].legal);
}

static bool edit(struct setup_view *v, struct tui *t, int k)
{
    size_t n = strlen(v->text);
    if (k == TUI_ENTER) {
        v->editing = false;
        tui_grab(t, v, false);
        if (strcmp(v->text, v->row[v->at].value)) tui_edit(t, "set %s %s", v->row[v->at].name, v->text);
    } else if (k == TUI_ESCAPE) {
        v->editing = false;
        tui_grab(t, v, false);
    } else if (k == TUI_BACKSPACE || k == KEY_CTRL('h')) {
        if (n) v->text[n - 1] = '\0';
    } else if (k == KEY_CTRL('u')) {
        v->text[0] = '\0';
    } else if (k > ' ' && k < 127 && n + 1 < sizeof v->text) {
        v->text[n] = (char)k;
        v->text[n + 1] = '\0';
    }
    return true;
}

static bool key(void *self, struct tui *t, int k)
{
    struct setup_view *v = self;
    int page = tui_pane(t, v).rows - 3;
    if (v->editing) return edit(v, t, k);
    switch (k) {
    case TUI_UP: v->at--; break;
    case TUI_DOWN: v->at++; break;
    case TUI_PAGE_UP: v->at -= page; break;
    case TUI_PAGE_DOWN: v->at += page; break;
    case TUI_HOME: v->at = 0; break;
    case TUI_END: v->at = v->n - 1; break;
    case TUI_ENTER:
        if (!v->n) return true;
        v->editing = true;
        memcpy(v->text, v->row[v->at].value, sizeof v->text);
        tui_grab(t, v, true);
        return true;
    default: return false;
    }
    v->at = v->at < 0 || !v->n ? 0 : v->at >= v->n ? v->n - 1 : v->at;
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct setup_view *v = self;
    (void)t;
    (void)col;
    if (!v->editing && v->top + row < v->n) v->at = v->top + row;
}

static void close_view(void *self) { (void)self; }

static const struct view_key keys[] = {
    { "Up Down PageUp PageDown", "Move over the settings" },
    { "Enter", "Edit the value; Enter again sets it, Escape leaves it as it was" },
    { "F2", "Back to the layout" },
    { NULL, NULL },
};

const struct view_ops view_setup = { "setup", "Settings of the policy; what is set takes effect at once",
    sizeof(struct setup_view), 4, 36, keys, update, title, draw, key, click, NULL, close_view };
