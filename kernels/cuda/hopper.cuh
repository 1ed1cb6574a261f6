/* Hopper's own instructions (sm_90a): barriers that count arrivals, products of a warpgroup, registers that move from
 * one warpgroup to another. As in ptx.cuh, each has its branch for the emulator.
 *
 * wgmma reads shared memory behind the threads' backs: who has written there says kv_proxy_fence() before it tells
 * others. Its sums and its A are in registers that nobody may touch between kv_wgmma_fence() and the wait; to the
 * compiler that is said by kv_wgmma_hold(). */
#ifndef KV_CUDA_HOPPER_CUH
#define KV_CUDA_HOPPER_CUH

#include "kernels/cuda/ptx.cuh"

#define KV_WARPGROUP 128

/* Kernels for sm_90a have their body where this is defined. */
#if defined(KV_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define KV_HOPPER
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
#error "Hopper is built as compute_90a, sm_90a: plain sm_90 has no wgmma, and the host would ask for it."
#endif

/* ---- barriers in shared memory ---- */

KV_DEVICE void kv_mbarrier_init(uint64_t *barrier, int arrivals)
{
#ifdef KV_CUDA_EMULATED
    emu_mbarrier_init(barrier, (unsigned)arrivals);
#else
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(kv_shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}

KV_DEVICE void kv_mbarrier_arrive(uint64_t *barrier)
{
#ifdef KV_CUDA_EMULATED
    emu_mbarrier_arrive(barrier);
#else
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(kv_shared_address(barrier)) : "memory");
#endif
}

/* Waits until the phase of this parity is over. */
KV_DEVICE void kv_mbarrier_wait(uint64_t *barrier, int parity)
{
#ifdef KV_CUDA_EMULATED
    emu_mbarrier_wait(barrier, (unsigned)parity);
#else
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
                 "@done bra over;\n"
                 "bra again;\n"
                 "over:\n"
                 "}" ::"r"(kv_shared_address(barrier)),
                 "r"(parity)
                 : "memory");
#endif
}

/* Barriers by number, 1 to 15, among `threads` threads that sync or arrive. */
KV_DEVICE void kv_named_sync(int id, int threads)
{
#ifdef KV_CUDA_EMULATED
    emu_named_barrier_sync(id, threads);
#else
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

KV_DEVICE void kv_named_arrive(int id, int threads)
{
#ifdef KV_CUDA_EMULATED
    emu_named_barrier_arrive(id, threads);
#else
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

/* What this thread wrote to shared memory is there for wgmma. */
KV_DEVICE void kv_proxy_fence(void)
{
#ifdef KV_CUDA_EMULATED
    emu_fence_proxy_async();
#else
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* ---- registers ---- */

template <int count> KV_DEVICE void kv_registers_give(void)
{
#ifdef KV_CUDA_EMULATED
    emu_setmaxnreg(count);
#else
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
#endif
}

template <int count> KV_DEVICE void kv_registers_take(void)
{
#ifdef KV_CUDA_EMULATED
    emu_setmaxnreg(count);
#else
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
#endif
}

/* ---- products of a warpgroup ---- */

/* Describes a matrix in shared memory with the 128-byte swizzle: rows of 64 halves, 128 bytes each, 16-byte piece c of
 * row r at piece c ^ r % 8, 8 rows in 1024 bytes, the first at a multiple of 1024. `panel`: bytes from one 64 halves of
 * a row to the next, where the matrix goes across (values, whose rows are k). This is the low word, to which 16-byte
 * steps are added; all have one high word: 1024 bytes from eight rows to the next, and the swizzle. */
KV_DEVICE uint32_t kv_wgmma_matrix(const void *p, int panel)
{
    return (kv_shared_address(p) & 0x3ffff) >> 4 | (uint32_t)(panel >> 4) << 16;
}
#define KV_WGMMA_HIGH (1u << 30 | 1024 >> 4)
#ifdef KV_CUDA_EMULATED
KV_DEVICE uint64_t kv_wgmma_whole(uint32_t low) { return (uint64_t)KV_WGMMA_HIGH << 32 | low; }
#endif

KV_DEVICE void kv_wgmma_fence(void)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_fence();
#else
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

KV_DEVICE void kv_wgmma_commit(void)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_commit();
#else
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/* Waits for all but the last `groups` committed groups. */
template <int groups> KV_DEVICE void kv_wgmma_wait(void)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_wait(groups);
#else
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
#endif
}

/* Keeps the compiler from moving reads and writes of these registers across this place. */
template <int n> KV_DEVICE void kv_wgmma_hold(float (&x)[n])
{
#ifndef KV_CUDA_EMULATED
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : "+f"(x[i])::"memory");
#else
    (void)x;
#endif
}
template <int n> KV_DEVICE void kv_wgmma_hold(uint32_t (&x)[n])
{
#ifndef KV_CUDA_EMULATED
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : "+r"(x[i])::"memory");
#else
    (void)x;
#endif
}

/* What the products have in common: the sums %0 to %31 or %63, as text and as operands. */
#define KV_SUMS32                                                                                                  \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "    \
    "%23, "                                                                                                        \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define KV_SUMS64                                                                                                  \
    KV_SUMS32                                                                                                      \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, "       \
    "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define KV_SUM4(d, i)  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define KV_SUM16(d, i) KV_SUM4(d, i), KV_SUM4(d, i + 4), KV_SUM4(d, i + 8), KV_SUM4(d, i + 12)

/* The instructions; `type` of A and B. B's descriptor, and A's, come as low and high words. */
#define KV_WGMMA_KEYS(type)                                                                                        \
    "{ .reg .pred p; .reg .b64 a, b; setp.ne.b32 p, %66, 0; mov.b64 a, {%64, %67}; mov.b64 b, {%65, %67}; "        \
    "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" KV_SUMS64 "}, a, b, p, 1, 1, 0, 0; }"
#define KV_WGMMA_VALUES128(type)                                                                                   \
    "{ .reg .pred p; .reg .b64 b; setp.ne.b32 p, 1, 0; mov.b64 b, {%68, %69}; "                                    \
    "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" KV_SUMS64                                    \
    "}, {%64, %65, %66, %67}, b, p, 1, 1, 1; }"
#define KV_WGMMA_VALUES64(type)                                                                                    \
    "{ .reg .pred p; .reg .b64 b; setp.ne.b32 p, 1, 0; mov.b64 b, {%36, %37}; "                                    \
    "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {" KV_SUMS32                                     \
    "}, {%32, %33, %34, %35}, b, p, 1, 1, 1; }"

/* Has what x comes from done before the wait that follows, and not behind it: the assembler moves arithmetic across
 * waits, but not across branches. x is not below 0. */
KV_DEVICE void kv_settle(float x)
{
#ifdef KV_CUDA_EMULATED
    (void)x;
#else
    asm volatile("{ .reg .pred p; setp.lt.f32 p, %0, 0f00000000; @!p bra over; nanosleep.u32 0; over: }" ::"f"(x));
#endif
}

/* d[64][128] f32 (+)= a[64][16] b[16][128], both from shared memory, each with k along its rows. */
template <bool bf16> KV_DEVICE void kv_wgmma_keys(float (&d)[64], uint32_t a, uint32_t b, bool add)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_ss(d, 128, kv_wgmma_whole(a), kv_wgmma_whole(b), add, bf16, false, false);
#else
#define KV_OPERANDS                                                                                                \
    KV_SUM16(d, 0), KV_SUM16(d, 16), KV_SUM16(d, 32),                                                              \
        KV_SUM16(d, 48) : "r"(a), "r"(b), "r"((int)add), "n"(KV_WGMMA_HIGH)
    if (bf16)
        asm volatile(KV_WGMMA_KEYS("bf16") : KV_OPERANDS);
    else
        asm volatile(KV_WGMMA_KEYS("f16") : KV_OPERANDS);
#undef KV_OPERANDS
#endif
}

/* d[64][128] f32 += a[64][16] b[16][128], a from registers as for m16n8k16, a warp its 16 rows; b across its rows. */
template <bool bf16> KV_DEVICE void kv_wgmma_values(float (&d)[64], const uint32_t *a, uint32_t b)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_rs(d, 128, a, kv_wgmma_whole(b), true, bf16, true);
#else
#define KV_OPERANDS                                                                                                \
    KV_SUM16(d, 0), KV_SUM16(d, 16), KV_SUM16(d, 32),                                                              \
        KV_SUM16(d, 48) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "n"(KV_WGMMA_HIGH)
    if (bf16)
        asm volatile(KV_WGMMA_VALUES128("bf16") : KV_OPERANDS);
    else
        asm volatile(KV_WGMMA_VALUES128("f16") : KV_OPERANDS);
#undef KV_OPERANDS
#endif
}

/* The same for 64 columns. */
template <bool bf16> KV_DEVICE void kv_wgmma_values(float (&d)[32], const uint32_t *a, uint32_t b)
{
#ifdef KV_CUDA_EMULATED
    emu_wgmma_rs(d, 64, a, kv_wgmma_whole(b), true, bf16, true);
#else
#define KV_OPERANDS                                                                                                \
    KV_SUM16(d, 0), KV_SUM16(d, 16) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "n"(KV_WGMMA_HIGH)
    if (bf16)
        asm volatile(KV_WGMMA_VALUES64("bf16") : KV_OPERANDS);
    else
        asm volatile(KV_WGMMA_VALUES64("f16") : KV_OPERANDS);
#undef KV_OPERANDS
#endif
}

#endif
