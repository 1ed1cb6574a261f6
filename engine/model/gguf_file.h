/* What a GGUF file is made of, for the files that read it. Internal to engine/model. */
#ifndef KV_GGUF_FILE_H
#define KV_GGUF_FILE_H

#include "engine/model/gguf.h"

#include <string.h>

/* Where a reader stands among bytes that end. */
struct cursor {
    const uint8_t *base, *at, *end;
};

static inline size_t cursor_left(const struct cursor *c) { return (size_t)(c->end - c->at); }

static inline bool cursor_take(struct cursor *c, void *out, size_t bytes)
{
    if (cursor_left(c) < bytes) return false;
    memcpy(out, c->at, bytes);
    c->at += bytes;
    return true;
}

static inline bool cursor_skip(struct cursor *c, uint64_t bytes)
{
    if (cursor_left(c) < bytes) return false;
    c->at += bytes;
    return true;
}

static inline bool cursor_string(struct cursor *c, struct kv_string *out)
{
    uint64_t length;
    if (!cursor_take(c, &length, sizeof length) || length > cursor_left(c)) return false;
    *out = (struct kv_string){ (const char *)c->at, (size_t)length };
    c->at += length;
    return true;
}

static inline struct kv_string gguf_view(const char *text) { return (struct kv_string){ text, strlen(text) }; }

struct pair {
    struct kv_string key;
    uint32_t type;
    const uint8_t *value; /* behind the type; checked to its end */
};

struct gguf_part {
    char *path;
    struct gguf *file; /* NULL: the first, which holds the others */
};

struct gguf {
    const uint8_t *data;
    size_t size;
    bool mapped;
    struct pair *pair; /* [n_pair] by key */
    size_t n_pair;
    struct gguf_tensor *tensor; /* [n_tensor] by name, of all parts */
    size_t n_tensor;
    struct gguf_part *part; /* [n_part] in their order; none where the file is whole */
    int n_part;
};

/* The orders of tensors and of pairs, for qsort and bsearch. */
int gguf_by_name(const void *a, const void *b);
int gguf_by_key(const void *a, const void *b);

/* "U32", NULL for a type that there is not; bytes of a value of fixed size, 0 for another. */
const char *gguf_value_name(uint32_t type);
size_t gguf_value_bytes(uint32_t type);

/* KV_BAD_FILE: the file ends inside the value of this key. */
enum kv_status gguf_truncated_value(const struct gguf *file, struct kv_string key, struct kv_error *err);

#endif
