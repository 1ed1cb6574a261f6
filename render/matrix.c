/* Reading and pooling. */
#include "render/matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kv_status matrix_row(const struct matrix *m, size_t i, float *out, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    if (m->data)
        memcpy(out, m->data + i * m->cols, m->cols * sizeof *out);
    else
        status = m->row(m->ctx, i, out, err);
    for (size_t j = i + 1; m->causal && j < m->cols; j++) out[j] = NAN;
    return status;
}

static enum kv_status keep(struct matrix_cells *c, size_t r, const float *cells, struct kv_error *err)
{
    size_t n = c->pool.out_cols;
    while (n && isnan(cells[n - 1])) n--;
    c->length[r] = n;
    c->nodata = c->nodata || n < c->pool.out_cols;
    c->row[r] = kv_alloc(n, sizeof(float));
    if (!c->row[r]) return kv_fail(err, KV_NO_MEMORY, "No memory for a row of %zu cells.", n);
    memcpy(c->row[r], cells, n * sizeof(float));
    for (size_t i = 0; i < n; i++) c->nodata = c->nodata || isnan(cells[i]);
    return KV_OK;
}

enum kv_status matrix_cells_read(struct matrix_cells *c, const struct matrix *m, enum pool_kind pool,
    size_t max_rows, size_t max_cols, struct scale *scale, struct kv_error *err)
{
    memset(c, 0, sizeof *c);
    enum kv_status status = pool_open(&c->pool, pool, m->rows, m->cols, max_rows, max_cols, err);
    if (status) return status;
    float *row = kv_alloc(m->cols, sizeof *row);
    c->row = kv_alloc(c->pool.out_rows, sizeof *c->row);
    c->length = kv_alloc(c->pool.out_rows, sizeof *c->length);
    if (!row || !c->row || !c->length)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for rows of %zu values.", m->cols);
    for (size_t i = 0; i < m->rows && !status; i++) {
        status = matrix_row(m, i, row, err);
        const float *cells = status ? NULL : pool_add(&c->pool, row);
        if (!cells) continue;
        scale_add(scale, cells, c->pool.out_cols);
        status = keep(c, i / c->pool.rows_per, cells, err);
    }
    free(row);
    return status;
}

float matrix_cell(const struct matrix_cells *c, size_t r, size_t i)
{
    return i < c->length[r] ? c->row[r][i] : NAN;
}

void matrix_cells_free(struct matrix_cells *c)
{
    for (size_t r = 0; c->row && r < c->pool.out_rows; r++) free(c->row[r]);
    free(c->row);
    free(c->length);
    pool_close(&c->pool);
    memset(c, 0, sizeof *c);
}

void matrix_pool_text(const struct matrix_cells *c, char *out, size_t size)
{
    const struct pool *p = &c->pool;
    bool pooled = p->rows_per > 1 || p->cols_per > 1;
    snprintf(out, size, "%s", "");
    if (pooled) snprintf(out, size, "%s of %zux%zu", pool_name(p->kind), p->rows_per, p->cols_per);
}
