/* Edits: the user's word against the policy's, and why the policy decided as it did. A page of the engine's public
 * contract.
 *
 * Layer by layer, tokens may be pinned (kept whatever their score) or evicted (dropped, sinks and recent ones too), and
 * a budget may be fixed: the solver then shares out among the other layers what is left of the same total. Edits take
 * effect at the next compress, as policy.* settings do, and belong to the prompt: another one forgets them. They are
 * part of the history: going back runs compress again with the edits that it ran with, an edit behind the frontier
 * starts a new branch at the next step, and a mark brings its own edits back.
 *
 * A layer keeps its pinned tokens before sinks and recent ones, and its bounds rise to hold them. Edits that could
 * not all be kept to are refused with numbers; where a later change of policy.* makes them so, compress keeps to the
 * fixed budgets and the total gives way, and only edits that make it worse are refused. Edits can always be taken
 * back. */
#ifndef KV_EDIT_H
#define KV_EDIT_H

#include "engine/engine.h"

enum kv_edit { KV_EVICT = -1, KV_UNPIN, KV_PIN };

/* Changes what becomes of tokens pos[count] (prompt positions; pos NULL = all) in layers first..last. KV_BAD_ARG: out
 * of range, a layer would keep nothing, or its fixed budget cannot hold its pins or fill up. */
enum kv_status kv_edit_tokens(struct kv_engine *e, enum kv_edit how, const int32_t *pos, int count, int first,
    int last, struct kv_error *err);

#define KV_BUDGET_AUTO (-1) /* the solver's */

/* Fixes the budgets of count layers at tokens[i], all or none of them. KV_BAD_ARG with the range that a layer can
 * have: its pins up to its tokens that are not evicted, and no more or less than leaves the other layers' bounds a
 * share of the total. */
enum kv_status kv_edit_budgets(
    struct kv_engine *e, const int32_t *layer, const int32_t *tokens, int count, struct kv_error *err);

/* Budgets [n_layer] that a compress would apply with settings and edits as they are now. KV_NOT_NOW before the prefill
 * is complete. */
enum kv_status kv_next_budgets(struct kv_engine *e, int32_t *budget, struct kv_error *err);

/* --- policies in comparison ------------------------------------------------------------------------------------ */

enum kv_policy_of {
    KV_POLICY_NOW,        /* as set, for the next compress */
    KV_POLICY_COMPRESSED, /* that compress ran with; KV_NOT_NOW before it allocates */
    KV_POLICY_PRESET      /* the preset that the present one started from; it has no edits */
};

/* A policy.* setting of one of them; "unset" for two of ratio, tokens and bytes. */
enum kv_status kv_policy_get(const struct kv_engine *e, enum kv_policy_of of, const char *name, char *text,
    size_t size, struct kv_error *err);
/* "seed", or "seed (edited)" where tokens or budgets were edited or settings differ from the preset, its total (ratio,
 * tokens, bytes) and the question's part apart. Returns text. */
const char *kv_policy_title(const struct kv_engine *e, enum kv_policy_of of, char *text, size_t size);
/* The edits of one layer: pin [n] (enum kv_edit; NULL = not wanted) and its fixed budget. False when that
 * policy has no edits in any layer. */
bool kv_policy_edits(const struct kv_engine *e, enum kv_policy_of of, int layer, int8_t *pin, int *budget);

/* Settings policy.* and edits of one moment, to come back to. Copies belong to their engine. */
struct kv_policy_copy;
struct kv_policy_copy *kv_policy_take(const struct kv_engine *e); /* NULL = no memory */
void kv_policy_free(struct kv_policy_copy *copy);                 /* NULL is fine */
bool kv_policy_same(const struct kv_policy_copy *a, const struct kv_policy_copy *b);
/* Puts them back in force. KV_NOT_NOW when the prompt is another one. */
enum kv_status kv_policy_put(struct kv_engine *e, const struct kv_policy_copy *copy, struct kv_error *err);

/* --- why ------------------------------------------------------------------------------------------------------ */

/* What decided a layer's budget: an index into this. "share" of what the others left, "floor", "cap", "fixed" by an
 * edit; NULL behind the last. Value budget.rule[l]. */
extern const char *const kv_budget_rule_name[];

/* One ingredient of a token's score. */
struct kv_part {
    const char *name; /* "sum", "mean", "window", "cake", "last", "vnorm" */
    double raw;       /* attention of its rows to the token, heads reduced (policy.reduce); cake: and variance */
    double divided;   /* the same per row, where the selector divides */
    double pooled;    /* with its neighbors (policy.pool) */
    double scaled;    /* times the lengths of its values, where the selector is vnorm */
    double total;     /* of scaled over the tokens that compete, which mix divides by; 0 = nothing is divided */
};
struct kv_why {
    double score;
    int n_part; /* 0: the score is no attention that was given (streaming, random, knorm, expected) */
    struct kv_part part[2];
};
/* How the selector came to the score of one token in one layer and KV head (a shared set answers for all of them),
 * with the policy that compress ran with. head [2][n_head] (NULL = not wanted): the scaled value of every head alone,
 * part by part; 0 of those that have no say in the set. KV_NOT_NOW before the layer is selected, or where the prompt's
 * keys are gone (engine.snapshot off). */
enum kv_status kv_why(struct kv_engine *e, int layer, int kv_head, int position, struct kv_why *out, double *head,
    struct kv_error *err);

#endif
