/* Logits that keys should get from queries that are normally distributed.
 *
 *   out[h][j] = ln E e^(scale q.k[j]) = scale k[j].mean[h] + scale^2 / 2 k[j]' cov[h] k[j],   q ~ N(mean[h], cov[h])
 *
 * for every slot j of the KV head of h. mean [H][d], cov [H][d][d] symmetric, out [H][stride], all f32. Rows of cov times
 * a key in f32, dots over them in f64. n H d (d + 2) multiplications: bound by f32 arithmetic. A block takes 64 slots of
 * one head: tiles of 64 slots by 64 rows of cov, 4 x 4 a thread; the grid covers the capacity, for lengths lie on the
 * device. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define TILE 64 /* slots, and rows of cov */
#define DEEP 32 /* columns of cov at a time */
#define EACH 4

/* ---- kernels ---- */

struct expect_args {
    struct kv_span span;
    const float *mean, *cov;
    float *out;
    size_t stride;
    float scale;
    int type, n_head, group, head_dim;
};

/* Row u of a thread's 4 by 4 is slot or channel (threadIdx / 16) + 16 u: lanes of a warp then read few banks. */
__global__ void __launch_bounds__(256) expect_kernel(struct expect_args a)
{
    __shared__ float keys[TILE][DEEP + 1], rows[TILE][DEEP + 1];
    __shared__ double linear[TILE][16 + 1], square[TILE][16 + 1];
    int h = (int)blockIdx.y, g = h / a.group, d = a.head_dim, j0 = (int)blockIdx.x * TILE;
    int len = kv_span_len(&a.span, g), ty = (int)threadIdx.x / 16, tx = (int)threadIdx.x % 16;
    if (j0 >= len) return;
    size_t first = (kv_span_start(&a.span, g) + (size_t)j0) * (size_t)d;
    const float *cov = a.cov + (size_t)h * (size_t)d * (size_t)d, *mean = a.mean + (size_t)h * (size_t)d;
    double of_mean[EACH] = {}, of_cov[EACH] = {};
    for (int c0 = 0; c0 < d; c0 += TILE) {
        float dot[EACH][EACH] = {};
        for (int e0 = 0; e0 < d; e0 += DEEP) {
            __syncthreads(); /* the tiles may still be read */
            for (int at = (int)threadIdx.x; at < TILE * DEEP; at += 256) {
                int i = at / DEEP, e = at % DEEP;
                bool in = e0 + e < d;
                keys[i][e] = in && j0 + i < len ? kv_load_as_f32(a.type, a.span.k,
                                                      first + (size_t)i * (size_t)d + (size_t)(e0 + e))
                                                : 0.0f;
                rows[i][e] = in && c0 + i < d ? cov[(size_t)(c0 + i) * (size_t)d + (size_t)(e0 + e)] : 0.0f;
            }
            __syncthreads();
            for (int e = 0; e < DEEP; e++) {
                float x[EACH], y[EACH];
#pragma unroll
                for (int u = 0; u < EACH; u++) x[u] = keys[ty + 16 * u][e], y[u] = rows[tx + 16 * u][e];
#pragma unroll
                for (int u = 0; u < EACH; u++)
#pragma unroll
                    for (int v = 0; v < EACH; v++) dot[u][v] += x[u] * y[v];
            }
        }
#pragma unroll
        for (int u = 0; u < EACH; u++)
#pragma unroll
            for (int v = 0; v < EACH; v++) {
                int j = ty + 16 * u, c = c0 + tx + 16 * v;
                if (j0 + j >= len || c >= d) continue;
                double k = (double)kv_load_as_f32(a.type, a.span.k, first + (size_t)j * (size_t)d + (size_t)c);
                of_mean[u] += (double)mean[c] * k;
                of_cov[u] += k * (double)dot[u][v];
            }
    }
#pragma unroll
    for (int u = 0; u < EACH; u++) linear[ty + 16 * u][tx] = of_mean[u], square[ty + 16 * u][tx] = of_cov[u];
    __syncthreads();
    int j = (int)threadIdx.x;
    if (j >= TILE || j0 + j >= len) return;
    double sum = 0, quadratic = 0, scale = (double)a.scale;
    for (int i = 0; i < 16; i++) sum += linear[j][i], quadratic += square[j][i];
    a.out[(size_t)h * a.stride + (size_t)(j0 + j)] = (float)(scale * sum + scale * scale / 2 * quadratic);
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct expect_args *a = (const struct expect_args *)args;
    kv_cuda_launch(cu, "expect", dim3(kv_cuda_blocks((size_t)a->span.cap, TILE), (unsigned)a->n_head), 256, 0,
        expect_kernel, *a);
}

static const struct kv_cuda_kind kind = { "expect", launch };

enum kv_status kv_cuda_expect(void *ctx, const struct kv_span *span, int type, int n_head, int n_kv_head,
    int head_dim, const float *mean, const float *cov, float scale, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (head_dim < 1 || head_dim > KV_CUDA_MAX_DIM || n_kv_head < 1 || n_head % n_kv_head)
        return kv_fail(err, KV_BAD_ARG, "Expected logits of %d heads over %d KV heads, head_dim %d; at most %d.",
            n_head, n_kv_head, head_dim, KV_CUDA_MAX_DIM);
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || span->cap < 1 || n_head < 1) return status;
    struct expect_args a = {};
    a.span = *span;
    a.mean = mean;
    a.cov = cov;
    a.out = out;
    a.stride = stride;
    a.scale = scale;
    a.type = type;
    a.n_head = n_head;
    a.group = n_head / n_kv_head;
    a.head_dim = head_dim;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
