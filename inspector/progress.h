/* A line on the terminal that says how far a long call is; nothing at all where stderr is no terminal. */
#ifndef KV_PROGRESS_H
#define KV_PROGRESS_H

#include "inspector/session.h"

/* A kv_progress_fn; ctx = the session. */
void progress_show(void *ctx, const char *what, double done, double total);

/* What the line begins with from now on, "" = nothing: the row in hand. alone: nothing else is written to the terminal,
 * so it may be drawn at once. */
void progress_title(const char *text, bool alone);

/* Takes the line away before anything else is printed. */
void progress_clear(void);

/* For tests: a report by number sends SIGINT. */
struct reaction cmd_maint_interrupt(struct session *s, const char *args);

#endif
