/* Boundaries to come back to, across branches: checkpoints, which the user names, and the stops visited, which back and
 * forward walk like the pages of a browser. */
#ifndef KV_MARKS_H
#define KV_MARKS_H

#include "inspector/session.h"

struct reaction cmd_checkpoint(struct session *s, const char *args);
struct reaction cmd_restart(struct session *s, const char *args);
struct reaction cmd_delete_checkpoint(struct session *s, const char *args);
struct reaction cmd_info_checkpoints(struct session *s, const char *args);
struct reaction cmd_back(struct session *s, const char *args);
struct reaction cmd_forward(struct session *s, const char *args);
struct reaction cmd_info_record(struct session *s, const char *args);
struct reaction cmd_set_record_bytes(struct session *s, const char *args);
struct reaction cmd_show_record_bytes(struct session *s, const char *args);

/* After a command that moved: the boundary is the latest page, in place of those that lay ahead. */
void marks_visit(struct session *s);
/* Before another model comes, whose tokens mean something else, and at the session's end. */
void marks_forget(struct session *s);

#endif
