/* UTF-8 for labels: decoding that never runs past a string, widths in terminal columns, and token bytes made
 * visible. */
#ifndef RENDER_UTF8_H
#define RENDER_UTF8_H

#include "kernels/base.h"

/* The next code point of a NUL-ended string, which moves on; 0 at the end, U+FFFD for each malformed byte. */
uint32_t utf8_next(const char **text);

/* Whether the string is well-formed UTF-8 throughout. */
bool utf8_valid(const char *text);

/* A code point's bytes, not ended; returns their number, 1 to 4. */
size_t utf8_put(uint32_t code, char out[4]);

/* Terminal columns of a code point: 0 (combining, joiners), 1, or 2 (CJK, emoji). Own table: the C library's
 * wcwidth depends on the locale. */
int utf8_columns(uint32_t code);

/* Columns of a whole string. */
size_t utf8_width(const char *text);

/* A token's bytes as one visible line: leading spaces as "·", newline "↵", tab "⇥", other control bytes and bytes
 * that are not UTF-8 as "\x1b". Cut at a character when out (size > 0 bytes) is short; always NUL-ended. */
void utf8_visible(const char *bytes, size_t n, char *out, size_t size);

#endif
