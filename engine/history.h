/* Time travel: the second page of the engine's public contract.
 *
 * A request's history is the row of stage boundaries (ticks) that it has passed in its present branch, 0 to the
 * frontier. Any of them can be gone to: what was appended since is cut off (a run that compresses again in decode
 * starts over from compress:0), and the rest of the way runs again with the policy and the reply tokens that were
 * recorded, so that settings changed since do not alter the past. Stepping on from there replays the same ticks and the
 * same bits up to the frontier, unless a policy.* or decode.* setting or an edit was changed behind it: then the next
 * kv_step starts a new branch, and the frontier falls to the present tick. */
#ifndef KV_HISTORY_H
#define KV_HISTORY_H

#include "engine/engine.h"

struct kv_history {
    uint64_t lowest, current, highest; /* ticks of this branch */
    size_t bytes, limit; /* column sums kept at the starts of prefill passes; without them, a prefill runs from its
                            start */
    bool replays;        /* the next kv_step repeats what was recorded, with the policy of then */
};
/* KV_NOT_NOW when no request was started. */
enum kv_status kv_history(const struct kv_engine *e, struct kv_history *out, struct kv_error *err);
/* Most bytes that may be kept; what is there beyond them goes, the latest first. 256 MiB unless told. */
void kv_history_limit(struct kv_engine *e, size_t bytes);

/* Where a tick of this branch stands; nothing is run. KV_BAD_ARG beyond the frontier. */
enum kv_status kv_where_at(const struct kv_engine *e, uint64_t tick, struct kv_where *where, struct kv_error *err);
/* Goes there. KV_STOPPED after kv_stop leaves it at a boundary on the way; KV_BAD_ARG beyond the frontier. */
enum kv_status kv_seek(struct kv_engine *e, uint64_t tick, struct kv_error *err);

/* 64 bits over all that the rest of the request depends on, buffers that are stale left out: equal states have equal
 * hashes, whatever way led there. */
enum kv_status kv_state_hash(struct kv_engine *e, uint64_t *hash, struct kv_error *err);

/* A boundary to come back to, from whatever branch: its policy, edits, reply and settings, no keys or values. */
struct kv_mark;
/* What a mark taken now would hold, bytes. */
size_t kv_mark_size(const struct kv_engine *e);
enum kv_status kv_mark_take(const struct kv_engine *e, struct kv_mark **out, struct kv_error *err);
void kv_mark_free(struct kv_mark *mark); /* NULL is fine */
size_t kv_mark_bytes(const struct kv_mark *mark);
void kv_mark_where(const struct kv_mark *mark, struct kv_where *where);
/* Goes there and puts policy.*, decode.* and edits back to what they were. A new branch, unless the mark's past is that of
 * the present one. KV_NOT_NOW when the request has another prompt or was started with other engine.* settings;
 * KV_STOPPED leaves it on the way. */
enum kv_status kv_mark_go(struct kv_engine *e, const struct kv_mark *mark, struct kv_error *err);

#endif
