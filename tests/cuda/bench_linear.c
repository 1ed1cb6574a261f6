/* Matrix products at the shapes of Mistral 7B, one kind of a layer at a time: where a decode step or a prefill misses its
 * floor, these say by which of them. */
#include "tests/cuda/bench.h"

#include "engine/model/random_row.h"

#include <math.h>
#include <stdlib.h>

#define MATRICES 3
#define SETS     16
#define PIECE    (1 << 20) /* weights made on the host; more are copies of them */

/* Matrices that take the same x. */
struct product {
    const char *name;
    int rows[MATRICES], cols;
};

static const struct product products[] = { { "qkv", { 4096, 1024, 1024 }, 4096 }, { "o", { 4096 }, 4096 },
    { "gate and up", { 14336, 14336 }, 4096 }, { "down", { 4096 }, 14336 }, { "head", { 32000 }, 4096 } };

/* Sets of them, more than the L2 cache holds. */
struct multiplying {
    void *ctx;
    struct kv_linear l[SETS][MATRICES];
    int n_set, n_matrix, n; /* n: rows of x */
    float *x;
};

static void *weights(void *ctx, int type, size_t count)
{
    size_t bytes = kv_type_bytes(type, count), piece = kv_min(bytes, kv_type_bytes(type, PIECE));
    char *device = bench.be->alloc(ctx, bytes);
    uint8_t *host = kv_alloc(piece, 1);
    if (!device || !host) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %zu weights.", count));
    random_row(type, host, kv_min(count, PIECE), 0.02F, random_stream(1, (uint64_t)type, 0));
    bench_must(bench.be->write(ctx, device, host, piece, &bench.err));
    for (size_t at = piece; at < bytes; at += piece)
        bench_must(bench.be->copy(ctx, device + at, device, kv_min(piece, bytes - at), &bench.err));
    bench_must(bench.be->sync(ctx, &bench.err));
    free(host);
    return device;
}

static void multiply(void *arg, int i)
{
    const struct multiplying *m = arg;
    bench_must(bench.be->linear(m->ctx, m->l[i % m->n_set], m->n_matrix, m->x, m->n, &bench.err));
}

static size_t count_of(const struct kv_linear *l) { return (size_t)l->w.rows * (size_t)l->w.cols; }

/* All matrices of a product, of one type; returns the bytes of one set. */
static double open_product(struct multiplying *m, const struct product *p, int type, int rows_most)
{
    double bytes = 0;
    int shrink = bench.smoke ? 64 : 1, cols = bench.smoke ? 256 : p->cols;
    for (m->n_matrix = 0; m->n_matrix < MATRICES && p->rows[m->n_matrix]; m->n_matrix++)
        bytes += (double)kv_type_bytes(type, (size_t)(p->rows[m->n_matrix] / shrink) * (size_t)cols);
    m->n_set = bench.smoke ? 2 : (int)fmin(SETS, ceil(4 * (double)bench.cache / bytes) + 1);
    m->x = bench_random(m->ctx, KV_TYPE_F32, (size_t)rows_most * (size_t)cols, 1.7F);
    for (int i = 0; i < m->n_set; i++)
        for (int k = 0; k < m->n_matrix; k++) {
            struct kv_linear *l = &m->l[i][k];
            *l = (struct kv_linear){ .w = { .type = type, .rows = p->rows[k] / shrink, .cols = cols } };
            l->w.data = weights(m->ctx, type, count_of(l));
            l->y =
                i ? m->l[0][k].y : bench.be->alloc(m->ctx, (size_t)rows_most * (size_t)l->w.rows * sizeof(float));
            if (!l->y) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d rows.", l->w.rows));
        }
    return bytes;
}

static void close_product(struct multiplying *m, int rows_most)
{
    const struct kv_linear *first = m->l[0];
    bench.be->release(m->ctx, m->x, (size_t)rows_most * (size_t)first->w.cols * sizeof(float));
    for (int i = 0; i < m->n_set; i++)
        for (int k = 0; k < m->n_matrix; k++) {
            struct kv_linear *l = &m->l[i][k];
            bench.be->release(m->ctx, (void *)(uintptr_t)l->w.data, kv_type_bytes(l->w.type, count_of(l)));
            if (!i) bench.be->release(m->ctx, l->y, (size_t)rows_most * (size_t)l->w.rows * sizeof(float));
        }
}

static void few_rows(struct multiplying *m, const struct product *p, double bytes)
{
    const char *type = kv_type_info(m->l[0][0].w.type)->name;
    for (m->n = 1; m->n <= 4; m->n *= 4) {
        struct samples time, share;
        bench_time(&time, m->ctx, multiply, m, 5, 20, bench.smoke ? 8 : 16 * m->n_set);
        share = bench_over(bytes / bench.copy * 1e8, &time);
        bench_row("%", &share, (struct bench_want){ .aim = 90 }, "%s, %s, %d row%s, as a share of copy bandwidth",
            p->name, type, m->n, m->n > 1 ? "s" : "");
    }
}

static void many_rows(struct multiplying *m, const struct product *p, int n)
{
    const char *type = kv_type_info(m->l[0][0].w.type)->name;
    double flops = 0;
    struct samples time, share;
    m->n = n;
    for (int k = 0; k < m->n_matrix; k++) flops += 2.0 * n * (double)count_of(&m->l[0][k]);
    bench_time(&time, m->ctx, multiply, m, 3, 10, 8);
    share = bench_over(flops / bench.matmul * 1e8, &time);
    bench_row("%", &share, (struct bench_want){ 0 }, "%s, %s, %d rows, as a share of cuBLAS", p->name, type, n);
}

void bench_linear(void)
{
    static const int type[] = { KV_TYPE_BF16, KV_TYPE_Q4_1, KV_TYPE_Q4_K, KV_TYPE_Q8_0 };
    int n = bench.smoke ? 40 : 4096, widest = bench.smoke ? 512 : 14336;
    const struct kv_backend_options options = { .precision = KV_PRECISION_FAST };
    const struct kv_limits limits = { n, 1, 1, 1, 1, 128, widest };
    struct multiplying m = { 0 };
    bench_must(bench.be->init(&options, &m.ctx, &bench.err));
    bench_must(bench.be->reserve(m.ctx, &limits, &bench.err));
    for (size_t t = 0; t < KV_COUNT(type); t++)
        for (size_t i = 0; i < KV_COUNT(products) && bench_left() > 0; i++) {
            if (bench.smoke && (t > 1 || i > 1)) continue;
            const struct product *p = &products[i];
            bool many = t < 2 && i + 1 < KV_COUNT(products); /* a prefill takes the head of its last row alone */
            double bytes = open_product(&m, p, type[t], many ? n : 4);
            few_rows(&m, p, bytes);
            if (many) many_rows(&m, p, n);
            close_product(&m, many ? n : 4);
        }
    bench.be->free(m.ctx);
}
