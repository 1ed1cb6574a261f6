/* What observe took from a pass and the host has not yet seen. Where memory is a device's, a read makes it wait for the
 * host and the host for it, so what a pass gives stays there until the pass is over or somebody looks. */
#ifndef KV_OWED_H
#define KV_OWED_H

#include "kernels/kernels.h"

struct owed_rows {
    int first, n; /* rows of the pass */
    bool entropy, cosine;
    int last, n_last; /* rows whose queries are among the last */
};

struct owed {
    /* Entropies [n_layer][rows][n_head], cosines [n_layer][rows], queries [n_layer][last][width]; NULL = memory is the
     * host's own, and nothing is ever owed. */
    float *device, *host;
    struct owed_rows *of; /* [n_layer] */
    size_t bytes;
    size_t rows;
    bool any, queries;
};

struct record;
enum kv_status owed_open(struct owed *o, const struct record *r, int rows, struct kv_error *err);
void owed_close(struct owed *o, const struct record *r);

/* Puts aside what a layer's rows first..first+n-1 gave, on the device. */
enum kv_status owed_entropy(struct record *r, int layer, int first, int n, struct kv_error *err);
enum kv_status owed_cosine(struct record *r, int layer, int first, int n, struct kv_error *err);
enum kv_status owed_queries(struct record *r, int layer, int from, int n, const float *q, struct kv_error *err);

/* Brings all of it to the record's arrays on the host. */
enum kv_status record_settle(struct record *r, struct kv_error *err);

#endif
