/* The request as a whole, on the tiny synthetic model: stepping, determinism, compaction, refusals. */
#include "engine/history.h"
#include "tests/unit/engine_story.h"

#include <signal.h>

/* Runs two engines to the end, one changed by a setting, and compares what they computed: column sums and what comes
 * of them last, for their order of addition depends on the segment. */
static void compare_runs(const char *name, const char *value, enum kv_unit unit)
{
    static const char *const what[] = { "reply", "logit", "entropy_q", "budget.app", "kept", "columns", "score" };
    size_t compared = KV_COUNT(what) - (name && !strcmp(name, "engine.segment") ? 2 : 0);
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        if (name) CHECK(set(b, name, value), "%s", err.text);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(run_to(b, KV_PHASE_done, unit), "%s", err.text);
        for (size_t i = 0; i < compared; i++)
            CHECK(same_value(a, b, what[i]), "%s differs with %s", what[i], name ? name : "another unit");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void steps_are_bits(void)
{
    compare_runs(NULL, NULL, KV_UNIT_STAGE);
    compare_runs(NULL, NULL, KV_UNIT_LAYER);
}
static void threads_are_bits(void) { compare_runs("engine.threads", "1", KV_UNIT_PHASE); }
static void segments_are_bits(void) { compare_runs("engine.segment", "64", KV_UNIT_PHASE); }
static void snapshot_is_bits(void) { compare_runs("engine.snapshot", "off", KV_UNIT_PHASE); }

static void ratio_one_is_full(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        CHECK(set(a, "policy.preset", "full"), "%s", err.text);
        CHECK(set(b, "policy.ratio", "1"), "%s", err.text);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "logit") && same_value(a, b, "reply"), "keeping everything is not the full cache");
        struct kv_verdict v = { 0 };
        CHECK(!kv_twin(b, 8, &v, &err), "%s", err.text);
        CHECK(v.kl_max == 0 && v.top1 == 1 && v.first_divergent == -1, "KL %g against itself", v.kl_max);
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void ticks_number_boundaries(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_where at, before = { 0 };
    CHECK(!kv_start(e, &err), "%s", err.text);
    kv_where(e, &before);
    CHECK(before.tick == 0 && before.phase == KV_PHASE_prefill && before.stage == KV_STAGE_embed,
        "start is not tick 0");
    for (kv_where(e, &at); at.phase != KV_PHASE_done; kv_where(e, &at)) {
        before = at;
        if (kv_step(e, KV_UNIT_STAGE, &err)) break;
        kv_where(e, &at);
        if (at.tick != before.tick + 1) break;
    }
    kv_where(e, &at);
    CHECK(at.phase == KV_PHASE_done && at.tick == before.tick + 1, "stopped at tick %llu: %s",
        (unsigned long long)at.tick, err.text);
    CHECK(kv_step(e, KV_UNIT_STAGE, &err) == KV_NOT_NOW, "a done request steps");
    kv_engine_close(e);
}

static void units_nest(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_where at;
    CHECK(!kv_start(e, &err) && !kv_step(e, KV_UNIT_LAYER, &err), "%s", err.text);
    kv_where(e, &at);
    CHECK(at.layer == 0 && at.stage == KV_STAGE_norm, "a layer step from embed ends at L%d", at.layer);
    CHECK(!kv_step(e, KV_UNIT_LAYER, &err), "%s", err.text);
    kv_where(e, &at);
    CHECK(at.layer == 1 && at.stage == KV_STAGE_norm, "a layer step ends at L%d.%s", at.layer,
        kv_stage_name[at.stage]);
    CHECK(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    kv_where(e, &at);
    CHECK(at.phase == KV_PHASE_prefill && at.pass == 1 && at.stage == KV_STAGE_embed, "a pass step ends in pass %d",
        at.pass);
    CHECK(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    kv_where(e, &at);
    CHECK(at.phase == KV_PHASE_compress && at.stage == KV_STAGE_allocate, "a phase step ends in %s",
        kv_phase_name[at.phase]);
    kv_engine_close(e);
}

static void recompress_branches(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        struct kv_where first, again;
        CHECK(run_to(a, KV_PHASE_compress, KV_UNIT_PHASE), "%s", err.text);
        kv_where(a, &first);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(set(a, "policy.allocator", "uniform") && !kv_recompress(a, &err), "%s", err.text);
        kv_where(a, &again);
        CHECK(again.tick == first.tick && again.branch == first.branch + 1 && again.phase == KV_PHASE_compress,
            "recompress is at tick %llu of branch %d", (unsigned long long)again.tick, again.branch);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(set(b, "policy.allocator", "uniform") && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "logit") && same_value(a, b, "kept") && same_value(a, b, "reply"),
            "recompress is not what a new run gives");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void recompress_without_snapshot(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        CHECK(set(a, "engine.snapshot", "off") && run_to(a, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        struct kv_memory m;
        kv_memory(a, &m);
        CHECK(m.resident == 0 && m.active > 0, "in place leaves %zu resident bytes", m.resident);
        CHECK(kv_twin(a, 4, &(struct kv_verdict){ 0 }, &err) == KV_NOT_NOW, "a twin without its full cache");
        CHECK(set(a, "policy.ratio", "0.5") && !kv_recompress(a, &err), "%s", err.text);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(set(b, "policy.ratio", "0.5") && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "logit") && same_value(a, b, "kept"), "in place differs from the snapshot");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void memory_falls(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_memory full, quarter;
    struct kv_array budget;
    CHECK(set(e, "policy.preset", "full") && run_to(e, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
    kv_memory(e, &full);
    CHECK(set(e, "policy.preset", "seed") && !kv_recompress(e, &err) && run_to(e, KV_PHASE_done, KV_UNIT_PHASE),
        "%s", err.text);
    kv_memory(e, &quarter);
    CHECK(quarter.resident == full.resident && quarter.active < full.active, "active %zu, then %zu bytes",
        full.active, quarter.active);
    CHECK(!kv_value(e, "budget.app", &budget, &err), "%s", err.text);
    int sum = 0, n = count(e, "tok");
    for (int l = 0; l < LAYERS; l++) sum += ((const int32_t *)budget.data)[l];
    int want = (int)lrint(0.25 * n * LAYERS), least = LAYERS * 36;
    CHECK(sum == (want > least ? want : least), "budgets sum to %d of %d x %d tokens", sum, n, LAYERS);
    kv_engine_close(e);
}

/* The tail of the cache is sized by decode.tokens, which may rise and fall at any boundary. */
static void reply_length_changes(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_verdict v;
    CHECK(set(e, "decode.tokens", "4") && run_to(e, KV_PHASE_decode, KV_UNIT_PHASE), "%s", err.text);
    CHECK(set(e, "decode.tokens", "12"), "%s", err.text);
    while (count(e, "reply") < 5) REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    CHECK(set(e, "decode.tokens", "2") && run_to(e, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
    CHECK(count(e, "reply") == 5, "a reply of %d tokens", count(e, "reply"));
    struct kv_where done, again;
    kv_where(e, &done);
    CHECK(!kv_seek(e, done.tick - 1, &err) && run_to(e, KV_PHASE_done, KV_UNIT_STAGE), "%s", err.text);
    kv_where(e, &again);
    CHECK(again.tick == done.tick && count(e, "reply") == 5, "going back gives %d tokens", count(e, "reply"));
    CHECK(!kv_twin(e, INT32_MAX, &v, &err), "%s", err.text);
    kv_engine_close(e);
}

/* What recompress begins anew is drawn with the settings of now, whether the prefill runs again or not. */
static void recompress_draws_anew(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL), *c = open_engine(NULL);
    if (a && b && c) {
        const char *const name[] = { "decode.temperature", "decode.seed", "engine.segment" };
        const char *const value[] = { "2", "3", "7" };
        struct kv_array array;
        CHECK(set(b, "engine.snapshot", "off") && run_to(a, KV_PHASE_done, KV_UNIT_PHASE) &&
                  run_to(b, KV_PHASE_done, KV_UNIT_PHASE) && !kv_twin(a, 2, &(struct kv_verdict){ 0 }, &err),
            "%s", err.text);
        CHECK(!kv_set(a, name, value, 3, &err) && !kv_set(b, name, value, 3, &err), "%s", err.text);
        CHECK(!kv_recompress(a, &err) && !kv_recompress(b, &err), "%s", err.text);
        CHECK(kv_value(a, "reason", &array, &err) == KV_NOT_NOW && kv_value(a, "kl", &array, &err) == KV_NOT_NOW,
            "values of the run that was dropped are still there");
        struct kv_where x, y;
        kv_where(a, &x);
        kv_where(b, &y);
        CHECK(x.tick == y.tick && x.branch == y.branch, "ticks %llu and %llu", (unsigned long long)x.tick,
            (unsigned long long)y.tick);
        CHECK(!kv_set(c, name, value, 2, &err) && run_to(a, KV_PHASE_done, KV_UNIT_PHASE) &&
                  run_to(b, KV_PHASE_done, KV_UNIT_PHASE) && run_to(c, KV_PHASE_done, KV_UNIT_PHASE),
            "%s", err.text);
        CHECK(same_value(a, c, "reply") && same_value(b, c, "reply"), "a first token of the old settings stays");
    }
    kv_engine_close(a);
    kv_engine_close(b);
    kv_engine_close(c);
}

static void stop_ends_at_a_boundary(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        CHECK(!kv_start(a, &err), "%s", err.text);
        kv_stop(a);
        CHECK(kv_step(a, KV_UNIT_PHASE, &err) == KV_STOPPED, "kv_stop is not heard");
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "logit"), "a stop changed the run");
        kv_stop(a);
        CHECK(kv_twin(a, 8, &(struct kv_verdict){ 0 }, &err) == KV_STOPPED, "a twin does not stop");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void sampling_repeats(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        const char *const name[] = { "decode.temperature", "decode.top-k", "decode.top-p", "decode.min-p",
            "decode.seed" };
        const char *const value[] = { "1.5", "50", "0.95", "0.01", "7" };
        CHECK(!kv_set(a, name, value, 5, &err) && !kv_set(b, name, value, 5, &err), "%s", err.text);
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "reply"), "one seed gives two replies");
        CHECK(!kv_recompress(b, &err) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "reply"), "recompressing draws other tokens");
        CHECK(set(b, "decode.seed", "8") && !kv_start(b, &err) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s",
            err.text);
        CHECK(!same_value(a, b, "reply"), "two seeds give one reply at temperature 1.5");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

static void small_prompts(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    for (int n = 1; n <= 40; n += n < 5 ? 1 : 7) {
        int32_t ids[40];
        for (int i = 0; i < n; i++) ids[i] = 40 + i;
        CHECK(!kv_prompt_ids(e, ids, n, NULL, 0, &err), "%s", err.text);
        CHECK(run_to(e, KV_PHASE_done, KV_UNIT_PHASE), "%d tokens: %s", n, err.text);
        CHECK(count(e, "reply") >= 1, "%d tokens give no reply", n);
    }
    kv_engine_close(e);
}

static void refusals(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_array a;
    struct kv_verdict v;
    float out[64];
    int32_t id = 1 << 30, many[600] = { 0 };
    const char *const twice[] = { "policy.ratio", "policy.tokens" }, *const values[] = { "0.5", "100" };
    CHECK(kv_step(e, KV_UNIT_STAGE, &err) == KV_NOT_NOW, "steps before start");
    CHECK(kv_value(e, "entropy", &a, &err) == KV_NOT_NOW, "entropy before start");
    CHECK(kv_value(e, "entopy", &a, &err) == KV_NOT_FOUND && strstr(err.text, "entopy"), "%s", err.text);
    CHECK(kv_set(e, twice, values, 2, &err) == KV_BAD_ARG, "two names of one budget are taken");
    CHECK(!set(e, "policy.ratio", "0") && !set(e, "policy.ratio", "nan") && !set(e, "policy.ratio", "1.5") &&
              !set(e, "policy.ratio", "-1") && !set(e, "engine.kv", "f8") && !set(e, "nothing", "1"),
        "a bad value is taken");
    CHECK(kv_prompt_ids(e, &id, 1, NULL, 0, &err) == KV_BAD_ARG, "a token beyond the vocabulary is taken");
    CHECK(kv_prompt_ids(e, many, 600, NULL, 0, &err) == KV_BAD_ARG && strstr(err.text, "512"), "%s", err.text);
    CHECK(kv_prompt_text(e, "", 0, NULL, false, &err) == KV_BAD_ARG, "an empty prompt is taken");
    CHECK(!kv_start(e, &err), "a refused prompt took the old one away: %s", err.text);
    CHECK(kv_recompress(e, &err) == KV_NOT_NOW && kv_twin(e, 4, &v, &err) == KV_NOT_NOW, "judges before compress");
    CHECK(kv_value(e, "kept", &a, &err) == KV_NOT_NOW && strstr(err.text, "prefill:0"), "%s", err.text);
    CHECK(run_to(e, KV_PHASE_decode, KV_UNIT_PHASE), "%s", err.text);
    CHECK(kv_attention(e, LAYERS, 0, 0, 1, out, 64, &err) == KV_BAD_ARG, "layer %d is there", LAYERS);
    CHECK(kv_attention(e, 0, -1, 0, 1, out, 64, &err) == KV_BAD_ARG, "head -1 is there");
    CHECK(kv_attention(e, 0, 0, 100000, 1, out, 64, &err) == KV_BAD_ARG, "row 100000 is there");
    CHECK(set(e, "engine.stats", "policy") && set(e, "policy.selector", "streaming") && !kv_start(e, &err) &&
              run_to(e, KV_PHASE_decode, KV_UNIT_PHASE) && set(e, "policy.selector", "sum") &&
              !kv_recompress(e, &err),
        "%s", err.text);
    CHECK(kv_step(e, KV_UNIT_PHASE, &err) == KV_NOT_NOW && strstr(err.text, "engine.stats"), "%s", err.text);
    CHECK(
        set(e, "engine.backend", "cuda") && kv_start(e, &err) == KV_DEVICE, "cuda without a plugin: %s", err.text);
    kv_engine_close(e);
}

/* Mean entropies are kept and added to: whoever reads them at every boundary sees what a first reader sees. */
static void means(void)
{
    struct kv_engine *often = open_engine(NULL), *seldom = open_engine(NULL);
    struct kv_where w;
    struct kv_array a;
    REQUIRE(often && seldom && !kv_start(often, &err) && !kv_start(seldom, &err), "%s", err.text);
    int compared = 0;
    for (kv_where(often, &w); w.phase < KV_PHASE_decode; kv_where(often, &w)) {
        REQUIRE(!kv_value(often, "entropy", &a, &err), "%s", err.text);
        if (w.tick % 23 == 5) {
            CHECK(same_value(often, seldom, "entropy") && same_value(often, seldom, "E"), "tick %d differs",
                (int)w.tick);
            compared++;
        }
        if (w.tick == 70 && !w.branch && compared < 100) { /* back into the prefill, once */
            compared += 100;
            REQUIRE(!kv_seek(often, 31, &err) && !kv_seek(seldom, 31, &err), "%s", err.text);
            CHECK(same_value(often, seldom, "entropy"), "going back leaves other means");
        }
        REQUIRE(!kv_step(often, KV_UNIT_STAGE, &err) && !kv_step(seldom, KV_UNIT_STAGE, &err), "%s", err.text);
    }
    CHECK(compared > 104, "compared %d times", compared);
    REQUIRE(set(often, "policy.rows", "window") && set(seldom, "policy.rows", "window"), "%s", err.text);
    CHECK(same_value(often, seldom, "entropy"), "a window's means differ");
    size_t bytes;
    void *window = copy_value(often, "entropy", &bytes);
    REQUIRE(set(often, "policy.rows", "all") && window && !kv_value(often, "entropy", &a, &err), "%s", err.text);
    CHECK(memcmp(window, a.data, bytes), "the rows that count do not count");
    free(window);
    kv_engine_close(often);
    kv_engine_close(seldom);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "mean entropies, read often or seldom", means },
        { "stepping by stage or layer gives the bits of full speed", steps_are_bits },
        { "the thread count changes no bit in f32", threads_are_bits },
        { "the segment changes no bit in f32", segments_are_bits },
        { "compacting in place changes no bit", snapshot_is_bits },
        { "keeping everything is the full cache, bit for bit", ratio_one_is_full },
        { "ticks number every boundary", ticks_number_boundaries },
        { "stage, layer, pass and phase nest", units_nest },
        { "recompress branches from the same prefill", recompress_branches },
        { "recompress without a snapshot runs the prefill again", recompress_without_snapshot },
        { "recompress draws with the settings of now", recompress_draws_anew },
        { "the reply's length may change on the way", reply_length_changes },
        { "active bytes fall, resident ones stay, budgets are conserved", memory_falls },
        { "a stop request ends at a boundary", stop_ends_at_a_boundary },
        { "sampling repeats by its seed", sampling_repeats },
        { "prompts shorter than what is forced", small_prompts },
        { "refusals are one sentence and lose nothing", refusals },
    };
    return run_cases(argc, argv, cases, KV_COUNT(cases));
}
