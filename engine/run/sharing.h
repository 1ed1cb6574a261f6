/* What it costs that the heads of a layer share one kept set. Internal to the engine: values of kv_value, each for the
 * caller to allocate. All from the prefill's statistics; nothing is run again.
 * KV_NOT_NOW where these were not collected, or the selector's are gone (engine.snapshot off). */
#ifndef KV_SHARING_H
#define KV_SHARING_H

#include "engine/engine.h"

/* Of the set that all heads would share, with the budget and selector of the last compress, against each KV head's own
 * best of the same number: [n_layer][n_kv_head]. */
enum sharing_kind {
    SHARING_OVERLAP, /* tokens in both, of those in either */
    SHARING_MASS,    /* attention of the head's rows that the shared set holds, a share */
    SHARING_OWN      /* the same of its own set */
};
enum kv_status sharing_values(struct kv_engine *e, enum sharing_kind kind, double *out, struct kv_error *err);

#endif
