/* Perplexity against the same figure put together from prefills, against transformers (tests/golden/perplexity.txt, by
 * tests/oracle/perplexity.py), and what it leaves behind of a request that runs. */
#include "engine/perplexity.h"
#include "engine/history.h"
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"

static const char text[] =
    "The quick brown fox jumps over the lazy dog. Then it sleeps for a while, and wakes again. The "
    "special magic number is 42, and nobody knows why.";
static struct kv_error err;

static struct kv_engine *open_engine(const char *path, struct kv_model **model)
{
    static const char *const name[] = { "engine.precision", "engine.threads" }, *const value[] = { "f32", "2" };
    struct kv_engine *e = NULL;
    *model = NULL;
    if (kv_model_open(path, model, &err) || kv_engine_open(*model, &e, &err) || kv_set(e, name, value, 2, &err))
        tap_fail(__FILE__, __LINE__, "%s: %s", path, err.text);
    return e;
}

static void close_engine(struct kv_engine *e, struct kv_model *model)
{
    kv_engine_close(e);
    kv_model_close(model);
}

/* -ln p of ids[n] behind ids[0..n), from the logits of a prefill. */
static double surprise(struct kv_engine *e, const int32_t *ids, int n)
{
    struct kv_array logit;
    double sum = 0;
    if (kv_prompt_ids(e, ids, n, NULL, 0, &err) || kv_start(e, &err) || kv_step(e, KV_UNIT_PHASE, &err) ||
        kv_value(e, "logit", &logit, &err)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        return NAN;
    }
    const float *x = logit.data;
    for (size_t v = 0; v < logit.dim[0]; v++) sum += exp((double)x[v]);
    return log(sum) - (double)x[ids[n]];
}

static void equals_prefills(void)
{
    static const int window[] = { 4, 7, 16, 33 };
    struct kv_model *model;
    struct kv_engine *e = open_engine("synthetic:tiny", &model);
    struct kv_array tok;
    int32_t ids[256];
    if (!e || kv_prompt_text(e, text, strlen(text), NULL, false, &err) || kv_value(e, "tok", &tok, &err) ||
        tok.dim[0] > KV_COUNT(ids)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        return;
    }
    int n = (int)tok.dim[0];
    memcpy(ids, tok.data, (size_t)n * sizeof *ids);
    for (size_t i = 0; i < KV_COUNT(window); i++) {
        int w = window[i], most = i % 2 ? 2 : 0, windows = most ? most : n / w, count = 0;
        double sum = 0, squares = 0;
        for (int k = 0; k < windows; k++)
            for (int t = w / 2; t < w - 1; t++, count++) {
                double x = surprise(e, ids + k * w, t + 1);
                /* The window's tokens only: the token judged is the next one. */
                sum += x, squares += x * x;
            }
        struct kv_perplexity p;
        CHECK(!kv_perplexity(e, text, strlen(text), w, most, &p, &err), "%s", err.text);
        CHECK(p.windows == windows && p.tokens == count && p.text_tokens == n, "%d windows, %d of %d tokens",
            p.windows, p.tokens, p.text_tokens);
        CHECK(
            fabs(p.nll - sum / count) < 1e-5, "windows of %d: %.9g nats, prefills say %.9g", w, p.nll, sum / count);
        double error = sqrt((squares / count - sum / count * sum / count) / (count - 1));
        CHECK(fabs(p.nll_error - error) < 1e-5, "error %g, expected %g", p.nll_error, error);
        CHECK(fabs(p.ppl - exp(p.nll)) < 1e-9 * p.ppl && fabs(p.ppl_error - p.ppl * p.nll_error) < 1e-9 * p.ppl,
            "ppl %g +/- %g", p.ppl, p.ppl_error);
    }
    close_engine(e, model);
}

/* In the middle of a prefill pass and of a reply: what follows must have the bits that it has without. */
static void leaves_a_request_alone(void)
{
    static const int at[] = { 0, 5, 17, 60, 75 };
    struct kv_model *model;
    struct kv_engine *e = open_engine("synthetic:tiny", &model);
    if (!e) return;
    for (size_t i = 0; i < KV_COUNT(at); i++) {
        uint64_t hash[2];
        for (int with = 0; with < 2; with++) {
            struct kv_perplexity p;
            CHECK(!kv_prompt_text(e, text, strlen(text), NULL, false, &err) && !kv_start(e, &err), "%s", err.text);
            for (int k = 0; k < at[i] && !kv_step(e, KV_UNIT_STAGE, &err); k++) continue;
            if (with) CHECK(!kv_perplexity(e, text, strlen(text), 20, 0, &p, &err), "%s", err.text);
            for (int k = 0; k < 60 && !kv_step(e, KV_UNIT_STAGE, &err); k++) continue;
            CHECK(!kv_state_hash(e, &hash[with], &err), "%s", err.text);
        }
        CHECK(hash[0] == hash[1], "another state after %d stages", at[i]);
    }
    close_engine(e, model);
}

static void stop_at(void *ctx, const char *what, double done, double total)
{
    (void)what, (void)total;
    if (done >= 2) kv_stop(ctx);
}

static void refusals_and_stops(void)
{
    struct kv_model *model;
    struct kv_engine *e = open_engine("synthetic:tiny", &model);
    struct kv_perplexity p, two;
    if (!e) return;
    CHECK(kv_perplexity(e, text, strlen(text), 3, 0, &p, &err) == KV_BAD_ARG && strstr(err.text, "4 to 512"), "%s",
        err.text);
    CHECK(kv_perplexity(e, text, strlen(text), 513, 0, &p, &err) == KV_BAD_ARG, "%s", err.text);
    CHECK(
        kv_perplexity(e, "Once", 4, 16, 0, &p, &err) == KV_BAD_ARG && strstr(err.text, "less than a window of 16"),
        "%s", err.text);
    CHECK(kv_perplexity(e, "", 0, 16, 0, &p, &err) == KV_BAD_ARG, "%s", err.text);
    CHECK(!kv_perplexity(e, text, strlen(text), 16, 2, &two, &err), "%s", err.text);
    kv_on_progress(e, stop_at, e);
    CHECK(kv_perplexity(e, text, strlen(text), 16, 0, &p, &err) == KV_STOPPED, "not stopped");
    CHECK(p.windows == 2 && p.nll == two.nll && p.ppl_error == two.ppl_error, "%d windows, %g nats, expected %g",
        p.windows, p.nll, two.nll);
    kv_on_progress(e, NULL, NULL);
    CHECK(!kv_perplexity(e, text, strlen(text), 16, 2, &p, &err) && p.nll == two.nll, "not the same again");
    close_engine(e, model);
}

static void golden(void)
{
    char path[64], line[256] = "#";
    int window, windows, text_tokens, tokens;
    double nll, error;
    FILE *f = fopen("tests/golden/perplexity.txt", "r");
    REQUIRE(f, "tests/golden/perplexity.txt is missing");
    while (*line == '#' && fgets(line, sizeof line, f)) continue;
    fclose(f);
    REQUIRE(
        sscanf(line, "%63s %d %d %d %d %lf %lf", path, &window, &windows, &text_tokens, &tokens, &nll, &error) == 7,
        "%s", line);
    if (access(MODEL, R_OK)) SKIP("needs models/: make model");
    char read[16384];
    REQUIRE(f = fopen(path, "r"), "%s is missing", path);
    size_t bytes = fread(read, 1, sizeof read, f);
    fclose(f);
    if (bytes && read[bytes - 1] == '\n') bytes--;
    struct kv_model *model;
    struct kv_engine *e = open_engine(MODEL, &model);
    struct kv_perplexity p;
    if (!e) return;
    CHECK(!kv_perplexity(e, read, bytes, window, windows, &p, &err), "%s", err.text);
    CHECK(p.text_tokens == text_tokens && p.tokens == tokens, "%d tokens, %d scored", p.text_tokens, p.tokens);
    CHECK(fabs(p.nll - nll) < 1e-5 && fabs(p.nll_error - error) < 1e-5,
        "%.9f +/- %.9f, transformers says %.9f +/- %.9f", p.nll, p.nll_error, nll, error);
    close_engine(e, model);
}

static const struct tap_case cases[] = {
    { "perplexity is that of prefills", equals_prefills },
    { "a request that runs is left alone", leaves_a_request_alone },
    { "bad windows are refused, a stop keeps what was read", refusals_and_stops },
    { "perplexity of a text equals transformers'", golden },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
