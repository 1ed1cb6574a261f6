/* GDB's printf: C conversions over expressions. */
#ifndef KV_PRINTF_H
#define KV_PRINTF_H

#include "inspector/session.h"

#define PRINTF_ARGS  32   /* conversions of one format */
#define PRINTF_WIDTH 4096 /* of a field, at most; also its precision */

/* Formats `"fmt", EXPR, ...` into *out, a string that the caller frees; NULL on failure, with GDB's sentence in s->err.
 * Integers that fit an int are converted as one, so that %x of -1 is ffffffff; larger ones keep all their bits. %s
 * takes a text, a token (its text) or any other value (as print shows it). */
enum kv_status printf_format(struct session *s, const char *args, char **out);

struct reaction cmd_printf(struct session *s, const char *args);

#endif
