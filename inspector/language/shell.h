/* Commands that reach out of kvdbg: shell, pipe, eval, with. */
#ifndef KV_SHELL_H
#define KV_SHELL_H

#include "inspector/session.h"

struct reaction cmd_shell(struct session *s, const char *args);
struct reaction cmd_pipe(struct session *s, const char *args);
struct reaction cmd_eval(struct session *s, const char *args);
struct reaction cmd_pwd(struct session *s, const char *args);
struct reaction cmd_cd(struct session *s, const char *args);
struct reaction cmd_with(struct session *s, const char *args);

#endif
