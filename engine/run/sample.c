/* Greedy choice and drawing. */
#include "engine/run/sample.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
    float p; /* logit, then unnormalized probability */
    int32_t id;
};

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static uint64_t draw(struct sampler *s)
{
    uint64_t *t = s->state, result = rotl(t[1] * 5, 7) * 9, u = t[1] << 17;
    t[2] ^= t[0];
    t[3] ^= t[1];
    t[1] ^= t[2];
    t[0] ^= t[3];
    t[2] ^= u;
    t[3] = rotl(t[3], 45);
    return result;
}

/* splitmix64 spreads a small seed over the state, as the generator's authors advise. */
void sampler_seed(struct sampler *s, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        s->state[i] = z ^ (z >> 31);
    }
}

/* Two passes without a branch: over a vocabulary of 150,000 they take less time than a GPU's token may wait. */
int sample_greedy(const float *logits, int n)
{
    float most = n > 0 ? logits[0] : 0;
    int nan = 0, best = 0;
#pragma omp simd reduction(max : most) reduction(+ : nan)
    for (int i = 0; i < n; i++) {
        most = logits[i] > most ? logits[i] : most;
        nan += isnan(logits[i]);
    }
    if (nan) return -1;
    while (best < n - 1 && logits[best] != most) best++;
    return best;
}

static int by_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* How many of the sorted candidates survive the cuts; leaves their unnormalized probabilities and *total. */
static int cut(struct candidate *c, int n, const struct sampling *how, double *total)
{
    float top = c[0].p;
    if (how->top_k > 0 && how->top_k < n) n = how->top_k;
    double sum = 0;
    int kept = 0;
    for (; kept < n; kept++) {
        float p = expf((c[kept].p - top) / how->temperature);
        if (p < how->min_p) break;
        c[kept].p = p;
        sum += p;
    }
    double limit = how->top_p * sum, mass = 0;
    int last = 0;
    while (last < kept && mass < limit) mass += c[last++].p;
    *total = mass;
    return last;
}

enum kv_status sample_token(
    const float *logits, int n, const struct sampling *how, struct sampler *s, int32_t *token, struct kv_error *err)
{
    int best = sample_greedy(logits, n);
    if (best < 0 || !isfinite(logits[best]))
        return kv_fail(
            err, KV_EVENT, "The logits hold %s: nothing can be sampled.", best < 0 ? "NaN" : "no finite value");
    *token = best;
    if (how->temperature <= 0) return KV_OK;

    struct candidate *c = kv_alloc((size_t)n, sizeof *c);
    if (!c) return kv_fail(err, KV_NO_MEMORY, "No memory to sort %d logits.", n);
    for (int i = 0; i < n; i++) c[i] = (struct candidate){ logits[i], i };
    qsort(c, (size_t)n, sizeof *c, by_logit);
    double total, mass = 0;
    int kept = cut(c, n, how, &total);
    double at = (double)(draw(s) >> 11) * 0x1p-53 * total;
    int i = 0;
    while (i < kept - 1 && (mass += c[i].p) <= at) i++;
    *token = c[i].id;
    free(c);
    return KV_OK;
}
