/* Edits under random policies: what is pinned stays, what is evicted goes, budgets sum to what was shared out; undo and
 * time travel come back to the same state; and every reason agrees with the kept set. */
#include "engine/edit.h"
#include "engine/history.h"
#include "tests/tap.h"

#include <stdlib.h>

#define LAYERS 3
#define HEADS  4
#define MODEL  "models/smollm2-135m-instruct-q4_1.gguf"

static struct kv_error err;
static struct kv_model *tiny;
static uint64_t state_of_chance;

static int below(int n)
{
    state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
    return (int)((state_of_chance >> 33) % (unsigned)n);
}

static void put(struct kv_engine *e, const char *name, const char *value)
{
    CHECK(!kv_set(e, &name, &value, 1, &err), "%s %s: %s", name, value, err.text);
}

/* A started engine over n random tokens of the tiny model, its prefill done. */
static struct kv_engine *open_run(int n)
{
    struct kv_engine *e = NULL;
    int32_t *ids = kv_alloc((size_t)n, sizeof *ids);
    const char *const name[] = { "engine.precision", "engine.threads", "decode.tokens" }, *const value[] = { "f32",
        "1", "4" };
    for (int i = 0; i < n; i++) ids[i] = below(300);
    if ((!tiny && kv_model_open("synthetic:tiny", &tiny, &err)) || kv_engine_open(tiny, &e, &err) ||
        kv_set(e, name, value, 3, &err) || kv_prompt_ids(e, ids, n, NULL, 0, &err) || kv_start(e, &err) ||
        kv_step(e, KV_UNIT_PHASE, &err))
        tap_fail(__FILE__, __LINE__, "%s", err.text);
    free(ids);
    return e;
}

static double number(const struct kv_array *a, size_t i)
{
    switch (a->type) {
    case KV_F32: return ((const float *)a->data)[i];
    case KV_F64: return ((const double *)a->data)[i];
    case KV_I32: return ((const int32_t *)a->data)[i];
    default: return ((const uint8_t *)a->data)[i];
    }
}

/* A value as doubles; the caller frees it. */
static double *value(struct kv_engine *e, const char *name, size_t *count)
{
    struct kv_array a;
    size_t n = 1;
    if (kv_value(e, name, &a, &err)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        a = (struct kv_array){ 0 };
    }
    for (int d = 0; d < a.n_dim; d++) n *= a.dim[d];
    if (!a.data) n = 0;
    double *copy = kv_alloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++) copy[i] = number(&a, i);
    if (count) *count = n;
    return copy;
}

static enum kv_status compress(struct kv_engine *e)
{
    struct kv_where at;
    kv_where(e, &at);
    if (at.phase != KV_PHASE_compress || at.stage != KV_STAGE_allocate) {
        enum kv_status status = kv_recompress(e, &err);
        if (status) return status;
    }
    return kv_step(e, KV_UNIT_PHASE, &err);
}

static uint64_t hash(struct kv_engine *e)
{
    uint64_t h = 0;
    CHECK(!kv_state_hash(e, &h, &err), "%s", err.text);
    return h;
}

/* --- what was decided ------------------------------------------------------------------------------------------- */

/* Every token of every layer: kept as its reason says, forced ones without a rank, the others on their side of the
 * cut. */
static void reasons_agree(struct kv_engine *e, const char *title)
{
    size_t count, layers;
    double *kept = value(e, "kept", &count), *reason = value(e, "reason", NULL), *rank = value(e, "rank", NULL),
           *margin = value(e, "margin", NULL), *score = value(e, "score", NULL), *cut = value(e, "cut", &layers),
           *applied = value(e, "budget.app", NULL);
    size_t n = layers ? count / layers : 0;
    for (size_t l = 0; l < layers && !tap_state.failed; l++) {
        int in = 0, by_score = 0;
        for (size_t j = l * n; j < (l + 1) * n; j++) {
            in += kept[j] != 0;
            by_score += kept[j] != 0 && rank[j] >= 0;
        }
        CHECK(in <= applied[l], "%s: layer %zu keeps %d of a budget of %g", title, l, in, applied[l]);
        for (size_t j = l * n; j < (l + 1) * n; j++) {
            bool scored = reason[j] >= 4; /* top-k, tie */
            CHECK((reason[j] > 0) == (kept[j] != 0), "%s: token %zu", title, j);
            CHECK(scored == (kept[j] && rank[j] >= 0), "%s: rank %g, reason %g", title, rank[j], reason[j]);
            if (rank[j] < 0) {
                CHECK(isnan(margin[j]), "%s: a forced token has a margin", title);
                continue;
            }
            CHECK(scored == (rank[j] < by_score), "%s: rank %g of %d let in", title, rank[j], by_score);
            if (!by_score || isnan(score[j])) continue;
            CHECK(scored ? margin[j] >= 0 : margin[j] <= 0, "%s: token %zu has margin %g", title, j, margin[j]);
            CHECK((margin[j] == 0) == (score[j] == cut[l]), "%s: margin %g", title, margin[j]);
        }
    }
    free(kept), free(reason), free(rank), free(margin), free(score), free(cut), free(applied);
}

/* The parts of a score give the score, and its heads the parts. */
static void parts_agree(struct kv_engine *e, const char *title, const char *reduce)
{
    size_t count;
    double *score = value(e, "score", &count);
    size_t n = count / LAYERS;
    for (int i = 0; i < 12 && !tap_state.failed; i++) {
        int l = below(LAYERS), j = below((int)n);
        struct kv_why why;
        double head[2][HEADS], want = score[(size_t)l * n + (size_t)j];
        CHECK(!kv_why(e, l, 0, j, &why, head[0], &err), "%s: %s", title, err.text);
        CHECK(fabs(why.score - want) <= 1e-6 * fabs(want), "%s: %g, the score is %g", title, why.score, want);
        for (int p = 0; p < why.n_part; p++) {
            double all = strcmp(reduce, "max") ? 0 : -INFINITY;
            for (int h = 0; h < HEADS; h++) all = strcmp(reduce, "max") ? all + head[p][h] : fmax(all, head[p][h]);
            if (!strcmp(reduce, "mean")) all /= HEADS;
            CHECK(fabs(all - why.part[p].pooled) <= 1e-9 * fabs(all) + 1e-15, "%s: heads give %g, not %g", title,
                all, why.part[p].pooled);
            CHECK(why.part[p].raw >= why.part[p].divided || why.part[p].raw < 0, "%s: %g per row of %g", title,
                why.part[p].divided, why.part[p].raw);
        }
    }
    free(score);
}

static const char *const presets[] = { "seed", "seed-literal", "uniform", "inverse", "full", "streaming",
    "manual" };
static const char *const selectors[] = { "sum", "mean", "window", "last", "mix", "streaming", "random" };

static void every_policy(void)
{
    static const char *const reduce[] = { "sum", "mean", "max" }, *const pool[] = { "auto", "none", "avg", "max" };
    state_of_chance = 7;
    struct kv_engine *e = open_run(93);
    for (size_t p = 0; p < KV_COUNT(presets) * KV_COUNT(selectors) && !tap_state.failed; p++) {
        const char *preset = presets[p / KV_COUNT(selectors)], *selector = selectors[p % KV_COUNT(selectors)];
        const char *r = reduce[p % 3];
        char title[80];
        snprintf(title, sizeof title, "%s, %s, reduce %s", preset, selector, r);
        put(e, "policy.preset", preset);
        put(e, "policy.selector", selector);
        put(e, "policy.reduce", r);
        put(e, "policy.pool", pool[p % 4]);
        if (below(2)) put(e, "policy.ratio", "0.6");
        REQUIRE(!compress(e), "%s: %s", title, err.text);
        reasons_agree(e, title);
        parts_agree(e, title, r);
    }
    kv_engine_close(e);
}

/* The prompts of the tests on the real model, if it is there. */
static void real_prompts(void)
{
    static const char *const files[] = { "tests/dialogue/fox.txt", "tests/dialogue/inner.txt",
        "sessions/tour.txt" };
    static char text[1 << 16];
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    if (kv_model_open(MODEL, &model, &err)) SKIP("no model: make model");
    if (kv_engine_open(model, &e, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    for (size_t f = 0; f < KV_COUNT(files) && !tap_state.failed; f++) {
        FILE *in = fopen(files[f], "rb");
        size_t bytes = in ? fread(text, 1, sizeof text, in) : 0;
        if (in) fclose(in);
        REQUIRE(bytes && bytes < sizeof text, "%s", files[f]);
        if (kv_prompt_text(e, text, bytes, NULL, true, &err) || kv_start(e, &err) ||
            kv_step(e, KV_UNIT_PHASE, &err))
            tap_fail(__FILE__, __LINE__, "%s: %s", files[f], err.text);
        for (size_t p = 0; p < KV_COUNT(presets) && !tap_state.failed; p++) {
            put(e, "policy.preset", presets[p]);
            CHECK(!compress(e), "%s", err.text);
            reasons_agree(e, presets[p]);
        }
    }
    kv_engine_close(e);
    kv_model_close(model);
}

/* --- edits under random policies ------------------------------------------------------------------------------ */

/* Draws a policy that can be compressed with. */
static void draw_policy(struct kv_engine *e)
{
    static const char *const ratio[] = { "0.1", "0.25", "0.5", "0.8", "1" }, *const sinks[] = { "0", "1", "4" },
                             *const recent[] = { "0", "5", "32" }, *const floor[] = { "auto", "1", "20" },
                             *const cap[] = { "auto", "60", "40" };
    put(e, "policy.preset", presets[below(KV_COUNT(presets))]);
    put(e, "policy.selector", selectors[below(KV_COUNT(selectors))]);
    put(e, "policy.ratio", ratio[below(5)]);
    put(e, "policy.sinks", sinks[below(3)]);
    put(e, "policy.recent", recent[below(3)]);
    put(e, "policy.floor", floor[below(3)]);
    put(e, "policy.cap", cap[below(3)]);
}

/* A few random edits; refused ones leave everything as it was. */
static void draw_edits(struct kv_engine *e, int n)
{
    for (int k = below(5); k >= 0; k--) {
        int32_t pos[20], layer = below(LAYERS), tokens = below(n + 1), count = 1 + below(20), from = below(n - 20);
        struct kv_policy_copy *before = kv_policy_take(e), *after;
        for (int i = 0; i < count; i++) pos[i] = from + (below(2) ? i : below(20));
        enum kv_status status =
            below(3) ? kv_edit_tokens(e, (enum kv_edit)below(3) - 1, pos, count, below(2) ? 0 : layer, layer, &err)
                     : kv_edit_budgets(e, &layer, &tokens, 1, &err);
        after = kv_policy_take(e);
        CHECK(!status || status == KV_BAD_ARG, "%s", err.text);
        CHECK(!status || kv_policy_same(before, after), "refused, but done: %s", err.text);
        kv_policy_free(before);
        kv_policy_free(after);
    }
}

/* What compress made of the edits that it ran with. */
static void edits_hold(struct kv_engine *e, int n, bool as_set)
{
    double *kept = value(e, "kept", NULL), *app = value(e, "budget.app", NULL),
           *total = value(e, "budget.total", NULL), *reason = value(e, "reason", NULL), sum = 0;
    for (int l = 0; l < LAYERS && !tap_state.failed; l++) {
        int8_t pin[400];
        int budget, held = 0, left = n;
        kv_policy_edits(e, KV_POLICY_COMPRESSED, l, pin, &budget);
        sum += app[l];
        for (int j = 0; j < n; j++) {
            size_t i = (size_t)l * (size_t)n + (size_t)j;
            held += kept[i] != 0;
            left -= pin[j] < 0;
            CHECK(pin[j] <= 0 || kept[i], "layer %d: pinned token %d is gone", l, j);
            CHECK(pin[j] >= 0 || !kept[i], "layer %d: evicted token %d is there", l, j);
            CHECK(reason[i] != 3 || pin[j] > 0, "layer %d: token %d is no pin", l, j);
        }
        CHECK(held == (app[l] < left ? (int)app[l] : left), "layer %d keeps %d of %g", l, held, app[l]);
        CHECK(budget < 0 || !as_set || app[l] == budget, "layer %d: %g, fixed at %d", l, app[l], budget);
    }
    CHECK(sum == total[1], "%g applied, %g shared out", sum, total[1]);
    free(kept), free(app), free(total), free(reason);
}

/* Σ of what would be shared out were no budget fixed. */
static double unfixed_total(struct kv_engine *e)
{
    static const int32_t layer[LAYERS] = { 0, 1, 2 }, none[LAYERS] = { -1, -1, -1 };
    int32_t budget[LAYERS];
    double sum = 0;
    struct kv_policy_copy *copy = kv_policy_take(e);
    CHECK(!kv_edit_budgets(e, layer, none, LAYERS, &err), "%s", err.text);
    CHECK(!kv_next_budgets(e, budget, &err), "%s", err.text);
    for (int l = 0; l < LAYERS; l++) sum += budget[l];
    CHECK(!kv_policy_put(e, copy, &err), "%s", err.text);
    kv_policy_free(copy);
    return sum;
}

static void random_edits(void)
{
    enum { N = 93 };
    state_of_chance = 11;
    struct kv_engine *e = open_run(N);
    for (int c = 0; c < 400 && !tap_state.failed; c++) {
        int32_t next[LAYERS];
        draw_policy(e);
        bool same = below(2);
        if (!same) CHECK(!kv_edit_tokens(e, KV_UNPIN, NULL, 0, 0, LAYERS - 1, &err), "%s", err.text);
        for (int32_t l = 0, none = -1; l < LAYERS && !same; l++)
            CHECK(!kv_edit_budgets(e, &l, &none, 1, &err), "%s", err.text);
        draw_edits(e, N);
        CHECK(!kv_next_budgets(e, next, &err), "case %d: %s", c, err.text);
        double total = unfixed_total(e);
        REQUIRE(!compress(e), "case %d: %s", c, err.text);
        edits_hold(e, N, !same);
        reasons_agree(e, "edited");
        double *app = value(e, "budget.app", NULL), sum = 0;
        for (int l = 0; l < LAYERS; l++) {
            CHECK(next[l] == app[l], "case %d: layer %d was to get %d, got %g", c, l, next[l], app[l]);
            sum += app[l];
        }
        CHECK(same || sum == total, "case %d: fixed budgets changed the sum from %g to %g", c, total, sum);
        free(app);
        if (tap_state.failed) printf("# case %d\n", c);
    }
    kv_engine_close(e);
}

/* --- undo and time -------------------------------------------------------------------------------------------- */

static void undo(void)
{
    enum { N = 80 };
    state_of_chance = 13;
    struct kv_engine *e = open_run(N);
    for (int c = 0; c < 60 && !tap_state.failed; c++) {
        draw_policy(e);
        draw_edits(e, N);
        REQUIRE(!compress(e), "case %d: %s", c, err.text);
        uint64_t before = hash(e);
        struct kv_policy_copy *copy = kv_policy_take(e);
        draw_policy(e);
        draw_edits(e, N);
        REQUIRE(!compress(e), "case %d: %s", c, err.text);
        CHECK(!kv_policy_put(e, copy, &err), "%s", err.text);
        REQUIRE(!compress(e), "case %d: %s", c, err.text);
        CHECK(hash(e) == before, "case %d: undone, but another state", c);
        kv_policy_free(copy);
    }
    kv_engine_close(e);
}

/* Back over a compress that ran with edits, while others are in force; and to a mark. */
static void replay(void)
{
    enum { N = 80 };
    state_of_chance = 17;
    struct kv_engine *e = open_run(N);
    struct kv_where at, done;
    struct kv_mark *mark;
    int32_t pos = 40;
    kv_where(e, &at);
    CHECK(!kv_edit_tokens(e, KV_PIN, &pos, 1, 0, LAYERS - 1, &err), "%s", err.text);
    CHECK(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    kv_where(e, &done);
    uint64_t pinned = hash(e);
    CHECK(!kv_mark_take(e, &mark, &err), "%s", err.text);
    CHECK(!kv_edit_tokens(e, KV_EVICT, &pos, 1, 0, LAYERS - 1, &err), "%s", err.text);
    CHECK(!kv_seek(e, at.tick, &err) && !kv_seek(e, done.tick, &err), "%s", err.text);
    CHECK(hash(e) == pinned, "the past was run again with the edits of now");
    CHECK(!kv_seek(e, at.tick, &err), "%s", err.text);
    CHECK(!kv_edit_tokens(e, KV_UNPIN, &pos, 1, 0, 1, &err), "%s", err.text);
    CHECK(!kv_step(e, KV_UNIT_PHASE, &err), "%s", err.text);
    kv_where(e, &at);
    CHECK(at.branch == done.branch + 1, "an edit behind the frontier is in branch %d", at.branch);
    CHECK(hash(e) != pinned, "an edit behind the frontier did not cut the future");
    double *reason = value(e, "reason", NULL);
    CHECK(reason[2 * N + 40] == 0 && reason[40] != 3, "pin 0x40 in layer 0 is %g", reason[40]);
    free(reason);
    CHECK(!kv_mark_go(e, mark, &err), "%s", err.text);
    CHECK(hash(e) == pinned, "another state at the mark");
    int8_t pin[N];
    int budget;
    CHECK(kv_policy_edits(e, KV_POLICY_NOW, 1, pin, &budget) && pin[40] == KV_PIN, "the mark's edits are not back");
    CHECK(!compress(e) && hash(e) == pinned, "another state after recompress at the mark");
    kv_mark_free(mark);
    kv_engine_close(e);
}

/* --- refusals --------------------------------------------------------------------------------------------------- */

static void refusals(void)
{
    enum { N = 100 };
    state_of_chance = 19;
    struct kv_engine *e = open_run(N);
    int32_t layer[LAYERS] = { 0, 1, 2 }, tokens[LAYERS] = { 60, 50, 41 }, pos[N];
    for (int j = 0; j < N; j++) pos[j] = j;
    put(e, "policy.ratio", "0.5"); /* 150 tokens, of which every layer takes at least 36 */
    CHECK(kv_edit_budgets(e, layer, tokens, 1, &err) == KV_OK, "%s", err.text);
    tokens[0] = 79;
    CHECK(kv_edit_budgets(e, layer, tokens, 1, &err) == KV_BAD_ARG, "79 of 150 leave less than 72");
    CHECK(!strcmp(err.text,
              "Layer 0 can have 1 to 78 tokens, not 79: 150 are shared out, and the other layers need 72 "
              "to 200."),
        "%s", err.text);
    tokens[0] = 60;
    CHECK(kv_edit_budgets(e, layer, tokens, 3, &err) == KV_BAD_ARG &&
              !strcmp(err.text, "All budgets are fixed, and their sum is 151; 150 tokens are shared out."),
        "%s", err.text);
    tokens[2] = 40;
    CHECK(!kv_edit_budgets(e, layer, tokens, 3, &err), "%s", err.text);
    CHECK(kv_edit_tokens(e, KV_PIN, pos, 41, 2, 2, &err) == KV_BAD_ARG &&
              !strcmp(err.text,
                  "Layer 2 cannot have a budget of 40: 41 of its 100 tokens are pinned and 0 evicted, so 41 "
                  "to 100 fit."),
        "%s", err.text);
    CHECK(kv_edit_tokens(e, KV_EVICT, NULL, 0, 1, 1, &err) == KV_BAD_ARG &&
              !strcmp(err.text, "Layer 1 would keep none of its 100 tokens."),
        "%s", err.text);
    tokens[0] = tokens[1] = tokens[2] = KV_BUDGET_AUTO;
    CHECK(!kv_edit_budgets(e, layer, tokens, 3, &err), "%s", err.text);
    tokens[0] = 70;
    CHECK(!kv_edit_budgets(e, layer, tokens, 1, &err), "%s", err.text);
    CHECK(kv_edit_tokens(e, KV_PIN, pos + 20, 30, 1, 1, &err) == KV_BAD_ARG &&
              !strcmp(err.text,
                  "The fixed budgets leave 80 of 150 tokens for the other 2 layers, which need 102 to 200."),
        "%s", err.text);
    layer[1] = 0;
    CHECK(kv_edit_budgets(e, layer, tokens, 2, &err) == KV_BAD_ARG, "a layer twice");
    layer[0] = LAYERS;
    CHECK(kv_edit_budgets(e, layer, tokens, 1, &err) == KV_BAD_ARG, "layer 3 of 0-2");
    pos[0] = N;
    CHECK(kv_edit_tokens(e, KV_PIN, pos, 1, 0, 0, &err) == KV_BAD_ARG, "token 100 of 0-99");
    CHECK(kv_edit_tokens(e, KV_PIN, pos + 1, 1, 2, 1, &err) == KV_BAD_ARG, "layers 2 to 1");
    struct kv_policy_copy *copy = kv_policy_take(e);
    int32_t ids[4] = { 1, 2, 3, 4 };
    int budget;
    CHECK(!kv_prompt_ids(e, ids, 4, NULL, 0, &err), "%s", err.text);
    CHECK(!kv_policy_edits(e, KV_POLICY_NOW, 0, NULL, &budget) && budget < 0,
        "another prompt has the old one's edits");
    CHECK(kv_policy_put(e, copy, &err) == KV_NOT_NOW, "a policy of another prompt was put back");
    kv_policy_free(copy);
    kv_engine_close(e);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "reasons, ranks, margins and parts under every preset and selector", every_policy },
        { "reasons, ranks and margins of the test prompts on the real model", real_prompts },
        { "edits under random policies", random_edits },
        { "a policy put back makes the same state", undo },
        { "edits in time travel and marks", replay },
        { "refusals", refusals },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(tiny);
    return status;
}
