/* diff, why, list. */
#include "inspector/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
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

/* --- why ------------------------------------------------------------------------------------------------------------- */

struct fate {
    struct kv_array shape;
    double *score, *rank, *reason, *budget, *used;
};

static bool fate_open(struct session *s, struct fate *f)
{
    *f = (struct fate){ 0 };
    struct kv_array a;
    return (f->score = info_copy(s, "score", &f->shape)) && (f->rank = info_copy(s, "rank", &a)) &&
           (f->reason = info_copy(s, "reason", &a)) && (f->budget = info_copy(s, "budget.app", &a));
}

static void fate_close(struct fate *f)
{
    free(f->score);
    free(f->rank);
    free(f->reason);
    free(f->budget);
}

/* Rank of the last token that its score let in, and that score; -1 when no token got in by score. */
static int cut_off(const struct fate *f, size_t layer, double *score)
{
    size_t n = f->shape.dim[1];
    int last = -1;
    for (size_t i = layer * n; i < (layer + 1) * n; i++)
        if (f->reason[i] > 0 && f->rank[i] > last) last = (int)f->rank[i], *score = f->score[i];
    return last;
}

static const char *reason_text(double reason)
{
    int i = 0;
    while (i < (int)reason && kv_reason_name[i]) i++;
    return kv_reason_name[i] ? kv_reason_name[i] : "?";
}

static void why_head(struct session *s, const char *first)
{
    fprintf(
        s->out, "%s %8s %11s %7s %8s %11s  %s\n", first, "budget", "score", "rank", "last in", "its score", "rule");
}

/* What happened to one token in one layer. */
static void why_row(struct session *s, const struct fate *f, int layer, int position)
{
    size_t i = (size_t)layer * f->shape.dim[1] + (size_t)position;
    double cut_score = NAN;
    int last = cut_off(f, (size_t)layer, &cut_score);
    fprintf(s->out, " %8.0f %11.4g ", f->budget[layer], f->score[i]);
    if (f->rank[i] >= 0)
        fprintf(s->out, "%7.0f ", f->rank[i]);
    else
        fprintf(s->out, "%7s ", "forced");
    if (last >= 0)
        fprintf(s->out, "%8d %11.4g", last, cut_score);
    else
        fprintf(s->out, "%8s %11s", "none", "");
    fprintf(s->out, "  %s\n", reason_text(f->reason[i]));
}

static int layers_kept(struct session *s, const struct fate *f, int position)
{
    int kept = 0;
    for (int l = 0; l < s->facts.n_layer; l++)
        kept += f->reason[(size_t)l * f->shape.dim[1] + (size_t)position] > 0;
    return kept;
}

/* One token: a line each layer. */
static void why_token(struct session *s, const struct fate *f, int position, int32_t id)
{
    char quoted[64];
    fprintf(s->out, "@%d %s: kept in %d of %d layers (%s)\n", position, tokens_quote(s, id, quoted, sizeof quoted),
        layers_kept(s, f, position), s->facts.n_layer, session_mode(s));
    why_head(s, "layer");
    for (int l = 0; l < s->facts.n_layer; l++) {
        fprintf(s->out, "%5d", l);
        why_row(s, f, l, position);
    }
}

static void print_token(struct session *s, int position, int32_t id)
{
    char quoted[40];
    tokens_quote(s, id, quoted, sizeof quoted);
    int pad = 16 - (int)utf8_width(quoted);
    fprintf(s->out, "%8d  %s%*s", position, quoted, pad > 0 ? pad : 0, "");
}

/* Several tokens in one layer: a line each token. */
static void why_layer(
    struct session *s, const struct fate *f, int layer, const int32_t *list, int count, const int32_t *ids)
{
    fprintf(s->out, "Layer %d (%s)\n", layer, session_mode(s));
    why_head(s, "position  token           ");
    for (int i = 0; i < count; i++) {
        print_token(s, list[i], ids[list[i]]);
        why_row(s, f, layer, list[i]);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* "1-3 5 7-9" of the layers that evicted a position. */
static void evicted_text(struct session *s, const struct fate *f, int position, char *out, size_t size)
{
    size_t at = 0, n = f->shape.dim[1];
    out[0] = '\0';
    for (int l = 0, last; l < s->facts.n_layer && at + 16 < size; l = last + 1) {
        for (last = l; last < s->facts.n_layer && !(f->reason[(size_t)last * n + (size_t)position] > 0);) last++;
        if (last == l) continue;
        at += (size_t)snprintf(out + at, size - at, last - l > 1 ? "%s%d-%d" : "%s%d", at ? " " : "", l, last - 1);
    }
}

/* Several tokens over all layers: a line each token, with the median of its rank and of the last rank that got in. */
static enum kv_status why_many(
    struct session *s, const struct fate *f, const int32_t *list, int count, const int32_t *ids)
{
    size_t layers = (size_t)s->facts.n_layer, n = f->shape.dim[1];
    double *rank = kv_alloc(2 * layers, sizeof *rank), *last = rank + layers, ignored;
    if (!rank) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the ranks of %zu layers.", layers);
    for (size_t l = 0; l < layers; l++) last[l] = cut_off(f, l, &ignored);
    qsort(last, layers, sizeof *last, by_size);
    fprintf(s->out, "Median over %zu layers of a token's rank and of the last rank that was kept (%s)\n", layers,
        session_mode(s));
    fprintf(s->out, "%8s  %-16s %8s %8s %8s  %s\n", "position", "token", "rank", "last in", "kept in",
        "evicted in layers");
    for (int i = 0; i < count; i++) {
        char evicted[200];
        for (size_t l = 0; l < layers; l++) rank[l] = f->rank[l * n + (size_t)list[i]];
        qsort(rank, layers, sizeof *rank, by_size);
        evicted_text(s, f, list[i], evicted, sizeof evicted);
        print_token(s, list[i], ids[list[i]]);
        if (rank[layers / 2] >= 0)
            fprintf(s->out, " %8.0f", rank[layers / 2]);
        else
            fprintf(s->out, " %8s", "forced");
        fprintf(s->out, " %8.0f %8d%s%s\n", last[layers / 2], layers_kept(s, f, list[i]), *evicted ? "  " : "",
            evicted);
    }
    free(rank);
    return KV_OK;
}

struct reaction cmd_why(struct session *s, const char *args)
{
    int32_t *list = NULL;
    int count, places, n, only = -1;
    struct fate f;
    char what[sizeof s->command];
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (token index, @POS or \"text\").");
    snprintf(what, sizeof what, "%s", args);
    char *layer = *what == '"' ? strchr(what + 1, '"') : what;
    layer = layer ? strstr(layer, " layer ") : NULL;
    if (layer) {
        *layer = '\0';
        if (info_layer(s, layer + 1, &only)) return failed(s);
    }
    if (tokens_read(s, what, &list, &count, &places)) return failed(s);
    if (!fate_open(s, &f)) {
        fate_close(&f);
        free(list);
        return failed(s);
    }
    const int32_t *ids = tokens_prompt(s, &n);
    if (places > 1) fprintf(s->out, "%d places match.\n", places);
    enum kv_status st = KV_OK;
    if (only >= 0)
        why_layer(s, &f, only, list, count, ids);
    else if (count == 1)
        why_token(s, &f, list[0], ids[list[0]]);
    else
        st = why_many(s, &f, list, count, ids);
    s->token = list[0];
    s->list_next = -1;
    fate_close(&f);
    free(list);
    return st ? failed(s) : DONE;
}
