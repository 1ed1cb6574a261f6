/* What a GGUF file says: its tensors by name, and its keys' values, checked for their type and range. */
#include "engine/model/gguf_file.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- types of values ---- */

const char *gguf_value_name(uint32_t type)
{
    switch (type) {
#define X(name, number, bytes)                                                                                     \
    case number: return #name;
        GGUF_VALUE_LIST(X)
#undef X
    default: return NULL;
    }
}

size_t gguf_value_bytes(uint32_t type)
{
    switch (type) {
#define X(name, number, bytes)                                                                                     \
    case number: return bytes;
        GGUF_VALUE_LIST(X)
#undef X
    default: return 0;
    }
}

/* ---- lookup ---- */

size_t gguf_tensor_count(const struct gguf *file) { return file->n_tensor; }
const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, size_t index) { return &file->tensor[index]; }

const struct gguf_tensor *gguf_tensor(const struct gguf *file, const char *name)
{
    struct gguf_tensor wanted = { .name = gguf_view(name) };
    return bsearch(&wanted, file->tensor, file->n_tensor, sizeof wanted, gguf_by_name);
}

static const struct pair *find(const struct gguf *file, const char *key)
{
    struct pair wanted = { .key = gguf_view(key) };
    return bsearch(&wanted, file->pair, file->n_pair, sizeof wanted, gguf_by_key);
}

static enum kv_status absent(const char *key, struct kv_error *err)
{
    return kv_fail(err, KV_NOT_FOUND, "The GGUF file has no key '%s'.", key);
}

static enum kv_status mistyped(const struct pair *p, const char *expected, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_FILE, "Key %s is of type %s, expected %s.", gguf_quote(p->key).text,
        gguf_value_name(p->type), expected);
}

bool gguf_has(const struct gguf *file, const char *key) { return find(file, key) != NULL; }

/* An integer of any width as sign and magnitude; false = no integer. */
static bool read_integer(const struct pair *p, bool *negative, uint64_t *magnitude)
{
    size_t bytes = gguf_value_bytes(p->type);
    bool has_sign = p->type == GGUF_I8 || p->type == GGUF_I16 || p->type == GGUF_I32 || p->type == GGUF_I64;
    if (!has_sign && p->type != GGUF_U8 && p->type != GGUF_U16 && p->type != GGUF_U32 && p->type != GGUF_U64)
        return false;
    uint64_t value = 0;
    memcpy(&value, p->value, bytes);
    *negative = has_sign && value >> (8 * bytes - 1);
    *magnitude = *negative ? (~value + 1) & (UINT64_MAX >> (64 - 8 * bytes)) : value;
    return true;
}

enum kv_status gguf_u32(const struct gguf *file, const char *key, uint32_t *out, struct kv_error *err)
{
    const struct pair *p = find(file, key);
    bool negative;
    uint64_t magnitude;
    if (!p) return absent(key, err);
    if (!read_integer(p, &negative, &magnitude)) return mistyped(p, "an integer", err);
    if (negative || magnitude > UINT32_MAX)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is %s%llu, expected 0 to %u.", key, negative ? "-" : "",
            (unsigned long long)magnitude, UINT32_MAX);
    *out = (uint32_t)magnitude;
    return KV_OK;
}

enum kv_status gguf_f32(const struct gguf *file, const char *key, float *out, struct kv_error *err)
{
    const struct pair *p = find(file, key);
    double wide;
    if (!p) return absent(key, err);
    if (p->type == GGUF_F32) return memcpy(out, p->value, sizeof *out), KV_OK;
    if (p->type != GGUF_F64) return mistyped(p, "F32", err);
    memcpy(&wide, p->value, sizeof wide);
    *out = wide > FLT_MAX ? INFINITY : wide < -FLT_MAX ? -INFINITY : (float)wide;
    return KV_OK;
}

enum kv_status gguf_bool(const struct gguf *file, const char *key, bool *out, struct kv_error *err)
{
    const struct pair *p = find(file, key);
    if (!p) return absent(key, err);
    if (p->type != GGUF_BOOL) return mistyped(p, "BOOL", err);
    if (*p->value > 1)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is a BOOL of value %u, expected 0 or 1.", key, *p->value);
    *out = *p->value;
    return KV_OK;
}

enum kv_status gguf_string(const struct gguf *file, const char *key, struct kv_string *out, struct kv_error *err)
{
    const struct pair *p = find(file, key);
    if (!p) return absent(key, err);
    if (p->type != GGUF_STRING) return mistyped(p, "STRING", err);
    struct cursor c = { p->value, p->value, file->data + file->size };
    return cursor_string(&c, out) ? KV_OK : gguf_truncated_value(file, p->key, err);
}

/* Finds an array with elements of one of two types; the cursor then stands on its first element. */
static enum kv_status find_array(const struct gguf *file, const char *key, enum gguf_value_type one,
    enum gguf_value_type other, struct cursor *c, size_t *count, struct kv_error *err)
{
    const struct pair *p = find(file, key);
    uint32_t of;
    uint64_t n;
    if (!p) return absent(key, err);
    if (p->type != GGUF_ARRAY) return mistyped(p, "ARRAY", err);
    *c = (struct cursor){ p->value, p->value, file->data + file->size };
    if (!cursor_take(c, &of, sizeof of) || !cursor_take(c, &n, sizeof n))
        return gguf_truncated_value(file, p->key, err);
    if (of != one && of != other)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is an array of %s, expected %s.", key, gguf_value_name(of),
            gguf_value_name(one));
    *count = (size_t)n;
    return KV_OK;
}

enum kv_status gguf_strings(
    const struct gguf *file, const char *key, struct kv_string **out, size_t *count, struct kv_error *err)
{
    struct cursor c;
    size_t n;
    enum kv_status status = find_array(file, key, GGUF_STRING, GGUF_STRING, &c, &n, err);
    if (status) return status;
    struct kv_string *list = kv_alloc(n, sizeof *list);
    if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu strings of key '%s'.", n, key);
    for (size_t i = 0; i < n; i++)
        if (!cursor_string(&c, &list[i])) {
            free(list);
            return gguf_truncated_value(file, gguf_view(key), err);
        }
    *out = list;
    *count = n;
    return KV_OK;
}

/* Numbers of four bytes. */
static enum kv_status numbers(const struct gguf *file, const char *key, enum gguf_value_type one,
    enum gguf_value_type other, void **out, size_t *count, struct kv_error *err)
{
    struct cursor c;
    size_t n;
    enum kv_status status = find_array(file, key, one, other, &c, &n, err);
    if (status) return status;
    void *list = kv_alloc(n, sizeof(int32_t));
    if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu numbers of key '%s'.", n, key);
    if (!cursor_take(&c, list, n * sizeof(int32_t))) {
        free(list);
        return gguf_truncated_value(file, gguf_view(key), err);
    }
    *out = list;
    *count = n;
    return KV_OK;
}

enum kv_status gguf_bools(const struct gguf *file, const char *key, bool **out, size_t *count, struct kv_error *err)
{
    struct cursor c;
    size_t n;
    enum kv_status status = find_array(file, key, GGUF_BOOL, GGUF_BOOL, &c, &n, err);
    if (status) return status;
    bool *list = kv_alloc(n, sizeof *list);
    if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu flags of key '%s'.", n, key);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte;
        if (!cursor_take(&c, &byte, 1)) {
            free(list);
            return gguf_truncated_value(file, gguf_view(key), err);
        }
        list[i] = byte != 0;
    }
    *out = list;
    *count = n;
    return KV_OK;
}

enum kv_status gguf_i32s(
    const struct gguf *file, const char *key, int32_t **out, size_t *count, struct kv_error *err)
{
    void *list;
    enum kv_status status = numbers(file, key, GGUF_I32, GGUF_U32, &list, count, err);
    if (!status) *out = list;
    return status;
}

enum kv_status gguf_f32s(const struct gguf *file, const char *key, float **out, size_t *count, struct kv_error *err)
{
    void *list;
    enum kv_status status = numbers(file, key, GGUF_F32, GGUF_F32, &list, count, err);
    if (!status) *out = list;
    return status;
}
