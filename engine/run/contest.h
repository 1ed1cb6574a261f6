/* Caches in contest: sequences over several kept caches of one prompt, fed the same tokens as a batch, so that every
 * weight is read once. */
#ifndef KV_CONTEST_H
#define KV_CONTEST_H

#include "engine/judge/kl.h"
#include "engine/run/line.h"
#include "engine/runs.h"

struct contest {
    struct kv_engine *e;
    const struct kv_span *prefix[KV_RUNS_COMPARED]; /* [n_layer] of each sequence; 0 is the one compared with */
    struct line_like again[KV_RUNS_COMPARED]; /* of those that compress again, which start over from the prefill */
    const int32_t *shift[KV_RUNS_COMPARED];   /* of rows behind the prefix, as in pass_seq */
    int n_seq, lead;                          /* whose tokens all are fed */
    bool own[KV_RUNS_COMPARED];               /* this one is fed its own tokens */
    const char *what;                         /* for progress */
    /* the contest's own from here on */
    struct cache tail[KV_RUNS_COMPARED]; /* of the others */
    struct line line[KV_RUNS_COMPARED];
    float *logits;        /* host [n_seq][n_vocab] of the last step */
    int32_t *id, *pos;    /* [n_seq * chunk] */
    int chunk;            /* question rows of one sequence in a pass */
    struct kl_step *step; /* [n_seq + 1][cap]: each against the first, and the last against the one before */
    int cap, n;           /* steps: room for, done */
};

/* Runs it for n steps at most, the pass under way put aside meanwhile; *out is the caller's to free. */
enum kv_status contest_run(struct contest *c, int n, struct kv_comparison *out, struct kv_error *err);

#endif
