/* Allocation and borrowing of per-layer cache blocks. */
#include "engine/run/cache.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/blocks.h"

static size_t align64(size_t n) { return (n + 63) & ~(size_t)63; }

enum kv_status cache_init(struct cache *c, const struct cache_format *format, struct kv_error *err)
{
    size_t n = (size_t)format->n_layer;
    *c = (struct cache){ format, kv_alloc(n, sizeof *c->span), kv_alloc(n, sizeof *c->bytes),
        kv_alloc(n, sizeof *c->borrowed) };
    if (c->span && c->bytes && c->borrowed) return KV_OK;
    cache_free(c);
    return kv_fail(err, KV_NO_MEMORY, "No memory for the table of a cache of %zu layers.", n);
}

void cache_free(struct cache *c)
{
    if (c->span && c->bytes && c->borrowed)
        for (int l = 0; l < c->format->n_layer; l++) cache_drop_layer(c, l);
    free(c->span);
    free(c->bytes);
    free(c->borrowed);
    *c = (struct cache){ 0 };
}

void cache_drop_layer(struct cache *c, int l)
{
    if (c->span[l].cap && !c->borrowed[l]) c->format->be->release(c->format->ctx, c->span[l].k, c->bytes[l]);
    c->span[l] = (struct kv_span){ 0 };
    c->bytes[l] = 0;
    c->borrowed[l] = false;
}

enum kv_status cache_alloc_layer(struct cache *c, int l, int cap, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    size_t half = align64(kv_type_bytes(f->type, (size_t)cap * (size_t)f->n_kv_head * (size_t)f->head_dim));
    size_t pos = align64((size_t)cap * sizeof(int32_t));
    size_t bytes = 2 * half + pos + 64;
    cache_drop_layer(c, l);
    if (!cap) return KV_OK;
    char *block = f->be->alloc(f->ctx, bytes);
    if (!block)
        return kv_fail(
            err, KV_NO_MEMORY, "No memory for %zu bytes of keys and values (layer %d, %d tokens).", bytes, l, cap);
    c->span[l] = (struct kv_span){ .k = block,
        .v = block + half,
        .pos = (int32_t *)(block + 2 * half),
        .len = (int32_t *)(block + 2 * half + pos),
        .cap = cap };
    c->bytes[l] = bytes;
    return KV_OK;
}

/* Lengths are zero as allocated; the starts are written here once. */
static enum kv_status start_heads(struct cache *c, int l, const int32_t *n, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    struct kv_span *span = &c->span[l];
    int32_t start = 0, *at = span->len + f->n_kv_head;
    enum kv_status status = KV_OK;
    span->start = at;
    span->len_stride = 1;
    for (int g = 0; g < f->n_kv_head && !status; start += n[g++])
        status = f->be->write(f->ctx, at + g, &start, sizeof start, err);
    return status;
}

enum kv_status cache_alloc_heads(struct cache *c, int l, const int32_t *n, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    size_t slots = 0, heads = (size_t)f->n_kv_head;
    int longest = 0;
    for (size_t g = 0; g < heads; g++) {
        slots += (size_t)n[g];
        if (n[g] > longest) longest = n[g];
    }
    size_t half = align64(kv_type_bytes(f->type, slots * (size_t)f->head_dim));
    size_t pos = align64(slots * sizeof(int32_t)), bytes = 2 * half + pos + align64(2 * heads * sizeof(int32_t));
    cache_drop_layer(c, l);
    if (!slots) return KV_OK;
    char *block = f->be->alloc(f->ctx, bytes);
    if (!block)
        return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of keys and values (layer %d, %zu slots).",
            bytes, l, slots);
    c->span[l] = (struct kv_span){ .k = block,
        .v = block + half,
        .pos = (int32_t *)(block + 2 * half),
        .len = (int32_t *)(block + 2 * half + pos),
        .cap = longest };
    c->bytes[l] = bytes;
    return start_heads(c, l, n, err);
}

enum kv_status cache_alloc(struct cache *c, int cap, struct kv_error *err)
{
    for (int l = 0; l < c->format->n_layer; l++) {
        enum kv_status status = cache_alloc_layer(c, l, cap, err);
        if (status) return status;
    }
    return KV_OK;
}

void cache_borrow_layer(struct cache *c, int l, const struct cache *from)
{
    cache_drop_layer(c, l);
    c->span[l] = from->span[l];
    c->bytes[l] = from->bytes[l];
    c->borrowed[l] = true;
}

void cache_move_layer(struct cache *c, int l, struct cache *from)
{
    cache_borrow_layer(c, l, from);
    c->borrowed[l] = from->borrowed[l];
    from->borrowed[l] = true;
    cache_drop_layer(from, l);
}

enum kv_status cache_truncate(struct cache *c, int l, int len, struct kv_error *err)
{
    const struct cache_format *f = c->format;
    int first = l < 0 ? 0 : l, last = l < 0 ? f->n_layer - 1 : l;
    int32_t value = len;
    for (int i = first; i <= last; i++)
        for (int g = 0; g < (c->span[i].start ? f->n_kv_head : 1) && c->span[i].cap; g++) {
            enum kv_status status = f->be->write(f->ctx, c->span[i].len + g, &value, sizeof value, err);
            if (status) return status;
        }
    return KV_OK;
}

size_t cache_bytes(const struct cache *c)
{
    size_t sum = 0;
    for (int l = 0; c->span && l < c->format->n_layer; l++) sum += c->bytes[l];
    return sum;
}

void cache_to_f32(int type, const void *from, size_t n, float *out)
{
    const uint16_t *half = from;
    if (type == KV_TYPE_F32) memcpy(out, from, n * sizeof *out);
    for (size_t i = 0; i < n && type == KV_TYPE_F16; i++) out[i] = kv_f16_to_f32(half[i]);
    for (size_t i = 0; i < n && type == KV_TYPE_BF16; i++) out[i] = kv_bf16_to_f32(half[i]);
}

enum kv_status cache_head(const struct cache_format *f, const struct kv_span *span, int kv_head,
    struct cache_head *out, struct kv_error *err)
{
    int32_t len = 0, start = kv_head * span->cap;
    size_t row = kv_type_bytes(f->type, (size_t)f->head_dim);
    *out = (struct cache_head){ 0 };
    if (!span->cap) return KV_OK;
    enum kv_status status =
        f->be->read(f->ctx, &len, span->len + (size_t)kv_head * (size_t)span->len_stride, sizeof len, err);
    if (!status && span->start) status = f->be->read(f->ctx, &start, span->start + kv_head, sizeof start, err);
    if (status) return status;
    *out = (struct cache_head){ len, (const char *)span->k + (size_t)start * row,
        (const char *)span->v + (size_t)start * row,
        span->pos + (span->start ? (size_t)start : (size_t)kv_head * (size_t)span->pos_stride) };
    return KV_OK;
}
