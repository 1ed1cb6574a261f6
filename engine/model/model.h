/* A model as the engine sees it: shape, weights still in their file's blocks, and the raw vocabulary.
 *
 * A model is immutable once open and may be shared by engines. Weights are borrowed from a read-only map of the
 * file (or from an arena of made-up numbers for "synthetic:" models): nothing is copied or dequantized here. */
#ifndef KV_MODEL_H
#define KV_MODEL_H

#include "kernels/base.h"
#include "kernels/types.h"

/* Which two channels of a head RoPE turns together. */
enum kv_rope_pairing {
    KV_ROPE_ADJACENT, /* (0,1) (2,3) ...: the llama family, whose GGUF files have Q and K rows permuted for it */
    KV_ROPE_HALVES    /* (0,d/2) (1,d/2+1) ...: qwen2, qwen3, and all Hugging Face folders as they are stored */
};

/* How positions are stretched beyond the context that a model was first trained for. A field that is 0 was not
 * stated. Formulas: rope.h. */
enum kv_rope_kind {
    KV_ROPE_PLAIN,
    KV_ROPE_LINEAR,  /* all frequencies divided by factor */
    KV_ROPE_YARN,    /* slow channels divided by factor, fast ones kept, a ramp between, cosines scaled */
    KV_ROPE_LLAMA3,  /* the same by wavelength, as Llama 3.1 does; rope_settle turns it into KV_ROPE_DIVISORS */
    KV_ROPE_DIVISORS /* each frequency divided by a number of its own */
};

#define KV_ROPE_PAIRS 128 /* of a head, at most */

struct kv_rope_scaling {
    enum kv_rope_kind kind;
    float factor;
    int original_context;         /* tokens that the model knew before: yarn, llama3 */
    float low_freq, high_freq;    /* llama3: low_freq_factor, high_freq_factor */
    float beta_fast, beta_slow;   /* yarn: turns within the original context; 0 = 32, 1 */
    float attention;              /* yarn: scales cosine and sine; 0 = from mscale, or 0.1 ln factor + 1 */
    float mscale, mscale_all_dim; /* yarn: used when both are there */
    bool exact_ramp;              /* yarn: the ramp's ends are not rounded to whole channels (truncate: false) */
    float divisor[KV_ROPE_PAIRS]; /* KV_ROPE_DIVISORS: [rope_dim / 2] */
};

#define KV_MAX_LAYERS 1024

struct kv_shape {
    char arch[32];  /* "llama", "qwen3", ... */
    char name[128]; /* the model's own name, cut if longer */
    int n_layer, hidden, n_ff, n_head, n_kv_head, head_dim, n_vocab;
    int n_context; /* longest sequence the model was trained for, tokens */
    int rope_dim;  /* rotated channels of a head, even, <= head_dim */
    enum kv_rope_pairing rope_pairing;
    bool
        interleave; /* rows of Q and K are in halves though pairs are adjacent: q and k are put in order after qkv */
    float rope_theta;
    struct kv_rope_scaling rope;
    float norm_eps;
    int sliding_window; /* keys a query may see, itself included; 0 = all */
    /* Layers that see all keys although there is a window; bit l of byte l / 8. */
    unsigned char sees_all[KV_MAX_LAYERS / 8];
};

/* The window of one layer, 0 = none. */
static inline int kv_shape_window(const struct kv_shape *s, int layer)
{
    return s->sees_all[layer / 8] >> (layer % 8) & 1 ? 0 : s->sliding_window;
}

/* One weight matrix, [rows][cols], a row contiguous: y = W x has cols in, rows out. */
struct kv_tensor {
    const void *data; /* NULL = this model has no such tensor */
    int type;         /* enum kv_type */
    int rows, cols;
};

struct kv_layer_weights {
    struct kv_tensor attn_norm, ffn_norm; /* [1][hidden] F32 */
    struct kv_tensor q_norm, k_norm;      /* [1][head_dim] F32, qwen3 */
    struct kv_tensor q, k, v, o; /* [n_head*head_dim][hidden], [n_kv_head*head_dim][hidden] x2, transpose */
    struct kv_tensor q_bias, k_bias, v_bias, o_bias; /* [1][rows of q, k, v, o] F32: qwen2, or where stated */
    struct kv_tensor gate, up, down;                 /* [n_ff][hidden] x2, [hidden][n_ff] */
    struct kv_tensor gate_bias, up_bias, down_bias;  /* [1][rows] F32, where stated */
};

/* The vocabulary as the file states it; engine/text makes a tokenizer of it. Strings are not NUL-terminated. */
struct kv_string {
    const char *text;
    size_t length;
};

/* What happens to text before its words become tokens, one step after the other. */
enum kv_text_step_kind {
    KV_STEP_NORMALIZE, /* to = "NFC", "NFD", "NFKC" or "NFKD" */
    KV_STEP_PREPEND,   /* to stands in front of every piece of text between added tokens */
    KV_STEP_REPLACE,   /* every from becomes to */
    KV_STEP_ADDED,     /* added tokens whose text is normalized are looked for: at most one such step */
    KV_STEP_SPLIT      /* into matches of the expression from, and what lies between them */
};

struct kv_text_step {
    enum kv_text_step_kind kind;
    struct kv_string from, to;
    bool unless; /* KV_STEP_PREPEND: not where the text begins with it, or with a space */
    bool first;  /* KV_STEP_PREPEND: only at the beginning of the whole text */
};

/* How an added token is found in text; bits of kv_vocabulary.added. */
enum kv_added {
    KV_ADDED = 1,
    KV_ADDED_LSTRIP = 2,
    KV_ADDED_RSTRIP = 4,
    KV_ADDED_WORD = 8,
    KV_ADDED_NORMALIZED = 16
};

struct kv_vocabulary {
    struct kv_string kind;   /* "gpt2" = byte-level BPE, "llama" = SentencePiece BPE */
    struct kv_string pre;    /* name of the steps (tokenizer.ggml.pre: "smollm", ...); unused where step is set */
    struct kv_string *token; /* [n_token] gpt2: in the byte-level alphabet; llama: U+2581 for a space */
    const int32_t
        *token_type;    /* [n_token] 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte; NULL = all normal */
    const float *score; /* [n_token] llama: merges by it, the highest first; NULL = by merge */
    struct kv_string *merge;   /* [n_merge] "left right", best first; a NUL between them where they hold spaces */
    struct kv_text_step *step; /* [n_step] NULL = the steps that pre names */
    uint8_t *added;            /* [n_token] KV_ADDED bits; NULL = every control and user-defined token, exactly */
    int n_token, n_merge, n_step;
    int bos, eos, unknown; /* token ids, -1 = none */
    bool add_bos;
    bool add_space_prefix; /* llama without steps: a space in front of text at the beginning and behind controls */
    bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
    bool byte_fallback;    /* llama: a character without a token becomes its bytes' tokens <0x00> to <0xFF> */
    bool fuse_unknown;     /* llama: neighboring characters without tokens are one unknown token */
    struct kv_string chat_template; /* Jinja text, length 0 = none */
    void *owner;                    /* memory that the strings stand in; NULL = the model's file */
};

struct kv_model {
    struct kv_shape shape;
    struct kv_layer_weights *layer;                   /* [n_layer] */
    struct kv_tensor token_embd, output_norm, output; /* output = token_embd when tied */
    struct kv_vocabulary vocabulary;
    struct kv_error no_text; /* why there is no vocabulary, where the files say more than that there is none */
    int32_t
        *end; /* [n_end] tokens that end a reply, by the files' numbers; tok_is_end knows those that names tell */
    int n_end;
    char *path; /* as given by the user */
    char *
        *file; /* [n_file] paths of what it was read from, in the order of their names; none where it was made up */
    int n_file;
    size_t weight_bytes; /* of all tensors, as stored */
    bool synthetic;      /* random weights: timing only, and everything printed says so */
    void *owner;         /* the mapped file or the arena, released by close */
    void (*close)(struct kv_model *model);
};

/* Opens a GGUF file, a Hugging Face folder, or "synthetic:NAME[:SEED][:TYPE]" (see synthetic.h). On failure *out is
 * NULL. Errors: KV_IO, KV_BAD_FILE, KV_UNSUPPORTED (an architecture, a tensor type or a part that is not read), KV_NO_MEMORY, and
 * KV_NOT_FOUND or KV_BAD_ARG for a synthetic name. */
enum kv_status kv_model_open(const char *path, struct kv_model **out, struct kv_error *err);

/* The same for the bytes of a GGUF file in memory, borrowed until close and aligned to at least 8. */
enum kv_status kv_model_open_memory(const void *data, size_t size, struct kv_model **out, struct kv_error *err);

void kv_model_close(struct kv_model *model); /* NULL is fine */

/* Adds FOLDER/NAME (folder NULL: NAME) to the files that it was read from. */
enum kv_status model_add_file(struct kv_model *model, const char *folder, const char *name, struct kv_error *err);
/* Whether the token is in model->end. */
bool model_is_end(const struct kv_model *model, int32_t id);

#endif
