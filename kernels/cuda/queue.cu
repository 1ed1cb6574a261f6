/* The queue of ops, the staging of their host arrays, and the captured graphs of passes that come again. */
#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t aligned(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

/* After such failures the driver refuses all further work of the process. */
static bool is_lost(const struct kv_cuda *cu)
{
    cudaGetLastError();
    bool lost = cudaStreamSynchronize(cu->stream) != cudaSuccess;
    cudaGetLastError();
    return lost;
}

static enum kv_status report_lost(struct kv_cuda *cu, const char *at, cudaError_t failed, struct kv_error *err)
{
    char ops[160] = "";
    if (cu->unseen)
        snprintf(ops, sizeof ops, ", within %llu ops from %s to %s", (unsigned long long)cu->unseen,
            cu->first->name, cu->last->name);
    cu->lost = true;
    cu->timing = false;
    kv_fail(&cu->why, KV_DEVICE,
        "The GPU failed at %s%s (%s), and takes no more work: what is on the host can still be looked at "
        "and saved; then start the program again, with CUDA_LAUNCH_BLOCKING=1 and KVDBG_PLAIN=graphs to have "
        "the op named.",
        at, ops, cudaGetErrorString(failed));
    return kv_fail(err, KV_DEVICE, "%s", cu->why.text);
}

enum kv_status kv_cuda_report(struct kv_cuda *cu, struct kv_error *err)
{
    cudaError_t failed = cu->failed;
    const char *at = cu->failed_at;
    struct kv_cuda_fault fault = *cu->fault;
    if (cu->lost) return kv_fail(err, KV_DEVICE, "%s", cu->why.text);
    cu->failed = cudaSuccess;
    cu->fault->code = KV_CUDA_FINE;
    if (failed != cudaSuccess) {
        cu->angles.n = 0;
        if (is_lost(cu)) return report_lost(cu, at, failed, err);
        return kv_fail(err, failed == cudaErrorMemoryAllocation ? KV_NO_MEMORY : KV_DEVICE,
            "The GPU failed at %s: %s.", at, cudaGetErrorString(failed));
    }
    if (fault.code == KV_CUDA_FULL)
        return kv_fail(err, KV_BAD_ARG,
            "A cache of %d slots with %d in use cannot take %d more tokens (KV head %d).", fault.cap, fault.len,
            fault.more, fault.head);
    if (fault.code == KV_CUDA_NOT_EMPTY)
        return kv_fail(err, KV_BAD_ARG, "Gather wants an empty cache; this one holds %d tokens (KV head %d).",
            fault.len, fault.head);
    if (fault.code == KV_CUDA_SHORT)
        return kv_fail(err, KV_BAD_ARG, "%s over %d slots, where a row has room for %d (KV head %d).",
            fault.more ? "A column sum" : "An attention row", fault.len, fault.cap, fault.head);
    if (fault.code == KV_CUDA_NO_SLOT)
        return kv_fail(err, KV_BAD_ARG,
            "Slot %d is the %d-th to keep; slots must ascend and lie in 0 to %d (KV head %d).", fault.len,
            fault.more, fault.cap - 1, fault.head);
    return KV_OK;
}

/* ---- graphs ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    for (; n; n--) hash = (hash ^ *p++) * 0x100000001b3ull;
    return hash;
}

static uint64_t queue_key(const struct kv_cuda *cu)
{
    uint64_t key = mix(0xcbf29ce484222325ull, &cu->stage_used, sizeof cu->stage_used);
    for (size_t i = 0; i < cu->n_op; i++) {
        key = mix(key, &cu->op[i].kind, sizeof cu->op[i].kind);
        key = mix(key, cu->args + cu->op[i].at, cu->op[i].size);
    }
    return key;
}

/* The graph of this key, or the one that was not used for longest, with another key. */
static struct kv_cuda_graph *graph_of(struct kv_cuda *cu, uint64_t key)
{
    struct kv_cuda_graph *oldest = &cu->graph[0];
    for (int i = 0; i < KV_CUDA_GRAPHS; i++) {
        if (cu->graph[i].key == key) return &cu->graph[i];
        if (cu->graph[i].used < oldest->used) oldest = &cu->graph[i];
    }
    return oldest;
}

static void drop(struct kv_cuda_graph *graph)
{
    if (graph->exec) cudaGraphExecDestroy(graph->exec);
    *graph = (struct kv_cuda_graph){};
}

void kv_cuda_drop_graphs(struct kv_cuda *cu)
{
    for (int i = 0; i < KV_CUDA_GRAPHS; i++) drop(&cu->graph[i]);
}

/* ---- running ---- */

/* The staging buffer may be written again once it was copied, whatever runs behind that. */
static void stage_free(struct kv_cuda *cu)
{
    if (cu->stage_used) kv_cuda_ok(cu, "staging", cudaEventRecord(cu->staged, cu->stream));
}

/* Host arrays of the ops that wait, to where these look for them. */
static void bring_stage(struct kv_cuda *cu)
{
    if (cu->stage_used)
        kv_cuda_ok(cu, "staging",
            cudaMemcpyAsync(cu->stage, cu->stage_host, cu->stage_used, cudaMemcpyHostToDevice, cu->stream));
}

static void launch_all(struct kv_cuda *cu, bool captured)
{
    bring_stage(cu);
    if (!captured) stage_free(cu);
    for (size_t i = 0; i < cu->n_op; i++) cu->op[i].kind->launch(cu, cu->args + cu->op[i].at);
}

/* False where the driver makes no graph of it: then the pass is launched as it is, this time and always, and what is
 * wrong with a launch itself comes up there. */
static bool capture(struct kv_cuda *cu, struct kv_cuda_graph *graph)
{
    cudaGraph_t captured = NULL;
    uint64_t kernels = cu->kernels;
    if (cu->failed != cudaSuccess) return false;
    if (kv_cuda_ok(cu, "start of capture", cudaStreamBeginCapture(cu->stream, cudaStreamCaptureModeThreadLocal))) {
        launch_all(cu, true);
        kv_cuda_ok(cu, "end of capture", cudaStreamEndCapture(cu->stream, &captured));
        if (cu->failed == cudaSuccess) kv_cuda_ok(cu, "graph", cudaGraphInstantiate(&graph->exec, captured, 0));
        if (captured) cudaGraphDestroy(captured);
    }
    if (graph->exec) return true;
    graph->none = true;
    if (cu->no_graph == cudaSuccess) cu->no_graph = cu->failed, cu->no_graph_at = cu->failed_at;
    cu->failed = cudaSuccess;
    cu->kernels = kernels;
    cudaGetLastError();
    return false;
}

/* ---- timing ---- */

static struct kv_cuda_count *count_of(struct kv_cuda *cu, const struct kv_cuda_kind *kind)
{
    size_t at = (uintptr_t)kind / sizeof *kind % KV_CUDA_KINDS;
    while (cu->count[at].kind && cu->count[at].kind != kind) at = (at + 1) % KV_CUDA_KINDS;
    cu->count[at].kind = kind;
    return &cu->count[at];
}

static bool make_events(struct kv_cuda *cu, size_t n)
{
    if (!cu->event) cu->event = (cudaEvent_t *)calloc(KV_CUDA_OPS_MAX + 1, sizeof *cu->event);
    while (cu->event && cu->n_event < n && kv_cuda_ok(cu, "timing", cudaEventCreate(&cu->event[cu->n_event])))
        cu->n_event++;
    return cu->event && cu->n_event >= n;
}

/* The same with an event before each op and behind the last one; waits for them. */
static void launch_timed(struct kv_cuda *cu)
{
    size_t n = cu->n_op;
    bring_stage(cu);
    stage_free(cu);
    for (size_t i = 0; i < n; i++) {
        kv_cuda_ok(cu, "timing", cudaEventRecord(cu->event[i], cu->stream));
        cu->op[i].kind->launch(cu, cu->args + cu->op[i].at);
    }
    kv_cuda_ok(cu, "timing", cudaEventRecord(cu->event[n], cu->stream));
    kv_cuda_ok(cu, "the end of timed ops", cudaEventSynchronize(cu->event[n]));
    cu->waits++;
    for (size_t i = 0; i < n && cu->failed == cudaSuccess; i++) {
        struct kv_cuda_count *count = count_of(cu, cu->op[i].kind);
        float ms = 0;
        kv_cuda_ok(cu, "timing", cudaEventElapsedTime(&ms, cu->event[i], cu->event[i + 1]));
        count->timed++;
        count->us += 1e3 * (double)ms;
    }
}

enum kv_status kv_cuda_time_ops(void *ctx, bool on, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    enum kv_status status = kv_cuda_finish(cu, err);
    if (!status) cu->timing = on;
    return status;
}

/* What is worth a graph: the second time that a short pass comes with the same shapes and addresses. */
static void run(struct kv_cuda *cu)
{
    if (cu->timing) {
        if (!(cu->plain & KV_CUDA_PLAIN_FUSE)) kv_cuda_fuse(cu);
        if (make_events(cu, cu->n_op + 1)) launch_timed(cu);
        return;
    }
    uint64_t key = queue_key(cu);
    struct kv_cuda_graph *graph = graph_of(cu, key);
    bool again = graph->key == key;
    if (!again) {
        drop(graph);
        graph->key = key;
    }
    graph->used = ++cu->clock;
    bool one_by_one = !again || graph->none || cu->n_op < KV_CUDA_GRAPH_OPS || (cu->plain & KV_CUDA_PLAIN_GRAPHS);
    if (!graph->exec && !(cu->plain & KV_CUDA_PLAIN_FUSE)) kv_cuda_fuse(cu);
    if (!one_by_one && (graph->exec || capture(cu, graph))) {
        kv_cuda_ok(cu, "graph launch", cudaGraphLaunch(graph->exec, cu->stream));
        cu->graphs_run++;
        stage_free(cu);
    } else {
        launch_all(cu, false);
    }
}

/* What `info backend` shows: ops as they were called, however they are joined. */
static void count_ops(struct kv_cuda *cu)
{
    cu->launches += cu->n_op;
    for (size_t i = 0; i < cu->n_op; i++) count_of(cu, cu->op[i].kind)->calls++;
}

void kv_cuda_run(struct kv_cuda *cu)
{
    if (cu->n_op && !cu->lost) {
        count_ops(cu);
        if (!cu->unseen) cu->first = cu->op[0].kind;
        cu->last = cu->op[cu->n_op - 1].kind;
        cu->unseen += cu->n_op;
        run(cu);
    }
    cu->n_op = cu->args_used = cu->stage_used = 0;
}

enum kv_status kv_cuda_flush(struct kv_cuda *cu, struct kv_error *err)
{
    kv_cuda_run(cu);
    return cu->failed == cudaSuccess && !cu->lost ? KV_OK : kv_cuda_report(cu, err);
}

enum kv_status kv_cuda_finish(struct kv_cuda *cu, struct kv_error *err)
{
    enum kv_status status = kv_cuda_flush(cu, err);
    if (status) return status;
    cu->waits++;
    if (kv_cuda_ok(cu, "the end of its work", cudaStreamSynchronize(cu->stream))) cu->unseen = 0;
    return kv_cuda_report(cu, err);
}

/* ---- filling ---- */

enum kv_status kv_cuda_room(struct kv_cuda *cu, size_t bytes, struct kv_error *err)
{
    if (cu->lost) return kv_cuda_report(cu, err);
    if (!cu->reserved && bytes) return kv_fail(err, KV_NOT_NOW, "An op of the GPU before reserve().");
    if (bytes > cu->stage_size)
        return kv_fail(err, KV_NOT_NOW, "An op of the GPU takes %zu bytes from the host; reserve() was for %zu.",
            bytes, cu->stage_size);
    bool full = cu->n_op + 2 > KV_CUDA_OPS_MAX || cu->args_used + 2 * KV_CUDA_ARGS_MOST > KV_CUDA_ARGS_BYTES ||
                cu->stage_used + bytes > cu->stage_size;
    return full ? kv_cuda_flush(cu, err) : KV_OK;
}

void *kv_cuda_stage_fill(struct kv_cuda *cu, size_t bytes, void **host)
{
    size_t at = cu->stage_used;
    if (!at) kv_cuda_ok(cu, "staging", cudaEventSynchronize(cu->staged));
    *host = cu->stage_host + at;
    cu->stage_used = at + aligned(bytes);
    return cu->stage + at;
}

void *kv_cuda_stage(struct kv_cuda *cu, const void *host, size_t bytes)
{
    void *to, *device = kv_cuda_stage_fill(cu, bytes, &to);
    memcpy(to, host, bytes);
    return device;
}

size_t kv_cuda_seqs_bytes(const struct kv_seq *seq, int n_seq)
{
    size_t bytes = aligned((size_t)n_seq * sizeof *seq);
    for (int i = 0; i < n_seq; i++) bytes += aligned((size_t)seq[i].n_row * sizeof *seq[i].row_pos);
    return bytes;
}

struct kv_seq *kv_cuda_stage_seqs(struct kv_cuda *cu, const struct kv_seq *seq, int n_seq)
{
    size_t at = cu->stage_used;
    struct kv_seq *device = (struct kv_seq *)kv_cuda_stage(cu, seq, (size_t)n_seq * sizeof *seq);
    for (int i = 0; i < n_seq; i++) {
        struct kv_seq one = seq[i];
        one.row_pos =
            (const int32_t *)kv_cuda_stage(cu, seq[i].row_pos, (size_t)seq[i].n_row * sizeof *seq[i].row_pos);
        memcpy(cu->stage_host + at + (size_t)i * sizeof one, &one, sizeof one);
    }
    return device;
}

void kv_cuda_push(struct kv_cuda *cu, const struct kv_cuda_kind *kind, const void *args, size_t size)
{
    struct kv_cuda_op *op = &cu->op[cu->n_op++];
    *op = (struct kv_cuda_op){ kind, (uint32_t)cu->args_used, (uint32_t)size };
    memcpy(cu->args + op->at, args, size);
    cu->args_used += aligned(size);
}
