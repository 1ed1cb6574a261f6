/* Attention of the pass that stands between attend and observe: its queries and the log-sum-exp are still in the
 * machine, its keys are appended. */
#include "engine/reads.h"
#include "engine/state.h"

#include <stdlib.h>

static bool can_read(const struct kv_engine *e)
{
    return e->started && e->at.phase != KV_PHASE_done && e->at.phase != KV_PHASE_compress &&
           e->at.stage == KV_STAGE_observe;
}

int kv_reads_positions(const struct kv_engine *e)
{
    if (!can_read(e)) return 0;
    int behind = e->at.phase == KV_PHASE_prefill ? e->at.pass * e->used.segment : run_seen(&e->run);
    return behind + e->pass.n;
}

struct reading {
    float *device, *host; /* [rows][slots] probabilities */
    float *att, *lse;     /* device, of full: what attend writes */
    size_t cells, rows, wide, heads;
};

static enum kv_status open_reading(
    struct kv_engine *e, bool full, size_t slots, struct reading *r, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    const struct kv_shape *s = m->shape;
    *r = (struct reading){ .rows = (size_t)e->pass.n, .heads = (size_t)s->n_head };
    r->cells = r->rows * slots;
    r->wide = r->rows * r->heads * (size_t)s->head_dim;
    r->device = m->be->alloc(m->ctx, r->cells * sizeof(float));
    r->host = kv_alloc(r->cells, sizeof(float));
    if (full) r->att = m->be->alloc(m->ctx, r->wide * sizeof(float));
    if (full) r->lse = m->be->alloc(m->ctx, r->rows * r->heads * sizeof(float));
    if (r->device && r->host && (!full || (r->att && r->lse))) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY, "No memory for %zu attention rows of %zu keys.", r->rows, slots);
}

static void close_reading(const struct machine *m, struct reading *r)
{
    if (r->device) m->be->release(m->ctx, r->device, r->cells * sizeof(float));
    if (r->att) m->be->release(m->ctx, r->att, r->wide * sizeof(float));
    if (r->lse) m->be->release(m->ctx, r->lse, r->rows * r->heads * sizeof(float));
    free(r->host);
}

/* Row of the kept sets that a query head reads. */
static size_t row_of(const struct kv_engine *e, int head)
{
    const struct kv_shape *s = &e->model->shape;
    return selection_row(&e->sel, e->at.layer, head / (s->n_head / s->n_kv_head));
}

/* Folds the rows into the most that each position gets; whole = nothing of the prompt is evicted. */
static void fold(const struct kv_engine *e, const struct reading *r, bool whole, int head, size_t slots,
    float *most, int32_t *row)
{
    bool prefill = e->at.phase == KV_PHASE_prefill;
    const int32_t *kept = e->sel.kept + row_of(e, head) * (size_t)e->sel.n;
    size_t base = (size_t)e->run.base;
    size_t prefix = whole || prefill ? (size_t)e->n : (size_t)e->sel.n_kept[row_of(e, head)];
    size_t used = prefill ? slots : prefix + (size_t)e->run.tail_len + r->rows;
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < used; j++) {
            size_t at = prefill ? j : j >= prefix ? base + j - prefix : whole ? j : (size_t)kept[j];
            float p = r->host[i * slots + j];
            if (at >= (size_t)e->row_pos[i] || !(p > most[at])) continue;
            most[at] = p;
            row[at] = e->row_pos[i];
        }
}

static enum kv_status check(const struct kv_engine *e, bool full, int first, int heads, struct kv_error *err)
{
    int n_head = e->model->shape.n_head;
    if (!can_read(e) || (full && e->at.phase == KV_PHASE_prefill))
        return kv_fail(err, KV_NOT_NOW, "Reads can be looked at where attend has just run%s.",
            full ? ", in ask and decode" : "");
    if (full && e->run.base > e->n)
        return kv_fail(err, KV_NOT_NOW,
            "What the full cache would give cannot be read behind compress:1, for tokens of the reply are gone.");
    if (full && e->run.shift)
        return kv_fail(err, KV_NOT_NOW,
            "What the full cache would give cannot be read by queries that policy.positions rerotate has turned.");
    if (full && e->in_place)
        return kv_fail(err, KV_NOT_NOW,
            "The evicted keys are gone, for they were compacted in place: set engine.snapshot on, then run again.");
    if (first >= 0 && heads > 0 && heads <= n_head - first) return KV_OK;
    return kv_fail(err, KV_BAD_ARG, "Heads %d-%lld out of range; model has %d (0-%d).", first,
        (long long)first + heads - 1, n_head, n_head - 1);
}

enum kv_status kv_reads(
    struct kv_engine *e, bool full, int first, int heads, float *most, int32_t *row, struct kv_error *err)
{
    enum kv_status status = check(e, full, first, heads, err);
    if (status) return status;
    const struct machine *m = &e->machine;
    size_t positions = (size_t)kv_reads_positions(e), slots = positions;
    bool whole = full || e->at.phase == KV_PHASE_prefill;
    if (!whole) {
        int longest = 0;
        for (int h = 0; h < m->shape->n_head; h++)
            longest = (int)kv_max((size_t)longest, (size_t)e->sel.n_kept[row_of(e, h)]);
        slots -= (size_t)(e->run.base - longest);
    }
    struct reading r;
    struct pass pass = e->pass;
    struct kv_seq seq[PASS_SEQS];
    status = open_reading(e, full, slots, &r, err);
    if (full) pass.seq[0].prefix = e->resident.span;
    struct kv_attend a = pass_attention(&pass, e->at.layer, seq);
    a.entropy = NULL;
    if (full) a.out = r.att, a.lse = r.lse;
    if (!status && full) status = m->be->attend(m->ctx, &a, err);
    for (int h = 0; h < heads && !status; h++, most += positions, row += positions) {
        for (size_t j = 0; j < positions; j++) most[j] = 0, row[j] = -1;
        status = m->be->probabilities(m->ctx, &a, first + h, r.device, slots, err);
        if (!status) status = m->be->read(m->ctx, r.host, r.device, r.cells * sizeof(float), err);
        if (!status) fold(e, &r, full, first + h, slots, most, row);
    }
    close_reading(m, &r);
    return status;
}
