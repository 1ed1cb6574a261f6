/* Events of the engine, as a debugger has signals: which stop a request, and which are told. */
#ifndef KV_EVENTS_H
#define KV_EVENTS_H

#include "inspector/session.h"

/* Whether the boundary, where a pass or a phase begins, has an event that stops the request; then the stop is shown.
 * Others are told, where handle says so. */
bool events_here(struct session *s, const struct kv_where *now, const struct kv_where *before);
/* A stage failed, with the sentence in s->err, and the request stands before it: whether that is an event that stops
 * there, which is then shown. Memory that ran out is one only where a catchpoint waits for it. */
bool events_struck(struct session *s, enum kv_status status, const struct kv_where *now);
/* 6 where the session ends with the request stopped by an event, else 0. */
int events_exit(const struct session *s);

const char *events_name(int index); /* "NAN"; NULL behind the last */

struct reaction cmd_handle(struct session *s, const char *args);
struct reaction cmd_info_signals(struct session *s, const char *args);

#endif
