/* How little each row was turned.
 *
 *   out[i] = a[i].b[i] / (|a[i]| |b[i]|)
 *
 * a, b [n][cols] f32, out [n] f32, sums in f64; a row of zeros gives 1 beside another, else 0. Bytes: 8 n cols; bound by
 * memory. A block a row: the order of the sums depends on cols alone. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define THREADS 256

/* ---- kernels ---- */

struct cosine_args {
    const float *a, *b;
    float *out;
    int n, cols;
};

/* Sum over the block, in every thread; room [THREADS] shared. */
KV_DEVICE double cosine_sum(double x, double *room)
{
    __syncthreads(); /* room may still be read */
    room[threadIdx.x] = x;
    for (unsigned step = THREADS / 2; step; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) room[threadIdx.x] += room[threadIdx.x + step];
    }
    __syncthreads();
    return room[0];
}

__global__ void __launch_bounds__(THREADS) cosine_kernel(struct cosine_args a)
{
    __shared__ double room[THREADS];
    const float *x = a.a + (size_t)blockIdx.x * (size_t)a.cols, *y = a.b + (size_t)blockIdx.x * (size_t)a.cols;
    double dot = 0, xx = 0, yy = 0;
    for (int c = (int)threadIdx.x; c < a.cols; c += THREADS) {
        dot += (double)x[c] * (double)y[c];
        xx += (double)x[c] * (double)x[c];
        yy += (double)y[c] * (double)y[c];
    }
    dot = cosine_sum(dot, room);
    xx = cosine_sum(xx, room);
    yy = cosine_sum(yy, room);
    if (threadIdx.x) return;
    bool zero = xx == 0 || yy == 0;
    a.out[blockIdx.x] = zero ? (xx == yy ? 1.0f : 0.0f) : (float)(dot / (sqrt(xx) * sqrt(yy)));
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct cosine_args *a = (const struct cosine_args *)args;
    kv_cuda_launch(cu, "cosine", (unsigned)a->n, THREADS, 0, cosine_kernel, *a);
}

static const struct kv_cuda_kind kind = { "cosine", launch };

enum kv_status kv_cuda_cosine(
    void *ctx, const float *a, const float *b, int n, int cols, float *out, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || n < 1) return status;
    const struct cosine_args args = { a, b, out, n, cols };
    kv_cuda_push(cu, &kind, &args, sizeof args);
    return KV_OK;
}
