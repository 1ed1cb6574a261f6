/* Which backend: the CPU, always linked, or the CUDA plugin that may stand beside the program. */
#include "engine/state.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGIN        "kvdbg-cuda.so"
#define PLUGIN_SYMBOL "kv_backend_plugin"

/* Whether the file ends before the segments that its header promises: dlopen would map them and die of it. What is no
 * ELF file at all is left to dlopen to name. */
static bool is_cut_short(const char *path)
{
    Elf64_Ehdr header;
    struct stat file;
    bool cut = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (!fstat(fd, &file) && pread(fd, &header, sizeof header, 0) == sizeof header &&
        !memcmp(header.e_ident, ELFMAG, SELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS64)
        for (int i = 0; i < header.e_phnum && !cut; i++) {
            Elf64_Phdr segment;
            off_t at = (off_t)(header.e_phoff + (uint64_t)i * header.e_phentsize);
            cut = pread(fd, &segment, sizeof segment, at) != sizeof segment ||
                  segment.p_filesz > (uint64_t)file.st_size ||
                  segment.p_offset > (uint64_t)file.st_size - segment.p_filesz;
        }
    close(fd);
    return cut;
}

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
    if (is_cut_short(path)) {
        snprintf(why, size, "%s is cut short", PLUGIN);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        bool named = !strncmp(text, path, strlen(path)); /* its folder may be longer than the sentence has room */
        snprintf(why, size, "%s%s", named ? PLUGIN : "", named ? text + strlen(path) : text);
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
