/* Hugging Face folders against transformers, and against the GGUF files that llama.cpp's converter makes of them:
 * tests/golden/hf/, written by tests/oracle/hf_golden.py. Precision f32.
 *
 * engine/state.h is opened for the logits of every row of a pass, which a user cannot ask for. */
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define GOLDEN "tests/golden/hf/"

static const double logit_tolerance = 2e-3, entropy_tolerance = 1e-4;
static struct kv_error err;

static bool read_golden(const char *name, enum npy_type type, struct npy *out)
{
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    CHECK(!npy_read(path, out, &err) && out->type == type, "%s: %s", path, err.text);
    return out->data && out->type == type;
}

static struct kv_model *open_model(const char *name)
{
    char path[256];
    struct kv_model *model = NULL;
    snprintf(path, sizeof path, GOLDEN "%s", name);
    CHECK(!kv_model_open(path, &model, &err), "%s: %s", path, err.text);
    return model;
}

/* The prompt, read in one pass; NULL fails the case. */
static struct kv_engine *prefill(const struct kv_model *model, const struct npy *ids, bool sliding)
{
    static const char *const name[] = { "engine.backend", "engine.precision", "engine.segment", "engine.sliding" };
    const char *const value[] = { "cpu", "f32", "64", sliding ? "model" : "off" };
    struct kv_engine *e = NULL;
    enum kv_status status = kv_engine_open(model, &e, &err);
    if (!status) status = kv_set(e, name, value, KV_COUNT(name), &err);
    if (!status) status = kv_prompt_ids(e, ids->i4, (int)ids->count, NULL, 0, &err);
    if (!status) status = kv_start(e, &err);
    if (!status) status = kv_step(e, KV_UNIT_PASS, &err);
    CHECK(!status, "%s", err.text);
    if (!status) return e;
    kv_engine_close(e);
    return NULL;
}

/* [rows][n_vocab] of the pass that has just been run, for the caller to free; NULL fails the case. */
static float *all_logits(struct kv_engine *e)
{
    const struct machine *m = &e->machine;
    size_t n_vocab = (size_t)e->model->shape.n_vocab;
    float *logits = kv_alloc((size_t)e->pass.n * n_vocab, sizeof *logits);
    enum kv_status status = logits ? KV_OK : KV_NO_MEMORY;
    for (int row = 0; row < e->pass.n && !status; row += LOGIT_ROWS) {
        int n = e->pass.n - row < LOGIT_ROWS ? e->pass.n - row : LOGIT_ROWS;
        status = pass_head(&e->pass, row, n, 0, &err);
        if (!status)
            status = m->be->read(
                m->ctx, logits + (size_t)row * n_vocab, m->logits, (size_t)n * n_vocab * sizeof *logits, &err);
    }
    CHECK(!status, "%s", err.text);
    return logits;
}

static double farthest(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static void check_entropy(struct kv_engine *e, const char *name, const struct npy *want)
{
    struct kv_array have;
    double worst = 0;
    REQUIRE(!kv_value(e, "entropy", &have, &err), "%s", err.text);
    REQUIRE(have.type == KV_F64 && have.dim[0] * have.dim[1] == want->count, "%s: shape of the entropies", name);
    for (size_t i = 0; i < want->count; i++) {
        double d = fabs(((const double *)have.data)[i] - (double)want->f4[i]);
        if (!(d <= worst)) worst = d;
    }
    CHECK(worst <= entropy_tolerance, "%s: entropies off by %g nats", name, worst);
    printf("# %s: entropies within %.2e nats\n", name, worst);
}

/* The folder against transformers, then the GGUF file against the folder, bit for bit. */
static void parity(const char *name)
{
    char file[64];
    struct npy ids = { 0 }, logits = { 0 }, entropy = { 0 };
    struct kv_engine *e = NULL, *twin = NULL;
    float *have = NULL, *same = NULL;
    snprintf(file, sizeof file, "%s.gguf", name);
    struct kv_model *folder = open_model(name), *gguf = open_model(file);
    snprintf(file, sizeof file, "%s.logits", name);
    bool ready = read_golden("ids", NPY_I4, &ids) && read_golden(file, NPY_F4, &logits);
    snprintf(file, sizeof file, "%s.entropy", name);
    ready = ready && read_golden(file, NPY_F4, &entropy) && folder && gguf;
    if (ready && (e = prefill(folder, &ids, true)) && (have = all_logits(e))) {
        double worst = farthest(have, logits.f4, logits.count);
        CHECK(worst <= logit_tolerance, "%s: logits off by %g", name, worst);
        printf("# %s: logits within %.2e\n", name, worst);
        check_entropy(e, name, &entropy);
    }
    /* The converter writes no window for the llama family: without one on either side they are the same. */
    if (have && folder->shape.sliding_window) {
        CHECK(!gguf->shape.sliding_window, "%s: the GGUF file has a window after all", name);
        free(have);
        kv_engine_close(e);
        have = (e = prefill(folder, &ids, false)) ? all_logits(e) : NULL;
    }
    if (have && (twin = prefill(gguf, &ids, true)) && (same = all_logits(twin)))
        CHECK(!memcmp(have, same, logits.count * sizeof *have), "%s: the GGUF file is off by %g", name,
            farthest(have, same, logits.count));
    free(have);
    free(same);
    kv_engine_close(e);
    kv_engine_close(twin);
    kv_model_close(folder);
    kv_model_close(gguf);
    npy_free(&ids);
    npy_free(&logits);
    npy_free(&entropy);
}

static void llama(void) { parity("llama-f32"); }
static void mistral(void) { parity("mistral-bf16"); }
static void qwen2(void) { parity("qwen2-f16"); }
static void qwen3(void) { parity("qwen3-bf16"); }

static const struct tap_case cases[] = {
    { "llama, F32, one file", llama },
    { "mistral, BF16, two files, a window shorter than the prompt", mistral },
    { "qwen2, F16, biases, a tied head", qwen2 },
    { "qwen3, BF16, norms of heads, YaRN beyond its first context", qwen3 },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
