/* What can be measured of a prompt under a policy: the figures of evaluate and sweep, under one name each wherever they
 * stand. */
#ifndef KV_LAB_METRIC_H
#define KV_LAB_METRIC_H

#include "kernels/base.h"

#define METRIC_BY_EVALUATE 1u
#define METRIC_BY_SWEEP    2u
#define METRIC_BY_BOTH     3u

/* name in files and options; heading of a table or picture, of the figure times scale, in width columns with decimals; unit
 * of the figure itself; which commands measure it. The four of ROUGE are in the order of enum rouge_kind. */
#define METRIC_LIST(X)                                                                                             \
    X(kl, "KL nats", 8, 4, 1, "nats a token", METRIC_BY_BOTH)                                                      \
    X(top1, "top-1 %", 8, 1, 100, "share of steps", METRIC_BY_BOTH)                                                \
    X(mass, "mass %", 8, 1, 100, "share of the attention to the prompt", METRIC_BY_SWEEP)                          \
    X(rouge1, "rouge1", 7, 4, 1, "F, Google rouge-score", METRIC_BY_EVALUATE)                                      \
    X(rouge2, "rouge2", 7, 4, 1, "F, Google rouge-score", METRIC_BY_EVALUATE)                                      \
    X(rougeL, "rougeL", 7, 4, 1, "F, Google rouge-score", METRIC_BY_BOTH)                                          \
    X(rougeLsum, "rLsum", 7, 4, 1, "F, Google rouge-score", METRIC_BY_EVALUATE)                                    \
    X(found, "found %", 8, 1, 100, "share of the answers", METRIC_BY_EVALUATE)                                     \
    X(exact, "exact %", 8, 1, 100, "share of the rows", METRIC_BY_EVALUATE)                                        \
    X(kept, "kept", 7, 1, 1, "tokens a layer", METRIC_BY_EVALUATE)                                                 \
    X(share, "kept %", 7, 1, 100, "share of the prompt's tokens", METRIC_BY_SWEEP)                                 \
    X(prompt, "prompt", 7, 1, 1, "tokens", METRIC_BY_EVALUATE)                                                     \
    X(kv_bytes, "KV MiB", 8, 2, 1.0 / (1 << 20), "bytes", METRIC_BY_BOTH)                                          \
    X(full_bytes, "full MiB", 8, 2, 1.0 / (1 << 20), "bytes", METRIC_BY_EVALUATE)                                  \
    X(reply, "tokens", 7, 1, 1, "tokens", METRIC_BY_EVALUATE)                                                      \
    X(prefill_us, "prefill ms", 10, 1, 1e-3, "us", METRIC_BY_EVALUATE)                                             \
    X(compress_us, "compress ms", 11, 2, 1e-3, "us", METRIC_BY_BOTH)                                               \
    X(decode_us, "ms/tok", 7, 2, 1e-3, "us a token", METRIC_BY_BOTH)
enum metric {
#define X(name, ...) METRIC_##name,
    METRIC_LIST(X)
#undef X
        METRIC_COUNT
};

struct metric_row {
    const char *name, *heading;
    int width, decimals;
    double scale;
    const char *unit;
    unsigned by;
};
extern const struct metric_row metrics[METRIC_COUNT];

#endif
