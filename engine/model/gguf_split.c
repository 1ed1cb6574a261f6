/* GGUF files in several parts, as one; see gguf_open_parts. */
#include "engine/model/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARTS 1000
#define TAIL      "-00001-of-00001.gguf"

struct split {
    uint32_t number, count, tensors; /* number from 0 on */
};

/* A file that says nothing is part 0 of 1. */
static enum kv_status read_split(const struct gguf *file, struct split *out, struct kv_error *err)
{
    const struct {
        const char *key;
        uint32_t *value;
    } rows[] = { { "split.count", &out->count }, { "split.no", &out->number },
        { "split.tensors.count", &out->tensors } };
    *out = (struct split){ 0, 1, (uint32_t)gguf_tensor_count(file) };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        enum kv_status status = gguf_u32(file, rows[i].key, rows[i].value, err);
        if (status && status != KV_NOT_FOUND) return status;
        if (i && status && out->count > 1)
            return kv_fail(err, KV_BAD_FILE, "The GGUF file is one of %u parts, but has no key '%s'.", out->count,
                rows[i].key);
    }
    if (out->count > MAX_PARTS || out->number >= (out->count ? out->count : 1))
        return kv_fail(err, KV_BAD_FILE, "The GGUF file says that it is part %u of %u, expected at most %d.",
            out->number + 1, out->count, MAX_PARTS);
    return KV_OK;
}

/* The path of a part, for the caller to free, from that of another one; NULL = no memory. */
static char *part_path(const char *path, unsigned number, unsigned count)
{
    char *out = NULL;
    int stem = (int)(strlen(path) - strlen(TAIL));
    return asprintf(&out, "%.*s-%05u-of-%05u.gguf", stem, path, number + 1, count) < 0 ? NULL : out;
}

static bool has_part_name(const char *path, const struct split *s)
{
    size_t n = strlen(path);
    char *named = n > strlen(TAIL) ? part_path(path, s->number, s->count) : NULL;
    bool same = named && !strcmp(named, path);
    free(named);
    return same;
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Opens part i and checks that it belongs to the one that was given. */
static enum kv_status open_part(
    const char *path, unsigned i, const struct split *want, struct gguf **out, struct kv_error *err)
{
    struct split have;
    struct kv_error why = { 0 };
    enum kv_status status = gguf_open(path, out, &why);
    if (status) return kv_fail(err, status, "Part %u of %u: %.400s", i + 1, want->count, why.text);
    if ((status = read_split(*out, &have, err))) return status;
    if (have.number != i || have.count != want->count || have.tensors != want->tensors)
        return kv_fail(err, KV_BAD_FILE,
            "'%.120s' is part %u of %u of a model of %u tensors, expected part %u of %u of %u tensors.", base(path),
            have.number + 1, have.count, have.tensors, i + 1, want->count, want->tensors);
    return KV_OK;
}

/* The tensors of all parts in one list by name, in the first. */
static enum kv_status join_tensors(struct gguf *first, const struct split *s, struct kv_error *err)
{
    size_t n = first->n_tensor;
    for (int i = 1; i < first->n_part; i++) n += first->part[i].file->n_tensor;
    if (n != s->tensors)
        return kv_fail(err, KV_BAD_FILE, "The %u parts of the model have %zu tensors, but say that there are %u.",
            s->count, n, s->tensors);
    struct gguf_tensor *all = kv_alloc(n, sizeof *all);
    if (!all) return kv_fail(err, KV_NO_MEMORY, "No memory for the list of %zu tensors.", n);
    memcpy(all, first->tensor, first->n_tensor * sizeof *all);
    n = first->n_tensor;
    for (int i = 1; i < first->n_part; n += first->part[i++].file->n_tensor)
        if (first->part[i].file->n_tensor)
            memcpy(all + n, first->part[i].file->tensor, first->part[i].file->n_tensor * sizeof *all);
    free(first->tensor);
    first->tensor = all;
    first->n_tensor = n;
    qsort(all, n, sizeof *all, gguf_by_name);
    for (size_t i = 1; i < n; i++)
        if (!gguf_by_name(&all[i - 1], &all[i]))
            return kv_fail(
                err, KV_BAD_FILE, "Tensor %s is in two parts of the model.", gguf_quote(all[i].name).text);
    return KV_OK;
}

static enum kv_status open_all(const char *path, const struct split *s, struct gguf **out, struct kv_error *err)
{
    struct gguf *first = NULL;
    struct gguf_part *part = kv_alloc(s->count, sizeof *part);
    enum kv_status status = part ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %u parts.", s->count);
    for (unsigned i = 0; i < s->count && !status; i++) {
        struct gguf *file = NULL;
        part[i].path = part_path(path, i, s->count);
        status = part[i].path ? open_part(part[i].path, i, s, &file, err)
                              : kv_fail(err, KV_NO_MEMORY, "No memory for %u parts.", s->count);
        if (i)
            part[i].file = file;
        else if ((first = file)) {
            first->part = part;
            first->n_part = (int)s->count;
        }
    }
    if (!status) status = join_tensors(first, s, err);
    if (!first && part) free(part[0].path);
    if (!first) free(part);
    if (status)
        gguf_close(first);
    else
        *out = first;
    return status;
}

enum kv_status gguf_open_parts(const char *path, struct gguf **out, struct kv_error *err)
{
    struct split s;
    struct gguf *file = NULL;
    *out = NULL;
    enum kv_status status = gguf_open(path, &file, err);
    if (!status) status = read_split(file, &s, err);
    if (!status && s.count > 1 && !has_part_name(path, &s))
        status = kv_fail(err, KV_BAD_FILE,
            "'%.120s' is part %u of %u, but is not named NAME-%05u-of-%05u.gguf, by which the others are found.",
            base(path), s.number + 1, s.count, s.number + 1, s.count);
    if (!status && s.count <= 1) {
        *out = file;
        return KV_OK;
    }
    gguf_close(file);
    return status ? status : open_all(path, &s, out, err);
}

const char *gguf_part(const struct gguf *file, int index)
{
    return index < file->n_part ? file->part[index].path : NULL;
}
