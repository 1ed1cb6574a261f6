/* A session on the tiny model for fuzz targets: what it prints goes nowhere, and it writes and starts nothing. */
#ifndef KV_FUZZ_TINY_H
#define KV_FUZZ_TINY_H

#include "inspector/session.h"

#define DEMAND(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition)) abort();                                                                                 \
    } while (0)

/* Opens it with a prompt of a few words, not started. */
void tiny_open(struct session *s);

/* Runs one line, which must come back with success or a sentence; it is interrupted after 300 ms of the processor. */
struct reaction tiny_line(struct session *s, const char *line);
/* Interrupts what runs after 300 ms of the processor, once; 0 calls it off. */
void tiny_patience(int milliseconds);
/* Whether the text names what a fuzzer must leave alone: devices, other models. */
bool tiny_forbidden(const char *text);

#endif
