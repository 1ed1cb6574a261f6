/* NumPy's .npy format, version 1.0: an array of any shape in row-major order, written at once or in pieces. The file
 * appears whole or not at all. */
#ifndef RENDER_NPY_H
#define RENDER_NPY_H

#include "render/file.h"

/* name, numpy's descr, bytes */
#define NPY_TYPE_LIST(X)                                                                                           \
    X(F4, "<f4", 4)                                                                                                \
    X(F8, "<f8", 8)                                                                                                \
    X(I4, "<i4", 4)                                                                                                \
    X(U1, "|u1", 1)

enum npy_type {
#define X(id, descr, bytes) NPY_##id,
    NPY_TYPE_LIST(X)
#undef X
};

/* Zeroed = closed. */
struct npy {
    struct file_out file;
    size_t left; /* bytes of data still to come */
};

/* Writes the header; dims may be 0 (a scalar) to 32. KV_BAD_ARG when the size overflows. Little-endian machines. */
enum kv_status npy_open(
    struct npy *n, const char *path, enum npy_type type, const size_t *shape, size_t dims, struct kv_error *err);

/* The next bytes of data, a whole number of elements; more than the shape holds is refused. */
enum kv_status npy_put(struct npy *n, const void *data, size_t bytes, struct kv_error *err);

/* Ends the file and renames it; data that did not all come is an error. */
enum kv_status npy_commit(struct npy *n, struct kv_error *err);
void npy_abandon(struct npy *n);

/* All of it in one call. */
enum kv_status npy_write(
    const char *path, enum npy_type type, const void *data, const size_t *shape, size_t dims, struct kv_error *err);

#endif
