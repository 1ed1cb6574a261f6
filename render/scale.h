/* Values to [0, 1] for a color map: linear, log10 with a floor, or rank; and round numbers for ticks.
 *
 * Life: scale_open, scale_add over every value that will be drawn (any number of calls), scale_fit, then
 * scale_unit and scale_ticks. Values that are not finite are no data: they are not counted and come out as NaN.
 * Rank and clipping keep a histogram of 2^20 bins over the ordered bits of a float (4 MiB), so that percentiles
 * of any amount of data are exact to 1 part in 2048 of the value, in one pass. */
#ifndef RENDER_SCALE_H
#define RENDER_SCALE_H

#include "kernels/base.h"

enum scale_kind { SCALE_LINEAR, SCALE_LOG, SCALE_RANK };

/* Zeroed = linear from the data's smallest to its largest value. */
struct scale_view {
    enum scale_kind kind;
    bool fixed_min, fixed_max;  /* take min, max from here; else from the data */
    double min, max;            /* in the unit of the values */
    double clip_low, clip_high; /* percentiles 0..100 for ends that are not fixed; 0, 0 = no clipping */
    bool symmetric;             /* linear: ends as far below zero as above, so that zero is in the middle */
    double floor; /* log: smallest value shown; 0 = the smallest positive one, at most 8 decades down */
};

struct scale {
    struct scale_view view;
    double low, high; /* ends after scale_fit */
    double positive;  /* smallest value above 0 */
    size_t count;     /* values seen */
    uint32_t *bins;   /* rank and clip only: counts; after scale_fit, how many values lie below */
};

struct scale_tick {
    double at; /* 0..1 along the bar */
    char text[28];
};

/* KV_BAD_ARG for ends or percentiles in the wrong order. */
enum kv_status scale_open(struct scale *s, const struct scale_view *view, struct kv_error *err);
void scale_add(struct scale *s, const float *values, size_t n);

/* KV_BAD_ARG when a log scale has no positive value to show. */
enum kv_status scale_fit(struct scale *s, struct kv_error *err);
void scale_close(struct scale *s);

/* Place of v: 0 at the low end or below, 1 at the high end or above; NaN when v is no data. One value alone (low
 * = high) sits at 0.5. */
double scale_unit(const struct scale *s, double v);

/* About `want` ticks at round values, at most cap; utf8 writes powers of ten as 10⁻³, else 1e-03. */
size_t scale_ticks(const struct scale *s, size_t want, bool utf8, struct scale_tick *ticks, size_t cap);

/* What the reader must know of the scale: "log10 scale, floor 1e-08, clipped at percentiles 1 and 99". */
void scale_note(const struct scale *s, char *out, size_t size);

/* The unit with what is beside it on the bar where the scale is not plain: "nats; log10, clipped at 1 and 99 %". */
void scale_unit_text(const struct scale *s, const char *unit, char *out, size_t size);

/* The smallest of 1, 2, 5 times a power of ten that is >= rough (which is > 0). */
double scale_nice(double rough);

/* Shortest text of v to three significant digits ("0.0123", "1810", "2.4e-07"); n/a for what is not finite. */
void scale_text(double v, char *out, size_t size);

#endif
