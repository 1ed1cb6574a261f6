/* Rotary position embedding: each pair of channels (a, b) of a head turns by pos * frequency[c],
 *   a' = (a cos - b sin) scale,  b' = (b cos + a sin) scale.
 *
 * x [n][heads][head_dim] f32 in place, pos [n] i32 on the host; only the first dim channels turn. Bytes: 8 a value;
 * bound by memory. Angles are rounded as in kernels/cpu/rope.c: the frequency and its product with the position to f32,
 * then cosine and sine in f64. All layers of a pass ask for the same rows, so their cosines are made once and stay on
 * the device: the host keeps what they are for, and ops take effect in order, so what it compares with is what the
 * kernel will find, in a replayed graph too. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/steps.cuh"

#include <stdlib.h>
#include <string.h>

#define GRID_ROWS 65535 /* that a grid may have */

/* ---- kernels ---- */

struct angles_args {
    const int32_t *pos;
    const float *frequency; /* [dim/2] */
    float *angles;          /* [n][dim/2][2] */
    float scale;
    int n, pairs;
};

__global__ void __launch_bounds__(256) angles_kernel(struct angles_args a)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (size_t)a.n * (size_t)a.pairs) return;
    double sine, cosine;
    float angle = __fmul_rn((float)a.pos[at / (size_t)a.pairs], a.frequency[at % (size_t)a.pairs]);
    sincos((double)angle, &sine, &cosine);
    a.angles[2 * at] = __fmul_rn((float)cosine, a.scale);
    a.angles[2 * at + 1] = __fmul_rn((float)sine, a.scale);
}

/* Grid: x over a row's pairs, y over rows; divisions are in 32 bits, for in 64 they take longer than the memory. */
__global__ void __launch_bounds__(256) rope_kernel(struct kv_rope_args a)
{
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x, pairs = (uint32_t)a.pairs,
             width = (uint32_t)a.heads * pairs;
    uint32_t head = at / pairs, c = at % pairs;
    if (at >= width) return;
    for (size_t row = blockIdx.y; row * width < a.count; row += gridDim.y) {
        const float *angle = a.angles + (row * pairs + c) * 2;
        float *x = a.x + (row * (size_t)a.heads + head) * (size_t)a.head_dim + c * (size_t)a.step;
        kv_rope_turn(x, x + a.other, angle[0], angle[1]);
    }
}

/* ---- launch ---- */

static void launch_angles(struct kv_cuda *cu, const void *args)
{
    const struct angles_args *a = (const struct angles_args *)args;
    kv_cuda_launch(
        cu, "the angles of rope", kv_cuda_blocks((size_t)a->n * (size_t)a->pairs, 256), 256, 0, angles_kernel, *a);
}

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_rope_args *a = (const struct kv_rope_args *)args;
    size_t width = (size_t)a->heads * (size_t)a->pairs;
    unsigned rows = (unsigned)kv_min(a->count / width, GRID_ROWS);
    kv_cuda_launch(cu, "rope", dim3(kv_cuda_blocks(width, 256), rows), 256, 0, rope_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_angles_kind = { "angles", launch_angles };
const struct kv_cuda_kind kv_cuda_rope_kind = { "rope", launch };

size_t kv_cuda_angles_bytes(const struct kv_limits *limits)
{
    return (size_t)limits->rows * (size_t)limits->head_dim * sizeof(float);
}

bool kv_cuda_angles_reserve(struct kv_cuda *cu, const struct kv_limits *limits, void *device)
{
    size_t frequencies = (size_t)limits->head_dim * sizeof(float);
    float *host = (float *)realloc(cu->angles.frequency, frequencies + (size_t)limits->rows * sizeof(int32_t));
    cu->angles.n = 0;
    if (!host) return false;
    cu->angles.frequency = host;
    cu->angles.pos = (int32_t *)(host + limits->head_dim);
    cu->angles.device = (float *)device;
    return true;
}

/* Makes the angles of these rows, unless they are the last ones that were made. */
static enum kv_status need_angles(
    struct kv_cuda *cu, const struct kv_rope *rope, const int32_t *pos, int n, struct kv_error *err)
{
    struct kv_cuda_angles *t = &cu->angles;
    size_t positions = (size_t)n * sizeof *pos, frequencies = (size_t)rope->dim / 2 * sizeof *rope->frequency;
    if (t->n == n && t->dim == rope->dim && t->scale == rope->scale && !memcmp(t->pos, pos, positions) &&
        !memcmp(t->frequency, rope->frequency, frequencies))
        return KV_OK;
    enum kv_status status = kv_cuda_room(cu, positions + frequencies + 32, err);
    if (status) return status;
    memcpy(t->pos, pos, positions);
    memcpy(t->frequency, rope->frequency, frequencies);
    t->n = n;
    t->dim = rope->dim;
    t->scale = rope->scale;
    struct angles_args a = {};
    a.pos = (const int32_t *)kv_cuda_stage(cu, pos, positions);
    a.frequency = (const float *)kv_cuda_stage(cu, rope->frequency, frequencies);
    a.angles = t->device;
    a.scale = rope->scale;
    a.n = n;
    a.pairs = rope->dim / 2;
    kv_cuda_push(cu, &kv_cuda_angles_kind, &a, sizeof a);
    return KV_OK;
}

enum kv_status kv_cuda_rope(void *ctx, const struct kv_rope *rope, const int32_t *pos, float *x, int n, int heads,
    int head_dim, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (!cu->reserved || n < 0 || n > cu->limits.rows || head_dim > cu->limits.head_dim)
        return kv_fail(err, KV_BAD_ARG, "RoPE of %d rows, head_dim %d, where %d rows, head_dim %d were reserved.",
            n, head_dim, cu->limits.rows, cu->limits.head_dim);
    if (rope->dim < 2 || rope->dim % 2 || rope->dim > head_dim)
        return kv_fail(err, KV_BAD_ARG, "RoPE over %d of %d channels; it must be even and between 2 and all.",
            rope->dim, head_dim);
    if (!n || heads < 1) return KV_OK;
    enum kv_status status = need_angles(cu, rope, pos, n, err);
    if (!status) status = kv_cuda_room(cu, 0, err);
    if (status) return status;
    struct kv_rope_args a = {};
    a.x = x;
    a.angles = cu->angles.device;
    a.pairs = rope->dim / 2;
    a.count = (size_t)n * (size_t)heads * (size_t)a.pairs;
    a.heads = heads;
    a.head_dim = head_dim;
    a.step = rope->halves ? 1 : 2;
    a.other = rope->halves ? a.pairs : 1;
    kv_cuda_push(cu, &kv_cuda_rope_kind, &a, sizeof a);
    return KV_OK;
}
