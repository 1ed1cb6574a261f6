/* Column sums of the attention matrix: how much attention each token got. Equations and shapes: kernels/cpu/columns.c.
 *
 * A block owns a tile of keys of one KV head and passes over the rows that see one of them, head by head: no two
 * blocks add to one sum, and each sum has one order.
 *
 * Tensor cores (f16 and bf16 caches, head_dim 64, 80, 96, 128, 256, but in f32): logits are made the other way round,
 * keys x rows, so that a key's sum stays in one thread; 128 keys a block (64 at 256), 32 a warp, whose fragments stay
 * in registers for all rows. Queries are rounded to the cache's type and laid out by head once, in scratch, and
 * pass 64 rows at a time through a ring of 3 buffers; what a row adds is 2^(scale2 s - lse2). Work:
 * 2 n_visible d flops and an exponential a (row, head, key), bound by the tensor cores; with few rows, by reading the
 * keys once. See the register report at the kernel's shapes: no spills. Predicted, not run on a GPU: 0.6 of the dense
 * rate of mma.sync, so half of attention's time on the same instructions.
 *
 * Otherwise: f32, 32 keys a block, bound by shared memory. */
#include "kernels/cuda/attend_f32.cuh"
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/columns.cuh"

#define WARPS   4
#define THREADS (WARPS * KV_WARP)
#define STAGES  3
#define ROWS    64 /* a tile */
#define LOG2E   1.4426950408889634

#define SHAPE static __host__ __device__ constexpr int
SHAPE m_tiles(int d) { return d <= 128 ? 2 : 1; } /* of 16 keys a warp */
SHAPE keys_of(int d) { return WARPS * 16 * m_tiles(d); }
SHAPE tile_bytes(int d) { return ROWS * kv_tile_pitch(d); }
/* The lse of a tile's rows lie behind its queries. */
SHAPE stage_bytes(int d) { return tile_bytes(d) + ROWS * (int)sizeof(float); }
SHAPE shared_bytes(int d)
{
    return STAGES * stage_bytes(d) > keys_of(d) * kv_tile_pitch(d) ? STAGES * stage_bytes(d)
                                                                   : keys_of(d) * kv_tile_pitch(d);
}

/* ---- kernels: f32 ---- */

__global__ void __launch_bounds__(KV_F32_THREADS, 2) columns_plain_kernel(const __grid_constant__ kv_columns_args a)
{
    KV_DYNAMIC_SHARED(shared);
    __shared__ float part[KV_F32_ROWS][KV_F32_ROWS + 1];
    const struct kv_columns_place at = kv_columns_place_of(&a);
    const struct kv_slots s = kv_slots_of(a.seq, at.g, a.type, a.head_dim);
    const int d = a.head_dim, j0 = at.tile * KV_F32_ROWS, mine = (int)threadIdx.x / KV_F32_LANES;
    const int lane = (int)threadIdx.x % KV_F32_LANES;
    float *k = (float *)shared, *q = k + KV_F32_ROWS * kv_f32_stride(d);
    if (j0 >= s.n || kv_columns_short(&a, s.n, at.g, true)) return;
    const int end = j0 + KV_F32_ROWS < s.n ? j0 + KV_F32_ROWS : s.n;
    const struct kv_columns_rows rows = kv_columns_rows_of(&a, kv_slots_pos(&s, j0), kv_slots_pos(&s, end - 1));

    kv_f32_load(k, &s, false, j0, end, a.type, d);
    for (int h = at.head; h < at.last_head; h++) {
        float sum[KV_F32_KEYS] = {}, x[KV_F32_KEYS];
        for (int r0 = rows.begin; r0 < rows.end; r0 += KV_F32_ROWS) {
            int row = r0 + mine;
            size_t head = (size_t)row * (size_t)a.n_head + (size_t)h;
            __syncwarp();
            kv_f32_load_query(q, row < rows.end ? a.q + head * (size_t)d : NULL, d);
            __syncthreads();
            kv_f32_logits(x, q, k, d, a.scale);
#pragma unroll
            for (int i = 0; i < KV_F32_KEYS; i++) {
                int j = j0 + lane + i * KV_F32_LANES;
                bool sees =
                    row < rows.end && j < end && kv_columns_sees(&a, a.seq->row_pos[row], kv_slots_pos(&s, j));
                sum[i] += sees ? expf(x[i] - a.lse[head]) : 0;
            }
        }
#pragma unroll
        for (int i = 0; i < KV_F32_KEYS; i++) part[mine][lane + i * KV_F32_LANES] = sum[i];
        __syncthreads();
        if ((int)threadIdx.x < end - j0) {
            float all = 0;
            for (int i = 0; i < KV_F32_ROWS; i++) all += part[i][threadIdx.x];
            a.out[(size_t)h * a.stride + (size_t)(j0 + (int)threadIdx.x)] += all;
        }
        __syncthreads();
    }
}

/* ---- kernels: tensor cores ---- */

/* Queries by head, rounded; lse, of two. A thread takes four channels. */
template <bool bf16> __global__ void __launch_bounds__(256) columns_queries_kernel(struct kv_columns_args a)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, quads = (size_t)a.head_dim / 4;
    size_t head = i / quads, c = i % quads * 4, n = (size_t)a.n_row, heads = (size_t)a.n_head;
    if (head >= n * heads) return;
    size_t to = head % heads * n + head / heads;
    float4 x = *(const float4 *)(a.q + head * (size_t)a.head_dim + c);
    *(uint2 *)((uint16_t *)a.half + to * (size_t)a.head_dim + c) =
        make_uint2(kv_pack_half2<bf16>(x.x, x.y), kv_pack_half2<bf16>(x.z, x.w));
    if (c == 0) a.lse2[to] = a.lse[head] * (float)LOG2E;
}

/* Keys of a warp, as A of m16n8k16, rows that see them, and their sums. */
template <int d> struct columns_keys {
    uint32_t k[d / 16][m_tiles(d)][4];
    struct kv_slots_range seen[m_tiles(d)][2];
    float sum[m_tiles(d)][2];
};

/* Asks for a tile of queries with the rows' lse; those from rows->end on are zeros. */
template <int d>
KV_DEVICE void load_rows(
    unsigned char *to, const struct kv_columns_args *a, struct kv_columns_step at, int last_head, int end)
{
    const int chunks = d / 8;
    const size_t first = (size_t)at.head * (size_t)a->n_row + (size_t)at.row;
    const char *from = (const char *)a->half + first * (d * 2);
    if (at.head < last_head) {
#pragma unroll
        for (int i = 0; i < ROWS * chunks / THREADS; i++) {
            int n = (int)threadIdx.x + i * THREADS, row = n / chunks, chunk = n % chunks;
            kv_cp_async16(
                to + kv_tile_at<d>(row, chunk), from + (size_t)(row * d * 2 + chunk * 16), at.row + row < end);
        }
        kv_columns_load_lse(to + tile_bytes(d), a, at, ROWS, (int)threadIdx.x, end);
    }
    kv_cp_async_commit();
}

/* The block's keys: through shared memory to registers. */
template <int d>
KV_DEVICE void load_keys(struct columns_keys<d> &keys, unsigned char *shared, const struct kv_columns_args *a,
    const struct kv_slots *s, int j0)
{
    const int first = (int)threadIdx.x / KV_WARP * 16 * m_tiles(d), from = kv_tile_a<d>(first);
    kv_tile_load<d, keys_of(d), THREADS>(shared, s, false, j0, s->n);
    kv_cp_async_commit();
    kv_cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < m_tiles(d); m++) {
#pragma unroll
        for (int c = 0; c < d / 16; c++)
            kv_ldmatrix4(keys.k[c][m], shared + kv_tile_along<d>(from, c * 2) + m * 16 * kv_tile_pitch(d));
        for (int r = 0; r < 2; r++) {
            int j = j0 + first + m * 16 + r * 8 + (int)threadIdx.x % KV_WARP / 4;
            keys.seen[m][r] = kv_columns_seen(a, kv_slots_pos(s, j < s->n ? j : s->n - 1));
        }
    }
    __syncthreads();
}

/* Adds a tile of rows to the keys' sums. ragged: some row may not see some key. */
template <int d, bool bf16>
KV_DEVICE void add_rows(struct columns_keys<d> &keys, const struct kv_columns_args *a, const unsigned char *tile,
    int first, bool ragged)
{
    const int from = kv_tile_b<d>(), lane = (int)threadIdx.x % 4 * 2;
    const float *lse2 = (const float *)(tile + tile_bytes(d));
    float s[m_tiles(d)][ROWS / 8][4] = {};
#pragma unroll
    for (int c = 0; c < d / 16; c++)
#pragma unroll
        for (int n = 0; n < ROWS / 8; n += 2) {
            uint32_t b[4];
            kv_ldmatrix4(b, tile + kv_tile_along<d>(from, c * 2) + n * 8 * kv_tile_pitch(d));
#pragma unroll
            for (int m = 0; m < m_tiles(d); m++) {
                kv_mma_16816<bf16>(s[m][n], keys.k[c][m], b);
                kv_mma_16816<bf16>(s[m][n + 1], keys.k[c][m], b + 2);
            }
        }
    float sum[m_tiles(d)][2] = {};
#pragma unroll
    for (int n = 0; n < ROWS / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int row = n * 8 + lane + e;
            float less = lse2[row];
#pragma unroll
            for (int m = 0; m < m_tiles(d); m++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    float p = kv_exp2(fmaf(s[m][n][r * 2 + e], a->scale2, -less));
                    if (ragged && !kv_columns_in(keys.seen[m][r], first + row)) p = 0;
                    sum[m][r] += p;
                }
        }
#pragma unroll
    for (int m = 0; m < m_tiles(d); m++)
        for (int r = 0; r < 2; r++) keys.sum[m][r] += sum[m][r];
}

/* A head's sums go out, and begin anew. */
template <int d> KV_DEVICE void put_sums(struct columns_keys<d> &keys, float *sums, int j0, int n)
{
    int lane = (int)threadIdx.x % KV_WARP, first = j0 + (int)threadIdx.x / KV_WARP * 16 * m_tiles(d) + lane / 4;
#pragma unroll
    for (int m = 0; m < m_tiles(d); m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float sum = keys.sum[m][r];
            int j = first + m * 16 + r * 8;
            sum += __shfl_xor_sync(KV_ALL, sum, 1);
            sum += __shfl_xor_sync(KV_ALL, sum, 2);
            if (lane % 4 == 0 && j < n) sums[j] += sum;
            keys.sum[m][r] = 0;
        }
}

template <int d, bool bf16>
__global__ void __launch_bounds__(THREADS, d <= 64 ? 3 : 2)
    columns_mma_kernel(const __grid_constant__ kv_columns_args a)
{
    KV_DYNAMIC_SHARED(shared);
    const struct kv_columns_place place = kv_columns_place_of(&a);
    const struct kv_slots s = kv_slots_of(a.seq, place.g, a.type, d);
    const int j0 = place.tile * keys_of(d), last_head = place.last_head;
    if (j0 >= s.n || kv_columns_short(&a, s.n, place.g, true)) return;
    const int last = (j0 + keys_of(d) < s.n ? j0 + keys_of(d) : s.n) - 1, n = s.n;
    const struct kv_columns_rows rows = kv_columns_rows_of(&a, kv_slots_pos(&s, j0), kv_slots_pos(&s, last));
    if (rows.begin >= rows.end) return;
    struct columns_keys<d> keys = {};
    load_keys<d>(keys, shared, &a, &s, j0);
    struct kv_columns_step at = { place.head, rows.begin }, ahead = at;
    for (int i = 0; i < STAGES - 1; i++, kv_columns_next(&ahead, &rows, ROWS))
        load_rows<d>(shared + i * stage_bytes(d), &a, ahead, last_head, rows.end);
    for (int stage = 0; at.head < last_head;) {
        int head = at.head, behind = stage ? stage - 1 : STAGES - 1;
        kv_cp_async_wait<STAGES - 2>();
        __syncthreads(); /* what was read before is free */
        load_rows<d>(shared + behind * stage_bytes(d), &a, ahead, last_head, rows.end);
        kv_columns_next(&ahead, &rows, ROWS);
        bool ragged = kv_columns_ragged(at, &rows, ROWS);
        const unsigned char *tile = shared + stage * stage_bytes(d);
        if (ragged)
            add_rows<d, bf16>(keys, &a, tile, at.row, true);
        else
            add_rows<d, bf16>(keys, &a, tile, at.row, false);
        kv_columns_next(&at, &rows, ROWS);
        if (at.head != head) put_sums<d>(keys, a.out + (size_t)head * a.stride, j0, n);
        stage = stage + 1 < STAGES ? stage + 1 : 0;
    }
    kv_cp_async_wait<0>();
}

/* ---- launch ---- */

/* A block takes all heads of the group where there are few rows, for then reading the keys is what costs, or enough
 * blocks all the same. */
static int heads_of(const struct kv_cuda *cu, const struct kv_columns_args *a, int tiles)
{
    return a->n_row <= 2 * ROWS || tiles * a->n_kv_head >= 4 * cu->prop.multiProcessorCount ? a->group : 1;
}

template <int d, bool bf16> static void start(struct kv_cuda *cu, struct kv_columns_args a)
{
    /* With few rows several blocks an SM read keys faster than one. */
    int hopper = a.n_row > 2 * ROWS ? kv_cuda_columns_wgmma_keys(cu, d) : 0;
    unsigned tiles = kv_cuda_blocks((size_t)a.cap, hopper ? (size_t)hopper : keys_of(d));
    size_t quads = (size_t)a.n_row * (size_t)a.n_head * (d / 4);
    a.heads = heads_of(cu, &a, (int)tiles);
    unsigned blocks = tiles * (unsigned)(a.n_kv_head * (a.group / a.heads));
    kv_cuda_launch(cu, "a column sum", kv_cuda_blocks(quads, 256), 256, 0, columns_queries_kernel<bf16>, a);
    if (hopper) {
        kv_cuda_columns_wgmma(cu, &a, blocks);
        return;
    }
    kv_cuda_allow_shared(cu, "a column sum", columns_mma_kernel<d, bf16>, shared_bytes(d));
    kv_cuda_launch(cu, "a column sum", blocks, THREADS, shared_bytes(d), columns_mma_kernel<d, bf16>, a);
}

static void start_plain(struct kv_cuda *cu, struct kv_columns_args a)
{
    unsigned tiles = kv_cuda_blocks((size_t)a.cap, KV_F32_ROWS);
    a.heads = heads_of(cu, &a, (int)tiles);
    kv_cuda_allow_shared(cu, "a column sum", columns_plain_kernel, kv_f32_bytes(a.head_dim));
    kv_cuda_launch(cu, "a column sum", tiles * (unsigned)(a.n_kv_head * (a.group / a.heads)), KV_F32_THREADS,
        kv_f32_bytes(a.head_dim), columns_plain_kernel, a);
}

template <int d> static void start_typed(struct kv_cuda *cu, const struct kv_columns_args *a)
{
    if (a->type == KV_TYPE_BF16)
        start<d, true>(cu, *a);
    else
        start<d, false>(cu, *a);
}

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_columns_args *a = (const struct kv_columns_args *)args;
    switch (a->half ? a->head_dim : 0) {
    case 64: start_typed<64>(cu, a); break;
    case 80: start_typed<80>(cu, a); break;
    case 96: start_typed<96>(cu, a); break;
    case 128: start_typed<128>(cu, a); break;
    case 256: start_typed<256>(cu, a); break;
    default: start_plain(cu, *a);
    }
}

static const struct kv_cuda_kind kind = { "columns", launch };

/* Bytes of the queries by head, and of all. */
static size_t half_bytes(size_t rows, size_t heads, size_t d)
{
    return (rows * heads * d * 2 + 255) & ~(size_t)255;
}

size_t kv_cuda_columns_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    size_t rows = (size_t)limits->rows, heads = (size_t)limits->n_head;
    (void)cu;
    return half_bytes(rows, heads, (size_t)limits->head_dim) + rows * heads * sizeof(float);
}

enum kv_status kv_cuda_columns_begin(struct kv_cuda *cu, const struct kv_attend *a, const char *op, float *out,
    size_t stride, struct kv_columns_args *args, struct kv_error *err)
{
    *args = (struct kv_columns_args){};
    if (a->n_seq != 1) return kv_fail(err, KV_BAD_ARG, "%s takes one sequence at a time, not %d.", op, a->n_seq);
    if (!a->lse) return kv_fail(err, KV_BAD_ARG, "%s needs the log-sum-exp that attention gives.", op);
    enum kv_status status = kv_cuda_attend_check(cu, a, op, err);
    if (!status) status = kv_cuda_room(cu, kv_cuda_seqs_bytes(a->seq, 1), err);
    args->cap = a->seq->prefix.cap + a->seq->tail.cap;
    args->n_row = a->seq->n_row;
    if (status || !args->cap || !args->n_row) return status;
    args->seq = kv_cuda_stage_seqs(cu, a->seq, 1);
    args->q = a->q;
    args->lse = a->lse;
    args->out = out;
    args->stride = stride;
    args->n_head = a->n_head;
    args->n_kv_head = a->n_kv_head;
    args->head_dim = a->head_dim;
    args->group = a->n_head / a->n_kv_head;
    args->type = a->type;
    args->window = a->window;
    args->scale = a->scale;
    args->scale2 = (float)(a->scale * LOG2E);
    args->fault = cu->fault_device;
    return KV_OK;
}

enum kv_status kv_cuda_columns(
    void *ctx, const struct kv_attend *a, float *sums, size_t stride, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    struct kv_columns_args args;
    enum kv_status status = kv_cuda_columns_begin(cu, a, "A column sum", sums, stride, &args, err);
    if (status || !args.seq) return status;
    if (kv_cuda_attend_tensor(cu, a)) {
        size_t half = half_bytes((size_t)args.n_row, (size_t)args.n_head, (size_t)args.head_dim);
        size_t want = half + (size_t)args.n_row * (size_t)args.n_head * sizeof(float);
        if (want > cu->scratch_size)
            return kv_fail(err, KV_NOT_NOW,
                "A column sum of %d rows needs %zu bytes of scratch; reserve() was for %zu.", args.n_row, want,
                cu->scratch_size);
        args.half = cu->scratch;
        args.lse2 = (float *)(cu->scratch + half);
    }
    kv_cuda_push(cu, &kind, &args, sizeof args);
    return KV_OK;
}
