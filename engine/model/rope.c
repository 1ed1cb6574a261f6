/* Tables of RoPE frequencies; see rope.h. */
#include "engine/model/rope.h"

#include <math.h>
#include <stdio.h>

static const float two_pi = 6.283185307179586F;

/* theta^(2c/dim); its inverse is the frequency, radians a position. Each is rounded to f32. */
static float power_of(const struct kv_shape *s, int pair)
{
    return (float)pow((double)s->rope_theta, (double)((float)(2 * pair) / (float)s->rope_dim));
}

/* --- what files say ------------------------------------------------------------------------------------------- */

static enum kv_status positive(float value, const char *what, struct kv_error *err)
{
    if (value > 0 && isfinite(value)) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "RoPE scaling has %s %g, expected a positive number.", what, (double)value);
}

/* What may be left out, so 0 stands for the default. */
static enum kv_status optional(float value, const char *what, struct kv_error *err)
{
    return value == 0 ? KV_OK : positive(value, what, err);
}

static enum kv_status check_context(const struct kv_rope_scaling *r, struct kv_error *err)
{
    if (r->original_context > 0) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "RoPE scaling has an original context of %d tokens, expected at least 1.",
        r->original_context);
}

/* Long waves are divided by factor, short ones kept, those between by a mix of both. */
static enum kv_status divisors_of_llama3(struct kv_shape *s, struct kv_error *err)
{
    struct kv_rope_scaling *r = &s->rope;
    enum kv_status status = check_context(r, err);
    if (!status) status = positive(r->factor, "factor", err);
    if (!status) status = positive(r->low_freq, "low_freq_factor", err);
    if (!status) status = positive(r->high_freq, "high_freq_factor", err);
    if (status) return status;
    if (!(r->high_freq > r->low_freq))
        return kv_fail(err, KV_BAD_FILE,
            "RoPE scaling has high_freq_factor %g, expected more than low_freq_factor %g.", (double)r->high_freq,
            (double)r->low_freq);
    float context = (float)r->original_context;
    for (int c = 0; c < s->rope_dim / 2; c++) {
        float wave = two_pi / (1.0F / power_of(s, c));
        float smooth = (context / wave - r->low_freq) / (r->high_freq - r->low_freq);
        if (wave < context / r->high_freq)
            r->divisor[c] = 1;
        else if (wave > context / r->low_freq)
            r->divisor[c] = r->factor;
        else
            r->divisor[c] = 1 / ((1 - smooth) / r->factor + smooth);
    }
    r->kind = KV_ROPE_DIVISORS;
    return KV_OK;
}

static enum kv_status check_yarn(const struct kv_rope_scaling *r, float theta, struct kv_error *err)
{
    enum kv_status status = check_context(r, err);
    if (!status) status = positive(r->factor, "factor", err);
    if (!status) status = optional(r->beta_fast, "beta_fast", err);
    if (!status) status = optional(r->beta_slow, "beta_slow", err);
    if (!status) status = optional(r->attention, "attention_factor", err);
    if (!status) status = optional(r->mscale, "mscale", err);
    if (!status) status = optional(r->mscale_all_dim, "mscale_all_dim", err);
    if (!status && !(theta > 1))
        status = kv_fail(err, KV_BAD_FILE, "RoPE scaling yarn takes a theta above 1, not %g.", (double)theta);
    return status;
}

/* Qwen's cards add YaRN to a model without touching its context length; what it makes readable is the factor's. */
static void stretch_context(struct kv_shape *s)
{
    double stretched = (double)s->rope.factor * s->rope.original_context;
    if (stretched > s->n_context && stretched <= 1 << 24) s->n_context = (int)stretched;
}

enum kv_status rope_settle(struct kv_shape *s, struct kv_error *err)
{
    struct kv_rope_scaling *r = &s->rope;
    enum kv_status status = KV_OK;
    if (s->rope_dim / 2 > KV_ROPE_PAIRS)
        return kv_fail(err, KV_UNSUPPORTED, "RoPE turns %d channels of a head; kvdbg takes up to %d.", s->rope_dim,
            2 * KV_ROPE_PAIRS);
    switch (r->kind) {
    case KV_ROPE_PLAIN: break;
    case KV_ROPE_LINEAR: return positive(r->factor, "factor", err);
    case KV_ROPE_YARN:
        status = check_yarn(r, s->rope_theta, err);
        if (!status) stretch_context(s);
        break;
    case KV_ROPE_LLAMA3: return divisors_of_llama3(s, err);
    case KV_ROPE_DIVISORS:
        for (int c = 0; c < s->rope_dim / 2 && !status; c++) status = positive(r->divisor[c], "a divisor of", err);
        break;
    }
    return status;
}

/* --- the table ------------------------------------------------------------------------------------------------ */

static double mscale(double factor, double by) { return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1; }

static float yarn_attention(const struct kv_rope_scaling *r)
{
    if (r->attention > 0) return r->attention;
    double factor = (double)r->factor;
    if (r->mscale > 0 && r->mscale_all_dim > 0)
        return (float)(mscale(factor, (double)r->mscale) / mscale(factor, (double)r->mscale_all_dim));
    return (float)mscale(factor, 1);
}

/* The channel (of dim) that turns so often within the original context. */
static double yarn_channel(const struct kv_shape *s, double turns)
{
    double context = (double)s->rope.original_context;
    return s->rope_dim * log(context / (turns * 2 * M_PI)) / (2 * log((double)s->rope_theta));
}

static float yarn_frequencies(const struct kv_shape *s, float *frequency)
{
    const struct kv_rope_scaling *r = &s->rope;
    double low = yarn_channel(s, r->beta_fast > 0 ? (double)r->beta_fast : 32);
    double high = yarn_channel(s, r->beta_slow > 0 ? (double)r->beta_slow : 1);
    if (!r->exact_ramp) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, s->rope_dim - 1);
    if (low == high) high += 0.001;
    for (int c = 0; c < s->rope_dim / 2; c++) {
        float power = power_of(s, c);
        float ramp = fminf(fmaxf(((float)c - (float)low) / (float)(high - low), 0), 1), keep = 1 - ramp;
        frequency[c] = 1.0F / (r->factor * power) * (1 - keep) + 1.0F / power * keep;
    }
    return yarn_attention(r);
}

float rope_frequencies(const struct kv_shape *s, float *frequency)
{
    if (s->rope.kind == KV_ROPE_YARN) return yarn_frequencies(s, frequency);
    for (int c = 0; c < s->rope_dim / 2; c++) {
        frequency[c] = 1.0F / power_of(s, c);
        if (s->rope.kind == KV_ROPE_LINEAR) frequency[c] /= s->rope.factor;
        if (s->rope.kind == KV_ROPE_DIVISORS) frequency[c] /= s->rope.divisor[c];
    }
    return 1;
}

/* The factor and the context that it stretches, then what is not as usual. */
static void describe_yarn(const struct kv_rope_scaling *r, char *text, size_t size)
{
    int n = snprintf(text, size, "yarn %g x %d", (double)r->factor, r->original_context);
    if (r->beta_fast > 0 || r->beta_slow > 0)
        n += snprintf(text + n, size - (size_t)n, ", beta %g %g", r->beta_fast > 0 ? (double)r->beta_fast : 32,
            r->beta_slow > 0 ? (double)r->beta_slow : 1);
    if (r->attention > 0 || r->mscale > 0)
        snprintf(text + n, size - (size_t)n, ", cosines x %.6g", (double)yarn_attention(r));
}

void rope_describe(const struct kv_shape *s, char *text, size_t size)
{
    const struct kv_rope_scaling *r = &s->rope;
    switch (r->kind) {
    case KV_ROPE_PLAIN: snprintf(text, size, "none"); break;
    case KV_ROPE_LINEAR: snprintf(text, size, "linear %g", (double)r->factor); break;
    case KV_ROPE_YARN: describe_yarn(r, text, size); break;
    case KV_ROPE_LLAMA3:
    case KV_ROPE_DIVISORS: snprintf(text, size, "llama3 (by channel)"); break;
    }
}
