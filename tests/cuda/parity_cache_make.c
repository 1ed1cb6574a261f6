/* Random caches. */
#include "tests/cuda/parity_cache.h"

static size_t element_bytes(int type) { return type == KV_TYPE_F32 ? 4 : 2; }

/* Random bits of a value between 2^-6 and 4, or a normal f32. */
static void set_element(int type, void *data, size_t i)
{
    float x = normal();
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (type == KV_TYPE_F32) ((float *)data)[i] = x;
    if (type == KV_TYPE_BF16) ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    if (type == KV_TYPE_F16)
        ((uint16_t *)data)[i] =
            (uint16_t)((bits >> 16 & 0x8000) | (fabsf(x) < 0x1p-14f ? 0 : (bits >> 13 & 0x3ffff) - (112u << 10)));
}

static size_t slot_of(const struct cache *c, int g, int slot)
{
    const int32_t *start = c->start ? c->start->cpu : NULL;
    return (start ? (size_t)start[g] : (size_t)g * (size_t)c->cap) + (size_t)slot;
}

static int32_t *positions(const struct cache *c, int g)
{
    const int32_t *start = c->start ? c->start->cpu : NULL;
    return (int32_t *)c->pos->cpu + (start ? start[g] : g * c->pos_stride);
}

int cache_len(const struct cache *c, int g) { return c->cap ? ((int32_t *)c->len->cpu)[g * c->len_stride] : 0; }
int32_t cache_pos(const struct cache *c, int g, int slot) { return positions(c, g)[slot]; }

/* The value of 16 bits of either type, from a table: checks ask for many millions. */
static float half_value(int type, uint16_t bits)
{
    static float table[2][1 << 16];
    static bool filled;
    for (int t = 0; t < 2 && !filled; t++)
        for (int i = 0; i < 1 << 16; i++) {
            int fraction = t ? 10 : 7, exponent = i >> fraction & ((1 << (15 - fraction)) - 1);
            int bias = (1 << (14 - fraction)) - 1, sign = i & 0x8000 ? -1 : 1;
            double m = i & ((1 << fraction) - 1);
            double x =
                exponent ? ldexp(m + (1 << fraction), exponent - bias - fraction) : ldexp(m, 1 - bias - fraction);
            if (exponent == 2 * bias + 1) x = m != 0 ? (double)NAN : (double)INFINITY;
            table[t][i] = (float)(sign * x);
        }
    filled = true;
    return table[type == KV_TYPE_F16][bits];
}

double cache_element(const struct cache *c, bool values, int g, int slot, int channel)
{
    const void *data = values ? c->v->cpu : c->k->cpu;
    size_t i = slot_of(c, g, slot) * (size_t)c->d + (size_t)channel;
    if (c->type == KV_TYPE_F32) return (double)((const float *)data)[i];
    return (double)half_value(c->type, ((const uint16_t *)data)[i]);
}

static struct buffer *in_place(size_t bytes)
{
    struct buffer *b = input(bytes);
    b->guess = true;
    return b;
}

/* Memory for `slots` of all heads together. */
static void make_memory(struct cache *c, size_t slots, size_t positions)
{
    c->k = in_place(slots * (size_t)c->d * element_bytes(c->type));
    c->v = in_place(slots * (size_t)c->d * element_bytes(c->type));
    c->pos = in_place(positions * sizeof(int32_t));
    c->len = in_place((size_t)c->heads * sizeof(int32_t));
}

struct cache make_packed(int type, int heads, int d, const int32_t *n)
{
    struct cache c = { .type = type, .heads = heads, .d = d, .len_stride = 1, .cap = 1 };
    int32_t slots = 0;
    c.start = input((size_t)heads * sizeof(int32_t));
    for (int g = 0; g < heads; g++) {
        ((int32_t *)c.start->cpu)[g] = slots;
        slots += n[g];
        if (n[g] > c.cap) c.cap = n[g];
    }
    make_memory(&c, (size_t)slots, (size_t)slots);
    return c;
}

/* What lies in slots that are not in use is nobody's business: NaN. */
static void poison_unused(const struct cache *c)
{
    size_t row = (size_t)c->d * element_bytes(c->type);
    for (int g = 0; g < c->heads && !c->start; g++)
        for (int j = cache_len(c, g); j < c->cap; j++) {
            memset((char *)c->k->cpu + slot_of(c, g, j) * row, 0xff, row);
            memset((char *)c->v->cpu + slot_of(c, g, j) * row, 0xff, row);
        }
}

struct cache make_cache_from(int type, int heads, int d, int len, int room, enum lengths lengths, int32_t first)
{
    struct cache c = { .type = type, .heads = heads, .d = d, .cap = len + room, .last = first - 1 };
    int32_t n[64];
    if (!c.cap) return c;
    for (int g = 0; g < heads; g++) n[g] = lengths == SHARED ? len : between(len / 2, len);
    if (lengths == PACKED) {
        c = make_packed(type, heads, d, n);
    } else {
        if (lengths == BY_HEAD) c.len_stride = 1, c.pos_stride = c.cap;
        make_memory(&c, (size_t)heads * (size_t)c.cap, (size_t)(lengths == SHARED ? 1 : heads) * (size_t)c.cap);
    }
    c.last = first - 1;
    half_value(type, 0); /* fills the table before threads ask */
    for (size_t i = 0; i < c.k->bytes / element_bytes(type); i++) {
        set_element(type, c.k->cpu, i);
        set_element(type, c.v->cpu, i);
    }
    memset(c.pos->cpu, 0xff, c.pos->bytes);
    for (int g = 0; g < (lengths == SHARED ? 1 : heads); g++) {
        int32_t at = first - 1;
        ((int32_t *)c.len->cpu)[g] = n[g];
        for (int j = 0; j < n[g]; j++) positions(&c, g)[j] = at += between(1, 3);
        if (at > c.last) c.last = at;
    }
    poison_unused(&c);
    return c;
}

void poison_cache(const struct cache *c)
{
    if (!c->cap) return;
    memset(c->k->cpu, 0xff, c->k->bytes);
    memset(c->v->cpu, 0xff, c->v->bytes);
    memset(c->pos->cpu, 0xff, c->pos->bytes);
}

struct kv_span span_at(const struct side *s, const struct cache *c)
{
    struct kv_span span = { .cap = c->cap, .pos_stride = c->pos_stride, .len_stride = c->len_stride };
    if (!c->cap) return span;
    span.k = AT(s, c->k), span.v = AT(s, c->v), span.pos = AT(s, c->pos), span.len = AT(s, c->len);
    span.start = c->start ? AT(s, c->start) : NULL;
    return span;
}
