/* What a policy's profile says about the layers. Internal to the engine. */
#ifndef KV_RUN_TUNED_H
#define KV_RUN_TUNED_H

#include "engine/state.h"

/* Fills shares [n_layer] of a total of tokens, for the allocator `tuned`, and rows of the selector table [n_layer], for
 * the selector `tuned`; where the policy names neither, the first are 1 and the others the policy's. least: tokens that
 * every layer keeps. KV_NOT_NOW without a profile, KV_BAD_ARG for one of another model. */
enum kv_status tuned_layers(const struct kv_engine *e, const struct kv_policy *p, int n, int64_t total, int least,
    double *share, int32_t *selector, struct kv_error *err);

#endif
