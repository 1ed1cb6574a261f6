/* sweep: settings over lists of values, each combination from the same prefill, on one prompt or on rows of data. */
#ifndef KV_LAB_SWEEP_H
#define KV_LAB_SWEEP_H

#include "inspector/lab/metric.h"
#include "inspector/lab/task.h"

#define SWEEP_AXES    4
#define SWEEP_VALUES  64
#define SWEEP_CONFIGS 1024

struct sweep_axis {
    char name[64];
    char *value[SWEEP_VALUES]; /* [n] owned */
    int n;
};

struct sweep {
    struct sweep_axis axis[SWEEP_AXES];
    int n_axis, n_config; /* combinations, the last axis fastest */
    bool want[METRIC_COUNT];
    int tokens;                              /* of the full cache's reply */
    const char *prompts, *csv, *jsonl, *png; /* files, NULL = none */
    struct tasks tasks;                      /* of prompts; none: the session's request */
    double *value;                           /* [prompts][n_config][METRIC_COUNT], NaN = not measured */
    int n_prompt, done;                      /* prompts that are measured */
    int n_shown; /* combinations that are; fewer than n_config after Ctrl-C in one prompt */
};

/* Which value of each axis a combination takes. */
static inline int sweep_at(const struct sweep *w, int config, int axis)
{
    for (int a = w->n_axis - 1; a > axis; a--) config /= w->axis[a].n;
    return config % w->axis[axis].n;
}
/* Mean over the prompts that have the figure; NaN = none has. */
double sweep_mean(const struct sweep *w, int config, enum metric metric);

/* sweep_measure.c: all prompts and combinations to w->value; KV_STOPPED leaves those done. */
enum kv_status sweep_measure(struct session *s, struct sweep *w);

/* sweep_files.c */
enum kv_status sweep_csv(struct session *s, const struct sweep *w, const char *path);
enum kv_status sweep_jsonl(struct session *s, const struct sweep *w, const char *path);
/* The first metric asked for: a curve over one axis, a heat map over two. KV_BAD_ARG for more. */
enum kv_status sweep_png(struct session *s, const struct sweep *w, const char *path);

struct reaction cmd_sweep(struct session *s, const char *args);

#endif
