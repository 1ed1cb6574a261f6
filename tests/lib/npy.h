/* Reads and writes NumPy's .npy files (version 1.0, little-endian f4, i4 and u1, C order): goldens and dumps. */
#ifndef NPY_H
#define NPY_H

#include "kernels/base.h"

enum npy_type { NPY_F4, NPY_I4, NPY_U1 };

#define NPY_MAX_DIM 4

struct npy {
    enum npy_type type;
    int n_dim;
    size_t dim[NPY_MAX_DIM]; /* 1 behind n_dim */
    size_t count;            /* elements */
    union {
        float *f4;
        int32_t *i4;
        uint8_t *u1;
        void *data; /* owned */
    };
};

/* Reads a whole file; release with npy_free. KV_IO when it cannot be read, KV_BAD_FILE when it is something else, is
 * cut short or has bytes too many. On failure *out is zeroed. */
enum kv_status npy_read(const char *path, struct npy *out, struct kv_error *err);
void npy_free(struct npy *a); /* a zeroed array is fine */

/* Writes rows as they come: dim[0] must be known beforehand. data holds any whole number of elements; npy_close
 * checks that all were written. */
struct npy_writer {
    void *file; /* FILE */
    size_t element, left;
};
enum kv_status npy_create(const char *path, enum npy_type type, int n_dim, const size_t *dim,
    struct npy_writer *out, struct kv_error *err);
enum kv_status npy_append(struct npy_writer *w, const void *data, size_t count, struct kv_error *err);
enum kv_status npy_close(struct npy_writer *w, struct kv_error *err);

#endif
