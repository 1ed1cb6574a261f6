/* Runs: one prefill, several answers to what the cache should keep. A page of the engine's public contract.
 *
 * A run is what came of the prefill: settings, edits, kept sets, compact cache, reply and history of its own. All runs
 * read the one resident prefill; a clone copies nothing of it, and a layer in which it keeps everything is read there
 * too. One run is selected, and every call of every page means that one. Run 1 is there from the start; 2 is its twin on
 * the full cache, which has a number but no state: it is compared with, never selected; 3... are clones. Another prompt,
 * kv_start and kv_end leave run 1 alone. */
#ifndef KV_RUNS_H
#define KV_RUNS_H

#include "engine/engine.h"

#define KV_RUN_FULL 2

int kv_run_selected(const struct kv_engine *e);
/* Numbers of all runs but the full one, ascending, at most `room`; returns how many there are. */
int kv_runs(const struct kv_engine *e, int *number, int room);

/* A new run at the start of compress:0 with the settings and edits of the selected one as they are now, selected in its
 * place. KV_NOT_NOW before the prefill is complete or without engine.snapshot; on failure nothing has changed. */
enum kv_status kv_run_fork(struct kv_engine *e, int *number, struct kv_error *err);
/* The same, brought to the boundary where the selected run stands, by way of its own past. KV_STOPPED leaves the clone
 * on the way. */
enum kv_status kv_run_clone(struct kv_engine *e, int *number, struct kv_error *err);
/* Selects another run, which is just as it was left. KV_NOT_FOUND, KV_BAD_ARG for the full one; KV_NOT_NOW while the
 * selected run repeats its prefill. */
enum kv_status kv_run_select(struct kv_engine *e, int number, struct kv_error *err);
/* Forgets a run that is not selected. KV_NOT_FOUND, KV_BAD_ARG. */
enum kv_status kv_run_drop(struct kv_engine *e, int number, struct kv_error *err);

/* What is known of a run without selecting it. */
struct kv_run_facts {
    struct kv_where where;
    size_t active; /* bytes of K and V that its decode reads */
    int n_reply;   /* tokens */
    bool compressed;
    char policy[64]; /* kv_policy_title of what it was compressed with, or of what is set */
};
enum kv_status kv_run_look(struct kv_engine *e, int number, struct kv_run_facts *out, struct kv_error *err);

/* --- comparing ------------------------------------------------------------------------------------------------- */

#define KV_RUNS_COMPARED 16

/* Runs fed the same tokens as one batch. The arrays are by run, in the order given. */
struct kv_comparison {
    int n_run, steps, first;                     /* first = first step that counts: 1 without a question, else 0 */
    int32_t *token;                              /* [n_run][steps] of the largest logit */
    int length[KV_RUNS_COMPARED];                /* steps up to its first stop token, that one included */
    double *kl;                                  /* [n_run][steps] nats, KL(run[0] || run); 0 where not counted */
    struct kv_verdict verdict[KV_RUNS_COMPARED]; /* each against run[0] */
    struct kv_verdict last; /* the last run (but for those fed their own) against the one before it */
};

/* Decodes n tokens (fewer at a stop token or the context's end) over the caches of n_run runs (KV_RUN_FULL among them
 * or not, the same one twice if wished), all fed the tokens of run[lead]; but one given as -N is run N fed its own, and
 * only its tokens mean something. KV_NOT_NOW where one is not compressed. */
enum kv_status kv_compare(struct kv_engine *e, const int *run, int n_run, int lead, int n,
    struct kv_comparison *out, struct kv_error *err);
void kv_comparison_free(struct kv_comparison *c); /* a zeroed one is fine */

/* The full cache's greedy reply, n tokens or fewer at a stop token or the context's end: decoded when it is first asked
 * for, then lent until the request ends. */
enum kv_status kv_full_reply(struct kv_engine *e, int n, const int32_t **token, int *n_token, struct kv_error *err);

/* The same of the full cache (run[0]) and one that keeps kept[l][n_kept[l]] ascending prompt positions of each layer,
 * gathered and decoded as compress would. kept[l] NULL = all. */
enum kv_status kv_compare_kept(struct kv_engine *e, const int32_t *const *kept, const int *n_kept, int n,
    struct kv_comparison *out, struct kv_error *err);

/* Both where every KV head keeps tokens of its own: kept[(... * n_layer + l) * heads + g], and n_kept likewise, are those
 * of head g; heads is 1 (they share a set, as in kv_score and kv_compare_kept) or the model's. NULL = all. */
enum kv_status kv_score_heads(struct kv_engine *e, const int32_t *reply, int n_reply, int n_set, int heads,
    const int32_t *const *kept, const int *n_kept, float *kl, struct kv_verdict *verdict, struct kv_error *err);
enum kv_status kv_compare_heads(struct kv_engine *e, int heads, const int32_t *const *kept, const int *n_kept,
    int n, struct kv_comparison *out, struct kv_error *err);

/* The noise floor: the same of the full cache and the one of a second prefill, in segments of another size. */
enum kv_status kv_compare_noise(struct kv_engine *e, int n, struct kv_comparison *out, struct kv_error *err);

#endif
