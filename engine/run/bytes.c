/* Bytes of a model and of a request that has not begun; see bytes.h. */
#include "engine/bytes.h"

#include "engine/core.h"
#include "engine/policy/allocate.h"
#include "engine/setting.h"
#include "engine/state.h"

#define SEGMENT_HOST   512
#define SEGMENT_DEVICE 4096 /* so many rows keep a GPU's tensor cores busy */

/* --- a request ------------------------------------------------------------------------------------------------------ */

static int cache_type(const struct kv_engine *e)
{
    static const int type[] = { KV_TYPE_F16, KV_TYPE_F32, KV_TYPE_BF16 };
    return e->set.precision == KV_PRECISION_F32 ? KV_TYPE_F32 : type[e->set.kv];
}

static size_t token_bytes(const struct kv_engine *e)
{
    const struct kv_shape *s = &e->model->shape;
    return 2 * kv_type_bytes(cache_type(e), (size_t)s->n_kv_head * (size_t)s->head_dim);
}

/* The record's, and what a selection keeps a key and set. */
static size_t stats_bytes(const struct kv_engine *e, size_t n, size_t rows)
{
    const struct kv_shape *s = &e->model->shape;
    unsigned needs = e->set.stats_all ? policy_needs_all() : policy_needs(&e->set.policy);
    size_t sets = (size_t)policy_sets(&e->set.policy, s->n_kv_head);
    return record_bytes(s, needs, (int)n, (int)rows) +
           (size_t)s->n_layer * sets * n * (sizeof *e->sel.kept + sizeof *e->sel.score + sizeof *e->sel.reason);
}

/* On a device no more than the prompt has, in whole SEGMENT_HOST, and no activations beyond a quarter of its memory. */
int engine_segment(const struct kv_engine *e)
{
    const struct machine *m = &e->machine;
    if (e->set.segment != SETTING_AUTO) return e->set.segment;
    if (!m->be || m->be->on_host) return SEGMENT_HOST;
    struct kv_backend_stats stats;
    int rows = SEGMENT_DEVICE;
    m->be->stats(m->ctx, &stats);
    size_t room = (stats.bytes_free + m->block_bytes) / 4;
    while (rows > SEGMENT_HOST && (rows / 2 >= e->n_all || (room && machine_bytes(m->shape, (size_t)rows) > room)))
        rows /= 2;
    return rows;
}

enum kv_status kv_wanted(const struct kv_engine *e, struct kv_wanted *out, struct kv_error *err)
{
    const struct kv_shape *s = &e->model->shape;
    const struct settings *set = &e->set;
    *out = (struct kv_wanted){ .weights = e->model->weight_bytes };
    if (e->core) return kv_fail(err, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    if (!e->n_all) return kv_fail(err, KV_NOT_NOW, "No prompt: use the prompt command or the option -p.");
    size_t n = (size_t)(set->policy.query_aware ? e->n_all : e->n_context), layers = (size_t)s->n_layer;
    size_t rows = kv_max((size_t)engine_segment(e), KV_LAST_ROWS);
    int room = s->n_context - e->n_all, reply = set->tokens < room ? set->tokens : room;
    size_t tail = (size_t)e->n_all - n + (size_t)(reply > 0 ? reply : 0), position = sizeof(int32_t);
    int64_t kept = policy_total(&set->policy, (int)n, s->n_layer, token_bytes(e));
    out->resident = layers * n * (token_bytes(e) + position);
    out->active = layers * tail * (token_bytes(e) + position);
    if (kept < (int64_t)(layers * n)) out->active += (size_t)kept * (token_bytes(e) + position);
    out->stats = stats_bytes(e, n, rows);
    out->scratch = machine_bytes(s, rows);
    out->own = out->resident + out->active + out->stats + out->scratch;
    return KV_OK;
}

/* The same on a device: caches, activations, and of the statistics what grows there. */
static enum kv_status check_device_memory(
    const struct kv_engine *e, const struct kv_wanted *w, struct kv_error *err)
{
    const struct machine *m = &e->machine;
    const struct kv_shape *s = &e->model->shape;
    const double mib = 1 << 20;
    struct kv_backend_stats stats;
    unsigned needs = e->set.stats_all ? policy_needs_all() : policy_needs(&e->set.policy);
    size_t rows = kv_max((size_t)engine_segment(e), KV_LAST_ROWS), cells = (size_t)s->n_layer * (size_t)s->n_head;
    size_t sums = cells * sizeof(float) * (rows + (needs & KV_NEED_COLUMNS ? (size_t)e->n_all : 0));
    size_t own = w->resident + w->active + w->scratch + sums;
    m->be->stats(m->ctx, &stats);
    size_t left = stats.bytes_free + m->block_bytes; /* these go where more are wanted */
    if (!stats.bytes_free || own <= left) return KV_OK;
    return kv_fail(err, KV_NO_MEMORY,
        "This request takes %.1f MiB of the GPU beside the weights (keys and values %.1f resident and %.1f active, "
        "statistics %.1f, activations %.1f), and %.1f MiB are free; a shorter prompt, engine.snapshot off, "
        "a smaller engine.segment or engine.stats policy takes less.",
        (double)own / mib, (double)w->resident / mib, (double)w->active / mib, (double)sums / mib,
        (double)w->scratch / mib, (double)left / mib);
}

enum kv_status engine_check_memory(const struct kv_engine *e, struct kv_error *err)
{
    struct kv_wanted w;
    size_t left = kv_memory_free();
    enum kv_status status = kv_wanted(e, &w, err);
    if (!status && e->machine.be && !e->machine.be->on_host) return check_device_memory(e, &w, err);
    if (status || !left || w.own <= left) return status;
    const double gib = 1 << 30;
    return kv_fail(err, KV_NO_MEMORY,
        "This request takes %.1f GiB beside the weights (keys and values %.1f resident and %.1f active, statistics "
        "%.1f, "
        "scratch %.1f), and %.1f GiB are free; a shorter prompt, engine.snapshot off, engine.stats policy or "
        "another "
        "engine.kv takes less.",
        (double)w.own / gib, (double)w.resident / gib, (double)w.active / gib, (double)w.stats / gib,
        (double)w.scratch / gib, (double)left / gib);
}

/* --- a model -------------------------------------------------------------------------------------------------------- */

static double bytes(const struct kv_tensor *t, bool bits16)
{
    if (!t->data) return 0;
    double numbers = (double)t->rows * t->cols;
    return bits16 ? 2 * numbers : (double)t->rows * (double)kv_type_bytes(t->type, (size_t)t->cols);
}

static double layer_bytes(const struct kv_layer_weights *w, bool bits16)
{
    const struct kv_tensor *const all[] = { &w->attn_norm, &w->ffn_norm, &w->q_norm, &w->k_norm, &w->q, &w->k,
        &w->v, &w->o, &w->q_bias, &w->k_bias, &w->v_bias, &w->o_bias, &w->gate, &w->up, &w->down, &w->gate_bias,
        &w->up_bias, &w->down_bias };
    double sum = 0;
    for (size_t i = 0; i < KV_COUNT(all); i++) sum += bytes(all[i], bits16);
    return sum;
}

void kv_footprint(const struct kv_engine *e, bool bits16, struct kv_footprint *out)
{
    const struct kv_model *m = e->model;
    const struct kv_shape *s = &m->shape;
    int sliding = 0;
    for (int l = 0; l < s->n_layer; l++) sliding += kv_shape_window(s, l) > 0;
    *out = (struct kv_footprint){ .token = (double)s->n_layer * (double)token_bytes(e),
        .window = e->set.sliding ? s->sliding_window : 0,
        .sliding = (double)sliding / s->n_layer };
    if (bits16) out->token = 4.0 * s->n_layer * s->n_kv_head * s->head_dim;
    if (!m->layer) return;
    out->read = bytes(&m->output_norm, bits16) + bytes(&m->output, bits16);
    for (int l = 0; l < s->n_layer; l++) out->read += layer_bytes(&m->layer[l], bits16);
    bool tied = m->output.data == m->token_embd.data;
    out->weights = out->read + (tied ? 0 : bytes(&m->token_embd, bits16));
}
