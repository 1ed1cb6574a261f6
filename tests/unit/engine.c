/* The request as a whole, on the tiny synthetic model: stepping, determinism, compaction, judging, refusals. */
#include "engine/engine.h"
#include "engine/history.h"
#include "tests/tap.h"

#include <signal.h>
#include <stdlib.h>

#define MODEL  "synthetic:tiny"
#define LAYERS 3
#define HEADS  4

static struct kv_error err;
static struct kv_model *model;

static const char *const story =
    "The harbor master wrote the number of every boat in a long book, and when the fog came in he read the book "
    "aloud "
    "so that the pilots could hear which boats were still out. Nobody knew who had begun the custom.";

static bool set(struct kv_engine *e, const char *name, const char *value)
{
    return kv_set(e, &name, &value, 1, &err) == KV_OK;
}

/* An engine in f32 with the story as its prompt; NULL and a failed test when that cannot be had. */
static struct kv_engine *open_engine(const char *question)
{
    struct kv_engine *e = NULL;
    if (!model && kv_model_open(MODEL, &model, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    if (!model || kv_engine_open(model, &e, &err) || !set(e, "engine.precision", "f32") ||
        !set(e, "decode.tokens", "12") || !set(e, "engine.segment", "32") ||
        kv_prompt_text(e, story, strlen(story), question, true, &err)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        kv_engine_close(e);
        return NULL;
    }
    return e;
}

static bool run_to(struct kv_engine *e, enum kv_phase phase, enum kv_unit unit)
{
    struct kv_where at;
    if (!kv_started(e) && kv_start(e, &err)) return false;
    for (kv_where(e, &at); at.phase < phase; kv_where(e, &at))
        if (kv_step(e, unit, &err)) return false;
    return true;
}

/* A copy of a value's bytes, for comparing across runs; freed by the caller. */
static void *copy_value(struct kv_engine *e, const char *name, size_t *bytes)
{
    static const size_t size[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    struct kv_array a;
    *bytes = 0;
    if (kv_value(e, name, &a, &err)) return NULL;
    *bytes = size[a.type];
    for (int i = 0; i < a.n_dim; i++) *bytes *= a.dim[i];
    void *copy = malloc(*bytes + 1);
    memcpy(copy, a.data, *bytes);
    return copy;
}

/* Whether two engines agree on a value to the last bit. */
static bool same_value(struct kv_engine *a, struct kv_engine *b, const char *name)
{
    size_t n, m;
    void *x = copy_value(a, name, &n), *y = copy_value(b, name, &m);
    bool same = x && y && n && n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

static int count(struct kv_engine *e, const char *name)
{
    struct kv_array a;
    return kv_value(e, name, &a, &err) ? -1 : (int)a.dim[0];
}

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

static void score_is_twin(const char *question)
{
    struct kv_engine *e = open_engine(question);
    if (!e) return;
    enum { STEPS = 10, SETS = 3 };
    struct kv_verdict twin = { 0 }, scored[SETS];
    struct kv_array full, kept;
    float kl[SETS * STEPS] = { 0 };
    CHECK(run_to(e, KV_PHASE_done, KV_UNIT_PHASE) && !kv_twin(e, STEPS, &twin, &err), "%s", err.text);
    REQUIRE(!kv_value(e, "full", &full, &err) && full.dim[0] > 2, "%s", err.text);
    int n_reply = (int)full.dim[0];
    int32_t reply[STEPS];
    memcpy(reply, full.data, full.dim[0] * sizeof *reply);
    double *twin_kl = NULL;
    size_t bytes;
    twin_kl = copy_value(e, "kl", &bytes);
    REQUIRE(!kv_value(e, "kept", &kept, &err), "%s", err.text);
    size_t n = kept.dim[1];
    /* set 0: nothing evicted; 1: the run's own sets; 2: the last layer's alone */
    int32_t *pos = malloc(LAYERS * n * sizeof *pos);
    const int32_t *sets[SETS * LAYERS] = { 0 };
    int n_kept[SETS * LAYERS] = { 0 };
    for (size_t l = 0; l < LAYERS; l++) {
        int m = 0;
        for (size_t j = 0; j < n; j++)
            if (((const uint8_t *)kept.data)[l * n + j]) pos[l * n + (size_t)m++] = (int32_t)j;
        sets[LAYERS + l] = pos + l * n;
        n_kept[LAYERS + l] = m;
    }
    sets[3 * LAYERS - 1] = sets[2 * LAYERS - 1];
    n_kept[3 * LAYERS - 1] = n_kept[2 * LAYERS - 1];
    for (int again = 0; again < 2; again++) {
        CHECK(!kv_score(e, reply, n_reply, SETS, sets, n_kept, kl, scored, &err), "%s", err.text);
        CHECK(scored[0].kl_max == 0, "the full set has KL %g", scored[0].kl_max);
        CHECK(fabs(scored[1].kl_mean - twin.kl_mean) <= 1e-5, "score %g, twin %g", scored[1].kl_mean, twin.kl_mean);
        CHECK(scored[1].steps == twin.steps, "score judges %d steps, the twin %d", scored[1].steps, twin.steps);
        CHECK(scored[2].kl_mean > 0, "one layer's eviction goes unseen");
        for (int t = 0; t < n_reply; t++)
            CHECK(
                fabs(kl[n_reply + t] - twin_kl[t]) <= 1e-5, "step %d: %g, twin %g", t, kl[n_reply + t], twin_kl[t]);
    }
    free(pos);
    free(twin_kl);
    kv_engine_close(e);
}
static void score_equals_twin(void) { score_is_twin(NULL); }
static void score_equals_twin_asked(void) { score_is_twin("Which book did the harbor master read?"); }

/* With the run itself as leader, both caches read its greedy reply: the twin's tokens are the run's. */
static void leader_is_followed(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_array reply, other;
    CHECK(set(e, "policy.preset", "seed-literal") && set(e, "policy.ratio", "0.05") &&
              set(e, "judge.leader", "self") && run_to(e, KV_PHASE_done, KV_UNIT_PHASE),
        "%s", err.text);
    struct kv_verdict v = { 0 };
    float kl[12];
    struct kv_verdict scored;
    CHECK(!kv_twin(e, 12, &v, &err) && v.kl_mean > 0 && v.first_divergent > 0, "nothing diverges: %g", v.kl_mean);
    REQUIRE(!kv_value(e, "reply", &reply, &err) && !kv_value(e, "other", &other, &err), "%s", err.text);
    REQUIRE(reply.dim[0] == other.dim[0], "%zu tokens, the twin %zu", reply.dim[0], other.dim[0]);
    CHECK(!memcmp(reply.data, other.data, reply.dim[0] * sizeof(int32_t)), "the leader's tokens are not the reply");
    const int32_t *kept[LAYERS];
    int n_kept[LAYERS], n = count(e, "tok");
    int32_t *pos = malloc((size_t)(LAYERS * n) * sizeof *pos);
    struct kv_array mask;
    REQUIRE(!kv_value(e, "kept", &mask, &err), "%s", err.text);
    for (int l = 0; l < LAYERS; l++) {
        kept[l] = pos + l * n;
        n_kept[l] = 0;
        for (int j = 0; j < n; j++)
            if (((const uint8_t *)mask.data)[l * n + j]) pos[l * n + n_kept[l]++] = j;
    }
    CHECK(!kv_score(e, reply.data, (int)reply.dim[0], 1, kept, n_kept, kl, &scored, &err), "%s", err.text);
    CHECK(fabs(scored.kl_mean - v.kl_mean) <= 1e-5, "the same tokens scored: %g, by the twin %g", scored.kl_mean,
        v.kl_mean);
    free(pos);
    kv_engine_close(e);
}

static void question_comes_after(void)
{
    struct kv_engine *e = open_engine("Who wrote the book?"), *f = open_engine("Nothing alike, is it?");
    if (e && f) {
        struct kv_where at;
        CHECK(run_to(e, KV_PHASE_ask, KV_UNIT_PHASE), "%s", err.text);
        kv_where(e, &at);
        CHECK(at.phase == KV_PHASE_ask && count(e, "reply") == 0, "no ask phase, or a reply before it");
        CHECK(run_to(e, KV_PHASE_done, KV_UNIT_PHASE) && run_to(f, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(e, f, "kept") && same_value(e, f, "score"), "the question took part in the scores");
        CHECK(!same_value(e, f, "logit"), "the question changed nothing");
        int n = count(e, "tok");
        CHECK(set(e, "policy.query-aware", "on") && !kv_start(e, &err), "%s", err.text);
        CHECK(count(e, "tok") > n && count(e, "question") == 0, "a query-aware policy does not read the question");
    }
    kv_engine_close(e);
    kv_engine_close(f);
}

static void attention_on_demand(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    struct kv_array columns, entropy;
    CHECK(run_to(e, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
    size_t n = (size_t)count(e, "tok"), used = n + (size_t)count(e, "reply") - 1;
    float *rows = malloc(used * used * sizeof *rows);
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++) {
            CHECK(!kv_attention(e, l, h, 0, (int)n, rows, n, &err), "%s", err.text);
            REQUIRE(!kv_value(e, "columns", &columns, &err), "%s", err.text);
            REQUIRE(!kv_value(e, "entropy_q", &entropy, &err), "%s", err.text);
            const float *sum = (const float *)columns.data + (size_t)(l * HEADS + h) * n;
            const float *ent = (const float *)entropy.data + (size_t)(l * HEADS + h) * n;
            for (size_t j = 0; j < n; j++) {
                double column = 0, row = 0, ln = 0;
                for (size_t i = 0; i < n; i++) {
                    double a = rows[j * n + i];
                    column += rows[i * n + j];
                    row += a;
                    ln -= a > 0 ? a * log(a) : 0;
                }
                CHECK(fabs(column - (double)sum[j]) <= 1e-4 * (1 + column), "L%d h%d column %zu", l, h, j);
                CHECK(fabs(row - 1) <= 1e-5, "L%d h%d row %zu sums to %g", l, h, j, row);
                CHECK(fabs(ln - (double)ent[j]) <= 1e-4, "L%d h%d row %zu entropy %g, streamed %g", l, h, j, ln,
                    (double)ent[j]);
            }
        }
    CHECK(!kv_attention(e, 1, 2, (int)n - 1, (int)(used - n) + 1, rows, used, &err), "%s", err.text);
    struct kv_array kept;
    REQUIRE(!kv_value(e, "kept", &kept, &err), "%s", err.text);
    for (size_t i = 1; i <= used - n; i++) {
        double sum = 0;
        for (size_t j = 0; j < used; j++) {
            sum += rows[i * used + j];
            if (j < n && !((const uint8_t *)kept.data)[n + j])
                CHECK(rows[i * used + j] == 0, "reply row %zu reads the evicted token %zu", i, j);
        }
        CHECK(fabs(sum - 1) <= 1e-5, "reply row %zu sums to %g", i, sum);
    }
    free(rows);
    kv_engine_close(e);
}

/* Looking, judging and scoring in the middle of a pass must not disturb it. */
static void looking_disturbs_nothing(void)
{
    struct kv_engine *a = open_engine(NULL), *b = open_engine(NULL);
    if (a && b) {
        struct kv_where at;
        struct kv_verdict v;
        float row[4096];
        CHECK(run_to(a, KV_PHASE_decode, KV_UNIT_PHASE), "%s", err.text);
        for (int i = 0; i < 200; i++) {
            if (kv_step(a, KV_UNIT_STAGE, &err)) break;
            kv_where(a, &at);
            if (i % 7 == 3) CHECK(!kv_attention(a, 2, 1, 5, 1, row, KV_COUNT(row), &err), "%s", err.text);
            if (i % 31 == 5) CHECK(!kv_twin(a, 3, &v, &err), "%s", err.text);
        }
        CHECK(run_to(a, KV_PHASE_done, KV_UNIT_PHASE) && run_to(b, KV_PHASE_done, KV_UNIT_PHASE), "%s", err.text);
        CHECK(same_value(a, b, "logit") && same_value(a, b, "reply"), "looking changed the run");
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

/* Layers below the one that comes next already hold the row under way: the rows of the reply do not see it. */
static void attention_within_a_pass(void)
{
    struct kv_engine *e = open_engine(NULL);
    if (!e) return;
    CHECK(set(e, "policy.preset", "full") && run_to(e, KV_PHASE_decode, KV_UNIT_PHASE), "%s", err.text);
    for (int i = 0; i < 3; i++) CHECK(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    for (int i = 0; i < 2; i++) CHECK(!kv_step(e, KV_UNIT_LAYER, &err), "%s", err.text);
    enum { ROWS = 3 };
    int n = count(e, "tok"), wide = n + ROWS;
    float *rows = malloc((size_t)(ROWS * wide) * sizeof *rows);
    CHECK(!kv_attention(e, 0, 1, n, ROWS, rows, (size_t)wide, &err), "%s", err.text);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int j = 0; j < wide; j++) sum += rows[i * wide + j];
        CHECK(fabs(sum - 1) <= 1e-5, "reply row %d sums to %g", i, sum);
    }
    CHECK(kv_attention(e, 0, 1, 1, INT32_MAX, rows, (size_t)wide, &err) == KV_BAD_ARG, "2^31 rows are there");
    free(rows);
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
    CHECK(count(e, "reply") == 6, "a reply of %d tokens", count(e, "reply"));
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
        { "attention of the reply in the middle of a pass", attention_within_a_pass },
        { "active bytes fall, resident ones stay, budgets are conserved", memory_falls },
        { "a scored reply is the twin's, restarted at any layer", score_equals_twin },
        { "the same with a question of its own", score_equals_twin_asked },
        { "the leader's tokens are fed to both twins", leader_is_followed },
        { "a question is read after compress and does not score", question_comes_after },
        { "attention on demand agrees with streamed sums and entropy", attention_on_demand },
        { "looking in mid-pass disturbs nothing", looking_disturbs_nothing },
        { "a stop request ends at a boundary", stop_ends_at_a_boundary },
        { "sampling repeats by its seed", sampling_repeats },
        { "prompts shorter than what is forced", small_prompts },
        { "refusals are one sentence and lose nothing", refusals },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
