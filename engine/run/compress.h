/* How budgets come about, for compress itself and for those who ask what it would do. */
#ifndef KV_COMPRESS_H
#define KV_COMPRESS_H

#include "engine/state.h"

/* engine/edit.h: settings policy.* and edits of one moment. */
struct kv_policy_copy {
    struct kv_policy policy;
    struct pins *pins;
    unsigned prompt;
};

/* Bounds [n_layer] of budgets that are not fixed, and the tokens to share out: the policy's total within the sums of
 * bounds, of layers with a fixed budget as they were without edits, so that fixing it leaves the total as it is. */
enum kv_status compress_bounds(const struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    int32_t *lo, int32_t *hi, struct kv_error *err);
int64_t compress_total(const struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    const int32_t *lo, const int32_t *hi);
/* Works budgets out from the prefill's statistics: fills the arrays by layer and the totals, nothing else. */
enum kv_status compress_solve(struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    struct selection *out, struct kv_error *err);
size_t compress_bytes_per_token(const struct kv_engine *e); /* K and V of one layer; 0: not started */

#endif
