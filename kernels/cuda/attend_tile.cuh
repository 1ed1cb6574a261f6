/* Tiles of 16-bit rows in shared memory, as cp.async fills them and ldmatrix reads them: queries, keys, values. */
#ifndef KV_CUDA_ATTEND_TILE_CUH
#define KV_CUDA_ATTEND_TILE_CUH

#include "kernels/cuda/attend.cuh"

/* Bytes between rows of d channels. */
static __host__ __device__ constexpr int kv_tile_pitch(int d) { return d % 64 ? d * 2 + 16 : d * 2; }

/* Byte at which 16 bytes of a row lie: eight neighbouring rows are in eight different banks, by swizzling or, where
 * rows are no multiples of 128 bytes, by an odd pitch. */
template <int d> KV_DEVICE int kv_tile_at(int row, int chunk)
{
    return row * kv_tile_pitch(d) + (d % 64 ? chunk : chunk ^ (row & 7)) * 16;
}

/* A byte of kv_tile_at() moved on by an even number of chunks, without working it out again. */
template <int d> KV_DEVICE int kv_tile_along(int from, int chunks)
{
    return d % 64 ? from + chunks * 16 : from ^ (chunks * 16);
}

/* Where this lane's rows for ldmatrix begin: A, 16 rows of k; B, 16 columns whose k lies along the tile's rows. */
template <int d> KV_DEVICE int kv_tile_a(int row)
{
    int lane = kv_thread() % KV_WARP;
    return kv_tile_at<d>(row + lane % 16, lane / 16);
}
template <int d> KV_DEVICE int kv_tile_b(void)
{
    int lane = kv_thread() % KV_WARP;
    return kv_tile_at<d>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
}

/* Asks for slots [j0, j0 + rows) of K or V; those from `end` on are zeros. Where all are there, of one span, a copy is
 * little more than its instruction. */
template <int d, int rows, int threads>
KV_DEVICE void kv_tile_load(unsigned char *to, const struct kv_slots *s, bool values, int j0, int end)
{
    const int chunks = d / 8, thread = kv_thread(), turns = rows * chunks / threads;
    const bool even = threads % chunks == 0; /* whole rows at once */
    const char *first = values ? s->v : s->k, *second = values ? s->tail_v : s->tail_k;
    const char *from = (j0 < s->n_prefix ? first : second) + (size_t)j0 * (d * 2) + thread * 16;
    if (j0 + rows <= end && (j0 >= s->n_prefix || j0 + rows <= s->n_prefix)) {
#pragma unroll
        for (int i = 0; i < turns; i++) {
            int n = thread + i * threads, row = even ? thread / chunks + i * (threads / chunks) : n / chunks;
            kv_cp_async16(
                to + kv_tile_at<d>(row, even ? thread % chunks : n % chunks), from + i * threads * 16, true);
        }
        return;
    }
#pragma unroll 1
    for (int i = 0; i < turns; i++) {
        int n = thread + i * threads, row = n / chunks, chunk = n % chunks, j = j0 + row;
        from = (j < s->n_prefix ? first : second) + (size_t)j * (d * 2) + chunk * 16;
        kv_cp_async16(to + kv_tile_at<d>(row, chunk), from, j < end);
    }
}

#endif
