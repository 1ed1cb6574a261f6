/* Puts new keys and values behind a span's last slot.
 *
 *   k[g][len + i] = k_new[i][g], v likewise, pos[len + i] = pos_new[i], len += n, for every KV head g
 *
 * k_new, v_new [n][G][d] f32, rounded to nearest even into the span's type; pos_new [n] i32 on the host. Bytes: n G d
 * (8 + 2 sizeof(type)); bound by memory, and in decode by its launches. Lengths lie on the device: where a head has no
 * room the span is left as it was and the fault is reported. A few rows are one block, which moves the lengths last;
 * more rows are many blocks, and the lengths a launch of their own behind them. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/steps.cuh"

#define ONE_BLOCK 32768 /* values up to which one block does it all */
#define GRID_ROWS 65535 /* that a grid may have */

/* ---- kernels ---- */

/* Value number `at` of row i; divisions are in 32 bits, for in 64 they take longer than the memory. */
KV_DEVICE void append_value(const struct kv_append_args *a, size_t i, uint32_t at)
{
    uint32_t d = (uint32_t)a->head_dim;
    size_t from = i * (size_t)a->n_kv_head * d + at;
    kv_append_channel(a, i, (int)(at / d), at % d, a->k[from], a->v[from]);
}

/* Grid: x over a row's values, y over rows. */
__global__ void __launch_bounds__(256) append_kernel(struct kv_append_args a)
{
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (uint32_t)(a.n_kv_head * a.head_dim) || kv_append_full(&a) >= 0) return;
    for (int i = (int)blockIdx.y; i < a.n; i += (int)gridDim.y) append_value(&a, (size_t)i, at);
}

__global__ void __launch_bounds__(256) append_lengths_kernel(struct kv_append_args a)
{
    int full = kv_append_full(&a);
    __syncthreads(); /* all have looked */
    kv_append_lengths(&a, full);
}

__global__ void __launch_bounds__(1024) append_few_kernel(struct kv_append_args a)
{
    int full = kv_append_full(&a);
    uint32_t width = (uint32_t)(a.n_kv_head * a.head_dim);
    for (uint32_t at = threadIdx.x; full < 0 && at < (uint32_t)a.count; at += blockDim.x)
        append_value(&a, at / width, at % width);
    __syncthreads();
    kv_append_lengths(&a, full);
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_append_args *a = (const struct kv_append_args *)args;
    if (a->count <= ONE_BLOCK) {
        kv_cuda_launch(cu, "append", 1, 1024, 0, append_few_kernel, *a);
    } else {
        unsigned blocks = kv_cuda_blocks((size_t)a->n_kv_head * (size_t)a->head_dim, 256);
        unsigned rows = (unsigned)kv_min((size_t)a->n, GRID_ROWS);
        kv_cuda_launch(cu, "append", dim3(blocks, rows), 256, 0, append_kernel, *a);
        kv_cuda_launch(cu, "append", 1, 256, 0, append_lengths_kernel, *a);
    }
}

const struct kv_cuda_kind kv_cuda_append_kind = { "append", launch };

enum kv_status kv_cuda_append(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
    const float *v, const int32_t *pos, int n, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (type != KV_TYPE_F32 && type != KV_TYPE_F16 && type != KV_TYPE_BF16)
        return kv_fail(err, KV_UNSUPPORTED, "A cache holds F32, F16 or BF16, not type %d.", type);
    if (n < 0 || n > to->cap)
        return kv_fail(err, KV_BAD_ARG, "A cache of %d slots cannot take %d more tokens.", to->cap, n);
    if (!n || n_kv_head < 1) return KV_OK;
    enum kv_status status = kv_cuda_room(cu, (size_t)n * sizeof *pos + 16, err);
    if (status) return status;
    struct kv_append_args a = {};
    a.to = *to;
    a.k = k;
    a.v = v;
    a.pos = (const int32_t *)kv_cuda_stage(cu, pos, (size_t)n * sizeof *pos);
    a.fault = cu->fault_device;
    a.count = (size_t)n * (size_t)n_kv_head * (size_t)head_dim;
    a.type = type;
    a.n_kv_head = n_kv_head;
    a.head_dim = head_dim;
    a.n = n;
    kv_cuda_push(cu, &kv_cuda_append_kind, &a, sizeof a);
    return KV_OK;
}
