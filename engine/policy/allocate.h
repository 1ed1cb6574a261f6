/* Budgets over layers: a weight for every layer, bounds, pins, and one solver that shares out a total exactly. */
#ifndef KV_POLICY_ALLOCATE_H
#define KV_POLICY_ALLOCATE_H

#include "engine/policy/policy.h"
#include "engine/policy/stats.h"

/* One row an allocator: a name, what it reads, and how it makes the weights. */
struct policy_allocator {
    const char *name;
    unsigned needs; /* enum kv_need */
    /* stats [n_layer]; given [n_layer] or NULL (see policy_weights); weight out [n_layer] */
    enum kv_status (*weights)(const struct kv_policy *policy, const struct kv_stats *stats, int n_layer,
        const double *given, double *weight, struct kv_error *err);
    const char *help; /* one sentence */
};
const struct policy_allocator *policy_allocator_at(int row); /* NULL behind the last */
const char *policy_allocator_name(int row);                  /* NULL behind the last */

/* Mean attention entropy of a layer, E = mean over heads of H[h], H[h] = mean over the policy's rows, in nats (raw)
 * or as a share of ln of the keys a row sees (log-length; a row that sees one key says nothing and is left out).
 * per_head [n_head] out or NULL. Rounding below 0 is cut to 0; NaN stays. Kim & Jung, Mathematics 2025, 13(15),
 * 2366. */
double policy_layer_entropy(const struct kv_policy *policy, const struct kv_stats *stats, double *per_head);

/* The allocator's weights. stats [n_layer]; given [n_layer] are the profile's for `tuned` and the user's own for
 * `manual` (NULL = equal); weight [n_layer] out. Where the exponent is negative, E counts as at least 1e-6 nats. */
enum kv_status policy_weights(const struct kv_policy *policy, const struct kv_stats *stats, int n_layer,
    const double *given, double *weight, struct kv_error *err);

/* Tokens to keep over all layers together: round(ratio * n * n_layer), tokens * n_layer, or bytes /
 * bytes_per_token. Not yet clamped to the bounds. */
int64_t policy_total(const struct kv_policy *policy, int n, int n_layer, size_t bytes_per_token);

/* Bounds of one layer's budget. pins [n]: 1 = the user keeps token j, -1 = the user evicts it, 0 = free; NULL =
 * none. lo: policy.floor, or all tokens forced or pinned, at least 1; hi: policy.cap, at most the tokens not
 * evicted; neither is less than the pinned tokens; lo <= hi. KV_BAD_ARG when the user evicted every token (a layer without keys has no softmax). */
enum kv_status policy_bounds(const struct kv_policy *policy, int layer, int n, const int8_t *pins, int32_t *lo,
    int32_t *hi, struct kv_error *err);

#define POLICY_MAX_LAYERS 4096

struct policy_problem {
    int n_layer;            /* 1..POLICY_MAX_LAYERS */
    const double *weight;   /* [n_layer] finite, >= 0; only ratios count */
    const int32_t *lo, *hi; /* [n_layer] tokens, 0 <= lo <= hi */
    const int32_t
        *pinned;   /* [n_layer] budget that the user fixed, bounds notwithstanding; -1 = free; NULL = none */
    int64_t total; /* tokens over all layers, >= 0 */
};

enum policy_bound { POLICY_FREE, POLICY_AT_LO, POLICY_AT_HI, POLICY_PINNED };

struct policy_solution {
    int64_t total;   /* what was shared out: the problem's, clamped to [least, most] */
    int64_t least;   /* sum of lo, pins included */
    int64_t most;    /* sum of hi, pins included */
    double *request; /* [n_layer] or NULL: share by weight alone, pins taken off, before bounds and rounding */
    uint8_t *bound;  /* [n_layer] or NULL: enum policy_bound that decided */
};

/* Budgets with an exact sum: waterfilling from both sides, then largest remainder.
 *   share y = rest * W / sum W over the free layers; the side (below lo, above hi) whose violations sum to more is
 *   fixed at its bound, equal sums fix the upper side; again until none. All free weights 0: equal shares. Shares
 * are cut to whole tokens and the rest goes to the largest fractions, ties to the lower layer. Computed in integers
 * (weights as 62-bit fractions of the largest), so ties are ties on every machine, and a larger weight with equal
 * bounds never gets less. budget [n_layer] out; solution NULL or filled. KV_BAD_ARG: a weight that is negative, NaN
 * or infinite, lo > hi, a negative pin or total. KV_NO_MEMORY. */
enum kv_status policy_solve(
    const struct policy_problem *problem, int32_t *budget, struct policy_solution *solution, struct kv_error *err);

#endif
