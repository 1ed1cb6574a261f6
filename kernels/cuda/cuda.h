/* What the files of the CUDA backend share: the context, the queue of ops, staging of host arrays, launching.
 *
 * An op does not run when it is called: its entry (kv_cuda_NAME, a slot of struct kv_backend) checks the arguments,
 * copies what it was given from the host into the staging buffer and puts a small record into the queue. The queue
 * runs when somebody wants to see something (sync, read, release) or when it is full. So one look covers a whole
 * pass: neighbours are fused, and a pass that comes again with the same shapes and addresses (a decoded token) is
 * one launch of a captured graph. Fused, captured or one by one, the bits are the same.
 *
 * Rules for an op's file:
 *   - entry and launch are separate functions; only the entry may fail, with a sentence.
 *   - launch() reads nothing but its args (their bytes are the graph's key) and shapes its grid by capacities, never
 *     by lengths, for those lie on the device; it allocates nothing and uses cu->scratch.
 *   - args hold device addresses and plain numbers; set them by designated initialisers, with no padding left open
 *     (kv_cuda_push is given zeroed memory to copy from: `struct args a = {}` first where there are holes).
 *   - kernels are launched by kv_cuda_launch alone, which knows the stream and keeps the first failure. */
#ifndef KV_CUDA_H
#define KV_CUDA_H

#include "kernels/kernels.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#define KV_CUDA_OPS_MAX    4096 /* waiting ops; a full queue runs */
#define KV_CUDA_ARGS_BYTES ((size_t)1 << 20)
#define KV_CUDA_ARGS_MOST  4096 /* of one op */
#define KV_CUDA_GRAPH_OPS  8    /* fewer are not worth a graph */
#define KV_CUDA_GRAPHS     16   /* captured passes kept; the one not used longest goes */
#define KV_CUDA_KINDS      64   /* more than there are */
#define KV_CUDA_MAX_DIM    256
#define KV_CUDA_MAX_GROUP  16
#define KV_CUDA_FEW        8                 /* rows up to which linear() reads blocks by GEMV */
#define KV_CUDA_TICKETS    16384             /* tiles of a launch whose parts are joined; one more for the rest */
#define KV_CUDA_BOUNCE     ((size_t)1 << 20) /* reads up to this size come through pinned memory */

struct kv_cuda;

/* A kind of op: what the queue and `info backend` know of it. */
struct kv_cuda_kind {
    const char *name;
    void (*launch)(struct kv_cuda *cu, const void *args);
};

/* What can be left out to find where a fault lies: KVDBG_PLAIN names them, separated by commas. */
enum kv_cuda_plain {
    KV_CUDA_PLAIN_GRAPHS = 1, /* ops are launched one by one */
    KV_CUDA_PLAIN_EARLY = 2,  /* no kernel starts before the one in front of it is done */
    KV_CUDA_PLAIN_FUSE = 4,   /* each op has its own kernel */
    KV_CUDA_PLAIN_HOPPER = 8, /* no kernels that only sm_90 has */
    KV_CUDA_PLAIN_POOLS = 16, /* memory comes from the driver, which then waits for the device */
};

/* One op that waits: its kind, and its args at args[at, at + size). */
struct kv_cuda_op {
    const struct kv_cuda_kind *kind;
    uint32_t at, size;
};

/* What a kernel found wrong where the host could not see it; the first one is kept. In pinned memory. */
enum kv_cuda_fault_code { KV_CUDA_FINE, KV_CUDA_FULL, KV_CUDA_NOT_EMPTY, KV_CUDA_NO_SLOT, KV_CUDA_SHORT };
struct kv_cuda_fault {
    int code, cap, len, more; /* NO_SLOT: slots there are, the one asked for, its place among those to keep */
    int head;
    int answer; /* of argmax: no fault, but it comes home the same way */
};

/* Cosines and sines that rope made last, and the rows they are for; see rope.cu. */
struct kv_cuda_angles {
    float *device;           /* [rows][dim/2][2] of the limits, behind the scratch */
    float *frequency, scale; /* [dim/2] */
    int32_t *pos;            /* [n], in frequency's block */
    int n, dim;              /* n 0 = none */
};

struct kv_cuda_graph {
    uint64_t key, used;   /* hash of the queue; clock of the last use */
    cudaGraphExec_t exec; /* NULL: seen once */
    bool none;            /* the driver makes no graph of it */
};

struct kv_cuda_upload {
    const void *host;
    void *device;
    size_t bytes;
};

struct kv_cuda_count {
    const struct kv_cuda_kind *kind;
    uint64_t calls, timed;
    double us; /* of those timed */
};

struct kv_cuda {
    enum kv_precision precision;
    int device, sm; /* sm: 80, 90, ... */
    int newest;     /* sm of the newest kernels that may be used */
    unsigned plain; /* enum kv_cuda_plain: what is left out */
    struct cudaDeviceProp prop;
    cudaStream_t stream;
    cublasHandle_t blas;
    bool reserved;
    struct kv_limits limits;

    /* the queue */
    struct kv_cuda_op op[KV_CUDA_OPS_MAX];
    size_t n_op, args_used;
    unsigned char *args; /* [KV_CUDA_ARGS_BYTES] */
    struct kv_cuda_graph graph[KV_CUDA_GRAPHS];
    uint64_t clock;
    cudaEvent_t staged; /* the staging buffer was copied and may be written again */

    /* host arrays of waiting ops: pinned, and their place on the device */
    unsigned char *stage_host, *stage;
    size_t stage_size, stage_used;

    /* scratch of launches, one after another: contents do not outlive an op */
    unsigned char *scratch;
    size_t scratch_size;
    void *blas_workspace;
    unsigned *ticket;      /* [KV_CUDA_TICKETS + 1] zero between launches: counts blocks that are done */
    unsigned char *bounce; /* pinned, KV_CUDA_BOUNCE */

    struct kv_cuda_fault *fault, *fault_device;
    struct kv_cuda_angles angles;
    struct kv_cuda_upload *upload;
    size_t n_upload, room_upload;

    /* the first failure since the last report */
    cudaError_t failed;
    const char *failed_at;

    size_t bytes_live, bytes_peak;
    size_t bytes_uploaded;
    uint64_t launches;                         /* ops */
    struct kv_cuda_count count[KV_CUDA_KINDS]; /* by the kind's address */
    uint64_t kernels, graphs_run, waits;
    cudaError_t no_graph; /* why the driver made no graph of a pass, the first time; and at what */
    const char *no_graph_at;

    bool timing;        /* a clock around each op */
    cudaEvent_t *event; /* [n_event] made while timing, one more than ops */
    size_t n_event;

    cudaMemPool_t pool; /* memory of alloc(); NULL = the device has no pools */
    /* Ops started since the device was last seen well; once it is lost nothing is started any more. */
    const struct kv_cuda_kind *first, *last;
    uint64_t unseen;
    bool lost;
    struct kv_error why;
};

/* ---- queue.cu ---- */

/* Room for `bytes` of staging and for two ops; runs the queue where there is none. KV_NOT_NOW: more than reserve() was
 * for. To be called once at the start of an op's entry, with all that it stages (each array counts 16 bytes more). */
enum kv_status kv_cuda_room(struct kv_cuda *cu, size_t bytes, struct kv_error *err);
/* Copies a host array; returns where it will lie on the device when the op runs, 16-byte aligned. */
void *kv_cuda_stage(struct kv_cuda *cu, const void *host, size_t bytes);
/* The same for what the caller writes to *host there and then. */
void *kv_cuda_stage_fill(struct kv_cuda *cu, size_t bytes, void **host);
/* Sequences with their row positions: kv_cuda_stage_seqs_bytes() of room, and the array on the device. */
size_t kv_cuda_seqs_bytes(const struct kv_seq *seq, int n_seq);
struct kv_seq *kv_cuda_stage_seqs(struct kv_cuda *cu, const struct kv_seq *seq, int n_seq);
void kv_cuda_push(struct kv_cuda *cu, const struct kv_cuda_kind *kind, const void *args, size_t size);
/* Joins neighbours that one kernel does as well (fuse.cu). */
void kv_cuda_fuse(struct kv_cuda *cu);
/* Runs what waits, without waiting for the device. A failure is kept for the next report. */
void kv_cuda_run(struct kv_cuda *cu);
/* The same, and reports failures of what was started. */
enum kv_status kv_cuda_flush(struct kv_cuda *cu, struct kv_error *err);
/* The same, then waits and reports what kernels found wrong. */
enum kv_status kv_cuda_finish(struct kv_cuda *cu, struct kv_error *err);
/* A failure as its sentence; KV_OK when there was none. */
enum kv_status kv_cuda_report(struct kv_cuda *cu, struct kv_error *err);
void kv_cuda_drop_graphs(struct kv_cuda *cu);
enum kv_status kv_cuda_time_ops(void *ctx, bool on, struct kv_error *err);

/* Keeps the first failure of the runtime with the place it came from. */
static inline bool kv_cuda_ok(struct kv_cuda *cu, const char *at, cudaError_t error)
{
    if (error != cudaSuccess && cu->failed == cudaSuccess) {
        cu->failed = error;
        cu->failed_at = at;
    }
    return error == cudaSuccess;
}

/* Starts a kernel on the backend's stream. `chained`: the kernel begins with kv_pdl_wait() and may start while the
 * one before it ends. */
template <typename... Params, typename... Args>
static void kv_cuda_start(struct kv_cuda *cu, const char *at, bool chained, dim3 grid, dim3 block, size_t shared,
    void (*kernel)(Params...), Args... args)
{
    cudaLaunchAttribute attribute[1] = {};
    attribute[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[0].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = cu->stream;
    config.attrs = attribute;
    bool early = chained && cu->sm == 90 && !(cu->plain & KV_CUDA_PLAIN_EARLY);
    config.numAttrs = early ? 1 : 0; /* other GPUs run code whose kv_pdl_wait() is empty */
    kv_cuda_ok(cu, at, cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
    cu->kernels++;
}

#define kv_cuda_launch(cu, at, grid, block, shared, ...)                                                           \
    kv_cuda_start(cu, at, false, grid, block, shared, __VA_ARGS__)
#define kv_cuda_launch_chained(cu, at, grid, block, shared, ...)                                                   \
    kv_cuda_start(cu, at, true, grid, block, shared, __VA_ARGS__)

/* Allows a kernel its dynamic shared memory; once a kernel. */
template <typename Kernel>
static void kv_cuda_allow_shared(struct kv_cuda *cu, const char *at, Kernel kernel, size_t bytes)
{
    kv_cuda_ok(cu, at, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

static inline unsigned kv_cuda_blocks(size_t count, size_t per_block)
{
    return (unsigned)((count + per_block - 1) / per_block);
}

/* Scratch bytes that ops want for these limits; reserve() takes the largest. One function a file that uses scratch. */
size_t kv_cuda_linear_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);
size_t kv_cuda_argmax_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);
size_t kv_cuda_attend_few_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);
size_t kv_cuda_attend_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);
size_t kv_cuda_select_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);
/* The table of angles: its bytes for these limits, and where reserve() put it; false: no memory on the host. */
size_t kv_cuda_angles_bytes(const struct kv_limits *limits);
bool kv_cuda_angles_reserve(struct kv_cuda *cu, const struct kv_limits *limits, void *device);
/* Checks that every attention op makes. */
enum kv_status kv_cuda_attend_check(
    const struct kv_cuda *cu, const struct kv_attend *a, const char *op, struct kv_error *err);

/* ---- memory.cu ---- */

/* The pool, where the device has them. */
void kv_cuda_open_pool(struct kv_cuda *cu);
void kv_cuda_close_pool(struct kv_cuda *cu);
/* Bytes that an allocation can get, with what the pool keeps. */
size_t kv_cuda_free_bytes(const struct kv_cuda *cu, size_t *total);
/* Memory outside the pool, for what stays. False: there is none, even without what the pool keeps. */
bool kv_cuda_take(struct kv_cuda *cu, void **p, size_t bytes);
/* A failed allocation, with what is free. */
enum kv_status kv_cuda_short_of(struct kv_cuda *cu, const char *what, size_t bytes, struct kv_error *err);
void *kv_cuda_alloc(void *ctx, size_t bytes);
void kv_cuda_release(void *ctx, void *p, size_t bytes);
enum kv_status kv_cuda_copy(void *ctx, void *to, const void *from, size_t bytes, struct kv_error *err);
enum kv_status kv_cuda_write(void *ctx, void *to, const void *host, size_t bytes, struct kv_error *err);
enum kv_status kv_cuda_upload(void *ctx, const void *host, size_t bytes, const void **out, struct kv_error *err);

/* ---- the slots of struct kv_backend, one file each; see kernels.h ---- */

enum kv_status kv_cuda_read(void *ctx, void *host, const void *from, size_t bytes, struct kv_error *err);
enum kv_status kv_cuda_embed(
    void *ctx, const struct kv_matrix *w, const int32_t *ids, int n, float *x, struct kv_error *err);
enum kv_status kv_cuda_norm(
    void *ctx, const float *x, const float *weight, float eps, int n, int cols, float *y, struct kv_error *err);
enum kv_status kv_cuda_linear(
    void *ctx, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err);
enum kv_status kv_cuda_rope(void *ctx, const struct kv_rope *rope, const int32_t *pos, float *x, int n, int heads,
    int head_dim, struct kv_error *err);
enum kv_status kv_cuda_interleave(void *ctx, float *x, int n, int heads, int head_dim, struct kv_error *err);
enum kv_status kv_cuda_append(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
    const float *v, const int32_t *pos, int n, struct kv_error *err);
enum kv_status kv_cuda_attend(void *ctx, const struct kv_attend *a, struct kv_error *err);
enum kv_status kv_cuda_columns(
    void *ctx, const struct kv_attend *a, float *sums, size_t stride, struct kv_error *err);
enum kv_status kv_cuda_probabilities(
    void *ctx, const struct kv_attend *a, int head, float *out, size_t stride, struct kv_error *err);
enum kv_status kv_cuda_norms(void *ctx, const struct kv_span *span, bool values, int power, int type, int n_kv_head,
    int head_dim, float *out, size_t stride, struct kv_error *err);
enum kv_status kv_cuda_cosine(
    void *ctx, const float *a, const float *b, int n, int cols, float *out, struct kv_error *err);
enum kv_status kv_cuda_moments(
    void *ctx, const float *q, int n, int n_head, int head_dim, bool fresh, float *moments, struct kv_error *err);
enum kv_status kv_cuda_expect(void *ctx, const struct kv_span *span, int type, int n_head, int n_kv_head,
    int head_dim, const float *mean, const float *cov, float scale, float *out, size_t stride,
    struct kv_error *err);
enum kv_status kv_cuda_swiglu(
    void *ctx, const float *gate, const float *up, size_t count, float *y, struct kv_error *err);
enum kv_status kv_cuda_gather(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, int n, struct kv_span *to, struct kv_error *err);
enum kv_status kv_cuda_gather_heads(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, size_t index_stride, const int32_t *n, struct kv_span *to, struct kv_error *err);
enum kv_status kv_cuda_fold(
    void *ctx, const float *x, size_t stride, int groups, int each, size_t n, double *out, struct kv_error *err);
enum kv_status kv_cuda_argmax(void *ctx, const float *x, size_t n, int *index, struct kv_error *err);
enum kv_status kv_cuda_select(void *ctx, const float *score, const uint8_t *forced, int n, int budget,
    int32_t *kept, int *n_kept, struct kv_error *err);
enum kv_status kv_cuda_select_many(void *ctx, const struct kv_select *s, int count, struct kv_error *err);

#endif
