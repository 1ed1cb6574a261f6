/* The mathematics of the linear-algebra ops that exists once per instruction set.
 *
 * Every function works on rows that its caller dealt to one thread, allocates nothing and has one fixed order of
 * summation for each result, whatever rows it is given with: so cutting the work changes no bit. */
#ifndef KV_CPU_OPS_H
#define KV_CPU_OPS_H

#include "kernels/cpu/cpu.h"

#define KV_INT8_BLOCK 32 /* columns */

/* Activations in 8 bits: x = scale * (q - 128), and their sums. */
struct kv_int8_block {
    uint8_t q[KV_INT8_BLOCK];
    float scale, sum[2], whole; /* sums of scale * (q - 128) over each half, and over all */
};

struct kv_packed_int8;

struct kv_cpu_ops {
    /* dst[n] = values of n weights, as kv_dequantize, bit for bit. */
    void (*dequantize)(int type, const void *src, size_t n, float *dst);
    /* One row: y = x / sqrt(mean(x^2) + eps) * weight. */
    void (*norm)(const float *x, const float *weight, float eps, int cols, float *y);
    /* One token: turns x[heads][head_dim] by angles[rope->dim / 2][2] = cos, sin. */
    void (*rope)(const struct kv_rope *rope, const float *angles, float *x, int heads, int head_dim);
    void (*swiglu)(const float *gate, const float *up, size_t count, float *y);

    /* Outputs [row, row + rows) of l for x[n][cols] in f32; w is scratch of [rows][cols]. */
    void (*gemm)(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w);

    /* One row in the precision int8: y[c] = the nearest whole number of steps of max|x| / 127 in each group columns. */
    void (*round_int8)(const float *x, size_t cols, size_t group, float *y);

    /* The same from quantized activations, straight from the blocks; asked first whether it knows the type.
     * q[n] rows of quantized_bytes(cols) each, written by quantize: int8 with one scale per `coarse` columns (32 or
     * 256), or with coarse 0 15 bits with one per 32. gemv is told which of the two. */
    bool (*has_gemv)(int type);
    size_t (*quantized_bytes)(int cols);
    void (*quantize)(const float *x, int cols, int coarse, void *q);
    void (*gemv)(const struct kv_linear *l, int row, int rows, const void *q, int n, bool coarse);

    /* The same in int8, for quantized types, rows <= KV_PACK_OUTPUTS; NULL where there is no such arithmetic. x [n] rows of
     * cols / KV_INT8_BLOCK blocks, each row written by to_int8 (group as in round_int8); packed is scratch of
     * kv_packed_int8_bytes(cols). */
    void (*to_int8)(const float *x, size_t cols, size_t group, struct kv_int8_block *y);
    void (*gemm_int8)(const struct kv_linear *l, int row, int rows, const struct kv_int8_block *x, int n,
        struct kv_packed_int8 *packed);

    /* The same in bf16, rows <= KV_PACK_OUTPUTS; NULL where there is no such arithmetic. x[n][kv_padded(cols)]
     * bf16, each row written by to_bf16; packed is scratch of kv_packed_bytes(cols). */
    void (*to_bf16)(const float *x, size_t cols, uint16_t *y);
    void (*gemm_bf16)(const struct kv_linear *l, int row, int rows, const uint16_t *x, int n, uint16_t *packed);
};

#define KV_TINY         1e-30f /* where no activation is as large, all are taken for 0 */
#define KV_PACK_OUTPUTS 32
#define KV_PACK_COLUMNS 2048 /* so that what is packed stays in the second cache */

static inline size_t kv_padded(size_t cols) { return (cols + 31) / 32 * 32; }

/* The same columns of KV_PACK_OUTPUTS outputs: scale * q + offset, for each half of the block or, in [0], for all. */
struct kv_packed_int8 {
    _Alignas(64) int8_t q[KV_INT8_BLOCK / 4][KV_PACK_OUTPUTS * 4];
    float scale[2][KV_PACK_OUTPUTS], offset[2][KV_PACK_OUTPUTS];
    int32_t begin[2][KV_PACK_OUTPUTS]; /* -128 * (sum of q): what the 128 of x adds */
};

static inline size_t kv_packed_int8_bytes(size_t cols)
{
    return kv_min(kv_padded(cols), KV_PACK_COLUMNS) / KV_INT8_BLOCK * sizeof(struct kv_packed_int8);
}

static inline size_t kv_packed_bytes(size_t cols)
{
    return KV_PACK_OUTPUTS * kv_min(kv_padded(cols), KV_PACK_COLUMNS) * sizeof(uint16_t);
}

extern const struct kv_cpu_ops kv_cpu_ops_plain, kv_cpu_ops_avx2, kv_cpu_ops_avx512;
const struct kv_cpu_ops *kv_cpu_ops_of(enum kv_isa isa);

/* The plain functions behind kv_cpu_ops_plain, each in its op's file. */
void kv_norm_row(const float *x, const float *weight, float eps, int cols, float *y);
void kv_rope_row(const struct kv_rope *rope, const float *angles, float *x, int heads, int head_dim);
void kv_swiglu_span(const float *gate, const float *up, size_t count, float *y);
void kv_round_int8_row(const float *x, size_t cols, size_t group, float *y);
void kv_gemm_panel(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w);

#endif
