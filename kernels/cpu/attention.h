/* What the attention ops share: which slots a query row sees, where a slot's key lies, how the work is cut, and
 * the table of functions that exist once per instruction set.
 *
 * Slots of a sequence are numbered as one list j, prefix first, then tail. Positions ascend over that list, so
 * the slots that a row sees are one range [lo, hi) of it. Keys are cut into tiles and chunks at fixed j, rows
 * into tiles by need: a row's arithmetic depends on its own range alone, never on its neighbours, its call or
 * the number of threads. */
#ifndef KV_CPU_ATTENTION_H
#define KV_CPU_ATTENTION_H

#include "kernels/cpu/cpu.h"

#define KV_ATTN_TILE        64   /* keys of a prefill tile */
#define KV_ATTN_CHUNK       1024 /* keys of a decode chunk, at most */
#define KV_ATTN_FEW         8    /* fewer query rows of a sequence than this are decoding */
#define KV_ATTN_COLUMN_ROWS 512  /* rows whose column sums are added up before they join the rest */
#define KV_ATTN_MAX_DIM     256  /* head_dim */
#define KV_ATTN_MAX_GROUP   64   /* query heads of one KV head */

/* One piece of work on one KV head g of one sequence: `rows` query rows from `row`, all H/G query heads of g. */
struct kv_attn_job {
    const struct kv_attend *a;
    const struct kv_seq *seq;
    size_t first; /* the sequence's first row in q, out, lse, entropy */
    int g;
    int row, rows;
    int j0, j1;   /* slots that take part */
    bool bf16;    /* P and V may be rounded to bf16 before they are multiplied */
    int head;     /* of probabilities: one query head; -1 = all of g */
    float *part;  /* decode: [rows * H/G] states of 3 (m, l, u), then as many outputs of d, not normalised */
    float *sums;  /* columns: [H][stride], added to */
    float *probs; /* probabilities: [rows of seq][stride] */
    size_t stride;
};

/* Functions that exist per instruction set; scratch is one thread's, kv_attn_scratch_bytes(d, H/G) long. */
struct kv_attn_ops {
    void (*tile)(const struct kv_attn_job *job, void *scratch);    /* out, lse, entropy of the rows */
    void (*chunk)(const struct kv_attn_job *job, void *scratch);   /* part of the rows; NULL: tile takes them */
    void (*columns)(const struct kv_attn_job *job, void *scratch); /* sums or probs of slots [j0, j1) */
    void (*convert)(int type, const float *from, size_t n, void *to);
};

extern const struct kv_attn_ops kv_attn_plain, kv_attn_avx2, kv_attn_avx512;

const struct kv_attn_ops *kv_attn_ops(const struct kv_cpu *cpu);

/* Refuses shapes and types that no path takes, and more than was reserved. */
enum kv_status kv_attn_check(
    const struct kv_cpu *cpu, const struct kv_attend *a, const char *op, struct kv_error *err);

/* The same for an op that takes one sequence and the stored log-sum-exp. */
enum kv_status kv_attn_check_one(
    const struct kv_cpu *cpu, const struct kv_attend *a, const char *op, struct kv_error *err);

/* Runs ops->columns over all rows and slots of job's sequence: sums of all heads, or probs of one. */
enum kv_status kv_attn_columns(
    struct kv_cpu *cpu, const struct kv_attn_job *job, const char *op, struct kv_error *err);

/* The plain functions behind kv_attn_plain, each in its op's file. */
void kv_attn_plain_columns(const struct kv_attn_job *job, void *scratch);
void kv_attn_convert(int type, const float *from, size_t n, void *to);

/* Query rows of one tile: enough that packing the keys costs little, few enough that q and out stay in L2. */
static inline int kv_attn_tile_rows(int d, int group)
{
    int rows = 24576 / (d < 64 ? 64 : d) / group;
    return rows < KV_ATTN_FEW ? KV_ATTN_FEW : rows;
}

size_t kv_attn_scratch_bytes(int d, int group);

static inline int kv_attn_span_len(const struct kv_span *s, int g)
{
    return s->cap ? s->len[(size_t)g * (size_t)s->len_stride] : 0;
}

static inline int kv_attn_slots(const struct kv_seq *s, int g)
{
    return kv_attn_span_len(&s->prefix, g) + kv_attn_span_len(&s->tail, g);
}

/* Where the positions of KV head g begin. */
static inline int32_t *kv_attn_positions(const struct kv_span *s, int g)
{
    return s->pos + (s->start ? (size_t)s->start[g] : (size_t)g * (size_t)s->pos_stride);
}

static inline int32_t kv_attn_pos(const struct kv_seq *s, int g, int n_prefix, int j)
{
    return j < n_prefix ? kv_attn_positions(&s->prefix, g)[j] : kv_attn_positions(&s->tail, g)[j - n_prefix];
}

/* Byte offset of slot i of KV head g in a span's k or v. */
static inline size_t kv_attn_offset(const struct kv_span *s, int g, int i, size_t row_bytes)
{
    return ((s->start ? (size_t)s->start[g] : (size_t)g * (size_t)s->cap) + (size_t)i) * row_bytes;
}

static inline const void *kv_attn_k(const struct kv_seq *s, int g, int n_prefix, int j, size_t row_bytes)
{
    return j < n_prefix ? (const char *)s->prefix.k + kv_attn_offset(&s->prefix, g, j, row_bytes)
                        : (const char *)s->tail.k + kv_attn_offset(&s->tail, g, j - n_prefix, row_bytes);
}

static inline const void *kv_attn_v(const struct kv_seq *s, int g, int n_prefix, int j, size_t row_bytes)
{
    return j < n_prefix ? (const char *)s->prefix.v + kv_attn_offset(&s->prefix, g, j, row_bytes)
                        : (const char *)s->tail.v + kv_attn_offset(&s->tail, g, j - n_prefix, row_bytes);
}

static inline size_t kv_attn_row_bytes(int type, int d)
{
    return (size_t)d * (type == KV_TYPE_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* First slot whose position is above `pos`, at or after `from`: by doubling steps, so that the next row, one
 * position on, costs next to nothing. */
static inline int kv_attn_above(const struct kv_seq *s, int g, int n_prefix, int n, int from, int64_t pos)
{
    int lo = from, step = 1;
    while (lo + step <= n && kv_attn_pos(s, g, n_prefix, lo + step - 1) <= pos) lo += step, step *= 2;
    for (; step; step /= 2)
        if (lo + step <= n && kv_attn_pos(s, g, n_prefix, lo + step - 1) <= pos) lo += step;
    return lo;
}

struct kv_attn_range {
    int lo, hi; /* lo <= hi; equal when the row sees nothing */
};

/* What rows [row, row + rows) of the sequence see. */
static inline void kv_attn_ranges(
    const struct kv_seq *s, int g, int window, int row, int rows, struct kv_attn_range *range)
{
    int n_prefix = kv_attn_span_len(&s->prefix, g), n = kv_attn_slots(s, g), lo = 0, hi = 0;
    for (int i = 0; i < rows; i++) {
        int64_t pos = s->row_pos[row + i];
        hi = kv_attn_above(s, g, n_prefix, n, hi, pos);
        if (window) lo = kv_attn_above(s, g, n_prefix, n, lo, pos - window);
        range[i] = (struct kv_attn_range){ lo, hi };
    }
}

/* One half-width row as f32: exact. */
static inline float kv_attn_f16(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } x = { (uint32_t)(h & 0x7fff) << 13 }, scale = { 0x77800000 }; /* 2^112 moves the exponent's bias */
    x.f *= scale.f;
    if ((h & 0x7c00) == 0x7c00) x.u |= 0x7f800000;
    x.u |= (uint32_t)(h & 0x8000) << 16;
    return x.f;
}

static inline float kv_attn_bf16(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } x = { (uint32_t)h << 16 };
    return x.f;
}

static inline void kv_attn_load(int type, const void *row, int d, float *to)
{
    switch (type) {
    case KV_TYPE_F16:
        for (int c = 0; c < d; c++) to[c] = kv_attn_f16(((const uint16_t *)row)[c]);
        break;
    case KV_TYPE_BF16:
        for (int c = 0; c < d; c++) to[c] = kv_attn_bf16(((const uint16_t *)row)[c]);
        break;
    default:
        for (int c = 0; c < d; c++) to[c] = ((const float *)row)[c];
    }
}

#endif
