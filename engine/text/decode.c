/* Decoding, whole and token by token. */
#include "engine/text/tables.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

static enum kv_status no_such_token(const struct kv_tokenizer *t, int32_t id, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_ARG, "There is no token %d: the vocabulary has 0 to %d.", id, t->n_token - 1);
}

enum kv_status tok_decode(
    const struct kv_tokenizer *t, const int32_t *ids, size_t n, char **text, size_t *bytes, struct kv_error *err)
{
    size_t total = 0, length;
    *text = NULL;
    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!tok_piece(t, ids[i], &length)) return no_such_token(t, ids[i], err);
        total += length;
    }
    char *out = kv_alloc(total + 1, 1);
    if (!out) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of text.", total);
    for (size_t i = 0, at = 0; i < n; i++, at += length) {
        const char *piece = tok_piece(t, ids[i], &length);
        memcpy(out + at, piece, length);
    }
    *text = out;
    *bytes = total;
    return KV_OK;
}

/* Room for what `bytes` more bytes of input can give out: a replacement character for each, and the NUL. */
static enum kv_status reserve(struct tok_stream *s, size_t bytes, struct kv_error *err)
{
    size_t capacity = (bytes + sizeof s->held) * 3 + 1;
    if (s->capacity >= capacity) return KV_OK;
    char *text = realloc(s->text, capacity);
    if (!text) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of text.", capacity);
    s->text = text;
    s->capacity = capacity;
    return KV_OK;
}

static size_t put(char *out, const char *bytes, size_t n)
{
    memcpy(out, bytes, n);
    return n;
}

enum kv_status tok_stream_put(struct tok_stream *s, const struct kv_tokenizer *t, int32_t id, const char **text,
    size_t *bytes, struct kv_error *err)
{
    size_t length, n = 0;
    const char *piece = tok_piece(t, id, &length);
    *text = "";
    *bytes = 0;
    if (!piece) return no_such_token(t, id, err);
    enum kv_status status = reserve(s, length, err);
    if (status) return status;
    for (size_t i = 0; i < length; i++) {
        s->held[s->n_held++] = piece[i];
        while (s->n_held) {
            size_t used;
            enum utf8_kind kind = utf8_next(s->held, s->n_held, &used);
            if (kind == UTF8_CUT) break;
            n += kind == UTF8_GOOD ? put(s->text + n, s->held, used) : put(s->text + n, replacement, 3);
            s->n_held -= used;
            memmove(s->held, s->held + used, s->n_held);
        }
    }
    s->text[n] = 0;
    *text = s->text;
    *bytes = n;
    return KV_OK;
}

enum kv_status tok_stream_flush(struct tok_stream *s, const char **text, size_t *bytes, struct kv_error *err)
{
    *text = "";
    *bytes = 0;
    enum kv_status status = reserve(s, 0, err);
    if (status) return status;
    if (s->n_held) *bytes = put(s->text, replacement, 3);
    s->n_held = 0;
    s->text[*bytes] = 0;
    *text = s->text;
    return KV_OK;
}

void tok_stream_close(struct tok_stream *s)
{
    free(s->text);
    *s = (struct tok_stream){ 0 };
}
