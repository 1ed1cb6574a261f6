/* The numbers of a picture: arrays copied, attention rows asked for in blocks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/policy/beside.h"
#include "inspector/lab/regret.h"
#include "inspector/picture/picture.h"

/* Attention rows asked for at once: fewer the longer they are, so that a block takes some 4 MiB. */
#define BLOCK_ROWS  64
#define BLOCK_BYTES (4 << 20)

/* --- attention ----------------------------------------------------------------------------------------------------------- */

/* Rows of one head, or the mean over the layer's heads, of one engine. */
static enum kv_status read_block(
    struct picture_source *src, struct kv_engine *e, int64_t row, int64_t rows, float *out, struct kv_error *err)
{
    const struct picture *p = &src->picture;
    int heads = src->session->facts.n_head;
    size_t n = (size_t)rows * src->stride;
    if (!p->mean) return kv_attention(e, p->layer, p->head, (int)row, (int)rows, out, src->stride, err);
    memset(out, 0, n * sizeof *out);
    float *one = src->other + (src->there ? (size_t)src->block * src->stride : 0);
    for (int h = 0; h < heads; h++) {
        enum kv_status st = kv_attention(e, p->layer, h, (int)row, (int)rows, one, src->stride, err);
        if (st) return st;
        for (size_t i = 0; i < n; i++) out[i] += one[i] / (float)heads;
    }
    return KV_OK;
}

static enum kv_status attention_row(void *ctx, size_t i, float *out, struct kv_error *err)
{
    struct picture_source *src = ctx;
    const struct picture *p = &src->picture;
    int64_t row = p->first + (int64_t)i;
    if (row < src->block_first || row >= src->block_first + src->block_rows) {
        int64_t rows = p->last - row + 1 < src->block ? p->last - row + 1 : src->block;
        src->block_rows = 0;
        enum kv_status st = read_block(src, src->session->engine, row, rows, src->data, err);
        if (!st && src->there) st = read_block(src, src->there, row, rows, src->other, err);
        if (st) return st;
        size_t n = (size_t)rows * src->stride;
        for (size_t k = 0; src->there && k < n; k++) src->data[k] -= src->other[k];
        src->block_first = row;
        src->block_rows = rows;
    }
    const float *from = src->data + (size_t)(row - src->block_first) * src->stride;
    for (int64_t j = p->left; j <= p->right; j++) {
        bool gone = src->gone && !src->there && row >= src->gone_from && src->gone[j];
        out[j - p->left] = j > row || gone ? NAN : from[j];
    }
    return KV_OK;
}

/* Which keys the layer evicted, and from which row on; nothing before compress. */
static enum kv_status read_gone(struct picture_source *src)
{
    struct session *s = src->session;
    struct kv_array kept;
    struct kv_error ignored;
    size_t n = (size_t)src->picture.last + 1;
    free(src->gone);
    src->gone = NULL;
    if (session_set(s, s->engine, "kept", session_kv_head(s, src->picture.head), &kept, &ignored)) return KV_OK;
    if (!(src->gone = kv_alloc(n, 1))) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu tokens.", n);
    src->gone_from = (int64_t)kept.dim[1];
    for (size_t j = 0; j < kv_min(n, kept.dim[1]); j++)
        src->gone[j] = array_number(&kept, (size_t)src->picture.layer * kept.dim[1] + j) == 0;
    return KV_OK;
}

static enum kv_status open_attention(struct session *s, struct picture_source *out)
{
    const struct picture *p = &out->picture;
    out->stride = (size_t)p->last + 1;
    out->block = (int64_t)kv_min(BLOCK_ROWS, kv_max(8, BLOCK_BYTES / (out->stride * sizeof *out->data)));
    size_t block = (size_t)out->block * out->stride;
    out->block_first = -1;
    size_t blocks = (*p->vs != 0) + (size_t)p->mean;
    out->data = kv_alloc(block, sizeof *out->data);
    out->other = blocks ? kv_alloc(blocks * block, sizeof *out->other) : NULL;
    out->matrix = (struct matrix){ .rows = (size_t)(p->last - p->first + 1),
        .cols = (size_t)(p->right - p->left + 1),
        .row = attention_row,
        .ctx = out };
    if (!out->data || (blocks && !out->other))
        return kv_fail(&s->err, KV_NO_MEMORY, "No memory for attention rows of %zu.", out->stride);
    enum kv_status st = *p->vs ? beside_full(s, &out->there) : KV_OK;
    return st ? st : read_gone(out);
}

enum kv_status picture_turn(struct picture_source *src, size_t k, struct kv_error *err)
{
    if (src->picture.panels == PANELS_HEADS) src->picture.head = (int)k;
    if (src->picture.panels == PANELS_LAYERS) src->picture.layer = (int)k;
    src->block_rows = 0;
    enum kv_status st = src->picture.panels ? read_gone(src) : KV_OK;
    if (st) *err = src->session->err;
    return st;
}

/* --- arrays -------------------------------------------------------------------------------------------------------------- */

static enum kv_status hold(struct session *s, struct picture_source *out, size_t rows, size_t cols)
{
    out->data = kv_alloc(rows * cols, sizeof *out->data);
    out->matrix = (struct matrix){ .rows = rows, .cols = cols, .data = out->data };
    return out->data ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a picture of %zu x %zu.", rows, cols);
}

static enum kv_status open_array(struct session *s, const char *name, struct picture_source *out)
{
    struct kv_array a;
    enum kv_status st = session_set(s, s->engine, name, session_kv_head(s, out->picture.head), &a, &s->err);
    if (st) return st;
    size_t rows = a.n_dim > 1 || out->picture.what == PICTURE_BUDGET ? a.dim[0] : 1, cols = 1;
    for (int d = rows == 1 ? 0 : 1; d < a.n_dim; d++) cols *= a.dim[d];
    st = hold(s, out, rows, cols);
    for (size_t i = 0; !st && i < rows * cols; i++) out->data[i] = (float)array_number(&a, i);
    return st;
}

/* A value [l][h][i] to [l][i]. */
static enum kv_status open_by_head(struct session *s, const char *name, struct picture_source *out)
{
    const struct picture *p = &out->picture;
    struct kv_array a;
    enum kv_status st = session_value(s, name, &a);
    if (st) return st;
    size_t layers = a.dim[0], heads = a.dim[1], n = a.dim[2];
    size_t from = p->mean ? 0 : (size_t)p->head, to = p->mean ? heads : from + 1;
    st = hold(s, out, layers, n);
    for (size_t l = 0; !st && l < layers; l++) {
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t h = from; h < to; h++) sum += array_number(&a, (l * heads + h) * n + i);
            out->data[l * n + i] = (float)(sum / (double)(to - from));
        }
    }
    return st;
}

/* The full cache's reply is read where nobody has done that yet. */
static enum kv_status open_regret(struct session *s, struct picture_source *out)
{
    struct kv_array a;
    struct kv_error why;
    int used;
    enum kv_status st = regret_may(s);
    if (!st && kv_value(s->engine, "regret", &a, &why)) st = regret_read(s, regret_steps(s), &used);
    return st ? st : open_by_head(s, "regret", out);
}

static int by_size_down(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Scores of the tokens that competed, from the best on. */
static enum kv_status open_curve(struct session *s, struct picture_source *out)
{
    struct kv_array a;
    int kv_head = session_kv_head(s, out->picture.head);
    enum kv_status st = session_set(s, s->engine, "score", kv_head, &a, &s->err);
    if (st) return st;
    size_t n = a.dim[1], competed = 0, base = (size_t)out->picture.layer * n;
    if ((st = hold(s, out, 1, n))) return st;
    for (size_t j = 0; j < n; j++) out->data[j] = (float)array_number(&a, base + j);
    if ((st = session_set(s, s->engine, "rank", kv_head, &a, &s->err))) return st;
    for (size_t j = 0; j < n; j++)
        if (array_number(&a, base + j) >= 0) out->data[competed++] = out->data[j];
    if (!competed)
        return kv_fail(&s->err, KV_NOT_FOUND, "No token of layer %d competed: all were kept or evicted by rule.",
            out->picture.layer);
    qsort(out->data, competed, sizeof *out->data, by_size_down);
    out->matrix.cols = competed;
    return KV_OK;
}

/* 1: kept only here; -1: only by the other policy; 0: both or neither. */
static enum kv_status open_kept_vs(struct session *s, struct picture_source *out)
{
    struct kv_array kept;
    struct kv_error err;
    enum kv_status st = open_array(s, "kept", out); /* says what is missing before anything runs */
    if (!st) st = beside_policy(s, out->picture.vs, &out->there);
    int kv_head = session_kv_head(s, out->picture.head);
    if (!st && session_set(s, out->there, "kept", kv_head, &kept, &err))
        st = kv_fail(&s->err, err.code, "%s", err.text);
    for (size_t i = 0; !st && i < out->matrix.rows * out->matrix.cols; i++)
        out->data[i] -= (float)array_number(&kept, i);
    return st;
}

enum kv_status picture_open(struct session *s, const struct picture *p, struct picture_source *out)
{
    static const struct {
        const char *value, *quantity, *unit;
    } kinds[PICTURE_COUNT] = {
        { "entropy", "attention entropy", "nats" },
        { "entropy_q", "attention entropy", "nats" },
        { "score", "token score", "attention, summed" },
        { "kept", "kept tokens", "share kept" },
        { "budget.app", "budget", "tokens" },
        { NULL, "attention", "probability" },
        { "score", "token score", "attention, summed" },
        { "kl", "KL(full || this run)", "nats" },
        { "regret", "attention to evicted tokens", "probability" },
    };
    *out = (struct picture_source){
        .session = s, .picture = *p, .quantity = kinds[p->what].quantity, .unit = kinds[p->what].unit
    };
    if (*p->vs && p->what == PICTURE_ATTN) out->quantity = "attention here less over the full cache";
    if (*p->vs && p->what == PICTURE_KEPT) out->quantity = "kept here less kept there";
    if (*p->vs) out->picture.scale.symmetric = true;
    switch (p->what) {
    case PICTURE_ATTN: return open_attention(s, out);
    case PICTURE_ENTROPY_Q: return open_by_head(s, kinds[p->what].value, out);
    case PICTURE_REGRET: return open_regret(s, out);
    case PICTURE_CURVE: return open_curve(s, out);
    case PICTURE_KEPT:
        if (*p->vs) return open_kept_vs(s, out);
        return open_array(s, kinds[p->what].value, out);
    default: return open_array(s, kinds[p->what].value, out);
    }
}

void picture_close(struct picture_source *src)
{
    free(src->data);
    free(src->other);
    free(src->gone);
    if (src->there) kv_engine_close(src->there);
    *src = (struct picture_source){ 0 };
}
