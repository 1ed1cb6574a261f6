/* A list of blocks; each is twice the size of the one before, up to 1 MiB, or as large as what it must hold. */
#include "engine/text/arena.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 4096, BLOCK_MAX = 1 << 20 };

struct arena_block {
    struct arena_block *before;
    size_t room, used;
};

#define HEAD ((sizeof(struct arena_block) + 7) & ~(size_t)7)

void *arena_take(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4) return NULL;
    bytes = (bytes + 7) & ~(size_t)7;
    if (a->limit && bytes > a->limit - a->used) return NULL;
    struct arena_block *block = a->last;
    if (!block || block->room - block->used < bytes) {
        size_t room = kv_max(bytes, block ? kv_min(2 * block->room, BLOCK_MAX) : BLOCK_MIN);
        struct arena_block *fresh = kv_alloc(1, HEAD + room);
        if (!fresh) return NULL;
        *fresh = (struct arena_block){ block, room, 0 };
        a->last = block = fresh;
    }
    void *at = (char *)block + HEAD + block->used;
    block->used += bytes;
    a->used += bytes;
    return at;
}

char *arena_copy(struct arena *a, const char *bytes, size_t n)
{
    char *copy = n < SIZE_MAX ? arena_take(a, n + 1, 1) : NULL;
    if (copy && n) memcpy(copy, bytes, n);
    return copy;
}

void arena_close(struct arena *a)
{
    for (struct arena_block *block = a->last, *before; block; block = before) {
        before = block->before;
        free(block);
    }
    a->last = NULL;
    a->used = 0;
}
