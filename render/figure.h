/* The figures: plain arrays and a view in, one PNG file out.
 *
 * A caller may assume: the picture is legible at 100 %, names its scale, its unit, its pooling and what is no data,
 * and says so again in the file's notes; equal arguments give equal bytes (with the same FreeType and fonts); the
 * file appears whole or not at all; no matrix is held larger than the picture's cells. Values that are not finite
 * are drawn as no data. Labels may be any UTF-8.
 *
 * Every function gives KV_BAD_ARG for an empty matrix, an unknown color map or a scale that cannot be; KV_NOT_FOUND
 * when the fonts are missing; KV_IO when the file cannot be written; and whatever a row callback returned. */
#ifndef RENDER_FIGURE_H
#define RENDER_FIGURE_H

#include "render/matrix.h"
#include "render/png_writer.h"

struct figure_axis {
    const char *title;         /* NULL = none */
    const char *const *labels; /* one a row or column, or NULL; drawn beside the index where there is room */
    size_t first;              /* number of the first row or column */
};

/* Zeroed = untitled, magma, linear, mean, at most 1024 cells a side. All strings are only read. */
struct figure_view {
    const char *title, *subtitle;
    struct figure_axis x, y;
    const char *unit;             /* of the values, along the color bar: "entropy (nats)" */
    const char *map;              /* color.h; NULL = default */
    struct scale_view scale;      /* ends in the unit of the values */
    enum pool_kind pool;          /* how cells are made of values where they do not fit */
    size_t max_side;              /* cells, 1 to 4096; 0 = 1024 */
    bool square;                  /* cells as high as wide: for query x key maps, whose matrix is causal */
    const char *const *row_notes; /* a text right of each row (not pooled), or NULL */
    const char *row_notes_title;
    const uint8_t *gone; /* [cols] keys evicted: hatched in the rows from gone_from on; NULL = none */
    size_t gone_from;
    const uint8_t *sinks;         /* [cols] marked above the map; NULL = none */
    const struct png_note *notes; /* the recipe; the figure adds Title, kvdbg:rows, kvdbg:cols, kvdbg:scale and */
    size_t note_count;            /* kvdbg:pool itself */
    const char *fonts;            /* folder of DejaVu; NULL = text.h's search */
};

/* Heat map: entropy over layer x head, attention over query x key, anything. Values are printed in the cells when
 * they are large enough. */
enum kv_status figure_map(
    const char *path, const struct matrix *source, const struct figure_view *view, struct kv_error *err);

/* What each layer kept: state [layers][positions] u8, each one of color.h's COLOR_EVICTED .. COLOR_PINNED, or, compared,
 * COLOR_HERE and COLOR_THERE. Evicted
 * cells are hatched. More positions than fit: the share kept in each block, as color; where two runs are compared, the
 * share kept only in the first less that only in the second. */
struct figure_kept {
    size_t layers, positions;
    const uint8_t *state;
    bool compared; /* COLOR_KEPT: by both */
};
enum kv_status figure_kept(
    const char *path, const struct figure_kept *kept, const struct figure_view *view, struct kv_error *err);

/* Budgets by layer, in tokens: any array may be NULL; a NaN leaves its mark out. bytes are what a layer's cache
 * really takes. Uses the view's title, subtitle, y, notes and fonts. */
struct figure_budget {
    size_t layers;
    const double *requested, *applied, *used; /* [layers] tokens */
    const double *bytes;                      /* [layers] */
};
enum kv_status figure_budget(
    const char *path, const struct figure_budget *budget, const struct figure_view *view, struct kv_error *err);

/* Several matrices side by side on one scale: all heads of a layer, all layers of a head. panel opens number k, which
 * is read before the next is asked for, with the keys that are evicted in it ([cols], hatched from the view's gone_from
 * on; NULL = none); names are written above. Uses the view as figure_map does, but for row notes;
 * the axes' titles are said once. */
struct figure_grid {
    size_t panels;
    const char *const *names; /* [panels] */
    enum kv_status (*panel)(void *ctx, size_t k, struct matrix *out, const uint8_t **gone, struct kv_error *err);
    void *ctx;
};
enum kv_status figure_grid(
    const char *path, const struct figure_grid *grid, const struct figure_view *view, struct kv_error *err);

/* A row of numbers as columns from the lowest to their height, colored by class: a score curve, KL over steps. More
 * than fit: the largest of each block. The view's unit is along the y axis; the scale is linear or log. */
struct figure_plot {
    size_t n;
    const double *y;          /* [n]; NaN = no column */
    const uint8_t *role;      /* [n] enum color_role of each column */
    const char *const *names; /* [COLOR_ROLES] what classes are called here; NULL = as everywhere */
    double level;             /* a dashed line across, and what it is called; NULL = none */
    const char *level_text;
    double mark; /* the same up and down, between columns mark - 1 and mark */
    const char *mark_text;
};
enum kv_status figure_plot(
    const char *path, const struct figure_plot *plot, const struct figure_view *view, struct kv_error *err);

/* Exact values for re-reading: 16-bit grey, one pixel a value, nothing pooled. 0 = no data, 1 .. 65535 = linear
 * from min to max, which go into the notes kvdbg:raw16-min and kvdbg:raw16-max. The ends come from the view's
 * scale; those it does not fix are found in a first pass, so a callback is then called twice a row. */
enum kv_status figure_raw16(
    const char *path, const struct matrix *source, const struct figure_view *view, struct kv_error *err);

#endif
