/* What happens when the request has stopped and the stop line is printed. */
#ifndef KV_AT_STOP_H
#define KV_AT_STOP_H

#include "inspector/session.h"

/* Called after every command that moved the engine. */
void at_stop(struct session *s);

#endif
