/* Budgets made better than curves of single layers can make them: tokens are moved from layer to layer as long as that
 * helps, measured with all layers compressed at once. */
#ifndef KV_LAB_REFINE_H
#define KV_LAB_REFINE_H

#include "inspector/lab/judged.h"

struct refining {
    struct session *s;
    struct judged *judged; /* [n_prompt] open, with the settings that go over */
    const int *kind;       /* [n_prompt] < n_kind */
    int n_prompt, n_kind, n_layer, rounds;
    double least;                /* share that every layer keeps */
    const char *const *selector; /* [n_layer] */
    double *share;               /* [n_layer] where it begins, and what came out: the same sum */
    double before, after;        /* out: mean over kinds of KL, as a share of that at the beginning: 1 and less */
    int sets;                    /* out: kept sets that were scored, a prompt each */
};
/* KV_STOPPED leaves the best so far. */
enum kv_status refine_shares(struct refining *r);

#endif
