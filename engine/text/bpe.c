/* Byte-pair merging with a hash table of merges, a linked list of symbols and a binary heap of candidates. */
#include "engine/text/bpe.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

static uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

static size_t slot_of(const struct bpe_table *table, uint64_t pair)
{
    uint64_t mixed = (pair ^ pair >> 29) * 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio */
    size_t i = (size_t)(mixed >> 32) & table->mask;
    while (table->slot[i].pair != pair && table->slot[i].pair != BPE_NO_PAIR) i = (i + 1) & table->mask;
    return i;
}

static const struct bpe_merge *find(const struct bpe_table *table, int32_t left, int32_t right)
{
    const struct bpe_merge *merge = &table->slot[slot_of(table, pair_of(left, right))];
    return merge->pair == BPE_NO_PAIR ? NULL : merge;
}

enum kv_status bpe_table_open(struct bpe_table *table, size_t n, struct kv_error *err)
{
    size_t slots = 16;
    while (slots / 2 < n) slots *= 2;
    table->mask = slots - 1;
    table->slot = kv_alloc(slots, sizeof *table->slot);
    if (!table->slot) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu merges of the vocabulary.", n);
    memset(table->slot, 0xFF, slots * sizeof *table->slot);
    return KV_OK;
}

void bpe_table_close(struct bpe_table *table)
{
    free(table->slot);
    table->slot = NULL;
}

void bpe_table_add(struct bpe_table *table, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t pair = pair_of(left, right);
    struct bpe_merge *merge = &table->slot[slot_of(table, pair)];
    if (merge->pair == BPE_NO_PAIR) *merge = (struct bpe_merge){ pair, rank, id };
}

void bpe_scratch_close(struct bpe_scratch *scratch)
{
    free(scratch->prev);
    free(scratch->next);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){ 0 };
}

static enum kv_status reserve(struct bpe_scratch *scratch, size_t n, struct kv_error *err)
{
    if (n <= scratch->capacity) return KV_OK;
    size_t capacity = kv_max(n, 64);
    bpe_scratch_close(scratch);
    scratch->prev = kv_alloc(capacity, sizeof *scratch->prev);
    scratch->next = kv_alloc(capacity, sizeof *scratch->next);
    scratch->heap = kv_alloc(capacity, 2 * sizeof *scratch->heap);
    if (!scratch->prev || !scratch->next || !scratch->heap) {
        return kv_fail(err, KV_NO_MEMORY, "No memory to tokenize a word of %zu bytes.", n);
    }
    scratch->capacity = capacity;
    return KV_OK;
}

static void heap_push(struct bpe_scratch *scratch, uint64_t key)
{
    uint64_t *heap = scratch->heap;
    size_t i = scratch->n_heap++;
    for (; i && heap[(i - 1) / 2] > key; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = key;
}

static uint64_t heap_pop(struct bpe_scratch *scratch)
{
    uint64_t *heap = scratch->heap, top = heap[0], last = heap[--scratch->n_heap];
    size_t n = scratch->n_heap, i = 0;
    for (size_t child = 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

static void consider(
    const struct bpe_table *table, struct bpe_scratch *scratch, const int32_t *symbol, uint32_t left)
{
    if (left == NONE || scratch->next[left] == NONE) return;
    const struct bpe_merge *merge = find(table, symbol[left], symbol[scratch->next[left]]);
    if (merge) heap_push(scratch, (uint64_t)merge->rank << 32 | left);
}

/* A symbol that was swallowed is marked -1. A candidate may be stale: its symbols have changed since, so the pair
 * found there now has another rank or none. Each merge takes one candidate and adds at most two: 2n is room. */
enum kv_status bpe_merge_word(const struct bpe_table *table, struct bpe_scratch *scratch, int32_t *symbol, size_t n,
    size_t *left, struct kv_error *err)
{
    enum kv_status status = reserve(scratch, n, err);
    *left = 0;
    if (status) return status;
    uint32_t *prev = scratch->prev, *next = scratch->next;
    for (size_t i = 0; i < n; i++) {
        prev[i] = i ? (uint32_t)i - 1 : NONE;
        next[i] = i + 1 < n ? (uint32_t)i + 1 : NONE;
    }
    scratch->n_heap = 0;
    for (size_t i = 0; i < n; i++) consider(table, scratch, symbol, (uint32_t)i);
    while (scratch->n_heap) {
        uint64_t key = heap_pop(scratch);
        uint32_t at = (uint32_t)key, right;
        if (symbol[at] < 0 || (right = next[at]) == NONE) continue;
        const struct bpe_merge *merge = find(table, symbol[at], symbol[right]);
        if (!merge || merge->rank != key >> 32) continue;
        symbol[at] = merge->id;
        symbol[right] = -1;
        next[at] = next[right];
        if (next[at] != NONE) prev[next[at]] = at;
        consider(table, scratch, symbol, prev[at]);
        consider(table, scratch, symbol, at);
    }
    for (size_t i = 0; i < n; i++) {
        if (symbol[i] >= 0) symbol[(*left)++] = symbol[i];
    }
    return KV_OK;
}
