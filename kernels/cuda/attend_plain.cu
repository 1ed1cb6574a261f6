/* The plain path of attend(): f32 arithmetic, any head_dim, any type of cache; what --precision f32 runs.
 *
 * Equations and shapes: kernels/cpu/attend.c. A block takes up to 32 pairs of one KV head and passes over the keys
 * 32 at a time, at multiples of 32 slots: a slot that a row does not see adds exact zeros to it, so a row's bits are
 * those of its own range, whatever rows share the tile. Eight threads a pair: each has 4 logits of a tile and an
 * eighth of the output. Work: 4 n_visible d flops a pair, bound by shared memory's bandwidth at about 1/4 of the f32
 * rate (not run on a GPU). */
#include "kernels/cuda/attend.cuh"

#define PAIRS   KV_ATTEND_PLAIN_PAIRS
#define KEYS    32
#define LANES   8 /* threads of a pair */
#define THREADS (PAIRS * LANES)

/* ---- kernels ---- */

/* Floats of one row in shared memory: whole float4, and one more so that rows begin at different banks. */
static __host__ __device__ int padded(int d) { return ((d + 3) & ~3) + 4; }

/* Keys or values [j0, j0 + KEYS) as f32; zeros from `end` on. */
KV_DEVICE void load_slots(float *to, const struct kv_slots *s, bool values, int j0, int end, int type, int d)
{
    int stride = padded(d);
    for (int i = (int)threadIdx.x; i < KEYS * (stride - 4); i += THREADS) {
        int j = j0 + i / (stride - 4), c = i % (stride - 4);
        const void *row = j >= end ? NULL : values ? kv_slots_v(s, j) : kv_slots_k(s, j);
        to[(j - j0) * stride + c] = row && c < d ? kv_load_as_f32(type, row, (size_t)c) : 0;
    }
}

/* Where pair `pair` of the tile lies in q and out, in heads. */
KV_DEVICE size_t head_of(const struct kv_attend_args *a, const struct kv_attend_tile *t, int g, int pair)
{
    return ((size_t)t->first + (size_t)(pair / a->group)) * (size_t)a->n_head +
           (size_t)(g * a->group + pair % a->group);
}

KV_DEVICE float dot(const float *q, const float *k, int d)
{
    float sum = 0;
    for (int c = 0; c < d; c += 4) {
        float4 x = *(const float4 *)(q + c), y = *(const float4 *)(k + c);
        sum = fmaf(x.x, y.x, sum);
        sum = fmaf(x.y, y.y, sum);
        sum = fmaf(x.z, y.z, sum);
        sum = fmaf(x.w, y.w, sum);
    }
    return sum;
}

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
KV_DEVICE float take(struct kv_softmax *state, float x[KEYS / LANES], int first, struct kv_slots_range seen)
{
    float most = KV_SOFTMAX_EMPTY, l = 0, u = 0;
    for (int i = 0; i < KEYS / LANES; i++) {
        int j = first + i * LANES;
        if (j >= seen.lo && j < seen.hi) most = fmaxf(most, x[i]);
    }
    float shrink = kv_softmax_shift(state, fmaxf(state->m, lanes_max(most)));
    for (int i = 0; i < KEYS / LANES; i++) {
        int j = first + i * LANES;
        float shifted = x[i] - state->m, e = expf(shifted);
        bool visible = j >= seen.lo && j < seen.hi;
        x[i] = visible ? e : 0;
        l += x[i];
        u += visible ? e * shifted : 0;
    }
    state->l += lanes_sum(l);
    state->u += lanes_sum(u);
    return shrink;
}

/* acc += weights times the tile's values. */
template <int quads>
KV_DEVICE void add_values(float4 acc[quads], const float x[KEYS / LANES], const float *v, int d)
{
    int lane = (int)threadIdx.x % LANES, stride = padded(d);
#pragma unroll
    for (int i = 0; i < KEYS / LANES; i++)
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
template <int quads> __global__ void __launch_bounds__(THREADS) attend_plain_kernel(struct kv_attend_args a)
{
    KV_DYNAMIC_SHARED(shared);
    struct kv_attend_tile t = a.tile[blockIdx.x / (unsigned)a.n_kv_head];
    int g = (int)(blockIdx.x % (unsigned)a.n_kv_head), d = a.head_dim, stride = padded(d);
    const struct kv_seq *seq = a.seq + t.seq;
    struct kv_slots s = kv_slots_of(seq, g, a.type, d);
    float *q = (float *)shared, *kv = q + PAIRS * stride;
    int mine = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES, last = (t.pair + t.pairs - 1) / a.group;
    int begin = kv_slots_seen(&s, seq->row_pos[t.pair / a.group], a.window).lo / KEYS * KEYS;
    int end = kv_slots_seen(&s, seq->row_pos[last], a.window).hi;
    int pair = t.pair + (mine < t.pairs ? mine : t.pairs - 1);
    struct kv_slots_range seen = kv_slots_seen(&s, seq->row_pos[pair / a.group], a.window);
    struct kv_softmax state = kv_softmax_init();
    float4 acc[quads] = {};

    for (int c = lane; c < stride; c += LANES)
        q[mine * stride + c] = c < d ? a.q[head_of(&a, &t, g, pair) * (size_t)d + (size_t)c] : 0;
    for (int j0 = begin; j0 < end; j0 += KEYS) {
        float x[KEYS / LANES];
        __syncthreads(); /* the last tile's values are done with */
        load_slots(kv, &s, false, j0, end, a.type, d);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < KEYS / LANES; i++)
            x[i] = dot(q + mine * stride, kv + (lane + i * LANES) * stride, d) * a.scale;
        float shrink = take(&state, x, j0 + lane, seen);
        for (int k = 0; k < quads; k++)
            acc[k] = make_float4(acc[k].x * shrink, acc[k].y * shrink, acc[k].z * shrink, acc[k].w * shrink);
        __syncthreads();
        load_slots(kv, &s, true, j0, end, a.type, d);
        __syncthreads();
        add_values<quads>(acc, x, kv, d);
    }
    if (mine < t.pairs) finish<quads>(&a, head_of(&a, &t, g, pair), &state, acc);
}

/* ---- launch ---- */

template <int quads> static void start(struct kv_cuda *cu, const struct kv_attend_args *a)
{
    size_t bytes = (size_t)(PAIRS + KEYS) * (size_t)padded(a->head_dim) * sizeof(float);
    kv_cuda_allow_shared(cu, "attention", attend_plain_kernel<quads>, bytes);
    kv_cuda_launch(
        cu, "attention", (unsigned)(a->n_tile * a->n_kv_head), THREADS, bytes, attend_plain_kernel<quads>, *a);
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
