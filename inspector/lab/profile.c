/* profile, profile diff, profile average; and who may use one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/profile.h"
#include "inspector/lab/board.h"
#include "inspector/lab/options.h"
#include "inspector/lab/sensitivity.h"
#include "inspector/lab/tune.h"
#include "inspector/picture/recipe.h"
#include "inspector/json/rows.h"
#include "inspector/picture/target.h"

#define SHA_SHOWN 12

enum kv_status profile_admit(struct session *s, const char *path)
{
    struct kv_profile *p;
    enum kv_status st = kv_profile_read(path, &p, &s->err);
    if (st) return st == KV_IO ? KV_OK : st; /* gone, yet it may be known: the engine says */
    st = kv_profile_fits(p, s->model, &s->err);
    if (!st) st = recipe_model_hash(s);
    if (!st && strcmp(p->model_sha, s->model_sha))
        st = kv_fail(&s->err, KV_BAD_ARG,
            "The profile %.200s was measured on a model with sha256 %.*s..., and this one has %.*s...", path,
            SHA_SHOWN, p->model_sha, SHA_SHOWN, s->model_sha);
    if (!st) board_put(p, path, -1, 0, 0);
    kv_profile_free(p);
    return st;
}

/* --- profile FILE ------------------------------------------------------------------------------------------------- */

static void tell_origin(struct session *s, const char *path, const struct kv_profile *p)
{
    int measured = 0;
    for (int i = 0; i < p->n_prompt; i++) measured += kv_profile_measured(p, i);
    fprintf(s->out, "%s: %s (%s, %d layers, sha256 %.*s...), by %s\n", path, p->model, p->arch, p->n_layer,
        SHA_SHOWN, p->model_sha, p->program);
    fprintf(s->out, "%d prompts, %d of them measured, replies of up to %d tokens; tuned selects by %s\n",
        p->n_prompt, measured, p->reply,
        kv_profile_by_layer(p) ? "what is best for each layer" : kv_profile_choice(p));
    for (int i = 0; i < p->n_refined; i++)
        fprintf(s->out, "%s%.4g %%%s", i ? ", " : "refined for ", 100 * p->refined[i].total,
            i + 1 == p->n_refined ? " of all tokens\n" : "");
    for (int i = 0; i < p->n_policy; i++)
        fprintf(s->out, "%s%s %s", i ? ", " : "", p->policy[i][0], p->policy[i][1]);
    fputc('\n', s->out);
}

struct reaction cmd_profile(struct session *s, const char *args)
{
    struct lab_words w;
    struct kv_profile *p = NULL;
    struct target t;
    if (lab_words(args, "-png -f", &w, &s->err)) return failed(s);
    if (w.n_file != 1) return refuse(s, KV_BAD_ARG, "Argument required (FILE of a profile, diff or average).");
    enum kv_status st = kv_profile_read(w.file[0], &p, &s->err);
    if (!st) tell_origin(s, w.file[0], p);
    if (!st) board_put(p, w.file[0], -1, 0, 0);
    for (int k = 0; !st && k < kv_profile_kind(p, NULL); k++)
        for (int c = 0; c < p->n_selector && !st; c++) st = sensitivity_table(s, p, k, c);
    if (!st && w.png) st = target_open(s, w.png, w.force, &t);
    if (!st && w.png) st = profile_map(s, p, w.file[0], t.fresh);
    if (!st && w.png) st = target_close(s, &t);
    if (!st && w.png) fprintf(s->out, "%s: PNG of the curves%s\n", t.path, session_mark(s));
    kv_profile_free(p);
    return st ? failed(s) : DONE;
}

/* --- profile diff ------------------------------------------------------------------------------------------------- */

/* Shares of a layer's tokens by both, and the curves at that total. */
static enum kv_status diff_at(
    struct session *s, const struct kv_profile *a, const struct kv_profile *b, double ratio, double *share)
{
    int n = a->n_layer;
    double sum = 0;
    struct kv_profile_plan x = { .total = ratio, .share = share }, y = { .total = ratio, .share = share + n };
    enum kv_status st = kv_profile_spend(a, &x, &s->err);
    if (!st) st = kv_profile_spend(b, &y, &s->err);
    if (st) return st;
    fprintf(s->out, "Kept shares of the layers at %g %% of all tokens\n%6s %9s %9s %9s\n", 100 * ratio, "layer",
        "first", "second", "change");
    for (int l = 0; l < n; l++) {
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, "first", share[l]);
        rows_number(s, "second", share[n + l]);
        fprintf(s->out, "%6d %8.1f%% %8.1f%% %+8.1f%%\n", l, 100 * share[l], 100 * share[n + l],
            100 * (share[n + l] - share[l]));
        sum += fabs(share[n + l] - share[l]) / 2;
    }
    rows_fact(s, "moved", sum / (ratio * n));
    fprintf(s->out, "%.1f %% of the budget is in other layers.\n", 100 * sum / (ratio * n));
    return KV_OK;
}

static enum kv_status read_two(struct session *s, char *const *path, struct kv_profile **a, struct kv_profile **b)
{
    *b = NULL;
    enum kv_status st = kv_profile_read(path[0], a, &s->err);
    return st ? st : kv_profile_read(path[1], b, &s->err);
}

struct reaction cmd_profile_diff(struct session *s, const char *args)
{
    struct lab_words w;
    struct kv_profile *a = NULL, *b = NULL;
    if (lab_words(args, "-ratio", &w, &s->err)) return failed(s);
    if (w.n_file != 2) return refuse(s, KV_BAD_ARG, "Arguments required (two profiles).");
    enum kv_status st = read_two(s, w.file, &a, &b);
    if (!st && a->n_layer != b->n_layer)
        st = kv_fail(&s->err, KV_BAD_ARG, "One profile has %d layers, the other %d.", a->n_layer, b->n_layer);
    double *share = st ? NULL : kv_alloc(2 * (size_t)a->n_layer, sizeof *share);
    if (!st && !share) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for %d layers.", a->n_layer);
    if (!w.n_ratio) w.ratio[w.n_ratio++] = 0.25;
    for (int i = 0; i < w.n_ratio && !st; i++) st = diff_at(s, a, b, w.ratio[i], share);
    free(share);
    kv_profile_free(a);
    kv_profile_free(b);
    return st ? failed(s) : DONE;
}

struct reaction cmd_profile_average(struct session *s, const char *args)
{
    struct lab_words w;
    struct target t;
    struct kv_profile *all = NULL;
    if (lab_words(args, "-o -f", &w, &s->err)) return failed(s);
    if (w.n_file < 2 || !w.out)
        return refuse(s, KV_BAD_ARG, "Arguments required (two or more profiles, and -o FILE).");
    enum kv_status st = kv_profile_read(w.file[0], &all, &s->err);
    for (int i = 1; i < w.n_file && !st; i++) {
        struct kv_profile *next = NULL, *both = NULL;
        st = kv_profile_read(w.file[i], &next, &s->err);
        if (!st) st = kv_profile_merge(all, next, &both, &s->err);
        kv_profile_free(next);
        kv_profile_free(all);
        all = both;
    }
    if (!st) st = target_open(s, w.out, w.force, &t);
    if (!st) st = kv_profile_write(all, t.fresh, &s->err);
    if (!st) st = target_close(s, &t);
    if (!st) tell_origin(s, w.out, all);
    kv_profile_free(all);
    return st ? failed(s) : DONE;
}
