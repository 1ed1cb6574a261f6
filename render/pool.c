/* Block mean or maximum over streamed rows. */
#include "render/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t blocks(size_t n, size_t per) { return n / per + (n % per != 0); }

enum kv_status pool_open(struct pool *p, enum pool_kind kind, size_t rows, size_t cols, size_t max_rows,
    size_t max_cols, struct kv_error *err)
{
    memset(p, 0, sizeof *p);
    if (!rows || !cols) return kv_fail(err, KV_BAD_ARG, "Nothing to draw: the matrix is %zu x %zu.", rows, cols);
    if (!max_rows || !max_cols) return kv_fail(err, KV_BAD_ARG, "A picture needs at least one cell a side.");
    p->kind = kind;
    p->rows = rows;
    p->cols = cols;
    p->rows_per = blocks(rows, max_rows);
    p->cols_per = blocks(cols, max_cols);
    p->out_rows = blocks(rows, p->rows_per);
    p->out_cols = blocks(cols, p->cols_per);
    p->sum = kv_alloc(p->out_cols, sizeof *p->sum);
    p->count = kv_alloc(p->out_cols, sizeof *p->count);
    p->out = kv_alloc(p->out_cols, sizeof *p->out);
    if (p->sum && p->count && p->out) return KV_OK;
    pool_close(p);
    return kv_fail(err, KV_NO_MEMORY, "No memory to pool rows of %zu values.", cols);
}

static void take(struct pool *p, const float *row)
{
    for (size_t c = 0, j = 0; c < p->out_cols; c++) {
        size_t end = kv_min(j + p->cols_per, p->cols);
        for (; j < end; j++) {
            double v = row[j];
            if (!isfinite(v)) continue;
            if (p->kind == POOL_MEAN)
                p->sum[c] += v;
            else
                p->sum[c] = p->count[c] ? fmax(p->sum[c], v) : v;
            p->count[c]++;
        }
    }
}

const float *pool_add(struct pool *p, const float *row)
{
    take(p, row);
    if (++p->taken % p->rows_per && p->taken != p->rows) return NULL;
    for (size_t c = 0; c < p->out_cols; c++) {
        double divisor = p->kind == POOL_MEAN ? (double)p->count[c] : 1;
        p->out[c] = p->count[c] ? (float)(p->sum[c] / divisor) : NAN;
        p->sum[c] = 0;
        p->count[c] = 0;
    }
    return p->out;
}

void pool_close(struct pool *p)
{
    free(p->sum);
    free(p->count);
    free(p->out);
    p->sum = NULL;
    p->count = NULL;
    p->out = NULL;
}

const char *pool_name(enum pool_kind kind) { return kind == POOL_MEAN ? "mean" : "max"; }
