/* What the backend says of itself. */
#include "engine/device.h"

#include "engine/state.h"

#include <stdio.h>
#include <string.h>

_Static_assert(KV_DEVICE_OPS == KV_OPS_COUNTED, "all that a backend counts is passed on");

static void take_ops(const struct kv_backend_stats *stats, struct kv_device *out)
{
    for (int i = 0; i < stats->n_op; i++) {
        double us = stats->op[i].us;
        int at = out->n_op++;
        for (; at; at--) {
            bool longer = us > out->op[at - 1].us, as_long = us >= out->op[at - 1].us;
            if (!longer && !(as_long && stats->op[i].calls > out->op[at - 1].calls)) break;
            out->op[at] = out->op[at - 1];
        }
        out->op[at].name = stats->op[i].name;
        out->op[at].calls = stats->op[i].calls;
        out->op[at].timed = stats->op[i].timed;
        out->op[at].us = us;
        out->us += us;
    }
}

enum kv_status kv_device(const struct kv_engine *e, struct kv_device *out, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    *out = (struct kv_device){ 0 };
    enum kv_status status = engine_need_live(e, err);
    if (status) return status;
    snprintf(out->backend, sizeof out->backend, "%s", m->be ? e->backend_note : "none yet");
    if (!m->be) return KV_OK;
    struct kv_backend_stats stats;
    m->be->describe(m->ctx, out->device, sizeof out->device);
    m->be->stats(m->ctx, &stats);
    out->opened = true;
    out->live = stats.bytes_live;
    out->peak = stats.bytes_peak;
    out->scratch = stats.scratch_bytes;
    out->uploaded = stats.upload_bytes;
    out->calls = stats.launches;
    out->kernels = stats.kernels;
    out->graphs = stats.graphs;
    out->waits = stats.waits;
    take_ops(&stats, out);
    return KV_OK;
}

enum kv_status kv_time_ops(struct kv_engine *e, bool on, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    enum kv_status status = engine_need_live(e, err);
    if (!status && m->be && !m->be->time_ops)
        status = kv_fail(err, KV_UNSUPPORTED,
            "The backend %s has no clock for its ops; \"info line\" and \"info engine\" have the times of "
            "stages and phases.",
            m->be->name);
    if (!status && m->be) status = m->be->time_ops(m->ctx, on, err);
    if (!status) e->time_ops = on;
    return status;
}
