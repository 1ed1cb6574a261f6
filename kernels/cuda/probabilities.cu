/* Rows of one head's attention matrix, for looking at: out[i][j] = e^(s[i][j] - lse[i]) where row i sees slot j, else
 * 0. Shapes: kernels/cpu/probabilities.c. f32 arithmetic whatever the cache's type. A block takes 32 rows x 32 slots;
 * writes 4 bytes a (row, slot) and reads the keys once for 32 rows; bound by shared memory, and callers take a few
 * rows at a time. Not run on a GPU. */
#include "kernels/cuda/attend_f32.cuh"
#include "kernels/cuda/columns.cuh"

/* ---- kernels ---- */

__global__ void __launch_bounds__(KV_F32_THREADS) probabilities_kernel(const __grid_constant__ kv_columns_args a)
{
    KV_DYNAMIC_SHARED(shared);
    const int d = a.head_dim, j0 = (int)blockIdx.x * KV_F32_ROWS, lane = (int)threadIdx.x % KV_F32_LANES;
    const int row = (int)blockIdx.y * KV_F32_ROWS + (int)threadIdx.x / KV_F32_LANES;
    const struct kv_slots s = kv_slots_of(a.seq, a.head / a.group, a.type, d);
    const size_t head = (size_t)row * (size_t)a.n_head + (size_t)a.head;
    float *k = (float *)shared, *q = k + KV_F32_ROWS * kv_f32_stride(d), x[KV_F32_KEYS];
    if (j0 >= s.n || kv_columns_short(&a, s.n, a.head / a.group, false)) return;
    kv_f32_load(k, &s, false, j0, s.n, a.type, d);
    kv_f32_load_query(q, row < a.n_row ? a.q + head * (size_t)d : NULL, d);
    __syncthreads();
    kv_f32_logits(x, q, k, d, a.scale);
    if (row >= a.n_row) return;
#pragma unroll
    for (int i = 0; i < KV_F32_KEYS; i++) {
        int j = j0 + lane + i * KV_F32_LANES;
        if (j >= s.n) continue;
        bool sees = kv_columns_sees(&a, a.seq->row_pos[row], kv_slots_pos(&s, j));
        a.out[(size_t)row * a.stride + (size_t)j] = sees ? expf(x[i] - a.lse[head]) : 0;
    }
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_columns_args *a = (const struct kv_columns_args *)args;
    dim3 grid(kv_cuda_blocks((size_t)a->cap, KV_F32_ROWS), kv_cuda_blocks((size_t)a->n_row, KV_F32_ROWS));
    kv_cuda_allow_shared(cu, "attention rows", probabilities_kernel, kv_f32_bytes(a->head_dim));
    kv_cuda_launch(cu, "attention rows", grid, KV_F32_THREADS, kv_f32_bytes(a->head_dim), probabilities_kernel, *a);
}

static const struct kv_cuda_kind kind = { "probabilities", launch };

enum kv_status kv_cuda_probabilities(
    void *ctx, const struct kv_attend *a, int head, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    struct kv_columns_args args;
    if (head < 0 || head >= a->n_head)
        return kv_fail(err, KV_BAD_ARG, "There is no head %d; this layer has heads 0 to %d.", head, a->n_head - 1);
    enum kv_status status = kv_cuda_columns_begin(cu, a, "An attention row", out, stride, &args, err);
    if (status || !args.seq) return status;
    args.head = head;
    kv_cuda_push(cu, &kind, &args, sizeof args);
    return KV_OK;
}
