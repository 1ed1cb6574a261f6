/* gcore, core-file and the option -c. */
#ifndef KV_INSPECTOR_CORE_H
#define KV_INSPECTOR_CORE_H

#include "inspector/session.h"

/* Puts a core file in place of the model that is there, which stays on failure, and says what it is. */
enum kv_status core_open(struct session *s, const char *path);

struct reaction cmd_gcore(struct session *s, const char *args);
struct reaction cmd_core_file(struct session *s, const char *args);

#endif
