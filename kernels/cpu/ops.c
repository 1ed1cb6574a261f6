/* The plain table, and the choice among the tables. */
#include "kernels/cpu/ops.h"

const struct kv_cpu_ops *kv_cpu_ops_of(enum kv_isa isa)
{
    switch (isa) {
    case KV_ISA_AVX512: return &kv_cpu_ops_avx512;
    case KV_ISA_AVX2: return &kv_cpu_ops_avx2;
    default: return &kv_cpu_ops_plain;
    }
}

const struct kv_cpu_ops kv_cpu_ops_plain = {
    .dequantize = kv_dequantize,
    .norm = kv_norm_row,
    .rope = kv_rope_row,
    .swiglu = kv_swiglu_span,
    .round_int8 = kv_round_int8_row,
    .gemm = kv_gemm_panel,
};
