/* Forced tokens, the cut, reasons and ranks around the backend's selection. */
#include "engine/policy/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int8_t pin_of(const struct policy_forcing *f, int j) { return f->pins ? f->pins[j] : 0; }

/* Reason for which a token is kept whatever its score; EVICTED = it has none. */
static enum policy_reason forced_reason(const struct policy_forcing *f, int n, int j)
{
    if (pin_of(f, j) < 0) return POLICY_EVICTED;
    if (j < f->sinks) return POLICY_SINK;
    if (j >= n - f->recent) return POLICY_RECENT;
    return pin_of(f, j) > 0 ? POLICY_PIN : POLICY_EVICTED;
}

int policy_forced(const struct policy_forcing *forcing, int n, int budget, uint8_t *forced)
{
    int must = 0;
    for (int j = 0; j < n; j++) {
        bool keep = forced_reason(forcing, n, j) != POLICY_EVICTED;
        forced[j] = pin_of(forcing, j) < 0 ? KV_MUST_DROP : keep ? KV_MUST_KEEP : KV_BY_SCORE;
        must += keep;
    }
    if (must <= budget) return must;

    int left = budget > 0 ? budget : 0;
    for (int j = 0; j < n; j++) forced[j] = KV_MUST_DROP;
    for (int j = 0; left > 0 && forcing->pins && j < n; j++)
        if (forcing->pins[j] > 0) forced[j] = KV_MUST_KEEP, left--;
    for (int j = 0; left > 0 && j < n && j < forcing->sinks; j++)
        if (pin_of(forcing, j) == 0) forced[j] = KV_MUST_KEEP, left--;
    for (int j = n - 1; left > 0 && j >= 0 && j >= n - forcing->recent && j >= forcing->sinks; j--)
        if (pin_of(forcing, j) == 0) forced[j] = KV_MUST_KEEP, left--;
    return budget > 0 ? budget : 0;
}

void policy_find_cut(
    const float *score, const uint8_t *forced, int n, const int32_t *kept, int n_kept, struct policy_cut *cut)
{
    *cut = (struct policy_cut){ .score = NAN, .position = -1 };
    uint32_t lowest = UINT32_MAX;
    for (int j = 0; j < n; j++) {
        if (forced && forced[j] != KV_BY_SCORE) continue;
        cut->competitors++;
        cut->n_nan += isnan(score[j]);
    }
    for (int k = 0; k < n_kept; k++) {
        int j = kept[k];
        if (forced && forced[j] != KV_BY_SCORE) continue;
        cut->by_score++;
        if (kv_select_key(score[j]) > lowest) continue;
        lowest = kv_select_key(score[j]);
        cut->score = score[j];
        cut->position = j;
    }
}

void policy_reasons(const struct policy_forcing *forcing, const float *score, int n, const int32_t *kept,
    int n_kept, uint8_t *reason)
{
    uint32_t lowest = UINT32_MAX;
    bool contested = false;
    for (int j = 0; j < n; j++) reason[j] = POLICY_EVICTED;
    for (int k = 0; k < n_kept; k++) {
        int j = kept[k];
        enum policy_reason forced = forced_reason(forcing, n, j);
        reason[j] = (uint8_t)(forced != POLICY_EVICTED ? forced : POLICY_TOP_K);
        if (reason[j] == POLICY_TOP_K && kv_select_key(score[j]) < lowest) lowest = kv_select_key(score[j]);
    }
    for (int j = 0; j < n && !contested; j++)
        contested = reason[j] == POLICY_EVICTED && pin_of(forcing, j) == 0 && kv_select_key(score[j]) == lowest;
    for (int j = 0; contested && j < n; j++)
        if (reason[j] == POLICY_TOP_K && kv_select_key(score[j]) == lowest) reason[j] = POLICY_TIE;
}

/* Ascending order of these numbers is descending score, then ascending position. */
static int by_rank(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum kv_status policy_rank(const float *score, const uint8_t *forced, int n, int32_t *rank, struct kv_error *err)
{
    uint64_t *order = kv_alloc((size_t)n, sizeof *order);
    if (!order) return kv_fail(err, KV_NO_MEMORY, "Out of memory to rank %d tokens.", n);
    size_t count = 0;
    for (int j = 0; j < n; j++) {
        rank[j] = -1;
        if (!forced || forced[j] == KV_BY_SCORE)
            order[count++] = (uint64_t)~kv_select_key(score[j]) << 32 | (uint32_t)j;
    }
    qsort(order, count, sizeof *order, by_rank);
    for (size_t k = 0; k < count; k++) rank[order[k] & UINT32_MAX] = (int32_t)k;
    free(order);
    return KV_OK;
}

enum kv_status policy_select(const struct policy_forcing *forcing, const float *score, int n, int budget,
    int32_t *kept, int *n_kept, uint8_t *reason, struct kv_error *err)
{
    if (n < 0 || budget < 0) return kv_fail(err, KV_BAD_ARG, "Cannot keep %d of %d tokens.", budget, n);
    uint8_t *forced = kv_alloc((size_t)n, 1);
    if (!forced) return kv_fail(err, KV_NO_MEMORY, "Out of memory to select from %d tokens.", n);
    policy_forced(forcing, n, budget, forced);
    enum kv_status status = kv_select_cpu(score, forced, n, budget, kept, n_kept);
    free(forced);
    if (status) return kv_fail(err, status, "Cannot keep %d of %d tokens.", budget, n);
    if (reason) policy_reasons(forcing, score, n, kept, *n_kept, reason);
    return KV_OK;
}

/* A head's own: what it must keep, and its best by score until they are `own`. kept [n] is scratch. */
static enum kv_status protect(const float *score, int n, int own, uint8_t *forced, int32_t *kept)
{
    int must = 0, n_kept = 0;
    for (int j = 0; j < n; j++) must += forced[j] == KV_MUST_KEEP;
    enum kv_status status = own > must ? kv_select_cpu(score, forced, n, own, kept, &n_kept) : KV_OK;
    for (int k = 0; k < n_kept && !status; k++) forced[kept[k]] = KV_MUST_KEEP;
    return status;
}

enum kv_status policy_select_heads(const float *score, const uint8_t *forced, int n, int heads, int budget,
    double alpha, int32_t *kept, int32_t *n_kept, struct kv_error *err)
{
    size_t row = (size_t)n, cells = row * (size_t)heads;
    if (n < 0 || budget < 0 || heads < 1 || cells > INT32_MAX || (int64_t)heads * budget > INT32_MAX)
        return kv_fail(err, KV_BAD_ARG, "Cannot keep %d of %d tokens in %d heads.", budget, n, heads);
    uint8_t *mask = kv_alloc(cells, 1);
    int32_t *all = kv_alloc(cells, sizeof *all);
    enum kv_status status =
        mask && all ? KV_OK : kv_fail(err, KV_NO_MEMORY, "Out of memory to select from %zu tokens.", cells);
    int count = 0;
    for (int h = 0; h < heads && !status; h++) {
        memcpy(mask + (size_t)h * row, forced, row);
        int own = (int)(alpha * budget);
        if (alpha > 0 && !own && budget) own = 1;
        status = protect(score + (size_t)h * row, n, own, mask + (size_t)h * row, all);
    }
    if (!status) status = kv_select_cpu(score, mask, (int)cells, heads * budget, all, &count);
    if (status && mask && all) kv_fail(err, status, "Cannot keep %d of %d tokens in %d heads.", budget, n, heads);
    for (int h = 0; h < heads && !status; h++) n_kept[h] = 0;
    for (int k = 0; k < count && !status; k++) {
        int h = all[k] / n;
        kept[(size_t)h * row + (size_t)n_kept[h]++] = all[k] % n;
    }
    free(mask);
    free(all);
    return status;
}

const char *const kv_reason_name[] = { "evicted", "sink", "recent", "pin", "top-k", "tie", NULL };
