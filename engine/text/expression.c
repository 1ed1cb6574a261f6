/* Most of what tokenizers use means the same to both. What does not: \s and \S are spelled out; sets within sets,
 * intersections and \h, which is a hexadecimal digit here and a blank there, are refused. */
#include "engine/text/expression.h"

#include <stdlib.h>
#include <string.h>

static enum kv_status refuse(const char *what, struct kv_error *err)
{
    return kv_fail(err, KV_UNSUPPORTED,
        "The pre-tokenizer's expression uses %s, which kvdbg does not read; give the prompt as token ids.", what);
}

/* The escape at p (a backslash and what follows it). *used bytes of it become *to; NULL = they stay as they are. */
static enum kv_status translate_escape(
    const char *p, size_t left, bool in_class, const char **to, size_t *used, struct kv_error *err)
{
    *to = NULL;
    *used = left > 1 ? 2 : 1;
    if (left < 2) return refuse("a backslash at its end", err);
    if (p[1] == 's') *to = in_class ? EXPRESSION_SPACE : "[" EXPRESSION_SPACE "]";
    if (p[1] == 'S' && in_class) return refuse("\\S within brackets", err);
    if (p[1] == 'S') *to = "[^" EXPRESSION_SPACE "]";
    if (p[1] == 'h' || p[1] == 'H') return refuse("\\h", err);
    if (p[1] == 'Q' || p[1] == 'E') return refuse("\\Q", err);
    return KV_OK;
}

enum kv_status expression_translate(const char *text, size_t bytes, char **out, struct kv_error *err)
{
    size_t room = bytes < ((size_t)1 << 20) ? bytes * sizeof("[^" EXPRESSION_SPACE "]") + 1 : 0, n = 0, used;
    bool in_class = false;
    enum kv_status status = KV_OK;
    *out = NULL;
    if (!room) return refuse("more than 1 MiB", err);
    if (memchr(text, 0, bytes)) return refuse("a NUL", err);
    char *to = kv_alloc(room, 1);
    if (!to) return kv_fail(err, KV_NO_MEMORY, "No memory for an expression of %zu bytes.", bytes);
    for (size_t i = 0; i < bytes && !status; i += used) {
        const char *p = text + i, *instead = NULL;
        used = 1;
        if (*p == '\\') {
            status = translate_escape(p, bytes - i, in_class, &instead, &used, err);
        } else if (*p == '[') {
            if (in_class) status = refuse("a set within a set", err);
            in_class = true;
            while (i + used < bytes && used < 3 && (p[used] == '^' || p[used] == ']')) used++;
            if (used > 1 && p[used - 1] == ']' && i + used == bytes) status = refuse("a set without an end", err);
        } else if (*p == ']') {
            in_class = false;
        } else if (in_class && *p == '&' && i + 1 < bytes && p[1] == '&') {
            status = refuse("an intersection of sets", err);
        }
        if (instead) n += (size_t)(stpcpy(to + n, instead) - (to + n));
        for (size_t k = 0; !instead && k < used; k++) to[n++] = p[k];
    }
    if (status) {
        free(to);
        return status;
    }
    *out = to;
    return KV_OK;
}
