/* libFuzzer target: any bytes as a core file. What opens must answer every question to its last element; what does not
 * must leave one sentence.
 *
 * An input that begins with 'R' is a file behind that byte; of any other the first line is the header, whose length word
 * is put before it, and the rest the data, so that mutations of the header reach what is behind it. Seeds:
 * tests/fuzz/core_seeds.c writes them. Built from this file and the engine's core, text and value files with
 * -DKV_HAVE_CJSON; the rest of the engine is linked as it is. */
#include "engine/core.h"
#include "engine/edit.h"
#include "engine/look.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void check_sentence(const struct kv_error *err, enum kv_status status)
{
    size_t n = strlen(err->text);
    if (err->code != status || n < 10 || err->text[n - 1] != '.') abort();
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)err->text[i] < ' ' || (unsigned char)err->text[i] > '~') abort();
}

static void touch(const struct kv_array *a)
{
    static const size_t each[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    size_t bytes = each[a->type];
    for (int d = 0; d < a->n_dim; d++) bytes *= a->dim[d];
    for (size_t i = 0; i < bytes; i++) sink += ((const uint8_t *)a->data)[i];
}

static void ask_tokens(struct kv_engine *e, const char *name)
{
    struct kv_array a;
    struct kv_error err;
    if (kv_value(e, name, &a, &err)) return;
    size_t n;
    for (size_t i = 0; i < a.dim[0]; i++) sink += kv_token_bytes(e, ((const int32_t *)a.data)[i], &n) ? n : 0;
    free(kv_tokens_text(e, a.data, (int)a.dim[0]));
}

static void ask(struct kv_engine *e, const struct kv_model_facts *f)
{
    struct kv_error err = { 0 };
    struct kv_array a;
    struct kv_verdict verdict;
    struct kv_where where;
    char text[500];
    float row[64];
    for (int i = 0; kv_value_name(i); i++) {
        enum kv_status status = kv_value(e, kv_value_name(i), &a, &err);
        if (status)
            check_sentence(&err, status);
        else
            touch(&a);
    }
    ask_tokens(e, "tok");
    ask_tokens(e, "reply");
    for (int l = 0; l < f->n_layer && l < 4; l++)
        for (int h = 0; h < f->n_head && h < 4; h++) {
            enum kv_status status = kv_attention(e, l, h, 0, 3, row, 16, &err);
            if (status) check_sentence(&err, status);
        }
    enum kv_status status = kv_twin(e, INT_MAX, &verdict, &err);
    if (status) check_sentence(&err, status);
    kv_where(e, &where);
    kv_describe(e, text, sizeof text);
    for (int l = 0; l < f->n_layer && l < 4; l++) {
        int32_t pos[16];
        int tokens = kv_cache_tokens(e, l), now;
        struct kv_cost cost[4];
        sink += (uint64_t)kv_cache_slots(e, l, 0, pos, 16) + (uint64_t)kv_pass_costs(e, cost, 4, &now);
        for (int i = 0; i < tokens && i < 8 && f->head_dim <= 64; i++)
            if ((status = kv_cache_rows(e, i & 1, l, 0, i, 1, row, &err))) check_sentence(&err, status);
    }
    sink += strlen(kv_policy_title(e, KV_POLICY_COMPRESSED, text, sizeof text));
    status = kv_step(e, KV_UNIT_STAGE, &err);
    if (status != KV_NOT_NOW || strcmp(err.text, KV_CORE_CANNOT_RUN)) abort();
    sink += where.tick + strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("core", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    bool raw = size && *data == 'R';
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    uint64_t length = line ? (uint64_t)(line - data) : size;
    if (ftruncate(fd, 0) || (!raw && pwrite(fd, &length, 8, 0) != 8)) abort();
    if (raw && pwrite(fd, data + 1, size - 1, 0) != (ssize_t)(size - 1)) abort();
    if (!raw && pwrite(fd, data, length, 8) != (ssize_t)length) abort();
    if (!raw && line &&
        pwrite(fd, line + 1, size - length - 1, (off_t)(8 + length)) != (ssize_t)(size - length - 1))
        abort();
    struct kv_error err = { 0 };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    enum kv_status status = kv_core_open(path, &model, &e, &err);
    if (status) {
        if (model || e) abort();
        check_sentence(&err, status);
        return 0;
    }
    struct kv_model_facts facts;
    kv_model_facts(model, &facts);
    ask(e, &facts);
    kv_engine_close(e);
    kv_model_close(model);
    return 0;
}
