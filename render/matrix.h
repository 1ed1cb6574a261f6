/* A matrix to draw, from an array or row by row, and its cells: what is left of it after pooling to the size of a
 * picture. Nothing of the source's size is ever held. */
#ifndef RENDER_MATRIX_H
#define RENDER_MATRIX_H

#include "render/pool.h"
#include "render/scale.h"

/* The callback fills out[cols] for row i; it is called in order, once a row. Values that are not finite are no
 * data. */
struct matrix {
    size_t rows, cols;
    const float *data; /* [rows][cols], or NULL: the callback gives the rows */
    enum kv_status (*row)(void *ctx, size_t i, float *out, struct kv_error *err);
    void *ctx;
    bool causal; /* columns after the row's own number are no data, whatever the source says */
};

/* Row i into out[cols]. */
enum kv_status matrix_row(const struct matrix *m, size_t i, float *out, struct kv_error *err);

/* Pooled rows, each without its trailing no-data, so that a causal map takes half. Zeroed = empty. */
struct matrix_cells {
    struct pool pool; /* sizes and factors */
    float **row;      /* [pool.out_rows] -> [length] */
    size_t *length;
    bool nodata; /* some cell holds none */
};

/* Reads the whole matrix once, pools it to at most max_rows x max_cols and adds every cell to the open scale. */
enum kv_status matrix_cells_read(struct matrix_cells *c, const struct matrix *m, enum pool_kind pool,
    size_t max_rows, size_t max_cols, struct scale *scale, struct kv_error *err);

/* One cell; NaN = no data. */
float matrix_cell(const struct matrix_cells *c, size_t r, size_t i);

void matrix_cells_free(struct matrix_cells *c);

/* "mean of 2x2", or "" when nothing was pooled. */
void matrix_pool_text(const struct matrix_cells *c, char *out, size_t size);

#endif
