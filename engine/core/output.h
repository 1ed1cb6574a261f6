/* Where a core file goes: a new file beside the one to be, synced and renamed at the end. Internal to the engine. */
#ifndef KV_CORE_OUTPUT_H
#define KV_CORE_OUTPUT_H

#include <stdio.h>

#include "engine/engine.h"

struct output {
    const char *path;
    char *temp; /* NULL = not made */
    FILE *file;
    uint64_t done, total;
    struct kv_engine *e;
};

/* KV_IO with the system's reason. */
enum kv_status output_open(struct output *o, struct kv_error *err);
/* Tells the engine's progress, and hears its stop: KV_STOPPED. */
enum kv_status output_put(struct output *o, const void *data, size_t bytes, struct kv_error *err);
/* Renames when status is KV_OK and all was written; whatever failed, the temporary goes. Returns what became of it. */
enum kv_status output_close(struct output *o, enum kv_status status, struct kv_error *err);

#endif
