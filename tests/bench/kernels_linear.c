/* Speed of the linear-algebra ops at SmolLM2-135M's shapes, as shares of what this machine can do.
 *
 *     kernels_linear [THREADS [plain|avx2|avx512 [types]]]        types: of every type only
 *
 * First the limits, measured here and now: bytes read a second from 256 MiB, and the peak of multiply-adds in f32
 * and bf16. Then prefill (512 rows: all matrices of one layer, dequantisation and packing included), then decode
 * (1, 2 and 4 rows: every matrix of 30 layers and the head, other weights in each layer, so that they come from
 * memory), then every type of weights. Each figure is the best and the median of many runs. */
#include "kernels/cpu/ops.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { HIDDEN = 576, FF = 1536, KV = 192, VOCABULARY = 49152, LAYERS = 30, ROWS = 512 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct {
    double read, f32, bf16; /* GB/s, GFLOP/s */
} limit;

static double measure_read(int threads)
{
    enum { BYTES = 256 << 20 };
    uint64_t *p = kv_alloc(BYTES, 1), total = 0;
    if (!p) return 0;
    double best = 0;
    for (int run = 0; run < 8; run++) {
        double start = kv_now_us();
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : total)
        for (size_t i = 0; i < BYTES / 64; i++) {
            const uint64_t *line = p + 8 * i;
            total += line[0] + line[1] + line[2] + line[3] + line[4] + line[5] + line[6] + line[7];
        }
        double rate = BYTES / (kv_now_us() - start) * 1e-3;
        best = rate > best ? rate : best;
    }
    free(p);
    return total ? 0 : best;
}

#if defined(__x86_64__)
#define TWELVE(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define REGISTER(i) __m512 r##i = _mm512_setzero_ps();
#define F32(i)      __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(r##i) : "v"(a));
#define BF16(i)     __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(r##i) : "v"(a));

static double __attribute__((target("avx512f"))) peak(int threads, bool bf16)
{
    enum { STEPS = 4000000 };
    double best = 0;
    for (int run = 0; run < 4; run++) {
        double start = kv_now_us();
#pragma omp parallel num_threads(threads)
        {
            __m512 a = _mm512_setzero_ps();
            TWELVE(REGISTER)
            for (int i = 0; i < STEPS; i++) {
                if (bf16) {
                    TWELVE(BF16)
                } else {
                    TWELVE(F32)
                }
            }
        }
        double rate = (double)threads * STEPS * 12 * (bf16 ? 64 : 32) / (kv_now_us() - start) * 1e-3;
        best = rate > best ? rate : best;
    }
    return best;
}
#endif

struct matrices {
    struct kv_linear q, k, v, o, gate, up, down;
};

static const void *weights(int type, size_t n)
{
    uint8_t *p = kv_alloc(kv_type_bytes(type, n), 1);
    const struct kv_type_info *info = kv_type_info(type);
    uint32_t bits = 1;
    for (size_t i = 0; i < kv_type_bytes(type, n); i++)
        p[i] = (uint8_t)((bits = bits * 1664525 + 1013904223) >> 24);
    for (size_t b = 0; b < n / (size_t)info->elements; b++) {
        uint16_t half[2] = { 0x2400, 0xa800 };
        memcpy(p + b * (size_t)info->bytes + info->half, half, 2 * (size_t)info->halves);
    }
    return p;
}

static struct kv_linear linear(int type, int rows, int cols, float *y, bool add)
{
    struct kv_matrix w = { weights(type, (size_t)rows * (size_t)cols), type, rows, cols };
    return (struct kv_linear){ w, NULL, y, add };
}

static double matrix_bytes(const struct kv_linear *l)
{
    return (double)l->w.rows * (double)kv_type_bytes(l->w.type, (size_t)l->w.cols);
}

static double flops(const struct kv_linear *l, int n) { return 2.0 * n * l->w.rows * l->w.cols; }

static float *activations(size_t n)
{
    float *x = kv_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)(i * 2654435761u % 2000) / 1000 - 1);
    return x;
}

static void run(void *ctx, const struct kv_linear *l, int count, const float *x, int n)
{
    struct kv_error err = { 0 };
    if (kv_backend_cpu.linear(ctx, l, count, x, n, &err)) fprintf(stderr, "%s\n", err.text), exit(1);
}

static void layer(void *ctx, const struct matrices *m, const float *x, int n)
{
    struct kv_linear qkv[] = { m->q, m->k, m->v }, ff[] = { m->gate, m->up };
    run(ctx, qkv, 3, x, n);
    run(ctx, &m->o, 1, x, n);
    run(ctx, ff, 2, x, n);
    run(ctx, &m->down, 1, x, n);
}

static struct matrices layer_of(int type, float *y)
{
    size_t n = ROWS;
    return (struct matrices){ .q = linear(type, HIDDEN, HIDDEN, y, false),
        .k = linear(type, KV, HIDDEN, y + n * HIDDEN, false),
        .v = linear(type, KV, HIDDEN, y + n * (HIDDEN + KV), false),
        .o = linear(type, HIDDEN, HIDDEN, y, true),
        .gate = linear(type, FF, HIDDEN, y, false),
        .up = linear(type, FF, HIDDEN, y + n * FF, false),
        .down = linear(type, HIDDEN, FF, y, true) };
}

static void print(const char *what, double *us, int runs, double work, const char *unit, double full)
{
    qsort(us, (size_t)runs, sizeof *us, compare);
    double best = work / us[0] * 1e-3, median = work / us[runs / 2] * 1e-3;
    printf("  %-34s %8.3f ms (median %8.3f)  %6.1f %s (median %6.1f)", what, us[0] * 1e-3, us[runs / 2] * 1e-3,
        best, unit, median);
    if (full > 0) printf(", %.0f %% of the limit", 100 * best / full);
    printf("\n");
    fflush(stdout);
}

static void prefill(void *ctx, int type, const float *x, float *y, double full)
{
    enum { RUNS = 15 };
    struct matrices m = layer_of(type, y);
    const struct kv_linear *each = &m.q;
    double us[RUNS], work = 0;
    char what[64];
    for (int k = 0; k < 7; k++) work += flops(&each[k], ROWS);
    for (int i = -2; i < RUNS; i++) {
        double start = kv_now_us();
        layer(ctx, &m, x, ROWS);
        if (i >= 0) us[i] = kv_now_us() - start;
    }
    snprintf(what, sizeof what, "512 rows, one layer, %s", kv_type_info(type)->name);
    print(what, us, RUNS, work, "GFLOP/s", full);
    for (int k = 0; k < 7; k++) free((void *)(uintptr_t)each[k].w.data);
}

/* One token, or n at once: each layer has weights of its own. */
static void decode(void *ctx, int type, int head_type, const float *x, float *y)
{
    enum { RUNS = 25 };
    static struct matrices m[LAYERS];
    struct kv_linear head = linear(head_type, VOCABULARY, HIDDEN, y, false);
    double bytes = 0, us[RUNS], head_us[RUNS];
    for (int l = 0; l < LAYERS; l++) {
        m[l] = layer_of(type, y);
        for (int k = 0; k < 7; k++) bytes += matrix_bytes(&m[l].q + k);
    }
    for (int n = 1; n <= 4; n *= 2) {
        char what[64];
        for (int i = -2; i < RUNS; i++) {
            double start = kv_now_us();
            for (int l = 0; l < LAYERS; l++) layer(ctx, &m[l], x, n);
            double then = kv_now_us();
            run(ctx, &head, 1, x, n);
            if (i >= 0) us[i] = then - start, head_us[i] = kv_now_us() - then;
        }
        snprintf(what, sizeof what, "%d row%s, 30 layers, %s", n, n > 1 ? "s" : "", kv_type_info(type)->name);
        print(what, us, RUNS, bytes, "GB/s", limit.read);
        snprintf(what, sizeof what, "%d row%s, head, %s", n, n > 1 ? "s" : "", kv_type_info(head_type)->name);
        print(what, head_us, RUNS, matrix_bytes(&head), "GB/s", limit.read);
    }
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < 7; k++) free((void *)(uintptr_t)(&m[l].q + k)->w.data);
    free((void *)(uintptr_t)head.w.data);
}

/* Every type: one row against 64 MiB of matrices, from memory, and 512 rows against one. */
static void each_type(void *ctx, const float *x, float *y, double full)
{
    static const int type[] = {
#define X(name, number, elements, bytes, half, halves) number,
        KV_TYPE_LIST(X)
#undef X
    };
    enum { RUNS = 15, MOST = 64 };
    for (size_t t = 0; t < KV_COUNT(type); t++) {
        static struct kv_linear l[MOST];
        double us[RUNS], bytes = 0;
        char what[64];
        int count = 0;
        while (count < MOST && bytes < 64 << 20) {
            l[count] = linear(type[t], FF, FF, y, false);
            bytes += matrix_bytes(&l[count++]);
        }
        for (int i = -2; i < RUNS; i++) {
            double start = kv_now_us();
            for (int k = 0; k < count; k++) run(ctx, &l[k], 1, x, 1);
            if (i >= 0) us[i] = kv_now_us() - start;
        }
        snprintf(what, sizeof what, "1 row, %d x %d x %d, %s", count, FF, FF, kv_type_info(type[t])->name);
        print(what, us, RUNS, bytes, "GB/s", limit.read);
        for (int i = -2; i < RUNS; i++) {
            double start = kv_now_us();
            run(ctx, &l[0], 1, x, ROWS);
            if (i >= 0) us[i] = kv_now_us() - start;
        }
        snprintf(what, sizeof what, "512 rows, %d x %d, %s", FF, FF, kv_type_info(type[t])->name);
        print(what, us, RUNS, flops(&l[0], ROWS), "GFLOP/s", full);
        for (int k = 0; k < count; k++) free((void *)(uintptr_t)l[k].w.data);
    }
}

static void small_ops(void *ctx, float *x, float *y)
{
    enum { RUNS = 25 };
    double norm_us[RUNS], rope_us[RUNS], swiglu_us[RUNS];
    float frequency[32];
    struct kv_rope r = { frequency, 1, 64, false };
    for (int c = 0; c < 32; c++) frequency[c] = powf(1e5f, (float)-c / 32);
    struct kv_error err = { 0 };
    int32_t pos[ROWS];
    for (int i = 0; i < ROWS; i++) pos[i] = i;
    for (int i = -1; i < RUNS; i++) {
        double t0 = kv_now_us();
        kv_backend_cpu.norm(ctx, x, x, 1e-5f, ROWS, HIDDEN, y, &err);
        double t1 = kv_now_us();
        kv_backend_cpu.rope(ctx, &r, pos, y, ROWS, 9, 64, &err);
        double t2 = kv_now_us();
        kv_backend_cpu.swiglu(ctx, x, x + ROWS * FF, (size_t)ROWS * FF, y, &err);
        if (i >= 0) norm_us[i] = t1 - t0, rope_us[i] = t2 - t1, swiglu_us[i] = kv_now_us() - t2;
    }
    print("512 rows, norm", norm_us, RUNS, 12.0 * ROWS * HIDDEN, "GB/s", 0);
    print("512 rows, rope, 9 heads", rope_us, RUNS, 8.0 * ROWS * HIDDEN, "GB/s", 0);
    print("512 rows, swiglu", swiglu_us, RUNS, 12.0 * ROWS * FF, "GB/s", 0);
}

int main(int argc, char **argv)
{
    static const char *const simd_name[] = { "auto", "plain", "avx2", "avx512" };
    static const char *const precision_name[] = { "fast", "f32", "int8" };
    struct kv_backend_options options = { .threads = argc > 1 ? atoi(argv[1]) : 0 };
    struct kv_limits limits = {
        .rows = ROWS, .keys = 16, .seqs = 1, .n_head = 9, .n_kv_head = 3, .head_dim = 64, .widest = FF
    };
    for (size_t i = 0; argc > 2 && i < KV_COUNT(simd_name); i++)
        if (!strcmp(argv[2], simd_name[i])) options.simd = (enum kv_simd)i;
    int threads = options.threads > 0 ? options.threads : omp_get_num_procs();
    limit.read = measure_read(threads);
#if defined(__x86_64__)
    if (kv_cpu_choose_isa(KV_SIMD_AUTO) == KV_ISA_AVX512) {
        limit.f32 = peak(threads, false);
        limit.bf16 = peak(threads, true);
    }
#endif
    printf("limits with %d threads: %.1f GB/s read, %.0f GFLOP/s f32, %.0f GFLOP/s bf16\n", threads, limit.read,
        limit.f32, limit.bf16);
    float *x = activations((size_t)2 * ROWS * FF), *y = kv_alloc((size_t)3 * ROWS * FF, sizeof *y);
    bool only_types = argc > 3 && !strcmp(argv[3], "types");
    for (int precision = KV_PRECISION_FAST; precision <= KV_PRECISION_INT8; precision++) {
        struct kv_error err = { 0 };
        char text[200];
        void *ctx;
        options.precision = (enum kv_precision)precision;
        if (kv_backend_cpu.init(&options, &ctx, &err) || kv_backend_cpu.reserve(ctx, &limits, &err))
            return fprintf(stderr, "%s\n", err.text), 1;
        kv_backend_cpu.describe(ctx, text, sizeof text);
        printf("%s: %s\n", precision_name[precision], text);
        if (only_types) {
            each_type(ctx, x, y,
                ((struct kv_cpu *)ctx)->ops->gemm_bf16 && precision != KV_PRECISION_F32 ? limit.bf16 : limit.f32);
            kv_backend_cpu.free(ctx);
            continue;
        }
        if (precision != KV_PRECISION_INT8) {
            double full =
                precision == KV_PRECISION_FAST && ((struct kv_cpu *)ctx)->ops->gemm_bf16 ? limit.bf16 : limit.f32;
            prefill(ctx, KV_TYPE_Q4_1, x, y, full);
            prefill(ctx, KV_TYPE_Q8_0, x, y, full);
        }
        decode(ctx, KV_TYPE_Q4_1, KV_TYPE_Q8_0, x, y);
        if (precision == KV_PRECISION_FAST) decode(ctx, KV_TYPE_Q8_0, KV_TYPE_Q8_0, x, y);
        if (precision == KV_PRECISION_FAST)
            each_type(ctx, x, y, ((struct kv_cpu *)ctx)->ops->gemm_bf16 ? limit.bf16 : limit.f32);
        if (precision == KV_PRECISION_F32) small_ops(ctx, x, y);
        kv_backend_cpu.free(ctx);
    }
    free(x), free(y);
    return 0;
}
