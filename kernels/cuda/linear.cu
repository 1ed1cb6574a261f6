/* Matrix products: y[i][r] (+)= sum_c x[i][c] w[r][c] + bias[r], for several matrices that share x.
 *
 * Shapes as in kernels/cpu/linear.c. Ways, by precision and n:
 *   gemv    n < 5 of quantized weights, n <= 8 of others, and any n in f32 precision: gemv.cuh, from the blocks. In f32 a
 *           row's bits must not tell how many came with it, so all rows go this way there.
 *   skinny  n >= 5 of quantized weights: skinny.cuh, from the blocks by tensor cores, 64 rows of x at a time, up to three
 *           times. A 4-bit block is read and multiplied in 1 to 2 times what reading it takes; dequantising it for
 *           cuBLAS writes and reads 4 bytes a weight, 8 times what the block has, so that pays from some 200 rows on.
 *           Where a GPU has too little shared memory for it: gemv up to 32 rows, 8 at a time.
 *   gemm    cuBLAS, bf16 x bf16 with f32 sums; weights of other types are rounded to bf16 into scratch, a panel of rows at
 *           a time, and so are rows of a number of columns that is no multiple of 8. Bytes of a panel: 2 a weight written
 *           and read besides its blocks. Bound: tensor cores for n > 300. A segment of 4096 rows has 8192 flops a weight:
 *           12 ps at 700 TFLOP/s, beside which 2.6 bytes, of a 4-bit block read and as bf16 written, take 0.6 ps of an
 *           H200 and 0.85 of an H100: 5 and 7 %, of a whole prefill some 4 and 5. Panels that stayed in L2 would cost
 *           half of that, but have 900 rows of 14336 columns: 112 tiles of 128 x 256 in 4096 rows, fewer than SMs.
 * int8 precision: where weights are quantized, x is first rounded to 8 bits on both ways, as on the CPU.
 * A product's bits depend on the way taken, and, with cuBLAS, on n. Not run on a GPU. */
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/skinny.h"

#define GEMV_RING_MOST 69632 /* bytes of a block's ring, of the type that has the largest */
#define GEMV_QUANTIZED 32    /* rows up to which quantized weights are read from their blocks */
#define SKINNY_LEAST   5     /* rows from which tensor cores take quantized weights */
#define SKINNY_TIMES   3     /* readings of the weights that cost less than dequantising them */
#define SKINNY_TALLEST (KV_CUDA_TICKETS / KV_GEMV_MATRICES * 128)
#define PANEL_BYTES    ((size_t)96 << 20) /* of weights as bf16 */
#define PLAIN_WARPS    8

/* ---- kernels ---- */

/* Float types whose rows do not begin at multiples of 16 bytes: a warp for each row of w. */
__global__ void __launch_bounds__(PLAIN_WARPS *KV_WARP) linear_plain_kernel(struct kv_gemv a)
{
    const struct kv_gemv_matrix *m = &a.m[0];
    int r = (int)blockIdx.x * PLAIN_WARPS + (int)threadIdx.x / KV_WARP, lane = (int)threadIdx.x % KV_WARP;
    if (r >= m->rows) return;
    const uint8_t *w = m->w + (size_t)r * a.row_bytes;
    for (int i = (int)blockIdx.y; i < a.n; i += (int)gridDim.y) {
        const float *x = a.x + (size_t)i * (size_t)a.cols;
        float sum = 0;
        for (int c = lane; c < a.cols; c += KV_WARP) sum = fmaf(kv_load_as_f32(a.type, w, (size_t)c), x[c], sum);
        sum = kv_warp_sum(sum);
        if (lane) continue;
        float *y = m->y + (size_t)i * (size_t)m->rows + (size_t)r;
        if (m->bias) sum += m->bias[r];
        *y = m->add ? *y + sum : sum;
    }
}

__global__ void __launch_bounds__(256) linear_bias_kernel(float *y, const float *bias, size_t rows, size_t count)
{
    size_t i = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (i < count) y[i] += bias[i % rows];
}

/* ---- launch ---- */

static void gemv_launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_gemv *a = (const struct kv_gemv *)args;
    bool quantized = kv_type_info(a->type)->elements > 1;
    if (!quantized && a->cols % 8) {
        dim3 grid(kv_cuda_blocks((size_t)a->m[0].rows, PLAIN_WARPS), (unsigned)(a->n < 1024 ? a->n : 1024));
        kv_cuda_launch(cu, "linear", grid, PLAIN_WARPS * KV_WARP, 0, linear_plain_kernel, *a);
    } else if (!kv_gemv_launch_float(cu, a) && !kv_gemv_launch_small(cu, a)) {
        kv_gemv_launch_k(cu, a);
    }
}

const struct kv_cuda_kind kv_cuda_gemv = { "linear", gemv_launch };

struct gemm_args {
    struct kv_linear l;
    const float *x;
    int n, group; /* columns of x that share an 8-bit scale; 0 = not rounded */
    int fresh;    /* x is not yet in scratch */
    int spare;
};

/* Columns as the GEMM has them: rows that begin at no multiple of 16 bytes would not go by tensor cores. */
static size_t padded(size_t cols) { return (cols + 7) & ~(size_t)7; }

static size_t x_bytes(size_t rows, size_t cols) { return (rows * padded(cols) * 2 + 255) & ~(size_t)255; }

static void gemm_panel(struct kv_cuda *cu, const struct gemm_args *a, const void *w, int row, int rows)
{
    const float one = 1, beta = a->l.add ? 1 : 0;
    int cols = (int)padded((size_t)a->l.w.cols);
    cublasStatus_t status = cublasGemmEx(cu->blas, CUBLAS_OP_T, CUBLAS_OP_N, rows, a->n, cols, &one, w, CUDA_R_16BF,
        cols, cu->scratch, CUDA_R_16BF, cols, &beta, a->l.y + row, CUDA_R_32F, a->l.w.rows, CUBLAS_COMPUTE_32F,
        CUBLAS_GEMM_DEFAULT);
    if (status != CUBLAS_STATUS_SUCCESS) kv_cuda_ok(cu, cublasGetStatusString(status), cudaErrorUnknown);
    cu->kernels++;
}

static void gemm_launch(struct kv_cuda *cu, const void *args)
{
    const struct gemm_args *a = (const struct gemm_args *)args;
    const struct kv_matrix *w = &a->l.w;
    size_t rows = (size_t)w->rows, cols = (size_t)w->cols, n = (size_t)a->n, stride = padded(cols);
    unsigned char *panel = cu->scratch + x_bytes((size_t)cu->limits.rows, (size_t)cu->limits.widest);
    if (a->fresh && a->group)
        kv_cuda_int8_to_bf16(cu, a->x, n * cols, a->group, cu->scratch);
    else if (a->fresh)
        kv_cuda_rows_to_bf16(cu, KV_TYPE_F32, a->x, n, cols, stride, cu->scratch);
    if (w->type == KV_TYPE_BF16 && stride == cols) {
        gemm_panel(cu, a, w->data, 0, w->rows);
    } else {
        size_t most = PANEL_BYTES / (stride * 2), panels = (rows + most - 1) / most;
        size_t each =
            kv_min(most, ((rows + panels - 1) / panels + 255) & ~(size_t)255); /* the last is no small one */
        size_t bytes = kv_type_bytes(w->type, cols);
        for (size_t row = 0; row < rows; row += each) {
            size_t count = kv_min(each, rows - row);
            kv_cuda_rows_to_bf16(cu, w->type, (const char *)w->data + row * bytes, count, cols, stride, panel);
            gemm_panel(cu, a, panel, (int)row, (int)count);
        }
    }
    if (a->l.bias)
        kv_cuda_launch(cu, "bias", kv_cuda_blocks(n * rows, 256), 256, 0, linear_bias_kernel, a->l.y, a->l.bias,
            rows, n * rows);
}

static const struct kv_cuda_kind gemm_kind = { "linear (cuBLAS)", gemm_launch };

size_t kv_cuda_linear_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    if (cu->precision == KV_PRECISION_F32) return 0;
    size_t gemm = x_bytes((size_t)limits->rows, (size_t)limits->widest) + PANEL_BYTES;
    return kv_max(gemm, kv_skinny_x_bytes(limits->widest) + kv_skinny_part_bytes(cu));
}

/* ---- the entry ---- */

/* Columns of which a block of the GEMV can keep one row of x beside what it fetches. */
static int gemv_widest(const struct kv_cuda *cu, bool quantized)
{
    size_t room = cu->prop.sharedMemPerBlockOptin - 1024 - GEMV_RING_MOST;
    bool halved =
        quantized && cu->precision != KV_PRECISION_F32; /* two planes of 8 bits, and what goes with 16 of them */
    return (int)(halved ? room * 2 / 5 : room / sizeof(float));
}

enum way { BY_GEMV, BY_SKINNY, BY_GEMM };

static enum way way_of(const struct kv_cuda *cu, const struct kv_matrix *w, const float *x, int n)
{
    bool quantized = kv_type_info(w->type)->elements > 1;
    if (cu->precision == KV_PRECISION_F32) return BY_GEMV;
    if (quantized && n >= SKINNY_LEAST && n <= SKINNY_TIMES * kv_skinny_most(cu, w->type) &&
        (uintptr_t)x % 16 == 0 && w->rows <= SKINNY_TALLEST)
        return BY_SKINNY;
    bool few = n <= (quantized ? GEMV_QUANTIZED : KV_CUDA_FEW) && w->cols <= gemv_widest(cu, quantized);
    return few ? BY_GEMV : BY_GEMM;
}

static enum kv_status check(
    const struct kv_cuda *cu, const struct kv_linear *l, int n_linear, int n, struct kv_error *err)
{
    if (!cu->reserved) return kv_fail(err, KV_NOT_NOW, "A matrix product before scratch was reserved.");
    if (n < 1 || n > cu->limits.rows)
        return kv_fail(
            err, KV_BAD_ARG, "A matrix product of %d rows, where 1 to %d were reserved.", n, cu->limits.rows);
    for (int k = 0; k < n_linear; k++) {
        const struct kv_matrix *w = &l[k].w;
        const struct kv_type_info *info = kv_type_info(w->type);
        if (!info) return kv_fail(err, KV_UNSUPPORTED, "A matrix has type number %d.", w->type);
        if (w->rows < 1 || w->cols < 1 || w->cols > cu->limits.widest)
            return kv_fail(err, KV_BAD_ARG, "A matrix of %d x %d, where 1 to %d columns were reserved.", w->rows,
                w->cols, cu->limits.widest);
        if (w->cols % info->elements)
            return kv_fail(err, KV_BAD_ARG, "A %s matrix has %d columns; it needs a multiple of %d.", info->name,
                w->cols, info->elements);
        if (cu->precision == KV_PRECISION_F32 && w->cols > gemv_widest(cu, false))
            return kv_fail(err, KV_UNSUPPORTED, "A matrix has %d columns; in f32 this GPU takes up to %d.", w->cols,
                gemv_widest(cu, false));
        if (w->cols != l->w.cols)
            return kv_fail(err, KV_BAD_ARG, "Matrices of one product have %d and %d columns.", l->w.cols, w->cols);
        if ((uintptr_t)w->data % 16)
            return kv_fail(
                err, KV_BAD_ARG, "A matrix does not begin at a multiple of 16 bytes of the GPU's memory.");
    }
    return KV_OK;
}

static int coarse_group(const struct kv_cuda *cu, int type)
{
    int elements = kv_type_info(type)->elements;
    return cu->precision == KV_PRECISION_INT8 && elements > 1 ? elements : 0;
}

/* The first of these matrices that one launch takes; returns how many. */
static int take_matrices(const struct kv_linear *l, int n_linear, int most, struct kv_gemv_matrix *m)
{
    int k = 0;
    for (; k < n_linear && k < most && l[k].w.type == l->w.type; k++) {
        m[k].w = (const uint8_t *)l[k].w.data;
        m[k].bias = l[k].bias;
        m[k].y = l[k].y;
        m[k].rows = l[k].w.rows;
        m[k].add = l[k].add;
    }
    return k;
}

static int push_gemv(struct kv_cuda *cu, const struct kv_linear *l, int n_linear, const float *x, int n)
{
    struct kv_gemv a = {};
    bool plain = kv_type_info(l->w.type)->elements == 1 && l->w.cols % 8;
    a.n_matrix = take_matrices(l, n_linear, plain ? 1 : KV_GEMV_MATRICES, a.m);
    a.x = x;
    a.row_bytes = kv_type_bytes(l->w.type, (size_t)l->w.cols);
    a.type = l->w.type;
    a.as = cu->precision == KV_PRECISION_F32    ? KV_GEMV_F32
           : cu->precision == KV_PRECISION_INT8 ? KV_GEMV_COARSE
                                                : KV_GEMV_FINE;
    a.n = n;
    a.cols = l->w.cols;
    kv_cuda_push(cu, &kv_cuda_gemv, &a, sizeof a);
    return a.n_matrix;
}

/* Rows of x from `row` on; fresh: they are not in scratch as halves yet. */
static int push_rows(
    struct kv_cuda *cu, const struct kv_linear *l, int n_linear, const float *x, int row, int n, bool fresh)
{
    struct kv_halves h = {};
    struct kv_skinny a = {};
    unsigned char *halves = cu->scratch + KV_SKINNY_ROWS * sizeof(float);
    h.x = x + (size_t)row * (size_t)l->w.cols;
    h.to = halves;
    h.scale = (float *)cu->scratch;
    h.n = n;
    h.cols = l->w.cols;
    h.tiles = kv_skinny_tiles(n);
    h.group = coarse_group(cu, l->w.type);
    if (fresh) kv_cuda_push(cu, &kv_cuda_halves, &h, sizeof h);
    a.n_matrix = take_matrices(l, n_linear, KV_GEMV_MATRICES, a.m);
    for (int k = 0; k < a.n_matrix; k++) a.m[k].y += (size_t)row * (size_t)a.m[k].rows;
    a.x = halves;
    a.scale = h.scale;
    a.part = (float *)(cu->scratch + kv_skinny_x_bytes(l->w.cols));
    a.ticket = cu->ticket;
    a.row_bytes = kv_type_bytes(l->w.type, (size_t)l->w.cols);
    a.type = l->w.type;
    a.n = n;
    a.cols = l->w.cols;
    a.tiles = h.tiles;
    kv_cuda_push(cu, &kv_cuda_skinny, &a, sizeof a);
    return a.n_matrix;
}

/* All rows, as many at a time as one launch takes. */
static enum kv_status push_skinny(struct kv_cuda *cu, const struct kv_linear *l, int n_linear, const float *x,
    int n, bool fresh, int *taken, struct kv_error *err)
{
    const int most = kv_skinny_most(cu, l->w.type);
    enum kv_status status = KV_OK;
    for (int row = 0; row < n && !status; row += most) {
        if (row) status = kv_cuda_room(cu, 0, err);
        if (!status) *taken = push_rows(cu, l, n_linear, x, row, kv_min(most, n - row), fresh || n > most);
    }
    return status;
}

static void push_gemm(struct kv_cuda *cu, const struct kv_linear *l, const float *x, int n, bool fresh)
{
    struct gemm_args a = {};
    a.l.w = l->w;
    a.l.bias = l->bias;
    a.l.y = l->y;
    a.l.add = l->add;
    a.x = x;
    a.n = n;
    a.group = coarse_group(cu, l->w.type);
    a.fresh = fresh;
    kv_cuda_push(cu, &gemm_kind, &a, sizeof a);
}

enum kv_status kv_cuda_linear(
    void *ctx, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (n_linear < 1) return KV_OK;
    enum kv_status status = check(cu, l, n_linear, n, err);
    enum way left = BY_GEMV; /* the x that the op before left in scratch is for this way, */
    int group = 0;           /* and rounded in these groups */
    for (int k = 0; k < n_linear && !status;) {
        size_t waiting = cu->n_op;
        status = kv_cuda_room(cu, 0, err);
        if (cu->n_op < waiting) left = BY_GEMV;
        if (status) break;
        enum way way = way_of(cu, &l[k].w, x, n);
        bool fresh = left != way || group != coarse_group(cu, l[k].w.type);
        left = way, group = coarse_group(cu, l[k].w.type);
        if (way == BY_SKINNY && n > kv_skinny_most(cu, l[k].w.type)) left = BY_GEMV; /* only the last rows are */
        int taken = 1;
        if (way == BY_GEMV)
            taken = push_gemv(cu, l + k, n_linear - k, x, n);
        else if (way == BY_SKINNY)
            status = push_skinny(cu, l + k, n_linear - k, x, n, fresh, &taken, err);
        else
            push_gemm(cu, l + k, x, n, fresh);
        k += taken;
    }
    return status;
}
