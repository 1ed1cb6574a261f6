/* A file of JSON Lines as rows of data. */
#ifndef KV_DATA_H
#define KV_DATA_H

#include <cjson/cJSON.h>

#include "kernels/base.h"

struct data_row {
    char *text;
    size_t bytes;
    int line; /* in the file, from 1 on */
    bool too_long;
};

struct data {
    const char *file; /* borrowed */
    struct data_row *row;
    size_t count;
};

/* Reads a file's rows, blank lines left out; what they hold is not looked at. KV_IO, KV_NO_MEMORY. data_close in any
 * case. */
enum kv_status data_open(const char *path, struct data *out, struct kv_error *err);
void data_close(struct data *data);

/* Rows from..to-1 are shard I of N (from 1 on): all rows are in one, and their order is the file's. */
void data_shard(const struct data *data, long i, long n, size_t *from, size_t *to);

/* The row's object; the caller deletes it. KV_BAD_ARG, KV_NO_MEMORY. */
enum kv_status data_object(const struct data_row *row, cJSON **out, struct kv_error *err);

/* The text of a field that is one; *out is NULL where there is none, else borrowed from the object. KV_BAD_ARG. */
enum kv_status data_text(const cJSON *object, const char *name, const char **out, struct kv_error *err);

#endif
