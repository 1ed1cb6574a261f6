/* Tests print TAP (ok / not ok / # SKIP), which prove reads; no library is needed where only gcc is.
 *
 * A test program is a table of cases and one line of main:
 *     static void adds_up(void) { CHECK(1 + 1 == 2, "got %d", 1 + 1); }
 *     static const struct tap_case cases[] = { { "adds up", adds_up } };
 *     int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
 * Arguments: --list prints the names; any other argument runs only the cases whose name contains it.
 * A case fails when a CHECK in it fails; the first failure's text is printed. SKIP(reason) leaves the case. */
#ifndef TAP_H
#define TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct tap_case {
    const char *name;
    void (*run)(void);
};

static struct {
    bool failed;
    char text[1024], skip[256];
} tap_state;

static inline void __attribute__((format(printf, 3, 4))) tap_fail(const char *file, int line, const char *fmt, ...)
{
    if (tap_state.failed) return;
    tap_state.failed = true;
    int n = snprintf(tap_state.text, sizeof tap_state.text, "%s:%d: ", file, line);
    va_list args;
    va_start(args, fmt);
    vsnprintf(tap_state.text + n, sizeof tap_state.text - (size_t)n, fmt, args);
    va_end(args);
}

/* Records a failure and goes on: write the condition so that a NaN makes it false, !(d > tol) never. */
#define CHECK(condition, ...)                                                                                      \
    do {                                                                                                           \
        if (!(condition)) tap_fail(__FILE__, __LINE__, __VA_ARGS__);                                               \
    } while (0)

/* Records a failure and leaves the case. */
#define REQUIRE(condition, ...)                                                                                    \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            tap_fail(__FILE__, __LINE__, __VA_ARGS__);                                                             \
            return;                                                                                                \
        }                                                                                                          \
    } while (0)

#define SKIP(reason)                                                                                               \
    do {                                                                                                           \
        snprintf(tap_state.skip, sizeof tap_state.skip, "%s", reason);                                             \
        return;                                                                                                    \
    } while (0)

static inline int tap_main(int argc, char **argv, const struct tap_case *cases, size_t count)
{
    const char *only = argc > 1 ? argv[1] : "";
    size_t planned = 0, failed = 0, number = 0;
    if (!strcmp(only, "--list")) {
        for (size_t i = 0; i < count; i++) printf("%s\n", cases[i].name);
        return 0;
    }
    for (size_t i = 0; i < count; i++) planned += strstr(cases[i].name, only) != NULL;
    printf("1..%zu\n", planned);
    for (size_t i = 0; i < count; i++) {
        if (!strstr(cases[i].name, only)) continue;
        memset(&tap_state, 0, sizeof tap_state);
        cases[i].run();
        failed += tap_state.failed;
        printf("%sok %zu - %s%s%s\n", tap_state.failed ? "not " : "", ++number, cases[i].name,
            tap_state.skip[0] ? " # SKIP " : "", tap_state.skip);
        if (tap_state.failed) printf("# %s\n", tap_state.text);
        fflush(stdout);
    }
    return failed || !planned;
}

#endif
