/* Cutting a command line into words, and putting text back where a person can read it. */
#ifndef KV_LINE_H
#define KV_LINE_H

#include "kernels/base.h"

#define LINE_WORDS 64

struct line_words {
    int count;
    char *word[LINE_WORDS];
    char text[4096]; /* what word[] points into */
};

/* Splits at blanks; "..." and '...' keep blanks together, a backslash in "..." escapes the next character (\n and \t
 * as in C). KV_BAD_ARG for an open quote, too many words or too long a line. */
enum kv_status line_split(const char *text, struct line_words *out, struct kv_error *err);

/* Like GDB's echo: C escapes of text to out (never longer than text, NUL added); a backslash at the very end goes. */
void line_unescape(const char *text, char *out);

/* Bytes as a quoted C string of at most `size` bytes, NUL included; valid UTF-8 stays, other bytes become \xNN, and
 * what does not fit ends in "...". Returns out. */
char *line_quote(const char *bytes, size_t n, char *out, size_t size);

/* Whole number in [low, high]; what = "a layer" for the sentence. KV_BAD_ARG. */
enum kv_status line_integer(
    const char *text, long long low, long long high, const char *what, long long *out, struct kv_error *err);

/* Length in bytes of the valid UTF-8 character at p (n bytes there), 0 = not valid, -1 = cut off by n. */
int line_utf8(const char *p, size_t n);

/* "98,362,432" into a buffer of 32 bytes; returns it. */
char *line_thousands(unsigned long long n, char *out);

/* "93.8 MiB" into a buffer of 32 bytes; returns it. */
char *line_bytes(double n, char *out);

#endif
