/* What entropy costs: the same prefill with it and without, taking turns in one process.
 *
 *     entropy MODEL TOKENS PAIRS [THREADS]
 *
 * The engine has no setting for this, for it always records entropy. So this program, alone among the benches,
 * looks inside the engine and puts a wrapper before the backend's attend() that drops the entropy from the request;
 * the statistics then leave it out too. Nothing but entropy is recorded (allocator entropy, selector streaming).
 * Prints one line: medians of both, and the median and extremes of the paired costs as shares of the prefill
 * without. */
#include "engine/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PAIRS = 64 };

static const struct kv_backend *backend;

static enum kv_status attend_without(void *ctx, const struct kv_attend *a, struct kv_error *err)
{
    struct kv_attend plain = *a;
    plain.entropy = NULL;
    return backend->attend(ctx, &plain, err);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Microseconds of one prefill. */
static enum kv_status prefill(struct kv_engine *e, bool entropy, double *us, struct kv_error *err)
{
    static struct kv_backend without;
    enum kv_status status = kv_start(e, err);
    if (status) return status;
    if (!backend) {
        backend = e->machine.be;
        without = *backend;
        without.attend = attend_without;
    }
    e->machine.be = entropy ? backend : &without;
    if (!entropy) e->record.needs &= ~(unsigned)KV_NEED_ENTROPY;
    double start = kv_now_us();
    status = kv_step(e, KV_UNIT_PHASE, err);
    *us = kv_now_us() - start;
    return status;
}

static enum kv_status open(const char *path, int n, const char *threads, struct kv_model **model,
    struct kv_engine **e, struct kv_error *err)
{
    const char *name[] = { "engine.stats", "engine.threads", "policy.allocator", "policy.selector" };
    const char *value[] = { "policy", threads, "entropy", "streaming" };
    enum kv_status status = kv_model_open(path, model, err);
    if (!status) status = kv_engine_open(*model, e, err);
    if (!status) status = kv_set(*e, name, value, (int)KV_COUNT(name), err);
    int32_t *ids = kv_alloc((size_t)n, sizeof *ids);
    if (!ids) status = kv_fail(err, KV_NO_MEMORY, "No memory for %d ids.", n);
    for (int i = 0; i < n && !status; i++) ids[i] = (int32_t)(i * 2654435761u % (unsigned)(*model)->shape.n_vocab);
    if (!status) status = kv_prompt_ids(*e, ids, n, NULL, 0, err);
    free(ids);
    return status;
}

int main(int argc, char **argv)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    struct kv_error err;
    double with[MAX_PAIRS], without[MAX_PAIRS], cost[MAX_PAIRS];
    int n = argc > 2 ? atoi(argv[2]) : 0, pairs = argc > 3 ? atoi(argv[3]) : 0;
    if (n < 1 || pairs < 1 || pairs > MAX_PAIRS)
        return fprintf(stderr, "Usage: entropy MODEL TOKENS PAIRS(1..%d) [THREADS]\n", MAX_PAIRS), 2;
    enum kv_status status = open(argv[1], n, argc > 4 ? argv[4] : "auto", &model, &e, &err);
    for (int i = -1; i < pairs && !status; i++) {
        int at = i < 0 ? 0 : i; /* the first pair warms up; then each side goes first in turn */
        status = prefill(e, i % 2 == 0, i % 2 == 0 ? &with[at] : &without[at], &err);
        if (!status) status = prefill(e, i % 2 != 0, i % 2 != 0 ? &with[at] : &without[at], &err);
        cost[at] = with[at] / without[at] - 1;
    }
    if (status)
        fprintf(stderr, "%s\n", err.text);
    else {
        qsort(with, (size_t)pairs, sizeof *with, ascending);
        qsort(without, (size_t)pairs, sizeof *without, ascending);
        qsort(cost, (size_t)pairs, sizeof *cost, ascending);
        printf(
            "mode=entropy tokens=%d pairs=%d with_ms=%.2f without_ms=%.2f cost=%.5f min_cost=%.5f max_cost=%.5f\n",
            n, pairs, with[pairs / 2] * 1e-3, without[pairs / 2] * 1e-3, cost[pairs / 2], cost[0], cost[pairs - 1]);
    }
    kv_engine_close(e);
    kv_model_close(model);
    return status != KV_OK;
}
