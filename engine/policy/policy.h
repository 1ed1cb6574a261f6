/* The policy as data: every `policy.*` setting as a typed field, the presets, and one table of settings from which
 * set, show, help and completion are made.
 *
 * A policy is an allocator (budgets over layers, allocate.h) times a selector (token scores, score.h) plus forced
 * tokens (select.h). Everything in this folder is a pure function of its arguments: no engine state, no I/O.
 * A setter that fails leaves the policy as it was and one sentence in *err. */
#ifndef KV_POLICY_H
#define KV_POLICY_H

#include "engine/setting.h"

enum policy_rows { POLICY_ROWS_ALL, POLICY_ROWS_WINDOW, POLICY_ROWS_LAST };
enum policy_entropy { POLICY_ENTROPY_RAW, POLICY_ENTROPY_LOG_LENGTH };
enum policy_pool { POLICY_POOL_AUTO, POLICY_POOL_NONE, POLICY_POOL_AVG, POLICY_POOL_MAX };
enum policy_reduce { POLICY_REDUCE_SUM, POLICY_REDUCE_MEAN, POLICY_REDUCE_MAX };
enum policy_group { POLICY_GROUP_SHARED, POLICY_GROUP_KV_HEAD };
enum policy_unseen { POLICY_UNSEEN_DROP, POLICY_UNSEEN_KEEP };
enum policy_positions { POLICY_POSITIONS_KEEP, POLICY_POSITIONS_REROTATE };

#define POLICY_TUNED "tuned"      /* the allocator and the selector that a profile decides */
#define POLICY_AUTO  SETTING_AUTO /* of floor and cap: follow the prompt */

struct kv_policy {
    int preset;         /* row of the preset table that the other fields started from */
    int allocator;      /* row of the allocator table (allocate.h) */
    int selector;       /* row of the selector table (score.h) */
    double ratio;       /* kept share of n * n_layer; of ratio, tokens and bytes just one is not 0 */
    int tokens;         /* mean budget of a layer, tokens */
    int64_t bytes;      /* active K and V of the prompt, all layers together */
    int sinks;          /* first tokens, forced, inside the budget */
    int recent;         /* last tokens, forced, inside the budget */
    int floor, cap;     /* bounds of a layer's budget, tokens; POLICY_AUTO: the forced tokens (at least 1), n */
    int rows;           /* enum policy_rows: which rows entropy, `sum` and `mean` are taken from */
    int window;         /* rows of the observation window, 1..KV_LAST_ROWS */
    int entropy;        /* enum policy_entropy: nats, or nats divided by ln of the visible keys */
    double power;       /* W = E^power, or E^-power for `inverse` */
    double beta;        /* pyramid: how many times the mean the last layer's budget is below it */
    double tau1, tau2;  /* cake: how much the window's entropy and variance are evened out */
    double temperature; /* meda: of the softmax over layers, nats */
    double mass;        /* zigzag: share of attention whose tokens are counted */
    double boundary;    /* zigzag: share of the mean budget that every layer gets */
    double share;       /* squeeze: of the mean budget, for layers that attention changes least */
    double gamma;       /* cake, the selector: of the variance beside the mean */
    int future;         /* expected: positions to come that queries are expected at */
    double epsilon;     /* expected: added to attention before it is multiplied by the length of the value */
    int pool;           /* enum policy_pool; AUTO: avg for `window`, none for the others */
    int kernel;         /* width of the pool in tokens, odd */
    int reduce;         /* enum policy_reduce over query heads */
    int group;          /* enum policy_group: one kept set a layer, or one a KV head */
    double alpha;       /* of group kv-head: share of a head's budget that other heads cannot win from it */
    int query_aware;    /* 0: compress before the question is read */
    int every;          /* compress again every so many decoded tokens; 0 = never */
    int positions;      /* enum policy_positions: RoPE after eviction */
    int unseen;         /* enum policy_unseen: tokens that a layer's sliding window has left behind for good */
    int profile;        /* number of the profile that `tuned` reads (profiles.h); 0 = none */
};

/* --- the table of settings ------------------------------------------------------------------------------ */

/* Row of the table, in the order to show; NULL behind the last. */
const struct setting *policy_setting_at(int row);

/* The row called name ("policy.ratio"), NULL if there is none. */
const struct setting *policy_setting_find(const char *name);

/* --- presets -------------------------------------------------------------------------------------------- */

const char *policy_preset_name(int row); /* "seed"; NULL behind the last; row 0 is the default */
const char *policy_preset_help(int row); /* one sentence; NULL behind the last */

/* Sets every field by the preset's name. KV_BAD_ARG with the list of known ones. */
enum kv_status policy_preset(const char *name, struct kv_policy *policy, struct kv_error *err);

/* --- setting and showing -------------------------------------------------------------------------------- */

/* One setting by name and text. Of ratio, tokens and bytes the last one set holds and the others become unset.
 * KV_NOT_FOUND: no such setting; KV_BAD_ARG: not a legal value (NaN, infinities, overflow and trailing text
 * included). */
enum kv_status policy_set(struct kv_policy *policy, const char *name, const char *value, struct kv_error *err);

/* One command line's settings, all or none, in order. KV_BAD_ARG also when a name is given twice, when two of
 * ratio, tokens and bytes are given, and when policy.preset is not the first (it would undo those before it). */
enum kv_status policy_set_many(
    struct kv_policy *policy, const char *const *name, const char *const *value, int count, struct kv_error *err);

/* The value as policy_set would read it back; "unset" for two of ratio, tokens and bytes. KV_NOT_FOUND. */
enum kv_status policy_get(
    const struct kv_policy *policy, const char *name, char *text, size_t size, struct kv_error *err);

/* Settings that differ from the preset (an unset total is left out: setting the others restores the policy). Writes
 * up to max rows of the table, returns how many there are. */
int policy_diff(const struct kv_policy *policy, const struct setting **changed, int max);

/* "seed", or "seed (edited)" when policy_diff finds something. Returns text. */
const char *policy_title(const struct kv_policy *policy, char *text, size_t size);

/* Refuses what no single setting shows: floor above cap, not exactly one total, fields out of range (a policy
 * filled by hand), an empty prompt, and bytes that cannot hold one token in each layer. n prompt tokens;
 * bytes_per_token: K and V of one token in one layer, over all KV heads. A total beyond the bounds is no error: the
 * solver clamps it and reports that. */
enum kv_status policy_check(
    const struct kv_policy *policy, int n, int n_layer, size_t bytes_per_token, struct kv_error *err);

/* What `observe` must collect for this policy: enum kv_need, or-ed (stats.h). */
unsigned policy_needs(const struct kv_policy *policy);

/* The same for every allocator and selector: enough to change the policy after the prefill. */
unsigned policy_needs_all(void);

/* Kept sets a layer: 1, or n_kv_head where each KV head keeps its own. */
int policy_sets(const struct kv_policy *policy, int n_kv_head);

#endif
