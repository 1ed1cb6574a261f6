/* A Hugging Face folder in memory for the fuzz targets: links of a temporary folder to files that have no name. */
#ifndef FUZZ_FOLDER_H
#define FUZZ_FOLDER_H

#include "engine/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOLDER_FILES 4

/* The smallest model of the family that has all its parts, and its tensors: names and shapes. */
#define FOLDER_CONFIG                                                                                              \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":2,\"intermediate_size\":2,"                 \
    "\"num_attention_heads\":1,\"head_dim\":2,\"max_position_embeddings\":8,\"vocab_size\":3}"

static const struct folder_tensor {
    const char *name;
    int rows, cols; /* rows 0: a vector */
} folder_tensors[] = { { "lm_head.weight", 3, 2 }, { "model.embed_tokens.weight", 3, 2 },
    { "model.layers.0.input_layernorm.weight", 0, 2 }, { "model.layers.0.mlp.down_proj.weight", 2, 2 },
    { "model.layers.0.mlp.gate_proj.weight", 2, 2 }, { "model.layers.0.mlp.up_proj.weight", 2, 2 },
    { "model.layers.0.post_attention_layernorm.weight", 0, 2 }, { "model.layers.0.self_attn.k_proj.weight", 2, 2 },
    { "model.layers.0.self_attn.o_proj.weight", 2, 2 }, { "model.layers.0.self_attn.q_proj.weight", 2, 2 },
    { "model.layers.0.self_attn.v_proj.weight", 2, 2 }, { "model.norm.weight", 0, 2 } };

/* The header of such a file without its length word, then *bytes of data; returns the header's length. */
static inline size_t folder_header(const char *type, size_t element, char *text, size_t size, size_t *bytes)
{
    size_t n = (size_t)snprintf(text, size, "{\"__metadata__\":{\"format\":\"pt\"}");
    *bytes = 0;
    for (size_t i = 0; i < KV_COUNT(folder_tensors); i++) {
        const struct folder_tensor *t = &folder_tensors[i];
        size_t own = element * (size_t)(t->rows ? t->rows : 1) * (size_t)t->cols;
        char shape[32];
        snprintf(
            shape, sizeof shape, t->rows ? "%d,%d" : "%d%.0d", t->rows ? t->rows : t->cols, t->rows ? t->cols : 0);
        n += (size_t)snprintf(text + n, size - n,
            ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", t->name, type, shape, *bytes,
            *bytes + own);
        *bytes += own;
    }
    return n + (size_t)snprintf(text + n, size - n, "}");
}

static char folder_path[] = "/tmp/kvdbg-fuzz-XXXXXX";
static const char *folder_name[FOLDER_FILES];

static inline void folder_leave(void)
{
    char path[200];
    for (int i = 0; i < FOLDER_FILES && folder_name[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder_path, folder_name[i]);
        unlink(path);
    }
    rmdir(folder_path);
}

/* File number i of the folder; data NULL: there is none of that name. Two pieces one behind the other. */
static inline void folder_put(int i, const char *name, const void *data, size_t n, const void *more, size_t n_more)
{
    static int fd[FOLDER_FILES];
    char path[200], target[64];
    if (!folder_name[0]) {
        if (!mkdtemp(folder_path)) abort();
        atexit(folder_leave);
    }
    if (!folder_name[i]) fd[i] = memfd_create(name, 0);
    folder_name[i] = name;
    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd[i]);
    unlink(path);
    if (!data) return;
    if (symlink(target, path) || ftruncate(fd[i], 0) || pwrite(fd[i], data, n, 0) != (ssize_t)n ||
        (n_more && pwrite(fd[i], more, n_more, (off_t)n) != (ssize_t)n_more))
        abort();
}

static volatile uint64_t folder_sink;

static inline void folder_touch(const struct kv_tensor *t)
{
    size_t bytes = t->data ? kv_type_bytes(t->type, (size_t)t->rows * (size_t)t->cols) : 0;
    for (size_t i = 0; i < bytes; i++) folder_sink += ((const uint8_t *)t->data)[i];
}

/* What opens must be readable to its last byte, what does not must leave one sentence. */
static inline void folder_open(void)
{
    struct kv_error err = { 0 };
    struct kv_model *m = NULL;
    enum kv_status status = kv_model_open(folder_path, &m, &err);
    if (status) {
        size_t n = strlen(err.text);
        if (m || err.code != status || n < 10 || err.text[n - 1] != '.') abort();
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)err.text[i] < ' ' || (unsigned char)err.text[i] > '~') abort();
        return;
    }
    folder_touch(&m->token_embd);
    folder_touch(&m->output_norm);
    folder_touch(&m->output);
    for (int l = 0; l < m->shape.n_layer; l++)
        for (size_t i = 0; i < sizeof m->layer[l] / sizeof(struct kv_tensor); i++)
            folder_touch((const struct kv_tensor *)&m->layer[l] + i);
    for (int i = 0; i < m->n_end; i++)
        if (m->end[i] < 0 || m->end[i] >= m->shape.n_vocab) abort();
    kv_model_close(m);
}

#endif
