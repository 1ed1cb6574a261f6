/* What the attention tests share: random problems over cached sequences, the definition of attention by brute
 * force in double precision (written from the formula and not from the kernels), and running a backend. */
#ifndef TESTS_UNIT_ATTENTION_H
#define TESTS_UNIT_ATTENTION_H

#include "kernels/kernels.h"
#include "kernels/softmax.h"
#include "tests/tap.h"

#include <stdlib.h>

static uint64_t seed;

static inline uint32_t random_u32(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}
static inline int between(int lo, int hi) { return lo + (int)(random_u32() % (uint32_t)(hi - lo + 1)); }
static inline float normal(void)
{
    float sum = -6;
    for (int i = 0; i < 12; i++) sum += (float)random_u32() * 0x1p-32f;
    return sum;
}

static inline double element(int type, const void *data, size_t i)
{
    if (type == KV_TYPE_F32) return ((const float *)data)[i];
    int bits = ((const uint16_t *)data)[i], fraction = type == KV_TYPE_F16 ? 10 : 7;
    int exponent = bits >> fraction & ((1 << (15 - fraction)) - 1), bias = (1 << (14 - fraction)) - 1;
    double m = bits & ((1 << fraction) - 1), sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * bias + 1) return m != 0 ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(m + (1 << fraction), exponent - bias - fraction)
                    : sign * ldexp(m, 1 - bias - fraction);
}

/* A random normal value, a value of the type from the start: 12 bits of fraction are cut to what it holds. */
static inline void set_element(int type, void *data, size_t i, float x)
{
    union {
        float f;
        uint32_t u;
    } bits = { x };
    uint16_t *half = data;
    if (type == KV_TYPE_F32) ((float *)data)[i] = x;
    if (type == KV_TYPE_BF16) half[i] = (uint16_t)(bits.u >> 16);
    if (type == KV_TYPE_F16) /* enough for values between 2^-14 and 2^15; smaller ones become 0 */
        half[i] = (uint16_t)((bits.u >> 16 & 0x8000) |
                             (fabsf(x) < 0x1p-14f ? 0 : (bits.u >> 13 & 0x3ffff) - (112u << 10)));
}

/* ---- one problem: sequences, rows, results ---- */

enum { MAX_SEQ = 4 };

struct problem {
    struct kv_attend a;
    struct kv_seq seq[MAX_SEQ];
    int n; /* rows of all sequences */
    float *q, *out, *lse, *entropy;
    int32_t *row_pos;
    int max_keys;
};

static inline struct kv_span make_span(struct problem *p, int cap, int len, bool per_head, int32_t *pos)
{
    int g_count = p->a.n_kv_head;
    size_t count = (size_t)g_count * (size_t)cap * (size_t)p->a.head_dim;
    struct kv_span s = { .cap = cap };
    if (!cap) return s;
    s.k = kv_alloc(count, sizeof(float)), s.v = kv_alloc(count, sizeof(float));
    s.pos = kv_alloc((size_t)g_count * (size_t)cap, sizeof *s.pos),
    s.len = kv_alloc((size_t)g_count, sizeof *s.len);
    if (per_head) s.len_stride = 1, s.pos_stride = cap;
    for (size_t i = 0; i < count; i++) {
        set_element(p->a.type, s.k, i, normal());
        set_element(p->a.type, s.v, i, normal());
    }
    int32_t last = *pos;
    for (int g = 0; g < (per_head ? g_count : 1); g++) {
        int32_t at = *pos;
        s.len[g] = per_head ? between(len / 2, len) : len;
        for (int i = 0; i < s.len[g]; i++) s.pos[g * s.pos_stride + i] = at += between(1, 3);
        if (at > last) last = at;
    }
    *pos = last;
    return s;
}

static inline struct problem make_problem(int n_head, int n_kv_head, int d, int type)
{
    struct problem p = { .a = { .n_head = n_head, .n_kv_head = n_kv_head, .head_dim = d, .type = type } };
    p.a.scale = 1 / sqrtf((float)d);
    return p;
}

static inline void add_seq(struct problem *p, int rows, int prefix, int tail, bool per_head)
{
    struct kv_seq *s = &p->seq[p->a.n_seq++];
    int32_t pos = -1;
    s->prefix = make_span(p, prefix + (prefix ? between(0, 5) : 0), prefix, per_head, &pos);
    s->tail = make_span(p, tail + (tail ? between(0, 5) : 0), tail, per_head, &pos);
    s->n_row = rows;
    p->n += rows;
    if (prefix + tail > p->max_keys) p->max_keys = prefix + tail;
}

/* Rows sit at the last positions, as after append(), or anywhere, also in front of every key. */
static inline void finish_problem(struct problem *p, bool anywhere, float sharpness)
{
    size_t h = (size_t)p->a.n_head, n = (size_t)p->n, at = 0;
    p->q = kv_alloc(n * h * (size_t)p->a.head_dim, sizeof *p->q);
    p->out = kv_alloc(n * h * (size_t)p->a.head_dim, sizeof *p->out);
    p->lse = kv_alloc(n * h, sizeof *p->lse), p->entropy = kv_alloc(n * h, sizeof *p->entropy);
    p->row_pos = kv_alloc(n, sizeof *p->row_pos);
    for (size_t i = 0; i < n * h * (size_t)p->a.head_dim; i++) p->q[i] = normal() * sharpness;
    for (int s = 0; s < p->a.n_seq; s++) {
        struct kv_seq *seq = &p->seq[s];
        const struct kv_span *span = seq->tail.cap ? &seq->tail : &seq->prefix;
        int32_t last = span->cap && span->len[0] ? span->pos[span->len[0] - 1] : 0;
        int32_t pos = anywhere ? between(-2, last) : last - seq->n_row + 1;
        seq->row_pos = p->row_pos + at;
        for (int i = 0; i < seq->n_row; i++, pos += anywhere ? between(1, 4) : 1) p->row_pos[at++] = pos;
    }
    p->a.q = p->q, p->a.out = p->out, p->a.lse = p->lse, p->a.entropy = p->entropy;
}

/* A problem is passed by value and its sequences move with it: point at them last. */
static inline struct kv_attend *ready(struct problem *p)
{
    p->a.seq = p->seq;
    return &p->a;
}

static inline void free_problem(struct problem *p)
{
    for (int s = 0; s < p->a.n_seq; s++)
        for (int i = 0; i < 2; i++) {
            struct kv_span *span = i ? &p->seq[s].tail : &p->seq[s].prefix;
            free(span->k), free(span->v), free(span->pos), free(span->len);
        }
    free(p->q), free(p->out), free(p->lse), free(p->entropy), free(p->row_pos);
}

/* ---- the definition ---- */

struct truth {
    double lse, entropy, out[256], bound[256]; /* bound: sum of p |v|, the measure of rounding P and V */
    double *p;                                 /* [slots] */
};

static inline int span_len(const struct kv_span *s, int g) { return s->cap ? s->len[g * s->len_stride] : 0; }

static inline int slots_of(const struct kv_seq *s, int g)
{
    return span_len(&s->prefix, g) + span_len(&s->tail, g);
}

static inline void truth_of(const struct problem *p, int s, int row, int h, struct truth *t)
{
    const struct kv_attend *a = &p->a;
    const struct kv_seq *seq = &p->seq[s];
    int g = h / (a->n_head / a->n_kv_head), d = a->head_dim, n = slots_of(seq, g), first = 0;
    for (int i = 0; i < s; i++) first += p->seq[i].n_row;
    const float *q = p->q + ((size_t)(first + row) * (size_t)a->n_head + (size_t)h) * (size_t)d;
    double *x = t->p, max = -INFINITY, sum = 0;
    bool *seen = kv_alloc((size_t)n + 1, sizeof *seen);
    for (int j = 0; j < n; j++) {
        bool in_prefix = j < span_len(&seq->prefix, g);
        const struct kv_span *span = in_prefix ? &seq->prefix : &seq->tail;
        int slot = in_prefix ? j : j - span_len(&seq->prefix, g), pos = span->pos[g * span->pos_stride + slot];
        x[j] = 0;
        seen[j] = pos <= seq->row_pos[row] && (!a->window || pos > seq->row_pos[row] - a->window);
        for (int c = 0; c < d; c++)
            x[j] += (double)q[c] * element(a->type, span->k,
                                       ((size_t)g * (size_t)span->cap + (size_t)slot) * (size_t)d + (size_t)c);
        x[j] *= (double)a->scale;
        if (seen[j] && x[j] > max) max = x[j];
    }
    for (int j = 0; j < n; j++) sum += seen[j] ? exp(x[j] - max) : 0;
    t->lse = sum > 0 ? max + log(sum) : (double)KV_SOFTMAX_EMPTY;
    t->entropy = 0;
    memset(t->out, 0, sizeof t->out), memset(t->bound, 0, sizeof t->bound);
    for (int j = 0; j < n; j++) {
        bool in_prefix = j < span_len(&seq->prefix, g);
        const struct kv_span *span = in_prefix ? &seq->prefix : &seq->tail;
        int slot = in_prefix ? j : j - span_len(&seq->prefix, g);
        double log_p = x[j] - t->lse;
        t->p[j] = seen[j] ? exp(log_p) : 0;
        if (!seen[j]) continue;
        t->entropy -= t->p[j] * log_p;
        for (int c = 0; c < d; c++) {
            double v =
                element(a->type, span->v, ((size_t)g * (size_t)span->cap + (size_t)slot) * (size_t)d + (size_t)c);
            t->out[c] += t->p[j] * v, t->bound[c] += t->p[j] * fabs(v);
        }
    }
    free(seen);
}

/* ---- running a backend ---- */

static inline void *open_cpu(enum kv_simd simd, enum kv_precision precision, int threads, const struct problem *p)
{
    struct kv_backend_options options = { .simd = simd, .precision = precision, .threads = threads };
    struct kv_limits limits = { .rows = p->n > 16 ? p->n : 16,
        .keys = p->max_keys + 1,
        .seqs = MAX_SEQ,
        .n_head = p->a.n_head,
        .n_kv_head = p->a.n_kv_head,
        .head_dim = p->a.head_dim,
        .widest = 64 };
    struct kv_error err;
    void *ctx = NULL;
    if (kv_backend_cpu.init(&options, &ctx, &err) || kv_backend_cpu.reserve(ctx, &limits, &err))
        CHECK(false, "%s", err.text);
    return ctx;
}

/* Whether this machine has the path: asked of the backend's own description. */
static inline bool has(enum kv_simd simd)
{
    static const char *const name[] = { "", "plain", "AVX2", "AVX-512" };
    struct kv_backend_options options = { .simd = simd, .threads = 1 };
    struct kv_error err;
    char text[256] = "";
    void *ctx;
    if (kv_backend_cpu.init(&options, &ctx, &err)) return false;
    kv_backend_cpu.describe(ctx, text, sizeof text);
    kv_backend_cpu.free(ctx);
    return strstr(text, name[simd]);
}

#define NEED(simd)                                                                                                 \
    do {                                                                                                           \
        if (!has(simd)) SKIP("this processor lacks the instruction set");                                          \
    } while (0)

#define OK(call)                                                                                                   \
    do {                                                                                                           \
        struct kv_error err_;                                                                                      \
        err_.text[0] = 0;                                                                                          \
        enum kv_status status_ = kv_backend_cpu.call;                                                              \
        CHECK(!status_, "%s", err_.text);                                                                          \
    } while (0)

/* Tolerances. A logit is a sum of d products in f32: its error is below 2e-6 for the |s| <= 20 made here, and out
 * and entropy move by no more than a few times that. Rounding P and V to bf16 moves each by 2^-8. */
static inline void compare(struct problem *p, double rounding, const char *what)
{
    struct truth t = { .p = kv_alloc((size_t)p->max_keys + 1, sizeof *t.p) };
    size_t at = 0;
    for (int s = 0; s < p->a.n_seq; s++)
        for (int i = 0; i < p->seq[s].n_row; i++)
            for (int h = 0; h < p->a.n_head; h++, at++) {
                truth_of(p, s, i, h, &t);
                double lse = fabs((double)p->lse[at] - t.lse) / fmax(1, fabs(t.lse));
                double entropy = fabs((double)p->entropy[at] - t.entropy);
                CHECK(lse <= 4e-6, "%s: lse of row %d head %d: %g, not %g", what, i, h, (double)p->lse[at], t.lse);
                CHECK(entropy <= 1e-5, "%s: entropy of row %d head %d: %g, not %g", what, i, h,
                    (double)p->entropy[at], t.entropy);
                for (int c = 0; c < p->a.head_dim; c++) {
                    double got = (double)p->out[at * (size_t)p->a.head_dim + (size_t)c];
                    CHECK(fabs(got - t.out[c]) <= 2e-5 + rounding * t.bound[c],
                        "%s: out of row %d head %d channel %d: %g, not %g", what, i, h, c, got, t.out[c]);
                }
            }
    free(t.p);
}

static inline void compare_columns(struct problem *p, void *ctx, const char *what)
{
    struct truth t = { .p = kv_alloc((size_t)p->max_keys + 1, sizeof *t.p) };
    size_t stride = (size_t)p->max_keys + 3;
    float *sums = kv_alloc((size_t)p->a.n_head * stride, sizeof *sums);
    float *probs = kv_alloc((size_t)p->n * stride, sizeof *probs);
    double *want = kv_alloc(stride, sizeof *want);
    OK(columns(ctx, &p->a, sums, stride, &err_));
    for (int h = 0; h < p->a.n_head; h++) {
        double total = 0, rows = 0, total_want = 0;
        int n = slots_of(&p->seq[0], h / (p->a.n_head / p->a.n_kv_head));
        OK(probabilities(ctx, &p->a, h, probs, stride, &err_));
        memset(want, 0, stride * sizeof *want);
        for (int i = 0; i < p->n; i++) {
            double row = 0;
            truth_of(p, 0, i, h, &t);
            rows += t.lse > (double)KV_SOFTMAX_EMPTY / 2;
            for (int j = 0; j < n; j++) {
                double got = (double)probs[(size_t)i * stride + (size_t)j];
                want[j] += t.p[j], row += got;
                CHECK(fabs(got - t.p[j]) <= 1e-5, "%s: p of row %d head %d slot %d: %g, not %g", what, i, h, j, got,
                    t.p[j]);
            }
            CHECK(fabs(row - (t.lse > (double)KV_SOFTMAX_EMPTY / 2)) <= 1e-5, "%s: row %d head %d adds up to %g",
                what, i, h, row);
        }
        for (int j = 0; j < n; j++) {
            double got = (double)sums[(size_t)h * stride + (size_t)j];
            CHECK(fabs(got - want[j]) <= 2e-6 + 1e-5 * want[j], "%s: sum of head %d slot %d: %g, not %g", what, h,
                j, got, want[j]);
            total += got, total_want += want[j];
        }
        CHECK(fabs(total - rows) <= 1e-5 * rows + 1e-9, "%s: columns of head %d add up to %g, not %g rows", what, h,
            total, rows);
    }
    free(t.p), free(sums), free(probs), free(want);
}

/* ---- helpers of single cases ---- */

/* f32 mode has no decode path: cases that mean it by their few rows run fast. */
static inline enum kv_precision precision_for(int rows) { return rows < 8 ? KV_PRECISION_FAST : KV_PRECISION_F32; }

static inline void on_every_path(void (*check)(enum kv_simd simd))
{
    for (enum kv_simd simd = KV_SIMD_PLAIN; simd <= KV_SIMD_AVX512; simd++)
        if (has(simd)) check(simd);
}

/* The cache's keys and values as f32, to be written by hand. */
static inline float *keys_of(struct problem *p) { return p->seq[0].tail.k; }

static inline size_t out_count(const struct problem *p)
{
    return (size_t)p->n * (size_t)p->a.n_head * (size_t)p->a.head_dim;
}

/* Copies of a problem's results, to hold against the next run's. */
struct result {
    float *out, *lse, *entropy;
};

static inline struct result results_of(const struct problem *p)
{
    size_t n = out_count(p), rows = (size_t)p->n * (size_t)p->a.n_head;
    struct result r = { kv_alloc(n, 4), kv_alloc(rows, 4), kv_alloc(rows, 4) };
    memcpy(r.out, p->out, n * 4), memcpy(r.lse, p->lse, rows * 4), memcpy(r.entropy, p->entropy, rows * 4);
    return r;
}

static inline bool same_results(const struct problem *p, const struct result *r)
{
    size_t n = out_count(p), rows = (size_t)p->n * (size_t)p->a.n_head;
    return !memcmp(r->out, p->out, n * 4) && !memcmp(r->lse, p->lse, rows * 4) &&
           !memcmp(r->entropy, p->entropy, rows * 4);
}

static inline void free_results(struct result *r) { free(r->out), free(r->lse), free(r->entropy); }

#endif
