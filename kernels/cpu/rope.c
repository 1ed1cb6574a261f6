/* Rotary position embedding (Su et al., "RoFormer", eq. 34): each pair of channels (a, b) of a head turns by
 * pos * frequency[c], plainly theta^(-2c/dim):  a' = (a cos - b sin) scale,  b' = (b cos + a sin) scale.
 *
 * x [n][heads][head_dim] f32 in place, pos [n] i32 on the host; only the first dim channels turn. Bytes:
 * 4*n*heads*dim read and written (from cache), 3 flops a channel.
 *
 * Angles are rounded where transformers rounds them (and the models were trained so): the frequency to f32, then
 * its product with the position to f32; only then cosine and sine, in f64. An exact product would be nearer to
 * the formula but up to 2e-4 rad away from the reference at position 8,000. All layers of a pass ask for the same
 * positions, so the last table of cosines is kept and compared first. */
#include "kernels/cpu/ops.h"

#include <math.h>
#include <string.h>

void kv_rope_row(const struct kv_rope *rope, const float *angles, float *x, int heads, int head_dim)
{
    int half = rope->dim / 2, step = rope->halves ? 1 : 2, other = rope->halves ? half : 1;
    for (int h = 0; h < heads; h++, x += head_dim)
        for (int c = 0; c < half; c++) {
            float *a = x + (size_t)c * (size_t)step, *b = a + other;
            float cosine = angles[2 * c], sine = angles[2 * c + 1], was = *a;
            *a = was * cosine - *b * sine;
            *b = *b * cosine + was * sine;
        }
}

/* [rows][head_dim] f32 angles, then the frequencies and the positions they are for. */
size_t kv_cpu_rope_scratch_bytes(const struct kv_limits *limits)
{
    return ((size_t)limits->rows + 1) * (size_t)limits->head_dim * sizeof(float) +
           (size_t)limits->rows * sizeof(int32_t);
}

static void fill_angles(int threads, const struct kv_rope *rope, const int32_t *pos, int n, float *angles)
{
    size_t dim = (size_t)rope->dim;
#pragma omp parallel for num_threads(threads) schedule(static) if (n >= 16)
    for (int c = 0; c < rope->dim; c += 2) {
        for (int i = 0; i < n; i++) {
            double angle = (float)pos[i] * rope->frequency[c / 2];
            float *pair = angles + (size_t)i * dim + (size_t)c;
            pair[0] = (float)cos(angle) * rope->scale;
            pair[1] = (float)sin(angle) * rope->scale;
        }
    }
}

enum kv_status kv_cpu_rope(void *ctx, const struct kv_rope *rope, const int32_t *pos, float *x, int n, int heads,
    int head_dim, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t dim = (size_t)rope->dim, row = (size_t)heads * (size_t)head_dim;
    cpu->calls[KV_CPU_rope]++;
    if (!cpu->reserved || n < 0 || n > cpu->limits.rows || head_dim > cpu->limits.head_dim)
        return kv_fail(err, KV_BAD_ARG, "RoPE of %d rows, head_dim %d, where %d rows, head_dim %d were reserved.",
            n, head_dim, cpu->limits.rows, cpu->limits.head_dim);
    if (rope->dim < 2 || rope->dim % 2 || rope->dim > head_dim)
        return kv_fail(err, KV_BAD_ARG, "RoPE over %d of %d channels; it must be even and between 2 and all.",
            rope->dim, head_dim);
    float *angles = cpu->scratch[KV_SCRATCH_ROPE].p;
    float *frequency = angles + (size_t)cpu->limits.rows * (size_t)cpu->limits.head_dim;
    int32_t *known = (int32_t *)(frequency + cpu->limits.head_dim);
    size_t frequencies = dim / 2 * sizeof *frequency, positions = (size_t)n * sizeof *pos;
    bool same = cpu->rope_table.n == n && cpu->rope_table.dim == rope->dim && cpu->rope_table.scale == rope->scale;
    if (!same || memcmp(known, pos, positions) || memcmp(frequency, rope->frequency, frequencies)) {
        fill_angles(cpu->threads, rope, pos, n, angles);
        memcpy(known, pos, positions);
        memcpy(frequency, rope->frequency, frequencies);
        cpu->rope_table.n = n;
        cpu->rope_table.dim = rope->dim;
        cpu->rope_table.scale = rope->scale;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if ((size_t)n * row >= 2 * KV_PARALLEL_GRAIN)
    for (int i = 0; i < n; i++)
        cpu->ops->rope(rope, angles + (size_t)i * dim, x + (size_t)i * row, heads, head_dim);
    return KV_OK;
}
