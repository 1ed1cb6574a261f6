/* Selection of kept tokens: the best `budget` of one score row, some of them forced in or out.
 *
 * Order: higher score first, then lower index; NaN is below every number, -0 equals +0. The result depends on
 * nothing but the arguments: every backend gives the same set, the same bits, every time.
 *
 * This header is compiled by gcc and nvcc alike: the sortable key is the whole of the comparison. */
#ifndef KV_SELECT_H
#define KV_SELECT_H

#include "kernels/base.h"

#include <string.h>

#ifdef __CUDACC__
#define KV_SELECT_INLINE static inline __host__ __device__
#else
#define KV_SELECT_INLINE static inline
#endif

/* What a byte of the forced mask says of its token. */
enum kv_forced {
    KV_BY_SCORE = 0,
    KV_MUST_KEEP = 1,
    KV_MUST_DROP = 2,
};

/* A number that grows with the score, so that floats can be compared and counted as integers: 0 for NaN, equal
 * for -0 and +0, above 0 for everything else. */
KV_SELECT_INLINE uint32_t kv_select_key(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
    if (bits == 0x80000000u) bits = 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#ifdef __cplusplus
extern "C" {
#endif

/* The kept tokens of one row, ascending: every MUST_KEEP, then the best of BY_SCORE until there are `budget`.
 *   score   [n] f32
 *   forced  [n] enum kv_forced, or NULL: all by score
 *   budget  tokens, >= the number of MUST_KEEP; more than there are candidates keeps all but MUST_DROP
 *   kept    out, room for min(budget, n) positions; n_kept: how many were written
 * Reads the row five times (three digits of a radix selection, a count, the output); allocates nothing.
 * KV_BAD_ARG: n or budget negative, an unknown byte in the mask, more MUST_KEEP than the budget. */
enum kv_status kv_select_cpu(
    const float *score, const uint8_t *forced, int n, int budget, int32_t *kept, int *n_kept);

#ifdef __cplusplus
}
#endif
#endif
