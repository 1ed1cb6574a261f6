/* What a warp does in attention of few rows: asks for slots, takes them, and joins its lanes. See attend_few.cu. */
#ifndef KV_CUDA_ATTEND_FEW_CUH
#define KV_CUDA_ATTEND_FEW_CUH

#include "kernels/cuda/attend.cuh"

#define KV_LOG2E 1.44269504f

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

/* The tile that a block works on, and its piece of the slots. */
struct few_work {
    struct kv_slots s;
    struct kv_seq seq;
    int g, first, pair, pairs; /* KV head; first row of the sequence; the tile's pairs */
    int begin, end;            /* slots of this piece */
    int old;                   /* slots that the caches have; s.n counts those that this launch adds, too */
    int add, added;            /* those that the block itself adds: [add, added) */
    int part, parts;           /* this piece, and how many are not empty */
    size_t tile;               /* number of the tile among all */
};

/* Which slots are asked for: all, all but those that the block itself adds, or these alone. */
enum few_which { FEW_ALL, FEW_OLD, FEW_NEW };

/* Asks for the slots from j on; this lane's 16 bytes of each. */
template <class S, enum few_which which>
KV_DEVICE void few_ask(const struct few_work *w, int j, unsigned char *stage)
{
    int lane = (int)threadIdx.x % KV_WARP, at = lane % S::lanes * 16;
    bool in_row = (size_t)at < w->s.row_bytes;
#pragma unroll
    for (int t = 0; t < S::turns; t++) {
        int slot = j + t * S::groups + lane / S::lanes;
        bool take = in_row && slot < w->end, added = slot >= w->add && slot < w->added;
        if (which != FEW_ALL && added != (which == FEW_NEW)) continue;
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
        float shifted = x[i] - me->state.m, e = kv_exp2(shifted * KV_LOG2E);
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

/* The warp's part, to where it is joined with others: states [pairs] of (m, l, u), then out [pairs][d], not normalised. */
template <class S> KV_DEVICE void few_put(const struct few_lane<S> *me, float *part, int d)
{
    int lane = (int)threadIdx.x % KV_WARP, mine = lane % S::lanes;
    if (lane < S::lanes && mine % S::per_pair == 0) {
        float *state = part + 4 * (mine / S::per_pair);
        state[0] = me->state.m, state[1] = me->state.l, state[2] = me->state.u;
    }
#pragma unroll
    for (int p = 0; p < S::pairs; p++)
#pragma unroll
        for (int c = 0; c < S::channels; c++) {
            int at = mine * S::channels + c;
            if (lane < S::lanes && at < d) part[4 * S::pairs + p * d + at] = me->acc[p][c];
        }
}

#endif
