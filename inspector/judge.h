/* What compression did: to the output (diff), to a token (why), to the text (list). */
#ifndef KV_JUDGE_COMMANDS_H
#define KV_JUDGE_COMMANDS_H

#include "inspector/session.h"

struct reaction cmd_diff(struct session *s, const char *args);
struct reaction cmd_why(struct session *s, const char *args);

#endif
