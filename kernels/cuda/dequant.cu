/* Blocks to bf16, for GEMMs: to[i] = bf16(w[i]), w as kernels/blocks.h gives it, or F32, F16 or BF16.
 *
 * from: count weights, to: count bf16; float types whose rows are no multiple of 8 columns get zeroes behind each, so that
 * rows begin at multiples of 16 bytes. Bytes: the blocks read, 2 a weight written; bound by memory. A thread takes a group
 * of 16 and writes 32 bytes: one sector. */
#include "kernels/cuda/blocks.cuh"
#include "kernels/cuda/gemv.h"

/* ---- kernels ---- */

#define PER_BLOCK 256

template <int type>
__global__ void __launch_bounds__(PER_BLOCK)
    dequant_kernel(const uint8_t *from, size_t groups, int in_block, int bytes, uint4 *to)
{
    size_t i = (size_t)blockIdx.x * PER_BLOCK + threadIdx.x;
    if (i >= groups) return;
    const uint8_t *b = from + i / (size_t)in_block * (size_t)bytes;
    int g = (int)(i % (size_t)in_block), minus = kv_group_locate(type, b, g).minus;
    uint32_t q[4], out[8];
    struct kv_group w;
    kv_block_group<type, false>(b, g, q);
    kv_group_scale(type, b, g, &w);
#pragma unroll
    for (int p = 0; p < 8; p++)
        out[p] = kv_pack_half2<true>(
            kv_block_value(&w, q[p / 2], p % 2 * 2, minus), kv_block_value(&w, q[p / 2], p % 2 * 2 + 1, minus));
    to[2 * i] = make_uint4(out[0], out[1], out[2], out[3]);
    to[2 * i + 1] = make_uint4(out[4], out[5], out[6], out[7]);
}

__global__ void __launch_bounds__(PER_BLOCK) narrow_kernel(int type, const void *from, size_t n, __nv_bfloat16 *to)
{
    size_t i = (size_t)blockIdx.x * PER_BLOCK + threadIdx.x;
    if (i < n) to[i] = __float2bfloat16_rn(kv_load_as_f32(type, from, i));
}

__global__ void __launch_bounds__(PER_BLOCK)
    narrow_rows_kernel(int type, const void *from, size_t cols, size_t stride, size_t n, __nv_bfloat16 *to)
{
    size_t i = (size_t)blockIdx.x * PER_BLOCK + threadIdx.x, row = i / stride, c = i % stride;
    if (i < n) to[i] = __float2bfloat16_rn(c < cols ? kv_load_as_f32(type, from, row * cols + c) : 0);
}

/* Rounds x to 8 bits first, in groups of `group` columns (32 or 256), as int8 precision does: 8 columns a thread. */
__global__ void __launch_bounds__(PER_BLOCK) narrow_int8_kernel(const float *x, size_t n, int group, uint32_t *to)
{
    size_t at = ((size_t)blockIdx.x * PER_BLOCK + threadIdx.x) * 8;
    float v[8], largest = 0;
    bool in = at < n;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        v[i] = in ? x[at + (size_t)i] : 0;
        largest = fmaxf(largest, fabsf(v[i]));
    }
    for (int step = 1; step < group / 8; step *= 2)
        largest = fmaxf(largest, __shfl_xor_sync(KV_ALL, largest, step));
    if (!in) return;
    bool tiny = largest < 1e-30f;
    float scale = tiny ? 0 : largest / 127, inverse = tiny ? 0 : 127 / largest;
#pragma unroll
    for (int i = 0; i < 8; i += 2)
        to[at / 2 + (size_t)(i / 2)] =
            kv_pack_half2<true>(rintf(v[i] * inverse) * scale, rintf(v[i + 1] * inverse) * scale);
}

/* ---- launch ---- */

template <int type>
static void start(struct kv_cuda *cu, const struct kv_type_info *info, const uint8_t *from, size_t count, void *to)
{
    size_t groups = count / KV_GROUP;
    kv_cuda_launch(cu, "dequantising", kv_cuda_blocks(groups, PER_BLOCK), PER_BLOCK, 0, dequant_kernel<type>, from,
        groups, info->elements / KV_GROUP, info->bytes, (uint4 *)to);
}

void kv_cuda_to_bf16(struct kv_cuda *cu, int type, const void *from, size_t count, void *to)
{
    const struct kv_type_info *info = kv_type_info(type);
    switch (type) {
#define X(name, number, elements, bytes, half, halves)                                                             \
    case KV_TYPE_##name: start<KV_TYPE_##name>(cu, info, (const uint8_t *)from, count, to); break;
        KV_QUANTIZED_LIST(X)
#undef X
    default:
        kv_cuda_launch(cu, "rounding", kv_cuda_blocks(count, PER_BLOCK), PER_BLOCK, 0, narrow_kernel, type, from,
            count, (__nv_bfloat16 *)to);
    }
}

void kv_cuda_rows_to_bf16(
    struct kv_cuda *cu, int type, const void *from, size_t rows, size_t cols, size_t stride, void *to)
{
    if (stride == cols) {
        kv_cuda_to_bf16(cu, type, from, rows * cols, to);
        return;
    }
    size_t n = rows * stride;
    kv_cuda_launch(cu, "rounding", kv_cuda_blocks(n, PER_BLOCK), PER_BLOCK, 0, narrow_rows_kernel, type, from, cols,
        stride, n, (__nv_bfloat16 *)to);
}

void kv_cuda_int8_to_bf16(struct kv_cuda *cu, const float *x, size_t count, int group, void *to)
{
    kv_cuda_launch(cu, "rounding", kv_cuda_blocks(count, 8 * PER_BLOCK), PER_BLOCK, 0, narrow_int8_kernel, x, count,
        group, (uint32_t *)to);
}
