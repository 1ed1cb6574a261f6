/* First and second moments of query rows, by head, around a point of their own; see kernels/cpu/moments.c.
 *
 *   sum[h][c] += sum_i x[i][c],  product[h][c][e] += sum_i x[i][c] x[i][e]  for e <= c,   x[i] = q[i][h] - r[h]
 *
 * q [n][H][d] f32. moments: a block of f32 for each head, r [d], sum [d], product's lower triangle by rows
 * [d (d + 1) / 2]; `fresh` makes q's first row r. 32 rows are added up before they join the rest, as on the CPU. n H d
 * (d + 1) flops: bound by f32 arithmetic. A block owns one tile of one head's triangle for all rows, 4 x 4 products a
 * thread in registers. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define TILE 64 /* channels */
#define ROWS 32
#define EACH 4 /* products of a thread, either way */

/* ---- kernels ---- */

struct moments_args {
    const float *q;
    float *moments;
    int n, n_head, head_dim;
    bool fresh;
};

/* Where one head's block has what. */
KV_DEVICE float *moments_block(const struct moments_args *a, int h)
{
    size_t d = (size_t)a->head_dim;
    return a->moments + (size_t)h * (2 * d + d * (d + 1) / 2);
}

/* x of rows [i, i + ROWS) and channels [first, first + TILE), 0 beyond the edge. */
KV_DEVICE void moments_load(const struct moments_args *a, int h, int i, int first, const float *r, float (*x)[TILE])
{
    for (int at = (int)threadIdx.x; at < ROWS * TILE; at += (int)blockDim.x) {
        int row = i + at / TILE, c = at % TILE;
        bool there = row < a->n && first + c < a->head_dim;
        size_t from = ((size_t)row * (size_t)a->n_head + (size_t)h) * (size_t)a->head_dim + (size_t)(first + c);
        x[at / TILE][c] = there ? a->q[from] - r[c] : 0.0f;
    }
}

/* A thread's products, from the block or back to it. */
KV_DEVICE void moments_products(
    const struct moments_args *a, float *product, int c0, int e0, float (*all)[EACH], bool put)
{
#pragma unroll
    for (int u = 0; u < EACH; u++)
#pragma unroll
        for (int v = 0; v < EACH; v++) {
            size_t c = (size_t)(c0 + u), e = (size_t)(e0 + v);
            float *at = product + c * (c + 1) / 2 + e;
            bool there = c < (size_t)a->head_dim && e <= c;
            if (there && put) *at = all[u][v];
            if (!put) all[u][v] = there ? *at : 0.0f;
        }
}

/* Grid: x over the tiles of the lower triangle, by rows; y over heads. */
__global__ void __launch_bounds__(256, 2) moments_kernel(struct moments_args a)
{
    __shared__ __align__(16) float left[ROWS][TILE], right[ROWS][TILE];
    __shared__ float r[2][TILE];
    int h = (int)blockIdx.y, row = 0, column = (int)blockIdx.x;
    while (column > row) column -= ++row;
    int c0 = row * TILE, e0 = column * TILE, ty = (int)threadIdx.x / 16 * EACH, tx = (int)threadIdx.x % 16 * EACH;
    float *block = moments_block(&a, h), *sum = block + a.head_dim, *product = sum + a.head_dim;
    float all[EACH][EACH], total = 0;
    moments_products(&a, product, c0 + ty, e0 + tx, all, false);
    if (threadIdx.x < 2 * TILE) {
        int side = (int)threadIdx.x / TILE, c = (int)threadIdx.x % TILE, at = (side ? e0 : c0) + c;
        const float *from = a.fresh ? a.q + (size_t)h * (size_t)a.head_dim : block;
        r[side][c] = at < a.head_dim ? from[at] : 0.0f;
    }
    __syncthreads();
    bool sums = row == column && threadIdx.x < TILE && c0 + (int)threadIdx.x < a.head_dim;
    if (sums) total = sum[c0 + (int)threadIdx.x];
    for (int i = 0; i < a.n; i += ROWS) {
        float part[EACH][EACH] = {}, alone = 0;
        moments_load(&a, h, i, c0, r[0], left);
        moments_load(&a, h, i, e0, r[1], right);
        __syncthreads();
        for (int k = 0; k < ROWS; k++) {
            const float4 x = *(const float4 *)&left[k][ty], y = *(const float4 *)&right[k][tx];
            const float xs[EACH] = { x.x, x.y, x.z, x.w }, ys[EACH] = { y.x, y.y, y.z, y.w };
#pragma unroll
            for (int u = 0; u < EACH; u++)
#pragma unroll
                for (int v = 0; v < EACH; v++) part[u][v] += xs[u] * ys[v];
            if (threadIdx.x < TILE) alone += left[k][threadIdx.x];
        }
        __syncthreads();
#pragma unroll
        for (int u = 0; u < EACH; u++)
#pragma unroll
            for (int v = 0; v < EACH; v++) all[u][v] += part[u][v];
        total += alone;
    }
    moments_products(&a, product, c0 + ty, e0 + tx, all, true);
    if (!sums) return;
    sum[c0 + (int)threadIdx.x] = total;
    if (a.fresh) block[c0 + (int)threadIdx.x] = r[0][threadIdx.x];
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct moments_args *a = (const struct moments_args *)args;
    unsigned tiles = kv_cuda_blocks((size_t)a->head_dim, TILE);
    kv_cuda_launch(cu, "moments", dim3(tiles * (tiles + 1) / 2, (unsigned)a->n_head), 256, 0, moments_kernel, *a);
}

static const struct kv_cuda_kind kind = { "moments", launch };

enum kv_status kv_cuda_moments(
    void *ctx, const float *q, int n, int n_head, int head_dim, bool fresh, float *moments, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (head_dim < 1 || head_dim > KV_CUDA_MAX_DIM)
        return kv_fail(err, KV_BAD_ARG, "Moments of head_dim %d; at most %d.", head_dim, KV_CUDA_MAX_DIM);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || n < 1 || n_head < 1) return status;
    struct moments_args a = {};
    a.q = q;
    a.moments = moments;
    a.n = n;
    a.n_head = n_head;
    a.head_dim = head_dim;
    a.fresh = fresh;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
