/* Which instruction set to run, from what the processor says.
 *
 * __builtin_cpu_supports reads CPUID and, for the vector registers, XGETBV: a kernel that does not save them
 * turns the path off. The AVX-512 path is compiled for VNNI, BF16 and VBMI too (Zen 4, Sapphire Rapids and
 * later); a processor with only some of them takes AVX2. */
#include "kernels/cpu/cpu.h"

static bool isa_runs(enum kv_isa isa)
{
#if defined(__x86_64__) && defined(__GNUC__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
                __builtin_cpu_supports("f16c");
    switch (isa) {
    case KV_ISA_AVX512:
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    case KV_ISA_AVX2: return avx2;
    default: return true;
    }
#else
    return isa == KV_ISA_PLAIN;
#endif
}

enum kv_isa kv_cpu_choose_isa(enum kv_simd highest)
{
    int isa = highest == KV_SIMD_AUTO ? KV_ISA_AVX512 : (int)highest - KV_SIMD_PLAIN;
    while (isa > KV_ISA_PLAIN && !isa_runs((enum kv_isa)isa)) isa--;
    return (enum kv_isa)isa;
}

const char *kv_isa_name(enum kv_isa isa)
{
    static const char *const name[KV_ISA_COUNT] = { "plain C", "AVX2", "AVX-512" };
    return name[isa];
}
