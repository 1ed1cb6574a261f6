/* Other ways to go on: starti, nexti, until, advance, jump, kill, detach. */
#ifndef KV_GO_H
#define KV_GO_H

#include "inspector/session.h"

struct reaction cmd_starti(struct session *s, const char *args);
struct reaction cmd_nexti(struct session *s, const char *args);
struct reaction cmd_until(struct session *s, const char *args);
struct reaction cmd_advance(struct session *s, const char *args);
struct reaction cmd_jump(struct session *s, const char *args);
struct reaction cmd_kill(struct session *s, const char *args);
struct reaction cmd_detach(struct session *s, const char *args);

#endif
