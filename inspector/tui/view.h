/* A view: one kind of window. It takes what it shows from the session while the engine stands still (update) and draws
 * from its own copy at any time, so that resizing and running never wait for each other. Views know neither the terminal
 * nor each other. */
#ifndef KV_TUI_VIEW_H
#define KV_TUI_VIEW_H

#include "inspector/session.h"
#include "render/screen.h"

struct tui;

struct view_look {
    bool focused;
    bool steady;                 /* no figure that differs from run to run: times */
    bool ascii;                  /* no character beyond ASCII, prompt text aside */
    bool color;                  /* grounds can be shown; else a ramp's characters stand for them */
    const struct color_map *map; /* of values */
};

struct view_key {
    const char *keys, *help; /* "+ -", "Give the layer more or fewer tokens" */
};

/* What takes the engine longer than a picture may take: done on its thread, between commands. */
struct view_work {
    bool (*wants)(const void *self);                /* asked after update */
    void (*compute)(void *self, struct session *s); /* on the engine's thread; update takes the result */
};

struct view_ops {
    const char *name;            /* "heat": in layouts and focus */
    const char *help;            /* one sentence for ? */
    size_t size;                 /* of its private data, zeroed at first */
    int min_rows, min_cols;      /* below these it is left out */
    const struct view_key *keys; /* up to a NULL */
    /* Takes what it shows; the session may be read. KV_NO_MEMORY leaves the old picture. */
    void (*update)(void *self, struct session *s);
    /* What stands in its title line behind the name; may be NULL. */
    void (*title)(const void *self, char *text, size_t size);
    void (*draw)(void *self, const struct pane *p, const struct view_look *look);
    /* A key while it is focused (tui_keys.h); false = not its own. rows, cols: of its pane. */
    bool (*key)(void *self, struct tui *t, int key);
    /* A mouse click at a place in its pane; may be NULL. */
    void (*click)(void *self, struct tui *t, int row, int col);
    const struct view_work *work; /* NULL = none */
    void (*close)(void *self);
};

extern const struct view_ops view_heat, view_attn, view_budget, view_tokens, view_kept, view_stages, view_diff,
    view_sensitivity, view_command, view_setup;
/* All of them, up to a NULL. */
extern const struct view_ops *const view_all[];

/* --- what a view may do to the rest ------------------------------------------------------------------------------ */

/* Runs a command as if it had been typed: it is echoed, so that keys teach the language. */
void tui_run(struct tui *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Runs an edit of the policy; once compressed, compresses again, decodes and compares with the full cache, so that its
 * effect is seen. */
void tui_edit(struct tui *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Moves the session's focus; -1 = as it is. Echoed as one kv line, however many moves. False while a command runs: then it
 * is done behind it. */
bool tui_focus(struct tui *t, int layer, int head, int token);
/* The session, or NULL while a command runs. */
struct session *tui_session(struct tui *t);
/* A sentence in the bottom line until the next key. */
void tui_say(struct tui *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* All keys but C-c go to the view, letters too, until it lets go or does not want one. */
void tui_grab(struct tui *t, void *self, bool on);
/* The view wants to be updated and drawn. */
void tui_changed(struct tui *t);
/* The view's own pane as it was drawn last. */
struct pane tui_pane(const struct tui *t, const void *self);

#endif
