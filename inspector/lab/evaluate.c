/* The command: what to measure, over which rows. */
#include "inspector/lab/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/lab/stopped.h"
#include "inspector/language/line.h"
#include "inspector/progress.h"
#include "inspector/run.h"
#include "inspector/set.h"

static enum kv_status need_value(struct session *s, const struct line_words *w, int *at, const char *option)
{
    if (*at + 1 < w->count) return ++*at, KV_OK;
    return kv_fail(&s->err, KV_BAD_ARG, "%s needs a value.", option);
}

/* "[LABEL:] PRESET [NAME=VALUE]..." or settings alone. */
static enum kv_status add_policy(struct session *s, struct evaluation *v, const char *text)
{
    if (v->n_policy == EVALUATE_POLICIES)
        return kv_fail(&s->err, KV_BAD_ARG, "At most %d policies can be compared.", EVALUATE_POLICIES);
    struct evaluate_policy *p = &v->policy[v->n_policy];
    *p = (struct evaluate_policy){ 0 };
    const char *colon = strchr(text, ':');
    snprintf(p->label, sizeof p->label, "%.*s", (int)(colon ? colon - text : (long)strlen(text)), text);
    if (colon) text = colon + 1 + strspn(colon + 1, " ");
    if (strlen(text) >= sizeof p->text) return kv_fail(&s->err, KV_BAD_ARG, "Too long a policy: %.60s...", text);
    snprintf(p->text, sizeof p->text, "%s", text);
    for (char *word = strtok(p->text, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        if (p->count == LINE_WORDS) return kv_fail(&s->err, KV_BAD_ARG, "Too many settings: %.60s...", text);
        if (equals) *equals = '\0';
        p->name[p->count] = "policy.preset";
        if (equals && set_find(s, word, &p->name[p->count])) return s->err.code;
        if (!equals && p->count) return kv_fail(&s->err, KV_BAD_ARG, "\"%.60s\" is not NAME=VALUE.", word);
        if (strncmp(p->name[p->count], "policy.", 7) != 0 || !strcmp(p->name[p->count], "policy.query-aware"))
            return kv_fail(&s->err, KV_BAD_ARG, "%s cannot differ between policies.", p->name[p->count]);
        if (!equals) p->full = !strcmp(word, "full");
        p->value[p->count++] = equals ? equals + 1 : word;
    }
    if (!p->count) return kv_fail(&s->err, KV_BAD_ARG, "A policy needs a preset or settings.");
    v->n_policy++;
    return KV_OK;
}

static enum kv_status add_ratios(struct session *s, struct evaluation *v, const char *list)
{
    for (const char *p = list; *p;) {
        char *end;
        double ratio = strtod(p, &end);
        if (end == p || !(ratio > 0 && ratio <= 1) || (*end && *end != ','))
            return kv_fail(&s->err, KV_BAD_ARG, "A ratio lies in (0, 1], as in -ratio 0.5,0.25, not \"%.40s\".", p);
        if (v->n_ratio == EVALUATE_TOTALS)
            return kv_fail(&s->err, KV_BAD_ARG, "At most %d ratios can be compared.", EVALUATE_TOTALS);
        v->ratio[v->n_ratio++] = ratio;
        p = *end ? end + 1 : end;
    }
    return KV_OK;
}

/* What the options say of rows, until the files are read. */
struct slice {
    long long first, last; /* -rows A:B, from 0 on, B left out */
    long long shard, shards;
};

static enum kv_status take_pair(
    struct session *s, const char *text, char between, long long low, const char *what, long long *a, long long *b)
{
    char first[32] = "";
    const char *cut = strchr(text, between);
    if (!cut || cut - text >= (long)sizeof first)
        return kv_fail(&s->err, KV_BAD_ARG, "%s, not \"%.40s\".", what, text);
    memcpy(first, text, (size_t)(cut - text));
    if (line_integer(first, low, 1LL << 40, what, a, &s->err)) return s->err.code;
    if (line_integer(cut + 1, *a, 1LL << 40, what, b, &s->err)) return s->err.code;
    return KV_OK;
}

static enum kv_status take_option(
    struct session *s, struct evaluation *v, const struct line_words *w, int *at, struct slice *slice)
{
    const char *option = w->word[*at];
    long long n = 0;
    if (!strcmp(option, "-stem")) return v->stem = true, KV_OK;
    if (!strcmp(option, "-apart")) return v->how.apart = true, KV_OK;
    if (need_value(s, w, at, option)) return s->err.code;
    const char *value = w->word[*at];
    if (!strcmp(option, "-policy")) return add_policy(s, v, value);
    if (!strcmp(option, "-ratio")) return add_ratios(s, v, value);
    if (!strcmp(option, "-o")) return v->results = value, KV_OK;
    if (!strcmp(option, "-question")) return v->how.question = value, KV_OK;
    if (!strcmp(option, "-rows"))
        return take_pair(s, value, ':', 0, "-rows FIRST:END counts from 0", &slice->first, &slice->last);
    if (!strcmp(option, "-shard"))
        return take_pair(s, value, '/', 1, "-shard I/N counts from 1", &slice->shard, &slice->shards);
    if (!strcmp(option, "-n")) {
        if (line_integer(value, 1, 1 << 20, "a number of tokens", &n, &s->err)) return s->err.code;
        return v->tokens = (int)n, KV_OK;
    }
    if (!strcmp(option, "-judge")) {
        if (line_integer(value, 0, 1 << 20, "a number of tokens", &n, &s->err)) return s->err.code;
        return v->judge = (int)n, KV_OK;
    }
    return kv_fail(&s->err, KV_BAD_ARG, "There is no option \"%.40s\"; \"help evaluate\" lists them.", option);
}

static enum kv_status take_words(struct session *s, struct evaluation *v, const struct line_words *w)
{
    struct slice slice = { 0, -1, 0, 0 };
    const char *file[LINE_WORDS];
    int n = 0;
    enum kv_status st = KV_OK;
    for (int at = 0; at < w->count && !st; at++) {
        if (*w->word[at] == '-')
            st = take_option(s, v, w, &at, &slice);
        else
            file[n++] = w->word[at];
    }
    if (!st && !n) st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (FILE.jsonl with rows to evaluate).");
    for (int i = 0; i < n && !st; i++) st = tasks_read(&v->tasks, file[i], &v->how, &s->err);
    if (!st && !v->tasks.count) st = kv_fail(&s->err, KV_BAD_FILE, "%.300s has no rows.", file[0]);
    size_t count = v->tasks.count;
    v->from = kv_min((size_t)slice.first, count);
    v->to = slice.last < 0 ? count : kv_min((size_t)slice.last, count);
    if (slice.shards) {
        size_t from = v->from, rows = v->to - v->from;
        v->from = from + rows * (size_t)(slice.shard - 1) / (size_t)slice.shards;
        v->to = from + rows * (size_t)slice.shard / (size_t)slice.shards;
    }
    if (!st && v->from >= v->to) st = kv_fail(&s->err, KV_BAD_ARG, "That leaves no row of %zu.", count);
    return st;
}

/* Without -policy: everything, equal budgets, and the policy that is set. */
static enum kv_status default_policies(struct session *s, struct evaluation *v)
{
    char preset[64];
    enum kv_status st = kv_get(s->engine, "policy.preset", preset, sizeof preset, &s->err);
    if (!st) st = add_policy(s, v, "full");
    if (!st) st = add_policy(s, v, "uniform");
    if (!st && strcmp(preset, "full") != 0 && strcmp(preset, "uniform") != 0) st = add_policy(s, v, preset);
    return st;
}

static enum kv_status run_evaluation(struct session *s, struct evaluation *v)
{
    struct measures known = { 0 }, done = { 0 };
    struct results *results = NULL;
    enum kv_status st = v->results ? results_open(s, v, &known, &results) : KV_OK;
    if (!st) st = evaluate_measure(s, v, &known, &done, v->results ? results_add : NULL, results);
    struct kv_error why = s->err;
    results_close(results);
    if (done.n && (!st || st == KV_STOPPED)) evaluate_report(s, v, &done);
    if (st) s->err = why;
    const char *plural = done.n == 1 ? "" : "s";
    if (v->results)
        st = lab_stopped(s, st, " after %zu result%s: %.200s has them, and the same command goes on from there",
            done.n, plural, v->results);
    else
        st = lab_stopped(s, st, " after %zu result%s, which no -o FILE keeps", done.n, plural);
    free(known.list);
    free(done.list);
    return st;
}

struct reaction cmd_evaluate(struct session *s, const char *args)
{
    struct line_words words;
    struct evaluation *v = kv_alloc(1, sizeof *v);
    char judge[24] = "64";
    if (!v) return refuse(s, KV_NO_MEMORY, "No memory for an evaluation.");
    kv_get(s->engine, "judge.tokens", judge, sizeof judge, &s->err);
    v->judge = atoi(judge);
    enum kv_status st = line_split(args, &words, &s->err);
    if (!st) st = take_words(s, v, &words);
    if (!st && !v->n_policy) st = default_policies(s, v);
    if (!v->n_ratio) v->n_ratio = 1;
    if (!st) st = run_evaluation(s, v);
    tasks_free(&v->tasks);
    free(v);
    return st ? failed(s) : DONE;
}
