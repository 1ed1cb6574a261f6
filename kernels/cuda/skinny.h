/* Up to 64 rows of x against quantized matrices, on tensor cores: what linear.cu, fuse.cu and the kernels share. */
#ifndef KV_CUDA_SKINNY_H
#define KV_CUDA_SKINNY_H

#include "kernels/cuda/gemv.h"

#define KV_SKINNY_ROWS  64  /* of x that one launch takes at most */
#define KV_SKINNY_TILE  128 /* rows of w that a block has at once */
#define KV_SKINNY_STEP  256 /* columns that it fetches at once */
#define KV_SKINNY_UNITS (KV_SKINNY_STEP / 32)

/* Rows of x as halves; args of an op that goes before those that multiply. */
struct kv_halves {
    const float *x;    /* or the gate, with `up` */
    const float *up;   /* x = swiglu(x, up); or NULL */
    const float *norm; /* weights of an RMS norm of x that comes first; or NULL */
    float *h;          /* where the normed or joined x goes, as f32; NULL = nowhere */
    unsigned char *to; /* halves [cols / 32][tiles][8 rows][4 lanes][2 groups][columns 0 2 1 3] */
    float *scale;      /* [tiles][8] what a row's halves are to be multiplied by */
    float eps;
    int n, cols, tiles; /* tiles of 8 rows */
    int group;          /* columns that share an 8-bit scale; 0 = not rounded to 8 bits */
    int spare;
};

/* Matrices that share type, cols and x. */
struct kv_skinny {
    struct kv_gemv_matrix m[KV_GEMV_MATRICES];
    const unsigned char *x;
    const float *scale;
    float *part; /* of tiles that several blocks share */
    unsigned *ticket;
    size_t row_bytes;
    int n_matrix, type, n, cols, tiles;
    int spare;
};

extern const struct kv_cuda_kind kv_cuda_halves, kv_cuda_skinny;

/* How a launch cuts shared memory: bytes of a row of w, of the rows of a stage, of a stage; and its work. */
struct kv_skinny_shape {
    int stride, rows, stage, stages; /* stages 0: it does not fit */
    int steps, tiles;                /* of 256 columns; of 128 rows, of all matrices */
};
struct kv_skinny_shape kv_skinny_cut(const struct kv_cuda *cu, int type, size_t row_bytes, int tiles);

/* Tiles of 8 rows of x that the kernel is made for, n rows or more. */
static inline int kv_skinny_tiles(int n) { return n <= 8 ? 1 : n <= 16 ? 2 : n <= 32 ? 4 : 8; }
/* Rows of x that one launch can take of this type on this GPU; 0: none. */
int kv_skinny_most(const struct kv_cuda *cu, int type);
/* Bytes of scratch for x, its scales in front, and behind them for the parts. */
size_t kv_skinny_x_bytes(int cols);
size_t kv_skinny_part_bytes(const struct kv_cuda *cu);

/* The kernels of some types; false where the type is not among them. */
bool kv_skinny_launch_small(struct kv_cuda *cu, const struct kv_skinny *a);
bool kv_skinny_launch_k(struct kv_cuda *cu, const struct kv_skinny *a);

#endif
