/* Files are opened without waiting, so that a pipe in a folder is refused and not waited for. */
#include "engine/text/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)256 << 20)

static enum kv_status cannot(const char *name, const char *why, struct kv_error *err)
{
    return kv_fail(err, KV_IO, "%.80s cannot be read: %s.", name, why);
}

static enum kv_status read_all(int fd, const char *name, size_t size, char *to, size_t *n, struct kv_error *err)
{
    for (*n = 0; *n < size;) {
        ssize_t got = read(fd, to + *n, size - *n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return cannot(name, strerror(errno), err);
        if (!got) break;
        *n += (size_t)got;
    }
    return KV_OK;
}

enum kv_status file_read(const char *folder, const char *name, char **out, size_t *n, struct kv_error *err)
{
    char *path = NULL;
    struct stat about;
    *out = NULL;
    *n = 0;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return kv_fail(err, KV_NO_MEMORY, "No memory for a file name.");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), why = errno;
    free(path);
    if (fd < 0 && (why == ENOENT || why == ENOTDIR)) return kv_fail(err, KV_NOT_FOUND, "There is no %.80s.", name);
    if (fd < 0) return cannot(name, strerror(why), err);
    enum kv_status status = KV_OK;
    if (fstat(fd, &about))
        status = cannot(name, strerror(errno), err);
    else if (!S_ISREG(about.st_mode))
        status = cannot(name, "it is no regular file", err);
    else if ((size_t)about.st_size > FILE_MAX)
        status = cannot(name, "it is larger than 256 MiB", err);
    if (!status && !(*out = kv_alloc((size_t)about.st_size + 1, 1)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the %zu bytes of %.80s.", (size_t)about.st_size, name);
    if (!status) status = read_all(fd, name, (size_t)about.st_size, *out, n, err);
    close(fd);
    if (!status) return KV_OK;
    free(*out);
    *out = NULL;
    return status;
}
