/* Why tokens were kept or evicted, and why layers have their budgets. */
#ifndef KV_WHY_H
#define KV_WHY_H

#include "inspector/session.h"

struct reaction cmd_why(struct session *s, const char *args);

#endif
