/* The engine against Hugging Face transformers on the default model, precision f32: tests/golden/model/, written by
 * tests/oracle/model_golden.py, which lists the files.
 *
 *     parity [--dump DIR] [CASE]
 * --dump also writes the whole of what was compared into DIR as .npy, for tests/oracle/parity.py.
 *
 * The request is driven through engine.h. engine/state.h is opened for two things that a user cannot ask for: the
 * logits of every row of a pass, and a reply that is given instead of sampled. */
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MODEL     "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN    "tests/golden/model/"
#define FIXED     64 /* vocabulary ids whose logits are stored, sorted */
#define TOP       8
#define SKETCH    (1 + FIXED + 2 * TOP)
#define STEPS     64
#define ASK_STEPS 16

static const double logit_tolerance = 2e-3, entropy_tolerance = 1e-4, score_tolerance = 1e-4, kl_tolerance = 1e-3;
static const char *dump_dir;

/* --- goldens, dumps, notes -------------------------------------------------------------------------------------- */

static struct npy golden(const char *name)
{
    char path[256];
    struct npy a;
    struct kv_error err = { 0 };
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    if (npy_read(path, &a, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    return a;
}

/* True when the array is there in this type and shape; dim 0 = any. */
static bool shaped(const struct npy *a, enum npy_type type, size_t d0, size_t d1, size_t d2)
{
    const size_t want[] = { d0, d1, d2 };
    bool right = a->data && a->type == type;
    for (int i = 0; i < 3; i++) right = right && (!want[i] || a->dim[i] == want[i]);
    if (!right) tap_fail(__FILE__, __LINE__, "a golden of another shape than [%zu][%zu][%zu]", d0, d1, d2);
    return right;
}

static struct npy_writer dump_open(const char *name, enum npy_type type, size_t d0, size_t d1, size_t d2)
{
    char path[512];
    struct npy_writer w = { 0 };
    struct kv_error err = { 0 };
    const size_t dim[] = { d0, d1, d2 };
    if (!dump_dir) return w;
    snprintf(path, sizeof path, "%s/%s.npy", dump_dir, name);
    if (npy_create(path, type, d2 ? 3 : d1 ? 2 : 1, dim, &w, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
    return w;
}

static void dump_rows(struct npy_writer *w, const void *data, size_t count)
{
    struct kv_error err = { 0 };
    if (w->file && npy_append(w, data, count, &err)) tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void dump_close(struct npy_writer *w)
{
    struct kv_error err = { 0 };
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

/* Largest |a - b| / (floor + |b| * relative) over count values. */
static double farthest(const float *a, const float *b, size_t count, double relative, double floor)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        widen(&worst, relative > 0 ? d / (floor + fabs((double)b[i]) * relative) : d);
    }
    return worst;
}

/* --- the engine ------------------------------------------------------------------------------------------------- */

static struct kv_model *model;
static struct kv_error err;

#define DO(call)                                                                                                   \
    do {                                                                                                           \
        if (call) {                                                                                                \
            tap_fail(__FILE__, __LINE__, "%s", err.text);                                                          \
            goto out;                                                                                              \
        }                                                                                                          \
    } while (0)

static enum kv_status set(struct kv_engine *e, const char *name, const char *value)
{
    return kv_set(e, &name, &value, 1, &err);
}

static enum kv_status set_policy(
    struct kv_engine *e, const char *allocator, const char *selector, const char *ratio)
{
    const char *name[] = { "policy.preset", "policy.allocator", "policy.selector", "policy.ratio" };
    const char *value[] = { "seed", allocator, selector, ratio };
    return kv_set(e, name, value, 4, &err);
}

/* An engine in precision f32, started on these ids. Without its tokenizer it knows no end of a reply: a given reply
 * goes on behind one. */
static enum kv_status begin(struct kv_engine **out, const int32_t *ids, size_t n, size_t n_question)
{
    static const char *const name[] = { "engine.backend", "engine.precision", "engine.segment", "decode.tokens",
        "policy.query-aware" };
    const char *const value[] = { "cpu", "f32", "256", "200", n_question ? "off" : "on" };
    enum kv_status status = model ? KV_OK : kv_model_open(MODEL, &model, &err);
    if (!status) status = kv_engine_open(model, out, &err);
    if (!status) status = kv_set(*out, name, value, KV_COUNT(name), &err);
    size_t n_context = n - n_question;
    if (!status)
        status =
            kv_prompt_ids(*out, ids, (int)n_context, n_question ? ids + n_context : NULL, (int)n_question, &err);
    if (!status) status = kv_start(*out, &err);
    if (status) return status;
    tok_close((*out)->tok);
    (*out)->tok = NULL;
    return KV_OK;
}

static enum kv_status finish_phase(struct kv_engine *e, enum kv_phase phase)
{
    struct kv_where at;
    for (kv_where(e, &at); at.phase == phase; kv_where(e, &at)) {
        enum kv_status status = kv_step(e, KV_UNIT_PASS, &err);
        if (status) return status;
    }
    return KV_OK;
}

/* Back to the prefill's end, compressed by this policy. */
static enum kv_status compress(struct kv_engine *e, const char *allocator, const char *selector, const char *ratio)
{
    enum kv_status status = set_policy(e, allocator, selector, ratio);
    if (!status && e->n_question) status = set(e, "policy.query-aware", "off");
    if (!status) status = kv_recompress(e, &err);
    return status ? status : finish_phase(e, KV_PHASE_compress);
}

/* --- logits against their sketch -------------------------------------------------------------------------------- */

struct sketch {
    struct npy rows, fixed;
    size_t next; /* row that the next logits belong to */
    double worst;
    struct npy_writer dump;
};

static void sketch_open(struct sketch *s, const char *name, size_t rows)
{
    *s = (struct sketch){ golden(name), golden("vocabulary_ids"), 0, 0, { 0 } };
    if (!shaped(&s->rows, NPY_F4, rows, SKETCH, 0) || !shaped(&s->fixed, NPY_I4, FIXED, 0, 0)) return;
    for (size_t i = 0; i < FIXED; i++)
        if (s->fixed.i4[i] < 0 || s->fixed.i4[i] >= model->shape.n_vocab)
            tap_fail(__FILE__, __LINE__, "no such token: %d", s->fixed.i4[i]);
    s->dump = dump_open(name, NPY_F4, rows, (size_t)model->shape.n_vocab, 0);
}

static void sketch_close(struct sketch *s, const char *name)
{
    if (!tap_state.failed) CHECK(s->next == s->rows.dim[0], "%s: %zu rows of %zu", name, s->next, s->rows.dim[0]);
    printf("# %s: %zu rows, logits within %.2e\n", name, s->next, s->worst);
    npy_free(&s->rows);
    npy_free(&s->fixed);
    dump_close(&s->dump);
}

static void sketch_row(struct sketch *s, const float *logits)
{
    size_t n_vocab = (size_t)model->shape.n_vocab, best = 0;
    if (tap_state.failed) return;
    REQUIRE(s->next < s->rows.dim[0], "more rows than the golden's %zu", s->rows.dim[0]);
    const float *row = s->rows.f4 + s->next * SKETCH, *top = row + 1 + FIXED, *top_id = top + TOP;
    double sum = 0, worst = 0;
    for (size_t v = 1; v < n_vocab; v++)
        if (logits[v] > logits[best]) best = v;
    for (size_t v = 0; v < n_vocab; v++) sum += exp((double)logits[v] - (double)logits[best]);
    widen(&worst, fabs((double)logits[best] + log(sum) - (double)row[0]));
    for (size_t i = 0; i < FIXED; i++) widen(&worst, fabs((double)logits[s->fixed.i4[i]] - (double)row[1 + i]));
    for (size_t i = 0; i < TOP; i++) {
        REQUIRE(top_id[i] >= 0 && top_id[i] < (float)n_vocab, "no such token: %g", (double)top_id[i]);
        widen(&worst, fabs((double)logits[(size_t)top_id[i]] - (double)top[i]));
    }
    widen(&s->worst, worst);
    CHECK(worst <= logit_tolerance, "row %zu: logits off by %g", s->next, worst);
    CHECK((float)best == top_id[0], "row %zu: argmax %zu, not %g", s->next, best, (double)top_id[0]);
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
    for (int t = 0; t < n; t++) {
        e->run.reply[e->run.n_reply - 1] = reply[t];
        enum kv_status status = kv_step(e, KV_UNIT_PASS, &err);
        if (status) return status;
        if (s)
            sketch_row(s, e->logits);
        else
            memcpy(out + (size_t)t * n_vocab, e->logits, n_vocab * sizeof *out);
    }
    return KV_OK;
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
    struct npy all = golden("excerpt_columns"), some = golden("excerpt_columns_heads");
    double worst = 0;
    if (shaped(&all, NPY_F4, layers, n, 0) && shaped(&some, NPY_F4, KV_COUNT(picked), heads, n)) {
        for (size_t i = 0; i < layers * n; i++) {
            double sum = 0;
            for (size_t h = 0; h < heads; h++) sum += (double)columns[(i / n * heads + h) * n + i % n];
            widen(&worst, fabs(sum / (double)all.f4[i] - 1));
        }
        CHECK(worst <= score_tolerance, "column sums off by a share of %g", worst);
        printf("# column sums within a share of %.2e", worst);
        for (size_t i = 0, size = heads * n; i < KV_COUNT(picked); i++) {
            worst = farthest(columns + picked[i] * size, some.f4 + i * size, size, 1, 1e-4);
            CHECK(worst <= score_tolerance, "layer %zu, by head: off by a share of %g", picked[i], worst);
            printf(", %.2e by head in layer %zu", worst, picked[i]);
        }
        printf("\n");
    }
    npy_free(&all);
    npy_free(&some);
}

/* Scores of the window without pooling: its sums, over heads and per row, where the golden is the mean over heads. */
static enum kv_status check_window(struct kv_engine *e, size_t layers, size_t heads, size_t n)
{
    struct npy window = golden("excerpt_window");
    struct kv_array score = { 0 };
    const char *name[] = { "policy.preset", "policy.selector", "policy.pool" };
    const char *value[] = { "seed", "window", "none" };
    enum kv_status status = kv_set(e, name, value, 3, &err);
    if (!status) status = finish_phase(e, KV_PHASE_compress);
    if (!status) status = kv_value(e, "score", &score, &err);
    if (!status && shaped(&window, NPY_F4, layers, n, 0)) {
        for (size_t i = 0; i < window.count; i++) window.f4[i] *= (float)heads / 32;
        double worst = farthest(score.data, window.f4, window.count, 1, 1e-4);
        CHECK(worst <= score_tolerance, "window scores off by a share of %g", worst);
        printf("# window scores within a share of %.2e\n", worst);
    }
    npy_free(&window);
    return status;
}

static void excerpt(void)
{
    struct kv_engine *e = NULL;
    struct kv_array a;
    struct sketch sketch = { 0 };
    struct npy ids = golden("excerpt_ids"), entropy = golden("excerpt_entropy");
    if (!shaped(&ids, NPY_I4, 0, 0, 0)) goto out;
    DO(begin(&e, ids.i4, ids.count, 0));
    size_t layers = (size_t)model->shape.n_layer, heads = (size_t)model->shape.n_head, n = ids.count;
    sketch_open(&sketch, "excerpt_logits", n);
    for (struct kv_where at = { 0 }; kv_where(e, &at), at.phase < KV_PHASE_compress;) {
        DO(kv_step(e, KV_UNIT_PASS, &err));
        if (at.phase == KV_PHASE_prefill) DO(sketch_pass(&sketch, e));
    }
    sketch_close(&sketch, "excerpt_logits");
    DO(kv_value(e, "entropy_q", &a, &err));
    if (!shaped(&entropy, NPY_F4, layers, heads, n)) goto out;
    double worst = farthest(a.data, entropy.f4, entropy.count, 0, 0);
    CHECK(worst <= entropy_tolerance, "entropy off by %g nats", worst);
    printf("# entropy of %zu rows within %.2e nats\n", entropy.count, worst);
    dump("excerpt_entropy", NPY_F4, a.data, layers, heads, n);
    DO(kv_value(e, "columns", &a, &err));
    check_sums(a.data, layers, heads, n);
    check_columns(a.data, layers, heads, n);
    dump("excerpt_columns", NPY_F4, a.data, layers, heads, n);
    DO(check_window(e, layers, heads, n));
out:
    kv_engine_close(e);
    npy_free(&ids);
    npy_free(&entropy);
}

/* --- the tour's prompt: policies and decode --------------------------------------------------------------------- */

static const char *const allocator_name[] = { "entropy", "uniform", "inverse" };
static const char *const selector_name[] = { "sum", "window" };
static const char *const ratio_name[] = { "0.5", "0.25" };
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

static void check_budgets(const struct kv_array *budget, const int32_t *want)
{
    const int32_t *got = budget->data;
    for (size_t l = 0; l < budget->dim[0]; l++)
        CHECK(got[l] == want[l], "layer %zu: budget %d, not %d", l, got[l], want[l]);
}

struct policy_golden {
    struct npy kept[2], budgets, cuts, score[2];
};

static bool policy_golden_open(struct policy_golden *g, size_t layers, size_t n)
{
    *g = (struct policy_golden){ { golden("tour_kept_50"), golden("tour_kept_25") }, golden("tour_budgets"),
        golden("tour_cuts"), { golden("tour_score_sum"), golden("tour_score_window") } };
    bool right =
        shaped(&g->budgets, NPY_I4, 2 * CASES, layers, 0) && shaped(&g->cuts, NPY_F4, 2 * CASES, layers, 2);
    for (int i = 0; i < 2; i++)
        right = right && shaped(&g->kept[i], NPY_U1, layers, n, 0) && shaped(&g->score[i], NPY_F4, layers, n, 0);
    return right;
}

static void policy_golden_close(struct policy_golden *g)
{
    for (int i = 0; i < 2; i++) {
        npy_free(&g->kept[i]);
        npy_free(&g->score[i]);
    }
    npy_free(&g->budgets);
    npy_free(&g->cuts);
}

/* Case `bit` of one ratio, as model_golden.py numbers them: the allocator runs fastest. */
static enum kv_status check_policy(struct kv_engine *e, const struct policy_golden *g, int ratio, int bit)
{
    size_t layers = (size_t)model->shape.n_layer, row = (size_t)ratio * CASES + (size_t)bit;
    int selector = bit / (int)ALLOCATORS;
    const struct npy *score = &g->score[selector];
    struct kv_array a;
    char name[40];
    enum kv_status status =
        compress(e, allocator_name[bit % (int)ALLOCATORS], selector_name[selector], ratio_name[ratio]);
    if (!status) status = kv_value(e, "budget.app", &a, &err);
    if (status) return status;
    check_budgets(&a, g->budgets.i4 + row * layers);
    status = kv_value(e, "score", &a, &err);
    if (status) return status;
    double worst = farthest(a.data, score->f4, score->count, 1, 1e-4);
    CHECK(worst <= score_tolerance, "%s scores off by a share of %g", selector_name[selector], worst);
    if (!ratio && bit % (int)ALLOCATORS == 0) {
        printf("# %s scores within a share of %.2e\n", selector_name[selector], worst);
        snprintf(name, sizeof name, "tour_score_%s", selector_name[selector]);
        dump(name, NPY_F4, a.data, score->dim[0], score->dim[1], 0);
    }
    status = kv_value(e, "kept", &a, &err);
    if (status) return status;
    check_kept(a.data, &g->kept[ratio], bit, score->f4, g->cuts.f4 + row * layers * 2);
    snprintf(name, sizeof name, "tour_kept_%zu", row);
    dump(name, NPY_U1, a.data, score->dim[0], score->dim[1], 0);
    return status;
}

/* A full prefill of the tour's prompt, shared by the cases below. */
static struct kv_engine *tour;

static enum kv_status tour_begin(void)
{
    if (tour) return KV_OK;
    struct npy ids = golden("tour_ids");
    enum kv_status status = kv_fail(&err, KV_BAD_FILE, "No ids of the tour.");
    if (shaped(&ids, NPY_I4, 0, 0, 0)) status = begin(&tour, ids.i4, ids.count, 0);
    if (!status) status = finish_phase(tour, KV_PHASE_prefill);
    npy_free(&ids);
    return status;
}

static void policies(void)
{
    struct policy_golden g = { 0 };
    struct kv_array a;
    struct npy layer_score = golden("tour_layer_score");
    DO(tour_begin());
    size_t layers = (size_t)model->shape.n_layer;
    if (!policy_golden_open(&g, layers, (size_t)tour->n) || !shaped(&layer_score, NPY_F4, layers, 0, 0)) goto out;
    DO(kv_value(tour, "E", &a, &err));
    double worst = 0;
    for (size_t l = 0; l < layers; l++)
        widen(&worst, fabs(((const double *)a.data)[l] - (double)layer_score.f4[l]));
    CHECK(worst <= entropy_tolerance, "E off by %g nats", worst);
    printf("# E within %.2e nats\n", worst);
    for (int ratio = 0; ratio < 2; ratio++)
        for (int bit = 0; bit < (int)CASES; bit++) DO(check_policy(tour, &g, ratio, bit));
out:
    policy_golden_close(&g);
    npy_free(&layer_score);
}

static void check_decode(const char *name, const char *allocator, const char *selector, const char *ratio)
{
    struct sketch sketch = { 0 };
    struct npy reply = golden("tour_reply");
    if (!shaped(&reply, NPY_I4, STEPS + 1, 0, 0)) goto out;
    DO(tour_begin());
    DO(compress(tour, allocator, selector, ratio));
    sketch_open(&sketch, name, STEPS);
    DO(force(tour, reply.i4, STEPS, &sketch, NULL));
out:
    sketch_close(&sketch, name);
    npy_free(&reply);
}

static void decode_full(void) { check_decode("decode_full", "entropy", "sum", "1"); }
static void decode_seed(void) { check_decode("decode_entropy_sum", "entropy", "sum", "0.5"); }
static void decode_window(void) { check_decode("decode_uniform_window", "uniform", "window", "0.5"); }

/* KL of the given reply under the golden's own kept sets, in one pass. */
static void score(void)
{
    static const int bits[] = { 0, 4 }; /* entropy x sum, uniform x window */
    struct npy reply = golden("tour_reply"), kept = golden("tour_kept_50"), want = golden("decode_kl");
    struct kv_verdict verdict[2];
    float kl[2][STEPS + 1];
    const int32_t **list = NULL;
    int *n_kept = NULL;
    DO(tour_begin());
    size_t layers = (size_t)model->shape.n_layer, n = (size_t)tour->n;
    if (!shaped(&reply, NPY_I4, STEPS + 1, 0, 0) || !shaped(&kept, NPY_U1, layers, n, 0) ||
        !shaped(&want, NPY_F4, 2, STEPS, 0))
        goto out;
    list = kv_alloc(2 * layers, sizeof *list);
    n_kept = kv_alloc(2 * layers, sizeof *n_kept);
    if (!list || !n_kept) goto out;
    for (size_t i = 0; i < 2 * layers; i++) {
        int32_t *positions = kv_alloc(n, sizeof *positions);
        if (!positions) goto out;
        for (size_t j = 0; j < n; j++)
            if (kept.u1[i % layers * n + j] >> bits[i / layers] & 1) positions[n_kept[i]++] = (int32_t)j;
        list[i] = positions;
    }
    DO(kv_score(tour, reply.i4, STEPS + 1, 2, list, n_kept, kl[0], verdict, &err));
    double worst =
        fmax(farthest(kl[0] + 1, want.f4, STEPS, 0, 0), farthest(kl[1] + 1, want.f4 + STEPS, STEPS, 0, 0));
    CHECK(worst <= kl_tolerance, "KL off by %g nats", worst);
    printf("# KL of 2 sets x %d steps within %.2e nats; means %.4f and %.4f\n", STEPS, worst, verdict[0].kl_mean,
        verdict[1].kl_mean);
out:
    for (size_t i = 0; list && i < 2 * (size_t)model->shape.n_layer; i++) free((void *)list[i]);
    free(list);
    free(n_kept);
    npy_free(&reply);
    npy_free(&kept);
    npy_free(&want);
}

/* Kept share 1 is no compression, to the bit: against the twin that reads the resident cache, and between policies. */
static void whole(void)
{
    struct npy reply = golden("tour_reply");
    struct kv_verdict verdict;
    float *logits[2] = { NULL, NULL };
    DO(tour_begin());
    if (!shaped(&reply, NPY_I4, STEPS + 1, 0, 0)) goto out;
    size_t size = STEPS * (size_t)model->shape.n_vocab;
    for (int i = 0; i < 2; i++) {
        logits[i] = kv_alloc(size, sizeof(float));
        if (!logits[i]) goto out;
        DO(compress(tour, i ? "uniform" : "entropy", i ? "window" : "sum", "1"));
        DO(kv_twin(tour, STEPS, &verdict, &err));
        CHECK(verdict.kl_max == 0 && verdict.top1 == 1, "twins differ: KL %g", verdict.kl_max);
        DO(force(tour, reply.i4, STEPS, NULL, logits[i]));
    }
    CHECK(!memcmp(logits[0], logits[1], size * sizeof(float)), "logits depend on a policy that keeps everything");
out:
    free(logits[0]);
    free(logits[1]);
    npy_free(&reply);
}

/* --- the question prefilled over a compressed context ----------------------------------------------------------- */

static void check_ask(struct kv_engine *e, const char *name, int bit, const char *allocator, const char *selector)
{
    struct sketch sketch = { 0 };
    struct kv_array a;
    struct npy reply = golden("tour_reply"), kept = golden("ask_kept"), budgets = golden("ask_budgets");
    size_t layers = (size_t)model->shape.n_layer, n = (size_t)e->n;
    if (!shaped(&reply, NPY_I4, STEPS + 1, 0, 0) || !shaped(&kept, NPY_U1, layers, n, 0) ||
        !shaped(&budgets, NPY_I4, 2, layers, 0))
        goto out;
    DO(compress(e, allocator, selector, bit < 0 ? "1" : "0.5"));
    if (bit >= 0) {
        DO(kv_value(e, "budget.app", &a, &err));
        check_budgets(&a, budgets.i4 + (size_t)bit * layers);
        DO(kv_value(e, "kept", &a, &err));
        check_kept(a.data, &kept, bit, NULL, NULL);
    }
    sketch_open(&sketch, name, (size_t)e->n_question + ASK_STEPS);
    DO(kv_step(e, KV_UNIT_PASS, &err)); /* the question fits one segment */
    DO(sketch_pass(&sketch, e));
    DO(force(e, reply.i4, ASK_STEPS, &sketch, NULL));
out:
    sketch_close(&sketch, name);
    npy_free(&reply);
    npy_free(&kept);
    npy_free(&budgets);
}

static void ask(void)
{
    struct kv_engine *e = NULL;
    struct npy ids = golden("tour_ids"), split = golden("tour_split");
    if (!shaped(&ids, NPY_I4, 0, 0, 0) || !shaped(&split, NPY_I4, 1, 0, 0)) goto out;
    CHECK(split.i4[0] > 0 && (size_t)split.i4[0] < ids.count, "a split at %d", split.i4[0]);
    if (tap_state.failed) goto out;
    DO(begin(&e, ids.i4, ids.count, ids.count - (size_t)split.i4[0]));
    DO(finish_phase(e, KV_PHASE_prefill));
    check_ask(e, "ask_full", -1, "entropy", "sum");
    check_ask(e, "ask_entropy_sum", 0, "entropy", "sum");
    check_ask(e, "ask_uniform_window", 1, "uniform", "window");
out:
    kv_engine_close(e);
    npy_free(&ids);
    npy_free(&split);
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
    if (argc > 2 && !strcmp(argv[1], "--dump")) {
        dump_dir = argv[2];
        argv[2] = argv[0];
        argv += 2;
        argc -= 2;
    }
    if (access(MODEL, R_OK)) return tap_main(1, argv, without, KV_COUNT(without));
    int failed = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_engine_close(tour);
    kv_model_close(model);
    return failed;
}
