/* libFuzzer target: any text as an expression. The first byte says which command takes it, and whether the request begins
 * in mid-prefill, where most values are not there yet, or is done. What fails must leave a sentence.
 *
 * Built from this file, tests/fuzz/tiny.c, the inspector without main.c and the engine: tests/fuzz/run.sh, tests/soak.sh. */
#include "tests/fuzz/tiny.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SESSION_INPUTS 2000 /* then it starts anew: the value history grows */

static const char *const takers[] = { "output", "print", "print/x", "whatis", "ptype", "x/3", "x/2i",
    "printf \"%g\\n\",", "set var $i =", "assert", "break compress if", "watch", "tbreak L1 if", "display",
    "output 2 *", "output/t", "condition 1", "ignore 1", "stepi", "kv layer", "why", "list", "record goto", "call",
    "restart" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct session session[2];
    static int inputs[2];
    char line[900];
    if (size < 2 || size > 800 || memchr(data, 0, size)) return 0;
    int done = data[0] & 1;
    struct session *s = &session[done];
    snprintf(line, sizeof line, "%s %.*s", takers[(data[0] >> 1) % KV_COUNT(takers)], (int)(size - 1), data + 1);
    if (tiny_forbidden(line)) return 0;
    if (inputs[done] == SESSION_INPUTS) {
        session_close(s);
        inputs[done] = 0;
    }
    if (!inputs[done]++) {
        tiny_open(s);
        DEMAND(!tiny_line(s, "start").status && !tiny_line(s, "checkpoint").status);
        DEMAND(!tiny_line(s, done ? "continue" : "stepi 6").status);
    }
    tiny_line(s, line);
    if (s->stops.count > 20) DEMAND(!tiny_line(s, "delete").status);
    if (inputs[done] % 100 == 0) tiny_line(s, "undisplay");
    return 0;
}
