/* Memory that is taken piece by piece and given back at once, up to a limit. */
#ifndef KV_ARENA_H
#define KV_ARENA_H

#include "kernels/base.h"

struct arena_block;

struct arena { /* zero-initialized but for the limit */
    struct arena_block *last;
    size_t used, limit; /* bytes taken so far; 0 = no limit */
};

/* Zeroed, aligned to 8 bytes; valid until arena_close. NULL: memory is short, or the limit would be passed. */
void *arena_take(struct arena *a, size_t count, size_t size);

/* Copy of n bytes with a NUL behind them; NULL as above. */
char *arena_copy(struct arena *a, const char *bytes, size_t n);

void arena_close(struct arena *a);

#endif
