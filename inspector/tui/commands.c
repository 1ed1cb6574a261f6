/* Commands about the screen. They run where all commands run, beside it, and leave a wish that the screen fulfills when it
 * takes the command's results. */
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/tui/state.h"
#include "inspector/tui/tui.h"

static struct reaction no_screen(struct session *s)
{
    return refuse(s, KV_NOT_NOW, "The screen is not on: start kvdbg on a terminal, without -nw and -batch.");
}

static struct reaction wish(struct session *s, const char *verb, const char *what)
{
    char *wish = s->tui->wish;
    size_t at = strlen(wish);
    if (at + strlen(verb) + strlen(what) + 3 > sizeof s->tui->wish)
        return refuse(s, KV_BAD_ARG, "Too many commands about the screen in one.");
    snprintf(wish + at, sizeof s->tui->wish - at, "%s %s\n", verb, what);
    return CHANGED;
}

/* One of the names by a unique prefix; "" = none, with the sentence. */
static const char *by_prefix(struct session *s, const char *word, const char *const *names, int n, const char *kind)
{
    const char *found = NULL;
    int matches = 0;
    for (int i = 0; i < n; i++) {
        if (!strcmp(names[i], word)) return names[i];
        if (!strncmp(names[i], word, strlen(word))) found = names[i], matches++;
    }
    if (matches == 1) return found;
    kv_fail(&s->err, matches ? KV_BAD_ARG : KV_NOT_FOUND,
        matches ? "Ambiguous %s name \"%.40s\"." : "Unrecognized %s name \"%.40s\".", kind, word);
    return NULL;
}

static struct reaction layout_command(struct session *s, const char *args)
{
    const char *names[TUI_LAYOUTS + 2];
    int n = 0;
    if (!s->tui) return no_screen(s);
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (name of a layout, next or prev).");
    for (; n < s->tui->n_layouts; n++) names[n] = s->tui->layouts[n].name;
    names[n++] = "next";
    names[n++] = "prev";
    const char *name = by_prefix(s, args, names, n, "layout");
    if (!name) return failed(s);
    if (!strcmp(name, "next") || !strcmp(name, "prev")) {
        int step = *name == 'n' ? 1 : s->tui->n_layouts - 1;
        name = s->tui->layouts[(s->tui->layout + step) % s->tui->n_layouts].name;
    }
    return wish(s, "layout", name);
}

static struct reaction focus_command(struct session *s, const char *args)
{
    const char *names[TUI_VIEWS + 3];
    int n = 0;
    if (!s->tui) return no_screen(s);
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (name of a window, next or prev).");
    for (; n < s->tui->n_window; n++) names[n] = s->tui->window[n].ops->name;
    names[n++] = "next";
    names[n++] = "prev";
    names[n++] = "cmd";
    const char *name = by_prefix(s, args, names, n, "window");
    if (!name) return failed(s);
    if (!strcmp(name, "cmd")) name = "command";
    const struct tui_window *w = tui_window_named(s->tui, name);
    if (w && w->pane.rows <= 0) return refuse(s, KV_NOT_NOW, "The window %s is not shown in this layout.", name);
    return wish(s, "focus", name);
}

static struct reaction refresh_command(struct session *s, const char *args)
{
    (void)args;
    return s->tui ? wish(s, "refresh", "") : no_screen(s);
}

static struct reaction winheight_command(struct session *s, const char *args)
{
    struct line_words words;
    if (!s->tui) return no_screen(s);
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count != 2) return refuse(s, KV_BAD_ARG, "Arguments required (name of a window, and [+|-]ROWS).");
    const struct tui_window *w = tui_window_named(s->tui, strcmp(words.word[0], "cmd") ? words.word[0] : "command");
    char *end, what[64];
    long rows = strtol(words.word[1], &end, 10);
    if (!w || w->pane.rows <= 0)
        return refuse(s, KV_NOT_FOUND, "There is no window \"%.40s\" here.", words.word[0]);
    if (*end || end == words.word[1] || rows < -1000 || rows > 1000)
        return refuse(s, KV_BAD_ARG, "A number of rows is needed, not \"%.40s\".", words.word[1]);
    if (words.word[1][0] != '+' && words.word[1][0] != '-') rows -= w->pane.rows;
    snprintf(what, sizeof what, "%s %ld", w->ops->name, rows);
    return wish(s, "winheight", what);
}

static bool known(const char *view)
{
    for (int i = 0; view_all[i]; i++)
        if (!strcmp(view_all[i]->name, view)) return true;
    return false;
}

static struct reaction tui_new_layout_command(struct session *s, const char *args)
{
    static struct layout l; /* too large for a stack that a script nests on */
    char name[32];
    size_t n = strcspn(args, " \t");
    if (!s->tui) return no_screen(s);
    if (!n || n >= sizeof name || !args[n]) return refuse(s, KV_BAD_ARG, "No layout was specified");
    snprintf(name, sizeof name, "%.*s", (int)n, args);
    if (layout_parse(&l, name, args + n, known, &s->err)) return failed(s);
    if (s->tui->n_layouts == TUI_LAYOUTS)
        return refuse(s, KV_BAD_ARG, "There are %d layouts already, which is the limit.", TUI_LAYOUTS);
    for (int i = 0; i < s->tui->n_layouts; i++)
        if (!strcmp(s->tui->layouts[i].name, name))
            return refuse(s, KV_BAD_ARG, "There is a layout called \"%s\" already.", name);
    s->tui->layouts[s->tui->n_layouts] = l; /* the screen reads up to the count, which comes after */
    s->tui->n_layouts++;
    return CHANGED;
}

static struct reaction tui_disable_command(struct session *s, const char *args)
{
    (void)args;
    return s->tui ? wish(s, "plain", "") : no_screen(s);
}

struct reaction cmd_tui_enable(struct session *s, const char *args)
{
    (void)args;
    if (s->tui) return DONE;
    if (!s->terminal) return no_screen(s);
    s->want_tui = true; /* the prompt's loop hands over to it */
    return DONE;
}

static struct reaction set_tui_color_command(struct session *s, const char *args)
{
    for (int i = 0; screen_color_name[i]; i++) {
        if (strcmp(args, screen_color_name[i])) continue;
        s->pref.color = i;
        return s->tui ? wish(s, "color", "") : DONE;
    }
    return refuse(s, KV_BAD_ARG, "set tui color takes auto, none, 8, 256 or truecolor, not \"%.40s\".", args);
}

struct reaction cmd_show_tui_color(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Colors of the screen: %s.\n", screen_color_name[s->pref.color]);
    return DONE;
}

static struct reaction info_win_command(struct session *s, const char *args)
{
    (void)args;
    if (!s->tui) {
        fprintf(s->out, "The TUI is not active.\n");
        return DONE;
    }
    fprintf(s->out, "%-10s %5s %5s  %s\n", "Name", "Lines", "Cols", "Focus");
    for (int i = 0; i < s->tui->n_window; i++) {
        const struct tui_window *w = &s->tui->window[i];
        if (w->pane.rows > 0)
            fprintf(s->out, "%-10s %5d %5d  %s\n", w->ops->name, w->pane.rows, w->pane.cols,
                i == s->tui->focus ? "(has focus)" : "");
    }
    return DONE;
}

/* The screen may not change its shape while a command looks at it. */
static struct reaction look(
    struct session *s, const char *args, struct reaction (*command)(struct session *s, const char *args))
{
    struct tui *t = s->tui;
    if (t) pthread_mutex_lock(&t->shape);
    struct reaction r = command(s, args);
    if (t) pthread_mutex_unlock(&t->shape);
    return r;
}

#define LOOKING(X)                                                                                                 \
    X(layout) X(focus) X(refresh) X(winheight) X(tui_new_layout) X(tui_disable) X(set_tui_color) X(info_win)
#define X(name)                                                                                                    \
    struct reaction cmd_##name(struct session *s, const char *args) { return look(s, args, name##_command); }
LOOKING(X)
#undef X

/* --- fulfilling them ---------------------------------------------------------------------------------------------- */

static void grow(struct tui *t, const char *what)
{
    char view[LAYOUT_NAME];
    int rows;
    struct layout *l = &t->layouts[t->layout];
    if (sscanf(what, "%15s %d", view, &rows) != 2) return;
    int at = layout_find(l, view);
    if (at < 0) return;
    l->node[at].extra += rows;
    tui_resize(t, t->screen.rows, t->screen.cols);
}

static void fulfill(struct tui *t, const char *verb, const char *what)
{
    if (!strcmp(verb, "layout")) tui_layout(t, what);
    if (!strcmp(verb, "refresh")) t->redraw = true;
    if (!strcmp(verb, "color")) t->recolor = true;
    if (!strcmp(verb, "winheight")) grow(t, what);
    if (!strcmp(verb, "plain")) t->leaving = t->plain = true;
    if (strcmp(verb, "focus")) return;
    if (!strcmp(what, "next") || !strcmp(what, "prev")) {
        tui_focus_next(t, *what == 'n' ? 1 : -1);
        return;
    }
    struct tui_window *w = tui_window_named(t, what);
    if (w && w->pane.rows > 0) t->focus = (int)(w - t->window);
}

void tui_wishes(struct tui *t)
{
    char wish[sizeof t->wish];
    memcpy(wish, t->wish, sizeof wish);
    t->wish[0] = '\0';
    for (char *p = wish, *end; *p && (end = strchr(p, '\n')); p = end + 1) {
        *end = '\0';
        char *what = strchr(p, ' ');
        *what++ = '\0';
        fulfill(t, p, what);
    }
}
