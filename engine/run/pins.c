/* Sets of pins: counting references, and making one from another. */
#include "engine/run/pins.h"

#include <stdlib.h>
#include <string.h>

struct pins *pins_hold(struct pins *x)
{
    if (x) x->refs++;
    return x;
}

void pins_drop(struct pins *x)
{
    if (!x || --x->refs) return;
    free(x->budget);
    free(x->run);
    free(x);
}

void pins_set(struct pins **slot, struct pins *x)
{
    pins_hold(x);
    pins_drop(*slot);
    *slot = x;
}

bool pins_same(const struct pins *a, const struct pins *b)
{
    if (a == b) return true;
    if (!a || !b || a->n_layer != b->n_layer || a->n_run != b->n_run) return false;
    return !memcmp(a->budget, b->budget, (size_t)a->n_layer * sizeof *a->budget) &&
           (!a->n_run || !memcmp(a->run, b->run, (size_t)a->n_run * sizeof *a->run));
}

size_t pins_bytes(const struct pins *x)
{
    return x ? sizeof *x + (size_t)x->n_layer * sizeof *x->budget + (size_t)x->n_run * sizeof *x->run : 0;
}

bool pins_row(const struct pins *x, int layer, int n, int8_t *pin)
{
    bool any = false;
    memset(pin, 0, (size_t)n);
    for (int i = 0; x && i < x->n_run; i++) {
        const struct pin_run *run = &x->run[i];
        if (run->layer != layer) continue;
        for (int j = run->first; j < run->end && j < n; j++) pin[j] = (int8_t)run->pin, any = true;
    }
    return any;
}

int32_t pins_budget(const struct pins *x, int layer) { return x ? x->budget[layer] : -1; }

static enum kv_status no_memory(struct kv_error *err)
{
    return kv_fail(err, KV_NO_MEMORY, "No memory for an edit.");
}

/* An empty set with room for the budgets, which are those of x. */
static struct pins *fresh(const struct pins *x, int n_layer)
{
    struct pins *out = kv_alloc(1, sizeof *out);
    if (!out) return NULL;
    *out = (struct pins){ .refs = 1, .n_layer = n_layer };
    out->budget = kv_alloc((size_t)n_layer, sizeof *out->budget);
    if (!out->budget) {
        free(out);
        return NULL;
    }
    for (int l = 0; l < n_layer; l++) out->budget[l] = pins_budget(x, l);
    return out;
}

/* Appends the runs of one row. */
static bool add_row(struct pins *out, int *cap, int layer, int n, const int8_t *pin)
{
    for (int j = 0, end; j < n; j = end) {
        for (end = j + 1; end < n && pin[end] == pin[j];) end++;
        if (!pin[j]) continue;
        if (out->n_run == *cap) {
            *cap = *cap ? 2 * *cap : 16;
            struct pin_run *grown = realloc(out->run, (size_t)*cap * sizeof *grown);
            if (!grown) return false;
            out->run = grown;
        }
        out->run[out->n_run++] = (struct pin_run){ layer, j, end, pin[j] };
    }
    return true;
}

/* What says nothing is nothing. */
static struct pins *reduced(struct pins *x)
{
    bool says = x->n_run > 0;
    for (int l = 0; l < x->n_layer; l++) says |= x->budget[l] >= 0;
    if (says) return x;
    pins_drop(x);
    return NULL;
}

enum kv_status pins_with_tokens(const struct pins *x, int n_layer, int n, const int32_t *pos, int count, int first,
    int last, int pin, struct pins **out, struct kv_error *err)
{
    struct pins *next = fresh(x, n_layer);
    int8_t *row = kv_alloc((size_t)n, 1);
    bool whole = next && row;
    int cap = 0;
    *out = NULL;
    for (int l = 0; l < n_layer && whole; l++) {
        pins_row(x, l, n, row);
        if (l >= first && l <= last) {
            if (!pos) memset(row, pin, (size_t)n);
            for (int i = 0; pos && i < count; i++) row[pos[i]] = (int8_t)pin;
        }
        whole = add_row(next, &cap, l, n, row);
    }
    free(row);
    if (!whole) {
        pins_drop(next);
        return no_memory(err);
    }
    *out = reduced(next);
    return KV_OK;
}

enum kv_status pins_with_budgets(const struct pins *x, int n_layer, const int32_t *layer, const int32_t *tokens,
    int count, struct pins **out, struct kv_error *err)
{
    struct pins *next = fresh(x, n_layer);
    *out = NULL;
    if (next && x && x->n_run) {
        next->run = malloc((size_t)x->n_run * sizeof *next->run);
        if (next->run) memcpy(next->run, x->run, (size_t)x->n_run * sizeof *next->run);
        next->n_run = next->run ? x->n_run : 0;
    }
    if (!next || (x && next->n_run != x->n_run)) {
        pins_drop(next);
        return no_memory(err);
    }
    for (int i = 0; i < count; i++) next->budget[layer[i]] = tokens[i];
    *out = reduced(next);
    return KV_OK;
}
