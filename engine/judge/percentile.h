/* Percentiles, linear between order statistics, as numpy's. */
#ifndef KV_JUDGE_PERCENTILE_H
#define KV_JUDGE_PERCENTILE_H

#include "kernels/base.h"

void percentile_sort(double *value, int n); /* ascending */

/* The value below which `share` (0..1) of n >= 1 sorted ones lie; infinities may be among them. */
double percentile(const double *sorted, int n, double share);

#endif
