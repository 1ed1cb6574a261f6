/* Status texts, the error sentence, allocation, the clock. */
#include "kernels/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *kv_status_text(enum kv_status code)
{
    static const char *const text[] = {
#define X(name, words) words,
        KV_STATUS_LIST(X)
#undef X
    };
    return (size_t)code < KV_COUNT(text) ? text[code] : "unknown status";
}

enum kv_status kv_fail(struct kv_error *err, enum kv_status code, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return code;
}

void *kv_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 64) return NULL;
    bytes = bytes ? (bytes + 63) & ~(size_t)63 : 64;
    void *p = aligned_alloc(64, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

char *kv_strdup(const char *text) { return text ? strdup(text) : NULL; }

double kv_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}
