/* KL divergence in f64, agreement, order statistics. */
#include "engine/judge/kl.h"

#include "engine/judge/percentile.h"

#include "engine/judge/lanes.h"

#include <math.h>
#include <stdlib.h>

/* One row's largest logit, and whether all are finite. */
struct row {
    int32_t top;  /* its token; -1 = every logit is NaN */
    double most;  /* the logit */
    bool regular; /* no infinity, no NaN */
};

static struct row read_row(const float *logit, int n)
{
    struct row row = { -1, -INFINITY, false };
    float most;
    if (n > 0 && lanes_most(logit, n, &most)) {
        int top = 0;
        while (logit[top] != most) top++;
        return (struct row){ top, most, true };
    }
    for (int v = 0; v < n; v++)
        if (logit[v] > row.most || (row.top < 0 && !isnan(logit[v]))) row.top = v, row.most = logit[v];
    return row;
}

/* ln sum e^(x - most), so that ln p = x - most - it; NaN when the row has no softmax. */
static double ln_sum(const float *logit, int n, const struct row *row)
{
    double sum = 0;
    if (!isfinite(row->most)) return NAN;
    for (int v = 0; v < n; v++) sum += exp(logit[v] - row->most); /* a NaN stays one */
    return log(sum);
}

/* With probabilities of 0, or without a softmax (NaN). */
static double irregular_kl(const float *full, const float *other, int n, const struct row *p, const struct row *q)
{
    double ln_sum_p = ln_sum(full, n, p), ln_sum_q = ln_sum(other, n, q);
    double kl = isnan(ln_sum_p + ln_sum_q) ? NAN : 0;
    for (int v = 0; !isnan(kl) && v < n; v++) {
        double ln_p = full[v] - p->most - ln_sum_p, ln_q = other[v] - q->most - ln_sum_q;
        double share = exp(ln_p);
        if (share > 0) kl += share * (ln_p - ln_q); /* 0 ln 0 = 0 */
    }
    return kl;
}

/* sum p ln(p/q) = sum p ((x - most x) - (y - most y)) - ln sum p + ln sum q, in one reading of both rows. */
void kl_compare(const float *full, const float *other, int n_vocab, struct kl_step *step)
{
    struct row p = read_row(full, n_vocab), q = read_row(other, n_vocab);
    double kl, sum_p, sum_q, moved;
    if (p.regular && q.regular) {
        lanes_sums(full, other, n_vocab, p.most, q.most, &sum_p, &sum_q, &moved);
        kl = moved / sum_p - (log(sum_p) - log(sum_q));
    } else
        kl = irregular_kl(full, other, n_vocab, &p, &q);
    *step = (struct kl_step){
        .kl = kl < 0 ? 0 : kl, /* rounding; NaN stays */
        .top_full = p.top,
        .top_other = q.top,
        .agree = !isnan(kl) && p.top == q.top,
    };
}

double kl_surprise(const float *logit, int n_vocab, int id)
{
    struct row row = read_row(logit, n_vocab);
    return ln_sum(logit, n_vocab, &row) + row.most - logit[id];
}

enum kv_status kl_summarize(
    const struct kl_step *step, int n, int first, struct kl_summary *summary, struct kv_error *err)
{
    *summary = (struct kl_summary){
        .mean = NAN, .median = NAN, .p90 = NAN, .p95 = NAN, .p99 = NAN, .max = NAN, .top1 = NAN, .first_apart = -1
    };
    if (first < 0) return kv_fail(err, KV_BAD_ARG, "Cannot summarize from step %d on.", first);
    if (n <= first) return KV_OK;
    int count = n - first, agreed = 0;
    double sum = 0, *sorted = kv_alloc((size_t)count, sizeof *sorted);
    if (!sorted) return kv_fail(err, KV_NO_MEMORY, "Out of memory to summarize %d steps.", count);
    for (int i = 0; i < count; i++) {
        const struct kl_step *s = &step[first + i];
        sorted[i] = s->kl;
        sum += s->kl;
        summary->n_bad += isnan(s->kl);
        agreed += s->agree;
        if (!s->agree && summary->first_apart < 0) summary->first_apart = first + i;
    }
    summary->n = count;
    summary->top1 = (double)agreed / count;
    if (!summary->n_bad) {
        percentile_sort(sorted, count);
        summary->mean = sum / count;
        summary->median = percentile(sorted, count, 0.5);
        summary->p90 = percentile(sorted, count, 0.9);
        summary->p95 = percentile(sorted, count, 0.95);
        summary->p99 = percentile(sorted, count, 0.99);
        summary->max = sorted[count - 1];
    }
    free(sorted);
    return KV_OK;
}

int kl_first_divergent(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    int n = n_a < n_b ? n_a : n_b;
    for (int i = 0; i < n; i++)
        if (a[i] != b[i]) return i;
    return n_a == n_b ? -1 : n;
}
