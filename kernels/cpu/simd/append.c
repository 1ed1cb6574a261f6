/* New keys and values from f32 to the cache's type, rounded to nearest even. */
#include "kernels/cpu/simd/attend.h"

void KV_NAME(kv_attn_convert)(int type, const float *from, size_t n, void *to)
{
    uint16_t *half = to;
    size_t i = 0;
    switch (type) {
    case KV_TYPE_F16:
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store_f16(half + i, vf_load(from + i));
        if (i < n) vf_store_f16_part(half + i, vf_load_part(from + i, n - i), n - i);
        break;
    case KV_TYPE_BF16:
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store_bf16(half + i, vf_load(from + i));
        if (i < n) vf_store_bf16_part(half + i, vf_load_part(from + i, n - i), n - i);
        break;
    default: memcpy(to, from, n * sizeof *from);
    }
}
