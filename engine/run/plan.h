/* The plan as data: which stages make up a pass, the same on every backend. */
#ifndef KV_PLAN_H
#define KV_PLAN_H

#include "engine/engine.h"

enum plan_kind {
    PLAN_FORWARD,  /* embed, every layer */
    PLAN_GENERATE, /* the same, then head and sample */
    PLAN_COMPRESS, /* allocate, then select and gather of every layer */
    PLAN_KINDS
};

struct plan_item {
    enum kv_stage stage;
    int layer; /* -1 = none */
};

struct plan {
    struct plan_item *item; /* [n], owned */
    int n;
};

enum kv_status plan_build(enum plan_kind kind, int n_layer, struct plan *out, struct kv_error *err);
void plan_free(struct plan *plan);

#endif
