/* Rows and values as JSON, in the answer of the command that runs. */
#include "inspector/json/rows.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/json/jsonl.h"
#include "inspector/json/jsonl_read.h"

/* Where a cell goes: the last row, or without one the answer itself. */
static void cell(struct session *s, const char *column, cJSON *item)
{
    cJSON *answer = jsonl_answer(s), *rows = answer ? cJSON_GetObjectItemCaseSensitive(answer, "rows") : NULL;
    cJSON *row = rows && rows->child ? rows->child->prev : NULL; /* cJSON keeps the last item there */
    if (!row || !cJSON_AddItemToObject(row, column, item)) cJSON_Delete(item);
}

static void fact(struct session *s, const char *name, cJSON *item)
{
    cJSON *answer = jsonl_answer(s);
    cJSON_DeleteItemFromObjectCaseSensitive(answer, name);
    if (!answer || !cJSON_AddItemToObject(answer, name, item)) cJSON_Delete(item);
}

static cJSON *text_item(const char *text) { return text ? jsonl_text(text, strlen(text)) : cJSON_CreateNull(); }

void rows_new(struct session *s)
{
    cJSON *answer = jsonl_answer(s), *row;
    if (!answer) return;
    cJSON *rows = cJSON_GetObjectItemCaseSensitive(answer, "rows");
    if (!rows) rows = cJSON_AddArrayToObject(answer, "rows");
    if (!(row = cJSON_CreateObject()) || !cJSON_AddItemToArray(rows, row)) cJSON_Delete(row);
}

void rows_number(struct session *s, const char *column, double number)
{
    if (jsonl_answer(s)) cell(s, column, jsonl_number(number));
}

void rows_text(struct session *s, const char *column, const char *text)
{
    if (jsonl_answer(s)) cell(s, column, text_item(text));
}

void rows_flag(struct session *s, const char *column, bool yes)
{
    if (jsonl_answer(s)) cell(s, column, cJSON_CreateBool(yes));
}

static cJSON *token_item(struct session *s, int32_t id)
{
    size_t n;
    const char *bytes = kv_token_bytes(s->engine, id, &n);
    return bytes ? jsonl_text(bytes, n) : cJSON_CreateNull();
}

void rows_token(struct session *s, const char *column, int32_t id)
{
    if (jsonl_answer(s)) cell(s, column, token_item(s, id));
}

void rows_unit(struct session *s, const char *column, const char *unit)
{
    cJSON *answer = jsonl_answer(s);
    if (!answer) return;
    cJSON *units = cJSON_GetObjectItemCaseSensitive(answer, "units");
    if (!units) units = cJSON_AddObjectToObject(answer, "units");
    if (!cJSON_GetObjectItemCaseSensitive(units, column)) cJSON_AddStringToObject(units, column, unit);
}

void rows_fact(struct session *s, const char *name, double number)
{
    if (jsonl_answer(s)) fact(s, name, jsonl_number(number));
}

void rows_fact_text(struct session *s, const char *name, const char *text)
{
    if (jsonl_answer(s)) fact(s, name, text_item(text));
}

/* --- values ---------------------------------------------------------------------------------------------------------- */

static void write_level(FILE *f, const struct value *v, int d, const double *x, size_t count)
{
    if (d == v->n_dim) {
        char digits[32];
        fputs(jsonl_digits(*x, digits), f);
        return;
    }
    size_t step = v->dim[d] ? count / v->dim[d] : 0;
    fputc('[', f);
    for (size_t i = 0; i < v->dim[d]; i++) {
        if (i) fputc(',', f);
        write_level(f, v, d + 1, x + i * step, step);
    }
    fputc(']', f);
}

static cJSON *numbers_item(const struct value *v)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    write_level(f, v, 0, v->number, v->count);
    cJSON *item = fclose(f) ? NULL : cJSON_CreateRaw(text);
    free(text);
    return item;
}

/* What the numbers stand for, in order, where they are names of something. */
static cJSON *texts_item(struct session *s, const struct value *v)
{
    cJSON *texts = cJSON_CreateArray();
    for (size_t i = 0; texts && i < v->count; i++) {
        double x = v->number[i];
        const char *word = value_word(v->names, x);
        cJSON *item = v->names == VALUE_TOKEN ? token_item(s, x >= 0 ? (int32_t)x : -1)
                      : word                  ? cJSON_CreateString(word)
                                              : cJSON_CreateNull();
        if (!cJSON_AddItemToArray(texts, item)) cJSON_Delete(item);
    }
    return texts;
}

static cJSON *sizes_item(const size_t *size, size_t n)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < n; i++) cJSON_AddItemToArray(list, jsonl_number((double)size[i]));
    return list;
}

static void axes(struct session *s, const struct value *v)
{
    cJSON *names = cJSON_CreateArray(), *places = cJSON_CreateArray();
    bool known = false, cut = false;
    for (int d = 0; d < v->n_dim; d++) {
        known = known || v->axis[d];
        cut = cut || v->at[d];
        cJSON_AddItemToArray(names, text_item(v->axis[d]));
        cJSON_AddItemToArray(places, v->at[d] ? sizes_item(v->at[d], v->dim[d]) : cJSON_CreateNull());
    }
    fact(s, "shape", sizes_item(v->dim, (size_t)v->n_dim));
    if (known)
        fact(s, "axes", names);
    else
        cJSON_Delete(names);
    if (cut)
        fact(s, "at", places);
    else
        cJSON_Delete(places);
}

static cJSON *value_item(const struct value *v)
{
    if (v->kind == VALUE_NUMBER && v->count <= ROWS_NUMBERS) return numbers_item(v);
    return text_item(v->kind == VALUE_TEXT ? v->text : NULL);
}

void rows_cell(struct session *s, const char *column, const struct value *v)
{
    if (jsonl_answer(s)) cell(s, column, value_item(v));
}

enum kv_status rows_value(struct session *s, const struct value *v, size_t number)
{
    if (!jsonl_answer(s)) return KV_OK;
    if (v->kind == VALUE_NUMBER && v->count > ROWS_NUMBERS)
        return kv_fail(&s->err, KV_BAD_ARG,
            "That is %zu numbers, and one object gives at most %d; narrow it with indices, or export it.", v->count,
            ROWS_NUMBERS);
    if (number) fact(s, "number", jsonl_number((double)number));
    fact(s, "value", value_item(v));
    if (v->kind != VALUE_NUMBER) return KV_OK;
    if (v->names != VALUE_PLAIN) fact(s, "texts", texts_item(s, v));
    if (v->n_dim) axes(s, v);
    if (*v->unit) fact(s, "unit", cJSON_CreateString(v->unit));
    return KV_OK;
}
