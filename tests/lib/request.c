#include "tests/lib/request.h"

#include "engine/history.h"

#include <string.h>

const char *const request_story =
    "The harbor master wrote the number of every boat in a long book, and when the fog came in he read the book "
    "aloud so that the pilots could hear which boats were still out. Nobody knew who had begun the custom.";

bool request_put(struct kv_engine *e, const char *name, const char *value, struct kv_error *err)
{
    return !kv_set(e, &name, &value, 1, err);
}

bool request_set(struct kv_engine *e, const char *const *setting, struct kv_error *err)
{
    bool good = true;
    for (; setting && *setting && good; setting += 2) good = request_put(e, setting[0], setting[1], err);
    return good;
}

bool request_run_to(struct kv_engine *e, enum kv_phase phase, struct kv_error *err)
{
    struct kv_where at;
    if (!kv_started(e) && kv_start(e, err)) return false;
    for (kv_where(e, &at); at.phase < phase; kv_where(e, &at))
        if (kv_step(e, KV_UNIT_PASS, err)) return false;
    return true;
}

struct kv_engine *request_open(const struct request *r, struct kv_model **model, struct kv_error *err)
{
    struct kv_engine *e = NULL;
    bool good = (*model || !kv_model_open(r->model, model, err)) && !kv_engine_open(*model, &e, err) &&
                request_set(e, r->base, err) &&
                !kv_prompt_text(e, request_story, strlen(request_story), r->question, r->chat, err) &&
                request_set(e, r->own, err) && (r->until == KV_PHASE_load || request_run_to(e, r->until, err));
    if (good) return e;
    kv_engine_close(e);
    return NULL;
}

uint64_t request_hash(struct kv_engine *e, struct kv_error *err)
{
    uint64_t hash = 0;
    return kv_state_hash(e, &hash, err) ? 0 : hash;
}
