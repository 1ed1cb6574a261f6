/* libFuzzer target: any bytes as a script, run past its failures in a session of its own that writes and starts nothing. A
 * loop that never ends is interrupted, as by Ctrl-C.
 *
 * Built from this file, tests/fuzz/tiny.c, the inspector without main.c and the engine: tests/fuzz/run.sh, tests/soak.sh. */
#include "tests/fuzz/tiny.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inspector/language/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct session session;
    char path[64], *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    bool forbidden = tiny_forbidden(text);
    free(text);
    if (forbidden) return 0;
    int fd = memfd_create("script", MFD_CLOEXEC);
    DEMAND(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    tiny_open(&session);
    tiny_patience(300);
    script_file(&session, path);
    tiny_patience(0);
    session_close(&session);
    close(fd);
    return 0;
}
