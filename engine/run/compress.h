/* How a compression comes about: of the prefill (compress:0), and again of what is left and what came after. For the
 * stages of the run itself, for runs in contest, and for those who ask what it would do. */
#ifndef KV_COMPRESS_H
#define KV_COMPRESS_H

#include "engine/state.h"

/* engine/edit.h: settings policy.* and edits of one moment. */
struct kv_policy_copy {
    struct kv_policy policy;
    struct pins *pins;
    unsigned prompt;
};

/* What there is to choose from, and by which policy. */
struct candidates {
    const struct kv_engine *e;
    const struct kv_policy *policy;
    const struct pins *pins;
    const struct run *run;       /* whose keys; NULL = the prefill's */
    const struct selection *sel; /* what its prefix holds */
    struct record *record;       /* their statistics; not needed for bounds and totals */
};

/* First positions of a layer that no query to come sees through its sliding window, and that are dropped therefore: 0
 * without one, with policy.unseen keep, or where the policy keeps everything; never all. */
int compress_unseen(const struct candidates *c, int layer);

/* Bounds [n_layer] of budgets that are not fixed, and the tokens to share out: the policy's total within the sums of
 * bounds, of layers with a fixed budget as they were without edits, so that fixing it leaves the total as it is. */
enum kv_status compress_bounds(const struct candidates *c, int32_t *lo, int32_t *hi, struct kv_error *err);
int64_t compress_total(const struct candidates *c, const int32_t *lo, const int32_t *hi);
/* Works budgets out: fills the arrays by layer and the totals, nothing else. */
enum kv_status compress_solve(const struct candidates *c, struct selection *out, struct kv_error *err);
/* The same from the prefill's statistics. */
enum kv_status compress_solve_prefill(struct kv_engine *e, const struct kv_policy *p, const struct pins *pins,
    struct selection *out, struct kv_error *err);
size_t compress_bytes_per_token(const struct kv_engine *e); /* K and V of one layer; 0: not started */

/* The stages, for a run with its selection and the decision that its history has made or will make. Number 0 fills
 * both; a later one leaves them as they are until its last layer is gathered, and then is what they are. */
struct compression {
    struct kv_engine *e;
    struct run *run;
    struct selection *sel;
    int number;
    int cap; /* of number 0: tokens that the run has room for behind the prefix */
};
enum kv_status compress_allocate(const struct compression *c, const struct kv_policy *policy, uint64_t seed,
    struct pins *pins, struct kv_error *err);
enum kv_status compress_select(const struct compression *c, int layer, struct kv_error *err);
enum kv_status compress_gather(const struct compression *c, int layer, struct kv_error *err);

/* Chooses for all layers at once, so that a device is waited for twice and not twice a layer: when the first layer of
 * number 0 is selected, nobody looks at the stages, and the policy's scores are added over heads. Then compress_select()
 * of each layer, the first one too, finds its choice in sel->ahead; where it cannot be, sel->ahead stays NULL. */
enum kv_status compress_ahead(const struct compression *c, struct kv_error *err);

/* Whether a run compresses again before it decodes on. */
static inline bool compress_due(const struct run *r, const struct selection *s)
{
    return s->policy.every > 0 && r->since >= s->policy.every;
}

#endif
