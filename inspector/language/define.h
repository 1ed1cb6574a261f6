/* Commands that the user makes: define, document, define-prefix, hooks, alias. */
#ifndef KV_DEFINE_H
#define KV_DEFINE_H

#include "inspector/session.h"

/* The user's commands and the table that they stand in together with kvdbg's own. */
struct user_commands;

/* Every command there is, up to a NULL name; valid until the next define or alias. */
const struct command *session_table(const struct session *s);
void define_free(struct session *s);

/* A copy of text with $argc and $argN of the running user command filled in (free it); NULL with the sentence in
 * s->err where there is no such argument. */
char *define_arguments(struct session *s, const char *text);

/* Runs the user's PREFIX-NAME, PREFIX being hook or hookpost, where it is defined and does not run already. */
struct reaction define_hook(struct session *s, const char *prefix, const char *name);

struct reaction cmd_define(struct session *s, const char *args);
struct reaction cmd_define_prefix(struct session *s, const char *args);
struct reaction cmd_document(struct session *s, const char *args);
struct reaction cmd_alias(struct session *s, const char *args);
struct reaction cmd_dont_repeat(struct session *s, const char *args);
struct reaction cmd_show_user(struct session *s, const char *args);
struct reaction cmd_set_max_depth(struct session *s, const char *args);
struct reaction cmd_show_max_depth(struct session *s, const char *args);

#endif
