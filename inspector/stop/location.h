/* Places in a request where it can stop.
 *
 *   LOC := PHASE[:N] | [PHASE[:N]:]L<n>[.STAGE] | [PHASE[:N]].STAGE | *TICK | @POS | "TEXT"
 *
 * compress, decode:17, L12, decode:5:L12.attend, .select, prefill.sample, *18342, @137, "needle". A place without a
 * layer or a stage is reached when its phase or pass begins; one with a layer, when that layer begins in any pass that
 * fits; one with a stage, whenever that stage is the next to run. A token is reached before the prefill or ask pass that
 * reads it, or when decode has produced it: place.h. */
#ifndef KV_LOCATION_H
#define KV_LOCATION_H

#include "engine/engine.h"

#define LOCATION_TEXT 64
struct location {
    int phase, pass, layer, stage; /* -1 = any */
    int64_t tick;                  /* -1 = none; else nothing else counts */
    int position;                  /* of a token, -1 = none; else nothing else counts */
    char text[LOCATION_TEXT];      /* the same for a text, "" = none */
};
#define LOCATION_ANY                                                                                               \
    {                                                                                                              \
        -1, -1, -1, -1, -1, -1, ""                                                                                 \
    }

/* Bytes of the location at the start of text: to the first blank, or to the closing quote. */
size_t location_length(const char *text);

/* Reads one location of `length` bytes; n_layer bounds the layer. KV_BAD_ARG says what is wrong with which part. */
enum kv_status location_parse(
    const char *text, size_t length, int n_layer, struct location *out, struct kv_error *err);

/* Writes it back in the grammar above. */
void location_text(const struct location *loc, char *text, size_t size);

/* Whether it is a token, which only place.h can find. */
bool location_token(const struct location *loc);

/* Whether the boundary `now` is the place; `before` = the boundary the engine came from, NULL at the start. */
bool location_here(const struct location *loc, const struct kv_where *now, const struct kv_where *before);

/* The longest step from `now` that cannot run past the place. */
enum kv_unit location_unit(const struct location *loc, const struct kv_where *now);

/* "compress:0 L12.select", "prefill:1 embed", "done". */
void location_where(const struct kv_where *w, char *text, size_t size);

#endif
