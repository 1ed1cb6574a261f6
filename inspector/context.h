/* Panes that are printed at every stop in plain mode, as pwndbg does: entropy, budget, tokens. */
#ifndef KV_CONTEXT_H
#define KV_CONTEXT_H

#include "inspector/session.h"

/* The panes that `set kv context` chose; nothing where it is off. */
void context_show(struct session *s);

struct reaction cmd_context(struct session *s, const char *args);
struct reaction cmd_set_kv_context(struct session *s, const char *args);
struct reaction cmd_show_kv_context(struct session *s, const char *args);

#endif
