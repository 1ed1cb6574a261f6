/* What can be done to stops that are set: delete, enable, disable, condition, ignore, info, save. */
#ifndef KV_STOP_LIST_H
#define KV_STOP_LIST_H

#include "inspector/session.h"

struct reaction cmd_delete(struct session *s, const char *args);
struct reaction cmd_enable(struct session *s, const char *args);
struct reaction cmd_enable_once(struct session *s, const char *args);
struct reaction cmd_enable_delete(struct session *s, const char *args);
struct reaction cmd_enable_count(struct session *s, const char *args);
struct reaction cmd_disable(struct session *s, const char *args);
struct reaction cmd_condition(struct session *s, const char *args);
struct reaction cmd_ignore(struct session *s, const char *args);
struct reaction cmd_info_breakpoints(struct session *s, const char *args);
struct reaction cmd_info_watchpoints(struct session *s, const char *args);
struct reaction cmd_save_breakpoints(struct session *s, const char *args);

#endif
