/* See gguf_writer.h. */
#include "tests/lib/gguf_writer.h"

#include "engine/model/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gw_key *key_slot(struct gw *w, const char *name)
{
    for (size_t i = 0; i < w->n_key; i++)
        if (!strcmp(w->key[i].name, name)) return &w->key[i];
    struct gw_key *k = &w->key[w->n_key++];
    snprintf(k->name, sizeof k->name, "%s", name);
    return k;
}

void gw_raw(struct gw *w, const char *name, uint32_t type, const void *value, size_t bytes)
{
    struct gw_key *k = key_slot(w, name);
    k->type = type;
    k->bytes = kv_min(bytes, sizeof k->value);
    memcpy(k->value, value, k->bytes);
}

void gw_number(struct gw *w, const char *name, uint32_t type, uint64_t number)
{
    static const size_t bytes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8 };
    uint8_t value[12] = { 0 };
    memcpy(value, &number, sizeof number);
    gw_raw(w, name, type, value, type < KV_COUNT(bytes) ? bytes[type] : 8);
}

void gw_float(struct gw *w, const char *name, float number) { gw_raw(w, name, GGUF_F32, &number, sizeof number); }

void gw_text(struct gw *w, const char *name, const char *text)
{
    uint8_t value[sizeof w->key[0].value];
    uint64_t length = kv_min(strlen(text), sizeof value - 8);
    memcpy(value, &length, 8);
    memcpy(value + 8, text, length);
    gw_raw(w, name, GGUF_STRING, value, 8 + length);
}

static void text_list(struct gw *w, const char *name, const char *const *texts, uint64_t count)
{
    uint8_t value[sizeof w->key[0].value];
    uint32_t of = GGUF_STRING;
    size_t n = 12;
    memcpy(value, &of, 4);
    memcpy(value + 4, &count, 8);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = strlen(texts[i]);
        memcpy(value + n, &length, 8);
        memcpy(value + n + 8, texts[i], length);
        n += 8 + length;
    }
    gw_raw(w, name, GGUF_ARRAY, value, n);
}

void gw_drop_key(struct gw *w, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_key; i++)
        if (strcmp(w->key[i].name, name)) w->key[kept++] = w->key[i];
    w->n_key = kept;
}

struct gw_tensor *gw_add(struct gw *w, const char *name, uint32_t type, uint64_t cols, uint64_t rows)
{
    struct gw_tensor *t = &w->tensor[w->n_tensor++];
    *t = (struct gw_tensor){ .type = type, .n_dims = rows > 1 ? 2 : 1, .dim = { cols, rows, 1, 1 } };
    snprintf(t->name, sizeof t->name, "%s", name);
    t->bytes = kv_type_bytes((int)type, cols * rows);
    t->offset = w->data_bytes;
    w->data_bytes = (w->data_bytes + t->bytes + w->alignment - 1) / w->alignment * w->alignment;
    return t;
}

struct gw_tensor *gw_tensor(struct gw *w, const char *name)
{
    for (size_t i = 0; i < w->n_tensor; i++)
        if (!strcmp(w->tensor[i].name, name)) return &w->tensor[i];
    return NULL;
}

void gw_drop_tensor(struct gw *w, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_tensor; i++)
        if (strcmp(w->tensor[i].name, name)) w->tensor[kept++] = w->tensor[i];
    w->n_tensor = kept;
}

static void model_keys(struct gw *w, const char *arch)
{
    static const struct {
        const char *suffix;
        uint64_t number;
    } numbers[] = { { "block_count", 1 }, { "context_length", 128 }, { "embedding_length", 32 },
        { "feed_forward_length", 64 }, { "attention.head_count", 2 }, { "attention.head_count_kv", 1 },
        { "attention.key_length", 16 }, { "attention.value_length", 16 }, { "rope.dimension_count", 16 },
        { "vocab_size", 8 } };
    static const char *const tokens[] = { "a", "b", "c", "ab", "<s>", "</s>", "\xC4\xA0", "d" };
    static const char *const merges[] = { "a b" };
    uint8_t types[12 + 8 * 4] = { GGUF_I32, 0, 0, 0, 8 };
    char name[96];

    gw_text(w, "general.architecture", arch);
    gw_text(w, "general.name", "a small\x01model");
    for (size_t i = 0; i < KV_COUNT(numbers); i++) {
        snprintf(name, sizeof name, "%s.%s", arch, numbers[i].suffix);
        gw_number(w, name, GGUF_U32, numbers[i].number);
    }
    snprintf(name, sizeof name, "%s.rope.freq_base", arch);
    gw_float(w, name, 1e5F);
    snprintf(name, sizeof name, "%s.attention.layer_norm_rms_epsilon", arch);
    gw_float(w, name, 1e-5F);
    gw_text(w, "tokenizer.ggml.model", "gpt2");
    gw_text(w, "tokenizer.ggml.pre", "smollm");
    text_list(w, "tokenizer.ggml.tokens", tokens, KV_COUNT(tokens));
    text_list(w, "tokenizer.ggml.merges", merges, KV_COUNT(merges));
    for (size_t i = 0; i < 8; i++) types[12 + 4 * i] = i == 4 || i == 5 ? 3 : 1;
    gw_raw(w, "tokenizer.ggml.token_type", GGUF_ARRAY, types, sizeof types);
    gw_number(w, "tokenizer.ggml.bos_token_id", GGUF_U32, 4);
    gw_number(w, "tokenizer.ggml.eos_token_id", GGUF_U32, 5);
    gw_number(w, "tokenizer.ggml.add_bos_token", GGUF_BOOL, 1);
    gw_text(w, "tokenizer.chat_template", "{{ messages }}");
}

void gw_model(struct gw *w, const char *arch)
{
    *w = (struct gw){ .version = 3, .alignment = GGUF_DEFAULT_ALIGNMENT };
    model_keys(w, arch);
    gw_add(w, "token_embd.weight", KV_TYPE_Q8_0, 32, 8);
    gw_add(w, "output_norm.weight", KV_TYPE_F32, 32, 1);
    gw_add(w, "blk.0.attn_norm.weight", KV_TYPE_F32, 32, 1);
    gw_add(w, "blk.0.attn_q.weight", KV_TYPE_Q8_0, 32, 32);
    gw_add(w, "blk.0.attn_k.weight", KV_TYPE_Q8_0, 32, 16);
    gw_add(w, "blk.0.attn_v.weight", KV_TYPE_Q8_0, 32, 16);
    gw_add(w, "blk.0.attn_output.weight", KV_TYPE_Q8_0, 32, 32);
    gw_add(w, "blk.0.ffn_norm.weight", KV_TYPE_F32, 32, 1);
    gw_add(w, "blk.0.ffn_gate.weight", KV_TYPE_Q8_0, 32, 64);
    gw_add(w, "blk.0.ffn_up.weight", KV_TYPE_Q8_0, 32, 64);
    gw_add(w, "blk.0.ffn_down.weight", KV_TYPE_Q8_0, 64, 32);
    if (!strcmp(arch, "qwen3")) {
        gw_add(w, "blk.0.attn_q_norm.weight", KV_TYPE_F32, 16, 1);
        gw_add(w, "blk.0.attn_k_norm.weight", KV_TYPE_F32, 16, 1);
    }
    if (!strcmp(arch, "qwen2")) {
        gw_add(w, "blk.0.attn_q.bias", KV_TYPE_F32, 32, 1);
        gw_add(w, "blk.0.attn_k.bias", KV_TYPE_F32, 16, 1);
        gw_add(w, "blk.0.attn_v.bias", KV_TYPE_F32, 16, 1);
    }
}

static void put(uint8_t **at, const void *bytes, size_t n)
{
    if (n) memcpy(*at, bytes, n);
    *at += n;
}

uint8_t *gw_write(const struct gw *w, size_t *size, size_t *header)
{
    size_t most = sizeof *w + w->data_bytes + w->alignment + 64;
    uint8_t *data = calloc(1, most), *at = data;
    if (!data) abort();
    uint64_t counts[2] = { w->n_tensor + w->n_tensor_claimed, w->n_key + w->n_key_claimed };
    put(&at, "GGUF", 4);
    put(&at, &w->version, 4);
    put(&at, counts, sizeof counts);
    for (size_t i = 0; i < w->n_key; i++) {
        uint64_t length = strlen(w->key[i].name);
        put(&at, &length, 8);
        put(&at, w->key[i].name, length);
        put(&at, &w->key[i].type, 4);
        put(&at, w->key[i].value, w->key[i].bytes);
    }
    for (size_t i = 0; i < w->n_tensor; i++) {
        const struct gw_tensor *t = &w->tensor[i];
        uint64_t length = strlen(t->name);
        put(&at, &length, 8);
        put(&at, t->name, length);
        put(&at, &t->n_dims, 4);
        put(&at, t->dim, 8 * kv_min(t->n_dims, KV_COUNT(t->dim)));
        put(&at, &t->type, 4);
        put(&at, &t->offset, 8);
    }
    if (header) *header = (size_t)(at - data);
    at += (w->alignment - (size_t)(at - data) % w->alignment) % w->alignment;
    for (size_t k = 0; k < w->data_bytes; k++) *at++ = (uint8_t)(k * 7 + 1);
    *size = (size_t)(at - data);
    /* an exact block, so that a sanitizer sees a read of one byte too many */
    uint8_t *exact = malloc(*size);
    if (!exact) abort();
    memcpy(exact, data, *size);
    free(data);
    return exact;
}
