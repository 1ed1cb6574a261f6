/* What the screen holds; shared by the files of inspector/tui/ but not by the views. */
#ifndef KV_TUI_STATE_H
#define KV_TUI_STATE_H

#include "inspector/tui/keys.h"
#include "inspector/tui/layout.h"
#include "inspector/tui/view.h"
#include "inspector/tui/worker.h"

#define TUI_VIEWS   16
#define TUI_LAYOUTS 24
#define TUI_BAR     6

struct tui_window {
    const struct view_ops *ops;
    void *self;
    struct pane pane; /* where it was drawn last; no rows = not shown */
};

struct tui {
    struct session *s;
    struct worker worker;
    pthread_mutex_t
        shape; /* of layouts, panes, focus and wishes: commands look at them from the engine's thread. Whoever
                              holds it waits for nothing; recursive, for without a thread commands run within keys */
    struct screen screen;
    struct view_look look;
    struct tui_window window[TUI_VIEWS];
    int n_window;
    struct layout layouts[TUI_LAYOUTS]; /* built in, then the user's */
    int n_layouts, layout;              /* the one in force */
    int focus;                          /* window number */
    int wide_focus;                     /* the one that had it before the screen got too small for it; -1 = none */
    int zoomed;                         /* window that has the whole screen, -1 = none */
    int grab;                           /* window that takes all keys, -1 = none */
    int before_form;                    /* window to go back to from the form of settings, -1 = it is not shown */
    bool chord;                         /* C-x was typed */
    bool single;                        /* SingleKey mode */
    bool once;                          /* in it, the prompt is open for one command */
    bool help;                          /* the help of the focused window lies over everything */
    bool dirty;                         /* to be drawn again */
    bool redraw;                        /* the terminal is to be cleared first */
    bool later;                         /* a move of the focus waits for the engine: where it is not -1 */
    int later_layer, later_head, later_token;
    bool edited;            /* an edit waits for its effect to be shown */
    bool plain;             /* leave for the plain prompt, not for good */
    char bar[TUI_BAR][112]; /* top line, the most important first; "" = no more */
    char wish[256];         /* what a command asked of the screen: "layout heat"; "" = nothing */
    double shown_us;        /* when the picture was drawn last */
    bool recolor;           /* the terminal is to be opened anew, in other colors */
    double progress;        /* of the work that the picture shows */
    uint64_t seen;          /* commands whose results the views show */
    char say[256];          /* bottom line; "" = the keys */
    int click_row, click_col;
    bool leaving;
};

/* The command window. */
void command_log(struct tui *t, const char *text);
/* Echoes a line that a key ran; moves of the focus in a row are one line. */
void command_echo(struct tui *t, const char *line, bool move);
bool command_key(struct tui *t, int key);
/* Puts a beginning into the line, to be gone on with. */
void command_put(struct tui *t, const char *text);
bool command_empty(const struct tui *t);
void command_ask(struct tui *t, const char *question);

/* --- tui.c --- */
enum kv_status tui_open(struct tui *t, struct session *s, bool threaded, struct kv_error *err);
void tui_close(struct tui *t);
void tui_resize(struct tui *t, int rows, int cols);
void tui_key_press(struct tui *t, int key);
/* Takes what commands have said and done since, and draws where something is new. */
void tui_refresh(struct tui *t);
void tui_draw(struct tui *t);
void tui_zoom(struct tui *t);
/* The form of settings over everything, or back. */
void tui_form(struct tui *t);
void tui_focus_next(struct tui *t, int by);
struct tui_window *tui_window_named(struct tui *t, const char *name);
bool tui_layout(struct tui *t, const char *name);

/* --- tui_keys.c, commands.c --- */
extern const struct view_key tui_keys[]; /* of every window, for the help */
void tui_wishes(struct tui *t);          /* does what a command asked for */

#endif
