/* Header: "\x93NUMPY", version 1 0, u16 length of what follows, a Python dict padded by spaces so that the data starts
 * at a multiple of 64 and the header ends in a newline. */
#include "render/npy.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 32, PREFIX = 10 };

static const struct {
    const char *descr;
    size_t bytes;
} types[] = {
#define X(id, descr, bytes) { descr, bytes },
    NPY_TYPE_LIST(X)
#undef X
};

static int shape_text(char *out, size_t size, const size_t *shape, size_t dims)
{
    int n = snprintf(out, size, "(");
    for (size_t i = 0; i < dims; i++)
        n += snprintf(
            out + n, size - (size_t)n, "%s%zu%s", i ? " " : "", shape[i], dims == 1 || i + 1 < dims ? "," : "");
    return n + snprintf(out + n, size - (size_t)n, ")");
}

static enum kv_status put_header(
    struct npy *n, enum npy_type type, const size_t *shape, size_t dims, struct kv_error *err)
{
    char dict[1024], head[PREFIX + 1024 + 64];
    int used = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': ", types[type].descr);
    used += shape_text(dict + used, sizeof dict - (size_t)used, shape, dims);
    used += snprintf(dict + used, sizeof dict - (size_t)used, ", }");
    size_t total = ((size_t)(PREFIX + used + 1) + 63) / 64 * 64, length = total - PREFIX;
    memset(head, ' ', total);
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)(length & 255);
    head[9] = (char)(length >> 8);
    memcpy(head + PREFIX, dict, (size_t)used);
    head[total - 1] = '\n';
    return file_write(&n->file, head, total, err);
}

enum kv_status npy_open(
    struct npy *n, const char *path, enum npy_type type, const size_t *shape, size_t dims, struct kv_error *err)
{
    memset(n, 0, sizeof *n);
    if (dims > MAX_DIMS)
        return kv_fail(err, KV_BAD_ARG, "An .npy array has at most %d dimensions, not %zu.", MAX_DIMS, dims);
    n->left = types[type].bytes;
    for (size_t i = 0; i < dims; i++) {
        if (__builtin_mul_overflow(n->left, shape[i], &n->left))
            return kv_fail(err, KV_BAD_ARG, "The array for %.300s is too large to count.", path);
    }
    enum kv_status status = file_open(&n->file, path, err);
    if (!status) status = put_header(n, type, shape, dims, err);
    if (status) npy_abandon(n);
    return status;
}

enum kv_status npy_put(struct npy *n, const void *data, size_t bytes, struct kv_error *err)
{
    if (bytes > n->left)
        return kv_fail(
            err, KV_BAD_ARG, "%zu bytes more than the shape of %.300s holds.", bytes - n->left, n->file.path);
    n->left -= bytes;
    return file_write(&n->file, data, bytes, err);
}

enum kv_status npy_commit(struct npy *n, struct kv_error *err)
{
    if (!n->left) return file_commit(&n->file, err);
    enum kv_status status = kv_fail(err, KV_BAD_ARG, "%.300s lacks %zu bytes of its shape.", n->file.path, n->left);
    npy_abandon(n);
    return status;
}

void npy_abandon(struct npy *n) { file_abandon(&n->file); }

enum kv_status npy_write(
    const char *path, enum npy_type type, const void *data, const size_t *shape, size_t dims, struct kv_error *err)
{
    struct npy n;
    enum kv_status status = npy_open(&n, path, type, shape, dims, err);
    if (status) return status;
    status = npy_put(&n, data, n.left, err);
    if (!status) return npy_commit(&n, err);
    npy_abandon(&n);
    return status;
}
