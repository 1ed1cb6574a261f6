/* diff. */
#include "inspector/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/line.h"
#include "inspector/rows.h"
#include "inspector/run.h"
#include "inspector/tokens.h"
#include "render/utf8.h"

#define DIFF_ROWS    12 /* steps shown from the beginning, and around the first that differs */
#define LIST_COLUMNS 72

/* --- diff ------------------------------------------------------------------------------------------------------------ */

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
static void diff_rows(struct session *s, const struct kv_verdict *v, const int32_t *full, const int32_t *other,
    const struct kv_array *kl)
{
    int n = (int)kl->dim[0];
    for (int t = 0; t < n; t++) {
        rows_new(s);
        rows_number(s, "step", t);
        rows_token(s, "full cache", full[t]);
        rows_token(s, "this run", other[t]);
        rows_number(s, "KL", t < n - v->steps ? NAN : array_number(kl, (size_t)t));
    }
    rows_fact(s, "kl_mean", v->kl_mean);
    rows_fact(s, "kl_median", v->kl_median);
    rows_fact(s, "kl_p99", v->kl_p99);
    rows_fact(s, "kl_max", v->kl_max);
    rows_fact(s, "top1", v->top1);
    rows_fact(s, "first_divergent", v->first_divergent < 0 ? NAN : v->first_divergent);
    rows_unit(s, "KL", "nats");
}

static struct reaction show_diff(struct session *s, const struct kv_verdict *v)
{
    struct kv_array kl, full, other;
    if (session_value(s, "kl", &kl) || session_value(s, "full", &full) || session_value(s, "other", &other))
        return failed(s);
    const int32_t *f = full.data, *o = other.data;
    int n = (int)full.dim[0], skipped = n - v->steps > 0 ? n - v->steps : 0, from = v->first_divergent - 3;
    char leader[32] = "";
    kv_get(s->engine, "judge.leader", leader, sizeof leader, &s->err);
    fprintf(s->out, "Full cache against this run, both fed the tokens of %s (%s)\n",
        strcmp(leader, "self") ? "the full cache" : "this run", session_mode(s));
    fprintf(s->out, "%5s  %-22s %-22s %9s\n", "step", "full cache", "this run", "KL, nats");
    diff_rows(s, v, f, o, &kl);
    for (int t = 0; t < n; t++) {
        bool near = v->first_divergent >= 0 && t >= from && t < from + DIFF_ROWS;
        if (t >= DIFF_ROWS && !near) {
            if (t == DIFF_ROWS || (from > DIFF_ROWS && t == from + DIFF_ROWS)) fprintf(s->out, "  ...\n");
            continue;
        }
        step_row(s, t, f[t], o[t], array_number(&kl, (size_t)t), t >= skipped);
    }
    wrapped(s, "full:      ", f, n);
    wrapped(s, "this run:  ", o, n);
    fprintf(s->out,
        "KL(full || this run): mean %.4g, max %.4g nats a token over %d steps; top-1 agreement %.1f %%\n",
        v->kl_mean, v->kl_max, v->steps, 100 * v->top1);
    if (v->first_divergent < 0)
        fprintf(s->out, "No step chooses another token.%s\n", session_mark(s));
    else {
        char a[40], b[40];
        int t = v->first_divergent;
        fprintf(s->out, "First divergent token: step %d, %s became %s.%s\n", t, tokens_quote(s, f[t], a, sizeof a),
            tokens_quote(s, o[t], b, sizeof b), session_mark(s));
    }
    return DONE;
}

struct reaction cmd_diff(struct session *s, const char *args)
{
    struct line_words words;
    struct kv_verdict v;
    char setting[32] = "64";
    long long n;
    if (line_split(args, &words, &s->err)) return failed(s);
    kv_get(s->engine, "judge.tokens", setting, sizeof setting, &s->err);
    const char *count = setting;
    if (words.count == 2 && !strcmp(words.word[0], "steps"))
        count = words.word[1];
    else if (words.count == 1)
        count = words.word[0];
    else if (words.count)
        return refuse(s, KV_BAD_ARG, "diff takes \"steps N\" and nothing else.");
    if (line_integer(count, 1, 1 << 20, "a number of steps", &n, &s->err)) return failed(s);
    enum kv_status st = kv_twin(s->engine, (int)n, &v, &s->err);
    run_end_line(s);
    if (st) return failed(s);
    s->kl_mean = v.kl_mean;
    return show_diff(s, &v);
}
