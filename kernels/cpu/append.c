/* Puts new keys and values behind a span's last slot.
 *
 *   k[g][len + i] = k_new[i][g], v likewise, pos[len + i] = pos_new[i], len += n, for every KV head g
 *
 * k_new and v_new are [n][G][d] f32; they are rounded to nearest even into the span's type. Moves n G d (4 + 2)
 * bytes twice in f16: nothing beside the GEMM that made them. A span without room is left as it was. */
#include "kernels/cpu/attention.h"

#include <string.h>

/* f32 to f16, nearest even; overflow becomes infinity, NaN stays NaN. */
static uint16_t f16_of(float x)
{
    union {
        float f;
        uint32_t u;
    } bits = { x }, magic;
    uint32_t sign = bits.u >> 16 & 0x8000, abs = bits.u & 0x7fffffff;
    if (abs > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (abs >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (abs < 0x38800000) { /* below 2^-14: adding 0.5 leaves the denormal's bits at the bottom */
        bits.u = abs;
        magic.f = bits.f + 0.5f;
        return (uint16_t)(sign | (magic.u - 0x3f000000));
    }
    return (uint16_t)(sign | (abs - 0x38000000 + 0xfff + (abs >> 13 & 1)) >> 13);
}

static uint16_t bf16_of(float x)
{
    union {
        float f;
        uint32_t u;
    } bits = { x };
    if ((bits.u & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits.u >> 16 | 0x40);
    return (uint16_t)((bits.u + 0x7fff + (bits.u >> 16 & 1)) >> 16);
}

void kv_attn_convert(int type, const float *from, size_t n, void *to)
{
    uint16_t *half = to;
    switch (type) {
    case KV_TYPE_F16:
        for (size_t i = 0; i < n; i++) half[i] = f16_of(from[i]);
        break;
    case KV_TYPE_BF16:
        for (size_t i = 0; i < n; i++) half[i] = bf16_of(from[i]);
        break;
    default: memcpy(to, from, n * sizeof *from);
    }
}

enum kv_status kv_cpu_append(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
    const float *v, const int32_t *pos, int n, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    const struct kv_attn_ops *ops = kv_attn_ops(cpu);
    cpu->calls[KV_CPU_append]++;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    for (int g = 0; g < n_kv_head; g++) {
        int len = kv_attn_span_len(to, g);
        if (n < 0 || len < 0 || n > to->cap - len)
            return kv_fail(err, KV_BAD_ARG,
                "A cache of %d slots with %d in use cannot take %d more tokens (KV head %d).", to->cap, len, n, g);
    }
    size_t d = (size_t)head_dim, row_bytes = kv_attn_row_bytes(type, head_dim);
#pragma omp parallel for num_threads(n < 64 ? 1 : cpu->threads) schedule(static)
    for (int g = 0; g < n_kv_head; g++) {
        int len = kv_attn_span_len(to, g);
        for (int i = 0; i < n; i++) {
            size_t from = ((size_t)i * (size_t)n_kv_head + (size_t)g) * d;
            ops->convert(type, k + from, d, (char *)to->k + kv_attn_offset(to, g, len + i, row_bytes));
            ops->convert(type, v + from, d, (char *)to->v + kv_attn_offset(to, g, len + i, row_bytes));
        }
    }
    for (int g = 0; g < n_kv_head && n && (!g || to->pos_stride); g++)
        memcpy(
            to->pos + (size_t)g * (size_t)to->pos_stride + kv_attn_span_len(to, g), pos, (size_t)n * sizeof *pos);
    for (int g = 0; g < n_kv_head && n && (!g || to->len_stride); g++)
        to->len[(size_t)g * (size_t)to->len_stride] += n;
    return KV_OK;
}
