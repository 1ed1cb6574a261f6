/* evaluate: rows of data under several policies, from one prefill a row. */
#ifndef KV_LAB_EVALUATE_H
#define KV_LAB_EVALUATE_H

#include "inspector/lab/metric.h"
#include "inspector/lab/task.h"
#include "inspector/language/line.h"

#define EVALUATE_POLICIES 24
#define EVALUATE_TOTALS   8

/* One policy to measure, under the totals of the evaluation unless it keeps everything. */
struct evaluate_policy {
    char label[64];
    const char *name[LINE_WORDS], *value[LINE_WORDS]; /* [count] settings, the preset first */
    char text[1024];                                  /* what value[] points into */
    int count;
    bool full;
};

struct evaluation {
    struct tasks tasks;
    size_t from, to; /* rows of this shard */
    struct evaluate_policy policy[EVALUATE_POLICIES];
    int n_policy;
    double ratio[EVALUATE_TOTALS]; /* 0 = the total that the session has */
    int n_ratio;
    struct task_how how;
    bool stem;
    int tokens;          /* longest reply; 0 = decode.tokens */
    int judge;           /* tokens of the full cache's reply that KL is taken over; 0 = no KL */
    const char *results; /* NULL = in memory only */
};

/* One row under one policy and total. */
struct measured {
    size_t task;
    int policy, ratio;
    char key[65];               /* SHA-256 of all that the figures depend on */
    double value[METRIC_COUNT]; /* NaN = not measured; kept: of one layer, on average */
};

struct measures {
    struct measured *list;
    size_t n, cap;
};

/* --- measure.c: the engine's work -------------------------------------------------------------------------------- */

const struct measured *measures_find(const struct measures *done, const char *key); /* NULL = not there */
enum kv_status measures_add(struct measures *done, const struct measured *one, struct kv_error *err);

/* All rows under all policies to done: what is known already is taken from there, the rest is measured and handed to
 * keep (NULL = nobody) as it comes. KV_STOPPED when interrupted. */
typedef enum kv_status evaluate_keep(void *ctx, const struct measured *m, const char *reply);
enum kv_status evaluate_measure(struct session *s, const struct evaluation *v, const struct measures *known,
    struct measures *done, evaluate_keep *keep, void *ctx);

/* --- results.c: the file ----------------------------------------------------------------------------------------- */

struct results;
/* Opens the file to add to, and reads what it has: a line that is no result (cut short by a kill, say) is passed over.
 * KV_IO, KV_NO_MEMORY. */
enum kv_status results_open(
    struct session *s, const struct evaluation *v, struct measures *known, struct results **out);
evaluate_keep results_add; /* ctx = the results */
void results_close(struct results *r);

/* --- report.c: the table ----------------------------------------------------------------------------------------- */

void evaluate_report(struct session *s, const struct evaluation *v, const struct measures *done);

struct reaction cmd_evaluate(struct session *s, const char *args);

#endif
