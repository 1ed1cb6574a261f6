/* Budgets over layers: a weight for every layer, bounds, pins, and one solver that shares out a total exactly. */
#ifndef KV_POLICY_ALLOCATE_H
#define KV_POLICY_ALLOCATE_H

#include "engine/policy/policy.h"
#include "engine/policy/stats.h"

/* One row an allocator: a name, what it reads, and how it makes the weights, in two steps: a number of each layer from
 * its own statistics, which then need not be there for all layers at once, and the weights from all these numbers. */
struct policy_allocator {
    const char *name;
    unsigned needs; /* enum kv_need */
    /* NULL: nothing is measured, the numbers are 0 */
    enum kv_status (*measure)(
        const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err);
    /* measure [n_layer]; given [n_layer] or NULL (see policy_weigh); weight [n_layer] out */
    enum kv_status (*weigh)(const struct kv_policy *policy, const double *measure, int n_layer, const double *given,
        double *weight, struct kv_error *err);
    const char *help; /* one sentence */
};
const struct policy_allocator *policy_allocator_at(int row); /* NULL behind the last */
const char *policy_allocator_name(int row);                  /* NULL behind the last */

/* Mean attention entropy of a layer, E = mean over heads of H[h], H[h] = mean over the policy's rows, in nats (raw)
 * or as a share of ln of the keys a row sees (log-length; a row that sees one key says nothing and is left out).
 * per_head [n_head] out or NULL. Rounding below 0 is cut to 0; NaN stays. Kim & Jung, Mathematics 2025, 13(15),
 * 2366. */
double policy_layer_entropy(const struct kv_policy *policy, const struct kv_stats *stats, double *per_head);

/* What the policy's allocator takes from one layer. KV_BAD_ARG when a statistic that it needs is NULL. */
enum kv_status policy_measure(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err);

/* The allocator's weights from the measures [n_layer] of all layers. given [n_layer] are the profile's for
 * `tuned` and the user's own for `manual` (NULL = equal); weight [n_layer] out. Formulas, L layers, l from 0:
 *   tuned, manual  as given
 *   entropy    E^power (policy_layer_entropy)
 *   inverse    E^-power; where the exponent is negative, E counts as at least 1e-6 nats
 *   uniform    1
 *   pyramid    a straight line from 2 - 1/beta in layer 0 to 1/beta in the last. PyramidKV, arXiv 2406.02069, without
 *              its fallback to equal budgets and with an exact total
 *   cake       D^(1/tau1) V^(1/tau2), D and V as in kv_stats.spread. CAKE, arXiv 2503.12491
 *   zigzag     boundary / L + (1 - boundary) u: u the layer's share of how many tokens hold policy.mass of a head's
 *              attention from the window, mean over heads. ZigZagKV, arXiv 2412.09036
 *   squeeze    three groups of layers by the mean cosine of a layer's input and what attention made of it, cut where
 *              the squared distances to the groups' means are least; the most similar weigh policy.share, the others
 *              what that leaves of L, in equal parts. SqueezeAttention, arXiv 2404.04793, with an exact cut in place
 *              of k-means; fewer than three different cosines make fewer groups, a single one no difference
 *   meda       e^(E / temperature). MEDA, arXiv 2502.17599, with an exact total
 *   lava       entropy of the layer's token scores as shares, over KV heads and tokens before the window, over ln of
 *              their number; a score: maximum over the group's heads of the window's mean attention, the maximum of
 *              policy.kernel neighbors, times the largest L1 norm of the KV head's values. LAVa, arXiv 2509.09754
 * Where a method reads tokens before the window and there are none, the measure is 0. */
enum kv_status policy_weigh(const struct kv_policy *policy, const double *measure, int n_layer, const double *given,
    double *weight, struct kv_error *err);

/* Both steps: stats [n_layer], all there at once. */
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
