/* Going back through the request: when, reverse-*, record.
 *
 * Every boundary since the request's start is on record, so nothing is switched on first. On the way back the stops stop
 * as they do on the way forward, and count. */
#ifndef KV_TIME_H
#define KV_TIME_H

#include "inspector/session.h"

struct reaction cmd_when(struct session *s, const char *args);
struct reaction cmd_reverse_step(struct session *s, const char *args);
struct reaction cmd_reverse_next(struct session *s, const char *args);
struct reaction cmd_reverse_stepi(struct session *s, const char *args);
struct reaction cmd_reverse_continue(struct session *s, const char *args);
struct reaction cmd_reverse_finish(struct session *s, const char *args);
struct reaction cmd_set_exec_direction(struct session *s, const char *args);
struct reaction cmd_show_exec_direction(struct session *s, const char *args);
struct reaction cmd_record(struct session *s, const char *args);
struct reaction cmd_record_full(struct session *s, const char *args);
struct reaction cmd_record_coarse(struct session *s, const char *args);
struct reaction cmd_record_goto(struct session *s, const char *args);
struct reaction cmd_record_stop(struct session *s, const char *args);
struct reaction cmd_record_delete(struct session *s, const char *args);
struct reaction cmd_record_save(struct session *s, const char *args);
struct reaction cmd_maint_hash(struct session *s, const char *args);

/* Runs back to the latest boundary before this one where a stop stops, or (goes) where the count-th unit back begins. */
struct reaction time_back(struct session *s, bool goes, enum kv_unit unit, long count);

/* After any jump: what the session knows of the request follows it. */
void time_arrived(struct session *s);

#endif
