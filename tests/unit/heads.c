/* Kept sets of KV heads: the selection against a slow one, whole requests on the tiny synthetic model against shared
 * sets and against attention that masks, and kvpress's SnapKV and AdaKV on the default model (tests/golden/model/heads_*,
 * written by tests/oracle/heads_golden.py). */
#include "engine/look.h"
#include "engine/policy/select.h"
#include "engine/state.h"
#include "tests/lib/npy.h"
#include "tests/lib/request.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MODEL  "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN "tests/golden/model/"
#define FIXED  64 /* as parity.c: logits of fixed ids, then the best ones and their ids */
#define TOP    8
#define STEPS  16

static const double logit_tolerance = 2e-3, score_tolerance = 1e-3;
static struct kv_error err;
static struct kv_model *tiny;

/* --- requests --------------------------------------------------------------------------------------------------- */

/* The story, run to the end under these settings; NULL and a failed test when that cannot be. */
static struct kv_engine *request(const char *precision, const char *const *pairs)
{
    const char *const base[] = { "engine.precision", precision, "decode.tokens", "12", "engine.segment", "32",
        NULL };
    const struct request r = { "synthetic:tiny", NULL, base, pairs, true, KV_PHASE_done };
    struct kv_engine *e = request_open(&r, &tiny, &err);
    CHECK(e, "%s", err.text);
    return e;
}

/* All numbers of a value; the caller frees them. */
static double *numbers(struct kv_engine *e, const char *name, struct kv_array *a)
{
    size_t count = 1;
    if (kv_value(e, name, a, &err)) {
        tap_fail(__FILE__, __LINE__, "%s", err.text);
        return NULL;
    }
    for (int d = 0; d < a->n_dim; d++) count *= a->dim[d];
    double *out = kv_alloc(count, sizeof *out);
    for (size_t i = 0; out && i < count; i++)
        out[i] = a->type == KV_F32   ? (double)((const float *)a->data)[i]
                 : a->type == KV_I32 ? ((const int32_t *)a->data)[i]
                 : a->type == KV_U8  ? ((const uint8_t *)a->data)[i]
                                     : ((const double *)a->data)[i];
    return out;
}

/* --- the selection ---------------------------------------------------------------------------------------------- */

static uint64_t random_state = 1;
static unsigned below(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

/* The best that is left, by score, then by head and position; -1 = none. */
static int best_left(const float *score, const uint8_t *state, int first, int end)
{
    int best = -1;
    for (int i = first; i < end; i++)
        if (state[i] == KV_BY_SCORE && (best < 0 || score[i] > score[best])) best = i;
    return best;
}

/* One token after the other: forced ones, then every head's own share, then whatever is best. */
static void slow_select(
    const float *score, const uint8_t *forced, int n, int heads, int budget, double alpha, uint8_t *state)
{
    int own = (int)(alpha * budget), total = 0;
    if (alpha > 0 && own < 1 && budget > 0) own = 1;
    for (int i = 0; i < heads * n; i++) state[i] = forced[i % n];
    for (int h = 0; h < heads; h++) {
        int kept = 0;
        for (int j = 0; j < n; j++) kept += forced[j] == KV_MUST_KEEP;
        for (int best; kept < own && (best = best_left(score, state, h * n, (h + 1) * n)) >= 0; kept++)
            state[best] = KV_MUST_KEEP;
        total += kept;
    }
    for (int best; total < heads * budget && (best = best_left(score, state, 0, heads * n)) >= 0; total++)
        state[best] = KV_MUST_KEEP;
}

static void selects(void)
{
    enum { HEADS = 5, N = 40 };
    float score[HEADS * N];
    uint8_t forced[N], state[HEADS * N];
    int32_t kept[HEADS * N], n_kept[HEADS];
    int short_ = 0;
    for (int c = 0; c < 10000 && !tap_state.failed; c++) {
        int heads = 1 + (int)below(HEADS), n = 1 + (int)below(N), must = 0, drop = 0, sum = 0;
        unsigned levels = below(2) ? 4 : 100000; /* few levels: many ties */
        double alpha = below(5) / 4.0;
        for (int j = 0; j < n; j++) {
            forced[j] = below(6) ? KV_BY_SCORE : (uint8_t)below(3);
            must += forced[j] == KV_MUST_KEEP;
            drop += forced[j] == KV_MUST_DROP;
        }
        for (int i = 0; i < heads * n; i++) score[i] = (float)below(levels);
        int budget = must + (int)below((unsigned)(n - must + 1));
        REQUIRE(!policy_select_heads(score, forced, n, heads, budget, alpha, kept, n_kept, &err), "%s", err.text);
        slow_select(score, forced, n, heads, budget, alpha, state);
        for (int h = 0; h < heads; h++) {
            int k = 0;
            sum += n_kept[h];
            for (int j = 0; j < n; j++)
                if (state[h * n + j] == KV_MUST_KEEP) {
                    REQUIRE(k < n_kept[h] && kept[h * n + k] == j, "case %d: head %d does not keep %d", c, h, j);
                    k++;
                }
            REQUIRE(k == n_kept[h], "case %d: head %d keeps %d of %d", c, h, n_kept[h], k);
        }
        int most = heads * (n - drop), want = heads * budget < most ? heads * budget : most;
        REQUIRE(sum == want, "case %d: %d tokens of %d", c, sum, want);
        short_ += want < heads * budget;
    }
    printf("# 10,000 cases, %d of them short of tokens\n", short_);
}

/* --- whole requests --------------------------------------------------------------------------------------------- */

static bool same_bits(struct kv_engine *a, struct kv_engine *b, const char *name)
{
    struct kv_array x, y;
    if (kv_value(a, name, &x, &err) || kv_value(b, name, &y, &err)) return false;
    size_t bytes = x.dim[0] * 4;
    return x.dim[0] == y.dim[0] && !memcmp(x.data, y.data, bytes);
}

/* The selector streaming scores by position: every head keeps what all heads keep. */
static void same_sets(const char *precision)
{
    const char *const shared[] = { "policy.preset", "streaming", "policy.ratio", "0.5", NULL };
    const char *const own[] = { "policy.preset", "streaming", "policy.ratio", "0.5", "policy.group", "kv-head",
        NULL };
    const char *const placed[] = { "engine.snapshot", "off", "policy.preset", "streaming", "policy.ratio", "0.5",
        "policy.group", "kv-head", NULL };
    struct kv_engine *a = request(precision, shared), *b = request(precision, own), *c = request(precision, placed);
    struct kv_verdict x = { 0 }, y = { 0 };
    if (a && b && c) {
        CHECK(same_bits(a, b, "logit") && same_bits(a, b, "reply"), "%s: equal sets differ", precision);
        CHECK(same_bits(a, c, "logit") && same_bits(a, c, "reply"), "%s: in place, equal sets differ", precision);
        CHECK(!kv_twin(a, 10, &x, &err) && !kv_twin(b, 10, &y, &err), "%s", err.text);
        CHECK(
            x.kl_mean == y.kl_mean && x.kl_max == y.kl_max && x.kl_mean > 0, "KL %g and %g", x.kl_mean, y.kl_mean);
        for (int l = 0; l < 3; l++) {
            int32_t p[300], q[300];
            int n = kv_cache_slots(a, l, 0, p, 300);
            for (int g = 0; g < 2; g++)
                CHECK(kv_cache_slots(b, l, g, q, 300) == n && !memcmp(p, q, (size_t)n * sizeof *p),
                    "slots of layer %d, KV head %d", l, g);
        }
    }
    kv_engine_close(a);
    kv_engine_close(b);
    kv_engine_close(c);
}

static void same_sets_f32(void) { same_sets("f32"); }
static void same_sets_fast(void) { same_sets("fast"); }

static void keeps_all(void)
{
    const char *const full[] = { "policy.preset", "full", NULL };
    const char *const all[] = { "policy.preset", "adakv", "policy.ratio", "1", NULL };
    struct kv_engine *a = request("f32", full), *b = request("f32", all);
    struct kv_verdict v = { 0 };
    if (a && b) {
        CHECK(same_bits(a, b, "logit") && same_bits(a, b, "reply"), "keeping everything is not the full cache");
        CHECK(!kv_twin(b, 10, &v, &err) && v.kl_max == 0 && v.top1 == 1, "KL %g", v.kl_max);
    }
    kv_engine_close(a);
    kv_engine_close(b);
}

/* Budgets add up head by head, and the blocks hold just the tokens that are kept. */
static void conserves(const char *const *pairs)
{
    struct kv_engine *e = request("f32", pairs);
    struct kv_array shape;
    double *head = e ? numbers(e, "budget.head", &shape) : NULL, *app = e ? numbers(e, "budget.app", &shape) : NULL;
    double *kept = e ? numbers(e, "kept", &shape) : NULL, *used = e ? numbers(e, "budget.used", &shape) : NULL;
    if (head && app && kept && used) {
        double slots = 0;
        size_t n = (size_t)e->n, row = sizeof(float) * (size_t)tiny->shape.head_dim;
        for (size_t l = 0; l < 3; l++) {
            CHECK(head[2 * l] + head[2 * l + 1] == 2 * app[l], "layer %zu: %g and %g of %g", l, head[2 * l],
                head[2 * l + 1], app[l]);
            CHECK(used[l] == app[l] + e->run.tail_len, "layer %zu: %g used", l, used[l]);
            for (size_t g = 0; g < 2; g++) {
                double count = 0;
                for (size_t j = 0; j < n; j++) count += kept[(2 * l + g) * n + j];
                CHECK(count == head[2 * l + g], "layer %zu, KV head %zu: %g tokens", l, g, count);
                slots += count;
            }
        }
        double bytes = (double)cache_bytes(&e->run.prefix), least = slots * (double)(2 * row + 4);
        CHECK(bytes >= least && bytes <= least + 3 * 256, "%g bytes for %g slots", bytes, slots);
    }
    free(head);
    free(app);
    free(kept);
    free(used);
    kv_engine_close(e);
}

static void budgets(void)
{
    static const char *const ratio[] = { "0.1", "0.37", "0.9" }, *const alpha[] = { "0", "0.2", "1" };
    static const char *const selector[] = { "window", "sum", "random" };
    for (size_t i = 0; i < 27 && !tap_state.failed; i++)
        conserves((const char *const[]){ "policy.preset", "adakv", "policy.recent", "6", "policy.ratio",
            ratio[i % 3], "policy.alpha", alpha[i / 3 % 3], "policy.selector", selector[i / 9], NULL });
}

/* In layer 0 queries and keys are those of the full cache: what its heads see is the full row, masked by each KV
 * head's set and divided by what is left. */
static void masks(void)
{
    const char *const full[] = { "policy.preset", "full", NULL };
    const char *const own[] = { "policy.preset", "adakv", "policy.selector", "random", "policy.recent", "3",
        "policy.ratio", "0.4", NULL };
    struct kv_engine *a = request("f32", full), *b = request("f32", own);
    struct kv_array shape, reply;
    double *kept = a && b ? numbers(b, "kept", &shape) : NULL, worst = 0;
    size_t n = b ? (size_t)b->n : 0, rows = n + 1;
    float *x = kv_alloc(rows, sizeof *x), *y = kv_alloc(rows, sizeof *y);
    if (kept && x && y && !kv_value(a, "reply", &reply, &err))
        for (int h = 0; h < 4; h++) { /* the first token of the reply, which both runs share */
            double left = 0;
            REQUIRE(!kv_attention(a, 0, h, (int)n, 1, x, rows, &err), "%s", err.text);
            REQUIRE(!kv_attention(b, 0, h, (int)n, 1, y, rows, &err), "%s", err.text);
            const double *set_ = kept + (size_t)(h / 2) * n;
            for (size_t j = 0; j < rows; j++) left += j == n || set_[j] != 0 ? (double)x[j] : 0;
            for (size_t j = 0; j < rows; j++) {
                double want = j == n || set_[j] != 0 ? (double)x[j] / left : 0;
                worst = fmax(worst, fabs((double)y[j] - want));
                CHECK((y[j] == 0) == (want == 0), "head %d sees token %zu", h, j);
            }
        }
    CHECK(worst < 1e-5, "rows off by %g", worst);
    printf("# rows within %.1e\n", worst);
    free(kept);
    free(x);
    free(y);
    kv_engine_close(a);
    kv_engine_close(b);
}

/* --- kvpress ---------------------------------------------------------------------------------------------------- */

static bool read_golden(const char *name, enum npy_type type, struct npy *out)
{
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    bool good = !npy_read(path, out, &err) && out->type == type;
    CHECK(good, "%s: %s", name, err.text);
    return good;
}

static void check_scores(struct kv_engine *e, const struct npy *want)
{
    static const size_t layers[] = { 0, 14, 29 };
    struct kv_array a;
    double worst = 0;
    REQUIRE(!kv_value(e, "score", &a, &err), "%s", err.text);
    REQUIRE(a.n_dim == 3 && want->dim[1] == a.dim[1] && want->dim[2] < a.dim[2], "scores have another shape");
    for (size_t i = 0; i < want->count; i++) {
        size_t j = i % want->dim[2], g = i / want->dim[2] % a.dim[1], l = layers[i / want->dim[2] / a.dim[1]];
        double x = ((const float *)a.data)[(l * a.dim[1] + g) * a.dim[2] + j], y = (double)want->f4[i];
        worst = fmax(worst, fabs(x - y) / (1e-5 + fabs(y)));
    }
    CHECK(worst <= score_tolerance, "scores off by a share of %g", worst);
    printf("# scores within a share of %.1e\n", worst);
}

/* Kept sets of every layer and KV head; a token may differ whose score is that of a cut-off within the tolerance. */
static void check_kept(struct kv_engine *e, const struct npy *want)
{
    struct kv_array a;
    size_t differ = 0, n = (size_t)e->n, counts = 0;
    double *kept = numbers(e, "kept", &a), *margin = numbers(e, "margin", &a);
    for (size_t i = 0; kept && margin && i < want->count * 8; i++) {
        bool there = want->u1[i / 8] >> i % 8 & 1;
        counts += there;
        if (there == (kept[i] != 0)) continue;
        differ++;
        CHECK(fabs(margin[i]) <= score_tolerance, "set %zu: token %zu is %s, a share of %g from the cut-off", i / n,
            i % n, there ? "evicted" : "kept", margin[i]);
    }
    for (size_t i = 0; kept && i < want->count * 8; i++) counts -= kept[i] != 0;
    CHECK(!counts, "kvpress keeps %zd tokens more", (ssize_t)counts);
    printf("# %zu of %zu places in kept sets differ\n", differ, want->count * 8);
    free(kept);
    free(margin);
}

static void check_decode(struct kv_engine *e, const int32_t *reply, const struct npy *want, const struct npy *fixed)
{
    size_t width = want->dim[1];
    double worst = 0;
    for (size_t t = 0; t < STEPS; t++) {
        const float *row = want->f4 + t * width;
        e->run.reply[e->run.n_reply - 1] = reply[t];
        REQUIRE(!kv_step(e, KV_UNIT_PASS, &err), "%s", err.text);
        for (size_t i = 0; i < FIXED; i++)
            worst = fmax(worst, fabs((double)e->logits[fixed->i4[i]] - (double)row[1 + i]));
        for (size_t i = 0; i < TOP; i++)
            worst =
                fmax(worst, fabs((double)e->logits[(size_t)row[1 + FIXED + TOP + i]] - (double)row[1 + FIXED + i]));
        CHECK(worst <= logit_tolerance, "step %zu: logits off by %g", t, worst);
    }
    printf("# logits of %d steps within %.1e\n", STEPS, worst);
}

static void presses(void)
{
    static const char *const preset[] = { "snapkv", "adakv" };
    struct npy ids = { 0 }, reply = { 0 }, score = { 0 }, fixed = { 0 }, kept[2] = { { 0 } }, logits[2] = { { 0 } };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    if (access(MODEL, R_OK)) SKIP("the default model is not there; make model fetches it");
    bool good = read_golden("excerpt_ids", NPY_I4, &ids) && read_golden("heads_reply", NPY_I4, &reply) &&
                read_golden("heads_score", NPY_F4, &score) && read_golden("vocabulary_ids", NPY_I4, &fixed) &&
                !kv_model_open(MODEL, &model, &err) && !kv_engine_open(model, &e, &err);
    const char *const base[] = { "engine.backend", "cpu", "engine.precision", "f32", "engine.segment", "256",
        NULL };
    good = good && request_set(e, base, &err) && !kv_prompt_ids(e, ids.i4, 512, NULL, 0, &err) &&
           request_run_to(e, KV_PHASE_compress, &err);
    if (good) tok_close(e->tok), e->tok = NULL; /* a given reply goes on behind an end */
    for (size_t i = 0; i < 2 && good && !tap_state.failed; i++) {
        char name[40];
        const char *const policy[] = { "policy.preset", preset[i], "policy.window", "64", "policy.recent", "64",
            "policy.tokens", "128", NULL };
        snprintf(name, sizeof name, "heads_kept_%s", preset[i]);
        good = read_golden(name, NPY_U1, &kept[i]);
        snprintf(name, sizeof name, "heads_decode_%s", preset[i]);
        good = good && read_golden(name, NPY_F4, &logits[i]) && request_set(e, policy, &err) &&
               !kv_recompress(e, &err) && request_run_to(e, KV_PHASE_decode, &err);
        if (!good) break;
        check_scores(e, &score);
        check_kept(e, &kept[i]);
        check_decode(e, reply.i4, &logits[i], &fixed);
    }
    CHECK(good, "%s", err.text);
    kv_engine_close(e);
    kv_model_close(model);
    struct npy *all[] = { &ids, &reply, &score, &fixed, &kept[0], &kept[1], &logits[0], &logits[1] };
    for (size_t i = 0; i < KV_COUNT(all); i++) npy_free(all[i]);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "heads that share a budget keep what a slow selection keeps, 10,000 times", selects },
        { "equal sets of all heads are a shared set, to the bit", same_sets_f32 },
        { "the same in precision fast", same_sets_fast },
        { "kept share 1 changes no bit", keeps_all },
        { "budgets add up over heads, and so do bytes", budgets },
        { "each head reads its own set", masks },
        { "kvpress: SnapKV and AdaKV keep the same, and the model says the same", presses },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    kv_model_close(tiny);
    return status;
}
