/* bfloat16: the upper half of a float, rounded to nearest even. */
#ifndef EMU_CUDA_BF16_H
#define EMU_CUDA_BF16_H

#include "emu.h"

#include <cmath>
#include <cstring>

struct __nv_bfloat16_raw {
    unsigned short x;
};

struct __nv_bfloat16 {
    unsigned short x;
    __nv_bfloat16() = default;
    __nv_bfloat16(float v)
    {
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        if ((bits & 0x7fffffffu) > 0x7f800000u)
            x = 0x7fff;
        else
            x = (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    }
    __nv_bfloat16(__nv_bfloat16_raw raw) : x(raw.x) {}
    operator float() const
    {
        uint32_t bits = (uint32_t)x << 16;
        float v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
    __nv_bfloat162() = default;
    __nv_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) : x(a), y(b) {}
};

typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __float2bfloat16(float v) { return __nv_bfloat16(v); }
static inline __nv_bfloat16 __float2bfloat16_rn(float v) { return __nv_bfloat16(v); }
static inline float __bfloat162float(__nv_bfloat16 v) { return (float)v; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return __nv_bfloat16(__nv_bfloat16_raw{ bits });
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v) { return v.x; }
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b)
{
    return { __nv_bfloat16(a), __nv_bfloat16(b) };
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return { __nv_bfloat16(v.x), __nv_bfloat16(v.y) }; }
static inline __nv_bfloat162 __float2bfloat162_rn(float v) { return { __nv_bfloat16(v), __nv_bfloat16(v) }; }
static inline float2 __bfloat1622float2(__nv_bfloat162 v) { return { (float)v.x, (float)v.y }; }
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return { a, b }; }
static inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return { a, b }; }
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) { return v.x; }
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) { return v.y; }
static inline float __low2float(__nv_bfloat162 v) { return (float)v.x; }
static inline float __high2float(__nv_bfloat162 v) { return (float)v.y; }
static inline __nv_bfloat16 __hadd(__nv_bfloat16 a, __nv_bfloat16 b) { return __nv_bfloat16((float)a + (float)b); }
static inline __nv_bfloat16 __hmul(__nv_bfloat16 a, __nv_bfloat16 b) { return __nv_bfloat16((float)a * (float)b); }
static inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c)
{
    return __nv_bfloat16(fmaf((float)a, (float)b, (float)c));
}
static inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b)
{
    return { __hadd(a.x, b.x), __hadd(a.y, b.y) };
}
static inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b)
{
    return { __hmul(a.x, b.x), __hmul(a.y, b.y) };
}
static inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c)
{
    return { __hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y) };
}

#endif
