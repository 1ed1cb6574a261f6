/* The fast and int8 modes held to the f32 reference on the real model, over long texts of different kinds. */
#include "engine/engine.h"
#include "engine/judge/kl.h"
#include "engine/run/cache.h"
#include "engine/run/forward.h"
#include "engine/text/tokenizer.h"
#include "tests/tap.h"

#include <stdlib.h>

#define MODEL   "models/smollm2-135m-instruct-q4_1.gguf"
#define TOKENS  896 /* of a text, at most */
#define SEGMENT 256 /* rows at once; the last segment is decoded one by one */

static const char *const texts[] = { "sessions/tour.txt", "tests/golden/precision/contract.txt",
    "tests/golden/precision/table.txt", "tests/golden/precision/program.txt" };

static struct kv_error err;
static struct kv_model *model;
static struct kv_tokenizer *tok;

static bool open_model(void)
{
#ifdef __SANITIZE_ADDRESS__
    snprintf(
        tap_state.skip, sizeof tap_state.skip, "takes half an hour under ASan, where parity reads the same paths");
    return false;
#endif
    if (model) return true;
    FILE *f = fopen(MODEL, "rb");
    if (!f) {
        snprintf(tap_state.skip, sizeof tap_state.skip, "%s is not here: make model", MODEL);
        return false;
    }
    fclose(f);
    if (!kv_model_open(MODEL, &model, &err) && !tok_open(&model->vocabulary, &tok, &err)) return true;
    tap_fail(__FILE__, __LINE__, "%s", err.text);
    return false;
}

static int read_ids(const char *path, int32_t **ids)
{
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "rb");
    size_t bytes = f ? fread(text, 1, 1 << 16, f) : 0, n = 0;
    if (f) fclose(f);
    if (tok_encode(tok, text, bytes, false, ids, &n, &err)) n = 0;
    free(text);
    return n < TOKENS ? (int)n : TOKENS;
}

/* One precision reading a text. */
struct reader {
    struct machine m;
    struct cache_format format;
    struct cache cache;
    float *logits; /* host [SEGMENT][n_vocab] of the rows read last */
};

static bool open_reader(struct reader *r, enum kv_precision precision, int type)
{
    const struct kv_shape *s = &model->shape;
    const struct kv_backend_options options = { .precision = precision };
    *r = (struct reader){ .logits = kv_alloc((size_t)SEGMENT * (size_t)s->n_vocab, sizeof(float)) };
    if (!r->logits || machine_open(&r->m, model, &kv_backend_cpu, &options, type, 0, &err)) return false;
    r->format = (struct cache_format){ &kv_backend_cpu, r->m.ctx, type, s->n_layer, s->n_kv_head, s->head_dim };
    return !machine_reserve(&r->m, SEGMENT, TOKENS, &err) && !cache_init(&r->cache, &r->format, &err) &&
           !cache_alloc(&r->cache, TOKENS, &err);
}

static void close_reader(struct reader *r)
{
    cache_free(&r->cache);
    machine_close(&r->m);
    free(r->logits);
}

static bool read_rows(struct reader *r, const int32_t *ids, int first, int n)
{
    int32_t pos[SEGMENT];
    size_t n_vocab = (size_t)model->shape.n_vocab;
    for (int i = 0; i < n; i++) pos[i] = first + i;
    struct pass p = { .m = &r->m, .ids = ids + first, .pos = pos, .n = n, .n_seq = 1 };
    p.seq[0] = (struct pass_seq){ .tail = r->cache.span, .tail_step = 1, .n = n };
    if (pass_stage(&p, KV_STAGE_embed, -1, &err) || pass_layers(&p, 0, model->shape.n_layer, &err)) return false;
    for (int row = 0; row < n; row += LOGIT_ROWS) {
        int rows = n - row < LOGIT_ROWS ? n - row : LOGIT_ROWS;
        if (pass_head(&p, row, rows, 0, &err) || r->m.be->read(r->m.ctx, r->logits + (size_t)row * n_vocab,
                                                     r->m.logits, (size_t)rows * n_vocab * sizeof(float), &err))
            return false;
    }
    return true;
}

struct tally {
    int rows, agree;
    double kl;
};

static void compare_rows(const struct reader *a, int from, const struct reader *b, int n, struct tally *t)
{
    size_t n_vocab = (size_t)model->shape.n_vocab;
    for (int i = 0; i < n; i++) {
        struct kl_step step;
        kl_compare(a->logits + (size_t)(from + i) * n_vocab, b->logits + (size_t)i * n_vocab, (int)n_vocab, &step);
        t->rows++;
        t->agree += step.agree;
        t->kl += step.kl;
    }
}

/* The reference reads every segment at once, which gives the bits of reading its rows one by one. */
static bool compare_text(struct reader *a, struct reader *b, const int32_t *ids, int n, struct tally tally[2])
{
    for (int first = 0; first < n; first += SEGMENT) {
        int rows = n - first < SEGMENT ? n - first : SEGMENT;
        bool decode = first + rows == n;
        if (!read_rows(a, ids, first, rows)) return false;
        for (int i = 0, step = decode ? 1 : rows; i < rows; i += step) {
            if (!read_rows(b, ids, first + i, step)) return false;
            compare_rows(a, i, b, step, &tally[decode]);
        }
    }
    return true;
}

/* Mean KL and top-1 agreement over all texts, of prefilled rows and of decoded ones. int8 rounds both alike, so there they
 * are one sample: chance alone moves 512 rows by a percent. */
static void hold(enum kv_precision precision, double most_kl, double least_top1)
{
    if (!open_model()) return;
    const bool alike = precision == KV_PRECISION_INT8;
    const char *const way[] = { alike ? "prefill and decode" : "prefill", "decode" };
    struct tally tally[2] = { 0 };
    for (size_t t = 0; t < KV_COUNT(texts); t++) {
        struct reader a = { 0 }, b = { 0 };
        int32_t *ids = NULL;
        int n = read_ids(texts[t], &ids);
        bool fine =
            n > 0 && open_reader(&a, KV_PRECISION_F32, KV_TYPE_F32) && open_reader(&b, precision, KV_TYPE_F16);
        fine = fine && compare_text(&a, &b, ids, n, tally);
        CHECK(fine, "%s: %d tokens: %s", texts[t], n, err.text);
        close_reader(&a);
        close_reader(&b);
        free(ids);
    }
    if (alike) tally[0].rows += tally[1].rows, tally[0].agree += tally[1].agree, tally[0].kl += tally[1].kl;
    for (int i = 0; i < (alike ? 1 : 2); i++) {
        double mean = tally[i].kl / tally[i].rows, top1 = (double)tally[i].agree / tally[i].rows;
        printf("# %s: mean KL %.2e nats, top-1 %.2f %% over %d rows\n", way[i], mean, 100 * top1, tally[i].rows);
        CHECK(mean <= most_kl, "%s: mean KL is %g nats, at most %g", way[i], mean, most_kl);
        CHECK(top1 >= least_top1, "%s: top-1 agreement is %g, at least %g", way[i], top1, least_top1);
    }
}

static void fast_logits(void) { hold(KV_PRECISION_FAST, 5e-4, 0.99); }
static void int8_logits(void) { hold(KV_PRECISION_INT8, 5e-3, 0.96); }

static struct kv_engine *run_engine(const char *precision, const int32_t *ids, int n)
{
    struct kv_engine *e = NULL;
    const char *const name[] = { "engine.precision", "policy.ratio", "decode.tokens" };
    const char *const value[] = { precision, "0.5", "1" };
    struct kv_where at = { 0 };
    if (kv_engine_open(model, &e, &err) || kv_set(e, name, value, 3, &err) ||
        kv_prompt_ids(e, ids, n, NULL, 0, &err) || kv_start(e, &err)) {
        kv_engine_close(e);
        return NULL;
    }
    while (at.phase != KV_PHASE_done && !kv_step(e, KV_UNIT_PHASE, &err)) kv_where(e, &at);
    return e;
}

/* Entropy of every (layer, head), and kept sets under the seed at half the cache. */
static void fast_statistics(void)
{
    if (!open_model()) return;
    double worst = 0;
    size_t kept = 0, both = 0;
    for (size_t t = 0; t < KV_COUNT(texts); t++) {
        int32_t *ids = NULL;
        int n = read_ids(texts[t], &ids);
        struct kv_engine *a = run_engine("f32", ids, n), *b = run_engine("fast", ids, n);
        struct kv_array x, y;
        bool fine = a && b && !kv_value(a, "entropy", &x, &err) && !kv_value(b, "entropy", &y, &err);
        for (size_t i = 0; fine && i < x.dim[0] * x.dim[1]; i++) {
            double d = fabs(((const double *)x.data)[i] - ((const double *)y.data)[i]);
            if (!(d <= worst)) worst = d;
        }
        fine = fine && !kv_value(a, "kept", &x, &err) && !kv_value(b, "kept", &y, &err);
        for (size_t i = 0; fine && i < x.dim[0] * x.dim[1]; i++) {
            kept += ((const uint8_t *)x.data)[i];
            both += ((const uint8_t *)x.data)[i] & ((const uint8_t *)y.data)[i];
        }
        CHECK(fine, "%s: %s", texts[t], err.text);
        kv_engine_close(a);
        kv_engine_close(b);
        free(ids);
    }
    double overlap = (double)both / (double)kept;
    printf("# entropy differs by at most %.4f nats, kept sets overlap by %.2f %%\n", worst, 100 * overlap);
    CHECK(worst <= 0.02, "entropy of a head differs by %g nats", worst);
    CHECK(overlap >= 0.99, "kept sets overlap by %g", overlap);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "fast: KL and top-1 against f32", fast_logits },
        { "fast: entropies and kept sets against f32", fast_statistics },
        { "int8: KL and top-1 against f32", int8_logits },
    };
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    tok_close(tok);
    kv_model_close(model);
    return status;
}
