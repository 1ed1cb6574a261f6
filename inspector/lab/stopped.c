/* Sentences, one for all commands of the laboratory. */
#include "inspector/lab/stopped.h"

#include <stdarg.h>

enum kv_status lab_stopped(struct session *s, enum kv_status st, const char *fmt, ...)
{
    char what[400];
    va_list args;
    if (st != KV_STOPPED) return st;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return kv_fail(&s->err, KV_STOPPED, "Interrupted%s.", what);
}

enum kv_status lab_heard(struct session *s, enum kv_status st)
{
    return !st && session_interrupted() ? kv_fail(&s->err, KV_STOPPED, "Interrupted.") : st;
}
