/* Dequantisation, the reference: dst[n] f32 = the values of n weights of any type (formats in blocks.h).
 *
 * Bytes moved: n * bits/8 read, 4n written. The vector paths use dequantize of struct kv_cpu_ops, which gives
 * the same bits. */
#include "kernels/blocks.h"
#include "kernels/cpu/ops.h"

static void groups(int type, int per_block, int block_bytes, const uint8_t *src, size_t n, float *dst)
{
    struct kv_group g;
    for (size_t k = 0; k < n / KV_GROUP; k++) {
        kv_group_read(type, src + k / (size_t)per_block * (size_t)block_bytes, (int)(k % (size_t)per_block), &g);
        for (int i = 0; i < KV_GROUP; i++) dst[k * KV_GROUP + (size_t)i] = kv_group_value(&g, i);
    }
}

void kv_dequantize(int type, const void *src, size_t n, float *dst)
{
    const struct kv_type_info *info = kv_type_info(type);
    switch (type) {
    case KV_TYPE_F32: memcpy(dst, src, n * sizeof *dst); break;
    case KV_TYPE_F16:
        for (size_t i = 0; i < n; i++) dst[i] = kv_half((const uint8_t *)src + 2 * i);
        break;
    case KV_TYPE_BF16:
        for (size_t i = 0; i < n; i++) dst[i] = kv_bf16_to_f32(kv_u16((const uint8_t *)src + 2 * i));
        break;
    default: groups(type, info->elements / KV_GROUP, info->bytes, src, n, dst); break;
    }
}
