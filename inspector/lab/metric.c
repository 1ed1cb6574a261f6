/* The list as a table. */
#include "inspector/lab/metric.h"

const struct metric_row metrics[METRIC_COUNT] = {
#define X(name, ...) { #name, __VA_ARGS__ },
    METRIC_LIST(X)
#undef X
};
