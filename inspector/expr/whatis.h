/* What a value is: its type, shape, unit and bytes, and what it means. */
#ifndef KV_WHATIS_H
#define KV_WHATIS_H

#include "inspector/session.h"

struct reaction cmd_whatis(struct session *s, const char *args);
struct reaction cmd_ptype(struct session *s, const char *args);
struct reaction cmd_info_scope(struct session *s, const char *args);

#endif
