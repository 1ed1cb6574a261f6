/* The vector functions of one instruction set, each named with it; ops.c lists them in the table. */
#ifndef KV_SIMD_OPS_H
#define KV_SIMD_OPS_H

#include "kernels/cpu/ops.h"
#include "kernels/cpu/simd/simd.h"

void KV_NAME(kv_dequantize)(int type, const void *src, size_t n, float *dst);
void KV_NAME(kv_norm_row)(const float *x, const float *weight, float eps, int cols, float *y);
void KV_NAME(kv_rope_row)(const struct kv_rope *rope, const float *angles, float *x, int heads, int head_dim);
void KV_NAME(kv_swiglu_span)(const float *gate, const float *up, size_t count, float *y);
void KV_NAME(kv_round_int8_row)(const float *x, size_t cols, size_t group, float *y);
void KV_NAME(kv_gemm_panel)(const struct kv_linear *l, int row, int rows, const float *x, int n, float *w);

bool KV_NAME(kv_has_gemv)(int type);
size_t KV_NAME(kv_quantized_bytes)(int cols);
void KV_NAME(kv_quantize)(const float *x, int cols, int coarse, void *q);
void KV_NAME(kv_gemv)(const struct kv_linear *l, int row, int rows, const void *q, int n, bool coarse);

#ifdef __AVX512VNNI__
void KV_NAME(kv_to_int8)(const float *x, size_t cols, size_t group, struct kv_int8_block *y);
void KV_NAME(kv_gemm_int8)(const struct kv_linear *l, int row, int rows, const struct kv_int8_block *x, int n,
    struct kv_packed_int8 *packed);
#endif

#ifdef __AVX512BF16__
void KV_NAME(kv_to_bf16)(const float *x, size_t cols, uint16_t *y);
void KV_NAME(kv_gemm_bf16)(
    const struct kv_linear *l, int row, int rows, const uint16_t *x, int n, uint16_t *packed);
#endif

/* y of one output, in the order that every path keeps: the sum, then the bias, then what was there. */
VF_INLINE void kv_finish(const struct kv_linear *l, size_t i, size_t r, float sum)
{
    float *y = l->y + i * (size_t)l->w.rows + r;
    if (l->bias) sum += l->bias[r];
    *y = l->add ? *y + sum : sum;
}

#endif
