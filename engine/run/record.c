/* Entropies, column sums and the last query rows of a prefill. */
#include "engine/run/record.h"

#include "engine/policy/allocate.h"

#include <stdlib.h>
#include <string.h>

static size_t heads(const struct record *r) { return (size_t)r->m->shape->n_head; }
static size_t width(const struct record *r) { return heads(r) * (size_t)r->m->shape->head_dim; }
static size_t layers(const struct record *r) { return (size_t)r->m->shape->n_layer; }

enum kv_status record_init(
    struct record *r, const struct machine *m, unsigned needs, int n, int rows, struct kv_error *err)
{
    *r = (struct record){ .m = m, .needs = needs, .n = n, .host_layer = -1 };
    size_t per_key = layers(r) * heads(r) * (size_t)n * sizeof(float);
    size_t last = layers(r) * KV_LAST_ROWS * width(r) * sizeof(float);
    size_t segment = (size_t)rows * (width(r) > heads(r) ? width(r) : heads(r)) * sizeof(float);
    size_t host = 3 * heads(r) * (size_t)n * sizeof(float);
    r->rows = kv_alloc(layers(r), sizeof *r->rows);
    r->entropy = kv_alloc(1, per_key);
    r->stage = kv_alloc(1, segment);
    r->host = kv_alloc(1, host);
    size_t means = layers(r) * heads(r);
    r->mean = (struct means){ .head = kv_alloc(2 * means + layers(r), sizeof *r->mean.head),
        .rows = kv_alloc(layers(r), sizeof *r->mean.rows) };
    if (r->mean.head) r->mean.layer = r->mean.head + means, r->mean.sum = r->mean.layer + layers(r);
    if (needs & KV_NEED_COLUMNS) r->columns = m->be->alloc(m->ctx, per_key);
    if (needs & KV_NEED_LAST_ROWS) r->last_q = kv_alloc(1, last);
    r->bytes = per_key + segment + host + (r->columns ? per_key : 0) + (r->last_q ? last : 0);
    if (r->rows && r->entropy && r->stage && r->host && r->mean.head && r->mean.rows &&
        (r->columns || !(needs & KV_NEED_COLUMNS)) && (r->last_q || !(needs & KV_NEED_LAST_ROWS)))
        return KV_OK;
    record_free(r);
    return kv_fail(err, KV_NO_MEMORY, "No memory for the statistics of %d tokens (%zu bytes a kind).", n, per_key);
}

void record_free(struct record *r)
{
    free(r->rows);
    free(r->entropy);
    free(r->last_q);
    free(r->stage);
    free(r->host);
    free(r->mean.head);
    free(r->mean.rows);
    if (r->columns) r->m->be->release(r->m->ctx, r->columns, layers(r) * heads(r) * (size_t)r->n * sizeof(float));
    *r = (struct record){ .host_layer = -1 };
}

static enum kv_status observe_entropy(struct record *r, int n, int layer, int first, struct kv_error *err)
{
    const struct machine *m = r->m;
    size_t count = (size_t)n * heads(r);
    enum kv_status status = m->be->read(m->ctx, r->stage, m->entropy, count * sizeof(float), err);
    if (status) return status;
    float *to = r->entropy + (size_t)layer * heads(r) * (size_t)r->n + (size_t)first;
    for (size_t h = 0; h < heads(r); h++)
        for (int i = 0; i < n; i++) to[h * (size_t)r->n + (size_t)i] = r->stage[(size_t)i * heads(r) + h];
    return KV_OK;
}

static enum kv_status observe_last_rows(struct record *r, int n, int layer, int first, struct kv_error *err)
{
    int from = r->n - KV_LAST_ROWS > first ? r->n - KV_LAST_ROWS : first;
    if (from >= first + n) return KV_OK;
    const struct machine *m = r->m;
    float *to = r->last_q + (size_t)layer * KV_LAST_ROWS * width(r);
    enum kv_status status = m->be->read(m->ctx, r->stage, m->q + (size_t)(from - first) * width(r),
        (size_t)(first + n - from) * width(r) * sizeof(float), err);
    for (int i = from; i < first + n && !status; i++)
        memcpy(to + (size_t)(i % KV_LAST_ROWS) * width(r), r->stage + (size_t)(i - from) * width(r),
            width(r) * sizeof(float));
    return status;
}

enum kv_status record_observe(struct record *r, const struct pass *p, int layer, int first, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    r->host_layer = -1;
    if (r->needs & KV_NEED_ENTROPY) status = observe_entropy(r, p->n, layer, first, err);
    if (!status && r->columns) {
        struct kv_seq seq[PASS_SEQS];
        const struct kv_attend a = pass_attention(p, layer, seq);
        float *sums = r->columns + (size_t)layer * heads(r) * (size_t)r->n;
        status = r->m->be->columns(r->m->ctx, &a, sums, (size_t)r->n, err);
    }
    if (!status && r->last_q) status = observe_last_rows(r, p->n, layer, first, err);
    if (!status) r->rows[layer] = first + p->n;
    return status;
}

/* Attention that the last `rows` rows give each key, summed per head into sums [n_head][n] on the host: their
 * queries go back to the device, get their lse against the resident keys, and are summed by column. */
static enum kv_status sum_last_rows(
    struct record *r, int layer, int rows, const struct kv_span *resident, float *sums, struct kv_error *err)
{
    const struct machine *m = r->m;
    size_t count = heads(r) * (size_t)r->n * sizeof(float);
    const float *from = r->last_q + (size_t)layer * KV_LAST_ROWS * width(r);
    int32_t pos[KV_LAST_ROWS];
    enum kv_status status = KV_OK;
    for (int i = 0; i < rows && !status; i++) {
        pos[i] = r->n - rows + i;
        status = m->be->write(m->ctx, m->q + (size_t)i * width(r),
            from + (size_t)(pos[i] % KV_LAST_ROWS) * width(r), width(r) * sizeof(float), err);
    }
    float *device = m->be->alloc(m->ctx, count);
    if (!device) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of window scores.", count);
    struct pass p = { .m = (struct machine *)m, .pos = pos, .n = rows, .n_seq = 1 };
    p.seq[0] = (struct pass_seq){ .prefix = resident, .n = rows };
    struct kv_seq seq[PASS_SEQS];
    struct kv_attend a = pass_attention(&p, 0, seq);
    a.window = machine_window(m, layer);
    if (!status) status = m->be->attend(m->ctx, &a, err);
    if (!status) status = m->be->columns(m->ctx, &a, device, (size_t)r->n, err);
    if (!status) status = m->be->read(m->ctx, sums, device, count, err);
    m->be->release(m->ctx, device, count);
    return status;
}

/* Brings columns, window sums and the last row of a layer to the host, unless they are there. */
static enum kv_status fetch(
    struct record *r, int layer, int window, const struct kv_span *resident, struct kv_error *err)
{
    size_t part = heads(r) * (size_t)r->n;
    if (r->host_layer == layer && r->host_window == window) return KV_OK;
    r->host_layer = -1;
    enum kv_status status = KV_OK;
    if (r->columns)
        status = r->m->be->read(r->m->ctx, r->host, r->columns + (size_t)layer * part, part * sizeof(float), err);
    if (!status && r->last_q) status = sum_last_rows(r, layer, window, resident, r->host + part, err);
    if (!status && r->last_q) status = sum_last_rows(r, layer, 1, resident, r->host + 2 * part, err);
    if (status) return status;
    r->host_layer = layer;
    r->host_window = window;
    return KV_OK;
}

enum kv_status record_stats(struct record *r, unsigned needs, int layer, int window, const struct kv_span *resident,
    struct kv_stats *out, struct kv_error *err)
{
    const struct kv_shape *s = r->m->shape;
    size_t part = heads(r) * (size_t)r->n;
    if (needs & ~r->needs)
        return kv_fail(err, KV_NOT_NOW,
            "This policy needs statistics that the prefill did not collect: set engine.stats all, then run again.");
    if (window > r->n) window = r->n;
    if (needs & (KV_NEED_COLUMNS | KV_NEED_LAST_ROWS)) {
        enum kv_status status = fetch(r, layer, window, resident, err);
        if (status) return status;
    }
    *out = (struct kv_stats){ .layer = layer,
        .n = r->n,
        .n_head = s->n_head,
        .n_kv_head = s->n_kv_head,
        .sliding_window = machine_window(r->m, layer),
        .entropy = needs & KV_NEED_ENTROPY ? r->entropy + (size_t)layer * part : NULL,
        .columns = needs & KV_NEED_COLUMNS ? r->host : NULL,
        .window = needs & KV_NEED_WINDOW ? r->host + part : NULL,
        .last = needs & KV_NEED_LAST ? r->host + 2 * part : NULL };
    return KV_OK;
}

static void layer_mean(struct record *r, size_t l)
{
    const double *head = r->mean.head + l * heads(r);
    double sum = 0;
    for (size_t h = 0; h < heads(r); h++) sum += head[h];
    r->mean.layer[l] = sum / (double)heads(r);
}

/* Adds the rows that a layer has read since; from the start where the prefill was gone back in. */
static void add_rows(struct record *r, size_t l)
{
    struct means *m = &r->mean;
    if (m->rows[l] == r->rows[l]) return;
    double *sum = m->sum + l * heads(r);
    int first = m->rows[l] > 0 && m->rows[l] < r->rows[l] ? m->rows[l] : 0;
    for (size_t h = 0; h < heads(r); h++) {
        const float *row = r->entropy + (l * heads(r) + h) * (size_t)r->n;
        if (!first) sum[h] = 0;
        for (int i = first; i < r->rows[l]; i++) sum[h] += row[i];
        m->head[l * heads(r) + h] = sum[h] / r->rows[l];
    }
    m->rows[l] = r->rows[l];
    layer_mean(r, l);
}

void record_means(struct record *r, bool complete, const struct kv_policy *policy)
{
    struct means *m = &r->mean;
    bool same =
        m->whole && m->policy_rows == policy->rows && m->window == policy->window && m->unit == policy->entropy;
    if (complete && same) return;
    if (!complete && (m->whole || !m->rows[0]))
        for (size_t l = 0; l < layers(r); l++) m->rows[l] = -1;
    m->whole = complete;
    m->policy_rows = policy->rows;
    m->window = policy->window;
    m->unit = policy->entropy;
    for (size_t l = 0; l < layers(r); l++) {
        if (!complete) {
            add_rows(r, l);
            continue;
        }
        const struct kv_stats stats = { .layer = (int)l,
            .n = r->n,
            .n_head = r->m->shape->n_head,
            .sliding_window = machine_window(r->m, (int)l),
            .entropy = r->entropy + l * heads(r) * (size_t)r->n };
        policy_layer_entropy(policy, &stats, m->head + l * heads(r));
        layer_mean(r, l);
    }
}
