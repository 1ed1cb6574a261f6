/* From compared steps to the public verdict. */
#ifndef KV_VERDICT_H
#define KV_VERDICT_H

#include "engine/engine.h"
#include "engine/judge/kl.h"

/* Steps first..n-1 count. KV_NO_MEMORY. */
static inline enum kv_status verdict_of(
    const struct kl_step *step, int n, int first, struct kv_verdict *out, struct kv_error *err)
{
    struct kl_summary s;
    enum kv_status status = kl_summarize(step, n, first, &s, err);
    if (!status) *out = (struct kv_verdict){ s.n, s.mean, s.median, s.p99, s.max, s.top1, s.first_apart };
    return status;
}

#endif
