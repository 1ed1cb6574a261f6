/* Dequantisation, norm, RoPE and SwiGLU in vectors; the equations stand in the files of the same ops above. */
#include "kernels/cpu/simd/groups.h"
#include "kernels/cpu/simd/ops.h"

#include <math.h>

/* Weights of a quantized type, whole blocks of `per_block` groups; type is a constant wherever this is inlined. */
VF_INLINE void groups(int type, int per_block, int block_bytes, const uint8_t *src, size_t n, float *dst)
{
    for (size_t left = n / KV_GROUP; left; left -= (size_t)per_block, src += block_bytes)
        for (int g = 0; g < per_block; g++, dst += KV_GROUP) {
            vf v[KV_GROUP_VECTORS];
            kv_group_floats(type, src, g, v);
            for (int i = 0; i < KV_GROUP_VECTORS; i++) vf_store(dst + i * VF_WIDTH, v[i]);
        }
}

void KV_NAME(kv_dequantize)(int type, const void *src, size_t n, float *dst)
{
    const uint16_t *half = src;
    size_t i = 0;
    switch (type) {
    case KV_TYPE_F16:
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store(dst + i, vf_load_f16(half + i));
        if (i < n) vf_store_part(dst + i, vf_load_f16_part(half + i, n - i), n - i);
        break;
    case KV_TYPE_BF16:
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store(dst + i, vf_load_bf16(half + i));
        if (i < n) vf_store_part(dst + i, vf_load_bf16_part(half + i, n - i), n - i);
        break;
    case KV_TYPE_F32: memcpy(dst, src, n * sizeof *dst); break;
#define X(name, number, elements, bytes, half, halves)                                                             \
    case number: groups(number, elements / KV_GROUP, bytes, src, n, dst); break;
        KV_QUANTIZED_LIST(X)
#undef X
    default: break;
    }
}

void KV_NAME(kv_norm_row)(const float *x, const float *weight, float eps, int cols, float *y)
{
    size_t n = (size_t)cols, c = 0;
    vf a = vf_zero(), b = vf_zero();
    for (; c + 2 * VF_WIDTH <= n; c += 2 * VF_WIDTH) {
        vf u = vf_load(x + c), v = vf_load(x + c + VF_WIDTH);
        a = vf_fma(u, u, a);
        b = vf_fma(v, v, b);
    }
    for (; c < n; c += VF_WIDTH) {
        vf u = n - c < VF_WIDTH ? vf_load_part(x + c, n - c) : vf_load(x + c);
        a = vf_fma(u, u, a);
    }
    float scale = 1.0f / sqrtf(vf_sum(vf_add(a, b)) / (float)cols + eps);
    vf s = vf_set1(scale);
    for (c = 0; c + VF_WIDTH <= n; c += VF_WIDTH)
        vf_store(y + c, vf_mul(vf_mul(vf_load(x + c), s), vf_load(weight + c)));
    for (; c < n; c++) y[c] = x[c] * scale * weight[c];
}

/* Pairs of neighbours: cosines and sines lie interleaved as the channels do, so a vector of x turns whole. */
static void rope_adjacent(int dim, const float *angles, float *x)
{
    int c = 0;
    for (; c + VF_WIDTH <= dim; c += VF_WIDTH) {
        vf v = vf_load(x + c), t = vf_load(angles + c);
#ifdef __AVX512F__
        vf swapped = _mm512_permute_ps(v, 0xb1);
        vf cosine = _mm512_moveldup_ps(t), sine = _mm512_movehdup_ps(t);
        vf_store(x + c, _mm512_fmaddsub_ps(v, cosine, vf_mul(swapped, sine)));
#else
        vf swapped = _mm256_permute_ps(v, 0xb1);
        vf cosine = _mm256_moveldup_ps(t), sine = _mm256_movehdup_ps(t);
        vf_store(x + c, _mm256_fmaddsub_ps(v, cosine, vf_mul(swapped, sine)));
#endif
    }
    for (; c < dim; c += 2) {
        float a = x[c], b = x[c + 1];
        x[c] = a * angles[c] - b * angles[c + 1];
        x[c + 1] = b * angles[c] + a * angles[c + 1];
    }
}

void KV_NAME(kv_rope_row)(const struct kv_rope *rope, const float *angles, float *x, int heads, int head_dim)
{
    if (rope->halves) {
        kv_rope_row(rope, angles, x, heads, head_dim);
        return;
    }
    for (int h = 0; h < heads; h++) rope_adjacent(rope->dim, angles, x + (size_t)h * (size_t)head_dim);
}

VF_INLINE vf swiglu(vf g, vf u)
{
    vf e = vf_exp(vf_sub(vf_zero(), g));
    return vf_mul(vf_div(g, vf_add(vf_set1(1.0f), e)), u);
}

void KV_NAME(kv_swiglu_span)(const float *gate, const float *up, size_t count, float *y)
{
    size_t i = 0;
    for (; i + VF_WIDTH <= count; i += VF_WIDTH) vf_store(y + i, swiglu(vf_load(gate + i), vf_load(up + i)));
    size_t left = count - i;
    if (left) vf_store_part(y + i, swiglu(vf_load_part(gate + i, left), vf_load_part(up + i, left)), left);
}
