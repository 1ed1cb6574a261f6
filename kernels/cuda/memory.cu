/* Device memory: what comes and goes is from a pool in the order of the stream, so that neither waits for the device; the
 * copies from and to the host. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0

/* ---- allocation ---- */

/* Some drivers say that there are pools and then have none to give: one allocation is tried. */
void kv_cuda_open_pool(struct kv_cuda *cu)
{
    int there = 0;
    uint64_t all = UINT64_MAX;
    void *p = NULL;
    struct cudaMemPoolProps props = {};
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = cu->device;
    cudaDeviceGetAttribute(&there, cudaDevAttrMemoryPoolsSupported, cu->device);
    if (!there || cudaMemPoolCreate(&cu->pool, &props) != cudaSuccess) cu->pool = NULL;
    if (cu->pool && (cudaMemPoolSetAttribute(cu->pool, cudaMemPoolAttrReleaseThreshold, &all) != cudaSuccess ||
                        cudaMallocFromPoolAsync(&p, 256, cu->pool, cu->stream) != cudaSuccess ||
                        cudaFreeAsync(p, cu->stream) != cudaSuccess))
        kv_cuda_close_pool(cu);
    cudaGetLastError();
}

void kv_cuda_close_pool(struct kv_cuda *cu)
{
    if (cu->pool) cudaMemPoolDestroy(cu->pool);
    cu->pool = NULL;
}

size_t kv_cuda_free_bytes(const struct kv_cuda *cu, size_t *total)
{
    size_t left = 0, all = 0;
    uint64_t reserved = 0, used = 0;
    cudaMemGetInfo(&left, &all);
    if (cu->pool) {
        cudaMemPoolGetAttribute(cu->pool, cudaMemPoolAttrReservedMemCurrent, &reserved);
        cudaMemPoolGetAttribute(cu->pool, cudaMemPoolAttrUsedMemCurrent, &used);
    }
    cudaGetLastError();
    if (total) *total = all;
    return left + (reserved > used ? (size_t)(reserved - used) : 0);
}

/* Gives back what the pool keeps. True: trying again is worth it. */
static bool trim(struct kv_cuda *cu)
{
    cudaGetLastError();
    return cu->pool && cudaStreamSynchronize(cu->stream) == cudaSuccess &&
           cudaMemPoolTrimTo(cu->pool, 0) == cudaSuccess;
}

static cudaError_t from_pool(struct kv_cuda *cu, void **p, size_t bytes)
{
    return cu->pool ? cudaMallocFromPoolAsync(p, bytes, cu->pool, cu->stream) : cudaMalloc(p, bytes);
}

bool kv_cuda_take(struct kv_cuda *cu, void **p, size_t bytes)
{
    cudaError_t error = cudaMalloc(p, bytes);
    if (error == cudaErrorMemoryAllocation && trim(cu)) error = cudaMalloc(p, bytes);
    if (error != cudaSuccess) *p = NULL;
    return error == cudaSuccess;
}

enum kv_status kv_cuda_short_of(struct kv_cuda *cu, const char *what, size_t bytes, struct kv_error *err)
{
    size_t total, left;
    cudaGetLastError();
    if (cu->lost) return kv_cuda_report(cu, err);
    left = kv_cuda_free_bytes(cu, &total);
    return kv_fail(err, KV_NO_MEMORY, "The GPU has no memory for %s: %.1f MiB wanted, %.1f of %.1f MiB free.", what,
        (double)bytes / MIB, (double)left / MIB, (double)total / MIB);
}

void *kv_cuda_alloc(void *ctx, size_t bytes)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    size_t size = bytes ? bytes : 1;
    void *p = NULL;
    if (cu->lost) return NULL;
    cudaError_t error = from_pool(cu, &p, size);
    if (error == cudaErrorMemoryAllocation && trim(cu)) error = from_pool(cu, &p, size);
    if (error != cudaSuccess) {
        if (error != cudaErrorMemoryAllocation) kv_cuda_ok(cu, "an allocation", error);
        cudaGetLastError();
        return NULL;
    }
    kv_cuda_ok(cu, "clearing memory", cudaMemsetAsync(p, 0, bytes, cu->stream));
    cu->bytes_live += bytes;
    if (cu->bytes_peak < cu->bytes_live) cu->bytes_peak = cu->bytes_live;
    return p;
}

/* What waits may still read it, and is started before. */
void kv_cuda_release(void *ctx, void *p, size_t bytes)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (!p) return;
    kv_cuda_run(cu);
    cu->bytes_live -= bytes;
    if (cu->lost) return;
    kv_cuda_ok(cu, "giving memory back", cu->pool ? cudaFreeAsync(p, cu->stream) : cudaFree(p));
}

/* ---- copies ---- */

enum kv_status kv_cuda_read(void *ctx, void *host, const void *from, size_t bytes, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    bool small = bytes <= KV_CUDA_BOUNCE;
    enum kv_status status = kv_cuda_flush(cu, err);
    if (status || !bytes) return status;
    kv_cuda_ok(
        cu, "a read", cudaMemcpyAsync(small ? cu->bounce : host, from, bytes, cudaMemcpyDeviceToHost, cu->stream));
    status = kv_cuda_finish(cu, err);
    if (!status && small) memcpy(host, cu->bounce, bytes);
    return status;
}

struct copy_args {
    void *to;
    const void *from;
    size_t bytes;
};

static void copy_launch(struct kv_cuda *cu, const void *args)
{
    const struct copy_args *a = (const struct copy_args *)args;
    kv_cuda_ok(cu, "a copy", cudaMemcpyAsync(a->to, a->from, a->bytes, cudaMemcpyDeviceToDevice, cu->stream));
}

static const struct kv_cuda_kind copy_kind = { "copy", copy_launch };

enum kv_status kv_cuda_copy(void *ctx, void *to, const void *from, size_t bytes, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    enum kv_status status = kv_cuda_room(cu, 0, err);
    if (status || !bytes) return status;
    const struct copy_args a = { to, from, bytes };
    kv_cuda_push(cu, &copy_kind, &a, sizeof a);
    return KV_OK;
}

/* What is short goes through the queue as an op of its pass; the rest is copied there and then. */
enum kv_status kv_cuda_write(void *ctx, void *to, const void *host, size_t bytes, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    if (bytes && cu->reserved && bytes <= cu->stage_size / 8) {
        enum kv_status status = kv_cuda_room(cu, bytes + 16, err);
        return status ? status : kv_cuda_copy(ctx, to, kv_cuda_stage(cu, host, bytes), bytes, err);
    }
    enum kv_status status = kv_cuda_flush(cu, err);
    if (status || !bytes) return status;
    kv_cuda_ok(cu, "a write", cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, cu->stream));
    return kv_cuda_finish(cu, err);
}

/* Weights that are used twice (a tied head) are on the device once. */
enum kv_status kv_cuda_upload(void *ctx, const void *host, size_t bytes, const void **out, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    for (size_t i = 0; i < cu->n_upload; i++)
        if (cu->upload[i].host == host && cu->upload[i].bytes == bytes) {
            *out = cu->upload[i].device;
            return KV_OK;
        }
    if (cu->n_upload == cu->room_upload) {
        size_t room = cu->room_upload ? 2 * cu->room_upload : 512;
        struct kv_cuda_upload *more = (struct kv_cuda_upload *)realloc(cu->upload, room * sizeof *more);
        if (!more) return kv_fail(err, KV_NO_MEMORY, "No memory for the list of %zu weights.", room);
        cu->upload = more;
        cu->room_upload = room;
    }
    void *device = NULL;
    if (!kv_cuda_take(cu, &device, bytes ? bytes : 1)) return kv_cuda_short_of(cu, "weights", bytes, err);
    if (!kv_cuda_ok(cu, "the weights", cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cu->stream))) {
        cudaFree(device);
        return kv_cuda_report(cu, err);
    }
    cu->upload[cu->n_upload++] = (struct kv_cuda_upload){ host, device, bytes };
    cu->bytes_uploaded += bytes;
    *out = device;
    return KV_OK;
}
