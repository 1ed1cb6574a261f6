/* Setting stops: break, tbreak, rbreak, clear, watch, catch, tcatch. */
#ifndef KV_BREAK_H
#define KV_BREAK_H

#include "inspector/stop/catch.h"

struct reaction cmd_break(struct session *s, const char *args);
struct reaction cmd_tbreak(struct session *s, const char *args);
struct reaction cmd_rbreak(struct session *s, const char *args);
struct reaction cmd_clear(struct session *s, const char *args);
struct reaction cmd_watch(struct session *s, const char *args);
struct reaction cmd_rwatch(struct session *s, const char *args);
struct reaction cmd_awatch(struct session *s, const char *args);
#define X(name, typed, usage, help) struct reaction cmd_catch_##name(struct session *s, const char *args);
CATCH_EVENTS(X)
#undef X
struct reaction cmd_tcatch(struct session *s, const char *args);

#endif
