/* What happens to queries and keys between their matrices and attention, joined for a few rows: interleave, norm of heads,
 * rope, append. turn.cu runs it, fuse.cu makes it. */
#ifndef KV_CUDA_TURN_H
#define KV_CUDA_TURN_H

#include "kernels/cuda/cuda.h"

#define KV_TURN_APPENDS 4 /* sequences */

struct kv_turn_side {
    float *x;          /* [n][heads][head_dim] */
    const float *norm; /* [head_dim], or NULL */
    int heads;
    float eps;
};

struct kv_turn_append {
    struct kv_span to;
    const int32_t *pos; /* of its first row */
    int first, n;       /* rows */
};

struct kv_turn {
    struct kv_turn_side side[2]; /* queries, keys */
    struct kv_turn_append append[KV_TURN_APPENDS];
    const float *v, *angles;
    struct kv_cuda_fault *fault;
    unsigned *ticket;
    int n, head_dim, interleave;
    int pairs, step, other; /* of rope */
    int n_append, type;
};

extern const struct kv_cuda_kind kv_cuda_turn;

#endif
