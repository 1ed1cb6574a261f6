/* A record that goes on behind the prompt, for policies that compress again during decode (policy.every): rows of ask
 * and decode add to what the prefill's rows left. Columns are kept slot by slot of what the layer holds, prefix then
 * tail, for a key that was evicted gets no more attention. It belongs to one run. */
#ifndef KV_TALLY_H
#define KV_TALLY_H

#include "engine/run/record.h"

/* A record with room for `cap` rows, in passes of at most `rows`, that begins with all that the prefill's has, but for
 * the columns, which tally_keep brings. */
enum kv_status tally_open(struct record *t, struct record *prefill, int cap, int rows, struct kv_error *err);
/* Gives it room for more rows and slots. */
enum kv_status tally_grow(struct record *t, int cap, int rows, struct kv_error *err);

/* Columns of a layer from now on are those of n slots of each KV head, slot [n_kv_head][n], of the record `from`:
 * t itself, or the prefill's. */
enum kv_status tally_keep(
    struct record *t, const struct record *from, int layer, const int32_t *slot, int n, struct kv_error *err);

/* Stage observe of rows first..first+p->n-1, which read so many slots before their own. */
enum kv_status tally_observe(
    struct record *t, const struct pass *p, int layer, int first, int slots, struct kv_error *err);

#endif
