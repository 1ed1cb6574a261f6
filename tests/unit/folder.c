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

/* The three parts that llama-gguf-split made of a file, opened by each of them. */
static void parts(void)
{
    struct npy ids = { 0 };
    struct kv_model *whole = open_model("qwen2-f16.gguf");
    struct kv_engine *e = whole && read_golden("ids", NPY_I4, &ids) ? prefill(whole, &ids, true) : NULL;
    float *want = e ? all_logits(e) : NULL;
    for (int i = 1; i <= 3 && want; i++) {
        char file[64];
        snprintf(file, sizeof file, "qwen2-f16-%05d-of-00003.gguf", i);
        struct kv_model *model = open_model(file);
        struct kv_engine *other = model ? prefill(model, &ids, true) : NULL;
        float *have = other ? all_logits(other) : NULL;
        if (have) CHECK(!memcmp(have, want, ids.count * 96 * sizeof *have), "%s: other logits", file);
        if (model)
            CHECK(model->n_file == 3 && model->weight_bytes == whole->weight_bytes, "%s: not all of it", file);
        free(have);
        kv_engine_close(other);
        kv_model_close(model);
    }
    free(want);
    kv_engine_close(e);
    kv_model_close(whole);
    npy_free(&ids);
}

static const char *made(const char *dir, const char *name, const char *from)
{
    static char path[300];
    char *real, golden[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    if (!from) return path;
    snprintf(golden, sizeof golden, GOLDEN "%s", from);
    real = realpath(golden, NULL);
    CHECK(real && !symlink(real, path), "%s cannot be linked", golden);
    free(real);
    return path;
}

/* A part that is missing or of another model. */
static void bad_parts(void)
{
    static const char *const part[] = { "qwen2-f16-00001-of-00003.gguf", "qwen2-f16-00002-of-00003.gguf",
        "qwen2-f16-00003-of-00003.gguf" };
    const struct {
        const char *second, *third, *says; /* what stands in their place; NULL = nothing */
    } rows[] = {
        { NULL, part[2], "Part 2 of 3: Model file" },
        { part[1], NULL, "Part 3 of 3: Model file" },
        { part[2], part[2], "is part 3 of 3 of a model of 26 tensors, expected part 2 of 3" },
        { part[0], part[2], "is part 1 of 3 of a model of 26 tensors, expected part 2 of 3" },
        { "llama-f32.gguf", part[2], "is part 1 of 1 of a model of 21 tensors, expected part 2 of 3 of 26" },
        { "llama-f32/config.json", part[2], "Part 2 of 3: This is no GGUF file" },
        { "llama-f32", part[2], "Part 2 of 3:" },
    };
    char dir[] = "/tmp/kvdbg-parts-XXXXXX";
    struct kv_model *model = NULL;
    REQUIRE(mkdtemp(dir), "no temporary folder");
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        made(dir, part[1], rows[i].second);
        made(dir, part[2], rows[i].third);
        enum kv_status status = kv_model_open(made(dir, part[0], part[0]), &model, &err);
        CHECK(status == KV_IO || status == KV_BAD_FILE, "row %zu opened", i);
        CHECK(strstr(err.text, rows[i].says), "row %zu: %s", i, err.text);
    }
    CHECK(kv_model_open(made(dir, "alone.gguf", part[0]), &model, &err) == KV_BAD_FILE &&
              strstr(err.text, "is not named NAME-00001-of-00003.gguf"),
        "%s", err.text);
    made(dir, "alone.gguf", NULL);
    for (size_t i = 0; i < KV_COUNT(part); i++) made(dir, part[i], NULL);
    rmdir(dir);
}

static void llama(void) { parity("llama-f32"); }
static void mistral(void) { parity("mistral-bf16"); }
static void qwen2(void) { parity("qwen2-f16"); }
static void qwen3(void) { parity("qwen3-bf16"); }

static const struct tap_case cases[] = {
    { "llama, F32, one file", llama },
    { "mistral, BF16, two files, a window shorter than the prompt", mistral },
    { "qwen2, F16, biases, a tied head", qwen2 },
    { "a GGUF file in three parts", parts },
    { "parts that are missing or of another model", bad_parts },
    { "qwen3, BF16, norms of heads, YaRN beyond its first context", qwen3 },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
