/* Profiles in memory: prompts, means over kinds, merging, and budgets by curves.h. */
#include "engine/profile.h"

#include "engine/judge/curves.h"
#include "engine/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEAR 0.02 /* of a total: refined shares serve it */

_Static_assert(KV_PROFILE_SHARES == CURVES_SHARES, "a profile's curve is a curve");

static size_t cells(const struct kv_profile *p)
{
    return (size_t)p->n_selector * (size_t)p->n_layer * (size_t)p->n_share;
}

/* --- prompts ------------------------------------------------------------------------------------------------------ */

void kv_profile_unrefine(struct kv_profile *p)
{
    for (int i = 0; i < p->n_refined; i++) free(p->refined[i].share);
    free(p->refined);
    p->refined = NULL;
    p->n_refined = 0;
}

void kv_profile_free(struct kv_profile *p)
{
    if (p) kv_profile_unrefine(p);
    for (int i = 0; p && i < p->n_prompt; i++) free(p->prompt[i].kl);
    if (p) free(p->prompt);
    free(p);
}

int kv_profile_add(struct kv_profile *p, const struct kv_profile_prompt *prompt)
{
    struct kv_profile_prompt *grown = realloc(p->prompt, ((size_t)p->n_prompt + 1) * sizeof *grown);
    if (!grown) return -1;
    p->prompt = grown;
    grown[p->n_prompt] = *prompt;
    double *kl = grown[p->n_prompt].kl = kv_alloc(cells(p), sizeof *kl);
    if (!kl) return -1;
    for (size_t i = 0; i < cells(p); i++) kl[i] = NAN;
    return p->n_prompt++;
}

double *kv_profile_curve(const struct kv_profile *p, int prompt, int selector, int layer)
{
    return p->prompt[prompt].kl + ((size_t)selector * (size_t)p->n_layer + (size_t)layer) * (size_t)p->n_share;
}

bool kv_profile_measured(const struct kv_profile *p, int prompt)
{
    for (size_t i = 0; i < cells(p); i++)
        if (isnan(p->prompt[prompt].kl[i])) return false;
    return true;
}

/* The refined shares for such a total; NULL = none. */
static struct kv_profile_refined *refined_for(const struct kv_profile *p, double total)
{
    for (int i = 0; i < p->n_refined; i++)
        if (fabs(p->refined[i].total - total) <= NEAR * total) return &p->refined[i];
    return NULL;
}

enum kv_status kv_profile_refine(struct kv_profile *p, double total, const double *share, struct kv_error *err)
{
    struct kv_profile_refined *to = refined_for(p, total);
    size_t n = (size_t)p->n_layer;
    if (!to) {
        struct kv_profile_refined *grown = realloc(p->refined, ((size_t)p->n_refined + 1) * sizeof *grown);
        if (grown) p->refined = grown, to = &grown[p->n_refined];
        if (to && !(to->share = kv_alloc(n, sizeof *to->share))) to = NULL;
        if (!to) return kv_fail(err, KV_NO_MEMORY, "No memory for the shares of %zu layers.", n);
        p->n_refined++;
    }
    to->total = total;
    memcpy(to->share, share, n * sizeof *share);
    return KV_OK;
}

struct kv_profile *kv_profile_copy(const struct kv_profile *p)
{
    struct kv_error ignored;
    struct kv_profile *copy = kv_alloc(1, sizeof *copy);
    if (!copy) return NULL;
    *copy = *p;
    copy->prompt = NULL;
    copy->refined = NULL;
    copy->n_prompt = copy->n_refined = 0;
    for (int i = 0; i < p->n_refined; i++)
        if (kv_profile_refine(copy, p->refined[i].total, p->refined[i].share, &ignored)) {
            kv_profile_free(copy);
            return NULL;
        }
    for (int i = 0; i < p->n_prompt; i++) {
        int at = kv_profile_add(copy, &p->prompt[i]);
        if (at < 0) {
            kv_profile_free(copy);
            return NULL;
        }
        memcpy(copy->prompt[at].kl, p->prompt[i].kl, cells(p) * sizeof(double));
    }
    return copy;
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

/* The i-th prompt is the first of its kind. */
static bool opens_kind(const struct kv_profile *p, int i)
{
    for (int k = 0; k < i; k++)
        if (!strcmp(p->prompt[k].kind, p->prompt[i].kind)) return false;
    return true;
}

int kv_profile_kind(const struct kv_profile *p, const char *name)
{
    int n = 0;
    for (int i = 0; i < p->n_prompt; i++) {
        if (!opens_kind(p, i)) continue;
        if (name && !strcmp(p->prompt[i].kind, name)) return n;
        n++;
    }
    return name ? -1 : n;
}

const char *kv_profile_kind_name(const struct kv_profile *p, int kind)
{
    for (int i = 0; i < p->n_prompt; i++)
        if (opens_kind(p, i) && !kind--) return p->prompt[i].kind;
    return NULL;
}

enum kv_status kv_profile_mean(
    const struct kv_profile *p, int kind, int selector, int layer, double *kl, struct kv_error *err)
{
    const char *name = kv_profile_kind_name(p, kind);
    int count = 0;
    memset(kl, 0, (size_t)p->n_share * sizeof *kl);
    for (int i = 0; name && i < p->n_prompt; i++) {
        if (strcmp(p->prompt[i].kind, name) || !kv_profile_measured(p, i)) continue;
        const double *from = kv_profile_curve(p, i, selector, layer);
        for (int b = 0; b < p->n_share; b++) kl[b] += from[b];
        count++;
    }
    if (!count)
        return kv_fail(err, KV_NOT_FOUND,
            "The profile has no measured prompt of the kind %.40s: finish its \"sensitivity\".",
            name ? name : "asked for");
    for (int b = 0; b < p->n_share; b++) kl[b] /= count;
    curves_settle(kl, p->n_share);
    return KV_OK;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

static int selector_index(const struct kv_profile *p, const char *name)
{
    for (int i = 0; i < p->n_selector; i++)
        if (!strcmp(p->selector[i], name)) return i;
    return -1;
}

static int prompt_index(const struct kv_profile *p, const char *sha)
{
    for (int i = 0; i < p->n_prompt; i++)
        if (!strcmp(p->prompt[i].sha, sha)) return i;
    return -1;
}

static enum kv_status check_merge(const struct kv_profile *a, const struct kv_profile *b, struct kv_error *err)
{
    if (strcmp(a->model_sha, b->model_sha) || a->n_layer != b->n_layer)
        return kv_fail(err, KV_BAD_ARG, "One profile is of the model %.60s (%.12s), the other of %.60s (%.12s).",
            a->model, a->model_sha, b->model, b->model_sha);
    bool same = a->n_share == b->n_share && a->reply == b->reply && a->n_policy == b->n_policy;
    for (int i = 0; i < a->n_share && same; i++) same = a->share[i] == b->share[i];
    if (!same)
        return kv_fail(
            err, KV_BAD_ARG, "The profiles were measured at other shares, or over replies of other lengths.");
    for (int i = 0; i < a->n_policy; i++)
        if (strcmp(a->policy[i][0], b->policy[i][0]) || strcmp(a->policy[i][1], b->policy[i][1]))
            return kv_fail(err, KV_BAD_ARG, "One profile was measured with %s %s, the other with %s %s.",
                a->policy[i][0], a->policy[i][1], b->policy[i][0], b->policy[i][1]);
    return KV_OK;
}

/* Prompt i of `from` into `to`; where it is there already, the mean of both. */
static enum kv_status take_prompt(struct kv_profile *to, const struct kv_profile *from, int i, struct kv_error *err)
{
    int at = prompt_index(to, from->prompt[i].sha);
    bool there = at >= 0;
    if (!there) at = kv_profile_add(to, &from->prompt[i]);
    if (at < 0) return kv_fail(err, KV_NO_MEMORY, "No memory for a profile of %d prompts.", to->n_prompt);
    for (int s = 0; s < to->n_selector; s++) {
        int source = selector_index(from, to->selector[s]);
        for (int l = 0; l < to->n_layer; l++) {
            const double *x = kv_profile_curve(from, i, source, l);
            double *y = kv_profile_curve(to, at, s, l);
            for (int b = 0; b < to->n_share; b++)
                y[b] = there && !isnan(y[b]) ? isnan(x[b]) ? y[b] : (x[b] + y[b]) / 2 : x[b];
        }
    }
    return KV_OK;
}

enum kv_status kv_profile_merge(
    const struct kv_profile *a, const struct kv_profile *b, struct kv_profile **out, struct kv_error *err)
{
    *out = NULL;
    enum kv_status status = check_merge(a, b, err);
    struct kv_profile *c = status ? NULL : kv_alloc(1, sizeof *c);
    if (!status && !c) status = kv_fail(err, KV_NO_MEMORY, "No memory for a profile.");
    if (status) return status;
    *c = *a;
    c->prompt = NULL;
    c->refined = NULL;
    c->n_prompt = c->n_selector = c->n_refined = 0;
    for (int s = 0; s < a->n_selector; s++)
        if (selector_index(b, a->selector[s]) >= 0)
            memcpy(c->selector[c->n_selector++], a->selector[s], KV_PROFILE_WORD);
    if (!c->n_selector) status = kv_fail(err, KV_BAD_ARG, "The profiles have no selector in common.");
    for (int i = 0; i < a->n_prompt && !status; i++) status = take_prompt(c, a, i, err);
    for (int i = 0; i < b->n_prompt && !status; i++) status = take_prompt(c, b, i, err);
    if (status)
        kv_profile_free(c);
    else
        *out = c;
    return status;
}

const char *kv_profile_choice(const struct kv_profile *p) { return *p->choice ? p->choice : p->selector[0]; }

bool kv_profile_by_layer(const struct kv_profile *p) { return !strcmp(p->choice, KV_PROFILE_BY_LAYER); }

/* --- budgets ------------------------------------------------------------------------------------------------------ */

enum kv_status kv_profile_fits(const struct kv_profile *p, const struct kv_model *model, struct kv_error *err)
{
    const struct kv_shape *s = &model->shape;
    if (p->n_layer == s->n_layer && !strcmp(p->arch, s->arch) && !strcmp(p->model, s->name)) return KV_OK;
    return kv_fail(err, KV_BAD_ARG,
        "The profile was measured on another model: %.60s (%.20s, %d layers), and this is %.60s (%.20s, %d "
        "layers).",
        p->model, p->arch, p->n_layer, s->name, s->arch, s->n_layer);
}

/* In place of what was spent; the curves say what they would do. */
static void take_refined(const struct kv_profile_refined *r, const struct curves *kind, int n_kind, bool by_layer,
    const struct kv_profile_plan *plan)
{
    int n = kind->n_layer;
    for (int l = 0; l < n; l++) plan->share[l] = fmin(1, fmax(plan->least, r->share[l] * plan->total / r->total));
    for (int k = 0; k < n_kind && plan->damage && (!by_layer || plan->selector); k++) {
        plan->damage[k] = 0;
        for (int l = 0; l < n; l++)
            plan->damage[k] += curves_at(&kind[k], by_layer ? plan->selector[l] : 0, l, plan->share[l]);
    }
}

enum kv_status kv_profile_spend(const struct kv_profile *p, struct kv_profile_plan *plan, struct kv_error *err)
{
    int kinds = kv_profile_kind(p, NULL), one = selector_index(p, plan->with ? plan->with : kv_profile_choice(p));
    if (one < 0) one = selector_index(p, kv_profile_choice(p));
    bool all = !plan->with && kv_profile_by_layer(p);
    int first = one < 0 ? 0 : one, n = all ? p->n_selector : 1;
    size_t layers = (size_t)p->n_layer, shares = (size_t)p->n_share, block = (size_t)n * layers * shares;
    double *kl = kv_alloc(kv_max(1, (size_t)kinds * block), sizeof *kl);
    struct curves *kind = kv_alloc(kv_max(1, (size_t)kinds), sizeof *kind);
    enum kv_status status =
        kl && kind ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the curves of %d kinds.", kinds);
    for (int k = 0; k < kinds && !status; k++) {
        kind[k] = (struct curves){ p->n_layer, p->n_share, n, p->share, kl + (size_t)k * block };
        for (int s = 0; s < n; s++)
            for (int l = 0; l < p->n_layer && !status; l++)
                status = kv_profile_mean(
                    p, k, first + s, l, kl + (size_t)k * block + ((size_t)s * layers + (size_t)l) * shares, err);
    }
    struct curves_plan spend = { plan->total * p->n_layer, fmin(plan->least, plan->total), 1, plan->share,
        plan->selector, plan->damage, plan->uniform };
    if (!status) status = curves_spend(kind, kinds, &spend, err);
    const struct kv_profile_refined *refined = plan->with ? NULL : refined_for(p, plan->total);
    if (!status && refined) take_refined(refined, kind, kinds, all, plan);
    for (size_t l = 0; l < layers && plan->selector && !status; l++) plan->selector[l] += first;
    free(kl);
    free(kind);
    return status;
}
