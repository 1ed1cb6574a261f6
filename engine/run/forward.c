/* The stages of a forward pass as backend calls, and the machine they run on. */
#include "engine/run/forward.h"

#include "engine/model/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the machine ---------------------------------------------------------------------------------------------- */

static enum kv_status upload(
    struct machine *m, const struct kv_tensor *t, struct kv_matrix *out, struct kv_error *err)
{
    *out = (struct kv_matrix){ NULL, t->type, t->rows, t->cols };
    if (!t->data) return KV_OK;
    size_t bytes = kv_type_bytes(t->type, (size_t)t->rows * (size_t)t->cols);
    return m->be->upload(m->ctx, t->data, bytes, &out->data, err);
}

static enum kv_status upload_vector(
    struct machine *m, const struct kv_tensor *t, const float **out, struct kv_error *err)
{
    struct kv_matrix matrix;
    enum kv_status status = upload(m, t, &matrix, err);
    *out = matrix.data;
    return status;
}

static enum kv_status upload_layer(
    struct machine *m, const struct kv_layer_weights *w, struct machine_layer *l, struct kv_error *err)
{
    const struct {
        const struct kv_tensor *from;
        struct kv_matrix *to;
    } matrix[] = { { &w->q, &l->q }, { &w->k, &l->k }, { &w->v, &l->v }, { &w->o, &l->o }, { &w->gate, &l->gate },
        { &w->up, &l->up }, { &w->down, &l->down } };
    const struct {
        const struct kv_tensor *from;
        const float **to;
    } vector[] = { { &w->attn_norm, &l->attn_norm }, { &w->ffn_norm, &l->ffn_norm }, { &w->q_norm, &l->q_norm },
        { &w->k_norm, &l->k_norm }, { &w->q_bias, &l->q_bias }, { &w->k_bias, &l->k_bias },
        { &w->v_bias, &l->v_bias }, { &w->o_bias, &l->o_bias }, { &w->gate_bias, &l->gate_bias },
        { &w->up_bias, &l->up_bias }, { &w->down_bias, &l->down_bias } };
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < KV_COUNT(matrix) && !status; i++) status = upload(m, matrix[i].from, matrix[i].to, err);
    for (size_t i = 0; i < KV_COUNT(vector) && !status; i++)
        status = upload_vector(m, vector[i].from, vector[i].to, err);
    return status;
}

enum kv_status machine_open(struct machine *m, const struct kv_model *model, const struct kv_backend *be,
    const struct kv_backend_options *options, int kv_type, bool sliding, struct kv_error *err)
{
    const struct kv_shape *s = &model->shape;
    *m = (struct machine){ .be = be, .shape = s, .kv_type = kv_type, .sliding = sliding };
    m->rope = (struct kv_rope){ m->frequency, rope_frequencies(s, m->frequency), s->rope_dim,
        s->rope_pairing == KV_ROPE_HALVES };
    enum kv_status status = be->init(options, &m->ctx, err);
    if (status) {
        m->be = NULL;
        return status;
    }
    m->layer = kv_alloc((size_t)s->n_layer, sizeof *m->layer);
    if (!m->layer) status = kv_fail(err, KV_NO_MEMORY, "No memory for the weight table of %d layers.", s->n_layer);
    for (int l = 0; l < s->n_layer && !status; l++) status = upload_layer(m, &model->layer[l], &m->layer[l], err);
    if (!status) status = upload(m, &model->token_embd, &m->embd, err);
    if (!status) status = upload(m, &model->output, &m->head, err);
    if (!status) status = upload_vector(m, &model->output_norm, &m->output_norm, err);
    if (status) machine_close(m);
    return status;
}

void machine_close(struct machine *m)
{
    if (m->be) {
        if (m->block) m->be->release(m->ctx, m->block, m->block_bytes);
        m->be->free(m->ctx);
    }
    free(m->layer);
    free(m->turned);
    *m = (struct machine){ 0 };
}

static enum kv_status reserve_backend(struct machine *m, int rows, int keys, struct kv_error *err)
{
    const struct kv_shape *s = m->shape;
    int q = s->n_head * s->head_dim, widest = s->n_ff > s->hidden ? s->n_ff : s->hidden;
    const struct kv_limits limits = { rows, keys, PASS_SEQS, s->n_head, s->n_kv_head, s->head_dim,
        q > widest ? q : widest };
    return m->be->reserve(m->ctx, &limits, err);
}

size_t machine_bytes(const struct kv_shape *s, size_t rows)
{
    size_t q = (size_t)s->n_head * (size_t)s->head_dim, kv = (size_t)s->n_kv_head * (size_t)s->head_dim;
    size_t row = 2 * (size_t)s->hidden + 2 * q + 2 * kv + 2 * (size_t)s->n_ff + 2 * (size_t)s->n_head;
    return (rows * row + LOGIT_ROWS * (size_t)s->n_vocab) * sizeof(float);
}

/* The activations of `rows` rows in one block; what was in them is lost. */
static enum kv_status alloc_block(struct machine *m, int rows, struct kv_error *err)
{
    const struct kv_shape *s = m->shape;
    size_t n = (size_t)rows, q = (size_t)s->n_head * (size_t)s->head_dim;
    size_t kv = (size_t)s->n_kv_head * (size_t)s->head_dim;
    const struct {
        float **at;
        size_t count;
    } part[] = { { &m->x, n * (size_t)s->hidden }, { &m->h, n * (size_t)s->hidden }, { &m->q, n * q },
        { &m->k, n * kv }, { &m->v, n * kv }, { &m->att, n * q }, { &m->gate, n * (size_t)s->n_ff },
        { &m->up, n * (size_t)s->n_ff }, { &m->lse, n * (size_t)s->n_head }, { &m->entropy, n * (size_t)s->n_head },
        { &m->logits, (size_t)LOGIT_ROWS * (size_t)s->n_vocab } };
    size_t bytes = 0;
    for (size_t i = 0; i < KV_COUNT(part); i++) bytes += (part[i].count * sizeof(float) + 63) & ~(size_t)63;
    char *p = m->be->alloc(m->ctx, bytes);
    if (!p)
        return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of activations (%d rows a pass).", bytes, rows);
    if (m->block) m->be->release(m->ctx, m->block, m->block_bytes);
    m->block = p;
    m->block_bytes = bytes;
    for (size_t i = 0; i < KV_COUNT(part); i++) {
        *part[i].at = (float *)p;
        p += (part[i].count * sizeof(float) + 63) & ~(size_t)63;
    }
    return KV_OK;
}

/* Where memory is short the machine stays as it was, so that a pass that stands between two stages can go on. */
enum kv_status machine_reserve(struct machine *m, int rows, int keys, struct kv_error *err)
{
    if (rows <= m->rows && keys <= m->keys) return KV_OK;
    rows = rows > m->rows ? rows : m->rows;
    keys = keys > m->keys ? keys : m->keys;
    int32_t *turned = rows > m->rows ? realloc(m->turned, (size_t)rows * sizeof *turned) : m->turned;
    if (!turned) return kv_fail(err, KV_NO_MEMORY, "No memory for %d rows.", rows);
    m->turned = turned;
    enum kv_status status = reserve_backend(m, rows, keys, err);
    if (!status && rows > m->rows) status = alloc_block(m, rows, err);
    if (status) {
        if (m->rows && reserve_backend(m, m->rows, m->keys, NULL)) m->keys = 0;
        return status;
    }
    m->rows = rows;
    m->keys = keys;
    return KV_OK;
}

/* --- stages --------------------------------------------------------------------------------------------------- */

struct kv_attend pass_attention(const struct pass *p, int layer, struct kv_seq *seq)
{
    const struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    const int32_t *pos = p->pos;
    for (int i = 0; i < p->n_seq; i++) {
        const struct pass_seq *from = &p->seq[i];
        seq[i] = (struct kv_seq){ .row_pos = pos, .n_row = from->n };
        if (from->prefix) seq[i].prefix = from->prefix[layer * from->prefix_step];
        if (from->tail) seq[i].tail = from->tail[layer * from->tail_step];
        pos += from->n;
    }
    return (struct kv_attend){ .seq = seq,
        .n_seq = p->n_seq,
        .n_head = s->n_head,
        .n_kv_head = s->n_kv_head,
        .head_dim = s->head_dim,
        .type = m->kv_type,
        .scale = 1 / sqrtf((float)s->head_dim),
        .window = machine_window(m, layer),
        .q = m->q,
        .out = m->att,
        .lse = m->lse,
        .entropy = m->entropy };
}

static enum kv_status stage_qkv(struct pass *p, const struct machine_layer *l, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct kv_linear linear[] = { { l->q, l->q_bias, m->q, false }, { l->k, l->k_bias, m->k, false },
        { l->v, l->v_bias, m->v, false } };
    const struct kv_shape *s = m->shape;
    enum kv_status status = m->be->linear(m->ctx, linear, 3, m->h, p->n, err);
    if (!status && s->interleave) status = m->be->interleave(m->ctx, m->q, p->n, s->n_head, s->head_dim, err);
    if (!status && s->interleave) status = m->be->interleave(m->ctx, m->k, p->n, s->n_kv_head, s->head_dim, err);
    return status;
}

static enum kv_status add_moments(struct pass *p, int layer, struct kv_error *err)
{
    const struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    const struct pass_moments *to = &p->moments;
    if (!to->at || to->skip >= p->n) return KV_OK;
    return m->be->moments(m->ctx, m->q + (size_t)to->skip * (size_t)s->n_head * (size_t)s->head_dim,
        p->n - to->skip, s->n_head, s->head_dim, to->fresh, to->at + (size_t)layer * to->step, err);
}

/* Positions that RoPE turns the rows by. */
static const int32_t *turned_by(const struct pass *p, int layer)
{
    bool shifts = false;
    for (int i = 0; i < p->n_seq; i++) shifts = shifts || p->seq[i].shift;
    for (int i = 0, row = 0; shifts && i < p->n_seq; i++)
        for (int end = row + p->seq[i].n; row < end; row++)
            p->m->turned[row] = p->pos[row] - (p->seq[i].shift ? p->seq[i].shift[layer] : 0);
    return shifts ? p->m->turned : p->pos;
}

/* Where the model norms its heads (qwen3), that comes right before the rotation. */
static enum kv_status stage_rope(struct pass *p, int layer, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct machine_layer *l = &m->layer[layer];
    const struct kv_shape *s = m->shape;
    const int32_t *by = turned_by(p, layer);
    const struct {
        float *x;
        const float *norm;
        int heads;
    } side[] = { { m->q, l->q_norm, s->n_head }, { m->k, l->k_norm, s->n_kv_head } };
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < KV_COUNT(side) && !status; i++) {
        if (side[i].norm)
            status = m->be->norm(
                m->ctx, side[i].x, side[i].norm, s->norm_eps, p->n * side[i].heads, s->head_dim, side[i].x, err);
        if (!status && !i) status = add_moments(p, layer, err);
        if (!status) status = m->be->rope(m->ctx, &m->rope, by, side[i].x, p->n, side[i].heads, s->head_dim, err);
    }
    return status;
}

static enum kv_status stage_append(struct pass *p, int layer, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    size_t width = (size_t)s->n_kv_head * (size_t)s->head_dim, row = 0;
    enum kv_status status = KV_OK;
    for (int i = 0; i < p->n_seq && !status; i++) {
        const struct pass_seq *q = &p->seq[i];
        if (q->tail)
            status = m->be->append(m->ctx, &q->tail[layer * q->tail_step], m->kv_type, s->n_kv_head, s->head_dim,
                m->k + row * width, m->v + row * width, p->pos + row, q->n, err);
        row += (size_t)q->n;
    }
    return status;
}

static enum kv_status stage_ffn(struct pass *p, const struct machine_layer *l, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    const struct kv_linear in[] = { { l->gate, l->gate_bias, m->gate, false },
        { l->up, l->up_bias, m->up, false } };
    const struct kv_linear out = { l->down, l->down_bias, m->x, true };
    enum kv_status status = m->be->norm(m->ctx, m->x, l->ffn_norm, s->norm_eps, p->n, s->hidden, m->h, err);
    if (!status) status = m->be->linear(m->ctx, in, 2, m->h, p->n, err);
    if (!status) status = m->be->swiglu(m->ctx, m->gate, m->up, (size_t)p->n * (size_t)s->n_ff, m->gate, err);
    if (!status) status = m->be->linear(m->ctx, &out, 1, m->gate, p->n, err);
    return status;
}

enum kv_status pass_stage(struct pass *p, enum kv_stage stage, int layer, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    const struct machine_layer *l = layer >= 0 ? &m->layer[layer] : NULL;
    switch (stage) {
    case KV_STAGE_embed: return m->be->embed(m->ctx, &m->embd, p->ids, p->n, m->x, err);
    case KV_STAGE_norm: return m->be->norm(m->ctx, m->x, l->attn_norm, s->norm_eps, p->n, s->hidden, m->h, err);
    case KV_STAGE_qkv: return stage_qkv(p, l, err);
    case KV_STAGE_rope: return stage_rope(p, layer, err);
    case KV_STAGE_append: return stage_append(p, layer, err);
    case KV_STAGE_attend: {
        struct kv_seq seq[PASS_SEQS];
        const struct kv_attend a = pass_attention(p, layer, seq);
        return m->be->attend(m->ctx, &a, err);
    }
    case KV_STAGE_oproj: {
        const struct kv_linear out = { l->o, l->o_bias, m->x, true };
        return m->be->linear(m->ctx, &out, 1, m->att, p->n, err);
    }
    case KV_STAGE_ffn: return stage_ffn(p, l, err);
    default: return kv_fail(err, KV_BAD_ARG, "Stage %s is not part of a forward pass.", kv_stage_name[stage]);
    }
}

enum kv_status pass_layers(struct pass *p, int first, int last, struct kv_error *err)
{
    static const enum kv_stage stage[] = { KV_STAGE_norm, KV_STAGE_qkv, KV_STAGE_rope, KV_STAGE_append,
        KV_STAGE_attend, KV_STAGE_oproj, KV_STAGE_ffn };
    for (int l = first; l < last; l++)
        for (size_t i = 0; i < KV_COUNT(stage); i++) {
            enum kv_status status = pass_stage(p, stage[i], l, err);
            if (status) return status;
        }
    return KV_OK;
}

enum kv_status pass_head(struct pass *p, int row, int n, int at, struct kv_error *err)
{
    struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    float *h = m->h + (size_t)row * (size_t)s->hidden;
    const struct kv_linear head = { m->head, NULL, m->logits + (size_t)at * (size_t)s->n_vocab, false };
    enum kv_status status = m->be->norm(
        m->ctx, m->x + (size_t)row * (size_t)s->hidden, m->output_norm, s->norm_eps, n, s->hidden, h, err);
    return status ? status : m->be->linear(m->ctx, &head, 1, h, n, err);
}

/* --- parking -------------------------------------------------------------------------------------------------- */

struct part {
    float *device;
    size_t count;
};
enum { PARTS = 11 };

static size_t live_parts(const struct pass *p, struct part *part)
{
    const struct machine *m = p->m;
    const struct kv_shape *s = m->shape;
    size_t n = (size_t)p->n, q = (size_t)s->n_head * (size_t)s->head_dim;
    size_t kv = (size_t)s->n_kv_head * (size_t)s->head_dim;
    const struct part all[PARTS] = { { m->x, n * (size_t)s->hidden }, { m->h, n * (size_t)s->hidden },
        { m->q, n * q }, { m->k, n * kv }, { m->v, n * kv }, { m->att, n * q }, { m->gate, n * (size_t)s->n_ff },
        { m->up, n * (size_t)s->n_ff }, { m->lse, n * (size_t)s->n_head }, { m->entropy, n * (size_t)s->n_head },
        { m->logits, (size_t)s->n_vocab } };
    size_t count = 0;
    for (int i = 0; i < PARTS; i++) count += all[i].count;
    memcpy(part, all, sizeof all);
    return count;
}

enum kv_status pass_park(const struct pass *p, struct parked *out, struct kv_error *err)
{
    struct part part[PARTS];
    size_t count = live_parts(p, part), at = 0;
    out->host = kv_alloc(count, sizeof(float));
    if (!out->host) return kv_fail(err, KV_NO_MEMORY, "No memory to keep the activations of %d rows.", p->n);
    enum kv_status status = KV_OK;
    for (int i = 0; i < PARTS && !status; at += part[i++].count)
        status = p->m->be->read(p->m->ctx, out->host + at, part[i].device, part[i].count * sizeof(float), err);
    return status;
}

enum kv_status pass_unpark(const struct pass *p, struct parked *parked, struct kv_error *err)
{
    struct part part[PARTS];
    size_t at = 0;
    enum kv_status status = KV_OK;
    live_parts(p, part);
    for (int i = 0; i < PARTS && !status && parked->host; at += part[i++].count)
        status = p->m->be->write(p->m->ctx, part[i].device, parked->host + at, part[i].count * sizeof(float), err);
    free(parked->host);
    parked->host = NULL;
    return status;
}
