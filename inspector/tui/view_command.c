/* The command window: what was said, and a line to type. */
#include <stdlib.h>
#include <string.h>

#include "inspector/language/complete.h"
#include "inspector/tui/state.h"
#include "render/utf8.h"

#define PROMPT  "(kvdbg) "
#define LINES   4000 /* kept to scroll back through */
#define HISTORY 500

struct command_view {
    char *line[LINES]; /* ring; the newest is at (n - 1) mod LINES */
    size_t n;
    bool open;        /* the newest line has no newline yet */
    int scrolled;     /* lines up from the newest */
    size_t move_echo; /* number of the line that echoes a move of the focus; 0 = the newest is none */

    char text[1024]; /* being typed, UTF-8 */
    size_t length, at;
    char *history[HISTORY];
    size_t n_history, recalled; /* recalled = steps back, 0 = the line itself */
    char kept[1024];            /* the line while others are recalled */
    char question[512];         /* asked instead of the prompt; "" = none */
};

static struct command_view *view_of(struct tui *t) { return tui_window_named(t, "command")->self; }

/* --- output ------------------------------------------------------------------------------------------------------ */

static void add_line(struct command_view *v, const char *text, size_t n)
{
    if (v->open && v->n) {
        char **last = &v->line[(v->n - 1) % LINES];
        size_t old = *last ? strlen(*last) : 0;
        char *grown = realloc(*last, old + n + 1);
        if (!grown) return;
        memcpy(grown + old, text, n);
        grown[old + n] = '\0';
        *last = grown;
        return;
    }
    char **slot = &v->line[v->n % LINES];
    free(*slot);
    *slot = strndup(text, n);
    v->n++;
    v->move_echo = 0;
}

/* A piece of a line, tabs made blanks. */
static void add_piece(struct command_view *v, const char *text, size_t n)
{
    char wide[2048];
    size_t at = 0;
    for (size_t i = 0; i < n && at + 8 < sizeof wide; i++) {
        if (text[i] != '\t') {
            wide[at++] = text[i];
            continue;
        }
        do wide[at++] = ' ';
        while (at % 8);
    }
    add_line(v, wide, at);
}

void command_log(struct tui *t, const char *text)
{
    struct command_view *v = view_of(t);
    while (*text) {
        size_t n = strcspn(text, "\n");
        add_piece(v, text, n);
        v->open = text[n] != '\n';
        text += n + !v->open;
    }
}

void command_echo(struct tui *t, const char *line, bool move)
{
    struct command_view *v = view_of(t);
    char text[1100];
    if (v->open) command_log(t, "\n");
    if (move && v->move_echo && v->move_echo == v->n) v->n--; /* takes the last move's place */
    snprintf(text, sizeof text, PROMPT "%s\n", line);
    command_log(t, text);
    v->scrolled = 0;
    v->move_echo = move ? v->n : 0;
}

void command_ask(struct tui *t, const char *question)
{
    snprintf(view_of(t)->question, sizeof view_of(t)->question, "%s", question);
}

static void set_text(struct command_view *v, const char *text)
{
    snprintf(v->text, sizeof v->text, "%s", text);
    v->length = v->at = strlen(v->text);
}

void command_put(struct tui *t, const char *text) { set_text(view_of(t), text); }

bool command_empty(const struct tui *t) { return view_of((struct tui *)t)->length == 0; }

/* --- the line ---------------------------------------------------------------------------------------------------- */

static void insert(struct command_view *v, const char *bytes, size_t n)
{
    if (v->length + n + 1 > sizeof v->text) return;
    memmove(v->text + v->at + n, v->text + v->at, v->length - v->at + 1);
    memcpy(v->text + v->at, bytes, n);
    v->at += n;
    v->length += n;
}

static void erase(struct command_view *v, size_t from, size_t to)
{
    memmove(v->text + from, v->text + to, v->length - to + 1);
    v->length -= to - from;
    v->at = from;
}

static size_t step_left(const struct command_view *v, size_t at)
{
    while (at && (v->text[--at] & 0xC0) == 0x80) continue;
    return at;
}

static size_t step_right(const struct command_view *v, size_t at)
{
    if (at < v->length) at++;
    while (at < v->length && (v->text[at] & 0xC0) == 0x80) at++;
    return at;
}

static void recall(struct command_view *v, int steps)
{
    long wanted = (long)v->recalled + steps;
    if (wanted < 0 || wanted > (long)v->n_history || wanted > HISTORY) return;
    if (!v->recalled) memcpy(v->kept, v->text, sizeof v->kept);
    v->recalled = (size_t)wanted;
    set_text(v, wanted ? v->history[(v->n_history - (size_t)wanted) % HISTORY] : v->kept);
}

static void remember(struct command_view *v, const char *line)
{
    if (!line[strspn(line, " \t")]) return;
    if (v->n_history && !strcmp(v->history[(v->n_history - 1) % HISTORY], line)) return;
    char *copy = kv_strdup(line);
    if (!copy) return;
    free(v->history[v->n_history % HISTORY]);
    v->history[v->n_history++ % HISTORY] = copy;
}

struct matches {
    char common[256];
    char list[1024];
    int count;
};

static void take_match(void *ctx, const char *word)
{
    struct matches *m = ctx;
    size_t same = 0;
    while (m->common[same] && m->common[same] == word[same]) same++;
    if (!m->count++)
        snprintf(m->common, sizeof m->common, "%s", word);
    else
        m->common[same] = '\0';
    size_t at = strlen(m->list);
    snprintf(m->list + at, sizeof m->list - at, "%s%s", at ? "  " : "", word);
}

static void complete(struct tui *t, struct command_view *v)
{
    struct matches m = { 0 };
    struct session *s = tui_session(t);
    char line[sizeof v->text];
    size_t start;
    if (!s) return;
    snprintf(line, sizeof line, "%.*s", (int)v->at, v->text);
    complete_line(s, line, &start, take_match, &m);
    if (!m.count) return;
    size_t typed = v->at - start;
    if (strlen(m.common) > typed) insert(v, m.common + typed, strlen(m.common) - typed);
    if (m.count == 1)
        insert(v, " ", 1);
    else
        tui_say(t, "%s", m.list);
}

static void enter(struct tui *t, struct command_view *v)
{
    char line[sizeof v->text];
    memcpy(line, v->text, sizeof line);
    v->recalled = 0;
    set_text(v, "");
    remember(v, line);
    command_echo(t, line, false);
    if (!worker_submit(&t->worker, line)) tui_say(t, "Too many commands wait; Ctrl-C drops them.");
}

static void answer(struct tui *t, struct command_view *v, int key)
{
    if (key != 'y' && key != 'Y' && key != 'n' && key != 'N') return;
    char line[600];
    snprintf(line, sizeof line, "%s%c\n", v->question, key);
    command_log(t, line);
    v->question[0] = '\0';
    worker_answer(&t->worker, key == 'y' || key == 'Y');
}

static bool edit_key(struct command_view *v, int key)
{
    size_t from = v->at;
    switch (key) {
    case KEY_CTRL('a'): v->at = 0; return true;
    case KEY_CTRL('e'): v->at = v->length; return true;
    case KEY_CTRL('b'):
    case TUI_LEFT: v->at = step_left(v, v->at); return true;
    case KEY_CTRL('f'):
    case TUI_RIGHT: v->at = step_right(v, v->at); return true;
    case KEY_CTRL('k'): erase(v, v->at, v->length); return true;
    case KEY_CTRL('u'): erase(v, 0, v->at); return true;
    case KEY_CTRL('w'):
        while (from && v->text[from - 1] == ' ') from--;
        while (from && v->text[from - 1] != ' ') from--;
        erase(v, from, v->at);
        return true;
    case TUI_BACKSPACE:
    case KEY_CTRL('h'):
        if (v->at) erase(v, step_left(v, v->at), v->at);
        return true;
    case KEY_CTRL('d'):
    case TUI_DELETE:
        if (v->at < v->length) erase(v, v->at, step_right(v, v->at));
        return true;
    case KEY_CTRL('p'): recall(v, 1); return true;
    case KEY_CTRL('n'): recall(v, -1); return true;
    default: return false;
    }
}

static bool scroll_key(struct tui *t, struct command_view *v, int key)
{
    int page = tui_pane(t, v).rows - 1, most = (int)(v->n < LINES ? v->n : LINES);
    int by = key == TUI_PAGE_UP      ? page
             : key == TUI_PAGE_DOWN  ? -page
             : key == TUI_WHEEL_UP   ? 3
             : key == TUI_WHEEL_DOWN ? -3
                                     : 0;
    if (!by) return false;
    v->scrolled += by;
    if (v->scrolled > most - page) v->scrolled = most - page;
    if (v->scrolled < 0) v->scrolled = 0;
    return true;
}

bool command_key(struct tui *t, int key)
{
    struct command_view *v = view_of(t);
    if (v->question[0]) {
        answer(t, v, key);
        return true;
    }
    if (key == TUI_ENTER || key == '\n') {
        enter(t, v);
        return true;
    }
    if (key == TUI_TAB) {
        complete(t, v);
        return true;
    }
    if (edit_key(v, key)) return true;
    if (key < ' ' || key >= TUI_KEY_FIRST) return false;
    char bytes[4];
    insert(v, bytes, utf8_put((uint32_t)key, bytes));
    return true;
}

/* --- the window -------------------------------------------------------------------------------------------------- */

static bool window_key(void *self, struct tui *t, int key)
{
    struct command_view *v = self;
    if (scroll_key(t, v, key)) return true;
    if (key == TUI_UP || key == TUI_DOWN) {
        recall(v, key == TUI_UP ? 1 : -1);
        return true;
    }
    if (key == TUI_HOME || key == TUI_END) return edit_key(v, KEY_CTRL(key == TUI_HOME ? 'a' : 'e'));
    return false;
}

/* Rows that a line takes in a window, and the text that its row `row` begins with. */
static int wrapped(const char *text, int cols, int row, const char **start)
{
    int rows = 1, width = 0;
    *start = text;
    for (const char *p = text, *next; *p; p = next) {
        next = p;
        int w = utf8_columns(utf8_next(&next));
        if (width + w > cols) {
            if (rows++ == row) *start = p;
            width = 0;
        }
        width += w;
    }
    return rows;
}

static void draw_output(const struct command_view *v, const struct pane *p, int rows)
{
    size_t newest = v->n - (size_t)(v->scrolled < (int)v->n ? v->scrolled : (int)v->n);
    const char *start;
    int row = rows;
    for (size_t at = newest; at-- > 0 && row > 0;) {
        if (v->n > LINES && at < v->n - LINES) break;
        const char *text = v->line[at % LINES] ? v->line[at % LINES] : "";
        enum color_role role = strncmp(text, PROMPT, sizeof PROMPT - 1) ? COLOR_TEXT : COLOR_MUTED;
        for (int part = wrapped(text, p->cols, 0, &start); part-- > 0 && row > 0;) {
            wrapped(text, p->cols, part, &start);
            pane_text(p, --row, 0, role, 0, start);
        }
    }
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct command_view *v = self;
    int rows = p->rows - 1;
    (void)look;
    draw_output(v, p, rows);
    const char *prompt = v->question[0] ? v->question : PROMPT;
    const char *line = strrchr(prompt, '\n');
    int col = pane_text(p, rows, 0, COLOR_TEXT, SCREEN_BOLD, line ? line + 1 : prompt);
    /* A line longer than the window is shown around its cursor. */
    char before[sizeof v->text];
    snprintf(before, sizeof before, "%.*s", (int)v->at, v->text);
    int room = p->cols - col - 1, width = (int)utf8_width(before);
    const char *shown = v->text;
    while (width >= room && *shown) {
        const char *next = shown;
        width -= utf8_columns(utf8_next(&next));
        shown = next;
    }
    pane_text(p, rows, col, COLOR_TEXT, 0, shown);
    pane_cursor(p, rows, col + width);
}

static void title(const void *self, char *text, size_t size)
{
    const struct command_view *v = self;
    if (v->scrolled) snprintf(text, size, "%d lines up", v->scrolled);
}

static void update(void *self, struct session *s)
{
    (void)self;
    (void)s;
}

static void close_view(void *self)
{
    struct command_view *v = self;
    for (int i = 0; i < LINES; i++) free(v->line[i]);
    for (int i = 0; i < HISTORY; i++) free(v->history[i]);
}

static const struct view_key keys[] = {
    { "Enter", "Run the line; an empty one repeats the last command" },
    { "Tab", "Complete the word" },
    { "Up Down, C-p C-n", "Recall earlier lines" },
    { "PageUp PageDown", "Scroll what was said" },
    { "C-a C-e C-k C-u C-w", "Edit the line" },
    { NULL, NULL },
};

const struct view_ops view_command = { "command", "The prompt, and what commands have said",
    sizeof(struct command_view), 2, 20, keys, update, title, draw, window_key, NULL, NULL, close_view };
