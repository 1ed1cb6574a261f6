/* What the tests of a whole request share: engines on the tiny synthetic model with a story as their prompt. */
#ifndef TEST_ENGINE_STORY_H
#define TEST_ENGINE_STORY_H

#include "engine/engine.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>

#define MODEL  "synthetic:tiny"
#define LAYERS 3
#define HEADS  4

static struct kv_error err;
static struct kv_model *model;

static inline bool set(struct kv_engine *e, const char *name, const char *value)
{
    return request_put(e, name, value, &err);
}

/* An engine in f32 with the story as its prompt; NULL and a failed test when that cannot be had. */
static inline struct kv_engine *open_engine(const char *question)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "12", "engine.segment", "32",
        NULL };
    const struct request r = { MODEL, question, base, NULL, true, KV_PHASE_load };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e, "%s", err.text);
    return e;
}

static inline bool run_to(struct kv_engine *e, enum kv_phase phase, enum kv_unit unit)
{
    struct kv_where at;
    if (!kv_started(e) && kv_start(e, &err)) return false;
    for (kv_where(e, &at); at.phase < phase; kv_where(e, &at))
        if (kv_step(e, unit, &err)) return false;
    return true;
}

/* A copy of a value's bytes, for comparing across runs; freed by the caller. */
static inline void *copy_value(struct kv_engine *e, const char *name, size_t *bytes)
{
    static const size_t size[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    struct kv_array a;
    *bytes = 0;
    if (kv_value(e, name, &a, &err)) return NULL;
    *bytes = size[a.type];
    for (int i = 0; i < a.n_dim; i++) *bytes *= a.dim[i];
    void *copy = malloc(*bytes + 1);
    memcpy(copy, a.data, *bytes);
    return copy;
}

/* Whether two engines agree on a value to the last bit. */
static inline bool same_value(struct kv_engine *a, struct kv_engine *b, const char *name)
{
    size_t n, m;
    void *x = copy_value(a, name, &n), *y = copy_value(b, name, &m);
    bool same = x && y && n && n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

static inline int count(struct kv_engine *e, const char *name)
{
    struct kv_array a;
    return kv_value(e, name, &a, &err) ? -1 : (int)a.dim[0];
}

/* A program's tests, with the model that they have opened closed behind them. */
static inline int run_cases(int argc, char **argv, const struct tap_case *cases, size_t n)
{
    int status = tap_main(argc, argv, cases, n);
    kv_model_close(model);
    return status;
}

#endif
