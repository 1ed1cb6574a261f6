/* What compression does to a given reply, measured from one prefill: a page of the engine's public contract.
 *
 * Both calls need a complete prefill and a reply, by rights the full cache's greedy one; they read it over kept sets as
 * kv_score does, and move nothing in the request. KL is KL(full || compressed) in nats, mean over the judged steps. */
#ifndef KV_TUNE_H
#define KV_TUNE_H

#include "engine/edit.h"

/* One layer alone keeps a share of its tokens, by a selector and the other policy.* settings in force, forced tokens
 * inside; every other layer keeps all. kl [n_share] out. KV_BAD_ARG for a layer, a selector or a share that is none;
 * KV_STOPPED after kv_stop. */
struct kv_sensitivity {
    int layer;
    const char *selector;
    const double *share; /* [n_share] in (0, 1] */
    int n_share;
    const int32_t *reply;
    int n_reply;
};
enum kv_status kv_sensitivity(
    struct kv_engine *e, const struct kv_sensitivity *what, double *kl, struct kv_error *err);

/* Every policy as compress would apply it now, edits included, all in one batch. verdict [n_policy] out; budget
 * [n_policy][n_layer] out or NULL. */
enum kv_status kv_score_policies(struct kv_engine *e, const int32_t *reply, int n_reply, int n_policy,
    const struct kv_policy_copy *const *policy, struct kv_verdict *verdict, int32_t *budget, struct kv_error *err);

/* The same of shares given layer by layer: share [n_plan][n_layer] in [0, 1] of the prompt's tokens, at least the forced
 * ones, by selector[n_layer] (names) and the other settings in force. */
enum kv_status kv_score_shares(struct kv_engine *e, const int32_t *reply, int n_reply, int n_plan,
    const double *share, const char *const *selector, struct kv_verdict *verdict, struct kv_error *err);

#endif
