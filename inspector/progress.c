/* Drawn at most ten times a second, and only from the second tenth of a second on. */
#include "inspector/progress.h"

#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "inspector/json/jsonl.h"
#include "inspector/language/line.h"

#define INTERVAL_US 1e5

static double last_us;
static bool drawn;
static char title[96];
static long long until_signal; /* reports up to the one that interrupts; 0 = none will */

static bool due(void)
{
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(2);
    double now = kv_now_us();
    if (!terminal || now - last_us < INTERVAL_US) return false;
    last_us = now;
    return true;
}

void progress_show(void *ctx, const char *what, double done, double total)
{
    struct session *s = ctx;
    if (until_signal && !--until_signal) raise(SIGINT);
    if (s->json) {
        jsonl_progress(s, what, done, total);
        return;
    }
    if (s->progress) {
        s->progress(s->ask_ctx, what, done, total);
        return;
    }
    if (!due()) return;
    fflush(stdout);
    fprintf(stderr, "\r%s%s%s %.0f of %.0f (%.0f %%)\033[K", title, *title ? ": " : "", what, done, total,
        total > 0 ? 100 * done / total : 0);
    drawn = true;
}

void progress_title(const char *text, bool alone)
{
    snprintf(title, sizeof title, "%s", text);
    if (!*text || !alone || !due()) return;
    fprintf(stderr, "\r%s\033[K", title);
    drawn = true;
}

void progress_clear(void)
{
    if (drawn) fprintf(stderr, "\r\033[K");
    drawn = false;
}

struct reaction cmd_maint_interrupt(struct session *s, const char *args)
{
    if (line_integer(args, 1, 1LL << 40, "a number of reports", &until_signal, &s->err)) return failed(s);
    return DONE;
}
