/* Moving the request: run, start, step, stepi, next, continue, finish, recompress. */
#ifndef KV_RUN_H
#define KV_RUN_H

#include "inspector/session.h"

struct reaction cmd_run(struct session *s, const char *args);
struct reaction cmd_start(struct session *s, const char *args);
struct reaction cmd_step(struct session *s, const char *args);
struct reaction cmd_stepi(struct session *s, const char *args);
struct reaction cmd_next(struct session *s, const char *args);
struct reaction cmd_continue(struct session *s, const char *args);
struct reaction cmd_finish(struct session *s, const char *args);
struct reaction cmd_recompress(struct session *s, const char *args);

/* The rows of a pass, "rows 0-92 of 93", or the token that it reads, "token \"fox\""; empty for compress. */
void run_pass_text(struct session *s, const struct kv_where *w, char *text, size_t size);

/* What is next to run, in one line: "L12.select  H=1.60 nats  budget 600 of 1254 tokens". */
void run_next_text(struct session *s, const struct kv_where *w, char *text, size_t size);

/* Whether a token is spelled like the ones that no text makes: <|im_end|>, </s>. */
bool run_control_token(struct session *s, int32_t id);

/* The reply's tokens and how many of them are its text: without the stop token where the model ended it (*ended). */
size_t run_reply(struct session *s, struct kv_array *reply, bool *ended);

/* Runs the user's hook-stop, once for each stop that is shown. Whether it took the request away from there, by running on,
 * going back or ending it: then there is nothing left to show, as in GDB. */
bool run_hook_stop(struct session *s);

/* Ends the reply's open line, so that something else can be printed. */
void run_end_line(struct session *s);

/* What a command asks for: to go on for `count` units, or (goes = false) to the next stop. */
struct goal {
    bool goes;
    enum kv_unit unit;
    long count;
    bool whole_layers;         /* of units, compress has layers where others have stages */
    bool free;                 /* nothing stops it */
    const char *reason;        /* for expect-stop; NULL = "step" */
    const struct location *to; /* where it ends, too; NULL = nowhere */
    bool in_phase;             /* it ends with the phase, too */
};
struct reaction run_resume(struct session *s, struct goal goal);
/* False, with the sentence, for a finished request: it cannot go on, only back. */
bool run_can_go_on(struct session *s);
/* Starts the request over, after asking; false when it is not to be, with the sentence. */
bool run_begin(struct session *s);

/* The stop's two lines; `why` goes before the place and is NULL for a step within one pass, which prints the second line
 * alone, as GDB does within a function. The focus moves to the layer. */
void run_show_stop(struct session *s, const char *why, const struct kv_where *w);
/* Whether a unit ends on the way from one boundary to the next. */
bool run_crossed(const struct kv_where *from, const struct kv_where *to, enum kv_unit unit);
/* Whether a breakpoint stops here; if so it is counted, shown and remembered as the reason. */
bool run_stop_here(struct session *s, const struct kv_where *now, const struct kv_where *before);
/* Says that Ctrl-C stopped the engine where it stands. */
struct reaction run_interrupted(struct session *s);
/* An optional count of at least 1; false with the sentence in s->err. */
bool run_count(struct session *s, const char *args, long *out);
/* After a jump through time: what of the reply is already on the screen. */
void run_rewound(struct session *s);

#endif
