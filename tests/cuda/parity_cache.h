/* Caches on both sides, for the checks that read or write one. */
#ifndef TESTS_CUDA_PARITY_CACHE_H
#define TESTS_CUDA_PARITY_CACHE_H

#include "tests/cuda/parity.h"

/* All heads have one length; each its own in a room of cap; each its own, right behind the other (start[]). */
enum lengths { SHARED, BY_HEAD, PACKED };

struct cache {
    int type, heads, d, cap, pos_stride, len_stride;
    struct buffer *k, *v, *pos, *len, *start; /* start NULL but with PACKED */
    int32_t last;                             /* the highest position */
};

/* Random content; positions ascend from `first` on, or from 0. A cache of no length has no room either, but for `room`
 * of it. */
struct cache make_cache_from(int type, int heads, int d, int len, int room, enum lengths lengths, int32_t first);
static inline struct cache make_cache(int type, int heads, int d, int len, int room, enum lengths lengths)
{
    return make_cache_from(type, heads, d, len, room, lengths, 0);
}
/* Empty, with room for just n[g] slots of head g. */
struct cache make_packed(int type, int heads, int d, const int32_t *n);
/* Fills keys, values and positions with 0xff, as outputs. */
void poison_cache(const struct cache *c);

int cache_len(const struct cache *c, int g);
int32_t cache_pos(const struct cache *c, int g, int slot);
double cache_element(const struct cache *c, bool values, int g, int slot, int channel);

struct kv_span span_at(const struct side *s, const struct cache *c);

#endif
