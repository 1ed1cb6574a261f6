/* print, echo's cousins, and how a value looks. */
#ifndef KV_PRINT_H
#define KV_PRINT_H

#include "inspector/session.h"

struct reaction cmd_print(struct session *s, const char *args);
struct reaction cmd_call(struct session *s, const char *args);
struct reaction cmd_output(struct session *s, const char *args);
struct reaction cmd_set_var(struct session *s, const char *args);
struct reaction cmd_set_print_array(struct session *s, const char *args);
struct reaction cmd_set_print_indexes(struct session *s, const char *args);
struct reaction cmd_show_print_array(struct session *s, const char *args);
struct reaction cmd_show_print_indexes(struct session *s, const char *args);
struct reaction cmd_set_print_elements(struct session *s, const char *args);
struct reaction cmd_set_print_repeats(struct session *s, const char *args);
struct reaction cmd_show_print(struct session *s, const char *args);
struct reaction cmd_show_print_elements(struct session *s, const char *args);
struct reaction cmd_show_print_repeats(struct session *s, const char *args);
struct reaction cmd_show_convenience(struct session *s, const char *args);
struct reaction cmd_show_values(struct session *s, const char *args);

/* As print shows it, without format letters. */
void print_value(struct session *s, const struct value *v);
/* Puts a copy into the history: $N, N being s->n_history then. */
enum kv_status print_remember(struct session *s, const struct value *v);

#endif
