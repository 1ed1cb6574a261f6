/* Token scores: one number for every key of a layer, the higher the better worth keeping. */
#ifndef KV_POLICY_SCORE_H
#define KV_POLICY_SCORE_H

#include "engine/policy/policy.h"
#include "engine/policy/stats.h"

/* What a score row is made from. */
struct policy_scored {
    const struct kv_policy *policy;
    const struct kv_stats *stats; /* of this layer */
    int set;                      /* 0, or the KV head with group = kv-head: which kept set this row is for */
    const uint8_t *forced; /* [n] enum kv_forced, NULL = all by score: `mix` divides by totals over the rest */
    uint64_t seed;         /* of `random` */
};

struct part; /* of a score row; score.c knows */
#define POLICY_PARTS 2

/* One row a selector: a name, what it reads, and the function. */
struct policy_selector {
    const char *name;
    unsigned needs; /* enum kv_need; POLICY_NEED_ROWS: as policy.rows says */
    /* score [n] out, in f64: rounded to f32 once, by the caller */
    enum kv_status (*score)(const struct policy_scored *s, double *score, struct kv_error *err);
    int (*parts)(const struct policy_scored *s, struct part *part); /* NULL: not made of attention */
    const char *help;                                               /* one sentence */
};
#define POLICY_NEED_ROWS (1u << 31)

const struct policy_selector *policy_selector_at(int row); /* NULL behind the last */
const char *policy_selector_name(int row);                 /* NULL behind the last */

/* enum kv_need of a selector under this policy, POLICY_NEED_ROWS resolved. */
unsigned policy_selector_needs(const struct kv_policy *policy, const struct policy_selector *selector);

/* Whether a score is made of attention that is added over heads, and of nothing else. */
bool policy_folds(const struct kv_policy *policy);

/* Writes score [n] f32, accumulated in f64 in ascending head order and rounded once. Heads are all query heads, or
 * those of KV head `set`; they are pooled each (policy.pool; knorm and expected only where it is set), then reduced.
 *   sum        attention that the key got from the policy's rows
 *   mean       the same, divided by how many of those rows see the key (0 where none does)
 *   window     mean attention from the last policy.window rows, pooled by default. SnapKV, arXiv 2404.14469: keys
 *              before the window and those inside are pooled apart, the average divides by the whole kernel even at
 *              the ends, as kvpress does; kvpress always keeps the window itself, here policy.recent decides
 *   cake       the same of attention's mean plus policy.gamma times its unbiased variance over these rows (CAKE, arXiv
 *              2503.12491)
 *   last       attention of the last row (TOVA, arXiv 2401.06104)
 *   mix        sum and window, each divided by its total over the tokens that are not forced, added
 *   knorm      minus the L2 norm of the key, over KV heads (arXiv 2406.11430)
 *   vnorm      sum, plus policy.epsilon, times the L2 norm of the KV head's value
 *   expected   softmax of stats->expected over the keys behind the sinks, plus policy.epsilon, times the same norm
 *              (Expected Attention, arXiv 2510.00636); sinks, which are forced, get the best score of the others
 *   streaming  the position (StreamingLLM, arXiv 2309.17453: sinks are forced, the rest is the most recent)
 *   tuned      the selector that the profile chose: compress puts that in its place
 *   random     a hash of (seed, layer, set, position) in [0, 1), the control
 * KV_BAD_ARG when a statistic that is needed is NULL. KV_NO_MEMORY. */
enum kv_status policy_score(const struct policy_scored *s, float *score, struct kv_error *err);

/* Token j's way through one ingredient of its score: heads reduced, then divided by rows, then pooled, then
 * multiplied by lengths of values; and the total by which mix divides what comes of it (0 = nothing does). */
struct policy_part {
    const char *name;
    double raw, divided, pooled, scaled, total;
};
/* The ingredients of the score of token j: *n_part of them, 0 where it is not made of attention. head [POLICY_PARTS]
 * [n_head] or NULL: the scaled value of every head alone. */
enum kv_status policy_explain(const struct policy_scored *s, int j, struct policy_part out[POLICY_PARTS],
    double *head, int *n_part, struct kv_error *err);

#endif
