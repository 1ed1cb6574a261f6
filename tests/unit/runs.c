/* Several runs of one prefill: forks that leave the run as it was, clones, and caches compared. */
#include "engine/edit.h"
#include "engine/history.h"
#include "engine/runs.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>

static struct kv_error err;
static struct kv_model *model;

static struct kv_engine *open_engine(const char *question)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "12", "engine.segment", "32",
        NULL };
    const struct request r = { "synthetic:tiny", question, base, NULL, false, KV_PHASE_load };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e && !kv_start(e, &err), "%s", err.text);
    return e;
}

static void step_to(struct kv_engine *e, uint64_t tick)
{
    struct kv_where at;
    for (kv_where(e, &at); at.tick < tick && at.phase != KV_PHASE_done; kv_where(e, &at))
        if (kv_step(e, KV_UNIT_STAGE, &err)) {
            tap_fail(__FILE__, __LINE__, "%s", err.text);
            return;
        }
}

/* At every boundary of compress and of the first decoded tokens: a fork that is compressed, compared, decoded and
 * dropped leaves no trace. */
static void leaves_no_trace(const char *question)
{
    struct kv_engine *e = open_engine(question);
    struct kv_where at;
    if (!e) return;
    for (kv_where(e, &at); at.phase <= KV_PHASE_prefill; kv_where(e, &at)) step_to(e, at.tick + 1);
    for (int i = 0; i < 120 && at.phase != KV_PHASE_done; i++, step_to(e, at.tick + 1), kv_where(e, &at)) {
        uint64_t before = request_hash(e, &err);
        int fork = 0;
        struct kv_comparison c;
        const char *ratio = i % 2 ? "0.5" : "0.25";
        CHECK(!kv_run_fork(e, &fork, &err) && fork == 3, "run %d: %s", fork, err.text);
        CHECK(request_put(e, "policy.ratio", ratio, &err), "%s", err.text);
        while (kv_where(e, &at), at.phase <= KV_PHASE_compress)
            REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
        CHECK(!kv_compare(e, (const int[]){ KV_RUN_FULL, fork }, 2, 0, 6, &c, &err), "%s", err.text);
        kv_comparison_free(&c);
        while (kv_where(e, &at), at.phase != KV_PHASE_done)
            REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
        CHECK(!kv_run_select(e, 1, &err) && !kv_run_drop(e, fork, &err), "%s", err.text);
        kv_where(e, &at);
        CHECK(request_hash(e, &err) == before, "another state at tick %llu (%s:%d)", (unsigned long long)at.tick,
            kv_phase_name[at.phase], at.pass);
    }
    kv_engine_close(e);
}

static void fork_leaves_no_trace(void) { leaves_no_trace(NULL); }
static void fork_leaves_no_trace_with_question(void) { leaves_no_trace("Who read the book?"); }

/* The same settings make the same cache: KL 0, the same tokens, and the same state when it is stepped as far. */
static void unchanged_is_equal(void)
{
    struct kv_engine *e = open_engine(NULL);
    struct kv_comparison c;
    struct kv_where at;
    int fork;
    if (!e) return;
    do REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    while (kv_where(e, &at), at.phase != KV_PHASE_done);
    REQUIRE(!kv_run_fork(e, &fork, &err), "%s", err.text);
    do REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    while (kv_where(e, &at), at.phase != KV_PHASE_done);
    uint64_t mine = request_hash(e, &err);
    REQUIRE(!kv_compare(e, (const int[]){ KV_RUN_FULL, 1, fork }, 3, 0, 10, &c, &err), "%s", err.text);
    CHECK(c.last.kl_max == 0 && c.last.top1 == 1 && c.last.first_divergent == -1, "KL %g", c.last.kl_max);
    CHECK(c.verdict[0].kl_max == 0 && c.verdict[1].kl_max > 0, "KL of the compressed one %g", c.verdict[1].kl_max);
    CHECK(c.verdict[1].kl_mean == c.verdict[2].kl_mean, "%g and %g", c.verdict[1].kl_mean, c.verdict[2].kl_mean);
    kv_comparison_free(&c);
    REQUIRE(!kv_run_select(e, 1, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == mine, "the fork came to another state");
    kv_engine_close(e);
}

/* A comparison of two is the twin, number by number; of the same run twice, nothing. */
static void compares_as_twin(void)
{
    struct kv_engine *e = open_engine("Who read the book?");
    struct kv_comparison c;
    struct kv_verdict v;
    struct kv_where at;
    struct kv_array kl;
    if (!e) return;
    while (kv_where(e, &at), at.phase <= KV_PHASE_compress)
        REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    REQUIRE(!kv_twin(e, 9, &v, &err) && !kv_value(e, "kl", &kl, &err), "%s", err.text);
    REQUIRE(!kv_compare(e, (const int[]){ KV_RUN_FULL, 1 }, 2, 0, 9, &c, &err), "%s", err.text);
    CHECK(c.steps == (int)kl.dim[0] && c.first == 0, "%d steps", c.steps);
    for (int t = 0; t < c.steps; t++)
        CHECK(c.kl[c.steps + t] == ((const double *)kl.data)[t], "step %d: %g", t, c.kl[c.steps + t]);
    CHECK(v.kl_mean == c.verdict[1].kl_mean && v.top1 == c.verdict[1].top1, "another verdict");
    kv_comparison_free(&c);
    REQUIRE(!kv_compare(e, (const int[]){ 1, 1 }, 2, 1, 9, &c, &err), "%s", err.text);
    CHECK(c.verdict[1].kl_max == 0, "KL to itself %g", c.verdict[1].kl_max);
    kv_comparison_free(&c);
    CHECK(kv_compare(e, (const int[]){ 1, 4 }, 2, 0, 9, &c, &err) == KV_NOT_FOUND, "a run that is none");
    kv_engine_close(e);
}

/* The run's own kept sets, gathered anew, are the run. */
static void given_sets_are_the_run(void)
{
    struct kv_engine *e = open_engine(NULL);
    struct kv_comparison a, b;
    struct kv_where at;
    struct kv_array kept;
    int32_t list[8][512], n_kept[8];
    const int32_t *rows[8];
    if (!e) return;
    while (kv_where(e, &at), at.phase <= KV_PHASE_compress)
        REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    REQUIRE(!kv_value(e, "kept", &kept, &err) && kept.dim[0] <= 8 && kept.dim[1] <= 512, "%s", err.text);
    for (size_t l = 0; l < kept.dim[0]; l++) {
        n_kept[l] = 0;
        rows[l] = list[l];
        for (size_t j = 0; j < kept.dim[1]; j++)
            if (((const uint8_t *)kept.data)[l * kept.dim[1] + j]) list[l][n_kept[l]++] = (int32_t)j;
    }
    REQUIRE(!kv_compare(e, (const int[]){ KV_RUN_FULL, 1 }, 2, 0, 9, &a, &err), "%s", err.text);
    REQUIRE(!kv_compare_kept(e, rows, n_kept, 9, &b, &err), "%s", err.text);
    CHECK(a.steps == b.steps && a.verdict[1].kl_mean == b.verdict[1].kl_mean, "%g and %g", a.verdict[1].kl_mean,
        b.verdict[1].kl_mean);
    kv_comparison_free(&a);
    kv_comparison_free(&b);
    REQUIRE(!kv_compare_noise(e, 9, &a, &err), "%s", err.text);
    CHECK(a.verdict[1].kl_max < 1e-6 && a.verdict[1].top1 == 1, "noise of f32: %g", a.verdict[1].kl_max);
    kv_comparison_free(&a);
    kv_engine_close(e);
}

/* A clone stands where its run stands, has its state, and goes the same way; each keeps its own settings. */
static void clones(void)
{
    struct kv_engine *e = open_engine(NULL);
    struct kv_where at;
    int clone, number[4];
    char ratio[40];
    if (!e) return;
    CHECK(kv_run_clone(e, &clone, &err) == KV_NOT_NOW, "a clone before the prefill");
    while (kv_where(e, &at), at.phase < KV_PHASE_decode) REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    step_to(e, at.tick + 40);
    kv_where(e, &at);
    uint64_t mine = request_hash(e, &err), tick = at.tick;
    REQUIRE(!kv_run_clone(e, &clone, &err), "%s", err.text);
    CHECK(clone == 3 && kv_run_selected(e) == 3 && kv_runs(e, number, 4) == 2, "run %d", clone);
    CHECK(request_hash(e, &err) == mine, "the clone has another state");
    CHECK(request_put(e, "policy.ratio", "0.75", &err), "%s", err.text);
    step_to(e, tick + 20);
    uint64_t later = request_hash(e, &err);
    REQUIRE(!kv_run_select(e, 1, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == mine, "the run has changed");
    CHECK(!kv_get(e, "policy.ratio", ratio, sizeof ratio, &err) && !strcmp(ratio, "0.25"), "ratio %s", ratio);
    step_to(e, tick + 20);
    CHECK(request_hash(e, &err) == later, "the run goes another way than its clone");
    CHECK(kv_run_drop(e, 1, &err) == KV_BAD_ARG && kv_run_drop(e, 2, &err) == KV_BAD_ARG, "%s", err.text);
    CHECK(kv_run_select(e, 2, &err) == KV_BAD_ARG && kv_run_select(e, 4, &err) == KV_NOT_FOUND, "%s", err.text);
    REQUIRE(!kv_seek(e, 3, &err), "%s", err.text);
    CHECK(kv_run_select(e, 3, &err) == KV_NOT_NOW, "selected in the prefill");
    step_to(e, tick);
    REQUIRE(!kv_run_select(e, 3, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == later, "the clone has changed while the prefill ran again");
    REQUIRE(!kv_start(e, &err), "%s", err.text);
    CHECK(kv_run_selected(e) == 1 && kv_runs(e, number, 4) == 1, "a start leaves run %d", kv_run_selected(e));
    kv_engine_close(e);
}

static void needs_the_snapshot(void)
{
    struct kv_engine *e = open_engine(NULL);
    struct kv_where at;
    int fork;
    if (!e) return;
    REQUIRE(request_put(e, "engine.snapshot", "off", &err) && !kv_start(e, &err), "%s", err.text);
    while (kv_where(e, &at), at.phase <= KV_PHASE_compress)
        REQUIRE(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    CHECK(kv_run_fork(e, &fork, &err) == KV_NOT_NOW, "a fork without the prefill: %s", err.text);
    kv_engine_close(e);
}

static const struct tap_case cases[] = {
    { "A fork leaves no trace", fork_leaves_no_trace },
    { "A fork leaves no trace, with a question", fork_leaves_no_trace_with_question },
    { "Unchanged settings make an equal run", unchanged_is_equal },
    { "A comparison of two is the twin", compares_as_twin },
    { "The run's kept sets gathered anew are the run", given_sets_are_the_run },
    { "Clones go the same way and keep their own settings", clones },
    { "Runs need the resident prefill", needs_the_snapshot },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
