/* Which tokens a layer keeps: forced ones first, then the best by score; and why. */
#ifndef KV_POLICY_SELECT_H
#define KV_POLICY_SELECT_H

#include "kernels/base.h"
#include "kernels/select.h"

enum policy_reason {
    POLICY_EVICTED, /* not kept; every other reason is of a kept token */
    POLICY_SINK,
    POLICY_RECENT,
    POLICY_PIN,
    POLICY_TOP_K,
    POLICY_TIE, /* kept for its lower index: a token of the same score was evicted */
};
extern const char *const kv_reason_name[]; /* by enum policy_reason, NULL behind the last */

/* Tokens that do not compete by score. */
struct policy_forcing {
    int sinks, recent;  /* the first, the last tokens */
    const int8_t *pins; /* [n] 1 = the user keeps it, -1 = the user evicts it (sink or not), 0; NULL = none */
};

/* The forced mask [n] (enum kv_forced) of a row under this budget, for policy_scored and the backend's select. When
 * the budget cannot hold all forced tokens, pins go first (from the left), then sinks (from the left), then the
 * most recent, and nothing is left to the score. Returns how many must be kept, <= budget. */
int policy_forced(const struct policy_forcing *forcing, int n, int budget, uint8_t *forced);

/* Reason [n] (enum policy_reason) of every token, from the scores and the kept set that a select gave.
 * Forced reasons: sink before recent before pin. */
void policy_reasons(const struct policy_forcing *forcing, const float *score, int n, const int32_t *kept,
    int n_kept, uint8_t *reason);

/* Where the line between kept and evicted lies. */
struct policy_cut {
    float score;     /* lowest score that was kept by score; NaN when none was */
    int position;    /* its token, the last one in; -1 when none */
    int by_score;    /* tokens kept by score */
    int competitors; /* tokens that had to compete by score */
    int n_nan;       /* competitors without a number for a score: they come last, and the caller should say so */
};
void policy_find_cut(
    const float *score, const uint8_t *forced, int n, const int32_t *kept, int n_kept, struct policy_cut *cut);

/* Rank [n] of every competitor, 0 = best, in the order of kernels/select.h; -1 for forced tokens, kept or dropped.
 * forced [n] or NULL. O(n log n). KV_NO_MEMORY. */
enum kv_status policy_rank(const float *score, const uint8_t *forced, int n, int32_t *rank, struct kv_error *err);

/* One kept set for each of `heads` heads, which share heads * budget tokens (AdaKV, arXiv 2407.11550; the safeguard as
 * kvpress has it): every head keeps its forced tokens and its best, until they are int(alpha * budget), but at least one where alpha > 0, then the best
 * of all heads until the sum is reached. score [heads][n]; forced [n] (enum kv_forced), as of this budget, for all
 * heads; kept [heads][n], ascending in each row, n_kept [heads]. The sum falls short only where evicted tokens leave
 * too few. KV_NO_MEMORY. */
enum kv_status policy_select_heads(const float *score, const uint8_t *forced, int n, int heads, int budget,
    double alpha, int32_t *kept, int32_t *n_kept, struct kv_error *err);

/* The whole of it on the host: mask, selection, reasons. score [n] f32; kept: room for min(budget, n), ascending;
 * reason [n] or NULL. budget >= n keeps all but what the user evicted. KV_BAD_ARG: n or budget negative.
 * KV_NO_MEMORY. */
enum kv_status policy_select(const struct policy_forcing *forcing, const float *score, int n, int budget,
    int32_t *kept, int *n_kept, uint8_t *reason, struct kv_error *err);

#endif
