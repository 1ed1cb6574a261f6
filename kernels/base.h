/* The ground floor that every room may include: status codes, the error sentence, allocation. No maths, no
 * policy.
 *
 * Every function that can fail returns an enum kv_status (0 = ok) and takes a struct kv_error as its last
 * argument, in which it leaves one sentence for the user: what was asked, what was got, what would do. */
#ifndef KV_BASE_H
#define KV_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KV_STATUS_LIST(X)                                                                                          \
    X(OK, "ok")                                                                                                    \
    X(BAD_ARG, "bad argument")                                                                                     \
    X(NOT_FOUND, "not found")                                                                                      \
    X(IO, "cannot read or write")                                                                                  \
    X(BAD_FILE, "malformed file")                                                                                  \
    X(UNSUPPORTED, "not supported")                                                                                \
    X(NO_MEMORY, "out of memory")                                                                                  \
    X(NOT_NOW, "not in this state")                                                                                \
    X(STOPPED, "stopped on request")                                                                               \
    X(DEVICE, "device failure")                                                                                    \
    X(EVENT, "engine event")

enum kv_status {
#define X(name, text) KV_##name,
    KV_STATUS_LIST(X)
#undef X
};

struct kv_error {
    enum kv_status code;
    char text[480]; /* one sentence, capital first, full stop last; empty when ok */
};

/* Short name of a status ("malformed file"). */
const char *kv_status_text(enum kv_status code);

/* Stores the sentence and returns the code, so that a failing path is one line: return kv_fail(err, KV_IO,
 * "..."). */
enum kv_status kv_fail(struct kv_error *err, enum kv_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* count * size bytes, zeroed, aligned to 64 bytes; NULL when memory is short or the product overflows.
 * Release with free(). */
void *kv_alloc(size_t count, size_t size);

/* Copy of a string (NULL stays NULL); the caller frees it. */
char *kv_strdup(const char *text);

/* Monotonic clock, microseconds. */
double kv_now_us(void);

#define KV_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline size_t kv_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t kv_max(size_t a, size_t b) { return a > b ? a : b; }

#ifdef __cplusplus
}
#endif
#endif
