/* Keys turned from their positions to their places in a compact cache (policy.positions rerotate), as StreamingLLM reads
 * its cache and kvpress's KeyRerotationPress leaves one. */
#ifndef KV_REROTATE_H
#define KV_REROTATE_H

#include "engine/run/cache.h"
#include "engine/run/forward.h"

/* Turns the keys of a layer that was just gathered, n slots of every KV head: slot i comes to stand at position i, as if
 * it had been appended there (up to rounding; the gathered keys are the prefill's own, so it is turned once). Positions
 * stay in pos. */
enum kv_status rerotate_layer(const struct machine *m, struct cache *c, int layer, int n, struct kv_error *err);

#endif
