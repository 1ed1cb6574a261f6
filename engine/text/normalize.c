/* Unicode's normal forms by utf8proc; replacing and prepending by hand. */
#include "engine/text/normalize.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char *const form_names[] = { "NFC", "NFD", "NFKC", "NFKD" };

static int form_of(struct kv_string name)
{
    for (size_t i = 0; i < KV_COUNT(form_names); i++)
        if (name.length == strlen(form_names[i]) && !memcmp(name.text, form_names[i], name.length)) return (int)i;
    return -1;
}

bool normalize_knows(struct kv_string form) { return form_of(form) >= 0; }

/* Room for n bytes and a NUL. */
static enum kv_status take(char **out, size_t n, struct kv_error *err)
{
    if (n > NORMALIZE_MAX)
        return kv_fail(err, KV_BAD_ARG, "The normalized text is longer than %zu bytes.", NORMALIZE_MAX);
    *out = kv_alloc(n + 1, 1);
    return *out ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of text.", n);
}

static enum kv_status join(
    struct kv_string a, const char *text, size_t bytes, char **out, size_t *n, struct kv_error *err)
{
    enum kv_status status = take(out, a.length + bytes, err);
    if (status) return status;
    if (a.length) memcpy(*out, a.text, a.length);
    if (bytes) memcpy(*out + a.length, text, bytes);
    *n = a.length + bytes;
    return KV_OK;
}

static enum kv_status replace(
    const struct kv_text_step *step, const char *text, size_t bytes, char **out, size_t *n, struct kv_error *err)
{
    static const struct kv_string nothing = { "", 0 };
    struct kv_string from = step->from, to = step->to;
    size_t found = 0;
    if (!from.length) return join(nothing, text, bytes, out, n, err);
    for (const char *p = text; (p = memmem(p, (size_t)(text + bytes - p), from.text, from.length));
         p += from.length)
        found++;
    if (to.length && found > NORMALIZE_MAX / to.length) return take(out, SIZE_MAX, err);
    enum kv_status status = take(out, bytes - found * from.length + found * to.length, err);
    if (status) return status;
    char *at = *out;
    for (const char *p = text, *end = text + bytes; p < end;) {
        const char *next = memmem(p, (size_t)(end - p), from.text, from.length);
        at = mempcpy(at, p, (size_t)((next ? next : end) - p));
        if (next && to.length) at = mempcpy(at, to.text, to.length);
        p = next ? next + from.length : end;
    }
    *n = (size_t)(at - *out);
    return KV_OK;
}

/* Text below U+0300 is its own NFC, and ASCII is its own of every form. */
static bool is_plain(int form, const char *text, size_t bytes)
{
    unsigned char limit = form ? 0x80 : 0xCC;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] >= limit) return false;
    return true;
}

#ifdef KV_HAVE_UTF8PROC

#include <utf8proc.h>

/* Well-formed UTF-8. */
static enum kv_status check_marks(const char *text, size_t bytes, struct kv_error *err)
{
    int marks = 0;
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t point;
        i += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &point);
        marks = utf8proc_get_property(point)->combining_class ? marks + 1 : 0;
        if (marks > NORMALIZE_MARKS)
            return kv_fail(err, KV_BAD_ARG, "The text has more than %d combining marks in a row.", NORMALIZE_MARKS);
    }
    return KV_OK;
}

static enum kv_status form_run(
    int form, const char *text, size_t bytes, char **to, size_t *n, size_t *room, struct kv_error *err)
{
    static const int options[] = { UTF8PROC_STABLE | UTF8PROC_COMPOSE, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT };
    utf8proc_uint8_t *formed = NULL;
    enum kv_status status = check_marks(text, bytes, err);
    if (status || !bytes) return status;
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &formed, options[form]);
    size_t need = *n + (length > 0 ? (size_t)length : 0) + 1;
    char *grown = length < 0 || need > NORMALIZE_MAX ? NULL : need <= *room ? *to : realloc(*to, need + need / 2);
    if (!grown) {
        free(formed);
        return kv_fail(err, KV_NO_MEMORY, "No memory to normalize %zu bytes of text.", bytes);
    }
    *room = grown == *to && need <= *room ? *room : need + need / 2;
    *to = grown;
    memcpy(*to + *n, formed, (size_t)length + 1);
    *n += (size_t)length;
    free(formed);
    return KV_OK;
}

static enum kv_status normal_form(
    int form, const char *text, size_t bytes, char **out, size_t *n, struct kv_error *err)
{
    size_t room = 0;
    *n = 0;
    for (size_t at = 0; at < bytes;) {
        size_t good = at, length;
        while (good < bytes && utf8_next(text + good, bytes - good, &length) == UTF8_GOOD) good += length;
        enum kv_status status = form_run(form, text + at, good - at, out, n, &room, err);
        if (status) return status;
        if (good < bytes) {
            if (room < *n + 2) {
                char *grown = realloc(*out, room = *n + 64);
                if (!grown) return kv_fail(err, KV_NO_MEMORY, "No memory to normalize %zu bytes of text.", bytes);
                *out = grown;
            }
            (*out)[(*n)++] = text[good++];
            (*out)[*n] = 0;
        }
        at = good;
    }
    return KV_OK;
}

#else

static enum kv_status normal_form(
    int form, const char *text, size_t bytes, char **out, size_t *n, struct kv_error *err)
{
    (void)text, (void)bytes, (void)out, (void)n;
    return kv_fail(err, KV_UNSUPPORTED,
        "The vocabulary asks for %s, which this build without utf8proc cannot do for such text; give the prompt as "
        "token ids, or install libutf8proc-dev and build again.",
        form_names[form]);
}

#endif

enum kv_status normalize_step(const struct kv_text_step *step, const char *text, size_t bytes, bool at_start,
    char **out, size_t *n, struct kv_error *err)
{
    static const struct kv_string nothing = { "", 0 };
    enum kv_status status;
    int form = form_of(step->to);
    struct kv_string head = step->to;
    *out = NULL;
    *n = 0;
    switch (step->kind) {
    case KV_STEP_REPLACE: status = replace(step, text, bytes, out, n, err); break;
    case KV_STEP_PREPEND:
        if (!bytes || (step->first && !at_start) ||
            (step->unless && bytes >= head.length && !memcmp(text, head.text, head.length)))
            head = nothing;
        status = join(head, text, bytes, out, n, err);
        break;
    default:
        if (form < 0)
            return kv_fail(err, KV_UNSUPPORTED, "The normal form \"%.*s\" is not known.",
                (int)kv_min(head.length, 20), head.length ? head.text : "");
        status = is_plain(form, text, bytes) ? join(nothing, text, bytes, out, n, err)
                                             : normal_form(form, text, bytes, out, n, err);
    }
    if (!status) return KV_OK;
    free(*out);
    *out = NULL;
    *n = 0;
    return status;
}
