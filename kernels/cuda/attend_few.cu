/* Attention of a few query rows (decode): out, lse and entropy of sequences with 1 to 7 rows. Equations and shapes:
 * kernels/cpu/attend.c.
 *
 * The query heads of one KV head share its keys and values: a tile is up to 4 or 8 pairs (row, head of the group), so each
 * is read once for all of them (again, from L2, where pairs are more). A KV head's slots are cut into pieces, one block
 * each; the grid is fixed by what may come (so that a graph can be kept), the pieces by what is there: a block whose piece
 * is empty leaves at once. Parts (m, l, u, out) go to scratch; the block that comes last by an integer ticket joins them in
 * the order of pieces, a dozen reads at a time, so the bits depend on lengths and the grid alone, not on who came when.
 *
 * Joined with what comes before it (fuse.cu; where a tile has all pairs of its KV head), each block turns its queries as
 * it loads them, while it looks up lengths and positions; the block whose piece holds the slots of the rows themselves
 * makes their keys, and puts them into the cache before it reads them there. Nothing that others of the launch read may
 * change before they have read it: lengths are moved by the block that, by a ticket, is the last to have seen them, and
 * q and k are left turned by the one that joins the tile's parts. The bits are those of the single ops.
 *
 * A warp takes `turns` x 32 / lanes slots at a time: `lanes` of them, with 16 bytes each, have one slot's row. Lanes copy
 * what they themselves will read (cp.async, two stages), so the ring needs no barrier. The dot products of all slots and
 * pairs of a lane group are added by one transposing butterfly, after which a lane holds the logits of one pair; weights
 * come back by shuffles. q is f32; K and V are exact; sums are f32.
 *
 * Bytes: 2 n d sizeof(type) a KV head, once. Bound: memory. In flight: 8 warps x 4 KB x 2 blocks = 64 KB an SM while as
 * much is worked on, where 23 KB would do (700 ns x 4.3 TB/s / 132 SMs). d = 128, bf16, 4 pairs: some 450 instructions
 * a warp and 4 KB, half of what 132 SMs can issue meanwhile: predicted 85 to 90 % of a copy at 32k and more; at 8k (33 MB,
 * 8 us) 4 us for lengths, positions and the join weigh a third. 0 spills. Blocks of an SM (sm_80, sm_90): 2 at 4 pairs, of
 * 128 registers and 75 KB, where rows have up to 256 bytes; 1 at 8 pairs, of up to 255 registers, and at 4 pairs of
 * longer rows, of 160. Not run on a GPU. */
#include "kernels/cuda/attend_few.cuh"
#include "kernels/cuda/attend_few.h"
#include "kernels/cuda/turn.cuh"

#include <string.h>

#define WARPS        8
#define THREADS      (WARPS * KV_WARP)
#define STAGES       2
#define LEAST        128 /* slots of a piece at least */
#define PIECES_MAX   128
#define AT_ONCE_MOST 2 /* blocks of an SM that pieces are for: what is in flight then suffices */

/* ---- kernels ---- */

/* One part of a tile: states [pairs] of (m, l, u), then out [pairs][d], not normalised. */
static __host__ __device__ size_t part_floats(int pairs, int d) { return (size_t)pairs * (size_t)(d + 4); }

KV_DEVICE int few_pos(const struct few_work *w, int j)
{
    return j < w->old ? kv_slots_pos(&w->s, j) : w->seq.row_pos[j - w->old];
}

/* First of slots [lo, lo + n) whose position is not below x, by a whole warp: 32 probes at a time. */
KV_DEVICE int few_lower(const struct few_work *w, int lo, int n, int x)
{
    int lane = (int)threadIdx.x % KV_WARP;
    while (n > 0) {
        int step = (n + KV_WARP - 1) / KV_WARP, begin = lane * step;
        int last = (begin + step < n ? begin + step : n) - 1;
        bool below = begin < n && few_pos(w, lo + last) < x;
        int c = __popc(__ballot_sync(KV_ALL, below)) * step;
        if (c >= n) return lo + n;
        lo += c;
        n = (n - c < step ? n - c : step) - 1;
    }
    return lo;
}

/* What a row sees. A decoding row is the newest token, and sees to the end. */
KV_DEVICE struct kv_slots_range few_seen(const struct few_work *w, int pos, int window)
{
    struct kv_slots_range r = { 0, w->s.n };
    if (w->s.n && few_pos(w, w->s.n - 1) > pos) r.hi = few_lower(w, 0, w->s.n, pos + 1);
    if (window && pos >= window) r.lo = few_lower(w, 0, r.hi, pos - window + 1);
    return r;
}

/* Where a pair's head lies in q and out, in heads. */
KV_DEVICE size_t few_head(const struct kv_few *a, int first, int g, int pair)
{
    return ((size_t)first + (size_t)(pair / a->group)) * (size_t)a->n_head +
           (size_t)(g * a->group + pair % a->group);
}

/* What lies in the staging buffer: it was there before the first kernel of the pass began. */
KV_DEVICE void few_locate(const struct kv_few *a, struct few_work *w)
{
    int tile = (int)blockIdx.y;
    w->tile = (size_t)tile;
    w->pair = tile % a->tiles * a->pairs, tile /= a->tiles;
    w->g = tile % a->n_kv_head;
    const struct kv_few_seq *few = a->few + tile / a->n_kv_head;
    w->first = few->first;
    w->seq = a->seq[few->seq];
    w->pairs = min(w->seq.n_row * a->group - w->pair, a->pairs);
}

/* Whether the tail has room for the sequence's rows in all heads; by a whole warp. */
KV_DEVICE bool few_room(const struct kv_few *a, const struct kv_seq *seq)
{
    int heads = seq->tail.len_stride ? a->n_kv_head : 1, lane = (int)threadIdx.x % KV_WARP;
    bool room = true;
    for (int g = lane; g < heads; g += KV_WARP)
        room = room && seq->n_row <= seq->tail.cap - kv_span_len(&seq->tail, g);
    return __all_sync(KV_ALL, room);
}

/* The block's piece; false: it is empty. lo, hi [pairs] shared: what each pair sees. turned [WARPS] shared: the queries of
 * each pair, where they are to be turned. Warp i has pair i. */
KV_DEVICE bool few_begin(
    const struct kv_few *a, struct few_work *w, int *lo, int *hi, float (*turned)[KV_CUDA_MAX_DIM])
{
    int warp = (int)threadIdx.x / KV_WARP, pair = w->pair + min(warp, w->pairs - 1), least = 0x7fffffff, most = 0;
    struct kv_turn_raw raw;
    bool turns = a->joined && warp < w->pairs;
    w->s = kv_slots_of(&w->seq, w->g, a->type, a->head_dim);
    w->old = w->s.n;
    if (turns) kv_turn_read(&a->turn, 0, w->first + pair / a->group, w->g * a->group + pair % a->group, &raw);
    if (a->joined && few_room(a, &w->seq)) w->s.n += w->seq.n_row;
    if (warp < a->pairs) {
        struct kv_slots_range seen = few_seen(w, w->seq.row_pos[pair / a->group], a->window);
        if (threadIdx.x % KV_WARP == 0) lo[warp] = seen.lo, hi[warp] = seen.hi;
    }
    if (turns) kv_turn_row(&a->turn, 0, &raw, turned[warp]);
    __syncthreads();
    for (int i = 0; i < a->pairs; i++) {
        least = min(least, lo[i]);
        most = max(most, hi[i]);
    }
    int n = most > least ? most - least : 0, piece = max((n + a->pieces - 1) / a->pieces, LEAST);
    piece = (piece + KV_WARP - 1) / KV_WARP * KV_WARP;
    w->part = (int)blockIdx.x;
    w->parts = n ? (n + piece - 1) / piece : 1;
    w->begin = least + w->part * piece;
    w->end = min(w->begin + piece, least + n);
    w->add = w->part ? max(w->begin, w->old) : w->old;
    w->added = w->part == w->parts - 1 ? w->s.n : min(w->end, w->s.n);
    return w->part < w->parts;
}

/* Joined: by one warp of each block that has seen all lengths; the first lane learns how many blocks have. */
KV_DEVICE unsigned few_arrive(const struct kv_few *a)
{
    unsigned *ticket = a->ticket + KV_CUDA_TICKETS, came = 0;
    if (threadIdx.x % KV_WARP == 0) {
        came = kv_ticket(ticket) + 1;
        if (came == gridDim.x * gridDim.y) *ticket = 0;
    }
    return came;
}

/* By the same warp: the last one that came moves the lengths. */
KV_DEVICE void few_lengths(const struct kv_few *a, unsigned came)
{
    int lane = (int)threadIdx.x % KV_WARP, first = a->n_few;
    if (__shfl_sync(KV_ALL, came, 0) != gridDim.x * gridDim.y) return;
    __syncwarp();
    for (int i = lane; i < a->n_few; i += KV_WARP) {
        const struct kv_seq *seq = a->seq + a->few[i].seq;
        if (kv_span_full(&seq->tail, a->n_kv_head, seq->n_row) < 0)
            kv_span_grow(&seq->tail, a->n_kv_head, seq->n_row, 0, 1);
        else
            first = min(first, i);
    }
    for (int step = KV_WARP / 2; step; step /= 2) first = min(first, __shfl_xor_sync(KV_ALL, first, step));
    if (lane || first == a->n_few) return;
    const struct kv_seq *seq = a->seq + a->few[first].seq;
    kv_span_refuse(&seq->tail, kv_span_full(&seq->tail, a->n_kv_head, seq->n_row), seq->n_row, a->fault);
}

/* The row whose key this warp makes: the last warps do, for the first ones have queries; -1: none. */
KV_DEVICE int few_key_row(const struct few_work *w)
{
    int row = WARPS - 1 - (int)threadIdx.x / KV_WARP;
    return row < w->seq.n_row ? row : -1;
}

/* Joined: makes the keys of those rows whose slots lie in the block's piece, and puts them and their values into the tail;
 * nobody else in this launch reads these slots. room: the warp's, of head_dim. */
KV_DEVICE void few_append(const struct kv_few *a, const struct few_work *w, float *room)
{
    int row = few_key_row(w), slot = w->old + row, lane = (int)threadIdx.x % KV_WARP, d = a->head_dim;
    if (row < 0 || slot < w->add || slot >= w->added) return;
    const struct kv_span *tail = &w->seq.tail;
    const float *v = a->v + ((size_t)(w->first + row) * (size_t)a->n_kv_head + (size_t)w->g) * (size_t)d;
    struct kv_turn_raw raw;
    float value[KV_TURN_LANE];
    kv_turn_read(&a->turn, 1, w->first + row, w->g, &raw);
#pragma unroll
    for (int u = 0; u < KV_TURN_LANE; u++)
        if (lane + u * KV_WARP < d) value[u] = v[lane + u * KV_WARP];
    kv_turn_row(&a->turn, 1, &raw, room);
    void *k_to = (void *)kv_slots_k(&w->s, slot), *v_to = (void *)kv_slots_v(&w->s, slot);
#pragma unroll
    for (int u = 0; u < KV_TURN_LANE; u++) {
        int c = lane + u * KV_WARP;
        if (c < d) kv_store_f32(a->type, k_to, (size_t)c, room[c]);
        if (c < d) kv_store_f32(a->type, v_to, (size_t)c, value[u]);
    }
    if (!lane && (!w->g || tail->pos_stride)) kv_span_pos(tail, w->g)[slot - w->s.n_prefix] = w->seq.row_pos[row];
}

/* Joined: leaves queries and keys as rope would. By the block that finds all others of the tile done: they have read them
 * as they were. */
KV_DEVICE void few_write(const struct kv_few *a, const struct few_work *w, float (*turned)[KV_CUDA_MAX_DIM])
{
    int warp = (int)threadIdx.x / KV_WARP, row = few_key_row(w);
    if (warp < w->pairs)
        kv_turn_write(&a->turn, 0, w->first + warp / a->group, w->g * a->group + warp % a->group, turned[warp]);
    if (row < 0) return;
    struct kv_turn_raw raw;
    kv_turn_read(&a->turn, 1, w->first + row, w->g, &raw);
    __syncwarp(); /* the query is read */
    kv_turn_row(&a->turn, 1, &raw, turned[warp]);
    kv_turn_write(&a->turn, 1, w->first + row, w->g, turned[warp]);
}

/* Of a part in shared memory, or in scratch as other blocks wrote it. */
template <bool scratch> KV_DEVICE float4 few_load(const float4 *p) { return scratch ? __ldcg(p) : *p; }

/* Joins the states of n parts of a pair, the i-th at state[i * stride]; by a warp. weight [n] shared: what each part's out
 * then weighs. */
template <bool scratch>
KV_DEVICE struct kv_softmax few_join_states(const float4 *state, size_t stride, int n, float *weight)
{
    constexpr int own = scratch ? PIECES_MAX / KV_WARP : 1;
    struct kv_softmax all = kv_softmax_init();
    int lane = (int)threadIdx.x % KV_WARP;
    float4 part[own];
#pragma unroll
    for (int u = 0; u < own; u++) {
        int i = lane + u * KV_WARP;
        part[u] = i < n ? few_load<scratch>(state + (size_t)i * stride) : make_float4(KV_SOFTMAX_EMPTY, 0, 0, 0);
        all.m = fmaxf(all.m, part[u].x);
    }
    all.m = kv_warp_max(all.m);
#pragma unroll
    for (int u = 0; u < own; u++) {
        struct kv_softmax one = { part[u].x, part[u].y, part[u].z };
        float shrink = kv_softmax_shift(&one, all.m);
        if (lane + u * KV_WARP >= n) continue;
        weight[lane + u * KV_WARP] = shrink;
        all.l += one.l;
        all.u += one.u;
    }
    all.l = kv_warp_sum(all.l);
    all.u = kv_warp_sum(all.u);
    return all;
}

/* Joins n parts of a tile in their order, part i at `part` + i * stride: to another part, or, finished, to where the rows'
 * results go. weight [pairs][PIECES_MAX] shared. By all threads of the block. */
template <bool scratch>
KV_DEVICE void few_join(const struct kv_few *a, const struct few_work *w, const float *part, size_t stride, int n,
    float *to, float *weight)
{
    constexpr int at_once = scratch ? 12 : WARPS; /* parts whose reads do not wait for one another */
    __shared__ float norm[WARPS];
    int warp = (int)threadIdx.x / KV_WARP, quads = a->head_dim / 4;
    if (warp < w->pairs) {
        struct kv_softmax all =
            few_join_states<scratch>((const float4 *)part + warp, stride / 4, n, weight + warp * PIECES_MAX);
        size_t head = few_head(a, w->first, w->g, w->pair + warp);
        if (threadIdx.x % KV_WARP == 0) {
            norm[warp] = to ? 1 : all.l == 0 ? 0 : 1 / all.l;
            if (to) to[4 * warp] = all.m, to[4 * warp + 1] = all.l, to[4 * warp + 2] = all.u;
            if (!to && a->lse) a->lse[head] = kv_softmax_lse(all);
            if (!to && a->entropy) a->entropy[head] = kv_softmax_entropy(all);
        }
    }
    __syncthreads();
    for (int item = (int)threadIdx.x; item < w->pairs * quads; item += THREADS) {
        const float4 *from = (const float4 *)part + a->pairs + item; /* out [pairs][d] */
        const int p = item / quads;
        float4 sum = make_float4(0, 0, 0, 0), x[at_once];
        for (int i = 0; i < n; i += at_once) {
#pragma unroll
            for (int u = 0; u < at_once; u++)
                if (i + u < n) x[u] = few_load<scratch>(from + (size_t)(i + u) * (stride / 4));
#pragma unroll
            for (int u = 0; u < at_once; u++) {
                if (i + u >= n) break;
                float f = weight[p * PIECES_MAX + i + u];
                sum.x = fmaf(f, x[u].x, sum.x), sum.y = fmaf(f, x[u].y, sum.y);
                sum.z = fmaf(f, x[u].z, sum.z), sum.w = fmaf(f, x[u].w, sum.w);
            }
        }
        size_t head = few_head(a, w->first, w->g, w->pair + p);
        float *out = to ? to + 4 * (a->pairs + item) : a->out + head * (size_t)a->head_dim + item % quads * 4;
        out[0] = sum.x * norm[p], out[1] = sum.y * norm[p], out[2] = sum.z * norm[p], out[3] = sum.w * norm[p];
    }
}

/* Whether all other parts of the tile are written; the ticket is as it was when they are. */
KV_DEVICE bool few_last(const struct kv_few *a, const struct few_work *w)
{
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned *ticket = a->ticket + w->tile;
        last = kv_ticket(ticket) == (unsigned)w->parts - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    return last;
}

template <class S>
__global__ void __launch_bounds__(THREADS, S::pairs == 4 && S::lanes < 32 ? 2 : 1)
    attend_few_kernel(struct kv_few a)
{
    KV_DYNAMIC_SHARED(shared);
    __shared__ float weight[S::pairs * PIECES_MAX], turned[WARPS][KV_CUDA_MAX_DIM];
    __shared__ int lo[S::pairs], hi[S::pairs];
    const int warp = (int)threadIdx.x / KV_WARP, lane = (int)threadIdx.x % KV_WARP, mine = lane % S::lanes;
    struct few_work w;
    struct few_lane<S> me;
    kv_pdl_release();
    few_locate(&a, &w);
    kv_pdl_wait();
    if (w.pairs <= 0) return; /* of a sequence with fewer rows; not where all are joined */
    bool works = few_begin(&a, &w, lo, hi, turned);

    unsigned char *ring = shared + (size_t)warp * STAGES * S::stage;
    int first = w.begin + warp * S::slots, i = 0;
    if (works && first < w.end) few_ask<S, FEW_OLD>(&w, first, ring);
    unsigned came = a.joined && warp == 0 ? few_arrive(&a) : 0;
    if (!works) {
        if (a.joined && warp == 0) few_lengths(&a, came);
        return;
    }
    if (w.add < w.added) { /* the whole block */
        few_append(&a, &w, (float *)(ring + S::stage));
        __syncthreads();
        if (first < w.end) few_ask<S, FEW_NEW>(&w, first, ring);
    }
    kv_cp_async_commit();
    me.state = kv_softmax_init();
    me.lo = lo[mine / S::per_pair], me.hi = min(hi[mine / S::per_pair], w.end);
#pragma unroll
    for (int p = 0; p < S::pairs; p++) {
        int pair = min(p, w.pairs - 1);
        const float *q =
            a.joined ? turned[pair] : a.q + few_head(&a, w.first, w.g, w.pair + pair) * (size_t)a.head_dim;
#pragma unroll
        for (int c = 0; c < S::channels; c++) {
            int at = mine * S::channels + c;
            me.q[p][c] = at < a.head_dim ? q[at] * a.scale : 0;
            me.acc[p][c] = 0;
        }
    }
    if (a.joined && warp == 0) few_lengths(&a, came); /* the first slots are still on their way */
    for (int j = first; j < w.end; j += WARPS * S::slots, i ^= 1) {
        if (j + WARPS * S::slots < w.end) few_ask<S, FEW_ALL>(&w, j + WARPS * S::slots, ring + (i ^ 1) * S::stage);
        kv_cp_async_commit();
        kv_cp_async_wait<1>();
        few_take<S>(&me, ring + i * S::stage, j);
    }
    kv_cp_async_wait<0>();
    few_join_warp<S>(&me);

    __syncthreads(); /* the rings are free: each warp's part lies there now */
    size_t floats = part_floats(S::pairs, a.head_dim);
    float *part = (float *)shared;
    few_put<S>(&me, part + (size_t)warp * floats, a.head_dim);
    __syncthreads();
    if (a.joined && w.parts == 1) few_write(&a, &w, turned);
    float *parts = a.part + w.tile * (size_t)a.pieces * floats;
    few_join<false>(&a, &w, part, floats, WARPS, w.parts > 1 ? parts + (size_t)w.part * floats : NULL, weight);
    if (w.parts == 1 || !few_last(&a, &w)) return;
    if (a.joined) few_write(&a, &w, turned);
    few_join<true>(&a, &w, parts, floats, w.parts, NULL, weight);
}

/* ---- launch ---- */

/* What the kernel of a shape does: with no pieces yet, tells how many of its blocks an SM takes at once; else starts. */
template <class S> static int start(struct kv_cuda *cu, const struct kv_few *a)
{
    static int at_once;
    const size_t parts = WARPS * part_floats(S::pairs, S::lanes * S::channels) * sizeof(float);
    const size_t bytes = kv_max(parts, (size_t)WARPS * STAGES * S::stage);
    dim3 grid((unsigned)a->pieces, (unsigned)(a->n_few * a->n_kv_head * a->tiles));
    if (!at_once || a->pieces) kv_cuda_allow_shared(cu, "attention of few rows", attend_few_kernel<S>, bytes);
    if (!at_once)
        kv_cuda_ok(cu, "attention of few rows",
            cudaOccupancyMaxActiveBlocksPerMultiprocessor(&at_once, attend_few_kernel<S>, THREADS, bytes));
    if (a->pieces)
        kv_cuda_launch_chained(cu, "attention of few rows", grid, THREADS, bytes, attend_few_kernel<S>, *a);
    return at_once;
}

template <int type, int lanes> static int start_pairs(struct kv_cuda *cu, const struct kv_few *a)
{
    return a->pairs == 4 ? start<few_shape<type, lanes, 4>>(cu, a) : start<few_shape<type, lanes, 8>>(cu, a);
}

template <int type> static int start_type(struct kv_cuda *cu, const struct kv_few *a)
{
    size_t row = (size_t)a->head_dim * (type == KV_TYPE_F32 ? 4 : 2);
    if (row <= 128) return start_pairs<type, 8>(cu, a);
    if (row <= 256) return start_pairs<type, 16>(cu, a);
    return start_pairs<type, 32>(cu, a);
}

static int start_any(struct kv_cuda *cu, const struct kv_few *a)
{
    if (a->type == KV_TYPE_F16) return start_type<KV_TYPE_F16>(cu, a);
    if (a->type == KV_TYPE_BF16) return start_type<KV_TYPE_BF16>(cu, a);
    return start_type<KV_TYPE_F32>(cu, a);
}

static void launch(struct kv_cuda *cu, const void *args) { start_any(cu, (const struct kv_few *)args); }

const struct kv_cuda_kind kv_cuda_few = { "attend (few rows)", launch };

/* ---- what attend.cu asks for ---- */

static bool aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

/* Shared memory that rows beyond 256 bytes want; GPUs that have less of it take them as tiles. */
#define FEW_WIDE_BYTES ((size_t)144 << 10)

bool kv_cuda_attend_few_takes(const struct kv_cuda *cu, const struct kv_attend *a, int s)
{
    size_t row = (size_t)a->head_dim * (a->type == KV_TYPE_F32 ? 4 : 2);
    bool roomy = row <= 256 || cu->prop.sharedMemPerBlockOptin >= FEW_WIDE_BYTES;
    const struct kv_span *prefix = &a->seq[s].prefix, *tail = &a->seq[s].tail;
    return cu->precision != KV_PRECISION_F32 && row % 16 == 0 && row <= KV_WARP * 16 && roomy && a->seq[s].n_row &&
           a->seq[s].n_row < KV_ATTEND_FEW && aligned(prefix->k) && aligned(prefix->v) && aligned(tail->k) &&
           aligned(tail->v);
}

/* Pieces of a KV head: as many blocks as the GPU takes at once while there are 4 or more for each tile; where tiles are
 * many, more that come one after another, so that the last ones leave few SMs idle. */
static int pieces_of(struct kv_cuda *cu, const struct kv_few *a)
{
    int tiles = a->n_few * a->n_kv_head * a->tiles, at_once = start_any(cu, a);
    int room = (at_once < AT_ONCE_MOST ? at_once : AT_ONCE_MOST) * cu->prop.multiProcessorCount,
        pieces = room / tiles;
    if (tiles > KV_CUDA_TICKETS) return 1;
    if (pieces < 4) pieces = 4 * room / tiles;
    return pieces < 1 ? 1 : pieces > PIECES_MAX ? PIECES_MAX : pieces;
}

/* Parts are at most 4 times the blocks that run at once, of 8 pairs. */
size_t kv_cuda_attend_few_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    size_t blocks = 4 * AT_ONCE_MOST * (size_t)cu->prop.multiProcessorCount;
    return blocks * part_floats(8, limits->head_dim) * sizeof(float);
}

static void fill_seqs(
    const struct kv_cuda *cu, const struct kv_attend *a, struct kv_few_seq *few, struct kv_few *args)
{
    int first = 0, most = 0;
    for (int s = 0; s < a->n_seq; first += a->seq[s++].n_row) {
        if (!kv_cuda_attend_few_takes(cu, a, s)) continue;
        few[args->n_few++] = (struct kv_few_seq){ s, first };
        args->n_row += a->seq[s].n_row;
        if (a->seq[s].n_row > most) most = a->seq[s].n_row;
    }
    args->pairs = most * args->group <= 4 ? 4 : 8;
    args->tiles = (most * args->group + args->pairs - 1) / args->pairs;
}

static bool same_span(const struct kv_span *a, const struct kv_span *b)
{
    return a->k == b->k && a->v == b->v && a->pos == b->pos && a->len == b->len && a->cap == b->cap &&
           a->pos_stride == b->pos_stride && a->len_stride == b->len_stride && !a->start && !b->start;
}

/* Whether nobody's lengths are moved but by the sequence's own append. */
static bool lengths_apart(const struct kv_attend *a)
{
    bool apart = true;
    for (int s = 0; s < a->n_seq; s++)
        for (int t = 0; t < a->n_seq; t++) {
            const int32_t *len = a->seq[t].tail.len, *prefix = a->seq[s].prefix.cap ? a->seq[s].prefix.len : NULL;
            apart = apart && len != prefix && (s == t || len != a->seq[s].tail.len);
        }
    return apart;
}

/* Ops at the queue's end that append the rows of these sequences to their tails, one a sequence and nothing else. Only
 * here it is known: spans and positions wait in the staging buffer, which a graph that is launched again does not look at,
 * while the number is among the args that it is known by. */
static int appends_of(const struct kv_cuda *cu, const struct kv_attend *a, const struct kv_few *few)
{
    size_t n = (size_t)few->n_few, row = 0, width = (size_t)a->n_kv_head * (size_t)a->head_dim;
    const struct kv_append_args *first = NULL;
    if (few->n_few < a->n_seq || cu->n_op < n || !lengths_apart(a)) return 0;
    for (size_t s = 0; s < n; row += (size_t)a->seq[s++].n_row) {
        const struct kv_cuda_op *op = &cu->op[cu->n_op - n + s];
        const struct kv_append_args *c = (const struct kv_append_args *)(cu->args + op->at);
        const struct kv_seq *seq = &a->seq[s];
        if (op->kind != &kv_cuda_append_kind) return 0;
        if (!first) first = c;
        const unsigned char *pos = cu->stage_host + ((const unsigned char *)c->pos - cu->stage);
        if (!same_span(&c->to, &seq->tail) || c->n != seq->n_row || c->type != a->type ||
            c->n_kv_head != a->n_kv_head || c->head_dim != a->head_dim || c->k != first->k + row * width ||
            c->v != first->v + row * width || memcmp(pos, seq->row_pos, (size_t)c->n * sizeof *c->pos))
            return 0;
    }
    return few->n_few;
}

void kv_cuda_attend_few(struct kv_cuda *cu, const struct kv_attend *a, const struct kv_seq *seq)
{
    struct kv_few args = {};
    void *host;
    args.seq = seq;
    args.few =
        (const struct kv_few_seq *)kv_cuda_stage_fill(cu, (size_t)a->n_seq * sizeof(struct kv_few_seq), &host);
    args.q = a->q;
    args.out = a->out;
    args.lse = a->lse;
    args.entropy = a->entropy;
    args.part = (float *)cu->scratch;
    args.ticket = cu->ticket;
    args.n_head = a->n_head;
    args.n_kv_head = a->n_kv_head;
    args.head_dim = a->head_dim;
    args.group = a->n_head / a->n_kv_head;
    args.type = a->type;
    args.window = a->window;
    args.scale = a->scale;
    fill_seqs(cu, a, (struct kv_few_seq *)host, &args);
    args.pieces = pieces_of(cu, &args);
    args.appends = appends_of(cu, a, &args);
    kv_cuda_push(cu, &kv_cuda_few, &args, sizeof args);
}
