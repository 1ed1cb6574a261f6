/* Few rows of x against matrices read straight from the file's blocks: what linear.cu, fuse.cu and the kernels share. */
#ifndef KV_CUDA_GEMV_H
#define KV_CUDA_GEMV_H

#include "kernels/cuda/cuda.h"

#define KV_GEMV_MATRICES 3 /* of one launch: q, k, v */
#define KV_GEMV_ROWS     8 /* of x that one reading of the weights serves at most */

enum kv_gemv_x { KV_GEMV_F32, KV_GEMV_FINE, KV_GEMV_COARSE }; /* how x is kept: f32, 15 bits, 8 bits */

struct kv_gemv_matrix {
    const uint8_t *w;
    const float *bias;
    float *y;
    int rows, first; /* first: number of its first group of rows */
    int add, spare;
};

/* One launch, and the args of the queue's op. Matrices share type, cols and x. */
struct kv_gemv {
    struct kv_gemv_matrix m[KV_GEMV_MATRICES];
    const float *x;
    const float *norm; /* weights of an RMS norm of x that comes first; or NULL */
    float *h;          /* where the normed x goes; NULL = nowhere */
    size_t row_bytes;
    float eps;
    int n_matrix, type, as;
    int n, cols;
    int swiglu; /* m[0].y = swiglu(m[0], m[1]), m[1].y as it is */
};

extern const struct kv_cuda_kind kv_cuda_gemv;

/* The kernels of some types; false where the type is not among them. */
struct kv_gemv_shape {
    int lanes;     /* of a warp that share a row of w: 8, 16, 32 */
    int per_block; /* rows of x that a block keeps */
    unsigned x, y; /* grid */
};
bool kv_gemv_launch_float(struct kv_cuda *cu, const struct kv_gemv *a);
bool kv_gemv_launch_small(struct kv_cuda *cu, const struct kv_gemv *a);
bool kv_gemv_launch_k(struct kv_cuda *cu, const struct kv_gemv *a);

/* Launches that put weights, or x, as bf16 where a GEMM reads them; dequant.cu. Types: all but
 * BF16; of rows with zeroes behind them, where stride is more than cols: float types, BF16 too. */
void kv_cuda_to_bf16(struct kv_cuda *cu, int type, const void *from, size_t count, void *to);
void kv_cuda_rows_to_bf16(
    struct kv_cuda *cu, int type, const void *from, size_t rows, size_t cols, size_t stride, void *to);
void kv_cuda_int8_to_bf16(struct kv_cuda *cu, const float *x, size_t count, int group, void *to);

#endif
