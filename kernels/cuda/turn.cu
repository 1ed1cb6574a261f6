/* Queries and keys of a few rows on their way from their matrices to attention: interleave, norm of each head, rope, and
 * append of keys and values, in one launch with the bits of the single ops.
 *
 * q [n][H][d], k, v [n][G][d] f32, q and k in place. Bytes: 8 a value, 12 KB a row of 32 heads and 8: bound by the latency
 * of three reads behind each other and of a barrier, 2 us, where the ops one by one are 4 to 8 launches. A warp has a head;
 * with a key it takes the value of the same KV head along. Lengths move when the last block, by an integer ticket, has
 * done its part: all blocks read them. Not run on a GPU. */
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/steps.cuh"
#include "kernels/cuda/turn.h"

#define WARPS 8

/* ---- kernels ---- */

/* The args of the append of sequence s as its op has them. */
KV_DEVICE struct kv_append_args append_of(const struct kv_turn *a, int s)
{
    struct kv_append_args one = {};
    one.to = a->append[s].to;
    one.pos = a->append[s].pos;
    one.fault = a->fault;
    one.type = a->type;
    one.n_kv_head = a->side[1].heads;
    one.head_dim = a->head_dim;
    one.n = a->append[s].n;
    return one;
}

/* The key in `row`, of KV head g of row i of the pass, and its value: to the cache of the sequence that has the row. */
KV_DEVICE void append_head(const struct kv_turn *a, int i, int g, const float *row)
{
    int d = a->head_dim;
    const float *v = a->v + ((size_t)i * (size_t)a->side[1].heads + (size_t)g) * (size_t)d;
    for (int s = 0; s < a->n_append; s++) {
        int at = i - a->append[s].first;
        if (at < 0 || at >= a->append[s].n) continue;
        const struct kv_append_args one = append_of(a, s);
        if (kv_append_full(&one) >= 0) return;
        for (int c = (int)threadIdx.x % KV_WARP; c < d; c += KV_WARP)
            kv_append_channel(&one, (size_t)at, g, (size_t)c, row[c], v[c]);
    }
}

/* One head by one warp; row: shared, of head_dim. */
KV_DEVICE void turn_head(const struct kv_turn *a, const struct kv_turn_side *side, int i, int h, float *row)
{
    int lane = (int)threadIdx.x % KV_WARP, d = a->head_dim;
    float *x = side->x + ((size_t)i * (size_t)side->heads + (size_t)h) * (size_t)d;
    const float *angle = a->angles + (size_t)i * (size_t)a->pairs * 2;
    for (int c = lane; c < d; c += KV_WARP) row[c] = x[a->interleave ? c / 2 + (c % 2 ? d / 2 : 0) : c];
    __syncwarp();
    if (side->norm) {
        float scale = kv_norm_warp(row, d, side->eps);
        for (int c = lane; c < d; c += KV_WARP) row[c] = row[c] * scale * side->norm[c];
        __syncwarp();
    }
    for (int c = lane; c < a->pairs; c += KV_WARP)
        kv_rope_turn(row + c * a->step, row + c * a->step + a->other, angle[2 * c], angle[2 * c + 1]);
    __syncwarp();
    for (int c = lane; c < d; c += KV_WARP) x[c] = row[c];
}

__global__ void __launch_bounds__(WARPS *KV_WARP) turn_kernel(struct kv_turn a)
{
    __shared__ float room[WARPS][KV_NORM_HEAD];
    __shared__ bool last;
    int warp = (int)threadIdx.x / KV_WARP, queries = a.side[0].heads, both = queries + a.side[1].heads;
    int at = (int)blockIdx.x * WARPS + warp, i = at / both, h = at % both;
    kv_pdl_release();
    kv_pdl_wait();
    if (i < a.n) {
        turn_head(&a, &a.side[h >= queries], i, h >= queries ? h - queries : h, room[warp]);
        if (h >= queries) append_head(&a, i, h - queries, room[warp]);
    }
    if (!a.n_append) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(a.ticket, 1) == gridDim.x - 1;
        if (last) *a.ticket = 0;
    }
    __syncthreads();
    if (!last) return;
    for (int s = 0; s < a.n_append; s++) {
        const struct kv_append_args one = append_of(&a, s);
        int full = kv_append_full(&one);
        __syncthreads(); /* all have looked */
        kv_append_lengths(&one, full);
    }
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_turn *a = (const struct kv_turn *)args;
    size_t heads = (size_t)a->n * (size_t)(a->side[0].heads + a->side[1].heads);
    kv_cuda_launch_chained(
        cu, "rope and append", kv_cuda_blocks(heads, WARPS), WARPS * KV_WARP, 0, turn_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_turn = { "rope and append", launch };
