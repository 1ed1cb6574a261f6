/* Compression that recurs in decode (policy.every): budgets, time travel, runs and comparisons on the small model; kept
 * sets and replies of kvpress's DecodingPress on the default one (tests/oracle/every_golden.py). */
#include "engine/core.h"
#include "engine/edit.h"
#include "engine/history.h"
#include "engine/look.h"
#include "engine/runs.h"
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MODEL  "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN "tests/golden/model/"

static struct kv_error err;
static struct kv_model *model;

/* A run of the small model that compresses after every 4 tokens of 18; setting: name, value, ..., NULL. */
static struct kv_engine *open_engine(const char *question, const char *const *setting)
{
    static const char *const base[] = { "engine.precision", "f32", "decode.tokens", "18", "engine.segment", "32",
        "policy.sinks", "2", "policy.recent", "3", "policy.every", "4", NULL };
    const struct request r = { "synthetic:tiny", question, base, setting, false, KV_PHASE_load };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e && !kv_start(e, &err), "%s", err.text);
    return e;
}

static const char *const half[] = { "policy.ratio", "0.5", NULL };

static struct kv_where where(const struct kv_engine *e)
{
    struct kv_where at;
    kv_where(e, &at);
    return at;
}

/* To the first boundary of a phase and pass, or to the end. */
static bool step_to(struct kv_engine *e, enum kv_phase phase, int pass)
{
    while (where(e).phase != KV_PHASE_done && (where(e).phase != phase || where(e).pass != pass))
        if (kv_step(e, KV_UNIT_PASS, &err)) {
            tap_fail(__FILE__, __LINE__, "%s", err.text);
            return false;
        }
    return true;
}

static int32_t *reply_of(struct kv_engine *e, int *n)
{
    struct kv_array a;
    CHECK(!kv_value(e, "reply", &a, &err), "%s", err.text);
    *n = (int)a.dim[0];
    int32_t *copy = kv_alloc(a.dim[0], sizeof *copy);
    memcpy(copy, a.data, a.dim[0] * sizeof *copy);
    return copy;
}

/* The budgets of compress:k add up to the policy's share of all tokens so far, and are what the cache holds. */
static void budgets_follow_the_tokens(void)
{
    struct kv_engine *e = open_engine(NULL, half);
    if (!e) return;
    int n = e->n, layers = model->shape.n_layer;
    for (int k = 0; k < 4; k++) {
        REQUIRE(step_to(e, KV_PHASE_compress, k) && where(e).pass == k, "compress:%d: %s", k, err.text);
        REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
        struct kv_array app, kept;
        int sum = 0, slots = 0, want = (int)lround(.5 * (n + 4 * k) * layers);
        REQUIRE(!kv_value(e, "budget.app", &app, &err), "%s", err.text);
        for (int l = 0; l < layers; l++) {
            int32_t budget = ((const int32_t *)app.data)[l], pos[400];
            int there = kv_cache_slots(e, l, 0, pos, 400);
            sum += budget;
            slots += there;
            CHECK(there == budget, "compress:%d, layer %d: %d slots of a budget of %d", k, l, there, budget);
            for (int i = 1; i < there; i++) CHECK(pos[i] > pos[i - 1], "slot %d of layer %d is out of order", i, l);
            CHECK(pos[0] == 0 && pos[1] == 1 && pos[there - 3] == n + 4 * k - 3, "forced tokens are not there");
            CHECK(kv_cache_tokens(e, l) == n + 4 * k, "%d tokens", kv_cache_tokens(e, l));
        }
        CHECK(sum == want && slots == want, "compress:%d: %d tokens, %d slots, want %d", k, sum, slots, want);
        CHECK(!kv_value(e, "kept", &kept, &err) && kept.dim[1] == (size_t)n, "%s", err.text);
        CHECK(!kv_value(e, "kept.later", &kept, &err) == (k > 0), "kept.later: %s", err.text);
        CHECK(!k || kept.dim[1] == (size_t)(4 * k), "kept.later has %zu", kept.dim[1]);
    }
    kv_engine_close(e);
}

/* Keeping everything again and again changes no bit of any logits. */
static void keeping_all_changes_nothing(void)
{
    static const char *const all[] = { "policy.ratio", "1", NULL };
    struct kv_engine *e = open_engine("Who read the book?", all);
    struct kv_verdict verdict;
    if (!e) return;
    REQUIRE(step_to(e, KV_PHASE_done, 0), "%s", err.text);
    int n, n_plain;
    int32_t *reply = reply_of(e, &n);
    uint32_t *logits = kv_alloc((size_t)model->shape.n_vocab, sizeof *logits);
    memcpy(logits, e->logits, (size_t)model->shape.n_vocab * sizeof *logits);
    CHECK(e->run.compressed == 5, "%d compressions", e->run.compressed);
    CHECK(!kv_twin(e, 18, &verdict, &err) && verdict.kl_max == 0 && verdict.top1 == 1, "KL %g", verdict.kl_max);
    REQUIRE(request_put(e, "policy.every", "0", &err) && !kv_recompress(e, &err), "%s", err.text);
    REQUIRE(step_to(e, KV_PHASE_done, 0), "%s", err.text);
    int32_t *plain = reply_of(e, &n_plain);
    CHECK(n == n_plain && !memcmp(reply, plain, (size_t)n * sizeof *reply), "another reply");
    CHECK(!memcmp(logits, e->logits, (size_t)model->shape.n_vocab * sizeof *logits), "other logits");
    free(reply), free(plain), free(logits);
    kv_engine_close(e);
}

static bool same_place(const struct kv_where *a, const struct kv_where *b)
{
    return a->phase == b->phase && a->pass == b->pass && a->layer == b->layer && a->stage == b->stage &&
           a->tick == b->tick && a->branch == b->branch;
}

/* Every boundary can be gone back to, from the end and in steps, and stands where it stood. */
static void walk(const char *question, const char *const *setting)
{
    struct kv_engine *e = open_engine(question, setting);
    uint64_t seen[1024];
    struct kv_where place[1024];
    if (!e) return;
    REQUIRE(step_to(e, KV_PHASE_compress, 0), "%s", err.text);
    uint64_t first = where(e).tick, last;
    for (;; kv_step(e, KV_UNIT_STAGE, &err)) {
        last = where(e).tick;
        REQUIRE(last - first < 1024, "too many ticks");
        seen[last - first] = request_hash(e, &err);
        place[last - first] = where(e);
        if (where(e).phase == KV_PHASE_done) break;
    }
    CHECK(e->run.compressed > 1, "%d compressions", e->run.compressed);
    for (uint64_t at = last; at + 7 > first + 7; at -= at - first < 7 ? at - first : 7) {
        struct kv_where now, told;
        REQUIRE(!kv_where_at(e, at, &told, &err) && !kv_seek(e, at, &err), "%s", err.text);
        now = where(e);
        const struct kv_where *want = &place[at - first];
        CHECK(same_place(&now, want) && same_place(&told, want), "tick %llu is %s:%d, was %s:%d",
            (unsigned long long)at, kv_phase_name[now.phase], now.pass, kv_phase_name[want->phase], want->pass);
        CHECK(request_hash(e, &err) == seen[at - first], "another state at tick %llu (%s:%d)",
            (unsigned long long)at, kv_phase_name[now.phase], now.pass);
        if (at == first) break;
    }
    REQUIRE(!kv_seek(e, last, &err) && request_hash(e, &err) == seen[last - first], "forward again: %s", err.text);
    kv_engine_close(e);
}

static void time_travel(void)
{
    static const char *const selector[][9] = {
        { "policy.ratio", "0.5", "policy.selector", "mix", "policy.allocator", "lava", NULL },
        { "policy.ratio", "0.4", "policy.selector", "expected", "policy.allocator", "squeeze", NULL },
        { "policy.tokens", "20", "policy.selector", "mean", "policy.group", "kv-head", NULL },
        { "policy.ratio", "0.5", "policy.selector", "random", "policy.allocator", "zigzag", NULL },
    };
    walk(NULL, half);
    walk("Who read the book?", half);
    for (size_t i = 0; i < KV_COUNT(selector); i++) walk(NULL, selector[i]);
}

/* In place there is no other prefill than the one that runs again. */
static void time_travel_in_place(void)
{
    static const char *const in_place[] = { "policy.ratio", "0.5", "engine.snapshot", "off", NULL };
    struct kv_engine *e = open_engine(NULL, in_place);
    if (!e) return;
    REQUIRE(step_to(e, KV_PHASE_decode, 9), "%s", err.text);
    uint64_t tick = where(e).tick, before = request_hash(e, &err);
    REQUIRE(step_to(e, KV_PHASE_done, 0) && !kv_seek(e, tick, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == before, "another state at decode:9");
    kv_engine_close(e);
}

/* A policy set in the middle holds from the next compression on; what is behind it replays as it was. */
static void edits_branch(void)
{
    struct kv_engine *e = open_engine(NULL, half);
    struct kv_mark *mark = NULL;
    if (!e) return;
    REQUIRE(step_to(e, KV_PHASE_decode, 6), "%s", err.text);
    REQUIRE(request_put(e, "policy.ratio", "0.3", &err) && step_to(e, KV_PHASE_decode, 9), "%s", err.text);
    CHECK(e->sel.policy.ratio == .3 && e->past.decision[1].policy.ratio == .5, "ratio %g", e->sel.policy.ratio);
    uint64_t tick = where(e).tick, before = request_hash(e, &err);
    REQUIRE(!kv_mark_take(e, &mark, &err), "%s", err.text);
    REQUIRE(!kv_seek(e, e->past.decision[1].tick, &err) && !kv_seek(e, tick, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == before, "the replay decided otherwise");
    REQUIRE(
        !kv_seek(e, e->past.decision[2].tick, &err) && request_put(e, "policy.ratio", "0.9", &err), "%s", err.text);
    REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
    CHECK(where(e).branch == 1 && e->sel.policy.ratio == .9, "branch %d, ratio %g", where(e).branch,
        e->sel.policy.ratio);
    REQUIRE(!kv_mark_go(e, mark, &err), "%s", err.text);
    CHECK(request_hash(e, &err) == before && where(e).tick == tick, "the mark leads elsewhere");
    CHECK(e->set.policy.ratio == .3, "ratio %g", e->set.policy.ratio);
    kv_mark_free(mark);
    kv_engine_close(e);
}

/* A run fed its own tokens in a comparison says what it says by itself, and one beside it leaves no trace. */
static void comparisons_compress_again(void)
{
    struct kv_engine *e = open_engine("Who read the book?", half);
    struct kv_verdict verdict;
    struct kv_comparison c;
    if (!e) return;
    REQUIRE(request_put(e, "judge.leader", "self", &err) && step_to(e, KV_PHASE_decode, 7), "%s", err.text);
    uint64_t before = request_hash(e, &err);
    int n, other, fork;
    CHECK(!kv_twin(e, 18, &verdict, &err) && verdict.kl_mean > 0, "%s", err.text);
    CHECK(request_hash(e, &err) == before, "the twin left a trace");
    REQUIRE(
        !kv_run_clone(e, &other, &err) && other == 3 && request_hash(e, &err) == before, "the clone: %s", err.text);
    REQUIRE(!kv_compare(e, (const int[]){ 1, 3, -3 }, 3, 0, 18, &c, &err), "%s", err.text);
    CHECK(c.verdict[1].kl_max == 0, "run and clone differ by %g", c.verdict[1].kl_max);
    REQUIRE(step_to(e, KV_PHASE_done, 0), "%s", err.text);
    int32_t *reply = reply_of(e, &n);
    for (int t = 0; t < n && t < c.steps; t++)
        CHECK(
            c.token[2 * c.steps + t] == reply[t], "token %d is %d, said %d", t, c.token[2 * c.steps + t], reply[t]);
    kv_comparison_free(&c);
    REQUIRE(!kv_run_fork(e, &fork, &err) && request_put(e, "policy.every", "0", &err), "%s", err.text);
    REQUIRE(step_to(e, KV_PHASE_ask, 0), "%s", err.text);
    REQUIRE(!kv_compare(e, (const int[]){ 1, fork }, 2, 0, 18, &c, &err), "%s", err.text);
    CHECK(c.verdict[1].kl_max > 0, "compressing once says the same");
    for (int t = 0; t < 5; t++) CHECK(c.kl[c.steps + t] == 0, "step %d differs before compress:1", t);
    kv_comparison_free(&c);
    free(reply);
    kv_engine_close(e);
}

static void combinations(void)
{
    static const char *const adaptive[] = { "policy.group", "kv-head", "policy.alpha", "0.2" };
    struct kv_engine *e = open_engine(NULL, half);
    if (!e) return;
    const char *name[] = { "policy.group", "policy.alpha" }, *value[] = { adaptive[1], adaptive[3] };
    CHECK(kv_set(e, name, value, 2, &err) == KV_UNSUPPORTED, "adaptive heads: %s", err.text);
    REQUIRE(request_put(e, "policy.group", "kv-head", &err) && step_to(e, KV_PHASE_decode, 5), "%s", err.text);
    REQUIRE(request_put(e, "policy.group", "shared", &err) && step_to(e, KV_PHASE_compress, 2), "%s", err.text);
    CHECK(kv_step(e, KV_UNIT_STAGE, &err) == KV_NOT_NOW, "heads became one set");
    REQUIRE(request_put(e, "policy.group", "kv-head", &err) && step_to(e, KV_PHASE_done, 0), "%s", err.text);
    kv_engine_close(e);
}

/* Tokens beyond decode.tokens and pins of the prompt's tokens, before and behind their eviction. */
static void longer_replies_and_pins(void)
{
    struct kv_engine *e = open_engine(NULL, half);
    const int32_t token = 11;
    if (!e) return;
    REQUIRE(step_to(e, KV_PHASE_decode, 3) && request_put(e, "decode.tokens", "70", &err), "%s", err.text);
    REQUIRE(!kv_edit_tokens(e, KV_EVICT, &token, 1, 0, 0, &err), "%s", err.text);
    REQUIRE(!kv_edit_tokens(e, KV_PIN, &token, 1, 1, 1, &err), "%s", err.text);
    int32_t pos[400];
    int there = kv_cache_slots(e, 1, 0, pos, 400);
    bool pinned = false;
    for (int i = 0; i < there; i++) pinned = pinned || pos[i] == token;
    REQUIRE(step_to(e, KV_PHASE_decode, 60), "%s", err.text);
    for (int l = 0; l < 2; l++) {
        bool found = false;
        there = kv_cache_slots(e, l, 0, pos, 400);
        for (int i = 0; i < there; i++) found = found || pos[i] == token;
        CHECK(found == (l == 1 && pinned), "layer %d %s token %d", l, found ? "keeps" : "lost", token);
    }
    uint64_t tick = where(e).tick, before = request_hash(e, &err);
    REQUIRE(!kv_seek(e, tick - 40, &err) && !kv_seek(e, tick, &err) && request_hash(e, &err) == before,
        "not the same state");
    kv_engine_close(e);
}

/* --- core files -------------------------------------------------------------------------------------------------- */

/* Slots, keys and values of a live engine and of its core. */
static void same_cache(struct kv_engine *e, struct kv_engine *core)
{
    size_t d = (size_t)model->shape.head_dim;
    for (int l = 0; l < model->shape.n_layer; l++) {
        int tokens = kv_cache_tokens(e, l);
        CHECK(kv_cache_tokens(core, l) == tokens, "layer %d: %d tokens, core %d", l, tokens,
            kv_cache_tokens(core, l));
        for (int g = 0; g < model->shape.n_kv_head; g++) {
            int32_t here[400] = { 0 }, there[400] = { 0 };
            int n = kv_cache_slots(e, l, g, here, 400);
            CHECK(kv_cache_slots(core, l, g, there, 400) == n && !memcmp(here, there, sizeof here),
                "layer %d, KV head %d: other slots", l, g);
            for (int side = 0; side < 2; side++) {
                float *a = kv_alloc((size_t)tokens * d, sizeof *a), *b = kv_alloc((size_t)tokens * d, sizeof *b);
                CHECK(!kv_cache_rows(e, side, l, g, 0, tokens, a, &err) &&
                          !kv_cache_rows(core, side, l, g, 0, tokens, b, &err),
                    "%s", err.text);
                for (size_t i = 0; i < (size_t)tokens * d; i++)
                    CHECK(
                        a[i] == b[i] || (isnan(a[i]) && isnan(b[i])), "layer %d, KV head %d: number %zu", l, g, i);
                free(a), free(b);
            }
        }
    }
}

static void core_files(void)
{
    static const char *const setting[][7] = {
        { "policy.ratio", "0.5", NULL },
        { "policy.ratio", "0.5", "policy.group", "kv-head", NULL },
        { "policy.ratio", "0.5", "engine.snapshot", "off", NULL },
    };
    static const char *const value[] = { "kept", "kept.later", "reason", "score", "rank", "cut", "budget.used" };
    const struct kv_core_want want = { .part = { [KV_CORE_SCORES] = true, [KV_CORE_KV] = true } };
    for (size_t i = 0; i < KV_COUNT(setting); i++) {
        struct kv_engine *e = open_engine("Who read the book?", setting[i]), *core;
        struct kv_model *of_core;
        if (!e) return;
        REQUIRE(step_to(e, KV_PHASE_decode, 11), "%s", err.text);
        for (int stage = 0; stage < 12; stage++) REQUIRE(!kv_step(e, KV_UNIT_STAGE, &err), "%s", err.text);
        char path[] = "/tmp/kvdbg-every-XXXXXX";
        int fd = mkstemp(path);
        REQUIRE(fd >= 0 && !kv_core_write(e, path, &want, &err), "%s", err.text);
        REQUIRE(!kv_core_open(path, &of_core, &core, &err), "%s", err.text);
        same_cache(e, core);
        for (size_t k = 0; k < KV_COUNT(value); k++) {
            struct kv_array a, b;
            REQUIRE(!kv_value(e, value[k], &a, &err) && !kv_value(core, value[k], &b, &err), "%s", err.text);
            size_t bytes = a.type == KV_U8 ? 1 : 4;
            for (int dim = 0; dim < a.n_dim; dim++) bytes *= a.dim[dim];
            CHECK(a.n_dim == b.n_dim && !memcmp(a.dim, b.dim, sizeof a.dim) && !memcmp(a.data, b.data, bytes),
                "%s differs", value[k]);
        }
        kv_engine_close(core);
        kv_model_close(of_core);
        kv_engine_close(e);
        close(fd);
        unlink(path);
    }
}

/* --- kvpress ---------------------------------------------------------------------------------------------------- */

static bool read_golden(const char *name, const char *what, struct npy *out)
{
    char path[200];
    snprintf(path, sizeof path, GOLDEN "%s_%s.npy", name, what);
    if (!npy_read(path, out, &err)) return true;
    tap_fail(__FILE__, __LINE__, "%s", err.text);
    return false;
}

/* Lowest score that a row keeps. */
static double cut_of(const struct selection *s, size_t row)
{
    double cut = INFINITY;
    for (int k = 0; k < s->n_kept[row]; k++)
        cut = fmin(cut, (double)s->score[row * (size_t)s->n + (size_t)s->kept[row * (size_t)s->n + (size_t)k]]);
    return cut;
}

/* How many tokens of a row [bits] the cache holds otherwise; those that score like the last one in are ties: in the first
 * layer, keys of a word are as long wherever it stands, up to rounding, and what was kept of them colors what follows. */
static int apart(
    struct kv_engine *e, int layer, int head, const uint8_t *bits, int budget, double tolerance, int *ties)
{
    const struct selection *s = &e->sel;
    size_t row = selection_row(s, layer, head);
    double cut = cut_of(s, row);
    int n = s->n_kept[row], wrong = 0;
    for (int k = 0; k < n; k++) {
        int j = s->kept[row * (size_t)s->n + (size_t)k];
        if (bits[j / 8] >> j % 8 & 1) continue;
        bool tie = fabs((double)s->score[row * (size_t)s->n + (size_t)j] - cut) <= tolerance * fabs(cut);
        *ties += tie;
        wrong += !tie;
    }
    return n == budget ? wrong : n;
}

static void check_press(struct kv_model *m, const char *name, const char *const *setting)
{
    struct npy ids = { 0 }, reply = { 0 }, kept = { 0 };
    struct kv_engine *e = NULL;
    char golden[40];
    snprintf(golden, sizeof golden, "every_%s", name);
    bool good = read_golden("excerpt", "ids", &ids) && read_golden(golden, "reply", &reply) &&
                read_golden(golden, "kept", &kept) && !kv_engine_open(m, &e, &err) &&
                request_put(e, "engine.backend", "cpu", &err) && request_put(e, "engine.precision", "f32", &err) &&
                request_put(e, "decode.tokens", "50", &err) &&
                !kv_prompt_ids(e, ids.i4, (int)ids.count, NULL, 0, &err);
    good = good && request_set(e, setting, &err) && request_put(e, "policy.tokens", "320", &err) &&
           request_put(e, "policy.every", "16", &err) && !kv_start(e, &err);
    if (!good) tap_fail(__FILE__, __LINE__, "%s: %s", name, err.text);
    int layers = m->shape.n_layer, heads = m->shape.n_kv_head, ties = 0;
    size_t row = kept.dim[3];
    for (int k = 0; good && k < 3 && (good = step_to(e, KV_PHASE_decode, 16 * (k + 1))); k++)
        for (int l = 0; l < layers; l++)
            for (int g = 0; g < heads; g++) {
                size_t at = (size_t)((k * layers + l) * heads + g) * row;
                int wrong = apart(e, l, g, kept.u1 + at, 320, k ? 1e-3 : 1e-5, &ties);
                CHECK(!wrong, "%s, compress:%d, layer %d, KV head %d: %d tokens differ", name, k + 1, l, g, wrong);
            }
    int n = 0;
    int32_t *said = good && step_to(e, KV_PHASE_done, 0) ? reply_of(e, &n) : NULL;
    CHECK(n >= (int)reply.count, "%s: %d tokens", name, n);
    for (int t = 0; t < n && t < (int)reply.count; t++)
        CHECK(said[t] == reply.i4[t], "%s: token %d is %d, kvpress says %d", name, t, said[t], reply.i4[t]);
    printf("# %s: 3 compressions of %d sets; %d tokens at the cut on either side\n", name, layers * heads, ties);
    free(said);
    kv_engine_close(e);
    npy_free(&ids), npy_free(&reply), npy_free(&kept);
}

static void kvpress(void)
{
    static const struct {
        const char *name, *setting[12];
    } press[] = {
        { "knorm", { "policy.preset", "uniform", "policy.selector", "knorm", "policy.sinks", "0", "policy.recent",
                       "0", "policy.group", "kv-head", NULL } },
        { "tova", { "policy.preset", "tova", NULL } },
    };
    struct kv_model *m = NULL;
    if (kv_model_open(MODEL, &m, &err)) SKIP("no models/: make model");
    for (size_t i = 0; i < KV_COUNT(press); i++) check_press(m, press[i].name, press[i].setting);
    kv_model_close(m);
}

static const struct tap_case cases[] = {
    { "budgets follow the tokens so far", budgets_follow_the_tokens },
    { "keeping everything changes nothing", keeping_all_changes_nothing },
    { "every boundary can be gone back to", time_travel },
    { "the same in place", time_travel_in_place },
    { "a policy set in the middle holds from the next compression on", edits_branch },
    { "comparisons compress again", comparisons_compress_again },
    { "what does not go together", combinations },
    { "replies grow longer, pins are kept to", longer_replies_and_pins },
    { "core files hold what is in the cache", core_files },
    { "kept sets and replies of kvpress's DecodingPress", kvpress },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
