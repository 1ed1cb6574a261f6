/* Attention of a few rows as it waits in the queue: attend_few.cu puts it there, fuse.cu adds what is to be done to the
 * rows first. */
#ifndef KV_CUDA_ATTEND_FEW_H
#define KV_CUDA_ATTEND_FEW_H

#include "kernels/cuda/turn.h"

struct kv_few_seq {
    int seq, first; /* its number, its first row in q, out, lse and entropy */
};

struct kv_few {
    const struct kv_seq *seq;
    const struct kv_few_seq *few; /* [n_few] on the device */
    const float *q;
    float *out, *lse, *entropy;
    float *part;      /* [n_few][G][tiles][pieces] parts; scratch */
    unsigned *ticket; /* of the context */
    int n_few, n_head, n_kv_head, head_dim, group, type, window, tiles, pieces, pairs;
    float scale;
    int n_row;   /* of all these sequences */
    int appends; /* ops right in front that append each one's rows to its tail and go together; 0: there are not */
    int joined;  /* the rest is in force: q and k are as the matrices left them, and nothing is appended yet */
    struct kv_turn_heads turn;
    const float *v;
    struct kv_cuda_fault *fault;
};

extern const struct kv_cuda_kind kv_cuda_few;

#endif
