/* The policy shown, beside others, and saved as commands that make it again. */
#ifndef KV_POLICY_SHOW_H
#define KV_POLICY_SHOW_H

#include "engine/edit.h"
#include "inspector/session.h"

struct reaction cmd_policy(struct session *s, const char *args);
struct reaction cmd_show_policy(struct session *s, const char *args);
struct reaction cmd_save_policy(struct session *s, const char *args);

/* A policy's edits as the commands that would make them, a line each; empty = none, NULL = no memory. The caller frees
 * it. */
char *policy_edits_text(struct session *s, enum kv_policy_of of);

#endif
