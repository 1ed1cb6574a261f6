/* One layer at a time, one prompt after the other, saved after each. */
#include "inspector/lab/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/tune.h"
#include "inspector/picture/hash.h"
#include "inspector/lab/board.h"
#include "inspector/lab/judged.h"
#include "inspector/lab/options.h"
#include "inspector/lab/stopped.h"
#include "inspector/progress.h"
#include "inspector/picture/recipe.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/set.h"
#include "inspector/picture/target.h"

#define TOP_LAYERS 6

static const double grid[] = { .04, .08, .15, .25, .4, .6, .8 };

struct measuring {
    struct session *s;
    const struct lab_words *w;
    const char *path;
    struct kv_profile *profile;
    struct tasks tasks;
    double began_us, spent_us; /* spent: of measuring layers alone */
    int curves, curves_done;   /* of this call */
};

/* --- the profile to be -------------------------------------------------------------------------------------------- */

/* What this command line and session would measure, without prompts. */
static enum kv_status describe(struct measuring *m, struct kv_profile *p)
{
    struct session *s = m->s;
    char name[KV_PROFILE_WORD];
    const char *list = m->w->list ? m->w->list : "sum";
    enum kv_status st = recipe_model_hash(s);
    *p = (struct kv_profile){ .n_layer = s->facts.n_layer, .reply = m->w->tokens ? m->w->tokens : 64 };
    snprintf(p->program, sizeof p->program, "kvdbg %s", KVDBG_VERSION);
    snprintf(p->model, sizeof p->model, "%s", s->facts.name);
    snprintf(p->arch, sizeof p->arch, "%s", s->facts.arch);
    snprintf(p->model_sha, sizeof p->model_sha, "%s", s->model_sha);
    for (const char *setting; (setting = judged_setting(p->n_policy)) && !st; p->n_policy++) {
        snprintf(p->policy[p->n_policy][0], KV_PROFILE_WORD, "%s", setting);
        st = kv_get(s->engine, setting, p->policy[p->n_policy][1], KV_PROFILE_WORD, &s->err);
    }
    p->n_share = m->w->n_share ? m->w->n_share : (int)KV_COUNT(grid);
    memcpy(p->share, m->w->n_share ? m->w->share : grid, (size_t)p->n_share * sizeof *grid);
    for (int i = 0; !st && lab_name(list, i, name); i++) {
        if (i == KV_PROFILE_SELECTORS || !*name || strlen(name) + 1 == sizeof name)
            return kv_fail(&s->err, KV_BAD_ARG, "-selectors takes up to %d names between commas, not \"%.60s\".",
                KV_PROFILE_SELECTORS, list);
        for (int k = 0; k < i; k++)
            if (!strcmp(p->selector[k], name))
                return kv_fail(&s->err, KV_BAD_ARG, "The selector %.40s is given twice.", name);
        strcpy(p->selector[p->n_selector++], name);
    }
    return st;
}

/* Whether what the file has was measured as this command would measure. */
static enum kv_status same_way(struct measuring *m, const struct kv_profile *there, const struct kv_profile *want)
{
    bool same = !strcmp(there->model_sha, want->model_sha) && there->n_layer == want->n_layer &&
                there->reply == want->reply && there->n_share == want->n_share &&
                there->n_selector == want->n_selector && there->n_policy == want->n_policy;
    for (int i = 0; same && i < want->n_share; i++) same = fabs(there->share[i] - want->share[i]) < 1e-9;
    for (int i = 0; same && i < want->n_selector; i++) same = !strcmp(there->selector[i], want->selector[i]);
    for (int i = 0; same && i < want->n_policy; i++)
        same = !strcmp(there->policy[i][0], want->policy[i][0]) && !strcmp(there->policy[i][1], want->policy[i][1]);
    if (same) return KV_OK;
    return kv_fail(&m->s->err, KV_BAD_ARG,
        "%.300s holds curves of another model, grid, reply length, selectors or policy: name another file.",
        m->path);
}

/* What a prompt's curves depend on: its texts, and how they are put to the model. */
static enum kv_status prompt_hash(struct measuring *m, const struct task *task, char sha[65])
{
    char text[160];
    snprintf(text, sizeof text, "%s chat %d apart %d", task->sha, m->s->options->chat, m->w->how.apart);
    return hash_bytes(text, strlen(text), sha, &m->s->err);
}

static int find_prompt(const struct kv_profile *p, const char *sha)
{
    for (int i = 0; i < p->n_prompt; i++)
        if (!strcmp(p->prompt[i].sha, sha)) return i;
    return -1;
}

static enum kv_status add_prompts(struct measuring *m)
{
    struct kv_profile *p = m->profile;
    enum kv_status st = KV_OK;
    for (size_t i = 0; i < m->tasks.count && !st; i++) {
        struct kv_profile_prompt x = { .tokens = 1 };
        st = prompt_hash(m, &m->tasks.task[i], x.sha);
        if (st || find_prompt(p, x.sha) >= 0) continue;
        kv_profile_unrefine(p);
        snprintf(x.kind, sizeof x.kind, "%s", m->tasks.task[i].kind);
        snprintf(x.name, sizeof x.name, "%s", m->tasks.task[i].id);
        if (kv_profile_add(p, &x) < 0)
            st = kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for a profile of %d prompts.", p->n_prompt);
    }
    return st;
}

/* The file as it is, or a new one. */
static enum kv_status open_profile(struct measuring *m)
{
    struct kv_profile *want = kv_alloc(1, sizeof *want);
    if (!want) return kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for a profile.");
    enum kv_status st = describe(m, want);
    if (!st && !access(m->path, F_OK)) {
        st = kv_profile_read(m->path, &m->profile, &m->s->err);
        if (!st) st = same_way(m, m->profile, want);
        kv_profile_free(want);
    } else
        m->profile = want;
    return st ? st : add_prompts(m);
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static bool has_curve(const struct kv_profile *p, int prompt, int selector, int layer)
{
    const double *kl = kv_profile_curve(p, prompt, selector, layer);
    for (int b = 0; b < p->n_share; b++)
        if (isnan(kl[b])) return false;
    return true;
}

static int curves_left(const struct kv_profile *p, int prompt)
{
    int left = 0;
    for (int c = 0; c < p->n_selector * p->n_layer; c++)
        left += !has_curve(p, prompt, c / p->n_layer, c % p->n_layer);
    return left;
}

/* On the board, and in words. */
static void announce(const struct measuring *m, int prompt, int selector, int layer)
{
    const struct kv_profile *p = m->profile;
    char text[96];
    int n = snprintf(text, sizeof text, "%.24s %.12s, layer %d of %d", p->prompt[prompt].name,
        p->selector[selector], layer, p->n_layer);
    if (m->curves_done > 3)
        snprintf(text + n, sizeof text - (size_t)n, ", %.0f s left",
            (kv_now_us() - m->began_us) / m->curves_done * (m->curves - m->curves_done) / 1e6);
    progress_title("", false);
    progress_show(m->s, text, m->curves_done, m->curves);
    board_put(p, m->path, prompt, selector, layer);
}

/* All curves of one prompt that are not there yet. */
static enum kv_status measure_prompt(struct measuring *m, const struct task *task, int prompt)
{
    struct kv_profile *p = m->profile;
    struct judged j;
    progress_title(p->prompt[prompt].name, false);
    enum kv_status st = judged_open(m->s, task, &m->w->how, p->reply, &j);
    if (!st) st = judged_settings(m->s, j.engine);
    if (!st) kv_on_progress(j.engine, NULL, NULL); /* curves are counted instead */
    if (!st && j.n_reply < 2)
        st = kv_fail(&m->s->err, KV_BAD_ARG, "The model's reply to %.60s has %d tokens: nothing to judge.",
            task->id, j.n_reply);
    if (!st) {
        p->prompt[prompt].tokens = j.tokens;
        p->prompt[prompt].asked = j.asked;
        p->prompt[prompt].reply = j.n_reply;
        kv_describe(j.engine, p->engine, sizeof p->engine);
    }
    for (int c = 0; c < p->n_selector * p->n_layer && !st; c++) {
        int selector = c / p->n_layer, layer = c % p->n_layer;
        if (has_curve(p, prompt, selector, layer)) continue;
        const struct kv_sensitivity what = { layer, p->selector[selector], p->share, p->n_share, j.reply,
            j.n_reply };
        announce(m, prompt, selector, layer);
        double began = kv_now_us();
        double *kl = kv_profile_curve(p, prompt, selector, layer);
        st = kv_sensitivity(j.engine, &what, kl, &m->s->err);
        for (int b = 0; b < p->n_share && !st; b++) kl[b] = kv_profile_rounded(kl[b]);
        m->spent_us += kv_now_us() - began;
        m->curves_done += !st;
        st = lab_heard(m->s, st);
    }
    judged_close(&j);
    return st;
}

/* Every prompt of the command line; the file is written after each, and when something ends it early. */
static enum kv_status measure(struct measuring *m)
{
    char sha[65];
    enum kv_status st = KV_OK;
    m->began_us = kv_now_us();
    for (size_t i = 0; i < m->tasks.count && !st; i++)
        if (!(st = prompt_hash(m, &m->tasks.task[i], sha)))
            m->curves += curves_left(m->profile, find_prompt(m->profile, sha));
    for (size_t i = 0; i < m->tasks.count && !st; i++) {
        st = prompt_hash(m, &m->tasks.task[i], sha);
        int prompt = st ? -1 : find_prompt(m->profile, sha), before = m->curves_done;
        if (st || !curves_left(m->profile, prompt)) continue;
        st = measure_prompt(m, &m->tasks.task[i], prompt);
        struct kv_error saved = m->s->err;
        if (m->curves_done > before && kv_profile_write(m->profile, m->path, &m->s->err)) return m->s->err.code;
        m->s->err = saved;
    }
    progress_title("", false);
    progress_clear();
    board_put(m->profile, m->path, -1, 0, 0);
    return st;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

struct worst {
    int layer;
    double kl;
};

static int by_kl_down(const void *a, const void *b)
{
    const struct worst *x = a, *y = b;
    return x->kl != y->kl ? (x->kl < y->kl ? 1 : -1) : x->layer - y->layer;
}

/* "At a share of 25 %, layers 18: 0.0992, 23: 0.0301, ...; the other 24 together 0.045 nats a token." */
static void tell_top(struct session *s, const struct kv_profile *p, struct worst *worst, double share)
{
    double rest = 0;
    int top = p->n_layer < TOP_LAYERS ? p->n_layer : TOP_LAYERS;
    qsort(worst, (size_t)p->n_layer, sizeof *worst, by_kl_down);
    fprintf(s->out, "One layer alone at %g %%:", 100 * share);
    for (int i = 0; i < top; i++) fprintf(s->out, "%s L%d %.3g", i ? "," : "", worst[i].layer, worst[i].kl);
    for (int i = top; i < p->n_layer; i++) rest += worst[i].kl;
    if (p->n_layer > top) fprintf(s->out, "; the other %d together %.3g", p->n_layer - top, rest);
    fprintf(s->out, " nats a token.\n");
}

enum kv_status sensitivity_table(struct session *s, const struct kv_profile *p, int kind, int selector)
{
    double kl[KV_PROFILE_SHARES];
    int near = 0;
    struct worst *worst = kv_alloc((size_t)p->n_layer, sizeof *worst);
    enum kv_status st = worst ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for %d layers.", p->n_layer);
    for (int b = 0; b < p->n_share; b++)
        if (fabs(p->share[b] - 0.25) < fabs(p->share[near] - 0.25)) near = b;
    if (!st)
        fprintf(s->out, "%s, selector %s: KL(full || one layer compressed), nats a token, by kept share (%s)\n",
            kv_profile_kind_name(p, kind), p->selector[selector], session_mode(s));
    if (!st) fprintf(s->out, "%6s", "layer");
    for (int b = 0; b < p->n_share && !st; b++) fprintf(s->out, " %7.3g%%", 100 * p->share[b]);
    if (!st) fputc('\n', s->out);
    for (int l = 0; l < p->n_layer && !st; l++) {
        st = kv_profile_mean(p, kind, selector, l, kl, &s->err);
        if (st) break;
        rows_new(s);
        rows_text(s, "kind", kv_profile_kind_name(p, kind));
        rows_text(s, "selector", p->selector[selector]);
        rows_number(s, "layer", l);
        fprintf(s->out, "%6d", l);
        for (int b = 0; b < p->n_share; b++) {
            char column[24];
            snprintf(column, sizeof column, "%g", p->share[b]);
            rows_number(s, column, kl[b]);
            fprintf(s->out, " %8.2g", kl[b]);
        }
        fputc('\n', s->out);
        worst[l] = (struct worst){ l, kl[near] };
    }
    if (!st) tell_top(s, p, worst, p->share[near]);
    free(worst);
    return st;
}

static enum kv_status tell(const struct measuring *m)
{
    struct session *s = m->s;
    const struct kv_profile *p = m->profile;
    enum kv_status st = KV_OK;
    int kinds = kv_profile_kind(p, NULL);
    for (int k = 0; k < kinds && !st; k++)
        for (int c = 0; c < p->n_selector && !st; c++) st = sensitivity_table(s, p, k, c);
    if (!st)
        fprintf(s->out, "%s: curves of %d prompt%s%s\n", m->path, p->n_prompt, p->n_prompt == 1 ? "" : "s",
            session_mark(s));
    return st;
}

struct reaction cmd_sensitivity(struct session *s, const char *args)
{
    struct lab_words w;
    struct target t;
    if (lab_words(args, "-shares -tokens -selectors -rows -question -apart -o", &w, &s->err)) return failed(s);
    if (!w.n_file || !w.out)
        return refuse(s, KV_BAD_ARG, "Arguments required (PROMPTS.jsonl or FILE..., and -o PROFILE).");
    struct measuring m = { .s = s, .w = &w, .path = t.path };
    enum kv_status st = lab_tasks(&w, &m.tasks, &s->err);
    if (!st) st = target_open(s, w.out, true, &t);
    if (!st) st = open_profile(&m);
    if (!st) st = measure(&m);
    if (!st) st = target_close(s, &t);
    if (!st) st = tell(&m);
    if (m.curves_done)
        st = lab_stopped(s, st, ": %d of %d curves are in %s, and the same command goes on from there",
            m.curves_done, m.curves, t.path);
    else
        st = lab_stopped(s, st, " before the first of %d curves", m.curves);
    tasks_free(&m.tasks);
    kv_profile_free(m.profile);
    return st ? failed(s) : DONE;
}
