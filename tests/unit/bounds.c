/* Bounds of what a policy can save, against figures worked out by hand for the paper's two models in 16 bits. */
#include "engine/bytes.h"
#include "engine/model/model.h"
#include "tests/tap.h"

/* Qwen3-4B: 36 layers, 8 KV heads of 128, 4.02 G weights, tied. Mistral-7B: 32 layers, 7.24 G weights, of which 131 M
 * are an embedding of its own. */
static const struct kv_footprint qwen = { 8.04e9, 8.04e9, 147456, 0, 0 };
static const struct kv_footprint mistral = { 14.48e9, 14.48e9, 131072, 0, 0 };

static void near(double got, double want, double within, const char *what)
{
    CHECK(fabs(got - want) <= within, "%s: %g, must be %g", what, got, want);
}

/* -4.18 % of weights and cache: a kept share of 0.40 at 4k, 0.68 at 8k, 0.82 at 16k, 0.89 at 32k, none at 2k. */
static void memory_headline(void)
{
    static const double share[][2] = { { 4096, 0.40 }, { 8192, 0.68 }, { 16384, 0.82 }, { 32768, 0.89 } };
    for (size_t i = 0; i < KV_COUNT(share); i++) {
        double cache = kv_cache_bytes(&qwen, share[i][0]), kept = kv_kept_for(qwen.weights, cache, KV_PAPER_MEMORY);
        near(kept, share[i][1], 0.005, "kept share");
        near(kv_saved(qwen.weights, cache, kept), KV_PAPER_MEMORY, 1e-12, "and back");
    }
    CHECK(kv_kept_for(qwen.weights, kv_cache_bytes(&qwen, 2048), KV_PAPER_MEMORY) < 0, "possible at 2,048 tokens");
}

/* All KV is 3.6 % of decode's bytes at 4k, 6.9 % at 8k, 22.9 % at 32k; -46.6 % needs about 96,000 tokens. */
static void time_headline(void)
{
    static const double share[][2] = { { 4096, 0.036 }, { 8192, 0.069 }, { 32768, 0.229 } };
    for (size_t i = 0; i < KV_COUNT(share); i++)
        near(kv_saved(mistral.read, kv_cache_bytes(&mistral, share[i][0]), 0), share[i][1], 5e-4, "share of KV");
    double tokens = kv_tokens_for(&mistral, KV_PAPER_TIME, 0);
    near(tokens, 96e3, 1e3, "batch x context");
    near(kv_saved(mistral.read, kv_cache_bytes(&mistral, tokens), 0), KV_PAPER_TIME, 1e-12, "and back");
    near(kv_tokens_for(&mistral, KV_PAPER_TIME, 0.1), 110477 * 0.466 / 0.434, 200, "at a tenth");
    CHECK(isinf(kv_tokens_for(&mistral, KV_PAPER_TIME, 0.6)), "possible when 60 %% is kept");
}

static void windows(void)
{
    struct kv_footprint f = mistral;
    f.window = 4096, f.sliding = 1;
    near(kv_cache_bytes(&f, 1000), 131072e3, 0, "within the window");
    near(kv_cache_bytes(&f, 32768), 131072.0 * 4096, 0, "beyond the window");
    f.sliding = 0.5;
    near(kv_cache_bytes(&f, 8192), 131072.0 * (0.5 * 4096 + 0.5 * 8192), 0, "a window in half of the layers");
}

static struct kv_engine *open_engine(const char *path, struct kv_model **m)
{
    struct kv_engine *e = NULL;
    struct kv_error err;
    *m = NULL;
    if (kv_model_open(path, m, &err) || kv_engine_open(*m, &e, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    return e;
}

static void set(struct kv_engine *e, const char *name, const char *value)
{
    struct kv_error err;
    CHECK(!kv_set(e, &name, &value, 1, &err), "%s", err.text);
}

/* A model's own numbers: 3 layers, 4 query and 2 KV heads of 16, 64 wide, FFN 128, 320 tokens, f32. */
static void footprint(void)
{
    struct kv_model *m;
    struct kv_footprint f;
    struct kv_engine *e = open_engine("synthetic:tiny", &m);
    if (!e) return;
    double layer = 2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128, embd = 320 * 64;
    kv_footprint(e, false, &f);
    near(f.weights, 4 * (3 * layer + 64 + 2 * embd), 0, "weights as stored");
    near(f.weights, 608000, 0, "weights as the model counts them");
    near(f.read, f.weights - 4 * embd, 0, "a decode step reads no table of embeddings");
    near(f.token, 2 * 3 * 2 * 16 * 2, 0, "KV bytes a token");
    set(e, "engine.precision", "f32");
    kv_footprint(e, false, &f);
    near(f.token, 2 * 3 * 2 * 16 * 4, 0, "KV bytes a token in f32");
    kv_footprint(e, true, &f);
    near(f.weights, 304000, 0, "weights in 16 bits");
    near(f.token, 2 * 3 * 2 * 16 * 2, 0, "KV bytes a token in 16 bits");
    kv_engine_close(e);
    kv_model_close(m);
    if (!(e = open_engine("synthetic:tiny-sliding", &m))) return;
    kv_footprint(e, false, &f);
    CHECK(
        f.window == 16 && fabs(f.sliding - 2.0 / 3) < 1e-12, "window %d in %g of the layers", f.window, f.sliding);
    set(e, "engine.sliding", "off");
    kv_footprint(e, false, &f);
    CHECK(!f.window && kv_cache_bytes(&f, 100) == f.token * 100, "the window is off");
    kv_engine_close(e);
    kv_model_close(m);
}

/* What is said before a request beside what it has taken at its end. */
static void wanted(void)
{
    struct kv_model *m;
    struct kv_error err;
    struct kv_wanted w;
    struct kv_memory is;
    int32_t ids[300];
    struct kv_engine *e = open_engine("synthetic:tiny", &m);
    if (!e) return;
    for (int i = 0; i < 300; i++) ids[i] = i % 256;
    CHECK(kv_wanted(e, &w, &err) == KV_NOT_NOW, "no prompt");
    set(e, "decode.tokens", "20");
    set(e, "policy.ratio", "0.5");
    struct kv_where at = { 0 };
    bool fine = !kv_prompt_ids(e, ids, 300, NULL, 0, &err) && !kv_wanted(e, &w, &err) && !kv_start(e, &err);
    for (kv_where(e, &at); fine && at.phase < KV_PHASE_decode; kv_where(e, &at))
        fine = !kv_step(e, KV_UNIT_PHASE, &err);
    CHECK(fine, "%s", err.text);
    kv_memory(e, &is);
    CHECK(w.weights == is.weights, "weights %zu and %zu", w.weights, is.weights);
    near((double)w.resident / (double)is.resident, 1, 0.02, "resident");
    near((double)w.active / (double)is.active, 1, 0.05, "active");
    near((double)w.stats / (double)is.stats, 1, 0.05, "statistics");
    CHECK(w.scratch <= is.scratch, "scratch %zu and %zu", w.scratch, is.scratch);
    CHECK(w.own == w.resident + w.active + w.stats + w.scratch, "the sum");
    kv_engine_close(e);
    kv_model_close(m);
}

/* A context so long that no machine has the cache of a reply that fills it. */
static void too_much(void)
{
    struct kv_model *m;
    struct kv_error err = { 0 };
    int32_t ids[4] = { 1, 2, 3, 4 };
    struct kv_engine *e = open_engine("synthetic:tiny", &m);
    if (!e) return;
    int heads = m->shape.n_kv_head, context = m->shape.n_context;
    m->shape.n_context = 1 << 20;
    m->shape.n_kv_head = 1 << 14;
    set(e, "decode.tokens", "1000000");
    CHECK(!kv_prompt_ids(e, ids, 4, NULL, 0, &err), "%s", err.text);
    if (!kv_memory_free()) SKIP("this machine does not say how much memory is free");
    CHECK(kv_start(e, &err) == KV_NO_MEMORY, "status %d", err.code);
    CHECK(strstr(err.text, "This request takes 29") && strstr(err.text, "GiB are free; a shorter prompt"), "%s",
        err.text);
    CHECK(!kv_started(e), "a refused request has started");
    m->shape.n_context = context;
    m->shape.n_kv_head = heads;
    set(e, "decode.tokens", "4");
    CHECK(!kv_start(e, &err), "%s", err.text);
    kv_engine_close(e);
    kv_model_close(m);
}

static const struct tap_case cases[] = {
    { "memory of Qwen3-4B: what -4.18 % takes", memory_headline },
    { "decode of Mistral-7B: what -46.6 % takes", time_headline },
    { "a sliding window caps the cache", windows },
    { "bytes of a model's own", footprint },
    { "bytes of a request before it runs, and after", wanted },
    { "a request that cannot fit is refused with numbers", too_much },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
