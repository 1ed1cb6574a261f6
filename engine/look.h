/* Looking closer: a page of the engine's public contract. Everything here is made when it is asked for and kept by
 * nobody, so a request that is not looked at pays nothing for it. */
#ifndef KV_LOOK_H
#define KV_LOOK_H

#include "engine/engine.h"

/* Keys (as attention reads them, rotated at their positions) or values of n tokens from position `first` in one layer and
 * KV head, as f32 whatever the cache holds: out[n][head_dim]. Prompt tokens come from the resident prefill, or, where
 * layers were compacted in place, from what was kept; NaN where a token is gone. Later ones come from what was appended.
 * Where policy.positions rerotate turned what was kept, prompt tokens are as the prefill had them.
 * KV_BAD_ARG beyond the tokens that the layer has read, KV_NOT_NOW before it has read any. */
enum kv_status kv_cache_rows(const struct kv_engine *e, bool values, int layer, int kv_head, int first, int n,
    float *out, struct kv_error *err);
/* Tokens that a layer has read so far: positions 0.. of kv_cache_rows. 0 when no request runs. */
int kv_cache_tokens(const struct kv_engine *e, int layer);

/* Positions of the slots that the next attention of a layer and KV head reads: what was kept and what came after, or
 * before compress all tokens read. At most `room` are written; returns how many there are. */
int kv_cache_slots(const struct kv_engine *e, int layer, int kv_head, int32_t *pos, int room);

/* The same slots' places: the positions that their keys are turned by, and that the next token's go on from. Those of
 * kv_cache_slots, or 0, 1, 2, ... where the cache was compressed with policy.positions rerotate. */
int kv_cache_places(const struct kv_engine *e, int layer, int kv_head, int32_t *place, int room);

/* The first position that the layer's next query sees, and any later one can: 0 without a sliding window. */
int kv_cache_sight(const struct kv_engine *e, int layer);

/* How many of those slots lie behind the layer's sliding window for good: neither the next query nor any later one sees
 * them. 0 without a window. */
int kv_cache_unseen(const struct kv_engine *e, int layer);

/* Hidden rows that enter a layer, for `rows` rows from `first` (prompt rows, then later ones), worked out again as
 * kv_attention does: out[rows][hidden]. */
enum kv_status kv_hidden(struct kv_engine *e, int layer, int first, int rows, float *out, struct kv_error *err);

/* Rows of a pass of prefill or ask in the request that runs, whatever engine.segment has been set to since. */
int kv_pass_rows(const struct kv_engine *e);

/* One stage of the pass under the cursor. */
struct kv_cost {
    enum kv_stage stage;
    int layer;           /* -1 = none */
    uint64_t tick;       /* of the boundary before it */
    double us;           /* wall clock when it ran in this pass; NaN = it has not */
    double flops, bytes; /* of its maths and of what it must read and write, by formula */
};
/* Stages of the pass, at most `room`; returns how many there are (0 when no request runs or it is done), and in *now
 * which of them is next. */
int kv_pass_costs(const struct kv_engine *e, struct kv_cost *out, int room, int *now);

#endif
