/* The command line. */
#ifndef KV_OPTIONS_H
#define KV_OPTIONS_H

#include "kernels/base.h"

struct option_action {
    bool file;  /* -x FILE, else -ex COMMAND */
    bool early; /* -ix, -iex: before the folder's init file */
    const char *text;
};

/* What the screen may show: as the terminal says (NO_COLOR: none), or so many colors. */
enum screen_color { SCREEN_COLOR_AUTO, SCREEN_COLOR_NONE, SCREEN_COLOR_8, SCREEN_COLOR_256, SCREEN_COLOR_TRUE };
extern const char *const screen_color_name[]; /* "auto", ... up to a NULL */

struct options {
    const char *model;                                 /* NULL = the default */
    const char *core;                                  /* file, or NULL */
    const char *prompt, *text, *prompt_ids, *question; /* question: NULL where it is empty */
    int chat;                                          /* -1 = where the model has a template, 0, 1 */
    struct option_action *action;                      /* in the order given; owned */
    int n_action;
    bool batch, no_init, no_home_init, quiet, no_window, keep_going, gdb_exit, readonly, help, version;
    bool json;            /* JSON Lines instead of the console's text */
    const char *cd;       /* folder to go to first; NULL = stay */
    const char *on_error; /* command to run when a command of a batch has failed, or NULL */
    const char *for_each; /* FILE of rows, each a run of the actions; NULL = none */
    long shard, shards;   /* this process's share of the rows: shard (from 1 on) of shards */
    const char *backend, *precision, *kv, *threads;
    int color;           /* enum screen_color */
    const char *keys;    /* script of keys for a screen that is nowhere; NULL = none */
    const char *program; /* argv[0] */
};

/* Reads argv; KV_BAD_ARG with one sentence. Strings stay the caller's. */
enum kv_status options_parse(struct options *o, int argc, char **argv, struct kv_error *err);
void options_free(struct options *o);
void options_print_help(void);

/* One row an option, for --help and the man page; ends with a NULL spelling. */
struct option_row {
    const char *spelling, *help;
};
extern const struct option_row option_rows[];

#endif
