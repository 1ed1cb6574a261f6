/* Keys turned to their places (policy.positions rerotate): against keys that stood there from the start on the small
 * model, and against kvpress's KeyRerotationPress on the default one (tests/oracle/rerotate_golden.py). */
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
#define FIXED  64 /* as parity.c: logits of fixed ids, then the best ones and their ids */
#define TOP    8
#define STEPS  16
#define BUDGET 160

static struct kv_error err;

static struct kv_engine *request(struct kv_model *model, const char *const *pairs, enum kv_phase phase)
{
    const char *const base[] = { "engine.precision", "f32", "decode.tokens", "12", "engine.segment", "32", NULL };
    const struct request r = { NULL, "Who read the book?", base, pairs, true, phase };
    struct kv_engine *e = request_open(&r, &model, &err);
    CHECK(e, "%s", err.text);
    return e;
}

/* --- the small model -------------------------------------------------------------------------------------------- */

/* In the first layer, whose keys are the words' alone, a kept key is what the prefill has where the same word stands at
 * that place: a prompt of one word over and over makes them equal. */
static void first_layer_is_exact(void)
{
    static const char *const pairs[] = { "policy.preset", "uniform", "policy.ratio", "0.3", "policy.positions",
        "rerotate", "engine.precision", "f32", "engine.segment", "32", NULL };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    int32_t ids[90];
    for (int i = 0; i < 90; i++) ids[i] = 77;
    REQUIRE(!kv_model_open("synthetic:tiny", &model, &err) && !kv_engine_open(model, &e, &err) &&
                request_set(e, pairs, &err) && !kv_prompt_ids(e, ids, 90, NULL, 0, &err) &&
                request_run_to(e, KV_PHASE_decode, &err),
        "%s", err.text);
    size_t d = (size_t)model->shape.head_dim;
    float *want = kv_alloc(90 * d, sizeof *want), *got = kv_alloc(90 * d, sizeof *got);
    double worst = 0;
    for (int g = 0; g < model->shape.n_kv_head; g++) {
        struct cache_head head;
        REQUIRE(!kv_cache_rows(e, false, 0, g, 0, 90, want, &err) &&
                    !cache_head(&e->format, &e->run.prefix.span[0], g, &head, &err),
            "%s", err.text);
        REQUIRE(head.len == 36, "%d slots", head.len);
        memcpy(got, head.k, (size_t)head.len * d * sizeof *got);
        for (size_t i = 0; i < (size_t)head.len * d; i++)
            worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    CHECK(worst < 2e-6, "keys are off by %g", worst);
    CHECK(e->run.shift[0] == 54, "the next row is shifted by %d", e->run.shift[0]);
    free(want), free(got);
    kv_engine_close(e);
    kv_model_close(model);
}

/* Nothing evicted: no key is turned and no bit of the reply changes; with some, twin and run agree, and places go on. */
static void runs(void)
{
    static const char *const whole[] = { "policy.ratio", "1", "policy.positions", "rerotate", NULL };
    static const char *const third[] = { "policy.ratio", "0.35", "policy.positions", "rerotate", "judge.leader",
        "self", NULL };
    static const char *const heads[] = { "policy.preset", "snapkv", "policy.window", "8", "policy.recent", "8",
        "policy.positions", "rerotate", "judge.leader", "self", NULL };
    struct kv_model *model = NULL;
    struct kv_verdict verdict;
    REQUIRE(!kv_model_open("synthetic:tiny", &model, &err), "%s", err.text);
    struct kv_engine *e = request(model, whole, KV_PHASE_done);
    CHECK(e && !kv_twin(e, 12, &verdict, &err) && verdict.kl_max == 0, "KL %g", verdict.kl_max);
    kv_engine_close(e);
    const char *const *some[] = { third, heads };
    for (size_t i = 0; i < KV_COUNT(some) && (e = request(model, some[i], KV_PHASE_done)); i++) {
        int32_t pos[400], place[400];
        struct kv_array other;
        CHECK(!kv_twin(e, 12, &verdict, &err) && verdict.kl_mean > 0 && !kv_value(e, "other", &other, &err), "%s",
            err.text);
        for (int t = 0; t < (int)other.dim[0] && t < e->run.n_reply; t++)
            CHECK(((const int32_t *)other.data)[t] == e->run.reply[t], "the twin says another token %d", t);
        for (int l = 0; l < model->shape.n_layer; l++) {
            int n = kv_cache_slots(e, l, 0, pos, 400), kept = e->sel.n_kept[selection_row(&e->sel, l, 0)];
            CHECK(kv_cache_places(e, l, 0, place, 400) == n && place[n - 1] == n - 1 && pos[n - 1] > n - 1,
                "layer %d: %d slots, the last at %d, place %d", l, n, pos[n - 1], place[n - 1]);
            CHECK(e->run.shift[l] == e->n - kept, "layer %d is shifted by %d", l, e->run.shift[l]);
        }
        kv_engine_close(e);
    }
    kv_model_close(model);
}

/* Largest share by which kept keys of a head miss the prefill's own, turned here in f64. */
static double off_by(struct kv_engine *e, int layer, int g)
{
    const struct kv_rope *rope = &e->machine.rope;
    size_t d = (size_t)e->format.head_dim, half = (size_t)rope->dim / 2;
    struct cache_head head;
    float key[64], got[64];
    int32_t pos[400];
    double worst = 0;
    int n = kv_cache_slots(e, layer, g, pos, 400);
    if (cache_head(&e->format, &e->run.prefix.span[layer], g, &head, &err) || d > 64) return INFINITY;
    for (int i = 0; i < n; i++) {
        if (kv_cache_rows(e, false, layer, g, pos[i], 1, key, &err)) return INFINITY;
        cache_to_f32(e->format.type, head.k + (size_t)i * kv_type_bytes(e->format.type, d), d, got);
        for (size_t c = 0; c < half; c++) {
            size_t a = rope->halves ? c : 2 * c, b = a + (rope->halves ? half : 1);
            double angle = (i - pos[i]) * (double)rope->frequency[c], size = hypot((double)key[a], (double)key[b]);
            double x = (double)key[a] * cos(angle) - (double)key[b] * sin(angle);
            double y = (double)key[b] * cos(angle) + (double)key[a] * sin(angle);
            worst = fmax(worst, fmax(fabs(x - (double)got[a]), fabs(y - (double)got[b])) / size);
        }
    }
    return worst;
}

/* Turned once from what the prefill left, whatever the cache holds: one rounding. */
static void one_rounding(void)
{
    static const struct {
        const char *type, *precision;
        double share;
    } kinds[] = { { "f32", "f32", 1e-5 }, { "f16", "fast", 0x1p-11 + 1e-5 }, { "bf16", "fast", 0x1p-8 + 1e-5 } };
    struct kv_model *model = NULL;
    REQUIRE(!kv_model_open("synthetic:tiny", &model, &err), "%s", err.text);
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        const char *const pairs[] = { "policy.preset", "streaming", "policy.positions", "rerotate", "engine.kv",
            kinds[i].type, "engine.precision", kinds[i].precision, NULL };
        struct kv_engine *e = request(model, pairs, KV_PHASE_ask);
        for (int k = 0; e && k < model->shape.n_layer * model->shape.n_kv_head; k++) {
            double worst = off_by(e, k / model->shape.n_kv_head, k % model->shape.n_kv_head);
            CHECK(worst <= kinds[i].share, "%s keys are off by a share of %g", kinds[i].type, worst);
        }
        kv_engine_close(e);
    }
    kv_model_close(model);
}

/* --- kvpress ---------------------------------------------------------------------------------------------------- */

static bool read_golden(const char *name, const char *what, struct npy *out)
{
    char path[200];
    snprintf(path, sizeof path, GOLDEN "%s%s.npy", name, what);
    return !npy_read(path, out, &err);
}

/* Where transformers has a channel of ours: pairs half a head apart, which GGUF files of llama have as neighbors. */
static size_t channel_of(const struct kv_rope *rope, size_t c, size_t d)
{
    return rope->halves ? c : c / 2 + c % 2 * (d / 2);
}

static void check_cache(struct kv_engine *e, const char *name, const struct npy *bits, const struct npy *keys)
{
    static const int layers[] = { 0, 14, 29 };
    int heads = e->model->shape.n_kv_head, differ = 0;
    size_t d = (size_t)e->model->shape.head_dim, n_byte = (size_t)e->n / 8;
    double worst = 0;
    for (int l = 0; l < e->model->shape.n_layer; l++)
        for (int g = 0; g < heads; g++) {
            int32_t pos[BUDGET];
            const uint8_t *row = bits->u1 + (size_t)(l * heads + g) * n_byte;
            CHECK(kv_cache_slots(e, l, g, pos, BUDGET) == BUDGET, "%s: layer %d has no %d slots", name, l, BUDGET);
            for (int i = 0; i < BUDGET; i++) differ += !(row[pos[i] / 8] >> pos[i] % 8 & 1);
        }
    CHECK(!differ, "%s: %d tokens differ", name, differ);
    for (int k = 0; k < 3; k++)
        for (int g = 0; g < heads; g++) {
            struct cache_head head;
            REQUIRE(!cache_head(&e->format, &e->run.prefix.span[layers[k]], g, &head, &err), "%s", err.text);
            for (size_t i = 0; i < BUDGET / 10; i++)
                for (size_t c = 0; c < d; c++) {
                    double want = (double)keys->f4[(((size_t)(k * heads + g)) * (BUDGET / 10) + i) * d +
                                                   channel_of(&e->machine.rope, c, d)];
                    double got = (double)((const float *)(const void *)head.k)[10 * i * d + c];
                    worst = fmax(worst, fabs(got - want) / (1 + fabs(want)));
                }
        }
    CHECK(worst < 1e-3, "%s: keys are off by %g", name, worst);
    printf("# %s: %d of %d kept tokens differ, keys within %.1e\n", name, differ,
        e->model->shape.n_layer * heads * BUDGET, worst);
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
    }
    CHECK(worst <= 2e-3, "logits off by %g", worst);
    printf("# logits of %d steps within %.1e\n", STEPS, worst);
}

static void kvpress(void)
{
    static const char *const policy[2][13] = {
        { "policy.preset", "snapkv", "policy.window", "64", "policy.recent", "64", "policy.tokens", "160",
            "policy.positions", "rerotate", NULL },
        { "policy.preset", "tova", "policy.tokens", "160", "policy.positions", "rerotate", NULL },
    };
    static const char *const press[] = { "snapkv", "tova" };
    static const char *const base[] = { "engine.backend", "cpu", "engine.precision", "f32", "engine.segment", "256",
        NULL };
    struct npy ids = { 0 }, reply = { 0 }, fixed = { 0 }, bits[2] = { 0 }, keys[2] = { 0 }, logits[2] = { 0 };
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    if (access(MODEL, R_OK)) SKIP("the default model is not there; make model fetches it");
    bool good = read_golden("excerpt", "_ids", &ids) && read_golden("heads", "_reply", &reply) &&
                read_golden("vocabulary", "_ids", &fixed) && !kv_model_open(MODEL, &model, &err) &&
                !kv_engine_open(model, &e, &err) && request_set(e, base, &err) &&
                !kv_prompt_ids(e, ids.i4, (int)ids.count, NULL, 0, &err) &&
                request_run_to(e, KV_PHASE_compress, &err);
    if (good) tok_close(e->tok), e->tok = NULL; /* a given reply goes on behind an end */
    for (int i = 0; i < 2 && good; i++) {
        char name[40];
        snprintf(name, sizeof name, "rerotate_%s", press[i]);
        good = read_golden(name, "_kept", &bits[i]) && read_golden(name, "_keys", &keys[i]) &&
               read_golden(name, "_logits", &logits[i]) && request_set(e, policy[i], &err) &&
               !kv_recompress(e, &err) && request_run_to(e, KV_PHASE_decode, &err);
        if (!good) break;
        check_cache(e, press[i], &bits[i], &keys[i]);
        check_decode(e, reply.i4, &logits[i], &fixed);
    }
    CHECK(good, "%s", err.text);
    kv_engine_close(e);
    kv_model_close(model);
    npy_free(&ids), npy_free(&reply), npy_free(&fixed);
    for (int i = 0; i < 2; i++) npy_free(&bits[i]), npy_free(&keys[i]), npy_free(&logits[i]);
}

static const struct tap_case cases[] = {
    { "a word's key is the one that stood at its place", first_layer_is_exact },
    { "replies and comparisons go on from there", runs },
    { "keys are rounded once", one_rounding },
    { "kept sets, keys and logits of kvpress's KeyRerotationPress", kvpress },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
