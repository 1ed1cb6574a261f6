/* The plain path of attend(): f32 arithmetic, any head_dim, any type of cache; what --precision f32 runs.
 *
 * Equations and shapes: kernels/cpu/attend.c. A block takes up to 32 pairs of one KV head and passes over the keys
 * 32 at a time, at multiples of 32 slots: a slot that a row does not see adds exact zeros to it, so a row's bits are
 * those of its own range, whatever rows share the tile. Eight threads a pair: each has 4 logits of a tile and an
 * eighth of the output. Work: 4 n_visible d flops a pair, bound by shared memory's bandwidth at about 1/4 of the f32
 * rate (not run on a GPU). */
#include "kernels/cuda/attend_f32.cuh"

#define KEYS  KV_F32_KEYS
#define LANES KV_F32_LANES

/* ---- kernels ---- */

KV_DEVICE float lanes_max(float x)
{
    for (int step = LANES / 2; step; step /= 2) x = fmaxf(x, __shfl_xor_sync(KV_ALL, x, step));
    return x;
}

KV_DEVICE float lanes_sum(float x)
{
    for (int step = LANES / 2; step; step /= 2) x += __shfl_xor_sync(KV_ALL, x, step);
    return x;
}

/* Takes one tile's logits x of keys j0 + lane + 8 i into the state; x becomes weights. Returns the output's factor. */
KV_DEVICE float take(struct kv_softmax *state, float x[KEYS], int first, struct kv_slots_range seen)
{
    float most = KV_SOFTMAX_EMPTY, l = 0, u = 0;
    for (int i = 0; i < KEYS; i++) {
        int j = first + i * LANES;
        if (j >= seen.lo && j < seen.hi) most = fmaxf(most, x[i]);
    }
    float shrink = kv_softmax_shift(state, fmaxf(state->m, lanes_max(most)));
    for (int i = 0; i < KEYS; i++) {
        int j = first + i * LANES;
        float shifted = x[i] - state->m, e = expf(shifted);
        bool visible = j >= seen.lo && j < seen.hi;
        x[i] = visible ? e : 0;
        l += x[i];
        u += x[i] != 0 ? e * shifted : 0; /* 0 * -inf were NaN */
    }
    state->l += lanes_sum(l);
    state->u += lanes_sum(u);
    return shrink;
}

/* acc += weights times the tile's values. */
template <int quads> KV_DEVICE void add_values(float4 acc[quads], const float x[KEYS], const float *v, int d)
{
    int lane = (int)threadIdx.x % LANES, stride = kv_f32_stride(d);
#pragma unroll
    for (int i = 0; i < KEYS; i++)
        for (int e = 0; e < LANES; e++) {
            float w = __shfl_sync(KV_ALL, x[i], e, LANES);
            const float *row = v + (i * LANES + e) * stride;
#pragma unroll
            for (int k = 0; k < quads; k++) {
                int c = (lane + k * LANES) * 4;
                if (c >= d) continue;
                float4 y = *(const float4 *)(row + c);
                acc[k].x = fmaf(w, y.x, acc[k].x);
                acc[k].y = fmaf(w, y.y, acc[k].y);
                acc[k].z = fmaf(w, y.z, acc[k].z);
                acc[k].w = fmaf(w, y.w, acc[k].w);
            }
        }
}

template <int quads>
KV_DEVICE void finish(
    const struct kv_attend_args *a, size_t head, const struct kv_softmax *state, const float4 acc[quads])
{
    int lane = (int)threadIdx.x % LANES, d = a->head_dim;
    float norm = state->l == 0 ? 0 : 1 / state->l, *out = a->out + head * (size_t)d;
#pragma unroll
    for (int k = 0; k < quads; k++) {
        int c = (lane + k * LANES) * 4;
        const float y[4] = { acc[k].x * norm, acc[k].y * norm, acc[k].z * norm, acc[k].w * norm };
        for (int i = 0; i < 4; i++)
            if (c + i < d) out[c + i] = y[i];
    }
    if (lane == 0 && a->lse) a->lse[head] = kv_softmax_lse(*state);
    if (lane == 0 && a->entropy) a->entropy[head] = kv_softmax_entropy(*state);
}

/* quads: float4 of the output that a thread has. */
template <int quads> __global__ void __launch_bounds__(KV_F32_THREADS) attend_plain_kernel(struct kv_attend_args a)
{
    KV_DYNAMIC_SHARED(shared);
    const struct kv_attend_tile t = a.tile[blockIdx.x / (unsigned)a.n_kv_head];
    const int g = (int)(blockIdx.x % (unsigned)a.n_kv_head), d = a.head_dim, tile = KV_F32_ROWS;
    const struct kv_seq *seq = a.seq + t.seq;
    const struct kv_slots s = kv_slots_of(seq, g, a.type, d);
    float *q = (float *)shared, *kv = q + tile * kv_f32_stride(d);
    const int mine = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const int begin = kv_slots_seen(&s, seq->row_pos[kv_attend_row(&a, &t, 0)], a.window).lo / tile * tile;
    const int end = kv_slots_seen(&s, seq->row_pos[kv_attend_row(&a, &t, t.pairs - 1)], a.window).hi;
    const struct kv_slots_range seen = kv_slots_seen(&s, seq->row_pos[kv_attend_row(&a, &t, mine)], a.window);
    const size_t head = kv_attend_head(&a, &t, g, mine);
    struct kv_softmax state = kv_softmax_init();
    float4 acc[quads] = {};

    kv_f32_load_query(q, a.q + head * (size_t)d, d);
    for (int j0 = begin; j0 < end; j0 += tile) {
        float x[KEYS];
        __syncthreads(); /* the last tile's values are done with */
        kv_f32_load(kv, &s, false, j0, end, a.type, d);
        __syncthreads();
        kv_f32_logits(x, q, kv, d, a.scale);
        float shrink = take(&state, x, j0 + lane, seen);
        for (int k = 0; k < quads; k++)
            acc[k] = make_float4(acc[k].x * shrink, acc[k].y * shrink, acc[k].z * shrink, acc[k].w * shrink);
        __syncthreads();
        kv_f32_load(kv, &s, true, j0, end, a.type, d);
        __syncthreads();
        add_values<quads>(acc, x, kv, d);
    }
    if (mine < t.pairs) finish<quads>(&a, head, &state, acc);
}

/* ---- launch ---- */

template <int quads> static void start(struct kv_cuda *cu, const struct kv_attend_args *a)
{
    size_t bytes = kv_f32_bytes(a->head_dim);
    kv_cuda_allow_shared(cu, "attention", attend_plain_kernel<quads>, bytes);
    kv_cuda_launch(cu, "attention", (unsigned)(a->n_tile * a->n_kv_head), KV_F32_THREADS, bytes,
        attend_plain_kernel<quads>, *a);
}

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_attend_args *a = (const struct kv_attend_args *)args;
    if (a->head_dim <= 64)
        start<2>(cu, a);
    else if (a->head_dim <= 128)
        start<4>(cu, a);
    else
        start<8>(cu, a);
}

const struct kv_cuda_kind kv_cuda_attend_plain = { "attend", launch };
