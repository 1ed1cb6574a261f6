/* Resampled means. */
#include "engine/bootstrap.h"

#include "engine/judge/percentile.h"

#include <math.h>
#include <stdlib.h>

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

enum kv_status bootstrap_mean(
    const double *value, int n, int resamples, uint64_t seed, struct bootstrap *out, struct kv_error *err)
{
    if (n < 1 || resamples < 1)
        return kv_fail(err, KV_BAD_ARG, "A bootstrap needs values and resamples, got %d and %d.", n, resamples);
    double *mean = kv_alloc((size_t)resamples, sizeof *mean), sum = 0;
    if (!mean) return kv_fail(err, KV_NO_MEMORY, "No memory for %d resamples.", resamples);
    for (int i = 0; i < n; i++) sum += value[i];
    out->mean = sum / n;
    for (int r = 0; r < resamples; r++) {
        double drawn = 0;
        for (int i = 0; i < n; i++) drawn += value[next(&seed) % (uint64_t)n];
        mean[r] = drawn / n;
    }
    percentile_sort(mean, resamples);
    out->low = isnan(out->mean) ? NAN : percentile(mean, resamples, 0.025);
    out->high = isnan(out->mean) ? NAN : percentile(mean, resamples, 0.975);
    free(mean);
    return KV_OK;
}
