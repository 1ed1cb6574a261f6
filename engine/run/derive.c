/* Statistics of one layer that are worked out when a policy asks for them, from what the prefill left: its keys and
 * values, its last queries, and the moments of all of them. */
#include "engine/run/record.h"

#include "engine/policy/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The room on the host, one kind behind the other: columns, window, last, expected, variance [n_head][n]; key norms [n_kv_head][n],
 * value norms [2][n_kv_head][n]. */
struct host {
    float *columns, *window, *last, *expected, *variance, *key_norms, *value_norms;
};

/* A layer at work. */
struct deriving {
    struct record *r;
    const struct kv_policy *policy;
    const struct record_keys *keys;
    int layer, rows; /* rows: of the window */
    size_t n, heads, kv_heads, d;
    struct host host;
};

size_t record_host_floats(const struct kv_shape *s, int n)
{
    return (5 * (size_t)s->n_head + 3 * (size_t)s->n_kv_head) * (size_t)n;
}

static struct host host_of(const struct record *r)
{
    size_t per_head = (size_t)r->m->shape->n_head * (size_t)r->n,
           per_kv = (size_t)r->m->shape->n_kv_head * (size_t)r->n;
    float *p = r->host;
    return (struct host){ p, p + per_head, p + 2 * per_head, p + 3 * per_head, p + 4 * per_head, p + 5 * per_head,
        p + 5 * per_head + per_kv };
}

/* count floats of a backend call's result, on the host. call gets them zeroed on the device. */
static enum kv_status from_device(struct deriving *g, float *to, size_t count,
    enum kv_status (*call)(struct deriving *g, float *device, struct kv_error *err), struct kv_error *err)
{
    const struct machine *m = g->r->m;
    float *device = m->be->alloc(m->ctx, count * sizeof *device);
    if (!device) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu statistics of a layer.", count);
    enum kv_status status = call(g, device, err);
    if (!status) status = m->be->read(m->ctx, to, device, count * sizeof *to, err);
    m->be->release(m->ctx, device, count * sizeof *device);
    return status;
}

/* --- the last rows ------------------------------------------------------------------------------------------------ */

/* Attention of the last `rows` rows over the keys, as backend ops take it: their queries go back to the device
 * and get their lse. */
struct last_rows {
    int32_t pos[KV_LAST_ROWS];
    struct pass pass;
    struct kv_seq seq[PASS_SEQS];
    struct kv_attend a;
};

static enum kv_status attend_last(struct deriving *g, int rows, struct last_rows *out, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    size_t width = g->heads * g->d;
    const float *from = g->r->last_q + (size_t)g->layer * KV_LAST_ROWS * width;
    enum kv_status status = KV_OK;
    for (int i = 0; i < rows && !status; i++) {
        out->pos[i] = g->keys->rows - rows + i;
        status = m->be->write(m->ctx, m->q + (size_t)i * width, from + (size_t)(out->pos[i] % KV_LAST_ROWS) * width,
            width * sizeof(float), err);
    }
    out->pass = (struct pass){ .m = (struct machine *)m, .pos = out->pos, .n = rows, .n_seq = 1 };
    out->pass.seq[0] = (struct pass_seq){ .prefix = g->keys->prefix, .n = rows };
    out->a = pass_attention(&out->pass, 0, out->seq); /* the span is this layer's, and of no other */
    if (g->keys->n_tail) out->seq[0].tail = *g->keys->tail;
    out->a.window = machine_window(m, g->layer);
    return status ? status : m->be->attend(m->ctx, &out->a, err);
}

static enum kv_status sum_rows(struct deriving *g, int rows, float *device, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    struct last_rows last;
    enum kv_status status = attend_last(g, rows, &last, err);
    return status ? status : m->be->columns(m->ctx, &last.a, device, g->n, err);
}

static enum kv_status sum_window(struct deriving *g, float *device, struct kv_error *err)
{
    return sum_rows(g, g->rows, device, err);
}

static enum kv_status sum_last(struct deriving *g, float *device, struct kv_error *err)
{
    return sum_rows(g, 1, device, err);
}

/* What one head's rows [rows][n] add to the spread over keys before the window. */
static void add_spread(const float *p, int rows, size_t n, double spread[2])
{
    for (size_t j = 0; j + (size_t)rows < n; j++) {
        double sum = 0, square = 0, mean;
        for (int i = 0; i < rows; i++) {
            float a = p[(size_t)i * n + j];
            sum += (double)a;
            spread[0] -= (double)(a * logf(a + 1e-10f));
        }
        mean = sum / rows;
        for (int i = 0; i < rows; i++)
            square += ((double)p[(size_t)i * n + j] - mean) * ((double)p[(size_t)i * n + j] - mean);
        spread[1] += square / (rows - 1);
    }
}

/* How one head's rows [rows][n] differ over each key. */
static void find_variance(const float *p, int rows, size_t n, float *variance)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0, square = 0;
        for (int i = 0; i < rows; i++) sum += (double)p[(size_t)i * n + j];
        for (int i = 0; i < rows; i++)
            square += ((double)p[(size_t)i * n + j] - sum / rows) * ((double)p[(size_t)i * n + j] - sum / rows);
        variance[j] = rows > 1 ? (float)(square / (rows - 1)) : 0;
    }
}

/* Spread and variance, for which the window's attention is made a head at a time. */
static enum kv_status derive_rows(struct deriving *g, bool want_spread, bool want_variance, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    size_t cells = (size_t)g->rows * g->n;
    struct last_rows last;
    double *spread = g->r->spread;
    if (want_spread) spread[0] = spread[1] = 0;
    float *device = m->be->alloc(m->ctx, cells * sizeof *device), *host = kv_alloc(cells, sizeof *host);
    enum kv_status status = device && host
                                ? attend_last(g, g->rows, &last, err)
                                : kv_fail(err, KV_NO_MEMORY, "No memory for %zu attention weights.", cells);
    for (size_t h = 0; h < g->heads && !status; h++) {
        status = m->be->probabilities(m->ctx, &last.a, (int)h, device, g->n, err);
        if (!status) status = m->be->read(m->ctx, host, device, cells * sizeof *host, err);
        if (!status && want_spread) add_spread(host, g->rows, g->n, spread);
        if (!status && want_variance) find_variance(host, g->rows, g->n, g->host.variance + h * g->n);
    }
    if (device) m->be->release(m->ctx, device, cells * sizeof *device);
    free(host);
    return status;
}

/* --- lengths -------------------------------------------------------------------------------------------------------- */

static enum kv_status norms(struct deriving *g, bool values, int power, float *device, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    const struct record_keys *k = g->keys;
    int heads = (int)g->kv_heads, d = (int)g->d;
    enum kv_status status = m->be->norms(m->ctx, k->prefix, values, power, m->kv_type, heads, d, device, g->n, err);
    if (status || !k->n_tail) return status;
    return m->be->norms(
        m->ctx, k->tail, values, power, m->kv_type, heads, d, device + (k->n - k->n_tail), g->n, err);
}

static enum kv_status key_norms(struct deriving *g, float *device, struct kv_error *err)
{
    return norms(g, false, 2, device, err);
}

static enum kv_status value_norms(struct deriving *g, float *device, struct kv_error *err)
{
    enum kv_status status = norms(g, true, 2, device, err);
    return status ? status : norms(g, true, 1, device + g->kv_heads * g->n, err);
}

/* --- queries to come ------------------------------------------------------------------------------------------------ */

/* RoPE's mean turn over the next `future` positions: turn [d] holds the mean cosine where the first channel of a pair
 * lies and the mean sine at the second, from turning (1, 0). */
static enum kv_status mean_turn(struct deriving *g, double *turn, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    int step = m->rope.halves ? 1 : 2, future = g->policy->future;
    int32_t pos[KV_LAST_ROWS];
    float *x = kv_alloc(KV_LAST_ROWS * g->d, sizeof *x);
    enum kv_status status = x ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %d positions.", KV_LAST_ROWS);
    memset(turn, 0, g->d * sizeof *turn);
    for (int at = 0; at < future && !status; at += KV_LAST_ROWS) {
        int n = future - at < KV_LAST_ROWS ? future - at : KV_LAST_ROWS;
        size_t count = (size_t)n * g->d;
        memset(x, 0, count * sizeof *x);
        for (int i = 0; i < n; i++) {
            pos[i] = g->keys->rows + at + i;
            for (int c = 0; c < m->rope.dim / 2; c++) x[(size_t)i * g->d + (size_t)(c * step)] = 1;
        }
        status = m->be->write(m->ctx, m->q, x, count * sizeof *x, err);
        if (!status) status = m->be->rope(m->ctx, &m->rope, pos, m->q, n, 1, (int)g->d, err);
        if (!status) status = m->be->read(m->ctx, x, m->q, count * sizeof *x, err);
        for (size_t k = 0; k < count; k++) turn[k % g->d] += (double)x[k] / future;
    }
    free(x);
    return status;
}

/* One vector under the mean turn, elements `stride` apart. */
static void turn_vector(const struct kv_rope *rope, const double *turn, double *x, size_t stride)
{
    size_t half = (size_t)rope->dim / 2, step = rope->halves ? 1 : 2, other = rope->halves ? half : 1;
    for (size_t c = 0; c < half; c++) {
        double *a = x + c * step * stride, *b = a + other * stride, was = *a;
        double cosine = turn[c * step], sine = turn[c * step + other];
        *a = was * cosine - *b * sine;
        *b = *b * cosine + was * sine;
    }
}

/* Mean [d] and covariance [d][d] of one head's queries under the mean turn; room is scratch [d][d] and [d]. */
static void turn_moments(
    const struct deriving *g, const float *block, const double *turn, double *room, float *mean, float *cov)
{
    size_t d = g->d;
    const struct kv_rope *rope = &g->r->m->rope;
    const float *about = block, *sum = block + d, *product = block + 2 * d;
    double rows = g->keys->rows - KV_MOMENT_SKIP, *full = room, *middle = room + d * d;
    for (size_t c = 0; c < d; c++) {
        middle[c] = (double)about[c] + (double)sum[c] / rows;
        for (size_t e = 0; e <= c; e++)
            full[c * d + e] = full[e * d + c] =
                (double)product[c * (c + 1) / 2 + e] / rows - (double)sum[c] / rows * ((double)sum[e] / rows);
    }
    turn_vector(rope, turn, middle, 1);
    for (size_t c = 0; c < d; c++) turn_vector(rope, turn, full + c * d, 1);
    for (size_t c = 0; c < d; c++) turn_vector(rope, turn, full + c, d);
    for (size_t c = 0; c < d; c++) mean[c] = (float)middle[c];
    for (size_t c = 0; c < d * d; c++) cov[c] = (float)full[c];
}

/* Means and covariances of all heads [heads] ([d] and [d][d]) to the device. */
static enum kv_status future_queries(struct deriving *g, float *mean, float *cov, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    size_t d = g->d, block = record_block(g->r->m->shape), each = d + d * d;
    float *from = kv_alloc(g->heads * block, sizeof *from), *to = kv_alloc(g->heads * each, sizeof *to);
    double *turn = kv_alloc(d + each, sizeof *turn);
    enum kv_status status = from && to && turn ? mean_turn(g, turn, err)
                                               : kv_fail(err, KV_NO_MEMORY, "No memory for the queries' moments.");
    if (!status)
        status = m->be->read(m->ctx, from, g->r->moments + (size_t)g->layer * g->heads * block,
            g->heads * block * sizeof *from, err);
    for (size_t h = 0; h < g->heads && !status; h++)
        turn_moments(g, from + h * block, turn, turn + d, to + h * d, to + g->heads * d + h * d * d);
    if (!status) status = m->be->write(m->ctx, mean, to, g->heads * d * sizeof *to, err);
    if (!status) status = m->be->write(m->ctx, cov, to + g->heads * d, g->heads * d * d * sizeof *to, err);
    free(from);
    free(to);
    free(turn);
    return status;
}

static enum kv_status expected(struct deriving *g, float *device, struct kv_error *err)
{
    const struct machine *m = g->r->m;
    size_t d = g->d, bytes = g->heads * (d + d * d) * sizeof(float);
    if (g->keys->rows <= KV_MOMENT_SKIP) return KV_OK;
    float *queries = m->be->alloc(m->ctx, bytes);
    if (!queries) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of expected queries.", bytes);
    float *cov = queries + g->heads * d;
    enum kv_status status = future_queries(g, queries, cov, err);
    if (!status)
        status = m->be->expect(m->ctx, g->keys->prefix, m->kv_type, (int)g->heads, (int)g->kv_heads, (int)d,
            queries, cov, 1 / sqrtf((float)d), device, g->n, err);
    if (!status && g->keys->n_tail)
        status = m->be->expect(m->ctx, g->keys->tail, m->kv_type, (int)g->heads, (int)g->kv_heads, (int)d, queries,
            cov, 1 / sqrtf((float)d), device + (g->keys->n - g->keys->n_tail), g->n, err);
    m->be->release(m->ctx, queries, bytes);
    return status;
}

/* --- added over heads ----------------------------------------------------------------------------------------------- */

bool record_can_fold(const struct record *r, unsigned needs)
{
    bool rows = needs & (KV_NEED_WINDOW | KV_NEED_LAST);
    return r->m->be->fold && (r->columns || !(needs & KV_NEED_COLUMNS)) && (r->last_q || !rows);
}

enum kv_status record_fold(struct record *r, unsigned need, int layer, const struct kv_policy *policy,
    const struct kv_span *resident, int sets, double *added, struct kv_error *err)
{
    const struct kv_shape *s = r->m->shape;
    const struct kv_backend *be = r->m->be;
    const struct record_keys keys = { .prefix = resident, .n = r->n, .rows = r->n };
    int window = policy->window < r->n ? policy->window : r->n, rows = need == KV_NEED_LAST ? 1 : window;
    struct deriving g = { r, policy, &keys, layer, rows, (size_t)r->n, (size_t)s->n_head, (size_t)s->n_kv_head,
        (size_t)s->head_dim, host_of(r) };
    size_t bytes = g.heads * g.n * sizeof(float);
    const float *sums = r->columns + (size_t)layer * g.heads * g.n;
    float *made = NULL;
    enum kv_status status = KV_OK;
    if (need != KV_NEED_COLUMNS) {
        sums = made = be->alloc(r->m->ctx, bytes);
        status = made ? sum_rows(&g, rows, made, err)
                      : kv_fail(err, KV_NO_MEMORY, "No memory for %zu statistics of a layer.", g.heads * g.n);
    }
    if (!status) status = be->fold(r->m->ctx, sums, g.n, sets, s->n_head / sets, g.n, added, err);
    if (made) be->release(r->m->ctx, made, bytes);
    return status;
}

/* --- entry ------------------------------------------------------------------------------------------------------------ */

/* A row of the record is as long as all keys that it has room for. */
static enum kv_status read_columns(struct deriving *g, struct kv_error *err)
{
    const struct record *r = g->r;
    const float *from = r->columns + (size_t)g->layer * g->heads * (size_t)r->n;
    size_t rows = g->n == (size_t)r->n ? 1 : g->heads, count = g->n * g->heads / rows;
    enum kv_status status = KV_OK;
    for (size_t h = 0; h < rows && !status; h++)
        status = r->m->be->read(
            r->m->ctx, g->host.columns + h * count, from + h * (size_t)r->n, count * sizeof(float), err);
    return status;
}

/* Entropies [n_head][rows] of the layer. */
static const float *entropies(const struct deriving *g)
{
    const struct record *r = g->r;
    const float *from = r->entropy + (size_t)g->layer * g->heads * (size_t)r->n;
    size_t rows = (size_t)g->keys->rows;
    if (!r->compact || rows == (size_t)r->n) return from;
    for (size_t h = 0; h < g->heads; h++)
        memcpy(r->compact + h * rows, from + h * (size_t)r->n, rows * sizeof *from);
    return r->compact;
}

/* Brings what is missing to the host. */
static enum kv_status derive(struct deriving *g, unsigned missing, struct kv_error *err)
{
    struct record *r = g->r;
    const struct host *to = &g->host;
    size_t per_head = g->heads * g->n, per_kv = g->kv_heads * g->n;
    enum kv_status status = KV_OK;
    if (missing & KV_NEED_COLUMNS) status = read_columns(g, err);
    if (!status && missing & KV_NEED_WINDOW) status = from_device(g, to->window, per_head, sum_window, err);
    if (!status && missing & KV_NEED_LAST) status = from_device(g, to->last, per_head, sum_last, err);
    if (!status && missing & (KV_NEED_SPREAD | KV_NEED_VARIANCE))
        status = derive_rows(g, missing & KV_NEED_SPREAD, missing & KV_NEED_VARIANCE, err);
    if (!status && missing & KV_NEED_KEY_NORMS) status = from_device(g, to->key_norms, per_kv, key_norms, err);
    if (!status && missing & KV_NEED_VALUE_NORMS)
        status = from_device(g, to->value_norms, 2 * per_kv, value_norms, err);
    if (!status && missing & KV_NEED_EXPECTED) status = from_device(g, to->expected, per_head, expected, err);
    if (!status) r->have |= missing;
    return status;
}

enum kv_status record_stats(struct record *r, unsigned needs, int layer, const struct kv_policy *policy,
    const struct kv_span *resident, struct kv_stats *out, struct kv_error *err)
{
    const struct record_keys keys = { .prefix = resident, .n = r->n, .rows = r->n };
    return record_stats_of(r, needs, layer, policy, &keys, out, err);
}

enum kv_status record_stats_of(struct record *r, unsigned needs, int layer, const struct kv_policy *policy,
    const struct record_keys *keys, struct kv_stats *out, struct kv_error *err)
{
    const struct kv_shape *s = r->m->shape;
    unsigned there = r->needs | KV_NEED_KEY_NORMS | KV_NEED_VALUE_NORMS | (r->last_q ? KV_NEED_LAST_ROWS : 0);
    if (needs & ~there)
        return kv_fail(err, KV_NOT_NOW,
            "This policy needs statistics that the prefill did not collect: set engine.stats all, then run again.");
    struct deriving g = { r, policy, keys, layer, policy->window < keys->rows ? policy->window : keys->rows,
        (size_t)keys->n, (size_t)s->n_head, (size_t)s->n_kv_head, (size_t)s->head_dim, host_of(r) };
    if (r->host_layer != layer || r->host_window != g.rows || r->host_future != policy->future) r->have = 0;
    r->host_layer = layer;
    r->host_window = g.rows;
    r->host_future = policy->future;
    enum kv_status status = record_settle(r, err);
    if (!status) status = derive(&g, needs & ~(r->have | KV_NEED_ENTROPY | KV_NEED_COSINE), err);
    if (status) return status;
    *out = (struct kv_stats){ .layer = layer,
        .n = keys->n,
        .n_head = s->n_head,
        .n_kv_head = s->n_kv_head,
        .sliding_window = machine_window(r->m, layer),
        .rows = keys->rows,
        .position = keys->position,
        .seen = r->seen ? r->seen + (size_t)layer * (size_t)r->n : NULL,
        .entropy = needs & KV_NEED_ENTROPY ? entropies(&g) : NULL,
        .columns = needs & KV_NEED_COLUMNS ? g.host.columns : NULL,
        .window = needs & KV_NEED_WINDOW ? g.host.window : NULL,
        .last = needs & KV_NEED_LAST ? g.host.last : NULL,
        .variance = needs & KV_NEED_VARIANCE ? g.host.variance : NULL,
        .spread = needs & KV_NEED_SPREAD ? r->spread : NULL,
        .key_norms = needs & KV_NEED_KEY_NORMS ? g.host.key_norms : NULL,
        .value_norms = needs & KV_NEED_VALUE_NORMS ? g.host.value_norms : NULL,
        .cosine = needs & KV_NEED_COSINE ? r->cosine + (size_t)layer * (size_t)r->n : NULL,
        .expected = needs & KV_NEED_EXPECTED ? g.host.expected : NULL };
    return KV_OK;
}
