/* 5 to 64 rows of x against quantized matrices on tensor cores: y[i][r] (+)= sum_c x[i][c] w[r][c] + bias[r].
 *
 * x [n][cols], as halves times a power of two a row (skinny.cu); w [rows][cols], up to 3 matrices of one type, in the
 * blocks of the file; y [n][rows] f32. w is made halves in registers: (q - minus) exactly, times scale plus offset in one
 * rounding; sums are f32. So both factors are off by at most 2^-12, an eighth of what bf16 does to them; scales and
 * offsets are rounded to halves where they are products of two. No weight is lost below, for all of them are multiples
 * of 2^-24, and so are halves; beyond 65504 they are infinite. A NaN or infinity makes its row of x NaN, or its of w.
 *
 * Why halves and not whole numbers (mma of s8): a block's scale stands between the sums of its 32 columns and those of
 * the next. As whole numbers all 16 n of them, in an instruction's tile of 16 x 32, are taken out, scaled and added to
 * the f32 sums: 3 to 6 instructions for each 32 of them, 12 to 24 a tile for each 8 rows of x. As halves the scale goes
 * to the weight before, 16 instructions a tile whatever n is.
 *
 * A block of 8 warps has 128 rows of w and goes over the columns in steps of 256: cp.async brings a step's blocks, and x
 * of it, to a ring of up to 4 stages in shared memory, by 16 bytes from the boundary below each row on. Warps have 32
 * rows each, 0 to 3 the first half of a step's columns, 4 to 7 the second. A lane's word of a group of 16 columns is the
 * A operand of one mma, rows of x are its B. The steps of all tiles of rows, one after another, are dealt to the SMs in
 * equal runs; a tile that several have is joined by the one that ends last, in the order of the columns: the bits depend
 * on the matrices and on how many SMs there are, not on n. The first weights are asked for before the kernel in front
 * has ended; that rounds x.
 *
 * Bytes: each weight once; x from L2, 2 n for each column of 128 rows of w, which are 72 bytes in 4 bits: at 16 rows of x
 * 44 %, at 64 178 %. Flops: 2 n a weight. Instructions a warp has for a tile of 16 x 32, from the code for sm_90a, all
 * that goes with a step included; beside it the cycles in which memory brings the four tiles that an SM's schedulers
 * have meanwhile (132 SMs at 1.75 GHz: 18.6 bytes a cycle and SM of an H200's 4.3 TB/s, 13.0 of an H100's 3.0):
 *             n = 8    16    32    64    H200  H100
 *     Q4_1       50    52    57    67      69    99
 *     Q4_K       60    63    68    78      62    89
 *     Q8_0       68    71    76    85     117   168
 *     Q6_K       90    93    98   107      90   130
 * Of these 2 for each 8 rows are mma, which take 4 to 8 cycles of a tensor core: 64 to 128 at n = 64. So memory's speed
 * is possible up to 32 rows on an H100, and 16 of Q4_K are on the verge of it on an H200; 64 rows take 1 to 2 times that.
 * The GEMV (gemv.cuh) has 25 + 21 n for the same weights where x is kept in 15 bits (Q4_1: 100 for 1 row of 64 weights,
 * 694 for 8): 68 for 3 rows, 89 for 4, 173 for 8. It leads up to 3, and at 4 still does because norm and swiglu need no
 * launches of their own there. IQ4 types look their codes up, 120 instructions: they are bound by that, half as fast as
 * memory, and yet before the GEMV from 5 rows on. No spills; 96 to 255 registers. Not run on a GPU. */
#ifndef KV_CUDA_SKINNY_CUH
#define KV_CUDA_SKINNY_CUH

#include "kernels/cuda/blocks.cuh"
#include "kernels/cuda/skinny.h"

#define KV_SKINNY_THREADS 256
#define KV_SKINNY_COPIERS 4 /* threads that fetch a row */

/* ---- kernels ---- */

/* Facts about a type: columns and bytes of a block, bytes of a step of one row. */
template <int type_> struct kv_skinny_type {
    static constexpr int type = type_;
#define X(name, number, elements, bytes, at, halves) type == number ? elements:
    static constexpr int columns = KV_QUANTIZED_LIST(X) 0;
#undef X
#define X(name, number, elements, bytes, at, halves) type == number ? bytes:
    static constexpr int bytes = KV_QUANTIZED_LIST(X) 0;
#undef X
    static constexpr int segment = KV_SKINNY_STEP / columns * bytes;
    static constexpr bool super = columns == KV_SKINNY_STEP;
    static constexpr bool halved =
        type == KV_TYPE_Q2_K || type == KV_TYPE_Q3_K || type == KV_TYPE_Q6_K; /* scales of 16 */
    static constexpr bool offset = type == KV_TYPE_Q4_1 || type == KV_TYPE_Q5_1 || type == KV_TYPE_Q4_K ||
                                   type == KV_TYPE_Q5_K || type == KV_TYPE_Q2_K;
    static constexpr bool nibbles = type == KV_TYPE_Q4_0 || type == KV_TYPE_Q4_1 || type == KV_TYPE_Q4_K;
    static constexpr bool with_sign = type == KV_TYPE_Q8_0 || type == KV_TYPE_IQ4_NL || type == KV_TYPE_IQ4_XS;
    static constexpr int scales = halved && offset ? 2 : 1; /* words that hold those of 32 columns */
};

/* Where a block is in its list of steps: tiles of rows one after another, in each the columns. */
struct kv_skinny_place {
    const struct kv_gemv_matrix *m;
    int row, step, tile; /* row: the tile's first in its matrix */
};

KV_DEVICE struct kv_skinny_place kv_skinny_at(const struct kv_skinny *a, const struct kv_skinny_shape *s, int work)
{
    int tile = work / s->steps, k = 0;
    while (k + 1 < a->n_matrix && tile >= a->m[k + 1].first) k++;
    return { &a->m[k], (tile - a->m[k].first) * KV_SKINNY_TILE, work % s->steps, tile };
}

KV_DEVICE void kv_skinny_next(const struct kv_skinny_shape *s, struct kv_skinny_place *p)
{
    if (++p->step < s->steps) return;
    p->step = 0, p->tile++;
    p->row += KV_SKINNY_TILE;
    if (p->row >= p->m->rows) p->m++, p->row = 0;
}

/* First step of block b of so many. */
KV_DEVICE int kv_skinny_begin(int work, int b, int blocks) { return (int)((long long)b * work / blocks); }
/* The block that has step w. */
KV_DEVICE int kv_skinny_owner(int work, int w, int blocks)
{
    return (int)((((long long)w + 1) * blocks - 1) / work);
}

/* Bytes, 0 to 15, that a row's step lies above a multiple of 16; the matrix itself begins at one. */
template <class T>
KV_DEVICE int kv_skinny_above(const struct kv_skinny *a, const struct kv_skinny_place *p, int row)
{
    return (int)(((uint32_t)(p->row + row) * (uint32_t)a->row_bytes + (uint32_t)p->step * T::segment) & 15);
}

/* Asks for the weights of a step. `full`: all rows and columns of it are there, and a row behind them. */
template <class T, bool full>
KV_DEVICE void kv_skinny_ask_rows(
    const struct kv_skinny *a, const struct kv_skinny_shape *s, const struct kv_skinny_place *p, uint8_t *stage)
{
    constexpr int apart = KV_SKINNY_COPIERS * 16, turns = (T::segment + 30 + apart - 1) / apart;
    const int first = (int)threadIdx.x % KV_SKINNY_COPIERS * 16;
    const int bytes =
        full ? T::segment : min(KV_SKINNY_STEP, a->cols - p->step * KV_SKINNY_STEP) / T::columns * T::bytes;
    const uint8_t *end = p->m->w + (size_t)p->m->rows * a->row_bytes;
#pragma unroll
    for (int k = 0; k < KV_SKINNY_TILE * KV_SKINNY_COPIERS / KV_SKINNY_THREADS; k++) {
        int row = (int)threadIdx.x / KV_SKINNY_COPIERS + k * (KV_SKINNY_THREADS / KV_SKINNY_COPIERS);
        int above = kv_skinny_above<T>(a, p, row);
        const uint8_t *from = p->m->w + (size_t)(p->row + row) * a->row_bytes + (size_t)p->step * T::segment;
        from += first - above;
        uint8_t *to = stage + row * s->stride + first;
        int left = (int)max(min((long long)(end - from), (long long)T::segment + 32), 0ll); /* of the matrix */
#pragma unroll
        for (int i = 0; i < turns; i++) {
            if (!(full && (i + 1) * apart <= T::segment) && first + i * apart >= above + bytes) continue;
            if (full)
                kv_cp_async16(to + i * apart, from + i * apart, true);
            else
                kv_cp_async16_part(to + i * apart, from + i * apart, min(max(left - i * apart, 0), 16));
        }
    }
}

/* x of a step: 16 bytes a thread and turn, as they lie. `late`: by the program's own hands. */
template <int tiles, bool full, bool late>
KV_DEVICE void kv_skinny_ask_x(const struct kv_skinny *a, const struct kv_skinny_place *p, unsigned char *to)
{
    const int bytes = min(KV_SKINNY_UNITS, a->cols / 32 - p->step * KV_SKINNY_UNITS) * (tiles * 512);
    const unsigned char *from = a->x + (size_t)p->step * (KV_SKINNY_UNITS * tiles * 512);
#pragma unroll
    for (int k = 0; k < tiles; k++) {
        int i = ((int)threadIdx.x + k * KV_SKINNY_THREADS) * 16;
        if (!full && i >= bytes) continue;
        if (late)
            *(uint4 *)(to + i) = *(const uint4 *)(from + i);
        else
            kv_cp_async16(to + i, from + i, true);
    }
}

template <class T, int tiles, bool rows, bool x>
KV_DEVICE void kv_skinny_ask(
    const struct kv_skinny *a, const struct kv_skinny_shape *s, const struct kv_skinny_place *p, uint8_t *stage)
{
    if (p->row + KV_SKINNY_TILE < p->m->rows && (p->step + 1) * KV_SKINNY_STEP <= a->cols) {
        if (rows) kv_skinny_ask_rows<T, true>(a, s, p, stage);
        if (x) kv_skinny_ask_x<tiles, true, !rows>(a, p, stage + s->rows);
    } else {
        if (rows) kv_skinny_ask_rows<T, false>(a, s, p, stage);
        if (x) kv_skinny_ask_x<tiles, false, !rows>(a, p, stage + s->rows);
    }
}

/* The scales of 32 columns as halves. Scales of 16: both groups' in w[0], offsets in w[1]; else scale and offset in w[0]. */
template <class T> KV_DEVICE void kv_skinny_scales(const uint8_t *b, int unit, uint32_t w[2])
{
    if constexpr (T::super) {
        struct kv_group g[2];
        kv_group_scale(T::type, b, 2 * unit, &g[0]);
        kv_group_scale(T::type, b, 2 * unit + 1, &g[1]);
        w[0] = kv_pack_half2<false>(g[0].scale, T::halved ? g[1].scale : g[0].offset);
        if (T::scales > 1) w[1] = kv_pack_half2<false>(g[0].offset, g[1].offset);
    } else {
        w[0] = T::offset ? *(const uint32_t *)b : kv_u16(b);
    }
}

KV_DEVICE __half2 kv_halves_of(uint32_t bits)
{
    __half2 pair;
    memcpy(&pair, &bits, sizeof pair);
    return pair;
}

/* Four weights of a group as halves, weights 0 and 2, then 1 and 3; q: a byte each, or where a type has nibbles and no
 * more, those of two groups. Under the bits of 1024 they are halves 1024 + q, from which 1024 and `minus` are taken
 * without loss; then scale and offset, rounded once. */
template <class T>
KV_DEVICE void kv_skinny_expand(
    uint32_t q, const struct kv_group_bits *at, __half2 scale, __half2 offset, uint32_t out[2])
{
    const uint32_t thousand = 0x64006400u;
    __half2 v[2];
    if (T::nibbles && at->shift) { /* 1024 + 16 q */
        const __half2 part = __float2half2_rn(0.0625f), less = __float2half2_rn(-64.0f - (float)at->minus);
        v[0] = __hfma2(kv_halves_of(kv_and_or(q, 0x00f000f0u, thousand)), part, less);
        v[1] = __hfma2(kv_halves_of(kv_and_or(q >> 8, 0x00f000f0u, thousand)), part, less);
    } else {
        const __half2 less = __float2half2_rn(-1024.0f - (float)(T::with_sign ? 128 : at->minus));
        if (T::with_sign) q ^= 0x80808080u;
        uint32_t even = T::nibbles ? kv_and_or(q, 0x000f000fu, thousand) : __byte_perm(q, thousand, 0x7250);
        uint32_t odd = T::nibbles ? kv_and_or(q >> 8, 0x000f000fu, thousand) : __byte_perm(q, thousand, 0x7351);
        v[0] = __hadd2(kv_halves_of(even), less);
        v[1] = __hadd2(kv_halves_of(odd), less);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        v[i] = T::offset ? __hfma2(v[i], scale, offset) : __hmul2(v[i], scale);
        memcpy(&out[i], &v[i], sizeof v[i]);
    }
}

/* Bytes, 0 or 2, that the weights of a block lie above a multiple of 4; all of its words do. */
template <class T> KV_DEVICE int kv_skinny_beside(const uint8_t *b)
{
    return kv_block_even<T::type>::is ? (int)((uintptr_t)b & 2) ^ (T::super ? 0 : 2) : 0;
}

/* Word `part` of group g of block b, as expand wants it. */
template <class T>
KV_DEVICE uint32_t kv_skinny_word(const uint8_t *b, int beside, int g, int part, struct kv_group_bits *at)
{
    *at = kv_group_locate(T::type, b - beside, g);
    if (T::nibbles) return kv_block_word<T::type, true>(at->low + 4 * part, beside);
    uint32_t scattered = at->scattered ? kv_u16(at->top + beside) : 0;
    return kv_block_quad<T::type, true>(at, scattered, part, beside);
}

/* This warp's products of a step: its 32 rows of w, in four pairs 8 apart, times half of the columns. */
template <class T, int tiles, int begin>
KV_DEVICE void kv_skinny_take(const struct kv_skinny *a, const struct kv_skinny_shape *s,
    const struct kv_skinny_place *p, const uint8_t *stage, float acc[2][tiles][4])
{
    const int lane = (int)threadIdx.x % KV_WARP, part = lane % 4, units = a->cols / 32 - p->step * KV_SKINNY_UNITS;
    const uint8_t *row[4];
    int even[4];
    uint32_t own[4][T::scales];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int at = (int)threadIdx.x / KV_WARP % 4 * 32 + r * 8 + lane / 4;
        row[r] = stage + at * s->stride + kv_skinny_above<T>(a, p, at);
        even[r] = kv_skinny_beside<T>(row[r]);
        if constexpr (T::super) kv_skinny_scales<T>(row[r], begin + part, own[r]);
    }
    const unsigned char *x = stage + s->rows + lane * 16;
#pragma unroll
    for (int u = begin; u < begin + KV_SKINNY_UNITS / 2; u++) {
        if (!T::super && u >= units) break;
        uint32_t m[2][2][4]; /* of both groups and both halves of the rows, as mma wants them */
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const uint8_t *b = row[r] + (T::super ? 0 : u * T::bytes);
            const int beside = !T::super && u * T::bytes % 4 ? 2 - even[r] : even[r];
            uint32_t w[T::scales];
            if constexpr (T::super) {
#pragma unroll
                for (int i = 0; i < T::scales; i++) w[i] = __shfl_sync(KV_ALL, own[r][i], lane - part + u - begin);
            } else {
                kv_skinny_scales<T>(b, 0, w);
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                struct kv_group_bits at;
                uint32_t q = kv_skinny_word<T>(b, beside, T::super ? 2 * u + j : j, part, &at), out[2];
                __half2 first = kv_halves_of(w[0]), last = kv_halves_of(w[T::scales - 1]);
                __half2 scale = T::halved && j ? __high2half2(first) : __low2half2(first);
                __half2 offset = T::halved && !j ? __low2half2(last) : __high2half2(last);
                kv_skinny_expand<T>(q, &at, scale, offset, out);
                m[j][r / 2][r % 2] = out[0], m[j][r / 2][r % 2 + 2] = out[1];
            }
        }
#pragma unroll
        for (int t = 0; t < tiles; t++) {
            uint4 bits = *(const uint4 *)(x + (u * tiles + t) * 512);
            const uint32_t columns[2][2] = { { bits.x, bits.y }, { bits.z, bits.w } };
#pragma unroll
            for (int j = 0; j < 2; j++) {
                kv_mma_16816<false>(acc[0][t], m[j][0], columns[j]);
                kv_mma_16816<false>(acc[1][t], m[j][1], columns[j]);
            }
        }
    }
}

/* Sums of whole rows to y; the order that every path keeps: the sum, the bias, what was there. Of 16 rows all is read
 * before anything is written. */
template <int tiles>
KV_DEVICE void kv_skinny_store(
    const struct kv_skinny *a, const struct kv_skinny_place *p, const float acc[2][tiles][4])
{
    const int lane = (int)threadIdx.x % KV_WARP, first = p->row + (int)threadIdx.x / KV_WARP * 32 + lane / 4;
    const struct kv_gemv_matrix *m = p->m;
    const int column = lane % 4 * 2;
    float scale[tiles][2], bias[4];
#pragma unroll
    for (int i = 0; i < 2 * tiles; i++) scale[i / 2][i % 2] = a->scale[i / 2 * 8 + column + i % 2];
#pragma unroll
    for (int r = 0; r < 4; r++) bias[r] = m->bias ? m->bias[min(first + r * 8, m->rows - 1)] : 0;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float was[tiles][4];
#pragma unroll
        for (int i = 0; i < 4 * tiles; i++) {
            int r = first + h * 16 + i % 4 / 2 * 8, row = i / 4 * 8 + column + i % 2;
            size_t at = (size_t)min(row, a->n - 1) * (size_t)m->rows + (size_t)min(r, m->rows - 1);
            was[i / 4][i % 4] = m->add ? m->y[at] : 0;
        }
#pragma unroll
        for (int i = 0; i < 4 * tiles; i++) {
            int t = i / 4, e = i % 4, r = first + h * 16 + e / 2 * 8, row = t * 8 + column + e % 2;
            float sum = __fmul_rn(acc[h][t][e], scale[t][e % 2]); /* a product of its own, with bias or without */
            if (m->bias) sum += bias[h * 2 + e / 2];
            if (m->add) sum = was[t][e] + sum;
            if (r < m->rows && row < a->n) m->y[(size_t)row * (size_t)m->rows + (size_t)r] = sum;
        }
    }
}

/* Parts of a tile in scratch, two places a block: that of the tile where it begins, and of the one where it ends. */
template <int tiles> struct kv_skinny_parts {
    static constexpr int quads = 2 * tiles,
                         threads = KV_SKINNY_THREADS / 2; /* float4 of a thread; who holds sums */
    static constexpr int together = 8 / tiles;            /* parts that are read at once */
    static constexpr size_t floats = (size_t)quads * threads * 4;
};

template <int tiles> KV_DEVICE float4 *kv_skinny_part(const struct kv_skinny *a, int block, bool ends)
{
    return (float4 *)(a->part + (size_t)(2 * block + ends) * kv_skinny_parts<tiles>::floats) +
           threadIdx.x % kv_skinny_parts<tiles>::threads;
}

/* Adds what warps 4 to 7 have of the columns to what warps 0 to 3 have; room: the stage that all have read. */
template <int tiles> KV_DEVICE void kv_skinny_halves(float *room, float acc[2][tiles][4])
{
    using P = kv_skinny_parts<tiles>;
    float4 *at = (float4 *)room + threadIdx.x % P::threads;
    __syncthreads();
    if (threadIdx.x >= P::threads) {
#pragma unroll
        for (int i = 0; i < P::quads; i++) {
            const float *sum = acc[i / tiles][i % tiles];
            at[i * P::threads] = make_float4(sum[0], sum[1], sum[2], sum[3]);
        }
    }
    __syncthreads();
    if (threadIdx.x < P::threads) {
#pragma unroll
        for (int i = 0; i < P::quads; i++) {
            float *sum = acc[i / tiles][i % tiles];
            float4 other = at[i * P::threads];
            sum[0] += other.x, sum[1] += other.y, sum[2] += other.z, sum[3] += other.w;
        }
    }
}

/* Leaves this block's part of a tile in scratch; the block that comes last adds all of them, in the blocks' order, and
 * gets true. */
template <int tiles>
KV_DEVICE bool kv_skinny_join(const struct kv_skinny *a, const struct kv_skinny_shape *s,
    const struct kv_skinny_place *p, float acc[2][tiles][4])
{
    using P = kv_skinny_parts<tiles>;
    __shared__ bool last;
    const int total = s->tiles * s->steps, from = p->tile * s->steps;
    const int first = kv_skinny_owner(total, from, (int)gridDim.x);
    const int parts = kv_skinny_owner(total, from + s->steps - 1, (int)gridDim.x) - first + 1;
    if (parts == 1) return true;
    const bool leads = threadIdx.x < P::threads, ends = kv_skinny_begin(total, first, (int)gridDim.x) < from;
    if (leads) {
        float4 *mine = kv_skinny_part<tiles>(a, (int)blockIdx.x, ends && (int)blockIdx.x == first);
#pragma unroll
        for (int i = 0; i < P::quads; i++) {
            float *sum = acc[i / tiles][i % tiles];
            mine[i * P::threads] = make_float4(sum[0], sum[1], sum[2], sum[3]);
            sum[0] = sum[1] = sum[2] = sum[3] = 0;
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(a->ticket + p->tile, 1) == (unsigned)parts - 1;
        if (last) a->ticket[p->tile] = 0;
    }
    __syncthreads();
    if (!last) return false;
    __threadfence();
    for (int k = 0; leads && k < parts; k += P::together) {
        float4 v[P::together][P::quads];
#pragma unroll
        for (int j = 0; j < P::together; j++) {
            int of = min(k + j, parts - 1);
            const float4 *other = kv_skinny_part<tiles>(a, first + of, ends && !of);
#pragma unroll
            for (int i = 0; i < P::quads; i++) v[j][i] = __ldcg(other + i * P::threads);
        }
#pragma unroll
        for (int j = 0; j < P::together; j++) {
            if (k + j >= parts) break;
#pragma unroll
            for (int i = 0; i < P::quads; i++) {
                float *sum = acc[i / tiles][i % tiles];
                sum[0] += v[j][i].x, sum[1] += v[j][i].y, sum[2] += v[j][i].z, sum[3] += v[j][i].w;
            }
        }
    }
    return true;
}

KV_DEVICE void kv_skinny_wait(int stages)
{
    if (stages == 4)
        kv_cp_async_wait<2>();
    else if (stages == 3)
        kv_cp_async_wait<1>();
    else
        kv_cp_async_wait<0>();
}

template <int type, int tiles>
__global__ void __launch_bounds__(KV_SKINNY_THREADS, 1)
    kv_skinny_kernel(struct kv_skinny a, struct kv_skinny_shape s)
{
    using T = kv_skinny_type<type>;
    KV_DYNAMIC_SHARED(shared);
    const int total = s.tiles * s.steps, begin = kv_skinny_begin(total, (int)blockIdx.x, (int)gridDim.x);
    const int end = kv_skinny_begin(total, (int)blockIdx.x + 1, (int)gridDim.x);
    struct kv_skinny_place asked = kv_skinny_at(&a, &s, begin), taken = asked, late = asked;
    int ahead = begin + s.stages - 1;
    float acc[2][tiles][4];
#pragma unroll
    for (int i = 0; i < 8 * tiles; i++) acc[i / 4 / tiles][i / 4 % tiles][i % 4] = 0;

    kv_pdl_release();
    for (int i = 0; i < s.stages - 1; i++) {
        if (begin + i < end)
            kv_skinny_ask<T, tiles, true, false>(&a, &s, &asked, shared + (size_t)i * (size_t)s.stage);
        if (begin + i < end) kv_skinny_next(&s, &asked);
        kv_cp_async_commit();
    }
    kv_pdl_wait();
    for (int i = 0; i < s.stages - 1 && begin + i < end; i++) {
        kv_skinny_ask<T, tiles, false, true>(&a, &s, &late, shared + (size_t)i * (size_t)s.stage);
        kv_skinny_next(&s, &late);
    }
    for (int i = 0, work = begin; work < end; work++, ahead++) {
        int free = i ? i - 1 : s.stages - 1;
        unsigned char *stage = shared + (size_t)i * (size_t)s.stage, *to = shared + (size_t)free * (size_t)s.stage;
        kv_skinny_wait(s.stages);
        __syncthreads();
        if (ahead < end) {
            kv_skinny_ask<T, tiles, true, true>(&a, &s, &asked, to);
            kv_skinny_next(&s, &asked);
        }
        kv_cp_async_commit();
        if (threadIdx.x < KV_SKINNY_THREADS / 2)
            kv_skinny_take<T, tiles, 0>(&a, &s, &taken, stage, acc);
        else
            kv_skinny_take<T, tiles, KV_SKINNY_UNITS / 2>(&a, &s, &taken, stage, acc);
        if (taken.step == s.steps - 1 || work == end - 1) {
            kv_skinny_halves<tiles>((float *)(stage + s.rows), acc);
            bool whole = kv_skinny_join<tiles>(&a, &s, &taken, acc);
            if (whole && threadIdx.x < KV_SKINNY_THREADS / 2) kv_skinny_store<tiles>(&a, &taken, acc);
#pragma unroll
            for (int k = 0; k < 8 * tiles; k++) acc[k / 4 / tiles][k / 4 % tiles][k % 4] = 0;
        }
        kv_skinny_next(&s, &taken);
        i = i + 1 < s.stages ? i + 1 : 0;
    }
    kv_cp_async_wait<0>();
}

/* ---- launch ---- */

template <int type, int tiles> static void kv_skinny_start(struct kv_cuda *cu, const struct kv_skinny *from)
{
    static size_t allowed;
    struct kv_skinny a = *from;
    struct kv_skinny_shape s = kv_skinny_cut(cu, type, a.row_bytes, tiles);
    for (int k = 0; k < a.n_matrix; k++) {
        a.m[k].first = s.tiles;
        s.tiles += (a.m[k].rows + KV_SKINNY_TILE - 1) / KV_SKINNY_TILE;
    }
    s.steps = (a.cols + KV_SKINNY_STEP - 1) / KV_SKINNY_STEP;
    int blocks = cu->prop.multiProcessorCount;
    if (blocks > s.tiles * s.steps) blocks = s.tiles * s.steps;
    size_t shared = (size_t)s.stages * (size_t)s.stage;
    if (allowed < shared) {
        kv_cuda_allow_shared(cu, "linear", kv_skinny_kernel<type, tiles>, shared);
        allowed = shared;
    }
    kv_cuda_launch_chained(
        cu, "linear", (unsigned)blocks, KV_SKINNY_THREADS, shared, kv_skinny_kernel<type, tiles>, a, s);
}

template <int type> static void kv_skinny_start_type(struct kv_cuda *cu, const struct kv_skinny *a)
{
    switch (a->tiles) {
    case 1: kv_skinny_start<type, 1>(cu, a); break;
    case 2: kv_skinny_start<type, 2>(cu, a); break;
    case 4: kv_skinny_start<type, 4>(cu, a); break;
    default: kv_skinny_start<type, 8>(cu, a);
    }
}

#endif
