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
    int n_op;
    struct {
        const char *name; /* static */
        uint64_t calls;
    } op[KV_DEVICE_OPS]; /* most called first */
};

/* KV_NOT_NOW for a core file. */
enum kv_status kv_device(const struct kv_engine *e, struct kv_device *out, struct kv_error *err);

#endif
