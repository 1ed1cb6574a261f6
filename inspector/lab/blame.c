/* blame: the smallest set of evictions whose return restores the full cache's output. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/regret.h"
#include "engine/runs.h"
#include "inspector/lab/regret.h"
#include "inspector/lab/stopped.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/tokens.h"

#define RUNS_MOST 1000
#define ROWS      16

struct blame_options {
    int steps, most;
    double bound; /* NaN: the argmax of every step */
};

static enum kv_status read_args(struct session *s, const char *args, struct blame_options *o)
{
    struct line_words w;
    enum kv_status st = line_split(args, &w, &s->err);
    *o = (struct blame_options){ regret_steps(s), RUNS_MOST, NAN };
    for (int i = 0; i < w.count && !st; i += 2) {
        const char *name = w.word[i], *value = i + 1 < w.count ? w.word[i + 1] : NULL;
        long long n = 0;
        char *end = NULL;
        if (value && !strcmp(name, "steps"))
            st = line_integer(value, 2, 1 << 20, "a number of steps", &n, &s->err), o->steps = (int)n;
        else if (value && !strcmp(name, "-max"))
            st = line_integer(value, 2, 1000000, "a number of kept sets", &n, &s->err), o->most = (int)n;
        else if (value && !strcmp(name, "-kl")) {
            o->bound = strtod(value, &end);
            if (*end || !(o->bound >= 0))
                st = kv_fail(&s->err, KV_BAD_ARG, "-kl takes nats a token, 0 or more, not %.40s.", value);
        } else
            st = kv_fail(&s->err, KV_BAD_ARG, "blame takes steps N, -kl BOUND and -max N, not %.40s.", name);
    }
    return st;
}

/* How suspect each token is in each layer, or KV head where these keep their own: its regret, their query heads
 * together. [n_layer][sets][n], the caller's. */
static float *suspicion(struct session *s, int *sets)
{
    struct kv_array regret, kept;
    if (session_value(s, "kept", &kept)) return NULL;
    *sets = kept.n_dim == 3 ? (int)kept.dim[1] : 1;
    if (session_value(s, "regret", &regret)) return NULL;
    size_t group = regret.dim[1] / (size_t)*sets, n = regret.dim[2];
    float *sum = kv_alloc(regret.dim[0] * (size_t)*sets * n, sizeof *sum);
    if (!sum) kv_fail(&s->err, KV_NO_MEMORY, "No memory for the regret of %zu tokens.", n);
    for (size_t i = 0; sum && i < regret.dim[0] * regret.dim[1] * n; i++)
        sum[i / (group * n) * n + i % n] += ((const float *)regret.data)[i];
    return sum;
}

struct suspects {
    float *order; /* as suspicion has it */
    int sets, n;
};

static void show_evictions(struct session *s, const struct kv_blame *b, const struct suspects *by)
{
    bool own = by->sets > 1;
    int count;
    const int32_t *ids = tokens_prompt(s, &count);
    char text[48];
    if (!ids || !b->count) return;
    fprintf(s->out, "%5s%s %8s  %-22s %10s\n", "layer", own ? " KV head" : "", "position", "text", "regret");
    for (int i = 0; i < b->count; i++) {
        const struct kv_eviction *x = &b->eviction[i];
        size_t row = (size_t)x->layer * (size_t)by->sets + (size_t)x->head;
        double regret = (double)by->order[row * (size_t)by->n + (size_t)x->token];
        rows_new(s);
        rows_number(s, "layer", x->layer);
        if (own) rows_number(s, "KV head", x->head);
        rows_number(s, "position", x->token);
        rows_token(s, "text", ids[x->token]);
        rows_number(s, "regret", regret);
        if (i >= ROWS) continue;
        fprintf(s->out, "%5d", x->layer);
        if (own) fprintf(s->out, " %7d", x->head);
        fprintf(
            s->out, " %8d  %-22s %10.3e\n", x->token, tokens_quote(s, ids[x->token], text, sizeof text), regret);
    }
    if (b->count > ROWS) fprintf(s->out, "... %d more\n", b->count - ROWS);
}

static void facts(struct session *s, const struct kv_blame *b)
{
    rows_fact(s, "evicted", b->evicted);
    rows_fact(s, "blamed", b->count);
    rows_fact(s, "runs", b->runs);
    rows_fact(s, "minimal", b->minimal);
    rows_fact(s, "stopped", b->stopped);
    rows_fact(s, "interrupted", b->interrupted);
    rows_fact(s, "verified", b->verified);
    rows_fact(s, "kl_before", b->before.kl_mean);
    rows_fact(s, "kl_after", b->after.kl_mean);
    rows_unit(s, "kl_before", "nats");
    rows_unit(s, "kl_after", "nats");
}

static void show(struct session *s, const struct blame_options *o, const struct kv_blame *b,
    const struct suspects *by, int steps)
{
    char evicted[32], goal[80];
    facts(s, b);
    if (isnan(o->bound))
        snprintf(goal, sizeof goal, "the full cache's token at all %d steps", steps);
    else
        snprintf(goal, sizeof goal, "a mean KL of at most %g over %d steps", o->bound, steps);
    line_thousands((unsigned long long)b->evicted, evicted);
    if (!b->count) {
        fprintf(s->out, "Nothing is to blame: with its %s evictions this run has %s (%s).\n", evicted, goal,
            session_mode(s));
        return;
    }
    char these[24] = "this one is";
    if (b->count > 1) snprintf(these, sizeof these, "these %d are", b->count);
    fprintf(s->out, "Of %s evictions, %s to blame: with %s back, this run has %s (%s)\n", evicted, these,
        b->count > 1 ? "them" : "it", goal, session_mode(s));
    show_evictions(s, b, by);
    fprintf(s->out, "KL mean %.3g -> %.3g, top-1 %.1f %% -> %.1f %%; %s.\n", b->before.kl_mean, b->after.kl_mean,
        100 * b->before.top1, 100 * b->after.top1,
        b->verified ? "decoding over that cache confirms it" : "decoding over that cache does not confirm it");
    if (b->interrupted)
        fprintf(s->out, "The search was cut off: a smaller set may do.\n");
    else if (b->stopped)
        fprintf(s->out, "The search ended early, after %d kept sets (-max): a smaller set may do.\n", b->runs);
    else
        fprintf(s->out, "%d kept sets were scored%s.\n", b->runs,
            b->count > 1 ? "; without any one of these tokens, the others do not do" : "");
}

struct reaction cmd_blame(struct session *s, const char *args)
{
    struct blame_options o;
    const int32_t *reply;
    struct kv_blame b = { 0 };
    int used = 0;
    run_end_line(s);
    if (read_args(s, args, &o) || regret_read(s, o.steps, &used)) return failed(s);
    struct kv_array tok;
    struct suspects by = { .n = session_value(s, "tok", &tok) ? 0 : (int)tok.dim[0] };
    by.order = suspicion(s, &by.sets);
    if (!by.order) return failed(s);
    const struct kv_blame_how how = { o.bound, o.most, by.order };
    enum kv_status st = kv_full_reply(s->engine, used, &reply, &used, &s->err);
    if (!st) st = kv_blame(s->engine, reply, used, &how, &b, &s->err);
    if (!st) show(s, &o, &b, &by, used);
    if (!st && b.interrupted) st = s->err.code = KV_STOPPED;
    if (b.interrupted)
        st = lab_stopped(s, st, " after %d kept set%s: that is the best so far", b.runs, b.runs == 1 ? "" : "s");
    else
        st = lab_stopped(s, st, " before anything was found");
    kv_blame_free(&b);
    free(by.order);
    return st ? failed(s) : DONE;
}
