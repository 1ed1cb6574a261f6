/* Comparisons of caches: the run's twin on the full cache, runs against each other, given kept sets, and the noise floor
 * under them all. */
#include "engine/core/parts.h"
#include "engine/state.h"

#include "engine/run/contest.h"

#include <stdlib.h>
#include <string.h>

void twin_free(struct twin_result *t)
{
    free(t->full);
    free(t->other);
    free(t->kl);
    *t = (struct twin_result){ 0 };
}

/* What kl, full and other hold from now on: run 1 of a comparison against its run 0. */
static enum kv_status keep_result(struct twin_result *r, const struct kv_comparison *c, struct kv_error *err)
{
    size_t n = (size_t)c->steps;
    twin_free(r);
    *r = (struct twin_result){ c->steps, kv_alloc(n, sizeof *r->full), kv_alloc(n, sizeof *r->other),
        kv_alloc(n, sizeof *r->kl) };
    if (!r->full || !r->other || !r->kl) {
        twin_free(r);
        return kv_fail(err, KV_NO_MEMORY, "No memory for the result of %d steps.", c->steps);
    }
    memcpy(r->full, c->token, n * sizeof *r->full);
    memcpy(r->other, c->token + n, n * sizeof *r->other);
    memcpy(r->kl, c->kl + n, n * sizeof *r->kl);
    return KV_OK;
}

static enum kv_status need_full(const struct kv_engine *e, struct kv_error *err)
{
    if (!e->in_place) return KV_OK;
    return kv_fail(err, KV_NOT_NOW,
        "The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.");
}

enum kv_status kv_twin(struct kv_engine *e, int n, struct kv_verdict *verdict, struct kv_error *err)
{
    struct kv_comparison result;
    enum kv_status status = engine_need_compressed(e, err);
    if (status) return status;
    if (n < 1) return kv_fail(err, KV_BAD_ARG, "A twin needs at least 1 step, not %d.", n);
    if (e->core) return core_twin(e, n, verdict, err);
    status = need_full(e, err);
    if (status) return status;
    struct contest c = {
        .e = e, .prefix = { e->resident.span }, .n_seq = 2, .lead = e->set.leader_full ? 0 : 1, .what = "twin"
    };
    status = runs_prefix(e, kv_run_selected(e), &c.prefix[1], &c.again[1], &c.shift[1], err);
    if (!status) status = contest_run(&c, n, &result, err);
    if (!status) status = keep_result(&e->twin, &result, err);
    if (!status) *verdict = result.verdict[1];
    kv_comparison_free(&result);
    return status;
}

enum kv_status kv_compare(struct kv_engine *e, const int *run, int n_run, int lead, int n,
    struct kv_comparison *out, struct kv_error *err)
{
    *out = (struct kv_comparison){ 0 };
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (!status && (n_run < 1 || n_run > KV_RUNS_COMPARED || lead < 0 || lead >= n_run))
        status =
            kv_fail(err, KV_BAD_ARG, "%d runs cannot be compared at once, but 1 to %d.", n_run, KV_RUNS_COMPARED);
    struct contest c = { .e = e, .n_seq = n_run, .lead = lead, .what = "compare" };
    for (int i = 0; i < n_run && !status; i++) {
        c.own[i] = run[i] < 0;
        if (abs(run[i]) == KV_RUN_FULL) status = need_full(e, err);
        if (!status) status = runs_prefix(e, abs(run[i]), &c.prefix[i], &c.again[i], &c.shift[i], err);
    }
    return status ? status : contest_run(&c, n, out, err);
}

enum kv_status kv_full_reply(struct kv_engine *e, int n, const int32_t **token, int *n_token, struct kv_error *err)
{
    const struct full_reply *r = &e->full_reply;
    enum kv_status status = KV_OK;
    if (r->n < n && !(r->n && r->ended)) {
        struct kv_comparison c;
        status = kv_compare(e, (const int[]){ KV_RUN_FULL }, 1, 0, n, &c, err);
        kv_comparison_free(&c);
    }
    if (!status && !r->n) status = kv_fail(err, KV_NO_MEMORY, "No memory for a reply of %d tokens.", n);
    *token = r->token;
    *n_token = r->n < n ? r->n : n;
    return status;
}

/* --- given kept sets ------------------------------------------------------------------------------------------- */

/* Every head's own tokens of a layer; all of them are borrowed. */
static enum kv_status gather_heads(struct kv_engine *e, struct cache *to, int l, const int32_t *const *kept,
    const int *n_kept, struct kv_error *err)
{
    const struct cache_format *f = &e->format;
    size_t heads = (size_t)f->n_kv_head, n = (size_t)e->n;
    bool all = true;
    for (size_t g = 0; g < heads; g++) all = all && !kept[g];
    if (all) {
        cache_borrow_layer(to, l, &e->resident);
        return KV_OK;
    }
    int32_t *index = kv_alloc(heads * n, sizeof *index), *count = kv_alloc(heads, sizeof *count);
    enum kv_status status =
        index && count ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the sets of %zu KV heads.", heads);
    for (size_t g = 0; g < heads && !status; g++) {
        count[g] = kept[g] ? n_kept[g] : e->n;
        for (int k = 0; k < count[g]; k++) index[g * n + (size_t)k] = kept[g] ? kept[g][k] : k;
    }
    const struct kv_seq from = { .prefix = e->resident.span[l] };
    if (!status) status = cache_alloc_heads(to, l, count, err);
    if (!status)
        status = f->be->gather_heads(
            f->ctx, &from, f->type, f->n_kv_head, f->head_dim, index, n, count, &to->span[l], err);
    free(index);
    free(count);
    return status;
}

/* The layer's tokens gathered from the resident prefill; all of them are borrowed. */
static enum kv_status gather_layer(
    struct kv_engine *e, struct cache *to, int l, const int32_t *kept, int n_kept, struct kv_error *err)
{
    const struct cache_format *f = &e->format;
    if (!kept || n_kept == e->n) {
        cache_borrow_layer(to, l, &e->resident);
        return KV_OK;
    }
    if (n_kept < 1) return kv_fail(err, KV_BAD_ARG, "Layer %d would keep nothing.", l);
    const struct kv_seq from = { .prefix = e->resident.span[l] };
    enum kv_status status = cache_alloc_layer(to, l, n_kept, err);
    return status
               ? status
               : f->be->gather(f->ctx, &from, f->type, f->n_kv_head, f->head_dim, kept, n_kept, &to->span[l], err);
}

enum kv_status kv_compare_kept(struct kv_engine *e, const int32_t *const *kept, const int *n_kept, int n,
    struct kv_comparison *out, struct kv_error *err)
{
    return kv_compare_heads(e, 1, kept, n_kept, n, out, err);
}

enum kv_status kv_compare_heads(struct kv_engine *e, int heads, const int32_t *const *kept, const int *n_kept,
    int n, struct kv_comparison *out, struct kv_error *err)
{
    struct cache given = { 0 };
    *out = (struct kv_comparison){ 0 };
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (!status) status = need_full(e, err);
    if (!status) status = cache_init(&given, &e->format, err);
    if (!status && heads != 1 && heads != e->model->shape.n_kv_head)
        status = kv_fail(err, KV_BAD_ARG, "Kept sets are of all heads or of %d KV heads, not of %d.",
            e->model->shape.n_kv_head, heads);
    for (int l = 0; l < e->model->shape.n_layer && !status; l++)
        status = heads > 1 ? gather_heads(e, &given, l, kept + l * heads, n_kept + l * heads, err)
                           : gather_layer(e, &given, l, kept[l], n_kept[l], err);
    struct contest c = { .e = e, .prefix = { e->resident.span, given.span }, .n_seq = 2, .what = "compare" };
    if (!status) status = contest_run(&c, n, out, err);
    cache_free(&given);
    return status;
}

/* --- the noise floor ------------------------------------------------------------------------------------------- */

/* Another size that cuts the prompt otherwise: half as many rows, or two passes of a prompt that was one. */
static int other_segment(const struct kv_engine *e)
{
    int rows = e->used.segment < e->n ? e->used.segment : e->n;
    return rows > 1 ? (rows + 1) / 2 : 1;
}

static enum kv_status prefill_again(struct kv_engine *e, struct cache *to, struct kv_error *err)
{
    int rows = other_segment(e), n_layer = e->model->shape.n_layer;
    int32_t *pos = kv_alloc((size_t)e->n, sizeof *pos);
    enum kv_status status = pos ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %d positions.", e->n);
    for (int j = 0; pos && j < e->n; j++) pos[j] = j;
    for (int at = 0; at < e->n && !status; at += rows) {
        int n = e->n - at < rows ? e->n - at : rows;
        struct pass p = { .m = &e->machine, .ids = e->ids + at, .pos = pos + at, .n = n, .n_seq = 1 };
        p.seq[0] = (struct pass_seq){ .tail = to->span, .tail_step = 1, .n = n };
        status = pass_stage(&p, KV_STAGE_embed, -1, err);
        for (int l = 0; l < n_layer && !status; l++) {
            if (engine_stopped(e)) status = kv_fail(err, KV_STOPPED, "Stopped on request.");
            if (!status) status = pass_layers(&p, l, l + 1, err);
            engine_progress(e, "second prefill", at + n * (l + 1.0) / n_layer, e->n);
        }
    }
    free(pos);
    return status;
}

enum kv_status kv_compare_noise(struct kv_engine *e, int n, struct kv_comparison *out, struct kv_error *err)
{
    struct cache again = { 0 };
    struct parked parked = { 0 };
    *out = (struct kv_comparison){ 0 };
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_prefill(e, err);
    if (!status) status = need_full(e, err);
    if (!status) status = engine_park(e, &parked, err);
    if (!status) status = cache_init(&again, &e->format, err);
    if (!status) status = cache_alloc(&again, e->n, err);
    if (!status) status = prefill_again(e, &again, err);
    status = engine_unpark(e, &parked, status, err);
    struct contest c = { .e = e, .prefix = { e->resident.span, again.span }, .n_seq = 2, .what = "compare" };
    if (!status) status = contest_run(&c, n, out, err);
    cache_free(&again);
    return status;
}
