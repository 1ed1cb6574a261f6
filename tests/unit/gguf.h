/* What the tests of GGUF files share: opening what a writer describes, reading all of it, judging a refusal. */
#ifndef TEST_GGUF_H
#define TEST_GGUF_H

#include "engine/model/gguf.h"
#include "engine/model/model.h"
#include "tests/lib/gguf_writer.h"
#include "tests/tap.h"

#include <ctype.h>
#include <stdlib.h>

/* A capital or a quote first, a full stop last, none between two words, nothing that a terminal would obey. */
static inline bool is_one_sentence(const char *text)
{
    size_t n = strlen(text);
    if (n < 10 || text[n - 1] != '.' || !(isupper((unsigned char)text[0]) || text[0] == '\'')) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127) return false;
    return !strstr(text, ". ");
}

static inline bool same(struct kv_string a, const char *b)
{
    return a.length == strlen(b) && !memcmp(a.text, b, a.length);
}

static inline uint64_t touch_tensor(const struct kv_tensor *t)
{
    if (!t->data) return 0;
    const uint8_t *bytes = t->data;
    size_t row = kv_type_bytes(t->type, (size_t)t->cols);
    uint64_t sum = 0;
    for (size_t r = 0; r < (size_t)t->rows; r++) sum += bytes[r * row] + bytes[r * row + row - 1];
    return sum;
}

/* Reads the ends of everything that a model points to, so that a sanitizer sees what a check has let through. */
static inline uint64_t touch(const struct kv_model *m)
{
    const struct kv_vocabulary *v = &m->vocabulary;
    uint64_t sum = touch_tensor(&m->token_embd) + touch_tensor(&m->output_norm) + touch_tensor(&m->output);
    for (int l = 0; l < m->shape.n_layer; l++) {
        const struct kv_layer_weights *w = &m->layer[l];
        const struct kv_tensor *all[] = { &w->attn_norm, &w->ffn_norm, &w->q_norm, &w->k_norm, &w->q, &w->k, &w->v,
            &w->o, &w->q_bias, &w->k_bias, &w->v_bias, &w->gate, &w->up, &w->down };
        for (size_t i = 0; i < KV_COUNT(all); i++) sum += touch_tensor(all[i]);
    }
    for (int i = 0; i < v->n_token; i++) {
        if (v->token[i].length) sum += (uint8_t)v->token[i].text[v->token[i].length - 1];
        if (v->token_type) sum += (uint64_t)v->token_type[i];
    }
    for (int i = 0; i < v->n_merge; i++)
        if (v->merge[i].length) sum += (uint8_t)v->merge[i].text[v->merge[i].length - 1];
    return sum;
}

/* Opens what w describes; *data is the caller's to free, after the model. */
static inline enum kv_status open_spec(
    const struct gw *w, uint8_t **data, struct kv_model **model, struct kv_error *err)
{
    size_t size;
    *data = gw_write(w, &size, NULL);
    *err = (struct kv_error){ 0 };
    return kv_model_open_memory(*data, size, model, err);
}

#endif
