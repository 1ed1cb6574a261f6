/* Rows of x as halves, for the products of skinny.cuh; and which kernel multiplies.
 *
 *   to = half(2^-e v), scale = 2^e;  v = x, or x / sqrt(mean x^2 + eps) * norm, or swiglu(x, up); where int8 precision has
 *   quantized weights, v rounded to 8 bits in groups of the type's block first
 *
 * x, up [n][cols] f32, norm [cols]; h [n][cols] f32 gets v, as norm or swiglu would leave it: the same bits. e is such
 * that the largest of a row is 2^14 to 2^15: halves then have their 11 bits down to 2^-29 of it, and less below. A row
 * with a NaN or an infinity gets the scale NaN. Rows up to the next multiple of 8 are zeroes. One block a row. Bytes: 4
 * a value read, from L2, where the kernel in front left them, and 2 written; its time is hidden, for the kernel behind
 * starts with it and fetches weights meanwhile. Not run on a GPU. */
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/skinny.h"

#define TINY   1e-30f
#define STAGES 4 /* of the ring at most */

/* ---- kernels ---- */

/* 8 neighbouring columns from c on, a multiple of 8; scale: of the norm. */
KV_DEVICE void halves_read(const struct kv_halves *a, size_t row, int c, float scale, float v[8])
{
    size_t at = row * (size_t)a->cols + (size_t)c;
    const float4 *x = (const float4 *)(a->x + at);
    float4 p = x[0], q = x[1];
    v[0] = p.x, v[1] = p.y, v[2] = p.z, v[3] = p.w, v[4] = q.x, v[5] = q.y, v[6] = q.z, v[7] = q.w;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (a->up) v[i] = kv_swiglu(v[i], a->up[at + (size_t)i]);
        if (a->norm) v[i] = v[i] * scale * a->norm[c + i];
    }
}

/* Rounds to 8 bits; threads that share a group are neighbours. */
KV_DEVICE void halves_coarse(float v[8], int group)
{
    float largest = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[i]));
    for (int step = 1; step < group / 8; step *= 2)
        largest = fmaxf(largest, __shfl_xor_sync(KV_ALL, largest, step));
    bool tiny = largest < TINY;
    float scale = tiny ? 0 : largest / 127, inverse = tiny ? 0 : 127 / largest;
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = rintf(v[i] * inverse) * scale;
}

/* The largest magnitude of the block's threads, as its bits: a NaN is above all. */
KV_DEVICE uint32_t halves_top(uint32_t top, uint32_t *room)
{
    for (int step = 16; step; step /= 2) top = max(top, __shfl_xor_sync(KV_ALL, top, step));
    if (threadIdx.x % KV_WARP == 0) room[threadIdx.x / KV_WARP] = top;
    __syncthreads();
    for (int i = 0; i < KV_NORM_THREADS / KV_WARP; i++) top = max(top, room[i]);
    return top;
}

__global__ void __launch_bounds__(KV_NORM_THREADS) halves_kernel(struct kv_halves a)
{
    __shared__ float room[KV_WARP];
    __shared__ uint32_t tops[KV_WARP];
    const int i = (int)blockIdx.x;
    const bool there = i < a.n;
    const size_t row = (size_t)i;
    kv_pdl_release();
    kv_pdl_wait();
    float norm = a.norm && there ? kv_norm_scale(a.x + row * (size_t)a.cols, a.cols, a.eps, room) : 1, v[8];
    uint32_t top = 0;
    for (int c = (int)threadIdx.x * 8; c < a.cols && there; c += KV_NORM_THREADS * 8) {
        halves_read(&a, row, c, norm, v);
#pragma unroll
        for (int k = 0; k < 8; k++) top = max(top, __float_as_uint(v[k]) & 0x7fffffffu);
    }
    top = halves_top(top, tops);
    const uint32_t power = top >> 23; /* of the largest, and 127 */
    const bool finite = power < 255, tiny = __uint_as_float(top) < TINY;
    const float inverse = finite && !tiny ? __uint_as_float((268 - power) << 23) : 0;
    const float scale = !finite ? __uint_as_float(0x7fc00000u) : tiny ? 0 : __uint_as_float((power - 14) << 23);
    if (threadIdx.x == 0) a.scale[i] = scale;
    for (int begin = 0; begin < a.cols; begin += KV_NORM_THREADS * 8) {
        int c = begin + (int)threadIdx.x * 8;
        bool in = c < a.cols && there;
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = 0;
        if (in) halves_read(&a, row, c, norm, v);
#pragma unroll
        for (int k = 0; k < 8 && in && a.h; k++) a.h[row * (size_t)a.cols + (size_t)(c + k)] = v[k];
        if (a.group) halves_coarse(v, a.group);
        if (c >= a.cols) continue;
        uint2 *to = (uint2 *)a.to + (size_t)(c / 32 * a.tiles + i / 8) * 64 +
                    (size_t)(i % 8 * 8 + c % 16 / 4 * 2 + c % 32 / 16);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = finite ? v[k] * inverse : 0;
        to[0] = make_uint2(kv_pack_half2<false>(v[0], v[2]), kv_pack_half2<false>(v[1], v[3]));
        to[2] = make_uint2(kv_pack_half2<false>(v[4], v[6]), kv_pack_half2<false>(v[5], v[7]));
    }
}

/* ---- launch ---- */

struct kv_skinny_shape kv_skinny_cut(const struct kv_cuda *cu, int type, size_t row_bytes, int tiles)
{
    struct kv_skinny_shape s = {};
    int room = (int)cu->prop.sharedMemPerBlockOptin - 1024, segment = (int)kv_type_bytes(type, KV_SKINNY_STEP);
    int chunks = segment % 16 || row_bytes % 16 ? (segment + 30) / 16 : segment / 16;
    s.stride = (chunks | 1) * 16; /* words of four threads in each of eight rows then lie in 32 banks */
    s.rows = KV_SKINNY_TILE * s.stride;
    s.stage = s.rows + KV_SKINNY_UNITS * tiles * 512;
    s.stages = room / s.stage < STAGES ? room / s.stage : STAGES;
    if (s.stages < 2) s.stages = 0;
    return s;
}

int kv_skinny_most(const struct kv_cuda *cu, int type)
{
    int tiles = KV_SKINNY_ROWS / 8;
    while (tiles && !kv_skinny_cut(cu, type, 1, tiles).stages) tiles /= 2;
    return tiles * 8;
}

size_t kv_skinny_x_bytes(int cols) { return KV_SKINNY_ROWS * (sizeof(float) + 2 * (size_t)cols); }

size_t kv_skinny_part_bytes(const struct kv_cuda *cu)
{
    return 2 * (size_t)cu->prop.multiProcessorCount * KV_SKINNY_TILE * KV_SKINNY_ROWS * sizeof(float);
}

static void halves_launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_halves *a = (const struct kv_halves *)args;
    kv_cuda_launch_chained(cu, "rounding", (unsigned)a->tiles * 8, KV_NORM_THREADS, 0, halves_kernel, *a);
}

static void skinny_launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_skinny *a = (const struct kv_skinny *)args;
    if (!kv_skinny_launch_small(cu, a)) kv_skinny_launch_k(cu, a);
}

const struct kv_cuda_kind kv_cuda_halves = { "linear (rounding)", halves_launch };
const struct kv_cuda_kind kv_cuda_skinny = { "linear", skinny_launch };
