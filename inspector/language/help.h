/* help, apropos, complete, and the pages generated from the command table. */
#ifndef KV_HELP_H
#define KV_HELP_H

#include "inspector/session.h"

struct reaction cmd_help(struct session *s, const char *args);
struct reaction cmd_apropos(struct session *s, const char *args);
struct reaction cmd_help_markdown(struct session *s, const char *args);
struct reaction cmd_which(struct session *s, const char *args);
struct reaction cmd_man(struct session *s, const char *args);

#endif
