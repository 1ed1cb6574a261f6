/* Keys from a file, for a screen that is nowhere. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/tui/state.h"
#include "inspector/tui/tui.h"
#include "render/utf8.h"

static void press(struct tui *t, int key)
{
    tui_key_press(t, key);
    tui_refresh(t);
}

static void type(struct tui *t, const char *text)
{
    for (uint32_t code; (code = utf8_next(&text));) press(t, (int)code);
}

static enum kv_status keys(struct tui *t, char *names, struct kv_error *err)
{
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        int key = key_by_name(name);
        if (key < 0) return kv_fail(err, KV_BAD_ARG, "There is no key \"%.40s\".", name);
        press(t, key);
    }
    return KV_OK;
}

static enum kv_status step(struct tui *t, char *line, struct kv_error *err)
{
    int a, b;
    char *rest = line + strcspn(line, " ");
    if (*rest) *rest++ = '\0';
    if (!strcmp(line, "size") && sscanf(rest, "%dx%d", &a, &b) == 2) {
        tui_resize(t, b, a);
    } else if (!strcmp(line, "key")) {
        return keys(t, rest, err);
    } else if (!strcmp(line, "type")) {
        type(t, rest);
    } else if (!strcmp(line, "line")) {
        type(t, rest);
        press(t, TUI_ENTER);
    } else if (!strcmp(line, "click") && sscanf(rest, "%d %d", &a, &b) == 2) {
        t->click_row = a;
        t->click_col = b;
        press(t, TUI_MOUSE);
    } else if (!strcmp(line, "dump")) {
        tui_draw(t);
        printf("--- %dx%d\n", t->screen.cols, t->screen.rows);
        screen_print(&t->screen, !strcmp(rest, "roles"), stdout);
    } else {
        return kv_fail(err, KV_BAD_FILE, "A script of keys has no line \"%.60s\".", line);
    }
    return KV_OK;
}

enum kv_status tui_script(struct session *s, const char *path, int *exit_status)
{
    static struct tui tui;
    struct tui *t = &tui;
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    if (!f) return kv_fail(&s->err, KV_IO, "%.300s: %s.", path, strerror(errno));
    struct kv_error err = { 0 };
    enum kv_status st = tui_open(t, s, false, &err);
    t->look.steady = true;
    for (ssize_t n; !st && !t->leaving && (n = getline(&line, &cap, f)) >= 0;) {
        if (n && line[n - 1] == '\n') line[n - 1] = '\0';
        if (*line && *line != '#') st = step(t, line, &err);
    }
    free(line);
    fclose(f);
    tui_close(t);
    if (st) s->err = err;
    *exit_status = s->leaving ? s->exit_code : s->exit;
    return st;
}
