/* Reading lines from a person or a pipe; completion and history. */
#ifndef KV_PROMPT_H
#define KV_PROMPT_H

#include "inspector/session.h"

/* Reads and runs lines until the end or quit. */
void prompt_loop(struct session *s);

struct reaction cmd_show_commands(struct session *s, const char *args);

struct reaction cmd_complete(struct session *s, const char *args);

#endif
