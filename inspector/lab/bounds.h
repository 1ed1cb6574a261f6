/* info bounds: what any policy can save at most on this model, from bytes alone. */
#ifndef KV_LAB_BOUNDS_H
#define KV_LAB_BOUNDS_H

#include "inspector/session.h"

struct reaction cmd_info_bounds(struct session *s, const char *args);

#endif
