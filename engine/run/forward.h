/* One pass through the model, stage by stage: rows of one or several sequences that share every weight read.
 *
 * A machine is the model made ready on a backend, with the activations of one pass. A pass says which rows go
 * through and which cache spans each sequence reads (prefix, shared and read-only) and grows (tail). */
#ifndef KV_FORWARD_H
#define KV_FORWARD_H

#include "engine/engine.h"
#include "engine/model/model.h"
#include "kernels/kernels.h"

#define PASS_SEQS  64 /* sequences of one pass at most */
#define LOGIT_ROWS 32 /* rows of logits that the machine holds */

struct machine_layer {
    struct kv_matrix q, k, v, o, gate, up, down;
    const float *attn_norm, *ffn_norm, *q_norm, *k_norm; /* q_norm, k_norm: NULL = none */
    const float *q_bias, *k_bias, *v_bias, *o_bias;      /* NULL = none */
    const float *gate_bias, *up_bias, *down_bias;
};

struct machine {
    const struct kv_backend *be;
    void *ctx;
    const struct kv_shape *shape;
    struct machine_layer *layer; /* [n_layer] */
    struct kv_matrix embd, head;
    const float *output_norm;
    int kv_type;
    bool sliding; /* the model's sliding window is in force */
    int rows;     /* of a pass, at most */
    int keys;     /* of a sequence, at most */
    struct kv_rope rope;
    int32_t *turned;                /* host [rows], where a sequence shifts its rows */
    float frequency[KV_ROPE_PAIRS]; /* rope's */
    /* activations on the device, [rows][...] */
    float *x, *h, *q, *k, *v, *att, *gate, *up, *lse, *entropy;
    float *logits; /* [LOGIT_ROWS][n_vocab] */
    void *block;   /* the allocation behind all of them */
    size_t block_bytes;
};

/* Opens the backend and uploads the weights; activations come with machine_reserve. */
enum kv_status machine_open(struct machine *m, const struct kv_model *model, const struct kv_backend *be,
    const struct kv_backend_options *options, int kv_type, bool sliding, struct kv_error *err);
void machine_close(struct machine *m); /* a zeroed machine is fine */
/* Makes room for passes of so many rows over sequences of so many keys; never shrinks. More rows than before lose
 * what the activations held. KV_NO_MEMORY. */
enum kv_status machine_reserve(struct machine *m, int rows, int keys, struct kv_error *err);

/* Keys that a query of this layer may see, itself included; 0 = all. */
static inline int machine_window(const struct machine *m, int layer)
{
    return m->sliding ? kv_shape_window(m->shape, layer) : 0;
}

/* Bytes of the activations of so many rows, but for what aligning them adds. */
size_t machine_bytes(const struct kv_shape *shape, size_t rows);

struct pass_seq {
    const struct kv_span *prefix; /* of layer l: prefix[l * prefix_step]; NULL = none */
    struct kv_span *tail;         /* of layer l: tail[l * tail_step]; NULL = nothing is appended */
    int prefix_step, tail_step;   /* 1 = one span a layer, 0 = the same for all */
    int n;                        /* rows */
    const int32_t *shift; /* [n_layer] how far before their positions rows are turned by RoPE; NULL = not at all */
};

/* Where rope adds up the queries before it turns them (kernels/cpu/moments.c). */
struct pass_moments {
    float *at;   /* device, of layer 0; NULL = nowhere */
    size_t step; /* floats from layer to layer */
    int skip;    /* rows of this pass that are left out, the first */
    bool fresh;  /* no rows were added before */
};

struct pass {
    struct machine *m;
    const int32_t *ids, *pos; /* [n] rows of all sequences in order; borrowed */
    int n;
    struct pass_seq seq[PASS_SEQS];
    int n_seq;
    struct pass_moments moments;
};

/* Runs one stage of a forward plan: embed, norm, qkv, rope, append, attend, oproj, ffn. */
enum kv_status pass_stage(struct pass *p, enum kv_stage stage, int layer, struct kv_error *err);
/* All stages of layers first..last-1. */
enum kv_status pass_layers(struct pass *p, int first, int last, struct kv_error *err);
/* Logits of n rows from `row` on into m->logits[at..]. */
enum kv_status pass_head(struct pass *p, int row, int n, int at, struct kv_error *err);
/* The activations of a pass that stands between two stages, kept on the host while the machine serves another one.
 */
struct parked {
    float *host;
};
enum kv_status pass_park(const struct pass *p, struct parked *out, struct kv_error *err);
enum kv_status pass_unpark(const struct pass *p, struct parked *parked, struct kv_error *err); /* frees it */
/* The attention call of a layer, its sequences in seq[PASS_SEQS]; out, lse and entropy are the machine's. */
struct kv_attend pass_attention(const struct pass *p, int layer, struct kv_seq *seq);

#endif
