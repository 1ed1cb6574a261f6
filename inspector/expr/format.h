/* GDB's /FMT, and values as text. */
#ifndef KV_FORMAT_H
#define KV_FORMAT_H

#include "inspector/session.h"

struct format {
    int count;   /* of objects, for x; 1 unless said */
    char letter; /* d u o t z a c f s i x, or 0 = the value's own */
    char size;   /* b h w g, or 0 */
};

/* Reads the text behind a slash into *f and moves *text behind it and its blanks; what is not said stays as it was in
 * *f. An unknown letter is read, too: see format_check. */
void format_parse(const char **text, struct format *f);

/* "/FMT" of a command that prints one value: KV_BAD_ARG with GDB's sentence for a size, a count or a letter that makes
 * no sense there. */
enum kv_status format_check(const struct format *f, const char *command, struct kv_error *err);

/* One element of a value as text, at most `size` bytes; returns out. */
char *format_number(struct session *s, const struct value *v, size_t i, char letter, char *out, size_t size);

/* How a whole value is printed. */
struct format_how {
    char letter;           /* 0 = the value's own */
    int elements, repeats; /* at most so many; so many equal ones are printed once */
    bool array, indexes;   /* an element a line; [N] = before each, N as in the array that they came from */
};
struct format_how format_how(const struct session *s, char letter); /* with the settings of `set print` */

/* {1, 2, 3}, runs of equal elements shortened, cut after `elements`; the unit behind it. */
void format_value(struct session *s, const struct value *v, const struct format_how *how);

#endif
