/* Keys, values and slots of a core file that has them (+kv), and what the stages of its pass cost. */
#include "engine/core/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

/* "resident.k.3"; NULL where the file does not have it, or not in a shape that can be. */
static const struct st_tensor *cache_tensor(const struct kv_engine *e, const char *room, char which, int layer)
{
    const struct kv_shape *s = &e->model->shape;
    char name[48];
    snprintf(name, sizeof name, "%s.%c.%d", room, which, layer);
    const struct st_tensor *t = st_find(&e->core->file, name);
    bool own = e->sel.sets > 1 && !strcmp(room, "active");
    bool fits = t && core_is_real(t->type) && t->n_dim == (own ? 2 : 3) &&
                (own || t->dim[0] == (uint64_t)s->n_kv_head) && t->dim[t->n_dim - 1] == (uint64_t)s->head_dim &&
                t->dim[t->n_dim - 2] < INT32_MAX;
    return fits ? t : NULL;
}

/* Which question and reply tokens a later compression kept, a flag for each that it met: n of them, 0 = none did. */
static const uint8_t *later_row(const struct kv_engine *e, int layer, int kv_head, int *n)
{
    const struct kv_array *later = &e->core->value[core_value_index("kept.later")];
    *n = later->data ? (int)later->dim[later->n_dim - 1] : 0;
    if (!later->data) return NULL;
    return (const uint8_t *)later->data + selection_row(&e->sel, layer, kv_head) * (size_t)*n;
}

/* Slots that a KV head of the layer keeps: n_kept is of the prompt. */
static int n_kept(const struct kv_engine *e, int layer, int kv_head)
{
    int later, sum = selected(&e->sel, layer) ? e->sel.n_kept[selection_row(&e->sel, layer, kv_head)] : 0;
    const uint8_t *row = later_row(e, layer, kv_head, &later);
    for (int t = 0; t < later; t++) sum += row[t];
    return sum;
}

/* The same of all heads before this one, where they lie one behind the other. */
static uint64_t kept_before(const struct kv_engine *e, int layer, int kv_head)
{
    uint64_t sum = 0;
    for (int g = 0; g < kv_head; g++) sum += (uint64_t)n_kept(e, layer, g);
    return sum;
}

/* Tokens that the layer has read since it was compressed. */
static int tail_tokens(const struct kv_engine *e, int layer)
{
    const struct st_tensor *active = cache_tensor(e, "active", 'k', layer);
    int heads = e->model->shape.n_kv_head;
    int later;
    later_row(e, layer, 0, &later);
    if (!active) return e->run.tail_len - later;
    bool own = active->n_dim == 2;
    int64_t tail = own ? ((int64_t)active->dim[0] - (int64_t)kept_before(e, layer, heads)) / heads
                       : (int64_t)active->dim[1] - n_kept(e, layer, 0);
    return tail > 0 ? (int)tail : 0;
}

static int prompt_tokens(const struct kv_engine *e, int layer)
{
    const struct st_tensor *resident = cache_tensor(e, "resident", 'k', layer);
    return resident && (int)resident->dim[1] < e->n ? (int)resident->dim[1] : e->n;
}

int core_cache_tokens(const struct kv_engine *e, int layer)
{
    int later;
    later_row(e, layer, 0, &later);
    return prompt_tokens(e, layer) + later + tail_tokens(e, layer);
}

int core_cache_slots(const struct kv_engine *e, int layer, int kv_head, int32_t *pos, int room)
{
    const struct kv_array *kept = &e->core->value[core_value_index("kept")];
    const uint8_t *row = selected(&e->sel, layer) ? kept->data : NULL;
    int prompt = prompt_tokens(e, layer), tail = tail_tokens(e, layer), n = 0, met;
    const uint8_t *later = later_row(e, layer, kv_head, &met);
    if (row) row += selection_row(&e->sel, layer, kv_head) * (size_t)e->n;
    for (int j = 0; j < prompt; j++) {
        if (row && !row[j]) continue;
        if (n < room) pos[n] = j;
        n++;
    }
    for (int t = 0; t < met + tail; t++) {
        if (t < met && !later[t]) continue;
        if (n < room) pos[n] = e->n + t;
        n++;
    }
    return n;
}

/* Slots of one head that an active tensor holds, and the first of them. */
static int active_slots(
    const struct kv_engine *e, const struct st_tensor *t, int layer, int kv_head, uint64_t *first)
{
    uint64_t tail = (uint64_t)tail_tokens(e, layer), there = t->dim[t->n_dim - 2];
    *first = t->n_dim == 2 ? kept_before(e, layer, kv_head) + (uint64_t)kv_head * tail : (uint64_t)kv_head * there;
    if (t->n_dim == 3) return (int)there;
    uint64_t n = (uint64_t)n_kept(e, layer, kv_head) + tail;
    return *first > there ? 0 : (int)(n < there - *first ? n : there - *first);
}

/* n slots from `slot` on, all heads' numbered as one list, as f32. */
static enum kv_status read_slots(
    const struct kv_engine *e, const struct st_tensor *t, uint64_t slot, int n, float *out, struct kv_error *err)
{
    size_t d = (size_t)e->model->shape.head_dim, width = st_type_bytes[t->type], count = (size_t)n * d;
    void *raw = kv_alloc(count, width);
    if (!raw) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu keys or values.", count);
    enum kv_status status = st_read(&e->core->file, t, slot * d * width, count * width, raw, err);
    for (size_t i = 0; i < count && !status; i++) out[i] = (float)core_element(t->type, raw, i);
    free(raw);
    return status;
}

enum kv_status core_cache_rows(const struct kv_engine *e, bool values, int layer, int kv_head, int first, int n,
    float *out, struct kv_error *err)
{
    char which = values ? 'v' : 'k';
    const struct st_tensor *resident = cache_tensor(e, "resident", which, layer);
    const struct st_tensor *active = cache_tensor(e, "active", which, layer);
    uint64_t begin = 0;
    int prompt = prompt_tokens(e, layer), d = e->model->shape.head_dim;
    int slots = active ? active_slots(e, active, layer, kv_head, &begin) : 0;
    int32_t *pos = kv_alloc((size_t)slots + 1, sizeof *pos);
    if (!pos) return kv_fail(err, KV_NO_MEMORY, "No memory for %d slots.", slots);
    enum kv_status status = KV_OK;
    if (!resident && !active)
        status = kv_fail(err, KV_NOT_NOW, "%c is not in this core file; gcore +kv writes it.", which);
    int there = status ? 0 : core_cache_slots(e, layer, kv_head, pos, slots);
    for (int i = 0, slot = 0; i < n && !status; i++) {
        float *row = out + (size_t)i * (size_t)d;
        if (first + i < prompt && resident) {
            uint64_t at = (uint64_t)kv_head * resident->dim[1] + (uint64_t)(first + i);
            status = read_slots(e, resident, at, 1, row, err);
            continue;
        }
        while (slot < there && slot < slots && pos[slot] < first + i) slot++;
        if (slot < there && slot < slots && pos[slot] == first + i)
            status = read_slots(e, active, begin + (uint64_t)slot, 1, row, err);
        else
            for (int c = 0; c < d; c++) row[c] = NAN;
    }
    free(pos);
    return status;
}

int core_costs(const struct kv_engine *e, struct kv_cost *out, int room, int *now)
{
    const struct core *c = e->core;
    *now = c->item;
    for (int i = 0; i < c->n_cost && i < room; i++) out[i] = c->cost[i];
    return c->n_cost;
}

enum kv_status core_read_costs(struct kv_engine *e, struct kv_error *err)
{
    struct core *c = e->core;
    const struct st_tensor *t = st_find(&c->file, "costs");
    if (!t) return KV_OK;
    bool fits = t->type == ST_F64 && t->n_dim == 2 && t->dim[1] == CORE_COST_FIELDS && t->dim[0] < 1 << 20;
    if (!fits) return st_bad(&c->file, err, "tensor \"costs\" is not F64 [*][%d]", CORE_COST_FIELDS);
    size_t n = (size_t)t->dim[0];
    double *raw = kv_alloc(n * CORE_COST_FIELDS, sizeof *raw);
    c->cost = kv_alloc(n, sizeof *c->cost);
    enum kv_status status = raw && c->cost ? st_read(&c->file, t, 0, (size_t)t->bytes, raw, err)
                                           : kv_fail(err, KV_NO_MEMORY, "No memory for %zu stages.", n);
    for (size_t i = 0; i < n && !status; i++) {
        const double *f = raw + i * CORE_COST_FIELDS;
        bool right = f[0] >= 0 && f[0] < KV_STAGE_COUNT && f[1] >= -1 && f[1] < e->model->shape.n_layer &&
                     f[2] >= 0 && f[2] < 0x1p53;
        if (!right) status = st_bad(&c->file, err, "row %zu of tensor \"costs\" is no stage", i);
        if (right)
            c->cost[i] = (struct kv_cost){ (enum kv_stage)f[0], (int)f[1], (uint64_t)f[2], f[3], f[4], f[5] };
    }
    free(raw);
    if (!status) c->n_cost = (int)n;
    return status;
}
