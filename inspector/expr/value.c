/* Values: owned arrays of numbers, texts, or nothing. */
#include "inspector/expr/expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"

void value_free(struct value *v)
{
    free(v->number);
    free(v->text);
    for (int d = 0; d < VALUE_DIMS; d++) free(v->at[d]);
    *v = (struct value){ 0 };
}

enum kv_status value_array(struct value *v, int n_dim, const size_t *dim, struct kv_error *err)
{
    *v = (struct value){ .kind = VALUE_NUMBER, .n_dim = n_dim, .count = 1 };
    for (int i = 0; i < n_dim; i++) {
        v->dim[i] = dim[i];
        if (__builtin_mul_overflow(v->count, dim[i], &v->count) || v->count > VALUE_LIMIT) {
            value_free(v);
            return kv_fail(err, KV_BAD_ARG, "That is more than %zu numbers; narrow it with indices, or export it.",
                VALUE_LIMIT);
        }
    }
    v->number = kv_alloc(v->count, sizeof *v->number);
    if (v->number) return KV_OK;
    size_t count = v->count;
    value_free(v);
    return kv_fail(err, KV_NO_MEMORY, "No memory for %zu numbers.", count);
}

enum kv_status value_scalar(struct value *v, double number, bool integral, const char *unit, struct kv_error *err)
{
    enum kv_status st = value_array(v, 0, NULL, err);
    if (st) return st;
    v->number[0] = number;
    v->integral = integral;
    snprintf(v->unit, sizeof v->unit, "%s", unit);
    return KV_OK;
}

enum kv_status value_text(struct value *v, const char *text, struct kv_error *err)
{
    *v = (struct value){ .kind = VALUE_TEXT, .text = kv_strdup(text) };
    return v->text ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a text of %zu bytes.", strlen(text));
}

enum kv_status value_copy(struct value *to, const struct value *from, struct kv_error *err)
{
    if (from->kind == VALUE_TEXT) return value_text(to, from->text, err);
    if (from->kind == VALUE_VOID) return *to = (struct value){ 0 }, KV_OK;
    enum kv_status st = value_array(to, from->n_dim, from->dim, err);
    if (st) return st;
    memcpy(to->number, from->number, from->count * sizeof *to->number);
    to->names = from->names;
    to->integral = from->integral;
    to->width = from->width;
    memcpy(to->unit, from->unit, sizeof to->unit);
    memcpy(to->axis, from->axis, sizeof to->axis);
    for (int d = 0; d < from->n_dim; d++) {
        if (!from->at[d]) continue;
        to->at[d] = kv_alloc(from->dim[d], sizeof *to->at[d]);
        if (!to->at[d]) {
            value_free(to);
            return kv_fail(err, KV_NO_MEMORY, "No memory for %zu indices.", from->dim[d]);
        }
        memcpy(to->at[d], from->at[d], from->dim[d] * sizeof *to->at[d]);
    }
    return KV_OK;
}

enum kv_status value_true(const struct value *v, bool *out, struct kv_error *err)
{
    *out = true;
    if (v->kind != VALUE_NUMBER || !v->count)
        return kv_fail(err, KV_BAD_ARG, "A condition must be a number, not %s.",
            v->kind == VALUE_TEXT   ? "a text"
            : v->kind == VALUE_VOID ? "void"
                                    : "an empty array");
    for (size_t i = 0; i < v->count; i++) *out = *out && v->number[i] != 0;
    return KV_OK;
}

const char *value_word(enum value_names names, double number)
{
    const char *const *word = names == VALUE_REASON ? kv_reason_name
                              : names == VALUE_RULE ? kv_budget_rule_name
                                                    : NULL;
    if (!word || !(number >= 0)) return NULL;
    while (*word && number >= 1) word++, number--;
    return *word;
}
