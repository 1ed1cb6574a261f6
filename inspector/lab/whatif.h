/* whatif: other settings tried on a fork of the run, from the same prefill. */
#ifndef KV_LAB_WHATIF_H
#define KV_LAB_WHATIF_H

#include "inspector/session.h"

struct reaction cmd_whatif(struct session *s, const char *args);

#endif
