/* What computes: a page of the engine's public contract. */
#ifndef KV_DEVICE_H
#define KV_DEVICE_H

#include "engine/engine.h"

#define KV_DEVICE_OPS 48

/* The backend since it was opened. Bytes; counts. */
struct kv_device {
    char backend[200], device[320]; /* which and why; the device, its path and precision: a line each */
    bool opened;                    /* false: nothing below is known yet */
    size_t live, peak;              /* caches, activations and statistics: now, and at most */
    size_t scratch, uploaded;       /* of its own; copies of weights, 0 where they stay the host's */
    uint64_t calls;                 /* of all ops */
    uint64_t kernels, graphs;       /* started on a device; 0 on the CPU */
    uint64_t waits;                 /* of the host for a device; 0 on the CPU */
    double us;                      /* of all ops that were timed */
    int n_op;
    struct {
        const char *name; /* static */
        uint64_t calls, timed;
        double us;
    } op[KV_DEVICE_OPS]; /* most called first; where ops were timed, the longest first */
};

/* KV_NOT_NOW for a core file. */
enum kv_status kv_device(const struct kv_engine *e, struct kv_device *out, struct kv_error *err);

/* Puts a clock around each op from now on, also of backends that are opened later; ops are launched one by one then, but
 * what one kernel does at once stays so and has a row of its own. KV_UNSUPPORTED where the backend that is open has no such
 * clocks: the CPU, whose stages are timed anyway. */
enum kv_status kv_time_ops(struct kv_engine *e, bool on, struct kv_error *err);

#endif
