/* Everything one kvdbg process knows: the model and its request, the focus, stops, history, where output goes.
 *
 * Handlers take a session and print to session->out; what fails leaves its sentence in session->err. One session
 * drives one engine from one thread; the signal handler alone also touches it, through kv_stop(). */
#ifndef KV_SESSION_H
#define KV_SESSION_H

#include <stdio.h>

#include "engine/engine.h"
#include "inspector/language/command.h"
#include "inspector/expr/expr.h"
#include "inspector/options.h"
#include "inspector/stop/stops.h"

struct marks;

struct variable {
    char *name;
    struct value value;
    struct variable *next;
};

/* Where a script is, for error messages; the innermost first. */
struct script_place {
    const char *file;
    int line;
    struct script_place *outer;
};

enum script_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
struct line_source;
struct block_line;
struct user_commands;
struct tui;
struct run_note;
struct jsonl;
struct logging;

/* Settings of the session itself, beside the engine's: type, name. */
#define PREFERENCE_LIST(X)                                                                                         \
    X(bool, confirm)       /* ask before something is lost */                                                      \
    X(bool, trace)         /* show commands before they run */                                                     \
    X(bool, backward)      /* exec-direction reverse */                                                            \
    X(int, print_elements) /* shown of an array */                                                                 \
    X(int, print_repeats)  /* equal ones that are shown as one */                                                  \
    X(bool, print_array)   /* struct format_how */                                                                 \
    X(bool, print_indexes) /* the same */                                                                          \
    X(unsigned, context)   /* panes shown at every stop, a bit each */                                             \
    X(int, color)          /* enum screen_color: what the screen may show */                                       \
    X(double, read_floor)  /* attention of a row above it is a read of a key: set kv read-floor */

struct preferences {
#define X(type, name) type name;
    PREFERENCE_LIST(X)
#undef X
};

struct session {
    const struct options *options;
    FILE *out;
    struct jsonl *json; /* --json: objects on standard output; NULL = a console session */
    bool terminal;      /* stdin and stdout are one: ask, edit lines, draw progress */
    struct kv_error err;

    struct kv_model *model;
    struct kv_model_facts facts;
    bool other_model; /* not the one that the command line names */
    struct kv_engine *engine;

    char *prompt_name; /* file, or "(text)"; NULL = no prompt yet */
    char *prompt;      /* its bytes */
    size_t prompt_bytes;
    bool prompt_ids; /* they are a list of token ids */
    char *question;  /* NULL = none */
    bool chat;       /* the prompt in force went through the chat template */

    int layer, head, token; /* the focus */
    int frame;              /* the selected one: enum frame */
    int list_next;          /* where `list` goes on; -1 = at the focus */
    int list_first;         /* and where the lines that it showed begin */
    bool computed;          /* the last expression read something that the model computed */
    struct stops stops;
    struct marks *marks;                /* checkpoints and stops visited; NULL = none yet */
    unsigned events_stop, events_print; /* bits: which events (events.c) `handle` has changed */
    char stop_reason[32];               /* of the last stop, for expect-stop: "breakpoint 2", "step", "done", ... */
    double kl_mean;                     /* of the last diff, nats a token; NaN = none yet */
    double noise_mean, noise_max; /* the floor under all KL of this prompt (diff -noise); NaN = not measured */
    size_t streamed;              /* reply tokens already printed */
    bool mid_line;                /* the reply's last line is open */

    struct value *history; /* $1 is history[0] */
    size_t n_history;
    struct variable *variables;
    struct run_note *runs;              /* what is known of runs that are not selected (lab/runs.c) */
    struct edit_log *edits;             /* every change of policy; NULL = none yet */
    unsigned prompts;                   /* how many there were */
    char *policy;                       /* settings that compress ran with, as JSON; NULL before it */
    char policy_title[128];             /* "policy seed, ratio 0.25" of the same */
    char *written;                      /* names of files exported in this session, each ended by a newline */
    char model_sha[65], prompt_sha[65]; /* empty until an export asked */

    struct script_place *place;
    struct line_source *source;       /* where the lines that follow come from; NULL: there are none */
    const struct block_line *pending; /* the running line, where the block that it opens has been read */
    enum script_flow flow;            /* what a loop's line asked for */
    int loops, calls, nest;           /* loops around this line in its body; calls, and all bodies, around it */
    uint64_t n_stops;                 /* times that the request has stopped */
    char *todo;                       /* lines of the stops that stopped the request, still to run; owned */
    bool acting;                      /* such lines run */
    bool silent;                      /* the last stop is not to be shown */
    bool hooked;                      /* hook-stop has run for the stop that is being shown */
    bool piped;                       /* the output goes to a program that may have had enough */
    struct logging *logging;          /* NULL: never asked for */
    char *safe_path;                  /* folders whose init files may run, between colons; NULL: none */
    struct user_commands *user;       /* define and alias; NULL: none yet */

    char command[1024];                           /* the line being run, for recipes */
    char path[96];                                /* its command's full name */
    char repeat[1024];                            /* what an empty line does, "" = nothing */
    struct tui *tui;                              /* the screen, where there is one */
    bool want_tui;                                /* the prompt is to hand over to it */
    bool (*ask)(void *ctx, const char *question); /* NULL = on the terminal */
    void *ask_ctx;
    void (*progress)(void *ctx, const char *what, double done, double total); /* NULL = on stderr; ctx: ask_ctx */
    const char *stack; /* where the stack of the outermost line begins, NULL: no line runs */
    struct preferences pref;
    bool dont_repeat; /* an empty line does nothing after this command */

    char print_letter;       /* of the last /FMT, which a / alone repeats */
    void *set;               /* what session_set made, owned */
    struct examine *examine; /* what x shows next, NULL = nothing yet; owned */
    struct display *displays;
    int n_displays, last_display; /* how many; the last one's number */

    int exit;                                         /* first failure's status, 0 = none */
    char failure[sizeof((struct kv_error *)0)->text]; /* the first sentence that was printed */
    bool leaving;                                     /* quit was said: leave with exit_code */
    int exit_code;
};

extern const struct reaction DONE, CHANGED, STEPPED; /* success */

/* The sentence is in s->err; the exit status follows from the code. */
struct reaction failed(struct session *s);
/* Writes the sentence and returns the reaction in one. */
struct reaction refuse(struct session *s, enum kv_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void session_close(struct session *s);

/* Runs one line; a failure's sentence is left in s->err (empty when a script has printed it already). */
struct reaction session_line(struct session *s, const char *line);
/* The same, prints the sentence and remembers the first failure's exit status. */
struct reaction session_do(struct session *s, const char *line);
/* Exit status of a failed reaction (inspector.md 5.9). */
int session_exit(const struct reaction *r);
/* Prints s->err with the places of the scripts around it. */
void session_complain(struct session *s);
/* GDB's question: yes without asking where confirm is off, said and answered where nobody can be asked. */
bool session_ask(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "f32, cpu" or "fast, cpu, edited, synthetic weights: timing only": how a result was obtained; edited = the user
 * decided over tokens or budgets of the cache. Borrowed until the next call. */
const char *session_mode(struct session *s);
/* "" or " (synthetic weights)". */
const char *session_mark(const struct session *s);

/* SIGINT: sets a flag and stops the engine at the next boundary. */
void session_catch_signals(struct session *s);
/* Another engine is the one that SIGINT stops from now on; returns the one before, to be put back. */
struct kv_engine *session_interrupts(struct kv_engine *engine);
/* What SIGINT does, from another thread. */
void session_interrupt(void);
bool session_interrupted(void); /* reads and clears the flag */

/* The engine's value, or the sentence for a name that is not one. */
enum kv_status session_value(struct session *s, const char *name, struct kv_array *out);
/* A value by kept set as [layer][position], cut as [layer], of the KV head that is asked for (-1: the focused head's)
 * where each has its own; valid until the next such call. */
enum kv_status session_set(struct session *s, struct kv_engine *e, const char *name, int kv_head,
    struct kv_array *out, struct kv_error *err);
int session_kv_head(const struct session *s, int head); /* that a query head reads */
const char *session_set_name(struct session *s);        /* whose sets these are: "" or ", KV head 1" */
/* Element i of an array as a double. */
double array_number(const struct kv_array *a, size_t i);

#endif
