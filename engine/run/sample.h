/* The next token from a row of logits: greedy, or drawn after top-k, min-p and top-p have cut the row. */
#ifndef KV_SAMPLE_H
#define KV_SAMPLE_H

#include "kernels/base.h"

struct sampling {
    float temperature; /* 0 = greedy, and nothing else counts */
    int top_k;         /* 0 = all */
    float top_p;       /* keep the likeliest tokens whose probabilities sum to this; 1 = all */
    float min_p;       /* drop what is less likely than this share of the likeliest; 0 = none */
};

/* Random state of one run: xoshiro256**, Blackman & Vigna 2018. */
struct sampler {
    uint64_t state[4];
};
void sampler_seed(struct sampler *s, uint64_t seed);

/* Index of the largest logit, the lower one of equals; -1 when any logit is NaN. */
int sample_greedy(const float *logits, int n);

/* *token out. KV_EVENT when the row holds a NaN or nothing finite; KV_NO_MEMORY. The state moves on by one draw
 * when temperature > 0, by none when greedy. */
enum kv_status sample_token(const float *logits, int n, const struct sampling *how, struct sampler *s,
    int32_t *token, struct kv_error *err);

#endif
