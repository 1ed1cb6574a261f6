/* Re-rotation on the host: a layer is turned once in its life. */
#include "engine/run/rerotate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One head's keys [n][d], each from its position to its slot. Both angles are rounded as RoPE rounds them (kernels/cpu/
 * rope.c), so that only their difference counts; YaRN's scale is in the keys already. */
static void turn(const struct kv_rope *rope, const int32_t *pos, int n, size_t d, float *k)
{
    int half = rope->dim / 2;
    size_t step = rope->halves ? 1 : 2, other = rope->halves ? (size_t)half : 1;
    for (int i = 0; i < n; i++, k += d)
        for (int c = 0; c < half && pos[i] != i; c++) {
            float *a = k + (size_t)c * step, *b = a + other;
            double angle = (double)((float)i * rope->frequency[c]) - (double)((float)pos[i] * rope->frequency[c]);
            double cosine = cos(angle), sine = sin(angle), was = (double)*a;
            *a = (float)(was * cosine - (double)*b * sine);
            *b = (float)((double)*b * cosine + was * sine);
        }
}

/* Keys [n][n_kv_head][d] of a layer on the host, turned. */
static enum kv_status turned_keys(
    const struct machine *m, const struct cache *c, int layer, int n, float *k, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    size_t d = (size_t)f->head_dim, heads = (size_t)f->n_kv_head, bytes = kv_type_bytes(f->type, (size_t)n * d);
    int32_t *pos = kv_alloc((size_t)n, sizeof *pos);
    void *raw = kv_alloc(bytes, 1);
    float *row = kv_alloc((size_t)n * d, sizeof *row);
    enum kv_status status = pos && raw && row ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory to turn %d keys.", n);
    for (size_t g = 0; g < heads && !status; g++) {
        struct cache_head head;
        status = cache_head(f, &c->span[layer], (int)g, &head, err);
        if (!status) status = f->be->read(f->ctx, raw, head.k, bytes, err);
        if (!status) status = f->be->read(f->ctx, pos, head.pos, (size_t)n * sizeof *pos, err);
        if (status) break;
        cache_to_f32(f->type, raw, (size_t)n * d, row);
        turn(&m->rope, pos, n, d, row);
        for (size_t i = 0; i < (size_t)n; i++) memcpy(k + (i * heads + g) * d, row + i * d, d * sizeof *k);
    }
    free(pos);
    free(raw);
    free(row);
    return status;
}

/* The layer's block of keys becomes one that they were appended to: both hold head behind head, n slots each. */
static enum kv_status put_keys(struct cache *c, int layer, int n, const float *k, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    size_t count = (size_t)n * (size_t)f->n_kv_head * (size_t)f->head_dim, bytes = count * sizeof *k;
    struct cache_format one = *f;
    struct cache room = { 0 };
    one.n_layer = 1;
    float *device = f->be->alloc(f->ctx, bytes);
    int32_t *pos = kv_alloc((size_t)n, sizeof *pos);
    enum kv_status status = device && pos ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory to turn %d keys.", n);
    for (int i = 0; i < n && pos; i++) pos[i] = i;
    if (!status) status = cache_init(&room, &one, err);
    if (!status) status = cache_alloc(&room, n, err);
    if (!status) status = f->be->write(f->ctx, device, k, bytes, err);
    if (!status)
        status =
            f->be->append(f->ctx, &room.span[0], f->type, f->n_kv_head, f->head_dim, device, device, pos, n, err);
    if (!status) status = f->be->copy(f->ctx, c->span[layer].k, room.span[0].k, kv_type_bytes(f->type, count), err);
    cache_free(&room);
    free(pos);
    if (device) f->be->release(f->ctx, device, bytes);
    return status;
}

enum kv_status rerotate_layer(const struct machine *m, struct cache *c, int layer, int n, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    float *k = kv_alloc((size_t)n * (size_t)f->n_kv_head * (size_t)f->head_dim, sizeof *k);
    if (!k) return kv_fail(err, KV_NO_MEMORY, "No memory to turn %d keys.", n);
    enum kv_status status = turned_keys(m, c, layer, n, k, err);
    if (!status) status = put_keys(c, layer, n, k, err);
    free(k);
    return status;
}
