/* The instructions that C has no words for, each as one inline function; and the arithmetic that several kernels share.
 *
 * The only file with inline assembly. Under KV_CUDA_EMULATED the same functions call the emulator (tests/cuda/emu),
 * which knows the fragment layouts of the PTX ISA: kernels are tested by it where there is no GPU. */
#ifndef KV_CUDA_PTX_CUH
#define KV_CUDA_PTX_CUH

#include "kernels/cuda/cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define KV_DEVICE static __device__ __forceinline__
#define KV_WARP   32
#define KV_ALL    0xffffffffu

#ifdef KV_CUDA_EMULATED
#define KV_DYNAMIC_SHARED(name) unsigned char *name = emu_dynamic_shared()
#else
#define KV_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif

/* ---- sums over a warp and a block, in one fixed order ---- */

KV_DEVICE float kv_warp_sum(float x)
{
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(KV_ALL, x, step);
    return x;
}

KV_DEVICE float kv_warp_max(float x)
{
    for (int step = 16; step; step /= 2) x = fmaxf(x, __shfl_xor_sync(KV_ALL, x, step));
    return x;
}

/* Sum over all threads of a block of whole warps; `room` [32] f32 shared, free again after the next barrier. */
KV_DEVICE float kv_block_sum(float x, float *room)
{
    x = kv_warp_sum(x);
    __syncthreads(); /* room may still be read from an earlier sum */
    if (threadIdx.x % KV_WARP == 0) room[threadIdx.x / KV_WARP] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned i = 0; i < blockDim.x / KV_WARP; i++) sum += room[i];
    return sum;
}

/* What lane 0 has, to the compiler one value of the warp: it may live where each warp has one of a kind. */
KV_DEVICE int kv_uniform(int x) { return __shfl_sync(KV_ALL, x, 0); }

/* ---- element types of caches and weights ---- */

KV_DEVICE float kv_load_as_f32(int type, const void *p, size_t i)
{
    switch (type) {
    case KV_TYPE_F16: return __half2float(((const __half *)p)[i]);
    case KV_TYPE_BF16: return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    default: return ((const float *)p)[i];
    }
}

KV_DEVICE void kv_store_f32(int type, void *p, size_t i, float x)
{
    switch (type) {
    case KV_TYPE_F16: ((__half *)p)[i] = __float2half_rn(x); break;
    case KV_TYPE_BF16: ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn(x); break;
    default: ((float *)p)[i] = x;
    }
}

KV_DEVICE size_t kv_type_size(int type) { return type == KV_TYPE_F32 ? 4 : 2; }

/* Joined kernels must have the bits of single ones: which products and sums are one rounding is said, here and in norm.cuh,
 * and not left to the compiler. */
KV_DEVICE float kv_swiglu(float gate, float up) { return gate / __fadd_rn(1.0f, expf(-gate)) * up; }

/* ---- spans ---- */

/* Slots in use of a span's KV head. */
KV_DEVICE int kv_span_len(const struct kv_span *s, int g)
{
    return s->cap ? s->len[(size_t)g * (size_t)s->len_stride] : 0;
}
/* Where KV head g begins, in slots. */
KV_DEVICE size_t kv_span_start(const struct kv_span *s, int g)
{
    return s->start ? (size_t)s->start[g] : (size_t)g * (size_t)s->cap;
}
/* Positions of KV head g. */
KV_DEVICE int32_t *kv_span_pos(const struct kv_span *s, int g)
{
    return s->pos + (s->start ? (size_t)s->start[g] : (size_t)g * (size_t)s->pos_stride);
}

/* First of n ascending positions that is not below x. */
KV_DEVICE int kv_lower_bound(const int32_t *pos, int n, int x)
{
    int lo = 0;
    while (n > 0) {
        int half = n / 2;
        if (pos[lo + half] < x) {
            lo += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return lo;
}

/* ---- kernels that follow each other closely ---- */

/* Waits until what the kernel before wrote can be read; the first thing in a kernel that is started `chained`. */
KV_DEVICE void kv_pdl_wait(void)
{
#if !defined(KV_CUDA_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Lets the kernel behind start its prologue. */
KV_DEVICE void kv_pdl_release(void)
{
#if !defined(KV_CUDA_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* Counts one more block that has come so far; returns how many had before. What the thread did, and what others did in front
 * of a barrier with it, comes before the count for whoever is counted later, and those behind a barrier with that one. */
KV_DEVICE unsigned kv_ticket(unsigned *count)
{
#ifdef KV_CUDA_EMULATED
    return atomicAdd(count, 1);
#else
    unsigned before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
    return before;
#endif
}

/* threadIdx.x, read anew each time: what is computed from it is not kept in registers from one round of a loop to the
 * next. */
KV_DEVICE int kv_thread(void)
{
#ifdef KV_CUDA_EMULATED
    return (int)threadIdx.x;
#else
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
#endif
}

/* ---- shared memory ---- */

KV_DEVICE uint32_t kv_shared_address(const void *p)
{
#ifdef KV_CUDA_EMULATED
    return emu_shared_address(p);
#else
    return (uint32_t)__cvta_generic_to_shared(p);
#endif
}

/* Copies 16 bytes to shared memory behind the program's back; `take` false: zeroes instead, and `from` is not read. */
KV_DEVICE void kv_cp_async16(void *to, const void *from, bool take)
{
#ifdef KV_CUDA_EMULATED
    emu_cp_async(to, from, 16, take ? 16 : 0);
#else
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(kv_shared_address(to)), "l"(from), "r"(take ? 16 : 0)
        : "memory");
#endif
}

/* The same of the first `bytes` of 16, 0 to 16, with zeroes behind them. */
KV_DEVICE void kv_cp_async16_part(void *to, const void *from, int bytes)
{
#ifdef KV_CUDA_EMULATED
    emu_cp_async(to, from, 16, bytes);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(kv_shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
#endif
}

/* The same for 4 bytes. */
KV_DEVICE void kv_cp_async4(void *to, const void *from, bool take)
{
#ifdef KV_CUDA_EMULATED
    emu_cp_async(to, from, 4, take ? 4 : 0);
#else
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(kv_shared_address(to)), "l"(from), "r"(take ? 4 : 0)
        : "memory");
#endif
}

KV_DEVICE void kv_cp_async_commit(void)
{
#ifdef KV_CUDA_EMULATED
    emu_cp_async_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Waits until all but the last `groups` committed groups of this thread have arrived. */
template <int groups> KV_DEVICE void kv_cp_async_wait(void)
{
#ifdef KV_CUDA_EMULATED
    emu_cp_async_wait(groups);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#endif
}

/* ---- tensor cores, Ampere ---- */

/* Four 8x8 matrices of 16-bit elements from shared memory; lane i gives the address of row i % 8 of matrix i / 8. */
KV_DEVICE void kv_ldmatrix4(uint32_t r[4], const void *row)
{
#ifdef KV_CUDA_EMULATED
    emu_ldmatrix_x4(r, row, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(kv_shared_address(row))
                 : "memory");
#endif
}

/* The same, each matrix transposed. */
KV_DEVICE void kv_ldmatrix4_transposed(uint32_t r[4], const void *row)
{
#ifdef KV_CUDA_EMULATED
    emu_ldmatrix_x4(r, row, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(kv_shared_address(row))
                 : "memory");
#endif
}

/* c[16][8] f32 += a[16][16] b[16][8], of bf16 or f16. */
template <bool bf16> KV_DEVICE void kv_mma_16816(float c[4], const uint32_t a[4], const uint32_t b[2])
{
#ifdef KV_CUDA_EMULATED
    emu_mma_m16n8k16(c, a, b, bf16);
#else
    if (bf16)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                     "{%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                     "{%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Two f32 as one register of two 16-bit floats, lo in the low half. */
template <bool bf16> KV_DEVICE uint32_t kv_pack_half2(float lo, float hi)
{
    uint32_t bits;
    if (bf16) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(lo, hi);
        memcpy(&bits, &pair, sizeof bits);
    } else {
        __half2 pair = __floats2half2_rn(lo, hi);
        memcpy(&bits, &pair, sizeof bits);
    }
    return bits;
}

/* 2^x as product of a part and a power of two, by adds and multiplications alone, for where ex2 is what is waited for:
 * to 3e-6; 2^-126 from there down; not for x above 127. NaN stays NaN. */
struct kv_power {
    float part, scale;
};
KV_DEVICE struct kv_power kv_exp2_by_fma(float x)
{
    const float round = 12582912; /* 1.5 2^23: what is added to it is an integer */
#ifdef KV_CUDA_EMULATED
    x = x < -126 ? -126 : x;
#else
    asm("max.NaN.f32 %0, %0, 0fc2fc0000;" : "+f"(x));
#endif
    float whole = x + round, rest = x - (whole - round);
    float part = fmaf(rest, 0.009570101f, 0.055917863f);
    part = fmaf(rest, part, 0.24024744f);
    part = fmaf(rest, part, 0.6931218f);
    part = fmaf(rest, part, 0.9999993f);
    return (struct kv_power){ part, __int_as_float((int)((unsigned)__float_as_int(whole) << 23) + 0x3f800000) };
}

/* (x & mask) | bits, as the one instruction that it is: with two constants the compiler takes two. */
KV_DEVICE uint32_t kv_and_or(uint32_t x, uint32_t mask, uint32_t bits)
{
#ifdef KV_CUDA_EMULATED
    return (x & mask) | bits;
#else
    uint32_t y;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(y) : "r"(x), "r"(mask), "r"(bits));
    return y;
#endif
}

/* 2^x, to 2 ulp, and 0 for very negative x. */
KV_DEVICE float kv_exp2(float x)
{
#ifdef KV_CUDA_EMULATED
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

#endif
