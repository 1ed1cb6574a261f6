/* What is asked about a request that runs or has run: twins, scores of kept sets, a question, attention on demand. */
#include "tests/unit/engine_story.h"

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

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "attention of the reply in the middle of a pass", attention_within_a_pass },
        { "a scored reply is the twin's, restarted at any layer", score_equals_twin },
        { "the same with a question of its own", score_equals_twin_asked },
        { "the leader's tokens are fed to both twins", leader_is_followed },
        { "a question is read after compress and does not score", question_comes_after },
        { "attention on demand agrees with streamed sums and entropy", attention_on_demand },
        { "looking in mid-pass disturbs nothing", looking_disturbs_nothing },
    };
    return run_cases(argc, argv, cases, KV_COUNT(cases));
}
