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

/* What is next to run, in one line: "L12.select  H=1.60 nats  budget 600 of 1254 tokens". */
void run_next_text(struct session *s, const struct kv_where *w, char *text, size_t size);

/* The reply's tokens and how many of them are its text: without the stop token where the model ended it (*ended). */
size_t run_reply(struct session *s, struct kv_array *reply, bool *ended);

/* Ends the reply's open line, so that something else can be printed. */
void run_end_line(struct session *s);

#endif
