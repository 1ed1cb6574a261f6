/* Argmax: the first of the largest of x[n] f32, as an index on the host; -1 when one of them is NaN or none is finite.
 *
 * Bytes: 4 n read, 600 KB for 152k logits; bound by latency, some 4 us, where reading them all over PCIe and looking
 * through them on the host takes 200. Blocks leave their best in scratch; the last of them, by an integer ticket, writes the
 * answer to the host's memory. The order of merging is fixed, and ties go to the lower index. Not run on a GPU. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

#define THREADS 256
#define BLOCKS  64

/* ---- kernels ---- */

/* NaN is above all numbers, so that one makes the answer. */
struct argmax_best {
    float x;
    int i;
};

struct argmax_args {
    const float *x;
    struct argmax_best *part; /* [BLOCKS] scratch */
    unsigned *ticket;
    int *answer; /* the host's */
    int n;
};

KV_DEVICE bool argmax_above(struct argmax_best a, struct argmax_best b)
{
    bool nan = a.x != a.x, other = b.x != b.x;
    if (nan || other) return nan && (!other || a.i < b.i);
    return a.x > b.x || (a.x == b.x && a.i < b.i);
}

/* The best of a block's threads, in thread 0. */
KV_DEVICE struct argmax_best argmax_block(struct argmax_best best, struct argmax_best *room)
{
    int warp = (int)threadIdx.x / KV_WARP, lane = (int)threadIdx.x % KV_WARP;
    for (int step = 16; step; step /= 2) {
        struct argmax_best other = { __shfl_xor_sync(KV_ALL, best.x, step), __shfl_xor_sync(KV_ALL, best.i, step) };
        if (argmax_above(other, best)) best = other;
    }
    __syncthreads();
    if (lane == 0) room[warp] = best;
    __syncthreads();
    for (int w = 0; w < THREADS / KV_WARP && threadIdx.x == 0; w++)
        if (argmax_above(room[w], best)) best = room[w];
    return best;
}

__global__ void __launch_bounds__(THREADS) argmax_kernel(struct argmax_args a)
{
    __shared__ struct argmax_best room[THREADS / KV_WARP];
    __shared__ bool last;
    struct argmax_best best = { -INFINITY, a.n };
    kv_pdl_wait();
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < a.n; i += BLOCKS * THREADS) {
        struct argmax_best one = { a.x[i], i };
        if (argmax_above(one, best)) best = one;
    }
    best = argmax_block(best, room);
    if (threadIdx.x == 0) {
        a.part[blockIdx.x] = best;
        __threadfence();
        last = atomicAdd(a.ticket, 1) == BLOCKS - 1;
        if (last) *a.ticket = 0;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    best = (struct argmax_best){ -INFINITY, a.n };
    if (threadIdx.x < BLOCKS)
        best = (struct argmax_best){ __ldcg(&a.part[threadIdx.x].x), __ldcg(&a.part[threadIdx.x].i) };
    best = argmax_block(best, room);
    if (threadIdx.x == 0) *a.answer = fabsf(best.x) < INFINITY ? best.i : -1;
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct argmax_args *a = (const struct argmax_args *)args;
    kv_cuda_launch_chained(cu, "argmax", BLOCKS, THREADS, 0, argmax_kernel, *a);
}

static const struct kv_cuda_kind kind = { "argmax", launch };

size_t kv_cuda_argmax_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    (void)cu, (void)limits;
    return BLOCKS * sizeof(struct argmax_best);
}

enum kv_status kv_cuda_argmax(void *ctx, const float *x, size_t n, int *index, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (n < 1 || n > INT32_MAX - BLOCKS * THREADS)
        return kv_fail(err, KV_BAD_ARG, "The largest of %zu numbers.", n);
    if (!cu->reserved) return kv_fail(err, KV_NOT_NOW, "Argmax before reserve().");
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status) return status;
    struct argmax_args a = {};
    a.x = x;
    a.part = (struct argmax_best *)cu->scratch;
    a.ticket = cu->ticket + KV_CUDA_TICKETS;
    a.answer = &cu->fault_device->answer;
    a.n = (int)n;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    status = kv_cuda_finish(cu, err);
    if (!status) *index = cu->fault->answer;
    return status;
}
