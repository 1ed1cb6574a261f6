/* The bf16 GEMM of linear(), by oneDNN's matmul: y[n][r] (+)= bf16(x)[n][c] bf16(w)[r][c] + bias[r], f32 sums.
 *
 * Weights stay quantized in memory. One panel of outputs at a time (at most PANEL_BYTES as bf16) is dequantised
 * straight into the layout that oneDNN's AVX-512 kernels take without a copy of their own (BA16a64b2a: ops.pack),
 * then multiplied with all n rows. Cost of the packing: 2 bytes written per weight, about 3 % of the product at n
 * = 512. Primitives are kept by shape; a shape seen for the first time allocates, later ones do not.
 *
 * oneDNN cuts its work by the number of threads and by n: bits may depend on both (f32 precision never comes
 * here). Without the library, or where it has no such kernel, kv_gemm_open gives NULL and linear() uses f32. */
#include "kernels/cpu/ops.h"

#ifdef KV_HAVE_DNNL

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define PANEL_BYTES ((size_t)2 << 20)
#define SHAPES      24 /* a model has about 8: one for each width of output, with and without add; and n varies */

enum { SRC, WEIGHTS, DST, BIAS, SCRATCHPAD, ARGS };

struct shape {
    int n, rows, cols, stride; /* stride: of y, in f32 */
    bool bias, add;
};

struct product {
    struct shape shape;
    uint64_t used; /* 0 = empty place */
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[ARGS];
};

struct kv_gemm {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    uint64_t clock;
    void *scratchpad;
    size_t scratchpad_bytes;
    struct product product[SHAPES];
};

static void product_clear(struct product *p)
{
    for (int i = 0; i < ARGS; i++) dnnl_memory_destroy(p->memory[i]);
    dnnl_primitive_destroy(p->primitive);
    memset(p, 0, sizeof *p);
}

/* Describes the operands of a shape, md[SRC..BIAS]. */
static dnnl_status_t describe(const struct shape *s, dnnl_memory_desc_t md[])
{
    dnnl_dims_t src = { s->n, s->cols }, weights = { s->cols, s->rows }, dst = { s->n, s->rows };
    dnnl_dims_t src_step = { s->cols, 1 }, dst_step = { s->stride, 1 }, bias = { 1, s->rows };
    dnnl_dims_t bias_step = { s->rows, 1 };
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&md[SRC], 2, src, dnnl_bf16, src_step);
    if (!status) status = dnnl_memory_desc_init_by_tag(&md[WEIGHTS], 2, weights, dnnl_bf16, dnnl_BA16a64b2a);
    if (!status) status = dnnl_memory_desc_init_by_strides(&md[DST], 2, dst, dnnl_f32, dst_step);
    if (!status) status = dnnl_memory_desc_init_by_strides(&md[BIAS], 2, bias, dnnl_f32, bias_step);
    return status;
}

/* Settings of a product: scratch is ours, and `add` is the post-operation that adds what is in y. */
static dnnl_status_t settings(const struct shape *s, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (!status) status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (!status && s->add) status = dnnl_post_ops_create(&ops);
    if (!status && s->add) status = dnnl_post_ops_append_sum(ops, 1.0f);
    if (!status && s->add) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t product_fill(struct kv_gemm *gemm, const struct shape *s, struct product *p)
{
    dnnl_memory_desc_t md[ARGS];
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    const char *kernel = "";
    memset(p, 0, sizeof *p);
    dnnl_status_t status = describe(s, md);
    if (!status) status = settings(s, &attr);
    if (!status)
        status = dnnl_matmul_desc_init(&desc, &md[SRC], &md[WEIGHTS], s->bias ? &md[BIAS] : NULL, &md[DST]);
    if (!status) status = dnnl_primitive_desc_create(&pd, &desc, attr, gemm->engine, NULL);
    if (!status) status = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &kernel);
    if (!status && !strncmp(kernel, "ref", 3)) status = dnnl_unimplemented; /* its slow fallback */
    if (!status) status = dnnl_primitive_create(&p->primitive, pd);
    if (!status) {
        md[SCRATCHPAD] = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        size_t bytes = dnnl_memory_desc_get_size(&md[SCRATCHPAD]);
        if (bytes > gemm->scratchpad_bytes) {
            free(gemm->scratchpad);
            gemm->scratchpad = kv_alloc(bytes, 1);
            gemm->scratchpad_bytes = gemm->scratchpad ? bytes : 0;
            if (!gemm->scratchpad) status = dnnl_out_of_memory;
        }
    }
    for (int i = 0; i < ARGS && !status; i++)
        if (i != BIAS || s->bias)
            status = dnnl_memory_create(&p->memory[i], &md[i], gemm->engine, DNNL_MEMORY_NONE);
    p->shape = *s;
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    if (status) product_clear(p);
    return status;
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
    return a->n == b->n && a->rows == b->rows && a->cols == b->cols && a->stride == b->stride &&
           a->bias == b->bias && a->add == b->add;
}

/* The product of a shape, made if it is not there yet, in the place longest unused. */
static struct product *product_of(struct kv_gemm *gemm, const struct shape *s, dnnl_status_t *status)
{
    struct product *oldest = gemm->product;
    *status = dnnl_success;
    gemm->clock++;
    for (struct product *p = gemm->product; p < gemm->product + SHAPES; p++) {
        if (p->used && same_shape(&p->shape, s)) {
            p->used = gemm->clock;
            return p;
        }
        if (p->used < oldest->used) oldest = p;
    }
    product_clear(oldest);
    *status = product_fill(gemm, s, oldest);
    if (!*status) oldest->used = gemm->clock;
    return *status ? NULL : oldest;
}

struct kv_gemm *kv_gemm_open(int threads)
{
    struct kv_gemm *gemm = kv_alloc(1, sizeof *gemm);
    if (!gemm) return NULL;
    gemm->threads = threads;
    struct shape probe = { .n = 16, .rows = 64, .cols = 64, .stride = 64 };
    dnnl_status_t status = dnnl_engine_create(&gemm->engine, dnnl_cpu, 0);
    if (!status) status = dnnl_stream_create(&gemm->stream, gemm->engine, dnnl_stream_default_flags);
    if (!status) product_of(gemm, &probe, &status);
    if (!status) return gemm;
    kv_gemm_close(gemm);
    return NULL;
}

void kv_gemm_close(struct kv_gemm *gemm)
{
    if (!gemm) return;
    for (int i = 0; i < SHAPES; i++) product_clear(&gemm->product[i]);
    dnnl_stream_destroy(gemm->stream);
    dnnl_engine_destroy(gemm->engine);
    free(gemm->scratchpad);
    free(gemm);
}

const char *kv_gemm_name(void) { return "oneDNN bf16"; }

/* Outputs of one panel: whole blocks of KV_PACK_ROWS. */
static size_t panel_rows(size_t cols)
{
    size_t padded = (cols + 31) / 32 * 32, blocks = PANEL_BYTES / (padded * KV_PACK_ROWS * sizeof(uint16_t));
    return kv_max(blocks, 1) * KV_PACK_ROWS;
}

static size_t panel_bytes(size_t rows, size_t cols)
{
    return (rows + KV_PACK_ROWS - 1) / KV_PACK_ROWS * KV_PACK_ROWS * ((cols + 31) / 32 * 32) * sizeof(uint16_t);
}

void kv_gemm_scratch_bytes(const struct kv_limits *limits, size_t bytes[])
{
    size_t x = (size_t)limits->rows * (size_t)limits->widest * sizeof(uint16_t);
    size_t panel = kv_max(PANEL_BYTES, panel_bytes(KV_PACK_ROWS, (size_t)limits->widest));
    bytes[KV_SCRATCH_X] = kv_max(bytes[KV_SCRATCH_X], x);
    bytes[KV_SCRATCH_PANEL] = kv_max(bytes[KV_SCRATCH_PANEL], panel);
}

static void pack_panel(struct kv_cpu *cpu, const struct kv_matrix *w, int first, int rows, uint16_t *panel)
{
    size_t block = panel_bytes(KV_PACK_ROWS, (size_t)w->cols) / sizeof *panel;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int r = 0; r < rows; r += KV_PACK_ROWS)
        cpu->ops->pack(w, first + r, (int)kv_min(KV_PACK_ROWS, (size_t)(rows - r)),
            panel + (size_t)(r / KV_PACK_ROWS) * block);
}

static dnnl_status_t multiply(
    struct kv_gemm *gemm, const struct kv_linear *l, int first, int rows, uint16_t *x, int n, uint16_t *panel)
{
    dnnl_status_t status;
    struct shape s = { n, rows, l->w.cols, l->w.rows, l->bias != NULL, l->add };
    struct product *p = product_of(gemm, &s, &status);
    if (!p) return status;
    void *handle[ARGS] = { x, panel, l->y + first, (void *)(uintptr_t)(l->bias ? l->bias + first : NULL),
        gemm->scratchpad };
    static const int id[ARGS] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS,
        DNNL_ARG_SCRATCHPAD };
    dnnl_exec_arg_t args[ARGS];
    int count = 0;
    for (int i = 0; i < ARGS; i++) {
        if (!p->memory[i]) continue;
        if ((status = dnnl_memory_set_data_handle(p->memory[i], handle[i]))) return status;
        args[count++] = (dnnl_exec_arg_t){ id[i], p->memory[i] };
    }
    status = dnnl_primitive_execute(p->primitive, gemm->stream, count, args);
    return status ? status : dnnl_stream_wait(gemm->stream);
}

enum kv_status kv_gemm_run(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    size_t cols = (size_t)l->w.cols, most = panel_rows(cols), values = (size_t)n * cols;
    uint16_t *half = kv_cpu_scratch(cpu, KV_SCRATCH_X, values * sizeof *half);
    uint16_t *panel = kv_cpu_scratch(cpu, KV_SCRATCH_PANEL, panel_bytes(most, cols));
    if (!half || !panel) return kv_fail(err, KV_BAD_ARG, "No scratch for %d rows of %d columns.", n, l->w.cols);
    int threads_before = omp_get_max_threads(); /* what oneDNN asks for its own regions */
    omp_set_num_threads(cpu->threads);
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (size_t i = 0; i < values; i += KV_PARALLEL_GRAIN)
        cpu->ops->to_bf16(x + i, kv_min(KV_PARALLEL_GRAIN, values - i), half + i);
    dnnl_status_t status = dnnl_success;
    for (int k = 0; k < n_linear && !status; k++) {
        int rows = l[k].w.rows;
        for (int first = 0; first < rows && !status; first += (int)most) {
            int here = (int)kv_min(most, (size_t)(rows - first));
            pack_panel(cpu, &l[k].w, first, here, panel);
            status = multiply(cpu->gemm, &l[k], first, here, half, n, panel);
        }
    }
    omp_set_num_threads(threads_before);
    return status ? kv_fail(err, KV_DEVICE, "oneDNN could not multiply %d rows of %d columns (its status %d).", n,
                        l->w.cols, (int)status)
                  : KV_OK;
}

#else

struct kv_gemm *kv_gemm_open(int threads)
{
    (void)threads;
    return NULL;
}

void kv_gemm_close(struct kv_gemm *gemm) { (void)gemm; }

const char *kv_gemm_name(void) { return ""; }

void kv_gemm_scratch_bytes(const struct kv_limits *limits, size_t bytes[]) { (void)limits, (void)bytes; }

enum kv_status kv_gemm_run(
    struct kv_cpu *cpu, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    (void)cpu, (void)l, (void)n_linear, (void)x;
    return kv_fail(err, KV_UNSUPPORTED, "This build has no bf16 GEMM for %d rows.", n);
}

#endif
