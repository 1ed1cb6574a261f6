/* Profiles: written and read back, merged, refused where they are wrong, and made into budgets by an engine. */
#include "engine/profile.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/tune.h"
#include "tests/tap.h"

static struct kv_error err;
static char path[64];

static struct kv_profile *made(int prompts, const char *kinds)
{
    struct kv_profile *p = kv_alloc(1, sizeof *p);
    *p = (struct kv_profile){ .program = "test",
        .model = "synthetic:tiny",
        .arch = "llama",
        .model_sha = "synthetic:tiny",
        .n_layer = 3,
        .engine = "none",
        .reply = 8,
        .policy = { { "policy.sinks", "4" } },
        .n_policy = 1,
        .n_share = 3,
        .n_selector = 2,
        .share = { .1, .3, .6 },
        .selector = { "sum", "window" } };
    for (int i = 0; i < prompts; i++) {
        struct kv_profile_prompt x = { .tokens = 100 + i, .reply = 8 };
        snprintf(x.kind, sizeof x.kind, "%c \"k\"", kinds[i]);
        snprintf(x.name, sizeof x.name, "p%d", i);
        snprintf(x.sha, sizeof x.sha, "%064d", i);
        int at = kv_profile_add(p, &x);
        for (int c = 0; c < 18; c++) p->prompt[at].kl[c] = (double)(18 - c) * (i + 1) / 16;
    }
    return p;
}

static bool same_curves(const struct kv_profile *a, const struct kv_profile *b)
{
    bool same = a->n_prompt == b->n_prompt;
    for (int i = 0; same && i < a->n_prompt; i++)
        for (int c = 0; c < 18; c++) same = same && fabs(a->prompt[i].kl[c] - b->prompt[i].kl[c]) < 1e-4;
    return same;
}

static void comes_back(void)
{
    struct kv_profile *p = made(3, "aba"), *q = NULL;
    p->prompt[1].kl[5] = NAN;
    strcpy(p->choice, KV_PROFILE_BY_LAYER);
    REQUIRE(!kv_profile_write(p, path, &err), "%s", err.text);
    REQUIRE(!kv_profile_read(path, &q, &err), "%s", err.text);
    CHECK(isnan(q->prompt[1].kl[5]) && !kv_profile_measured(q, 1) && kv_profile_measured(q, 2),
        "what is not measured");
    p->prompt[1].kl[5] = q->prompt[1].kl[5] = 0;
    CHECK(same_curves(p, q), "curves differ");
    CHECK(!strcmp(q->prompt[0].kind, "a \"k\"") && !strcmp(q->model, p->model) && kv_profile_by_layer(q),
        "texts differ");
    CHECK(q->share[2] == .6 && !strcmp(q->selector[1], "window") && !strcmp(q->policy[0][1], "4"), "grid differs");
    CHECK(kv_profile_kind(q, NULL) == 2 && kv_profile_kind(q, "b \"k\"") == 1 && kv_profile_kind(q, "c") < 0,
        "kinds");
    kv_profile_free(p);
    kv_profile_free(q);
}

/* Shares that were measured together serve their own total and its neighborhood, and nothing else. */
static void refined_shares(void)
{
    struct kv_profile *p = made(2, "ab"), *q = NULL, *r = NULL;
    const double fine[] = { .1, .9, .5 }, other[] = { .2, .2, .2 };
    double share[3], plain[3], damage[2];
    struct kv_profile_plan plan = { .total = .5, .share = plain };
    REQUIRE(!kv_profile_spend(p, &plan, &err), "%s", err.text);
    REQUIRE(!kv_profile_refine(p, .5, other, &err) && !kv_profile_refine(p, .2, other, &err), "%s", err.text);
    REQUIRE(!kv_profile_refine(p, .5, fine, &err), "%s", err.text);
    CHECK(p->n_refined == 2, "%d totals", p->n_refined);
    REQUIRE(!kv_profile_write(p, path, &err) && !kv_profile_read(path, &q, &err), "%s", err.text);
    plan.share = share;
    plan.damage = damage;
    REQUIRE(!kv_profile_spend(q, &plan, &err), "%s", err.text);
    for (int l = 0; l < 3; l++) CHECK(fabs(share[l] - fine[l]) < 1e-4, "layer %d: %g", l, share[l]);
    CHECK(damage[0] > 0 && damage[1] > 1.9 * damage[0], "damage %g, %g", damage[0], damage[1]);
    plan.total = .502;
    REQUIRE(!kv_profile_spend(q, &plan, &err), "%s", err.text);
    CHECK(fabs(share[0] + share[1] + share[2] - 1.506) < 1e-3 && fabs(share[1] - .9036) < 1e-3, "near by: %g",
        share[1]);
    plan.total = .55;
    REQUIRE(!kv_profile_spend(q, &plan, &err), "%s", err.text);
    CHECK(fabs(share[1] - fine[1]) > .01 && fabs(share[1] - .99) > .01, "far off: %g", share[1]);
    plan.total = .5;
    plan.with = "window";
    REQUIRE(!kv_profile_spend(q, &plan, &err), "%s", err.text);
    CHECK(fabs(share[1] - fine[1]) > .01, "another selector: %g", share[1]);
    REQUIRE((r = kv_profile_copy(q)) != NULL, "no memory");
    CHECK(r->n_refined == 2 && r->refined[0].share[1] == q->refined[0].share[1], "the copy");
    kv_profile_unrefine(q);
    plan.with = NULL;
    REQUIRE(!kv_profile_spend(q, &plan, &err), "%s", err.text);
    for (int l = 0; l < 3; l++) CHECK(fabs(share[l] - plain[l]) < 1e-12, "layer %d: %g", l, share[l]);
    kv_profile_free(p);
    kv_profile_free(q);
    kv_profile_free(r);
}

static void means_by_kind(void)
{
    struct kv_profile *p = made(3, "aba");
    double kl[3];
    REQUIRE(!kv_profile_mean(p, 0, 0, 0, kl, &err), "%s", err.text);
    CHECK(fabs(kl[0] - 2 * 18.0 / 16) < 1e-12, "mean of the first kind: %g", kl[0]);
    p->prompt[1].kl[0] = NAN;
    CHECK(kv_profile_mean(p, 1, 0, 0, kl, &err) == KV_NOT_FOUND, "a kind without measured prompts has a mean");
    kv_profile_free(p);
}

static void merges(void)
{
    struct kv_profile *a = made(2, "ab"), *b = made(3, "aba"), *c = NULL;
    for (int i = 0; i < 18; i++) b->prompt[0].kl[i] *= 3;
    REQUIRE(!kv_profile_merge(a, b, &c, &err), "%s", err.text);
    CHECK(c->n_prompt == 3, "%d prompts", c->n_prompt);
    CHECK(
        fabs(c->prompt[0].kl[0] - 2 * 18.0 / 16) < 1e-12, "the mean of one prompt in both: %g", c->prompt[0].kl[0]);
    kv_profile_free(c);
    b->share[1] = .31;
    CHECK(kv_profile_merge(a, b, &c, &err) == KV_BAD_ARG && !c, "other shares were merged");
    b->share[1] = .3;
    b->model_sha[0] = 'x';
    CHECK(kv_profile_merge(a, b, &c, &err) == KV_BAD_ARG, "another model was merged");
    kv_profile_free(a);
    kv_profile_free(b);
}

/* Every prefix of a good file, and one byte changed in many ways: a sentence or a profile, never a crash. */
static void broken_files(void)
{
    struct kv_profile *p = made(1, "a"), *q;
    char text[8192];
    const double share[] = { .1, .2, .3 };
    REQUIRE(!kv_profile_refine(p, .2, share, &err), "%s", err.text);
    REQUIRE(!kv_profile_write(p, path, &err), "%s", err.text);
    kv_profile_free(p);
    FILE *f = fopen(path, "rb");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    int refused = 0;
    for (size_t i = 0; i < n; i++) {
        char was = text[i];
        text[i] = "\0\"{}[],:9-xe"[i % 12];
        f = fopen(path, "wb");
        fwrite(text, 1, i % 3 ? n : i, f);
        fclose(f);
        text[i] = was;
        enum kv_status st = kv_profile_read(path, &q, &err);
        CHECK(st ? !q && *err.text : q != NULL, "byte %zu", i);
        refused += st != KV_OK;
        kv_profile_free(q);
    }
    CHECK(refused > (int)n / 2, "only %d of %zu were refused", refused, n);
}

static void wrong_files(void)
{
    static const char *const text[] = { "", "[]", "{}", "{\"format\": 1}", "{\"format\": \"kvdbg-profile\"}",
        "{\"format\": \"kvdbg-profile\", \"version\": 2}", "{\"format\": \"kvdbg-profile\", \"version\": 1.5}" };
    struct kv_profile *q;
    for (size_t i = 0; i < KV_COUNT(text); i++) {
        FILE *f = fopen(path, "wb");
        fputs(text[i], f);
        fclose(f);
        enum kv_status st = kv_profile_read(path, &q, &err);
        CHECK(st == (i == 5 ? KV_UNSUPPORTED : KV_BAD_FILE) && !q, "%s: status %d", text[i], st);
    }
    CHECK(kv_profile_read("/nowhere/at/all", &q, &err) == KV_IO, "a file that is not there");
    CHECK(kv_profile_read("/", &q, &err) == KV_IO, "a folder");
}

/* --- in an engine -------------------------------------------------------------------------------------------------- */

static struct kv_engine *tiny(struct kv_model **model)
{
    struct kv_engine *e = NULL;
    int32_t ids[200];
    const char *names[] = { "engine.precision", "engine.threads" }, *values[] = { "f32", "1" };
    for (int i = 0; i < 200; i++) ids[i] = 3 + i * 7 % 50;
    if (kv_model_open("synthetic:tiny", model, &err) || kv_engine_open(*model, &e, &err) ||
        kv_set(e, names, values, 2, &err) || kv_prompt_ids(e, ids, 200, NULL, 0, &err) || kv_start(e, &err))
        return NULL;
    while (!kv_step(e, KV_UNIT_PHASE, &err)) {
        struct kv_where w;
        kv_where(e, &w);
        if (w.phase == KV_PHASE_compress) return e;
    }
    return NULL;
}

static enum kv_status set(struct kv_engine *e, const char *name, const char *value)
{
    return kv_set(e, &name, &value, 1, &err);
}

/* Budgets come from the curves, sum up to the total, and differ from another total's. */
static void tuned_budgets(void)
{
    struct kv_model *model;
    struct kv_engine *e = tiny(&model);
    REQUIRE(e, "%s", err.text);
    struct kv_profile *p = made(1, "a");
    for (int l = 0; l < 3; l++)
        for (int b = 0; b < 3; b++) kv_profile_curve(p, 0, 0, l)[b] = (l == 1 ? 9.0 : .1) / (b + 1);
    REQUIRE(!kv_profile_write(p, path, &err), "%s", err.text);
    int32_t budget[3];
    REQUIRE(!set(e, "policy.preset", "tuned"), "%s", err.text);
    CHECK(kv_next_budgets(e, budget, &err) == KV_NOT_NOW, "without a profile: %s", err.text);
    REQUIRE(!set(e, "policy.profile", path), "%s", err.text);
    REQUIRE(!set(e, "policy.ratio", "0.4"), "%s", err.text);
    REQUIRE(!kv_next_budgets(e, budget, &err), "%s", err.text);
    CHECK(budget[0] + budget[1] + budget[2] == 240, "sum %d", budget[0] + budget[1] + budget[2]);
    CHECK(budget[1] > 3 * budget[0] && budget[1] > 3 * budget[2], "%d %d %d", budget[0], budget[1], budget[2]);
    p->n_layer = 2;
    CHECK(kv_profile_fits(p, model, &err) == KV_BAD_ARG, "two layers fit three");
    REQUIRE(!kv_profile_write(p, path, &err), "%s", err.text);
    CHECK(set(e, "policy.profile", path) == KV_BAD_ARG, "another model's was taken");
    REQUIRE(!kv_next_budgets(e, budget, &err), "the old one still holds: %s", err.text);
    kv_profile_free(p);
    kv_engine_close(e);
    kv_model_close(model);
}

/* One layer measured alone is what a manual budget edit of it would do; keeping all does nothing. */
static void sensitivity_is_a_score(void)
{
    struct kv_model *model;
    struct kv_engine *e = tiny(&model);
    REQUIRE(e, "%s", err.text);
    const int32_t reply[] = { 5, 9, 11, 13, 8, 4 };
    const double share[] = { .2, .5, 1 };
    double kl[3], all = 0;
    struct kv_verdict verdict[2];
    REQUIRE(!set(e, "policy.ratio", "0.8333333333"), "%s", err.text);
    for (int l = 0; l < 3; l++) {
        const struct kv_sensitivity what = { l, "sum", share, 3, reply, 6 };
        REQUIRE(!kv_sensitivity(e, &what, kl, &err), "%s", err.text);
        CHECK(kl[0] > 0 && kl[2] == 0, "layer %d: %g %g %g", l, kl[0], kl[1], kl[2]);
        const int32_t layers[] = { 0, 1, 2 },
                      fixed[] = { l == 0 ? 100 : 200, l == 1 ? 100 : 200, l == 2 ? 100 : 200 };
        REQUIRE(!kv_edit_budgets(e, layers, fixed, 3, &err), "%s", err.text);
        struct kv_policy_copy *copy = kv_policy_take(e);
        const struct kv_policy_copy *both[] = { copy, copy };
        int32_t budget[6];
        REQUIRE(!kv_score_policies(e, reply, 6, 2, both, verdict, budget, &err), "%s", err.text);
        CHECK(verdict[0].kl_mean == kl[1] && verdict[1].kl_mean == kl[1], "%g, not %g", verdict[0].kl_mean, kl[1]);
        CHECK(budget[l] == 100 && budget[3 + l] == 100, "budget %d", budget[l]);
        const double shares[] = { 1, 1, 1, l == 0 ? .5 : 1, l == 1 ? .5 : 1, l == 2 ? .5 : 1 };
        const char *const by[] = { "sum", "sum", "sum" };
        REQUIRE(!kv_score_shares(e, reply, 6, 2, shares, by, verdict, &err), "%s", err.text);
        CHECK(verdict[0].kl_mean == 0 && verdict[1].kl_mean == kl[1], "%g, not %g", verdict[1].kl_mean, kl[1]);
        kv_policy_free(copy);
        all += kl[0];
    }
    const struct kv_sensitivity bad[] = { { 3, "sum", share, 3, reply, 6 }, { -1, "sum", share, 3, reply, 6 },
        { 0, "tuned", share, 3, reply, 6 }, { 0, "none", share, 3, reply, 6 }, { 0, "sum", &all, 1, reply, 6 } };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        all = i < 4 ? all : 1.5;
        CHECK(kv_sensitivity(e, &bad[i], kl, &err) == KV_BAD_ARG, "bad request %zu", i);
    }
    const double shares[] = { 1, 1, 1 };
    const char *const by[] = { "sum", "sum", "tuned" };
    CHECK(kv_score_shares(e, reply, 6, 1, shares, by, verdict, &err) == KV_BAD_ARG, "by no selector");
    kv_engine_close(e);
    kv_model_close(model);
}

static const struct tap_case cases[] = {
    { "a profile comes back from its file", comes_back },
    { "refined shares serve their total", refined_shares },
    { "curves are means of a kind's prompts", means_by_kind },
    { "profiles of one model merge", merges },
    { "broken files get a sentence", broken_files },
    { "wrong files get a sentence", wrong_files },
    { "an engine's budgets come from the curves", tuned_budgets },
    { "a layer measured alone is a score", sensitivity_is_a_score },
};

int main(int argc, char **argv)
{
    snprintf(path, sizeof path, "/tmp/kvdbg-profile-%ld.json", (long)getpid());
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    unlink(path);
    return status;
}
