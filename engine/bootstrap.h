/* How far a mean over rows may be off: the percentile bootstrap (Efron & Tibshirani 1993), repeatable. A page of the
 * engine's public contract. */
#ifndef KV_BOOTSTRAP_H
#define KV_BOOTSTRAP_H

#include "kernels/base.h"

struct bootstrap {
    double mean;
    double low, high; /* 2.5 and 97.5 percentiles of the resamples' means, linear between order statistics */
};

/* Means of `resamples` draws of n values out of n, with replacement, by splitmix64 from `seed`. For a paired comparison
 * give the differences row by row. A value that is NaN makes all NaN. KV_BAD_ARG (n or resamples < 1), KV_NO_MEMORY. */
enum kv_status bootstrap_mean(
    const double *value, int n, int resamples, uint64_t seed, struct bootstrap *out, struct kv_error *err);

#endif
