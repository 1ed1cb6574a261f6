/* What policies may read: the statistics of one layer, as plain arrays on the host.
 *
 * The engine's `observe` stage collects what the policy's needs mask names and lends it here; pointers whose need
 * is absent may be NULL. Rows i are queries of the prefill, columns j its keys, both 0..n-1; attention is the
 * softmax of one query head, 0 where a key is not visible. */
#ifndef KV_POLICY_STATS_H
#define KV_POLICY_STATS_H

#include <stdint.h>

/* The longest observation window: how many of the last query rows `observe` keeps. */
#define KV_LAST_ROWS 128

/* Query rows that the moments behind `expected` leave out: the first tokens' queries are outliers (arXiv 2510.00636). */
#define KV_MOMENT_SKIP 4

enum kv_need {
    KV_NEED_ENTROPY = 1,      /* entropy of every row and head */
    KV_NEED_COLUMNS = 2,      /* column sums over all rows */
    KV_NEED_WINDOW = 4,       /* column sums over the last policy.window rows */
    KV_NEED_LAST = 8,         /* the last row */
    KV_NEED_SPREAD = 16,      /* how the window's rows spread, and differ */
    KV_NEED_KEY_NORMS = 32,   /* lengths of the keys */
    KV_NEED_VALUE_NORMS = 64, /* lengths of the values */
    KV_NEED_COSINE = 128,     /* how little attention turned each row */
    KV_NEED_EXPECTED = 256,   /* what queries to come should give each key */
    KV_NEED_VARIANCE = 512,   /* how the window's rows differ over each key */
    KV_NEED_LAST_ROWS =
        KV_NEED_WINDOW | KV_NEED_LAST | KV_NEED_SPREAD | KV_NEED_VARIANCE, /* any: keep the last query rows */
    KV_NEED_ALL = 1023
};

struct kv_stats {
    int layer; /* number of this layer, 0-based */
    int n;     /* keys that there are to choose from: the prompt's tokens, or what is left of them and came after */
    int n_head, n_kv_head;
    int sliding_window; /* keys a row may see, itself included; 0 = all */
    /* Where keys have been evicted, columns are of the keys left, and there are more rows than these: */
    int rows;                /* queries so far; 0 = n, and row i is key i's */
    const int32_t *position; /* [n_kv_head][n] row of each key; NULL = j */
    const int32_t *seen; /* [rows] keys that the row saw, itself among them; NULL = those that the window lets it */
    const float *entropy; /* [n_head][rows] nats, of row i */
    const float *columns; /* [n_head][n] sum of attention to key j over all rows */
    const float *window;  /* [n_head][n] the same over the last min(policy.window, n) rows */
    const float *last;    /* [n_head][n] attention of the last row */
    /* The three above added over the query heads of each kept set in f64, [sets][n], where policy_folds() says that no
     * head is looked at by itself; then they may be NULL themselves. */
    const double *columns_added, *window_added, *last_added;
    const float *variance; /* [n_head][n] unbiased variance of attention over the window's rows; of one row 0 */
    /* [2]: over all heads and the window's rows, keys before the window: -sum A ln(A + 1e-10), and the sum over keys of
     * the unbiased variance of A over rows (CAKE, arXiv 2503.12491); 0 without such keys, variance of one row NaN */
    const double *spread;
    const float *key_norms;   /* [n_kv_head][n] L2 */
    const float *value_norms; /* [2][n_kv_head][n] L2, then L1 */
    const float *cosine;      /* [rows] of row i's residual before attention and after it */
    /* [n_head][n] scaled logit of key j for the queries expected at the next policy.future positions, q normal with
     * the mean and covariance that rows KV_MOMENT_SKIP..n-1 had before RoPE: k.mean / sqrt(d) + k' cov k / 2d, RoPE
     * averaged over these positions (Expected Attention, arXiv 2510.00636); no rows: 0 */
    const float *expected;
};

static inline int kv_stats_rows(const struct kv_stats *s) { return s->rows ? s->rows : s->n; }

#endif
