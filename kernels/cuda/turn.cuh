/* One head of queries or keys, turned by one warp: interleave, norm and rope with the bits of the single ops. All that is
 * read is asked for at once, so that it costs the latency of one read. */
#ifndef KV_CUDA_TURN_CUH
#define KV_CUDA_TURN_CUH

#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/steps.cuh"
#include "kernels/cuda/turn.h"

#define KV_TURN_LANE (KV_CUDA_MAX_DIM / KV_WARP) /* channels of a lane */

static_assert(KV_CUDA_MAX_DIM <= KV_NORM_HEAD, "one warp norms a head");

/* What a lane reads: channels lane + 32 i, and pairs alike. */
struct kv_turn_raw {
    float x[KV_TURN_LANE], norm[KV_TURN_LANE];
    float2 angle[KV_TURN_LANE / 2];
};

/* Where head h of row i lies. */
KV_DEVICE float *kv_turn_at(const struct kv_turn_heads *a, int k, int i, int h)
{
    return a->side[k].x + ((size_t)i * (size_t)a->side[k].heads + (size_t)h) * (size_t)a->head_dim;
}

KV_DEVICE void kv_turn_read(const struct kv_turn_heads *a, int k, int i, int h, struct kv_turn_raw *raw)
{
    const float *x = kv_turn_at(a, k, i, h), *norm = a->side[k].norm;
    const float2 *angle = (const float2 *)a->angles + (size_t)i * (size_t)a->pairs;
    int lane = (int)threadIdx.x % KV_WARP, d = a->head_dim;
#pragma unroll
    for (int u = 0; u < KV_TURN_LANE; u++) {
        int c = lane + u * KV_WARP;
        if (c < d) raw->x[u] = x[a->interleave ? c / 2 + (c % 2 ? d / 2 : 0) : c];
        if (c < d && norm) raw->norm[u] = norm[c];
        if (u < KV_TURN_LANE / 2 && c < a->pairs) raw->angle[u] = angle[c];
    }
}

/* row: the warp's own, in shared memory, of head_dim; the warp finds the turned head there. */
KV_DEVICE void kv_turn_row(const struct kv_turn_heads *a, int k, const struct kv_turn_raw *raw, float *row)
{
    int lane = (int)threadIdx.x % KV_WARP, d = a->head_dim;
#pragma unroll
    for (int u = 0; u < KV_TURN_LANE; u++)
        if (lane + u * KV_WARP < d) row[lane + u * KV_WARP] = raw->x[u];
    __syncwarp();
    if (a->side[k].norm) {
        float scale = kv_norm_warp(row, d, a->side[k].eps);
#pragma unroll
        for (int u = 0; u < KV_TURN_LANE; u++)
            if (lane + u * KV_WARP < d) row[lane + u * KV_WARP] = raw->x[u] * scale * raw->norm[u];
        __syncwarp();
    }
#pragma unroll
    for (int u = 0; u < KV_TURN_LANE / 2; u++) {
        int c = lane + u * KV_WARP;
        if (c < a->pairs)
            kv_rope_turn(row + c * a->step, row + c * a->step + a->other, raw->angle[u].x, raw->angle[u].y);
    }
    __syncwarp();
}

/* Back to where the head was. */
KV_DEVICE void kv_turn_write(const struct kv_turn_heads *a, int k, int i, int h, const float *row)
{
    float *x = kv_turn_at(a, k, i, h);
    for (int c = (int)threadIdx.x % KV_WARP; c < a->head_dim; c += KV_WARP) x[c] = row[c];
}

#endif
