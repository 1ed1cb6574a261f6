/* Reading and making safetensors headers. */
#include "engine/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/setting.h"

#ifdef KV_HAVE_CJSON
#include <cjson/cJSON.h>
#endif

#define HEADER_LIMIT ((uint64_t)16 << 20)

#define X(name, bytes) #name,
const char *const st_type_name[ST_TYPE_COUNT] = { ST_TYPES(X) };
#undef X
#define X(name, bytes) bytes,
const uint8_t st_type_bytes[ST_TYPE_COUNT] = { ST_TYPES(X) };
#undef X

enum kv_status st_bad(const struct st_file *f, struct kv_error *err, const char *fmt, ...)
{
    char reason[240];
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    return kv_fail(err, KV_BAD_FILE, "%.200s is no %s: %s.", f->path, f->kind, reason);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

const struct st_tensor *st_find(const struct st_file *f, const char *name)
{
    const struct st_tensor key = { .name = name };
    return f->n_tensor ? bsearch(&key, f->tensor, (size_t)f->n_tensor, sizeof key, by_name) : NULL;
}

enum kv_status st_read(const struct st_file *f, const struct st_tensor *t, uint64_t offset, size_t bytes, void *to,
    struct kv_error *err)
{
    uint64_t at = f->data + t->begin + offset;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(f->fd, (char *)to + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return kv_fail(
                err, KV_IO, "%.200s cannot be read: %s.", f->path, n ? strerror(errno) : "it was cut off");
        done += (size_t)n;
    }
    return KV_OK;
}

#ifndef KV_HAVE_CJSON

static enum kv_status missing(const char *kind, struct kv_error *err)
{
    return kv_fail(err, KV_UNSUPPORTED, "This build has no %ss: cJSON is missing.", kind);
}

enum kv_status st_open(const char *path, const char *kind, struct st_file *out, struct kv_error *err)
{
    (void)path;
    *out = (struct st_file){ .fd = -1 };
    return missing(kind, err);
}

void st_close(struct st_file *f) { (void)f; }

const char *st_note(const struct st_file *f, const char *key)
{
    (void)f;
    (void)key;
    return NULL;
}

enum kv_status st_header(const struct st_tensor *tensor, int n_tensor, const struct st_note *note, int n_note,
    char **header, size_t *bytes, struct kv_error *err)
{
    (void)tensor;
    (void)n_tensor;
    (void)note;
    (void)n_note;
    *header = NULL;
    *bytes = 0;
    return missing("core file", err);
}

#else

void st_close(struct st_file *f)
{
    if (f->path) close(f->fd);
    free(f->path);
    free(f->tensor);
    cJSON_Delete(f->json);
    *f = (struct st_file){ .fd = -1 };
}

const char *st_note(const struct st_file *f, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f->notes, key));
}

/* --- reading -------------------------------------------------------------------------------------------------- */

/* A whole number that a double holds exactly. */
static bool whole(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53)) return false;
    *out = (uint64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

static enum kv_status read_shape(
    const struct st_file *f, const cJSON *shape, struct st_tensor *t, const char *name, struct kv_error *err)
{
    uint64_t count = st_type_bytes[t->type];
    if (!cJSON_IsArray(shape)) return st_bad(f, err, "tensor \"%s\" has no shape", name);
    for (const cJSON *d = shape->child; d; d = d->next) {
        if (t->n_dim == ST_DIMS) return st_bad(f, err, "tensor \"%s\" has more than %d dimensions", name, ST_DIMS);
        if (!whole(d, &t->dim[t->n_dim]))
            return st_bad(f, err, "dimension %d of tensor \"%s\" is no whole number", t->n_dim, name);
        if (__builtin_mul_overflow(count, t->dim[t->n_dim++], &count))
            return st_bad(f, err, "the shape of tensor \"%s\" is too large to count", name);
    }
    t->bytes = count;
    return KV_OK;
}

static enum kv_status read_tensor(
    const struct st_file *f, const cJSON *item, struct st_tensor *t, struct kv_error *err)
{
    char name[60];
    uint64_t end;
    setting_quote(item->string, name, sizeof name);
    *t = (struct st_tensor){ .name = item->string, .type = ST_TYPE_COUNT };
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "dtype"));
    if (!type) return st_bad(f, err, "tensor \"%s\" has no dtype", name);
    for (int i = 0; i < ST_TYPE_COUNT; i++)
        if (!strcmp(type, st_type_name[i])) t->type = (enum st_type)i;
    if (t->type == ST_TYPE_COUNT) {
        char shown[24];
        return st_bad(
            f, err, "tensor \"%s\" has the unknown dtype \"%s\"", name, setting_quote(type, shown, sizeof shown));
    }
    enum kv_status status = read_shape(f, cJSON_GetObjectItemCaseSensitive(item, "shape"), t, name, err);
    if (status) return status;
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    const cJSON *first = cJSON_IsArray(offsets) ? offsets->child : NULL, *second = first ? first->next : NULL;
    if (!second || second->next || !whole(first, &t->begin) || !whole(second, &end))
        return st_bad(f, err, "tensor \"%s\" has no pair of data offsets", name);
    if (end < t->begin || end - t->begin != t->bytes)
        return st_bad(f, err, "tensor \"%s\" has offsets %llu to %llu, but %s of its shape take %llu bytes", name,
            (unsigned long long)t->begin, (unsigned long long)end, st_type_name[t->type],
            (unsigned long long)t->bytes);
    return KV_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Tensors one behind the other, the last one to the end of the file. */
static enum kv_status check_places(const struct st_file *f, uint64_t data, struct kv_error *err)
{
    uint64_t at = 0;
    char name[60];
    qsort(f->tensor, (size_t)f->n_tensor, sizeof *f->tensor, by_place);
    for (int i = 0; i < f->n_tensor; i++) {
        const struct st_tensor *t = &f->tensor[i];
        setting_quote(t->name, name, sizeof name);
        if (t->begin < at) return st_bad(f, err, "tensor \"%s\" overlaps the one before it", name);
        if (t->begin > at) return st_bad(f, err, "there is a gap before tensor \"%s\"", name);
        at += t->bytes;
        if (at > data)
            return st_bad(f, err, "it is cut off: tensor \"%s\" ends at byte %llu of %llu", name,
                (unsigned long long)at, (unsigned long long)data);
    }
    if (at != data)
        return st_bad(f, err, "%llu bytes at its end belong to no tensor", (unsigned long long)(data - at));
    qsort(f->tensor, (size_t)f->n_tensor, sizeof *f->tensor, by_name);
    for (int i = 1; i < f->n_tensor; i++)
        if (!strcmp(f->tensor[i - 1].name, f->tensor[i].name))
            return st_bad(
                f, err, "tensor \"%s\" is there twice", setting_quote(f->tensor[i].name, name, sizeof name));
    return KV_OK;
}

static enum kv_status read_header(struct st_file *f, const char *text, size_t length, struct kv_error *err)
{
    const char *end = text;
    f->json = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!f->json) return st_bad(f, err, "its header is no JSON, or nested too deeply");
    while (end < text + length && *end && strchr(" \t\r\n", *end)) end++;
    if (end != text + length || !cJSON_IsObject(f->json))
        return st_bad(f, err, "its header is not one JSON object");
    size_t count = 0;
    for (const cJSON *item = f->json->child; item; item = item->next) count++;
    f->tensor = kv_alloc(count, sizeof *f->tensor);
    if (!f->tensor) return kv_fail(err, KV_NO_MEMORY, "No memory for the header of %.200s.", f->path);
    for (cJSON *item = f->json->child; item; item = item->next) {
        if (!strcmp(item->string, "__metadata__")) {
            f->notes = item;
            for (const cJSON *note = item->child; note; note = note->next)
                if (!cJSON_IsObject(item) || !cJSON_IsString(note))
                    return st_bad(f, err, "its metadata holds something else than texts");
            continue;
        }
        enum kv_status status = read_tensor(f, item, &f->tensor[f->n_tensor], err);
        if (status) return status;
        f->n_tensor++;
    }
    return KV_OK;
}

static enum kv_status open_file(const char *path, const char *kind, struct st_file *f, struct kv_error *err)
{
    struct stat info;
    *f = (struct st_file){ .kind = kind, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
    if (f->fd < 0) return kv_fail(err, KV_IO, "%.200s: %s.", path, strerror(errno));
    f->path = kv_strdup(path);
    if (!f->path) {
        close(f->fd);
        return kv_fail(err, KV_NO_MEMORY, "No memory to open %.200s.", path);
    }
    if (fstat(f->fd, &info)) return kv_fail(err, KV_IO, "%.200s: %s.", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return kv_fail(err, KV_IO, "%.200s: Is a directory.", path);
    if (!S_ISREG(info.st_mode)) return st_bad(f, err, "it is not a regular file");
    f->size = (uint64_t)info.st_size;
    return KV_OK;
}

static enum kv_status check_length(
    const struct st_file *f, const uint8_t word[8], uint64_t length, struct kv_error *err)
{
    if (length > f->size - 8 && !memcmp(word, "version ", 8))
        return st_bad(
            f, err, "it looks like a pointer of git-lfs, which \"git lfs pull\" turns into the file itself");
    if (length > f->size - 8)
        return st_bad(f, err,
            "it is something else, or cut off (its header would take %llu of the file's %llu bytes)",
            (unsigned long long)length, (unsigned long long)f->size);
    if (length > HEADER_LIMIT)
        return st_bad(f, err, "its header has %llu bytes; %llu are the limit", (unsigned long long)length,
            (unsigned long long)HEADER_LIMIT);
    return KV_OK;
}

enum kv_status st_open(const char *path, const char *kind, struct st_file *f, struct kv_error *err)
{
    uint8_t word[8] = { 0 };
    uint64_t length = 0;
    char *text = NULL;
    enum kv_status status = open_file(path, kind, f, err);
    const struct st_tensor whole_file = { .bytes = f->size };
    if (!status && f->size < sizeof word)
        status = st_bad(f, err, "%llu bytes are too few for a safetensors header", (unsigned long long)f->size);
    if (!status) status = st_read(f, &whole_file, 0, sizeof word, word, err);
    for (int i = 7; i >= 0; i--) length = length << 8 | word[i];
    if (!status) status = check_length(f, word, length, err);
    if (!status && !(text = malloc(length + 1)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the header of %.200s.", path);
    if (!status) status = st_read(f, &whole_file, sizeof word, length, text, err);
    if (!status) status = read_header(f, text, length, err);
    free(text);
    f->data = sizeof word + length;
    if (!status) status = check_places(f, f->size - f->data, err);
    if (status) st_close(f);
    return status;
}

/* --- making --------------------------------------------------------------------------------------------------- */

static bool add_tensor(cJSON *root, const struct st_tensor *t, uint64_t begin)
{
    cJSON *item = cJSON_AddObjectToObject(root, t->name);
    cJSON *shape = NULL, *offsets = NULL;
    bool ok = item && cJSON_AddStringToObject(item, "dtype", st_type_name[t->type]) &&
              (shape = cJSON_AddArrayToObject(item, "shape"));
    for (int d = 0; ok && d < t->n_dim; d++)
        ok = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dim[d]));
    ok = ok && (offsets = cJSON_AddArrayToObject(item, "data_offsets"));
    ok = ok && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)begin));
    return ok && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)(begin + t->bytes)));
}

enum kv_status st_header(const struct st_tensor *tensor, int n_tensor, const struct st_note *note, int n_note,
    char **header, size_t *bytes, struct kv_error *err)
{
    cJSON *root = cJSON_CreateObject(), *notes = root ? cJSON_AddObjectToObject(root, "__metadata__") : NULL;
    bool ok = notes != NULL;
    uint64_t begin = 0;
    *header = NULL;
    for (int i = 0; ok && i < n_note; i++) ok = cJSON_AddStringToObject(notes, note[i].key, note[i].text) != NULL;
    for (int i = 0; ok && i < n_tensor; begin += tensor[i++].bytes) ok = add_tensor(root, &tensor[i], begin);
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    size_t length = text ? strlen(text) : 0, padded = (length + 7) & ~(size_t)7;
    char *out = text ? malloc(8 + padded) : NULL;
    if (!out) {
        free(text);
        return kv_fail(err, KV_NO_MEMORY, "No memory for the header of a core file.");
    }
    for (int i = 0; i < 8; i++) out[i] = (char)((uint64_t)padded >> (8 * i) & 255);
    memcpy(out + 8, text, length);
    memset(out + 8 + length, ' ', padded - length); /* so that the data is aligned */
    free(text);
    *header = out;
    *bytes = 8 + padded;
    return KV_OK;
}

#endif
