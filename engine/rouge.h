/* ROUGE as Google's rouge-score counts it: lower-case words of [a-z0-9], F = 2PR / (P + R). A page of the
 * engine's public contract.
 *
 * C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries" (2004); the package is rouge-score 0.1.2, whose
 * figures these are. Other packages count otherwise (LongBench's cuts sentences at full stops, keeps case, and counts
 * each n-gram once): always say the flavor beside a figure. */
#ifndef KV_ROUGE_H
#define KV_ROUGE_H

#include "kernels/base.h"

#define ROUGE_FLAVOR "Google rouge-score"

enum rouge_kind {
    ROUGE_1,
    ROUGE_2,
    ROUGE_L,    /* one longest common subsequence, line ends ignored */
    ROUGE_LSUM, /* the same line by line, joined over the lines of the prediction */
    ROUGE_KINDS
};
extern const char *const rouge_name[ROUGE_KINDS]; /* "rouge1", ... */

struct rouge_score {
    double precision, recall, f; /* in 0..1 */
};

struct rouge_text {
    const char
        *text; /* bytes that are no ASCII letter or digit part words; lower-case U+0130 and U+212A as Python does */
    size_t bytes;
};

/* Scores a prediction against n >= 1 targets; of several, each kind takes the one with the largest F (the first of
 * equals). stem: words of more than three letters count by their stem (porter.h). KV_NO_MEMORY, KV_BAD_ARG (n < 1). */
enum kv_status rouge(const struct rouge_text *target, int n, const struct rouge_text *prediction, bool stem,
    struct rouge_score score[ROUGE_KINDS], struct kv_error *err);

#endif
