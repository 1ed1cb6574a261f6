/* The engine against Hugging Face transformers on the default model, precision f32: tests/golden/model/, written by
 * tests/oracle/model_golden.py, which lists the files.
 *
 *     parity [--backend NAME] [--dump DIR] [CASE]
 * --dump also writes the whole of what was compared into DIR as .npy, for tests/oracle/parity.py.
 *
 * The request is driven through engine.h. engine/state.h is opened for two things that a user cannot ask for: the
 * logits of every row of a pass, and a reply that is given instead of sampled. */
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MODEL      "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN     "tests/golden/model/"
#define FIXED      64 /* vocabulary ids whose logits are stored, sorted */
#define TOP        8
#define LAYERS     30
#define MAX_TOKENS 2048
#define SKETCH     (1 + FIXED + 2 * TOP)
#define STEPS      64
#define FEW_STEPS  16 /* where every step is decoded more than once */

static const double logit_tolerance = 2e-3, entropy_tolerance = 1e-4, score_tolerance = 1e-4, kl_tolerance = 1e-3;
static const char *dump_dir, *backend = "cpu";
static struct kv_model *model;
static struct kv_error err;

/* --- goldens, dumps, notes -------------------------------------------------------------------------------------- */

/* The goldens read so far; main frees them. */
static struct {
    char name[32];
    struct npy array;
} goldens[32];

/* A golden by name, in this type and shape (0 = any); NULL fails the case. */
static const struct npy *golden(const char *name, enum npy_type type, size_t d0, size_t d1, size_t d2)
{
    const size_t want[] = { d0, d1, d2 };
    char path[256];
    size_t i = 0;
    while (i < KV_COUNT(goldens) - 1 && goldens[i].name[0] && strcmp(goldens[i].name, name)) i++;
    struct npy *a = &goldens[i].array;
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    if (!a->data && npy_read(path, a, &err)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        return NULL;
    }
    snprintf(goldens[i].name, sizeof goldens[i].name, "%s", name);
    bool right = a->type == type;
    for (i = 0; i < 3; i++) right = right && (!want[i] || a->dim[i] == want[i]);
    if (!right) tap_fail(__FILE__, __LINE__, "%s is not [%zu][%zu][%zu]", name, d0, d1, d2);
    return right ? a : NULL;
}

static struct npy_writer dump_open(const char *name, enum npy_type type, size_t d0, size_t d1, size_t d2)
{
    char path[512];
    struct npy_writer w = { 0 };
    const size_t dim[] = { d0, d1, d2 };
    if (!dump_dir) return w;
    snprintf(path, sizeof path, "%s/%s.npy", dump_dir, name);
    if (npy_create(path, type, d2 ? 3 : d1 ? 2 : 1, dim, &w, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    return w;
}

static void dump_rows(struct npy_writer *w, const void *data, size_t count)
{
    if (w->file && npy_append(w, data, count, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void dump_close(struct npy_writer *w)
{
    if (w->file && npy_close(w, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void dump(const char *name, enum npy_type type, const void *data, size_t d0, size_t d1, size_t d2)
{
    struct npy_writer w = dump_open(name, type, d0, d1, d2);
    dump_rows(&w, data, d0 * (d1 ? d1 : 1) * (d2 ? d2 : 1));
    dump_close(&w);
}

/* The largest difference so far; a NaN stays. */
static void widen(double *worst, double d)
{
    if (!isnan(*worst) && !(d <= *worst)) *worst = d;
}

/* Largest |a - b| over count values, or its share of |b|; below 1e-4 the share is taken of about 1e-4. */
static double farthest(const float *a, const float *b, size_t count, bool share)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        widen(&worst, share ? d / (1e-4 + fabs((double)b[i])) : d);
    }
    return worst;
}

/* --- the engine ------------------------------------------------------------------------------------------------- */

/* The tour's prompt, prefilled once, and whatever else a case has opened. Main closes both. */
static struct kv_engine *tour, *other;

/* Leaves the case when the call fails. */
#define DO(call)                                                                                                   \
    do {                                                                                                           \
        if (call) {                                                                                                \
            tap_fail(__FILE__, __LINE__, "%s", err.text);                                                          \
            return;                                                                                                \
        }                                                                                                          \
    } while (0)

/* An engine in precision f32, started on these ids, the last n_question of them the question. Without its tokenizer
 * and the file's list it knows no end of a reply: a given reply goes on behind one. */
static enum kv_status begin(struct kv_engine **out, const struct npy *ids, size_t n_question)
{
    static const char *const name[] = { "engine.backend", "engine.precision", "engine.segment", "decode.tokens",
        "policy.query-aware" };
    const char *const value[] = { backend, "f32", "256", "200", n_question ? "off" : "on" };
    size_t n = ids->count - n_question;
    kv_engine_close(*out);
    *out = NULL;
    enum kv_status status = model ? KV_OK : kv_model_open(MODEL, &model, &err);
    if (!status) status = kv_engine_open(model, out, &err);
    if (!status) status = kv_set(*out, name, value, KV_COUNT(name), &err);
    if (!status)
        status = kv_prompt_ids(*out, ids->i4, (int)n, n_question ? ids->i4 + n : NULL, (int)n_question, &err);
    if (!status) status = kv_start(*out, &err);
    if (status) return status;
    tok_close((*out)->tok);
    (*out)->tok = NULL;
    model->n_end = 0;
    return KV_OK;
}

static enum kv_status finish_phase(struct kv_engine *e, enum kv_phase phase)
{
    enum kv_status status = KV_OK;
    struct kv_where at;
    for (kv_where(e, &at); at.phase == phase && !status; kv_where(e, &at)) status = kv_step(e, KV_UNIT_PASS, &err);
    return status;
}

/* Back to the prefill's end, compressed by this policy. */
static enum kv_status compress(struct kv_engine *e, const char *allocator, const char *selector, const char *ratio)
{
    const char *name[] = { "policy.preset", "policy.allocator", "policy.selector", "policy.ratio",
        "policy.query-aware" };
    const char *value[] = { "seed", allocator, selector, ratio, e->n_question ? "off" : "on" };
    enum kv_status status = kv_set(e, name, value, KV_COUNT(name), &err);
    if (!status) status = kv_recompress(e, &err);
    return status ? status : finish_phase(e, KV_PHASE_compress);
}

static void tour_begin(void)
{
    const struct npy *ids = tour ? NULL : golden("tour_ids", NPY_I4, 0, 0, 0);
    if (!ids) return;
    DO(begin(&tour, ids, 0));
    DO(finish_phase(tour, KV_PHASE_prefill));
}

/* --- logits against their sketch -------------------------------------------------------------------------------- */

struct sketch {
    const char *name;
    const struct npy *rows, *fixed;
    size_t next; /* row that the next logits belong to */
    double worst;
    struct npy_writer dump;
};

static void sketch_open(struct sketch *s, const char *name, size_t rows)
{
    *s = (struct sketch){ .name = name };
    s->rows = golden(name, NPY_F4, rows, SKETCH, 0);
    s->fixed = golden("vocabulary_ids", NPY_I4, FIXED, 0, 0);
    for (size_t i = 0; s->fixed && i < FIXED; i++)
        CHECK(s->fixed->i4[i] >= 0 && s->fixed->i4[i] < model->shape.n_vocab, "no such token: %d", s->fixed->i4[i]);
    if (!tap_state.failed) s->dump = dump_open(name, NPY_F4, rows, (size_t)model->shape.n_vocab, 0);
}

static void sketch_close(struct sketch *s)
{
    if (s->rows) CHECK(s->next == s->rows->dim[0], "%s: %zu rows of %zu", s->name, s->next, s->rows->dim[0]);
    printf("# %s: %zu rows, logits within %.2e\n", s->name, s->next, s->worst);
    dump_close(&s->dump);
}

static void sketch_row(struct sketch *s, const float *logits)
{
    size_t n_vocab = (size_t)model->shape.n_vocab, best = 0;
    if (tap_state.failed) return;
    REQUIRE(s->next < s->rows->dim[0], "%s: a row too many", s->name);
    const float *row = s->rows->f4 + s->next * SKETCH, *top = row + 1 + FIXED, *top_id = top + TOP;
    double sum = 0, worst = 0;
    for (size_t v = 1; v < n_vocab; v++)
        if (logits[v] > logits[best]) best = v;
    for (size_t v = 0; v < n_vocab; v++) sum += exp((double)logits[v] - (double)logits[best]);
    widen(&worst, fabs((double)logits[best] + log(sum) - (double)row[0]));
    for (size_t i = 0; i < FIXED; i++) widen(&worst, fabs((double)logits[s->fixed->i4[i]] - (double)row[1 + i]));
    for (size_t i = 0; i < TOP; i++) {
        REQUIRE(top_id[i] >= 0 && top_id[i] < (float)n_vocab, "no such token: %g", (double)top_id[i]);
        widen(&worst, fabs((double)logits[(size_t)top_id[i]] - (double)top[i]));
    }
    widen(&s->worst, worst);
    CHECK(worst <= logit_tolerance, "%s, row %zu: logits off by %g", s->name, s->next, worst);
    CHECK((float)best == top_id[0], "%s, row %zu: argmax %zu, not %g", s->name, s->next, best, (double)top_id[0]);
    dump_rows(&s->dump, logits, n_vocab);
    s->next++;
}

/* Every row of the pass that has just been run. */
static enum kv_status sketch_pass(struct sketch *s, struct kv_engine *e)
{
    const struct machine *m = &e->machine;
    size_t n_vocab = (size_t)model->shape.n_vocab;
    float *logits = kv_alloc(LOGIT_ROWS * n_vocab, sizeof *logits);
    enum kv_status status = logits ? KV_OK : kv_fail(&err, KV_NO_MEMORY, "No memory for logits.");
    for (int row = 0; row < e->pass.n && !status; row += LOGIT_ROWS) {
        int n = e->pass.n - row < LOGIT_ROWS ? e->pass.n - row : LOGIT_ROWS;
        status = pass_head(&e->pass, row, n, 0, &err);
        if (!status) status = m->be->read(m->ctx, logits, m->logits, (size_t)n * n_vocab * sizeof *logits, &err);
        for (int i = 0; i < n && !status; i++) sketch_row(s, logits + (size_t)i * n_vocab);
    }
    free(logits);
    return status;
}

/* Feeds a given reply token by token; the logits behind each go to the sketch or, where there is none, to
 * out [n][n_vocab]. */
static enum kv_status force(struct kv_engine *e, const int32_t *reply, int n, struct sketch *s, float *out)
{
    size_t n_vocab = (size_t)model->shape.n_vocab;
    enum kv_status status = KV_OK;
    for (int t = 0; t < n && !status; t++) {
        e->run.reply[e->run.n_reply - 1] = reply[t];
        status = kv_step(e, KV_UNIT_PASS, &err);
        if (!status) status = engine_logits(e, &err);
        if (s)
            sketch_row(s, e->logits);
        else
            memcpy(out + (size_t)t * n_vocab, e->logits, n_vocab * sizeof *out);
    }
    return status;
}

/* --- an excerpt without a chat: logits, entropy, column sums ---------------------------------------------------- */

static void check_sums(const float *columns, size_t layers, size_t heads, size_t n)
{
    double worst = 0;
    for (size_t l = 0; l < layers; l++) {
        double sum = 0;
        for (size_t i = 0; i < heads * n; i++) sum += (double)columns[l * heads * n + i];
        widen(&worst, fabs(sum / (double)(heads * n) - 1));
    }
    CHECK(worst <= 1e-5, "column sums of a layer miss H n by a share of %g", worst);
}

/* columns [L][H][n] against the sums over heads of all layers and the heads of three. */
static void check_columns(const float *columns, size_t layers, size_t heads, size_t n)
{
    static const size_t picked[] = { 0, 14, 29 };
    const struct npy *all = golden("excerpt_columns", NPY_F4, layers, n, 0);
    const struct npy *some = golden("excerpt_columns_heads", NPY_F4, KV_COUNT(picked), heads, n);
    double worst = 0, by_head = 0;
    if (!all || !some) return;
    for (size_t i = 0; i < layers * n; i++) {
        double sum = 0;
        for (size_t h = 0; h < heads; h++) sum += (double)columns[(i / n * heads + h) * n + i % n];
        widen(&worst, fabs(sum / (double)all->f4[i] - 1));
    }
    for (size_t i = 0, size = heads * n; i < KV_COUNT(picked); i++)
        widen(&by_head, farthest(columns + picked[i] * size, some->f4 + i * size, size, true));
    CHECK(worst <= score_tolerance, "column sums off by a share of %g", worst);
    CHECK(by_head <= score_tolerance, "column sums by head off by a share of %g", by_head);
    printf("# column sums within a share of %.2e, by head %.2e\n", worst, by_head);
}

/* Scores of the window without pooling: its sums, over heads and per row, where the golden is the mean over heads. */
static void check_window(struct kv_engine *e, size_t layers, size_t heads, size_t n)
{
    const struct npy *window = golden("excerpt_window", NPY_F4, layers, n, 0);
    const char *name[] = { "policy.preset", "policy.selector", "policy.pool" };
    const char *value[] = { "seed", "window", "none" };
    struct kv_array score;
    double worst = 0;
    DO(kv_set(e, name, value, 3, &err));
    DO(finish_phase(e, KV_PHASE_compress));
    DO(kv_value(e, "score", &score, &err));
    for (size_t i = 0; window && i < window->count; i++) {
        float want = window->f4[i] * (float)heads / 32;
        widen(&worst, farthest((const float *)score.data + i, &want, 1, true));
    }
    CHECK(worst <= score_tolerance, "window scores off by a share of %g", worst);
    printf("# window scores within a share of %.2e\n", worst);
}

static void excerpt(void)
{
    const struct npy *ids = golden("excerpt_ids", NPY_I4, 0, 0, 0);
    if (!ids) return;
    DO(begin(&other, ids, 0));
    size_t layers = (size_t)model->shape.n_layer, heads = (size_t)model->shape.n_head, n = ids->count;
    struct sketch sketch;
    struct kv_array a;
    sketch_open(&sketch, "excerpt_logits", n);
    while (other->at.phase == KV_PHASE_prefill) {
        DO(kv_step(other, KV_UNIT_PASS, &err));
        DO(sketch_pass(&sketch, other));
    }
    sketch_close(&sketch);
    const struct npy *entropy = golden("excerpt_entropy", NPY_F4, layers, heads, n);
    DO(kv_value(other, "entropy_q", &a, &err));
    if (!entropy) return;
    double worst = farthest(a.data, entropy->f4, entropy->count, false);
    CHECK(worst <= entropy_tolerance, "entropy off by %g nats", worst);
    printf("# entropy of %zu rows within %.2e nats\n", entropy->count, worst);
    dump("excerpt_entropy", NPY_F4, a.data, layers, heads, n);
    DO(kv_value(other, "columns", &a, &err));
    check_sums(a.data, layers, heads, n);
    check_columns(a.data, layers, heads, n);
    dump("excerpt_columns", NPY_F4, a.data, layers, heads, n);
    check_window(other, layers, heads, n);
}

/* --- the tour's prompt: policies and decode --------------------------------------------------------------------- */

static const char *const allocator_name[] = { "entropy", "uniform", "inverse" };
static const char *const selector_name[] = { "sum", "window" };
static const char *const ratio_name[] = { "0.5", "0.25" };
static const char *const score_name[] = { "tour_score_sum", "tour_score_window" };
static const char *const kept_name[] = { "tour_kept_50", "tour_kept_25" };
#define ALLOCATORS KV_COUNT(allocator_name)
#define CASES      (ALLOCATORS * KV_COUNT(selector_name)) /* of one ratio */

/* Kept [L][n] against bit `bit` of want. A token whose score lies within rounding of the cut-off may fall on either
 * side. score, cut ([L][2]: last in, first out): the golden's own; NULL = no token may differ. */
static void check_kept(const uint8_t *kept, const struct npy *want, int bit, const float *score, const float *cut)
{
    size_t n = want->dim[1], near = 0;
    for (size_t i = 0; i < want->count && !tap_state.failed; i++) {
        if (kept[i] == (want->u1[i] >> bit & 1)) continue;
        REQUIRE(score, "layer %zu: token %zu is %s", i / n, i % n, kept[i] ? "kept" : "evicted");
        const float *line = cut + i / n * 2;
        double off =
            fmin(fabs((double)score[i] / (double)line[0] - 1), fabs((double)score[i] / (double)line[1] - 1));
        CHECK(off <= score_tolerance, "layer %zu: token %zu is %s, a share of %g from the cut-off", i / n, i % n,
            kept[i] ? "kept" : "evicted", off);
        printf("# near tie: layer %zu token %zu, a share of %.1e from the cut-off\n", i / n, i % n, off);
        near++;
    }
    CHECK((double)near < 1e-3 * (double)want->count, "%zu near ties", near);
}

static void check_budgets(struct kv_engine *e, const int32_t *want)
{
    struct kv_array budget;
    DO(kv_value(e, "budget.app", &budget, &err));
    const int32_t *got = budget.data;
    for (size_t l = 0; l < budget.dim[0]; l++)
        CHECK(got[l] == want[l], "layer %zu: budget %d, not %d", l, got[l], want[l]);
}

/* Case `bit` of one ratio, as model_golden.py numbers them: the allocator runs fastest. */
static void check_policy(struct kv_engine *e, size_t ratio, size_t bit)
{
    size_t layers = (size_t)model->shape.n_layer, n = (size_t)e->n, row = ratio * CASES + bit;
    size_t selector = bit / ALLOCATORS;
    const struct npy *budgets = golden("tour_budgets", NPY_I4, 2 * CASES, layers, 0);
    const struct npy *cuts = golden("tour_cuts", NPY_F4, 2 * CASES, layers, 2);
    const struct npy *score = golden(score_name[selector], NPY_F4, layers, n, 0);
    const struct npy *kept = golden(kept_name[ratio], NPY_U1, layers, n, 0);
    struct kv_array a;
    char name[40];
    if (!budgets || !cuts || !score || !kept) return;
    DO(compress(e, allocator_name[bit % ALLOCATORS], selector_name[selector], ratio_name[ratio]));
    check_budgets(e, budgets->i4 + row * layers);
    DO(kv_value(e, "score", &a, &err));
    double worst = farthest(a.data, score->f4, score->count, true);
    CHECK(worst <= score_tolerance, "%s scores off by a share of %g", selector_name[selector], worst);
    if (!ratio && bit % ALLOCATORS == 0) {
        printf("# %s scores within a share of %.2e\n", selector_name[selector], worst);
        dump(score_name[selector], NPY_F4, a.data, layers, n, 0);
    }
    DO(kv_value(e, "kept", &a, &err));
    check_kept(a.data, kept, (int)bit, score->f4, cuts->f4 + row * layers * 2);
    snprintf(name, sizeof name, "tour_kept_%zu", row);
    dump(name, NPY_U1, a.data, layers, n, 0);
}

static void policies(void)
{
    struct kv_array a;
    struct sketch sketch;
    double worst = 0;
    tour_begin();
    if (tap_state.failed) return;
    sketch_open(&sketch, "tour_logits", 1);
    sketch_row(&sketch, tour->prefill_logits);
    sketch_close(&sketch);
    const struct npy *score = golden("tour_layer_score", NPY_F4, (size_t)model->shape.n_layer, 0, 0);
    DO(kv_value(tour, "E", &a, &err));
    for (size_t l = 0; score && l < score->count; l++)
        widen(&worst, fabs(((const double *)a.data)[l] - (double)score->f4[l]));
    CHECK(worst <= entropy_tolerance, "E off by %g nats", worst);
    printf("# E within %.2e nats\n", worst);
    for (size_t i = 0; i < 2 * CASES && !tap_state.failed; i++) check_policy(tour, i / CASES, i % CASES);
}

static void check_decode(const char *name, const char *allocator, const char *selector, const char *ratio)
{
    const struct npy *reply = golden("tour_reply", NPY_I4, STEPS + 1, 0, 0);
    struct sketch sketch;
    tour_begin();
    if (tap_state.failed) return;
    DO(compress(tour, allocator, selector, ratio));
    sketch_open(&sketch, name, STEPS);
    DO(force(tour, reply->i4, STEPS, &sketch, NULL));
    sketch_close(&sketch);
}

static void decode_full(void) { check_decode("decode_full", "entropy", "sum", "1"); }
static void decode_seed(void) { check_decode("decode_entropy_sum", "entropy", "sum", "0.5"); }
static void decode_window(void) { check_decode("decode_uniform_window", "uniform", "window", "0.5"); }

/* KL of the given reply under the golden's own kept sets, in one pass. */
static void score(void)
{
    static const int bits[] = { 0, 4 }; /* entropy x sum, uniform x window */
    static int32_t position[2][LAYERS][MAX_TOKENS];
    const int32_t *list[2 * LAYERS];
    int n_kept[2 * LAYERS] = { 0 };
    float kl[2][STEPS + 1];
    struct kv_verdict verdict[2];
    tour_begin();
    if (tap_state.failed) return;
    const struct npy *reply = golden("tour_reply", NPY_I4, STEPS + 1, 0, 0);
    const struct npy *kept = golden("tour_kept_50", NPY_U1, LAYERS, (size_t)tour->n, 0);
    const struct npy *want = golden("decode_kl", NPY_F4, 2, STEPS, 0);
    if (!reply || !kept || !want) return;
    REQUIRE(tour->n <= MAX_TOKENS, "%d tokens", tour->n);
    for (size_t i = 0; i < 2 * LAYERS; i++) {
        list[i] = position[i / LAYERS][i % LAYERS];
        for (size_t j = 0; j < kept->dim[1]; j++)
            if (kept->u1[i % LAYERS * kept->dim[1] + j] >> bits[i / LAYERS] & 1)
                position[i / LAYERS][i % LAYERS][n_kept[i]++] = (int32_t)j;
    }
    DO(kv_score(tour, reply->i4, STEPS + 1, 2, list, n_kept, kl[0], verdict, &err));
    double worst = 0;
    for (size_t s = 0; s < 2; s++) widen(&worst, farthest(kl[s] + 1, want->f4 + s * STEPS, STEPS, false));
    CHECK(worst <= kl_tolerance, "KL off by %g nats", worst);
    printf("# KL of 2 sets x %d steps within %.2e nats; means %.4f and %.4f\n", STEPS, worst, verdict[0].kl_mean,
        verdict[1].kl_mean);
}

/* Kept share 1 is no compression, to the bit: against the twin that reads the resident cache, and between policies. */
static void whole(void)
{
    const struct npy *reply = golden("tour_reply", NPY_I4, STEPS + 1, 0, 0);
    struct kv_verdict verdict;
    tour_begin();
    if (tap_state.failed) return;
    size_t size = FEW_STEPS * (size_t)model->shape.n_vocab;
    float *logits = kv_alloc(2 * size, sizeof *logits);
    bool done = logits;
    for (size_t i = 0; i < 2 && done; i++) {
        done = !compress(tour, allocator_name[i], selector_name[i], "1") &&
               !kv_twin(tour, FEW_STEPS, &verdict, &err) &&
               !force(tour, reply->i4, FEW_STEPS, NULL, logits + i * size);
        CHECK(!done || (verdict.kl_max == 0 && verdict.top1 == 1), "twins differ: KL %g", verdict.kl_max);
    }
    CHECK(done, "%s", err.text);
    CHECK(!done || !memcmp(logits, logits + size, size * sizeof *logits), "a policy that keeps everything shows");
    free(logits);
}

/* --- the question prefilled over a compressed context ----------------------------------------------------------- */

/* bit: of ask_kept and row of ask_budgets; -1 = all is kept. */
static void check_ask(struct kv_engine *e, const char *name, int bit, const char *allocator, const char *selector)
{
    size_t layers = (size_t)model->shape.n_layer;
    const struct npy *reply = golden("tour_reply", NPY_I4, STEPS + 1, 0, 0);
    const struct npy *kept = golden("ask_kept", NPY_U1, layers, (size_t)e->n, 0);
    const struct npy *budgets = golden("ask_budgets", NPY_I4, 2, layers, 0);
    struct sketch sketch;
    struct kv_array a;
    if (!reply || !kept || !budgets) return;
    DO(compress(e, allocator, selector, bit < 0 ? "1" : "0.5"));
    if (bit >= 0) {
        check_budgets(e, budgets->i4 + (size_t)bit * layers);
        DO(kv_value(e, "kept", &a, &err));
        check_kept(a.data, kept, bit, NULL, NULL);
    }
    sketch_open(&sketch, name, (size_t)e->n_question + FEW_STEPS);
    DO(kv_step(e, KV_UNIT_PASS, &err)); /* the question fits one segment */
    DO(sketch_pass(&sketch, e));
    DO(force(e, reply->i4, FEW_STEPS, &sketch, NULL));
    sketch_close(&sketch);
}

static void ask(void)
{
    const struct npy *ids = golden("tour_ids", NPY_I4, 0, 0, 0), *split = golden("tour_split", NPY_I4, 1, 0, 0);
    if (!ids || !split) return;
    REQUIRE(split->i4[0] > 0 && (size_t)split->i4[0] < ids->count, "a split at %d", split->i4[0]);
    DO(begin(&other, ids, ids->count - (size_t)split->i4[0]));
    DO(finish_phase(other, KV_PHASE_prefill));
    check_ask(other, "ask_full", -1, "entropy", "sum");
    check_ask(other, "ask_entropy_sum", 0, "entropy", "sum");
    check_ask(other, "ask_uniform_window", 1, "uniform", "window");
}

/* ---------------------------------------------------------------------------------------------------------------- */

static void no_model(void) { SKIP("the default model is not there; make model fetches it"); }

static const struct tap_case cases[] = {
    { "excerpt: logits, entropy, column sums, window sums", excerpt },
    { "tour: E, scores, budgets and kept sets of 12 policies", policies },
    { "tour: 64 steps over the whole cache", decode_full },
    { "tour: 64 steps over half the cache, seed", decode_seed },
    { "tour: 64 steps over half the cache, uniform and window", decode_window },
    { "tour: KL of a given reply under two kept sets", score },
    { "tour: kept share 1 changes no bit", whole },
    { "tour: question over the compressed context", ask },
};
static const struct tap_case without[] = { { "parity with transformers", no_model } };

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--backend")) backend = argv[2], argc -= 2, argv += 2;
    if (argc > 2 && !strcmp(argv[1], "--dump")) {
        dump_dir = argv[2];
        argv[2] = argv[0];
        argv += 2;
        argc -= 2;
    }
    bool listed = argc > 1 && !strcmp(argv[1], "--list");
    if (!listed && access(MODEL, R_OK)) return tap_main(1, argv, without, KV_COUNT(without));
    int failed = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_engine_close(tour);
    kv_engine_close(other);
    kv_model_close(model);
    for (size_t i = 0; i < KV_COUNT(goldens); i++) npy_free(&goldens[i].array);
    return failed;
}
