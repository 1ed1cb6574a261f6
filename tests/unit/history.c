/* Random walks through time: whatever way leads to a tick of a branch, the state there has one hash. */
#include "engine/edit.h"
#include "engine/history.h"
#include "tests/tap.h"

#include <stdlib.h>

#define TICKS 4000
#define MARKS 6

struct walk {
    struct kv_engine *e;
    uint64_t random;
    uint64_t hash[TICKS]; /* of this branch; 0 = not seen */
    struct kv_mark *mark[MARKS];
    uint64_t mark_hash[MARKS];
    int branch;
    uint64_t from; /* tick before the command: where a new branch forks off */
    const char *last;
};

static struct kv_error err;
static struct kv_model *model;

static unsigned below(struct walk *w, unsigned n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(w->random >> 33) % n;
}

static void put(struct kv_engine *e, const char *name, const char *value)
{
    CHECK(!kv_set(e, &name, &value, 1, &err), "%s %s: %s", name, value, err.text);
}

static uint64_t state(struct walk *w)
{
    uint64_t hash = 0;
    CHECK(!kv_state_hash(w->e, &hash, &err), "%s", err.text);
    return hash;
}

/* The hash here must be the one seen before; where_at must know the place. */
static void check(struct walk *w)
{
    struct kv_where at, told;
    kv_where(w->e, &at);
    REQUIRE(at.tick < TICKS, "tick %llu", (unsigned long long)at.tick);
    if (at.branch != w->branch) {
        for (uint64_t i = 0; i < TICKS; i++)
            if (i > w->from) w->hash[i] = 0;
        w->branch = at.branch;
    }
    CHECK(!kv_where_at(w->e, at.tick, &told, &err), "%s", err.text);
    CHECK(at.phase == told.phase && at.pass == told.pass && at.layer == told.layer && at.stage == told.stage &&
              at.branch == told.branch,
        "where_at says %s:%d, the engine %s:%d", kv_phase_name[told.phase], told.pass, kv_phase_name[at.phase],
        at.pass);
    uint64_t hash = state(w);
    CHECK(!w->hash[at.tick] || w->hash[at.tick] == hash, "another state at tick %llu (%s:%d L%d.%s)",
        (unsigned long long)at.tick, kv_phase_name[at.phase], at.pass, at.layer,
        at.phase == KV_PHASE_done ? "" : kv_stage_name[at.stage]);
    w->hash[at.tick] = hash;
}

static void step(struct walk *w)
{
    struct kv_where at;
    for (unsigned i = below(w, 12); i-- && !tap_state.failed;) {
        kv_where(w->e, &at);
        if (at.phase == KV_PHASE_done) return;
        w->from = at.tick;
        CHECK(!kv_step(w->e, below(w, KV_UNIT_PHASE), &err), "%s", err.text);
        check(w);
    }
}

static struct kv_history history(struct walk *w)
{
    struct kv_history h;
    CHECK(!kv_history(w->e, &h, &err), "%s", err.text);
    CHECK(h.bytes <= h.limit && h.current <= h.highest, "%zu bytes of %zu", h.bytes, h.limit);
    return h;
}

static void seek(struct walk *w)
{
    uint64_t tick = below(w, (unsigned)history(w).highest + 1);
    CHECK(!kv_seek(w->e, tick, &err), "%s", err.text);
    CHECK(history(w).current == tick, "a seek ended elsewhere");
}

static void back(struct walk *w)
{
    struct kv_history h = history(w);
    uint64_t n = below(w, 40);
    CHECK(!kv_seek(w->e, h.current > n ? h.current - n : 0, &err), "%s", err.text);
    check(w);
    CHECK(!kv_seek(w->e, h.current, &err), "%s", err.text);
}

static void beyond(struct walk *w)
{
    CHECK(kv_seek(w->e, history(w).highest + 1 + below(w, 3), &err) == KV_BAD_ARG, "a seek beyond the frontier");
}

static void stop(struct walk *w)
{
    struct kv_where at;
    kv_stop(w->e);
    enum kv_status status = kv_seek(w->e, below(w, (unsigned)history(w).highest + 1), &err);
    CHECK(!status || status == KV_STOPPED, "%s", err.text);
    kv_where(w->e, &at);
    w->from = at.tick;
    status = at.phase == KV_PHASE_done ? KV_OK : kv_step(w->e, KV_UNIT_STAGE, &err);
    CHECK(!status || status == KV_STOPPED, "%s", err.text);
}

static void change(struct walk *w)
{
    static const struct {
        const char *name, *value[3];
    } settings[] = {
        { "decode.tokens", { "3", "6", "9" } },
        { "decode.temperature", { "0", "1", "2" } },
        { "policy.preset", { "seed", "adakv", "inverse" } },
        { "policy.ratio", { "0.2", "0.5", "1" } },
        { "decode.seed", { "1", "2", "3" } },
    };
    size_t i = below(w, KV_COUNT(settings));
    put(w->e, settings[i].name, settings[i].value[below(w, 3)]);
}

/* Some tokens in some layers, or a layer's budget; a refusal changes nothing. */
static void edit(struct walk *w)
{
    int32_t pos[12], layer = (int32_t)below(w, 3),
                     tokens = below(w, 3) ? 20 + (int32_t)below(w, 30) : KV_BUDGET_AUTO;
    int count = 1 + (int)below(w, 12), from = (int)below(w, 60);
    for (int i = 0; i < count; i++) pos[i] = from + i;
    enum kv_status status;
    if (below(w, 2))
        status = kv_edit_budgets(w->e, &layer, &tokens, 1, &err);
    else
        status = kv_edit_tokens(w->e, (enum kv_edit)below(w, 3) - 1, below(w, 9) ? pos : NULL, count, layer,
            below(w, 2) ? layer : 2, &err);
    CHECK(!status || status == KV_BAD_ARG, "%s", err.text);
}

static void mark(struct walk *w)
{
    unsigned i = below(w, MARKS);
    struct kv_where at, told;
    kv_mark_free(w->mark[i]);
    CHECK(!kv_mark_take(w->e, &w->mark[i], &err), "%s", err.text);
    w->mark_hash[i] = state(w);
    kv_where(w->e, &at);
    kv_mark_where(w->mark[i], &told);
    CHECK(at.tick == told.tick && kv_mark_bytes(w->mark[i]) == kv_mark_size(w->e), "a mark of another place");
}

static void go(struct walk *w)
{
    unsigned i = below(w, MARKS);
    struct kv_where at;
    if (!w->mark[i]) return;
    CHECK(!kv_mark_go(w->e, w->mark[i], &err), "%s", err.text);
    kv_where(w->e, &at);
    if (at.branch != w->branch) memset(w->hash, 0, sizeof w->hash);
    w->branch = at.branch;
    CHECK(state(w) == w->mark_hash[i], "another state at a mark, tick %llu", (unsigned long long)at.tick);
}

static void recompress(struct walk *w)
{
    struct kv_where at;
    kv_where(w->e, &at);
    if (at.phase <= KV_PHASE_prefill) return;
    CHECK(!kv_recompress(w->e, &err), "%s", err.text);
    kv_where(w->e, &at);
    memset(w->hash, 0, sizeof w->hash);
    w->branch = at.branch;
}

static void start(struct walk *w)
{
    CHECK(!kv_start(w->e, &err), "%s", err.text);
    memset(w->hash, 0, sizeof w->hash);
    w->branch = 0;
}

static void limit(struct walk *w)
{
    static const size_t bytes[] = { 0, 10000, 1u << 20, 256u << 20 };
    kv_history_limit(w->e, bytes[below(w, 4)]);
    history(w);
}

static void walk(const char *precision, const char *segment, const char *snapshot, int n, int asked, int actions)
{
    static const struct {
        const char *name;
        void (*act)(struct walk *w);
        unsigned share;
    } table[] = { { "step", step, 30 }, { "seek", seek, 25 }, { "back", back, 25 }, { "beyond", beyond, 1 },
        { "stop", stop, 4 }, { "set", change, 6 }, { "edit", edit, 6 }, { "mark", mark, 5 }, { "go", go, 6 },
        { "recompress", recompress, 3 }, { "start", start, 1 }, { "limit", limit, 2 } };
    static const char *const name[] = { "engine.precision", "engine.segment", "engine.snapshot", "decode.tokens" };
    const char *const value[] = { precision, segment, snapshot, "8" };
    struct walk *w = kv_alloc(1, sizeof *w);
    int32_t ids[200];
    unsigned shares = 0;
    REQUIRE(w, "no memory");
    w->random = (uint64_t)n;
    for (int i = 0; i < 200; i++) ids[i] = (int32_t)below(w, 300);
    for (size_t i = 0; i < KV_COUNT(table); i++) shares += table[i].share;
    if ((!model && kv_model_open("synthetic:tiny", &model, &err)) || kv_engine_open(model, &w->e, &err) ||
        kv_set(w->e, name, value, KV_COUNT(name), &err) || kv_prompt_ids(w->e, ids, n, ids + n, asked, &err))
        tap_fail(__FILE__, __LINE__, "%s", err.text);
    if (!tap_state.failed) start(w);
    for (int i = 0; i < actions && !tap_state.failed; i++) {
        unsigned draw = below(w, shares), k = 0;
        while (draw >= table[k].share) draw -= table[k++].share;
        table[k].act(w);
        if (!tap_state.failed) check(w);
        if (tap_state.failed) printf("# action %d: %s\n", i, table[k].name);
    }
    for (int i = 0; i < MARKS; i++) kv_mark_free(w->mark[i]);
    kv_engine_close(w->e);
    free(w);
}

static void plain(void) { walk("f32", "512", "on", 90, 0, 600); }
static void cut(void) { walk("f32", "32", "on", 100, 0, 600); }
static void question(void) { walk("f32", "16", "on", 70, 40, 600); }
static void in_place(void) { walk("f32", "32", "off", 80, 20, 500); }
static void fast(void) { walk("fast", "32", "on", 100, 0, 600); }
static void fast_question(void) { walk("fast", "16", "on", 70, 40, 600); }

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "one segment, no question, f32", plain },
        { "several segments", cut },
        { "with a question", question },
        { "compacted in place", in_place },
        { "several segments, fast", fast },
        { "with a question, fast", fast_question },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(model);
    return status;
}
