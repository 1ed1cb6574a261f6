/* diff: two runs fed the same tokens, step by step. */
#include "inspector/policy/judge.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/lab/regret.h"
#include "inspector/lab/runs.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/tokens.h"
#include "render/utf8.h"

#define DIFF_ROWS    12 /* steps shown from the beginning, and around the first that differs */
#define LIST_COLUMNS 72

struct diff {
    int run[2]; /* KL(run[0] || run[1]) */
    int asked;  /* steps */
    bool layers, noise;
    char name[2][32];        /* "full cache", "this run", "run 3" */
    const int32_t *token[2]; /* [n] of each run at each step */
    const double *kl;        /* [n] */
    int n;                   /* steps */
    struct kv_verdict verdict;
    struct kv_comparison owned; /* what token and kl point into, unless the engine lends them */
};

/* --- showing ---------------------------------------------------------------------------------------------------------- */

static void wrapped(struct session *s, const char *title, const int32_t *ids, int n)
{
    char *text = kv_tokens_text(s->engine, ids, n);
    fprintf(s->out, "%s", title);
    int column = 0;
    for (const char *p = text; p && *p; p++) {
        if (*p == '\n' || (*p == ' ' && column > LIST_COLUMNS)) {
            fprintf(s->out, "\n           ");
            column = 0;
        } else {
            fputc(*p, s->out);
            column++;
        }
    }
    fputc('\n', s->out);
    free(text);
}

static void step_row(struct session *s, int t, int32_t full, int32_t other, double kl, bool counts)
{
    char a[40], b[40];
    tokens_quote(s, full, a, sizeof a);
    tokens_quote(s, other, b, sizeof b);
    int pad = 22 - (int)utf8_width(a);
    fprintf(s->out, "%5d  %s%*s %-22s ", t, a, pad > 0 ? pad : 0, "", b);
    if (counts)
        fprintf(s->out, "%9.2e%s\n", kl, full == other ? "" : "  <");
    else
        fprintf(s->out, "%9s  from the prefill: not counted\n", "");
}

/* All steps, where the console shows the beginning and the first that differs; the step that is not counted has no KL. */
static void diff_rows(struct session *s, const struct diff *d)
{
    const struct kv_verdict *v = &d->verdict;
    for (int t = 0; t < d->n; t++) {
        rows_new(s);
        rows_number(s, "step", t);
        rows_token(s, d->name[0], d->token[0][t]);
        rows_token(s, strcmp(d->name[0], d->name[1]) ? d->name[1] : "again", d->token[1][t]);
        rows_number(s, "KL", t < d->n - v->steps ? NAN : d->kl[t]);
    }
    rows_fact(s, "kl_mean", v->kl_mean);
    rows_fact(s, "kl_median", v->kl_median);
    rows_fact(s, "kl_p99", v->kl_p99);
    rows_fact(s, "kl_max", v->kl_max);
    rows_fact(s, "top1", v->top1);
    rows_fact(s, "first_divergent", v->first_divergent < 0 ? NAN : v->first_divergent);
    rows_unit(s, "KL", "nats");
}

static void show_steps(struct session *s, const struct diff *d)
{
    int skipped = d->n - d->verdict.steps > 0 ? d->n - d->verdict.steps : 0, from = d->verdict.first_divergent - 3;
    char leader[32] = "", fed[40];
    kv_get(s->engine, "judge.leader", leader, sizeof leader, &s->err);
    snprintf(fed, sizeof fed, "%s%s", d->run[0] == KV_RUN_FULL ? "the " : "", d->name[0]);
    fprintf(s->out, "%c%s against %s, both fed the tokens of %s (%s)\n", toupper((unsigned char)d->name[0][0]),
        d->name[0] + 1, d->name[1], strcmp(leader, "self") ? fed : d->name[1], session_mode(s));
    fprintf(s->out, "%5s  %-22s %-22s %9s\n", "step", d->name[0], d->name[1], "KL, nats");
    diff_rows(s, d);
    for (int t = 0; t < d->n; t++) {
        bool near = d->verdict.first_divergent >= 0 && t >= from && t < from + DIFF_ROWS;
        if (t >= DIFF_ROWS && !near) {
            if (t == DIFF_ROWS || (from > DIFF_ROWS && t == from + DIFF_ROWS)) fprintf(s->out, "  ...\n");
            continue;
        }
        step_row(s, t, d->token[0][t], d->token[1][t], d->kl[t], t >= skipped);
    }
}

static void show_verdict(struct session *s, const struct diff *d)
{
    const struct kv_verdict *v = &d->verdict;
    char title[2][40], a[40], b[40];
    for (int i = 0; i < 2; i++) {
        snprintf(title[i], sizeof title[i], "%s:", d->run[i] == KV_RUN_FULL ? "full" : d->name[i]);
        fprintf(s->out, "%-11s", title[i]);
        wrapped(s, "", d->token[i], d->n);
    }
    fprintf(s->out, "KL(%s || %s): mean %.4g, max %.4g nats a token over %d steps; top-1 agreement %.1f %%\n",
        d->run[0] == KV_RUN_FULL ? "full" : d->name[0], d->name[1], v->kl_mean, v->kl_max, v->steps, 100 * v->top1);
    int t = v->first_divergent;
    if (t < 0)
        fprintf(s->out, "No step chooses another token.%s\n", session_mark(s));
    else
        fprintf(s->out, "First divergent token: step %d, %s became %s.%s\n", t,
            tokens_quote(s, d->token[0][t], a, sizeof a), tokens_quote(s, d->token[1][t], b, sizeof b),
            session_mark(s));
}

/* --- beside it -------------------------------------------------------------------------------------------------------- */

/* What the full cache says about itself after a prefill in other segments: below that, a KL means nothing. */
static enum kv_status show_noise(struct session *s, const struct diff *d)
{
    struct kv_comparison c;
    if (d->noise) {
        enum kv_status st = kv_compare_noise(s->engine, d->asked, &c, &s->err);
        if (st) return st;
        s->noise_mean = c.verdict[1].kl_mean;
        s->noise_max = c.verdict[1].kl_max;
        kv_comparison_free(&c);
    }
    if (isnan(s->noise_mean)) return KV_OK;
    rows_fact(s, "noise_mean", s->noise_mean);
    rows_fact(s, "noise_max", s->noise_max);
    fprintf(s->out, "Noise floor, full against full prefilled in other segments: mean %.4g, max %.4g\n",
        s->noise_mean, s->noise_max);
    return KV_OK;
}

/* Share of the full cache's attention to the prompt that a run's layers keep; NULL = failed. */
static double *retained(struct session *s, int run)
{
    int back = kv_run_selected(s->engine);
    double *share = NULL;
    if (run == KV_RUN_FULL) {
        share = kv_alloc((size_t)s->facts.n_layer, sizeof *share);
        for (int l = 0; share && l < s->facts.n_layer; l++) share[l] = 1;
        if (!share) kv_fail(&s->err, KV_NO_MEMORY, "No memory for %d layers.", s->facts.n_layer);
        return share;
    }
    if (kv_run_select(s->engine, run, &s->err)) return NULL;
    share = regret_retained(s, s->engine);
    if (kv_run_select(s->engine, back, &s->err)) {
        free(share);
        return NULL;
    }
    return share;
}

static enum kv_status show_layers(struct session *s, const struct diff *d)
{
    int used;
    double sum[2] = { 0 };
    enum kv_status st = regret_read(s, d->asked, &used);
    double *a = st ? NULL : retained(s, d->run[0]), *b = a ? retained(s, d->run[1]) : NULL;
    if (b) {
        fprintf(s->out, "Attention to the prompt that each keeps of what the full cache's reply gives it, %%\n");
        fprintf(s->out, "%5s %11s %11s\n", "layer", d->name[0], d->name[1]);
    }
    for (int l = 0; b && l < s->facts.n_layer; l++) {
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, d->name[0], a[l]);
        rows_number(s, d->name[1], b[l]);
        fprintf(s->out, "%5d %11.2f %11.2f\n", l, 100 * a[l], 100 * b[l]);
        sum[0] += a[l], sum[1] += b[l];
    }
    if (b)
        fprintf(s->out, "%5s %11.2f %11.2f\n", "mean", 100 * sum[0] / s->facts.n_layer,
            100 * sum[1] / s->facts.n_layer);
    free(a);
    st = b ? KV_OK : s->err.code;
    free(b);
    return st;
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

static enum kv_status read_args(struct session *s, const char *args, struct diff *d)
{
    struct line_words w;
    int runs = 0, run[2];
    bool counted = false;
    enum kv_status st = line_split(args, &w, &s->err);
    d->asked = regret_steps(s);
    for (int i = 0; i < w.count && !st; i++) {
        const char *word = w.word[i], *next = i + 1 < w.count ? w.word[i + 1] : NULL;
        bool full = !strcmp(word, "full"), named = next && !strcmp(word, "run");
        bool steps = next && (!strcmp(word, "steps") || !strcmp(word, "-n"));
        long long n;
        if ((full || named) && runs < 2) {
            st = runs_read(s, full ? word : next, &run[runs++]);
            i += named;
        } else if (!strcmp(word, "-layers"))
            d->layers = true;
        else if (!strcmp(word, "-noise"))
            d->noise = true;
        else if (!counted && (steps || (*word >= '0' && *word <= '9'))) {
            st = line_integer(steps ? next : word, 1, 1 << 20, "a number of steps", &n, &s->err);
            d->asked = (int)n;
            counted = true;
            i += steps;
        } else
            st = kv_fail(&s->err, KV_BAD_ARG,
                "diff takes \"run N\" or \"full\" twice at most, \"steps N\", -layers and -noise, not %.40s.",
                word);
    }
    d->run[0] = runs == 2 ? run[0] : KV_RUN_FULL;
    d->run[1] = runs ? run[runs - 1] : kv_run_selected(s->engine);
    return st;
}

static void name_runs(struct session *s, struct diff *d)
{
    for (int i = 0; i < 2; i++) {
        bool mine = d->run[0] == KV_RUN_FULL && d->run[i] == kv_run_selected(s->engine);
        if (d->run[i] == KV_RUN_FULL || mine)
            snprintf(d->name[i], sizeof d->name[i], mine ? "this run" : "full cache");
        else
            runs_name(d->run[i], d->name[i], sizeof d->name[i]);
    }
}

/* The full cache against the selected run is the engine's twin, whose values kl, full and other stay. */
static enum kv_status compare(struct session *s, struct diff *d)
{
    struct kv_array kl, full, other;
    if (d->run[0] == KV_RUN_FULL && d->run[1] == kv_run_selected(s->engine)) {
        enum kv_status st = kv_twin(s->engine, d->asked, &d->verdict, &s->err);
        if (st || session_value(s, "kl", &kl) || session_value(s, "full", &full) ||
            session_value(s, "other", &other))
            return s->err.code;
        d->token[0] = full.data, d->token[1] = other.data, d->kl = kl.data;
        d->n = (int)full.dim[0];
        return KV_OK;
    }
    char leader[32] = "";
    kv_get(s->engine, "judge.leader", leader, sizeof leader, &s->err);
    enum kv_status st = kv_compare(s->engine, d->run, 2, !strcmp(leader, "self"), d->asked, &d->owned, &s->err);
    if (st) return st;
    d->n = d->owned.steps;
    d->token[0] = d->owned.token, d->token[1] = d->owned.token + d->n;
    d->kl = d->owned.kl + d->n;
    d->verdict = d->owned.verdict[1];
    return KV_OK;
}

struct reaction cmd_diff(struct session *s, const char *args)
{
    struct diff d = { .asked = 0 };
    enum kv_status st = read_args(s, args, &d);
    if (!st) name_runs(s, &d);
    if (!st) st = compare(s, &d);
    run_end_line(s);
    if (!st) {
        s->kl_mean = d.verdict.kl_mean;
        show_steps(s, &d);
        show_verdict(s, &d);
        if (d.noise || !isnan(s->noise_mean)) st = show_noise(s, &d);
    }
    if (!st && d.layers) st = show_layers(s, &d);
    kv_comparison_free(&d.owned);
    return st ? failed(s) : DONE;
}
