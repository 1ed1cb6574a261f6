/* Which backend: the CPU, always linked, or the CUDA plugin that may stand beside the program. */
#include "engine/state.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN        "kvdbg-cuda.so"
#define PLUGIN_SYMBOL "kv_backend_plugin"

/* Opens the plugin once and for all: CUDA does not like to be unloaded. */
static const struct kv_backend *open_plugin(char *why, size_t size)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof PLUGIN - 1);
    if (n <= 0) {
        snprintf(why, size, "the program's own folder is not known");
        return NULL;
    }
    path[n] = 0;
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, PLUGIN);
    if (access(path, R_OK)) {
        snprintf(why, size, "no %s beside the program: it was built without nvcc", PLUGIN);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, size, "%s", dlerror());
        return NULL;
    }
    const struct kv_backend *(*plugin)(void) = NULL;
    *(void **)&plugin = dlsym(library, PLUGIN_SYMBOL);
    const struct kv_backend *be = plugin ? plugin() : NULL;
    if (be && be->abi == KV_BACKEND_ABI && be->size == sizeof *be) return be;
    snprintf(why, size, be ? "%s was built for another version of the program" : "%s is no backend", PLUGIN);
    dlclose(library);
    return NULL;
}

enum kv_status backend_pick(
    const struct settings *s, const struct kv_backend **be, char *note, size_t size, struct kv_error *err)
{
    char why[160] = "asked for";
    *be = NULL;
    if (s->backend != BACKEND_CPU) *be = open_plugin(why, sizeof why);
    if (!*be && s->backend == BACKEND_CUDA)
        return kv_fail(err, KV_DEVICE, "The CUDA backend cannot be had: %s.", why);
    if (!*be) *be = &kv_backend_cpu;
    snprintf(
        note, size, "%s (%s)", (*be)->name, *be == &kv_backend_cpu || s->backend == BACKEND_CUDA ? why : "found");
    return KV_OK;
}

bool backend_instead(
    const struct settings *s, const struct kv_backend **be, char *note, size_t size, struct kv_error *err)
{
    if (s->backend != BACKEND_AUTO || *be == &kv_backend_cpu || !err) return false;
    int length = (int)strlen(err->text);
    while (length && err->text[length - 1] == '.') length--;
    *be = &kv_backend_cpu;
    snprintf(note, size, "%s (%.*s)", (*be)->name, length, err->text);
    *err = (struct kv_error){ 0 };
    return true;
}
