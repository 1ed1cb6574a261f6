/* print, echo's cousins, and how a value looks. */
#ifndef KV_PRINT_H
#define KV_PRINT_H

#include "inspector/session.h"

struct reaction cmd_print(struct session *s, const char *args);
struct reaction cmd_output(struct session *s, const char *args);
struct reaction cmd_set_var(struct session *s, const char *args);
struct reaction cmd_show_convenience(struct session *s, const char *args);
struct reaction cmd_show_values(struct session *s, const char *args);

/* GDB's way: {1, 2, 3}, runs of equal elements shortened, cut after `set print elements`. */
void print_value(struct session *s, const struct value *v);

#endif
