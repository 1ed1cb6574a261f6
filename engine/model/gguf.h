/* Reads GGUF versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian.
 *
 * The file is mapped read-only and stays mapped until gguf_close; strings and tensors point into the map. Opening
 * checks everything that can be checked without the tensors' numbers: after it, every key, string and tensor lies
 * inside the file, names are unique, tensors do not overlap. Memory taken is proportional to the file, whatever
 * counts it claims. A file that another program shortens while it is open is not guarded against.
 *
 * Errors: KV_IO (cannot be opened or mapped), KV_BAD_FILE (malformed), KV_UNSUPPORTED (well-formed, not read here),
 * KV_NO_MEMORY. Names from the file are quoted in sentences as printable ASCII, cut when long. */
#ifndef KV_GGUF_H
#define KV_GGUF_H

#include "engine/model/model.h"

enum { GGUF_MAX_DIMS = 4, GGUF_MAX_NESTING = 4, GGUF_MAX_NAME = 65535, GGUF_DEFAULT_ALIGNMENT = 32 };

/* Type of a metadata value: name, number in the file, bytes (0 = of variable size) */
#define GGUF_VALUE_LIST(X)                                                                                         \
    X(U8, 0, 1)                                                                                                    \
    X(I8, 1, 1)                                                                                                    \
    X(U16, 2, 2)                                                                                                   \
    X(I16, 3, 2)                                                                                                   \
    X(U32, 4, 4)                                                                                                   \
    X(I32, 5, 4)                                                                                                   \
    X(F32, 6, 4)                                                                                                   \
    X(BOOL, 7, 1)                                                                                                  \
    X(STRING, 8, 0)                                                                                                \
    X(ARRAY, 9, 0)                                                                                                 \
    X(U64, 10, 8)                                                                                                  \
    X(I64, 11, 8)                                                                                                  \
    X(F64, 12, 8)

enum gguf_value_type {
#define X(name, number, bytes) GGUF_##name = number,
    GGUF_VALUE_LIST(X)
#undef X
};

struct gguf_tensor {
    struct kv_string name;
    int type; /* enum kv_type */
    int n_dims;
    int64_t dim[GGUF_MAX_DIMS]; /* dim[0] is the contiguous one: a matrix [rows][cols] has dim {cols, rows} */
    const void *data;           /* in the map, aligned as the file says (at least 8 bytes) */
    size_t bytes;
};

struct gguf;

/* Maps and checks a file. On failure *out is NULL. */
enum kv_status gguf_open(const char *path, struct gguf **out, struct kv_error *err);

/* Opens a file and, where it says that it is one of several parts (keys split.no, split.count, split.tensors.count), the
 * others beside it, NAME-00001-of-00003.gguf and so on; path may be any of them. Keys are those of the first part,
 * tensors those of all. */
enum kv_status gguf_open_parts(const char *path, struct gguf **out, struct kv_error *err);

/* Paths of the parts, NULL behind the last; a file of one part, and bytes in memory, have none. */
const char *gguf_part(const struct gguf *file, int index);

/* The same as gguf_open for bytes in memory, borrowed until gguf_close and aligned to at least 8. */
enum kv_status gguf_open_memory(const void *data, size_t size, struct gguf **out, struct kv_error *err);

void gguf_close(struct gguf *file); /* NULL is fine */

/* Tensors in the order of their names; by name NULL = the file has none such. */
size_t gguf_tensor_count(const struct gguf *file);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, size_t index);
const struct gguf_tensor *gguf_tensor(const struct gguf *file, const char *name);

/* Values of keys. KV_NOT_FOUND = no such key, KV_BAD_FILE = another type or out of range; either way *out keeps
 * what it had, so a default may stand there before. */
bool gguf_has(const struct gguf *file, const char *key);
enum kv_status gguf_u32(
    const struct gguf *file, const char *key, uint32_t *out, struct kv_error *err); /* any integer */
enum kv_status gguf_f32(const struct gguf *file, const char *key, float *out, struct kv_error *err); /* F32, F64 */
enum kv_status gguf_bool(const struct gguf *file, const char *key, bool *out, struct kv_error *err);
enum kv_status gguf_string(const struct gguf *file, const char *key, struct kv_string *out, struct kv_error *err);

/* Arrays, allocated for the caller to free: the strings still point into the map. */
enum kv_status gguf_strings(
    const struct gguf *file, const char *key, struct kv_string **out, size_t *count, struct kv_error *err);
enum kv_status gguf_i32s(
    const struct gguf *file, const char *key, int32_t **out, size_t *count, struct kv_error *err);
enum kv_status gguf_bools(
    const struct gguf *file, const char *key, bool **out, size_t *count, struct kv_error *err);
enum kv_status gguf_f32s(
    const struct gguf *file, const char *key, float **out, size_t *count, struct kv_error *err);

/* A name for a sentence: in quotes, other than printable ASCII as '?', cut to 64 characters. */
struct gguf_quoted {
    char text[72];
};
struct gguf_quoted gguf_quote(struct kv_string name);

#endif
