/* Numbers that the policy tests draw: splitmix64, in step with tests/oracle/policy_golden.py. */
#ifndef POLICY_RANDOM_H
#define POLICY_RANDOM_H

#include <stdint.h>

static inline uint64_t rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A whole number in a..b. */
static inline int64_t rng_draw(uint64_t *state, int64_t a, int64_t b)
{
    return a + (int64_t)(rng_next(state) % (uint64_t)(b - a + 1));
}

#endif
