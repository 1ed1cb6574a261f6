/* Threads: the KV heads of the focused layer, numbered as everywhere else from 0. */
#ifndef KV_THREADS_H
#define KV_THREADS_H

#include "inspector/session.h"

struct reaction cmd_thread(struct session *s, const char *args);
struct reaction cmd_thread_apply(struct session *s, const char *args);
struct reaction cmd_info_threads(struct session *s, const char *args);

#endif
