/* What a core file will hold, before it is written: notes, and tensors with where each comes from. Internal to the writing
 * of core files. */
#ifndef KV_CORE_PLAN_H
#define KV_CORE_PLAN_H

#include "engine/core/parts.h"
#include "engine/core/put.h"
#include "engine/state.h"

#define CORE_MOST_NOTES 192

struct core_plan {
    struct kv_engine *e;
    struct item *item;
    int n_item, cap;
    struct st_note note[CORE_MOST_NOTES];
    int n_note;
    char *text[2 * CORE_MOST_NOTES]; /* owned: keys and texts */
    int n_text;
    int32_t *piece_id, *piece_start;
    char *piece_bytes;
    double *cost;
    int32_t *n_kept;
    char *header;
    size_t header_bytes;
};

/* Adds what the request and the settings say, and the caller's own notes; KV_NO_MEMORY, KV_BAD_ARG. */
enum kv_status core_notes(struct core_plan *p, const struct kv_core_want *want, struct kv_error *err);
enum kv_status core_note_number(struct core_plan *p, const char *key, long long n, struct kv_error *err);

/* Adds every tensor that is wanted and there. */
enum kv_status core_items(struct core_plan *p, const struct kv_core_want *want, struct kv_error *err);

#endif
