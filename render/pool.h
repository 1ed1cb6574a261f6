/* A matrix too large for a picture, reduced row by row: blocks of rows_per x cols_per source values become one
 * cell. All blocks are of one size (the last of a row or column may be cut short), so a picture can say "mean of
 * 4 x 4". Memory is one row of cells. */
#ifndef RENDER_POOL_H
#define RENDER_POOL_H

#include "kernels/base.h"

enum pool_kind { POOL_MEAN, POOL_MAX };

struct pool {
    enum pool_kind kind;
    size_t rows, cols;         /* of the source */
    size_t rows_per, cols_per; /* source values a cell */
    size_t out_rows, out_cols; /* ceil(rows / rows_per), ceil(cols / cols_per) */
    size_t taken;              /* source rows so far */
    double *sum;               /* [out_cols] sum or max of the block so far */
    size_t *count;             /* [out_cols] */
    float *out;                /* [out_cols] */
};

/* Chooses the smallest blocks that give at most max_rows x max_cols cells. KV_BAD_ARG for an empty source or a
 * limit of 0. */
enum kv_status pool_open(struct pool *p, enum pool_kind kind, size_t rows, size_t cols, size_t max_rows,
    size_t max_cols, struct kv_error *err);

/* Takes the next source row [cols]; gives a row of cells [out_cols], valid until the next call, when one is
 * complete, else NULL. Values that are not finite are left out; a block without any finite value is NaN. */
const float *pool_add(struct pool *p, const float *row);

void pool_close(struct pool *p);

/* "mean" or "max". */
const char *pool_name(enum pool_kind kind);

#endif
