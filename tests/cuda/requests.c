/* The same requests on the CPU and on the CUDA backend, in f32: from the prompt to the last token, with everything that
 * a user can do on the way. Integers (tokens, budgets, kept sets) are to be equal, other numbers to a few roundings of
 * the logits; and what the device does in steps, again, or after going back is to be equal to the last bit.
 *
 * The program looks for the plugin beside itself. Without one, or without a GPU where it is a real one, all is SKIP. */
#include "engine/core.h"
#include "engine/device.h"
#include "engine/edit.h"
#include "engine/engine.h"
#include "engine/history.h"
#include "engine/look.h"
#include "engine/policy/policy.h"
#include "engine/runs.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define REAL_MODEL "models/smollm2-135m-instruct-q4_1.gguf"
#define TOLERANCE  2e-4 /* of a value, beside 1: sums of a few hundred products in another order */

static struct kv_error err;

/* Texts as bytes, which are the first tokens of made-up models: a machine with a GPU may not have what a tokenizer
 * takes. */
static const char *const story =
    "The harbor master wrote the number of every boat in a long book, and read it aloud when fog came in.";
static const int32_t real_ids[] = { 504, 4163, 12927, 260, 1863, 282, 13768, 16076, 645, 19998, 2216, 281, 30 };

enum { TEXT_MOST = 128 };

/* One request on both machines. */
struct pair {
    struct kv_model *model;
    struct kv_engine *on[2]; /* the CPU, the GPU */
};

static bool set(struct kv_engine *e, const char *name, const char *value)
{
    return kv_set(e, &name, &value, 1, &err) == KV_OK;
}

static bool set_both(struct pair *p, const char *name, const char *value)
{
    return set(p->on[0], name, value) && set(p->on[1], name, value);
}

static void close_pair(struct pair *p)
{
    kv_engine_close(p->on[0]);
    kv_engine_close(p->on[1]);
    kv_model_close(p->model);
    *p = (struct pair){ 0 };
}

static int bytes_of(const char *text, int32_t *ids)
{
    int n = 0;
    for (; text && text[n] && n < TEXT_MOST; n++) ids[n] = (unsigned char)text[n];
    return n;
}

static bool open_pair(struct pair *p, const char *model, const char *text, const char *question)
{
    int32_t ids[TEXT_MOST], asked[TEXT_MOST];
    int n = bytes_of(text, ids), n_asked = bytes_of(question, asked);
    *p = (struct pair){ 0 };
    if (!text) memcpy(ids, real_ids, sizeof real_ids), n = KV_COUNT(real_ids);
    bool fine = !kv_model_open(model, &p->model, &err);
    for (int i = 0; i < 2 && fine; i++) {
        struct kv_engine **e = &p->on[i];
        fine = !kv_engine_open(p->model, e, &err) && set(*e, "engine.backend", i ? "cuda" : "cpu") &&
               set(*e, "engine.precision", "f32") && set(*e, "engine.threads", "2") &&
               set(*e, "decode.tokens", "6") && set(*e, "engine.segment", "48") &&
               !kv_prompt_ids(*e, ids, n, n_asked ? asked : NULL, n_asked, &err);
    }
    if (!fine) {
        tap_fail(__FILE__, __LINE__, "%s: %s", model, err.text);
        close_pair(p);
    }
    return fine;
}

static bool run_to(struct kv_engine *e, enum kv_phase phase, enum kv_unit unit)
{
    struct kv_where at;
    if (!kv_started(e) && kv_start(e, &err)) return false;
    for (kv_where(e, &at); at.phase < phase; kv_where(e, &at))
        if (kv_step(e, unit, &err)) return false;
    return true;
}

static bool run_both(struct pair *p, enum kv_phase phase)
{
    bool fine = run_to(p->on[0], phase, KV_UNIT_PHASE) && run_to(p->on[1], phase, KV_UNIT_PHASE);
    CHECK(fine, "%s", err.text);
    return fine;
}

/* ---- comparing ---- */

static size_t count_of(const struct kv_array *a)
{
    size_t count = 1;
    for (int i = 0; i < a->n_dim; i++) count *= a->dim[i];
    return count;
}

static double number(const struct kv_array *a, size_t i)
{
    switch (a->type) {
    case KV_F32: return (double)((const float *)a->data)[i];
    case KV_F64: return ((const double *)a->data)[i];
    case KV_I32: return ((const int32_t *)a->data)[i];
    default: return ((const uint8_t *)a->data)[i];
    }
}

static bool near(double x, double y, double tolerance)
{
    return (isnan(x) && isnan(y)) || x == y || fabs(x - y) <= tolerance * (1 + fabs(x));
}

static void compare(struct pair *p, const char *name, double tolerance)
{
    struct kv_array a, b;
    bool there = !kv_value(p->on[0], name, &a, &err) && !kv_value(p->on[1], name, &b, &err);
    REQUIRE(there, "%s: %s", name, err.text);
    size_t count = count_of(&a);
    REQUIRE(count == count_of(&b), "%s has %zu numbers on the CPU, %zu on the GPU", name, count, count_of(&b));
    for (size_t i = 0; i < count; i++) {
        double x = number(&a, i), y = number(&b, i);
        CHECK(near(x, y, a.type == KV_I32 || a.type == KV_U8 ? 0 : tolerance),
            "%s number %zu of %zu is %.9g on the CPU, %.9g on the GPU", name, i, count, x, y);
    }
}

static void compare_prefill(struct pair *p)
{
    compare(p, "tok", 0);
    compare(p, "entropy", TOLERANCE);
    compare(p, "E", TOLERANCE);
    compare(p, "entropy_q", TOLERANCE);
    compare(p, "columns", TOLERANCE);
}

static void compare_compressed(struct pair *p)
{
    compare(p, "weight", TOLERANCE);
    compare(p, "budget.app", 0);
    compare(p, "score", TOLERANCE);
    compare(p, "kept", 0);
    compare(p, "reason", 0);
}

static void compare_reply(struct pair *p)
{
    compare(p, "reply", 0);
    compare(p, "logit", 5 * TOLERANCE);
}

/* A copy of a value's bytes. */
static void *copy_value(struct kv_engine *e, const char *name, size_t *bytes)
{
    static const size_t size[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    struct kv_array a;
    *bytes = 0;
    if (kv_value(e, name, &a, &err)) return NULL;
    *bytes = size[a.type] * count_of(&a);
    void *copy = malloc(*bytes + 1);
    if (copy) memcpy(copy, a.data, *bytes);
    return copy;
}

static void same_bits(struct kv_engine *a, struct kv_engine *b, const char *what)
{
    static const char *const name[] = { "entropy_q", "columns", "score", "kept", "reply", "logit" };
    for (size_t i = 0; i < KV_COUNT(name); i++) {
        size_t n, m;
        void *x = copy_value(a, name[i], &n), *y = copy_value(b, name[i], &m);
        CHECK(x && y && n == m && !memcmp(x, y, n), "%s differs %s", name[i], what);
        free(x);
        free(y);
    }
}

/* ---- whole requests ---- */

static void whole(const char *model, const char *question)
{
    struct pair p;
    if (!open_pair(&p, model, story, question)) return;
    if (run_both(&p, KV_PHASE_done)) {
        compare_prefill(&p);
        compare_compressed(&p);
        compare_reply(&p);
    }
    close_pair(&p);
}

static void tiny(void) { whole("synthetic:tiny", NULL); }
static void tiny_asked(void) { whole("synthetic:tiny", "Who read the book?"); }
static void sliding(void) { whole("synthetic:tiny-sliding", NULL); }
static void qwen3(void) { whole("synthetic:tiny-qwen3", NULL); }
static void mistral(void) { whole("synthetic:tiny-mistral", "Who read the book?"); }

static void real(void)
{
    struct pair p;
    if (access(REAL_MODEL, R_OK)) SKIP("the model is not here");
    if (!open_pair(&p, REAL_MODEL, NULL, NULL)) return;
    bool fine = set_both(&p, "policy.ratio", "0.5") && set_both(&p, "policy.recent", "4") &&
                set_both(&p, "decode.tokens", "2");
    CHECK(fine, "%s", err.text);
    if (fine && run_both(&p, KV_PHASE_done)) {
        compare_prefill(&p);
        compare_compressed(&p);
        compare_reply(&p);
    }
    close_pair(&p);
}

/* The precision that is meant for work: 16-bit products and an f16 cache against the CPU's f32. A factor carries 8 bits
 * (2^-9 of it is lost), a sum of 128 products about as much of its own size; three or four such sums follow each other
 * in two layers. So entropies and logits are off by some thousandths of their size, and few tokens near the cut change
 * places. */
static void fast(const char *model)
{
    struct pair p;
    struct kv_array a, b;
    if (!open_pair(&p, model, story, NULL)) return;
    bool fine = set(p.on[1], "engine.precision", "fast") && run_both(&p, KV_PHASE_compress);
    if (fine) {
        compare(&p, "entropy", 0.02);
        compare(&p, "columns", 0.05);
        compare(&p, "logit", 0.1);
    }
    fine = fine && run_both(&p, KV_PHASE_done) && !kv_value(p.on[0], "kept", &a, &err) &&
           !kv_value(p.on[1], "kept", &b, &err);
    CHECK(fine, "%s", err.text);
    size_t other = 0;
    for (size_t i = 0; fine && i < count_of(&a); i++) other += number(&a, i) != number(&b, i);
    CHECK(!fine || other <= count_of(&a) / 20, "%zu tokens of %zu are kept on one alone", other, count_of(&a));
    close_pair(&p);
}

static void fast_qwen3(void) { fast("synthetic:tiny-qwen3"); }
static void fast_mistral(void) { fast("synthetic:tiny-mistral"); }

/* Every preset from one prefill: what each measures goes over the device. */
static void presets(void)
{
    struct pair p;
    const char *name;
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = set_both(&p, "decode.tokens", "2") && run_both(&p, KV_PHASE_compress);
    for (int i = 0; fine && (name = policy_preset_name(i)); i++) {
        if (!strcmp(name, "tuned") || !strcmp(name, "manual")) continue; /* want a profile, or weights */
        fine = set_both(&p, "policy.preset", name) && !kv_recompress(p.on[0], &err) &&
               !kv_recompress(p.on[1], &err) && run_both(&p, KV_PHASE_done);
        CHECK(fine, "%s: %s", name, err.text);
        if (!fine) break;
        compare_compressed(&p);
        compare_reply(&p);
    }
    close_pair(&p);
}

/* Every way of scoring, for all heads together and each KV head for itself. */
static void selectors(void)
{
    static const char *const selector[] = { "sum", "mean", "window", "last", "mix", "streaming", "knorm", "vnorm",
        "expected", "random" };
    struct pair p;
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = set_both(&p, "decode.tokens", "2") && run_both(&p, KV_PHASE_compress);
    for (size_t i = 0; fine && i < 2 * KV_COUNT(selector); i++) {
        fine = set_both(&p, "policy.group", i % 2 ? "kv-head" : "shared") &&
               set_both(&p, "policy.selector", selector[i / 2]) && !kv_recompress(p.on[0], &err) &&
               !kv_recompress(p.on[1], &err) && run_both(&p, KV_PHASE_done);
        CHECK(fine, "%s: %s", selector[i / 2], err.text);
        if (!fine) break;
        compare_compressed(&p);
        compare(&p, "budget.head", 0);
        compare_reply(&p);
    }
    close_pair(&p);
}

/* A setting that reaches into decoding. */
static void decoded_with(const char *name, const char *value)
{
    struct pair p;
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = set_both(&p, name, value) && set_both(&p, "decode.tokens", "8") && run_both(&p, KV_PHASE_done);
    CHECK(fine, "%s", err.text);
    if (fine) {
        compare_compressed(&p);
        compare_reply(&p);
    }
    close_pair(&p);
}

static void again(void) { decoded_with("policy.every", "3"); }
static void turned(void) { decoded_with("policy.positions", "rerotate"); }

/* ---- the device against itself ---- */

static void steps(const char *model, const char *precision)
{
    struct pair p;
    if (!open_pair(&p, model, story, NULL)) return;
    bool fine = set_both(&p, "engine.precision", precision) && set(p.on[0], "engine.backend", "cuda") &&
                run_to(p.on[0], KV_PHASE_done, KV_UNIT_STAGE) && run_to(p.on[1], KV_PHASE_done, KV_UNIT_PHASE);
    CHECK(fine, "%s", err.text);
    if (fine) same_bits(p.on[0], p.on[1], "between steps and one run");
    close_pair(&p);
}

static void stepped(void) { steps("synthetic:tiny", "f32"); }
static void stepped_fast(void)
{
    steps("synthetic:tiny-qwen3", "fast");
    steps("synthetic:tiny-mistral", "fast");
}

static void in_place(void)
{
    struct pair p;
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = set(p.on[0], "engine.backend", "cuda") && set(p.on[0], "engine.snapshot", "off") &&
                run_to(p.on[0], KV_PHASE_done, KV_UNIT_PHASE) && run_to(p.on[1], KV_PHASE_done, KV_UNIT_PHASE);
    CHECK(fine, "%s", err.text);
    if (fine) same_bits(p.on[0], p.on[1], "in place");
    close_pair(&p);
}

/* Back to some ticks and on again; every state has the hash that it had. */
static void back(void)
{
    struct pair p;
    struct kv_history h;
    if (!open_pair(&p, "synthetic:tiny", story, "Who read the book?")) return;
    struct kv_engine *e = p.on[1];
    bool fine = set_both(&p, "decode.tokens", "3") && run_to(e, KV_PHASE_done, KV_UNIT_PHASE) &&
                run_to(p.on[0], KV_PHASE_done, KV_UNIT_PHASE) && !kv_history(e, &h, &err);
    for (int i = 1; fine && i < 5; i++) {
        uint64_t tick = h.highest * (uint64_t)i / 5, first, second;
        fine = !kv_seek(e, tick, &err) && !kv_state_hash(e, &first, &err) && !kv_seek(e, h.highest, &err) &&
               !kv_seek(e, tick, &err) && !kv_state_hash(e, &second, &err);
        CHECK(fine && first == second, "the state at tick %llu differs: %s", (unsigned long long)tick, err.text);
        fine = fine && !kv_seek(e, h.highest, &err);
    }
    CHECK(fine, "%s", err.text);
    if (fine) compare_reply(&p);
    close_pair(&p);
}

/* ---- judging ---- */

static void judged(void)
{
    struct pair p;
    struct kv_verdict v[2];
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = set_both(&p, "policy.ratio", "0.4") && run_both(&p, KV_PHASE_done) &&
                !kv_twin(p.on[0], 6, &v[0], &err) && !kv_twin(p.on[1], 6, &v[1], &err);
    CHECK(fine, "%s", err.text);
    if (fine) {
        CHECK(near(v[0].kl_mean, v[1].kl_mean, TOLERANCE), "KL %g and %g", v[0].kl_mean, v[1].kl_mean);
        compare(&p, "kl", TOLERANCE);
        compare(&p, "full", 0);
        compare(&p, "other", 0);
    }
    close_pair(&p);
}

/* Three kept sets of one reply as sequences of a batch: one that changes no layer, one in which all do, one in which
 * the last does. */
static void scored(void)
{
    enum { SETS = 3, LAYERS = 3, REPLY = 5 };
    static const int32_t reply[REPLY] = { 104, 101, 32, 119, 97 };
    int32_t even[64];
    const int32_t *kept[SETS * LAYERS] = { 0 };
    int n_kept[SETS * LAYERS] = { 0 }, half = 20;
    float kl[2][SETS * REPLY];
    struct kv_verdict v[2][SETS];
    struct pair p;
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    for (int i = 0; i < half; i++) even[i] = 2 * i;
    for (int l = 0; l < LAYERS; l++) kept[LAYERS + l] = even, n_kept[LAYERS + l] = half;
    kept[2 * LAYERS + 2] = even + 3, n_kept[2 * LAYERS + 2] = half - 3;
    bool fine = run_both(&p, KV_PHASE_compress);
    for (int i = 0; i < 2 && fine; i++)
        fine = !kv_score(p.on[i], reply, REPLY, SETS, kept, n_kept, kl[i], v[i], &err);
    CHECK(fine, "%s", err.text);
    for (int i = 0; fine && i < SETS * REPLY; i++)
        CHECK(near((double)kl[0][i], (double)kl[1][i], TOLERANCE), "KL number %d is %g and %g", i, (double)kl[0][i],
            (double)kl[1][i]);
    CHECK(!fine || (v[1][0].kl_max == 0 && v[1][1].kl_max > 0), "the full set has a KL of %g", v[1][0].kl_max);
    close_pair(&p);
}

/* ---- looking ---- */

static void looked_at(void)
{
    enum { ROWS = 7, FIRST = 30, WIDTH = 64, HIDDEN = 64 };
    struct pair p;
    float map[2][ROWS * WIDTH] = { 0 }, hidden[2][ROWS * HIDDEN], keys[2][ROWS * 16];
    if (!open_pair(&p, "synthetic:tiny-sliding", story, NULL)) return;
    bool fine = run_both(&p, KV_PHASE_done);
    for (int i = 0; i < 2 && fine; i++)
        fine = !kv_attention(p.on[i], 2, 3, FIRST, ROWS, map[i], WIDTH, &err) &&
               !kv_hidden(p.on[i], 1, FIRST, ROWS, hidden[i], &err) &&
               !kv_cache_rows(p.on[i], false, 1, 1, FIRST, ROWS, keys[i], &err);
    CHECK(fine, "%s", err.text);
    for (int i = 0; fine && i < ROWS * WIDTH; i++)
        CHECK(near((double)map[0][i], (double)map[1][i], TOLERANCE), "attention %d: %g, %g", i, (double)map[0][i],
            (double)map[1][i]);
    for (int i = 0; fine && i < ROWS * HIDDEN; i++)
        CHECK(near((double)hidden[0][i], (double)hidden[1][i], TOLERANCE), "hidden %d: %g, %g", i,
            (double)hidden[0][i], (double)hidden[1][i]);
    for (int i = 0; fine && i < ROWS * 16; i++)
        CHECK(near((double)keys[0][i], (double)keys[1][i], TOLERANCE), "key %d: %g, %g", i, (double)keys[0][i],
            (double)keys[1][i]);
    close_pair(&p);
}

/* A core file of the device's request, opened again without a device. */
static void core_file(void)
{
    struct pair p;
    struct kv_model *model = NULL;
    struct kv_engine *core = NULL;
    struct kv_core_want want = { .layer = { 1 }, .head = { 2 }, .n_map = 1 };
    char path[] = "/tmp/kvdbg-end-to-end-XXXXXX";
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    int file = mkstemp(path);
    if (file >= 0) close(file);
    for (int i = 0; i < KV_CORE_PARTS; i++) want.part[i] = true;
    bool fine = set_both(&p, "policy.group", "kv-head") && run_both(&p, KV_PHASE_done) && file >= 0 &&
                !kv_core_write(p.on[1], path, &want, &err) && !kv_core_open(path, &model, &core, &err);
    CHECK(fine || err.code == KV_UNSUPPORTED, "%s", err.text);
    if (fine) {
        float map[2][4 * 64];
        same_bits(p.on[1], core, "in the core file");
        fine = !kv_attention(p.on[1], 1, 2, 40, 4, map[0], 64, &err) &&
               !kv_attention(core, 1, 2, 40, 4, map[1], 64, &err);
        for (int i = 0; i < 4 * 64; i++)
            CHECK(fine && (i % 64 > 43 || map[0][i] == map[1][i]), "attention %d differs: %s", i, err.text);
    }
    kv_engine_close(core);
    kv_model_close(model);
    if (file >= 0) unlink(path);
    close_pair(&p);
}

/* Runs beside each other: a clone with another policy, compared with the full cache as one batch. */
static void cloned(void)
{
    static const int run[] = { KV_RUN_FULL, 1, 3 };
    struct pair p;
    struct kv_comparison c[2] = { { 0 }, { 0 } };
    if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
    bool fine = run_both(&p, KV_PHASE_done);
    for (int i = 0, made; i < 2 && fine; i++)
        fine = !kv_run_fork(p.on[i], &made, &err) && set(p.on[i], "policy.preset", "snapkv") &&
               run_to(p.on[i], KV_PHASE_done, KV_UNIT_PHASE) && !kv_compare(p.on[i], run, 3, 0, 5, &c[i], &err);
    CHECK(fine, "%s", err.text);
    for (int i = 0; fine && i < 3 * c[0].steps; i++)
        CHECK(c[0].token[i] == c[1].token[i] && near(c[0].kl[i], c[1].kl[i], TOLERANCE), "step %d: %d %g, %d %g", i,
            c[0].token[i], c[0].kl[i], c[1].token[i], c[1].kl[i]);
    kv_comparison_free(&c[0]);
    kv_comparison_free(&c[1]);
    close_pair(&p);
}

/* ---- how often the host waits for the device ---- */

static uint64_t waits(const struct kv_engine *e)
{
    struct kv_device d;
    return kv_device(e, &d, &err) ? UINT64_MAX : d.waits;
}

/* Whole: for the scores of all layers, for the sets of all layers, and once for each token. Stage by stage, at most twice a layer. */
static void waited(void)
{
    static const struct {
        const char *preset, *group;
        bool folds; /* not what looks at heads or values */
    } row[] = { { "seed", "shared", true }, { "pyramid", "shared", true }, { "snapkv", "kv-head", true },
        { "adakv", "kv-head", true }, { "h2o", "shared", true }, { "tova", "shared", true },
        { "cake", "shared", false } };
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        struct pair p;
        struct kv_where at;
        if (!open_pair(&p, "synthetic:tiny", story, NULL)) return;
        struct kv_engine *e = p.on[1];
        bool fine = set(e, "policy.preset", row[i].preset) && set(e, "policy.group", row[i].group) &&
                    run_to(e, KV_PHASE_compress, KV_UNIT_PHASE);
        uint64_t before = waits(e);
        fine = fine && run_to(e, KV_PHASE_decode, KV_UNIT_PHASE);
        uint64_t after = waits(e);
        CHECK(fine, "%s", err.text);
        CHECK((after - before <= 2) == row[i].folds, "%s waits %d times to compress", row[i].preset,
            (int)(after - before));
        for (kv_where(e, &at); fine && at.phase == KV_PHASE_decode; kv_where(e, &at)) {
            before = waits(e);
            fine = !kv_step(e, KV_UNIT_PASS, &err);
            CHECK(fine && waits(e) - before <= 1, "%d waits for a token; %s", (int)(waits(e) - before), err.text);
        }
        close_pair(&p);
    }
}

static const struct tap_case cases[] = {
    { "a request on synthetic:tiny", tiny }, { "a question over the compressed context", tiny_asked },
    { "sliding windows", sliding }, { "a small qwen3", qwen3 }, { "a small mistral", mistral },
    { "a small qwen3 in 16 bits", fast_qwen3 }, { "a small mistral in 16 bits", fast_mistral },
    { "every preset", presets }, { "every selector, shared and by KV head", selectors },
    { "compressed again while decoding", again }, { "kept keys turned to new positions", turned },
    { "stage by stage, to the bit", stepped }, { "stage by stage in 16 bits, to the bit", stepped_fast },
    { "compacted in place, to the bit", in_place }, { "back and on again, to the bit", back }, { "a twin", judged },
    { "waits for the device", waited }, { "kept sets scored as a batch", scored },
    { "attention, hidden rows and keys", looked_at }, { "a core file", core_file },
    { "runs in comparison", cloned },
    { "SmolLM2", real }, /* when it is asked for: the emulator's guards take minutes over so much memory */
};

int main(int argc, char **argv)
{
    struct pair p;
    if (!open_pair(&p, "synthetic:tiny", story, NULL) || kv_start(p.on[1], &err)) {
        close_pair(&p);
        printf("1..0 # SKIP %s\n", err.text);
        return err.code != KV_DEVICE;
    }
    close_pair(&p);
    return tap_main(argc, argv, cases, KV_COUNT(cases) - (argc == 1));
}
