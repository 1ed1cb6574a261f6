/* The same request on the CPU and on the GPU, from the prompt through compression to the reply.
 * usage: end_to_end [--tokens N] [--json FILE] MODEL...
 *
 * Four runs a model: the CPU in f32 is the reference; the GPU in f32 must agree to rounding. What bf16 may cost is
 * measured and not guessed: the CPU's own fast path is off from the reference by so much, and the GPU's fast path may
 * be off by twice that, or by what is given below where the CPU has no bf16.
 *   logits   |a - b| / |b - mean b| of a token's logits, the worst of the reply, as long as the replies are the same
 *   entropy  the largest difference of entropy[l][h], nats
 *   kept     share of the kept tokens that differ; in f32 only such whose score is at the cut may */
#include "engine/engine.h"
#include "tests/lib/npy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_IDS "tests/golden/model/excerpt_ids.npy" /* a text in SmolLM2's tokens */
#define PROMPT     640
#define REPLY_MOST 32

struct run {
    double *entropy;        /* [L][H] */
    float *margin, *logits; /* [L][n], [reply][n_vocab] */
    uint8_t *kept;          /* [L][n] */
    int32_t reply[REPLY_MOST];
    size_t n_entropy, n_kept, n_vocab;
    int n_reply;
    double seconds;
};

struct distance {
    double logits, entropy, kept;
    int steps;      /* compared */
    double clearly; /* largest relative margin of a token that only one of them kept */
};

static struct kv_error err;
static FILE *json;
static int number, bad;

static void say(bool ok, const char *model, const char *what, const struct distance *d, const struct distance *most)
{
    printf("%sok %d - %s, %s: logits off by %.2g (%.2g allowed) over %d steps, entropy %.2g nats (%.2g), kept %.2g "
           "(%.2g)\n",
        ok ? "" : "not ", ++number, model, what, d->logits, most->logits, d->steps, d->entropy, most->entropy,
        d->kept, most->kept);
    if (json)
        fprintf(json,
            "{\"check\": \"end to end, %s, %s\", \"ok\": %s, \"logits\": %.6g, \"entropy\": %.6g, \"kept\": %.6g, "
            "\"steps\": %d}\n",
            model, what, ok ? "true" : "false", d->logits, d->entropy, d->kept, d->steps);
    bad += !ok;
}

static void *copy_value(struct kv_engine *e, const char *name, size_t *count)
{
    struct kv_array a;
    if (kv_value(e, name, &a, &err)) return NULL;
    size_t n = 1, size = a.type == KV_U8 ? 1 : a.type == KV_F64 ? 8 : 4;
    for (int i = 0; i < a.n_dim; i++) n *= a.dim[i];
    void *copy = malloc(n * size + 1);
    if (copy) memcpy(copy, a.data, n * size);
    *count = n;
    return copy;
}

/* As f64, whichever it is. */
static double *copy_doubles(struct kv_engine *e, const char *name, size_t *count)
{
    struct kv_array a;
    if (kv_value(e, name, &a, &err)) return NULL;
    *count = 1;
    for (int i = 0; i < a.n_dim; i++) *count *= a.dim[i];
    double *copy = malloc(*count * sizeof *copy + 1);
    for (size_t i = 0; copy && i < *count; i++)
        copy[i] = a.type == KV_F64 ? ((const double *)a.data)[i] : (double)((const float *)a.data)[i];
    return copy;
}

static enum kv_status take_logits(struct kv_engine *e, struct run *r)
{
    struct kv_array a, reply;
    enum kv_status status = kv_value(e, "logit", &a, &err);
    if (!status) status = kv_value(e, "reply", &reply, &err);
    if (status || r->n_reply == REPLY_MOST) return status;
    r->n_vocab = a.dim[0];
    if (!r->logits) r->logits = malloc(REPLY_MOST * r->n_vocab * sizeof *r->logits);
    if (!r->logits) return kv_fail(&err, KV_NO_MEMORY, "No memory for logits.");
    memcpy(r->logits + (size_t)r->n_reply * r->n_vocab, a.data, r->n_vocab * sizeof *r->logits);
    r->reply[r->n_reply++] = ((const int32_t *)reply.data)[reply.dim[0] - 1];
    return KV_OK;
}

/* One request under a policy; what was computed is copied on the way: logits with the full cache, since those with a
 * compressed one depend on which tokens were kept; the kept set and the entropies with a quarter of it. */
static enum kv_status drive(struct kv_engine *e, bool compressed, struct run *r)
{
    static const char *const name[] = { "policy.preset", "policy.ratio" };
    const char *const value[] = { compressed ? "seed" : "full", compressed ? "0.25" : "1" };
    struct kv_where at;
    size_t n;
    enum kv_status status = kv_set(e, name, value, KV_COUNT(name), &err);
    if (!status) status = kv_start(e, &err);
    while (!status && (kv_where(e, &at), at.phase != KV_PHASE_done)) {
        bool decode = at.phase == KV_PHASE_decode;
        if (decode && compressed) {
            r->entropy = copy_doubles(e, "entropy", &r->n_entropy);
            r->kept = copy_value(e, "kept", &r->n_kept);
            r->margin = copy_value(e, "margin", &n);
            return r->entropy && r->kept && r->margin ? KV_OK : err.code ? err.code : KV_NO_MEMORY;
        }
        status = kv_step(e, decode ? KV_UNIT_PASS : KV_UNIT_PHASE, &err);
        if (!status && decode) status = take_logits(e, r);
    }
    return status;
}

static enum kv_status run_on(const struct kv_model *model, const char *backend, const char *precision,
    const int32_t *ids, int n, const char *tokens, struct run *r)
{
    static const char *const name[] = { "engine.backend", "engine.precision", "decode.tokens",
        "decode.temperature" };
    const char *const value[] = { backend, precision, tokens, "0" };
    struct kv_engine *e = NULL;
    double from = kv_now_us();
    memset(r, 0, sizeof *r);
    enum kv_status status = kv_engine_open(model, &e, &err);
    if (!status) status = kv_set(e, name, value, KV_COUNT(name), &err);
    if (!status) status = kv_prompt_ids(e, ids, n, NULL, 0, &err);
    for (int compressed = 0; compressed < 2 && !status; compressed++) status = drive(e, compressed, r);
    kv_engine_close(e);
    r->seconds = (kv_now_us() - from) / 1e6;
    return status;
}

static void free_run(struct run *r) { free(r->entropy), free(r->margin), free(r->logits), free(r->kept); }

static double logits_distance(const float *a, const float *b, size_t n)
{
    double mean = 0, off = 0, length = 0;
    for (size_t i = 0; i < n; i++) mean += (double)b[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i], x = (double)b[i] - mean;
        off += d * d, length += x * x;
    }
    return sqrt(off / length);
}

/* The larger, and NaN stays. */
static double worse(double a, double b) { return a >= b ? a : isnan(a) ? a : b; }

static struct distance distance(const struct run *a, const struct run *b)
{
    struct distance d = { 0 };
    size_t kept = 0, differ = 0;
    int steps = a->n_reply < b->n_reply ? a->n_reply : b->n_reply;
    for (int t = 0; t < steps && (!t || a->reply[t - 1] == b->reply[t - 1]); t++, d.steps++) {
        size_t at = (size_t)t * a->n_vocab;
        d.logits = worse(logits_distance(a->logits + at, b->logits + at, a->n_vocab), d.logits);
    }
    for (size_t i = 0; i < a->n_entropy; i++) d.entropy = worse(fabs(a->entropy[i] - b->entropy[i]), d.entropy);
    for (size_t j = 0; j < a->n_kept; j++) {
        kept += b->kept[j];
        if (a->kept[j] == b->kept[j]) continue;
        differ++;
        d.clearly = worse(isnan(b->margin[j]) ? INFINITY : fabs((double)b->margin[j]), d.clearly);
    }
    d.kept = (double)differ / 2 / (double)(kept ? kept : 1);
    return d;
}

static void check_model(const char *path, const char *tokens)
{
    static int32_t ids[PROMPT];
    struct kv_model *model = NULL;
    struct kv_model_facts facts;
    struct npy text = { 0 };
    struct run r[4] = { 0 };
    static const char *const how[4][2] = { { "cpu", "f32" }, { "cpu", "fast" }, { "cuda", "f32" },
        { "cuda", "fast" } };
    enum kv_status status = kv_model_open(path, &model, &err);
    int n = 200;
    if (!status) kv_model_facts(model, &facts);
    bool real = !status && !facts.synthetic;
    if (real) status = npy_read(GOLDEN_IDS, &text, &err);
    if (real && !status) n = (int)text.count < PROMPT ? (int)text.count : PROMPT;
    for (int i = 0; i < n && !status; i++) ids[i] = real ? text.i4[i] : (i * i * 7 + i * 31) % 200;
    for (int i = 0; i < 4 && !status; i++) status = run_on(model, how[i][0], how[i][1], ids, n, tokens, &r[i]);
    if (status) {
        printf("not ok %d - %s: %s\n", ++number, path, err.text);
        bad++;
    } else {
        /* f32: sums in another order, 30 layers deep; as tests/unit/parity.c, and a score at the cut to 1e-3 */
        const struct distance f32 = distance(&r[2], &r[0]),
                              most = { .logits = 2e-4, .entropy = 1e-4, .kept = 0.01 };
        say(f32.logits <= most.logits && f32.entropy <= most.entropy && f32.kept <= most.kept &&
                f32.clearly <= 1e-3 && f32.steps,
            path, "f32", &f32, &most);
        const struct distance cpu = distance(&r[1], &r[0]), fast = distance(&r[3], &r[0]);
        const struct distance may = { .logits = fmax(2 * cpu.logits, 3e-2),
            .entropy = fmax(2 * cpu.entropy, 2e-2),
            .kept = fmax(2 * cpu.kept, 0.05) };
        say(fast.logits <= may.logits && fast.entropy <= may.entropy && fast.kept <= may.kept && fast.steps, path,
            "fast", &fast, &may);
        printf("# %s: the CPU's fast path: logits %.2g, entropy %.2g, kept %.2g; seconds %.1f %.1f %.1f %.1f\n",
            path, cpu.logits, cpu.entropy, cpu.kept, r[0].seconds, r[1].seconds, r[2].seconds, r[3].seconds);
    }
    for (int i = 0; i < 4; i++) free_run(&r[i]);
    npy_free(&text);
    kv_model_close(model);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *tokens = "16";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--tokens") && i + 1 < argc)
            tokens = argv[++i];
        else if (!strcmp(argv[i], "--json") && i + 1 < argc)
            json = fopen(argv[++i], "a");
        else
            check_model(argv[i], tokens);
    }
    printf("1..%d\n", number);
    if (json) fclose(json);
    return bad || !number;
}
