/* Streams, events, captured graphs, copies and launches. */
#include "runtime.h"
#include "fiber.h"

#include <chrono>
#include <deque>
#include <set>
#include <unordered_map>
#include <vector>

using work = std::function<void()>;

struct emu_graph {
    std::vector<work> works;
};

struct emu_stream {
    std::deque<work> waiting;
    uint64_t given, done; /* works */
    emu_graph *capture;
    bool invalid, origin; /* origin: where the capture began */
};

struct emu_event {
    emu_stream *stream;
    uint64_t at; /* works of the stream before it */
    bool recorded;
    emu_graph *capture;
    std::shared_ptr<double> ms;
};

static emu_stream null_stream;
static std::set<emu_stream *> streams = { &null_stream };

static emu_stream *stream_of(cudaStream_t stream) { return stream ? stream : &null_stream; }

static double now_ms(void)
{
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

bool emu_lazy(void)
{
    static int lazy = -1;
    const char *text = getenv("EMU_LAZY");
    if (lazy < 0) lazy = text && *text && strcmp(text, "0");
    return lazy > 0;
}

/* ---- a context that is lost ---- */

static bool lost;

bool emu_lost(void) { return lost; }

/* Whether the kernel that is to run now is the one that fails. */
static bool fails_now(void)
{
    static long number, fault = -1;
    const char *text = getenv("EMU_FAULT");
    if (fault < 0) fault = text ? atol(text) : 0;
    if (++number == fault) lost = true;
    return lost;
}

static cudaError_t unless_lost(void) { return lost ? emu_failed(cudaErrorIllegalAddress) : cudaSuccess; }

/* ---- queues ---- */

static void run_until(emu_stream *s, uint64_t until)
{
    emu_open_memory();
    while (s->done < until && !s->waiting.empty()) {
        work w = std::move(s->waiting.front());
        s->waiting.pop_front();
        if (!lost) w();
        s->done++;
    }
    emu_close_memory();
}

void emu_submit(cudaStream_t stream, work w)
{
    emu_stream *s = stream_of(stream);
    if (s->capture) {
        s->capture->works.push_back(std::move(w));
        return;
    }
    s->waiting.push_back(std::move(w));
    s->given++;
    if (!emu_lazy()) run_until(s, s->given);
}

void emu_drain(void)
{
    for (emu_stream *s : streams) run_until(s, s->given);
}

bool emu_forbidden_now(void)
{
    bool any = false;
    for (emu_stream *s : streams)
        if (s->capture) any = s->invalid = true;
    return any;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    int count;
    if (cudaGetDeviceCount(&count) != cudaSuccess) return cudaErrorNoDevice;
    *stream = new emu_stream();
    streams.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) { return cudaStreamCreate(stream); }

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!stream || !streams.count(stream)) return emu_failed(cudaErrorInvalidResourceHandle);
    run_until(stream, stream->given);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    emu_stream *s = stream_of(stream);
    if (!streams.count(s)) return emu_failed(cudaErrorInvalidResourceHandle);
    if (s->capture) {
        s->invalid = true;
        return emu_failed(cudaErrorStreamCaptureUnsupported);
    }
    run_until(s, s->given);
    return unless_lost();
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    emu_stream *s = stream_of(stream);
    if (s->capture) return cudaStreamSynchronize(stream);
    if (lost || s->done == s->given) return unless_lost();
    run_until(s, s->done + 1);
    return cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    emu_drain();
    return unless_lost();
}

/* ---- events ---- */

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new emu_event();
    (*event)->ms = std::make_shared<double>(0);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return cudaEventCreate(event); }

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event) return emu_failed(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    emu_stream *s = stream_of(stream);
    if (lost) return unless_lost();
    if (!event || !streams.count(s)) return emu_failed(cudaErrorInvalidResourceHandle);
    event->stream = s;
    event->recorded = true;
    event->capture = s->capture;
    std::shared_ptr<double> ms = event->ms;
    emu_submit(stream, [ms] { *ms = now_ms(); });
    event->at = s->given;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (!event) return emu_failed(cudaErrorInvalidResourceHandle);
    if (event->capture) {
        emu_forbidden_now();
        return emu_failed(cudaErrorStreamCaptureUnsupported);
    }
    if (event->recorded && streams.count(event->stream)) run_until(event->stream, event->at);
    return unless_lost();
}

static bool is_done(const emu_event *e)
{
    return !e->recorded || !streams.count(e->stream) || e->stream->done >= e->at;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    if (!event) return emu_failed(cudaErrorInvalidResourceHandle);
    if (event->capture) return cudaEventSynchronize(event);
    if (is_done(event)) return cudaSuccess;
    run_until(event->stream, event->stream->done + 1);
    return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    if (!from || !to || !from->recorded || !to->recorded) return emu_failed(cudaErrorInvalidResourceHandle);
    if (!is_done(from) || !is_done(to)) return cudaErrorNotReady;
    *ms = (float)(*to->ms - *from->ms);
    return cudaSuccess;
}

/* A stream that waits for an event of a capture joins the capture. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    emu_stream *s = stream_of(stream);
    if (!event || !streams.count(s)) return emu_failed(cudaErrorInvalidResourceHandle);
    if (event->capture) {
        if (!s->capture) s->capture = event->capture, s->invalid = s->origin = false;
        return cudaSuccess;
    }
    emu_stream *other = event->stream;
    uint64_t at = event->at;
    if (event->recorded && streams.count(other)) emu_submit(stream, [other, at] { run_until(other, at); });
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    if (lost) return unless_lost();
    if (!stream || !streams.count(stream)) return emu_failed(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return emu_failed(cudaErrorIllegalState);
    stream->capture = new emu_graph();
    stream->invalid = false;
    stream->origin = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = NULL;
    if (!stream || !stream->capture || !stream->origin) return emu_failed(cudaErrorIllegalState);
    emu_graph *captured = stream->capture;
    bool invalid = false;
    for (emu_stream *s : streams) {
        if (s->capture != captured) continue;
        invalid = invalid || s->invalid;
        s->capture = NULL;
    }
    if (invalid) {
        delete captured;
        return emu_failed(cudaErrorStreamCaptureInvalidated);
    }
    *graph = captured;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    const emu_stream *s = stream_of(stream);
    *status = !s->capture  ? cudaStreamCaptureStatusNone
              : s->invalid ? cudaStreamCaptureStatusInvalidated
                           : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    if (!graph) return emu_failed(cudaErrorInvalidValue);
    *exec = new emu_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t)
{
    return exec ? cudaSuccess : emu_failed(cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (lost) return unless_lost();
    if (!exec) return emu_failed(cudaErrorInvalidValue);
    if (stream_of(stream)->capture) return emu_failed(cudaErrorStreamCaptureUnsupported);
    std::vector<work> works = exec->works;
    emu_submit(stream, [works] {
        for (const work &w : works)
            if (!lost) w();
    });
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

/* ---- copies ---- */

static cudaError_t check_copy(const void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    bool to_device = emu_is_device(to), from_device = emu_is_device(from);
    bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind != cudaMemcpyDefault &&
        ((to_device != wants_to && !emu_is_pinned(to)) || (from_device != wants_from && !emu_is_pinned(from))))
        return cudaErrorInvalidValue;
    if ((to_device && !emu_is_inside(to, bytes)) || (from_device && !emu_is_inside(from, bytes)))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    emu_stream *s = stream_of(stream);
    if (lost) return unless_lost();
    cudaError_t error = bytes ? check_copy(to, from, bytes, kind) : cudaSuccess;
    if (error != cudaSuccess || !bytes) return emu_failed(error);
    bool host_from = !emu_is_device(from) && !emu_is_pinned(from),
         host_to = !emu_is_device(to) && !emu_is_pinned(to);
    if (host_from && emu_lazy() && !s->capture) {
        std::vector<char> copy((const char *)from, (const char *)from + bytes);
        emu_submit(stream, [=] { memcpy(to, copy.data(), bytes); });
    } else {
        emu_submit(stream, [=] { memmove(to, from, bytes); });
    }
    return host_to && !s->capture ? cudaStreamSynchronize(stream) : cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    emu_drain();
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, 0);
    return error == cudaSuccess ? cudaStreamSynchronize(0) : error;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
    size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    for (size_t i = 0; i < height; i++) {
        cudaError_t error =
            cudaMemcpyAsync((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width, kind, stream);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream)
{
    if (lost || !bytes) return unless_lost();
    if (emu_is_device(to) ? !emu_is_inside(to, bytes) : !emu_is_pinned(to))
        return emu_failed(cudaErrorInvalidValue);
    emu_submit(stream, [=] { memset(to, byte, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int byte, size_t bytes)
{
    if (emu_forbidden_now()) return emu_failed(cudaErrorStreamCaptureUnsupported);
    emu_drain();
    cudaError_t error = cudaMemsetAsync(to, byte, bytes, 0);
    return error == cudaSuccess ? cudaStreamSynchronize(0) : error;
}

/* ---- launches ---- */

static std::unordered_map<const void *, size_t> shared_allowed;

static size_t allowed(const void *function)
{
    auto found = shared_allowed.find(function);
    return found == shared_allowed.end() ? EMU_SHARED_PLAIN : found->second;
}

cudaError_t emu_set_attribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    if (!function) return emu_failed(cudaErrorInvalidDeviceFunction);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > EMU_SHARED_MAX) return emu_failed(cudaErrorInvalidValue);
    shared_allowed[function] = (size_t)value;
    return cudaSuccess;
}

cudaError_t emu_get_attributes(struct cudaFuncAttributes *attributes, const void *function)
{
    *attributes = {};
    attributes->maxThreadsPerBlock = EMU_THREADS_MAX;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes = (int)allowed(function);
    return function ? cudaSuccess : emu_failed(cudaErrorInvalidDeviceFunction);
}

cudaError_t emu_occupancy(int *blocks, const void *function, int threads, size_t shared)
{
    if (!function || threads < 1 || threads > EMU_THREADS_MAX) return emu_failed(cudaErrorInvalidValue);
    size_t by_shared = ((size_t)228 << 10) / (shared + 1024),
           by_threads = 2048 / (((size_t)threads + 31) / 32 * 32);
    *blocks = (int)(by_shared < by_threads ? by_shared : by_threads);
    if (*blocks > 32) *blocks = 32;
    return cudaSuccess;
}

cudaError_t emu_launch(const void *function, const cudaLaunchConfig_t *config, work body)
{
    emu_kernel kernel = { function, config->gridDim, config->blockDim, config->dynamicSmemBytes, std::move(body) };
    const dim3 g = kernel.grid, b = kernel.block;
    if (lost) return unless_lost();
    if (!streams.count(stream_of(config->stream))) return emu_failed(cudaErrorInvalidResourceHandle);
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
        return emu_failed(cudaErrorInvalidConfiguration);
    if (!b.x || !b.y || !b.z || b.x > 1024 || b.y > 1024 || b.z > 64 || (size_t)b.x * b.y * b.z > EMU_THREADS_MAX)
        return emu_failed(cudaErrorInvalidConfiguration);
    if (kernel.shared > allowed(function)) return emu_failed(cudaErrorInvalidValue);
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const cudaLaunchAttribute *a = &config->attrs[i];
        bool cluster = a->id == cudaLaunchAttributeClusterDimension &&
                       (size_t)a->val.clusterDim.x * a->val.clusterDim.y * a->val.clusterDim.z != 1;
        if (cluster || (a->id == cudaLaunchAttributeCooperative && a->val.cooperative))
            return emu_failed(cudaErrorNotSupported);
    }
    emu_submit(config->stream, [kernel] {
        if (fails_now()) return;
        emu_run(kernel);
        emu_check_memory(kernel.function);
    });
    return cudaSuccess;
}
