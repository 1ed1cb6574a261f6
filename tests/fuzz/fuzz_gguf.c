/* libFuzzer target: any bytes as a model file. What opens must be readable to the end of every row and string; what
 * does not must leave one sentence.
 *
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -Wno-unknown-pragmas -I. -D_GNU_SOURCE tests/fuzz/fuzz_gguf.c
 *     engine/model/<all>.c kernels/base.c kernels/types.c -lm
 * Seeds: tests/fuzz/gguf_seeds.c writes them. */
#include "engine/model/rope.h"
#include "engine/model/window.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void touch_string(struct kv_string s)
{
    if (s.length) sink += (uint8_t)s.text[0] + (uint8_t)s.text[s.length - 1];
}

static void touch_tensor(const struct kv_tensor *t)
{
    if (!t->data) return;
    const uint8_t *bytes = t->data;
    size_t row = kv_type_bytes(t->type, (size_t)t->cols);
    for (size_t r = 0; r < (size_t)t->rows; r++) sink += bytes[r * row] + bytes[r * row + row - 1];
}

static void touch(const struct kv_model *m)
{
    const struct kv_vocabulary *v = &m->vocabulary;
    const struct kv_tensor *model_wide[] = { &m->token_embd, &m->output_norm, &m->output };
    for (size_t i = 0; i < KV_COUNT(model_wide); i++) touch_tensor(model_wide[i]);
    for (int l = 0; l < m->shape.n_layer; l++) {
        const struct kv_layer_weights *w = &m->layer[l];
        const struct kv_tensor *all[] = { &w->attn_norm, &w->ffn_norm, &w->q_norm, &w->k_norm, &w->q, &w->k, &w->v,
            &w->o, &w->q_bias, &w->k_bias, &w->v_bias, &w->o_bias, &w->gate_bias, &w->up_bias, &w->down_bias,
            &w->gate, &w->up, &w->down };
        for (size_t i = 0; i < KV_COUNT(all); i++) touch_tensor(all[i]);
    }
    float frequency[KV_ROPE_PAIRS];
    char text[WINDOW_TEXT];
    struct kv_shape copy = m->shape;
    sink += (uint64_t)(rope_frequencies(&m->shape, frequency) > 0);
    window_layers(&m->shape, text, sizeof text);
    if (!window_parse(text, &copy)) abort();
    touch_string(v->kind);
    touch_string(v->pre);
    touch_string(v->chat_template);
    for (int i = 0; i < v->n_token; i++) {
        touch_string(v->token[i]);
        if (v->token_type) sink += (uint64_t)v->token_type[i];
    }
    for (int i = 0; i < v->n_merge; i++) touch_string(v->merge[i]);
}

static void check_sentence(const struct kv_error *err, enum kv_status status)
{
    size_t n = strlen(err->text);
    if (err->code != status || n < 10 || err->text[n - 1] != '.') abort();
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)err->text[i] < ' ' || (unsigned char)err->text[i] > '~') abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_error err = { 0 };
    struct kv_model *m = NULL;
    /* a copy of exactly this size and of malloc's alignment */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    enum kv_status status = kv_model_open_memory(copy, size, &m, &err);
    if (status) {
        if (m) abort();
        check_sentence(&err, status);
    } else {
        if (err.text[0] || err.code) abort();
        touch(m);
    }
    kv_model_close(m);
    free(copy);
    return 0;
}
