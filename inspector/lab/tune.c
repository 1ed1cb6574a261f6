/* From curves to budgets: for a total, or the smallest total that meets a bound, and what a run over them gives. */
#include "inspector/lab/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/profile.h"
#include "engine/rouge.h"
#include "engine/tune.h"
#include "inspector/lab/judged.h"
#include "inspector/lab/options.h"
#include "inspector/lab/refine.h"
#include "inspector/lab/stopped.h"
#include "inspector/progress.h"
#include "inspector/json/rows.h"
#include "inspector/picture/target.h"

#define HALVINGS 7 /* of the range of totals */

/* Behind them, tuned with the further selectors of -with. */
enum rival { TUNED, UNIFORM, INVERSE, SEED, MORE, RIVALS = MORE + KV_PROFILE_SELECTORS };
static const char *const rival_name[MORE] = { "tuned", "uniform", "inverse", "seed" };

/* Means over one kind's prompts, by total. */
struct kind {
    char name[KV_PROFILE_WORD];
    int measured;                                                                 /* prompts behind the means */
    double kl[LAB_LIST][RIVALS], top1[LAB_LIST][RIVALS], rouge[LAB_LIST][RIVALS]; /* rouge: 0 unless bounded */
    double reference;                                                             /* KL of equal budgets */
};

struct tuning {
    struct session *s;
    struct lab_words *w;
    struct kv_profile *profile;
    const char *path; /* of the profile that is measured: the one given, or `work` */
    struct tasks tasks;
    struct judged *judged; /* [tasks.count] */
    struct kind *kind;     /* [n_kind] of the prompts given */
    int n_kind;
    double ratio[LAB_LIST]; /* [n_ratio] totals in hand */
    int n_ratio;
    double low, high;             /* totals between which the smallest lies that meets a bound */
    bool hold;                    /* prompts are measured more than once: their engines stay open */
    char work[TARGET_BYTES + 32]; /* the profile while a choice is made, gone afterwards; "" = none */
};

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static struct kind *kind_of(struct tuning *t, const char *name)
{
    for (int k = 0; k < t->n_kind; k++)
        if (!strcmp(t->kind[k].name, name)) return &t->kind[k];
    struct kind *kind = &t->kind[t->n_kind++];
    snprintf(kind->name, sizeof kind->name, "%s", name);
    return kind;
}

static enum kv_status read_prompts(struct tuning *t)
{
    struct session *s = t->s;
    enum kv_status st = lab_tasks(t->w, &t->tasks, &s->err);
    t->judged = st ? NULL : kv_alloc(t->tasks.count + 1, sizeof *t->judged);
    t->kind = st ? NULL : kv_alloc(t->tasks.count + 1, sizeof *t->kind);
    if (!st && (!t->judged || !t->kind))
        st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu prompts.", t->tasks.count);
    for (size_t i = 0; i < t->tasks.count && !st; i++) kind_of(t, t->tasks.task[i].kind);
    return st;
}

/* Prefill and reply of a prompt, where they are not there yet. */
static enum kv_status open_prompt(struct tuning *t, size_t i)
{
    char title[96];
    struct judged *j = &t->judged[i];
    if (j->engine) {
        session_interrupts(j->engine);
        return KV_OK;
    }
    snprintf(title, sizeof title, "prompt %zu of %zu", i + 1, t->tasks.count);
    progress_title(title, false);
    enum kv_status st =
        judged_open(t->s, &t->tasks.task[i], &t->w->how, t->w->tokens ? t->w->tokens : t->profile->reply, j);
    if (!st && j->n_reply < 2)
        st = kv_fail(&t->s->err, KV_BAD_ARG, "The model's reply to %.60s has %d tokens: nothing to judge.",
            t->tasks.task[i].id, j->n_reply);
    return st;
}

/* Preset of a rival, and the selector that it is told to take; "" = its own. */
static const char *rival_of(const struct tuning *t, int rival, char with[KV_PROFILE_WORD])
{
    const struct kv_profile *p = t->profile;
    const char *own = kv_profile_by_layer(p) ? p->selector[0] : kv_profile_choice(p); /* of the others */
    if (!lab_name(t->w->with, rival < MORE ? 0 : rival - MORE + 1, with))
        snprintf(with, KV_PROFILE_WORD, "%s", rival == TUNED ? "" : own);
    return rival_name[rival < MORE ? rival : TUNED];
}

/* How many there are to be shown. */
static int rivals(const struct tuning *t)
{
    char with[KV_PROFILE_WORD];
    int n = MORE;
    while (n < RIVALS && lab_name(t->w->with, n - MORE + 1, with)) n++;
    return n;
}

/* The policy of a rival at a total is in force. */
static enum kv_status put_rival(struct tuning *t, struct kv_engine *e, int rival, double total)
{
    struct session *s = t->s;
    char ratio[32], with[KV_PROFILE_WORD];
    const char *names[] = { "policy.preset", "policy.ratio", "policy.profile", "policy.selector" },
               *values[] = { rival_of(t, rival, with), ratio, t->path, with };
    snprintf(ratio, sizeof ratio, "%.10g", total);
    enum kv_status st = kv_set(e, names, values, *with ? 4 : 3, &s->err);
    return st ? st : judged_settings(s, e);
}

/* Its own reply beside the full cache's, of the first n rivals at all totals. */
static enum kv_status measure_rouge(struct tuning *t, struct judged *j, struct kind *kind, int n)
{
    enum kv_status st = KV_OK;
    for (int c = 0; c < t->n_ratio * n && !st; c++) {
        double f = 0;
        st = put_rival(t, j->engine, c % n, t->ratio[c / n]);
        if (!st) st = judged_rouge(j, &f);
        kind->rouge[c / n][c % n] += f;
    }
    return st;
}

/* The first n rivals at all totals, in one batch. */
static enum kv_status measure_prompt(struct tuning *t, size_t i, int n)
{
    struct session *s = t->s;
    struct kind *kind = kind_of(t, t->tasks.task[i].kind);
    struct kv_policy_copy *copy[LAB_LIST * RIVALS] = { NULL };
    struct kv_verdict verdict[LAB_LIST * RIVALS];
    int count = t->n_ratio * n;
    enum kv_status st = open_prompt(t, i);
    struct judged *j = &t->judged[i];
    for (int c = 0; c < count && !st; c++) {
        st = put_rival(t, j->engine, c % n, t->ratio[c / n]);
        if (!st && !(copy[c] = kv_policy_take(j->engine)))
            st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a policy.");
    }
    if (!st)
        st = kv_score_policies(j->engine, j->reply, j->n_reply, count, (const struct kv_policy_copy *const *)copy,
            verdict, NULL, &s->err);
    for (int c = 0; c < count; c++) {
        if (!st) kind->kl[c / n][c % n] += verdict[c].kl_mean;
        if (!st) kind->top1[c / n][c % n] += verdict[c].top1;
        kv_policy_free(copy[c]);
    }
    if (!st && !isnan(t->w->rouge)) st = measure_rouge(t, j, kind, n);
    if (!t->hold) judged_close(j);
    kind->measured += !st;
    return lab_heard(s, st);
}

/* Sums to means. */
static void divide(struct tuning *t, int n)
{
    for (int k = 0; k < t->n_kind; k++)
        for (int c = 0; c < t->n_ratio * n && t->kind[k].measured; c++) {
            t->kind[k].kl[c / n][c % n] /= t->kind[k].measured;
            t->kind[k].top1[c / n][c % n] /= t->kind[k].measured;
            t->kind[k].rouge[c / n][c % n] /= t->kind[k].measured;
        }
}

/* Every prompt, into the kinds; KV_STOPPED leaves the means of those before. */
static enum kv_status measure(struct tuning *t, int n)
{
    enum kv_status st = KV_OK;
    for (int k = 0; k < t->n_kind; k++) {
        memset(t->kind[k].kl, 0, sizeof t->kind[k].kl);
        memset(t->kind[k].top1, 0, sizeof t->kind[k].top1);
        memset(t->kind[k].rouge, 0, sizeof t->kind[k].rouge);
        t->kind[k].measured = 0;
    }
    for (size_t i = 0; i < t->tasks.count && !st; i++) st = measure_prompt(t, i, n);
    progress_title("", false);
    progress_clear();
    divide(t, n);
    return st;
}

static int prompts_measured(const struct tuning *t)
{
    int n = 0;
    for (int k = 0; k < t->n_kind; k++) n += t->kind[k].measured;
    return n;
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static bool bounded(const struct lab_words *w) { return !isnan(w->kl) || !isnan(w->top1) || !isnan(w->rouge); }

static bool meets(const struct tuning *t)
{
    for (int k = 0; k < t->n_kind; k++) {
        if (!isnan(t->w->kl) && !(t->kind[k].kl[0][TUNED] <= t->w->kl)) return false;
        if (!isnan(t->w->top1) && !(t->kind[k].top1[0][TUNED] >= t->w->top1)) return false;
        if (!isnan(t->w->rouge) && !(t->kind[k].rouge[0][TUNED] >= t->w->rouge)) return false;
    }
    return true;
}

/* The smallest total, to 1/128, at which every kind of prompts meets the bounds. */
static enum kv_status bisect(struct tuning *t)
{
    t->low = 0;
    t->high = 1;
    for (int i = 0; i < HALVINGS; i++) {
        t->ratio[0] = (t->low + t->high) / 2;
        enum kv_status st = measure(t, 1);
        if (st)
            return lab_stopped(t->s, st, ": the smallest total that meets the bounds lies between %.4g and %.4g %%",
                100 * t->low, 100 * t->high);
        if (meets(t))
            t->high = t->ratio[0];
        else
            t->low = t->ratio[0];
    }
    t->ratio[0] = t->high;
    return KV_OK;
}

/* --- choices ------------------------------------------------------------------------------------------------------ */

/* Whether every name of -selectors is one. */
static enum kv_status check_choices(struct tuning *t)
{
    char name[KV_PROFILE_WORD], listed[KV_PROFILE_WORD + 4], legal[400] = "";
    const struct kv_setting *row;
    for (int i = 0; (row = kv_setting_at(i)); i++)
        if (!strcmp(row->name, "policy.selector")) snprintf(legal, sizeof legal, "%s,", row->legal);
    for (int i = 0; lab_name(t->w->list, i, name); i++) {
        snprintf(listed, sizeof listed, " %s,", name);
        if (!strcmp(name, KV_PROFILE_BY_LAYER) || (strstr(legal, listed) && strcmp(name, "tuned"))) continue;
        return kv_fail(
            &t->s->err, KV_BAD_ARG, "-selectors takes selectors and by-layer, and \"%.40s\" is neither.", name);
    }
    return KV_OK;
}

/* The worst kind's KL as a share of what equal budgets do to it, with the first selector of the list. */
static double worst(struct tuning *t, bool first)
{
    double most = 0;
    for (int k = 0; k < t->n_kind; k++) {
        struct kind *kind = &t->kind[k];
        if (first) kind->reference = fmax(kind->kl[0][UNIFORM], 1e-12);
        most = fmax(most, kind->kl[0][TUNED] / kind->reference);
    }
    return most;
}

static void tell_kinds(const struct tuning *t, const char *label)
{
    struct session *s = t->s;
    for (int k = 0; k < t->n_kind; k++)
        fprintf(s->out, "%-10s %-14s KL %.4g, top-1 %.1f %%\n", k ? "" : label, t->kind[k].name,
            t->kind[k].kl[0][TUNED], 100 * t->kind[k].top1[0][TUNED]);
}

/* Writes the profile with each choice of the list in turn, measures it, and keeps the best. */
static enum kv_status choose(struct tuning *t)
{
    char name[KV_PROFILE_WORD];
    char best[KV_PROFILE_WORD] = "";
    double least = INFINITY;
    enum kv_status st = KV_OK;
    kv_profile_unrefine(t->profile); /* they go with the choice that there was */
    for (int i = 0; !st && lab_name(t->w->list, i, name); i++) {
        snprintf(t->profile->choice, sizeof t->profile->choice, "%s", name);
        st = kv_profile_write(t->profile, t->path, &t->s->err);
        if (!st) st = measure(t, 2);
        if (st) break;
        tell_kinds(t, name);
        double ratio = worst(t, !i);
        if (ratio < least) least = ratio, memcpy(best, name, sizeof best);
    }
    memcpy(t->profile->choice, best, sizeof best);
    if (!st) st = kv_profile_write(t->profile, t->path, &t->s->err);
    return lab_stopped(t->s, st, " before a selector was chosen: no profile was written");
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static enum kv_status tell_budgets(struct tuning *t, double ratio)
{
    struct session *s = t->s;
    const struct kv_profile *p = t->profile;
    size_t n = (size_t)p->n_layer, kinds = (size_t)kv_profile_kind(p, NULL);
    double *share = kv_alloc(n + 2 * kinds + 1, sizeof *share);
    int *selector = kv_alloc(n, sizeof *selector);
    char with[KV_PROFILE_WORD];
    struct kv_profile_plan plan = { .total = ratio, .share = share, .selector = selector };
    if (lab_name(t->w->with, 0, with)) plan.with = with;
    if (share) plan.damage = share + n, plan.uniform = share + n + kinds;
    enum kv_status st = share && selector ? kv_profile_spend(p, &plan, &s->err)
                                          : kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu layers.", n);
    if (!st) fprintf(s->out, "%.4g %% of all tokens:", 100 * ratio);
    for (size_t l = 0; l < n && !st; l++) {
        rows_new(s);
        rows_number(s, "layer", (double)l);
        rows_number(s, "share", share[l]);
        rows_text(s, "selector", p->selector[selector[l]]);
        fprintf(s->out, "%s L%zu %.1f%%", l % 8 || !l ? "" : "\n  ", l, 100 * share[l]);
        if (kv_profile_by_layer(p)) fprintf(s->out, " %s", p->selector[selector[l]]);
    }
    if (!st) fputc('\n', s->out);
    for (size_t k = 0; k < kinds && !st; k++)
        fprintf(s->out, "%s: the curves add up to %.4g nats a token, with equal budgets to %.4g\n",
            kv_profile_kind_name(p, (int)k), plan.damage[k], plan.uniform[k]);
    free(share);
    free(selector);
    return st;
}

static void tell_run(struct tuning *t, int at)
{
    static const int order[MORE] = { SEED, INVERSE, UNIFORM, TUNED };
    struct session *s = t->s;
    int n = rivals(t), prompts = prompts_measured(t);
    bool rouge = !isnan(t->w->rouge);
    char with[KV_PROFILE_WORD], name[RIVALS][40];
    fprintf(s->out, "%.4g %%, measured over %d prompt%s (%s)\n%-14s %7s", 100 * t->ratio[at], prompts,
        prompts == 1 ? "" : "s", session_mode(s), "kind", "prompts");
    for (int i = 0; i < n; i++) {
        int r = i < MORE ? order[i] : i;
        const char *preset = rival_of(t, r, with);
        snprintf(name[r], sizeof name[r], r < MORE ? "%.10s" : "%.10s/%.12s", preset, with);
        fprintf(s->out, " %9.20s KL %6s%s", name[r], "top-1", rouge ? " ROUGE-L" : "");
    }
    fputc('\n', s->out);
    for (int k = 0; k < t->n_kind; k++) {
        const struct kind *kind = &t->kind[k];
        if (!kind->measured) continue;
        fprintf(s->out, "%-14s %7d", kind->name, kind->measured);
        for (int i = 0; i < n; i++) {
            int r = i < MORE ? order[i] : i;
            fprintf(s->out, " %12.4g %5.1f%%", kind->kl[at][r], 100 * kind->top1[at][r]);
            if (rouge) fprintf(s->out, " %7.4f", kind->rouge[at][r]);
            rows_new(s);
            rows_number(s, "ratio", t->ratio[at]);
            rows_text(s, "kind", kind->name);
            rows_number(s, "prompts", kind->measured);
            rows_text(s, "policy", name[r]);
            rows_number(s, "KL", kind->kl[at][r]);
            rows_number(s, "top1", kind->top1[at][r]);
            if (rouge) rows_number(s, "rougeL", kind->rouge[at][r]);
        }
        fputc('\n', s->out);
    }
    if (rouge)
        fprintf(s->out, "ROUGE-L: F of %s, of the reply over each cache against the full cache's.\n", ROUGE_FLAVOR);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static enum kv_status check(struct tuning *t)
{
    struct session *s = t->s;
    struct lab_words *w = t->w;
    bool bound = bounded(w);
    if (w->n_ratio && bound)
        return kv_fail(&s->err, KV_BAD_ARG,
            "tune takes totals by -ratio, or bounds -kl, -top1 and -rouge for which it finds one.");
    if (w->with && w->list)
        return kv_fail(&s->err, KV_BAD_ARG, "-selectors chooses, so there is no -with beside it.");
    if (w->n_ratio > 1 && w->list) return kv_fail(&s->err, KV_BAD_ARG, "Selectors are chosen for one -ratio.");
    if ((bound || w->list) && w->n_file < 2)
        return kv_fail(&s->err, KV_BAD_ARG, "Bounds and selectors are measured: name prompts behind the profile.");
    if ((w->list || w->refine) && !w->out)
        return kv_fail(&s->err, KV_BAD_ARG, "%s needs -o, for the profile that comes of it.",
            w->list ? "-selectors" : "-refine");
    if (w->refine && (bound || w->n_file < 2))
        return kv_fail(&s->err, KV_BAD_ARG, "-refine takes totals by -ratio, and prompts to measure with.");
    return check_choices(t);
}

static enum kv_status session_ratio(struct session *s, double *ratio)
{
    char text[40];
    enum kv_status st = kv_get(s->engine, "policy.ratio", text, sizeof text, &s->err);
    *ratio = st ? 0 : strtod(text, NULL);
    if (!st && !(*ratio > 0))
        st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (-ratio, for policy.ratio is unset).");
    return st;
}

/* The policy goes by a file, so that each choice is written to one, which nobody else sees. */
static enum kv_status open_work(struct tuning *t, const struct target *out)
{
    snprintf(t->work, sizeof t->work, "%s.kvdbg-%ld-tune", out->path, (long)getpid());
    t->path = t->work;
    return kv_profile_write(t->profile, t->path, &t->s->err);
}

/* The profile, and what is to be done with it. */
static enum kv_status prepare(struct tuning *t, struct target *out)
{
    struct session *s = t->s;
    struct lab_words *w = t->w;
    enum kv_status st = check(t);
    t->path = w->file[0];
    if (!st) st = profile_admit(s, t->path);
    if (!st) st = kv_profile_read(t->path, &t->profile, &s->err);
    t->n_ratio = w->n_ratio ? w->n_ratio : 1;
    memcpy(t->ratio, w->ratio, sizeof t->ratio);
    if (!st && !w->n_ratio) st = session_ratio(s, &t->ratio[0]);
    if (!st && w->out) st = target_open(s, w->out, w->force, out);
    if (!st && (w->list || w->refine)) st = open_work(t, out);
    w->n_file--;
    memmove(w->file, w->file + 1, (size_t)w->n_file * sizeof *w->file);
    return !st && w->n_file ? read_prompts(t) : st;
}

/* Forced tokens as a share of the shortest prompt. */
static double least_share(struct tuning *t)
{
    char sinks[32], recent[32];
    double least = 0;
    struct kv_error ignored;
    if (kv_get(t->s->engine, "policy.sinks", sinks, sizeof sinks, &ignored) ||
        kv_get(t->s->engine, "policy.recent", recent, sizeof recent, &ignored))
        return 0;
    for (size_t i = 0; i < t->tasks.count; i++)
        least = fmax(least, (strtod(sinks, NULL) + strtod(recent, NULL)) / t->judged[i].tokens);
    return fmin(least, 1);
}

/* Shares for one total, from those of the curves, into the profile. */
static enum kv_status refine_total(
    struct tuning *t, struct refining *r, int *selector, const char **name, double total)
{
    struct session *s = t->s;
    const struct kv_profile *p = t->profile;
    struct kv_profile_plan plan = { .total = total, .least = r->least, .share = r->share, .selector = selector };
    enum kv_status st = kv_profile_spend(p, &plan, &s->err);
    for (int l = 0; l < p->n_layer && !st; l++) name[l] = p->selector[selector[l]];
    if (!st) st = refine_shares(r);
    if (st == KV_STOPPED && r->after < 1 && !kv_profile_refine(t->profile, total, r->share, &s->err))
        return lab_stopped(s, st, ": at %.4g %% of all tokens KL came to %.3g of where it began, and %s has that",
            100 * total, r->after, t->w->out);
    st = lab_stopped(s, st, " before %.4g %% of all tokens were refined", 100 * total);
    if (st) return st;
    fprintf(s->out,
        "%.4g %% of all tokens, refined: KL is %.3g of where it began, the mean over kinds (%d kept sets)\n",
        100 * total, r->after, r->sets);
    rows_new(s);
    rows_number(s, "ratio", total);
    rows_number(s, "refined", r->after);
    rows_number(s, "sets", r->sets);
    return kv_profile_refine(t->profile, total, r->share, &s->err);
}

static enum kv_status refine(struct tuning *t)
{
    struct session *s = t->s;
    size_t n = (size_t)t->profile->n_layer;
    double *share = kv_alloc(n, sizeof *share);
    int *selector = kv_alloc(n, sizeof *selector), *kind = kv_alloc(t->tasks.count + 1, sizeof *kind);
    const char **name = kv_alloc(n, sizeof *name);
    enum kv_status st = share && selector && kind && name
                            ? KV_OK
                            : kv_fail(&s->err, KV_NO_MEMORY, "No memory to refine %zu layers.", n);
    for (size_t i = 0; i < t->tasks.count && !st; i++) {
        st = open_prompt(t, i);
        if (!st) st = judged_settings(s, t->judged[i].engine);
        if (!st) kv_on_progress(t->judged[i].engine, NULL, NULL);
        kind[i] = (int)(kind_of(t, t->tasks.task[i].kind) - t->kind);
    }
    for (int i = 0; i < t->n_ratio && !st; i++) {
        struct refining r = { s, t->judged, kind, (int)t->tasks.count, t->n_kind, t->profile->n_layer, t->w->refine,
            least_share(t), name, share, 0, 0, 0 };
        st = refine_total(t, &r, selector, name, t->ratio[i]);
    }
    free(share);
    free(selector);
    free(kind);
    free(name);
    return st ? st : kv_profile_write(t->profile, t->path, &s->err);
}

/* The budgets, and a run over them; of one that was interrupted, the prompts before. */
static enum kv_status conclude(struct tuning *t)
{
    struct session *s = t->s;
    enum kv_status st = t->tasks.count ? measure(t, rivals(t)) : KV_OK, bad = KV_OK;
    st = lab_stopped(s, st, ": %d of %zu prompts were measured", prompts_measured(t), t->tasks.count);
    if (st && (st != KV_STOPPED || !prompts_measured(t))) return st;
    struct kv_error why = s->err;
    for (int i = 0; i < t->n_ratio && !bad; i++) {
        bad = tell_budgets(t, t->ratio[i]);
        if (!bad && t->tasks.count) tell_run(t, i);
    }
    if (!bad) s->err = why;
    return bad ? bad : st;
}

static enum kv_status tune(struct tuning *t)
{
    struct session *s = t->s;
    struct target out = { 0 };
    bool bound = bounded(t->w);
    t->hold = bound || t->w->list || t->w->refine;
    enum kv_status st = prepare(t, &out);
    if (!st && t->w->list) st = choose(t);
    if (!st && bound) st = bisect(t);
    if (!st && t->w->refine) st = refine(t);
    if (!st) st = conclude(t);
    struct kv_error why = s->err;
    bool part = st == KV_STOPPED && t->profile && t->profile->n_refined && t->w->refine;
    if (!t->w->out || (st && !part)) return st;
    enum kv_status bad = kv_profile_write(t->profile, out.fresh, &s->err);
    if (!bad) bad = target_close(s, &out);
    if (!bad) s->err = why;
    return bad ? bad : st;
}

struct reaction cmd_tune(struct session *s, const char *args)
{
    struct lab_words w;
    if (lab_words(args, "-ratio -kl -top1 -rouge -refine -with -selectors -tokens -rows -question -apart -o -f", &w,
            &s->err))
        return failed(s);
    if (!w.n_file) return refuse(s, KV_BAD_ARG, "Argument required (a profile, which \"sensitivity\" makes).");
    struct tuning t = { .s = s, .w = &w };
    enum kv_status st = tune(&t);
    for (size_t i = 0; t.judged && i < t.tasks.count; i++) judged_close(&t.judged[i]);
    if (*t.work) unlink(t.work);
    tasks_free(&t.tasks);
    kv_profile_free(t.profile);
    free(t.judged);
    free(t.kind);
    return st ? failed(s) : DONE;
}
