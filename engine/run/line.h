/* A run beside the engine's own that compresses again as it does: the decisions are read from the run's history, and
 * where that ends, from its settings. What it is fed is the caller's. */
#ifndef KV_LINE_H
#define KV_LINE_H

#include "engine/state.h"

/* Where the decisions of a run are. */
struct line_like {
    const struct past *past;
    const struct settings *set;
    struct pins *pins;
};

struct line {
    struct kv_engine *e;
    struct line_like like;
    struct run run;
    struct selection sel;
};

/* Compresses the prefill as the run did; room for cap tokens between compressions. */
enum kv_status line_open(
    struct line *x, struct kv_engine *e, const struct line_like *like, int cap, struct kv_error *err);
void line_close(struct line *x); /* a zeroed one is fine */

/* Feeds n tokens right behind those that it has read. The pass is left in *p, its last stage ffn of the last layer. */
enum kv_status line_feed(struct line *x, const int32_t *ids, const int32_t *pos, int n, bool decode, struct pass *p,
    struct kv_error *err);
/* Compresses again, if that is due; a pass's activations are lost. */
enum kv_status line_compress(struct line *x, struct kv_error *err);

#endif
