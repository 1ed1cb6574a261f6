/* What could stand at the end of a line: commands, settings and their values, names, locations. */
#ifndef KV_COMPLETE_H
#define KV_COMPLETE_H

#include "inspector/session.h"

/* Calls visit for each candidate for the line's last word, in the order of the tables; the whole word is given. *start =
 * offset of that word. Returns true when file names should be tried instead. */
bool complete_line(
    struct session *s, const char *line, size_t *start, void (*visit)(void *ctx, const char *word), void *ctx);

#endif
