/* Temporary name, fsync, rename. */
#include "render/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum kv_status cannot(struct kv_error *err, const char *path, const char *why)
{
    return kv_fail(err, KV_IO, "Cannot write %.300s: %s.", path, why);
}

/* The temporary's name does not contain the file's, which may already be as long as a name can be. */
static int open_temp(struct file_out *f)
{
    const char *slash = strrchr(f->path, '/');
    int folder = slash ? (int)(slash - f->path) + 1 : 0;
    for (unsigned n = 0; n < 10000; n++) {
        free(f->temp);
        if (asprintf(&f->temp, "%.*s.kvdbg-%ld-%u.tmp", folder, f->path, (long)getpid(), n) < 0) {
            f->temp = NULL;
            return -1;
        }
        int fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

enum kv_status file_open(struct file_out *f, const char *path, struct kv_error *err)
{
    struct stat st;
    memset(f, 0, sizeof *f);
    if (!path || !*path) return kv_fail(err, KV_BAD_ARG, "A file name is needed.");
    if (!stat(path, &st)) {
        if (S_ISDIR(st.st_mode)) return cannot(err, path, "it is a directory");
        if (!S_ISREG(st.st_mode)) return cannot(err, path, "it is not a regular file");
        if (access(path, W_OK)) return cannot(err, path, strerror(errno));
        f->path = realpath(path, NULL);
    } else {
        f->path = kv_strdup(path);
    }
    if (!f->path) return kv_fail(err, KV_NO_MEMORY, "No memory for the file name %.300s.", path);
    int fd = open_temp(f);
    if (fd >= 0) f->stream = fdopen(fd, "wb");
    if (f->stream) return KV_OK;
    enum kv_status status = cannot(err, path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(f->temp);
    }
    file_abandon(f);
    return status;
}

enum kv_status file_write(struct file_out *f, const void *data, size_t bytes, struct kv_error *err)
{
    if (!bytes || fwrite(data, 1, bytes, f->stream) == bytes) return KV_OK;
    return cannot(err, f->path, strerror(errno));
}

enum kv_status file_commit(struct file_out *f, struct kv_error *err)
{
    /* An earlier failed write counts too: its error flag stays on the stream. */
    errno = 0;
    bool bad = ferror(f->stream) || fflush(f->stream) || fsync(fileno(f->stream));
    int why = errno;
    bool unclosed = fclose(f->stream) != 0;
    f->stream = NULL;
    if (!bad && unclosed) why = errno;
    if (!bad && !unclosed && rename(f->temp, f->path)) {
        why = errno;
        bad = true;
    }
    enum kv_status status = KV_OK;
    if (bad || unclosed) {
        status = cannot(err, f->path, why ? strerror(why) : "an earlier write failed");
    } else {
        free(f->temp);
        f->temp = NULL;
    }
    file_abandon(f);
    return status;
}

void file_abandon(struct file_out *f)
{
    if (f->stream) fclose(f->stream);
    if (f->temp) unlink(f->temp);
    free(f->temp);
    free(f->path);
    memset(f, 0, sizeof *f);
}
