/* Fields of golden files: \\xHH, and a backslash before itself and what parts fields. */
#ifndef TEST_ESCAPES_H
#define TEST_ESCAPES_H

#include "engine/model/model.h"

static inline int hex_digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* Undoes the escapes of a field in place, with a NUL behind it. */
static inline struct kv_string unescape(char *field)
{
    char *out = field;
    for (char *p = field; *p; p++) {
        if (*p != '\\') {
            *out++ = *p;
        } else if (p[1] == 'x') {
            *out++ = (char)(hex_digit(p[2]) << 4 | hex_digit(p[3]));
            p += 3;
        } else {
            *out++ = *++p;
        }
    }
    *out = 0;
    return (struct kv_string){ field, (size_t)(out - field) };
}

#endif
