/* The state of one online softmax row, with its entropy: shared by gcc and nvcc.
 *
 * For logits s seen so far with maximum m:  l = sum e^(s-m),  u = sum e^(s-m) (s-m),  every term of u in [-1/e,
 * 0]. Entropy of the softmax is H = ln l - u/l (nats); log-sum-exp is m + ln l. Shifting by m keeps f32 exact
 * to about 3e-6 nats at 128k keys whatever the offset of the logits; the form without the shift loses 4e-4. An
 * empty row has l = 0: its output is 0, its entropy 0, its lse KV_SOFTMAX_EMPTY. A logit of -inf weighs nothing; NaN logits
 * come out as NaN. */
#ifndef KV_SOFTMAX_H
#define KV_SOFTMAX_H

#include <math.h>

#ifdef __CUDACC__
#define KV_INLINE static __host__ __device__ __forceinline__
#else
#define KV_INLINE static inline
#endif

#define KV_SOFTMAX_EMPTY (-1e30f)  /* finite, so that empty - empty is 0 and not NaN */
#define KV_SOFTMAX_FAR   (-200.0f) /* s - m from which on e^(s-m) and 2^(s-m) are 0 in f32 */

struct kv_softmax {
    float m, l, u;
};

KV_INLINE struct kv_softmax kv_softmax_init(void)
{
    struct kv_softmax s = { KV_SOFTMAX_EMPTY, 0, 0 };
    return s;
}

/* Moves the state to a new maximum m >= s->m; returns the factor that rescales everything weighted by e^(s-m).
 */
KV_INLINE float kv_softmax_shift(struct kv_softmax *s, float m)
{
    float delta = s->m - m, c = expf(delta);
    s->u = c * (s->u + delta * s->l);
    s->l = c * s->l;
    s->m = m;
    return c;
}

/* Adds one logit; returns its weight e^(x - m). Rescale the output by *c first. */
KV_INLINE float kv_softmax_add(struct kv_softmax *s, float x, float *c)
{
    *c = x > s->m ? kv_softmax_shift(s, x) : 1;
    float shifted = x - s->m, e = expf(shifted);
    s->l += e;
    s->u += e == 0 ? 0 : e * shifted; /* 0 * -inf were NaN */
    return e;
}

/* Joins a second part of the same row; *ca and *cb rescale the two outputs. */
KV_INLINE void kv_softmax_merge(struct kv_softmax *a, struct kv_softmax b, float *ca, float *cb)
{
    float m = a->m > b.m ? a->m : b.m;
    *ca = kv_softmax_shift(a, m);
    *cb = kv_softmax_shift(&b, m);
    a->l += b.l;
    a->u += b.u;
}

KV_INLINE float kv_softmax_entropy(struct kv_softmax s) { return s.l == 0 ? 0 : logf(s.l) - s.u / s.l; }
KV_INLINE float kv_softmax_lse(struct kv_softmax s) { return s.l == 0 ? KV_SOFTMAX_EMPTY : s.m + logf(s.l); }

#endif
