/* why budget: how the solver came to the layers' budgets. */
#ifndef KV_WHY_BUDGET_H
#define KV_WHY_BUDGET_H

#include "inspector/session.h"

/* args: nothing, or a layer. */
struct reaction why_budget(struct session *s, const char *args);

#endif
