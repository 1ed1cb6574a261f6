/* Random weights in the blocks of any type, a function of a 64-bit state alone. */
#ifndef KV_RANDOM_ROW_H
#define KV_RANDOM_ROW_H

#include "kernels/types.h"

/* A state of its own for each row of each tensor of each seed. */
uint64_t random_stream(uint64_t seed, uint64_t tensor, uint64_t row);

/* The low 16 bits to [0, 1). */
float random_unit(uint64_t bits);

/* n numbers, uniform, of this mean and standard deviation. */
void random_f32(float *out, size_t n, float middle, float std, uint64_t state);

/* A row of n weights (a multiple of the block) of any type, of mean 0 and standard deviation std; blocks differ by a
 * quarter in scale. */
void random_row(int type, uint8_t *out, size_t n, float std, uint64_t state);

#endif
