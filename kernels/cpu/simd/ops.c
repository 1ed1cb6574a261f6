/* The table of one instruction set. */
#include "kernels/cpu/simd/ops.h"

const struct kv_cpu_ops KV_NAME(kv_cpu_ops) = {
    .dequantize = KV_NAME(kv_dequantize),
    .norm = KV_NAME(kv_norm_row),
    .rope = KV_NAME(kv_rope_row),
    .swiglu = KV_NAME(kv_swiglu_span),
    .round_int8 = KV_NAME(kv_round_int8_row),
    .gemm = KV_NAME(kv_gemm_panel),
    .has_gemv = KV_NAME(kv_has_gemv),
    .quantized_bytes = KV_NAME(kv_quantized_bytes),
    .quantize = KV_NAME(kv_quantize),
    .gemv = KV_NAME(kv_gemv),
#ifdef __AVX512VNNI__
    .to_int8 = KV_NAME(kv_to_int8),
    .gemm_int8 = KV_NAME(kv_gemm_int8),
#endif
#ifdef __AVX512BF16__
    .to_bf16 = KV_NAME(kv_to_bf16),
    .gemm_bf16 = KV_NAME(kv_gemm_bf16),
#endif
};
