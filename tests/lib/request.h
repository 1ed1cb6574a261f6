/* The request that tests of the engine make: a story of 60 words under some settings, on a small model, run to a phase. */
#ifndef REQUEST_H
#define REQUEST_H

#include "engine/engine.h"

extern const char *const request_story;

struct request {
    const char *model;                    /* as for kv_model_open */
    const char *question;                 /* or NULL */
    const char *const *base, *const *own; /* settings in this order: name, value, ..., NULL; or NULL */
    bool chat;
    enum kv_phase until; /* load: it is not started */
};

/* An engine that has got so far; NULL with *err. *model is opened when it is NULL; the caller closes it behind the
 * engines. */
struct kv_engine *request_open(const struct request *r, struct kv_model **model, struct kv_error *err);

/* Settings as above; one setting. False with *err. */
bool request_set(struct kv_engine *e, const char *const *setting, struct kv_error *err);
bool request_put(struct kv_engine *e, const char *name, const char *value, struct kv_error *err);

/* Starts where that is needed, and goes on to the first boundary of a phase; where it is behind that already, it stays. */
bool request_run_to(struct kv_engine *e, enum kv_phase phase, struct kv_error *err);

/* A hash of the whole state (kv_state_hash); 0 with *err, which no state has. */
uint64_t request_hash(struct kv_engine *e, struct kv_error *err);

#endif
