/* Values as 16-bit grey, for exact re-reading. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/figure.h"

enum { NOTES = 64 };

static uint16_t grey(const struct scale *s, float v)
{
    double t = scale_unit(s, v);
    return isnan(t) ? 0 : (uint16_t)(1 + lround(t * 65534));
}

static enum kv_status write_rows(struct png_writer *w, const struct matrix *s, const struct scale *scale,
    float *row, uint16_t *out, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < s->rows && !status; i++) {
        status = matrix_row(s, i, row, err);
        if (status) break;
        for (size_t j = 0; j < s->cols; j++) out[j] = grey(scale, row[j]);
        status = png_writer_row(w, out, err);
    }
    return status;
}

enum kv_status figure_raw16(
    const char *path, const struct matrix *source, const struct figure_view *view, struct kv_error *err)
{
    struct scale scale = { 0 };
    struct scale_view linear = view->scale;
    struct png_note notes[NOTES];
    struct png_shape shape = { .width = source->cols, .height = source->rows, .kind = PNG_GREY16, .notes = notes };
    struct png_writer *w = NULL;
    char low[32], high[32];
    if (!source->rows || !source->cols || view->note_count > NOTES - 2)
        return kv_fail(err, KV_BAD_ARG, "Nothing to draw: %zu x %zu values, %zu notes (at most %d).", source->rows,
            source->cols, view->note_count, NOTES - 2);
    float *row = kv_alloc(source->cols, sizeof *row);
    uint16_t *out = kv_alloc(source->cols, sizeof *out);
    enum kv_status status =
        row && out ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a row of %zu values.", source->cols);
    linear.kind = SCALE_LINEAR;
    if (!status) status = scale_open(&scale, &linear, err);
    bool fixed = linear.fixed_min && linear.fixed_max;
    for (size_t i = 0; i < source->rows && !fixed && !status; i++) {
        status = matrix_row(source, i, row, err);
        if (!status) scale_add(&scale, row, source->cols);
    }
    if (!status) status = scale_fit(&scale, err);
    if (status) goto out;
    snprintf(low, sizeof low, "%.9g", scale.low);
    snprintf(high, sizeof high, "%.9g", scale.high);
    for (; shape.note_count < view->note_count; shape.note_count++)
        notes[shape.note_count] = view->notes[shape.note_count];
    notes[shape.note_count++] = (struct png_note){ "kvdbg:raw16-min", low };
    notes[shape.note_count++] = (struct png_note){ "kvdbg:raw16-max", high };
    status = png_writer_open(&w, path, &shape, err);
    if (!status) status = write_rows(w, source, &scale, row, out, err);
    if (!status) {
        status = png_writer_commit(w, err);
        w = NULL;
    }
out:
    png_writer_abandon(w);
    scale_close(&scale);
    free(row);
    free(out);
    return status;
}
