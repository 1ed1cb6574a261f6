/* The CUDA backend: its context, memory, and the table of its ops. */
#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB               1048576.0
#define BLAS_WORKSPACE    ((size_t)32 << 20) /* what cuBLAS recommends for sm_90 */
#define OLDEST_SM         80
#define STAGE_BYTES_LEAST ((size_t)4 << 20)

/* ---- context ---- */

static void give_back(struct kv_cuda *cu)
{
    kv_cuda_drop_graphs(cu);
    for (size_t i = 0; i < cu->n_upload; i++) cudaFree(cu->upload[i].device);
    free(cu->upload);
    if (cu->blas) cublasDestroy(cu->blas);
    cudaFree(cu->blas_workspace);
    cudaFree(cu->ticket);
    cudaFree(cu->scratch);
    cudaFree(cu->stage);
    cudaFreeHost(cu->stage_host);
    cudaFreeHost(cu->bounce);
    cudaFreeHost(cu->fault);
    if (cu->staged) cudaEventDestroy(cu->staged);
    for (size_t i = 0; i < cu->n_event; i++) cudaEventDestroy(cu->event[i]);
    free(cu->event);
    kv_cuda_close_pool(cu);
    if (cu->stream) cudaStreamDestroy(cu->stream);
    free(cu->angles.frequency);
    free(cu->args);
    free(cu);
}

static void backend_free(void *ctx)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (!cu) return;
    if (cu->stream) cudaStreamSynchronize(cu->stream);
    give_back(cu);
}

/* One sentence for a machine without a GPU that would do; KV_OK with cu->prop filled otherwise. */
static enum kv_status choose_device(struct kv_cuda *cu, struct kv_error *err)
{
    int n = 0;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice || (error == cudaSuccess && !n))
        return kv_fail(err, KV_DEVICE, "No NVIDIA GPU with a driver for CUDA %d.%d is here (%s).",
            CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, cudaGetErrorString(error));
    if (error != cudaSuccess)
        return kv_fail(err, KV_DEVICE, "The CUDA driver does not answer: %s.", cudaGetErrorString(error));
    if (cu->device < 0 || cu->device >= n)
        return kv_fail(err, KV_DEVICE, "GPU %d was asked for; this machine has %d, counted from 0.", cu->device, n);
    error = cudaSetDevice(cu->device);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&cu->prop, cu->device);
    if (error != cudaSuccess)
        return kv_fail(err, KV_DEVICE, "GPU %d cannot be used: %s.", cu->device, cudaGetErrorString(error));
    cu->sm = cu->prop.major * 10 + cu->prop.minor;
    if (cu->sm < OLDEST_SM)
        return kv_fail(err, KV_DEVICE,
            "GPU %d, %s, has compute capability %d.%d; the CUDA backend needs %d.%d or newer.", cu->device,
            cu->prop.name, cu->prop.major, cu->prop.minor, OLDEST_SM / 10, OLDEST_SM % 10);
    return KV_OK;
}

static const char *const plain_name[] = { "graphs", "early", "fuse", "hopper",
    "pools" }; /* bits of enum kv_cuda_plain */

/* The one variable of the environment that the backend reads. */
static enum kv_status read_plain(struct kv_cuda *cu, struct kv_error *err)
{
    const char *list = getenv("KVDBG_PLAIN");
    for (size_t n; list && *list; list += n + (list[n] == ',')) {
        size_t i = 0;
        n = strcspn(list, ",");
        while (i < KV_COUNT(plain_name) && (strlen(plain_name[i]) != n || strncmp(plain_name[i], list, n))) i++;
        if (i == KV_COUNT(plain_name))
            return kv_fail(err, KV_BAD_ARG,
                "KVDBG_PLAIN names \"%.*s\"; it can name graphs, early, fuse, hopper, pools.", n < 40 ? (int)n : 40,
                list);
        cu->plain |= 1u << i;
    }
    return KV_OK;
}

static bool open_blas(struct kv_cuda *cu)
{
    if (cublasCreate(&cu->blas) != CUBLAS_STATUS_SUCCESS) return false;
    if (!kv_cuda_ok(cu, "cuBLAS's workspace", cudaMalloc(&cu->blas_workspace, BLAS_WORKSPACE))) return false;
    return cublasSetStream(cu->blas, cu->stream) == CUBLAS_STATUS_SUCCESS &&
           cublasSetWorkspace(cu->blas, cu->blas_workspace, BLAS_WORKSPACE) == CUBLAS_STATUS_SUCCESS;
}

static bool open_memory(struct kv_cuda *cu)
{
    size_t tickets = (KV_CUDA_TICKETS + 1) * sizeof *cu->ticket;
    if (!kv_cuda_ok(cu, "its stream", cudaStreamCreateWithFlags(&cu->stream, cudaStreamNonBlocking))) return false;
    if (!(cu->plain & KV_CUDA_PLAIN_POOLS)) kv_cuda_open_pool(cu);
    return kv_cuda_ok(cu, "its event", cudaEventCreateWithFlags(&cu->staged, cudaEventDisableTiming)) &&
           kv_cuda_ok(cu, "its tickets", cudaMalloc((void **)&cu->ticket, tickets)) &&
           kv_cuda_ok(cu, "its tickets", cudaMemsetAsync(cu->ticket, 0, tickets, cu->stream)) &&
           kv_cuda_ok(cu, "pinned memory", cudaMallocHost((void **)&cu->bounce, KV_CUDA_BOUNCE)) &&
           kv_cuda_ok(
               cu, "pinned memory", cudaHostAlloc((void **)&cu->fault, sizeof *cu->fault, cudaHostAllocMapped)) &&
           kv_cuda_ok(cu, "pinned memory", cudaHostGetDevicePointer((void **)&cu->fault_device, cu->fault, 0));
}

static enum kv_status backend_init(const struct kv_backend_options *options, void **ctx, struct kv_error *err)
{
    *ctx = NULL;
    struct kv_cuda *cu = (struct kv_cuda *)calloc(1, sizeof *cu);
    if (!cu) return kv_fail(err, KV_NO_MEMORY, "No memory for the CUDA backend's context.");
    cu->precision = options->precision;
    cu->device = options->device;
    enum kv_status status = read_plain(cu, err);
    if (!status) status = choose_device(cu, err);
    cu->newest = options->sm ? options->sm : cu->plain & KV_CUDA_PLAIN_HOPPER ? OLDEST_SM : cu->sm;
    if (!status) {
        cu->args = (unsigned char *)malloc(KV_CUDA_ARGS_BYTES);
        if (!cu->args) status = kv_fail(err, KV_NO_MEMORY, "No memory for the CUDA backend's queue.");
    }
    if (!status && !open_memory(cu))
        status = kv_fail(err, KV_DEVICE, "GPU %d cannot be used, %s: %s.", cu->device, cu->failed_at,
            cudaGetErrorString(cu->failed));
    if (!status && !open_blas(cu))
        status = kv_fail(err, KV_DEVICE, "cuBLAS cannot be used on GPU %d (%s).", cu->device, cu->prop.name);
    if (status) {
        give_back(cu);
        return status;
    }
    *cu->fault = (struct kv_cuda_fault){};
    *ctx = cu;
    return KV_OK;
}

static void backend_describe(void *ctx, char *text, size_t size)
{
    const struct kv_cuda *cu = (const struct kv_cuda *)ctx;
    bool f32 = cu->precision == KV_PRECISION_F32;
    size_t total = 0, free_bytes = kv_cuda_free_bytes(cu, &total);
    snprintf(text, size,
        "GPU %d, %s, sm_%d, %d SMs, %.1f of %.1f GiB free, CUDA %d.%d, prefill in %s, decode with %s activations; "
        "%llu kernels, %llu graphs launched",
        cu->device, cu->prop.name, cu->sm, cu->prop.multiProcessorCount, (double)free_bytes / MIB / 1024,
        (double)total / MIB / 1024, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, f32 ? "f32" : "bf16",
        f32                                  ? "f32"
        : cu->precision == KV_PRECISION_INT8 ? "int8"
                                             : "15-bit",
        (unsigned long long)cu->kernels, (unsigned long long)cu->graphs_run);
    if (cu->no_graph != cudaSuccess) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "; no graphs, at %s: %s", cu->no_graph_at, cudaGetErrorString(cu->no_graph));
    }
    for (size_t i = 0, said = 0; i < KV_COUNT(plain_name); i++) {
        if (!(cu->plain >> i & 1)) continue;
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s", said++ ? ", " : "; without ", plain_name[i]);
    }
}

static void backend_stats(void *ctx, struct kv_backend_stats *stats)
{
    const struct kv_cuda *cu = (const struct kv_cuda *)ctx;
    *stats = (struct kv_backend_stats){};
    stats->bytes_live = cu->bytes_live;
    stats->bytes_peak = cu->bytes_peak;
    stats->scratch_bytes = cu->scratch_size + cu->stage_size;
    stats->upload_bytes = cu->bytes_uploaded;
    stats->launches = cu->launches + cu->n_op;
    stats->kernels = cu->kernels;
    stats->graphs = cu->graphs_run;
    stats->waits = cu->waits;
    stats->bytes_free = kv_cuda_free_bytes(cu, NULL);
    for (int i = 0; i < KV_CUDA_KINDS; i++) {
        const struct kv_cuda_count *count = &cu->count[i];
        int at = 0;
        if (!count->kind) continue;
        while (at < stats->n_op && strcmp(stats->op[at].name, count->kind->name)) at++;
        if (at == KV_OPS_COUNTED) continue;
        if (at == stats->n_op) stats->op[stats->n_op++].name = count->kind->name;
        stats->op[at].calls += count->calls;
        stats->op[at].timed += count->timed;
        stats->op[at].us += count->us;
    }
}

/* ---- scratch and staging ---- */

static enum kv_status backend_sync(void *ctx, struct kv_error *err)
{
    return kv_cuda_finish((struct kv_cuda *)ctx, err);
}

/* Scratch is one block, as large as the op that wants most. */
static size_t (*const scratch_of[])(const struct kv_cuda *cu, const struct kv_limits *limits) = {
    kv_cuda_attend_scratch,
    kv_cuda_select_scratch,
    kv_cuda_linear_scratch,
    kv_cuda_attend_few_scratch,
    kv_cuda_argmax_scratch,
};

/* Bytes that one op may bring from the host: scores and flags of a select, or an index for each KV head. */
static size_t stage_bytes(const struct kv_limits *limits)
{
    size_t keys = (size_t)limits->keys, heads = (size_t)kv_max(1, (size_t)limits->n_kv_head);
    size_t op = kv_max(keys * 5, keys * heads * sizeof(int32_t));
    return kv_max(STAGE_BYTES_LEAST, 2 * op + (size_t)limits->rows * 64 + (size_t)limits->seqs * 1024);
}

static enum kv_status backend_reserve(void *ctx, const struct kv_limits *limits, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (limits->rows < 1 || limits->widest < 1 || limits->head_dim < 1)
        return kv_fail(err, KV_BAD_ARG, "Limits of %d rows, %d columns and head_dim %d; each must be at least 1.",
            limits->rows, limits->widest, limits->head_dim);
    enum kv_status status = kv_cuda_finish(cu, err);
    if (status) return status;
    size_t scratch = 256;
    for (size_t i = 0; i < KV_COUNT(scratch_of); i++) scratch = kv_max(scratch, scratch_of[i](cu, limits));
    scratch = (scratch + 255) & ~(size_t)255;
    size_t stage = stage_bytes(limits), both = scratch + kv_cuda_angles_bytes(limits);
    kv_cuda_drop_graphs(cu);
    cudaFree(cu->scratch);
    cudaFree(cu->stage);
    cudaFreeHost(cu->stage_host);
    cu->scratch = cu->stage = cu->stage_host = NULL;
    cu->scratch_size = cu->stage_size = 0;
    cu->reserved = false;
    if (!kv_cuda_take(cu, (void **)&cu->scratch, both)) return kv_cuda_short_of(cu, "scratch", both, err);
    if (!kv_cuda_take(cu, (void **)&cu->stage, stage)) return kv_cuda_short_of(cu, "staging", stage, err);
    if (cudaMallocHost((void **)&cu->stage_host, stage) != cudaSuccess)
        return kv_fail(err, KV_NO_MEMORY, "No pinned memory for %zu bytes of staging.", stage);
    if (!kv_cuda_angles_reserve(cu, limits, cu->scratch + scratch))
        return kv_fail(err, KV_NO_MEMORY, "No memory for the positions of %d rows.", limits->rows);
    cu->scratch_size = scratch;
    cu->stage_size = stage;
    cu->limits = *limits;
    cu->reserved = true;
    return KV_OK;
}

/* ---- the table ---- */

static const struct kv_backend backend = {
    .abi = KV_BACKEND_ABI,
    .size = sizeof(struct kv_backend),
    .name = "cuda",
    .init = backend_init,
    .free = backend_free,
    .describe = backend_describe,
    .stats = backend_stats,
    .time_ops = kv_cuda_time_ops,
    .reserve = backend_reserve,
    .sync = backend_sync,
    .alloc = kv_cuda_alloc,
    .release = kv_cuda_release,
    .write = kv_cuda_write,
    .read = kv_cuda_read,
    .copy = kv_cuda_copy,
    .upload = kv_cuda_upload,
    .embed = kv_cuda_embed,
    .norm = kv_cuda_norm,
    .linear = kv_cuda_linear,
    .rope = kv_cuda_rope,
    .interleave = kv_cuda_interleave,
    .append = kv_cuda_append,
    .attend = kv_cuda_attend,
    .columns = kv_cuda_columns,
    .probabilities = kv_cuda_probabilities,
    .norms = kv_cuda_norms,
    .cosine = kv_cuda_cosine,
    .moments = kv_cuda_moments,
    .expect = kv_cuda_expect,
    .swiglu = kv_cuda_swiglu,
    .gather = kv_cuda_gather,
    .gather_heads = kv_cuda_gather_heads,
    .fold = kv_cuda_fold,
    .select = kv_cuda_select,
    .select_many = kv_cuda_select_many,
    .argmax = kv_cuda_argmax,
};

/* The one symbol by which the engine knows a plugin. */
extern "C" __attribute__((visibility("default"))) const struct kv_backend *kv_backend_plugin(void)
{
    return &backend;
}
