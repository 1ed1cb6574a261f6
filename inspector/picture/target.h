/* Files that commands write: nobody's file is overwritten unless it would not change. */
#ifndef KV_TARGET_H
#define KV_TARGET_H

#include "inspector/session.h"

#define TARGET_BYTES 1100

/* Where a file goes. One that this session did not write gets a new one beside it first, for comparison. */
struct target {
    char path[TARGET_BYTES], fresh[TARGET_BYTES + 32];
    bool compare;
};

/* Write to t->fresh, then close. A missing folder whose parent is there is made. KV_IO, KV_BAD_ARG. */
enum kv_status target_open(struct session *s, const char *path, bool force, struct target *t);
/* KV_IO where somebody else's file would have changed: then it has not. Remembers the name as this session's. */
enum kv_status target_close(struct session *s, struct target *t);

#endif
