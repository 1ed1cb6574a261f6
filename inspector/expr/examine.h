/* x: memory as GDB shows it, the elements of an array from one on, or tokens as text and as lines. */
#ifndef KV_EXAMINE_H
#define KV_EXAMINE_H

#include "inspector/expr/format.h"

struct reaction cmd_x(struct session *s, const char *args);

/* Shows f->count objects from the one that the expression names, without moving what a bare x goes on from. */
enum kv_status examine_show(struct session *s, const char *text, const struct format *f);
/* Whether it is one to show: the letter, and the expression's grammar. */
enum kv_status examine_check(struct session *s, const char *text, const struct format *f);
void examine_free(struct session *s);

#endif
