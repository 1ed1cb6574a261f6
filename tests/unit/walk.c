/* A random walk over the public contract: settings, stepping, judging and looking in any order. Every call must end
 * in a documented status; a second engine that goes the same way without judging and looking must stand where the
 * first one stands, with the same logits; and what a walk leaves behind must compress and decode like a new run. */
#include "engine/edit.h"
#include "tests/tap.h"

#include <stdlib.h>

#define LAYERS  3
#define HEADS   4
#define CONTEXT 512
#define VOCAB   300 /* at least */

struct walk {
    struct kv_engine *e, *shadow; /* the shadow is never looked into */
    uint64_t random;
    int32_t ids[CONTEXT], question[64]; /* the prompt in force */
    int n, n_question;
    char segment[16], query_aware[8]; /* as the request was started with */
    const char *last;                 /* the action under way, for messages */
};

static struct kv_error err;
static struct kv_model *model;
static float rows[CONTEXT * CONTEXT];

static unsigned below(struct walk *w, unsigned n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(w->random >> 33) % n;
}

static bool put(struct kv_engine *e, const char *name, const char *value)
{
    return kv_set(e, &name, &value, 1, &err) == KV_OK;
}

static struct kv_engine *open_engine(void)
{
    struct kv_engine *e = NULL;
    const char *const name[] = { "engine.precision", "engine.threads" }, *const value[] = { "f32", "1" };
    if ((!model && kv_model_open("synthetic:tiny", &model, &err)) || kv_engine_open(model, &e, &err) ||
        kv_set(e, name, value, 2, &err))
        tap_fail(__FILE__, __LINE__, "%s", err.text);
    return e;
}

/* A status that an honest call may end in here; anything else, or a refusal without its sentence, fails. */
static bool fine(const struct walk *w, enum kv_status status)
{
    bool known = status == KV_OK || status == KV_BAD_ARG || status == KV_NOT_NOW || status == KV_STOPPED;
    CHECK(known && (!status || err.text[0]), "%s: %s: %s", w->last, kv_status_text(status), err.text);
    return !status;
}

/* --- actions ---------------------------------------------------------------------------------------------------- */

static void new_prompt(struct walk *w)
{
    static const int length[] = { 1, 2, 3, 33, 64, 90, 150, CONTEXT - 1 }, asked[] = { 0, 0, 1, 2, 40 };
    w->n = length[below(w, KV_COUNT(length))];
    w->n_question = asked[below(w, KV_COUNT(asked))];
    if (w->n + w->n_question >= CONTEXT) w->n -= w->n_question;
    for (int i = 0; i < w->n; i++) w->ids[i] = (int32_t)below(w, VOCAB);
    for (int i = 0; i < w->n_question; i++) w->question[i] = (int32_t)below(w, VOCAB);
    for (int i = 0; i < 2; i++)
        CHECK(!kv_prompt_ids(i ? w->shadow : w->e, w->ids, w->n, w->question, w->n_question, &err), "%s", err.text);
}

static void start(struct walk *w)
{
    for (int i = 0; i < 2; i++) CHECK(!kv_start(i ? w->shadow : w->e, &err), "%s", err.text);
    kv_get(w->e, "engine.segment", w->segment, sizeof w->segment, &err);
    kv_get(w->e, "policy.query-aware", w->query_aware, sizeof w->query_aware, &err);
}

static void set(struct walk *w, const char *name, const char *value)
{
    CHECK(put(w->e, name, value) && put(w->shadow, name, value), "%s %s: %s", name, value, err.text);
}

/* Without edits. */
static void take_back(struct walk *w)
{
    static const int32_t layer[LAYERS] = { 0, 1, 2 }, none[LAYERS] = { -1, -1, -1 };
    for (int i = 0; i < 2; i++) {
        struct kv_engine *e = i ? w->shadow : w->e;
        CHECK(!kv_edit_budgets(e, layer, none, LAYERS, &err), "%s", err.text);
        CHECK(!kv_edit_tokens(e, KV_UNPIN, NULL, 0, 0, LAYERS - 1, &err), "%s", err.text);
    }
}

static void step_by(struct walk *w, enum kv_unit unit)
{
    struct kv_where before, at, shadow;
    kv_where(w->e, &before);
    enum kv_status status = kv_step(w->e, unit, &err);
    fine(w, status);
    kv_where(w->e, &at);
    CHECK(status ? at.tick >= before.tick : at.tick > before.tick, "a step went from tick %llu to %llu",
        (unsigned long long)before.tick, (unsigned long long)at.tick);
    CHECK(kv_step(w->shadow, unit, &err) == status, "%s, the shadow: %s", kv_status_text(status), err.text);
    kv_where(w->shadow, &shadow);
    CHECK(at.phase == shadow.phase && at.pass == shadow.pass && at.layer == shadow.layer &&
              at.stage == shadow.stage && at.tick == shadow.tick && at.branch == shadow.branch,
        "stands at tick %llu, the shadow at %llu", (unsigned long long)at.tick, (unsigned long long)shadow.tick);
    if (at.phase != KV_PHASE_compress || status != KV_BAD_ARG) return;
    set(w, "policy.preset", "seed");
    take_back(w);
}

static void step(struct walk *w) { step_by(w, below(w, KV_UNIT_LAYER + 1)); }
static void step_pass(struct walk *w) { step_by(w, KV_UNIT_PASS); }
static void step_phase(struct walk *w) { step_by(w, KV_UNIT_PHASE); }

static void stop(struct walk *w)
{
    if (!kv_started(w->e)) return;
    kv_stop(w->e);
    kv_stop(w->shadow);
    step(w);
}

static void change(struct walk *w)
{
    static const struct {
        const char *name, *value[5];
    } settings[] = {
        { "decode.tokens", { "1", "2", "5", "20", "1048576" } },
        { "decode.tokens", { "3", "4", "6", "40", "100" } },
        { "decode.temperature", { "0", "1", "0", "100", "1e-30" } },
        { "decode.top-k", { "0", "1", "7", "0", "100000" } },
        { "decode.seed", { "0", "1", "2", "3", "4611686018427387904" } },
        { "engine.segment", { "1", "7", "32", "512", "8192" } },
        { "engine.snapshot", { "on", "off", "on", "off", "on" } },
        { "policy.preset", { "seed", "full", "adakv", "snapkv", "inverse" } },
        { "policy.group", { "kv-head", "shared", "kv-head", "shared", "kv-head" } },
        { "policy.alpha", { "0", "1", "0.2", "0.5", "1" } },
        { "policy.selector", { "sum", "window", "last", "random", "mix" } },
        { "policy.ratio", { "0.25", "1", "1e-9", "0.5", "0.9" } },
        { "policy.tokens", { "1", "2", "30", "60", "100000" } },
        { "policy.bytes", { "1", "4000", "100000", "4611686018427387904", "50000" } },
        { "policy.sinks", { "0", "4", "1000", "1", "2" } },
        { "policy.floor", { "auto", "1", "40", "auto", "100000" } },
        { "policy.cap", { "auto", "1", "40", "auto", "100000" } },
        { "policy.rows", { "all", "window", "last", "all", "all" } },
        { "policy.window", { "1", "2", "32", "128", "7" } },
        { "policy.query-aware", { "on", "off", "on", "off", "off" } },
        { "judge.leader", { "full", "self", "full", "self", "full" } },
    };
    size_t i = below(w, KV_COUNT(settings));
    set(w, settings[i].name, settings[i].value[below(w, 5)]);
}

static void change_length(struct walk *w)
{
    char tokens[16];
    snprintf(tokens, sizeof tokens, "%u", 1 + below(w, 16));
    set(w, "decode.tokens", tokens);
}

/* The same edit in both; one that is refused changes nothing. */
static void edit(struct walk *w)
{
    int32_t pos[9], layer[2] = { (int32_t)below(w, LAYERS + 1), (int32_t)below(w, LAYERS) };
    int32_t tokens[2] = { (int32_t)below(w, 60) - 1, (int32_t)below(w, 60) - 1 };
    int count = (int)below(w, 9), last = (int)below(w, LAYERS);
    bool budgets = below(w, 2), all = !below(w, 6);
    enum kv_edit how = (enum kv_edit)below(w, 3) - 1;
    for (int i = 0; i < count; i++) pos[i] = (int32_t)below(w, (unsigned)w->n + 1);
    enum kv_status status[2];
    for (int i = 0; i < 2; i++)
        status[i] = budgets
                        ? kv_edit_budgets(i ? w->shadow : w->e, layer, tokens, 1 + count % 2, &err)
                        : kv_edit_tokens(i ? w->shadow : w->e, how, all ? NULL : pos, count, layer[0], last, &err);
    fine(w, status[0]);
    CHECK(status[0] == status[1], "%s, the shadow: %s", kv_status_text(status[0]), err.text);
}

/* Questions about edits and scores leave no trace. */
static void ask(struct walk *w)
{
    int32_t budget[LAYERS];
    struct kv_why why;
    double head[2 * HEADS];
    fine(w, kv_next_budgets(w->e, budget, &err));
    fine(w, kv_why(w->e, (int)below(w, LAYERS), 0, (int)below(w, (unsigned)w->n), &why, head, &err));
}

static void recompress(struct walk *w)
{
    enum kv_status status = kv_recompress(w->e, &err);
    fine(w, status);
    CHECK(kv_recompress(w->shadow, &err) == status, "%s, the shadow: %s", kv_status_text(status), err.text);
}

static void twin(struct walk *w)
{
    static const int steps[] = { 1, 3, 9, 0, INT32_MAX };
    struct kv_verdict v = { 0 };
    if (fine(w, kv_twin(w->e, steps[below(w, KV_COUNT(steps))], &v, &err)))
        CHECK(v.steps == 0 || (v.kl_mean >= 0 && v.kl_max >= v.kl_median), "a verdict of %g nats", v.kl_mean);
}

static void score(struct walk *w)
{
    static const int32_t first[] = { 0, 1, 2 };
    int32_t reply[8];
    const int32_t *kept[4 * LAYERS] = { 0 };
    int n_kept[4 * LAYERS] = { 0 }, n = 1 + (int)below(w, 8);
    float kl[4 * 8];
    struct kv_verdict v[4];
    for (int i = 0; i < n; i++) reply[i] = (int32_t)below(w, VOCAB);
    for (int i = 0; i < 4 * LAYERS; i++)
        if (below(w, 2)) kept[i] = first, n_kept[i] = (int)below(w, 4);
    fine(w, kv_score(w->e, reply, n, 1 + (int)below(w, 4), kept, n_kept, kl, v, &err));
}

/* A row is a distribution over what was kept, whatever stands half done in the machine. */
static void attention(struct walk *w)
{
    unsigned read = (unsigned)(w->n + w->n_question), spread = below(w, 2) ? read : 4;
    int count = 1 + (int)below(w, spread < 40 ? spread : 40), first = (int)(read - below(w, spread) + below(w, 4));
    if (first + count > CONTEXT || below(w, 30) == 0) count = INT32_MAX;
    if (!fine(
            w, kv_attention(w->e, (int)below(w, LAYERS), (int)below(w, HEADS), first, count, rows, CONTEXT, &err)))
        return;
    for (int i = 0; i < count; i++) {
        double sum = 0;
        for (int j = 0; j < CONTEXT; j++) sum += (double)rows[i * CONTEXT + j];
        CHECK(fabs(sum - 1) <= 1e-4, "attention row %d sums to %g", first + i, sum);
    }
}

static void values(struct walk *w)
{
    static const size_t size[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    unsigned sum = 0, from = below(w, 7);
    for (int i = (int)from; kv_value_name(i); i += 3) {
        struct kv_array a;
        if (!fine(w, kv_value(w->e, kv_value_name(i), &a, &err))) continue;
        size_t bytes = size[a.type];
        for (int d = 0; d < a.n_dim; d++) bytes *= a.dim[d];
        for (size_t b = 0; b < bytes; b++) sum += ((const uint8_t *)a.data)[b];
    }
    CHECK(sum != 1, "a value sums to 1"); /* reads every byte, for the sanitizers */
}

static void look(struct walk *w)
{
    char text[400];
    struct kv_memory m;
    struct kv_time time;
    kv_describe(w->e, text, sizeof text);
    kv_memory(w->e, &m);
    kv_time(w->e, below(w, KV_PHASE_COUNT), &time);
    CHECK(m.resident < (1u << 24) && m.active < (1u << 24), "%zu resident, %zu active bytes", m.resident, m.active);
    CHECK(m.scratch < (1u << 25), "%zu bytes of scratch for a context of %d tokens", m.scratch, CONTEXT);
    free(kv_tokens_text(w->e, w->ids, w->n));
}

/* --- the walk --------------------------------------------------------------------------------------------------- */

/* Sets everything that a compression or a reply depends on to known values. */
static void settle(struct kv_engine *e, const char *preset)
{
    static const char *const name[] = { "policy.preset", "policy.ratio", "policy.query-aware", "decode.tokens",
        "decode.temperature", "decode.top-k", "decode.seed" };
    const char *const value[] = { preset, "0.4", "off", "12", "1", "0", "5" };
    CHECK(!kv_set(e, name, value, KV_COUNT(name), &err), "%s", err.text);
}

/* Runs to the end; false when that fails or takes too many passes. */
static bool finish(struct kv_engine *e, int *budget)
{
    struct kv_where at;
    for (kv_where(e, &at); at.phase != KV_PHASE_done && (*budget)--; kv_where(e, &at)) {
        if (kv_step(e, KV_UNIT_PASS, &err)) return false;
    }
    return at.phase == KV_PHASE_done;
}

static void same(struct kv_engine *e, struct kv_engine *other, const char *name, size_t size, const char *whose)
{
    struct kv_array a, b;
    enum kv_status status = kv_value(e, name, &a, &err);
    CHECK(kv_value(other, name, &b, &err) == status, "%s: %s in %s", name, err.text, whose);
    if (status || tap_state.failed) return;
    for (int d = 0; d < a.n_dim; d++) {
        REQUIRE(a.dim[d] == b.dim[d], "%s has %zu, %zu in %s", name, a.dim[d], b.dim[d], whose);
        size *= a.dim[d];
    }
    CHECK(!size || !memcmp(a.data, b.data, size), "%s is not that of %s", name, whose);
}

static void same_run(struct kv_engine *e, struct kv_engine *other, const char *whose)
{
    same(e, other, "kept", 1, whose);
    same(e, other, "reply", sizeof(int32_t), whose);
    same(e, other, "logit", sizeof(float), whose);
}

/* The request as the walk left it, compressed again, against a new engine that ran straight through. */
static void compare(struct walk *w)
{
    struct kv_engine *fresh = open_engine();
    struct kv_where at;
    int passes = 4000;
    const char *preset = below(w, 2) ? "seed" : "adakv";
    settle(w->e, preset);
    settle(w->shadow, preset);
    take_back(w);
    kv_where(w->e, &at);
    if (at.phase > KV_PHASE_prefill)
        recompress(w);
    else
        start(w);
    CHECK(finish(w->e, &passes), "a walk cannot end: %s", err.text);
    settle(fresh, preset);
    CHECK(put(fresh, "engine.segment", w->segment), "%s", err.text);
    CHECK(!kv_prompt_ids(fresh, w->ids, w->n, w->question, w->n_question, &err), "%s", err.text);
    CHECK(put(fresh, "policy.query-aware", w->query_aware), "%s", err.text);
    CHECK(!kv_start(fresh, &err) && finish(fresh, &passes), "a new run cannot end: %s", err.text);
    same_run(w->e, fresh, "a new run");
    kv_engine_close(fresh);
    start(w);
}

static void walk(uint64_t seed, int actions)
{
    static const struct {
        const char *name;
        void (*act)(struct walk *w);
        unsigned share;
    } table[] = {
        { "step", step, 30 },
        { "step a pass", step_pass, 20 },
        { "step a phase", step_phase, 3 },
        { "set", change, 13 },
        { "set decode.tokens", change_length, 12 },
        { "value", values, 8 },
        { "attention", attention, 10 },
        { "twin", twin, 4 },
        { "score", score, 5 },
        { "recompress", recompress, 4 },
        { "edit", edit, 8 },
        { "ask", ask, 6 },
        { "stop", stop, 2 },
        { "look", look, 3 },
        { "start", start, 2 },
        { "prompt", new_prompt, 1 },
    };
    struct walk w = { .e = open_engine(), .shadow = open_engine(), .random = seed };
    unsigned shares = 0;
    for (size_t i = 0; i < KV_COUNT(table); i++) shares += table[i].share;
    if (!tap_state.failed) {
        new_prompt(&w);
        start(&w);
    }
    for (int i = 0; i < actions && !tap_state.failed; i++) {
        unsigned draw = below(&w, shares), k = 0;
        while (draw >= table[k].share) draw -= table[k++].share;
        w.last = table[k].name;
        err.text[0] = 0;
        table[k].act(&w);
        if (kv_started(w.e)) same_run(w.e, w.shadow, "the shadow");
        if (i % 100 == 99 && !tap_state.failed) compare(&w);
        if (tap_state.failed) printf("# seed %llu, action %d: %s\n", (unsigned long long)seed, i, w.last);
    }
    kv_engine_close(w.e);
    kv_engine_close(w.shadow);
}

static void first_walk(void) { walk(1, 1500); }
static void second_walk(void) { walk(2, 1500); }
static void third_walk(void) { walk(3, 1500); }

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "a random walk of 1,500 actions", first_walk },
        { "a second one", second_walk },
        { "a third one", third_walk },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
