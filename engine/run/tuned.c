/* From a profile's curves to the weights and selectors of one compress. */
#include "engine/run/tuned.h"

#include "engine/policy/allocate.h"
#include "engine/policy/profiles.h"
#include "engine/policy/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum kv_status find_profile(
    const struct kv_engine *e, const struct kv_policy *p, const struct kv_profile **out, struct kv_error *err)
{
    *out = profiles_at(p->profile);
    if (*out) return kv_profile_fits(*out, e->model, err);
    if (p->profile == PROFILES_NONE)
        return kv_fail(err, KV_NOT_NOW,
            "The policy tuned needs a profile of the model: set policy.profile FILE; \"sensitivity\" makes one.");
    return kv_fail(err, KV_NOT_NOW, "The profile %.200s is not loaded: set policy.profile to where it is.",
        profiles_name(p->profile));
}

static enum kv_status selector_row(const char *name, int32_t *row, struct kv_error *err)
{
    for (*row = 0; policy_selector_at(*row); ++*row)
        if (!strcmp(policy_selector_name(*row), name)) return KV_OK;
    return kv_fail(err, KV_BAD_ARG, "The profile chose the selector %.40s, which there is not.", name);
}

enum kv_status tuned_layers(const struct kv_engine *e, const struct kv_policy *p, int n, int64_t total, int least,
    double *share, int32_t *selector, struct kv_error *err)
{
    int n_layer = e->model->shape.n_layer;
    bool select = !strcmp(policy_selector_name(p->selector), POLICY_TUNED);
    bool allocate = !strcmp(policy_allocator_name(p->allocator), POLICY_TUNED);
    const struct kv_profile *profile;
    for (int l = 0; l < n_layer; l++) share[l] = 1, selector[l] = p->selector;
    if (!select && !allocate) return KV_OK;
    enum kv_status status = find_profile(e, p, &profile, err);
    int *chosen = kv_alloc((size_t)n_layer, sizeof *chosen);
    if (!status && !chosen) status = kv_fail(err, KV_NO_MEMORY, "No memory for the shares of %d layers.", n_layer);
    struct kv_profile_plan plan = { .total = fmin(1, fmax(0, (double)total / ((double)n * n_layer))),
        .least = fmin(1, (double)least / n),
        .with = select ? NULL : policy_selector_name(p->selector),
        .share = share,
        .selector = chosen };
    if (!status) status = kv_profile_spend(profile, &plan, err);
    for (int l = 0; l < n_layer && !status; l++) {
        if (!allocate) share[l] = 1;
        bool own = kv_profile_by_layer(profile);
        if (select)
            status =
                selector_row(own ? profile->selector[chosen[l]] : kv_profile_choice(profile), &selector[l], err);
    }
    free(chosen);
    return status;
}
