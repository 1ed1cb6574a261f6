/* A file that appears whole or not at all. */
#include "engine/core/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/state.h"

static enum kv_status cannot(const struct output *o, int why, struct kv_error *err)
{
    return kv_fail(err, KV_IO, "Cannot write %.300s: %s.", o->path, strerror(why));
}

enum kv_status output_put(struct output *o, const void *data, size_t bytes, struct kv_error *err)
{
    if (bytes && fwrite(data, 1, bytes, o->file) != bytes) return cannot(o, errno, err);
    o->done += bytes;
    engine_progress(o->e, "core file", (double)o->done, (double)o->total);
    if (!engine_stopped(o->e)) return KV_OK;
    return kv_fail(err, KV_STOPPED, "Stopped on request.");
}

/* The temporary's name does not hold the other's, which may be as long as a name can be. */
enum kv_status output_open(struct output *o, struct kv_error *err)
{
    const char *slash = strrchr(o->path, '/');
    int folder = slash ? (int)(slash - o->path) + 1 : 0, fd = -1;
    for (unsigned n = 0; n < 10000; n++) {
        if (asprintf(&o->temp, "%.*s.kvdbg-%ld-%u.tmp", folder, o->path, (long)getpid(), n) < 0) {
            o->temp = NULL;
            return kv_fail(err, KV_NO_MEMORY, "No memory for a file name.");
        }
        fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) break;
        free(o->temp);
        o->temp = NULL;
    }
    int why = errno;
    o->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (o->file) return KV_OK;
    if (fd >= 0) {
        close(fd);
        unlink(o->temp);
    }
    free(o->temp);
    o->temp = NULL;
    return cannot(o, why, err);
}

enum kv_status output_close(struct output *o, enum kv_status status, struct kv_error *err)
{
    if (o->file && !status && (fflush(o->file) || fsync(fileno(o->file)))) status = cannot(o, errno, err);
    if (o->file && fclose(o->file) && !status) status = cannot(o, errno, err);
    if (o->temp && !status && rename(o->temp, o->path)) status = cannot(o, errno, err);
    if (o->temp && status) unlink(o->temp);
    free(o->temp);
    return status;
}
