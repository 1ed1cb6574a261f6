/* Rows of data: read once, so that their number is known before the first is worked on. */
#include "inspector/json/data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/json/jsonl_read.h"

#define ROW_LIMIT ((size_t)256 << 20) /* bytes of one row */

static bool blank(const struct jsonl_line *line) { return strspn(line->text, " \t\r") == line->bytes; }

static enum kv_status read_rows(struct data *data, FILE *f, struct kv_error *err)
{
    size_t cap = 0;
    struct jsonl_line line = { 0 };
    for (int number = 1; jsonl_line(f, ROW_LIMIT, &line); number++) {
        if (blank(&line)) continue;
        if (data->count == cap) {
            struct data_row *grown = realloc(data->row, (cap = cap ? 2 * cap : 64) * sizeof *grown);
            if (!grown) break;
            data->row = grown;
        }
        char *text = realloc(line.text, line.bytes + 1);
        data->row[data->count++] = (struct data_row){ text ? text : line.text, line.bytes, number, line.too_long };
        line = (struct jsonl_line){ 0 };
    }
    enum kv_status st = KV_OK;
    if (ferror(f)) st = kv_fail(err, KV_IO, "%.300s: %s.", data->file, strerror(errno));
    if (!st && !feof(f)) st = kv_fail(err, KV_NO_MEMORY, "No memory for the rows of %.300s.", data->file);
    free(line.text);
    return st;
}

enum kv_status data_open(const char *path, struct data *out, struct kv_error *err)
{
    *out = (struct data){ .file = path };
    FILE *f = fopen(path, "r");
    if (!f) return kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(errno));
    enum kv_status st = read_rows(out, f, err);
    fclose(f);
    return st;
}

void data_close(struct data *data)
{
    for (size_t i = 0; i < data->count; i++) free(data->row[i].text);
    free(data->row);
    *data = (struct data){ 0 };
}

void data_shard(const struct data *data, long i, long n, size_t *from, size_t *to)
{
    *from = data->count * (size_t)(i - 1) / (size_t)n;
    *to = data->count * (size_t)i / (size_t)n;
}

enum kv_status data_object(const struct data_row *row, cJSON **out, struct kv_error *err)
{
    *out = NULL;
    if (row->too_long) return kv_fail(err, KV_BAD_ARG, "The row is longer than %zu MiB.", ROW_LIMIT >> 20);
    return jsonl_object(row->text, row->bytes, out, err);
}

enum kv_status data_text(const cJSON *object, const char *name, const char **out, struct kv_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = NULL;
    if (!item || cJSON_IsNull(item)) return KV_OK;
    if (!cJSON_IsString(item)) return kv_fail(err, KV_BAD_ARG, "\"%s\" must be a text.", name);
    *out = item->valuestring;
    return KV_OK;
}
