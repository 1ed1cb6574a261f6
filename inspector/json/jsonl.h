/* JSON Lines mode (--json): whatever the session says becomes one object a line on standard output, and commands come
 * as lines on standard input. sessions/JSONL.md describes every object.
 *
 * While the mode is on, file descriptor 1 is the same as 2, so that nothing else, child processes included, can get
 * between the lines. session->json is NULL in a console session, and every call here then does nothing. */
#ifndef KV_JSONL_H
#define KV_JSONL_H

#include <cjson/cJSON.h>

#include "inspector/session.h"

#define JSONL_PROTOCOL 1

/* Around one command, on the caller's stack: what it prints is caught until jsonl_end answers with it. */
struct jsonl_frame {
    struct jsonl_frame *outer; /* the command that this one runs inside */
    FILE *before, *capture;
    char *text, *cmd;
    size_t bytes;
    cJSON *answer; /* rows, value, ... */
    unsigned stops;
};

enum kv_status jsonl_open(struct session *s, struct kv_error *err);
void jsonl_close(struct session *s);

/* False where there is nothing to answer: no JSON mode, or the output goes to a pipe or file by command. */
bool jsonl_begin(struct session *s, struct jsonl_frame *frame, const char *line);
void jsonl_end(struct session *s, struct jsonl_frame *frame, const struct reaction *r);

/* The object that the command in hand will be answered with; NULL = nobody wants one. Borrowed. */
cJSON *jsonl_answer(struct session *s);

/* One of the reasons of the stop that jsonl_stop will say next: a breakpoint's number and kind, its place or expression,
 * and what it had to say (NULL = nothing). */
void jsonl_reason(struct session *s, int number, const char *type, const char *what, const char *said);

/* The request stands still. Said once a stop, by whoever sees it first. */
void jsonl_stop(struct session *s);
/* Tokens of the reply, from number `first` on. */
void jsonl_reply(struct session *s, const int32_t *ids, size_t n, size_t first);
/* s->err as an object, unless its command was answered with it already; status = exit status that it implies. */
void jsonl_complain(struct session *s, int status);
void jsonl_progress(struct session *s, const char *what, double done, double total);
/* "ready" with the model that is open; "exit" with a status. */
void jsonl_ready(struct session *s);
void jsonl_exit(struct session *s, int status);

/* A row of --for-each begins: its number goes into every object, and seq begins anew. */
void jsonl_row(struct session *s, long row);

/* Whether a person sees the objects. */
bool jsonl_terminal(const struct session *s);

/* Reads and answers commands until the end or quit. */
void jsonl_loop(struct session *s);

#endif
