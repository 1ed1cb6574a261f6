/* How well the model predicts a text: a page of the engine's public contract.
 *
 * The tokens are cut into windows that know nothing of each other. In each the second half is scored: a window of w
 * tokens gives w - w/2 - 1 predictions, each from at least w/2 tokens; a last window that is not full is left out. Where the
 * model's texts begin with a token of their own, each window does. These are llama.cpp's rules (tools/perplexity), so
 * that figures can be compared.
 *
 * The text goes through the whole cache, with the engine.* settings of the request that runs, else with those in force;
 * a request is left as it was. */
#ifndef KV_PERPLEXITY_H
#define KV_PERPLEXITY_H

#include "engine/engine.h"

struct kv_perplexity {
    int text_tokens;       /* of the whole text */
    int windows, tokens;   /* windows read, tokens scored in them */
    double nll, nll_error; /* mean -ln p, nats a token, and its standard error */
    double ppl, ppl_error; /* e^nll, and what an error of nll makes of it */
    double us;             /* wall clock */
};

/* Reads `most` windows of `window` tokens (most 0 = all). KV_BAD_ARG when the text has no full window or a window has
 * less than 4 tokens or more than the model's context; KV_STOPPED after kv_stop: *out then holds the windows before. */
enum kv_status kv_perplexity(struct kv_engine *e, const char *text, size_t bytes, int window, int most,
    struct kv_perplexity *out, struct kv_error *err);

#endif
