/* The table of an evaluation, and how sure its differences are. */
#include "inspector/lab/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bootstrap.h"
#include "engine/rouge.h"
#include "inspector/json/rows.h"

#define RESAMPLES 10000

/* What the table has of them. */
static const enum metric columns[] = { METRIC_rouge1, METRIC_rouge2, METRIC_rougeL, METRIC_rougeLsum, METRIC_found,
    METRIC_exact, METRIC_kl, METRIC_top1, METRIC_kv_bytes, METRIC_decode_us, METRIC_reply };

struct report {
    struct session *s;
    const struct evaluation *v;
    const struct measures *done;
    bool shown[KV_COUNT(columns)];
};

/* The result of a row under a policy and total; NULL = none. Everything is kept under any total. */
static const struct measured *result_of(const struct report *r, size_t task, int policy, int ratio)
{
    if (r->v->policy[policy].full) ratio = 0;
    for (size_t i = 0; i < r->done->n; i++) {
        const struct measured *m = &r->done->list[i];
        if (m->task == task && m->policy == policy && m->ratio == ratio) return m;
    }
    return NULL;
}

/* Mean over the rows that have the figure; NaN = none has. */
static double mean_of(const struct report *r, int policy, int ratio, enum metric metric, int *rows)
{
    double sum = 0;
    *rows = 0;
    for (size_t t = r->v->from; t < r->v->to; t++) {
        const struct measured *m = result_of(r, t, policy, ratio);
        if (!m || isnan(m->value[metric])) continue;
        sum += m->value[metric];
        ++*rows;
    }
    return *rows ? sum / *rows : NAN;
}

static double share_kept(const struct report *r, int policy, int ratio)
{
    int rows;
    return mean_of(r, policy, ratio, METRIC_kept, &rows) / mean_of(r, policy, ratio, METRIC_prompt, &rows);
}

static void find_columns(struct report *r)
{
    for (size_t c = 0; c < KV_COUNT(columns); c++)
        for (size_t i = 0; i < r->done->n; i++)
            if (!isnan(r->done->list[i].value[columns[c]])) r->shown[c] = true;
}

static void table_row(struct report *r, int policy, int ratio)
{
    struct session *s = r->s;
    const struct evaluate_policy *p = &r->v->policy[policy];
    int rows, most = 0;
    fprintf(s->out, "%-22.22s", p->label);
    rows_new(s);
    rows_text(s, "policy", p->label);
    for (size_t c = 0; c < KV_COUNT(columns); c++) {
        const struct metric_row *m = &metrics[columns[c]];
        double mean = mean_of(r, policy, ratio, columns[c], &rows);
        if (rows > most) most = rows;
        if (!r->shown[c]) continue;
        rows_number(s, m->name, mean);
        if (isnan(mean))
            fprintf(s->out, "%*s", m->width + 1, "-");
        else
            fprintf(s->out, "%*.*f", m->width + 1, m->decimals, mean * m->scale);
        if (columns[c] != METRIC_kv_bytes) continue;
        fprintf(s->out, "%8.1f", 100 * share_kept(r, policy, ratio));
        rows_number(s, metrics[METRIC_share].name, share_kept(r, policy, ratio));
    }
    fputc('\n', s->out);
    rows_number(s, "rows", most);
}

static void table_head(struct report *r)
{
    fprintf(r->s->out, "%-22s", "policy");
    for (size_t c = 0; c < KV_COUNT(columns); c++) {
        if (!r->shown[c]) continue;
        fprintf(r->s->out, "%*s", metrics[columns[c]].width + 1, metrics[columns[c]].heading);
        if (columns[c] == METRIC_kv_bytes) fprintf(r->s->out, "%8s", metrics[METRIC_share].heading);
    }
    fputc('\n', r->s->out);
}

static void title(struct report *r, int ratio)
{
    const struct evaluation *v = r->v;
    char total[40];
    struct kv_error ignored;
    if (v->ratio[ratio] > 0)
        snprintf(total, sizeof total, "%g %%", 100 * v->ratio[ratio]);
    else if (!kv_get(r->s->engine, "policy.ratio", total, sizeof total, &ignored) && strcmp(total, "unset") != 0)
        snprintf(total, sizeof total, "%g %%", 100 * strtod(total, NULL));
    else
        snprintf(total, sizeof total, "the total that is set");
    fprintf(r->s->out, "\n%zu row%s, %s of the cache kept%s; means over rows (%s)\n", v->to - v->from,
        v->to - v->from == 1 ? "" : "s", total, v->how.apart ? ", before the question is read" : "",
        session_mode(r->s));
}

/* --- differences ------------------------------------------------------------------------------------------------- */

/* Paired, by row; false where no row has both. */
static bool difference(
    const struct report *r, int policy, int ratio, int other, enum metric metric, struct bootstrap *out)
{
    struct kv_error ignored;
    int n = 0;
    double *d = kv_alloc(r->v->to - r->v->from + 1, sizeof *d);
    for (size_t t = r->v->from; d && t < r->v->to; t++) {
        const struct measured *a = result_of(r, t, policy, ratio), *b = result_of(r, t, other, ratio);
        if (a && b && !isnan(a->value[metric]) && !isnan(b->value[metric]))
            d[n++] = a->value[metric] - b->value[metric];
    }
    bool ok = n && !bootstrap_mean(d, n, RESAMPLES, 1, out, &ignored);
    free(d);
    return ok;
}

static int policy_called(const struct evaluation *v, const char *label)
{
    for (int p = 0; p < v->n_policy; p++)
        if (!strcmp(v->policy[p].label, label)) return p;
    return -1;
}

static void differences_of(struct report *r, int ratio, enum metric metric, const char *what, double scale)
{
    struct session *s = r->s;
    const int other[] = { policy_called(r->v, "full"), policy_called(r->v, "uniform") };
    struct bootstrap b;
    bool head = false;
    for (int p = 0; p < r->v->n_policy; p++) {
        bool begun = false;
        for (size_t k = 0; k < KV_COUNT(other); k++) {
            if (other[k] < 0 || other[k] == p || r->v->policy[p].full) continue;
            if (!difference(r, p, ratio, other[k], metric, &b)) continue;
            if (!head)
                fprintf(s->out, "%s, difference by row: mean [95 %% interval, bootstrap of %d]\n", what, RESAMPLES);
            head = true;
            if (!begun) fprintf(s->out, "  %-22.22s", r->v->policy[p].label);
            begun = true;
            fprintf(s->out, "  to %-8s%+8.4f [%+.4f, %+.4f]", r->v->policy[other[k]].label, scale * b.mean,
                scale * b.low, scale * b.high);
        }
        if (begun) fputc('\n', s->out);
    }
}

/* --- what was saved ---------------------------------------------------------------------------------------------- */

static double saved(double mine, double full) { return 100 * (1 - mine / full); }

/* Against everything kept: bytes as allocated, time as measured. */
static void savings(struct report *r, int ratio)
{
    struct session *s = r->s;
    int rows, full = policy_called(r->v, "full");
    double weights = (double)s->facts.weight_bytes, all, whole_us;
    if (full < 0) return;
    all = mean_of(r, full, ratio, METRIC_kv_bytes, &rows);
    whole_us = mean_of(r, full, ratio, METRIC_decode_us, &rows);
    fprintf(s->out, "saved against full: %-3s %10s %22s %18s\n", "", "KV", "weights + KV", "decode time");
    for (int p = 0; p < r->v->n_policy; p++) {
        double kv = mean_of(r, p, ratio, METRIC_kv_bytes, &rows),
               us = mean_of(r, p, ratio, METRIC_decode_us, &rows);
        if (p == full || !rows) continue;
        char bytes[32], with[32];
        fprintf(s->out, "  %-22.22s %9s %5.1f %%  %9s %7.2f %%  %7.2f ms %5.1f %%\n", r->v->policy[p].label,
            line_bytes(kv, bytes), saved(kv, all), line_bytes(weights + kv, with),
            saved(weights + kv, weights + all), us / 1e3, saved(us, whole_us));
    }
}

void evaluate_report(struct session *s, const struct evaluation *v, const struct measures *done)
{
    struct report r = { .s = s, .v = v, .done = done };
    struct kv_memory memory;
    char peak[32];
    kv_memory(s->engine, &memory);
    find_columns(&r);
    for (int ratio = 0; ratio < v->n_ratio; ratio++) {
        title(&r, ratio);
        table_head(&r);
        for (int p = 0; p < v->n_policy; p++) table_row(&r, p, ratio);
        differences_of(&r, ratio, METRIC_rougeL, "rougeL F", 1);
        differences_of(&r, ratio, METRIC_found, "answers found", 1);
        differences_of(&r, ratio, METRIC_kl, "KL, nats a token", 1);
        savings(&r, ratio);
    }
    fprintf(s->out,
        "ROUGE: F of %s, stemmer %s.  KL(full || policy): mean over the full cache's reply, fed to both.\n"
        "KV MiB: as allocated, room for the reply included; kept %%: of the prompt's tokens, over all layers.\n"
        "Peak memory of this process, which every policy shares for the whole cache is made first: %s.\n",
        ROUGE_FLAVOR, v->stem ? "on" : "off", line_bytes((double)memory.peak, peak));
}
