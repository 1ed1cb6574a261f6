/* Keys, values, slots, hidden rows and costs, on the tiny model: against what the maths of a layer says about them, and
 * against each other. */
#include "engine/look.h"
#include "tests/tap.h"

#include <stdlib.h>

#define LAYERS 3
#define GROUPS 2
#define MOST   2048 /* numbers of one row */

static struct kv_error err;
static struct kv_model *model;
static struct kv_model_facts facts;

/* The same words again and again, so that tokens recur. */
static const char *const text = "one two three one two three one two three one two three one two three";

static struct kv_engine *open_engine(const char *precision, const char *kv, const char *snapshot)
{
    static const char *const names[] = { "engine.precision", "engine.kv", "engine.snapshot", "engine.segment",
        "decode.tokens", "policy.ratio", "policy.recent" };
    const char *const values[] = { precision, kv, snapshot, "16", "6", "0.4", "4" };
    struct kv_engine *e = NULL;
    if ((!model && kv_model_open("synthetic:tiny", &model, &err)) || kv_engine_open(model, &e, &err) ||
        kv_set(e, names, values, (int)KV_COUNT(names), &err) ||
        kv_prompt_text(e, text, strlen(text), NULL, false, &err) || kv_start(e, &err))
        tap_fail(__FILE__, __LINE__, "%s", err.text);
    kv_model_facts(model, &facts);
    return e;
}

static void run_to(struct kv_engine *e, enum kv_phase phase)
{
    struct kv_where at;
    for (kv_where(e, &at); at.phase < phase; kv_where(e, &at))
        if (kv_step(e, KV_UNIT_PASS, &err)) {
            tap_fail(__FILE__, __LINE__, "%s", err.text);
            return;
        }
}

static const int32_t *tokens(struct kv_engine *e, int *n)
{
    struct kv_array a;
    if (kv_value(e, "tok", &a, &err)) return NULL;
    *n = (int)a.dim[0];
    return a.data;
}

static double norm(const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* In layer 0 nothing but the token's own embedding has come in: a token's values are the same wherever it stands, and
 * its keys are turned, not stretched. */
static void rows_follow_tokens(void)
{
    static float a[MOST], b[MOST];
    struct kv_engine *e = open_engine("f32", "f16", "on");
    int n = 0, d = facts.head_dim, pairs = 0;
    run_to(e, KV_PHASE_compress);
    const int32_t *id = tokens(e, &n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            REQUIRE(!kv_hidden(e, 0, i, 1, a, &err) && !kv_hidden(e, 0, j, 1, b, &err), "%s", err.text);
            bool same = !memcmp(a, b, (size_t)facts.hidden * sizeof *a);
            CHECK(same == (id[i] == id[j]), "embeddings of tokens %d and %d", i, j);
            if (id[i] != id[j]) continue;
            pairs++;
            for (int g = 0; g < GROUPS; g++) {
                REQUIRE(
                    !kv_cache_rows(e, true, 0, g, i, 1, a, &err) && !kv_cache_rows(e, true, 0, g, j, 1, b, &err),
                    "%s", err.text);
                CHECK(!memcmp(a, b, (size_t)d * sizeof *a), "values of tokens %d and %d, head %d", i, j, g);
                REQUIRE(
                    !kv_cache_rows(e, false, 0, g, i, 1, a, &err) && !kv_cache_rows(e, false, 0, g, j, 1, b, &err),
                    "%s", err.text);
                CHECK(memcmp(a, b, (size_t)d * sizeof *a) && fabs(norm(a, d) / norm(b, d) - 1) < 1e-5,
                    "keys of tokens %d and %d, head %d", i, j, g);
            }
        }
    CHECK(pairs > 20, "only %d pairs", pairs);
    kv_engine_close(e);
}

/* What the f16 and bf16 caches hold is the f32 one's, rounded; above layer 0 the rounding below comes in. */
static void types_agree(void)
{
    static float f32[MOST], half[MOST];
    static const struct {
        const char *kv;
        double most;
    } types[] = { { "f16", 1.0 / 2048 }, { "bf16", 1.0 / 256 } };
    struct kv_engine *reference = open_engine("fast", "f32", "on");
    run_to(reference, KV_PHASE_compress);
    for (size_t t = 0; t < KV_COUNT(types); t++) {
        struct kv_engine *e = open_engine("fast", types[t].kv, "on");
        run_to(e, KV_PHASE_compress);
        for (int l = 0; l < LAYERS; l++)
            for (int values = 0; values < 2; values++) {
                REQUIRE(!kv_cache_rows(reference, values, l, 1, 3, 8, f32, &err) &&
                            !kv_cache_rows(e, values, l, 1, 3, 8, half, &err),
                    "%s", err.text);
                double scale = norm(f32, 8 * facts.head_dim) / sqrt(8.0 * facts.head_dim);
                for (int i = 0; i < 8 * facts.head_dim; i++) {
                    double most = l ? 0.15 * scale : types[t].most * fabs(f32[i]) + 1e-6;
                    CHECK(fabs(f32[i] - half[i]) <= most, "%s layer %d: %g is %g", types[t].kv, l, f32[i], half[i]);
                }
            }
        kv_engine_close(e);
    }
    kv_engine_close(reference);
}

/* Compacted in place, what was kept reads the same and the rest is gone; slots are the kept ones and what came after. */
static void compaction(void)
{
    static float a[MOST], b[MOST];
    int32_t slot[256];
    struct kv_array kept;
    struct kv_engine *whole = open_engine("f32", "f32", "on"), *place = open_engine("f32", "f32", "off");
    run_to(whole, KV_PHASE_decode);
    run_to(place, KV_PHASE_decode);
    REQUIRE(!kv_step(whole, KV_UNIT_PASS, &err) && !kv_step(place, KV_UNIT_PASS, &err), "%s", err.text);
    REQUIRE(!kv_value(place, "kept", &kept, &err), "%s", err.text);
    int n = (int)kept.dim[1], gone = 0;
    for (int l = 0; l < LAYERS; l++) {
        const uint8_t *is_kept = (const uint8_t *)kept.data + l * n;
        int count = kv_cache_slots(place, l, 0, slot, 256), at = 0;
        CHECK(kv_cache_tokens(place, l) == n + 1 && kv_cache_tokens(whole, l) == n + 1, "%d tokens",
            kv_cache_tokens(place, l));
        for (int j = 0; j <= n; j++) {
            REQUIRE(!kv_cache_rows(place, false, l, 0, j, 1, a, &err) &&
                        !kv_cache_rows(whole, false, l, 0, j, 1, b, &err),
                "%s", err.text);
            bool there = j == n || is_kept[j];
            gone += !there;
            CHECK(there ? !memcmp(a, b, (size_t)facts.head_dim * sizeof *a) : isnan(a[0]) && !isnan(b[0]),
                "layer %d token %d", l, j);
            CHECK(!there || (at < count && slot[at] == j), "layer %d slot %d", l, at);
            at += there;
        }
        CHECK(at == count, "%d slots, %d of them in order", count, at);
    }
    CHECK(gone > 10, "%d evicted", gone);
    kv_engine_close(whole);
    kv_engine_close(place);
}

/* Rows worked out again are those that passed: reading them in mid-pass changes nothing, and later rows are there. */
static void hidden_rows(void)
{
    static float before[MOST], again[MOST];
    struct kv_array a;
    struct kv_engine *e = open_engine("f32", "f32", "on"), *blind = open_engine("f32", "f32", "on");
    run_to(e, KV_PHASE_decode);
    run_to(blind, KV_PHASE_decode);
    REQUIRE(!kv_hidden(e, 2, 5, 1, before, &err), "%s", err.text);
    for (int i = 0; i < 40; i++) {
        REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err) && !kv_step(blind, KV_UNIT_STAGE, &err), "%s", err.text);
        REQUIRE(!kv_hidden(e, 2, 5, 1, again, &err), "%s", err.text);
        CHECK(!memcmp(before, again, (size_t)facts.hidden * sizeof *again), "row 5 after %d stages", i + 1);
    }
    REQUIRE(!kv_value(e, "logit", &a, &err), "%s", err.text);
    float *seen = malloc(a.dim[0] * sizeof *seen);
    memcpy(seen, a.data, a.dim[0] * sizeof *seen);
    REQUIRE(!kv_value(blind, "logit", &a, &err), "%s", err.text);
    CHECK(!memcmp(seen, a.data, a.dim[0] * sizeof *seen), "looking changed the logits");
    int n = 0;
    tokens(e, &n);
    CHECK(!kv_hidden(e, 1, n, 1, again, &err), "the reply's first row: %s", err.text);
    free(seen);
    kv_engine_close(e);
    kv_engine_close(blind);
}

static void costs(void)
{
    struct kv_cost cost[64];
    struct kv_where at;
    int now = -1;
    struct kv_engine *e = open_engine("f32", "f32", "on");
    for (kv_where(e, &at); at.phase != KV_PHASE_done; kv_where(e, &at)) {
        int n = kv_pass_costs(e, cost, 64, &now);
        REQUIRE(n > 0 && now >= 0 && now < n, "%d of %d", now, n);
        CHECK(cost[now].stage == at.stage && cost[now].layer == at.layer && cost[now].tick == at.tick,
            "stage %d of the pass is not the next one", now);
        for (int i = 0; i < n; i++) {
            CHECK(i < now ? cost[i].us >= 0 : isnan(cost[i].us), "time of stage %d with %d done", i, now);
            CHECK(cost[i].flops >= 0 && cost[i].bytes >= 0, "cost of stage %d", i);
        }
        if (at.phase == KV_PHASE_decode && at.stage == KV_STAGE_oproj)
            CHECK(cost[now].flops == 2.0 * facts.n_head * facts.head_dim * facts.hidden, "oproj: %g flops",
                cost[now].flops);
        REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
    }
    CHECK(!kv_pass_costs(e, cost, 64, &now), "a finished request has a pass");
    kv_engine_close(e);
}

static void refusals(void)
{
    static float out[MOST];
    struct kv_engine *e = open_engine("f32", "f32", "on");
    int n = 0;
    tokens(e, &n);
    CHECK(kv_cache_rows(e, false, 0, 0, 0, 1, out, &err) == KV_NOT_NOW, "rows of an empty cache");
    CHECK(kv_hidden(e, 0, 0, 1, out, &err) == KV_NOT_NOW, "hidden rows before the prefill is done");
    REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    CHECK(!kv_cache_rows(e, false, 0, 0, 15, 1, out, &err), "%s", err.text);
    CHECK(kv_cache_rows(e, false, 0, 0, 16, 1, out, &err) == KV_BAD_ARG, "token 16 of the first segment");
    run_to(e, KV_PHASE_decode);
    CHECK(kv_cache_rows(e, false, LAYERS, 0, 0, 1, out, &err) == KV_BAD_ARG, "layer");
    CHECK(kv_cache_rows(e, false, 0, GROUPS, 0, 1, out, &err) == KV_BAD_ARG, "head");
    CHECK(kv_cache_rows(e, false, 0, 0, -1, 1, out, &err) == KV_BAD_ARG, "token -1");
    CHECK(kv_cache_rows(e, false, 0, 0, n, 1, out, &err) == KV_BAD_ARG, "token %d", n);
    CHECK(kv_hidden(e, 0, n, 1, out, &err) == KV_BAD_ARG && kv_hidden(e, LAYERS, 0, 1, out, &err) == KV_BAD_ARG,
        "hidden rows that are not there");
    kv_engine_close(e);
}

static const struct tap_case cases[] = {
    { "keys and values follow their tokens", rows_follow_tokens },
    { "f16 and bf16 hold what f32 holds", types_agree },
    { "what was kept is there, what was evicted is not", compaction },
    { "hidden rows are worked out again and change nothing", hidden_rows },
    { "costs of every stage of a request", costs },
    { "refusals", refusals },
};

int main(int argc, char **argv)
{
    int failures = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return failures;
}
