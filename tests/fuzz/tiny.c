/* The session that fuzz targets share. */
#include "tests/fuzz/tiny.h"

#include "inspector/session_load.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static const struct options options = { .model = "synthetic:tiny",
    .text = "The quick brown fox jumps over the lazy dog.",
    .chat = 0,
    .batch = true,
    .no_init = true,
    .quiet = true,
    .keep_going = true,
    .readonly = true,
    .precision = "f32",
    .threads = "1",
    .program = "kvdbg" };

static FILE *nowhere;

static void on_time(int number)
{
    (void)number;
    raise(SIGINT);
}

/* Scripts that read files find an empty folder. */
static void settle(void)
{
    char folder[] = "/tmp/kvdbg-fuzz-XXXXXX";
    struct sigaction action = { .sa_handler = on_time, .sa_flags = SA_RESTART };
    DEMAND(mkdtemp(folder) && !chdir(folder) && !rmdir(folder));
    DEMAND((nowhere = fopen("/dev/null", "w")));
    stderr = nowhere; /* sanitizers write to the descriptor, and are heard */
    setenv("HOME", "/nonexistent", 1);
    sigemptyset(&action.sa_mask);
    DEMAND(!sigaction(SIGPROF, &action, NULL));
}

void tiny_open(struct session *s)
{
    int status;
    if (!nowhere) settle();
    memset(s, 0, sizeof *s);
    DEMAND(!session_open(s, &options, &status));
    s->out = nowhere;
    session_catch_signals(s);
    DEMAND(!session_line(s, "set decode.tokens 5").status); /* quick */
}

void tiny_patience(int milliseconds)
{
    const struct itimerval once = { { 0, 0 }, { milliseconds / 1000, 1000 * (milliseconds % 1000) } };
    setitimer(ITIMER_PROF, &once, NULL);
}

struct reaction tiny_line(struct session *s, const char *line)
{
    s->err = (struct kv_error){ 0 };
    tiny_patience(300);
    struct reaction r = session_line(s, line);
    tiny_patience(0);
    DEMAND(!r.status || (*s->err.text && strlen(s->err.text) < sizeof s->err.text));
    return r;
}

bool tiny_forbidden(const char *text)
{
    static const char *const words[] = { "/dev", "/proc", "/sys", ".gguf" };
    static const char made[] = "synthetic:", tiny[] = "synthetic:tiny";
    for (size_t i = 0; i < KV_COUNT(words); i++)
        if (strstr(text, words[i])) return true;
    for (const char *p = text; (p = strstr(p, made)); p++)
        if (strncmp(p, tiny, sizeof tiny - 1)) return true;
    return false;
}
