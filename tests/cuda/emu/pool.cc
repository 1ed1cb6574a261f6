/* Stream-ordered memory: pools that keep what was given back to them.
 *
 * A block that was given back is handed out again at once to a request of the same size, for its next owner's work comes
 * behind the last one's in the stream; with EMU_LAZY=1 that is long before the stream gets there, so whoever gives
 * memory back before the work that uses it was submitted sees it overwritten. EMU_POOLS=0 is a device without pools. */
#include "runtime.h"

#include <map>
#include <set>

struct emu_pool {
    std::map<void *, size_t> given;     /* blocks in use */
    std::multimap<size_t, void *> kept; /* blocks given back, by size */
    std::map<void *, uint64_t> coming;  /* of those, given back where the stream has not got to */
    uint64_t threshold = 0;
    uint64_t bytes(bool used) const
    {
        uint64_t sum = 0;
        for (const auto &block : given) sum += block.second;
        for (const auto &block : kept) sum += used ? 0 : block.first;
        return sum;
    }
};

static std::set<emu_pool *> pools;

static cudaError_t unfit(emu_pool *pool)
{
    if (emu_lost()) return cudaErrorIllegalAddress;
    if (emu_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
    return pools.count(pool) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *props)
{
    int there = 0;
    cudaDeviceGetAttribute(&there, cudaDevAttrMemoryPoolsSupported, 0);
    if (!there) return emu_failed(cudaErrorNotSupported);
    if (props->allocType != cudaMemAllocationTypePinned || props->location.type != cudaMemLocationTypeDevice)
        return emu_failed(cudaErrorInvalidValue);
    pools.insert(*pool = new emu_pool());
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    if (!pools.count(pool) || attribute != cudaMemPoolAttrReleaseThreshold)
        return emu_failed(cudaErrorInvalidValue);
    pool->threshold = *(const uint64_t *)value;
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    if (!pools.count(pool)) return emu_failed(cudaErrorInvalidValue);
    *(uint64_t *)value = attribute == cudaMemPoolAttrReleaseThreshold
                             ? pool->threshold
                             : pool->bytes(attribute == cudaMemPoolAttrUsedMemCurrent);
    return cudaSuccess;
}

cudaError_t emu_malloc_from_pool(void **p, size_t bytes, cudaMemPool_t pool, cudaStream_t)
{
    cudaError_t error = unfit(pool);
    *p = NULL;
    if (error != cudaSuccess || !bytes) return emu_failed(error);
    auto block = pool->kept.find(bytes);
    if (block != pool->kept.end()) {
        *p = block->second;
        pool->coming.erase(*p);
        pool->kept.erase(block);
    } else {
        error = emu_malloc(p, bytes);
    }
    if (error == cudaSuccess) pool->given[*p] = bytes;
    return error;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    for (emu_pool *pool : pools) {
        auto block = pool->given.find(p);
        if (block == pool->given.end()) continue;
        cudaError_t error = unfit(pool);
        if (error != cudaSuccess) return emu_failed(error);
        static uint64_t number;
        size_t bytes = block->second;
        uint64_t mine = ++number;
        pool->given.erase(block);
        pool->kept.emplace(bytes, p);
        pool->coming[p] = mine;
        emu_submit(stream, [=] {
            memset(p, 0xff, bytes);
            auto at = pool->coming.find(p);
            if (at != pool->coming.end() && at->second == mine) pool->coming.erase(at);
        });
        return cudaSuccess;
    }
    return emu_failed(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t least)
{
    cudaError_t error = unfit(pool);
    for (auto block = pool->kept.begin(); error == cudaSuccess && block != pool->kept.end();) {
        bool stays = pool->coming.count(block->second) || pool->bytes(false) - block->first < least;
        if (!stays) cudaFree(block->second);
        block = stays ? std::next(block) : pool->kept.erase(block);
    }
    return emu_failed(error);
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool)
{
    if (!pools.count(pool)) return emu_failed(cudaErrorInvalidValue);
    emu_drain();
    for (const auto &block : pool->kept) cudaFree(block.second);
    pools.erase(pool);
    delete pool;
    return cudaSuccess;
}
