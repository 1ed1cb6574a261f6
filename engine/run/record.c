/* Entropies, column sums and the last query rows of a prefill. */
#include "engine/run/record.h"

#include "engine/policy/allocate.h"

#include <stdlib.h>
#include <string.h>

static size_t heads(const struct record *r) { return (size_t)r->m->shape->n_head; }
static size_t width(const struct record *r) { return heads(r) * (size_t)r->m->shape->head_dim; }
size_t record_block(const struct kv_shape *shape)
{
    size_t d = (size_t)shape->head_dim;
    return 2 * d + d * (d + 1) / 2;
}

static size_t layers(const struct record *r) { return (size_t)r->m->shape->n_layer; }

/* Bytes of each of a record's arrays; 0 = not wanted. */
struct sizes {
    size_t entropy, stage, host, columns, moments, last, cosine, before;
};

static struct sizes sizes_of(const struct kv_shape *s, unsigned needs, int n, int rows)
{
    size_t heads_ = (size_t)s->n_head, d = (size_t)s->head_dim, cells = (size_t)s->n_layer * heads_;
    size_t per_key = cells * (size_t)n * sizeof(float), widest = heads_ * (d > 1 ? d : 1);
    struct sizes z = { .entropy = per_key,
        .stage = (size_t)rows * widest * sizeof(float),
        .host = record_host_floats(s, n) * sizeof(float) };
    if (needs & KV_NEED_COLUMNS) z.columns = per_key;
    if (needs & KV_NEED_EXPECTED) z.moments = cells * record_block(s) * sizeof(float);
    if (needs & KV_NEED_LAST_ROWS) z.last = cells * KV_LAST_ROWS * d * sizeof(float);
    if (!(needs & KV_NEED_COSINE)) return z;
    z.cosine = (size_t)s->n_layer * (size_t)n * sizeof(float);
    z.before = (size_t)rows * (size_t)s->hidden * sizeof(float);
    return z;
}

size_t record_bytes(const struct kv_shape *shape, unsigned needs, int n, int rows)
{
    struct sizes z = sizes_of(shape, needs, n, rows);
    return z.entropy + z.stage + z.host + z.columns + z.moments + z.last + z.cosine + z.before;
}

enum kv_status record_init(
    struct record *r, const struct machine *m, unsigned needs, int n, int rows, struct kv_error *err)
{
    *r = (struct record){ .m = m, .needs = needs, .n = n, .host_layer = -1 };
    struct sizes z = sizes_of(m->shape, needs, n, rows);
    r->rows = kv_alloc(layers(r), sizeof *r->rows);
    r->entropy = kv_alloc(1, z.entropy);
    r->stage = kv_alloc(1, z.stage);
    r->host = kv_alloc(1, z.host);
    size_t means = layers(r) * heads(r);
    r->mean = (struct means){ .head = kv_alloc(2 * means + layers(r), sizeof *r->mean.head),
        .rows = kv_alloc(layers(r), sizeof *r->mean.rows) };
    if (r->mean.head) r->mean.layer = r->mean.head + means, r->mean.sum = r->mean.layer + layers(r);
    r->sums_bytes = z.columns + z.moments;
    if (r->sums_bytes) r->sums = m->be->alloc(m->ctx, r->sums_bytes);
    if (r->sums && z.columns) r->columns = r->sums;
    if (r->sums && z.moments) r->moments = r->sums + z.columns / sizeof(float);
    if (z.last) r->last_q = kv_alloc(1, z.last);
    if (z.cosine) r->cosine = kv_alloc(1, z.cosine);
    if (z.before) r->before = m->be->alloc(m->ctx, r->before_bytes = z.before);
    r->bytes = record_bytes(m->shape, needs, n, rows);
    if (r->rows && r->entropy && r->stage && r->host && r->mean.head && r->mean.rows &&
        (r->sums || !r->sums_bytes) && (r->last_q || !z.last) && (r->cosine || !z.cosine) &&
        (r->before || !z.before)) {
        enum kv_status status = owed_open(&r->owed, r, rows, err);
        if (status) record_free(r);
        return status;
    }
    record_free(r);
    return kv_fail(
        err, KV_NO_MEMORY, "No memory for the statistics of %d tokens (%zu bytes a kind).", n, z.entropy);
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
    free(r->cosine);
    free(r->seen);
    free(r->compact);
    if (r->sums) r->m->be->release(r->m->ctx, r->sums, r->sums_bytes);
    if (r->before) r->m->be->release(r->m->ctx, r->before, r->before_bytes);
    owed_close(&r->owed, r);
    *r = (struct record){ .host_layer = -1 };
}

static enum kv_status observe_entropy(struct record *r, int n, int layer, int first, struct kv_error *err)
{
    const struct machine *m = r->m;
    size_t count = (size_t)n * heads(r);
    if (r->owed.device) return owed_entropy(r, layer, first, n, err);
    enum kv_status status = m->be->read(m->ctx, r->stage, m->entropy, count * sizeof(float), err);
    if (status) return status;
    float *to = r->entropy + (size_t)layer * heads(r) * (size_t)r->n + (size_t)first;
    for (size_t h = 0; h < heads(r); h++)
        for (int i = 0; i < n; i++) to[h * (size_t)r->n + (size_t)i] = r->stage[(size_t)i * heads(r) + h];
    return KV_OK;
}

static enum kv_status observe_last_rows(struct record *r, int n, int layer, int first, struct kv_error *err)
{
    int end = r->seen ? first + n : r->n, from = end - KV_LAST_ROWS > first ? end - KV_LAST_ROWS : first;
    if (from >= first + n) return KV_OK;
    const struct machine *m = r->m;
    const float *q = m->q + (size_t)(from - first) * width(r);
    if (r->owed.device) return owed_queries(r, layer, from, first + n - from, q, err);
    float *to = r->last_q + (size_t)layer * KV_LAST_ROWS * width(r);
    enum kv_status status =
        m->be->read(m->ctx, r->stage, q, (size_t)(first + n - from) * width(r) * sizeof(float), err);
    for (int i = from; i < first + n && !status; i++)
        memcpy(to + (size_t)(i % KV_LAST_ROWS) * width(r), r->stage + (size_t)(i - from) * width(r),
            width(r) * sizeof(float));
    return status;
}

enum kv_status record_observe(struct record *r, const struct pass *p, int layer, int first, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    r->have = 0;
    if (r->needs & KV_NEED_ENTROPY) status = observe_entropy(r, p->n, layer, first, err);
    if (!status && r->columns) {
        struct kv_seq seq[PASS_SEQS];
        const struct kv_attend a = pass_attention(p, layer, seq);
        float *sums = r->columns + (size_t)layer * heads(r) * (size_t)r->n;
        status = r->m->be->columns(r->m->ctx, &a, sums, (size_t)r->n, err);
    }
    if (!status && r->last_q) status = observe_last_rows(r, p->n, layer, first, err);
    if (!status && r->cosine)
        status = r->m->be->copy(
            r->m->ctx, r->before, r->m->x, (size_t)p->n * (size_t)r->m->shape->hidden * sizeof(float), err);
    if (!status) r->rows[layer] = first + p->n;
    return status;
}

void record_begin_pass(const struct record *r, struct pass *p, int first)
{
    if (!r->moments) return;
    int skip = first < KV_MOMENT_SKIP ? KV_MOMENT_SKIP - first : 0;
    p->moments = (struct pass_moments){ .at = r->moments,
        .step = heads(r) * record_block(r->m->shape),
        .skip = skip < p->n ? skip : p->n,
        .fresh = first <= KV_MOMENT_SKIP };
}

enum kv_status record_residual(struct record *r, const struct pass *p, int layer, int first, struct kv_error *err)
{
    const struct machine *m = r->m;
    if (!r->cosine) return KV_OK;
    /* the entropies of the rows are taken: their place holds a number a row */
    enum kv_status status = m->be->cosine(m->ctx, r->before, m->x, p->n, m->shape->hidden, m->entropy, err);
    if (status) return status;
    if (r->owed.device) return owed_cosine(r, layer, first, p->n, err);
    return m->be->read(m->ctx, r->cosine + (size_t)layer * (size_t)r->n + (size_t)first, m->entropy,
        (size_t)p->n * sizeof(float), err);
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

enum kv_status record_means(struct record *r, bool complete, const struct kv_policy *policy, struct kv_error *err)
{
    struct means *m = &r->mean;
    enum kv_status status = record_settle(r, err);
    if (status) return status;
    bool same =
        m->whole && m->policy_rows == policy->rows && m->window == policy->window && m->unit == policy->entropy;
    if (complete && same) return KV_OK;
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
    return KV_OK;
}
