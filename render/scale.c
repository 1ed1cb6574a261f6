/* Fitting, mapping, ticks. */
#include "render/scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIN_BITS = 20, BINS = 1 << BIN_BITS };

/* Floats in the order of their values become integers in the same order: flip all bits of negatives, the sign of
 * the others. */
static size_t bin_of(float v)
{
    uint32_t bits;
    v += 0.0f; /* -0 and 0 are one value */
    memcpy(&bits, &v, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31;
    return bits >> (32 - BIN_BITS);
}

/* The end of the bin nearest zero, which is the value itself for every float of at most 11 mantissa bits. */
static double bin_value(size_t bin)
{
    uint32_t bits = (uint32_t)bin << (32 - BIN_BITS);
    bits = bits >> 31 ? bits ^ UINT32_C(1) << 31 : ~(bits | ((UINT32_C(1) << (32 - BIN_BITS)) - 1));
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Values in bins before this one; the bins hold it after rank_bins. */
static size_t below(const struct scale *s, size_t bin) { return bin < BINS ? s->bins[bin] : s->count; }

/* Value at the nearest rank of a share (0..1) of the sorted data. */
static double quantile(const struct scale *s, double share)
{
    size_t rank = (size_t)llround(share * (double)(s->count - 1)), low = 0, high = BINS - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (below(s, mid + 1) > rank)
            high = mid;
        else
            low = mid + 1;
    }
    return fmin(fmax(bin_value(low), s->low), s->high);
}

enum kv_status scale_open(struct scale *s, const struct scale_view *view, struct kv_error *err)
{
    *s = (struct scale){ .view = *view, .low = INFINITY, .high = -INFINITY, .positive = INFINITY };
    if (!view->clip_low && !view->clip_high) s->view.clip_high = 100;
    double low = s->view.clip_low, high = s->view.clip_high;
    if (!(low >= 0 && low < high && high <= 100))
        return kv_fail(err, KV_BAD_ARG, "Clip percentiles must rise within 0 to 100, got %g and %g.", low, high);
    if ((view->fixed_min && !isfinite(view->min)) || (view->fixed_max && !isfinite(view->max)) ||
        (view->fixed_min && view->fixed_max && !(view->min < view->max)))
        return kv_fail(
            err, KV_BAD_ARG, "A scale needs its minimum below its maximum, got %g and %g.", view->min, view->max);
    if (!(view->floor >= 0 && isfinite(view->floor)))
        return kv_fail(err, KV_BAD_ARG, "The floor of a log scale must be 0 or more, got %g.", view->floor);
    if (view->kind != SCALE_RANK && low == 0 && high == 100) return KV_OK;
    s->bins = kv_alloc(BINS, sizeof *s->bins);
    if (!s->bins) return kv_fail(err, KV_NO_MEMORY, "No memory for the scale's histogram (4 MiB).");
    return KV_OK;
}

void scale_close(struct scale *s)
{
    free(s->bins);
    s->bins = NULL;
}

void scale_add(struct scale *s, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = values[i];
        if (!isfinite(v)) continue;
        s->low = fmin(s->low, v);
        s->high = fmax(s->high, v);
        if (v > 0) s->positive = fmin(s->positive, v);
        s->count++;
        if (s->bins) s->bins[bin_of(v)]++;
    }
}

static void rank_bins(struct scale *s)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < BINS; i++) {
        uint32_t here = s->bins[i];
        s->bins[i] = sum;
        sum += here;
    }
}

enum kv_status scale_fit(struct scale *s, struct kv_error *err)
{
    const struct scale_view *v = &s->view;
    if (s->bins) rank_bins(s);
    if (!s->count) s->low = 0, s->high = 1, s->positive = 1;
    double low = s->low, high = s->high;
    if (s->bins && s->count && v->kind != SCALE_RANK) {
        low = quantile(s, v->clip_low / 100);
        high = quantile(s, v->clip_high / 100);
    }
    s->low = v->fixed_min ? v->min : low;
    s->high = v->fixed_max ? v->max : high;
    if (v->symmetric) {
        s->high = fmax(fabs(s->low), fabs(s->high));
        s->low = -s->high;
    }
    if (v->kind == SCALE_LOG) {
        if (!(s->high > 0))
            return kv_fail(err, KV_BAD_ARG, "A log scale needs values above 0; the largest is %g.", s->high);
        double floor = v->floor > 0 ? v->floor : fmax(s->positive, s->high * 1e-8);
        s->low = fmin(fmax(s->low, floor), s->high);
    }
    if (s->low > s->high) {
        if (v->fixed_min)
            s->high = s->low;
        else
            s->low = s->high;
    }
    return KV_OK;
}

double scale_unit(const struct scale *s, double v)
{
    if (!isfinite(v)) return NAN;
    if (s->view.kind == SCALE_RANK) {
        size_t bin = bin_of((float)v);
        return s->count ? (double)(below(s, bin) + below(s, bin + 1)) / (2.0 * (double)s->count) : 0.5;
    }
    if (!(s->low < s->high)) return 0.5;
    if (v <= s->low) return 0;
    if (v >= s->high) return 1;
    if (s->view.kind == SCALE_LOG) return log10(v / s->low) / log10(s->high / s->low);
    return (v - s->low) / (s->high - s->low);
}

double scale_nice(double rough)
{
    double power = pow(10, floor(log10(rough)));
    static const double steps[] = { 1, 2, 5, 10 };
    for (size_t i = 0; i < KV_COUNT(steps); i++) {
        if (steps[i] * power >= rough * (1 - 1e-9)) return steps[i] * power;
    }
    return 10 * power;
}

void scale_text(double v, char *out, size_t size)
{
    double a = fabs(v);
    if (!isfinite(v))
        snprintf(out, size, "n/a");
    else if (a != 0 && (a < 1e-4 || a >= 1e7))
        snprintf(out, size, "%.2g", v);
    else if (a >= 100 || a == 0)
        snprintf(out, size, "%.0f", a == 0 ? 0.0 : v);
    else
        snprintf(out, size, "%.3g", v);
}

static size_t add_tick(const struct scale *s, struct scale_tick *ticks, size_t n, size_t cap, double v)
{
    if (n >= cap) return n;
    ticks[n].at = scale_unit(s, v);
    scale_text(v, ticks[n].text, sizeof ticks[n].text);
    return n + 1;
}

static size_t ticks_linear(const struct scale *s, size_t want, struct scale_tick *ticks, size_t cap)
{
    double step = scale_nice((s->high - s->low) / (double)want);
    int decimals = (int)fmax(0, -floor(log10(step) + 1e-9));
    size_t n = 0;
    for (double k = ceil(s->low / step - 1e-9); n < cap && k * step <= s->high + step * 1e-9; k++) {
        double v = k == 0 ? 0 : k * step;
        n = add_tick(s, ticks, n, cap, v);
        if (decimals <= 5 && fabs(v) < 1e7)
            snprintf(ticks[n - 1].text, sizeof ticks[n - 1].text, "%.*f", decimals, v);
    }
    return n;
}

static void power_text(int exponent, bool plain_text, bool utf8, char *out, size_t size)
{
    static const char *const digits[] = { "⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹" };
    char plain[8];
    if (plain_text) {
        snprintf(out, size, "%.*f", exponent < 0 ? -exponent : 0, pow(10, exponent));
        return;
    }
    if (!utf8) {
        snprintf(out, size, "1e%+03d", exponent);
        return;
    }
    snprintf(plain, sizeof plain, "%d", abs(exponent) % 1000);
    snprintf(out, size, "10%s", exponent < 0 ? "⁻" : "");
    for (const char *p = plain; *p; p++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s", digits[*p - '0']);
    }
}

static size_t ticks_log(const struct scale *s, size_t want, bool utf8, struct scale_tick *ticks, size_t cap)
{
    int first = (int)ceil(log10(s->low) - 1e-9), last = (int)floor(log10(s->high) + 1e-9);
    size_t n = 0;
    if (last - first >= 2) {
        int stride = (last - first) / (int)want + 1;
        bool plain_text = first >= -3 && last <= 4; /* all ticks in one form */
        for (int e = first; e <= last && n < cap; e += stride) {
            ticks[n].at = scale_unit(s, pow(10, e));
            power_text(e, plain_text, utf8, ticks[n].text, sizeof ticks[n].text);
            n++;
        }
        return n;
    }
    for (int e = first - 1; e <= last; e++) {
        for (int k = 0; k < 3; k++) {
            double v = (double[]){ 1, 2, 5 }[k] * pow(10, e);
            if (v >= s->low * (1 - 1e-9) && v <= s->high * (1 + 1e-9)) n = add_tick(s, ticks, n, cap, v);
        }
    }
    if (n >= 2) return n;
    n = add_tick(s, ticks, 0, cap, s->low);
    return add_tick(s, ticks, n, cap, s->high);
}

size_t scale_ticks(const struct scale *s, size_t want, bool utf8, struct scale_tick *ticks, size_t cap)
{
    size_t n = 0;
    want = kv_max(want, 1);
    if (!(s->low < s->high)) return add_tick(s, ticks, 0, cap, s->low);
    if (s->view.kind == SCALE_LINEAR) return ticks_linear(s, want, ticks, cap);
    if (s->view.kind == SCALE_LOG) return ticks_log(s, want, utf8, ticks, cap);
    for (size_t i = 0; i <= 4 && n < cap; i++) {
        n = add_tick(s, ticks, n, cap, quantile(s, (double)i / 4));
        ticks[n - 1].at = (double)i / 4;
    }
    return n;
}

static bool clips(const struct scale_view *v)
{
    return v->kind != SCALE_RANK && ((v->clip_low > 0 && !v->fixed_min) || (v->clip_high < 100 && !v->fixed_max));
}

void scale_unit_text(const struct scale *s, const char *unit, char *out, size_t size)
{
    static const char *const name[] = { "", "; log10", "; by rank" };
    const struct scale_view *v = &s->view;
    int n = snprintf(out, size, "%s%s", unit, name[v->kind]);
    if (clips(v) && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, "%s clipped at %g and %g %%", v->kind == SCALE_LOG ? "," : ";",
            v->clip_low, v->clip_high);
}

void scale_note(const struct scale *s, char *out, size_t size)
{
    static const char *const name[] = { "linear scale", "log10 scale", "rank scale" };
    const struct scale_view *v = &s->view;
    int n = snprintf(out, size, "%s", name[v->kind]);
    if (v->kind == SCALE_LOG && n > 0 && (size_t)n < size) {
        char low[28];
        scale_text(s->low, low, sizeof low);
        n += snprintf(out + n, size - (size_t)n, ", floor %s", low);
    }
    if (clips(v) && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, ", clipped at percentiles %g and %g", v->clip_low, v->clip_high);
}
