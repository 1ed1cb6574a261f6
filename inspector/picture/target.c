/* Where a file may be written, and what this session has written. */
#include "inspector/picture/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool written_here(const struct session *s, const char *path)
{
    size_t n = strlen(path);
    for (const char *p = s->written; p && *p; p = strchr(p, '\n') + 1)
        if (!strncmp(p, path, n) && p[n] == '\n') return true;
    return false;
}

/* A missing folder whose parent is there is made. */
static enum kv_status need_folder(struct session *s, const char *path)
{
    char folder[TARGET_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder) return KV_OK;
    *slash = '\0';
    if (!access(folder, F_OK) || !mkdir(folder, 0777)) return KV_OK;
    return kv_fail(&s->err, KV_IO, "Cannot write %.300s: %s.", path, strerror(errno));
}

enum kv_status target_open(struct session *s, const char *path, bool force, struct target *t)
{
    struct stat info;
    if (strlen(path) >= sizeof t->path || strchr(path, '\n'))
        return kv_fail(&s->err, KV_BAD_ARG, "That is no file name to write to: %.100s...", path);
    snprintf(t->path, sizeof t->path, "%s", path);
    bool exists = !stat(path, &info);
    if (exists && !S_ISREG(info.st_mode))
        return kv_fail(&s->err, KV_IO, "Cannot write %.300s: it is not a regular file.", path);
    enum kv_status st = exists ? KV_OK : need_folder(s, path);
    t->compare = exists && !force && !written_here(s, path);
    if (t->compare)
        snprintf(t->fresh, sizeof t->fresh, "%s.kvdbg-%ld", path, (long)getpid());
    else
        snprintf(t->fresh, sizeof t->fresh, "%s", path);
    return st;
}

static bool same_bytes(const char *a, const char *b)
{
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    bool same = f && g;
    while (same) {
        char x[8192], y[8192];
        size_t n = fread(x, 1, sizeof x, f), m = fread(y, 1, sizeof y, g);
        same = n == m && !memcmp(x, y, n);
        if (n < sizeof x) break;
    }
    if (f) fclose(f);
    if (g) fclose(g);
    return same;
}

enum kv_status target_close(struct session *s, struct target *t)
{
    if (t->compare) {
        bool same = same_bytes(t->path, t->fresh);
        unlink(t->fresh);
        if (!same)
            return kv_fail(&s->err, KV_IO,
                "%.300s is there already and is not this session's or this recipe's work; -f overwrites it.",
                t->path);
    }
    if (written_here(s, t->path)) return KV_OK;
    size_t old = s->written ? strlen(s->written) : 0, n = strlen(t->path);
    char *grown = realloc(s->written, old + n + 2);
    if (!grown) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the list of files written.");
    s->written = grown;
    snprintf(grown + old, n + 2, "%s\n", t->path);
    return KV_OK;
}
