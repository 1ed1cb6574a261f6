/* Catchpoints: things that happen to a request, and whether one just did. */
#ifndef KV_CATCH_H
#define KV_CATCH_H

#include "inspector/session.h"

/* Name as typed, arguments, one sentence for help. */
#define CATCH_EVENTS(X)                                                                                            \
    X(phase, "phase", "[NAME]", "A phase begins")                                                                  \
    X(compress, "compress", "", "Compress begins")                                                                 \
    X(evict, "evict", "[TOKENS]", "A layer evicts tokens, or one of those named")                                  \
    X(evict_all, "evict-all", "[TOKENS]", "Every layer has evicted a token, or one of those named")                \
    X(read_miss, "read-miss", "[TOKENS]",                                                                          \
        "A layer of ask or decode would read an evicted token, above kv read-floor, had it kept all")              \
    X(sink_loss, "sink-loss", "", "A layer keeps not all of the first tokens (policy.sinks, at least one)")        \
    X(clamp, "clamp", "", "A layer's budget is at policy.floor or policy.cap, not what its weight asks for")       \
    X(empty, "empty", "", "A layer keeps no token")                                                                \
    X(nan, "nan", "", "An entropy, a score or a logit is not a finite number")                                     \
    X(collapse, "collapse", "H", "The prefill ends with a head whose mean entropy is below H nats")                \
    X(diverge, "diverge", "KL", "Decode reaches the first step whose KL from the full cache is above KL nats")     \
    X(eos, "eos", "", "The model ends its reply")                                                                  \
    X(oom, "oom", "", "Memory does not suffice for a stage")                                                       \
    X(repeat, "repeat", "[N]", "The reply's last N tokens (8) are those before them once more")                    \
    X(token, "token", "TEXT", "The reply has come to say a text")

#define X(name, typed, args, help) CATCH_##name,
enum catch_event { CATCH_EVENTS(X) CATCH_COUNT };
#undef X

struct catch;

enum kv_status catch_open(struct session *s, enum catch_event event, const char *args, struct catch **out);
void catch_free(struct catch *c);

/* The event and its arguments as typed; and what is printed when it is set: "evict, 3 tokens match: 117-119". */
const char *catch_name(const struct catch *c);
const char *catch_args(const struct catch *c);
void catch_title(const struct catch *c, char *text, size_t size);

/* The request was started or has moved. */
void catch_reset(struct session *s, struct catch *c);

/* Whether it can have happened at this boundary, and how long a step cannot miss that. */
bool catch_near(const struct catch *c, const struct kv_where *now, const struct kv_where *before);
enum kv_unit catch_unit(const struct catch *c, const struct kv_where *now);

/* Whether it has happened; then *said (caller frees) tells what: "L12.select (...) evicts @20118 "48"". said NULL: just
 * asking, nothing is run for it. */
bool catch_happened(
    struct session *s, struct catch *c, const struct kv_where *now, const struct kv_where *before, char **said);

enum catch_event catch_event(const struct catch *c);
/* Whether an event without arguments has happened here, catchpoint or not. */
bool catch_anyway(struct session *s, enum catch_event event, const struct kv_where *now,
    const struct kv_where *before, char **said);

#endif
