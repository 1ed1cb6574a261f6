/* CSV tables: a header line, fields quoted as RFC 4180 says, lines ended by a newline alone, numbers by %.9g (enough
 * to read a float back), "nan" and "inf" for what is not finite. The file appears whole or not at all; a write that
 * failed is reported by csv_commit. */
#ifndef RENDER_CSV_H
#define RENDER_CSV_H

#include "render/file.h"

/* Zeroed = closed. */
struct csv {
    struct file_out file;
    size_t fields, columns; /* of this row so far, of the header */
    bool ragged;            /* some row had another number of fields */
};

/* Opens and writes the header's names. */
enum kv_status csv_open(
    struct csv *c, const char *path, const char *const *names, size_t columns, struct kv_error *err);

void csv_text(struct csv *c, const char *text); /* NULL = an empty field */
void csv_number(struct csv *c, double value);
void csv_count(struct csv *c, int64_t value);
void csv_end_row(struct csv *c);

/* KV_BAD_ARG when a row's fields do not match the header; KV_IO when a write failed. */
enum kv_status csv_commit(struct csv *c, struct kv_error *err);
void csv_abandon(struct csv *c);

#endif
