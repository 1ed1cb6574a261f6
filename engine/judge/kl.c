/* KL divergence in f64, agreement, order statistics. */
#include "engine/judge/kl.h"

#include <math.h>
#include <stdlib.h>

/* One row's largest logit, and ln sum e^(x - top), so that ln p = x - top - ln_sum. */
struct row {
    int32_t top;   /* its token; -1 = every logit is NaN */
    double most;   /* the logit */
    double ln_sum; /* NaN when the row has no softmax */
};

static struct row read_row(const float *logit, int n)
{
    struct row row = { -1, -INFINITY, NAN };
    double sum = 0;
    for (int v = 0; v < n; v++)
        if (logit[v] > row.most || (row.top < 0 && !isnan(logit[v]))) row.top = v, row.most = logit[v];
    if (!isfinite(row.most)) return row;
    for (int v = 0; v < n; v++) sum += exp(logit[v] - row.most); /* a NaN stays one */
    row.ln_sum = log(sum);
    return row;
}

void kl_compare(const float *full, const float *other, int n_vocab, struct kl_step *step)
{
    struct row p = read_row(full, n_vocab), q = read_row(other, n_vocab);
    double kl = isnan(p.ln_sum + q.ln_sum) ? NAN : 0;
    for (int v = 0; !isnan(kl) && v < n_vocab; v++) {
        double ln_p = full[v] - p.most - p.ln_sum, ln_q = other[v] - q.most - q.ln_sum;
        double share = exp(ln_p);
        if (share > 0) kl += share * (ln_p - ln_q); /* 0 ln 0 = 0 */
    }
    *step = (struct kl_step){
        .kl = kl < 0 ? 0 : kl, /* rounding; NaN stays */
        .top_full = p.top,
        .top_other = q.top,
        .agree = !isnan(p.ln_sum + q.ln_sum) && p.top == q.top,
    };
}

double kl_surprise(const float *logit, int n_vocab, int id)
{
    struct row row = read_row(logit, n_vocab);
    return row.ln_sum + row.most - logit[id];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int n, double share)
{
    double at = share * (n - 1);
    int below = (int)at;
    bool plain = below + 1 >= n || at == below || sorted[below] == sorted[below + 1];
    if (plain) return sorted[below]; /* 0 * inf and inf - inf are NaN */
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
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
        qsort(sorted, (size_t)count, sizeof *sorted, ascending);
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
