/* Attention of a few query rows (decode): out, lse and entropy of sequences with 1 to 7 rows. Equations and shapes:
 * kernels/cpu/attend.c.
 *
 * The query heads of one KV head share its keys and values: a tile is up to 4 or 8 pairs (row, head of the group), so each
 * is read once for all of them (again, from L2, where pairs are more). A KV head's slots are cut into pieces, one block
 * each; the grid is fixed by what may come (so that a graph can be kept), the pieces by what is there: a block whose piece
 * is empty leaves at once. Parts (m, l, u, out) go to scratch; the block that comes last by an integer ticket joins them in
 * the order of pieces, so the bits depend on lengths and the grid alone, not on who came when.
 *
 * A warp takes `turns` x 32 / lanes slots at a time: `lanes` of them, with 16 bytes each, have one slot's row. Lanes copy
 * what they themselves will read (cp.async, two stages), so the ring needs no barrier. The dot products of all slots and
 * pairs of a lane group are added by one transposing butterfly, after which a lane holds the logits of one pair; weights
 * come back by shuffles. q is f32; K and V are exact; sums are f32.
 *
 * Bytes: 2 n d sizeof(type) a KV head, once. Bound: memory. In flight: 8 warps x 4 KB x 2 blocks = 64 KB an SM while as
 * much is worked on, where 23 KB would do (700 ns x 4.3 TB/s / 132 SMs). d = 128, bf16, 4 pairs: some 450 instructions
 * a warp and 4 KB, half of what 132 SMs can issue meanwhile: predicted 85 to 90 % of a copy at 32k and more; at 8k (33 MB,
 * 8 us) 4 us for lengths, positions and the join weigh a third. Not run on a GPU. 0 spills: 128 registers at 4 pairs. */
#include "kernels/cuda/attend.cuh"

#define WARPS      8
#define THREADS    (WARPS * KV_WARP)
#define STAGES     2
#define LEAST      128 /* slots of a piece at least */
#define PIECES_MAX 128
#define LOG2E      1.44269504f

struct few_seq {
    int seq, first; /* its number, its first row in q, out, lse and entropy */
};

struct few_args {
    const struct kv_seq *seq;
    const struct few_seq *few; /* [n_few] on the device */
    const float *q;
    float *out, *lse, *entropy;
    float *part; /* [n_few][G][tiles][pieces] parts; scratch */
    unsigned *ticket;
    int n_few, n_head, n_kv_head, head_dim, group, type, window, tiles, pieces, pairs;
    float scale;
};

/* ---- kernels ---- */

/* Shapes of a kernel: bytes of an element, lanes that share a slot's row, pairs of a tile. */
template <int type_, int lanes_, int pairs_> struct few_shape {
    static constexpr int type = type_, lanes = lanes_, pairs = pairs_;
    static constexpr int channels = type == KV_TYPE_F32 ? 4 : 8; /* in 16 bytes */
    static constexpr int groups = KV_WARP / lanes;               /* slots of one turn */
    static constexpr int turns = lanes == 32 && pairs == 4 ? 8 : 4;
    static constexpr int slots = groups * turns;
    static constexpr int held = turns * pairs / lanes;     /* logits that a lane holds after the butterfly */
    static constexpr int per_pair = turns / held;          /* lanes that hold one pair's */
    static constexpr int stage = 2 * turns * KV_WARP * 16; /* bytes a warp: keys, then values */
};

/* One part of a tile: states [pairs] of (m, l, u), then out [pairs][d], not normalised. */
static __host__ __device__ size_t part_floats(int pairs, int d) { return (size_t)pairs * (size_t)(d + 4); }

template <class S> KV_DEVICE void unpack(const void *p, float v[S::channels])
{
    uint4 bits = *(const uint4 *)p;
    const uint32_t word[4] = { bits.x, bits.y, bits.z, bits.w };
#pragma unroll
    for (int c = 0; c < S::channels; c++) {
        if (S::type == KV_TYPE_F32)
            v[c] = __uint_as_float(word[c % 4]);
        else if (S::type == KV_TYPE_BF16)
            v[c] = __uint_as_float(c % 2 ? word[c / 2] & 0xffff0000u : word[c / 2] << 16);
        else
            v[c] = __half2float(__ushort_as_half((unsigned short)(word[c / 2] >> c % 2 * 16)));
    }
}

/* First of slots [lo, lo + n) whose position is not below x, by a whole warp: 32 probes at a time. */
KV_DEVICE int few_lower(const struct kv_slots *s, int lo, int n, int x)
{
    int lane = (int)threadIdx.x % KV_WARP;
    while (n > 0) {
        int step = (n + KV_WARP - 1) / KV_WARP, begin = lane * step;
        int last = (begin + step < n ? begin + step : n) - 1;
        bool below = begin < n && kv_slots_pos(s, lo + last) < x;
        int c = __popc(__ballot_sync(KV_ALL, below)) * step;
        if (c >= n) return lo + n;
        lo += c;
        n = (n - c < step ? n - c : step) - 1;
    }
    return lo;
}

/* What a row sees. A decoding row is the newest token, and sees to the end. */
KV_DEVICE struct kv_slots_range few_seen(const struct kv_slots *s, int pos, int window)
{
    struct kv_slots_range r = { 0, s->n };
    if (s->n && kv_slots_pos(s, s->n - 1) > pos) r.hi = few_lower(s, 0, s->n, pos + 1);
    if (window && pos >= window) r.lo = few_lower(s, 0, r.hi, pos - window + 1);
    return r;
}

/* Where a pair's head lies in q and out, in heads. */
KV_DEVICE size_t few_head(const struct few_args *a, int first, int g, int pair)
{
    return ((size_t)first + (size_t)(pair / a->group)) * (size_t)a->n_head +
           (size_t)(g * a->group + pair % a->group);
}

/* The tile that a block works on, and its piece of the slots. */
struct few_work {
    struct kv_slots s;
    int g, first, pair, pairs; /* KV head; first row of the sequence; the tile's pairs */
    int begin, end;            /* slots of this piece */
    int part, parts;           /* this piece, and how many are not empty */
    size_t tile;               /* number of the tile among all */
};

/* lo, hi [pairs] shared: what each pair sees. */
KV_DEVICE bool few_begin(const struct few_args *a, struct few_work *w, int *lo, int *hi)
{
    int tile = (int)blockIdx.y, warp = (int)threadIdx.x / KV_WARP, least = 0x7fffffff, most = 0;
    w->tile = (size_t)tile;
    w->pair = tile % a->tiles * a->pairs, tile /= a->tiles;
    w->g = tile % a->n_kv_head;
    const struct few_seq *few = a->few + tile / a->n_kv_head;
    const struct kv_seq *seq = a->seq + few->seq;
    w->first = few->first;
    w->pairs = seq->n_row * a->group - w->pair;
    if (w->pairs <= 0) return false;
    if (w->pairs > a->pairs) w->pairs = a->pairs;
    w->s = kv_slots_of(seq, w->g, a->type, a->head_dim);
    for (int i = warp; i < a->pairs; i += WARPS) {
        int pair = w->pair + (i < w->pairs ? i : w->pairs - 1);
        struct kv_slots_range seen = few_seen(&w->s, seq->row_pos[pair / a->group], a->window);
        if (threadIdx.x % KV_WARP == 0) lo[i] = seen.lo, hi[i] = seen.hi;
    }
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
    return w->part < w->parts;
}

/* Asks for the slots from j on; this lane's 16 bytes of each. */
template <class S> KV_DEVICE void few_ask(const struct few_work *w, int j, unsigned char *stage)
{
    int lane = (int)threadIdx.x % KV_WARP, at = lane % S::lanes * 16;
    bool in_row = (size_t)at < w->s.row_bytes;
#pragma unroll
    for (int t = 0; t < S::turns; t++) {
        int slot = j + t * S::groups + lane / S::lanes;
        bool take = in_row && slot < w->end;
        const char *k = take ? (const char *)kv_slots_k(&w->s, slot) + at : NULL;
        const char *v = take ? (const char *)kv_slots_v(&w->s, slot) + at : NULL;
        unsigned char *to = stage + (t * KV_WARP + lane) * 16;
        if (!take) k = v = w->s.k ? w->s.k : w->s.tail_k + (size_t)w->s.n_prefix * w->s.row_bytes; /* not read */
        kv_cp_async16(to, k, take);
        kv_cp_async16(to + S::stage / 2, v, take);
    }
}

/* Sums x over a lane group: after it, value i of the lane is number (lane % lanes) * held + i of the turns * pairs. */
template <class S> KV_DEVICE void few_transpose(float x[S::turns * S::pairs])
{
    int half = S::turns * S::pairs / 2;
#pragma unroll
    for (int step = S::lanes / 2; step; step /= 2, half /= 2) {
        bool upper = threadIdx.x & (unsigned)step;
#pragma unroll
        for (int i = 0; i < S::turns * S::pairs / 2; i++) {
            if (i >= half) break;
            float keep = upper ? x[i + half] : x[i], send = upper ? x[i] : x[i + half];
            x[i] = keep + __shfl_xor_sync(KV_ALL, send, step);
        }
    }
}

/* A lane's share of the state of its pair: m is that of all lanes of the group that have this pair. */
template <class S> struct few_lane {
    float q[S::pairs][S::channels], acc[S::pairs][S::channels];
    struct kv_softmax state;
    int lo, hi; /* what the lane's pair sees */
};

/* Adds the slots from j on, which lie in the stage. */
template <class S> KV_DEVICE void few_take(struct few_lane<S> *me, const unsigned char *stage, int j)
{
    constexpr int values = S::turns * S::pairs;
    const int lane = (int)threadIdx.x % KV_WARP, mine = lane % S::lanes;
    float x[values], y[S::channels];
#pragma unroll
    for (int t = 0; t < S::turns; t++) {
        unpack<S>(stage + (t * KV_WARP + lane) * 16, y);
#pragma unroll
        for (int p = 0; p < S::pairs; p++) {
            float sum = 0;
#pragma unroll
            for (int c = 0; c < S::channels; c++) sum = fmaf(me->q[p][c], y[c], sum);
            x[p * S::turns + t] = sum;
        }
    }
    few_transpose<S>(x);
    float most = me->state.m;
    bool seen[S::held];
#pragma unroll
    for (int i = 0; i < S::held; i++) {
        int t = mine * S::held % S::turns + i, slot = j + t * S::groups + lane / S::lanes;
        seen[i] = slot >= me->lo && slot < me->hi;
        if (seen[i]) most = fmaxf(most, x[i]);
    }
#pragma unroll
    for (int step = S::per_pair / 2; step; step /= 2) most = fmaxf(most, __shfl_xor_sync(KV_ALL, most, step));
    if (__any_sync(KV_ALL, most > me->state.m)) {
        float shrink = kv_softmax_shift(&me->state, most);
#pragma unroll
        for (int p = 0; p < S::pairs; p++) {
            float f = __shfl_sync(KV_ALL, shrink, p * S::per_pair, S::lanes);
#pragma unroll
            for (int c = 0; c < S::channels; c++) me->acc[p][c] *= f;
        }
    }
#pragma unroll
    for (int i = 0; i < S::held; i++) {
        float shifted = x[i] - me->state.m, e = kv_exp2(shifted * LOG2E);
        x[i] = seen[i] ? e : 0;
        me->state.l += x[i];
        me->state.u += seen[i] && e > 0 ? e * shifted : 0; /* not 0 times -inf */
    }
#pragma unroll
    for (int t = 0; t < S::turns; t++) {
        unpack<S>(stage + S::stage / 2 + (t * KV_WARP + lane) * 16, y);
#pragma unroll
        for (int p = 0; p < S::pairs; p++) {
            float e = __shfl_sync(KV_ALL, x[t % S::held], p * S::per_pair + t / S::held, S::lanes);
#pragma unroll
            for (int c = 0; c < S::channels; c++) me->acc[p][c] = fmaf(e, y[c], me->acc[p][c]);
        }
    }
}

/* Joins the lanes of a pair, then the warp's lane groups; all lanes end with the same. */
template <class S> KV_DEVICE void few_join_warp(struct few_lane<S> *me)
{
    struct kv_softmax *state = &me->state;
#pragma unroll
    for (int step = S::per_pair / 2; step; step /= 2) {
        state->l += __shfl_xor_sync(KV_ALL, state->l, step);
        state->u += __shfl_xor_sync(KV_ALL, state->u, step);
    }
#pragma unroll
    for (int step = S::lanes; step < KV_WARP; step *= 2) {
        float most = fmaxf(state->m, __shfl_xor_sync(KV_ALL, state->m, step));
        float shrink = kv_softmax_shift(state, most);
        state->l += __shfl_xor_sync(KV_ALL, state->l, step);
        state->u += __shfl_xor_sync(KV_ALL, state->u, step);
#pragma unroll
        for (int p = 0; p < S::pairs; p++) {
            float f = __shfl_sync(KV_ALL, shrink, p * S::per_pair, S::lanes);
#pragma unroll
            for (int c = 0; c < S::channels; c++) {
                me->acc[p][c] *= f;
                me->acc[p][c] += __shfl_xor_sync(KV_ALL, me->acc[p][c], step);
            }
        }
    }
}

/* Of a part in shared memory, or in scratch as other blocks wrote it. */
template <bool scratch> KV_DEVICE float few_load(const float *p) { return scratch ? __ldcg(p) : *p; }

/* Joins n parts of a tile in their order, part i at `part` + i * stride: to another part, or, finished, to where the rows'
 * results go. weight [pairs][PIECES_MAX] shared. */
template <bool scratch>
KV_DEVICE void few_join(const struct few_args *a, const struct few_work *w, const float *part, size_t stride, int n,
    float *to, float *weight)
{
    int warp = (int)threadIdx.x / KV_WARP, lane = (int)threadIdx.x % KV_WARP, d = a->head_dim;
    for (int p = warp; p < w->pairs; p += WARPS) {
        struct kv_softmax all = kv_softmax_init();
        for (int i = lane; i < n; i += KV_WARP)
            all.m = fmaxf(all.m, few_load<scratch>(part + (size_t)i * stride + 4 * p));
        all.m = kv_warp_max(all.m);
        for (int i = lane; i < n; i += KV_WARP) {
            const float *of = part + (size_t)i * stride + 4 * p;
            struct kv_softmax one = { few_load<scratch>(of), few_load<scratch>(of + 1), few_load<scratch>(of + 2) };
            weight[p * PIECES_MAX + i] = kv_softmax_shift(&one, all.m);
            all.l += one.l;
            all.u += one.u;
        }
        all.l = kv_warp_sum(all.l);
        all.u = kv_warp_sum(all.u);
        __syncwarp();
        float norm = to ? 1 : all.l == 0 ? 0 : 1 / all.l;
        size_t head = few_head(a, w->first, w->g, w->pair + p);
        float *out = to ? to + 4 * a->pairs + (size_t)p * (size_t)d : a->out + head * (size_t)d;
        for (int c = lane; c < d; c += KV_WARP) {
            const float *o = part + 4 * a->pairs + (size_t)p * (size_t)d + (size_t)c;
            float sum = 0;
#pragma unroll 8
            for (int i = 0; i < n; i++)
                sum = fmaf(weight[p * PIECES_MAX + i], few_load<scratch>(o + (size_t)i * stride), sum);
            out[c] = sum * norm;
        }
        if (lane) continue;
        if (to) to[4 * p] = all.m, to[4 * p + 1] = all.l, to[4 * p + 2] = all.u;
        if (!to && a->lse) a->lse[head] = kv_softmax_lse(all);
        if (!to && a->entropy) a->entropy[head] = kv_softmax_entropy(all);
    }
}

/* Whether all other parts of the tile are written; the ticket is as it was when they are. */
KV_DEVICE bool few_last(const struct few_args *a, const struct few_work *w)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned *ticket = a->ticket + w->tile;
        last = atomicAdd(ticket, 1) == (unsigned)w->parts - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    if (last) __threadfence();
    return last;
}

template <class S>
__global__ void __launch_bounds__(THREADS, S::pairs == 4 && S::lanes < 32 ? 2 : 1)
    attend_few_kernel(struct few_args a)
{
    KV_DYNAMIC_SHARED(shared);
    __shared__ float weight[S::pairs * PIECES_MAX];
    __shared__ int lo[S::pairs], hi[S::pairs];
    const int warp = (int)threadIdx.x / KV_WARP, lane = (int)threadIdx.x % KV_WARP, mine = lane % S::lanes;
    struct few_work w;
    struct few_lane<S> me;
    kv_pdl_release();
    kv_pdl_wait();
    if (!few_begin(&a, &w, lo, hi)) return;

    unsigned char *ring = shared + (size_t)warp * STAGES * S::stage;
    int first = w.begin + warp * S::slots, i = 0;
    if (first < w.end) few_ask<S>(&w, first, ring);
    kv_cp_async_commit();
    me.state = kv_softmax_init();
    me.lo = lo[mine / S::per_pair], me.hi = min(hi[mine / S::per_pair], w.end);
#pragma unroll
    for (int p = 0; p < S::pairs; p++) {
        const float *q = a.q + few_head(&a, w.first, w.g, w.pair + min(p, w.pairs - 1)) * (size_t)a.head_dim;
#pragma unroll
        for (int c = 0; c < S::channels; c++) {
            int at = mine * S::channels + c;
            me.q[p][c] = at < a.head_dim ? q[at] * a.scale : 0;
            me.acc[p][c] = 0;
        }
    }
    for (int j = first; j < w.end; j += WARPS * S::slots, i ^= 1) {
        if (j + WARPS * S::slots < w.end) few_ask<S>(&w, j + WARPS * S::slots, ring + (i ^ 1) * S::stage);
        kv_cp_async_commit();
        kv_cp_async_wait<1>();
        few_take<S>(&me, ring + i * S::stage, j);
    }
    kv_cp_async_wait<0>();
    few_join_warp<S>(&me);

    __syncthreads(); /* the rings are free: each warp's part lies there now */
    size_t floats = part_floats(S::pairs, a.head_dim);
    float *part = (float *)shared, *own = part + (size_t)warp * floats;
    if (lane < S::lanes && mine % S::per_pair == 0) {
        float *state = own + 4 * (mine / S::per_pair);
        state[0] = me.state.m, state[1] = me.state.l, state[2] = me.state.u;
    }
#pragma unroll
    for (int p = 0; p < S::pairs; p++)
#pragma unroll
        for (int c = 0; c < S::channels; c++) {
            int at = mine * S::channels + c;
            if (lane < S::lanes && at < a.head_dim) own[4 * S::pairs + p * a.head_dim + at] = me.acc[p][c];
        }
    __syncthreads();
    float *parts = a.part + w.tile * (size_t)a.pieces * floats;
    few_join<false>(&a, &w, part, floats, WARPS, w.parts > 1 ? parts + (size_t)w.part * floats : NULL, weight);
    if (w.parts > 1 && few_last(&a, &w)) few_join<true>(&a, &w, parts, floats, w.parts, NULL, weight);
}

/* ---- launch ---- */

template <class S> static void start(struct kv_cuda *cu, const struct few_args *a)
{
    size_t parts = WARPS * part_floats(S::pairs, a->head_dim) * sizeof(float), bytes = WARPS * STAGES * S::stage;
    if (bytes < parts) bytes = parts;
    dim3 grid((unsigned)a->pieces, (unsigned)(a->n_few * a->n_kv_head * a->tiles));
    kv_cuda_allow_shared(cu, "attention of few rows", attend_few_kernel<S>, bytes);
    kv_cuda_launch_chained(cu, "attention of few rows", grid, THREADS, bytes, attend_few_kernel<S>, *a);
}

template <int type, int lanes> static void start_pairs(struct kv_cuda *cu, const struct few_args *a)
{
    if (a->pairs == 4)
        start<few_shape<type, lanes, 4>>(cu, a);
    else
        start<few_shape<type, lanes, 8>>(cu, a);
}

template <int type> static void start_type(struct kv_cuda *cu, const struct few_args *a)
{
    size_t row = (size_t)a->head_dim * (type == KV_TYPE_F32 ? 4 : 2);
    if (row <= 128)
        start_pairs<type, 8>(cu, a);
    else if (row <= 256)
        start_pairs<type, 16>(cu, a);
    else
        start_pairs<type, 32>(cu, a);
}

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct few_args *a = (const struct few_args *)args;
    if (a->type == KV_TYPE_F16)
        start_type<KV_TYPE_F16>(cu, a);
    else if (a->type == KV_TYPE_BF16)
        start_type<KV_TYPE_BF16>(cu, a);
    else
        start_type<KV_TYPE_F32>(cu, a);
}

static const struct kv_cuda_kind kind = { "attend (few rows)", launch };

/* ---- what attend.cu asks for ---- */

static bool aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

/* Shared memory that rows beyond 256 bytes want; GPUs that have less of it take them as tiles. */
#define FEW_WIDE_BYTES ((size_t)132 << 10)

bool kv_cuda_attend_few_takes(const struct kv_cuda *cu, const struct kv_attend *a)
{
    size_t row = (size_t)a->head_dim * (a->type == KV_TYPE_F32 ? 4 : 2);
    bool roomy = row <= 256 || cu->prop.sharedMemPerBlockOptin >= FEW_WIDE_BYTES;
    bool takes = cu->precision != KV_PRECISION_F32 && row % 16 == 0 && row <= KV_WARP * 16 && roomy;
    for (int s = 0; s < a->n_seq && takes; s++) {
        const struct kv_span *prefix = &a->seq[s].prefix, *tail = &a->seq[s].tail;
        takes = a->seq[s].n_row < KV_ATTEND_FEW && aligned(prefix->k) && aligned(prefix->v) && aligned(tail->k) &&
                aligned(tail->v);
    }
    return takes;
}

/* Pieces of a KV head: two blocks an SM, all at once while there are 4 or more for each tile; where tiles are many,
 * more that come one after another, so that the last ones leave few SMs idle. */
static int pieces_of(const struct kv_cuda *cu, int tiles)
{
    int room = 2 * cu->prop.multiProcessorCount, pieces = room / (tiles < 1 ? 1 : tiles);
    if (pieces < 4) pieces = 4 * room / (tiles < 1 ? 1 : tiles);
    return pieces < 1 ? 1 : pieces > PIECES_MAX ? PIECES_MAX : pieces;
}

/* Parts are at most 4 times the blocks that run at once, of 8 pairs. */
size_t kv_cuda_attend_few_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    size_t blocks = 8 * (size_t)cu->prop.multiProcessorCount;
    return blocks * part_floats(8, limits->head_dim) * sizeof(float);
}

static void fill_seqs(const struct kv_attend *a, struct few_seq *few, struct few_args *args)
{
    int first = 0, most = 0;
    for (int s = 0; s < a->n_seq; first += a->seq[s++].n_row) {
        if (!a->seq[s].n_row) continue;
        few[args->n_few++] = (struct few_seq){ s, first };
        if (a->seq[s].n_row > most) most = a->seq[s].n_row;
    }
    args->pairs = most * args->group <= 4 ? 4 : 8;
    args->tiles = (most * args->group + args->pairs - 1) / args->pairs;
}

enum kv_status kv_cuda_attend_few(struct kv_cuda *cu, const struct kv_attend *a, struct kv_error *err)
{
    size_t bytes = kv_cuda_seqs_bytes(a->seq, a->n_seq) + (size_t)a->n_seq * sizeof(struct few_seq) + 16;
    enum kv_status status = kv_cuda_room(cu, bytes, err);
    if (status || a->n_seq < 1) return status;
    struct few_args args = {};
    void *host;
    args.seq = kv_cuda_stage_seqs(cu, a->seq, a->n_seq);
    args.few = (const struct few_seq *)kv_cuda_stage_fill(cu, (size_t)a->n_seq * sizeof(struct few_seq), &host);
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
    fill_seqs(a, (struct few_seq *)host, &args);
    int tiles = args.n_few * a->n_kv_head * args.tiles;
    args.pieces = tiles <= KV_CUDA_TICKETS ? pieces_of(cu, tiles) : 1;
    if (args.n_few) kv_cuda_push(cu, &kind, &args, sizeof args);
    return KV_OK;
}
