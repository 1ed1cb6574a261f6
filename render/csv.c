/* Fields and quotes; the stream keeps its error flag until commit. */
#include "render/csv.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static FILE *field(struct csv *c)
{
    if (c->fields++) fputc(',', c->file.stream);
    return c->file.stream;
}

enum kv_status csv_open(
    struct csv *c, const char *path, const char *const *names, size_t columns, struct kv_error *err)
{
    memset(c, 0, sizeof *c);
    enum kv_status status = file_open(&c->file, path, err);
    if (status) return status;
    for (size_t i = 0; i < columns; i++) csv_text(c, names[i]);
    c->columns = columns;
    csv_end_row(c);
    return KV_OK;
}

void csv_text(struct csv *c, const char *text)
{
    FILE *out = field(c);
    if (!text) return;
    size_t n = strlen(text);
    bool edge = n && (text[0] == ' ' || text[n - 1] == ' '); /* some readers trim */
    if (!edge && !strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void csv_number(struct csv *c, double value)
{
    FILE *out = field(c);
    if (isnan(value))
        fputs("nan", out); /* printf may write -nan */
    else
        fprintf(out, "%.9g", value);
}

void csv_count(struct csv *c, int64_t value) { fprintf(field(c), "%" PRId64, value); }

void csv_end_row(struct csv *c)
{
    c->ragged = c->ragged || c->fields != c->columns;
    c->fields = 0;
    fputc('\n', c->file.stream);
}

enum kv_status csv_commit(struct csv *c, struct kv_error *err)
{
    if (!c->ragged && !c->fields) return file_commit(&c->file, err);
    enum kv_status status =
        kv_fail(err, KV_BAD_ARG, "%.300s has a row of other than %zu fields.", c->file.path, c->columns);
    csv_abandon(c);
    return status;
}

void csv_abandon(struct csv *c) { file_abandon(&c->file); }
