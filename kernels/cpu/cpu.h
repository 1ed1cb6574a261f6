/* What the files of the CPU backend share: the context, scratch memory, and the table of functions that exist
 * once per instruction set.
 *
 * Every op is a file of its own name; its public entry takes the context as void * (the slot's type) and counts
 * itself in calls. The plain C code in kernels/cpu/ is the reference; kernels/cpu/simd/ is compiled once per
 * instruction set and reached only through tables that are chosen by isa at init. */
#ifndef KV_CPU_H
#define KV_CPU_H

#include "kernels/kernels.h"

enum kv_isa { KV_ISA_PLAIN, KV_ISA_AVX2, KV_ISA_AVX512, KV_ISA_COUNT };

/* Work that each thread should at least get before a parallel region pays for itself, in elements. */
#define KV_PARALLEL_GRAIN 16384

enum kv_scratch_slot {
    KV_SCRATCH_X,      /* linear: the activations as bf16, or as int8 planes */
    KV_SCRATCH_INT8,   /* linear: the activations rounded to 8 bits, as f32 */
    KV_SCRATCH_PANEL,  /* linear: weights of one panel, dequantised */
    KV_SCRATCH_ROPE,   /* rope: cosines and sines of the last positions */
    KV_SCRATCH_ATTEND, /* attend, columns, probabilities */
    KV_SCRATCH_COUNT
};

#define KV_CPU_OP_LIST(X)                                                                                          \
    X(embed)                                                                                                       \
    X(norm)                                                                                                        \
    X(linear)                                                                                                      \
    X(rope)                                                                                                        \
    X(interleave)                                                                                                  \
    X(append)                                                                                                      \
    X(attend)                                                                                                      \
    X(columns)                                                                                                     \
    X(probabilities)                                                                                               \
    X(norms)                                                                                                       \
    X(cosine)                                                                                                      \
    X(fold)                                                                                                        \
    X(moments)                                                                                                     \
    X(expect)                                                                                                      \
    X(swiglu)                                                                                                      \
    X(gather)                                                                                                      \
    X(select)                                                                                                      \
    X(argmax)

enum kv_cpu_op {
#define X(name) KV_CPU_##name,
    KV_CPU_OP_LIST(X)
#undef X
        KV_CPU_OPS
};

struct kv_cpu_ops; /* what mathematics exists once per instruction set */

struct kv_cpu {
    enum kv_precision precision;
    enum kv_isa isa;
    int threads;                  /* >= 1; every parallel region says num_threads(threads) */
    const struct kv_cpu_ops *ops; /* of isa */
    bool reserved;
    struct kv_limits limits; /* as reserved */
    struct {
        void *p;
        size_t bytes;
    } scratch[KV_SCRATCH_COUNT];
    struct {
        float scale;
        int dim, n; /* 0 = no table yet */
    } rope_table;
    size_t bytes_live, bytes_peak;
    uint64_t calls[KV_CPU_OPS];
};

/* Scratch of one slot, 64-byte aligned, contents kept from call to call; NULL when reserve() was for less. */
void *kv_cpu_scratch(struct kv_cpu *cpu, enum kv_scratch_slot slot, size_t bytes);

/* The attention ops' scratch, kv_cpu_attend_scratch_bytes(limits, threads) long. */
static inline void *kv_cpu_attn_scratch(struct kv_cpu *cpu) { return cpu->scratch[KV_SCRATCH_ATTEND].p; }

/* The highest path of this CPU, at most `highest` (KV_SIMD_AUTO = no limit). */
enum kv_isa kv_cpu_choose_isa(enum kv_simd highest);
const char *kv_isa_name(enum kv_isa isa);

/* Scratch bytes that each op wants of its slot for these limits. */
void kv_cpu_linear_scratch_bytes(const struct kv_cpu *cpu, const struct kv_limits *limits, size_t bytes[]);
size_t kv_cpu_rope_scratch_bytes(const struct kv_limits *limits);
size_t kv_cpu_attend_scratch_bytes(const struct kv_limits *limits, int threads);

/* dst[n] = the values of n weights of this type; n a multiple of the block. dequant.c is the reference. */
void kv_dequantize(int type, const void *src, size_t n, float *dst);

/* The slots of struct kv_backend, one file each; see kernels.h. */
enum kv_status kv_cpu_embed(
    void *ctx, const struct kv_matrix *w, const int32_t *ids, int n, float *x, struct kv_error *err);
enum kv_status kv_cpu_norm(
    void *ctx, const float *x, const float *weight, float eps, int n, int cols, float *y, struct kv_error *err);
enum kv_status kv_cpu_linear(
    void *ctx, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err);
enum kv_status kv_cpu_rope(void *ctx, const struct kv_rope *rope, const int32_t *pos, float *x, int n, int heads,
    int head_dim, struct kv_error *err);
enum kv_status kv_cpu_interleave(void *ctx, float *x, int n, int heads, int head_dim, struct kv_error *err);
enum kv_status kv_cpu_swiglu(
    void *ctx, const float *gate, const float *up, size_t count, float *y, struct kv_error *err);
enum kv_status kv_cpu_append(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
    const float *v, const int32_t *pos, int n, struct kv_error *err);
enum kv_status kv_cpu_attend(void *ctx, const struct kv_attend *a, struct kv_error *err);
enum kv_status kv_cpu_columns(
    void *ctx, const struct kv_attend *a, float *sums, size_t stride, struct kv_error *err);
enum kv_status kv_cpu_probabilities(
    void *ctx, const struct kv_attend *a, int head, float *out, size_t stride, struct kv_error *err);
enum kv_status kv_cpu_norms(void *ctx, const struct kv_span *span, bool values, int power, int type, int n_kv_head,
    int head_dim, float *out, size_t stride, struct kv_error *err);
enum kv_status kv_cpu_fold(
    void *ctx, const float *x, size_t stride, int groups, int each, size_t n, double *out, struct kv_error *err);
enum kv_status kv_cpu_cosine(
    void *ctx, const float *a, const float *b, int n, int cols, float *out, struct kv_error *err);
enum kv_status kv_cpu_moments(
    void *ctx, const float *q, int n, int n_head, int head_dim, bool fresh, float *moments, struct kv_error *err);
enum kv_status kv_cpu_expect(void *ctx, const struct kv_span *span, int type, int n_head, int n_kv_head,
    int head_dim, const float *mean, const float *cov, float scale, float *out, size_t stride,
    struct kv_error *err);
enum kv_status kv_cpu_gather(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, int n, struct kv_span *to, struct kv_error *err);
enum kv_status kv_cpu_gather_heads(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
    const int32_t *index, size_t index_stride, const int32_t *n, struct kv_span *to, struct kv_error *err);
enum kv_status kv_cpu_argmax(void *ctx, const float *x, size_t n, int *index, struct kv_error *err);

#endif
