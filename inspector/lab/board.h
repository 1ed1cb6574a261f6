/* The profile in hand: what was measured or read last, for a screen that draws it beside the command, curve by curve as
 * they come. Safe to call from several threads. */
#ifndef KV_LAB_BOARD_H
#define KV_LAB_BOARD_H

#include "engine/profile.h"

#define BOARD_PATH 200

struct board {
    struct kv_profile *profile;  /* owned by whoever took it; NULL = none was put there yet */
    char path[BOARD_PATH];       /* of its file */
    int prompt, selector, layer; /* of the curve that is being measured; prompt -1 = none is */
    uint64_t version;            /* counts what was put there; 0 = nothing yet */
};

/* Copies it there; prompt -1: nothing is being measured. Without memory the last one stays. */
void board_put(const struct kv_profile *p, const char *path, int prompt, int selector, int layer);
/* Brings a reader's copy up to date, a zeroed one at first; false where it was, or where there is no memory. */
bool board_take(struct board *mine);
void board_free(struct board *mine);

#endif
