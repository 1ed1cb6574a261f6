/* What the tests of the CPU backend's linear-algebra ops share: random operands and contexts. */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include "kernels/cpu/ops.h"
#include "tests/tap.h"

#include <math.h>

static const enum kv_simd all_simd[] = { KV_SIMD_PLAIN, KV_SIMD_AVX2, KV_SIMD_AVX512 };

static inline uint32_t random_bits(void)
{
    static uint64_t seed = 1;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static inline float random_unit(void) { return (float)(int32_t)random_bits() * 0x1p-31f; }

/* Activations as they come: most small, some channels large. */
static inline void random_x(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = random_unit() * (random_bits() % 29 ? 1.0f : 20.0f);
}

static inline void *backend_open(enum kv_simd simd, enum kv_precision precision, int threads, int rows, int widest)
{
    struct kv_backend_options options = { .precision = precision, .simd = simd, .threads = threads };
    struct kv_limits limits = {
        .rows = rows, .keys = 16, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 128, .widest = widest
    };
    struct kv_error err = { 0 };
    void *ctx;
    if (kv_backend_cpu.init(&options, &ctx, &err)) return NULL;
    if (!kv_backend_cpu.reserve(ctx, &limits, &err)) return ctx;
    kv_backend_cpu.free(ctx);
    return NULL;
}

#endif
