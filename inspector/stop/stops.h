/* Stops: numbered breakpoints, watchpoints and catchpoints, and whether the engine stands on one. */
#ifndef KV_STOPS_H
#define KV_STOPS_H

#include "engine/engine.h"
#include "inspector/expr/expr.h"
#include "inspector/stop/location.h"

struct session;
struct watch;
struct reads;
struct catch;

enum stop_kind { STOP_BREAK, STOP_WATCH, STOP_READ, STOP_ACCESS, STOP_CATCH };
enum stop_disp { STOP_KEEP, STOP_DELETE, STOP_DISABLE }; /* what becomes of it once it has stopped the request */

struct stop {
    int number;
    enum stop_kind kind;
    enum stop_disp disp;
    bool enabled;
    bool here;             /* it was a reason of the last stop */
    uint64_t hits, ignore; /* times reached; times still to pass by */
    uint64_t left;         /* STOP_DISABLE: stops until it is disabled */
    struct location at;    /* STOP_BREAK */
    int head;              /* STOP_BREAK: head that the focus moves to, -1 = stays */
    struct watch *watch;   /* STOP_WATCH and STOP_ACCESS: the value compared; owned */
    struct reads *reads;   /* STOP_READ and STOP_ACCESS: the keys looked at; owned */
    struct catch *event;   /* STOP_CATCH; owned */
    char *condition;       /* expression, or NULL; owned */
    struct expr *parsed;   /* of the condition, owned: read once, asked at every boundary */
    char *commands;        /* lines to run when it has stopped the request, each ended by a newline; owned */
    char *said;            /* what the last hit was, for the stop's lines; NULL = a place says all; owned */
};

struct stops {
    struct stop *list;
    int count, last_number;
};

/* A stop that keeps, at no place; to be filled and handed to stops_add. */
struct stop stop_new(enum stop_kind kind);
/* Takes over what *stop owns and numbers it; on failure too. Condition: NULL = none. KV_BAD_ARG for one that does not
 * parse. */
enum kv_status stops_add(struct stops *s, struct stop *stop, const char *condition, struct kv_error *err);
/* Replaces the condition (NULL = none); the old one stays on failure. */
enum kv_status stop_condition(struct stop *stop, const char *condition, struct kv_error *err);
void stop_free(struct stop *stop);
/* Removes a number; false when there is none. */
bool stops_delete(struct stops *s, int number);
/* After a stop: removes or disables those that stopped the request here and were to. */
void stops_spent(struct stops *s);
struct stop *stops_find(struct stops *s, int number);
void stops_free(struct stops *s);

/* "hw watchpoint", as info breakpoints calls it; and what stands in its last column. */
const char *stop_type(const struct stop *stop);
const char *stop_word(enum stop_kind kind); /* "Hardware watchpoint" */
void stop_what(const struct stop *stop, char *text, size_t size);

/* The longest step that cannot run past an enabled stop. */
enum kv_unit stops_unit(const struct stops *s, const struct kv_where *now);

/* The first enabled stop at this boundary whose condition holds, hits counted; NULL = none; `here` of each says which
 * others there are. An error in a condition stops there, with the sentence in s->err. A condition on what is not there
 * yet is false. */
struct stop *stops_check(struct session *s, const struct kv_where *now, const struct kv_where *before);

/* The engine could not run a stage for what a catchpoint (enum catch_event) waits for: stops there, with s->err as what
 * happened. False where no catchpoint waits for it. */
bool stops_struck(struct session *s, int event, const struct kv_where *now);
/* Whether an enabled catchpoint waits for it. */
bool stops_catch(const struct stops *s, int event);

/* Prints what stops_check found, the stop's two lines included, and remembers the reason. */
void stops_show(struct session *s, const struct kv_where *now);

/* The request was started, or moved in time: watched values are compared with those of here, tokens are looked up
 * again. */
void stops_moved(struct session *s);

/* For the way back, which looks at boundaries before it knows where to stop: nothing is counted or printed.
 * stops_near: whether an enabled stop may be here by its place alone; the engine need not stand there.
 * stops_would: with the engine there, whether one's condition holds as well, or fails. */
bool stops_near(const struct stops *s, const struct kv_where *now, const struct kv_where *before);
bool stops_would(struct session *s, const struct kv_where *now, const struct kv_where *before);

#endif
