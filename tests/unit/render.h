/* What the two test programs of the renderer share. */
#ifndef TESTS_UNIT_RENDER_H
#define TESTS_UNIT_RENDER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of a file, NUL-ended; the caller frees them. */
static inline char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    *size = 0;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    text = malloc((size_t)n + 1);
    *size = text ? fread(text, 1, (size_t)n, f) : 0;
    if (text) text[*size] = 0;
    fclose(f);
    return text;
}

/* Repeatable noise in [0, 1). */
static inline double noise(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) / 16777216.0;
}

#endif
