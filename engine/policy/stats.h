/* What policies may read: the statistics of one layer, as plain arrays on the host.
 *
 * The engine's `observe` stage collects what the policy's needs mask names and lends it here; pointers whose need
 * is absent may be NULL. Rows i are queries of the prefill, columns j its keys, both 0..n-1; attention is the
 * softmax of one query head, 0 where a key is not visible. */
#ifndef KV_POLICY_STATS_H
#define KV_POLICY_STATS_H

/* The longest observation window: how many of the last query rows `observe` keeps. */
#define KV_LAST_ROWS 128

enum kv_need {
    KV_NEED_ENTROPY = 1,                              /* entropy of every row and head */
    KV_NEED_COLUMNS = 2,                              /* column sums over all rows */
    KV_NEED_WINDOW = 4,                               /* column sums over the last policy.window rows */
    KV_NEED_LAST = 8,                                 /* the last row */
    KV_NEED_LAST_ROWS = KV_NEED_WINDOW | KV_NEED_LAST /* either: keep the last query rows */
};

struct kv_stats {
    int layer; /* number of this layer, 0-based */
    int n;     /* prompt tokens */
    int n_head, n_kv_head;
    int sliding_window;   /* keys a row may see, itself included; 0 = all */
    const float *entropy; /* [n_head][n] nats, of row i */
    const float *columns; /* [n_head][n] sum of attention to key j over all rows */
    const float *window;  /* [n_head][n] the same over the last min(policy.window, n) rows */
    const float *last;    /* [n_head][n] attention of the last row */
};

#endif
