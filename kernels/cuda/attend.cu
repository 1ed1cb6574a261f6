/* Softmax attention with its entropy in one online pass: what is checked, how rows are cut into tiles, and which path
 * takes them. Equations and shapes: kernels/cpu/attend.c. */
#include "kernels/cuda/attend.cuh"

#include <stdlib.h>

enum kv_status kv_cuda_attend_check(
    const struct kv_cuda *cu, const struct kv_attend *a, const char *op, struct kv_error *err)
{
    if (a->head_dim < 1 || a->head_dim > KV_CUDA_MAX_DIM)
        return kv_fail(
            err, KV_UNSUPPORTED, "%s on the GPU takes head_dim 1 to %d, not %d.", op, KV_CUDA_MAX_DIM, a->head_dim);
    if (a->n_kv_head < 1 || a->n_head < 1 || a->n_head % a->n_kv_head ||
        a->n_head / a->n_kv_head > KV_CUDA_MAX_GROUP)
        return kv_fail(err, KV_UNSUPPORTED,
            "%s on the GPU takes 1 to %d query heads for each KV head, not %d for %d.", op, KV_CUDA_MAX_GROUP,
            a->n_head, a->n_kv_head);
    if (a->type != KV_TYPE_F32 && a->type != KV_TYPE_F16 && a->type != KV_TYPE_BF16)
        return kv_fail(
            err, KV_UNSUPPORTED, "%s reads keys and values in F32, F16 or BF16, not type %d.", op, a->type);
    if (!cu->reserved) return kv_fail(err, KV_NOT_NOW, "%s before reserve().", op);
    return KV_OK;
}

size_t kv_cuda_attend_scratch(const struct kv_cuda *cu, const struct kv_limits *limits)
{
    return kv_cuda_columns_scratch(cu, limits);
}

/* ---- cutting ---- */

static int tiles_of(const struct kv_seq *seq, int group, int pairs)
{
    return (int)(((int64_t)seq->n_row * group + pairs - 1) / pairs);
}

static struct kv_attend_tile tile_at(const struct kv_attend *a, int seq, int first, int pair, int pairs)
{
    int group = a->n_head / a->n_kv_head, rest = a->seq[seq].n_row * group - pair;
    struct kv_attend_tile t = { seq, first, pair, rest < pairs ? rest : pairs, 0 };
    int pos = a->seq[seq].row_pos[(t.pair + t.pairs - 1) / group];
    t.keys = a->window && pos >= a->window ? a->window : pos + 1;
    return t;
}

/* Heavy tiles first, and one order for tiles of one weight. */
static int by_keys(const void *x, const void *y)
{
    const struct kv_attend_tile *a = (const struct kv_attend_tile *)x, *b = (const struct kv_attend_tile *)y;
    if (a->keys != b->keys) return a->keys > b->keys ? -1 : 1;
    if (a->seq != b->seq) return a->seq < b->seq ? -1 : 1;
    return a->pair > b->pair ? -1 : 1;
}

/* Sequences that are decoding have a kernel of their own; n_few: how many. */
static int count_tiles(const struct kv_cuda *cu, const struct kv_attend *a, int pairs, int *n_few)
{
    int n = 0;
    *n_few = 0;
    for (int s = 0; s < a->n_seq; s++)
        if (kv_cuda_attend_few_takes(cu, a, s))
            ++*n_few;
        else
            n += tiles_of(&a->seq[s], a->n_head / a->n_kv_head, pairs);
    return n;
}

/* Last rows see most, so those of one sequence come in order. */
static const struct kv_attend_tile *stage_tiles(
    struct kv_cuda *cu, const struct kv_attend *a, int pairs, int n_tile)
{
    int n = 0, first = 0;
    void *host;
    const struct kv_attend_tile *device =
        (const struct kv_attend_tile *)kv_cuda_stage_fill(cu, (size_t)n_tile * sizeof *device, &host);
    struct kv_attend_tile *tile = (struct kv_attend_tile *)host;
    for (int s = 0; s < a->n_seq; first += a->seq[s++].n_row) {
        if (kv_cuda_attend_few_takes(cu, a, s)) continue;
        for (int i = tiles_of(&a->seq[s], a->n_head / a->n_kv_head, pairs) - 1; i >= 0; i--)
            tile[n++] = tile_at(a, s, first, i * pairs, pairs);
    }
    if (a->n_seq > 1) qsort(tile, (size_t)n, sizeof *tile, by_keys);
    return device;
}

/* ---- the entry ---- */

/* A path, and the pairs of its tiles. */
struct path {
    const struct kv_cuda_kind *kind;
    int pairs;
};

/* Rows that a vector access may meet. */
static bool aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

bool kv_cuda_attend_tensor(const struct kv_cuda *cu, const struct kv_attend *a)
{
    bool takes = cu->precision != KV_PRECISION_F32 && a->type != KV_TYPE_F32 && a->scale > 0 &&
                 kv_cuda_attend_mma_pairs(a->head_dim) && aligned(a->q) && aligned(a->out);
    for (int i = 0; i < a->n_seq; i++)
        takes = takes && aligned(a->seq[i].prefix.k) && aligned(a->seq[i].prefix.v) && aligned(a->seq[i].tail.k) &&
                aligned(a->seq[i].tail.v);
    return takes;
}

static struct path path_of(const struct kv_cuda *cu, const struct kv_attend *a)
{
    int hopper = kv_cuda_attend_wgmma_pairs(cu, a->head_dim);
    if (!kv_cuda_attend_tensor(cu, a)) return (struct path){ &kv_cuda_attend_plain, KV_ATTEND_PLAIN_PAIRS };
    if (hopper) return (struct path){ &kv_cuda_attend_wgmma, hopper };
    return (struct path){ &kv_cuda_attend_mma, kv_cuda_attend_mma_pairs(a->head_dim) };
}

static void push_tiles(
    struct kv_cuda *cu, const struct kv_attend *a, const struct kv_seq *seq, struct path path, int n_tile)
{
    struct kv_attend_args args = {};
    args.seq = seq;
    args.tile = stage_tiles(cu, a, path.pairs, n_tile);
    args.q = a->q;
    args.out = a->out;
    args.lse = a->lse;
    args.entropy = a->entropy;
    args.n_tile = n_tile;
    args.n_head = a->n_head;
    args.n_kv_head = a->n_kv_head;
    args.head_dim = a->head_dim;
    args.group = a->n_head / a->n_kv_head;
    args.type = a->type;
    args.window = a->window;
    args.scale = a->scale;
    args.scale2 = (float)(a->scale * 1.4426950408889634);
    args.slack = 8 / args.scale2 < 1e20f ? 8 / args.scale2 : 1e20f; /* nothing beside the maximum of an empty row */
    kv_cuda_push(cu, path.kind, &args, sizeof args);
}

enum kv_status kv_cuda_attend(void *ctx, const struct kv_attend *a, struct kv_error *err)
{
    struct kv_cuda *cu = (struct kv_cuda *)ctx;
    enum kv_status status = kv_cuda_attend_check(cu, a, "Attention", err);
    if (status) return status;
    struct path path = path_of(cu, a);
    int n_few, n_tile = count_tiles(cu, a, path.pairs, &n_few);
    size_t bytes = kv_cuda_seqs_bytes(a->seq, a->n_seq) + (size_t)n_tile * sizeof(struct kv_attend_tile) +
                   (size_t)a->n_seq * KV_ATTEND_FEW_BYTES + 32;
    status = kv_cuda_room(cu, bytes, err);
    if (status || !(n_few + n_tile)) return status;
    const struct kv_seq *seq = kv_cuda_stage_seqs(cu, a->seq, a->n_seq);
    if (n_few) kv_cuda_attend_few(cu, a, seq);
    if (n_tile) push_tiles(cu, a, seq, path, n_tile);
    return KV_OK;
}
