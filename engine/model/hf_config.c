/* config.json into a shape; see hf_config.h. */
#include "engine/model/hf_config.h"

#ifdef KV_HAVE_CJSON

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model/rope.h"

#define MAX_CONTEXT (1 << 24)
#define MAX_VOCAB   (1 << 24)

/* Turns "no such key" into ok where a default stands in, and into a refusal where the model cannot do without. */
static enum kv_status settle(enum kv_status status, bool required, struct kv_error *err)
{
    if (status != KV_NOT_FOUND) return status;
    return required ? err->code = KV_BAD_FILE : KV_OK;
}

static struct kv_string view(const char *text) { return (struct kv_string){ text, strlen(text) }; }

/* --- architecture --------------------------------------------------------------------------------------------- */

static enum kv_status read_arch(const struct hf_json *j, const struct arch **arch, struct kv_error *err)
{
    const char *type = NULL;
    enum kv_status status = settle(hf_json_text(j, j->root, "model_type", &type, err), true, err);
    if (!status) status = arch_find(view(type), false, arch, err);
    if (status) return status;
    const cJSON *models = hf_json_at(j->root, "architectures");
    if (!models) return KV_OK;
    const char *model = cJSON_IsArray(models) ? cJSON_GetStringValue(models->child) : NULL;
    if (!model) return kv_fail(err, KV_BAD_FILE, "Key 'architectures' of %s is no list of names.", j->name);
    if (!strcmp(model, (*arch)->model)) return KV_OK;
    return kv_fail(err, KV_UNSUPPORTED, "The folder holds a %s model of class %s; kvdbg reads %s.", type,
        gguf_quote(view(model)).text, (*arch)->model);
}

/* Parts of the family that are not built, and how the files of each kind are called. */
static enum kv_status refuse_parts(const struct hf_json *j, struct kv_error *err)
{
    const char *act = "silu", *method = "an unnamed method";
    const cJSON *quantized = NULL;
    float rotary = 1;
    enum kv_status status = settle(hf_json_object(j, j->root, "quantization_config", &quantized, err), false, err);
    if (!status && quantized) status = settle(hf_json_text(j, quantized, "quant_method", &method, err), false, err);
    if (!status && quantized)
        return kv_fail(err, KV_UNSUPPORTED,
            "The folder's weights are quantized by %s; kvdbg reads folders of F32, F16 and BF16, and quantized "
            "models as "
            "GGUF files.",
            gguf_quote(view(method)).text);
    if (!status) status = settle(hf_json_text(j, j->root, "hidden_act", &act, err), false, err);
    if (!status && strcmp(act, "silu") && strcmp(act, "swish"))
        return kv_fail(err, KV_UNSUPPORTED, "The model's activation is %s; kvdbg computes 'silu'.",
            gguf_quote(view(act)).text);
    if (!status) status = settle(hf_json_real(j, j->root, "partial_rotary_factor", &rotary, err), false, err);
    if (!status && rotary != 1)
        return kv_fail(err, KV_UNSUPPORTED,
            "RoPE turns a part of the channels (partial_rotary_factor %g), which kvdbg does not read.",
            (double)rotary);
    return status;
}

/* --- RoPE ----------------------------------------------------------------------------------------------------- */

static enum kv_status read_kind(
    const struct hf_json *j, const cJSON *rope, struct kv_rope_scaling *r, struct kv_error *err)
{
    static const struct {
        const char *name;
        enum kv_rope_kind kind;
    } kinds[] = { { "default", KV_ROPE_PLAIN }, { "linear", KV_ROPE_LINEAR }, { "yarn", KV_ROPE_YARN },
        { "llama3", KV_ROPE_LLAMA3 } };
    const char *name = "default";
    enum kv_status status = settle(hf_json_text(j, rope, "type", &name, err), false, err);
    if (!status) status = settle(hf_json_text(j, rope, "rope_type", &name, err), false, err);
    for (size_t i = 0; i < KV_COUNT(kinds) && !status; i++)
        if (!strcmp(name, kinds[i].name)) {
            r->kind = kinds[i].kind;
            return KV_OK;
        }
    return status ? status
                  : kv_fail(err, KV_UNSUPPORTED,
                        "RoPE scaling %s is not supported; kvdbg reads linear, yarn and llama3.",
                        gguf_quote(view(name)).text);
}

static enum kv_status read_scaling(
    const struct hf_json *j, const cJSON *rope, struct kv_shape *s, struct kv_error *err)
{
    struct kv_rope_scaling *r = &s->rope;
    const struct {
        const char *key;
        float *out;
    } reals[] = { { "factor", &r->factor }, { "low_freq_factor", &r->low_freq },
        { "high_freq_factor", &r->high_freq }, { "beta_fast", &r->beta_fast }, { "beta_slow", &r->beta_slow },
        { "attention_factor", &r->attention }, { "mscale", &r->mscale }, { "mscale_all_dim", &r->mscale_all_dim } };
    bool truncate = true;
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < KV_COUNT(reals) && !status; i++)
        status = settle(hf_json_real(j, rope, reals[i].key, reals[i].out, err), false, err);
    r->original_context = s->n_context;
    if (!status)
        status = settle(
            hf_json_whole(j, rope, "original_max_position_embeddings", 1, MAX_CONTEXT, &r->original_context, err),
            false, err);
    /* Some models state it beside the scaling, and then it counts. */
    if (!status)
        status = settle(hf_json_whole(j, j->root, "original_max_position_embeddings", 1, MAX_CONTEXT,
                            &r->original_context, err),
            false, err);
    if (!status) status = settle(hf_json_bool(j, rope, "truncate", &truncate, err), false, err);
    r->exact_ramp = !truncate;
    if (!status && r->kind == KV_ROPE_YARN && !hf_json_at(rope, "factor"))
        r->factor = (float)s->n_context / (float)r->original_context;
    return status;
}

/* theta stands in rope_parameters (transformers 5), else at the top; scaling in rope_scaling, else in rope_parameters. */
static enum kv_status read_rope(const struct hf_json *j, struct kv_shape *s, struct kv_error *err)
{
    const cJSON *rope = NULL;
    float rotary = 1;
    s->rope_theta = 10000;
    enum kv_status status = settle(hf_json_real(j, j->root, "rope_theta", &s->rope_theta, err), false, err);
    if (!status) status = settle(hf_json_object(j, j->root, "rope_parameters", &rope, err), false, err);
    if (!status) status = settle(hf_json_object(j, j->root, "rope_scaling", &rope, err), false, err);
    if (!status && rope && (hf_json_at(rope, "full_attention") || hf_json_at(rope, "sliding_attention")))
        return kv_fail(err, KV_UNSUPPORTED, "RoPE differs between layers, which kvdbg does not read.");
    if (!status && rope) status = settle(hf_json_real(j, rope, "rope_theta", &s->rope_theta, err), false, err);
    if (!status && rope) status = settle(hf_json_real(j, rope, "partial_rotary_factor", &rotary, err), false, err);
    if (status) return status;
    if (rotary != 1)
        return kv_fail(err, KV_UNSUPPORTED,
            "RoPE turns a part of the channels (partial_rotary_factor %g), which kvdbg does not read.",
            (double)rotary);
    if (!(s->rope_theta > 0))
        return kv_fail(err, KV_BAD_FILE, "Key 'rope_theta' of %s is %g, expected a positive number.", j->name,
            (double)s->rope_theta);
    if (rope) status = read_kind(j, rope, &s->rope, err);
    if (!status && s->rope.kind != KV_ROPE_PLAIN) status = read_scaling(j, rope, s, err);
    return status ? status : rope_settle(s, err);
}

/* --- the window ----------------------------------------------------------------------------------------------- */

static enum kv_status read_layer_types(const struct hf_json *j, struct kv_shape *s, bool *any, struct kv_error *err)
{
    const cJSON *types = hf_json_at(j->root, "layer_types");
    if (cJSON_GetArraySize(types) != s->n_layer || !cJSON_IsArray(types))
        return kv_fail(err, KV_BAD_FILE, "Key 'layer_types' of %s is no list of %d layers.", j->name, s->n_layer);
    int l = 0;
    for (const cJSON *type = types->child; type; type = type->next, l++) {
        const char *name = cJSON_GetStringValue(type);
        if (name && !strcmp(name, "sliding_attention"))
            *any = true;
        else if (name && !strcmp(name, "full_attention"))
            s->sees_all[l / 8] |= (unsigned char)(1 << l % 8);
        else
            return kv_fail(err, KV_UNSUPPORTED,
                "Layer %d attends by %s; kvdbg reads full_attention and sliding_attention.", l,
                gguf_quote(view(name ? name : "something that is no text")).text);
    }
    return KV_OK;
}

/* Layers below max_window_layers see everything. */
static enum kv_status read_first_layers(
    const struct hf_json *j, struct kv_shape *s, bool *any, struct kv_error *err)
{
    int from = 28; /* transformers' default */
    enum kv_status status =
        settle(hf_json_whole(j, j->root, "max_window_layers", 0, INT32_MAX, &from, err), false, err);
    for (int l = 0; l < s->n_layer; l++)
        if (l < from)
            s->sees_all[l / 8] |= (unsigned char)(1 << l % 8);
        else
            *any = true;
    return status;
}

static enum kv_status read_window(
    const struct hf_json *j, const struct arch *arch, struct kv_shape *s, struct kv_error *err)
{
    bool on = arch->slide == ARCH_SLIDE_ALWAYS, any = on;
    int window = 4096; /* transformers' default where the key is absent; null means none */
    enum kv_status status = KV_OK;
    if (arch->slide == ARCH_SLIDE_SWITCH)
        status = settle(hf_json_bool(j, j->root, "use_sliding_window", &on, err), false, err);
    if (status || arch->slide == ARCH_SLIDE_NEVER) return status;
    const cJSON *stated = cJSON_GetObjectItemCaseSensitive(j->root, "sliding_window");
    if (cJSON_IsNull(stated)) window = 0;
    if (on) status = settle(hf_json_whole(j, j->root, "sliding_window", 1, INT32_MAX, &window, err), false, err);
    if (!on || !window) window = 0;
    if (!status && arch->slide == ARCH_SLIDE_SWITCH && hf_json_at(j->root, "layer_types")) {
        status = read_layer_types(j, s, &any, err);
        if (!status && any && !window)
            return kv_fail(err, KV_BAD_FILE, "%s has layers of sliding_attention, but no window is on.", j->name);
    } else if (!status && arch->slide == ARCH_SLIDE_SWITCH && window) {
        status = read_first_layers(j, s, &any, err);
    }
    s->sliding_window = any ? window : 0;
    if (!s->sliding_window) memset(s->sees_all, 0, sizeof s->sees_all);
    return status;
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

static enum kv_status read_numbers(const struct hf_json *j, struct kv_shape *s, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    const struct arch_key *row;
    for (size_t i = 0; (row = arch_key_at(i)) && !status; i++)
        if (row->hf)
            status = settle(hf_json_whole(j, j->root, row->hf, (int)row->least, (int)row->most,
                                (int *)((char *)s + row->offset), err),
                row->required, err);
    if (!status)
        status = settle(hf_json_whole(j, j->root, "vocab_size", 1, MAX_VOCAB, &s->n_vocab, err), true, err);
    s->norm_eps = 1e-6F; /* transformers' default */
    if (!status) status = settle(hf_json_real(j, j->root, "rms_norm_eps", &s->norm_eps, err), false, err);
    if (!status && !(s->norm_eps > 0))
        status = kv_fail(err, KV_BAD_FILE, "Key 'rms_norm_eps' of %s is %g, expected a positive number.", j->name,
            (double)s->norm_eps);
    return status;
}

enum kv_status hf_config_read(const struct hf_json *j, struct hf_config *out, struct kv_error *err)
{
    bool bias = false;
    *out = (struct hf_config){ 0 };
    struct kv_shape *s = &out->shape;
    enum kv_status status = read_arch(j, &out->arch, err);
    if (!status) status = refuse_parts(j, err);
    if (status) return status;
    snprintf(s->arch, sizeof s->arch, "%s", out->arch->name);
    s->rope_pairing = out->arch->rope_pairing;
    s->interleave = s->rope_pairing == KV_ROPE_ADJACENT;
    status = read_numbers(j, s, err);
    if (!status) status = arch_complete(s, err);
    if (!status) status = read_rope(j, s, err);
    if (!status) status = read_window(j, out->arch, s, err);
    if (!status) status = settle(hf_json_bool(j, j->root, "tie_word_embeddings", &out->tied, err), false, err);
    if (!status) status = settle(hf_json_bool(j, j->root, "attention_bias", &bias, err), false, err);
    out->o_bias = bias && !out->arch->qkv_bias;
    out->qkv_bias = bias || out->arch->qkv_bias;
    if (!status) status = settle(hf_json_bool(j, j->root, "mlp_bias", &out->ffn_bias, err), false, err);
    return status;
}

static enum kv_status read_ends(const struct hf_json *j, int n_vocab, int32_t **ids, int *n, struct kv_error *err)
{
    const cJSON *item = hf_json_at(j->root, "eos_token_id"), *list = cJSON_IsArray(item) ? item->child : NULL;
    int count = cJSON_IsArray(item) ? cJSON_GetArraySize(item) : item ? 1 : 0;
    if (!count) return KV_OK;
    int32_t *out = kv_alloc((size_t)count, sizeof *out);
    if (!out) return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens that end a reply.", count);
    for (int i = 0; i < count; i++, list = list ? list->next : NULL) {
        const cJSON *id = list ? list : item;
        double value = cJSON_IsNumber(id) ? id->valuedouble : NAN;
        if (!(value >= 0 && value < n_vocab) || value != floor(value)) {
            free(out);
            return kv_fail(err, KV_BAD_FILE,
                "Key 'eos_token_id' of %s has no token of the vocabulary, which has %d.", j->name, n_vocab);
        }
        out[i] = (int32_t)value;
    }
    *ids = out;
    *n = count;
    return KV_OK;
}

enum kv_status hf_config_ends(const struct hf_json *config, const struct hf_json *generation, int n_vocab,
    int32_t **ids, int *n, struct kv_error *err)
{
    *ids = NULL;
    *n = 0;
    enum kv_status status = generation->root ? read_ends(generation, n_vocab, ids, n, err) : KV_OK;
    return status || *n ? status : read_ends(config, n_vocab, ids, n, err);
}

#endif
