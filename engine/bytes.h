/* Bytes before anything runs: what a request will take, what the machine has, and what a policy can save at most.
 *
 * The last are predictions from bytes alone, never measurements. A request at batch b and context c holds the weights
 * once and b caches of c tokens; one decode step reads the same bytes, but of an embedding table of its own only one
 * row. A share of the cache is kept, the weights stay. So whatever a policy is, no more is saved than (1 - kept) KV /
 * (weights + KV); what a program saves beyond that comes from elsewhere (copies that it need not make, shorter
 * replies). */
#ifndef KV_BYTES_H
#define KV_BYTES_H

#include "engine/engine.h"

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* What the prompt will take under the settings in force, before it runs: kv_memory's names, in bytes. */
struct kv_wanted {
    size_t weights; /* mapped from their file: pages that come and go */
    size_t resident, active, stats, scratch;
    size_t own; /* all but weights: memory that must be had */
};

/* KV_NOT_NOW without a prompt or with a core file. */
enum kv_status kv_wanted(const struct kv_engine *engine, struct kv_wanted *out, struct kv_error *err);

/* Memory that this process can still get without others being put out: the kernel's estimate, or what its control
 * group leaves, whichever is less. 0 = not known. */
size_t kv_memory_free(void);

/* --- bounds ----------------------------------------------------------------------------------------------------- */

/* The headlines of Kim & Jung, Mathematics 2025, 13(15), 2366: memory of Qwen3-4B, decoding time of Mistral-7B. */
#define KV_PAPER_MEMORY 0.0418
#define KV_PAPER_TIME   0.466

struct kv_footprint {
    double weights; /* bytes of all weights; 0 = not known, for a core file has none */
    double read;    /* of those that a decode step reads: all but an embedding table that is not the head's too */
    double token;   /* KV bytes of one token in all layers */
    int window;     /* keys that a layer with a window keeps at most; 0 = no window, or it is off */
    double sliding; /* share of the layers that have it */
};

/* Weights as stored and the cache's type in force; bits16: both in 16 bits whatever they are. */
void kv_footprint(const struct kv_engine *engine, bool bits16, struct kv_footprint *out);

/* KV bytes of one sequence of so many tokens; layers with a window hold no more than that. */
double kv_cache_bytes(const struct kv_footprint *f, double context);

/* The share of base + KV that goes when `kept` of the cache stays; base is f->weights or f->read. */
double kv_saved(double base, double cache, double kept);

/* The kept share at which so much of base + cache is saved; below 0 no share does. */
double kv_kept_for(double base, double cache, double saved);

/* Tokens of batch x context at which so much of a decode step's bytes is saved by keeping `kept`, without a window;
 * infinite where no length is enough. */
double kv_tokens_for(const struct kv_footprint *f, double saved, double kept);

#endif
