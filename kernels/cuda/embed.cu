/* Embedding: x[i][c] = w[ids[i]][c], dequantised to the bits of kernels/cpu/dequant.c.
 *
 * w [rows][cols] any type, ids [n] i32 on the host, x [n][cols] f32. Bytes: n rows of w read, 4*n*cols written; bound by
 * the latency of n scattered rows, negligible. A thread takes one group of 16 weights, a grid row one token. */
#include "kernels/blocks.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"

/* ---- kernels ---- */

struct embed_args {
    const unsigned char *w;
    const int32_t *ids;
    float *x;
    size_t row_bytes;
    int type, n, cols;
    int elements, bytes; /* of a block */
};

/* Types of one element a block. */
__global__ void __launch_bounds__(256) embed_plain_kernel(struct embed_args a)
{
    int c = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= a.cols) return;
    for (int i = (int)blockIdx.y; i < a.n; i += (int)gridDim.y)
        a.x[(size_t)i * (size_t)a.cols + (size_t)c] =
            kv_load_as_f32(a.type, a.w + (size_t)a.ids[i] * a.row_bytes, (size_t)c);
}

__global__ void __launch_bounds__(256) embed_blocks_kernel(struct embed_args a)
{
    int group = (int)(blockIdx.x * blockDim.x + threadIdx.x), per_block = a.elements / KV_GROUP;
    if (group >= a.cols / KV_GROUP) return;
    for (int i = (int)blockIdx.y; i < a.n; i += (int)gridDim.y) {
        const unsigned char *block =
            a.w + (size_t)a.ids[i] * a.row_bytes + (size_t)(group / per_block) * (size_t)a.bytes;
        float *x = a.x + (size_t)i * (size_t)a.cols + (size_t)group * KV_GROUP;
        struct kv_group g;
        kv_group_read(a.type, block, group % per_block, &g);
#pragma unroll
        for (int c = 0; c < KV_GROUP; c++) x[c] = kv_group_value(&g, c);
    }
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct embed_args *a = (const struct embed_args *)args;
    unsigned rows = (unsigned)kv_min((size_t)a->n, 65535);
    if (a->elements == 1)
        kv_cuda_launch(
            cu, "embed", dim3(kv_cuda_blocks((size_t)a->cols, 256), rows), 256, 0, embed_plain_kernel, *a);
    else
        kv_cuda_launch(cu, "embed", dim3(kv_cuda_blocks((size_t)a->cols / KV_GROUP, 256), rows), 256, 0,
            embed_blocks_kernel, *a);
}

static const struct kv_cuda_kind kind = { "embed", launch };

enum kv_status kv_cuda_embed(
    void *ctx, const struct kv_matrix *w, const int32_t *ids, int n, float *x, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    const struct kv_type_info *info = kv_type_info(w->type);
    if (!info) return kv_fail(err, KV_UNSUPPORTED, "The embedding matrix has type number %d.", w->type);
    if (w->cols < 1 || w->cols % info->elements)
        return kv_fail(err, KV_BAD_ARG, "The embedding matrix has %d columns; %s needs a multiple of %d.", w->cols,
            info->name, info->elements);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->rows)
            return kv_fail(err, KV_BAD_ARG, "Token id %d at %d is not in a vocabulary of %d.", ids[i], i, w->rows);
    if (n < 1) return KV_OK;
    enum kv_status status = kv_cuda_room(cu, (size_t)n * sizeof *ids + 16, err);
    if (status) return status;
    struct embed_args a = {};
    a.w = (const unsigned char *)w->data;
    a.ids = (const int32_t *)kv_cuda_stage(cu, ids, (size_t)n * sizeof *ids);
    a.x = x;
    a.row_bytes = kv_type_bytes(w->type, (size_t)w->cols);
    a.type = w->type;
    a.n = n;
    a.cols = w->cols;
    a.elements = info->elements;
    a.bytes = info->bytes;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}
