/* Top-k of one score row: the set of kernels/select.h, by radix selection on the sortable key.
 *
 * score [n] f32, forced [n] u8 or NULL, kept [budget] i32 ascending, all on the host; many rows are queued one behind the
 * other, and what they keep comes home in one read. The host counts what is forced;
 * the device finds the key of the last token that is kept, 8 bits at a time, then writes all above it and, of those
 * equal to it, the first ones, in order. Bytes: 25 n from cache, 6 n over the bus; one block, bound by the latency of
 * its barriers. Counting is in integers: the result is kv_select_cpu's, bit for bit. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/select.h"

#include <stdlib.h>
#include <string.h>

#define THREADS  1024
#define WARPS    (THREADS / KV_WARP)
#define DIGITS   256
#define TOGETHER 32 /* selections of as many keys as there can be, whose results the scratch holds */

/* ---- kernels ---- */

struct select_args {
    const float *score;
    const uint8_t *forced;
    int32_t *kept;
    int n;
    int want; /* tokens by score */
    int all;  /* -1; or, where scores decide nothing, whether all candidates are kept (1) or none (0) */
};

KV_DEVICE bool select_by_score(const struct select_args *a, int j)
{
    return !a->forced || a->forced[j] == KV_BY_SCORE;
}

/* Counts the next 8 bits of the keys that begin with prefix. Equal digits of a warp are one addition. */
KV_DEVICE void select_count(const struct select_args *a, uint32_t prefix, uint32_t mask, int low, int *count)
{
    for (int first = 0; first < a->n; first += THREADS) {
        int j = first + (int)threadIdx.x;
        uint32_t key = j < a->n ? kv_select_key(a->score[j]) : 0;
        bool counts = j < a->n && select_by_score(a, j) && (key & mask) == prefix;
        unsigned digit = counts ? key >> low & (DIGITS - 1) : DIGITS;
        unsigned same = __match_any_sync(KV_ALL, digit);
        if (counts && (same & ((1u << threadIdx.x % KV_WARP) - 1)) == 0) atomicAdd(&count[digit], __popc(same));
    }
}

/* By the first warp: the highest digit down to which there are `want` keys, and how many of its own are needed. A lane
 * adds up 8 digits. */
KV_DEVICE void select_digit(const int *count, int want, int *found)
{
    const int each = DIGITS / KV_WARP;
    int lane = (int)threadIdx.x, top = DIGITS - 1 - lane * each, sum = 0;
    for (int i = 0; i < each; i++) sum += count[top - i];
    int through = sum;
    for (int step = 1; step < KV_WARP; step *= 2) {
        int above = __shfl_up_sync(KV_ALL, through, step);
        if (lane >= step) through += above;
    }
    int left = want - (through - sum);
    if (left < 1 || through < want) return;
    for (; count[top] < left; top--) left -= count[top];
    found[0] = top;
    found[1] = left;
}

/* The key of the candidate that has want - 1 better ones; *equal = how many with just that key are needed. */
KV_DEVICE uint32_t select_cutoff(const struct select_args *a, int *count, int *found, int *equal)
{
    uint32_t prefix = 0, mask = 0;
    int want = a->want;
    for (int low = 24; low >= 0; low -= 8) {
        if (threadIdx.x < DIGITS) count[threadIdx.x] = 0;
        __syncthreads();
        select_count(a, prefix, mask, low, count);
        __syncthreads();
        if (threadIdx.x < KV_WARP) select_digit(count, want, found);
        __syncthreads();
        prefix |= (uint32_t)found[0] << low;
        mask |= (uint32_t)(DIGITS - 1) << low;
        want = found[1];
    }
    *equal = want;
    return prefix;
}

/* How many threads before this one said yes, and in *total how many did; room [WARPS] shared. */
KV_DEVICE int select_rank(bool yes, int *room, int *total)
{
    int lane = (int)threadIdx.x % KV_WARP, warp = (int)threadIdx.x / KV_WARP, before = 0, sum = 0;
    unsigned votes = __ballot_sync(KV_ALL, yes);
    __syncthreads(); /* room may still be read */
    if (lane == 0) room[warp] = __popc(votes);
    __syncthreads();
    for (int w = 0; w < WARPS; w++) {
        if (w < warp) before += room[w];
        sum += room[w];
    }
    *total = sum;
    return before + __popc(votes & ((1u << lane) - 1));
}

__global__ void __launch_bounds__(THREADS) select_kernel(struct select_args a)
{
    __shared__ int count[DIGITS], found[2], room[WARPS];
    int equal = 0, written = 0, taken = 0, total;
    uint32_t cut = a.all < 0 ? select_cutoff(&a, count, found, &equal) : 0;
    for (int first = 0; first < a.n; first += THREADS) {
        int j = first + (int)threadIdx.x;
        bool in = j < a.n, scored = in && select_by_score(&a, j);
        uint32_t key = in ? kv_select_key(a.score[j]) : 0;
        bool keep = in && (scored ? a.all < 0 ? key > cut : a.all > 0 : a.forced[j] == KV_MUST_KEEP);
        if (a.all < 0) {
            bool ties = scored && key == cut;
            int before = taken + select_rank(ties, room, &total); /* every thread takes part */
            keep = keep || (ties && before < equal);
            taken += total;
        }
        int at = written + select_rank(keep, room, &total);
        if (keep) a.kept[at] = j;
        written += total;
    }
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct select_args *a = (const struct select_args *)args;
    kv_cuda_launch(cu, "select", 1, THREADS, 0, select_kernel, *a);
}

static const struct kv_cuda_kind kind = { "select", launch };

size_t kv_cuda_select_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    (void)cu;
    return TOGETHER * (size_t)kv_max(1, (size_t)limits->keys) * sizeof(int32_t);
}

/* Tokens that must be kept and dropped; false for a byte that says neither. */
static bool count_forced(const uint8_t *forced, int n, int *must, int *dropped)
{
    int keep = 0, drop = 0, unknown = 0;
    for (int j = 0; forced && j < n; j++) {
        keep += forced[j] == KV_MUST_KEEP;
        drop += forced[j] == KV_MUST_DROP;
        unknown += forced[j] > KV_MUST_DROP;
    }
    *must = keep;
    *dropped = drop;
    return !unknown;
}

/* A selection as it will be: how many are kept, which only counts decide, and by what. */
static enum kv_status select_check(
    const struct kv_cuda *cu, const struct kv_select *s, struct select_args *a, struct kv_error *err)
{
    int must = 0, dropped = 0;
    if (s->n < 0 || s->budget < 0 || !s->n_kept || (s->n > 0 && (!s->score || !s->kept)) ||
        !count_forced(s->forced, s->n, &must, &dropped) || must > s->budget)
        return kv_fail(
            err, KV_BAD_ARG, "Cannot select %d of %d tokens: %s.", s->budget, s->n, kv_status_text(KV_BAD_ARG));
    if ((size_t)s->n * sizeof *s->kept > cu->scratch_size)
        return kv_fail(err, KV_NOT_NOW, "Selecting among %d tokens where %d were reserved.", s->n, cu->limits.keys);
    int candidates = s->n - must - dropped, left = s->budget - must;
    a->n = s->n;
    a->want = left < candidates ? left : candidates;
    a->all = a->want == candidates ? 1 : a->want == 0 ? 0 : -1;
    *s->n_kept = must + a->want;
    return KV_OK;
}

/* Queues one, whose result will be at kept. */
static enum kv_status select_push(
    struct kv_cuda *cu, const struct kv_select *s, int32_t *kept, struct kv_error *err)
{
    struct select_args a = {};
    enum kv_status status = select_check(cu, s, &a, err);
    if (status || !*s->n_kept) return status;
    status = kv_cuda_room(cu, (size_t)s->n * 5 + 32, err);
    if (status) return status;
    a.score = (const float *)kv_cuda_stage(cu, s->score, (size_t)s->n * sizeof *s->score);
    a.forced = s->forced ? (const uint8_t *)kv_cuda_stage(cu, s->forced, (size_t)s->n) : NULL;
    a.kept = kept;
    kv_cuda_push(cu, &kind, &a, sizeof a);
    return KV_OK;
}

/* As many as the scratch has room for, at least one of `count`; *done gets how many. */
static enum kv_status select_some(
    struct kv_cuda *cu, const struct kv_select *s, int count, int *done, struct kv_error *err)
{
    int32_t *device = (int32_t *)cu->scratch, *host = NULL;
    size_t room = cu->scratch_size / sizeof *device, all = 0, at = 0;
    enum kv_status status = KV_OK;
    int n = 0;
    for (; n < count && !status && (!n || all + (size_t)s[n].budget <= room); n++) {
        status = select_push(cu, &s[n], device + all, err);
        if (!status) all += (size_t)*s[n].n_kept;
    }
    *done = n;
    if (status || !all) return status;
    if (n == 1) return kv_cuda_read(cu, s->kept, device, all * sizeof *device, err);
    host = (int32_t *)malloc(all * sizeof *host);
    if (!host) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu tokens of %d selections.", all, n);
    status = kv_cuda_read(cu, host, device, all * sizeof *device, err);
    for (int i = 0; i < n && !status; at += (size_t)*s[i++].n_kept)
        memcpy(s[i].kept, host + at, (size_t)*s[i].n_kept * sizeof *host);
    free(host);
    return status;
}

enum kv_status kv_cuda_select_many(void *ctx, const struct kv_select *s, int count, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (int at = 0, done = 0; at < count && !status; at += done)
        status = select_some((struct kv_cuda *)ctx, s + at, count - at, &done, err);
    return status;
}

enum kv_status kv_cuda_select(void *ctx, const float *score, const uint8_t *forced, int n, int budget,
    int32_t *kept, int *n_kept, struct kv_error *err)
{
    const struct kv_select one = { score, forced, n, budget, kept, n_kept };
    int done;
    return select_some((struct kv_cuda *)ctx, &one, 1, &done, err);
}
