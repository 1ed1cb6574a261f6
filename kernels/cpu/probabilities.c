/* Rows of one head's attention matrix, for looking at.
 *
 *   out[i][j] = e^(s[i][h][j] - lse[i][h]) where row i sees slot j, else 0
 *
 * out [n][stride] f32, one column a slot of prefix-then-tail; lse [n][H] from attend(). The arithmetic is that of
 * columns.c, kept instead of added up; writes 4 bytes a (row, slot), so callers take a few rows at a time. */
#include "kernels/cpu/attention.h"

enum kv_status kv_cpu_probabilities(
    void *ctx, const struct kv_attend *a, int head, float *out, size_t stride, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    cpu->calls[KV_CPU_probabilities]++;
    enum kv_status status = kv_attn_check_one(cpu, a, "An attention row", err);
    if (status) return status;
    if (head < 0 || head >= a->n_head)
        return kv_fail(err, KV_BAD_ARG, "There is no head %d; this layer has heads 0 to %d.", head, a->n_head - 1);
    struct kv_attn_job job = { .a = a, .seq = a->seq, .head = head, .probs = out, .stride = stride };
    return kv_attn_columns(cpu, &job, "An attention row", err);
}
