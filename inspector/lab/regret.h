/* regret and blame: what the full cache read that this run had dropped, and which of those evictions matter. */
#ifndef KV_LAB_REGRET_H
#define KV_LAB_REGRET_H

#include "inspector/session.h"

struct reaction cmd_regret(struct session *s, const char *args);
struct reaction cmd_blame(struct session *s, const char *args);

/* The full cache's reply of at most n tokens is read, so that mass and regret are there; *used = tokens that it has. */
enum kv_status regret_read(struct session *s, int n, int *used);
/* Share of its attention to the prompt that the selected run of an engine's layers keep, [n_layer] the caller's; NULL = failed. */
double *regret_retained(struct session *s, struct kv_engine *e);
/* KV_NOT_NOW before compress is done. */
enum kv_status regret_may(struct session *s);
/* judge.tokens. */
int regret_steps(struct session *s);

#endif
