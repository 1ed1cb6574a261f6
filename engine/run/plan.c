/* Lists of stages. */
#include "engine/run/plan.h"

#include <stdlib.h>

#define X(name) #name,
const char *const kv_phase_name[KV_PHASE_COUNT] = { KV_PHASES(X) };
const char *const kv_stage_name[KV_STAGE_COUNT] = { KV_STAGES(X) };
#undef X

static const struct {
    enum kv_stage before[1], layer[8], after[2];
    int n_before, n_layer, n_after;
} recipe[PLAN_KINDS] = {
#define LAYER_STAGES                                                                                               \
    {                                                                                                              \
        KV_STAGE_norm, KV_STAGE_qkv, KV_STAGE_rope, KV_STAGE_append, KV_STAGE_attend, KV_STAGE_observe,            \
            KV_STAGE_oproj, KV_STAGE_ffn                                                                           \
    }
    [PLAN_FORWARD] = { { KV_STAGE_embed }, LAYER_STAGES, { 0 }, 1, 8, 0 },
    [PLAN_GENERATE] = { { KV_STAGE_embed }, LAYER_STAGES, { KV_STAGE_head, KV_STAGE_sample }, 1, 8, 2 },
    [PLAN_COMPRESS] = { { KV_STAGE_allocate }, { KV_STAGE_select, KV_STAGE_gather }, { 0 }, 1, 2, 0 },
};

enum kv_status plan_build(enum plan_kind kind, int n_layer, struct plan *out, struct kv_error *err)
{
    size_t n = (size_t)recipe[kind].n_before + (size_t)n_layer * (size_t)recipe[kind].n_layer +
               (size_t)recipe[kind].n_after;
    struct plan_item *item = kv_alloc(n, sizeof *item);
    if (!item) return kv_fail(err, KV_NO_MEMORY, "No memory for a plan of %zu stages.", n);
    *out = (struct plan){ item, (int)n };
    for (int i = 0; i < recipe[kind].n_before; i++) *item++ = (struct plan_item){ recipe[kind].before[i], -1 };
    for (int l = 0; l < n_layer; l++)
        for (int i = 0; i < recipe[kind].n_layer; i++) *item++ = (struct plan_item){ recipe[kind].layer[i], l };
    for (int i = 0; i < recipe[kind].n_after; i++) *item++ = (struct plan_item){ recipe[kind].after[i], -1 };
    return KV_OK;
}

void plan_free(struct plan *plan)
{
    free(plan->item);
    *plan = (struct plan){ 0 };
}
