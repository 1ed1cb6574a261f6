/* Every architecture, RoPE scaling and odd shape against Hugging Face transformers, precision f32: the tiny models of
 * tests/golden/models/, whose weights are a function of their names; tests/oracle/tiny_models.py says how, and makes
 * the same models as files.
 *
 *     models [--backend NAME] [CASE]
 *     models --file MODEL CASE RUN DUMP
 * The second reads the model from a file or folder and writes all logits and entropies into DUMP.logits.npy and
 * DUMP.entropy.npy, for tests/oracle/tiny_parity.py. RUN: model (as it is), off (no sliding window) or kept (the
 * reply reads sinks and recent tokens only). */
#include "engine/model/gguf.h"
#include "engine/state.h"
#include "tests/lib/gguf_writer.h"
#include "tests/lib/npy.h"
#include "tests/tap.h"

#include <stdlib.h>

#define GOLDEN  "tests/golden/models/"
#define MOST    512 /* tokens of a prompt */
#define REPLY   16
#define NUMBERS 1024 /* of a line */
#define EVERY   4    /* columns between two that a golden states */
#define MODELS(X)                                                                                                  \
    X(smollm2, "smollm2")                                                                                          \
    X(llama3, "llama3")                                                                                            \
    X(llama_linear, "llama-linear")                                                                                \
    X(llama_bias, "llama-bias")                                                                                    \
    X(mistral, "mistral")                                                                                          \
    X(mistral_wide, "mistral-wide")                                                                                \
    X(qwen2, "qwen2")                                                                                              \
    X(qwen2_yarn, "qwen2-yarn")                                                                                    \
    X(qwen2_yarn_stated, "qwen2-yarn-stated")                                                                      \
    X(qwen2_window, "qwen2-window")                                                                                \
    X(qwen3, "qwen3")                                                                                              \
    X(qwen3_yarn, "qwen3-yarn")                                                                                    \
    X(qwen3_256, "qwen3-256")                                                                                      \
    X(qwen3_layers, "qwen3-layers")                                                                                \
    X(qwen3_bias, "qwen3-bias")

static const double logit_tolerance = 2e-3, entropy_tolerance = 1e-4, score_tolerance = 1e-4;
static const char *backend = "cpu";
static struct kv_error err;

/* What a golden has said so far, and what the engine answered in the run that it is at. */
static struct {
    struct gw file;
    struct {
        char name[96];
        float base, scale;
        float value[KV_ROPE_PAIRS]; /* where they are stated one by one */
        int n_value;
    } fill[KV_COUNT(((struct gw *)0)->tensor)];
    int32_t prompt[MOST], reply[REPLY], vocabulary[REPLY];
    int n_prompt, n_reply, n_vocabulary;
    struct kv_model *model;
    void *bytes;
    float *logits;            /* [n_prompt + n_reply][n_vocab] */
    float *entropy, *columns; /* [L][H][n_prompt] */
    double worst_logit, worst_entropy, worst_column;
} t;

/* --- the model -------------------------------------------------------------------------------------------------- */

/* [-1, 1) in steps of 2^-23: splitmix64 of FNV-1a of the name and the place. */
static float unit(const char *name, size_t i)
{
    uint64_t z = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) z = (z ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    z += (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (float)((int64_t)(z >> 40) - (1 << 23)) * 0x1p-23F;
}

static bool open_made(void)
{
    size_t size, header;
    uint8_t *data = gw_write(&t.file, &size, &header);
    t.bytes = data;
    data += (header + t.file.alignment - 1) / t.file.alignment * t.file.alignment;
    for (size_t i = 0; i < t.file.n_tensor; i++) {
        const struct gw_tensor *tensor = &t.file.tensor[i];
        float *to = (float *)(void *)(data + tensor->offset);
        for (size_t k = 0; k < tensor->bytes / sizeof *to; k++)
            to[k] =
                t.fill[i].n_value ? t.fill[i].value[k] : t.fill[i].base + t.fill[i].scale * unit(tensor->name, k);
    }
    return !kv_model_open_memory(t.bytes, size, &t.model, &err);
}

/* --- a run ------------------------------------------------------------------------------------------------------ */

static enum kv_status begin(struct kv_engine **out, const char *run)
{
    bool kept = !strcmp(run, "kept");
    const char *const name[] = { "engine.backend", "engine.precision", "engine.segment", "engine.sliding",
        "decode.tokens", "policy.preset", "policy.sinks", "policy.recent", "policy.unseen", "policy.tokens" };
    const char *const value[] = { backend, "f32", "64", strcmp(run, "off") ? "model" : "off", "100", "uniform", "4",
        "32", "keep", "36" };
    enum kv_status status = kv_engine_open(t.model, out, &err);
    if (!status) status = kv_set(*out, name, value, KV_COUNT(name) - !kept, &err);
    if (!status && !kept) status = kv_set(*out, &(const char *){ "policy.ratio" }, &(const char *){ "1" }, 1, &err);
    if (!status) status = kv_prompt_ids(*out, t.prompt, t.n_prompt, NULL, 0, &err);
    if (!status) status = kv_start(*out, &err);
    if (status) return status;
    tok_close((*out)->tok); /* a given reply goes on behind an end */
    (*out)->tok = NULL;
    return KV_OK;
}

/* Logits of every row of the pass that has just been run. */
static enum kv_status take_rows(struct kv_engine *e, float *to)
{
    const struct machine *m = &e->machine;
    size_t n_vocab = (size_t)t.model->shape.n_vocab;
    enum kv_status status = KV_OK;
    for (int row = 0; row < e->pass.n && !status; row += LOGIT_ROWS) {
        int n = e->pass.n - row < LOGIT_ROWS ? e->pass.n - row : LOGIT_ROWS;
        status = pass_head(&e->pass, row, n, 0, &err);
        if (!status)
            status =
                m->be->read(m->ctx, to + (size_t)row * n_vocab, m->logits, (size_t)n * n_vocab * sizeof *to, &err);
    }
    return status;
}

static float *copy_value(struct kv_engine *e, const char *name)
{
    struct kv_array a;
    if (kv_value(e, name, &a, &err)) return NULL;
    size_t count = a.dim[0] * a.dim[1] * a.dim[2];
    float *copy = kv_alloc(count, sizeof *copy);
    if (copy) memcpy(copy, a.data, count * sizeof *copy);
    return copy;
}

static enum kv_status run(const char *name)
{
    struct kv_engine *e = NULL;
    struct kv_where at;
    size_t n_vocab = (size_t)t.model->shape.n_vocab;
    free(t.logits), free(t.entropy), free(t.columns);
    t.entropy = t.columns = NULL;
    t.logits = kv_alloc((size_t)(t.n_prompt + t.n_reply) * n_vocab, sizeof *t.logits);
    enum kv_status status = t.logits ? begin(&e, name) : kv_fail(&err, KV_NO_MEMORY, "No memory for logits.");
    for (int row = 0; !status && (kv_where(e, &at), at.phase == KV_PHASE_prefill); row += 64) {
        status = kv_step(e, KV_UNIT_PASS, &err);
        if (!status) status = take_rows(e, t.logits + (size_t)row * n_vocab);
    }
    if (!status && !(t.entropy = copy_value(e, "entropy_q"))) status = err.code;
    if (!status && !(t.columns = copy_value(e, "columns"))) status = err.code;
    while (!status && (kv_where(e, &at), at.phase == KV_PHASE_compress)) status = kv_step(e, KV_UNIT_PASS, &err);
    for (int i = 0; i < t.n_reply && !status; i++) {
        e->run.reply[e->run.n_reply - 1] = t.reply[i];
        status = kv_step(e, KV_UNIT_PASS, &err);
        if (!status) status = engine_logits(e, &err);
        memcpy(t.logits + (size_t)(t.n_prompt + i) * n_vocab, e->logits, n_vocab * sizeof *t.logits);
    }
    kv_engine_close(e);
    return status;
}

/* --- the lines of a golden -------------------------------------------------------------------------------------- */

static int numbers(char *text, double *out)
{
    int n = 0;
    for (char *end; n < NUMBERS; text = end) {
        out[n] = strtod(text, &end);
        if (end == text) break;
        n++;
    }
    return n;
}

static int take_ids(char *text, int32_t *out, int most)
{
    static double v[NUMBERS];
    int n = numbers(text, v);
    for (int i = 0; i < n && i < most; i++) out[i] = (int32_t)v[i];
    return n < most ? n : most;
}

static void widen(double *worst, double d)
{
    if (!isnan(*worst) && !(d <= *worst)) *worst = d;
}

static void check_logits(const double *v, int n)
{
    size_t n_vocab = (size_t)t.model->shape.n_vocab;
    REQUIRE(n == 2 + t.n_vocabulary && v[0] >= 0 && v[0] < t.n_prompt + t.n_reply, "a line of logits is cut");
    const float *row = t.logits + (size_t)v[0] * n_vocab;
    double top = (double)row[0], sum = 0;
    for (size_t i = 1; i < n_vocab; i++) top = fmax(top, (double)row[i]);
    for (size_t i = 0; i < n_vocab; i++) sum += exp((double)row[i] - top);
    double worst = fabs(top + log(sum) - v[1]);
    for (int i = 0; i < t.n_vocabulary; i++) widen(&worst, fabs((double)row[t.vocabulary[i]] - v[2 + i]));
    widen(&t.worst_logit, worst);
    CHECK(worst <= logit_tolerance, "logits of row %g off by %g", v[0], worst);
}

static void check_entropy(const double *v, int n)
{
    int heads = t.model->shape.n_head;
    REQUIRE(n == 2 + heads && v[0] < t.model->shape.n_layer && v[1] < t.n_prompt, "a line of entropies is cut");
    double worst = 0;
    for (int h = 0; h < heads; h++) {
        size_t at = (size_t)((int)v[0] * heads + h) * (size_t)t.n_prompt + (size_t)v[1];
        widen(&worst, fabs((double)t.entropy[at] - v[2 + h]));
    }
    widen(&t.worst_entropy, worst);
    CHECK(worst <= entropy_tolerance, "entropy of layer %g row %g off by %g nats", v[0], v[1], worst);
}

static void check_columns(const double *v, int n)
{
    int heads = t.model->shape.n_head;
    REQUIRE(n == 1 + (t.n_prompt + EVERY - 1) / EVERY && v[0] < t.model->shape.n_layer, "a line of columns is cut");
    double worst = 0;
    for (int j = 0; j < t.n_prompt; j += EVERY) {
        double sum = 0, want = v[1 + j / EVERY];
        for (int h = 0; h < heads; h++)
            sum += (double)t.columns[(size_t)((int)v[0] * heads + h) * (size_t)t.n_prompt + (size_t)j];
        widen(&worst, fabs(sum - want) / (1e-4 + want));
    }
    widen(&t.worst_column, worst);
    CHECK(worst <= score_tolerance, "column sums of layer %g off by a share of %g", v[0], worst);
}

static void add_tensor(const char *name, const double *v, int n, bool stated)
{
    size_t i = t.file.n_tensor;
    REQUIRE(i < KV_COUNT(t.fill) && n >= (stated ? 1 : 4), "tensor %s is cut", name);
    if (!t.file.alignment) t.file.alignment = GGUF_DEFAULT_ALIGNMENT, t.file.version = 3;
    gw_add(&t.file, name, KV_TYPE_F32, stated ? (uint64_t)n : (uint64_t)v[0], stated ? 1 : (uint64_t)v[1]);
    if (!stated) t.fill[i].base = (float)v[2], t.fill[i].scale = (float)v[3];
    for (int k = 0; stated && k < n && k < KV_ROPE_PAIRS; k++) t.fill[i].value[k] = (float)v[k];
    t.fill[i].n_value = stated ? n : 0;
}

static void add_flags(const char *name, const double *v, int n)
{
    uint8_t value[12 + NUMBERS] = { GGUF_BOOL, 0, 0, 0, (uint8_t)n };
    for (int i = 0; i < n; i++) value[12 + i] = v[i] != 0;
    gw_raw(&t.file, name, GGUF_ARRAY, value, 12 + (size_t)n);
}

/* A key or tensor of the model: "WORD NAME REST". */
static void take_part(const char *word, const char *name, char *rest)
{
    static double v[NUMBERS];
    int n = numbers(rest, v);
    if (!strcmp(word, "text")) gw_text(&t.file, name, rest);
    if (!strcmp(word, "u32")) gw_number(&t.file, name, GGUF_U32, (uint64_t)v[0]);
    if (!strcmp(word, "f32")) gw_float(&t.file, name, (float)v[0]);
    if (!strcmp(word, "bools")) add_flags(name, v, n);
    if (!strcmp(word, "tensor")) add_tensor(name, v, n, false);
    if (!strcmp(word, "values")) add_tensor(name, v, n, true);
}

static void take_run(const char *name)
{
    if (!t.model && !open_made()) tap_fail(__FILE__, __LINE__, "%s", err.text);
    if (!tap_state.failed && run(name)) tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void take_line(char *line, bool compare)
{
    static double v[NUMBERS];
    char *rest = line + strcspn(line, " "), *tail;
    if (*rest) *rest++ = '\0';
    tail = rest + strcspn(rest, " ");
    if (!strcmp(line, "prompt"))
        t.n_prompt = take_ids(rest, t.prompt, MOST);
    else if (!strcmp(line, "reply"))
        t.n_reply = take_ids(rest, t.reply, REPLY);
    else if (!strcmp(line, "vocabulary"))
        t.n_vocabulary = take_ids(rest, t.vocabulary, REPLY);
    else if (!compare)
        return;
    else if (!strcmp(line, "run"))
        take_run(rest);
    else if (!strcmp(line, "logits"))
        check_logits(v, numbers(rest, v));
    else if (!strcmp(line, "entropy"))
        check_entropy(v, numbers(rest, v));
    else if (!strcmp(line, "columns"))
        check_columns(v, numbers(rest, v));
    else if (*line != '#' && *tail)
        *tail = '\0', take_part(line, rest, tail + 1);
}

static void read_golden(const char *name, bool compare)
{
    static char line[1 << 16];
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s.txt", name);
    FILE *f = fopen(path, "r");
    REQUIRE(f, "%s cannot be opened", path);
    while (fgets(line, sizeof line, f) && !tap_state.failed) {
        line[strcspn(line, "\n")] = '\0';
        take_line(line, compare);
    }
    fclose(f);
}

static void forget(void)
{
    kv_model_close(t.model);
    free(t.bytes), free(t.logits), free(t.entropy), free(t.columns);
    memset(&t, 0, sizeof t);
}

static void check(const char *name)
{
    forget();
    read_golden(name, true);
    CHECK(t.model, "the golden of %s has no run", name);
    printf("# %s: logits within %.1e, entropy %.1e nats, column sums %.1e\n", name, t.worst_logit, t.worst_entropy,
        t.worst_column);
    forget();
}

/* --- a file ----------------------------------------------------------------------------------------------------- */

static void dump(const char *prefix, const char *what, const float *data, const size_t dim[3])
{
    char path[512];
    struct npy_writer w;
    snprintf(path, sizeof path, "%s.%s.npy", prefix, what);
    enum kv_status status = npy_create(path, NPY_F4, dim[2] ? 3 : 2, dim, &w, &err);
    if (!status) status = npy_append(&w, data, dim[0] * dim[1] * (dim[2] ? dim[2] : 1), &err);
    if (!status) status = npy_close(&w, &err);
    if (status) tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static int dump_file(const char *path, const char *name, const char *how, const char *prefix)
{
    read_golden(name, false);
    if (!tap_state.failed && kv_model_open(path, &t.model, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    if (!tap_state.failed) take_run(how);
    if (!tap_state.failed) {
        const struct kv_shape *s = &t.model->shape;
        const size_t rows = (size_t)(t.n_prompt + t.n_reply), layers = (size_t)s->n_layer;
        dump(prefix, "logits", t.logits, (const size_t[3]){ rows, (size_t)s->n_vocab, 0 });
        dump(prefix, "entropy", t.entropy, (const size_t[3]){ layers, (size_t)s->n_head, (size_t)t.n_prompt });
    }
    if (tap_state.failed) fprintf(stderr, "%s: %s\n", path, tap_state.text);
    forget();
    return tap_state.failed;
}

#define X(id, name)                                                                                                \
    static void case_##id(void) { check(name); }
MODELS(X)
#undef X

#define X(id, name) { name, case_##id },
static const struct tap_case cases[] = { MODELS(X) };
#undef X

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--backend")) backend = argv[2], argc -= 2, argv += 2;
    if (argc == 6 && !strcmp(argv[1], "--file")) return dump_file(argv[2], argv[3], argv[4], argv[5]);
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
