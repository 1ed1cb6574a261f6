/* Places that are tokens: where a request reads or makes them. */
#ifndef KV_PLACE_H
#define KV_PLACE_H

#include "engine/engine.h"
#include "inspector/stop/location.h"

struct session;

/* Whether the boundary is the place, whatever it is: location_here for all but tokens. A token of the prompt is reached
 * where the prefill or ask pass that reads it begins, one of the reply when it was just produced; a text, at any of its
 * prompt tokens, or when the reply has just come to say it. */
bool place_here(
    struct session *s, const struct location *at, const struct kv_where *now, const struct kv_where *before);

/* The same for a boundary where the engine does not stand: where it may be, so far as the numbers alone tell. */
bool place_near(const struct location *at, const struct kv_where *now, const struct kv_where *before);

/* KV_BAD_ARG for a position that no request of this model reaches. Says in words (or as "") how often the prompt has a
 * text, or that only the reply may say it. */
enum kv_status place_check(struct session *s, const struct location *at, char *note, size_t size);

/* Whether the reply's newest token completes the text. */
bool place_said(struct session *s, const char *text);

#endif
