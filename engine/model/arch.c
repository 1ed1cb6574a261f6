/* Architectures as tables: a new one is a row of archs[], and a row of layer_parts[] for a tensor of its own. */
#include "engine/model/arch.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum extent { ONE, HIDDEN, FF, VOCAB, HEAD, Q_ROWS, KV_ROWS };
enum need { ALWAYS, WITH_QK_NORM, WITH_QKV_BIAS, OPTIONAL };

struct part {
    const char *name;
    size_t offset; /* of its struct kv_tensor in kv_model or kv_layer_weights */
    enum extent rows, cols;
    enum arch_role role;
    enum need need;
};

struct shape_key {
    const char *suffix;
    size_t offset; /* of its int in struct kv_shape */
    uint32_t least, most;
    bool required;
};

static const struct arch archs[] = {
    { "llama", KV_ROPE_ADJACENT, false, false },
    { "qwen2", KV_ROPE_HALVES, false, true },
    { "qwen3", KV_ROPE_HALVES, true, false },
};

/* The upper bounds keep head_dim * n_head in an int; no model comes near them. */
static const struct shape_key shape_keys[] = {
    { "block_count", offsetof(struct kv_shape, n_layer), 1, 1024, true },
    { "embedding_length", offsetof(struct kv_shape, hidden), 1, 1 << 20, true },
    { "feed_forward_length", offsetof(struct kv_shape, n_ff), 1, 1 << 22, true },
    { "context_length", offsetof(struct kv_shape, n_context), 1, 1 << 24, true },
    { "attention.head_count", offsetof(struct kv_shape, n_head), 1, 4096, true },
    { "attention.head_count_kv", offsetof(struct kv_shape, n_kv_head), 1, 4096, false },
    { "attention.key_length", offsetof(struct kv_shape, head_dim), 1, 1 << 16, false },
    { "attention.sliding_window", offsetof(struct kv_shape, sliding_window), 0, INT_MAX, false },
    { "rope.dimension_count", offsetof(struct kv_shape, rope_dim), 1, 1 << 16, false },
};

#define PART(member) offsetof(struct kv_model, member)
static const struct part model_parts[] = {
    { "token_embd.weight", PART(token_embd), VOCAB, HIDDEN, ARCH_EMBEDDING, ALWAYS },
    { "output_norm.weight", PART(output_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "output.weight", PART(output), VOCAB, HIDDEN, ARCH_EMBEDDING, OPTIONAL },
};
#undef PART

#define PART(member) offsetof(struct kv_layer_weights, member)
static const struct part layer_parts[] = {
    { "attn_norm.weight", PART(attn_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "attn_q.weight", PART(q), Q_ROWS, HIDDEN, ARCH_QUERY, ALWAYS },
    { "attn_k.weight", PART(k), KV_ROWS, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "attn_v.weight", PART(v), KV_ROWS, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "attn_q.bias", PART(q_bias), ONE, Q_ROWS, ARCH_BIAS, WITH_QKV_BIAS },
    { "attn_k.bias", PART(k_bias), ONE, KV_ROWS, ARCH_BIAS, WITH_QKV_BIAS },
    { "attn_v.bias", PART(v_bias), ONE, KV_ROWS, ARCH_BIAS, WITH_QKV_BIAS },
    { "attn_q_norm.weight", PART(q_norm), ONE, HEAD, ARCH_NORM, WITH_QK_NORM },
    { "attn_k_norm.weight", PART(k_norm), ONE, HEAD, ARCH_NORM, WITH_QK_NORM },
    { "attn_output.weight", PART(o), HIDDEN, Q_ROWS, ARCH_MATRIX, ALWAYS },
    { "ffn_norm.weight", PART(ffn_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "ffn_gate.weight", PART(gate), FF, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "ffn_up.weight", PART(up), FF, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "ffn_down.weight", PART(down), HIDDEN, FF, ARCH_MATRIX, ALWAYS },
};
#undef PART

enum kv_status arch_find(struct kv_string name, const struct arch **out, struct kv_error *err)
{
    for (size_t i = 0; i < KV_COUNT(archs); i++)
        if (strlen(archs[i].name) == name.length && !memcmp(archs[i].name, name.text, name.length)) {
            *out = &archs[i];
            return KV_OK;
        }
    char known[200];
    size_t n = 0;
    for (size_t i = 0; i < KV_COUNT(archs) && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s",
            !i                        ? ""
            : i + 1 < KV_COUNT(archs) ? ", "
                                      : " and ",
            archs[i].name);
    return kv_fail(
        err, KV_UNSUPPORTED, "Architecture %s is not supported; kvdbg reads %s.", gguf_quote(name).text, known);
}

/* ---- the shape ---- */

struct key {
    char text[80];
};

static struct key key_of(const struct arch *arch, const char *suffix)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "%s.%s", arch->name, suffix);
    return key;
}

/* Turns "no such key" into a refusal where the model cannot do without, and into ok where it can. */
static enum kv_status settle(
    enum kv_status status, const struct arch *arch, const char *suffix, bool required, struct kv_error *err)
{
    if (status != KV_NOT_FOUND) return status;
    if (!required) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "The GGUF file has no key '%s.%s', which a model of this architecture needs.",
        arch->name, suffix);
}

static enum kv_status read_int(const struct gguf *file, const struct arch *arch, const struct shape_key *row,
    struct kv_shape *shape, struct kv_error *err)
{
    struct key key = key_of(arch, row->suffix);
    uint32_t value = 0;
    enum kv_status status = settle(gguf_u32(file, key.text, &value, err), arch, row->suffix, row->required, err);
    if (status || !gguf_has(file, key.text)) return status;
    if (value < row->least || value > row->most)
        return kv_fail(
            err, KV_BAD_FILE, "Key '%s' is %u, expected %u to %u.", key.text, value, row->least, row->most);
    *(int *)((char *)shape + row->offset) = (int)value;
    return KV_OK;
}

static enum kv_status read_positive(const struct gguf *file, const struct arch *arch, const char *suffix,
    bool required, float *out, struct kv_error *err)
{
    struct key key = key_of(arch, suffix);
    enum kv_status status = settle(gguf_f32(file, key.text, out, err), arch, suffix, required, err);
    if (status) return status;
    if (!(*out > 0) || !isfinite(*out))
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is %g, expected a positive number.", key.text, (double)*out);
    return KV_OK;
}

/* Positions that are scaled before RoPE would come out wrong without a word, so each way of asking for it is
 * refused: the named kind, a factor alone (which means linear), and per-channel factors as a tensor. */
static enum kv_status refuse_rope_scaling(const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    static const char *const factors[] = { "rope.scaling.factor", "rope.scale_linear" };
    struct kv_string kind = { "none", 4 };
    struct key key = key_of(arch, "rope.scaling.type");
    enum kv_status status = gguf_string(file, key.text, &kind, err);
    bool named = !status;
    if (settle(status, arch, "", false, err)) return status;
    if (kind.length != 4 || memcmp(kind.text, "none", 4))
        return kv_fail(err, KV_UNSUPPORTED, "RoPE scaling %s is not supported yet.", gguf_quote(kind).text);
    for (size_t i = 0; i < KV_COUNT(factors) && !named; i++) {
        float factor = 1;
        key = key_of(arch, factors[i]);
        status = settle(gguf_f32(file, key.text, &factor, err), arch, factors[i], false, err);
        if (status) return status;
        if (!(factor == 0 || factor == 1))
            return kv_fail(
                err, KV_UNSUPPORTED, "RoPE scaling 'linear' (factor %g) is not supported yet.", (double)factor);
    }
    if (gguf_tensor(file, "rope_freqs.weight"))
        return kv_fail(
            err, KV_UNSUPPORTED, "RoPE scaling by the factors of tensor 'rope_freqs.weight' is not supported yet.");
    return KV_OK;
}

static enum kv_status refuse_experts(const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    uint32_t experts = 0;
    struct key key = key_of(arch, "expert_count");
    enum kv_status status = settle(gguf_u32(file, key.text, &experts, err), arch, "expert_count", false, err);
    if (!status && experts)
        return kv_fail(
            err, KV_UNSUPPORTED, "Mixtures of experts are not supported; this model has %u experts.", experts);
    return status;
}

/* Fills in what the keys left open and checks that the numbers fit together. */
static enum kv_status complete(
    const struct gguf *file, const struct arch *arch, struct kv_shape *s, struct kv_error *err)
{
    uint32_t value_dim;
    if (!s->n_kv_head) s->n_kv_head = s->n_head;
    if (s->n_head % s->n_kv_head)
        return kv_fail(err, KV_BAD_FILE, "The model has %d query heads, not a multiple of its %d KV heads.",
            s->n_head, s->n_kv_head);
    if (!s->head_dim && s->hidden % s->n_head)
        return kv_fail(
            err, KV_BAD_FILE, "The model is %d wide, not a multiple of its %d query heads.", s->hidden, s->n_head);
    if (!s->head_dim) s->head_dim = s->hidden / s->n_head;
    if (s->head_dim % 2 || s->head_dim > 256)
        return kv_fail(
            err, KV_UNSUPPORTED, "The model's heads are %d wide; kvdbg takes even widths up to 256.", s->head_dim);
    value_dim = (uint32_t)s->head_dim;
    struct key key = key_of(arch, "attention.value_length");
    enum kv_status status = gguf_u32(file, key.text, &value_dim, err);
    if (settle(status, arch, "", false, err)) return status;
    if (value_dim != (uint32_t)s->head_dim)
        return kv_fail(err, KV_UNSUPPORTED,
            "The model's values are %u wide and its keys %d; kvdbg takes one width.", value_dim, s->head_dim);
    if (!s->rope_dim) s->rope_dim = s->head_dim;
    if (s->rope_dim % 2 || s->rope_dim > s->head_dim)
        return kv_fail(err, KV_BAD_FILE, "Key '%s.rope.dimension_count' is %d, expected an even number up to %d.",
            arch->name, s->rope_dim, s->head_dim);
    return KV_OK;
}

enum kv_status arch_shape(
    const struct gguf *file, const struct arch *arch, struct kv_shape *shape, struct kv_error *err)
{
    enum kv_status status = refuse_experts(file, arch, err);
    if (status) return status;
    if ((status = refuse_rope_scaling(file, arch, err))) return status;
    *shape = (struct kv_shape){ .rope_pairing = arch->rope_pairing, .rope_theta = 10000 };
    snprintf(shape->arch, sizeof shape->arch, "%s", arch->name);
    for (size_t i = 0; i < KV_COUNT(shape_keys); i++)
        if ((status = read_int(file, arch, &shape_keys[i], shape, err))) return status;
    status = read_positive(file, arch, "rope.freq_base", false, &shape->rope_theta, err);
    if (status) return status;
    status = read_positive(file, arch, "attention.layer_norm_rms_epsilon", true, &shape->norm_eps, err);
    return status ? status : complete(file, arch, shape, err);
}

/* ---- the tensors ---- */

static int extent(const struct kv_shape *s, enum extent e)
{
    switch (e) {
    case ONE: return 1;
    case HIDDEN: return s->hidden;
    case FF: return s->n_ff;
    case VOCAB: return s->n_vocab;
    case HEAD: return s->head_dim;
    case Q_ROWS: return s->n_head * s->head_dim;
    case KV_ROWS: return s->n_kv_head * s->head_dim;
    }
    return 0;
}

static enum kv_status visit_parts(
    struct kv_model *model, const struct arch *arch, int layer, arch_visit *visit, void *ctx, struct kv_error *err)
{
    const struct part *part = layer < 0 ? model_parts : layer_parts;
    size_t count = layer < 0 ? KV_COUNT(model_parts) : KV_COUNT(layer_parts);
    char *base = layer < 0 ? (char *)model : (char *)&model->layer[layer];
    for (size_t i = 0; i < count; i++) {
        if (part[i].need == WITH_QK_NORM && !arch->qk_norm) continue;
        if (part[i].need == WITH_QKV_BIAS && !arch->qkv_bias) continue;
        char name[64];
        if (layer < 0)
            snprintf(name, sizeof name, "%s", part[i].name);
        else
            snprintf(name, sizeof name, "blk.%d.%s", layer, part[i].name);
        struct arch_tensor what = { name, part[i].role, layer, extent(&model->shape, part[i].rows),
            extent(&model->shape, part[i].cols), part[i].need == OPTIONAL };
        enum kv_status status = visit(ctx, &what, (struct kv_tensor *)(base + part[i].offset), err);
        if (status) return status;
    }
    return KV_OK;
}

enum kv_status arch_each_tensor(
    struct kv_model *model, const struct arch *arch, arch_visit *visit, void *ctx, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (int l = -1; l < model->shape.n_layer && !status; l++)
        status = visit_parts(model, arch, l, visit, ctx, err);
    return status;
}
