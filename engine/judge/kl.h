/* How far one run's predictions lie from another's: KL divergence, top-1 agreement, where they part, summaries. */
#ifndef KV_JUDGE_KL_H
#define KV_JUDGE_KL_H

#include "kernels/base.h"

struct kl_step {
    double
        kl; /* KL(full || other) = sum p ln(p/q), nats, >= 0; infinite where q is 0 and p is not; NaN: see below */
    int32_t top_full, top_other; /* token of the largest logit, ties to the lower id; -1 = no number among them */
    bool agree;                  /* the same token, and both rows free of NaN */
};

/* Compares two rows of logits [n_vocab] f32 by their log-softmax, in f64. A logit of -infinity is probability 0. A
 * NaN, a +infinity, or a row without any finite logit makes kl NaN. */
void kl_compare(const float *full, const float *other, int n_vocab, struct kl_step *step);

/* -ln p of token id in one row of logits, nats; NaN when the row has no softmax. */
double kl_surprise(const float *logit, int n_vocab, int id);

/* NaN anywhere in what is summarized makes every figure of kl NaN; n_bad says how many steps did it. */
struct kl_summary {
    int n;                                   /* steps summarized */
    int n_bad;                               /* of these, steps without a number */
    double mean, median, p90, p95, p99, max; /* nats; percentiles interpolate linearly between order statistics */
    double top1;                             /* share of steps that agree, 0..1 */
    int first_apart; /* index (in the arrays given) of the first step that does not agree, -1 = none */
};

/* Summary of steps first..n-1: first = 1 leaves out the step that comes from the prefill alone. Without any step
 * the figures are NaN. KV_NO_MEMORY, KV_BAD_ARG (first negative). */
enum kv_status kl_summarize(
    const struct kl_step *step, int n, int first, struct kl_summary *summary, struct kv_error *err);

/* Index of the first token at which two replies differ; where one is the other's beginning, the shorter length; -1
 * when they are equal. */
int kl_first_divergent(const int32_t *a, int n_a, const int32_t *b, int n_b);

#endif
