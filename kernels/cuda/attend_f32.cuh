/* Tiles of the plain paths: rows of f32 in shared memory, whatever the cache's type, and their products. Eight threads
 * a row of queries, each with every eighth key of a tile. */
#ifndef KV_CUDA_ATTEND_F32_CUH
#define KV_CUDA_ATTEND_F32_CUH

#include "kernels/cuda/attend.cuh"

#define KV_F32_ROWS    32 /* of queries a tile, and of keys */
#define KV_F32_LANES   8  /* threads of a row */
#define KV_F32_THREADS (KV_F32_ROWS * KV_F32_LANES)
#define KV_F32_KEYS    (KV_F32_ROWS / KV_F32_LANES) /* of a thread: lane + KV_F32_LANES i */

/* Floats of one row in shared memory: whole float4, and one more so that rows begin at different banks. */
static __host__ __device__ constexpr int kv_f32_stride(int d) { return ((d + 3) & ~3) + 4; }

static inline size_t kv_f32_bytes(int d)
{
    return (size_t)2 * KV_F32_ROWS * (size_t)kv_f32_stride(d) * sizeof(float);
}

/* Keys or values [j0, j0 + KV_F32_ROWS); zeros from `end` on. */
KV_DEVICE void kv_f32_load(float *to, const struct kv_slots *s, bool values, int j0, int end, int type, int d)
{
    int stride = kv_f32_stride(d), wide = stride - 4;
    for (int i = (int)threadIdx.x; i < KV_F32_ROWS * wide; i += KV_F32_THREADS) {
        int j = j0 + i / wide, c = i % wide;
        const void *row = j >= end ? NULL : values ? kv_slots_v(s, j) : kv_slots_k(s, j);
        to[(j - j0) * stride + c] = row && c < d ? kv_load_as_f32(type, row, (size_t)c) : 0;
    }
}

/* This thread's part of its row of queries; NULL: zeros. */
KV_DEVICE void kv_f32_load_query(float *to, const float *from, int d)
{
    int stride = kv_f32_stride(d), row = (int)threadIdx.x / KV_F32_LANES;
    for (int c = (int)threadIdx.x % KV_F32_LANES; c < stride; c += KV_F32_LANES)
        to[row * stride + c] = from && c < d ? from[c] : 0;
}

KV_DEVICE float kv_f32_dot(const float *q, const float *k, int d)
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

/* The thread's logits. */
KV_DEVICE void kv_f32_logits(float x[KV_F32_KEYS], const float *q, const float *k, int d, float scale)
{
    int row = (int)threadIdx.x / KV_F32_LANES, lane = (int)threadIdx.x % KV_F32_LANES, stride = kv_f32_stride(d);
#pragma unroll
    for (int i = 0; i < KV_F32_KEYS; i++)
        x[i] = kv_f32_dot(q + row * stride, k + (lane + i * KV_F32_LANES) * stride, d) * scale;
}

#endif
