/* Column sums of the attention matrix: how much attention each token got, from a second pass over the logits.
 *
 *   sums[h][j] += sum_i e^(s[i][h][j] - lse[i][h])  over the rows i that see slot j
 *
 * s as in attend.c; lse [n][H] f32 from it; sums [H][stride] f32, one column a slot of prefix-then-tail. Added up
 * over a row, the terms make 1: the sums of a head add up to its number of rows. Work: 2 n_visible d flops and
 * one exponential a (row, head), about half of attention's; bound by arithmetic. A job owns 64 slots of one KV
 * head and takes the rows in order, 512 at a time: no two threads add to one sum, and their number changes no
 * bit. */
#include "kernels/cpu/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

void kv_attn_plain_columns(const struct kv_attn_job *job, void *scratch)
{
    const struct kv_attend *a = job->a;
    int group = a->n_head / a->n_kv_head, n_prefix = kv_attn_span_len(&job->seq->prefix, job->g);
    size_t d = (size_t)a->head_dim;
    struct kv_attn_range *range = scratch;
    float k[KV_ATTN_MAX_DIM];

    kv_attn_ranges(job->seq, job->g, a->window, job->row, job->rows, range);
    for (int j = job->j0; j < job->j1; j++) {
        kv_attn_load(a->type, kv_attn_k(job->seq, job->g, n_prefix, j, kv_attn_row_bytes(a->type, a->head_dim)),
            a->head_dim, k);
        for (int h = job->g * group; h < (job->g + 1) * group; h++) {
            float sum = 0;
            if (job->probs && h != job->head) continue;
            for (int i = 0; i < job->rows; i++) {
                size_t at = (job->first + (size_t)(job->row + i)) * (size_t)a->n_head + (size_t)h;
                float dot = 0, p = 0;
                for (size_t c = 0; c < d; c++) dot += a->q[at * d + c] * k[c];
                if (j >= range[i].lo && j < range[i].hi) p = expf(dot * a->scale - a->lse[at]);
                if (job->probs) job->probs[(size_t)(job->row + i) * job->stride + (size_t)j] = p;
                sum += p;
            }
            if (!job->probs) job->sums[(size_t)h * job->stride + (size_t)j] += sum;
        }
    }
}

enum kv_status kv_attn_columns(
    struct kv_cpu *cpu, const struct kv_attn_job *job, const char *op, struct kv_error *err)
{
    const struct kv_attend *a = job->a;
    const struct kv_attn_ops *ops = kv_attn_ops(cpu);
    int group = a->n_head / a->n_kv_head, slots = 0;
    int first = job->head < 0 ? 0 : job->head / group, heads = job->head < 0 ? a->n_kv_head : 1;
    for (int g = first; g < first + heads; g++)
        slots = (int)kv_max((size_t)slots, (size_t)kv_attn_slots(job->seq, g));
    if (job->stride < (size_t)slots)
        return kv_fail(err, KV_BAD_ARG, "%s over %d slots, where a row has room for %zu.", op, slots, job->stride);
    size_t thread = (kv_attn_scratch_bytes(a->head_dim, group) + 63) & ~(size_t)63;
    char *scratch = kv_cpu_scratch(cpu, KV_SCRATCH_ATTEND, thread * (size_t)cpu->threads);
    if (!scratch)
        return kv_fail(err, KV_NOT_NOW,
            "%s with head_dim %d for %d heads; reserve() was for head_dim %d and %d heads.", op, a->head_dim,
            a->n_head, cpu->limits.head_dim, cpu->limits.n_head);

    int tiles = (slots + KV_ATTN_TILE - 1) / KV_ATTN_TILE;
    int64_t work = (int64_t)job->seq->n_row * slots * a->head_dim;
    /* First tiles are seen by the most rows: the longest jobs go first. */
#pragma omp parallel for num_threads(work < KV_PARALLEL_GRAIN * 2 ? 1 : cpu->threads) schedule(dynamic)
    for (int i = 0; i < tiles * heads; i++) {
        struct kv_attn_job part = *job;
        part.g = first + i % heads;
        int n = kv_attn_slots(job->seq, part.g);
        part.j0 = i / heads * KV_ATTN_TILE;
        part.j1 = (int)kv_min((size_t)n, (size_t)part.j0 + KV_ATTN_TILE);
        if (part.j0 >= n) continue;
        for (part.row = 0; part.row < job->seq->n_row; part.row += KV_ATTN_COLUMN_ROWS) {
            part.rows = (int)kv_min(KV_ATTN_COLUMN_ROWS, (size_t)(job->seq->n_row - part.row));
            ops->columns(&part, scratch + thread * (size_t)omp_get_thread_num());
        }
    }
    return KV_OK;
}

enum kv_status kv_attn_check_one(
    const struct kv_cpu *cpu, const struct kv_attend *a, const char *op, struct kv_error *err)
{
    if (a->n_seq != 1) return kv_fail(err, KV_BAD_ARG, "%s takes one sequence at a time, not %d.", op, a->n_seq);
    if (!a->lse) return kv_fail(err, KV_BAD_ARG, "%s needs the log-sum-exp that attention gives.", op);
    return kv_attn_check(cpu, a, op, err);
}

enum kv_status kv_cpu_columns(
    void *ctx, const struct kv_attend *a, float *sums, size_t stride, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_columns]++;
    enum kv_status status = kv_attn_check_one(cpu, a, "A column sum", err);
    if (status) return status;
    struct kv_attn_job job = { .a = a, .seq = a->seq, .head = -1, .sums = sums, .stride = stride };
    return kv_attn_columns(cpu, &job, "A column sum", err);
}
