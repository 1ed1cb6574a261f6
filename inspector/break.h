/* Commands on stops. */
#ifndef KV_BREAK_H
#define KV_BREAK_H

#include "inspector/session.h"

struct reaction cmd_break(struct session *s, const char *args);
struct reaction cmd_tbreak(struct session *s, const char *args);
struct reaction cmd_delete(struct session *s, const char *args);
struct reaction cmd_enable(struct session *s, const char *args);
struct reaction cmd_disable(struct session *s, const char *args);
struct reaction cmd_condition(struct session *s, const char *args);
struct reaction cmd_ignore(struct session *s, const char *args);
struct reaction cmd_info_breakpoints(struct session *s, const char *args);

#endif
