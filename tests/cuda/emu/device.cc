/* The machine that is emulated, its memory, and its errors.
 *
 * It is like an H200: sm 9.0, 132 multiprocessors, 227 KiB of shared memory a block. EMU_SM=75 makes it an older one,
 * EMU_PROCESSORS=4 a small one, EMU_DEVICES=0 takes the device away, EMU_MEMORY says how many bytes it has, EMU_POOLS=0
 * that it has no pools. Device memory is closed to the host while no kernel or copy runs, so host code that follows a
 * device pointer ends the program; EMU_GUARD=0 leaves it open. */
#include "runtime.h"
#include "cuda.h"
#include "fiber.h"

#include <cstdio>
#include <dlfcn.h>
#include <map>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT ((size_t)256)
#define BESIDE    ((size_t)256)     /* bytes behind an allocation that are looked at */
#define PAGE      ((size_t)2 << 20) /* large pages are opened and closed fast */

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

/* ---- errors ---- */

static cudaError_t last_error;

cudaError_t emu_failed(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define X(name, number, text)                                                                                      \
    case name: return text;
        EMU_ERROR_LIST(X)
#undef X
    }
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define X(name, number, text)                                                                                      \
    case name: return #name;
        EMU_ERROR_LIST(X)
#undef X
    }
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

/* ---- names, and signals ---- */

void emu_function_name(const void *function, char *name, size_t size)
{
    Dl_info info;
    char command[1024];
    snprintf(name, size, "%p", function);
    if (!dladdr(function, &info)) return;
    snprintf(command, sizeof command, "addr2line -fCe '%s' %#lx 2>/dev/null", info.dli_fname,
        (unsigned long)((const char *)function - (const char *)info.dli_fbase));
    FILE *f = popen(command, "r");
    if (f && fgets(name, (int)size, f)) name[strcspn(name, "\n")] = 0;
    if (f) pclose(f);
}

static struct {
    char *base;
    size_t size, used; /* used: the end of the last allocation */
    size_t live;
    int open;
    bool guarded;
    std::map<size_t, size_t> given; /* offset, bytes */
    std::map<const char *, size_t> pinned;
} memory;

#ifndef __SANITIZE_ADDRESS__
static struct sigaction before_segv, before_ill;

/* Says what the emulator knows, and leaves the rest to whoever was there before. */
static void on_signal(int number, siginfo_t *info, void *)
{
    char text[160];
    char *p = (char *)info->si_addr;
    bool device = number == SIGSEGV && p >= memory.base && p < memory.base + memory.size;
    const char *what = number == SIGILL            ? "a misaligned access"
                       : device && emu_in_kernel() ? "an access outside of all device memory"
                       : device                    ? "host code touches device memory"
                                                   : "an access outside of all memory";
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGILL, &before_ill, NULL);
    if (number == SIGILL || device || emu_in_kernel()) {
        char where[512];
        emu_function_name(p, where, sizeof where);
        snprintf(text, sizeof text, "%s at %p%s%.60s", what, (void *)p, number == SIGILL ? " in " : "",
            number == SIGILL ? where : "");
        emu_die("%s", text);
    }
}

static void catch_signals(void)
{
    static char stack[64 << 10];
    stack_t other = {};
    other.ss_sp = stack;
    other.ss_size = sizeof stack;
    sigaltstack(&other, NULL);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGILL, &action, &before_ill);
}
#else
static void catch_signals(void) {}
#endif

/* ---- memory ---- */

static void prepare(void)
{
    if (memory.base) return;
    memory.size = (size_t)number_of("EMU_MEMORY", (long)16 << 30);
    memory.guarded = number_of("EMU_GUARD", 1) != 0;
    char *p = (char *)mmap(NULL, memory.size + 2 * PAGE, memory.guarded ? PROT_NONE : PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) emu_die("no address space for a device of %zu bytes", memory.size);
    memory.base = (char *)(((uintptr_t)p + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    madvise(memory.base, memory.size, MADV_HUGEPAGE);
    catch_signals();
}

static size_t page_end(size_t bytes) { return (bytes + PAGE - 1) & ~(PAGE - 1); }

void emu_open_memory(void)
{
    if (memory.open++ || !memory.guarded || !memory.used) return;
    mprotect(memory.base, page_end(memory.used), PROT_READ | PROT_WRITE);
}

void emu_close_memory(void)
{
    if (--memory.open || !memory.guarded || !memory.used) return;
    mprotect(memory.base, page_end(memory.used), PROT_NONE);
}

static size_t room_of(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + BESIDE; }

/* The first hole that is large enough. */
static bool find_hole(size_t bytes, size_t *at)
{
    *at = 0;
    for (const auto &given : memory.given) {
        if (given.first - *at >= bytes) return true;
        *at = given.first + room_of(given.second);
    }
    return memory.size - *at >= bytes;
}

cudaError_t emu_malloc(void **p, size_t bytes)
{
    size_t at;
    *p = NULL;
    if (!number_of("EMU_DEVICES", 1)) return emu_failed(cudaErrorNoDevice);
    if (emu_lost()) return emu_failed(cudaErrorIllegalAddress);
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    if (!bytes) return cudaSuccess;
    prepare();
    if (bytes > memory.size || !find_hole(room_of(bytes), &at)) return emu_failed(cudaErrorMemoryAllocation);
    memory.given[at] = bytes;
    memory.live += room_of(bytes);
    if (memory.used < at + room_of(bytes)) memory.used = at + room_of(bytes);
    emu_open_memory();
    ASAN_UNPOISON_MEMORY_REGION(memory.base + at, room_of(bytes));
    memset(memory.base + at, 0xff, room_of(bytes));
    ASAN_POISON_MEMORY_REGION(memory.base + at + bytes, room_of(bytes) - bytes);
    emu_close_memory();
    *p = memory.base + at;
    return cudaSuccess;
}

static void check_beside(size_t at, size_t bytes, const void *kernel)
{
#ifndef __SANITIZE_ADDRESS__
    const unsigned char *p = (const unsigned char *)memory.base + at + bytes;
    char name[512] = "a copy";
    for (size_t i = 0; i < room_of(bytes) - bytes; i++) {
        if (p[i] == 0xff) continue;
        if (kernel) emu_function_name(kernel, name, sizeof name);
        emu_die("%s wrote %zu bytes behind the end of an allocation of %zu bytes", name, i + 1, bytes);
    }
#else
    (void)at, (void)bytes, (void)kernel;
#endif
}

void emu_check_memory(const void *kernel)
{
    for (const auto &given : memory.given) check_beside(given.first, given.second, kernel);
}

cudaError_t cudaFree(void *p)
{
    if (!p) return cudaSuccess;
    if (emu_lost()) return emu_failed(cudaErrorIllegalAddress);
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    emu_drain();
    auto given = memory.given.find((size_t)((char *)p - memory.base));
    if (given == memory.given.end()) return emu_failed(cudaErrorInvalidValue);
    emu_open_memory();
    check_beside(given->first, given->second, NULL);
    memset(p, 0xff, given->second);
    ASAN_POISON_MEMORY_REGION(p, room_of(given->second));
    emu_close_memory();
    memory.live -= room_of(given->second);
    memory.given.erase(given);
    return cudaSuccess;
}

cudaError_t emu_malloc_host(void **p, size_t bytes)
{
    *p = NULL;
    if (!number_of("EMU_DEVICES", 1)) return emu_failed(cudaErrorNoDevice);
    if (emu_lost()) return emu_failed(cudaErrorIllegalAddress);
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    *p = aligned_alloc(4096, (bytes + 4096) & ~(size_t)4095);
    if (!*p) return emu_failed(cudaErrorMemoryAllocation);
    memset(*p, 0xff, bytes);
    memory.pinned[(const char *)*p] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    if (!p) return cudaSuccess;
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    emu_drain();
    if (!memory.pinned.erase((const char *)p)) return emu_failed(cudaErrorInvalidValue);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned)
{
    if (!p || !bytes) return emu_failed(cudaErrorInvalidValue);
    if (emu_is_pinned(p)) return emu_failed(cudaErrorHostMemoryAlreadyRegistered);
    memory.pinned[(const char *)p] = bytes;
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *p)
{
    emu_drain();
    return memory.pinned.erase((const char *)p) ? cudaSuccess : emu_failed(cudaErrorInvalidValue);
}

cudaError_t emu_host_device_pointer(void **device, void *host)
{
    if (!emu_is_pinned(host)) return emu_failed(cudaErrorInvalidValue);
    *device = host;
    return cudaSuccess;
}

bool emu_is_device(const void *p)
{
    return memory.base && (const char *)p >= memory.base && (const char *)p < memory.base + memory.size;
}

bool emu_is_pinned(const void *p)
{
    auto next = memory.pinned.upper_bound((const char *)p);
    if (next == memory.pinned.begin()) return false;
    --next;
    return (const char *)p < next->first + next->second;
}

bool emu_is_inside(const void *p, size_t bytes)
{
    size_t at = (size_t)((const char *)p - memory.base);
    auto next = memory.given.upper_bound(at);
    if (next == memory.given.begin()) return false;
    --next;
    at -= next->first;
    return at <= next->second && bytes <= next->second - at;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    prepare();
    *total = memory.size;
    *left = memory.size - memory.live;
    return cudaSuccess;
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)number_of("EMU_DEVICES", 1);
    return *count ? cudaSuccess : emu_failed(cudaErrorNoDevice);
}

static bool is_device_number(int device) { return device >= 0 && device < number_of("EMU_DEVICES", 1); }

cudaError_t cudaSetDevice(int device)
{
    return is_device_number(device) ? cudaSuccess : emu_failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    if (!is_device_number(device)) return emu_failed(cudaErrorInvalidDevice);
    prepare();
    long sm = number_of("EMU_SM", 90);
    *prop = {};
    snprintf(prop->name, sizeof prop->name, "Emulated GPU");
    prop->totalGlobalMem = memory.size;
    prop->sharedMemPerBlock = EMU_SHARED_PLAIN;
    prop->sharedMemPerBlockOptin = EMU_SHARED_MAX;
    prop->sharedMemPerMultiprocessor = 228 << 10;
    prop->reservedSharedMemPerBlock = 1024;
    prop->totalConstMem = 64 << 10;
    prop->major = (int)sm / 10, prop->minor = (int)sm % 10;
    prop->multiProcessorCount = (int)number_of("EMU_PROCESSORS", 132);
    prop->l2CacheSize = 50 << 20;
    prop->warpSize = EMU_WARP;
    prop->regsPerBlock = prop->regsPerMultiprocessor = 64 << 10;
    prop->maxThreadsPerBlock = EMU_THREADS_MAX;
    prop->maxThreadsPerMultiProcessor = 2048;
    prop->maxBlocksPerMultiProcessor = 32;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024, prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 0x7fffffff, prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->clockRate = 1980000, prop->memoryClockRate = 3201000, prop->memoryBusWidth = 6144;
    prop->asyncEngineCount = 3, prop->concurrentKernels = 1;
    prop->canMapHostMemory = prop->unifiedAddressing = prop->ECCEnabled = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp prop;
    cudaError_t error = cudaGetDeviceProperties(&prop, device);
    if (error != cudaSuccess) return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = prop.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)prop.sharedMemPerBlock; break;
    case cudaDevAttrWarpSize: *value = prop.warpSize; break;
    case cudaDevAttrClockRate: *value = prop.clockRate; break;
    case cudaDevAttrMultiProcessorCount: *value = prop.multiProcessorCount; break;
    case cudaDevAttrMemoryClockRate: *value = prop.memoryClockRate; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = prop.memoryBusWidth; break;
    case cudaDevAttrL2CacheSize: *value = prop.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = prop.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = prop.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = prop.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = (int)prop.sharedMemPerMultiprocessor; break;
    case cudaDevAttrCooperativeLaunch: *value = 0; break;
    case cudaDevAttrMemoryPoolsSupported: *value = number_of("EMU_POOLS", 1) != 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)prop.sharedMemPerBlockOptin; break;
    default: return emu_failed(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceSetLimit(enum cudaLimit, size_t) { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = number_of("EMU_DEVICES", 1) ? CUDART_VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceReset(void) { return cudaSuccess; }

cudaError_t cudaGetDriverEntryPoint(
    const char *symbol, void **function, unsigned long long, enum cudaDriverEntryPointQueryResult *result)
{
    bool known = !strcmp(symbol, "cuTensorMapEncodeTiled");
    *function = known ? (void *)cuTensorMapEncodeTiled : NULL;
    if (result) *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return known ? cudaSuccess : emu_failed(cudaErrorSymbolNotFound);
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned,
    unsigned long long flags, enum cudaDriverEntryPointQueryResult *result)
{
    return cudaGetDriverEntryPoint(symbol, function, flags, result);
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t dims, void *base,
    const cuuint64_t *size, const cuuint64_t *stride, const cuuint32_t *box, const cuuint32_t *step,
    CUtensorMapInterleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill)
{
    static const uint8_t bytes[] = { 1, 2, 4, 4, 8, 8, 2, 4, 8, 2 };
    emu_tensor_map m = {};
    if (dims < 1 || dims > 5 || (unsigned)type >= sizeof bytes || (uintptr_t)base % 16 || (uintptr_t)map % 64)
        return CUDA_ERROR_INVALID_VALUE;
    m.mark = EMU_TENSOR_MARK;
    m.dims = (uint8_t)dims, m.bytes = bytes[type], m.base = base;
    m.swizzle = swizzle ? (uint8_t)((1u << swizzle) - 1) : 0;
    m.stride[0] = m.bytes;
    for (cuuint32_t d = 0; d < dims; d++) {
        if (!size[d] || size[d] > (cuuint64_t)1 << 32 || !box[d] || box[d] > 256 || !step[d] || step[d] > 8)
            return CUDA_ERROR_INVALID_VALUE;
        if (d && (stride[d - 1] % 16 || stride[d - 1] >= (cuuint64_t)1 << 40)) return CUDA_ERROR_INVALID_VALUE;
        if (d) m.stride[d] = stride[d - 1];
        m.size[d] = (uint32_t)(size[d] - 1) + 1;
        m.box[d] = (uint16_t)box[d];
        m.step[d] = (uint8_t)step[d];
    }
    size_t row = (size_t)box[0] * m.bytes;
    if (row % 16 || (swizzle && row > (size_t)16 << swizzle)) return CUDA_ERROR_INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy((void *)map, &m, sizeof m);
    return CUDA_SUCCESS;
}
