/* Safetensors files: the header read and checked to the last offset, or made. Internal to the engine.
 *
 *     | u64 length, little-endian | JSON {"__metadata__": {text: text}, NAME: {dtype, shape, data_offsets}} | data |
 *
 * A file that opens has tensors that lie behind each other without gap or overlap, from the header's end to the file's,
 * each as long as its type and shape say: nothing that is read later can be out of bounds. */
#ifndef KV_SAFETENSORS_H
#define KV_SAFETENSORS_H

#include "kernels/base.h"

/* name, bytes an element */
#define ST_TYPES(X)                                                                                                \
    X(F64, 8)                                                                                                      \
    X(I64, 8)                                                                                                      \
    X(U64, 8)                                                                                                      \
    X(F32, 4) X(I32, 4) X(U32, 4) X(F16, 2) X(BF16, 2) X(I16, 2) X(U16, 2) X(U8, 1) X(I8, 1) X(BOOL, 1)            \
        X(F8_E4M3, 1) X(F8_E5M2, 1)
#define X(name, bytes) ST_##name,
enum st_type { ST_TYPES(X) ST_TYPE_COUNT };
#undef X
extern const char *const st_type_name[ST_TYPE_COUNT];
extern const uint8_t st_type_bytes[ST_TYPE_COUNT];

#define ST_DIMS 8

struct st_tensor {
    const char *name;
    enum st_type type;
    int n_dim;
    uint64_t dim[ST_DIMS];
    uint64_t begin, bytes; /* in the data */
};

struct st_note {
    const char *key, *text;
};

struct st_file {
    char *path;
    const char *kind; /* what it should be, for sentences: "core file" */
    int fd;
    uint64_t data, size;      /* where the data begins, where the file ends */
    struct st_tensor *tensor; /* [n_tensor] by name */
    int n_tensor;
    struct cJSON *json, *notes; /* names and notes point into it */
};

/* The kind is borrowed. KV_IO, KV_BAD_FILE, KV_NO_MEMORY; KV_UNSUPPORTED where the program was built without cJSON. */
enum kv_status st_open(const char *path, const char *kind, struct st_file *out, struct kv_error *err);
void st_close(struct st_file *f); /* a zeroed one is fine */

/* The sentence "PATH is no KIND: ...", for what a well-formed file lacks. */
enum kv_status st_bad(const struct st_file *f, struct kv_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* NULL where there is none. */
const struct st_tensor *st_find(const struct st_file *f, const char *name);
const char *st_note(const struct st_file *f, const char *key);

/* Reads bytes [offset, offset + bytes) of a tensor. */
enum kv_status st_read(const struct st_file *f, const struct st_tensor *t, uint64_t offset, size_t bytes, void *to,
    struct kv_error *err);

/* The bytes before the data, length word included, of tensors whose begin follows from their order; *header is the
 * caller's to free. */
enum kv_status st_header(const struct st_tensor *tensor, int n_tensor, const struct st_note *note, int n_note,
    char **header, size_t *bytes, struct kv_error *err);

#endif
