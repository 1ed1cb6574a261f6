/* Sorting and interpolation. */
#include "engine/judge/percentile.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void percentile_sort(double *value, int n) { qsort(value, (size_t)n, sizeof *value, ascending); }

double percentile(const double *sorted, int n, double share)
{
    double at = share * (n - 1);
    int below = (int)at;
    bool plain = below + 1 >= n || at == below || sorted[below] == sorted[below + 1];
    if (plain) return sorted[below]; /* 0 * inf and inf - inf are NaN */
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}
