/* NumPy's .npy files. Layout (version 1.0):
 *     6 bytes "\x93NUMPY" | 1 0 | u16 header length | header, a Python dict in ASCII, blanks, '\n' | elements
 * The whole prefix is a multiple of 64 bytes when written here; any length is read. */
#include "tests/lib/npy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC     "\x93NUMPY\x01"
#define MAX_BYTES ((size_t)1 << 30)

static const struct {
    const char *code;
    size_t bytes;
} types[] = { [NPY_F4] = { "<f4", 4 }, [NPY_I4] = { "<i4", 4 }, [NPY_U1] = { "|u1", 1 } };

/* What stands behind 'key': in the header, NULL when it is missing. */
static const char *field(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    while (*at == ' ') at++;
    return at;
}

/* "(2, 3)", "(2,)" or "()"; false for anything else or too many elements. */
static bool parse_shape(const char *at, struct npy *out)
{
    out->count = 1;
    for (int i = 0; i < NPY_MAX_DIM; i++) out->dim[i] = 1;
    if (*at++ != '(') return false;
    while (*at != ')') {
        char *end;
        if (!isdigit((unsigned char)*at) || out->n_dim == NPY_MAX_DIM) return false;
        unsigned long long dim = strtoull(at, &end, 10);
        if (dim > MAX_BYTES || (dim && out->count > MAX_BYTES / dim)) return false;
        out->dim[out->n_dim++] = (size_t)dim;
        out->count *= (size_t)dim;
        at = end;
        if (*at == ',') at++;
        while (*at == ' ') at++;
    }
    return true;
}

static bool parse_header(const char *header, struct npy *out)
{
    const char *descr = field(header, "'descr':"), *order = field(header, "'fortran_order':");
    const char *shape = field(header, "'shape':");
    if (!descr || !order || !shape || strncmp(order, "False", 5) || !parse_shape(shape, out)) return false;
    for (size_t i = 0; i < KV_COUNT(types); i++) {
        if (*descr != '\'' || strncmp(descr + 1, types[i].code, 3)) continue;
        out->type = (enum npy_type)i;
        return out->count <= MAX_BYTES / types[i].bytes;
    }
    return false;
}

enum kv_status npy_read(const char *path, struct npy *out, struct kv_error *err)
{
    uint8_t start[10];
    char header[4096];
    *out = (struct npy){ 0 };
    FILE *f = fopen(path, "rb");
    if (!f) return kv_fail(err, KV_IO, "Cannot open %s.", path);
    enum kv_status status = KV_OK;
    size_t length = fread(start, 1, 10, f) == 10 ? start[8] | (size_t)start[9] << 8 : sizeof header;
    if (length >= sizeof header || memcmp(start, MAGIC, 7) || fread(header, 1, length, f) != length) {
        status = kv_fail(err, KV_BAD_FILE, "%s is no .npy file of version 1.", path);
        goto done;
    }
    header[length] = 0;
    if (!parse_header(header, out)) {
        status = kv_fail(err, KV_BAD_FILE, "%s holds no array of f4, i4 or u1 in C order.", path);
        goto done;
    }
    size_t bytes = types[out->type].bytes;
    out->data = kv_alloc(out->count ? out->count : 1, bytes);
    if (!out->data)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the %zu elements of %s.", out->count, path);
    else if (fread(out->data, bytes, out->count, f) != out->count || fgetc(f) != EOF)
        status = kv_fail(err, KV_BAD_FILE, "%s does not hold just %zu elements.", path, out->count);
done:
    fclose(f);
    if (status) npy_free(out);
    return status;
}

void npy_free(struct npy *a)
{
    free(a->data);
    *a = (struct npy){ 0 };
}

enum kv_status npy_create(const char *path, enum npy_type type, int n_dim, const size_t *dim,
    struct npy_writer *out, struct kv_error *err)
{
    char shape[128] = "", header[256];
    size_t at = 0;
    *out = (struct npy_writer){ .element = types[type].bytes, .left = 1 };
    for (int i = 0; i < n_dim; i++) {
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%zu, ", dim[i]);
        out->left *= dim[i];
    }
    int length = snprintf(
        header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", types[type].code, shape);
    int padded = (10 + length + 1 + 63) / 64 * 64 - 10;
    out->file = fopen(path, "wb");
    if (!out->file) return kv_fail(err, KV_IO, "Cannot write %s.", path);
    fwrite(MAGIC "\0", 1, 8, out->file);
    fputc(padded & 255, out->file);
    fputc(padded >> 8, out->file);
    fprintf(out->file, "%-*s\n", padded - 1, header);
    return KV_OK;
}

enum kv_status npy_append(struct npy_writer *w, const void *data, size_t count, struct kv_error *err)
{
    if (count > w->left) return kv_fail(err, KV_BAD_ARG, "%zu elements more than announced.", count - w->left);
    w->left -= count;
    if (fwrite(data, w->element, count, w->file) != count) return kv_fail(err, KV_IO, "The dump's disk is full.");
    return KV_OK;
}

enum kv_status npy_close(struct npy_writer *w, struct kv_error *err)
{
    bool written = !w->file || (!ferror((FILE *)w->file) && !w->left);
    if (w->file && fclose(w->file)) written = false;
    w->file = NULL;
    return written ? KV_OK : kv_fail(err, KV_IO, "A dump is incomplete: %zu elements are missing.", w->left);
}
