/* Ctrl-C in the middle of a measurement. */
#ifndef KV_LAB_STOPPED_H
#define KV_LAB_STOPPED_H

#include "inspector/session.h"

/* Where a status is KV_STOPPED, "Interrupted" and what is left of the work become the sentence; others pass. */
enum kv_status lab_stopped(struct session *s, enum kv_status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* KV_STOPPED after a Ctrl-C that no engine has heard, else the status. */
enum kv_status lab_heard(struct session *s, enum kv_status st);

#endif
