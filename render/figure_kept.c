/* Retained tokens: classes when every position has a cell, else the share kept in each block. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/color.h"
#include "render/map.h"

enum { MAX_POSITIONS = 1600, NOTE = 32 };

struct reader {
    const struct figure_kept *kept;
    bool share;
};

static enum kv_status row(void *ctx, size_t l, float *out, struct kv_error *err)
{
    const struct reader *r = ctx;
    const uint8_t *state = r->kept->state + l * r->kept->positions;
    for (size_t j = 0; j < r->kept->positions; j++) {
        if (state[j] > COLOR_PINNED && state[j] != COLOR_HERE && state[j] != COLOR_THERE)
            return kv_fail(
                err, KV_BAD_ARG, "Layer %zu, position %zu: %d is no class of a kept map.", l, j, state[j]);
        if (!r->share)
            out[j] = state[j];
        else if (r->kept->compared)
            out[j] = state[j] == COLOR_HERE ? 1 : state[j] == COLOR_THERE ? -1 : 0;
        else
            out[j] = state[j] != COLOR_EVICTED;
    }
    return KV_OK;
}

static void count_kept(const struct figure_kept *kept, size_t l, char *out, size_t size)
{
    const uint8_t *state = kept->state + l * kept->positions;
    size_t n = 0, here = 0, there = 0;
    for (size_t j = 0; j < kept->positions; j++) {
        n += state[j] != COLOR_EVICTED;
        here += state[j] == COLOR_HERE;
        there += state[j] == COLOR_THERE;
    }
    if (kept->compared)
        snprintf(out, size, "%zu, %zu", here, there);
    else
        snprintf(out, size, "%zu  (%.1f %%)", n, 100.0 * (double)n / (double)kept->positions);
}

enum kv_status figure_kept(
    const char *path, const struct figure_kept *kept, const struct figure_view *view, struct kv_error *err)
{
    if (!kept->layers || !kept->positions)
        return kv_fail(
            err, KV_BAD_ARG, "Nothing to draw: %zu layers of %zu positions.", kept->layers, kept->positions);
    size_t side = view->max_side ? view->max_side : MAX_POSITIONS;
    struct reader reader = { kept, kept->positions > side || kept->layers > side };
    struct matrix source = { kept->layers, kept->positions, NULL, row, &reader, false };
    struct figure_view v = *view;
    char(*counts)[NOTE] = kv_alloc(kept->layers, sizeof *counts);
    const char **notes = kv_alloc(kept->layers, sizeof *notes);
    enum kv_status status =
        counts && notes ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %zu layers.", kept->layers);
    for (size_t l = 0; l < kept->layers && !status; l++) {
        count_kept(kept, l, counts[l], sizeof counts[l]);
        notes[l] = counts[l];
    }
    v.max_side = side;
    v.row_notes = notes;
    v.row_notes_title = kept->compared ? "only here, there" : "kept";
    if (reader.share) {
        v.pool = POOL_MEAN;
        v.unit = "share of positions kept";
        v.scale = (struct scale_view){ .fixed_min = true, .fixed_max = true, .min = 0, .max = 1 };
        if (kept->compared) {
            v.unit = "share of positions kept only here, less those only there";
            v.scale = (struct scale_view){ .symmetric = true };
            v.map = "diverging";
        }
    }
    if (!status) status = map_write(path, &source, &v, !reader.share, err);
    free(counts);
    free(notes);
    return status;
}
