/* What the rows of the pass under way read: a page of the engine's public contract, for watching keys. */
#ifndef KV_READS_H
#define KV_READS_H

#include "engine/engine.h"

/* Positions that the rows of the pass under way can see; 0 unless attend has just run (observe is the next stage). */
int kv_reads_positions(const struct kv_engine *e);

/* In the layer whose attend has just run: most[h][j] is the largest probability that a row of the pass gives the key of
 * position j under head first+h, row[h][j] the position of that row; 0 and -1 where the key was evicted. A token's look
 * at itself does not count. Queries and keys are the pass's own, so nothing is computed but these probabilities. full:
 * the same queries over the prompt's keys before they were evicted, what this layer would have read if it alone had
 * kept all. most and row are [heads][kv_reads_positions()]. KV_NOT_NOW elsewhere, or for full in prefill or without
 * engine.snapshot. */
enum kv_status kv_reads(
    struct kv_engine *e, bool full, int first, int heads, float *most, int32_t *row, struct kv_error *err);

#endif
