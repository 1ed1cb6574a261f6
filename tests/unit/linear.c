/* The linear-algebra ops of the CPU backend: every instruction set against f64 sums, against the gguf package's
 * reading of the blocks, and against itself with other rows, panels and threads. */
#include "tests/unit/kernels.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const int all_types[] = {
#define X(name, number, elements, bytes, half, halves) number,
    KV_TYPE_LIST(X)
#undef X
};

static const char *const isa_missing[] = { "", "this CPU has no AVX2",
    "this CPU has no AVX-512 with BF16, VNNI, VBMI" };

/* Random blocks whose f16 fields are moderate: 0.0078 to 0.031, either sign. */
static void *random_weights(int type, size_t n)
{
    const struct kv_type_info *info = kv_type_info(type);
    size_t bytes = kv_type_bytes(type, n);
    uint8_t *w = kv_alloc(bytes, 1);
    for (size_t i = 0; i < bytes; i++) w[i] = (uint8_t)(random_bits() >> 13);
    for (size_t b = 0; b < bytes / (size_t)info->bytes; b++) {
        uint8_t *p = w + b * (size_t)info->bytes;
        uint16_t half[2] = { (uint16_t)(0x2000 | (random_bits() & 0x87ff)),
            (uint16_t)(0x2000 | (random_bits() & 0x87ff)) };
        float value = random_unit();
        if (type == KV_TYPE_F32) memcpy(p, &value, 4);
        if (type == KV_TYPE_BF16) memcpy(p, (char *)&value + 2, 2);
        memcpy(p + info->half, half, 2 * (size_t)info->halves);
    }
    return w;
}

/* One product of random operands, with what f64 says of it. */
struct product {
    struct kv_linear l;
    void *w;
    int n;
    float *x, *y, *start, *bias;
    double *sum;   /* [n][rows] exact result, bias and start included */
    double *scale; /* [n][rows] sum |x w| + |bias| + |start| */
    double *span;  /* [n][rows] sum over groups of columns, 32 unless measured anew, of max|x| * sum|w| */
};

static void product_free(struct product *p)
{
    free(p->w), free(p->x), free(p->y), free(p->start), free(p->bias), free(p->sum), free(p->scale), free(p->span);
}

/* span over groups of so many columns. */
static void product_measure(struct product *p, size_t group)
{
    size_t k = (size_t)p->l.w.cols, rows = (size_t)p->l.w.rows;
    float *w = kv_alloc(rows * k, sizeof *w);
    kv_dequantize(p->l.w.type, p->w, rows * k, w);
    for (size_t i = 0; i < (size_t)p->n; i++)
        for (size_t r = 0; r < rows; r++) {
            p->span[i * rows + r] = 0;
            for (size_t c = 0; c < k;) {
                double most = 0, weights = 0;
                for (size_t end = c + group; c < end && c < k; c++) {
                    most = fmax(most, fabs((double)p->x[i * k + c]));
                    weights += fabs((double)w[r * k + c]);
                }
                p->span[i * rows + r] += most * weights;
            }
        }
    free(w);
}

static struct product product_make(int type, int rows, int cols, int n, bool bias, bool add)
{
    struct product p = { .n = n };
    size_t k = (size_t)cols, out = (size_t)n * (size_t)rows;
    float *w = kv_alloc((size_t)rows * k, sizeof *w);
    p.w = random_weights(type, (size_t)rows * k);
    p.x = kv_alloc((size_t)n * k, sizeof *p.x);
    p.y = kv_alloc(out, sizeof *p.y);
    p.start = kv_alloc(out, sizeof *p.start);
    p.bias = kv_alloc((size_t)rows, sizeof *p.bias);
    p.sum = kv_alloc(out, sizeof *p.sum);
    p.scale = kv_alloc(out, sizeof *p.scale);
    p.span = kv_alloc(out, sizeof *p.span);
    random_x(p.x, (size_t)n * k);
    random_x(p.start, out);
    random_x(p.bias, (size_t)rows);
    kv_dequantize(type, p.w, (size_t)rows * k, w);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t r = 0; r < (size_t)rows; r++) {
            double sum = (bias ? p.bias[r] : 0) + (add ? (double)p.start[i * (size_t)rows + r] : 0);
            double scale = fabs(sum);
            for (size_t c = 0; c < k; c++) {
                double t = (double)p.x[i * k + c] * (double)w[r * k + c];
                sum += t, scale += fabs(t);
            }
            p.sum[i * (size_t)rows + r] = sum;
            p.scale[i * (size_t)rows + r] = scale;
        }
    p.l = (struct kv_linear){ { p.w, type, rows, cols }, bias ? p.bias : NULL, p.y, add };
    free(w);
    product_measure(&p, 32);
    return p;
}

/* With scratch full of NaN, as an earlier call may leave it. */
static void product_run(struct product *p, void *ctx)
{
    struct kv_cpu *cpu = ctx;
    struct kv_error err = { 0 };
    for (int i = 0; i < KV_SCRATCH_COUNT; i++)
        if (cpu->scratch[i].bytes) memset(cpu->scratch[i].p, 0xff, cpu->scratch[i].bytes);
    memcpy(p->y, p->start, (size_t)p->n * (size_t)p->l.w.rows * sizeof *p->y);
    CHECK(!kv_backend_cpu.linear(ctx, &p->l, 1, p->x, p->n, &err), "%s", err.text);
}

/* Every output within span_share of span + scale_share of scale. */
static void product_check(const struct product *p, double span_share, double scale_share)
{
    for (size_t i = 0; i < (size_t)p->n * (size_t)p->l.w.rows; i++) {
        double d = fabs((double)p->y[i] - p->sum[i]), tol = span_share * p->span[i] + scale_share * p->scale[i];
        if (d <= tol) continue;
        CHECK(false, "%s %d x %d, n %d, bias %d, add %d: row %zu output %zu is %.9g, must be %.9g +- %.2g",
            kv_type_info(p->l.w.type)->name, p->l.w.rows, p->l.w.cols, p->n, p->l.bias != NULL, p->l.add,
            i / (size_t)p->l.w.rows, i % (size_t)p->l.w.rows, (double)p->y[i], p->sum[i], tol);
        return;
    }
}

/* f32 sums of cols products in any order are within cols * 2^-24 of sum |x w|; two more for bias and add. */
static double f32_share(int cols) { return (cols + 4) * 0x1p-24; }

static void f32_of(enum kv_simd simd)
{
    static const int shape[][3] = { { 1, 256, 1 }, { 7, 256, 2 }, { 19, 512, 3 }, { 50, 768, 4 }, { 97, 256, 5 },
        { 13, 1280, 16 }, { 50, 256, 17 }, { 65, 256, 64 } };
    if (kv_cpu_choose_isa(simd) != (enum kv_isa)(simd - KV_SIMD_PLAIN)) SKIP(isa_missing[simd - KV_SIMD_PLAIN]);
    void *ctx = backend_open(simd, KV_PRECISION_F32, 2, 64, 1280);
    for (size_t t = 0; t < KV_COUNT(all_types); t++)
        for (size_t s = 0; s < KV_COUNT(shape); s++) {
            const struct kv_type_info *info = kv_type_info(all_types[t]);
            int cols = info->elements == 256  ? shape[s][1]
                       : info->elements == 32 ? shape[s][1] - 224
                                              : shape[s][1] - 219;
            struct product p = product_make(all_types[t], shape[s][0], cols, shape[s][2], s & 1, s & 2);
            product_run(&p, ctx);
            product_check(&p, 0, f32_share(cols));
            product_free(&p);
        }
    kv_backend_cpu.free(ctx);
}

static void f32_plain(void) { f32_of(KV_SIMD_PLAIN); }
static void f32_avx2(void) { f32_of(KV_SIMD_AVX2); }
static void f32_avx512(void) { f32_of(KV_SIMD_AVX512); }

static const int gemv_types[] = {
#define X(name, number, elements, bytes, half, halves) number,
    KV_QUANTIZED_LIST(X)
#undef X
};

/* Activations rounded to steps of max|x| / 32639 in each group of 32 (int8: / 127, in as many as a block has): half a step times sum |w|, with
 * one part in 2^20 for the scale's own rounding; weights exact; then f32 sums of one product per block. */
static void gemv_of(enum kv_simd simd, enum kv_precision precision)
{
    static const int shape[][3] = { { 1, 32, 1 }, { 3, 64, 2 }, { 70, 96, 3 }, { 33, 160, 4 }, { 35, 576, 5 },
        { 20, 1536, 1 }, { 5, 224, 9 }, { 40, 128, 15 }, { 70, 96, 16 }, { 33, 4640, 17 }, { 7, 576, 64 } };
    if (kv_cpu_choose_isa(simd) != (enum kv_isa)(simd - KV_SIMD_PLAIN)) SKIP(isa_missing[simd - KV_SIMD_PLAIN]);
    void *ctx = backend_open(simd, precision, 2, 64, 4864);
    bool coarse = precision == KV_PRECISION_INT8;
    for (size_t t = 0; t < KV_COUNT(gemv_types); t++)
        for (size_t s = 0; s < KV_COUNT(shape); s++) {
            if (!coarse && shape[s][2] >= 16) continue; /* bf16_gemm has these */
            int elements = kv_type_info(gemv_types[t])->elements;
            int cols = (shape[s][1] + elements - 1) / elements * elements;
            struct product p = product_make(gemv_types[t], shape[s][0], cols, shape[s][2], s & 1, s & 2);
            if (coarse) product_measure(&p, (size_t)elements);
            product_run(&p, ctx);
            product_check(&p, 0.5 / (coarse ? 127 : 32639) * (1 + 0x1p-20), f32_share(cols) + 0x1p-22);
            product_free(&p);
        }
    kv_backend_cpu.free(ctx);
}

static void fast_plain(void) { gemv_of(KV_SIMD_PLAIN, KV_PRECISION_FAST); }
static void fast_avx2(void) { gemv_of(KV_SIMD_AVX2, KV_PRECISION_FAST); }
static void fast_avx512(void) { gemv_of(KV_SIMD_AVX512, KV_PRECISION_FAST); }
static void int8_plain(void) { gemv_of(KV_SIMD_PLAIN, KV_PRECISION_INT8); }
static void int8_avx2(void) { gemv_of(KV_SIMD_AVX2, KV_PRECISION_INT8); }
static void int8_avx512(void) { gemv_of(KV_SIMD_AVX512, KV_PRECISION_INT8); }

/* Where there are no products of int8, int8 with many rows is what fast makes of x rounded beforehand; unquantized
 * weights meet x as it is. Each x is within half a step of where it was, on a whole number of steps. */
static void int8_rounds_first(void)
{
    enum { ROWS = 21, N = 17, COLS = 512 };
    for (size_t s = 0; s < KV_COUNT(all_simd); s++)
        for (size_t t = 0; t < KV_COUNT(all_types); t++) {
            if (kv_cpu_ops_of(kv_cpu_choose_isa(all_simd[s]))->gemm_int8 &&
                kv_type_info(all_types[t])->elements > 1)
                continue;
            void *fast = backend_open(all_simd[s], KV_PRECISION_FAST, 2, N, COLS);
            void *int8 = backend_open(all_simd[s], KV_PRECISION_INT8, 2, N, COLS);
            struct product p = product_make(all_types[t], ROWS, COLS, N, true, true);
            float *own = kv_alloc(ROWS * N, sizeof *own);
            size_t group = (size_t)kv_type_info(all_types[t])->elements;
            product_run(&p, int8);
            memcpy(own, p.y, ROWS * N * sizeof *own);
            for (size_t at = 0; at < (size_t)N * COLS && group > 1; at += group) {
                float most = 0;
                for (size_t c = at; c < at + group; c++) most = fmaxf(most, fabsf(p.x[c]));
                float step = most / 127;
                for (size_t c = at; c < at + group; c++) {
                    float was = p.x[c], steps = nearbyintf(was * (127 / most));
                    p.x[c] = steps * step;
                    CHECK(fabsf(steps) <= 127 && fabsf(p.x[c] - was) <= step * 0.5001f, "%g became %g", (double)was,
                        (double)p.x[c]);
                }
            }
            product_run(&p, fast);
            CHECK(!memcmp(own, p.y, ROWS * N * sizeof *own), "%s, path %zu: not the products of rounded x",
                kv_type_info(all_types[t])->name, s);
            free(own);
            product_free(&p);
            kv_backend_cpu.free(fast);
            kv_backend_cpu.free(int8);
        }
}

/* The 15 bits are there: the error of a coarse step would show. */
static void fast_is_finer_than_bf16(void)
{
    if (kv_cpu_choose_isa(KV_SIMD_AUTO) == KV_ISA_PLAIN) SKIP(isa_missing[KV_ISA_AVX2]);
    void *ctx = backend_open(KV_SIMD_AUTO, KV_PRECISION_FAST, 1, 4, 576);
    struct product p = product_make(KV_TYPE_Q4_1, 200, 576, 1, false, false);
    double own = 0, rounded = 0;
    float *x = kv_alloc(576, sizeof *x), *w = kv_alloc(200 * 576, sizeof *w);
    kv_dequantize(KV_TYPE_Q4_1, p.w, 200 * 576, w);
    for (int c = 0; c < 576; c++) {
        uint32_t bits;
        memcpy(&bits, &p.x[c], 4);
        bits = (bits + 0x8000) & 0xffff0000;
        memcpy(&x[c], &bits, 4);
    }
    product_run(&p, ctx);
    for (int r = 0; r < 200; r++) {
        double sum = 0;
        for (int c = 0; c < 576; c++) sum += (double)x[c] * (double)w[r * 576 + c];
        own += pow((double)p.y[r] - p.sum[r], 2);
        rounded += pow(sum - p.sum[r], 2);
    }
    CHECK(own < rounded / 16, "rms error %g, with bf16 activations %g", sqrt(own), sqrt(rounded));
    free(x), free(w);
    product_free(&p);
    kv_backend_cpu.free(ctx);
}

/* x and w rounded to bf16 (2^-8 each: 8 bits of significand), products and sums in f32. */
static void bf16_gemm(void)
{
    static const int shape[][3] = { { 64, 64, 16 }, { 63, 96, 17 }, { 200, 576, 64 }, { 70, 4608, 33 },
        { 1, 32, 16 } };
    if (kv_cpu_choose_isa(KV_SIMD_AUTO) != KV_ISA_AVX512) SKIP(isa_missing[KV_ISA_AVX512]);
    void *ctx = backend_open(KV_SIMD_AUTO, KV_PRECISION_FAST, 2, 64, 4613);
    for (size_t t = 0; t < KV_COUNT(all_types); t++)
        for (size_t s = 0; s < KV_COUNT(shape); s++) {
            int elements = kv_type_info(all_types[t])->elements;
            int cols = elements == 256  ? (shape[s][1] + 255) / 256 * 256
                       : elements == 32 ? shape[s][1]
                                        : shape[s][1] + 5;
            struct product p = product_make(all_types[t], shape[s][0], cols, shape[s][2], s & 1, s & 2);
            product_run(&p, ctx);
            product_check(&p, 0, 0x1p-7 + 0x1p-16 + f32_share(cols));
            product_free(&p);
        }
    kv_backend_cpu.free(ctx);
}

/* The same bits for every row whatever rows come with it and however many threads there are. */
static void same_bits(enum kv_simd simd, enum kv_precision precision, int type, int least, int most)
{
    static const int threads[] = { 1, 2, 3, 5 };
    int rows = 131, cols = kv_type_info(type)->elements == 256 ? 768 : 576 + 160;
    struct product p = product_make(type, rows, cols, most, true, true);
    float *first = kv_alloc((size_t)most * (size_t)rows, sizeof *first);
    for (size_t t = 0; t < KV_COUNT(threads); t++) {
        void *ctx = backend_open(simd, precision, threads[t], most, cols);
        p.n = most;
        product_run(&p, ctx);
        size_t bytes = (size_t)most * (size_t)rows * sizeof *first;
        if (!t) memcpy(first, p.y, bytes);
        CHECK(!memcmp(first, p.y, bytes), "%d threads change bits", threads[t]);
        for (int n = least; n < most; n += n < 6 ? 1 : 7)
            for (int i = 0; i + n <= most; i += n + 3) {
                struct product part = p;
                part.n = n;
                part.x += i * cols, part.y += i * rows, part.start += i * rows;
                part.l.y = part.y;
                product_run(&part, ctx);
                CHECK(!memcmp(first + i * rows, part.y, (size_t)(n * rows) * sizeof *first),
                    "%s, %d threads: %d rows from %d on differ from the same among %d", kv_type_info(type)->name,
                    threads[t], n, i, most);
            }
        kv_backend_cpu.free(ctx);
    }
    free(first);
    product_free(&p);
}

static void same_bits_f32(void)
{
    for (size_t s = 0; s < KV_COUNT(all_simd); s++) same_bits(all_simd[s], KV_PRECISION_F32, KV_TYPE_Q4_1, 1, 40);
    same_bits(KV_SIMD_AUTO, KV_PRECISION_F32, KV_TYPE_F16, 1, 40);
}

static void same_bits_fast(void)
{
    for (size_t s = 1; s < KV_COUNT(all_simd); s++)
        for (size_t t = 0; t < KV_COUNT(gemv_types); t++)
            same_bits(all_simd[s], KV_PRECISION_FAST, gemv_types[t], 1, 15);
    same_bits(KV_SIMD_AUTO, KV_PRECISION_FAST, KV_TYPE_Q4_1, 16, 61);
}

static void same_bits_int8(void)
{
    for (size_t t = 0; t < KV_COUNT(gemv_types); t++) {
        same_bits(KV_SIMD_AUTO, KV_PRECISION_INT8, gemv_types[t], 1, 15);
        same_bits(KV_SIMD_AUTO, KV_PRECISION_INT8, gemv_types[t], 16, 31);
    }
}

/* Several matrices in one call, of kinds that take different ways, give what each gives alone. */
static void together_in(enum kv_precision precision)
{
    static const int type[] = { KV_TYPE_Q4_1, KV_TYPE_Q8_0, KV_TYPE_Q6_K, KV_TYPE_Q4_0, KV_TYPE_F16 };
    enum { K = 5 };
    for (int n = 1; n <= 20; n += 19) {
        void *ctx = backend_open(KV_SIMD_AUTO, precision, 2, 20, 512);
        struct product p[K];
        struct kv_linear l[K];
        struct kv_error err = { 0 };
        for (int k = 0; k < K; k++) {
            p[k] = product_make(type[k], 30 + 41 * k, 512, n, k & 1, false);
            if (k) memcpy(p[k].x, p[0].x, (size_t)n * 512 * sizeof(float));
            product_run(&p[k], ctx);
            l[k] = p[k].l;
            l[k].y = kv_alloc((size_t)n * (size_t)l[k].w.rows, sizeof(float));
        }
        CHECK(!kv_backend_cpu.linear(ctx, l, K, p[0].x, n, &err), "%s", err.text);
        for (int k = 0; k < K; k++) {
            CHECK(!memcmp(l[k].y, p[k].y, (size_t)n * (size_t)l[k].w.rows * sizeof(float)),
                "matrix %d of one call differs from the same alone, n %d", k, n);
            free(l[k].y);
            product_free(&p[k]);
        }
        kv_backend_cpu.free(ctx);
    }
}

static void together(void)
{
    together_in(KV_PRECISION_FAST);
    together_in(KV_PRECISION_INT8);
}

static void nan_comes_out(void)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t s = 0; s < KV_COUNT(all_simd); s++)
        for (int precision = KV_PRECISION_FAST; precision <= KV_PRECISION_INT8; precision++)
            for (int n = 3; n <= 20; n += 17)
                for (size_t b = 0; b < KV_COUNT(bad); b++) {
                    void *ctx = backend_open(all_simd[s], (enum kv_precision)precision, 2, 20, 160);
                    struct product p = product_make(gemv_types[b], 21, 160, n, false, false);
                    p.x[160 + 77] = bad[b];
                    product_run(&p, ctx);
                    for (int r = 0; r < 21; r++) {
                        CHECK(isfinite(p.y[r]) && isfinite(p.y[42 + r]), "the neighbors of row 1 are not finite");
                        CHECK(!isfinite(p.y[21 + r]), "simd %zu precision %d n %d: %g in, output %d is %g", s,
                            precision, n, (double)bad[b], r, (double)p.y[21 + r]);
                        CHECK(b || isnan(p.y[21 + r]), "NaN in, output %d is %g", r, (double)p.y[21 + r]);
                    }
                    product_free(&p);
                    kv_backend_cpu.free(ctx);
                }
}

/* Zeros, and magnitudes at the ends of f32, through the activation's scale. */
static void extreme_activations(void)
{
    for (size_t s = 1; s < KV_COUNT(all_simd); s++) {
        void *ctx = backend_open(all_simd[s], KV_PRECISION_FAST, 1, 4, 64);
        struct product p = product_make(KV_TYPE_Q8_0, 5, 64, 1, false, false);
        memset(p.x, 0, 64 * sizeof *p.x);
        product_run(&p, ctx);
        for (int r = 0; r < 5; r++) CHECK(p.y[r] == 0, "0 in, %g out", (double)p.y[r]);
        p.x[3] = 1e-42f;
        p.x[40] = -2e-38f;
        product_run(&p, ctx);
        for (int r = 0; r < 5; r++) CHECK(fabsf(p.y[r]) < 1e-30f, "denormals in, %g out", (double)p.y[r]);
        p.x[3] = 1e35f;
        product_run(&p, ctx);
        for (int r = 0; r < 5; r++) CHECK(isfinite(p.y[r]), "1e35 in, %g out", (double)p.y[r]);
        product_free(&p);
        kv_backend_cpu.free(ctx);
    }
}

/* Nothing is read behind the last weight, where a mapped file may end. */
static void last_weight(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = 16 * page;
    char *area = mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED && !mprotect(area + span, page, PROT_NONE), "no guarded page");
    for (size_t s = 0; s < KV_COUNT(all_simd); s++)
        for (int precision = KV_PRECISION_FAST; precision <= KV_PRECISION_INT8; precision++) {
            void *ctx = backend_open(all_simd[s], (enum kv_precision)precision, 1, 17, 768);
            for (size_t t = 0; t < KV_COUNT(all_types); t++)
                for (int k = 1; k <= 3; k++)
                    for (int n = 1; n <= 17; n += 16) {
                        int elements = kv_type_info(all_types[t])->elements,
                            cols = elements == 1 ? 5 * k : elements * k;
                        struct product p = product_make(all_types[t], 7, cols, n, false, false);
                        size_t bytes = kv_type_bytes(all_types[t], 7 * (size_t)cols);
                        p.l.w.data = memcpy(area + span - bytes, p.w, bytes);
                        product_run(&p, ctx);
                        if (precision == KV_PRECISION_INT8) product_measure(&p, 256);
                        product_check(&p, 0.5 / (precision == KV_PRECISION_INT8 ? 126 : 32639), 0x1p-7 + 0x1p-16);
                        product_free(&p);
                    }
            kv_backend_cpu.free(ctx);
        }
    munmap(area, span + page);
}

static void refusals(void)
{
    void *ctx = backend_open(KV_SIMD_AUTO, KV_PRECISION_FAST, 1, 8, 256);
    float x[2048] = { 0 }, y[64];
    uint8_t w[4096] = { 0 };
    struct kv_linear good = { { w, KV_TYPE_Q4_1, 4, 64 }, NULL, y, false }, l[2];
    static const struct {
        int type, rows, cols, n;
        const char *says;
    } bad[] = { { KV_TYPE_Q4_1, 4, 65, 1, "65 columns" }, { KV_TYPE_Q6_K, 4, 32, 1, "multiple of 256" },
        { 77, 4, 64, 1, "77" }, { KV_TYPE_Q4_1, 4, 512, 1, "4 x 512" }, { KV_TYPE_Q4_1, 0, 64, 1, "0 x 64" },
        { KV_TYPE_Q4_1, 4, 64, 9, "1 to 8" }, { KV_TYPE_Q4_1, 4, 64, 0, "0 rows" },
        { KV_TYPE_Q4_1, 4, -32, 1, "4 x -32" } };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_error err = { 0 };
        l[0] = good;
        l[0].w = (struct kv_matrix){ w, bad[i].type, bad[i].rows, bad[i].cols };
        enum kv_status status = kv_backend_cpu.linear(ctx, l, 1, x, bad[i].n, &err);
        CHECK(status && strstr(err.text, bad[i].says), "case %zu gave status %d: %s", i, status, err.text);
    }
    struct kv_error err = { 0 };
    l[0] = l[1] = good;
    l[1].w.cols = 96;
    CHECK(kv_backend_cpu.linear(ctx, l, 2, x, 1, &err) && strstr(err.text, "64 and 96"), "said: %s", err.text);
    CHECK(!kv_backend_cpu.linear(ctx, &good, 1, x, 1, &err), "a good product was refused: %s", err.text);
    int32_t id = 4;
    CHECK(kv_backend_cpu.embed(ctx, &good.w, &id, 1, y, &err) && strstr(err.text, "vocabulary of 4"), "said: %s",
        err.text);
    float frequency[4] = { 1 };
    struct kv_rope rope = { frequency, 1, 7, false };
    CHECK(kv_backend_cpu.rope(ctx, &rope, &id, x, 1, 1, 64, &err) && strstr(err.text, "7 of 64"), "said: %s",
        err.text);
    kv_backend_cpu.free(ctx);
    struct kv_backend_options options = { .threads = -3 };
    CHECK(kv_backend_cpu.init(&options, &ctx, &err) && !ctx && strstr(err.text, "-3"), "said: %s", err.text);
}

/* tests/golden/quant.bin: see tests/oracle/quant_golden.py. */
static void golden_of(enum kv_simd simd)
{
    static uint8_t file[262144];
    static float out[4096], want[4096];
    enum kv_isa isa = (enum kv_isa)(simd - KV_SIMD_PLAIN);
    if (kv_cpu_choose_isa(simd) != isa) SKIP(isa_missing[isa]);
    FILE *f = fopen("tests/golden/quant.bin", "rb");
    REQUIRE(f, "tests/golden/quant.bin cannot be opened");
    size_t size = fread(file, 1, sizeof file, f), at = 0, types = 0;
    fclose(f);
    for (uint32_t head[3]; at + sizeof head <= size; types++) {
        memcpy(head, file + at, sizeof head);
        at += sizeof head;
        size_t n = head[1], bytes = head[2];
        REQUIRE(n <= KV_COUNT(out) && at + bytes + 4 * n <= size, "the golden file is cut");
        REQUIRE(bytes == kv_type_bytes((int)head[0], n), "type %u: %zu values in %zu bytes", head[0], n, bytes);
        kv_cpu_ops_of(isa)->dequantize((int)head[0], file + at, n, out);
        memcpy(want, file + at + bytes, 4 * n);
        at += bytes + 4 * n;
        for (size_t i = 0; i < n; i++)
            CHECK(!memcmp(&out[i], &want[i], 4) || (isnan(out[i]) && isnan(want[i])),
                "%s value %zu is %a, gguf says %a", kv_type_info((int)head[0])->name, i, (double)out[i],
                (double)want[i]);
    }
    CHECK(types == KV_COUNT(all_types), "%zu types in the golden file, %zu known", types, KV_COUNT(all_types));
}

static void golden_plain(void) { golden_of(KV_SIMD_PLAIN); }
static void golden_avx2(void) { golden_of(KV_SIMD_AVX2); }
static void golden_avx512(void) { golden_of(KV_SIMD_AVX512); }

/* Also all 65,536 bit patterns of f16, NaN and infinity among them, alike on every path. */
static void every_f16(void)
{
    static uint16_t half[65536];
    static float want[65536], out[65536];
    for (size_t i = 0; i < KV_COUNT(half); i++) half[i] = (uint16_t)i;
    kv_dequantize(KV_TYPE_F16, half, KV_COUNT(half), want);
    CHECK(want[0x3c00] == 1 && want[1] == 0x1p-24f && want[0xfbff] == -65504 && isinf(want[0x7c00]),
        "f16 is misread");
    for (int isa = 0; isa <= (int)kv_cpu_choose_isa(KV_SIMD_AUTO); isa++) {
        kv_cpu_ops_of((enum kv_isa)isa)->dequantize(KV_TYPE_F16, half, KV_COUNT(half), out);
        for (size_t i = 0; i < KV_COUNT(half); i++)
            CHECK(!memcmp(&out[i], &want[i], 4), "%s reads f16 %04zx as %g", kv_isa_name((enum kv_isa)isa), i,
                (double)out[i]);
    }
}

static void memory_is_counted(void)
{
    void *ctx = backend_open(KV_SIMD_AUTO, KV_PRECISION_FAST, 1, 8, 64);
    struct kv_backend_stats stats;
    char *small = kv_backend_cpu.alloc(ctx, 1000), *large = kv_backend_cpu.alloc(ctx, 9000001);
    REQUIRE(small && large, "no memory");
    kv_backend_cpu.stats(ctx, &stats);
    CHECK(stats.bytes_live == 9001001 && stats.scratch_bytes > 0, "%zu bytes live", stats.bytes_live);
    for (size_t i = 0; i < 9000001; i += 4095) CHECK(!large[i], "byte %zu is not 0", i);
    kv_backend_cpu.release(ctx, large, 9000001);
    kv_backend_cpu.release(ctx, small, 1000);
    kv_backend_cpu.stats(ctx, &stats);
    CHECK(
        !stats.bytes_live && stats.bytes_peak == 9001001, "%zu live, peak %zu", stats.bytes_live, stats.bytes_peak);
    CHECK(!kv_backend_cpu.alloc(ctx, SIZE_MAX - 5), "all of memory was given");
    char text[200];
    kv_backend_cpu.describe(ctx, text, sizeof text);
    CHECK(strstr(text, "1 thread"), "described as: %s", text);
    kv_backend_cpu.free(ctx);
}

static const struct tap_case cases[] = {
    { "dequantization equals gguf's, plain", golden_plain },
    { "dequantization equals gguf's, AVX2", golden_avx2 },
    { "dequantization equals gguf's, AVX-512", golden_avx512 },
    { "every f16 is read alike on every path", every_f16 },
    { "f32 products of every type, plain", f32_plain },
    { "f32 products of every type, AVX2", f32_avx2 },
    { "f32 products of every type, AVX-512", f32_avx512 },
    { "fast products of few rows, plain", fast_plain },
    { "fast products of few rows, AVX2", fast_avx2 },
    { "fast products of few rows, AVX-512", fast_avx512 },
    { "int8 products, plain", int8_plain },
    { "int8 products, AVX2", int8_avx2 },
    { "int8 products, AVX-512", int8_avx512 },
    { "int8 without such products rounds activations first", int8_rounds_first },
    { "fast activations of few rows are finer than bf16", fast_is_finer_than_bf16 },
    { "bf16 products of many rows", bf16_gemm },
    { "f32: same bits for any rows and threads", same_bits_f32 },
    { "fast: same bits for any rows and threads", same_bits_fast },
    { "int8: same bits for any rows and threads", same_bits_int8 },
    { "several matrices in one call", together },
    { "NaN and infinity come out", nan_comes_out },
    { "zeros, denormals and huge activations", extreme_activations },
    { "nothing is read behind the last weight", last_weight },
    { "what cannot be multiplied is refused with numbers", refusals },
    { "memory is zeroed and counted", memory_is_counted },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
