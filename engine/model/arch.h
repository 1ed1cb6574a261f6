/* What an architecture is made of: a row that names its parts, the shape its metadata states, and its list of
 * weight tensors. Files and made-up models are built from the same list. */
#ifndef KV_ARCH_H
#define KV_ARCH_H

#include "engine/model/gguf.h"
#include "engine/model/model.h"

/* A tensor of divisors for RoPE's frequencies, [rope_dim / 2] F32; it is a part of the shape. */
#define ARCH_ROPE_DIVISORS "rope_freqs.weight"

enum arch_slide {
    ARCH_SLIDE_NEVER,
    ARCH_SLIDE_ALWAYS, /* sliding_window alone says it */
    ARCH_SLIDE_SWITCH /* where use_sliding_window is on, for the layers from max_window_layers on or by layer_types */
};

struct arch {
    const char *name;  /* model_type of a Hugging Face folder; of GGUF files general.architecture and the prefix of
                              their keys */
    const char *model; /* Hugging Face's class with a head for text: "LlamaForCausalLM" */
    bool gguf;         /* GGUF files have it under this name (a mistral is a llama there) */
    enum arch_slide slide; /* how config.json asks for a sliding window */
    enum kv_rope_pairing rope_pairing;
    bool qk_norm;  /* RMS norm over each head of Q and K before RoPE */
    bool qkv_bias; /* always a bias behind the Q, K and V products; else where the file has one */
};

/* The row of an architecture, by its name in GGUF files or in Hugging Face folders; KV_UNSUPPORTED with the names of
 * those that there are. */
enum kv_status arch_find(struct kv_string name, bool gguf, const struct arch **out, struct kv_error *err);

/* Reads and checks everything of the shape but n_vocab and the name. KV_BAD_FILE: a key is missing, has the wrong
 * type, or a value that no model has; KV_UNSUPPORTED: the keys ask for a part that is not built (a RoPE
 * scaling, experts). */
enum kv_status arch_shape(
    const struct gguf *file, const struct arch *arch, struct kv_shape *shape, struct kv_error *err);

/* A whole number of the shape: its key in GGUF (behind the architecture's name) and in config.json (NULL: not there). */
struct arch_key {
    const char *suffix, *hf;
    size_t offset; /* of its int in struct kv_shape */
    uint32_t least, most;
    bool required;
};
const struct arch_key *arch_key_at(size_t index); /* NULL behind the last */

/* Fills in what a file left open and checks that the numbers fit together: heads, KV heads and their width. */
enum kv_status arch_complete(struct kv_shape *shape, struct kv_error *err);

enum arch_role {
    ARCH_NORM,      /* vector, F32, near 1 */
    ARCH_BIAS,      /* vector, F32, near 0 */
    ARCH_EMBEDDING, /* token_embd and output */
    ARCH_QUERY,     /* Q's matrix, whose rows form heads */
    ARCH_MATRIX
};

struct arch_tensor {
    const char *name; /* as in GGUF: "blk.3.attn_q.weight" */
    const char *hf;   /* as in Hugging Face folders: "model.layers.3.self_attn.q_proj.weight" */
    enum arch_role role;
    int layer; /* -1 = of the whole model */
    int rows, cols;
    bool optional; /* output.weight, absent when it shares token_embd; biases */
};

typedef enum kv_status arch_visit(
    void *ctx, const struct arch_tensor *what, struct kv_tensor *slot, struct kv_error *err);

/* Calls visit for each tensor that a model of this shape has, with its place in the model; model->layer must have
 * shape.n_layer elements. Stops at the first failure and returns it. */
enum kv_status arch_each_tensor(
    struct kv_model *model, const struct arch *arch, arch_visit *visit, void *ctx, struct kv_error *err);

#endif
