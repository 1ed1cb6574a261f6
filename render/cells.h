/* Heat maps, sparklines and bars as terminal text. Escape sequences (SGR only) appear when the view has color;
 * without color and UTF-8 the output is plain ASCII, labels aside. Every line ends in a newline and with the colors
 * reset; rows of cells and bars keep within the view's width, lines of words may be longer. */
#ifndef RENDER_CELLS_H
#define RENDER_CELLS_H

#include "render/color.h"
#include "render/matrix.h"

enum cells_color {
    CELLS_NONE, /* the ramp's characters */
    CELLS_8,    /* the same in eight colors */
    CELLS_256,  /* the map's ladder as background */
    CELLS_TRUE, /* the map itself as background */
};

/* Zeroed = 80 columns of plain ASCII, linear scale from the data. Strings are UTF-8 and only read. */
struct cells_view {
    enum cells_color color;
    bool utf8;
    bool half;    /* two rows a line by half blocks; needs utf8 and at least 256 colors, else ignored */
    size_t width; /* terminal columns, 20 or more; 0 = 80 */
    const char *title, *unit;
    const char *map;                     /* color.h */
    const char *row_prefix, *col_prefix; /* before the numbers: "L", "H" */
    size_t row_first, col_first;         /* numbers of the first row and column */
    struct scale_view scale;
    enum pool_kind pool;
    size_t max_rows; /* more are pooled; 0 = as many as there are */
};

/* Where text goes: called with whole lines, not NUL-ended. */
struct cells_out {
    void (*put)(void *ctx, const char *text, size_t n);
    void *ctx;
};

/* Title, column numbers, rows, and a bar that names the ends, unit, scale and pooling. KV_BAD_ARG for an empty matrix,
 * an unknown map, a view narrower than 20 columns; else as the matrix's callback says. */
enum kv_status cells_heat(
    const struct cells_out *out, const struct matrix *matrix, const struct cells_view *view, struct kv_error *err);

/* One line: label, a column a value (pooled to the width), then "min .. max unit". */
enum kv_status cells_spark(const struct cells_out *out, const char *label, const float *values, size_t n,
    const struct cells_view *view, struct kv_error *err);

/* A layer's budget in tokens; a NaN leaves its mark out. */
struct cells_bar {
    const char *label;
    double requested, applied, used;
    double most;        /* tokens at the full width, above 0 */
    const char *suffix; /* after the numbers, or NULL */
};

/* One line: label, bar (used, then applied beyond it, requested as a mark), the three numbers in that order of the
 * columns "requested applied used", suffix. */
enum kv_status cells_bar(
    const struct cells_out *out, const struct cells_bar *bar, const struct cells_view *view, struct kv_error *err);

/* One line that explains marks: "# used  = applied  | requested". */
enum kv_status cells_legend(const struct cells_out *out, const enum color_role *roles, size_t n,
    const struct cells_view *view, struct kv_error *err);

#endif
