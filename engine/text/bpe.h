/* Byte-pair merging of one word: the neighbors whose merge has the lowest rank join first, the leftmost of equal
 * ones before the others, until no neighbors have a merge (Sennrich et al. 2016, algorithm 1). */
#ifndef KV_BPE_H
#define KV_BPE_H

#include "kernels/base.h"

/* (left id, right id) -> (rank, merged id): open addressing, at most half full, immutable once filled. */
struct bpe_merge {
    uint64_t pair; /* left << 32 | right, BPE_NO_PAIR = empty slot */
    uint32_t rank; /* 0 merges first */
    int32_t id;
};

struct bpe_table {
    struct bpe_merge *slot; /* [mask + 1] owned */
    size_t mask;
};

#define BPE_NO_PAIR UINT64_MAX

/* Room for n merges. */
enum kv_status bpe_table_open(struct bpe_table *table, size_t n, struct kv_error *err);
void bpe_table_close(struct bpe_table *table);

/* Adds a merge; of a pair given twice the first, better rank stays. At most the n of bpe_table_open. */
void bpe_table_add(struct bpe_table *table, int32_t left, int32_t right, uint32_t rank, int32_t id);

/* Working memory, kept from word to word; zero-initialized, released by bpe_scratch_close. */
struct bpe_scratch {
    uint32_t *prev, *next; /* [capacity] list of the symbols that are left */
    uint64_t *heap;        /* [2 * capacity] rank << 32 | position of the left symbol, smallest first */
    size_t capacity, n_heap;
};

void bpe_scratch_close(struct bpe_scratch *scratch);

/* Merges the n symbols (token ids, n < 2^32) in place; *left = how many remain at the front. Time O(n log n). */
enum kv_status bpe_merge_word(const struct bpe_table *table, struct bpe_scratch *scratch, int32_t *symbol, size_t n,
    size_t *left, struct kv_error *err);

#endif
