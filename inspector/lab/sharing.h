/* info kv sharing. */
#ifndef KV_LAB_SHARING_H
#define KV_LAB_SHARING_H

#include "inspector/session.h"

/* args: "sharing [layer R]". */
struct reaction info_sharing(struct session *s, const char *args);

#endif
