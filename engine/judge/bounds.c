/* What a policy can save at most; see bytes.h. */
#include "engine/bytes.h"

#include <math.h>

double kv_cache_bytes(const struct kv_footprint *f, double context)
{
    double slid = f->window ? fmin(context, f->window) : context;
    return f->token * (f->sliding * slid + (1 - f->sliding) * context);
}

double kv_saved(double base, double cache, double kept) { return (1 - kept) * cache / (base + cache); }

double kv_kept_for(double base, double cache, double saved) { return 1 - saved * (base + cache) / cache; }

double kv_tokens_for(const struct kv_footprint *f, double saved, double kept)
{
    return saved < 1 - kept ? f->read / f->token * saved / (1 - kept - saved) : INFINITY;
}
