/* Keys from a file, for a screen that is nowhere. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/tui/state.h"
#include "inspector/tui/tui.h"
#include "render/shot.h"
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

/* Draws as often and says how long one picture took; with a focus that moves, so that what is shown is taken anew. */
static void take_time(struct tui *t, int n)
{
    double start = kv_now_us();
    for (int i = 0; i < n; i++) {
        tui_focus(t, i % t->s->facts.n_layer, i % t->s->facts.n_head, -1);
        tui_draw(t);
    }
    printf("%.2f ms a frame at %dx%d\n", (kv_now_us() - start) / 1e3 / n, t->screen.cols, t->screen.rows);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Keys, clicks and sizes by chance, from a seed. Nothing that they do may end the screen. */
static void fuzz(struct tui *t, uint32_t seed, long count)
{
    static const char letters[] = "cCdfFnNoOrsSiIuvwbkzygqs?/\\+-*=[]{}<>0lmxab 1234@L.";
    uint32_t r = seed * 2654435761u + 1;
    for (long i = 0; i < count; i++) {
        uint32_t kind = next_random(&r) % 100, any = next_random(&r);
        if (kind < 2) {
            tui_resize(t, 1 + (int)(any % 70), 1 + (int)(any / 128 % 220));
        } else if (kind < 12) {
            t->click_row = (int)(any % (unsigned)t->screen.rows);
            t->click_col = (int)(any / 256 % (unsigned)t->screen.cols);
            tui_key_press(t, any >> 30 == 0 ? TUI_WHEEL_UP : any >> 30 == 1 ? TUI_WHEEL_DOWN : TUI_MOUSE);
        } else if (kind < 45) {
            tui_key_press(t, TUI_KEY_FIRST + (int)(any % (TUI_KEY_END - TUI_KEY_FIRST)));
        } else if (kind < 80) {
            tui_key_press(t, letters[any % (sizeof letters - 1)]);
        } else if (kind < 85) {
            tui_key_press(t, TUI_ENTER);
        } else if (kind < 97) {
            tui_key_press(t, (int)(any % 32));
        } else {
            tui_key_press(t, (int)(any % 0x2FFFF)); /* any character */
        }
        tui_refresh(t);
        if (any % 3 == 0) tui_draw(t);
        t->leaving = t->plain = t->s->leaving = false;
    }
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
    } else if (!strcmp(line, "wheel") && sscanf(rest, "%d %d", &a, &b) == 2) {
        t->click_row = a;
        t->click_col = b;
        press(t, strstr(rest, "up") ? TUI_WHEEL_UP : TUI_WHEEL_DOWN);
    } else if (!strcmp(line, "time") && sscanf(rest, "%d", &a) == 1 && a > 0) {
        take_time(t, a);
    } else if (!strcmp(line, "fuzz") && sscanf(rest, "%d %d", &a, &b) == 2) {
        fuzz(t, (uint32_t)a, b);
    } else if (!strcmp(line, "shot") && *rest) {
        tui_draw(t);
        return shot_write(&t->screen, rest, err);
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
