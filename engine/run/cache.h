/* Keys and values of one sequence over all layers, each layer with its own length.
 *
 *     one block a layer:  | K [G][cap][d] | V [G][cap][d] | pos [cap] i32 | len [1] i32 |   parts aligned to 64
 * bytes
 *     or, where every KV head keeps its own tokens, with no room between the heads' slots:
 *                         | K [slots][d] | V [slots][d] | pos [slots] i32 | len [G] i32 | start [G] i32 |
 *
 * A layer may be borrowed from another cache, which must outlive it: then it is read, never appended to. */
#ifndef KV_CACHE_H
#define KV_CACHE_H

#include "kernels/kernels.h"

struct cache_format {
    const struct kv_backend *be;
    void *ctx;
    int type; /* of K and V: enum kv_type */
    int n_layer, n_kv_head, head_dim;
};

struct cache {
    const struct cache_format *format;
    struct kv_span *span; /* [n_layer]; cap 0 = nothing there */
    size_t *bytes;        /* [n_layer] of the block, borrowed or owned */
    bool *borrowed;       /* [n_layer] */
};

enum kv_status cache_init(struct cache *c, const struct cache_format *format, struct kv_error *err);
void cache_free(struct cache *c); /* a zeroed cache is fine */

/* Gives layer l room for cap tokens, empty; drops what it had. */
enum kv_status cache_alloc_layer(struct cache *c, int l, int cap, struct kv_error *err);
/* The same for all layers. */
enum kv_status cache_alloc(struct cache *c, int cap, struct kv_error *err);
/* Gives layer l room for n[g] tokens of each KV head, empty, and not to be appended to. */
enum kv_status cache_alloc_heads(struct cache *c, int l, const int32_t *n, struct kv_error *err);
void cache_drop_layer(struct cache *c, int l);
void cache_borrow_layer(struct cache *c, int l, const struct cache *from);
void cache_move_layer(struct cache *c, int l, struct cache *from); /* ownership goes along */
/* Makes owned layer l (or all, l = -1) len tokens long, of every KV head: undo of an append is a truncation. */
enum kv_status cache_truncate(struct cache *c, int l, int len, struct kv_error *err);

size_t cache_bytes(const struct cache *c);
/* n numbers of a cache's type (enum kv_type), on the host. */
void cache_to_f32(int type, const void *from, size_t n, float *out);

/* One KV head of a span: its length (0 where there is no span), and where its slots lie on the device. */
struct cache_head {
    int len;
    const char *k, *v;
    const int32_t *pos;
};
enum kv_status cache_head(const struct cache_format *f, const struct kv_span *span, int kv_head,
    struct cache_head *out, struct kv_error *err);

#endif
