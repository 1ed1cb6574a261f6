/* Vectors of f32 for kernels that are compiled once per instruction set.
 *
 * A file of kernels/cpu/simd/ is compiled with -DKV_ISA=avx2 (x86-64-v3) and -DKV_ISA=avx512 (x86-64-v4 with
 * VNNI, BF16, VBMI). It names its public symbols by KV_NAME(stem), which puts the instruction set behind them,
 * and writes its loops in the words below: vf is a vector of VF_WIDTH floats, no load or store needs alignment,
 * the _part forms touch only the first n < VF_WIDTH elements and read the rest as 0. Sums over the lanes have
 * one fixed tree. Nothing hides a NaN except vf_max and vf_min, which return b when a or b is NaN.
 *
 * f16 and bf16 are uint16_t in memory. Conversions round to nearest even; f16 keeps denormals, bf16 stores keep
 * NaN. */
#ifndef KV_SIMD_H
#define KV_SIMD_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define KV_NAME3(stem, isa) stem##_##isa
#define KV_NAME2(stem, isa) KV_NAME3(stem, isa)
#define KV_NAME(stem)       KV_NAME2(stem, KV_ISA)

#define VF_INLINE static inline __attribute__((always_inline, unused))

#ifdef __AVX512F__

#define VF_WIDTH     16
#define VF_REGISTERS 32
typedef __m512 vf;

VF_INLINE __mmask16 vf_first(size_t n) { return (__mmask16)((1u << n) - 1); }
VF_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
VF_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
VF_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
VF_INLINE vf vf_load_part(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vf_first(n), p); }
VF_INLINE void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
VF_INLINE void vf_store_part(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vf_first(n), x); }
VF_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
VF_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
VF_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
VF_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
VF_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
VF_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
VF_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }   /* a*b + c, rounded once */
VF_INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a*b */

VF_INLINE float vf_sum(vf x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

VF_INLINE float vf_max_all(vf x) { return _mm512_reduce_max_ps(x); }

VF_INLINE vf vf_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
VF_INLINE vf vf_load_f16_part(const uint16_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vf_first(n), p));
}
VF_INLINE void vf_store_f16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VF_INLINE void vf_store_f16_part(uint16_t *p, vf x, size_t n)
{
    _mm256_mask_storeu_epi16(p, vf_first(n), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

VF_INLINE vf vf_widen_bf16(__m256i x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
VF_INLINE __m256i vf_narrow_bf16(vf x) { return (__m256i)_mm512_cvtneps_pbh(x); }
VF_INLINE vf vf_load_bf16(const uint16_t *p) { return vf_widen_bf16(_mm256_loadu_si256((const void *)p)); }
VF_INLINE vf vf_load_bf16_part(const uint16_t *p, size_t n)
{
    return vf_widen_bf16(_mm256_maskz_loadu_epi16(vf_first(n), p));
}
VF_INLINE void vf_store_bf16(uint16_t *p, vf x) { _mm256_storeu_si256((void *)p, vf_narrow_bf16(x)); }
VF_INLINE void vf_store_bf16_part(uint16_t *p, vf x, size_t n)
{
    _mm256_mask_storeu_epi16(p, vf_first(n), vf_narrow_bf16(x));
}

VF_INLINE vf vf_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
VF_INLINE vf vf_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); } /* x * 2^n, n an integer */

#else /* AVX2 */

#define VF_WIDTH     8
#define VF_REGISTERS 16
typedef __m256 vf;

VF_INLINE __m256i vf_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VF_INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
VF_INLINE vf vf_set1(float x) { return _mm256_set1_ps(x); }
VF_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
VF_INLINE vf vf_load_part(const float *p, size_t n) { return _mm256_maskload_ps(p, vf_first(n)); }
VF_INLINE void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
VF_INLINE void vf_store_part(float *p, vf x, size_t n) { _mm256_maskstore_ps(p, vf_first(n), x); }
VF_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
VF_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
VF_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
VF_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
VF_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
VF_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
VF_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
VF_INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }

VF_INLINE float vf_sum(vf x)
{
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

VF_INLINE float vf_max_all(vf x)
{
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

VF_INLINE __m128i vf_load_u16_part(const uint16_t *p, size_t n)
{
    uint16_t whole[8] = { 0 };
    memcpy(whole, p, n * sizeof *p);
    return _mm_loadu_si128((const void *)whole);
}
VF_INLINE void vf_store_u16_part(uint16_t *p, __m128i x, size_t n)
{
    uint16_t whole[8];
    _mm_storeu_si128((void *)whole, x);
    memcpy(p, whole, n * sizeof *p);
}

VF_INLINE vf vf_load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)); }
VF_INLINE vf vf_load_f16_part(const uint16_t *p, size_t n) { return _mm256_cvtph_ps(vf_load_u16_part(p, n)); }
VF_INLINE void vf_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VF_INLINE void vf_store_f16_part(uint16_t *p, vf x, size_t n)
{
    vf_store_u16_part(p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), n);
}

VF_INLINE vf vf_widen_bf16(__m128i x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
VF_INLINE __m128i vf_narrow_bf16(vf x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i top = _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
}
VF_INLINE vf vf_load_bf16(const uint16_t *p) { return vf_widen_bf16(_mm_loadu_si128((const void *)p)); }
VF_INLINE vf vf_load_bf16_part(const uint16_t *p, size_t n) { return vf_widen_bf16(vf_load_u16_part(p, n)); }
VF_INLINE void vf_store_bf16(uint16_t *p, vf x) { _mm_storeu_si128((void *)p, vf_narrow_bf16(x)); }
VF_INLINE void vf_store_bf16_part(uint16_t *p, vf x, size_t n) { vf_store_u16_part(p, vf_narrow_bf16(x), n); }

VF_INLINE vf vf_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* x * 2^n in two steps, so that results among the denormals and at infinity come out right; |n| <= 252. */
VF_INLINE vf vf_scale2(vf x, vf n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i rest = _mm256_sub_epi32(whole, half);
    vf a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vf b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}

#endif

/* e^x to 1.0 ulp over the whole range (tests/unit/elementwise.c holds SwiGLU to it): 0 at -inf and below -104, +inf above
 * 88.73, NaN for NaN. x = n ln 2 + r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q fitted for the least
 * relative error (3e-9). */
VF_INLINE vf vf_exp(vf x)
{
    x = vf_max(vf_set1(-104.0f), vf_min(vf_set1(89.0f), x));
    vf n = vf_round(vf_mul(x, vf_set1(0x1.715476p+0f)));
    vf r = vf_fnma(n, vf_set1(0x1.62e4p-1f), x); /* exact: ln 2 cut to 15 bits, the rest follows */
    r = vf_fnma(n, vf_set1(0x1.7f7d1cp-20f), r);
    vf q = vf_fma(vf_set1(0x1.6a23cep-10f), r, vf_set1(0x1.123a2p-7f));
    q = vf_fma(q, r, vf_set1(0x1.5558f2p-5f));
    q = vf_fma(q, r, vf_set1(0x1.555492p-3f));
    q = vf_fma(q, r, vf_set1(0x1.fffffcp-2f));
    vf e = vf_fma(vf_mul(r, r), q, r);
    return vf_scale2(vf_add(e, vf_set1(1.0f)), n);
}

#endif
