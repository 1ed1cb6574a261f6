/* Architectures as tables: a new one is a row of archs[], and a row of layer_parts[] for a tensor of its own. */
#include "engine/model/arch.h"

#include "engine/model/rope.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extent { ONE, HIDDEN, FF, VOCAB, HEAD, Q_ROWS, KV_ROWS };
enum need { ALWAYS, WITH_QK_NORM, OPTIONAL, BIAS_OF_QKV };

struct part {
    const char *name, *hf; /* in GGUF files behind "blk.N.", in Hugging Face folders behind "model.layers.N." */
    size_t offset;         /* of its struct kv_tensor in kv_model or kv_layer_weights */
    enum extent rows, cols;
    enum arch_role role;
    enum need need;
};

static const struct arch archs[] = {
    { "llama", "LlamaForCausalLM", true, ARCH_SLIDE_NEVER, KV_ROPE_ADJACENT, false, false },
    { "mistral", "MistralForCausalLM", false, ARCH_SLIDE_ALWAYS, KV_ROPE_ADJACENT, false, false },
    { "qwen2", "Qwen2ForCausalLM", true, ARCH_SLIDE_SWITCH, KV_ROPE_HALVES, false, true },
    { "qwen3", "Qwen3ForCausalLM", true, ARCH_SLIDE_SWITCH, KV_ROPE_HALVES, true, false },
};

/* The upper bounds keep head_dim * n_head in an int; no model comes near them. */
static const struct arch_key shape_keys[] = {
    { "block_count", "num_hidden_layers", offsetof(struct kv_shape, n_layer), 1, KV_MAX_LAYERS, true },
    { "embedding_length", "hidden_size", offsetof(struct kv_shape, hidden), 1, 1 << 20, true },
    { "feed_forward_length", "intermediate_size", offsetof(struct kv_shape, n_ff), 1, 1 << 22, true },
    { "context_length", "max_position_embeddings", offsetof(struct kv_shape, n_context), 1, 1 << 24, true },
    { "attention.head_count", "num_attention_heads", offsetof(struct kv_shape, n_head), 1, 4096, true },
    { "attention.head_count_kv", "num_key_value_heads", offsetof(struct kv_shape, n_kv_head), 1, 4096, false },
    { "attention.key_length", "head_dim", offsetof(struct kv_shape, head_dim), 1, 1 << 16, false },
    { "attention.sliding_window", NULL, offsetof(struct kv_shape, sliding_window), 0, INT_MAX, false },
    { "rope.dimension_count", NULL, offsetof(struct kv_shape, rope_dim), 1, 1 << 16, false },
    { "rope.scaling.original_context_length", NULL, offsetof(struct kv_shape, rope.original_context), 0, 1 << 24,
        false },
};

#define PART(member) offsetof(struct kv_model, member)
static const struct part model_parts[] = {
    { "token_embd.weight", "model.embed_tokens.weight", PART(token_embd), VOCAB, HIDDEN, ARCH_EMBEDDING, ALWAYS },
    { "output_norm.weight", "model.norm.weight", PART(output_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "output.weight", "lm_head.weight", PART(output), VOCAB, HIDDEN, ARCH_EMBEDDING, OPTIONAL },
};
#undef PART

#define PART(member) offsetof(struct kv_layer_weights, member)
static const struct part layer_parts[] = {
    { "attn_norm.weight", "input_layernorm.weight", PART(attn_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "attn_q.weight", "self_attn.q_proj.weight", PART(q), Q_ROWS, HIDDEN, ARCH_QUERY, ALWAYS },
    { "attn_k.weight", "self_attn.k_proj.weight", PART(k), KV_ROWS, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "attn_v.weight", "self_attn.v_proj.weight", PART(v), KV_ROWS, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "attn_q.bias", "self_attn.q_proj.bias", PART(q_bias), ONE, Q_ROWS, ARCH_BIAS, BIAS_OF_QKV },
    { "attn_k.bias", "self_attn.k_proj.bias", PART(k_bias), ONE, KV_ROWS, ARCH_BIAS, BIAS_OF_QKV },
    { "attn_v.bias", "self_attn.v_proj.bias", PART(v_bias), ONE, KV_ROWS, ARCH_BIAS, BIAS_OF_QKV },
    { "attn_q_norm.weight", "self_attn.q_norm.weight", PART(q_norm), ONE, HEAD, ARCH_NORM, WITH_QK_NORM },
    { "attn_k_norm.weight", "self_attn.k_norm.weight", PART(k_norm), ONE, HEAD, ARCH_NORM, WITH_QK_NORM },
    { "attn_output.weight", "self_attn.o_proj.weight", PART(o), HIDDEN, Q_ROWS, ARCH_MATRIX, ALWAYS },
    { "attn_output.bias", "self_attn.o_proj.bias", PART(o_bias), ONE, HIDDEN, ARCH_BIAS, OPTIONAL },
    { "ffn_norm.weight", "post_attention_layernorm.weight", PART(ffn_norm), ONE, HIDDEN, ARCH_NORM, ALWAYS },
    { "ffn_gate.weight", "mlp.gate_proj.weight", PART(gate), FF, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "ffn_up.weight", "mlp.up_proj.weight", PART(up), FF, HIDDEN, ARCH_MATRIX, ALWAYS },
    { "ffn_down.weight", "mlp.down_proj.weight", PART(down), HIDDEN, FF, ARCH_MATRIX, ALWAYS },
    { "ffn_gate.bias", "mlp.gate_proj.bias", PART(gate_bias), ONE, FF, ARCH_BIAS, OPTIONAL },
    { "ffn_up.bias", "mlp.up_proj.bias", PART(up_bias), ONE, FF, ARCH_BIAS, OPTIONAL },
    { "ffn_down.bias", "mlp.down_proj.bias", PART(down_bias), ONE, HIDDEN, ARCH_BIAS, OPTIONAL },
};
#undef PART

enum kv_status arch_find(struct kv_string name, bool gguf, const struct arch **out, struct kv_error *err)
{
    const char *known[KV_COUNT(archs)];
    char list[200];
    size_t n_known = 0, n = 0;
    for (size_t i = 0; i < KV_COUNT(archs); i++) {
        if (gguf && !archs[i].gguf) continue;
        known[n_known++] = archs[i].name;
        if (strlen(archs[i].name) == name.length && !memcmp(archs[i].name, name.text, name.length)) {
            *out = &archs[i];
            return KV_OK;
        }
    }
    for (size_t i = 0; i < n_known && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
            !i                ? ""
            : i + 1 < n_known ? ", "
                              : " and ",
            known[i]);
    return kv_fail(
        err, KV_UNSUPPORTED, "Architecture %s is not supported; kvdbg reads %s.", gguf_quote(name).text, list);
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

static enum kv_status read_int(const struct gguf *file, const struct arch *arch, const struct arch_key *row,
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

/* A number that may be missing; 0 is what some writers put for "not stated". */
static enum kv_status read_optional(
    const struct gguf *file, const struct arch *arch, const char *suffix, float *out, struct kv_error *err)
{
    struct key key = key_of(arch, suffix);
    enum kv_status status = settle(gguf_f32(file, key.text, out, err), arch, suffix, false, err);
    if (!status && !isfinite(*out))
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is %g, expected a number.", key.text, (double)*out);
    return status;
}

/* The named kind; a factor alone means linear. */
static enum kv_status read_rope_kind(
    const struct gguf *file, const struct arch *arch, struct kv_rope_scaling *r, struct kv_error *err)
{
    static const struct {
        const char *name;
        enum kv_rope_kind kind;
    } kinds[] = { { "none", KV_ROPE_PLAIN }, { "linear", KV_ROPE_LINEAR }, { "yarn", KV_ROPE_YARN } };
    struct kv_string name = { "", 0 };
    struct key key = key_of(arch, "rope.scaling.type");
    enum kv_status status = gguf_string(file, key.text, &name, err);
    if (status == KV_NOT_FOUND) {
        r->kind = r->factor == 0 || r->factor == 1 ? KV_ROPE_PLAIN : KV_ROPE_LINEAR;
        return KV_OK;
    }
    if (status) return status;
    for (size_t i = 0; i < KV_COUNT(kinds); i++)
        if (name.length == strlen(kinds[i].name) && !memcmp(name.text, kinds[i].name, name.length)) {
            r->kind = kinds[i].kind;
            return KV_OK;
        }
    return kv_fail(err, KV_UNSUPPORTED,
        "RoPE scaling %s is not supported; kvdbg knows none, linear, yarn and llama3.", gguf_quote(name).text);
}

/* llama.cpp knows more of YaRN than models of this family use; a value that would change results is refused. */
static enum kv_status refuse_rope_extras(const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    static const struct {
        const char *suffix;
        float plain; /* what it is when it does nothing; below 0 it is not set */
    } extras[] = { { "rope.scaling.yarn_ext_factor", 1 }, { "rope.scaling.yarn_log_multiplier", 0 },
        { "rope.scaling.alpha", 0 }, { "attention.temperature_scale", 0 } };
    for (size_t i = 0; i < KV_COUNT(extras); i++) {
        float value = extras[i].plain;
        enum kv_status status = read_optional(file, arch, extras[i].suffix, &value, err);
        if (status) return status;
        if (value >= 0 && value != extras[i].plain)
            return kv_fail(err, KV_UNSUPPORTED, "Key '%s' is %g, which is not supported.",
                key_of(arch, extras[i].suffix).text, (double)value);
    }
    return KV_OK;
}

/* Llama 3's scaling comes as one divisor for each frequency. */
static enum kv_status read_rope_divisors(
    const struct gguf *file, const struct kv_shape *s, struct kv_rope_scaling *r, struct kv_error *err)
{
    const struct gguf_tensor *t = gguf_tensor(file, ARCH_ROPE_DIVISORS);
    if (!t) return KV_OK;
    if (t->type != KV_TYPE_F32 || t->dim[0] != s->rope_dim / 2 || t->n_dims != 1 || s->rope_dim / 2 > KV_ROPE_PAIRS)
        return kv_fail(err, KV_BAD_FILE,
            "Tensor '" ARCH_ROPE_DIVISORS "' is %s with %lld elements in a row; the model's "
            "metadata ask for %d of F32.",
            kv_type_info(t->type)->name, (long long)t->dim[0], s->rope_dim / 2);
    if (r->kind != KV_ROPE_PLAIN)
        return kv_fail(err, KV_UNSUPPORTED,
            "RoPE scaling by tensor '" ARCH_ROPE_DIVISORS "' and by a named kind together is not supported.");
    memcpy(r->divisor, t->data, (size_t)t->dim[0] * sizeof(float));
    r->kind = KV_ROPE_DIVISORS;
    return KV_OK;
}

static enum kv_status read_rope_scaling(
    const struct gguf *file, const struct arch *arch, struct kv_shape *s, struct kv_error *err)
{
    struct kv_rope_scaling *r = &s->rope;
    float multiplier = 0;
    const struct {
        const char *suffix;
        float *out;
    } numbers[] = { { "rope.scale_linear", &r->factor }, { "rope.scaling.factor", &r->factor },
        { "rope.scaling.yarn_attn_factor", &r->attention }, { "rope.scaling.yarn_beta_fast", &r->beta_fast },
        { "rope.scaling.yarn_beta_slow", &r->beta_slow }, { "rope.scaling.attn_factor", &multiplier } };
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < KV_COUNT(numbers) && !status; i++)
        status = read_optional(file, arch, numbers[i].suffix, numbers[i].out, err);
    if (!status) status = read_rope_kind(file, arch, r, err);
    if (!status) status = refuse_rope_extras(file, arch, err);
    if (!status) status = read_rope_divisors(file, s, r, err);
    if (status) return status;
    if (!(multiplier == 0 || multiplier == 1))
        return kv_fail(err, KV_UNSUPPORTED, "Key '%s' is %g, which is not supported.",
            key_of(arch, "rope.scaling.attn_factor").text, (double)multiplier);
    if (r->kind == KV_ROPE_YARN && !r->original_context) r->original_context = s->n_context;
    return rope_settle(s, err);
}

/* Which layers the window is for: a list of flags. Without one it is for all layers. */
static enum kv_status read_window_layers(
    const struct gguf *file, const struct arch *arch, struct kv_shape *s, struct kv_error *err)
{
    struct key key = key_of(arch, "attention.sliding_window_pattern");
    bool *slides = NULL;
    size_t count = 0;
    enum kv_status status = gguf_bools(file, key.text, &slides, &count, err);
    if (status == KV_NOT_FOUND) return KV_OK;
    if (!status && count != (size_t)s->n_layer)
        status = kv_fail(err, KV_BAD_FILE, "Key '%s' has %zu elements for %d layers.", key.text, count, s->n_layer);
    for (size_t l = 0; l < count && !status; l++)
        if (!slides[l]) s->sees_all[l / 8] |= (unsigned char)(1 << l % 8);
    free(slides);
    return status;
}

/* Rows that see what comes after them are of another kind of model. */
static enum kv_status refuse_both_ways(const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    bool causal = true;
    struct key key = key_of(arch, "attention.causal");
    enum kv_status status = settle(gguf_bool(file, key.text, &causal, err), arch, "attention.causal", false, err);
    if (!status && !causal)
        return kv_fail(
            err, KV_UNSUPPORTED, "Attention that is not causal is not supported; key '%s' asks for it.", key.text);
    return status;
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

enum kv_status arch_complete(struct kv_shape *s, struct kv_error *err)
{
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
    if (!s->rope_dim) s->rope_dim = s->head_dim;
    return KV_OK;
}

static enum kv_status complete(
    const struct gguf *file, const struct arch *arch, struct kv_shape *s, struct kv_error *err)
{
    enum kv_status status = arch_complete(s, err);
    if (status) return status;
    uint32_t value_dim = (uint32_t)s->head_dim;
    struct key key = key_of(arch, "attention.value_length");
    status = gguf_u32(file, key.text, &value_dim, err);
    if (settle(status, arch, "", false, err)) return status;
    if (value_dim != (uint32_t)s->head_dim)
        return kv_fail(err, KV_UNSUPPORTED,
            "The model's values are %u wide and its keys %d; kvdbg takes one width.", value_dim, s->head_dim);
    if (s->rope_dim % 2 || s->rope_dim > s->head_dim)
        return kv_fail(err, KV_BAD_FILE, "Key '%s.rope.dimension_count' is %d, expected an even number up to %d.",
            arch->name, s->rope_dim, s->head_dim);
    return KV_OK;
}

const struct arch_key *arch_key_at(size_t index)
{
    return index < KV_COUNT(shape_keys) ? &shape_keys[index] : NULL;
}

enum kv_status arch_shape(
    const struct gguf *file, const struct arch *arch, struct kv_shape *shape, struct kv_error *err)
{
    enum kv_status status = refuse_experts(file, arch, err);
    if (!status) status = refuse_both_ways(file, arch, err);
    if (status) return status;
    *shape = (struct kv_shape){ .rope_pairing = arch->rope_pairing, .rope_theta = 10000 };
    snprintf(shape->arch, sizeof shape->arch, "%s", arch->name);
    for (size_t i = 0; i < KV_COUNT(shape_keys); i++)
        if ((status = read_int(file, arch, &shape_keys[i], shape, err))) return status;
    status = read_positive(file, arch, "rope.freq_base", false, &shape->rope_theta, err);
    if (status) return status;
    status = read_positive(file, arch, "attention.layer_norm_rms_epsilon", true, &shape->norm_eps, err);
    if (!status) status = complete(file, arch, shape, err);
    if (!status) status = read_rope_scaling(file, arch, shape, err);
    return status ? status : read_window_layers(file, arch, shape, err);
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
        char name[64], hf[80];
        if (layer < 0) {
            snprintf(name, sizeof name, "%s", part[i].name);
            snprintf(hf, sizeof hf, "%s", part[i].hf);
        } else {
            snprintf(name, sizeof name, "blk.%d.%s", layer, part[i].name);
            snprintf(hf, sizeof hf, "model.layers.%d.%s", layer, part[i].hf);
        }
        struct arch_tensor what = { name, hf, part[i].role, layer, extent(&model->shape, part[i].rows),
            extent(&model->shape, part[i].cols),
            part[i].need == OPTIONAL || (part[i].need == BIAS_OF_QKV && !arch->qkv_bias) };
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
