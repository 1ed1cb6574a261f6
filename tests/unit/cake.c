/* CAKE's token score (selector cake): against attention rows of the small model, and transformers' on the default one
 * (tests/oracle/cake_golden.py). */
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MODEL  "models/smollm2-135m-instruct-q4_1.gguf"
#define WINDOW 32
#define KERNEL 5

static struct kv_error err;

/* Mean over the query heads of a KV head of what the last rows [rows][n] say before them, pooled. */
static void slow_score(struct kv_engine *e, int layer, int g, double gamma, double *score)
{
    int n = e->n, before = n - WINDOW, group = e->model->shape.n_head / e->model->shape.n_kv_head;
    float *row = kv_alloc((size_t)WINDOW * (size_t)n, sizeof *row);
    double *flat = kv_alloc((size_t)before, sizeof *flat);
    for (int j = 0; j < before; j++) score[j] = 0;
    for (int h = g * group; h < (g + 1) * group; h++) {
        CHECK(!kv_attention(e, layer, h, before, WINDOW, row, (size_t)n, &err), "%s", err.text);
        for (int j = 0; j < before; j++) {
            double mean = 0, square = 0;
            for (int i = 0; i < WINDOW; i++) mean += (double)row[i * n + j] / WINDOW;
            for (int i = 0; i < WINDOW; i++) square += pow((double)row[i * n + j] - mean, 2);
            flat[j] = mean + gamma * square / (WINDOW - 1);
        }
        for (int j = 0; j < before; j++)
            for (int k = j - KERNEL / 2; k <= j + KERNEL / 2; k++)
                if (k >= 0 && k < before) score[j] += flat[k] / KERNEL / group;
    }
    free(row);
    free(flat);
}

static double share_off(double got, double want) { return fabs(got - want) / (1e-9 + fabs(want)); }

static void against_rows(void)
{
    static const char *const gammas[] = { "200", "0", "3.5" };
    static const char *const pairs[] = { "policy.preset", "cake", "policy.group", "kv-head", "policy.reduce",
        "mean", "engine.precision", "f32", "decode.tokens", "4", NULL };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    static const char *const text = "The harbor master wrote the number of every boat in a long book, and when the "
                                    "fog came in he read the book.";
    REQUIRE(!kv_model_open("synthetic:tiny", &model, &err) && !kv_engine_open(model, &e, &err) &&
                request_set(e, pairs, &err) && !kv_prompt_text(e, text, strlen(text), NULL, false, &err),
        "%s", err.text);
    for (size_t i = 0; i < KV_COUNT(gammas); i++) {
        double worst = 0;
        const char *const gamma[] = { "policy.gamma", gammas[i], NULL };
        REQUIRE(request_set(e, gamma, &err) && (!kv_started(e) || !kv_recompress(e, &err)) &&
                    request_run_to(e, KV_PHASE_decode, &err),
            "%s", err.text);
        double *want = kv_alloc((size_t)e->n, sizeof *want);
        for (int k = 0; k < model->shape.n_layer * model->shape.n_kv_head; k++) {
            int l = k / model->shape.n_kv_head, g = k % model->shape.n_kv_head;
            const float *got = e->sel.score + selection_row(&e->sel, l, g) * (size_t)e->n;
            slow_score(e, l, g, atof(gammas[i]), want);
            for (int j = 0; j < e->n - WINDOW; j++) worst = fmax(worst, share_off((double)got[j], want[j]));
        }
        CHECK(worst < 1e-4, "gamma %s: scores are off by a share of %g", gammas[i], worst);
        free(want);
    }
    kv_engine_close(e);
    kv_model_close(model);
}

/* With one row there is no variance, and with weight 0 none is asked for: then it is the selector window. */
static void without_variance(void)
{
    static const char *const base[] = { "policy.preset", "cake", "policy.allocator", "uniform", "engine.precision",
        "f32", NULL };
    static const char *const kinds[][5] = { { "policy.window", "1", NULL }, { "policy.gamma", "0", NULL } };
    static const char *const plain[] = { "policy.selector", "window", NULL };
    struct kv_model *model = NULL;
    REQUIRE(!kv_model_open("synthetic:tiny", &model, &err), "%s", err.text);
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        struct kv_engine *e = NULL;
        static const char *const text = "A short text of some words that nobody will ever read twice in a row.";
        REQUIRE(!kv_engine_open(model, &e, &err) && request_set(e, base, &err) && request_set(e, kinds[i], &err) &&
                    !kv_prompt_text(e, text, strlen(text), NULL, true, &err) &&
                    request_run_to(e, KV_PHASE_decode, &err),
            "%s", err.text);
        size_t cells = (size_t)model->shape.n_layer * (size_t)e->n;
        float *score = kv_alloc(cells, sizeof *score);
        memcpy(score, e->sel.score, cells * sizeof *score);
        REQUIRE(request_set(e, plain, &err) && !kv_recompress(e, &err) && request_run_to(e, KV_PHASE_decode, &err),
            "%s", err.text);
        CHECK(!memcmp(score, e->sel.score, cells * sizeof *score), "case %zu differs from the window", i);
        free(score);
        kv_engine_close(e);
    }
    kv_model_close(model);
}

static void transformers(void)
{
    static const int layers[] = { 0, 14, 29 };
    static const char *const pairs[] = { "policy.preset", "cake", "policy.group", "kv-head", "policy.reduce",
        "mean", "engine.backend", "cpu", "engine.precision", "f32", "engine.segment", "256", NULL };
    struct npy ids = { 0 }, want = { 0 };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    double worst = 0;
    if (access(MODEL, R_OK)) SKIP("the default model is not there; make model fetches it");
    bool good = !npy_read("tests/golden/model/excerpt_ids.npy", &ids, &err) &&
                !npy_read("tests/golden/model/cake_scores.npy", &want, &err) &&
                !kv_model_open(MODEL, &model, &err) && !kv_engine_open(model, &e, &err) &&
                request_set(e, pairs, &err) && !kv_prompt_ids(e, ids.i4, (int)ids.count, NULL, 0, &err) &&
                request_run_to(e, KV_PHASE_decode, &err);
    CHECK(good, "%s", err.text);
    for (size_t i = 0; good && i < want.count; i++) {
        size_t j = i % want.dim[2], g = i / want.dim[2] % want.dim[1],
               l = (size_t)layers[i / want.dim[2] / want.dim[1]];
        double got = (double)e->sel.score[selection_row(&e->sel, (int)l, (int)g) * (size_t)e->n + j];
        worst = fmax(worst, share_off(got, (double)want.f4[i]));
    }
    CHECK(worst < 1e-3, "scores are off by a share of %g", worst);
    printf("# scores within a share of %.1e\n", worst);
    kv_engine_close(e);
    kv_model_close(model);
    npy_free(&ids), npy_free(&want);
}

static const struct tap_case cases[] = {
    { "mean and variance of the window's rows", against_rows },
    { "without variance it is the window", without_variance },
    { "transformers' attention says the same", transformers },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
