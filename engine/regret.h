/* Regret and blame: what the full cache read that a run had dropped, and which of those tokens changed its output. A page
 * of the engine's public contract. Both take one reply, which is read over the full cache; everything comes from the
 * resident prefill, without another one. */
#ifndef KV_REGRET_H
#define KV_REGRET_H

#include "engine/engine.h"

/* Reads a reply over the full cache once. The value mass[l][h][j] then holds the attention that the rows reading the
 * reply's tokens give prompt position j, mean over rows; regret[l][h][j] the same of tokens that the selected run has
 * evicted, 0 of those that it kept. Kept until the request ends or another reply is read. KV_NOT_NOW before the
 * prefill is complete or without engine.snapshot; KV_BAD_ARG for fewer than 2 tokens or more than there is room for. */
enum kv_status kv_mass(struct kv_engine *e, const int32_t *reply, int n_reply, struct kv_error *err);

struct kv_eviction {
    int32_t layer, token;
    int32_t head; /* KV head; 0 where all heads share a kept set */
};

struct kv_blame_how {
    double bound;       /* mean KL(full || run) that counts as restored; NaN: the argmax of every step */
    int most;           /* kept sets scored, at most */
    const float *order; /* [n_layer][n], or [n_layer][KV head][n] where heads keep their own: suspicion, the largest
                           are tried first; NULL = none */
};

struct kv_blame {
    struct kv_eviction *eviction; /* [count] owned, by layer, head and token; their return restores the output */
    int count;                    /* 0: nothing was to be restored */
    int evicted, runs;            /* evictions of the run; kept sets scored */
    bool minimal;                 /* without any one of them, the others do not */
    bool stopped;                 /* kv_stop or `most` came first: the best set so far */
    bool interrupted;             /* it was kv_stop */
    bool verified;                /* decoding over the cache with them restores the output as well */
    struct kv_verdict before, after;
};

/* The smallest set of (layer, token) evictions, or (layer, KV head, token) where heads keep their own, of the selected run whose return restores the full cache's output on a
 * reply: bisection over layers, then over tokens by suspicion, then delta debugging; where few sets that are smaller
 * are left, all of those. KV_NOT_NOW before compress is done or without engine.snapshot. */
enum kv_status kv_blame(struct kv_engine *e, const int32_t *reply, int n_reply, const struct kv_blame_how *how,
    struct kv_blame *out, struct kv_error *err);
void kv_blame_free(struct kv_blame *b); /* a zeroed one is fine */

#endif
