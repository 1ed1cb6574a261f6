/* Column sums on Hopper (sm_90a): f16 and bf16 caches, head_dim 64 and 128. What is computed, and in which order, is
 * told in columns.cu.
 *
 * A block owns 192 keys of one KV head; three warpgroups have 64 of them each and multiply keys x rows with wgmma, both
 * from shared memory, 128 rows of a head at a time; the first fetches rows, with their lse, into a ring of 4 tiles. A
 * warpgroup multiplies a tile, makes weights of the products and adds them up, one after the other: what it waits for
 * the other two use. Each thread keeps the sums of two keys over a fourth of the rows.
 *
 * Work: 2 n_visible d flops and an exponential a (row, head, key). A block an SM, 512 threads with 32 and 160 registers,
 * 178 KiB (90 at 64). Counted in the machine code, clocks of an SM for a tile of rows, each row alone:
 *
 *                       d = 128                 d = 64
 *   tensor cores        1536                    768
 *   shared memory       1152 + 256 filled       576 + 128
 *   ex2, 16 a clock     1536                    1248
 *   issue, a quarter    3 x 306 + 130 fetching  3 x 382 + 110
 *
 * Attention takes 3072 and 1536 for as many: not run on a GPU; predicted: 0.45 of its time at 128, 0.6 at 64. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/ring.cuh"

#define KEYS    192
#define ROWS    128 /* a tile */
#define GROUPS  3   /* warpgroups that multiply */
#define STAGES  4
#define THREADS ((GROUPS + 1) * KV_WARPGROUP)

#define SHAPE static __host__ __device__ constexpr int
SHAPE row_bytes(int d) { return d * 2; }
SHAPE keys_bytes(int d) { return KEYS * row_bytes(d); }
SHAPE tile_bytes(int d) { return ROWS * row_bytes(d); }
SHAPE lse_bytes(void) { return ROWS * (int)sizeof(float); }
SHAPE shared_bytes(int d)
{
    return keys_bytes(d) + STAGES * (tile_bytes(d) + lse_bytes()) + (int)sizeof(struct kv_ring<STAGES>);
}

/* ---- kernels ---- */

/* Shared memory: keys, queries, lse, the ring's barriers. */
struct columns_shared {
    unsigned char *keys, *tiles, *lse;
    struct kv_ring<STAGES> *ring;
};

template <int d> KV_DEVICE struct columns_shared shared_of(unsigned char *shared)
{
    struct columns_shared s = { shared, shared + keys_bytes(d), NULL, NULL };
    s.lse = s.tiles + STAGES * tile_bytes(d);
    s.ring = (struct kv_ring<STAGES> *)(s.lse + STAGES * lse_bytes());
    return s;
}

/* Where a block is, and how far it goes. */
struct columns_work {
    struct kv_columns_step at;
    int last_head;
    struct kv_columns_rows rows;
};

/* Asks for a tile of queries; those from `rows` on are zeros. Every 16 rows a thread has the same bytes of a row: of a
 * full tile a copy is one instruction. */
template <int d> KV_DEVICE void load_tile(unsigned char *to, const char *from, int rows)
{
    const int chunks = d / 8, row = (int)threadIdx.x / chunks, chunk = (int)threadIdx.x % chunks;
    from += row * (d * 2) + chunk * 16;
    if (rows >= ROWS) {
#pragma unroll
        for (int part = 0; part < 16; part += KV_WARPGROUP / chunks) {
            unsigned char *at = to + kv_panel_at(row + part, chunk, ROWS);
#pragma unroll
            for (int i = 0; i < ROWS; i += 16) kv_cp_async16(at + i * 128, from + (i + part) * (d * 2), true);
        }
        return;
    }
#pragma unroll 1
    for (int i = 0; i < ROWS; i += KV_WARPGROUP / chunks)
        kv_cp_async16(to + kv_panel_at(row + i, chunk, ROWS), from + i * (d * 2), row + i < rows);
}

template <int d>
KV_DEVICE void fetch(const struct kv_columns_args *a, const struct columns_shared *s, struct columns_work w)
{
    int place = KV_RING_FETCH, before = -1;
    for (; w.at.head < w.last_head; kv_columns_next(&w.at, &w.rows, ROWS)) {
        const size_t first = (size_t)w.at.head * (size_t)a->n_row + (size_t)w.at.row;
        const int stage = kv_ring_stage(place);
        kv_ring_wait_empty(s->ring, place);
        load_tile<d>(
            s->tiles + stage * tile_bytes(d), (const char *)a->half + first * (d * 2), w.rows.end - w.at.row);
        kv_columns_load_lse(s->lse + stage * lse_bytes(), a, w.at, ROWS, (int)threadIdx.x, w.rows.end);
        kv_cp_async_commit();
        if (before >= 0) kv_ring_hand_over<1>(s->ring, before);
        before = place;
        place = kv_ring_next<STAGES>(place);
    }
    if (before >= 0) kv_ring_hand_over<0>(s->ring, before);
}

/* What a warpgroup's thread has in registers: sums of keys lane/4 and 8 further, of its warp's 16, and the rows that
 * see them. */
struct columns_own {
    float sum[2];
    struct kv_slots_range seen[2];
    int first; /* slot of the first key */
};

/* The warpgroup's 64 keys; those from the last slot on are zeros. */
template <int d>
KV_DEVICE struct columns_own load_keys(
    unsigned char *to, const struct kv_columns_args *a, const struct kv_slots *s, int j0)
{
    const int chunks = d / 8, thread = (int)threadIdx.x % KV_WARPGROUP;
    struct columns_own own = {};
    for (int i = thread; i < 64 * chunks; i += KV_WARPGROUP) {
        int j = j0 + i / chunks;
        const char *from = (const char *)kv_slots_k(s, j < s->n ? j : s->n - 1) + i % chunks * 16;
        kv_cp_async16(to + kv_panel_at(i / chunks, i % chunks, 64), from, j < s->n);
    }
    kv_cp_async_commit();
    own.first = j0 + thread / KV_WARP * 16 + thread % KV_WARP / 4;
    for (int r = 0; r < 2; r++) {
        int j = own.first + r * 8;
        own.seen[r] = kv_columns_seen(a, kv_slots_pos(s, j < s->n ? j : s->n - 1));
    }
    kv_cp_async_wait<0>();
    kv_proxy_fence();
    return own;
}

/* x = keys x rows of the tile at `place`; under way on return. */
template <int d, bool bf16>
KV_DEVICE void issue(float (&x)[ROWS / 2], const unsigned char *keys, const struct columns_shared *s, int place)
{
    uint32_t a = kv_wgmma_matrix(keys, 16);
    uint32_t b = kv_wgmma_matrix(s->tiles + kv_ring_stage(place) * tile_bytes(d), 16);
    kv_wgmma_hold(x);
    kv_wgmma_fence();
#pragma unroll
    for (int c = 0; c < d / 16; c++)
        kv_wgmma_keys<bf16>(x, a + kv_panel_step(c, 64), b + kv_panel_step(c, ROWS), c != 0);
    kv_wgmma_commit();
}

/* Adds a tile's weights to the sums; row0: its first row. At head_dim 64 ex2 is what all wait for, so where nothing is
 * hidden 3 of 16 are made of FFMAs. */
template <int d, bool ragged>
KV_DEVICE void add_rows(
    struct columns_own *own, const float (&x)[ROWS / 2], float scale2, const float *lse2, int row0)
{
    const int lane = kv_thread() % 4 * 2;
    float sum[2] = {};
#pragma unroll
    for (int n = 0; n < ROWS / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int row = n * 8 + lane + e;
            float less = lse2[row];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float shifted = fmaf(x[n * 4 + r * 2 + e], scale2, -less);
                if (d == 64 && !ragged && n % 5 == 3) {
                    struct kv_power p = kv_exp2_by_fma(shifted);
                    sum[r] = fmaf(p.part, p.scale, sum[r]);
                } else if (!ragged || kv_columns_in(own->seen[r], row0 + row)) {
                    sum[r] += kv_exp2(shifted);
                }
            }
        }
    own->sum[0] += sum[0];
    own->sum[1] += sum[1];
}

/* A head's sums go out, and begin anew. */
KV_DEVICE void put_sums(struct columns_own *own, float *sums, int n)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = own->sum[r];
        sum += __shfl_xor_sync(KV_ALL, sum, 1);
        sum += __shfl_xor_sync(KV_ALL, sum, 2);
        if (kv_thread() % 4 == 0 && own->first + r * 8 < n) sums[own->first + r * 8] += sum;
        own->sum[r] = 0;
    }
}

/* Takes a tile whose products are there, and steps on. */
template <int d>
KV_DEVICE void take(const float (&x)[ROWS / 2], const struct kv_columns_args *a, const struct columns_shared *s,
    struct columns_own *own, struct columns_work *w, int place, int n)
{
    const struct kv_columns_step at = w->at;
    const float *lse2 = (const float *)(s->lse + kv_ring_stage(place) * lse_bytes());
    if (kv_columns_ragged(at, &w->rows, ROWS))
        add_rows<d, true>(own, x, a->scale2, lse2, at.row);
    else
        add_rows<d, false>(own, x, a->scale2, lse2, at.row);
    __syncwarp(); /* all lanes have read the lse */
    kv_ring_release(s->ring, place);
    kv_columns_next(&w->at, &w->rows, ROWS);
    if (w->at.head != at.head) put_sums(own, a->out + (size_t)at.head * a->stride, n);
}

/* While the products of a tile become weights, those of the other warpgroups are under way. */
template <int d, bool bf16>
KV_DEVICE void multiply(const struct kv_columns_args *a, const struct columns_shared *s, struct columns_work w,
    const struct kv_slots *slots, int j0)
{
    const int wg = kv_uniform((int)threadIdx.x / KV_WARPGROUP) - 1, n = slots->n;
    unsigned char *keys = s->keys + wg * 64 * row_bytes(d);
    struct columns_own own = load_keys<d>(keys, a, slots, j0 + wg * 64);
    kv_named_sync(1 + wg, KV_WARPGROUP);
    for (int place = 0; w.at.head < w.last_head; place = kv_ring_next<STAGES>(place)) {
        float x[ROWS / 2];
        kv_ring_wait_full(s->ring, place);
        issue<d, bf16>(x, keys, s, place);
        kv_wgmma_wait<0>();
        kv_wgmma_hold(x);
        take<d>(x, a, s, &own, &w, place, n);
    }
}

template <int d, bool bf16>
__global__ void __launch_bounds__(THREADS, 1) columns_wgmma_kernel(const __grid_constant__ kv_columns_args a)
{
#ifdef KV_HOPPER
    KV_DYNAMIC_SHARED(shared);
    const struct columns_shared s = shared_of<d>(shared);
    const struct kv_columns_place place = kv_columns_place_of(&a);
    const struct kv_slots slots = kv_slots_of(a.seq, place.g, a.type, d);
    const int j0 = place.tile * KEYS;
    if (j0 >= slots.n || kv_columns_short(&a, slots.n, place.g, true)) return;
    const int last = (j0 + KEYS < slots.n ? j0 + KEYS : slots.n) - 1;
    const struct kv_columns_rows rows =
        kv_columns_rows_of(&a, kv_slots_pos(&slots, j0), kv_slots_pos(&slots, last));
    if (rows.begin >= rows.end) return;
    const struct columns_work work = { { kv_uniform(place.head), kv_uniform(rows.begin) },
        kv_uniform(place.last_head),
        { kv_uniform(rows.begin), kv_uniform(rows.end), kv_uniform(rows.all_from), kv_uniform(rows.all_to) } };
    if (threadIdx.x < STAGES) {
        kv_mbarrier_init(&s.ring->full[threadIdx.x], KV_WARPGROUP);
        kv_mbarrier_init(&s.ring->empty[threadIdx.x], GROUPS * 4);
    }
    __syncthreads();
    if (threadIdx.x < KV_WARPGROUP) {
        kv_registers_give<32>();
        fetch<d>(&a, &s, work);
    } else {
        kv_registers_take<160>();
        multiply<d, bf16>(&a, &s, work, &slots, j0);
    }
#else
    (void)a;
    __trap();
#endif
}

/* ---- launch ---- */

template <int d, bool bf16> static void start(struct kv_cuda *cu, const struct kv_columns_args *a, unsigned blocks)
{
    kv_cuda_allow_shared(cu, "a column sum", columns_wgmma_kernel<d, bf16>, shared_bytes(d));
    kv_cuda_launch(cu, "a column sum", blocks, THREADS, shared_bytes(d), columns_wgmma_kernel<d, bf16>, *a);
}

void kv_cuda_columns_wgmma(struct kv_cuda *cu, const struct kv_columns_args *a, unsigned blocks)
{
    bool bf16 = a->type == KV_TYPE_BF16;
    if (a->head_dim == 64)
        bf16 ? start<64, true>(cu, a, blocks) : start<64, false>(cu, a, blocks);
    else
        bf16 ? start<128, true>(cu, a, blocks) : start<128, false>(cu, a, blocks);
}

int kv_cuda_columns_wgmma_keys(const struct kv_cuda *cu, int head_dim)
{
    return kv_cuda_attend_wgmma_pairs(cu, head_dim) ? KEYS : 0;
}
