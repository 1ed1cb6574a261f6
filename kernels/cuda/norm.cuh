/* The scale of RMS norm of one row, by a block of KV_NORM_THREADS: the op and what is fused with it have the same bits. */
#ifndef KV_CUDA_NORM_CUH
#define KV_CUDA_NORM_CUH

#include "kernels/cuda/ptx.cuh"

#define KV_NORM_THREADS 256
#define KV_NORM_HEAD    256 /* columns up to which one warp takes a row */

/* 1 / sqrt(mean x^2 + eps) by one warp. */
KV_DEVICE float kv_norm_warp(const float *x, int cols, float eps)
{
    float sum = 0;
    for (int c = (int)threadIdx.x % KV_WARP; c < cols; c += KV_WARP) sum = fmaf(x[c], x[c], sum);
    return 1.0f / sqrtf(kv_warp_sum(sum) / (float)cols + eps);
}

/* The same by the whole block; room [KV_WARP] f32 shared. */
KV_DEVICE float kv_norm_scale(const float *x, int cols, float eps, float *room)
{
    if (cols <= KV_NORM_HEAD) return kv_norm_warp(x, cols, eps);
    float sum = 0;
    for (int c = (int)threadIdx.x; c < cols; c += KV_NORM_THREADS) sum = fmaf(x[c], x[c], sum);
    return 1.0f / sqrtf(kv_block_sum(sum, room) / (float)cols + eps);
}

#endif
