/* Regret and blame: attention of the full cache against rows asked for one by one, and planted evictions found again. */
#include "engine/edit.h"
#include "engine/regret.h"
#include "engine/runs.h"
#include "tests/tap.h"

#include <stdlib.h>

#define PROMPT  40
#define REPLY   10
#define LAYERS  3
#define HEADS   4
#define PLANTED 6 /* evictions of a case: all 2^6 returns are scored by brute force */
#define SUBSETS (1 << PLANTED)

static struct kv_error err;
static struct kv_model *model;
static uint64_t random_state = 1;

static int below(int n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((random_state >> 33) % (unsigned)n);
}

static bool put(struct kv_engine *e, const char *name, const char *value)
{
    return !kv_set(e, &name, &value, 1, &err);
}

static struct kv_engine *open_engine(void)
{
    struct kv_engine *e = NULL;
    if (!model && kv_model_open("synthetic:tiny", &model, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    if (!model || kv_engine_open(model, &e, &err) || !put(e, "engine.precision", "f32") ||
        !put(e, "engine.threads", "1"))
        tap_fail(__FILE__, __LINE__, "%s", err.text);
    return e;
}

/* A prompt of random tokens, prefilled. */
static bool prefill(struct kv_engine *e)
{
    int32_t ids[PROMPT];
    struct kv_where at;
    for (int i = 0; i < PROMPT; i++) ids[i] = 10 + below(200);
    if (kv_prompt_ids(e, ids, PROMPT, NULL, 0, &err) || !put(e, "policy.preset", "full") || kv_start(e, &err))
        return false;
    while (kv_where(e, &at), at.phase == KV_PHASE_prefill)
        if (kv_step(e, KV_UNIT_PHASE, &err)) return false;
    return true;
}

static bool compress(struct kv_engine *e)
{
    struct kv_where at;
    if (kv_recompress(e, &err)) return false;
    while (kv_where(e, &at), at.phase == KV_PHASE_compress)
        if (kv_step(e, KV_UNIT_PHASE, &err)) return false;
    return true;
}

/* The full cache's reply; how many tokens. */
static int full_reply(struct kv_engine *e, int32_t *reply)
{
    struct kv_comparison c;
    if (kv_compare(e, (const int[]){ KV_RUN_FULL }, 1, 0, REPLY, &c, &err)) return 0;
    int n = c.steps;
    memcpy(reply, c.token, (size_t)n * sizeof *reply);
    kv_comparison_free(&c);
    return n;
}

/* Whether giving back the evictions in each subset restores the reply. */
static bool brute_force(
    struct kv_engine *e, const int32_t *reply, int n, const struct kv_eviction *planted, bool *restores)
{
    static int32_t list[SUBSETS][LAYERS][PROMPT];
    const int32_t *kept[SUBSETS * LAYERS];
    int n_kept[SUBSETS * LAYERS];
    struct kv_verdict verdict[SUBSETS];
    for (int s = 0; s < SUBSETS; s++)
        for (int l = 0; l < LAYERS; l++) {
            int count = 0;
            for (int32_t j = 0; j < PROMPT; j++) {
                bool in = true;
                for (int i = 0; i < PLANTED; i++)
                    if (planted[i].layer == l && planted[i].token == j) in = s >> i & 1;
                if (in) list[s][l][count++] = j;
            }
            kept[s * LAYERS + l] = count == PROMPT ? NULL : list[s][l];
            n_kept[s * LAYERS + l] = count;
        }
    if (kv_score(e, reply, n, SUBSETS, kept, n_kept, NULL, verdict, &err)) return false;
    for (int s = 0; s < SUBSETS; s++) restores[s] = verdict[s].first_divergent < 0;
    return true;
}

/* Size of the smallest subset that restores, and the subset where it is the only one of that size; else -1. */
static int smallest(const bool *restores, int *size)
{
    for (*size = 0; *size <= PLANTED; ++*size) {
        int found = -1, count = 0;
        for (int s = 0; s < SUBSETS; s++)
            if (restores[s] && __builtin_popcount((unsigned)s) == *size) found = s, count++;
        if (count) return count == 1 ? found : -1;
    }
    return -1;
}

static bool plant(struct kv_engine *e, struct kv_eviction *planted)
{
    for (int i = 0; i < PLANTED; i++) {
        bool again = false;
        planted[i] = (struct kv_eviction){ .layer = below(LAYERS), .token = below(PROMPT - 4) };
        for (int k = 0; k < i; k++)
            again = again || (planted[k].layer == planted[i].layer && planted[k].token == planted[i].token);
        if (again) {
            i--;
            continue;
        }
        if (kv_edit_tokens(e, KV_EVICT, &planted[i].token, 1, planted[i].layer, planted[i].layer, &err))
            return false;
    }
    return true;
}

/* Random prompts with six planted evictions each, of which a single one, or a pair and no single one, is to blame: both
 * are found in every case. */
static void finds_planted(void)
{
    int singles = 0, pairs = 0, cases = 0;
    for (int round = 0; round < 4000 && (singles < 60 || pairs < 60); round++) {
        struct kv_engine *e = open_engine();
        struct kv_eviction planted[PLANTED];
        int32_t reply[REPLY];
        bool restores[SUBSETS];
        int size, n;
        if (!e) return;
        REQUIRE(prefill(e) && (n = full_reply(e, reply)) >= 0, "%s", err.text);
        if (n < 2) {
            kv_engine_close(e);
            continue;
        }
        REQUIRE(plant(e, planted) && compress(e), "%s", err.text);
        REQUIRE(brute_force(e, reply, n, planted, restores), "%s", err.text);
        int want = smallest(restores, &size);
        if (want > 0 && (size == 1 || size == 2)) {
            const struct kv_blame_how how = { NAN, 500, NULL };
            struct kv_blame b;
            REQUIRE(!kv_blame(e, reply, n, &how, &b, &err), "%s", err.text);
            CHECK(b.evicted == PLANTED && b.count == size && b.minimal && b.verified && !b.stopped,
                "case %d: %d of %d evictions, not %d (%d runs)", cases, b.count, b.evicted, size, b.runs);
            for (int i = 0; i < b.count; i++) {
                bool mine = false;
                for (int k = 0; k < PLANTED; k++)
                    mine = mine || ((want >> k & 1) && planted[k].layer == b.eviction[i].layer &&
                                       planted[k].token == b.eviction[i].token);
                CHECK(
                    mine, "case %d: blames token %d of layer %d", cases, b.eviction[i].token, b.eviction[i].layer);
            }
            CHECK(b.before.first_divergent >= 0 && b.after.first_divergent < 0, "verdicts");
            kv_blame_free(&b);
            singles += size == 1;
            pairs += size == 2;
            cases++;
        }
        kv_engine_close(e);
    }
    CHECK(singles >= 60 && pairs >= 30, "%d single evictions, %d pairs", singles, pairs);
}

/* The limit holds, what is found within it restores, and a bound of KL is kept to. */
static void keeps_to_its_limits(void)
{
    struct kv_engine *e = open_engine();
    int32_t reply[REPLY];
    struct kv_blame b;
    int n = 0;
    for (int round = 0; round < 50 && n < REPLY; round++)
        REQUIRE(prefill(e) && (n = full_reply(e, reply)) > 0, "%s", err.text);
    REQUIRE(put(e, "policy.preset", "seed") && put(e, "policy.floor", "4") && compress(e), "%s", err.text);
    for (int most = 2; most <= 40; most += 19) {
        const struct kv_blame_how how = { NAN, most, NULL };
        REQUIRE(!kv_blame(e, reply, n, &how, &b, &err), "%s", err.text);
        CHECK(b.runs <= most && b.count > 0 && b.count <= b.evicted && (b.verified || !b.count),
            "%d runs, %d of %d", b.runs, b.count, b.evicted);
        CHECK(b.stopped || b.minimal, "neither stopped nor minimal");
        kv_blame_free(&b);
    }
    const struct kv_blame_how bounded = { 0.05, 2000, NULL }, loose = { 1e9, 100, NULL }, none = { NAN, 1, NULL };
    REQUIRE(!kv_blame(e, reply, n, &bounded, &b, &err), "%s", err.text);
    CHECK(b.after.kl_mean <= 0.05 && b.before.kl_mean > 0.05 && b.verified, "KL %g -> %g", b.before.kl_mean,
        b.after.kl_mean);
    kv_blame_free(&b);
    REQUIRE(!kv_blame(e, reply, n, &loose, &b, &err), "%s", err.text);
    CHECK(!b.count && b.runs == 1 && b.verified, "%d to blame for nothing", b.count);
    kv_blame_free(&b);
    CHECK(kv_blame(e, reply, n, &none, &b, &err) == KV_BAD_ARG, "a limit of 1");
    kv_engine_close(e);
}

/* mass is what kv_attention gives for the same rows over the full cache, row by row. */
static void mass_is_attention(void)
{
    struct kv_engine *e = open_engine();
    struct kv_where at;
    struct kv_array mass, regret, kept;
    int32_t reply[REPLY];
    static float rows[REPLY][PROMPT + REPLY];
    static double want[LAYERS][HEADS][PROMPT];
    int n = 0;
    for (int round = 0; round < 50 && n < REPLY; round++)
        REQUIRE(prefill(e) && (n = full_reply(e, reply)) > 0, "%s", err.text);
    REQUIRE(put(e, "decode.tokens", "10"), "%s", err.text);
    while (kv_where(e, &at), at.phase != KV_PHASE_done) REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++) {
            REQUIRE(!kv_attention(e, l, h, PROMPT, n - 1, rows[0], PROMPT + REPLY, &err), "%s", err.text);
            for (int i = 0; i < n - 1; i++)
                for (int j = 0; j < PROMPT; j++) want[l][h][j] += rows[i][j] / (double)(n - 1);
        }
    REQUIRE(put(e, "policy.preset", "seed") && compress(e) && !kv_mass(e, reply, n, &err), "%s", err.text);
    REQUIRE(!kv_value(e, "mass", &mass, &err) && mass.dim[2] == PROMPT, "%s", err.text);
    for (size_t i = 0; i < (size_t)LAYERS * HEADS * PROMPT; i++) {
        double got = ((const float *)mass.data)[i], expected = ((const double *)want)[i];
        CHECK(fabs(got - expected) <= 1e-5, "cell %zu: %g, not %g", i, got, expected);
    }
    uint8_t in[LAYERS * PROMPT];
    REQUIRE(!kv_value(e, "kept", &kept, &err), "%s", err.text);
    memcpy(in, kept.data, sizeof in);
    REQUIRE(!kv_value(e, "regret", &regret, &err), "%s", err.text);
    for (size_t i = 0; i < (size_t)LAYERS * HEADS * PROMPT; i++) {
        float got = ((const float *)regret.data)[i];
        bool gone = !in[i / (HEADS * PROMPT) * PROMPT + i % PROMPT];
        CHECK(gone ? fabs((double)got - ((const double *)want)[i]) <= 1e-5 : got == 0, "regret %zu: %g", i,
            (double)got);
    }
    CHECK(kv_mass(e, reply, 1, &err) == KV_BAD_ARG, "a reply of one token");
    kv_engine_close(e);
}

static const struct tap_case cases[] = {
    { "Planted evictions and pairs are found in every case", finds_planted },
    { "blame keeps to its limits", keeps_to_its_limits },
    { "mass is the full cache's attention, regret its evicted part", mass_is_attention },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
