/* Typed fields by table row: text in, text out. */
#include "engine/setting.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *setting_word(const struct setting *s, int i)
{
    if (s->value) return s->value(i);
    for (int k = 0; s->values && s->values[k]; k++)
        if (k == i) return s->values[k];
    return NULL;
}

const char *setting_legal(const struct setting *s, char *text, size_t size)
{
    if (s->legal) {
        snprintf(text, size, "%s", s->legal);
        return text;
    }
    snprintf(text, size, "one of ");
    const char *word;
    for (int i = 0; (word = setting_word(s, i)); i++) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s", i ? ", " : "", word);
    }
    return text;
}

const char *setting_quote(const char *value, char *text, size_t size)
{
    size_t n = 0;
    for (; value[n] && n + 4 < size; n++) text[n] = isprint((unsigned char)value[n]) ? value[n] : '?';
    strcpy(text + n, value[n] ? "..." : "");
    return text;
}

enum kv_status setting_refuse(const struct setting *s, const char *value, struct kv_error *err)
{
    char legal[300], shown[48];
    return kv_fail(err, KV_BAD_ARG, "%s must be %s, got \"%s\".", s->name, setting_legal(s, legal, sizeof legal),
        setting_quote(value, shown, sizeof shown));
}

static void put(const struct setting *s, void *base, double real, int64_t whole)
{
    char *at = (char *)base + s->offset;
    if (s->kind == SETTING_REAL)
        *(double *)at = real;
    else if (s->kind == SETTING_LONG)
        *(int64_t *)at = whole;
    else
        *(int *)at = (int)whole;
}

double setting_field(const struct setting *s, const void *base)
{
    const char *at = (const char *)base + s->offset;
    if (s->kind == SETTING_REAL) return *(const double *)at;
    if (s->kind == SETTING_LONG) return (double)*(const int64_t *)at;
    return *(const int *)at;
}

bool setting_field_legal(const struct setting *s, const void *base)
{
    double value = setting_field(s, base);
    int words = 0;
    while (setting_word(s, words)) words++;
    if (s->kind == SETTING_NAME) return value >= 0 && value < words;
    if (s->kind == SETTING_COUNT && words && value == SETTING_AUTO) return true;
    if (s->kind == SETTING_ODD && (int64_t)value % 2 == 0) return false;
    return value >= s->least && value <= s->most;
}

static enum kv_status put_number(const struct setting *s, void *base, const char *value, struct kv_error *err)
{
    char *end;
    /* strtod also reads blanks, "nan", "inf" and hex floats: none is a decimal number */
    if (!*value || strspn(value, "+-.0123456789eE") != strlen(value)) return setting_refuse(s, value, err);
    errno = 0;
    if (s->kind == SETTING_REAL) {
        double number = strtod(value, &end);
        if (*end || end == value || !(number >= s->least && number <= s->most))
            return setting_refuse(s, value, err);
        put(s, base, number, 0);
        return KV_OK;
    }
    long long number = strtoll(value, &end, 10);
    if (*end || end == value || errno || (double)number < s->least || (double)number > s->most ||
        (s->kind == SETTING_ODD && number % 2 == 0))
        return setting_refuse(s, value, err);
    put(s, base, 0, number);
    return KV_OK;
}

enum kv_status setting_put(const struct setting *s, void *base, const char *value, struct kv_error *err)
{
    const char *word;
    for (int i = 0; (word = setting_word(s, i)); i++)
        if (!strcmp(word, value)) {
            put(s, base, 0, s->kind == SETTING_NAME ? i : SETTING_AUTO);
            return KV_OK;
        }
    return s->kind == SETTING_NAME ? setting_refuse(s, value, err) : put_number(s, base, value, err);
}

/* Shortest decimal that reads back as the same double; 20, not 2e+01. */
static void format_real(double value, char *text, size_t size)
{
    if (fabs(value) < 1e9 && value == trunc(value)) {
        snprintf(text, size, "%d", (int)value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value) return;
    }
}

void setting_format(const struct setting *s, const void *base, char *text, size_t size)
{
    double value = setting_field(s, base);
    const char *name = s->kind == SETTING_NAME ? setting_word(s, (int)value) : NULL;
    if (s->kind == SETTING_NAME)
        snprintf(text, size, "%s", name ? name : "?");
    else if (s->kind == SETTING_COUNT && value == SETTING_AUTO && setting_word(s, 0))
        snprintf(text, size, "%s", setting_word(s, 0));
    else if (s->kind == SETTING_REAL)
        format_real(value, text, size);
    else if (s->kind == SETTING_LONG)
        snprintf(text, size, "%lld", (long long)*(const int64_t *)((const char *)base + s->offset));
    else
        snprintf(text, size, "%d", (int)value);
}
