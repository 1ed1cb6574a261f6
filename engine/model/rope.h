/* RoPE's angles from a model's shape: how fast each pair of channels turns, and by how much cosines are scaled.
 *
 * Formulas are those that transformers works with (modeling_rope_utils), rounded to f32 where it rounds: linear
 * (position interpolation), YaRN (Peng et al., arXiv 2309.00071) and Llama 3.1's. */
#ifndef KV_MODEL_ROPE_H
#define KV_MODEL_ROPE_H

#include "engine/model/model.h"

/* Checks what a file says of the scaling, and works Llama 3's parameters out into divisors, which is how GGUF files
 * store them: both ways to the same model give the same bits. YaRN makes the context as long as it stretches it. Call once all other parts of the shape are known.
 * KV_BAD_FILE with a sentence that names the parameter. */
enum kv_status rope_settle(struct kv_shape *shape, struct kv_error *err);

/* Radians a position for each pair of channels, frequency[rope_dim / 2]; returns what cosine and sine are
 * multiplied by. */
float rope_frequencies(const struct kv_shape *shape, float *frequency);

/* The scaling in words for people and core files: "yarn 4 x 32768", "llama3", or "none". */
void rope_describe(const struct kv_shape *shape, char *text, size_t size);

#endif
