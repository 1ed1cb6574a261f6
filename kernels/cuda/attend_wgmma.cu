/* The Hopper path of attend() (sm_90a): f16 and bf16 caches, head_dim 64 and 128.
 *
 * Equations and shapes: kernels/cpu/attend.c; rounding as in attend_mma.cu. One warpgroup fetches keys and values, two
 * (three at head_dim 64) multiply, each 64 pairs of one KV head. Keys pass 128 at a time, at multiples of as many
 * slots. Both products are wgmma: queries, keys and values lie in shared memory with the 128-byte swizzle, weights
 * come from registers.
 *
 *   - K and V have a ring each, 3 tiles deep (4 at 64), of which two warps each are in charge. They fetch by cp.async,
 *     for a span may begin anywhere, tiles may lie across two spans, and what is behind the last slot must read as
 *     zero; a tile is handed over when the next one is asked for, so that a copy is always in flight.
 *   - A warpgroup that has its turn issues q K of tile i and P V of tile i - 1, gives the turn to the next warpgroup,
 *     and does the softmax of tile i while its own P V and the others' products run.
 *   - Registers move from the fetching warpgroup to the multiplying ones.
 *
 * Work: 4 n_visible d flops a pair, bound by the tensor cores. A block an SM: at d = 128 384 threads with 40 and 232
 * registers and 225 KiB; at 64 512 threads with 32 and 160 registers and 153 KiB. Counted in the machine code, clocks
 * of an SM for 128 keys and all pairs of a block, each row alone:
 *
 *                       d = 128, 128 pairs      d = 64, 192 pairs
 *   tensor cores        2048                    1536
 *   shared memory       1280 + 512 filled       960 + 256
 *   ex2, 16 a clock     1024                    1536
 *   issue, a quarter    2 x 489 + 155 fetching  3 x 462 + 120
 *   without entropy     2 x 409 + 155           3 x 387 + 120
 *
 * So at 128 everything hides behind the products, entropy too; at 64 three things bind alike, and an ex2 made of
 * FFMAs, ten instructions for eight clocks, gains nothing. TMA would take 5 to 7 % of the instructions away, but no clock
 * at 128, and wants a tensor map of every span that the device moves: cp.async it is. Not run on a GPU; predicted, at 8k
 * and d = 128: 32 rounds a block, and 5000 clocks at its ends: 0.75 to 0.8 of what wgmma gives in a large product. */
#include "kernels/cuda/attend_rows.cuh"
#include "kernels/cuda/ring.cuh"

#define KEYS 128 /* a tile */

#define SHAPE static __host__ __device__ constexpr int
SHAPE groups_of(int d) { return d == 64 ? 3 : 2; } /* warpgroups that multiply */
SHAPE stages_of(int d) { return d == 64 ? 4 : 3; }
SHAPE pairs_of(int d) { return groups_of(d) * 64; }
SHAPE threads_of(int d) { return (groups_of(d) + 1) * KV_WARPGROUP; }
SHAPE tile_bytes(int d) { return KEYS * d * 2; }
SHAPE queries_bytes(int d) { return pairs_of(d) * d * 2; }
SHAPE ring_bytes(int d) { return stages_of(d) * tile_bytes(d); }

/* ---- kernels ---- */

/* Shared memory behind the queries and the rings of K and V. */
template <int d> struct wgmma_block {
    struct kv_ring<stages_of(d)> keys, values;
    struct kv_attend_block attend;
};

/* ---- fetching: 64 threads a ring ---- */

/* Asks for slots [j0, j0 + KEYS); those from `end` on are zeros. 64 threads take 8 or 4 rows at once, and every 16 rows
 * the same bytes of them: where all are of one span, a copy is one instruction. */
template <int d>
KV_DEVICE void load_tile(
    unsigned char *to, const struct kv_slots *s, const char *first, const char *second, int j0, int end, int thread)
{
    const int chunks = d / 8, rows = 64 / chunks;
    int row = thread / chunks, chunk = thread % chunks;
    bool whole = j0 + KEYS <= end && (j0 >= s->n_prefix || j0 + KEYS <= s->n_prefix);
    const char *from = (j0 < s->n_prefix ? first : second) + (size_t)(j0 + row) * (d * 2) + chunk * 16;
    if (whole) {
#pragma unroll
        for (int part = 0; part < 16; part += rows) {
            unsigned char *at = to + kv_panel_at(row + part, chunk, KEYS);
#pragma unroll
            for (int i = 0; i < KEYS; i += 16) kv_cp_async16(at + i * 128, from + (i + part) * (d * 2), true);
        }
        return;
    }
#pragma unroll 1
    for (int i = row; i < KEYS; i += rows) {
        from = (j0 + i < s->n_prefix ? first : second) + (size_t)(j0 + i) * (d * 2) + chunk * 16;
        kv_cp_async16(to + kv_panel_at(i, chunk, KEYS), from, j0 + i < end);
    }
}

template <int d>
KV_DEVICE void fetch(struct kv_ring<stages_of(d)> *ring, unsigned char *tiles, const struct kv_slots *s,
    bool values, int begin, int end)
{
    const char *first = values ? s->v : s->k, *second = values ? s->tail_v : s->tail_k;
    int at = KV_RING_FETCH, before = -1;
    for (int j0 = begin; j0 < end; j0 += KEYS) {
        kv_ring_wait_empty(ring, at);
        load_tile<d>(tiles + kv_ring_stage(at) * tile_bytes(d), s, first, second, j0, end, kv_thread() % 64);
        kv_cp_async_commit();
        if (before >= 0) kv_ring_hand_over<1>(ring, before);
        before = at;
        at = kv_ring_next<stages_of(d)>(at);
    }
    if (before >= 0) kv_ring_hand_over<0>(ring, before);
}

/* ---- multiplying ---- */

/* What a warpgroup's thread has in registers. */
template <int d> struct wgmma_state {
    float o[1][d / 8][4];
    struct kv_logits<1, KEYS / 8> x;
    uint32_t p[KEYS / 4]; /* weights, as A of m16n8k16 wants them */
    struct kv_rows<1> rows;
};

template <int d> KV_DEVICE float (&outputs(struct wgmma_state<d> &w))[d / 2]
{
    return reinterpret_cast<float(&)[d / 2]>(w.o);
}

template <int d> KV_DEVICE float (&logits(struct wgmma_state<d> &w))[KEYS / 2]
{
    return reinterpret_cast<float(&)[KEYS / 2]>(w.x.s);
}

/* The warpgroup's 64 pairs: rounded, swizzled. */
template <int d, bool bf16> KV_DEVICE void load_queries(unsigned char *q, const struct kv_attend_args *a, int wg)
{
    const struct kv_attend_tile t = *kv_attend_tile_of(a);
    const int g = kv_attend_kv_head(a);
#pragma unroll 8
    for (int i = (int)threadIdx.x % KV_WARPGROUP; i < 64 * (d / 4); i += KV_WARPGROUP) {
        int row = i / (d / 4), c = i % (d / 4) * 4;
        const float *from = a->q + kv_attend_head(a, &t, g, wg * 64 + row) * (size_t)d + c;
        float4 x = *(const float4 *)from;
        uint2 half = make_uint2(kv_pack_half2<bf16>(x.x, x.y), kv_pack_half2<bf16>(x.z, x.w));
        *(uint2 *)(q + kv_panel_at(row, c / 8, 64) + c % 8 * 2) = half;
    }
    kv_proxy_fence();
}

/* x = q K of a tile; in flight on return. */
template <int d, bool bf16>
KV_DEVICE void issue_keys(struct wgmma_state<d> &w, const unsigned char *q, const unsigned char *k)
{
    uint32_t a = kv_wgmma_matrix(q, 16), b = kv_wgmma_matrix(k, 16);
    kv_wgmma_hold(logits(w));
    kv_wgmma_fence();
#pragma unroll
    for (int c = 0; c < d / 16; c++)
        kv_wgmma_keys<bf16>(logits(w), a + kv_panel_step(c, 64), b + kv_panel_step(c, KEYS), c != 0);
    kv_wgmma_commit();
}

/* o += P V of a tile; in flight on return. */
template <int d, bool bf16> KV_DEVICE void issue_values(struct wgmma_state<d> &w, const unsigned char *v)
{
    uint32_t b = kv_wgmma_matrix(v, KEYS * 128);
    kv_wgmma_hold(outputs(w));
    kv_wgmma_hold(w.p);
    kv_wgmma_fence();
#pragma unroll
    for (int c = 0; c < KEYS / 16; c++)
        kv_wgmma_values<bf16>(outputs(w), w.p + c * 4, b + (uint32_t)(c * 16 * 128 >> 4));
    kv_wgmma_commit();
}

template <int d, bool bf16> KV_DEVICE void pack(struct wgmma_state<d> &w)
{
#pragma unroll
    for (int i = 0; i < KEYS / 4; i++)
        w.p[i] = kv_pack_half2<bf16>(w.x.s[0][i / 2][i % 2 * 2], w.x.s[0][i / 2][i % 2 * 2 + 1]);
}

/* Turns to issue go round; a warpgroup waits at barrier 1 + its number. */
KV_DEVICE void take_turn(int wg) { kv_named_sync(1 + wg, 2 * KV_WARPGROUP); }
template <int d> KV_DEVICE void pass_turn(int wg)
{
    kv_named_arrive(wg + 1 < groups_of(d) ? 2 + wg : 1, 2 * KV_WARPGROUP);
}

/* The thread's first pair. */
KV_DEVICE int pair_of(int wg)
{
    return wg * 64 + kv_thread() % KV_WARPGROUP / KV_WARP * 16 + kv_thread() % KV_WARP / 4;
}

/* Slots that the block reads, the first of them at a multiple of a tile; those that all its pairs see. */
struct wgmma_range {
    int begin, end, from, to;
};

/* The first tile's weights, in w.p. */
template <int d, bool bf16, bool entropy>
KV_DEVICE void first_tile(const struct kv_attend_args *a, struct wgmma_state<d> &w, struct wgmma_block<d> *block,
    const unsigned char *q, const unsigned char *keys, int wg, struct wgmma_range range)
{
    float shrink[1][2];
    if (wg == groups_of(d) - 1) pass_turn<d>(wg);
    kv_ring_wait_full(&block->keys, 0);
    take_turn(wg);
    issue_keys<d, bf16>(w, q, keys);
    if (range.begin + KEYS < range.end || wg < groups_of(d) - 1) pass_turn<d>(wg);
    kv_wgmma_wait<0>();
    kv_wgmma_hold(logits(w));
    kv_ring_release(&block->keys, 0);
    if (range.begin < range.from || range.begin + KEYS > range.to)
        kv_rows_hide(w.x, &block->attend, pair_of(wg), range.begin);
    kv_rows_raise<1, KEYS / 8, entropy>(w.rows, w.x, a->scale2, a->slack, shrink);
    kv_rows_weigh<1, KEYS / 8, entropy>(w.rows, w.x, a->scale2);
    pack<d, bf16>(w);
}

template <int d, bool bf16, bool entropy>
KV_DEVICE void multiply(const struct kv_attend_args *a, struct wgmma_block<d> *block, const unsigned char *q,
    const unsigned char *keys, const unsigned char *values, int wg, struct wgmma_range range)
{
    struct wgmma_state<d> w = {};
    int k = 0;
    w.rows.max[0][0] = w.rows.max[0][1] = KV_SOFTMAX_EMPTY;
    if (range.begin < range.end) {
        first_tile<d, bf16, entropy>(a, w, block, q, keys, wg, range);
        for (int j0 = range.begin + KEYS; j0 < range.end; j0 += KEYS) {
            float shrink[1][2];
            int v = k;
            k = kv_ring_next<stages_of(d)>(k);
            kv_ring_wait_full(&block->keys, k);
            take_turn(wg);
            issue_keys<d, bf16>(w, q, keys + kv_ring_stage(k) * tile_bytes(d));
            kv_ring_wait_full(&block->values, v);
            issue_values<d, bf16>(w, values + kv_ring_stage(v) * tile_bytes(d));
            if (j0 + KEYS < range.end || wg < groups_of(d) - 1) pass_turn<d>(wg);
            kv_wgmma_wait<1>();
            kv_wgmma_hold(logits(w));
            kv_ring_release(&block->keys, k);
            if (j0 < range.from || j0 + KEYS > range.to) kv_rows_hide(w.x, &block->attend, pair_of(wg), j0);
            bool changed = kv_rows_raise<1, KEYS / 8, entropy>(w.rows, w.x, a->scale2, a->slack, shrink);
            kv_rows_weigh<1, KEYS / 8, entropy>(w.rows, w.x, a->scale2);
            if (!entropy) kv_settle(w.rows.l[0][0] + w.rows.l[0][1]);
            kv_wgmma_wait<0>();
            kv_wgmma_hold(outputs(w));
            kv_wgmma_hold(w.p);
            kv_ring_release(&block->values, v);
            if (changed) kv_rows_shrink(w.o, shrink);
            pack<d, bf16>(w);
        }
        kv_ring_wait_full(&block->values, k);
        issue_values<d, bf16>(w, values + kv_ring_stage(k) * tile_bytes(d));
        kv_wgmma_wait<0>();
        kv_wgmma_hold(outputs(w));
    }
    kv_rows_finish<1, d / 8, entropy>(a, &block->attend, w.rows, w.o, pair_of(wg));
}

/* What the warps go by: one value of each. */
KV_DEVICE struct wgmma_range range_of(const struct kv_attend_block *b)
{
    struct kv_slots_range first = b->seen[0], last = b->seen[b->rows - 1];
    return (struct wgmma_range){ kv_uniform(first.lo / KEYS * KEYS), kv_uniform(last.hi), kv_uniform(last.lo),
        kv_uniform(first.hi) };
}

/* Before it knows what it reads, the block has its queries on their way. */
template <int d, bool bf16, bool entropy>
__global__ void __launch_bounds__(threads_of(d), 1) attend_wgmma_kernel(const __grid_constant__ kv_attend_args a)
{
#ifdef KV_HOPPER
    KV_DYNAMIC_SHARED(shared);
    unsigned char *keys = shared + queries_bytes(d), *values = keys + ring_bytes(d);
    struct wgmma_block<d> *block = (struct wgmma_block<d> *)(values + ring_bytes(d));
    const int wg = kv_uniform((int)threadIdx.x / KV_WARPGROUP) - 1;
    if ((int)threadIdx.x < stages_of(d)) {
        kv_mbarrier_init(&block->keys.full[threadIdx.x], 64);
        kv_mbarrier_init(&block->values.full[threadIdx.x], 64);
        kv_mbarrier_init(&block->keys.empty[threadIdx.x], groups_of(d) * 4);
        kv_mbarrier_init(&block->values.empty[threadIdx.x], groups_of(d) * 4);
    }
    if (wg < 0)
        kv_attend_prepare(&block->attend, &a, pairs_of(d), KV_WARPGROUP);
    else
        load_queries<d, bf16>(shared + wg * 64 * d * 2, &a, wg);
    __syncthreads();
    const struct wgmma_range range = range_of(&block->attend);
    if (wg < 0) {
        kv_registers_give<groups_of(d) == 2 ? 40 : 32>();
        bool v = threadIdx.x >= 64;
        fetch<d>(
            v ? &block->values : &block->keys, v ? values : keys, &block->attend.slots, v, range.begin, range.end);
    } else {
        kv_registers_take<groups_of(d) == 2 ? 232 : 160>();
        multiply<d, bf16, entropy>(&a, block, shared + wg * 64 * d * 2, keys, values, wg, range);
    }
#else
    (void)a;
    __trap();
#endif
}

/* ---- launch ---- */

template <int d, bool bf16, bool entropy> static void start(struct kv_cuda *cu, const struct kv_attend_args *a)
{
    size_t bytes = (size_t)(queries_bytes(d) + 2 * ring_bytes(d)) + sizeof(struct wgmma_block<d>) +
                   kv_attend_block_bytes(pairs_of(d), a->group) - sizeof(struct kv_attend_block);
    kv_cuda_allow_shared(cu, "attention", attend_wgmma_kernel<d, bf16, entropy>, bytes);
    kv_cuda_launch(cu, "attention", (unsigned)(a->n_tile * a->n_kv_head), threads_of(d), bytes,
        attend_wgmma_kernel<d, bf16, entropy>, *a);
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
    if (a->head_dim == 64)
        start_typed<64>(cu, a);
    else
        start_typed<128>(cu, a);
}

const struct kv_cuda_kind kv_cuda_attend_wgmma = { "attend", launch };

/* The machine code is there for Hopper alone; elsewhere, and in a plugin built without it, the kernel is empty. */
int kv_cuda_attend_wgmma_pairs(const struct kv_cuda *cu, int head_dim)
{
    struct cudaFuncAttributes attributes;
    if (cu->sm != 90 || cu->newest < 90 || (head_dim != 64 && head_dim != 128)) return 0;
    if (cudaFuncGetAttributes(&attributes, attend_wgmma_kernel<128, true, true>) != cudaSuccess) return 0;
    return attributes.ptxVersion >= 90 ? pairs_of(head_dim) : 0;
}
