/* The GGUF reader: one forward pass over hostile bytes into sorted tables, which gguf_value.c looks things up in. */
#include "engine/model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are read in the host's byte order");

/* Smallest sizes in the file, which bound what a count may claim. */
enum {
    MIN_PAIR_BYTES = 8 + 1 + 4 + 1,          /* key length, key, value type, value */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 /* name length, name, dims, one dim, type, offset */
};

/* ---- bytes ---- */

static int compare(struct kv_string a, struct kv_string b)
{
    int order = memcmp(a.text, b.text, kv_min(a.length, b.length));
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

struct gguf_quoted gguf_quote(struct kv_string name)
{
    struct gguf_quoted quoted;
    size_t shown = kv_min(name.length, 64), n = 0;
    quoted.text[n++] = '\'';
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)name.text[i];
        quoted.text[n++] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    snprintf(quoted.text + n, sizeof quoted.text - n, "%s'", shown < name.length ? "..." : "");
    return quoted;
}

static enum kv_status truncated(const struct gguf *file, const char *what, struct kv_error *err)
{
    return kv_fail(
        err, KV_BAD_FILE, "The GGUF file ends after %zu bytes, inside %s; it is cut or damaged.", file->size, what);
}

enum kv_status gguf_truncated_value(const struct gguf *file, struct kv_string key, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_FILE, "The GGUF file ends after %zu bytes, inside the value of key %s.", file->size,
        gguf_quote(key).text);
}

static enum kv_status take_name(
    const struct gguf *file, struct cursor *c, struct kv_string *out, const char *of, struct kv_error *err)
{
    if (!cursor_string(c, out)) return truncated(file, "a name", err);
    if (out->length >= 1 && out->length <= GGUF_MAX_NAME) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "The name of a %s in the GGUF file has %zu bytes, expected 1 to %d.", of,
        out->length, GGUF_MAX_NAME);
}

/* ---- metadata ---- */

/* Steps over one value; key is for the sentence. Each level of an array costs its reader a call, so depth is
 * bounded; each element costs the file at least one byte, so the walk is too. */
static enum kv_status skip_value(
    const struct gguf *file, struct cursor *c, uint32_t type, struct kv_string key, int depth, struct kv_error *err)
{
    struct kv_string text;
    uint32_t of;
    uint64_t count;

    if (!gguf_value_name(type))
        return kv_fail(
            err, KV_BAD_FILE, "Key %s has a value of type %u; GGUF has types 0 to 12.", gguf_quote(key).text, type);
    if (gguf_value_bytes(type))
        return cursor_skip(c, gguf_value_bytes(type)) ? KV_OK : gguf_truncated_value(file, key, err);
    if (type == GGUF_STRING) return cursor_string(c, &text) ? KV_OK : gguf_truncated_value(file, key, err);

    if (depth >= GGUF_MAX_NESTING)
        return kv_fail(
            err, KV_UNSUPPORTED, "Key %s nests arrays more than %d deep.", gguf_quote(key).text, GGUF_MAX_NESTING);
    if (!cursor_take(c, &of, sizeof of) || !cursor_take(c, &count, sizeof count))
        return gguf_truncated_value(file, key, err);
    if (!gguf_value_name(of))
        return kv_fail(
            err, KV_BAD_FILE, "Key %s has an array of type %u; GGUF has types 0 to 12.", gguf_quote(key).text, of);
    size_t least = gguf_value_bytes(of) ? gguf_value_bytes(of) : of == GGUF_STRING ? 8 : 12;
    if (count > cursor_left(c) / least)
        return kv_fail(err, KV_BAD_FILE,
            "Key %s claims an array of %llu elements; only %zu bytes of the file are left.", gguf_quote(key).text,
            (unsigned long long)count, cursor_left(c));
    if (gguf_value_bytes(of)) return cursor_skip(c, count * least) ? KV_OK : gguf_truncated_value(file, key, err);
    for (uint64_t i = 0; i < count; i++) {
        if (of == GGUF_STRING) {
            if (!cursor_string(c, &text)) return gguf_truncated_value(file, key, err);
        } else {
            enum kv_status status = skip_value(file, c, of, key, depth + 1, err);
            if (status) return status;
        }
    }
    return KV_OK;
}

int gguf_by_key(const void *a, const void *b)
{
    return compare(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static enum kv_status read_pairs(struct gguf *file, struct cursor *c, uint64_t count, struct kv_error *err)
{
    if (count > cursor_left(c) / MIN_PAIR_BYTES)
        return kv_fail(err, KV_BAD_FILE, "The GGUF header claims %llu keys; the file has only %zu bytes.",
            (unsigned long long)count, file->size);
    if (!(file->pair = kv_alloc((size_t)count, sizeof *file->pair)))
        return kv_fail(
            err, KV_NO_MEMORY, "No memory for the %llu keys of the GGUF file.", (unsigned long long)count);
    for (; file->n_pair < count; file->n_pair++) {
        struct pair *p = &file->pair[file->n_pair];
        enum kv_status status = take_name(file, c, &p->key, "key", err);
        if (status) return status;
        if (!cursor_take(c, &p->type, sizeof p->type)) return gguf_truncated_value(file, p->key, err);
        p->value = c->at;
        status = skip_value(file, c, p->type, p->key, 0, err);
        if (status) return status;
    }
    qsort(file->pair, file->n_pair, sizeof *file->pair, gguf_by_key);
    for (size_t i = 1; i < file->n_pair; i++)
        if (!compare(file->pair[i - 1].key, file->pair[i].key))
            return kv_fail(
                err, KV_BAD_FILE, "Key %s stands in the GGUF file twice.", gguf_quote(file->pair[i].key).text);
    return KV_OK;
}

/* ---- tensors ---- */

/* Types that other programs write and kvdbg does not read, so that the refusal can name them. */
static const char *foreign_type(uint32_t type)
{
    enum { FIRST = 9 };
    static const char *const name[] = { "Q8_1", NULL, NULL, NULL, NULL, NULL, "Q8_K", "IQ2_XXS", "IQ2_XS",
        "IQ3_XXS", "IQ1_S", NULL, "IQ3_S", "IQ2_S", NULL, "I8", "I16", "I32", "I64", "F64", "IQ1_M", NULL, NULL,
        NULL, NULL, "TQ1_0", "TQ2_0", NULL, NULL, NULL, "MXFP4" };
    size_t i = (size_t)type - FIRST;
    return i < KV_COUNT(name) && name[i] ? name[i] : "an unknown type";
}

/* Checks dimensions and type, and works out the bytes. */
static enum kv_status size_tensor(struct gguf_tensor *t, uint32_t type, struct kv_error *err)
{
    struct gguf_quoted quoted = gguf_quote(t->name);
    const char *name = quoted.text;
    const struct kv_type_info *info = type <= INT_MAX ? kv_type_info((int)type) : NULL;
    if (!info)
        return kv_fail(err, KV_UNSUPPORTED, "Tensor %s is of type %u (%s), which kvdbg does not read.", name, type,
            foreign_type(type));
    t->type = (int)type;
    int64_t elements = 1;
    for (int d = 0; d < t->n_dims; d++) {
        if (t->dim[d] < 1)
            return kv_fail(err, KV_BAD_FILE,
                "Tensor %s has %llu elements along dimension %d, expected 1 to 2^63 - 1.", name,
                (unsigned long long)t->dim[d], d);
        if (__builtin_mul_overflow(elements, t->dim[d], &elements))
            return kv_fail(err, KV_BAD_FILE, "Tensor %s has more elements than 2^63.", name);
    }
    if (t->dim[0] % info->elements)
        return kv_fail(err, KV_BAD_FILE,
            "Tensor %s has rows of %lld elements, not a multiple of the %d in a %s block.", name,
            (long long)t->dim[0], info->elements, info->name);
    if (__builtin_mul_overflow((size_t)(elements / info->elements), (size_t)info->bytes, &t->bytes))
        return kv_fail(err, KV_BAD_FILE, "Tensor %s has more bytes than 2^64.", name);
    return KV_OK;
}

/* Reads one tensor's entry; its offset goes into *offset, for the data's start is not known yet. */
static enum kv_status read_tensor(
    const struct gguf *file, struct cursor *c, struct gguf_tensor *t, uint64_t *offset, struct kv_error *err)
{
    uint32_t dims, type;
    enum kv_status status = take_name(file, c, &t->name, "tensor", err);
    if (status) return status;
    if (!cursor_take(c, &dims, sizeof dims)) return truncated(file, "its list of tensors", err);
    if (dims < 1 || dims > GGUF_MAX_DIMS)
        return kv_fail(err, KV_BAD_FILE, "Tensor %s has %u dimensions, expected 1 to %d.", gguf_quote(t->name).text,
            dims, GGUF_MAX_DIMS);
    t->n_dims = (int)dims;
    for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) {
        t->dim[d] = 1;
        if (d < dims && !cursor_take(c, &t->dim[d], sizeof t->dim[d]))
            return truncated(file, "its list of tensors", err);
    }
    if (!cursor_take(c, &type, sizeof type) || !cursor_take(c, offset, sizeof *offset))
        return truncated(file, "its list of tensors", err);
    return size_tensor(t, type, err);
}

int gguf_by_name(const void *a, const void *b)
{
    return compare(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *s = a, *t = b;
    return (s->data > t->data) - (s->data < t->data);
}

/* Puts every tensor at its place behind the header (offsets count from there) and checks that it lies in the
 * file. Overlapping tensors are refused because whoever copies weights may count on no more bytes than the file
 * has. */
static enum kv_status place_tensors(
    struct gguf *file, const struct cursor *c, const uint64_t *offset, uint32_t alignment, struct kv_error *err)
{
    size_t header = (size_t)(c->at - c->base), start = (header + alignment - 1) & ~((size_t)alignment - 1);
    size_t room = start < file->size ? file->size - start : 0;
    for (size_t i = 0; i < file->n_tensor; i++) {
        struct gguf_tensor *t = &file->tensor[i];
        if (offset[i] % alignment)
            return kv_fail(err, KV_BAD_FILE, "Tensor %s is at offset %llu, not a multiple of the alignment %u.",
                gguf_quote(t->name).text, (unsigned long long)offset[i], alignment);
        if (offset[i] > room || t->bytes > room - offset[i])
            return kv_fail(err, KV_BAD_FILE,
                "Tensor %s needs %zu bytes at offset %llu of the data; the file has %zu there, so it is cut or "
                "damaged.",
                gguf_quote(t->name).text, t->bytes, (unsigned long long)offset[i], room);
        t->data = file->data + start + offset[i];
    }
    qsort(file->tensor, file->n_tensor, sizeof *file->tensor, by_place);
    for (size_t i = 1; i < file->n_tensor; i++) {
        const struct gguf_tensor *s = &file->tensor[i - 1], *t = &file->tensor[i];
        if ((const uint8_t *)s->data + s->bytes > (const uint8_t *)t->data)
            return kv_fail(err, KV_BAD_FILE, "Tensors %s and %s overlap in the GGUF file.",
                gguf_quote(s->name).text, gguf_quote(t->name).text);
    }
    return KV_OK;
}

static enum kv_status read_tensors(struct gguf *file, struct cursor *c, uint64_t count, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    uint32_t alignment = GGUF_DEFAULT_ALIGNMENT;
    uint64_t *offset = NULL;

    status = gguf_u32(file, "general.alignment", &alignment, err);
    if (status == KV_BAD_FILE) return status;
    if (alignment < 8 || (alignment & (alignment - 1)))
        return kv_fail(err, KV_BAD_FILE, "The alignment of the GGUF file is %u, expected a power of two from 8 on.",
            alignment);
    if (count > cursor_left(c) / MIN_TENSOR_BYTES)
        return kv_fail(err, KV_BAD_FILE, "The GGUF header claims %llu tensors; the file has only %zu bytes.",
            (unsigned long long)count, file->size);
    file->tensor = kv_alloc((size_t)count, sizeof *file->tensor);
    offset = kv_alloc((size_t)count, sizeof *offset);
    if (!file->tensor || !offset) {
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the list of %llu tensors.", (unsigned long long)count);
        goto out;
    }
    for (; file->n_tensor < count; file->n_tensor++) {
        status = read_tensor(file, c, &file->tensor[file->n_tensor], &offset[file->n_tensor], err);
        if (status) goto out;
    }
    if ((status = place_tensors(file, c, offset, alignment, err))) goto out;
    qsort(file->tensor, file->n_tensor, sizeof *file->tensor, gguf_by_name);
    for (size_t i = 1; i < file->n_tensor; i++)
        if (!compare(file->tensor[i - 1].name, file->tensor[i].name)) {
            status = kv_fail(err, KV_BAD_FILE, "Tensor %s stands in the GGUF file twice.",
                gguf_quote(file->tensor[i].name).text);
            goto out;
        }
out:
    free(offset);
    return status;
}

/* ---- opening ---- */

static enum kv_status read_all(struct gguf *file, struct kv_error *err)
{
    struct cursor c = { file->data, file->data, file->data + file->size };
    uint32_t version;
    uint64_t n_tensor, n_pair;
    if (file->size < 4 || memcmp(file->data, "GGUF", 4)) {
        struct kv_string start = { (const char *)file->data, kv_min(file->size, 4) };
        return kv_fail(
            err, KV_BAD_FILE, "This is no GGUF file: it begins with %s, expected 'GGUF'.", gguf_quote(start).text);
    }
    c.at += 4;
    if (!cursor_take(&c, &version, sizeof version)) return truncated(file, "its header", err);
    if (version && !(version & 0xffff))
        return kv_fail(err, KV_UNSUPPORTED, "The GGUF file is big-endian; kvdbg reads little-endian ones.");
    if (version != 2 && version != 3)
        return kv_fail(
            err, KV_UNSUPPORTED, "The GGUF file is of version %u; kvdbg reads versions 2 and 3.", version);
    if (!cursor_take(&c, &n_tensor, sizeof n_tensor) || !cursor_take(&c, &n_pair, sizeof n_pair))
        return truncated(file, "its header", err);
    enum kv_status status = read_pairs(file, &c, n_pair, err);
    return status ? status : read_tensors(file, &c, n_tensor, err);
}

static enum kv_status open_bytes(
    const void *data, size_t size, bool mapped, struct gguf **out, struct kv_error *err)
{
    struct gguf *file = kv_alloc(1, sizeof *file);
    *out = NULL;
    if (!file) {
        if (mapped) munmap((void *)data, size);
        return kv_fail(err, KV_NO_MEMORY, "No memory to open the model file.");
    }
    *file = (struct gguf){ .data = data, .size = size, .mapped = mapped };
    enum kv_status status = read_all(file, err);
    if (status)
        gguf_close(file);
    else
        *out = file;
    return status;
}

enum kv_status gguf_open_memory(const void *data, size_t size, struct gguf **out, struct kv_error *err)
{
    *out = NULL;
    if ((uintptr_t)data % 8) return kv_fail(err, KV_BAD_ARG, "GGUF bytes in memory must be aligned to 8.");
    return open_bytes(data, size, false, out, err);
}

/* The end of a long path says more than its beginning. */
static const char *short_path(const char *path)
{
    size_t length = strlen(path);
    return length > 160 ? path + length - 160 : path;
}

enum kv_status gguf_open(const char *path, struct gguf **out, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    struct stat st;
    void *data;
    *out = NULL;
    /* O_NONBLOCK: a FIFO without a writer must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        status = kv_fail(err, KV_IO, "Model file '%s' cannot be opened: %s.", short_path(path), strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = kv_fail(err, KV_IO, "'%s' is %s, expected a GGUF file.", short_path(path),
            S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
        goto out;
    }
    if (!st.st_size) {
        status = kv_fail(err, KV_BAD_FILE, "Model file '%s' is empty.", short_path(path));
        goto out;
    }
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        status = kv_fail(err, KV_IO, "Model file '%s' cannot be mapped: %s.", short_path(path), strerror(errno));
        goto out;
    }
    status = open_bytes(data, (size_t)st.st_size, true, out, err);
    /* The kernel reads ahead while the user types; nothing here waits for it. */
    if (!status) posix_madvise(data, (size_t)st.st_size, POSIX_MADV_WILLNEED);
out:
    if (fd >= 0) close(fd);
    return status;
}

void gguf_close(struct gguf *file)
{
    if (!file) return;
    for (int i = 0; i < file->n_part; i++) {
        gguf_close(file->part[i].file);
        free(file->part[i].path);
    }
    free(file->part);
    if (file->mapped) munmap((void *)file->data, file->size);
    free(file->pair);
    free(file->tensor);
    free(file);
}
