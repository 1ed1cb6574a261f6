/* What happens to queries and keys between their matrices and attention, joined for a few rows: interleave, norm of
 * heads, rope, append. turn.cu runs it, or attend_few.cu where it attends to the rows at once; fuse.cu makes it. */
#ifndef KV_CUDA_TURN_H
#define KV_CUDA_TURN_H

#include "kernels/cuda/cuda.h"

#define KV_TURN_ROWS    64 /* of all sequences; with more the ops one by one cost little beside the matrices */
#define KV_TURN_APPENDS 32 /* sequences of one launch */

struct kv_turn_side {
    float *x;          /* [n][heads][head_dim] */
    const float *norm; /* [head_dim], or NULL */
    int heads;
    float eps;
};

struct kv_turn_heads {
    struct kv_turn_side side[2]; /* queries, keys */
    const float *angles;         /* [n][pairs][2] */
    int head_dim, interleave;
    int pairs, step, other; /* of rope; no pairs: heads stay as they are */
};

struct kv_turn_append {
    struct kv_span to;
    const int32_t *pos; /* of its first row */
    int first, n;       /* rows */
};

struct kv_turn {
    struct kv_turn_heads heads;
    const float *v;
    struct kv_cuda_fault *fault;
    unsigned *ticket;
    int n, n_append, type;
    struct kv_turn_append append[KV_TURN_APPENDS]; /* in the order of rows, without gaps */
};

extern const struct kv_cuda_kind kv_cuda_turn;

#endif
