/* One command = one row. Prompt, scripts, help, completion, README's table and the man page all read these rows, and
 * nothing else knows what a command is called.
 *
 * A handler gets the rest of its line with no blanks around it, prints its result to session->out and leaves the
 * sentence of a failure in session->err; the dispatcher prints that, checks the `needs` column before the call and
 * acts on the flags after it. */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include "kernels/base.h"

struct session;

enum command_group {
    GROUP_RUNNING,
    GROUP_STOPS,
    GROUP_LOOKING,
    GROUP_CHANGING,
    GROUP_SCREEN,
    GROUP_SESSION,
    GROUP_USER,    /* made by define */
    GROUP_ALIASES, /* made by alias */
    GROUP_HIDDEN,  /* works, but help and completion do not show it */
    GROUP_COUNT
};

/* What an empty line does after this command. */
enum command_repeat { REPEAT_NEVER, REPEAT_SAME, REPEAT_BARE /* the command without its arguments */ };

/* The state a command needs; ordered, each includes the ones before it. */
enum command_needs { NEEDS_NOTHING, NEEDS_PROMPT, NEEDS_RUN, NEEDS_PREFILL, NEEDS_COMPRESSED };

/* What completes the arguments. */
enum command_complete {
    COMPLETE_NONE,
    COMPLETE_COMMAND,
    COMPLETE_SETTING,
    COMPLETE_VALUE,
    COMPLETE_LOCATION,
    COMPLETE_FILE,
    COMPLETE_HEAT,
    COMPLETE_EVENT,
    COMPLETE_SIGNAL,
    COMPLETE_TOKENS, /* the words behind TOKENS */
    COMPLETE_LAYER   /* L<n>, auto */
};

enum reaction_flag {
    REACT_STEPPED = 1, /* the engine moved: the stop line is printed, views redraw */
    REACT_CHANGED = 2, /* a setting, the focus or the prompt changed: views redraw */
    REACT_QUIT = 4     /* leave with .exit */
};

struct reaction {
    enum kv_status status;
    unsigned flags;
    int exit; /* status to leave with when this failed or quits; 0 = what `status` implies */
};

struct command {
    const char *name;
    const char *aliases; /* blank-separated; win over other commands' prefixes */
    enum command_group group;
    const char *args; /* synopsis: "[N]" */
    const char *help; /* one sentence without its full stop, as in GDB's lists */
    const char *more; /* the long help's further lines, or NULL */
    enum command_repeat repeat;
    enum command_needs needs;
    enum command_complete complete;
    struct reaction (*run)(struct session *s, const char *args);
    const struct command *sub; /* a prefix group: rows up to a NULL name; run (if any) gets what no row matches */
};

extern const struct command
    command_table[]; /* ends with a NULL name; what a session has beside it: session_table() */
extern const char *const command_group_name[GROUP_COUNT];
extern const char *const command_group_title[GROUP_COUNT];

/* GDB's prefixes that a word of ours would otherwise take: to a row's name, to a name that we do not have (then the
 * prefix is undefined here), or to NULL (ambiguous in GDB). Ends with a NULL prefix. */
struct command_pin {
    const char *prefix, *name;
};
extern const struct command_pin command_pins[];

/* Synopsis of the set of everything that a row needs, for help: "a started request". */
const char *command_needs_text(enum command_needs needs);

#endif
