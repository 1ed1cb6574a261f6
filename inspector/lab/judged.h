/* A task read over the full cache, in an engine of its own beside the session's: what compression does to its reply can
 * then be measured as often as one likes. */
#ifndef KV_LAB_JUDGED_H
#define KV_LAB_JUDGED_H

#include "inspector/lab/task.h"

struct judged {
    struct session *s;
    struct kv_engine *engine; /* at the end of its reply; nothing was evicted */
    int32_t *reply;           /* [n_reply] the full cache's greedy one */
    int n_reply;
    int tokens, asked; /* of the prompt; of a question read after compress */
};

/* Prefill and reply of at most `reply` tokens, with the session's engine.* settings and its policy's, its totals apart
 * (the preset is `full`). KV_STOPPED on Ctrl-C, which stops this engine from now on
 * (session_interrupts), the session's again after judged_close, which comes in any case. */
enum kv_status judged_open(
    struct session *s, const struct task *task, const struct task_how *how, int reply, struct judged *out);
void judged_close(struct judged *j);

/* Compresses as the engine is set, decodes its own reply and compares that with the full cache's: ROUGE-L F, 1 where they are equal. KV_STOPPED. */
enum kv_status judged_rouge(struct judged *j, double *f);

/* Settings of the policy that selection depends on, preset, budgets and totals apart; NULL behind the last. */
const char *judged_setting(int i);
/* Puts the session's values of them in force in an engine. */
enum kv_status judged_settings(struct session *s, struct kv_engine *e);

#endif
