/* A tokenizer of a core file: the texts of the tokens that occur in it, and no way to encode. */
#include "engine/text/tables.h"

#include <stdlib.h>
#include <string.h>

enum kv_status tok_from_pieces(int n_token, const int32_t *id, const int32_t *start, int n, const char *bytes,
    struct kv_tokenizer **out, struct kv_error *err)
{
    size_t room = n ? (size_t)start[n] : 0;
    struct kv_tokenizer *t = kv_alloc(1, sizeof *t);
    *out = t;
    if (t)
        *t = (struct kv_tokenizer){ .n_token = n_token,
            .n_id = n,
            .id = kv_alloc((size_t)n + 1, sizeof *t->id),
            .start = kv_alloc((size_t)n + 1, sizeof *t->start),
            .bytes = kv_alloc(room + 1, 1) };
    if (!t || !t->id || !t->start || !t->bytes) {
        tok_close(t);
        *out = NULL;
        return kv_fail(err, KV_NO_MEMORY, "No memory for the texts of %d tokens.", n);
    }
    for (int i = 0; i < n; i++) t->id[i] = id[i];
    for (int i = 0; i <= n && n; i++) t->start[i] = (size_t)start[i];
    if (room) memcpy(t->bytes, bytes, room);
    return KV_OK;
}
