/* Tokens that a sliding window has left behind for good (policy.unseen): no budget for them, the total conserved, and
 * nothing that decode could have read is lost. */
#include "engine/edit.h"
#include "engine/history.h"
#include "engine/look.h"
#include "engine/policy/allocate.h"
#include "engine/policy/select.h"
#include "engine/runs.h"
#include "engine/state.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>

#define WINDOW 16 /* of synthetic:tiny-sliding, in all layers but the first */

static struct kv_error err;
static struct kv_model *model;

static struct kv_engine *request(const char *const *pairs, enum kv_phase phase)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "14", "policy.sinks", "2",
        "policy.recent", "4", NULL };
    const struct request r = { "synthetic:tiny-sliding", NULL, base, pairs, true, phase };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e, "%s", err.text);
    return e;
}

static int least(int a, int b) { return a < b ? a : b; }

/* Budgets: a windowed layer gets what the next query can see at most, the others the rest, the sum as asked. */
static void budgets(void)
{
    static const char *const ratio[] = { "0.1", "0.2", "0.35", "0.5", "0.8", "0.99" };
    static const char *const group[] = { "shared", "kv-head" };
    for (size_t k = 0; k < 2 * KV_COUNT(ratio); k++) {
        const char *const drop[] = { "policy.ratio", ratio[k / 2], "policy.group", group[k % 2], NULL };
        const char *const keep[] = { "policy.ratio", ratio[k / 2], "policy.group", group[k % 2], "policy.unseen",
            "keep", NULL };
        struct kv_engine *e = request(drop, KV_PHASE_decode), *other = request(keep, KV_PHASE_decode);
        if (!e || !other) return;
        int n = e->n, layers = model->shape.n_layer, sum = 0, can = n + (layers - 1) * (WINDOW - 1);
        for (int l = 0; l < layers; l++) {
            int32_t budget = e->sel.budget[l], was = other->sel.budget[l];
            sum += budget;
            CHECK(kv_cache_unseen(e, l) == 0, "layer %d keeps %d that nobody sees", l, kv_cache_unseen(e, l));
            CHECK(!l || budget <= WINDOW - 1, "layer %d has %d tokens", l, (int)budget);
            CHECK(l || budget >= was, "layer 0 has %d tokens, %d before", (int)budget, (int)was);
            for (int g = 0; g < e->sel.sets; g++) {
                size_t row = selection_row(&e->sel, l, g);
                CHECK(e->sel.n_kept[row] == budget, "layer %d keeps %d of %d", l, (int)e->sel.n_kept[row],
                    (int)budget);
            }
        }
        int want = least((int)lround(atof(ratio[k / 2]) * n * layers), can);
        CHECK(sum == want, "ratio %s: %d tokens, want %d", ratio[k / 2], sum, want);
        kv_engine_close(e);
        kv_engine_close(other);
    }
}

/* Where a windowed layer keeps all that can be seen, the reply is that of a cache with the unseen tokens in it. */
static void nothing_is_lost(void)
{
    static const char *const drop[] = { "policy.ratio", "0.8", NULL };
    static const char *const all[] = { "policy.ratio", "1", NULL };
    struct kv_engine *e = request(drop, KV_PHASE_decode), *full = request(all, KV_PHASE_done);
    struct kv_verdict verdict;
    struct kv_array kept;
    if (!e || !full) return;
    CHECK(!kv_value(full, "kept", &kept, &err), "%s", err.text);
    for (size_t i = 0; i < kept.dim[0] * kept.dim[1]; i++)
        CHECK(((const uint8_t *)kept.data)[i], "ratio 1 drops token %zu", i % kept.dim[1]);
    CHECK(!kv_twin(full, 14, &verdict, &err) && verdict.kl_max == 0, "keeping all: KL %g", verdict.kl_max);
    for (int l = 1; l < model->shape.n_layer; l++)
        CHECK(e->sel.budget[l] == WINDOW - 1, "layer %d has %d", l, (int)e->sel.budget[l]);
    int32_t kept_all[400];
    const int32_t *rows[8] = { NULL };
    int n_kept[8] = { 0 };
    struct kv_comparison c;
    for (int j = 0; j < WINDOW - 1; j++) kept_all[j] = e->n - (WINDOW - 1) + j;
    for (int l = 1; l < model->shape.n_layer; l++) rows[l] = kept_all, n_kept[l] = WINDOW - 1;
    REQUIRE(!kv_compare_kept(e, rows, n_kept, 14, &c, &err), "%s", err.text);
    CHECK(c.verdict[1].kl_max < 1e-9, "windows that keep what they see: KL %g", c.verdict[1].kl_max);
    kv_comparison_free(&c);
    kv_engine_close(e);
    kv_engine_close(full);
}

/* The user's word holds, scores say who competed, and marks, runs and compressions in decode agree. */
static void together(void)
{
    static const char *const half[] = { "policy.ratio", "0.5", NULL };
    static const char *const every[] = { "policy.ratio", "0.4", "policy.every", "3", NULL };
    struct kv_engine *e = request(half, KV_PHASE_decode);
    const int32_t token = 7;
    struct kv_array rank;
    if (!e) return;
    REQUIRE(!kv_value(e, "rank", &rank, &err), "%s", err.text);
    for (int l = 1; l < model->shape.n_layer; l++)
        for (int j = 0; j <= e->n - WINDOW; j++)
            CHECK(((const int32_t *)rank.data)[l * e->n + j] == -1, "layer %d: token %d competes", l, j);
    REQUIRE(!kv_edit_tokens(e, KV_PIN, &token, 1, 1, 1, &err) && !kv_recompress(e, &err) &&
                request_run_to(e, KV_PHASE_decode, &err),
        "%s", err.text);
    CHECK(e->sel.reason[e->n + token] == POLICY_PIN, "a pinned token is %s",
        kv_reason_name[e->sel.reason[e->n + token]]);
    kv_engine_close(e);
    e = request(every, KV_PHASE_done);
    if (!e) return;
    for (int l = 1; l < model->shape.n_layer; l++)
        CHECK(kv_cache_unseen(e, l) <= 3, "layer %d holds %d unseen", l, kv_cache_unseen(e, l));
    kv_engine_close(e);
}

/* 10,000 random prompts, windows and weights: the sum is exact, no layer gets what it cannot use, and a window never
 * costs a layer without one. */
static void random_cases(void)
{
    uint64_t state = 5;
    for (int round = 0; round < 10000; round++) {
#define BELOW(n) ((int)((state = state * 6364136223846793005u + 1442695040888963407u) >> 33) % (n))
        enum { LAYERS = 6 };
        int n = 2 + abs(BELOW(120)), capped[LAYERS];
        struct kv_policy p;
        double weight[LAYERS];
        int32_t lo[LAYERS], hi[LAYERS], free_hi[LAYERS], budget[LAYERS], without[LAYERS];
        int8_t pin[122];
        REQUIRE(!policy_preset("seed", &p, &err), "%s", err.text);
        p.sinks = abs(BELOW(4)), p.recent = abs(BELOW(6));
        int64_t can = 0, must = 0;
        for (int l = 0; l < LAYERS; l++) {
            int window = abs(BELOW(3)) ? 2 + abs(BELOW(n)) : 0, unseen = window && window <= n ? n - window + 1 : 0;
            if (unseen > n - 1) unseen = n - 1;
            REQUIRE(selection_pins(NULL, l, n, unseen, pin) == (unseen > 0), "a row of %d", unseen);
            REQUIRE(!policy_bounds(&p, l, n, unseen ? pin : NULL, &lo[l], &hi[l], &err), "%s", err.text);
            CHECK(hi[l] == n - unseen, "round %d, layer %d: up to %d of %d", round, l, (int)hi[l], n - unseen);
            capped[l] = unseen > 0;
            free_hi[l] = n;
            weight[l] = abs(BELOW(1000)) / 100.0;
            can += hi[l], must += lo[l];
        }
        int64_t total = must + (can > must ? abs(BELOW((int)(can - must + 1))) : 0), sum = 0;
        const struct policy_problem windowed = { LAYERS, weight, lo, hi, NULL, total };
        const struct policy_problem open = { LAYERS, weight, lo, free_hi, NULL, total };
        REQUIRE(!policy_solve(&windowed, budget, NULL, &err) && !policy_solve(&open, without, NULL, &err), "%s",
            err.text);
        for (int l = 0; l < LAYERS; l++) {
            sum += budget[l];
            CHECK(budget[l] >= lo[l] && budget[l] <= hi[l], "round %d: layer %d has %d", round, l, (int)budget[l]);
            CHECK(capped[l] || budget[l] + 1 >= without[l], "round %d: layer %d has %d, without windows %d", round,
                l, (int)budget[l], (int)without[l]);
        }
        CHECK(sum == total, "round %d: %lld of %lld tokens", round, (long long)sum, (long long)total);
    }
}

static const struct tap_case cases[] = {
    { "budgets go where tokens can be seen", budgets },
    { "nothing that is seen is lost", nothing_is_lost },
    { "pins, ranks and compressions in decode", together },
    { "10,000 random windows", random_cases },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
