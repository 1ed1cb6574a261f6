/* A table row that ties a setting's name and text to a typed field of a struct: set, show, help and completion all
 * come from such tables. */
#ifndef KV_SETTING_ROW_H
#define KV_SETTING_ROW_H

#include "kernels/base.h"

enum setting_kind {
    SETTING_NAME,  /* int, index into the legal words */
    SETTING_COUNT, /* int; the word in values, if any, stands for SETTING_AUTO */
    SETTING_ODD,   /* int, odd */
    SETTING_LONG,  /* int64 */
    SETTING_REAL,  /* double */
};

#define SETTING_AUTO (-1) /* of a SETTING_COUNT with a word */

struct setting {
    const char *name; /* "policy.ratio" */
    enum setting_kind kind;
    size_t offset;                 /* of the field in its struct */
    const char *initial;           /* its default; NULL = unset (0) */
    double least, most;            /* numbers: legal range, both included */
    const char *legal;             /* numbers: that range in words, "in (0, 1]"; words: instead of their list */
    const char *const *values;     /* words: NULL-terminated, or */
    const char *(*value)(int row); /* words: a function, NULL behind the last */
    const char *help;              /* one sentence */
};

/* The i-th legal word, NULL behind the last. */
const char *setting_word(const struct setting *s, int i);
/* Legal values in words: "one of all, window, last", "in (0, 1]". Returns text. */
const char *setting_legal(const struct setting *s, char *text, size_t size);
/* Reads value into the field of the struct at base. KV_BAD_ARG when it is not a legal one (NaN, infinities,
 * overflow and trailing text included); then the field is as it was. */
enum kv_status setting_put(const struct setting *s, void *base, const char *value, struct kv_error *err);
/* The field as setting_put would read it back. */
void setting_format(const struct setting *s, const void *base, char *text, size_t size);
/* The field as a number, and whether setting_put could have put it there. */
double setting_field(const struct setting *s, const void *base);
bool setting_field_legal(const struct setting *s, const void *base);
/* The error of a value that is not legal. */
enum kv_status setting_refuse(const struct setting *s, const char *value, struct kv_error *err);
/* The user's text as it may stand in an error: short, and without bytes that a terminal would act on. */
const char *setting_quote(const char *value, char *text, size_t size);

#endif
