/* Opens and closes models; of a GGUF file shape, weights and vocabulary, each checked against the others. */
#include "engine/model/model.h"

#include "engine/model/arch.h"
#include "engine/model/gguf.h"
#include "engine/model/hf.h"
#include "engine/model/synthetic.h"
#include "engine/text/vocabulary.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- weights ---- */

struct binding {
    const struct gguf *file;
    const char *arch;
    bool *used; /* [gguf_tensor_count] */
    size_t bytes;
};

static enum kv_status bind(void *ctx, const struct arch_tensor *what, struct kv_tensor *slot, struct kv_error *err)
{
    struct binding *b = ctx;
    const struct gguf_tensor *t = gguf_tensor(b->file, what->name);
    if (!t && what->optional) return KV_OK;
    if (!t) return kv_fail(err, KV_BAD_FILE, "Tensor '%s' is missing; a %s model needs it.", what->name, b->arch);
    if (t->dim[0] != what->cols || t->dim[1] != what->rows || t->dim[2] != 1 || t->dim[3] != 1)
        return kv_fail(err, KV_BAD_FILE,
            "Tensor '%s' has %lld x %lld x %lld x %lld elements; the model's metadata ask for %d x %d.", what->name,
            (long long)t->dim[0], (long long)t->dim[1], (long long)t->dim[2], (long long)t->dim[3], what->cols,
            what->rows);
    if ((what->role == ARCH_NORM || what->role == ARCH_BIAS) && t->type != KV_TYPE_F32)
        return kv_fail(err, KV_UNSUPPORTED, "Tensor '%s' is %s; kvdbg reads norms and biases as F32.", what->name,
            kv_type_info(t->type)->name);
    *slot = (struct kv_tensor){ t->data, t->type, what->rows, what->cols };
    b->used[t - gguf_tensor_at(b->file, 0)] = true;
    b->bytes += t->bytes;
    return KV_OK;
}

/* A tensor that nobody asked for is a part of the network that would be left out without a word. */
static enum kv_status bind_weights(
    struct kv_model *model, const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    struct binding b = { file, arch->name, kv_alloc(gguf_tensor_count(file), sizeof *b.used), 0 };
    model->layer = kv_alloc((size_t)model->shape.n_layer, sizeof *model->layer);
    enum kv_status status = KV_OK;
    if (!b.used || !model->layer)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the table of %d layers.", model->shape.n_layer);
    if (!status) status = arch_each_tensor(model, arch, bind, &b, err);
    const struct gguf_tensor *divisors = gguf_tensor(file, ARCH_ROPE_DIVISORS);
    if (!status && divisors) b.used[divisors - gguf_tensor_at(file, 0)] = true;
    for (size_t i = 0; i < gguf_tensor_count(file) && !status; i++)
        if (!b.used[i])
            status = kv_fail(err, KV_UNSUPPORTED, "Tensor %s is not a part of the %s models that kvdbg reads.",
                gguf_quote(gguf_tensor_at(file, i)->name).text, arch->name);
    if (!status && !model->output.data) model->output = model->token_embd;
    model->weight_bytes = b.bytes;
    free(b.used);
    return status;
}

/* ---- shape ---- */

static enum kv_status read_shape(
    struct kv_model *model, const struct gguf *file, const struct arch *arch, struct kv_error *err)
{
    struct kv_string name = { "unnamed", 7 };
    struct kv_shape *s = &model->shape;
    char key[64];
    enum kv_status status = arch_shape(file, arch, s, err);
    if (status) return status;

    const struct gguf_tensor *embd = gguf_tensor(file, "token_embd.weight");
    if (!embd)
        return kv_fail(err, KV_BAD_FILE, "Tensor 'token_embd.weight' is missing; a %s model needs it.", arch->name);
    if (embd->dim[1] > 1 << 24)
        return kv_fail(err, KV_BAD_FILE, "Tensor 'token_embd.weight' has %lld rows, expected at most %d.",
            (long long)embd->dim[1], 1 << 24);
    s->n_vocab = (int)embd->dim[1];
    uint32_t stated = (uint32_t)s->n_vocab;
    snprintf(key, sizeof key, "%s.vocab_size", arch->name);
    status = gguf_u32(file, key, &stated, err);
    if (status && status != KV_NOT_FOUND) return status;
    if (stated != (uint32_t)s->n_vocab)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is %u, but tensor 'token_embd.weight' has %d rows.", key, stated,
            s->n_vocab);

    status = gguf_string(file, "general.name", &name, err);
    if (status && status != KV_NOT_FOUND) return status;
    size_t length = kv_min(name.length, sizeof s->name - 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name.text[i];
        s->name[i] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    return KV_OK;
}

/* ---- vocabulary ---- */

/* Pre-tokenizers whose files, when they are silent about it, mean a beginning-of-sequence token and words that are
 * tokens whatever the merges say (llama.cpp's rules). */
static bool is_like_llama3(struct kv_string pre)
{
    static const char *const names[] = { "llama-bpe", "llama3", "llama-v3", "tekken" };
    for (size_t i = 0; i < KV_COUNT(names); i++)
        if (pre.length == strlen(names[i]) && !memcmp(pre.text, names[i], pre.length)) return true;
    return false;
}

/* What silence means, by the vocabulary's kind; the keys that follow may say otherwise. */
static void set_defaults(struct kv_vocabulary *v)
{
    bool sentencepiece = v->kind.length == 5 && !memcmp(v->kind.text, "llama", 5);
    v->ignore_merges = is_like_llama3(v->pre);
    v->add_bos = sentencepiece || v->ignore_merges;
    v->add_space_prefix = v->byte_fallback = sentencepiece;
}

static enum kv_status read_scores(struct kv_vocabulary *v, const struct gguf *file, struct kv_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    float *scores = NULL;
    size_t n = 0;
    enum kv_status status = gguf_f32s(file, key, &scores, &n, err);
    if (status) return status == KV_NOT_FOUND ? KV_OK : status;
    v->score = scores;
    if (n != (size_t)v->n_token)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' has %zu elements for %d tokens.", key, n, v->n_token);
    return KV_OK;
}

static enum kv_status read_token_id(
    const struct gguf *file, const char *key, int n_vocab, int *out, struct kv_error *err)
{
    uint32_t id = UINT32_MAX; /* what some writers put for "none" */
    enum kv_status status = gguf_u32(file, key, &id, err);
    if (status && status != KV_NOT_FOUND) return status;
    if (id != UINT32_MAX && id >= (uint32_t)n_vocab)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' is token %u; the vocabulary has %d.", key, id, n_vocab);
    *out = id == UINT32_MAX ? -1 : (int)id;
    return KV_OK;
}

static enum kv_status read_strings(
    const struct gguf *file, const char *key, struct kv_string **out, int *count, struct kv_error *err)
{
    size_t n = 0;
    enum kv_status status = gguf_strings(file, key, out, &n, err);
    if (status == KV_NOT_FOUND) return KV_OK;
    if (!status && n > INT_MAX)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' has %zu strings, expected at most %d.", key, n, INT_MAX);
    *count = (int)n;
    return status;
}

static enum kv_status read_token_types(struct kv_vocabulary *v, const struct gguf *file, struct kv_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    int32_t *types = NULL;
    size_t n = 0;
    enum kv_status status = gguf_i32s(file, key, &types, &n, err);
    if (status) return status == KV_NOT_FOUND ? KV_OK : status;
    v->token_type = types;
    if (n != (size_t)v->n_token)
        return kv_fail(err, KV_BAD_FILE, "Key '%s' has %zu elements for %d tokens.", key, n, v->n_token);
    return KV_OK;
}

static enum kv_status read_ends(struct kv_model *model, const struct gguf *file, struct kv_error *err)
{
    static const char *const keys[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id" };
    model->end = kv_alloc(KV_COUNT(keys), sizeof *model->end);
    if (!model->end) return kv_fail(err, KV_NO_MEMORY, "No memory for the tokens that end a reply.");
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        int id = -1;
        enum kv_status status = read_token_id(file, keys[i], model->shape.n_vocab, &id, err);
        if (status) return status;
        if (id >= 0) model->end[model->n_end++] = id;
    }
    return KV_OK;
}

/* A file without tokens is fine: its prompts are token ids. */
static enum kv_status read_vocabulary(struct kv_model *model, const struct gguf *file, struct kv_error *err)
{
    struct kv_vocabulary *v = &model->vocabulary;
    const struct {
        const char *key;
        struct kv_string *text;
    } texts[] = { { "tokenizer.ggml.model", &v->kind }, { "tokenizer.ggml.pre", &v->pre },
        { "tokenizer.chat_template", &v->chat_template } };
    const struct {
        const char *key;
        int *id;
    } ids[] = { { "tokenizer.ggml.bos_token_id", &v->bos }, { "tokenizer.ggml.eos_token_id", &v->eos },
        { "tokenizer.ggml.unknown_token_id", &v->unknown } };
    enum kv_status status = KV_OK;

    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        status = gguf_string(file, texts[i].key, texts[i].text, err);
        if (status && status != KV_NOT_FOUND) return status;
    }
    if ((status = read_strings(file, "tokenizer.ggml.tokens", &v->token, &v->n_token, err))) return status;
    if (v->n_token && v->n_token != model->shape.n_vocab)
        return kv_fail(err, KV_BAD_FILE,
            "The vocabulary has %d tokens, but tensor 'token_embd.weight' has %d rows.", v->n_token,
            model->shape.n_vocab);
    if ((status = read_strings(file, "tokenizer.ggml.merges", &v->merge, &v->n_merge, err))) return status;
    if ((status = read_token_types(v, file, err))) return status;
    for (size_t i = 0; i < KV_COUNT(ids); i++)
        if ((status = read_token_id(file, ids[i].key, model->shape.n_vocab, ids[i].id, err))) return status;
    if ((status = read_scores(v, file, err))) return status;
    if ((status = read_ends(model, file, err))) return status;
    set_defaults(v);
    status = gguf_bool(file, "tokenizer.ggml.add_bos_token", &v->add_bos, err);
    if (!status || status == KV_NOT_FOUND)
        status = gguf_bool(file, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, err);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* ---- opening ---- */

static void close_file(struct kv_model *model) { gguf_close(model->owner); }

/* Takes the file, also on failure. */
static enum kv_status model_take_gguf(
    struct gguf *file, const char *path, struct kv_model **out, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    struct kv_string name = { "", 0 };
    const struct arch *arch = NULL;
    struct kv_model *model = kv_alloc(1, sizeof *model);
    if (!model) {
        gguf_close(file);
        return kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
    }
    model->owner = file;
    model->close = close_file;
    model->path = kv_strdup(path);
    if (!model->path) {
        status = kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
        goto out;
    }
    status = gguf_string(file, "general.architecture", &name, err);
    if (status == KV_NOT_FOUND)
        status = kv_fail(err, KV_BAD_FILE, "The GGUF file has no key 'general.architecture', so it is no model.");
    if (!status) status = arch_find(name, true, &arch, err);
    if (!status) status = read_shape(model, file, arch, err);
    if (!status) status = bind_weights(model, file, arch, err);
    if (!status) status = read_vocabulary(model, file, err);
out:
    if (status) {
        kv_model_close(model);
        return status;
    }
    if (err) *err = (struct kv_error){ 0 };
    *out = model;
    return KV_OK;
}

/* Weights that a user names instead of their folder. */
static bool is_weights(const char *path)
{
    static const char tail[] = ".safetensors";
    size_t n = strlen(path);
    return n > strlen(tail) && !strcmp(path + n - strlen(tail), tail) && !access(path, F_OK);
}

enum kv_status kv_model_open(const char *path, struct kv_model **out, struct kv_error *err)
{
    struct gguf *file = NULL;
    *out = NULL;
    if (synthetic_is(path)) return synthetic_open(path, out, err);
    if (hf_is_folder(path)) return hf_open(path, out, err);
    if (is_weights(path))
        return kv_fail(err, KV_UNSUPPORTED,
            "A .safetensors file alone is no model; name the folder that it is in with its config.json.");
    enum kv_status status = gguf_open_parts(path, &file, err);
    if (!status) status = model_take_gguf(file, path, out, err);
    if (status) return status;
    const char *part;
    for (int i = 0; !status && (part = gguf_part(file, i)); i++) status = model_add_file(*out, NULL, part, err);
    if (!status && !gguf_part(file, 0)) status = model_add_file(*out, NULL, path, err);
    if (status) {
        kv_model_close(*out);
        *out = NULL;
    }
    return status;
}

enum kv_status kv_model_open_memory(const void *data, size_t size, struct kv_model **out, struct kv_error *err)
{
    struct gguf *file = NULL;
    *out = NULL;
    enum kv_status status = gguf_open_memory(data, size, &file, err);
    return status ? status : model_take_gguf(file, "memory", out, err);
}

void kv_model_close(struct kv_model *model)
{
    if (!model) return;
    if (model->close) model->close(model);
    free(model->layer);
    kv_vocabulary_close(&model->vocabulary);
    for (int i = 0; i < model->n_file; i++) free(model->file[i]);
    free(model->file);
    free(model->end);
    free(model->path);
    free(model);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

enum kv_status model_add_file(struct kv_model *model, const char *folder, const char *name, struct kv_error *err)
{
    size_t n = folder ? strlen(folder) : 0;
    char *path = NULL, **grown = realloc(model->file, ((size_t)model->n_file + 1) * sizeof *grown);
    if (grown) model->file = grown;
    if (!grown || asprintf(&path, "%s%s%s", folder ? folder : "", n && folder[n - 1] != '/' ? "/" : "", name) < 0)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the names of the model's files.");
    model->file[model->n_file++] = path;
    qsort(model->file, (size_t)model->n_file, sizeof *model->file, by_text);
    return KV_OK;
}

bool model_is_end(const struct kv_model *model, int32_t id)
{
    for (int i = 0; i < model->n_end; i++)
        if (model->end[i] == id) return true;
    return false;
}
