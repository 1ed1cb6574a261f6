/* Well-formed UTF-8, one sequence at a time (Unicode 14, table 3-7): no surrogates, no overlong forms. */
#ifndef KV_UTF8_H
#define KV_UTF8_H

#include <stddef.h>

enum utf8_kind {
    UTF8_GOOD, /* a whole character */
    UTF8_BAD,  /* can never become one, whatever follows */
    UTF8_CUT   /* the text ends inside a character that is well-formed so far */
};

/* Judges the sequence at p, n >= 1 bytes left. *length: bytes of the character; of the ill-formed part that one
 * U+FFFD stands for (the longest well-formed beginning, at least 1); or n when cut. */
static inline enum utf8_kind utf8_next(const char *p, size_t n, size_t *length)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned char lead = u[0], low = 0x80, high = 0xBF;
    size_t need = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    *length = 1;
    if (need == 0) return UTF8_BAD;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (; *length < need; ++*length) {
        if (*length == n) return UTF8_CUT;
        if (u[*length] < low || u[*length] > high) return UTF8_BAD;
        low = 0x80;
        high = 0xBF;
    }
    return UTF8_GOOD;
}

#endif
