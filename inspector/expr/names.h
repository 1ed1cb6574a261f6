/* What a name in an expression stands for. */
#ifndef KV_NAMES_H
#define KV_NAMES_H

#include "inspector/expr/expr.h"

/* What is behind a name: an array that may be indexed before it is copied, rows made on demand, or a finished value. */
struct named {
    enum { NAMED_ARRAY, NAMED_ROWS, NAMED_VALUE } kind;
    struct kv_array array; /* ROWS: [lead]...[row][column], no data */
    /* ROWS: n rows from `first` under the leading indices, out[n][width] */
    enum kv_status (*rows)(struct session *s, const size_t *lead, size_t first, size_t n, size_t width, float *out,
        struct kv_error *err);
    enum value_names names;
    struct value value; /* owned by whoever got it */
};

/* KV_NOT_FOUND "No value "x" here.", KV_NOT_NOW with the phase that will bring it. */
enum kv_status names_find(struct session *s, const char *name, struct named *out, struct kv_error *err);

/* $name, $, $$, $N, $$N: copies. An unset name is void. */
enum kv_status names_dollar(struct session *s, const char *name, struct value *out, struct kv_error *err);

/* set $name = value: takes the value over. KV_BAD_ARG for names that kvdbg itself sets. */
enum kv_status names_assign(struct session *s, const char *name, struct value *value, struct kv_error *err);

/* The same for a setting: policy.ratio = 0.5. KV_BAD_ARG for a name that is no setting. */
enum kv_status names_assign_setting(
    struct session *s, const char *name, const struct value *value, struct kv_error *err);

/* Calls visit with each convenience variable that has a value. */
void names_each(struct session *s, void (*visit)(struct session *s, const char *name, struct value *v));

/* Rows that attention can be asked for: the tokens read so far, of prompt, question and reply (its last one is not read
 * yet); 0 without a prompt. */
int64_t names_rows(struct session *s);

/* What a value means, in one phrase; NULL for settings and the like. */
const char *names_meaning(const char *name);

/* Names for completion; NULL behind the last. */
const char *names_at(int index);

#endif
