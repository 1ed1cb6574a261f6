/* Softmax attention with its entropy in one online pass: the driver of every path, and the plain one.
 *
 *   s[i][h][j] = scale * sum_c q[i][h][c] k[g][j][c],  g = h / (H/G),  for the slots j that row i sees
 *   p = e^(s - lse),  out[i][h] = sum_j p[j] v[g][j],  lse = ln sum_j e^s,  entropy = -sum_j p ln p  (nats)
 *
 * Shapes: q [n][H][d] f32, k and v [G][cap][d] f32, f16 or bf16, out [n][H*d] f32, lse and entropy [n][H] f32;
 * out may not overlap q. A row that sees nothing gives out 0, entropy 0, lse KV_SOFTMAX_EMPTY. NaN in q or in a
 * visible k gives NaN in the row; on the vector paths a NaN in v may reach every row that shares its tile of 64
 * keys, and none beyond.
 *
 * Work: 4 n_visible d flops and one exponential a (row, head). Many rows (prefill) are bound by arithmetic:
 * rows are cut into tiles that keep q and out in L2 while tiles of 64 keys pass, packed once a tile. Few rows
 * (decode) are bound by reading the cache once: 4 d bytes a slot and KV head in f16, for all H/G heads; slots
 * are cut into chunks that threads take, and the parts are joined in slot order, so that the number of
 * threads changes no bit. Measured rates stand at the vector kernels (simd/attend.c, simd/attend_few.c). */
#include "kernels/cpu/attention.h"
#include "kernels/softmax.h"

#include <omp.h>
#include <string.h>

/* ---- the plain path: the specification ---- */

static void plain_row(
    const struct kv_attend *a, const struct kv_seq *seq, size_t row, int g, struct kv_attn_range range)
{
    size_t d = (size_t)a->head_dim, group = (size_t)(a->n_head / a->n_kv_head);
    size_t first = row * (size_t)a->n_head + (size_t)g * group; /* the first of the group's heads */
    int n_prefix = kv_attn_span_len(&seq->prefix, g);
    size_t row_bytes = kv_attn_row_bytes(a->type, a->head_dim);
    struct kv_softmax state[KV_ATTN_MAX_GROUP];
    float k[KV_ATTN_MAX_DIM], v[KV_ATTN_MAX_DIM];

    memset(a->out + first * d, 0, group * d * sizeof *a->out);
    for (size_t h = 0; h < group; h++) state[h] = kv_softmax_init();
    for (int j = range.lo; j < range.hi; j++) {
        kv_attn_load(a->type, kv_attn_k(seq, g, n_prefix, j, row_bytes), a->head_dim, k);
        kv_attn_load(a->type, kv_attn_v(seq, g, n_prefix, j, row_bytes), a->head_dim, v);
        for (size_t h = 0; h < group; h++) {
            const float *q = a->q + (first + h) * d;
            float *out = a->out + (first + h) * d, dot = 0, shrink;
            for (size_t c = 0; c < d; c++) dot += q[c] * k[c];
            float weight = kv_softmax_add(&state[h], dot * a->scale, &shrink);
            for (size_t c = 0; c < d; c++) out[c] = out[c] * shrink + weight * v[c];
        }
    }
    for (size_t h = 0; h < group; h++) {
        float norm = state[h].l == 0 ? 0 : 1 / state[h].l, *out = a->out + (first + h) * d;
        for (size_t c = 0; c < d; c++) out[c] *= norm;
        if (a->lse) a->lse[first + h] = kv_softmax_lse(state[h]);
        if (a->entropy) a->entropy[first + h] = kv_softmax_entropy(state[h]);
    }
}

static void plain_tile(const struct kv_attn_job *job, void *scratch)
{
    struct kv_attn_range *range = scratch;
    kv_attn_ranges(job->seq, job->g, job->a->window, job->row, job->rows, range);
    for (int i = 0; i < job->rows; i++)
        plain_row(job->a, job->seq, job->first + (size_t)(job->row + i), job->g, range[i]);
}

/* ---- what every path shares ---- */

const struct kv_attn_ops *kv_attn_ops(const struct kv_cpu *cpu)
{
#ifdef __x86_64__
    if (cpu->isa == KV_ISA_AVX512) return &kv_attn_avx512;
    if (cpu->isa == KV_ISA_AVX2) return &kv_attn_avx2;
#endif
    (void)cpu;
    return &kv_attn_plain;
}

enum kv_status kv_attn_check(
    const struct kv_cpu *cpu, const struct kv_attend *a, const char *op, struct kv_error *err)
{
    if (a->head_dim < 1 || a->head_dim > KV_ATTN_MAX_DIM)
        return kv_fail(err, KV_UNSUPPORTED, "%s takes head_dim 1 to %d, not %d.", op, KV_ATTN_MAX_DIM, a->head_dim);
    if (a->n_kv_head < 1 || a->n_head % a->n_kv_head || a->n_head / a->n_kv_head > KV_ATTN_MAX_GROUP)
        return kv_fail(err, KV_UNSUPPORTED, "%s takes 1 to %d query heads for each KV head, not %d for %d.", op,
            KV_ATTN_MAX_GROUP, a->n_head, a->n_kv_head);
    if (a->type != KV_TYPE_F32 && a->type != KV_TYPE_F16 && a->type != KV_TYPE_BF16)
        return kv_fail(
            err, KV_UNSUPPORTED, "%s reads keys and values in F32, F16 or BF16, not type %d.", op, a->type);
    if (!cpu->reserved) return kv_fail(err, KV_NOT_NOW, "%s before reserve().", op);
    return KV_OK;
}

static size_t round_up(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* One thread's scratch: q, out, their state, ranges, and a tile or chunk of keys, values and logits; the
 * largest that any path lays out. */
size_t kv_attn_scratch_bytes(int d, int group)
{
    size_t wide = ((size_t)d + 15) & ~(size_t)15, rows = (size_t)kv_attn_tile_rows(d, group) * (size_t)group + 6;
    size_t tile = rows * (2 * wide + 2 * 16 + 3) + 2 * KV_ATTN_TILE * wide + 2 * 6 * KV_ATTN_TILE;
    size_t few = (size_t)KV_ATTN_FEW * (size_t)group * (wide + KV_ATTN_CHUNK) + 16 * 16 * 4;
    return (kv_max(tile, few) + (size_t)kv_attn_tile_rows(d, group) * 2 + 2 * KV_ATTN_COLUMN_ROWS) * sizeof(float) +
           1024;
}

/* Slots of one chunk: four to eight chunks a KV head for the threads to share, as long as they can be beyond that,
 * for memory streams best in long runs. Of the sequence's length alone, so that nothing else changes bits. */
static int chunk_of(int slots)
{
    int chunk = KV_ATTN_CHUNK;
    while (chunk > 128 && chunk > slots / 4) chunk /= 2;
    return chunk;
}

struct item {
    int32_t seq, g, row, rows;
    int32_t j0, j1; /* of a decode chunk; 0, 0: a tile */
    size_t part;    /* of a decode chunk: where its part lies, in floats */
};

/* What a call needs of the attention scratch, at most: items, parts of decode chunks, then one block a thread. */
struct need {
    size_t items, parts, thread, bytes;
};

static struct need need_of(const struct kv_limits *limits, int threads)
{
    size_t rows = (size_t)limits->rows, seqs = (size_t)kv_max(1, (size_t)limits->seqs),
           d = (size_t)limits->head_dim;
    size_t group = (size_t)limits->n_head / (size_t)limits->n_kv_head, g = (size_t)limits->n_kv_head;
    size_t chunks = kv_max(8, (size_t)limits->keys / KV_ATTN_CHUNK + 1),
           few = kv_min(rows, seqs * (KV_ATTN_FEW - 1));
    struct need n;
    n.items = round_up(g * (rows / KV_ATTN_FEW + seqs * (chunks + 1)) * sizeof(struct item));
    n.parts = round_up(few * (size_t)limits->n_head * chunks * (d + 3) * sizeof(float));
    n.thread = round_up(kv_attn_scratch_bytes(limits->head_dim, (int)group));
    n.bytes = n.items + n.parts + n.thread * (size_t)threads;
    return n;
}

size_t kv_cpu_attend_scratch_bytes(const struct kv_limits *limits, int threads)
{
    if (limits->n_head < 1 || limits->n_kv_head < 1) return 0;
    return need_of(limits, threads).bytes;
}

/* Whether a sequence's rows take the decode path. In f32 none do: a row's bits must not tell how many came with
 * it. */
static bool decodes(const struct kv_cpu *cpu, const struct kv_attn_ops *ops, const struct kv_seq *seq)
{
    return ops->chunk && cpu->precision != KV_PRECISION_F32 && seq->n_row < KV_ATTN_FEW && seq->n_row > 0;
}

/* One sequence's rows as tiles, last rows first as they see most. */
static size_t cut_rows(const struct kv_attend *a, int seq, int tile_rows, struct item *item)
{
    int n_row = a->seq[seq].n_row;
    size_t n = 0;
    for (int t = (n_row + tile_rows - 1) / tile_rows - 1; t >= 0; t--)
        for (int g = 0; g < a->n_kv_head; g++) {
            int row = t * tile_rows, rows = n_row - row < tile_rows ? n_row - row : tile_rows;
            item[n++] = (struct item){ .seq = seq, .g = g, .row = row, .rows = rows };
        }
    return n;
}

/* One sequence's slots as chunks. */
static size_t cut_slots(const struct kv_attend *a, int seq, struct item *item, size_t *part)
{
    const struct kv_seq *s = &a->seq[seq];
    size_t n = 0, floats = (size_t)s->n_row * (size_t)(a->n_head / a->n_kv_head) * (size_t)(a->head_dim + 3);
    for (int g = 0; g < a->n_kv_head; g++) {
        int slots = kv_attn_slots(s, g), chunk = chunk_of(slots), j = 0;
        do {
            int end = slots - j < chunk ? slots : j + chunk;
            item[n++] = (struct item){ .seq = seq, .g = g, .rows = s->n_row, .j0 = j, .j1 = end, .part = *part };
            *part += floats;
            j = end;
        } while (j < slots);
    }
    return n;
}

/* Joins the parts of one KV head's rows in slot order and writes the rows out. */
static void join(const struct kv_attend *a, size_t first, const struct item *item, size_t n, const float *parts)
{
    size_t group = (size_t)(a->n_head / a->n_kv_head), d = (size_t)a->head_dim, count = (size_t)item->rows * group;
    for (size_t r = 0; r < count; r++) {
        size_t at = (first + r / group) * (size_t)a->n_head + (size_t)item->g * group + r % group;
        float *out = a->out + at * d, keep, add;
        struct kv_softmax state = kv_softmax_init();
        memset(out, 0, d * sizeof *out);
        for (size_t i = 0; i < n; i++) {
            const float *head = parts + item[i].part + 3 * r, *o = parts + item[i].part + 3 * count + r * d;
            if (head[1] == 0) continue;
            kv_softmax_merge(&state, (struct kv_softmax){ head[0], head[1], head[2] }, &keep, &add);
            for (size_t c = 0; c < d; c++) out[c] = out[c] * keep + o[c] * add;
        }
        float norm = state.l == 0 ? 0 : 1 / state.l;
        for (size_t c = 0; c < d; c++) out[c] *= norm;
        if (a->lse) a->lse[at] = kv_softmax_lse(state);
        if (a->entropy) a->entropy[at] = kv_softmax_entropy(state);
    }
}

/* Row of the pass at which a sequence starts. */
static size_t first_row(const struct kv_attend *a, int seq)
{
    size_t row = 0;
    for (int i = 0; i < seq; i++) row += (size_t)a->seq[i].n_row;
    return row;
}

static struct kv_attn_job job_of(const struct kv_cpu *cpu, const struct kv_attend *a, const struct item *it)
{
    return (struct kv_attn_job){ .a = a,
        .seq = &a->seq[it->seq],
        .first = first_row(a, it->seq),
        .g = it->g,
        .row = it->row,
        .rows = it->rows,
        .j0 = it->j0,
        .j1 = it->j1,
        .head = -1,
        .bf16 = cpu->precision != KV_PRECISION_F32 };
}

/* The shapes of one call, and its multiplications. */
static struct kv_limits limits_of(const struct kv_attend *a, int64_t *work)
{
    struct kv_limits limits = {
        .seqs = a->n_seq, .n_head = a->n_head, .n_kv_head = a->n_kv_head, .head_dim = a->head_dim
    };
    *work = 0;
    for (int s = 0; s < a->n_seq; s++) {
        int slots = 0;
        for (int g = 0; g < a->n_kv_head; g++) {
            int n = kv_attn_slots(&a->seq[s], g);
            if (n > slots) slots = n;
        }
        limits.rows += a->seq[s].n_row;
        if (slots > limits.keys) limits.keys = slots;
        *work += (int64_t)a->seq[s].n_row * slots * a->n_head * a->head_dim;
    }
    return limits;
}

enum kv_status kv_cpu_attend(void *ctx, const struct kv_attend *a, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_attend]++;
    enum kv_status status = kv_attn_check(cpu, a, "Attention", err);
    if (status) return status;
    const struct kv_attn_ops *ops = kv_attn_ops(cpu);
    int64_t work;
    struct kv_limits limits = limits_of(a, &work);
    struct need need = need_of(&limits, cpu->threads);
    char *scratch = kv_cpu_scratch(cpu, KV_SCRATCH_ATTEND, need.bytes);
    if (!scratch)
        return kv_fail(err, KV_NOT_NOW,
            "Attention of %d rows over %d keys needs %zu bytes of scratch; reserve() was for %d rows over %d keys.",
            limits.rows, limits.keys, need.bytes, cpu->limits.rows, cpu->limits.keys);

    struct item *item = (struct item *)scratch;
    float *parts = (float *)(scratch + need.items);
    int tile_rows = kv_attn_tile_rows(a->head_dim, a->n_head / a->n_kv_head);
    while (tile_rows > 4 * KV_ATTN_FEW && limits.rows / tile_rows * a->n_kv_head < 4 * cpu->threads) tile_rows /= 2;
    size_t n_item = 0, n_tile, part = 0;
    for (int i = 0; i < a->n_seq; i++)
        if (!decodes(cpu, ops, &a->seq[i])) n_item += cut_rows(a, i, tile_rows, item + n_item);
    n_tile = n_item;
    for (int i = 0; i < a->n_seq; i++)
        if (decodes(cpu, ops, &a->seq[i])) n_item += cut_slots(a, i, item + n_item, &part);

#pragma omp parallel num_threads(work < KV_PARALLEL_GRAIN * 2 ? 1 : cpu->threads)
    {
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < n_item; i++) {
            struct kv_attn_job job = job_of(cpu, a, &item[i]);
            job.part = parts + item[i].part;
            char *own = scratch + need.items + need.parts + need.thread * (size_t)omp_get_thread_num();
            (i < n_tile ? ops->tile : ops->chunk)(&job, own);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = n_tile; i < n_item; i++) {
            size_t end = i + 1;
            if (item[i].j0) continue; /* the first chunk of a KV head joins them all */
            while (end < n_item && item[end].j0) end++;
            join(a, first_row(a, item[i].seq), item + i, end - i, parts);
        }
    }
    return KV_OK;
}

const struct kv_attn_ops kv_attn_plain = {
    .tile = plain_tile,
    .columns = kv_attn_plain_columns,
    .convert = kv_attn_convert,
};
