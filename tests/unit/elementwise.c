/* Embedding, norm, RoPE and SwiGLU of the CPU backend on every instruction set, against their equations in f64. */
#include "tests/unit/kernels.h"

#include <stdlib.h>

static void embed(void)
{
    void *ctx = backend_open(KV_SIMD_AUTO, KV_PRECISION_FAST, 2, 8, 96);
    uint16_t *w = kv_alloc(30, 34);
    for (int b = 0; b < 30; b++)
        for (int i = 0; i < 17; i++) w[17 * b + i] = i ? (uint16_t)random_bits() : 0x2000;
    struct kv_matrix m = { w, KV_TYPE_Q8_0, 10, 96 };
    int32_t ids[] = { 9, 0, 4, 9 };
    float x[4 * 96], all[10 * 96];
    struct kv_error err = { 0 };
    kv_dequantize(KV_TYPE_Q8_0, w, 10 * 96, all);
    CHECK(!kv_backend_cpu.embed(ctx, &m, ids, 4, x, &err), "%s", err.text);
    for (int i = 0; i < 4; i++)
        CHECK(!memcmp(x + 96 * i, all + 96 * ids[i], 96 * 4), "row %d is not row %d of the matrix", i, ids[i]);
    free(w);
    kv_backend_cpu.free(ctx);
}

static void norm(void)
{
    static const int width[] = { 1, 7, 64, 100, 576 };
    static float x[70 * 576], y[70 * 576], w[576];
    random_x(x, KV_COUNT(x)), random_x(w, KV_COUNT(w));
    for (size_t s = 0; s < KV_COUNT(all_simd); s++)
        for (size_t k = 0; k < KV_COUNT(width); k++) {
            int cols = width[k], n = 70;
            struct kv_error err = { 0 };
            void *ctx = backend_open(all_simd[s], KV_PRECISION_F32, 2, 8, 64);
            CHECK(!kv_backend_cpu.norm(ctx, x, w, 1e-5f, n, cols, y, &err), "%s", err.text);
            for (int i = 0; i < n; i++) {
                double sum = 0;
                for (int c = 0; c < cols; c++) sum += pow((double)x[i * cols + c], 2);
                for (int c = 0; c < cols; c++) {
                    double want = (double)x[i * cols + c] / sqrt(sum / cols + 1e-5) * (double)w[c];
                    CHECK(fabs((double)y[i * cols + c] - want) <= 1e-6 * fabs(want), "%d wide: %g, must be %g",
                        cols, (double)y[i * cols + c], want);
                }
            }
            float save = x[3];
            x[3] = NAN;
            CHECK(!kv_backend_cpu.norm(ctx, x, w, 1e-5f, n, cols, y, &err), "%s", err.text);
            CHECK(isnan(y[3 / cols * cols]) && !isnan(y[KV_COUNT(x) / 576 * (size_t)cols - 1]), "NaN in, %g out",
                (double)y[3 / cols * cols]);
            x[3] = save;
            kv_backend_cpu.free(ctx);
        }
}

/* cos and sin of the angle that transformers computes: f32 frequency times position, rounded to f32. */
static void rope(void)
{
    static const int dims[] = { 64, 48, 2, 100 };
    static const int32_t pos[] = { 0, 1, 17, 8191, 131071 };
    enum { N = 5, HEADS = 3, D = 100 };
    static float x[N * HEADS * D], y[N * HEADS * D];
    random_x(x, KV_COUNT(x));
    for (size_t s = 0; s < KV_COUNT(all_simd); s++) {
        void *ctx = backend_open(all_simd[s], KV_PRECISION_F32, 2, 8, 64);
        for (size_t k = 0; k < 2 * KV_COUNT(dims); k++) {
            float frequency[D / 2];
            struct kv_rope r = { frequency, s % 2 ? 1.25f : 1, dims[k / 2], k & 1 };
            for (int c = 0; c < r.dim / 2; c++) frequency[c] = 1.0f / powf(1e5f, (float)(2 * c) / (float)r.dim);
            struct kv_error err = { 0 };
            memcpy(y, x, sizeof x);
            CHECK(!kv_backend_cpu.rope(ctx, &r, pos, y, N, HEADS, D, &err), "%s", err.text);
            for (int i = 0; i < N * HEADS; i++)
                for (int c = 0; c < D; c++) {
                    int pair = r.halves ? c % (r.dim / 2) : c / 2, at = i * D;
                    bool second = r.halves ? c >= r.dim / 2 : c % 2;
                    int other = r.halves ? (second ? c - r.dim / 2 : c + r.dim / 2) : c ^ 1;
                    double angle = (float)pos[i / HEADS] * frequency[pair % (r.dim / 2)], want = (double)x[at + c];
                    if (c < r.dim)
                        want = (double)r.scale * ((double)x[at + c] * cos(angle) +
                                                     (second ? 1 : -1) * (double)x[at + other] * sin(angle));
                    double tol = c < r.dim ? 4e-7 * (fabs((double)x[at + c]) + fabs((double)x[at + other])) : 0;
                    CHECK(fabs((double)y[at + c] - want) <= tol,
                        "dim %d halves %d pos %d channel %d: %g, must be %g", r.dim, r.halves, pos[i / HEADS], c,
                        (double)y[at + c], want);
                }
        }
        kv_backend_cpu.free(ctx);
    }
}

/* A permutation inside each head. */
static void interleave(void)
{
    enum { N = 3, HEADS = 5, D = 6 };
    float x[N * HEADS * D];
    struct kv_error err = { 0 };
    void *ctx = backend_open(KV_SIMD_PLAIN, KV_PRECISION_F32, 2, 8, 64);
    for (int i = 0; i < N * HEADS * D; i++) x[i] = (float)i;
    CHECK(!kv_backend_cpu.interleave(ctx, x, N, HEADS, D, &err), "%s", err.text);
    for (int i = 0; i < N * HEADS; i++)
        for (int c = 0; c < D; c++)
            CHECK(x[i * D + c] == (float)(i * D + c / 2 + c % 2 * D / 2), "head %d channel %d: %g", i, c,
                (double)x[i * D + c]);
    CHECK(kv_backend_cpu.interleave(ctx, x, N, HEADS, 5, &err) == KV_BAD_ARG, "an odd width");
    CHECK(kv_backend_cpu.interleave(ctx, x, 1, 1, KV_INTERLEAVE_MAX + 2, &err) == KV_BAD_ARG, "too wide");
    kv_backend_cpu.free(ctx);
}

/* 4 ulp: two of the exponential, one each of the division and the products. */
static void swiglu(void)
{
    enum { COUNT = 40003 };
    static float gate[COUNT], up[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++) {
        gate[i] = (float)(i - COUNT / 2) * (86.0f / (COUNT / 2));
        up[i] = i % 3 ? 1.0f : random_unit();
    }
    for (size_t s = 0; s < KV_COUNT(all_simd); s++) {
        struct kv_error err = { 0 };
        void *ctx = backend_open(all_simd[s], KV_PRECISION_F32, 2, 8, 64);
        CHECK(!kv_backend_cpu.swiglu(ctx, gate, up, COUNT, y, &err), "%s", err.text);
        for (int i = 0; i < COUNT; i++) {
            double want = (double)gate[i] / (1 + exp(-(double)gate[i])) * (double)up[i];
            CHECK(fabs((double)y[i] - want) <= 4 * 0x1p-24 * fabs(want), "swiglu(%a, %g) is %a, must be %a",
                (double)gate[i], (double)up[i], (double)y[i], want);
        }
        float edge[] = { -100, -1e30f, 100, 1e30f, NAN, INFINITY }, one[] = { 1, 1, 1, 1, 1, 1 }, out[6];
        CHECK(!kv_backend_cpu.swiglu(ctx, edge, one, 6, out, &err), "%s", err.text);
        CHECK(fabsf(out[0]) < 1e-37f && out[1] == 0 && out[2] == 100 && out[3] == 1e30f && isnan(out[4]) &&
                  isinf(out[5]),
            "at the edges: %g %g %g %g %g %g", (double)out[0], (double)out[1], (double)out[2], (double)out[3],
            (double)out[4], (double)out[5]);
        kv_backend_cpu.free(ctx);
    }
}

static const struct tap_case cases[] = {
    { "embedding rows", embed },
    { "RMS norm on every path", norm },
    { "RoPE on every path, both pairings", rope },
    { "halves become pairs of neighbours", interleave },
    { "SwiGLU on every path", swiglu },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
