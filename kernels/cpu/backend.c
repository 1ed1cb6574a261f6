/* The CPU backend: its context, memory, scratch, and the table of its ops. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/ops.h"
#include "kernels/select.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

static void cpu_free(void *ctx)
{
    struct kv_cpu *cpu = ctx;
    if (!cpu) return;
    for (int i = 0; i < KV_SCRATCH_COUNT; i++) free(cpu->scratch[i].p);
    free(cpu);
}

static enum kv_status cpu_init(const struct kv_backend_options *options, void **ctx, struct kv_error *err)
{
    *ctx = NULL;
    if (options->threads < 0 || options->threads > 1024)
        return kv_fail(
            err, KV_BAD_ARG, "The number of threads is %d; it must be 0 (all cores) to 1024.", options->threads);
    struct kv_cpu *cpu = kv_alloc(1, sizeof *cpu);
    if (!cpu) return kv_fail(err, KV_NO_MEMORY, "No memory for the CPU backend's context.");
    cpu->precision = options->precision;
    cpu->isa = kv_cpu_choose_isa(options->simd);
    cpu->threads = options->threads ? options->threads : omp_get_num_procs();
    cpu->ops = kv_cpu_ops_of(cpu->isa);
    *ctx = cpu;
    return KV_OK;
}

static const char *prefill_of(const struct kv_cpu *cpu)
{
    if (cpu->precision == KV_PRECISION_F32) return "f32";
    if (cpu->precision == KV_PRECISION_INT8 && cpu->ops->gemm_int8) return "int8";
    return cpu->ops->gemm_bf16 ? "bf16" : "f32";
}

static void cpu_describe(void *ctx, char *text, size_t size)
{
    const struct kv_cpu *cpu = ctx;
    const char *decode = cpu->precision == KV_PRECISION_INT8                         ? "int8"
                         : cpu->precision == KV_PRECISION_FAST && cpu->ops->has_gemv ? "15-bit"
                                                                                     : "f32";
    snprintf(text, size, "CPU, %s, %d thread%s, prefill in %s, decode with %s activations", kv_isa_name(cpu->isa),
        cpu->threads, cpu->threads == 1 ? "" : "s", prefill_of(cpu), decode);
}

static void cpu_stats(void *ctx, struct kv_backend_stats *stats)
{
    static const char *const name[] = {
#define X(name) #name,
        KV_CPU_OP_LIST(X)
#undef X
    };
    const struct kv_cpu *cpu = ctx;
    *stats = (struct kv_backend_stats){ .bytes_live = cpu->bytes_live, .bytes_peak = cpu->bytes_peak };
    for (int i = 0; i < KV_SCRATCH_COUNT; i++) stats->scratch_bytes += cpu->scratch[i].bytes;
    for (int i = 0; i < KV_CPU_OPS; i++) {
        stats->launches += cpu->calls[i];
        if (!cpu->calls[i]) continue;
        stats->op[stats->n_op].name = name[i];
        stats->op[stats->n_op++].calls = cpu->calls[i];
    }
}

void *kv_cpu_scratch(struct kv_cpu *cpu, enum kv_scratch_slot slot, size_t bytes)
{
    return bytes <= cpu->scratch[slot].bytes ? cpu->scratch[slot].p : NULL;
}

static enum kv_status cpu_reserve(void *ctx, const struct kv_limits *limits, struct kv_error *err)
{
    struct kv_cpu *cpu = ctx;
    size_t bytes[KV_SCRATCH_COUNT] = { 0 };
    if (limits->rows < 1 || limits->widest < 1 || limits->head_dim < 1)
        return kv_fail(err, KV_BAD_ARG, "Limits of %d rows, %d columns and head_dim %d; each must be at least 1.",
            limits->rows, limits->widest, limits->head_dim);
    kv_cpu_linear_scratch_bytes(cpu, limits, bytes);
    bytes[KV_SCRATCH_ROPE] = kv_cpu_rope_scratch_bytes(limits);
    bytes[KV_SCRATCH_ATTEND] = kv_cpu_attend_scratch_bytes(limits, cpu->threads);
    cpu->reserved = false;
    cpu->rope_table.n = 0;
    for (int i = 0; i < KV_SCRATCH_COUNT; i++) {
        free(cpu->scratch[i].p);
        cpu->scratch[i].p = NULL;
        cpu->scratch[i].bytes = 0;
        if (!bytes[i]) continue;
        cpu->scratch[i].p = kv_alloc(bytes[i], 1);
        if (!cpu->scratch[i].p) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu bytes of scratch.", bytes[i]);
        cpu->scratch[i].bytes = bytes[i];
    }
    cpu->limits = *limits;
    cpu->reserved = true;
    return KV_OK;
}

static enum kv_status cpu_sync(void *ctx, struct kv_error *err)
{
    (void)ctx, (void)err;
    return KV_OK;
}

/* Caches are read in long streams: huge pages spare the TLB there. */
static void *cpu_alloc(void *ctx, size_t bytes)
{
    struct kv_cpu *cpu = ctx;
    void *p;
    if (bytes < 2 * HUGE_PAGE)
        p = kv_alloc(bytes, 1);
    else if (bytes > SIZE_MAX - HUGE_PAGE)
        p = NULL;
    else if ((p = aligned_alloc(HUGE_PAGE, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE))) {
        madvise(p, bytes, MADV_HUGEPAGE);
        memset(p, 0, bytes);
    }
    if (p) cpu->bytes_live += bytes;
    if (cpu->bytes_peak < cpu->bytes_live) cpu->bytes_peak = cpu->bytes_live;
    return p;
}

static void cpu_release(void *ctx, void *p, size_t bytes)
{
    struct kv_cpu *cpu = ctx;
    if (!p) return;
    cpu->bytes_live -= bytes;
    free(p);
}

static enum kv_status cpu_copy(void *ctx, void *to, const void *from, size_t bytes, struct kv_error *err)
{
    (void)ctx, (void)err;
    if (bytes) memcpy(to, from, bytes);
    return KV_OK;
}

static enum kv_status cpu_upload(void *ctx, const void *host, size_t bytes, const void **out, struct kv_error *err)
{
    (void)ctx, (void)bytes, (void)err;
    *out = host;
    return KV_OK;
}

static enum kv_status cpu_select(void *ctx, const float *score, const uint8_t *forced, int n, int budget,
    int32_t *kept, int *n_kept, struct kv_error *err)
{
    ((struct kv_cpu *)ctx)->calls[KV_CPU_select]++;
    enum kv_status status = kv_select_cpu(score, forced, n, budget, kept, n_kept);
    return status ? kv_fail(err, status, "Cannot select %d of %d tokens: %s.", budget, n, kv_status_text(status))
                  : KV_OK;
}

static enum kv_status cpu_select_many(void *ctx, const struct kv_select *s, int count, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (int i = 0; i < count && !status; i++)
        status = cpu_select(ctx, s[i].score, s[i].forced, s[i].n, s[i].budget, s[i].kept, s[i].n_kept, err);
    return status;
}

const struct kv_backend kv_backend_cpu = {
    .abi = KV_BACKEND_ABI,
    .size = sizeof(struct kv_backend),
    .name = "cpu",
    .on_host = true,
    .init = cpu_init,
    .free = cpu_free,
    .describe = cpu_describe,
    .stats = cpu_stats,
    .reserve = cpu_reserve,
    .sync = cpu_sync,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .write = cpu_copy,
    .read = cpu_copy,
    .copy = cpu_copy,
    .upload = cpu_upload,
    .embed = kv_cpu_embed,
    .norm = kv_cpu_norm,
    .linear = kv_cpu_linear,
    .rope = kv_cpu_rope,
    .interleave = kv_cpu_interleave,
    .append = kv_cpu_append,
    .attend = kv_cpu_attend,
    .columns = kv_cpu_columns,
    .probabilities = kv_cpu_probabilities,
    .norms = kv_cpu_norms,
    .cosine = kv_cpu_cosine,
    .moments = kv_cpu_moments,
    .expect = kv_cpu_expect,
    .swiglu = kv_cpu_swiglu,
    .gather = kv_cpu_gather,
    .gather_heads = kv_cpu_gather_heads,
    .fold = kv_cpu_fold,
    .select = cpu_select,
    .select_many = cpu_select_many,
    .argmax = kv_cpu_argmax,
};
