/* What device code may call: CUDA's intrinsics by their names. */
#ifndef EMU_DEVICE_H
#define EMU_DEVICE_H

#include "emu_ptx.h"

#include <cmath>
#include <cstring>
#include <type_traits>

/* ---- the block ---- */

static inline void __syncthreads(EMU_WHERE) { emu_barrier(0, 0, "__syncthreads", NULL, NULL, where); }

struct emu_vote {
    int predicate, any, all, count;
};
static inline void emu_count_votes(void *const *data, int count)
{
    int trues = 0;
    for (int i = 0; i < count; i++) trues += ((const emu_vote *)data[i])->predicate;
    for (int i = 0; i < count; i++) {
        emu_vote *v = (emu_vote *)data[i];
        v->any = trues > 0, v->all = trues == count, v->count = trues;
    }
}
static inline emu_vote emu_block_vote(int predicate, emu_where where)
{
    emu_vote v = { predicate != 0, 0, 0, 0 };
    emu_barrier(0, 0, "__syncthreads_or, _and or _count", &v, emu_count_votes, where);
    return v;
}
static inline int __syncthreads_or(int predicate, EMU_WHERE) { return emu_block_vote(predicate, where).any; }
static inline int __syncthreads_and(int predicate, EMU_WHERE) { return emu_block_vote(predicate, where).all; }
static inline int __syncthreads_count(int predicate, EMU_WHERE) { return emu_block_vote(predicate, where).count; }

/* ---- the warp ---- */

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_WHERE)
{
    emu_warp(mask, "__syncwarp", NULL, NULL, where);
}
static inline unsigned __activemask(void) { return 0xffffffffu; }

/* A lane's word on its way: what it gives, whose it takes (-1: its own), and what it got. A lane that is not there gives
 * 0xff bytes. */
struct emu_word {
    uint64_t give, got;
    int from;
};
static inline void emu_exchange(void *const *data, int count)
{
    for (int lane = 0; lane < count; lane++) {
        emu_word *w = (emu_word *)data[lane];
        if (!w) continue;
        const emu_word *other = (const emu_word *)data[w->from < 0 ? lane : w->from];
        w->got = other ? other->give : UINT64_MAX;
    }
}
template <typename T> static inline T emu_shuffle(unsigned mask, T x, int from, const char *what, emu_where where)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "one register or two");
    emu_word w = { 0, 0, from };
    memcpy(&w.give, &x, sizeof x);
    emu_warp(mask, what, &w, emu_exchange, where);
    memcpy(&x, &w.got, sizeof x);
    return x;
}
template <typename T> static inline T __shfl_sync(unsigned mask, T x, int lane, int width = 32, EMU_WHERE)
{
    int first = emu_lane() & ~(width - 1);
    return emu_shuffle(mask, x, first + (lane & (width - 1)), "__shfl_sync", where);
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32, EMU_WHERE)
{
    int other = emu_lane() ^ bits, last = emu_lane() | (width - 1);
    return emu_shuffle(mask, x, other > last ? -1 : other, "__shfl_xor_sync", where);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32, EMU_WHERE)
{
    int other = emu_lane() - (int)by, first = emu_lane() & ~(width - 1);
    return emu_shuffle(mask, x, other < first ? -1 : other, "__shfl_up_sync", where);
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32, EMU_WHERE)
{
    int other = emu_lane() + (int)by, last = emu_lane() | (width - 1);
    return emu_shuffle(mask, x, other > last ? -1 : other, "__shfl_down_sync", where);
}

static inline void emu_ballot(void *const *data, int count)
{
    uint64_t bits = 0;
    for (int lane = 0; lane < count; lane++)
        if (data[lane] && ((const emu_word *)data[lane])->give) bits |= 1u << lane;
    for (int lane = 0; lane < count; lane++)
        if (data[lane]) ((emu_word *)data[lane])->got = bits;
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_WHERE)
{
    emu_word w = { predicate != 0, 0, 0 };
    emu_warp(mask, "__ballot_sync", &w, emu_ballot, where);
    return (unsigned)w.got;
}
static inline int __any_sync(unsigned mask, int predicate, EMU_WHERE)
{
    return __ballot_sync(mask, predicate, where) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMU_WHERE)
{
    return !__ballot_sync(mask, !predicate, where);
}

static inline void emu_match(void *const *data, int count)
{
    for (int lane = 0; lane < count; lane++) {
        emu_word *w = (emu_word *)data[lane];
        if (!w) continue;
        w->got = 0;
        for (int other = 0; other < count; other++)
            if (data[other] && ((const emu_word *)data[other])->give == w->give) w->got |= 1u << other;
    }
}
template <typename T> static inline unsigned __match_any_sync(unsigned mask, T x, EMU_WHERE)
{
    emu_word w = { 0, 0, 0 };
    memcpy(&w.give, &x, sizeof x);
    emu_warp(mask, "__match_any_sync", &w, emu_match, where);
    return (unsigned)w.got;
}

/* Reductions in the order of lanes; `from` says which. */
enum emu_reduction { EMU_ADD, EMU_MIN, EMU_MAX, EMU_MIN_SIGNED, EMU_MAX_SIGNED, EMU_AND, EMU_OR, EMU_XOR };
static inline void emu_reduce(void *const *data, int count)
{
    uint32_t sum = 0;
    bool any = false;
    for (int lane = 0; lane < count; lane++) {
        if (!data[lane]) continue;
        uint32_t x = (uint32_t)((const emu_word *)data[lane])->give;
        int32_t s = (int32_t)sum, y = (int32_t)x;
        switch (any ? ((const emu_word *)data[lane])->from : -1) {
        case EMU_ADD: sum += x; break;
        case EMU_MIN: sum = x < sum ? x : sum; break;
        case EMU_MAX: sum = x > sum ? x : sum; break;
        case EMU_MIN_SIGNED: sum = y < s ? x : sum; break;
        case EMU_MAX_SIGNED: sum = y > s ? x : sum; break;
        case EMU_AND: sum &= x; break;
        case EMU_OR: sum |= x; break;
        case EMU_XOR: sum ^= x; break;
        default: sum = x;
        }
        any = true;
    }
    for (int lane = 0; lane < count; lane++)
        if (data[lane]) ((emu_word *)data[lane])->got = sum;
}
static inline uint32_t emu_reduce_sync(unsigned mask, uint32_t x, emu_reduction how, emu_where where)
{
    emu_word w = { x, 0, how };
    emu_warp(mask, "__reduce_sync", &w, emu_reduce, where);
    return (uint32_t)w.got;
}
#define EMU_REDUCE(name, type, how)                                                                                \
    static inline type name(unsigned mask, type x, EMU_WHERE)                                                      \
    {                                                                                                              \
        return (type)emu_reduce_sync(mask, (uint32_t)x, how, where);                                               \
    }
EMU_REDUCE(__reduce_add_sync, unsigned, EMU_ADD)
EMU_REDUCE(__reduce_add_sync, int, EMU_ADD)
EMU_REDUCE(__reduce_min_sync, unsigned, EMU_MIN)
EMU_REDUCE(__reduce_max_sync, unsigned, EMU_MAX)
EMU_REDUCE(__reduce_min_sync, int, EMU_MIN_SIGNED)
EMU_REDUCE(__reduce_max_sync, int, EMU_MAX_SIGNED)
EMU_REDUCE(__reduce_and_sync, unsigned, EMU_AND)
EMU_REDUCE(__reduce_or_sync, unsigned, EMU_OR)
EMU_REDUCE(__reduce_xor_sync, unsigned, EMU_XOR)

/* ---- memory ---- */

static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}
static inline void __threadfence_system(void) {}
static inline void __nanosleep(unsigned, EMU_WHERE) { emu_yield(where); }
static inline size_t __cvta_generic_to_shared(const void *p) { return emu_shared_address(p); }
[[noreturn]] static inline void __trap(void) { emu_die("__trap()"); }

template <typename T> static inline T emu_load(const T *p, const char *what)
{
    emu_check(p, alignof(T), sizeof(T), false, what);
    return *p;
}
template <typename T> static inline void emu_store(T *p, T x, const char *what)
{
    emu_check(p, alignof(T), sizeof(T), false, what);
    *p = x;
}
template <typename T> static inline T __ldg(const T *p) { return emu_load(p, "__ldg"); }
template <typename T> static inline T __ldca(const T *p) { return emu_load(p, "__ldca"); }
template <typename T> static inline T __ldcg(const T *p) { return emu_load(p, "__ldcg"); }
template <typename T> static inline T __ldcs(const T *p) { return emu_load(p, "__ldcs"); }
template <typename T> static inline T __ldlu(const T *p) { return emu_load(p, "__ldlu"); }
template <typename T> static inline T __ldcv(const T *p) { return emu_load(p, "__ldcv"); }
template <typename T> static inline void __stwb(T *p, T x) { emu_store(p, x, "__stwb"); }
template <typename T> static inline void __stcg(T *p, T x) { emu_store(p, x, "__stcg"); }
template <typename T> static inline void __stcs(T *p, T x) { emu_store(p, x, "__stcs"); }
template <typename T> static inline void __stwt(T *p, T x) { emu_store(p, x, "__stwt"); }

template <typename T> static inline T emu_atomic(T *p, T x)
{
    T old = emu_load(p, "an atomic");
    *p = x;
    return old;
}
template <typename T> static inline T atomicAdd(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, (T)(*p + x));
}
template <typename T> static inline T atomicSub(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, (T)(*p - x));
}
template <typename T> static inline T atomicMax(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, *p < x ? x : *p);
}
template <typename T> static inline T atomicMin(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, x < *p ? x : *p);
}
template <typename T> static inline T atomicAnd(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, (T)(*p & x));
}
template <typename T> static inline T atomicOr(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, (T)(*p | x));
}
template <typename T> static inline T atomicXor(T *p, std::type_identity_t<T> x)
{
    return emu_atomic(p, (T)(*p ^ x));
}
template <typename T> static inline T atomicExch(T *p, std::type_identity_t<T> x) { return emu_atomic(p, x); }
template <typename T> static inline T atomicCAS(T *p, std::type_identity_t<T> compare, std::type_identity_t<T> x)
{
    return emu_atomic(p, *p == compare ? x : *p);
}
static inline unsigned atomicInc(unsigned *p, unsigned top) { return emu_atomic(p, *p >= top ? 0u : *p + 1); }
static inline unsigned atomicDec(unsigned *p, unsigned top)
{
    return emu_atomic(p, !*p || *p > top ? top : *p - 1);
}

/* ---- bits ---- */

template <typename To, typename From> static inline To emu_bits(From x)
{
    To y;
    static_assert(sizeof x == sizeof y, "the same width");
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned select)
{
    uint64_t bytes = (uint64_t)y << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned s = select >> 4 * i & 0xf, byte = (unsigned)(bytes >> 8 * (s & 7)) & 0xff;
        if (s & 8) byte = byte & 0x80 ? 0xff : 0;
        out |= byte << 8 * i;
    }
    return out;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned by)
{
    return (unsigned)((((uint64_t)hi << 32 | lo) << (by & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned by)
{
    return (unsigned)(((uint64_t)hi << 32 | lo) >> (by & 31));
}
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((uint64_t)x * y >> 32); }
static inline int __mulhi(int x, int y) { return (int)((int64_t)x * y >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}

/* ---- four bytes in a register ---- */

#define EMU_BYTES(name, body)                                                                                      \
    static inline unsigned name(unsigned x, unsigned y)                                                            \
    {                                                                                                              \
        unsigned out = 0;                                                                                          \
        for (int i = 0; i < 32; i += 8) {                                                                          \
            int a = (int)(x >> i & 0xff), b = (int)(y >> i & 0xff);                                                \
            out |= ((unsigned)(body)&0xff) << i;                                                                   \
        }                                                                                                          \
        return out;                                                                                                \
    }
EMU_BYTES(__vadd4, a + b)
EMU_BYTES(__vsub4, a - b)
EMU_BYTES(__vsubss4, ((int8_t)a - (int8_t)b > 127       ? 127
                         : (int8_t)a - (int8_t)b < -128 ? -128
                                                        : (int8_t)a - (int8_t)b))
EMU_BYTES(__vcmpne4, a != b ? 0xff : 0)
EMU_BYTES(__vcmpeq4, a == b ? 0xff : 0)

static inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 32; i += 8) c += (int8_t)(a >> i) * (int8_t)(b >> i);
    return c;
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 32; i += 8) c += (a >> i & 0xff) * (b >> i & 0xff);
    return c;
}

/* ---- arithmetic ---- */

static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __frsqrt_rn(float x) { return 1 / sqrtf(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
static inline void sincospif(float x, float *s, float *c) { sincosf(x * 3.14159265358979f, s, c); }
static inline float __saturatef(float x) { return x > 0 ? x < 1 ? x : 1 : 0; }
static inline int __float2int_rn(float x) { return (int)lrintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)floorf(x); }
static inline int __float2int_ru(float x) { return (int)ceilf(x); }
static inline unsigned __float2uint_rn(float x) { return (unsigned)llrintf(x); }
static inline unsigned __float2uint_rz(float x) { return (unsigned)x; }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float __ll2float_rn(long long x) { return (float)x; }
static inline double __int2double_rn(int x) { return x; }
static inline float __double2float_rn(double x) { return (float)x; }

/* The C library has declared these names for itself; as macros they do not meet. */
#define __expf(x)          expf(x)
#define __exp10f(x)        exp10f(x)
#define __logf(x)          logf(x)
#define __log2f(x)         log2f(x)
#define __log10f(x)        log10f(x)
#define __sinf(x)          sinf(x)
#define __cosf(x)          cosf(x)
#define __powf(x, y)       powf(x, y)
#define __sincosf(x, s, c) sincosf(x, s, c)

#define EMU_MIN_MAX(type)                                                                                          \
    static inline type min(type x, type y) { return y < x ? y : x; }                                               \
    static inline type max(type x, type y) { return x < y ? y : x; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
static inline float min(float x, float y) { return fminf(x, y); }
static inline float max(float x, float y) { return fmaxf(x, y); }
static inline double min(double x, double y) { return fmin(x, y); }
static inline double max(double x, double y) { return fmax(x, y); }
static inline unsigned min(unsigned x, int y) { return min(x, (unsigned)y); }
static inline unsigned min(int x, unsigned y) { return min((unsigned)x, y); }
static inline unsigned max(unsigned x, int y) { return max(x, (unsigned)y); }
static inline unsigned max(int x, unsigned y) { return max((unsigned)x, y); }

#endif
