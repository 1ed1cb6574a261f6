/* Inside evaluation: what expr_eval.c and expr_index.c share. */
#ifndef KV_EXPR_EVAL_H
#define KV_EXPR_EVAL_H

#include <stdio.h>

#include "inspector/expr/expr.h"

/* One node; *out is void on failure. */
enum kv_status expr_node(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err);

/* Names, $ variables, and either with indices. */
enum kv_status expr_index(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *err);

/* GDB's E@n: n elements from the one that E's last index names. */
enum kv_status expr_repeat(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err);

/* What an expression is, without its numbers where it is a name with or without indices: *where says what stands behind
 * them ("host", "made on demand"), NULL for what operators make. */
enum kv_status expr_shape(
    struct session *s, const struct expr *e, struct value *out, const char **where, struct kv_error *err);

/* `count` elements of one row from `skip` behind the one that the expression's last index names, fewer where the row
 * ends. Indices left out take the focus, the last of them 0; focus[64] gets the ones that did, *indexed whether the last
 * was given. */
enum kv_status expr_window(struct session *s, const struct expr *e, long long skip, long long count,
    struct value *out, bool *indexed, char focus[64], struct kv_error *err);

/* NAME(argument, ...). */
enum kv_status expr_call(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err);

/* Function names for completion; NULL behind the last. */
const char *expr_function(int index);

#endif
