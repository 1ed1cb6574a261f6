/* What the attention ops share: which slots a query row sees, where a slot's key and value lie, how rows are cut.
 *
 * Slots of a sequence's KV head are numbered as one list j, prefix first, then tail. Positions ascend over it, so the
 * slots that a row sees are one range [lo, hi). The query heads of one KV head go together: a pair is (row, head of
 * the group), pair = row * group + head, and a tile is some neighbouring pairs of one sequence, so that each key and
 * value is loaded once for all heads that want it. Lengths and positions lie on the device; the host knows capacities
 * and the rows' positions, and by these it puts the heaviest tiles first. */
#ifndef KV_CUDA_ATTEND_CUH
#define KV_CUDA_ATTEND_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/softmax.h"

#define KV_ATTEND_FEW 8 /* a sequence with fewer rows is decoding; in f32 none is, for a row's bits must not tell */

struct kv_attend_tile {
    int seq, first; /* the sequence; its first row in q, out, lse and entropy */
    int pair, pairs;
    int keys; /* that its last row may see, as far as the host can tell */
};

struct kv_attend_args {
    const struct kv_seq *seq;          /* on the device */
    const struct kv_attend_tile *tile; /* [n_tile] on the device, heaviest first */
    const float *q;
    float *out, *lse, *entropy; /* lse, entropy: or NULL */
    int n_tile, n_head, n_kv_head, head_dim, group, type, window;
    float scale, scale2; /* of e, and of two */
    float slack;         /* by which a logit may exceed the maximum that its row's sums are relative to */
};

/* ---- the paths of attend(), each in its file; pairs: what a tile of the path holds at most ---- */

#define KV_ATTEND_PLAIN_PAIRS 32 /* KV_F32_ROWS */

extern const struct kv_cuda_kind kv_cuda_attend_plain, kv_cuda_attend_mma, kv_cuda_attend_wgmma;

/* Whether the precision, the shapes and the addresses of a call are for tensor cores. */
bool kv_cuda_attend_tensor(const struct kv_cuda *cu, const struct kv_attend *a);
size_t kv_cuda_columns_scratch(const struct kv_cuda *cu, const struct kv_limits *limits);

/* 0: this head_dim, or this GPU, is not for the path. */
int kv_cuda_attend_mma_pairs(int head_dim);
int kv_cuda_attend_wgmma_pairs(const struct kv_cuda *cu, int head_dim);

/* Attention of sequences with fewer than KV_ATTEND_FEW rows, in attend_few.cu: whether it takes sequence s of the call;
 * and its entry for all that it takes, one at least, behind the check and where there is room: seq as they are staged, and
 * KV_ATTEND_FEW_BYTES of staging a sequence. */
#define KV_ATTEND_FEW_BYTES 16
bool kv_cuda_attend_few_takes(const struct kv_cuda *cu, const struct kv_attend *a, int s);
void kv_cuda_attend_few(struct kv_cuda *cu, const struct kv_attend *a, const struct kv_seq *seq);

/* ---- pairs ---- */

/* Row of its sequence that the tile's pair i belongs to; from t->pairs on, where the tile is not full, the last. */
KV_DEVICE int kv_attend_row(const struct kv_attend_args *a, const struct kv_attend_tile *t, int i)
{
    return (t->pair + (i < t->pairs ? i : t->pairs - 1)) / a->group;
}

/* Where it lies in q and out, in heads, and so in lse and entropy. */
KV_DEVICE size_t kv_attend_head(const struct kv_attend_args *a, const struct kv_attend_tile *t, int g, int i)
{
    int pair = t->pair + (i < t->pairs ? i : t->pairs - 1), row = pair / a->group;
    return ((size_t)t->first + (size_t)row) * (size_t)a->n_head + (size_t)(g * a->group + pair - row * a->group);
}

/* ---- slots ---- */

/* One KV head's slots. The tail's addresses are those of slot 0, had the tail begun there. */
struct kv_slots {
    const char *k, *v, *tail_k, *tail_v;
    const int32_t *pos, *tail_pos;
    size_t row_bytes;
    int n_prefix, n;
};

struct kv_slots_range {
    int lo, hi; /* lo <= hi; equal when the row sees nothing */
};

KV_DEVICE struct kv_slots kv_slots_of(const struct kv_seq *seq, int g, int type, int head_dim)
{
    const struct kv_span *prefix = &seq->prefix, *tail = &seq->tail;
    struct kv_slots s = {};
    s.row_bytes = (size_t)head_dim * kv_type_size(type);
    s.n_prefix = kv_span_len(prefix, g);
    s.n = s.n_prefix + kv_span_len(tail, g);
    if (prefix->cap) {
        size_t at = kv_span_start(prefix, g) * s.row_bytes;
        s.k = (const char *)prefix->k + at;
        s.v = (const char *)prefix->v + at;
        s.pos = kv_span_pos(prefix, g);
    }
    if (tail->cap) {
        size_t at = kv_span_start(tail, g) * s.row_bytes, before = (size_t)s.n_prefix * s.row_bytes;
        s.tail_k = (const char *)tail->k + at - before;
        s.tail_v = (const char *)tail->v + at - before;
        s.tail_pos = kv_span_pos(tail, g) - s.n_prefix;
    }
    return s;
}

KV_DEVICE const void *kv_slots_k(const struct kv_slots *s, int j)
{
    return (j < s->n_prefix ? s->k : s->tail_k) + (size_t)j * s->row_bytes;
}

KV_DEVICE const void *kv_slots_v(const struct kv_slots *s, int j)
{
    return (j < s->n_prefix ? s->v : s->tail_v) + (size_t)j * s->row_bytes;
}

KV_DEVICE int kv_slots_pos(const struct kv_slots *s, int j) { return (j < s->n_prefix ? s->pos : s->tail_pos)[j]; }

/* kv_lower_bound(), at once where positions have no gaps: as they ascend, none lies further on than that. A search's
 * reads wait for one another, and a block begins with it. */
KV_DEVICE int kv_lower_near(const int32_t *pos, int n, int x)
{
    if (n <= 0 || x <= pos[0]) return 0;
    int guess = x - pos[0] < n ? x - pos[0] : n;
    bool here = pos[guess - 1] < x && (guess == n || pos[guess] >= x);
    return here ? guess : kv_lower_bound(pos, n, x);
}

/* First slot whose position is not below x; n when there is none. */
KV_DEVICE int kv_slots_from(const struct kv_slots *s, int x)
{
    int j = kv_lower_near(s->pos, s->n_prefix, x);
    return j < s->n_prefix ? j : j + kv_lower_near(s->tail_pos + s->n_prefix, s->n - s->n_prefix, x);
}

/* What a row at this position sees. */
KV_DEVICE struct kv_slots_range kv_slots_seen(const struct kv_slots *s, int pos, int window)
{
    struct kv_slots_range r = { 0, kv_slots_from(s, pos + 1) };
    if (window && pos >= window) r.lo = kv_slots_from(s, pos - window + 1);
    return r;
}

#endif
