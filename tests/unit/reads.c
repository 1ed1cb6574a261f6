/* Reads of the pass under way, on the tiny synthetic model: they are what kv_attention computes anew, and they disturb
 * nothing. */
#include "engine/history.h"
#include "engine/reads.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>

#define HEADS 4
#define MOST  256 /* positions */

static struct kv_error err;
static struct kv_model *model;

static struct kv_engine *open_engine(const char *question)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "6", "engine.segment", "32",
        "policy.ratio", "0.5", NULL };
    const struct request r = { "synthetic:tiny", question, base, NULL, true, KV_PHASE_load };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e && !kv_start(e, &err), "%s", err.text);
    return e;
}

/* The most that rows first..last of a layer and head give to each key before them. */
static bool attention(struct kv_engine *e, int layer, int head, int first, int rows, float *most)
{
    static float row[MOST];
    for (int j = 0; j < MOST; j++) most[j] = 0;
    for (int i = first; i < first + rows; i++) {
        if (kv_attention(e, layer, head, i, 1, row, MOST, &err)) return false;
        for (int j = 0; j < i; j++) most[j] = fmaxf(most[j], row[j]);
    }
    return true;
}

/* What was read of one pass and layer, kept until kv_attention can be asked. */
struct kept {
    int layer, first, rows;
    float most[HEADS][MOST];
};

/* Walks a request, reads at every layer, and compares when the passes are over. */
static void walk(const char *question)
{
    struct kv_engine *e = open_engine(question), *untouched = open_engine(question);
    static struct kept kept[200];
    static int32_t row[HEADS * MOST];
    static float most[HEADS * MOST];
    int n = 0, looked = 0;
    struct kv_where w;
    REQUIRE(e && untouched, "%s", err.text);
    for (kv_where(e, &w); w.phase != KV_PHASE_done; kv_where(e, &w)) {
        int positions = kv_reads_positions(e);
        bool here = w.stage == KV_STAGE_observe && w.phase != KV_PHASE_compress;
        CHECK(here == (positions > 0), "%d positions at %s %s", positions, kv_phase_name[w.phase],
            w.layer < 0 ? "" : kv_stage_name[w.stage]);
        if (here && n < 200) {
            REQUIRE(!kv_reads(e, false, 0, HEADS, most, row, &err), "%s", err.text);
            struct kept *k = &kept[n++];
            k->layer = w.layer;
            k->first = positions;
            for (int h = 0; h < HEADS; h++)
                for (int j = 0; j < positions; j++) {
                    k->most[h][j] = most[h * positions + j];
                    int i = row[h * positions + j];
                    CHECK(k->most[h][j] > 0 ? i > j && i < positions : i == -1, "row %d reads %d", i, j);
                    if (i > 0 && i < k->first) k->first = i;
                }
            k->rows = positions;
            looked++;
        }
        REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
        REQUIRE(!kv_step(untouched, KV_UNIT_STAGE, &err), "%s", err.text);
    }
    CHECK(looked > 20, "only %d layers looked at", looked);
    uint64_t a, b;
    REQUIRE(!kv_state_hash(e, &a, &err) && !kv_state_hash(untouched, &b, &err), "%s", err.text);
    CHECK(a == b, "looking has changed the request");
    for (int i = 0; i < n; i += 5) /* one head each, in turn */
        for (int h = i / 5 % HEADS, j = 0; j < kept[i].rows; j++) {
            static float again[MOST];
            if (!j)
                REQUIRE(attention(e, kept[i].layer, h, kept[i].first, kept[i].rows - kept[i].first, again), "%s",
                    err.text);
            CHECK(fabsf(again[j] - kept[i].most[h][j]) <= 1e-5f, "look %d, layer %d head %d: @%d got %g, not %g", i,
                kept[i].layer, h, j, (double)kept[i].most[h][j], (double)again[j]);
        }
    kv_engine_close(e);
    kv_engine_close(untouched);
}

static void without_question(void) { walk(NULL); }
static void with_question(void) { walk("Who read the book?"); }

/* Where nothing was evicted, reading all keys is reading. */
static void full(void)
{
    static int32_t row[2][HEADS * MOST];
    static float most[2][HEADS * MOST];
    struct kv_engine *e = open_engine(NULL);
    struct kv_where w;
    REQUIRE(e && request_put(e, "policy.preset", "full", &err), "%s", err.text);
    int looked = 0;
    for (kv_where(e, &w); w.phase != KV_PHASE_done; kv_where(e, &w)) {
        if (w.phase == KV_PHASE_decode && w.stage == KV_STAGE_observe) {
            size_t cells = HEADS * (size_t)kv_reads_positions(e);
            REQUIRE(!kv_reads(e, false, 0, HEADS, most[0], row[0], &err), "%s", err.text);
            REQUIRE(!kv_reads(e, true, 0, HEADS, most[1], row[1], &err), "%s", err.text);
            for (size_t i = 0; i < cells; i++)
                CHECK(fabsf(most[0][i] - most[1][i]) <= 1e-6f && row[0][i] == row[1][i], "cell %zu: %g and %g", i,
                    (double)most[0][i], (double)most[1][i]);
            looked++;
        }
        REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
    }
    CHECK(looked, "nothing was looked at");
    kv_engine_close(e);
}

static void refused(void)
{
    int32_t row[HEADS];
    float most[HEADS];
    struct kv_engine *e = open_engine(NULL);
    struct kv_where w;
    REQUIRE(e && !kv_reads_positions(e), "%s", err.text);
    CHECK(kv_reads(e, false, 0, 1, most, row, &err) == KV_NOT_NOW, "read at the start");
    for (kv_where(e, &w); w.stage != KV_STAGE_observe; kv_where(e, &w))
        REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
    CHECK(kv_reads(e, true, 0, 1, most, row, &err) == KV_NOT_NOW, "evicted keys in the prefill");
    CHECK(kv_reads(e, false, HEADS, 1, most, row, &err) == KV_BAD_ARG, "head %d taken", HEADS);
    CHECK(kv_reads(e, false, 1, HEADS, most, row, &err) == KV_BAD_ARG, "heads beyond the last taken");
    CHECK(kv_reads(e, false, -1, 1, most, row, &err) == KV_BAD_ARG, "head -1 taken");
    kv_engine_close(e);
}

static const struct tap_case cases[] = { { "reads are what attention is", without_question },
    { "so they are behind a question", with_question }, { "all keys, where none was evicted", full },
    { "refusals", refused } };

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
