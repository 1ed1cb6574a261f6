/* Watched expressions: whether a value has changed, asked only where it can have. */
#ifndef KV_WATCH_H
#define KV_WATCH_H

#include "inspector/session.h"

struct watch;

/* Reads EXPR or "-l EXPR" (-location: indices take the values that they have now) and its value as it is. What is not
 * there yet is void, and its first appearance is a change. KV_BAD_ARG for a constant. */
enum kv_status watch_open(struct session *s, const char *text, struct watch **out);
void watch_free(struct watch *w);
const char *watch_text(const struct watch *w);

/* Compare with the value of here from now on. */
void watch_reset(struct session *s, struct watch *w);

/* Whether the value can have changed at this boundary, and how long a step cannot miss that. */
bool watch_near(const struct watch *w, const struct kv_where *now, const struct kv_where *before);
enum kv_unit watch_unit(const struct watch *w, const struct kv_where *now);

/* Whether it has; then *said gets the lines "Old value = ..." and "New value = ..." (caller frees), and the new value is
 * the one to compare with. said NULL: just asking. */
bool watch_changed(struct session *s, struct watch *w, char **said);

/* Whether there was no value to compare with. */
bool watch_void(const struct watch *w);

#endif
