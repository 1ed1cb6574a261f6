/* Top-k of one score row by radix selection on the sortable key: find the key of the last token that is kept,
 * then write all above it and, of those equal to it, the first ones. */
#include "kernels/select.h"

#define DIGIT_BITS 11 /* 3 digits cover 32 bits; 2048 counters stay in L1 */
#define DIGITS     (1u << DIGIT_BITS)

static bool by_score(const uint8_t *forced, int j) { return !forced || forced[j] == KV_BY_SCORE; }

/* Key of the candidate that has want - 1 better ones (1 <= want <= candidates); *equal = how many candidates
 * with just that key are needed to make `want`. */
static uint32_t cutoff_key(const float *score, const uint8_t *forced, int n, int want, int *equal)
{
    uint32_t prefix = 0, mask = 0;
    for (int shift = 32 - DIGIT_BITS;; shift -= DIGIT_BITS) {
        int low = shift < 0 ? 0 : shift; /* the last digit has 10 bits */
        uint32_t digits = shift < 0 ? DIGITS >> -shift : DIGITS;
        int count[DIGITS] = { 0 };
        for (int j = 0; j < n; j++) {
            uint32_t key = kv_select_key(score[j]);
            if (by_score(forced, j) && (key & mask) == prefix) count[key >> low & (digits - 1)]++;
        }
        uint32_t digit = digits - 1;
        while (count[digit] < want) want -= count[digit--];
        prefix |= digit << low;
        mask |= (digits - 1) << low;
        if (low == 0) break;
    }
    *equal = want;
    return prefix;
}

enum kv_status kv_select_cpu(
    const float *score, const uint8_t *forced, int n, int budget, int32_t *kept, int *n_kept)
{
    if (n < 0 || budget < 0 || !n_kept || (n > 0 && (!score || !kept))) return KV_BAD_ARG;
    int must = 0, dropped = 0;
    for (int j = 0; forced && j < n; j++) {
        if (forced[j] > KV_MUST_DROP) return KV_BAD_ARG;
        must += forced[j] == KV_MUST_KEEP;
        dropped += forced[j] == KV_MUST_DROP;
    }
    if (must > budget) return KV_BAD_ARG;

    int candidates = n - must - dropped, want = budget - must;
    bool all = want >= candidates;
    int equal = 0, count = 0;
    uint32_t cut = all || want == 0 ? 0 : cutoff_key(score, forced, n, want, &equal);
    for (int j = 0; j < n; j++) {
        bool keep;
        if (!by_score(forced, j))
            keep = forced[j] == KV_MUST_KEEP;
        else if (all || want == 0)
            keep = all;
        else {
            uint32_t key = kv_select_key(score[j]);
            keep = key > cut || (key == cut && equal-- > 0);
        }
        if (keep) kept[count++] = j;
    }
    *n_kept = count;
    return KV_OK;
}
