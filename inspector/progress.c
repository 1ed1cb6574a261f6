/* Drawn at most ten times a second, and only from the second tenth of a second on. */
#include "inspector/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "kernels/base.h"

#define INTERVAL_US 1e5

static double last_us;
static bool drawn;

void progress_show(void *ctx, const char *what, double done, double total)
{
    static int terminal = -1;
    (void)ctx;
    if (terminal < 0) terminal = isatty(2);
    double now = kv_now_us();
    if (!terminal || now - last_us < INTERVAL_US) return;
    fflush(stdout);
    fprintf(stderr, "\r%s %.0f of %.0f (%.0f %%)\033[K", what, done, total, total > 0 ? 100 * done / total : 0);
    last_us = now;
    drawn = true;
}

void progress_clear(void)
{
    if (drawn) fprintf(stderr, "\r\033[K");
    drawn = false;
}
