/* Made-up models of real shapes: "synthetic:NAME[:SEED][:TYPE]", for timing and for tests.
 *
 * Weights are random numbers, written as the blocks of their type, a function of seed, tensor and row alone: the
 * thread count changes no bit. The seed is 0 unless given; TYPE is any that files may have, in
 * small letters, and holds for all matrices but those whose rows are no whole blocks of it: they get the type that
 * llama-quantize takes in its stead. Every model has a byte-level vocabulary whose token b is byte b, and whose last three are
 * <|endoftext|>, <|im_start|> and <|im_end|>. "tiny" and "long" have merges and readable pieces; the others fill up with
 * "<fake 1234>". */
#ifndef KV_SYNTHETIC_H
#define KV_SYNTHETIC_H

#include "engine/model/model.h"

/* Whether the user's text names a made-up model (begins with "synthetic:"). */
bool synthetic_is(const char *path);

/* Errors: KV_NOT_FOUND (no shape of that name; the sentence lists them), KV_BAD_ARG (seed or type), KV_NO_MEMORY
 * (found before memory is touched; the sentence has the bytes wanted and available). */
enum kv_status synthetic_open(const char *path, struct kv_model **out, struct kv_error *err);

#endif
