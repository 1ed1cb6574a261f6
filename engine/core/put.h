/* The tensors of a core file that is being written. Internal to the engine. */
#ifndef KV_CORE_PUT_H
#define KV_CORE_PUT_H

#include "engine/core.h"
#include "engine/core/output.h"
#include "engine/safetensors.h"
#include "engine/state.h"

/* Where a tensor's bytes come from. */
enum source { FROM_VALUE, FROM_MEMORY, FROM_ATTENTION, FROM_CACHE, FROM_STATS };

struct item {
    struct st_tensor tensor;
    char name[48];
    enum source source;
    enum kv_core_part part;
    const void *data;                     /* FROM_MEMORY: borrowed from the plan or the engine */
    int layer, head;                      /* FROM_ATTENTION, FROM_CACHE */
    const struct kv_span *first, *second; /* FROM_CACHE: one behind the other; second NULL = none */
    char which;                           /* 'k', 'v', 'p' positions */
};

/* Whether the slots of an item of the active cache lie one head behind the other, each head its own number. */
static inline bool core_own_slots(const struct kv_engine *e, const struct kv_span *second)
{
    return second && e->sel.sets > 1;
}

/* Writes the tensor's bytes. */
enum kv_status core_put(struct output *o, const struct item *item, struct kv_error *err);

#endif
