/* What the user decided against the policy, as one immutable set: tokens that layers must keep or drop, and budgets
 * that are fixed. The engine, its past, marks and copies share sets by counting references; NULL = nothing is
 * decided, and a set that says nothing is never made. */
#ifndef KV_PINS_H
#define KV_PINS_H

#include "kernels/base.h"

/* Tokens first..end-1 of a layer. */
struct pin_run {
    int32_t layer, first, end;
    int32_t pin; /* 1 = kept, -1 = evicted */
};

struct pins {
    int refs;
    int n_layer, n_run;
    int32_t *budget;     /* [n_layer] tokens; -1 = the solver's */
    struct pin_run *run; /* [n_run] ascending by layer, then token; runs that touch differ in pin */
};

struct pins *pins_hold(struct pins *x); /* NULL is fine; returns x */
void pins_drop(struct pins *x);         /* NULL is fine */
/* Puts x in a slot, and drops what was there. */
void pins_set(struct pins **slot, struct pins *x);
bool pins_same(const struct pins *a, const struct pins *b);
size_t pins_bytes(const struct pins *x);

/* The layer's row: pin [n] out, 1 = kept, -1 = evicted, 0. False (and zeros) when the layer has none. */
bool pins_row(const struct pins *x, int layer, int n, int8_t *pin);
/* The layer's fixed budget, -1 = none. */
int32_t pins_budget(const struct pins *x, int layer);

/* x with the pin of tokens pos[count] of a prompt of n (pos NULL = of all) changed in layers first..last. */
enum kv_status pins_with_tokens(const struct pins *x, int n_layer, int n, const int32_t *pos, int count, int first,
    int last, int pin, struct pins **out, struct kv_error *err);
/* x with the budget of layer[i] fixed at tokens[i], -1 = not fixed. */
enum kv_status pins_with_budgets(const struct pins *x, int n_layer, const int32_t *layer, const int32_t *tokens,
    int count, struct pins **out, struct kv_error *err);

#endif
