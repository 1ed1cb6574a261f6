/* Breakpoints: numbered places, and whether the engine stands on one. */
#ifndef KV_STOPS_H
#define KV_STOPS_H

#include "engine/engine.h"
#include "inspector/expr.h"
#include "inspector/location.h"

struct session;

struct stop {
    int number;
    bool temporary, enabled;
    bool here;             /* it was a reason of the last stop */
    uint64_t hits, ignore; /* times reached; times still to pass by */
    struct location at;
    char *condition;     /* expression, or NULL; owned */
    struct expr *parsed; /* of the condition, owned: read once, asked at every boundary */
};

struct stops {
    struct stop *list;
    int count, last_number;
};

/* Adds one; condition is copied (NULL = none). KV_BAD_ARG for one that does not parse. */
enum kv_status stops_add(
    struct stops *s, const struct location *at, bool temporary, const char *condition, struct kv_error *err);
/* Replaces the condition (NULL = none); the old one stays on failure. */
enum kv_status stop_condition(struct stop *stop, const char *condition, struct kv_error *err);
/* Removes a number; false when there is none. */
bool stops_delete(struct stops *s, int number);
/* Removes the temporary ones that stopped the request here. */
void stops_drop_temporary(struct stops *s);
struct stop *stops_find(struct stops *s, int number);
void stops_free(struct stops *s);

/* The longest step that cannot run past an enabled stop. */
enum kv_unit stops_unit(const struct stops *s, const struct kv_where *now);

/* The first enabled stop at this boundary whose condition holds, hits counted; NULL = none. An error in a condition
 * stops there, with the sentence in s->err. A condition on what is not there yet is false. */
struct stop *stops_check(struct session *s, const struct kv_where *now, const struct kv_where *before);

/* For the way back, which looks at boundaries before it knows where to stop: nothing is counted or printed.
 * stops_near: whether an enabled stop may be here by its place alone; the engine need not stand there.
 * stops_would: with the engine there, whether one's condition holds as well, or fails. */
bool stops_near(const struct stops *s, const struct kv_where *now, const struct kv_where *before);
bool stops_would(struct session *s, const struct kv_where *now, const struct kv_where *before);

#endif
