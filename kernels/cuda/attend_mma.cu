/* The tensor-core path of attend() for every GPU from sm_80 on: f16 and bf16 caches, head_dim 64, 80, 96, 128, 256.
 *
 * Equations and shapes: kernels/cpu/attend.c. A block of 4 warps takes 128 pairs of one KV head (64 at head_dim 256),
 * 32 a warp, so that a fragment of K or V that is read from shared memory serves two multiplications. q is rounded to
 * the cache's type, and so are weights before they meet V; everything else is f32, the scale too, so that logits of
 * queries that the type can hold are exact. Keys pass 48 at a time (64 at 80 and 96, 32 at 256), at multiples of as
 * many slots: K and V of a tile are two steps of one ring of 3 buffers that cp.async fills, each slot from the span
 * that it lies in. Tiles that all pairs see whole take no masks; those that none sees are not read.
 *
 * Work: 4 n_visible d flops a pair, bound by the tensor cores. Of the compiler, with no spills, on sm_80 and sm_90a:
 *
 *   head_dim   registers   shared memory   blocks an SM, by registers and 164 KiB
 *   64         168         36 KiB          3
 *   80, 96     215-235     59-69 KiB       2
 *   128        241-245     70 KiB          2
 *   256        224-227     82 KiB          1 or 2
 *
 * Entropy is one FFMA beside the FFMA, ex2, FADD, half a conversion and a maximum that a logit costs anyway. Not run
 * on a GPU; predicted: 0.55 to 0.65 of the dense rate of mma.sync at 128, 170-200 TFLOP/s on an A100, 300 on an H100. */
#include "kernels/cuda/attend_rows.cuh"
#include "kernels/cuda/attend_tile.cuh"

#define WARPS   4
#define THREADS (WARPS * KV_WARP)
#define STAGES  3

#define SHAPE static __host__ __device__ constexpr int
SHAPE m_tiles(int d) { return d <= 128 ? 2 : 1; }                             /* of 16 pairs a warp */
SHAPE pairs_of(int d) { return WARPS * 16 * m_tiles(d); }                     /* a block */
SHAPE keys_of(int d) { return d == 64 || d == 128 ? 48 : d < 128 ? 64 : 32; } /* a tile */
SHAPE n_tiles(int d) { return keys_of(d) / 8; }                               /* of 8 keys */
SHAPE blocks_of(int d) { return d <= 64 ? 3 : 2; }                            /* an SM, by registers */

/* ---- kernels ---- */

/* Bytes of the shared memory: queries, the ring, what threads share. */
SHAPE ring_bytes(int d) { return STAGES * keys_of(d) * kv_tile_pitch(d); }
SHAPE queries_bytes(int d) { return pairs_of(d) * kv_tile_pitch(d); }

template <int d> using mma_logits = struct kv_logits<m_tiles(d), n_tiles(d)>;

/* The pairs' queries, rounded. */
template <int d, bool bf16>
KV_DEVICE void load_queries(unsigned char *q, const struct kv_attend_args *a, const struct kv_attend_tile *t, int g)
{
#pragma unroll 4
    for (int i = (int)threadIdx.x; i < pairs_of(d) * (d / 4); i += THREADS) {
        int row = i / (d / 4), c = i % (d / 4) * 4;
        const float *from = a->q + kv_attend_head(a, t, g, row) * (size_t)d + c;
        float4 x = *(const float4 *)from;
        uint2 half = make_uint2(kv_pack_half2<bf16>(x.x, x.y), kv_pack_half2<bf16>(x.z, x.w));
        *(uint2 *)(q + kv_tile_at<d>(row, c / 8) + c % 8 * 2) = half;
    }
}

/* s = q k of the warp's pairs and the tile's keys. */
template <int d, bool bf16>
KV_DEVICE void multiply_keys(mma_logits<d> &x, const unsigned char *q, const unsigned char *k)
{
    int from_q = kv_tile_a<d>(kv_thread() / KV_WARP * 16 * m_tiles(d)), from_k = kv_tile_b<d>();
#pragma unroll
    for (int m = 0; m < m_tiles(d); m++)
#pragma unroll
        for (int n = 0; n < n_tiles(d); n++)
#pragma unroll
            for (int e = 0; e < 4; e++) x.s[m][n][e] = 0;
#pragma unroll
    for (int c = 0; c < d / 16; c++) {
        uint32_t a[m_tiles(d)][4], b[4];
#pragma unroll
        for (int m = 0; m < m_tiles(d); m++)
            kv_ldmatrix4(a[m], q + kv_tile_along<d>(from_q, c * 2) + m * 16 * kv_tile_pitch(d));
#pragma unroll
        for (int n = 0; n < n_tiles(d); n += 2) {
            kv_ldmatrix4(b, k + kv_tile_along<d>(from_k, c * 2) + n * 8 * kv_tile_pitch(d));
#pragma unroll
            for (int m = 0; m < m_tiles(d); m++) {
                kv_mma_16816<bf16>(x.s[m][n], a[m], b);
                kv_mma_16816<bf16>(x.s[m][n + 1], a[m], b + 2);
            }
        }
    }
}

/* o += weights v. */
template <int d, bool bf16>
KV_DEVICE void multiply_values(float (&o)[m_tiles(d)][d / 8][4], const mma_logits<d> &x, const unsigned char *v)
{
    int from = kv_tile_a<d>(0);
#pragma unroll
    for (int n = 0; n < n_tiles(d); n += 2) {
        uint32_t a[m_tiles(d)][4], b[4];
#pragma unroll
        for (int m = 0; m < m_tiles(d); m++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                a[m][e] = kv_pack_half2<bf16>(x.s[m][n + e / 2][e % 2 * 2], x.s[m][n + e / 2][e % 2 * 2 + 1]);
#pragma unroll
        for (int c = 0; c < d / 8; c += 2) {
            kv_ldmatrix4_transposed(b, v + kv_tile_along<d>(from, c) + n * 8 * kv_tile_pitch(d));
#pragma unroll
            for (int m = 0; m < m_tiles(d); m++) {
                kv_mma_16816<bf16>(o[m][c], a[m], b);
                kv_mma_16816<bf16>(o[m][c + 1], a[m], b + 2);
            }
        }
    }
}

/* The thread's first pair. */
KV_DEVICE int pair_of(int m) { return kv_thread() / KV_WARP * 16 * m + kv_thread() % KV_WARP / 4; }

/* Step i of the ring: waits for its buffer, asks for the one two steps on, and returns the buffer. */
template <int d>
KV_DEVICE unsigned char *next(
    unsigned char *ring, int *buffer, const struct kv_attend_block *block, bool values, int j0)
{
    const int end = block->seen[block->rows - 1].hi;
    const int bytes = keys_of(d) * kv_tile_pitch(d);
    unsigned char *mine = ring + *buffer * bytes;
    int behind = *buffer ? *buffer - 1 : STAGES - 1;
    kv_cp_async_wait<STAGES - 2>();
    __syncthreads(); /* what step i - 1 read is free */
    if (j0 < end) kv_tile_load<d, keys_of(d), THREADS>(ring + behind * bytes, &block->slots, values, j0, end);
    kv_cp_async_commit();
    *buffer = *buffer + 1 < STAGES ? *buffer + 1 : 0;
    return mine;
}

template <int d, bool bf16, bool entropy>
__global__ void __launch_bounds__(THREADS, blocks_of(d)) attend_mma_kernel(const __grid_constant__ kv_attend_args a)
{
    KV_DYNAMIC_SHARED(shared);
    const int keys = keys_of(d);
    unsigned char *q = shared, *ring = shared + queries_bytes(d);
    struct kv_attend_block *block = (struct kv_attend_block *)(ring + ring_bytes(d));
    kv_attend_prepare(block, &a, pairs_of(d), THREADS);
    __syncthreads();
    const int begin = block->seen[0].lo / keys * keys, end = block->seen[block->rows - 1].hi;
    if (begin < end) kv_tile_load<d, keys_of(d), THREADS>(ring, &block->slots, false, begin, end);
    kv_cp_async_commit();
    if (begin < end)
        kv_tile_load<d, keys_of(d), THREADS>(ring + keys * kv_tile_pitch(d), &block->slots, true, begin, end);
    kv_cp_async_commit();
    load_queries<d, bf16>(q, &a, &block->tile, block->g);

    const int m = m_tiles(d), n = n_tiles(d);
    float o[m][d / 8][4] = {}, shrink[m][2];
    struct kv_rows<m> rows = {};
    mma_logits<d> x;
    int buffer = 0;
    for (int i = 0; i < m; i++) rows.max[i][0] = rows.max[i][1] = KV_SOFTMAX_EMPTY;
    for (int j0 = begin; j0 < end; j0 += keys) {
        multiply_keys<d, bf16>(x, q, next<d>(ring, &buffer, block, false, j0 + keys));
        if (kv_attend_ragged(block, j0, keys)) kv_rows_hide(x, block, pair_of(m), j0);
        if (kv_rows_raise<m, n, entropy>(rows, x, a.scale2, a.slack, shrink)) kv_rows_shrink(o, shrink);
        kv_rows_weigh<m, n, entropy>(rows, x, a.scale2);
        multiply_values<d, bf16>(o, x, next<d>(ring, &buffer, block, true, j0 + keys));
    }
    kv_cp_async_wait<0>();
    kv_rows_finish<m, d / 8, entropy>(&a, block, rows, o, pair_of(m));
}

/* ---- launch ---- */

template <int d, bool bf16, bool entropy> static void start(struct kv_cuda *cu, const struct kv_attend_args *a)
{
    size_t bytes = (size_t)(queries_bytes(d) + ring_bytes(d)) + kv_attend_block_bytes(pairs_of(d), a->group);
    kv_cuda_allow_shared(cu, "attention", attend_mma_kernel<d, bf16, entropy>, bytes);
    kv_cuda_launch(cu, "attention", (unsigned)(a->n_tile * a->n_kv_head), THREADS, bytes,
        attend_mma_kernel<d, bf16, entropy>, *a);
}

template <int d> static void start_typed(struct kv_cuda *cu, const struct kv_attend_args *a)
{
    if (a->type == KV_TYPE_BF16)
        a->entropy ? start<d, true, true>(cu, a) : start<d, true, false>(cu, a);
    else
        a->entropy ? start<d, false, true>(cu, a) : start<d, false, false>(cu, a);
}

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_attend_args *a = (const struct kv_attend_args *)args;
    switch (a->head_dim) {
    case 64: start_typed<64>(cu, a); break;
    case 80: start_typed<80>(cu, a); break;
    case 96: start_typed<96>(cu, a); break;
    case 128: start_typed<128>(cu, a); break;
    case 256: start_typed<256>(cu, a); break;
    }
}

const struct kv_cuda_kind kv_cuda_attend_mma = { "attend", launch };

int kv_cuda_attend_mma_pairs(int head_dim)
{
    switch (head_dim) {
    case 64:
    case 80:
    case 96:
    case 128:
    case 256: return pairs_of(head_dim);
    default: return 0;
    }
}
