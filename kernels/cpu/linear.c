/* Matrix products: y[i][r] (+)= sum_c x[i][c] w[r][c] + bias[r], for several matrices that share x.
 *
 * x [n][cols] f32; w [rows][cols] in the blocks of its type; y [n][rows] f32; bias [rows] f32 or NULL. Flops:
 * 2*n*rows*cols. Bytes: w once per call (n small: bound by memory), 4*n*(cols + rows) from cache.
 *
 * Four ways, by precision and n:
 *   int8   int8, n >= KV_GEMM_ROWS, quantized types, where the processor has it (AVX-512 path): whole-number products of
 *          the weights of a few outputs at a time and of x, then f32 (simd/gemm_int8.c).
 *   bf16   fast, and what is left of int8, n >= KV_GEMM_ROWS, where the processor has it (AVX-512 path): weights of a
 *          few outputs at a time dequantised and rounded to bf16, x rounded to bf16, f32 sums (simd/gemm_bf16.c).
 *   gemv   fast and int8, n < KV_GEMM_ROWS, quantized types where there are vectors: weights exact,
 *          straight from their blocks; x in groups of 32 as 15-bit whole numbers times one f32 scale (|error| <=
 *          1.6e-5 of the group's largest), whole-number sums, then f32.
 *   f32    f32 precision, and whatever the others leave: weights dequantised a few rows at a time, f32 products
 *          and sums.
 * int8 is about x alone, and the same on every way: where weights are quantized, x is first rounded to 8 bits, with one
 * scale per 32 columns, or per 256 where that is the type's block (|error| <= 4e-3 of the group's largest). llama.cpp
 * cuts activations up likewise.
 * Each sums every output in one order whatever n, rows, panels and threads are; which way is taken depends on n.
 *
 * Measured by tests/bench/kernels_linear.c on 2 vCPU of a Zen 4 server, 2 threads, AVX-512 (36-48 GB/s read, 234
 * GFLOP/s f32, 468 bf16), SmolLM2-135M, Q4_1 layers, Q8_0 head; best of many runs:
 *   512 rows, all matrices of a layer   bf16 429 GFLOP/s (91 % of the peak), f32 202 (86 %)
 *   1 row, 30 layers (66 MB)            15-bit 2.3 ms (28 GB/s), int8 2.0, f32 9;    2 rows 3.3, 4 rows 5.6
 *   1 row, head (30 MB)                 15-bit 0.9 ms (33 GB/s), int8 0.9, f32 2.6;  2 rows 0.9, 4 rows 1.6
 * Every type, one core of a Zen 5 server, CPU time (38 GB/s read; bf16 peak 500 GFLOP/s), 1 row from memory:
 *   AVX-512  Q2_K 17 GB/s (52 G weights/s), Q3_K 18, Q4_0 27, Q4_1 25, Q4_K 24, IQ4_NL 23, IQ4_XS 15 to 24, Q5_0 24,
 *            Q5_1 24, Q5_K 25, Q6_K 28, Q8_0 27, F16 and BF16 25; 512 rows 400 to 450 GFLOP/s
 *   AVX2     Q2_K 6 GB/s (17 G weights/s), Q3_K 6, Q4_0 13, Q4_1 16, Q4_K 12, IQ4_NL 15, IQ4_XS 14, Q5_0 11, Q5_1 11,
 *            Q5_K 11, Q6_K 12, Q8_0 30, F16 13, BF16 11
 * Work on Q4_1 blocks is about as long as their reading at 1 row; from 2 rows on it is the longer.
 */
#include "kernels/cpu/ops.h"

#include <math.h>
#include <omp.h>

#define KV_GEMM_ROWS  16 /* of x: from here on, packing the weights costs less than reading them row by row */
#define KV_PANEL_MANY 48 /* outputs of a unit of work, f32, many rows of x; a multiple of every path's tile */
#define KV_PANEL_FEW  12 /* the same for few rows: what is dequantised should stay in the first cache */
#define KV_PANEL_GEMV 32

/* y of one output, in the order that every path keeps: the sum, then the bias, then what was there. */
static void finish(const struct kv_linear *l, int i, int r, float sum)
{
    float *y = l->y + (size_t)i * (size_t)l->w.rows + (size_t)r;
    if (l->bias) sum += l->bias[r];
    *y = l->add ? *y + sum : sum;
}

void kv_gemm_panel(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w)
{
    size_t cols = (size_t)l->w.cols, bytes = kv_type_bytes(l->w.type, cols);
    kv_dequantize(l->w.type, (const char *)l->w.data + (size_t)row * bytes, (size_t)rows * cols, w);
    for (int i = 0; i < n; i++)
        for (int r = 0; r < rows; r++) {
            const float *a = x + (size_t)i * cols, *b = w + (size_t)r * cols;
            float sum = 0;
            for (size_t c = 0; c < cols; c++) sum += a[c] * b[c];
            finish(l, i, row + r, sum);
        }
}

void kv_round_int8_row(const float *x, size_t cols, size_t group, float *y)
{
    for (size_t end = group; end <= cols; end += group, x += group, y += group) {
        float largest = 0;
        for (size_t c = 0; c < group; c++)
            if (fabsf(x[c]) > largest) largest = fabsf(x[c]);
        float step = largest < KV_TINY ? 0 : largest / 127, inverse = largest < KV_TINY ? 0 : 127 / largest;
        for (size_t c = 0; c < group; c++) y[c] = nearbyintf(x[c] * inverse) * step;
    }
}

static enum kv_status check(
    const struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, int n, struct kv_error *err)
{
    if (!cpu->reserved) return kv_fail(err, KV_NOT_NOW, "A matrix product before scratch was reserved.");
    if (n < 1 || n > cpu->limits.rows)
        return kv_fail(
            err, KV_BAD_ARG, "A matrix product of %d rows, where 1 to %d were reserved.", n, cpu->limits.rows);
    for (int k = 0; k < n_linear; k++) {
        const struct kv_matrix *w = &l[k].w;
        const struct kv_type_info *info = kv_type_info(w->type);
        if (!info) return kv_fail(err, KV_UNSUPPORTED, "A matrix has type number %d.", w->type);
        if (w->rows < 1 || w->cols < 1 || w->cols > cpu->limits.widest)
            return kv_fail(err, KV_BAD_ARG, "A matrix of %d x %d, where 1 to %d columns were reserved.", w->rows,
                w->cols, cpu->limits.widest);
        if (w->cols % info->elements)
            return kv_fail(err, KV_BAD_ARG, "A %s matrix has %d columns; it needs a multiple of %d.", info->name,
                w->cols, info->elements);
        if (w->cols != l->w.cols)
            return kv_fail(err, KV_BAD_ARG, "Matrices of one product have %d and %d columns.", l->w.cols, w->cols);
    }
    return KV_OK;
}

/* The matrix that unit of work u of `per` outputs is in, and its first row; moves u on. */
static const struct kv_linear *unit_at(const struct kv_linear *l, int per, int u, int *row)
{
    for (;; l++) {
        int units = (l->w.rows + per - 1) / per;
        if (u < units) break;
        u -= units;
    }
    *row = u * per;
    return l;
}

static int units_of(const struct kv_linear *l, int n_linear, int per)
{
    int units = 0;
    for (int k = 0; k < n_linear; k++) units += (l[k].w.rows + per - 1) / per;
    return units;
}

static enum kv_status run_f32(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    int per = n < KV_GEMM_ROWS ? KV_PANEL_FEW : KV_PANEL_MANY, units = units_of(l, n_linear, per);
    size_t panel = (size_t)per * (size_t)l->w.cols;
    float *scratch = kv_cpu_scratch(cpu, KV_SCRATCH_PANEL, panel * (size_t)cpu->threads * sizeof(float));
    if (!scratch) return kv_fail(err, KV_BAD_ARG, "No scratch for a panel of %d columns.", l->w.cols);
#pragma omp parallel num_threads(cpu->threads)
    {
        float *mine = scratch + panel * (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (int u = 0; u < units; u++) {
            int row;
            const struct kv_linear *one = unit_at(l, per, u, &row);
            cpu->ops->gemm(one, row, (int)kv_min((size_t)per, (size_t)(one->w.rows - row)), x, n, mine);
        }
    }
    return KV_OK;
}

/* Columns that share one 8-bit scale before they meet weights of this type; 0 = x is not rounded. */
static int coarse_group(const struct kv_cpu *cpu, int type)
{
    int elements = kv_type_info(type)->elements;
    return cpu->precision == KV_PRECISION_INT8 && elements > 1 ? elements : 0;
}

static enum kv_status run_gemv(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    int units = units_of(l, n_linear, KV_PANEL_GEMV), coarse = coarse_group(cpu, l->w.type);
    size_t cols = (size_t)l->w.cols, bytes = cpu->ops->quantized_bytes(l->w.cols);
    char *q = kv_cpu_scratch(cpu, KV_SCRATCH_X, (size_t)n * bytes);
    if (!q) return kv_fail(err, KV_BAD_ARG, "No scratch for %d rows of %d columns.", n, l->w.cols);
    for (int i = 0; i < n; i++) cpu->ops->quantize(x + (size_t)i * cols, l->w.cols, coarse, q + (size_t)i * bytes);
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int u = 0; u < units; u++) {
        int row;
        const struct kv_linear *one = unit_at(l, KV_PANEL_GEMV, u, &row);
        int rows = (int)kv_min(KV_PANEL_GEMV, (size_t)(one->w.rows - row));
        cpu->ops->gemv(one, row, rows, q, n, coarse != 0);
    }
    return KV_OK;
}

static enum kv_status run_bf16(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    int units = units_of(l, n_linear, KV_PACK_OUTPUTS);
    size_t cols = (size_t)l->w.cols, wide = kv_padded(cols), packed = kv_packed_bytes(cols);
    uint16_t *half = kv_cpu_scratch(cpu, KV_SCRATCH_X, (size_t)n * wide * sizeof *half);
    char *panel = kv_cpu_scratch(cpu, KV_SCRATCH_PANEL, packed * (size_t)cpu->threads);
    if (!half || !panel) return kv_fail(err, KV_BAD_ARG, "No scratch for %d rows of %d columns.", n, l->w.cols);
#pragma omp parallel num_threads(cpu->threads)
    {
        uint16_t *mine = (uint16_t *)(panel + packed * (size_t)omp_get_thread_num());
#pragma omp for schedule(static)
        for (int i = 0; i < n; i++) cpu->ops->to_bf16(x + (size_t)i * cols, cols, half + (size_t)i * wide);
#pragma omp for schedule(static)
        for (int u = 0; u < units; u++) {
            int row;
            const struct kv_linear *one = unit_at(l, KV_PACK_OUTPUTS, u, &row);
            int rows = (int)kv_min(KV_PACK_OUTPUTS, (size_t)(one->w.rows - row));
            cpu->ops->gemm_bf16(one, row, rows, half, n, mine);
        }
    }
    return KV_OK;
}

static enum kv_status run_int8(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    int units = units_of(l, n_linear, KV_PACK_OUTPUTS);
    size_t cols = (size_t)l->w.cols, wide = cols / KV_INT8_BLOCK, packed = kv_packed_int8_bytes(cols);
    size_t group = (size_t)coarse_group(cpu, l->w.type);
    struct kv_int8_block *q = kv_cpu_scratch(cpu, KV_SCRATCH_X, (size_t)n * wide * sizeof *q);
    char *panel = kv_cpu_scratch(cpu, KV_SCRATCH_PANEL, packed * (size_t)cpu->threads);
    if (!q || !panel) return kv_fail(err, KV_BAD_ARG, "No scratch for %d rows of %d columns.", n, l->w.cols);
#pragma omp parallel num_threads(cpu->threads)
    {
        struct kv_packed_int8 *mine = (void *)(panel + packed * (size_t)omp_get_thread_num());
#pragma omp for schedule(static)
        for (int i = 0; i < n; i++) cpu->ops->to_int8(x + (size_t)i * cols, cols, group, q + (size_t)i * wide);
#pragma omp for schedule(static)
        for (int u = 0; u < units; u++) {
            int row;
            const struct kv_linear *one = unit_at(l, KV_PACK_OUTPUTS, u, &row);
            int rows = (int)kv_min(KV_PACK_OUTPUTS, (size_t)(one->w.rows - row));
            cpu->ops->gemm_int8(one, row, rows, q, n, mine);
        }
    }
    return KV_OK;
}

typedef enum kv_status run_fn(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err);

static bool has_bf16(const struct kv_cpu *cpu) { return cpu->precision != KV_PRECISION_F32 && cpu->ops->gemm_bf16; }

static run_fn *way_of(const struct kv_cpu *cpu, int type, int n)
{
    if (n >= KV_GEMM_ROWS && coarse_group(cpu, type) && cpu->ops->gemm_int8) return run_int8;
    if (n >= KV_GEMM_ROWS) return has_bf16(cpu) ? run_bf16 : run_f32;
    bool gemv = cpu->precision != KV_PRECISION_F32 && cpu->ops->has_gemv && cpu->ops->has_gemv(type);
    return gemv ? run_gemv : run_f32;
}

/* One way for matrices that want x alike; run_gemv and run_int8 round it for themselves. */
static enum kv_status run(struct kv_cpu *cpu, run_fn *way, const struct kv_linear *l, int n_linear, const float *x,
    int n, struct kv_error *err)
{
    size_t cols = (size_t)l->w.cols, group = (size_t)coarse_group(cpu, l->w.type);
    if (!group || way == run_gemv || way == run_int8) return way(cpu, l, n_linear, x, n, err);
    float *rounded = kv_cpu_scratch(cpu, KV_SCRATCH_INT8, (size_t)n * cols * sizeof *rounded);
    if (!rounded) return kv_fail(err, KV_BAD_ARG, "No scratch for %d rows of %d columns.", n, l->w.cols);
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int i = 0; i < n; i++) cpu->ops->round_int8(x + (size_t)i * cols, cols, group, rounded + (size_t)i * cols);
    return way(cpu, l, n_linear, rounded, n, err);
}

void kv_cpu_linear_scratch_bytes(const struct kv_cpu *cpu, const struct kv_limits *limits, size_t bytes[])
{
    size_t rows = (size_t)limits->rows, wide = (size_t)limits->widest, threads = (size_t)cpu->threads;
    size_t per = rows < KV_GEMM_ROWS ? KV_PANEL_FEW : KV_PANEL_MANY;
    bytes[KV_SCRATCH_PANEL] = per * wide * threads * sizeof(float);
    if (cpu->ops->has_gemv)
        bytes[KV_SCRATCH_X] = kv_min(rows, KV_GEMM_ROWS - 1) * cpu->ops->quantized_bytes(limits->widest);
    if (has_bf16(cpu)) {
        bytes[KV_SCRATCH_X] = kv_max(bytes[KV_SCRATCH_X], rows * kv_padded(wide) * sizeof(uint16_t));
        bytes[KV_SCRATCH_PANEL] = kv_max(bytes[KV_SCRATCH_PANEL], kv_packed_bytes(wide) * threads);
    }
    if (cpu->precision != KV_PRECISION_INT8) return;
    if (cpu->ops->gemm_int8) {
        size_t x = rows * (wide / KV_INT8_BLOCK) * sizeof(struct kv_int8_block);
        bytes[KV_SCRATCH_X] = kv_max(bytes[KV_SCRATCH_X], x);
        bytes[KV_SCRATCH_PANEL] = kv_max(bytes[KV_SCRATCH_PANEL], kv_packed_int8_bytes(wide) * threads);
    } else
        bytes[KV_SCRATCH_INT8] = rows * wide * sizeof(float);
}

enum kv_status kv_cpu_linear(
    void *ctx, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_linear]++;
    if (n_linear < 1) return KV_OK;
    enum kv_status status = check(cpu, l, n_linear, n, err);
    if (status) return status;
    for (int k = 0, next; k < n_linear && !status; k = next) {
        run_fn *way = way_of(cpu, l[k].w.type, n);
        int group = coarse_group(cpu, l[k].w.type);
        for (next = k + 1; next < n_linear; next++)
            if (way_of(cpu, l[next].w.type, n) != way || coarse_group(cpu, l[next].w.type) != group) break;
        status = run(cpu, way, l + k, next - k, x, n, err);
    }
    return status;
}
