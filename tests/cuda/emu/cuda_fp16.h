/* Half precision: the compiler's own _Float16 rounds as the machine does. */
#ifndef EMU_CUDA_FP16_H
#define EMU_CUDA_FP16_H

#include "emu.h"

#include <cmath>
#include <cstring>

struct __half_raw {
    unsigned short x;
};

struct __half {
    unsigned short x;
    __half() = default;
    __half(float v)
    {
        _Float16 h = (_Float16)v;
        memcpy(&x, &h, sizeof x);
    }
    __half(__half_raw raw) : x(raw.x) {}
    operator float() const
    {
        _Float16 h;
        memcpy(&h, &x, sizeof x);
        return (float)h;
    }
};

struct alignas(4) __half2 {
    __half x, y;
    __half2() = default;
    __half2(__half a, __half b) : x(a), y(b) {}
};

typedef __half half;
typedef __half2 half2;

static inline __half __float2half(float v) { return __half(v); }
static inline __half __float2half_rn(float v) { return __half(v); }
static inline float __half2float(__half v) { return (float)v; }
static inline __half __ushort_as_half(unsigned short bits) { return __half(__half_raw{ bits }); }
static inline unsigned short __half_as_ushort(__half v) { return v.x; }
static inline __half2 __floats2half2_rn(float a, float b) { return { __half(a), __half(b) }; }
static inline __half2 __float22half2_rn(float2 v) { return { __half(v.x), __half(v.y) }; }
static inline __half2 __float2half2_rn(float v) { return { __half(v), __half(v) }; }
static inline float2 __half22float2(__half2 v) { return { (float)v.x, (float)v.y }; }
static inline __half2 __halves2half2(__half a, __half b) { return { a, b }; }
static inline __half2 make_half2(__half a, __half b) { return { a, b }; }
static inline __half __low2half(__half2 v) { return v.x; }
static inline __half __high2half(__half2 v) { return v.y; }
static inline __half2 __low2half2(__half2 v) { return { v.x, v.x }; }
static inline __half2 __high2half2(__half2 v) { return { v.y, v.y }; }
static inline float __low2float(__half2 v) { return (float)v.x; }
static inline float __high2float(__half2 v) { return (float)v.y; }
static inline __half __hadd(__half a, __half b) { return __half((float)a + (float)b); }
static inline __half __hsub(__half a, __half b) { return __half((float)a - (float)b); }
static inline __half __hmul(__half a, __half b) { return __half((float)a * (float)b); }
static inline __half __hfma(__half a, __half b, __half c) { return __half(fmaf((float)a, (float)b, (float)c)); }
static inline __half2 __hadd2(__half2 a, __half2 b) { return { __hadd(a.x, b.x), __hadd(a.y, b.y) }; }
static inline __half2 __hsub2(__half2 a, __half2 b) { return { __hsub(a.x, b.x), __hsub(a.y, b.y) }; }
static inline __half2 __hmul2(__half2 a, __half2 b) { return { __hmul(a.x, b.x), __hmul(a.y, b.y) }; }
static inline __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return { __hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y) };
}

#endif
