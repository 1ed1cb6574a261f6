/* Scoring, searching and forking where every KV head keeps tokens of its own: against runs that are really compacted, and
 * against all subsets of a few evictions. */
#include "engine/edit.h"
#include "engine/history.h"
#include "engine/regret.h"
#include "engine/runs.h"
#include "engine/state.h"
#include "engine/tune.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>

#define REPLY 10

static struct kv_error err;
static struct kv_model *model;

/* Stands behind compress:0 under these settings. */
static struct kv_engine *request(const char *const *pairs)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "10", "engine.segment", "32",
        NULL };
    const struct request r = { "synthetic:tiny", NULL, base, pairs, true, KV_PHASE_ask };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e, "%s", err.text);
    return e;
}

static const char *const snap[] = { "policy.preset", "snapkv", "policy.window", "8", "policy.recent", "8",
    "policy.ratio", "0.4", NULL };
static const char *const ada[] = { "policy.preset", "adakv", "policy.window", "8", "policy.recent", "8",
    "policy.ratio", "0.4", NULL };
static const char *const sums[] = { "policy.preset", "seed", "policy.group", "kv-head", "policy.ratio", "0.4",
    NULL };
static const char *const shared[] = { "policy.preset", "seed", "policy.ratio", "0.4", NULL };
static const char *const *const policies[] = { snap, ada, sums, shared };

/* The run's kept sets, a row a KV head whether they share one or not. */
struct rows {
    int32_t *room;
    const int32_t **kept;
    int *n_kept;
    int count, heads;
};

static struct rows rows_of(const struct kv_engine *e)
{
    const struct selection *s = &e->sel;
    struct rows r = { .heads = model->shape.n_kv_head };
    r.count = model->shape.n_layer * r.heads;
    r.room = kv_alloc((size_t)r.count * (size_t)e->n, sizeof *r.room);
    r.kept = kv_alloc((size_t)r.count, sizeof *r.kept);
    r.n_kept = kv_alloc((size_t)r.count, sizeof *r.n_kept);
    for (int k = 0; k < r.count; k++) {
        size_t row = selection_row(s, k / r.heads, k % r.heads);
        int32_t *to = r.room + (size_t)k * (size_t)e->n;
        r.n_kept[k] = s->n_kept[row];
        memcpy(to, s->kept + row * (size_t)e->n, (size_t)r.n_kept[k] * sizeof *to);
        r.kept[k] = r.n_kept[k] == e->n ? NULL : to;
    }
    return r;
}

static void rows_free(struct rows *r)
{
    free(r->room);
    free((void *)r->kept);
    free(r->n_kept);
}

static const int32_t *reply_of(struct kv_engine *e, int *n)
{
    const int32_t *reply = NULL;
    CHECK(!kv_full_reply(e, REPLY, &reply, n, &err), "%s", err.text);
    return reply;
}

/* Scored, compared as given, decoded by the run's twin, scored as a policy: one number. */
static void one_number(void)
{
    struct kv_policy_copy *copy[KV_COUNT(policies)];
    double mean[KV_COUNT(policies)];
    for (size_t i = 0; i < KV_COUNT(policies); i++) {
        struct kv_engine *e = request(policies[i]);
        struct kv_verdict scored, twin;
        struct kv_comparison c;
        float kl[REPLY];
        int n;
        if (!e) return;
        const int32_t *reply = reply_of(e, &n);
        struct rows r = rows_of(e);
        REQUIRE(!kv_score_heads(e, reply, n, 1, r.heads, r.kept, r.n_kept, kl, &scored, &err), "%s", err.text);
        REQUIRE(!kv_compare_heads(e, r.heads, r.kept, r.n_kept, n, &c, &err), "%s", err.text);
        REQUIRE(!kv_twin(e, n, &twin, &err) && twin.kl_mean > 0, "%s", err.text);
        CHECK(fabs(scored.kl_mean - twin.kl_mean) < 1e-6 && fabs(c.verdict[1].kl_mean - twin.kl_mean) < 1e-6,
            "policy %zu: scored %g, compared %g, twin %g", i, scored.kl_mean, c.verdict[1].kl_mean, twin.kl_mean);
        for (int t = 1; t < n && t < e->twin.n; t++)
            CHECK(fabs((double)kl[t] - e->twin.kl[t]) < 1e-5, "policy %zu, step %d: %g, twin %g", i, t,
                (double)kl[t], e->twin.kl[t]);
        mean[i] = twin.kl_mean;
        kv_comparison_free(&c);
        rows_free(&r);
        kv_engine_close(e);
    }
    struct kv_engine *e = request(shared);
    struct kv_verdict verdict[KV_COUNT(policies)];
    int n;
    for (size_t i = 0; i < KV_COUNT(policies) && e; i++) {
        REQUIRE(request_set(e, policies[i], &err), "%s", err.text);
        copy[i] = kv_policy_take(e);
    }
    const int32_t *reply = reply_of(e, &n);
    REQUIRE(!kv_score_policies(
                e, reply, n, KV_COUNT(policies), (const struct kv_policy_copy *const *)copy, verdict, NULL, &err),
        "%s", err.text);
    for (size_t i = 0; i < KV_COUNT(policies); i++) {
        CHECK(fabs(verdict[i].kl_mean - mean[i]) < 1e-6, "policy %zu: %g in one batch, %g alone", i,
            verdict[i].kl_mean, mean[i]);
        kv_policy_free(copy[i]);
    }
    kv_engine_close(e);
}

/* The curve of a layer is what a cache says in which that layer alone is compressed. */
static void sensitivity_of_heads(void)
{
    struct kv_engine *e = request(ada);
    const double share[] = { 0.15, 0.4, 1 };
    double kl[3];
    int n;
    if (!e) return;
    const int32_t *reply = reply_of(e, &n);
    for (int l = 0; l < model->shape.n_layer; l++) {
        const struct kv_sensitivity what = { l, "window", share, 3, reply, n };
        struct kv_verdict verdict;
        struct rows r = rows_of(e);
        REQUIRE(!kv_sensitivity(e, &what, kl, &err), "%s", err.text);
        CHECK(kl[0] > 0 && kl[2] == 0, "layer %d: %g, %g", l, kl[0], kl[2]);
        for (int k = 0; k < r.count; k++)
            if (k / r.heads != l) r.kept[k] = NULL;
        REQUIRE(!kv_score_heads(e, reply, n, 1, r.heads, r.kept, r.n_kept, NULL, &verdict, &err), "%s", err.text);
        if (e->sel.budget[l] == (int)(.4 * e->n + .5))
            CHECK(fabs(verdict.kl_mean - kl[1]) < 1e-6, "layer %d: %g, alone %g", l, kl[1], verdict.kl_mean);
        rows_free(&r);
    }
    kv_engine_close(e);
}

static void bad_sets(void)
{
    struct kv_engine *e = request(snap);
    struct kv_verdict verdict;
    int n;
    if (!e) return;
    const int32_t *reply = reply_of(e, &n);
    struct rows r = rows_of(e);
    CHECK(kv_score_heads(e, reply, n, 1, 3, r.kept, r.n_kept, NULL, &verdict, &err) == KV_BAD_ARG, "three heads");
    r.room[1] = r.room[0];
    CHECK(kv_score_heads(e, reply, n, 1, r.heads, r.kept, r.n_kept, NULL, &verdict, &err) == KV_BAD_ARG, "twice");
    rows_free(&r);
    kv_engine_close(e);
}

/* --- blame ------------------------------------------------------------------------------------------------------- */

#define PLANTED 2 /* tokens that are evicted from all heads of a layer: 4 evictions, 16 subsets */

static uint64_t drawn = 17;
static int below(int n)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (int)((drawn >> 33) % (uint64_t)n);
}

/* The reply with the evictions of a subset given back. */
static bool restores(struct kv_engine *e, const int32_t *reply, int n, const struct kv_eviction *at, int back)
{
    static int32_t room[16][200];
    const int32_t *kept[16];
    int n_kept[16], heads = model->shape.n_kv_head;
    struct kv_verdict verdict;
    for (int row = 0; row < model->shape.n_layer * heads; row++) {
        n_kept[row] = 0;
        for (int j = 0; j < e->n; j++) {
            bool in = true;
            for (int k = 0; k < 2 * PLANTED; k++)
                if (at[k].layer * heads + at[k].head == row && at[k].token == j) in = back >> k & 1;
            if (in) room[row][n_kept[row]++] = j;
        }
        kept[row] = n_kept[row] == e->n ? NULL : room[row];
    }
    CHECK(!kv_score_heads(e, reply, n, 1, heads, kept, n_kept, NULL, &verdict, &err), "%s", err.text);
    return verdict.first_divergent < 0;
}

/* Size of the smallest subset that restores. */
static int least(struct kv_engine *e, const int32_t *reply, int n, const struct kv_eviction *at, bool *good)
{
    int size = 2 * PLANTED + 1;
    for (int back = 0; back < 1 << (2 * PLANTED); back++) {
        good[back] = restores(e, reply, n, at, back);
        if (good[back] && __builtin_popcount((unsigned)back) < size) size = __builtin_popcount((unsigned)back);
    }
    return size;
}

static void blame_of_heads(void)
{
    static const char *const all[] = { "policy.preset", "uniform", "policy.group", "kv-head", "policy.sinks", "0",
        "policy.recent", "0", "policy.ratio", "1", NULL };
    const struct kv_blame_how how = { NAN, 1000, NULL };
    struct kv_engine *e = request(all);
    bool good[1 << (2 * PLANTED)];
    int found = 0, n;
    if (!e) return;
    REQUIRE(model->shape.n_kv_head == 2 && model->shape.n_layer <= 8 && e->n <= 200, "another small model");
    int32_t reply[REPLY];
    memcpy(reply, reply_of(e, &n), sizeof reply);
    for (int round = 0; round < 60; round++) {
        struct kv_eviction at[2 * PLANTED];
        struct kv_blame b;
        REQUIRE(!kv_edit_tokens(e, KV_UNPIN, NULL, 0, 0, model->shape.n_layer - 1, &err), "%s", err.text);
        for (int k = 0; k < PLANTED; k++) {
            const int32_t layer = below(model->shape.n_layer), token = below(e->n - 4);
            at[2 * k] = (struct kv_eviction){ layer, token, 0 };
            at[2 * k + 1] = (struct kv_eviction){ layer, token, 1 };
            REQUIRE(!kv_edit_tokens(e, KV_EVICT, &token, 1, layer, layer, &err), "%s", err.text);
        }
        if (at[0].layer == at[2].layer && at[0].token == at[2].token) continue;
        REQUIRE(!kv_recompress(e, &err) && request_run_to(e, KV_PHASE_ask, &err), "%s", err.text);
        int size = least(e, reply, n, at, good);
        REQUIRE(!kv_blame(e, reply, n, &how, &b, &err), "%s", err.text);
        CHECK(b.evicted == 2 * PLANTED && b.minimal && b.verified, "%d evictions", b.evicted);
        CHECK(b.count == size, "round %d: %d to blame, %d suffice", round, b.count, size);
        int back = 0;
        for (int i = 0; i < b.count; i++)
            for (int k = 0; k < 2 * PLANTED; k++)
                if (!memcmp(&b.eviction[i], &at[k], sizeof at[k])) back |= 1 << k;
        CHECK(
            __builtin_popcount((unsigned)back) == b.count && good[back], "round %d: that does not restore", round);
        found += size > 0;
        kv_blame_free(&b);
    }
    CHECK(found >= 10, "only %d cases changed the output", found);
    printf("# %d of 60 cases changed the output\n", found);
    kv_engine_close(e);
}

/* --- regret and forks -------------------------------------------------------------------------------------------- */

/* A query head regrets what its own KV head has dropped; mass is the full cache's, whoever keeps what. */
static void regret_of_heads(void)
{
    struct kv_engine *e = request(ada), *other = request(shared);
    struct kv_array mass, regret, kept, all;
    int n;
    if (!e || !other) return;
    const int32_t *reply = reply_of(e, &n);
    REQUIRE(!kv_mass(e, reply, n, &err) && !kv_mass(other, reply, n, &err), "%s", err.text);
    REQUIRE(!kv_value(e, "mass", &mass, &err) && !kv_value(other, "mass", &all, &err), "%s", err.text);
    size_t cells = mass.dim[0] * mass.dim[1] * mass.dim[2], heads = mass.dim[1], width = mass.dim[2];
    CHECK(!memcmp(mass.data, all.data, cells * sizeof(float)), "mass depends on the policy");
    float *copy = kv_alloc(cells, sizeof *copy);
    memcpy(copy, mass.data, cells * sizeof *copy);
    REQUIRE(!kv_value(e, "kept", &kept, &err) && kept.n_dim == 3, "%s", err.text);
    uint8_t *in = kv_alloc(kept.dim[0] * kept.dim[1] * kept.dim[2], 1);
    memcpy(in, kept.data, kept.dim[0] * kept.dim[1] * kept.dim[2]);
    REQUIRE(!kv_value(e, "regret", &regret, &err), "%s", err.text);
    size_t differ = 0, group = heads / kept.dim[1];
    for (size_t i = 0; i < cells; i++) {
        size_t l = i / (heads * width), h = i / width % heads, j = i % width;
        bool there = in[(l * kept.dim[1] + h / group) * width + j];
        differ += there != in[(l * kept.dim[1] + (h / group + 1) % kept.dim[1]) * width + j];
        CHECK(((const float *)regret.data)[i] == (there ? 0 : copy[i]), "layer %zu, head %zu, token %zu", l, h, j);
    }
    CHECK(differ > 0, "all heads keep the same");
    free(copy), free(in);
    kv_engine_close(e);
    kv_engine_close(other);
}

/* Forks between the two kinds of sets leave no trace, clones stand where the run does, and both come back. */
static void forks_of_heads(void)
{
    for (size_t i = 0; i < KV_COUNT(policies); i++) {
        struct kv_engine *e = request(policies[i]);
        int fork, clone;
        if (!e) return;
        for (int t = 0; t < 40; t++) REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
        uint64_t before = request_hash(e, &err);
        for (size_t k = 0; k < KV_COUNT(policies); k++) {
            REQUIRE(!kv_run_fork(e, &fork, &err) && request_set(e, policies[k], &err) &&
                        request_run_to(e, KV_PHASE_done, &err),
                "%s", err.text);
            REQUIRE(!kv_run_select(e, 1, &err) && !kv_run_drop(e, fork, &err), "%s", err.text);
            CHECK(request_hash(e, &err) == before, "policy %zu beside policy %zu left a trace", k, i);
        }
        REQUIRE(!kv_run_clone(e, &clone, &err) && request_hash(e, &err) == before, "the clone stands elsewhere: %s",
            err.text);
        REQUIRE(request_run_to(e, KV_PHASE_done, &err), "%s", err.text);
        uint64_t done = request_hash(e, &err);
        REQUIRE(
            !kv_run_select(e, 1, &err) && request_hash(e, &err) == before && request_run_to(e, KV_PHASE_done, &err),
            "%s", err.text);
        CHECK(request_hash(e, &err) == done, "run and clone end differently");
        kv_engine_close(e);
    }
}

static const struct tap_case cases[] = {
    { "scored, compared, decoded and as a policy: one number", one_number },
    { "a layer's curve is its own", sensitivity_of_heads },
    { "sets that are none", bad_sets },
    { "blame finds the head", blame_of_heads },
    { "a head regrets what its KV head has dropped", regret_of_heads },
    { "forks and clones", forks_of_heads },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
