/* Selectors that read keys and values themselves, head by head. */
#include "engine/policy/selectors.h"

#include <math.h>
#include <stdlib.h>

/* Adds one head's row to the score, as policy.reduce says; the first of `heads` begins it. */
static void reduce_row(const struct policy_scored *s, const double *row, int head, int heads, double *score)
{
    for (int j = 0; j < s->stats->n; j++) {
        if (!head)
            score[j] = row[j];
        else if (s->policy->reduce != POLICY_REDUCE_MAX)
            score[j] += row[j];
        else if (row[j] > score[j] || isnan(row[j]))
            score[j] = row[j];
        if (head == heads - 1 && s->policy->reduce == POLICY_REDUCE_MEAN) score[j] /= heads;
    }
}

enum kv_status score_knorm(const struct policy_scored *s, double *score, struct kv_error *err)
{
    const struct kv_stats *stats = s->stats;
    size_t n = (size_t)stats->n;
    int first, heads;
    enum kv_status status = score_heads_of_set(s, &first, &heads, err);
    if (status) return status;
    int group = stats->n_head / stats->n_kv_head, from = first / group, count = heads / group;
    if (!stats->key_norms) return kv_fail(err, KV_BAD_ARG, "Layer %d has no key norms to score by.", stats->layer);
    double *row = kv_alloc(n, sizeof *row), *pooled = kv_alloc(n, sizeof *pooled);
    if (!row || !pooled) status = kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %zu tokens.", n);
    for (int g = 0; g < count && !status; g++) {
        const float *norm = stats->key_norms + (size_t)(from + g) * n;
        for (size_t j = 0; j < n; j++) row[j] = -(double)norm[j];
        score_pool(s, row, pooled);
        reduce_row(s, pooled, g, count, score);
    }
    free(row);
    free(pooled);
    return status;
}

/* Softmax of a head's expected logits over the keys behind the sinks, which get 0. */
static void attention_to_come(const struct policy_scored *s, const float *logit, double *row)
{
    int n = s->stats->n, first = s->policy->sinks < n ? s->policy->sinks : n;
    double most = -INFINITY, sum = 0;
    for (int j = first; j < n; j++)
        if ((double)logit[j] > most) most = (double)logit[j];
    for (int j = 0; j < n; j++) {
        row[j] = j < first ? 0 : exp((double)logit[j] - most);
        sum += row[j];
    }
    for (int j = first; j < n; j++) row[j] /= sum;
}

enum kv_status score_expected(const struct policy_scored *s, double *score, struct kv_error *err)
{
    const struct kv_stats *stats = s->stats;
    size_t n = (size_t)stats->n;
    int first, heads, sinks = s->policy->sinks < stats->n ? s->policy->sinks : stats->n;
    enum kv_status status = score_heads_of_set(s, &first, &heads, err);
    if (status) return status;
    if (!stats->expected || !stats->value_norms)
        return kv_fail(err, KV_BAD_ARG, "Layer %d has no expected attention to score by.", stats->layer);
    double *row = kv_alloc(n, sizeof *row), *pooled = kv_alloc(n, sizeof *pooled), most = -INFINITY;
    if (!row || !pooled) status = kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %zu tokens.", n);
    for (int h = first; h < first + heads && !status; h++) {
        const float *norm = stats->value_norms + (size_t)(h / (stats->n_head / stats->n_kv_head)) * n;
        attention_to_come(s, stats->expected + (size_t)h * n, row);
        score_pool(s, row, pooled);
        for (size_t j = 0; j < n; j++) pooled[j] = (pooled[j] + s->policy->epsilon) * (double)norm[j];
        reduce_row(s, pooled, h - first, heads, score);
    }
    for (int j = sinks; j < stats->n && !status; j++)
        if (score[j] > most) most = score[j];
    for (int j = 0; j < sinks && !status; j++) score[j] = most > -INFINITY ? most : 0;
    free(row);
    free(pooled);
    return status;
}
