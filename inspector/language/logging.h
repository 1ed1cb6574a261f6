/* set logging: what is printed goes to a file as well, or there alone. */
#ifndef KV_LOGGING_H
#define KV_LOGGING_H

#include "inspector/session.h"

/* Ends it and frees what it holds. */
void logging_free(struct session *s);
/* Writes a line of an error to the log, where there is one. */
void logging_error(struct session *s, const char *text);

struct reaction cmd_set_logging_enabled(struct session *s, const char *args);
struct reaction cmd_set_logging_file(struct session *s, const char *args);
struct reaction cmd_set_logging_overwrite(struct session *s, const char *args);
struct reaction cmd_set_logging_redirect(struct session *s, const char *args);
struct reaction cmd_show_logging(struct session *s, const char *args);

#endif
