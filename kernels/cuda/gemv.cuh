/* Matrix times few rows: y[i][r] (+)= sum_c x[i][c] w[r][c] + bias[r], w in the blocks of its type.
 *
 * x [n][cols] f32, optionally normed first (RMS); w [rows][cols], up to 3 matrices of one type; y [n][rows] f32.
 * Quantized weights, by precision:
 *   fine    x in groups of 32 as 15-bit whole numbers 256 hi + lo times one f32 scale, as the CPU has them
 *           (kernels/cpu/simd/gemv_vnni.c); sums of 16 products are whole numbers (dp4a), then f32
 *   coarse  the same in 8 bits, the scale of 32 or, where that is the type's block, 256 columns
 *   f32     weights dequantised exactly, f32 products and sums
 * F32, F16 and BF16 weights: f32 x, f32 products and sums. A NaN or infinity in a group of x makes the outputs NaN.
 *
 * A warp has 32 / lanes rows of w at a time; each of a row's lanes takes every lanes-th unit (32 columns; 16 bytes of
 * the float types) and the lanes' sums are added by a butterfly. lanes follows from cols alone: a row's bits depend
 * neither on n nor on the grid. The rows' bytes come through a ring of KV_GEMV_STAGES steps in shared memory, by
 * 16-byte cp.async from the boundary below the row on: coalesced whatever the alignment of blocks (2 for half of the
 * types). The first steps are asked for before the kernel in front has ended (weights never change), and while x is
 * normed and rounded, so the pipe of memory is full when the sums begin.
 *
 * Bytes: each weight once for up to 8 rows of x. Bound: memory. In flight: a 4-bit step is 1.2 KB a warp, of which
 * 3 are on their way in each of 16 warps: 55 KB an SM, where latency x bandwidth (700 ns x 4.3 TB/s / 132) is 23.
 * Instructions per 16 weights and lane at 4 bits, 1 row, fine: some 26, of which 8 dp4a at half rate; 132 SMs of 128
 * lanes at 1.75 GHz can do 62 in the time that their 9 bytes take, so 1 and 2 rows should run at memory's speed (85 to
 * 90 % of a copy), 4 at 3/4 and 8 at 2/5 of it; from 5 on skinny.cuh has them.
 * Balance: groups of rows go to the SMs in turn, so none of 132 has more than 1.03 of its share where rows are 2560 or
 * more (2560: 19.4, and 20 at most). Within an SM some of 16 warps have a group more than others, which is no second
 * wave: 2560 x 4096 in 4 bits are 2 steps a group, 3 of a warp's 4 are asked for before the first sum; 6144 x 2560 are 3,
 * and the 7 warps that go on have 26 KB on their way, of the 23. Not run on a GPU. */
#ifndef KV_CUDA_GEMV_CUH
#define KV_CUDA_GEMV_CUH

#include "kernels/cuda/blocks.cuh"
#include "kernels/cuda/gemv.h"
#include "kernels/cuda/norm.cuh"

#define KV_GEMV_THREADS KV_NORM_THREADS
#define KV_GEMV_WARPS   (KV_GEMV_THREADS / KV_WARP)
#define KV_GEMV_STAGES  4
#define KV_GEMV_FINEST  32639.0f /* 256 * 127 + 127 */
#define KV_GEMV_TINY    1e-30f

/* ---- kernels ---- */

/* Facts about a type: columns and bytes of a block, columns of a unit, units a lane takes in one step. */
template <int type_> struct kv_gemv_type {
    static constexpr int type = type_;
    static constexpr bool full = type == KV_TYPE_F32, half = type == KV_TYPE_F16 || type == KV_TYPE_BF16;
    static constexpr bool quantized = !full && !half;
#define X(name, number, elements, bytes, at, halves) type == number ? elements:
    static constexpr int columns = full ? 4 : half ? 8 : KV_QUANTIZED_LIST(X) 0;
#undef X
#define X(name, number, elements, bytes, at, halves) type == number ? bytes:
    static constexpr int bytes = full || half ? 16 : KV_QUANTIZED_LIST(X) 0;
#undef X
    static constexpr int unit = quantized ? 32 : columns, in_block = columns / unit;
    static constexpr int turns = quantized ? (bytes * 32 / columns > 24 ? 1 : 2) : 4;
    static constexpr int stage = (KV_WARP * turns * bytes / in_block + 4 * 30 + 15) / 16 * 16;
};

/* Planes of 16 bytes a unit of x in shared memory: so lanes that take neighbouring units read without conflicts. The last
 * of the rounded ones holds the scale and the sums of both halves. */
template <class T, int as> struct kv_gemv_planes {
    static constexpr int count = as == KV_GEMV_F32 ? T::unit / 4 : as == KV_GEMV_FINE ? 5 : 3;
};

KV_DEVICE void kv_gemv_read8(const float *x, float v[8])
{
    if (((uintptr_t)x & 15) == 0) {
        float4 a = *(const float4 *)x, b = *(const float4 *)(x + 4);
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = x[i];
    }
}

/* 8 neighbouring columns of a row, normed where that is asked for. */
KV_DEVICE void kv_gemv_columns(const struct kv_gemv *a, size_t row, int c, float scale, float v[8])
{
    size_t at = row * (size_t)a->cols + (size_t)c;
    kv_gemv_read8(a->x + at, v);
    if (!a->norm) return;
    float weight[8];
    kv_gemv_read8(a->norm + c, weight);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = v[i] * scale * weight[i];
    if (blockIdx.x || !a->h) return;
#pragma unroll
    for (int i = 0; i < 8; i++) a->h[at + i] = v[i];
}

KV_DEVICE uint32_t kv_gemv_pack(const int v[4], int shift)
{
    return (uint32_t)(v[0] >> shift & 255) | (uint32_t)(v[1] >> shift & 255) << 8 |
           (uint32_t)(v[2] >> shift & 255) << 16 | (uint32_t)(v[3] >> shift & 255) << 24;
}

/* Rounds the thread's 8 columns; threads that share a group of `group` columns are neighbours. `in`: c is a column. */
template <int as>
KV_DEVICE void kv_gemv_round(const float v[8], int c, int cols, int group, bool in, unsigned char *row)
{
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) top = max(top, __float_as_uint(v[i]) & 0x7fffffffu);
    for (int step = 1; step < group / 8; step *= 2) top = max(top, __shfl_xor_sync(KV_ALL, top, step));
    float largest = __uint_as_float(top), most = as == KV_GEMV_FINE ? KV_GEMV_FINEST : 127.0f;
    bool finite = top < 0x7f800000u, tiny = largest < KV_GEMV_TINY;
    float scale = !finite ? __uint_as_float(0x7fc00000u) : tiny ? 0 : largest / most;
    float inverse = !finite || tiny ? 0 : most / largest;
    int whole[8], sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        whole[i] = finite ? __float2int_rn(v[i] * inverse) : 0;
        sum += whole[i];
    }
    sum += __shfl_xor_sync(KV_ALL, sum, 1);
    int other = __shfl_xor_sync(KV_ALL, sum, 2);
    if (!in) return;
    int units = cols / 32, u = c / 32, part = c / 8 % 4; /* which 8 of the unit's 32 */
    constexpr int lo = 2, last = as == KV_GEMV_FINE ? 4 : 2;
    unsigned char *at = row + ((size_t)(part / 2 * units + u) * 16 + (size_t)(part % 2) * 8);
    if (as == KV_GEMV_FINE) {
        uint2 low = make_uint2(kv_gemv_pack(whole, 0), kv_gemv_pack(whole + 4, 0));
        *(uint2 *)(at + (size_t)(lo * units) * 16) = low;
#pragma unroll
        for (int i = 0; i < 8; i++) whole[i] = (whole[i] + 128) >> 8;
    }
    *(uint2 *)at = make_uint2(kv_gemv_pack(whole, 0), kv_gemv_pack(whole + 4, 0));
    if (part == 0)
        *(int4 *)(row + (size_t)(last * units + u) * 16) = make_int4((int)__float_as_uint(scale), sum, other, 0);
}

/* n rows of x from `first` on as the sums want them. */
template <class T, int as> KV_DEVICE void kv_gemv_fill(const struct kv_gemv *a, int first, int n, unsigned char *x)
{
    __shared__ float room[KV_WARP];
    int units = a->cols / T::unit, group = as == KV_GEMV_COARSE ? T::columns : 32;
    for (int i = 0; i < n; i++) {
        size_t row = (size_t)(first + i);
        float scale = a->norm ? kv_norm_scale(a->x + row * (size_t)a->cols, a->cols, a->eps, room) : 1, v[8];
        unsigned char *to = x + (size_t)i * (size_t)(kv_gemv_planes<T, as>::count * units) * 16;
        for (int begin = 0; begin < a->cols; begin += KV_GEMV_THREADS * 8) {
            int c = begin + (int)threadIdx.x * 8;
            bool in = c < a->cols;
#pragma unroll
            for (int k = 0; k < 8; k++) v[k] = 0;
            if (in) kv_gemv_columns(a, row, c, scale, v);
            if (as != KV_GEMV_F32) {
                kv_gemv_round<as>(v, c, a->cols, group, in, to);
            } else if (in) {
#pragma unroll
                for (int k = 0; k < 8; k += 4) {
                    int plane = (c + k) % T::unit / 4, u = (c + k) / T::unit;
                    *(float4 *)(to + (size_t)(plane * units + u) * 16) =
                        make_float4(v[k], v[k + 1], v[k + 2], v[k + 3]);
                }
            }
        }
    }
}

/* One unit of rounded x against its 32 weights: two groups of 16. */
template <class T, int as, int rows>
KV_DEVICE void kv_gemv_whole(const uint8_t *b, int k, int u, int units, const unsigned char *x, int n, float *sum)
{
    constexpr int planes = kv_gemv_planes<T, as>::count;
    uint32_t q[2][4];
    struct kv_group w[2];
    int minus = kv_group_locate(T::type, b, 0).minus;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        kv_block_group<T::type, true>(b, 2 * k + j, q[j]);
        kv_group_scale(T::type, b, 2 * k + j, &w[j]);
    }
#pragma unroll
    for (int i = 0; i < rows; i++) {
        if (i >= n) break;
        const int4 *plane = (const int4 *)x + (size_t)i * (size_t)(planes * units) + u;
        int4 of = plane[(planes - 1) * units];
        float scale = __uint_as_float((unsigned)of.x);
#pragma unroll
        for (int j = 0; j < 2; j++) {
            int4 hi = plane[j * units];
            int t = __dp4a((int)q[j][0], hi.x, 0), of_x = j ? of.z : of.y;
            t = __dp4a((int)q[j][1], hi.y, t);
            t = __dp4a((int)q[j][2], hi.z, t);
            t = __dp4a((int)q[j][3], hi.w, t);
            if (as == KV_GEMV_FINE) {
                int4 lo = plane[(2 + j) * units];
                t = __dp4a((int)q[j][0], lo.x, t * 256);
                t = __dp4a((int)q[j][1], lo.y, t);
                t = __dp4a((int)q[j][2], lo.z, t);
                t = __dp4a((int)q[j][3], lo.w, t);
            }
            if (minus) t -= minus * of_x;
            sum[i] = fmaf(w[j].scale, __fmul_rn(scale, (float)t), sum[i]);
            if (w[j].has_offset) sum[i] = fmaf(w[j].offset, __fmul_rn(scale, (float)of_x), sum[i]);
        }
    }
}

/* One unit of f32 x against 32 dequantised weights. */
template <class T, int rows>
KV_DEVICE void kv_gemv_exact(const uint8_t *b, int k, int u, int units, const unsigned char *x, int n, float *sum)
{
    int minus = kv_group_locate(T::type, b, 0).minus;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        uint32_t q[4];
        struct kv_group w;
        kv_block_group<T::type, true>(b, 2 * k + j, q);
        kv_group_scale(T::type, b, 2 * k + j, &w);
#pragma unroll
        for (int p = 0; p < 4; p++) {
            float v[4];
#pragma unroll
            for (int c = 0; c < 4; c++) v[c] = kv_block_value(&w, q[p], c, minus);
#pragma unroll
            for (int i = 0; i < rows; i++) {
                if (i >= n) break;
                float4 y = ((const float4 *)x)[(size_t)i * (size_t)(8 * units) + (size_t)((4 * j + p) * units + u)];
                sum[i] = fmaf(v[0], y.x, sum[i]);
                sum[i] = fmaf(v[1], y.y, sum[i]);
                sum[i] = fmaf(v[2], y.z, sum[i]);
                sum[i] = fmaf(v[3], y.w, sum[i]);
            }
        }
    }
}

/* One unit of f32 x against 16 bytes of float weights. */
template <class T, int rows>
KV_DEVICE void kv_gemv_floats(const uint8_t *b, int u, int units, const unsigned char *x, int n, float *sum)
{
    constexpr int planes = T::unit / 4;
    uint4 bits = *(const uint4 *)b;
    const uint32_t word[4] = { bits.x, bits.y, bits.z, bits.w };
    float v[T::unit];
#pragma unroll
    for (int c = 0; c < T::unit; c++) {
        if (T::full)
            v[c] = __uint_as_float(word[c % 4]);
        else if (T::type == KV_TYPE_F16)
            v[c] = kv_f16_to_f32((uint16_t)(word[c / 2] >> c % 2 * 16));
        else
            v[c] = __uint_as_float(c % 2 ? word[c / 2] & 0xffff0000u : word[c / 2] << 16);
    }
#pragma unroll
    for (int i = 0; i < rows; i++) {
        if (i >= n) break;
#pragma unroll
        for (int p = 0; p < planes; p++) {
            float4 y = ((const float4 *)x)[(size_t)i * (size_t)(planes * units) + (size_t)(p * units + u)];
            sum[i] = fmaf(v[4 * p], y.x, sum[i]);
            sum[i] = fmaf(v[4 * p + 1], y.y, sum[i]);
            sum[i] = fmaf(v[4 * p + 2], y.z, sum[i]);
            sum[i] = fmaf(v[4 * p + 3], y.w, sum[i]);
        }
    }
}

/* A place in a warp's list of steps: which of its groups of rows, which matrix (swiglu goes over two), which piece of the
 * columns. */
struct kv_gemv_step {
    int group, matrix, piece;
};

KV_DEVICE void kv_gemv_next(const struct kv_gemv *a, int pieces, int slots, struct kv_gemv_step *s)
{
    if (++s->piece < pieces) return;
    s->piece = 0;
    if (a->swiglu && !s->matrix) {
        s->matrix = 1;
        return;
    }
    s->matrix = 0;
    s->group += slots;
}

/* The matrix of a step, and this lane's row in it. */
KV_DEVICE const struct kv_gemv_matrix *kv_gemv_matrix_at(
    const struct kv_gemv *a, const struct kv_gemv_step *s, int lanes, int *row)
{
    int k = s->matrix, group = s->group;
    if (!a->swiglu) {
        while (k + 1 < a->n_matrix && group >= a->m[k + 1].first) k++;
        group -= a->m[k].first;
    }
    *row = group * (KV_WARP / lanes) + (int)threadIdx.x % KV_WARP / lanes;
    return &a->m[k];
}

/* Asks for this lane's part of a step's bytes; `segment`: where the row's begin in the stage. */
template <class T>
KV_DEVICE void kv_gemv_ask(
    const struct kv_gemv *a, const struct kv_gemv_step *s, int lanes, int units, uint8_t *segment)
{
    int row, begin = s->piece * lanes * T::turns, end = min(begin + lanes * T::turns, units);
    const struct kv_gemv_matrix *m = kv_gemv_matrix_at(a, s, lanes, &row);
    if (row >= m->rows) return;
    const uint8_t *from = m->w + (size_t)row * a->row_bytes + (size_t)(begin / T::in_block) * T::bytes;
    int beside = (int)((uintptr_t)from & 15), bytes = beside + (end - begin) / T::in_block * T::bytes;
    size_t left =
        (size_t)(m->rows - row) * a->row_bytes - (size_t)(begin / T::in_block) * T::bytes + (size_t)beside;
    from -= beside;
    for (int i = (int)threadIdx.x % lanes * 16; i < bytes; i += lanes * 16)
        kv_cp_async16_part(segment + i, from + i, (int)min((size_t)16, left - (size_t)i));
}

/* Adds a step's units to the lane's sums. */
template <class T, int as, int rows>
KV_DEVICE void kv_gemv_take(const struct kv_gemv *a, const struct kv_gemv_step *s, int lanes, int units,
    const uint8_t *segment, const unsigned char *x, int n, float *sum)
{
    int row, begin = s->piece * lanes * T::turns;
    const struct kv_gemv_matrix *m = kv_gemv_matrix_at(a, s, lanes, &row);
    if (row >= m->rows) return;
    const uint8_t *from = m->w + (size_t)row * a->row_bytes + (size_t)(begin / T::in_block) * T::bytes;
    segment += (uintptr_t)from & 15;
#pragma unroll
    for (int t = 0; t < T::turns; t++) {
        int at = t * lanes + (int)threadIdx.x % lanes, u = begin + at;
        if (u >= units) return;
        const uint8_t *b = segment + (size_t)(at / T::in_block) * T::bytes;
        if constexpr (!T::quantized)
            kv_gemv_floats<T, rows>(b, u, units, x, n, sum);
        else if constexpr (as == KV_GEMV_F32)
            kv_gemv_exact<T, rows>(b, at % T::in_block, u, units, x, n, sum);
        else
            kv_gemv_whole<T, as, rows>(b, at % T::in_block, u, units, x, n, sum);
    }
}

/* Adds the lanes' sums of a row up; the order that every path keeps: the sum, the bias, what was there. Lane i of the row
 * writes row i of x. */
template <int rows>
KV_DEVICE void kv_gemv_finish(
    const struct kv_gemv *a, const struct kv_gemv_step *s, int lanes, int first, int n, float *sum, float *gate)
{
    int row, lane = (int)threadIdx.x % lanes;
    const struct kv_gemv_matrix *m = kv_gemv_matrix_at(a, s, lanes, &row);
    float mine = 0;
#pragma unroll
    for (int i = 0; i < rows; i++) {
        for (int step = lanes / 2; step; step /= 2) sum[i] += __shfl_xor_sync(KV_ALL, sum[i], step);
        if (i == lane) mine = sum[i];
        sum[i] = 0;
    }
    if (row >= m->rows || lane >= n) return;
    size_t at = (size_t)(first + lane) * (size_t)m->rows + (size_t)row;
    if (m->bias) mine += m->bias[row];
    if (m->add) mine = m->y[at] + mine;
    if (a->swiglu && !s->matrix) {
        *gate = mine;
        return;
    }
    m->y[at] = mine;
    if (a->swiglu) a->m[0].y[at] = kv_swiglu(*gate, mine);
}

template <class T, int as, int rows>
__global__ void __launch_bounds__(KV_GEMV_THREADS, 2) kv_gemv_kernel(struct kv_gemv a, struct kv_gemv_shape shape)
{
    KV_DYNAMIC_SHARED(shared);
    const int lanes = shape.lanes, warp = (int)threadIdx.x / KV_WARP, units = a.cols / T::unit;
    const int pieces = (units + lanes * T::turns - 1) / (lanes * T::turns), slots = (int)gridDim.x * KV_GEMV_WARPS;
    const int groups = a.m[a.swiglu ? 0 : a.n_matrix - 1].first +
                       (a.m[a.swiglu ? 0 : a.n_matrix - 1].rows + KV_WARP / lanes - 1) / (KV_WARP / lanes);
    const int first = (int)blockIdx.y * shape.per_block, n = min(shape.per_block, a.n - first);
    const int one = (lanes * T::turns * T::bytes / T::in_block + 30) / 16 * 16; /* bytes of a row's segment */
    uint8_t *ring =
        shared + (size_t)warp * KV_GEMV_STAGES * T::stage + (size_t)((int)threadIdx.x % KV_WARP / lanes * one);
    unsigned char *x = shared + (size_t)KV_GEMV_WARPS * KV_GEMV_STAGES * T::stage;
    struct kv_gemv_step asked = { warp * (int)gridDim.x + (int)blockIdx.x, 0, 0 }, taken = asked;
    float sum[rows], gate = 0;
#pragma unroll
    for (int i = 0; i < rows; i++) sum[i] = 0;

    kv_pdl_release();
    for (int i = 0; i < KV_GEMV_STAGES - 1; i++) {
        if (asked.group < groups) kv_gemv_ask<T>(&a, &asked, lanes, units, ring + (size_t)i * T::stage);
        kv_gemv_next(&a, pieces, slots, &asked);
        kv_cp_async_commit();
    }
    kv_pdl_wait();
    kv_gemv_fill<T, as>(&a, first, n, x);
    __syncthreads();
    for (int i = 0; taken.group < groups; i = (i + 1) % KV_GEMV_STAGES) {
        kv_cp_async_wait<KV_GEMV_STAGES - 2>();
        __syncwarp();
        uint8_t *free = ring + (size_t)((i + KV_GEMV_STAGES - 1) % KV_GEMV_STAGES) * T::stage;
        if (asked.group < groups) kv_gemv_ask<T>(&a, &asked, lanes, units, free);
        kv_gemv_next(&a, pieces, slots, &asked);
        kv_cp_async_commit();
        kv_gemv_take<T, as, rows>(&a, &taken, lanes, units, ring + (size_t)i * T::stage, x, n, sum);
        if (taken.piece == pieces - 1) kv_gemv_finish<rows>(&a, &taken, lanes, first, n, sum, &gate);
        kv_gemv_next(&a, pieces, slots, &taken);
    }
    kv_cp_async_wait<0>();
}

/* ---- launch ---- */

/* Lanes a row: those that leave fewest of them idle in the last turn; the more, the better. */
static int kv_gemv_lanes(int units)
{
    int best = KV_WARP;
    for (int lanes = KV_WARP / 2; lanes >= 8; lanes /= 2)
        if ((units + lanes - 1) / lanes * lanes < (units + best - 1) / best * best) best = lanes;
    return best;
}

/* Shared memory of a block with k rows of x. */
template <class T, int as> static size_t kv_gemv_shared(int cols, int k)
{
    return (size_t)KV_GEMV_WARPS * KV_GEMV_STAGES * T::stage +
           (size_t)k * (size_t)(cols / T::unit) * 16 * kv_gemv_planes<T, as>::count;
}

template <class T, int as, int rows> static void kv_gemv_start(struct kv_cuda *cu, const struct kv_gemv *from)
{
    static size_t allowed;
    struct kv_gemv a = *from;
    struct kv_gemv_shape s = {};
    const size_t most = cu->prop.sharedMemPerBlockOptin - 1024;
    s.lanes = kv_gemv_lanes(a.cols / T::unit);
    s.per_block = a.n < rows ? a.n : rows;
    while (s.per_block > 1 && kv_gemv_shared<T, as>(a.cols, s.per_block) > most) s.per_block--;
    size_t shared = kv_gemv_shared<T, as>(a.cols, s.per_block);
    int per_group = KV_WARP / s.lanes, groups = 0;
    for (int k = 0; k < a.n_matrix; k++) {
        a.m[k].first = groups;
        groups += (a.m[k].rows + per_group - 1) / per_group;
    }
    if (a.swiglu) groups /= 2;
    unsigned blocks = (unsigned)cu->prop.multiProcessorCount;
    if (2 * (shared + 1024) <= cu->prop.sharedMemPerMultiprocessor) blocks *= 2;
    unsigned wanted = (unsigned)groups, y = (unsigned)((a.n + s.per_block - 1) / s.per_block);
    dim3 grid(blocks < wanted ? blocks : wanted, y);
    if (allowed < shared) {
        kv_cuda_allow_shared(cu, "linear", kv_gemv_kernel<T, as, rows>, shared);
        allowed = shared;
    }
    kv_cuda_launch_chained(cu, "linear", grid, KV_GEMV_THREADS, shared, kv_gemv_kernel<T, as, rows>, a, s);
}

/* Rows of x are a constant of the kernel where they are few: 1, a run and its twin, or up to 8. */
template <int type> static void kv_gemv_start_type(struct kv_cuda *cu, const struct kv_gemv *a)
{
    using T = kv_gemv_type<type>;
    if constexpr (!T::quantized) {
        if (a->n == 1)
            kv_gemv_start<T, KV_GEMV_F32, 1>(cu, a);
        else if (a->n == 2)
            kv_gemv_start<T, KV_GEMV_F32, 2>(cu, a);
        else
            kv_gemv_start<T, KV_GEMV_F32, KV_GEMV_ROWS>(cu, a);
    } else if (a->as == KV_GEMV_F32) {
        kv_gemv_start<T, KV_GEMV_F32, KV_GEMV_ROWS>(cu, a);
    } else if (a->as == KV_GEMV_COARSE) {
        if (a->n == 1)
            kv_gemv_start<T, KV_GEMV_COARSE, 1>(cu, a);
        else
            kv_gemv_start<T, KV_GEMV_COARSE, KV_GEMV_ROWS>(cu, a);
    } else {
        if (a->n == 1)
            kv_gemv_start<T, KV_GEMV_FINE, 1>(cu, a);
        else if (a->n == 2)
            kv_gemv_start<T, KV_GEMV_FINE, 2>(cu, a);
        else
            kv_gemv_start<T, KV_GEMV_FINE, KV_GEMV_ROWS>(cu, a);
    }
}

#endif
