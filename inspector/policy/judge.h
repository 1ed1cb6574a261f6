/* What compression did to the output: diff. */
#ifndef KV_JUDGE_COMMANDS_H
#define KV_JUDGE_COMMANDS_H

#include "inspector/session.h"

struct reaction cmd_diff(struct session *s, const char *args);

#endif
