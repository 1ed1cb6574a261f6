/* Reading JSON Lines: bytes from outside to one command, or to one row of data. Knows no session. */
#ifndef KV_JSONL_READ_H
#define KV_JSONL_READ_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "kernels/base.h"

/* A line that grows with what is read into it; the caller frees text. */
struct jsonl_line {
    char *text; /* without its newline, NUL-ended */
    size_t bytes, cap;
    bool too_long; /* longer than the limit: text holds its beginning */
};

/* The next line, cut at `limit` bytes and read to its end all the same; false at the end of the file. */
bool jsonl_line(FILE *f, size_t limit, struct jsonl_line *line);

/* One JSON object that a C program can hold: UTF-8, no byte or escape that is a NUL, nothing behind it. The caller
 * deletes it. KV_BAD_ARG, KV_NO_MEMORY. */
enum kv_status jsonl_object(const char *text, size_t bytes, cJSON **out, struct kv_error *err);

/* A command and the token to answer it with: {"token": 7, "cmd": "print E[3]"}, or `7print E[3]`, or `print E[3]`. */
struct jsonl_request {
    cJSON *token;  /* a whole number or a text, NULL = none; owned */
    char *command; /* an object's may have several lines */
    bool object;
};

/* On failure out->token is set where it could be read, and out->command is NULL. KV_BAD_ARG, KV_NO_MEMORY. */
enum kv_status jsonl_request(const char *text, size_t bytes, struct jsonl_request *out, struct kv_error *err);
void jsonl_request_free(struct jsonl_request *request);

/* Bytes as a JSON text: what is no UTF-8, and NUL, becomes U+FFFD. NULL = no memory. */
cJSON *jsonl_text(const char *bytes, size_t n);

/* A number as JSON, in as few digits as give the same one back (cJSON's own 15 do not); null where it is not finite. */
char *jsonl_digits(double x, char out[32]);
cJSON *jsonl_number(double x);

#endif
