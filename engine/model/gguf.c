/* The GGUF reader: one forward pass over hostile bytes, then lookups in sorted tables. */
#include "engine/model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <limits.h>
#include <math.h>
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

struct cursor {
    const uint8_t *base, *at, *end;
};

/* ---- bytes ---- */

static size_t left(const struct cursor *c) { return (size_t)(c->end - c->at); }

static bool take(struct cursor *c, void *out, size_t bytes)
{
    if (left(c) < bytes) return false;
    memcpy(out, c->at, bytes);
    c->at += bytes;
    return true;
}

static bool skip(struct cursor *c, uint64_t bytes)
{
    if (left(c) < bytes) return false;
    c->at += bytes;
    return true;
}

static bool take_string(struct cursor *c, struct kv_string *out)
{
    uint64_t length;
    if (!take(c, &length, sizeof length) || length > left(c)) return false;
    *out = (struct kv_string){ (const char *)c->at, (size_t)length };
    c->at += length;
    return true;
}

static struct kv_string view(const char *text) { return (struct kv_string){ text, strlen(text) }; }

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

static enum kv_status truncated_value(const struct gguf *file, struct kv_string key, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_FILE, "The GGUF file ends after %zu bytes, inside the value of key %s.", file->size,
        gguf_quote(key).text);
}

static enum kv_status take_name(
    const struct gguf *file, struct cursor *c, struct kv_string *out, const char *of, struct kv_error *err)
{
    if (!take_string(c, out)) return truncated(file, "a name", err);
    if (out->length >= 1 && out->length <= GGUF_MAX_NAME) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "The name of a %s in the GGUF file has %zu bytes, expected 1 to %d.", of,
        out->length, GGUF_MAX_NAME);
}

/* ---- metadata ---- */

static const char *value_name(uint32_t type)
{
    switch (type) {
#define X(name, number, bytes)                                                                                     \
    case number: return #name;
        GGUF_VALUE_LIST(X)
#undef X
    default: return NULL;
    }
}

static size_t value_bytes(uint32_t type)
{
    switch (type) {
#define X(name, number, bytes)                                                                                     \
    case number: return bytes;
        GGUF_VALUE_LIST(X)
#undef X
    default: return 0;
    }
}

/* Steps over one value; key is for the sentence. Each level of an array costs its reader a call, so depth is
 * bounded; each element costs the file at least one byte, so the walk is too. */
static enum kv_status skip_value(
    const struct gguf *file, struct cursor *c, uint32_t type, struct kv_string key, int depth, struct kv_error *err)
{
    struct kv_string text;
    uint32_t of;
    uint64_t count;

    if (!value_name(type))
        return kv_fail(
            err, KV_BAD_FILE, "Key %s has a value of type %u; GGUF has types 0 to 12.", gguf_quote(key).text, type);
    if (value_bytes(type)) return skip(c, value_bytes(type)) ? KV_OK : truncated_value(file, key, err);
    if (type == GGUF_STRING) return take_string(c, &text) ? KV_OK : truncated_value(file, key, err);

    if (depth >= GGUF_MAX_NESTING)
        return kv_fail(
            err, KV_UNSUPPORTED, "Key %s nests arrays more than %d deep.", gguf_quote(key).text, GGUF_MAX_NESTING);
    if (!take(c, &of, sizeof of) || !take(c, &count, sizeof count)) return truncated_value(file, key, err);
    if (!value_name(of))
        return kv_fail(
            err, KV_BAD_FILE, "Key %s has an array of type %u; GGUF has types 0 to 12.", gguf_quote(key).text, of);
    size_t least = value_bytes(of) ? value_bytes(of) : of == GGUF_STRING ? 8 : 12;
    if (count > left(c) / least)
        return kv_fail(err, KV_BAD_FILE,
            "Key %s claims an array of %llu elements; only %zu bytes of the file are left.", gguf_quote(key).text,
            (unsigned long long)count, left(c));
    if (value_bytes(of)) return skip(c, count * least) ? KV_OK : truncated_value(file, key, err);
    for (uint64_t i = 0; i < count; i++) {
        if (of == GGUF_STRING) {
            if (!take_string(c, &text)) return truncated_value(file, key, err);
        } else {
            enum kv_status status = skip_value(file, c, of, key, depth + 1, err);
            if (status) return status;
        }
    }
    return KV_OK;
}

static int by_key(const void *a, const void *b)
{
    return compare(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static enum kv_status read_pairs(struct gguf *file, struct cursor *c, uint64_t count, struct kv_error *err)
{
    if (count > left(c) / MIN_PAIR_BYTES)
        return kv_fail(err, KV_BAD_FILE, "The GGUF header claims %llu keys; the file has only %zu bytes.",
            (unsigned long long)count, file->size);
    if (!(file->pair = kv_alloc((size_t)count, sizeof *file->pair)))
        return kv_fail(
            err, KV_NO_MEMORY, "No memory for the %llu keys of the GGUF file.", (unsigned long long)count);
    for (; file->n_pair < count; file->n_pair++) {
        struct pair *p = &file->pair[file->n_pair];
        enum kv_status status = take_name(file, c, &p->key, "key", err);
        if (status) return status;
        if (!take(c, &p->type, sizeof p->type)) return truncated_value(file, p->key, err);
        p->value = c->at;
        status = skip_value(file, c, p->type, p->key, 0, err);
        if (status) return status;
    }
    qsort(file->pair, file->n_pair, sizeof *file->pair, by_key);
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
    if (!take(c, &dims, sizeof dims)) return truncated(file, "its list of tensors", err);
    if (dims < 1 || dims > GGUF_MAX_DIMS)
        return kv_fail(err, KV_BAD_FILE, "Tensor %s has %u dimensions, expected 1 to %d.", gguf_quote(t->name).text,
            dims, GGUF_MAX_DIMS);
    t->n_dims = (int)dims;
    for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) {
        t->dim[d] = 1;
        if (d < dims && !take(c, &t->dim[d], sizeof t->dim[d])) return truncated(file, "its list of tensors", err);
    }
    if (!take(c, &type, sizeof type) || !take(c, offset, sizeof *offset))
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
    if (count > left(c) / MIN_TENSOR_BYTES)
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
    if (!take(&c, &version, sizeof version)) return truncated(file, "its header", err);
    if (version && !(version & 0xffff))
        return kv_fail(err, KV_UNSUPPORTED, "The GGUF file is big-endian; kvdbg reads little-endian ones.");
    if (version != 2 && version != 3)
        return kv_fail(
            err, KV_UNSUPPORTED, "The GGUF file is of version %u; kvdbg reads versions 2 and 3.", version);
    if (!take(&c, &n_tensor, sizeof n_tensor) || !take(&c, &n_pair, sizeof n_pair))
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

/* ---- lookup ---- */

size_t gguf_tensor_count(const struct gguf *file) { return file->n_tensor; }
const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, size_t index) { return &file->tensor[index]; }

const struct gguf_tensor *gguf_tensor(const struct gguf *file, const char *name)
{
    struct gguf_tensor wanted = { .name = view(name) };
    return bsearch(&wanted, file->tensor, file->n_tensor, sizeof wanted, gguf_by_name);
}

static const struct pair *find(const struct gguf *file, const char *key)
{
    struct pair wanted = { .key = view(key) };
    return bsearch(&wanted, file->pair, file->n_pair, sizeof wanted, by_key);
}

static enum kv_status absent(const char *key, struct kv_error *err)
{
    return kv_fail(err, KV_NOT_FOUND, "The GGUF file has no key '%s'.", key);
}

static enum kv_status mistyped(const struct pair *p, const char *expected, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_FILE, "Key %s is of type %s, expected %s.", gguf_quote(p->key).text,
        value_name(p->type), expected);
}

bool gguf_has(const struct gguf *file, const char *key) { return find(file, key) != NULL; }

/* An integer of any width as sign and magnitude; false = no integer. */
static bool read_integer(const struct pair *p, bool *negative, uint64_t *magnitude)
{
    size_t bytes = value_bytes(p->type);
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
    return take_string(&c, out) ? KV_OK : truncated_value(file, p->key, err);
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
    if (!take(c, &of, sizeof of) || !take(c, &n, sizeof n)) return truncated_value(file, p->key, err);
    if (of != one && of != other)
        return kv_fail(
            err, KV_BAD_FILE, "Key '%s' is an array of %s, expected %s.", key, value_name(of), value_name(one));
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
        if (!take_string(&c, &list[i])) {
            free(list);
            return truncated_value(file, view(key), err);
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
    if (!take(&c, list, n * sizeof(int32_t))) {
        free(list);
        return truncated_value(file, view(key), err);
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
        if (!take(&c, &byte, 1)) {
            free(list);
            return truncated_value(file, view(key), err);
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
