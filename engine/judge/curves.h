/* Damage curves: what it costs to keep but a share of one layer's tokens, and the shares that cost least together. Pure
 * functions of arrays.
 *
 * A curve says how far the reply moves (KL from the full cache, nats a token) when one layer alone keeps a share of its
 * tokens, at a few shares. That damages add up over layers is the assumption; what it is worth, a full run tells. */
#ifndef KV_JUDGE_CURVES_H
#define KV_JUDGE_CURVES_H

#include "kernels/base.h"

#define CURVES_SHARES 32 /* points of a curve at most */

/* One kind of prompts. A share of 1 does no damage and is not among the points; below the first, nothing is known and
 * the curve counts as flat. */
struct curves {
    int n_layer, n_share, n_selector;
    const double *share; /* [n_share] ascending, in (0, 1) */
    const double *kl;    /* [n_selector][n_layer][n_share] nats, each row settled */
};

/* Makes one measured curve [n_share] non-increasing: the nearest such curve by squares (pools adjacent violators). A
 * negative or missing (NaN) point counts as 0 nats. */
void curves_settle(double *kl, int n_share);

/* The curve at any share in [0, 1], between the points by straight lines. */
double curves_at(const struct curves *c, int selector, int layer, double share);

struct curves_plan {
    double total; /* shares of all layers together, 0..n_layer */
    double least; /* of one layer: what is kept whatever happens */
    double most;
    double *share;  /* [n_layer] out */
    int *selector;  /* [n_layer] out: the best selector of each layer at its share; NULL = not wanted */
    double *damage; /* [n_kind] out: sum over layers, nats; NULL = not wanted */
    double
        *uniform; /* [n_kind] out: the same where all layers keep the same, with the best one selector; or NULL */
};

/* Spends the total along the lower convex hulls of the curves, best gain a token first; equal gains share. With several
 * kinds, the largest ratio of a kind's damage to its damage under equal shares is made small (minimax by
 * multiplicative weights). Kinds agree in n_layer, n_share, n_selector and share. KV_BAD_ARG: no kind, or out of range;
 * KV_NO_MEMORY. */
enum kv_status curves_spend(const struct curves *kind, int n_kind, struct curves_plan *plan, struct kv_error *err);

#endif
