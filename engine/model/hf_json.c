/* Reading JSON files of a folder; see hf_json.h. */
#include "engine/model/hf_json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/setting.h"

#ifdef KV_HAVE_CJSON
#include <cjson/cJSON.h>
#endif

char *hf_path(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    char *path = NULL;
    return asprintf(&path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name) < 0 ? NULL : path;
}

#ifdef KV_HAVE_CJSON

/* --- the file ------------------------------------------------------------------------------------------------- */

static enum kv_status read_text(const struct hf_json *j, int fd, size_t bytes, char *text, struct kv_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, text + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return kv_fail(
                err, KV_IO, "%.200s cannot be read: %s.", j->name, n ? strerror(errno) : "it was cut off");
        done += (size_t)n;
    }
    text[bytes] = '\0';
    return KV_OK;
}

/* Opens a regular file, through links too; KV_NOT_FOUND where there is neither file nor link of that name. */
static enum kv_status open_file(
    const struct hf_json *j, const char *path, size_t limit, int *fd, size_t *bytes, struct kv_error *err)
{
    struct stat info;
    /* O_NONBLOCK: a FIFO without a writer must be refused, not waited for. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT && lstat(path, &info))
        return kv_fail(err, KV_NOT_FOUND, "The folder has no %.200s.", j->name);
    if (*fd < 0 && errno == ENOENT) return kv_fail(err, KV_IO, "%.200s is a link to nothing.", j->name);
    if (*fd < 0 || fstat(*fd, &info))
        return kv_fail(err, KV_IO, "%.200s cannot be opened: %s.", j->name, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return kv_fail(err, KV_IO, "%.200s is %s, expected a file.", j->name,
            S_ISDIR(info.st_mode) ? "a directory" : "no regular file");
    if ((unsigned long long)info.st_size > limit)
        return kv_fail(err, KV_BAD_FILE, "%.200s has %llu bytes, expected at most %zu.", j->name,
            (unsigned long long)info.st_size, limit);
    *bytes = (size_t)info.st_size;
    return KV_OK;
}

static enum kv_status parse(struct hf_json *j, const char *text, size_t bytes, struct kv_error *err)
{
    const char *end = text;
    if (bytes >= 8 && !memcmp(text, "version ", 8))
        return kv_fail(err, KV_BAD_FILE,
            "%.200s looks like a pointer of git-lfs, which \"git lfs pull\" turns into the file itself.", j->name);
    j->root = cJSON_ParseWithLengthOpts(text, bytes, &end, false);
    while (j->root && end < text + bytes && *end && strchr(" \t\r\n", *end)) end++;
    if (!j->root || end != text + bytes)
        return kv_fail(err, KV_BAD_FILE, "%.200s is no JSON, or nested too deeply, at byte %zu of %zu.", j->name,
            (size_t)(end - text), bytes);
    if (!cJSON_IsObject(j->root)) return kv_fail(err, KV_BAD_FILE, "%.200s is no JSON object.", j->name);
    return hf_json_unique(j, j->root, err);
}

enum kv_status hf_json_read(
    const char *folder, const char *name, size_t limit, struct hf_json *out, struct kv_error *err)
{
    size_t bytes = 0;
    int fd = -1;
    char *text = NULL, *path = hf_path(folder, name);
    *out = (struct hf_json){ .name = name };
    enum kv_status status = path ? open_file(out, path, limit, &fd, &bytes, err)
                                 : kv_fail(err, KV_NO_MEMORY, "No memory to open %.200s.", name);
    if (!status && !(text = malloc(bytes + 1)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the %zu bytes of %.200s.", bytes, name);
    if (!status) status = read_text(out, fd, bytes, text, err);
    if (!status) status = parse(out, text, bytes, err);
    if (fd >= 0) close(fd);
    free(text);
    free(path);
    if (status) hf_json_close(out);
    return status;
}

void hf_json_close(struct hf_json *j)
{
    cJSON_Delete(j->root);
    j->root = NULL;
}

/* --- values --------------------------------------------------------------------------------------------------- */

const struct cJSON *hf_json_at(const struct cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static enum kv_status absent(const struct hf_json *j, const char *key, struct kv_error *err)
{
    return kv_fail(err, KV_NOT_FOUND, "%.100s has no key '%s'.", j->name, key);
}

/* What an item is, for "expected ..., not ...". */
static const char *what_is(const cJSON *item, char *text, size_t size)
{
    char quoted[40];
    if (cJSON_IsString(item))
        snprintf(text, size, "\"%s\"", setting_quote(item->valuestring, quoted, sizeof quoted));
    else if (cJSON_IsNumber(item))
        snprintf(text, size, "%.17g", item->valuedouble);
    else
        snprintf(text, size, "%s",
            cJSON_IsBool(item)     ? cJSON_IsTrue(item) ? "true" : "false"
            : cJSON_IsArray(item)  ? "a list"
            : cJSON_IsObject(item) ? "an object"
                                   : "null");
    return text;
}

static enum kv_status mistyped(
    const struct hf_json *j, const char *key, const cJSON *item, const char *expected, struct kv_error *err)
{
    char text[64];
    return kv_fail(err, KV_BAD_FILE, "Key '%s' of %.100s is %s, expected %s.", key, j->name,
        what_is(item, text, sizeof text), expected);
}

enum kv_status hf_json_whole(const struct hf_json *j, const struct cJSON *object, const char *key, int least,
    int most, int *out, struct kv_error *err)
{
    char expected[64];
    const cJSON *item = hf_json_at(object, key);
    if (!item) return absent(j, key, err);
    double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    snprintf(expected, sizeof expected, "a whole number from %d to %d", least, most);
    if (!(value >= least && value <= most) || value != floor(value)) return mistyped(j, key, item, expected, err);
    *out = (int)value;
    return KV_OK;
}

enum kv_status hf_json_real(
    const struct hf_json *j, const struct cJSON *object, const char *key, float *out, struct kv_error *err)
{
    const cJSON *item = hf_json_at(object, key);
    if (!item) return absent(j, key, err);
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= 3.4e38))
        return mistyped(j, key, item, "a number", err);
    *out = (float)item->valuedouble;
    return KV_OK;
}

enum kv_status hf_json_bool(
    const struct hf_json *j, const struct cJSON *object, const char *key, bool *out, struct kv_error *err)
{
    const cJSON *item = hf_json_at(object, key);
    if (!item) return absent(j, key, err);
    if (!cJSON_IsBool(item)) return mistyped(j, key, item, "true or false", err);
    *out = cJSON_IsTrue(item);
    return KV_OK;
}

enum kv_status hf_json_text(
    const struct hf_json *j, const struct cJSON *object, const char *key, const char **out, struct kv_error *err)
{
    const cJSON *item = hf_json_at(object, key);
    if (!item) return absent(j, key, err);
    if (!cJSON_IsString(item)) return mistyped(j, key, item, "a text", err);
    *out = item->valuestring;
    return KV_OK;
}

enum kv_status hf_json_object(const struct hf_json *j, const struct cJSON *object, const char *key,
    const struct cJSON **out, struct kv_error *err)
{
    const cJSON *item = hf_json_at(object, key);
    if (!item) return absent(j, key, err);
    if (!cJSON_IsObject(item)) return mistyped(j, key, item, "an object", err);
    enum kv_status status = hf_json_unique(j, item, err);
    if (!status) *out = item;
    return status;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum kv_status hf_json_unique(const struct hf_json *j, const struct cJSON *object, struct kv_error *err)
{
    size_t n = 0;
    char quoted[60];
    enum kv_status status = KV_OK;
    for (const cJSON *item = object->child; item; item = item->next) n++;
    const char **key = kv_alloc(n, sizeof *key);
    if (!key) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu keys of %.200s.", n, j->name);
    n = 0;
    for (const cJSON *item = object->child; item; item = item->next) key[n++] = item->string;
    qsort(key, n, sizeof *key, by_text);
    for (size_t i = 1; i < n && !status; i++)
        if (!strcmp(key[i - 1], key[i]))
            status = kv_fail(err, KV_BAD_FILE, "Key '%s' stands in %.200s twice.",
                setting_quote(key[i], quoted, sizeof quoted), j->name);
    free(key);
    return status;
}

#endif
