/* Tokens as text: what one says, and where the prompt says something. */
#ifndef KV_TOKENS_H
#define KV_TOKENS_H

#include "engine/engine.h"

struct session;

/* One token as a quoted string; returns out. */
char *tokens_quote(struct session *s, int32_t id, char *out, size_t size);

/* The prompt's token ids (*n of them), borrowed; NULL with the sentence in s->err. */
const int32_t *tokens_prompt(struct session *s, int *n);

/* Positions of all prompt tokens that overlap a place where the prompt says `text`: ascending, *n of them, caller
 * frees. *places = how often it is said. KV_NOT_FOUND. */
enum kv_status tokens_find(struct session *s, const char *text, int32_t **out, int *n, int *places);

/* What a user calls tokens: 137, -1, 120..140, @137, "text". Same results as tokens_find. */
enum kv_status tokens_read(struct session *s, const char *what, int32_t **out, int *n, int *places);

/* "TOKENS [layer R] [head N]" taken apart; R is a layer or A..B. */
struct tokens_scope {
    char what[1024]; /* TOKENS */
    int first, last; /* layers; all of the model's when none were named */
    bool layers;     /* some were */
    int head;        /* -1 = none was named */
};
enum kv_status tokens_scope(struct session *s, const char *args, struct tokens_scope *out);

#endif
