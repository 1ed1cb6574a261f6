/* Init files. A file that comes with the current folder is somebody else's program: it runs only where the user has said
 * that the folder is safe. */
#include "inspector/language/init.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspector/language/script.h"

#define LOCAL_FILE ".kvdbginit"

/* $XDG_CONFIG_HOME or ~/.config; then the old place. */
static bool home_file(char *path, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config)
        snprintf(path, size, "%s/kvdbg/kvdbginit", config);
    else
        snprintf(path, size, "%s/.config/kvdbg/kvdbginit", home ? home : "");
    if (((config && *config) || (home && *home)) && !access(path, F_OK)) return true;
    if (!home || !*home) return false;
    snprintf(path, size, "%s/%s", home, LOCAL_FILE);
    return !access(path, F_OK);
}

/* Whether a real path is one of the safe ones or lies below one. */
static bool safe(const struct session *s, const char *real)
{
    for (const char *p = s->safe_path; p && *p;) {
        size_t n = strcspn(p, ":");
        char entry[PATH_MAX], *resolved = NULL;
        if (n && n < sizeof entry) {
            snprintf(entry, sizeof entry, "%.*s", (int)n, p);
            resolved = realpath(entry, NULL);
        }
        size_t length = resolved ? strlen(resolved) : 0;
        while (length > 1 && resolved[length - 1] == '/') length--;
        bool below =
            length == 1 || (length && !strncmp(real, resolved, length) && (!real[length] || real[length] == '/'));
        free(resolved);
        if (below) return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static struct reaction run_init(struct session *s, const char *path)
{
    struct reaction r = script_file(s, path);
    if (r.status && s->err.text[0]) session_complain(s);
    s->err = (struct kv_error){ 0 };
    return r;
}

struct reaction init_home(struct session *s)
{
    char path[PATH_MAX];
    return home_file(path, sizeof path) ? run_init(s, path) : DONE;
}

/* Whether two names are the same file. */
static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

struct reaction init_folder(struct session *s)
{
    char home[PATH_MAX];
    char *local = realpath(LOCAL_FILE, NULL);
    struct reaction r = DONE;
    if (!local || (home_file(home, sizeof home) && same_file(home, local))) {
        free(local);
        return r;
    }
    if (safe(s, local)) {
        r = run_init(s, LOCAL_FILE);
    } else {
        fflush(s->out);
        fprintf(stderr,
            "warning: File \"%s\" auto-loading has been declined by your `auto-load safe-path' set to \"%s\".\n"
            "To enable execution of this file add\n\tadd-auto-load-safe-path %s\nline to your init file.\n",
            local, s->safe_path ? s->safe_path : "", local);
    }
    free(local);
    return r;
}

/* --- the safe path ---------------------------------------------------------------------------------------------------------- */

struct reaction cmd_add_safe_path(struct session *s, const char *args)
{
    if (!*args) return cmd_show_safe_path(s, args);
    size_t old = s->safe_path ? strlen(s->safe_path) : 0;
    char *grown = realloc(s->safe_path, old + strlen(args) + 2);
    if (!grown) return refuse(s, KV_NO_MEMORY, "No memory for a path.");
    snprintf(grown + old, strlen(args) + 2, "%s%s", old ? ":" : "", args);
    s->safe_path = grown;
    return DONE;
}

struct reaction cmd_set_safe_path(struct session *s, const char *args)
{
    char *copy = kv_strdup(args);
    if (!copy) return refuse(s, KV_NO_MEMORY, "No memory for a path.");
    free(s->safe_path);
    s->safe_path = copy;
    return DONE;
}

struct reaction cmd_show_safe_path(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "List of directories from which it is safe to auto-load files is %s.\n",
        s->safe_path ? s->safe_path : "");
    return DONE;
}
