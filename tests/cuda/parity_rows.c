/* Ops on rows of activations: norm, swiglu, rope, interleave, cosine, moments. */
#include "tests/cuda/parity.h"

static const int widths[] = { 1, 2, 3, 7, 31, 32, 33, 64, 100, 576, 1023, 1024, 1536, 2560, 4096 };
static const int dims[] = { 64, 80, 96, 128, 256, 2, 6, 10, 34, 72, 100, 130, 254 };

static int rows(void) { return parity.small ? between(1, 9) : between(1, 300); }
static int times(void) { return parity.small ? 6 : 40; }
static int width(void) { return ONE_OF(widths); }

/* ---- norm ---- */

struct norm {
    struct buffer *x, *weight, *y;
    int n, cols;
};

static enum kv_status norm(const struct side *s, const void *args, struct kv_error *err)
{
    const struct norm *a = args;
    return s->be->norm(s->ctx, AT(s, a->x), AT(s, a->weight), 1e-5f, a->n, a->cols, AT(s, a->y), err);
}

/* The sum of squares is off by 8 sqrt(n) u, its root by half of that; then a reciprocal root and two products. */
static void check_norm(void)
{
    for (int i = 0; i < times(); i++) {
        struct norm a = { .n = rows(), .cols = width() };
        size_t count = (size_t)a.n * (size_t)a.cols;
        a.x = normals(count, i % 3 ? 1 : 1e3f, i % 4 == 1);
        a.weight = normals((size_t)a.cols, 1, false);
        a.y = i % 4 == 1 ? a.x : output(count * 4);
        if (i % 4 == 2) f32(a.x)[count / 2] = NAN;
        if (i % 4 == 3) memset(a.x->cpu, 0, (size_t)a.cols * 4);
        if (!run_both(norm, &a)) return;
        double *t = tolerances(count);
        for (size_t j = 0; j < count; j++) t[j] = fabs((double)f32(a.y)[j]) * (8 + 4 * sqrt(a.cols)) * UNIT_F32;
        compare(a.y, count, t, "y");
        next_shape();
    }
}

/* ---- swiglu ---- */

struct swiglu {
    struct buffer *gate, *up, *y;
    size_t count;
};

static enum kv_status swiglu(const struct side *s, const void *args, struct kv_error *err)
{
    const struct swiglu *a = args;
    return s->be->swiglu(s->ctx, AT(s, a->gate), AT(s, a->up), a->count, AT(s, a->y), err);
}

/* Exponential (2 units), sum, division, product: 16 u in all leaves room for a division that is not exact. Far below 0
 * the exponential overflows, and y is 0 or the smallest numbers. */
static void check_swiglu(void)
{
    for (int i = 0; i < times(); i++) {
        struct swiglu a = { .count = (size_t)rows() * (size_t)width() };
        a.gate = normals(a.count, 8, i % 3 == 1);
        a.up = normals(a.count, 2, i % 3 == 2);
        a.y = i % 3 == 1 ? a.gate : i % 3 == 2 ? a.up : output(a.count * 4);
        f32(a.gate)[0] = -100, f32(a.gate)[a.count / 2] = 100;
        if (i % 2) f32(i % 4 == 1 ? a.gate : a.up)[a.count / 3] = NAN;
        if (!run_both(swiglu, &a)) return;
        double *t = tolerances(a.count);
        for (size_t j = 0; j < a.count; j++) t[j] = fabs((double)f32(a.y)[j]) * 16 * UNIT_F32 + 1e-36;
        compare(a.y, a.count, t, "y");
        next_shape();
    }
}

/* ---- rope ---- */

struct rope {
    struct kv_rope rope;
    struct buffer *x;
    const int32_t *pos;
    int n, heads, head_dim;
};

static enum kv_status rope(const struct side *s, const void *args, struct kv_error *err)
{
    const struct rope *a = args;
    return s->be->rope(s->ctx, &a->rope, a->pos, AT(s, a->x), a->n, a->heads, a->head_dim, err);
}

/* Of each pair: cosine and sine to 2 units, two products, a sum. */
static void rope_tolerance(const struct rope *a, const float *x, double *t)
{
    size_t d = (size_t)a->head_dim, half = (size_t)a->rope.dim / 2;
    for (size_t h = 0; h < (size_t)a->n * (size_t)a->heads; h++)
        for (size_t c = 0; c < half; c++) {
            size_t first = h * d + (a->rope.halves ? c : 2 * c), other = a->rope.halves ? first + half : first + 1;
            t[first] = t[other] =
                (fabs((double)x[first]) + fabs((double)x[other])) * (double)a->rope.scale * 6 * UNIT_F32;
        }
}

static void check_rope(void)
{
    static int32_t pos[512];
    static float frequency[128];
    for (int i = 0; i < times(); i++) {
        struct rope a = { .n = rows(), .heads = between(1, 5), .head_dim = ONE_OF(dims), .pos = pos };
        size_t count = (size_t)a.n * (size_t)a.heads * (size_t)a.head_dim;
        a.rope = (struct kv_rope){ frequency, i % 3 ? 1 : 1.1f, i % 4 ? a.head_dim : a.head_dim / 4 * 2, i % 2 };
        if (a.rope.dim < 2) a.rope.dim = 2;
        for (int c = 0; c < a.rope.dim / 2; c++) frequency[c] = powf(10000, -2.0f * (float)c / (float)a.rope.dim);
        for (int j = 0, at = between(0, i % 2 ? 100 : 130000); j < a.n; j++) pos[j] = at += between(0, 3);
        reserve((struct kv_limits){ .rows = a.n,
            .keys = 8,
            .seqs = 1,
            .n_head = a.heads,
            .n_kv_head = a.heads,
            .head_dim = a.head_dim,
            .widest = 64 });
        a.x = normals(count, 1, true);
        if (i % 4 == 2) f32(a.x)[count / 2] = NAN;
        if (!run_both(rope, &a)) return;
        double *t = tolerances(count);
        rope_tolerance(&a, a.x->start, t);
        compare(a.x, count, t, "x");
        next_shape();
    }
    struct rope odd = {
        .rope = { frequency, 1, 3, true }, .pos = pos, .n = 1, .heads = 1, .head_dim = 8, .x = normals(8, 1, true)
    };
    must_refuse(rope, &odd, "RoPE of an odd number of channels");
}

/* ---- interleave ---- */

struct interleave {
    struct buffer *x;
    int n, heads, head_dim;
};

static enum kv_status interleave(const struct side *s, const void *args, struct kv_error *err)
{
    const struct interleave *a = args;
    return s->be->interleave(s->ctx, AT(s, a->x), a->n, a->heads, a->head_dim, err);
}

static void check_interleave(void)
{
    for (int i = 0; i < times(); i++) {
        struct interleave a = { .n = rows(), .heads = between(1, 5) };
        a.head_dim = i % 5 == 4 ? KV_INTERLEAVE_MAX : ONE_OF(dims);
        size_t count = (size_t)a.n * (size_t)a.heads * (size_t)a.head_dim;
        a.x = normals(count, 1, true);
        f32(a.x)[count / 2] = NAN;
        if (!run_both(interleave, &a)) return;
        compare_bits(a.x, "x");
        next_shape();
    }
    struct interleave odd = { normals(9, 1, true), 1, 1, 9 };
    must_refuse(interleave, &odd, "an odd width");
}

/* ---- cosine ---- */

struct cosine {
    struct buffer *a, *b, *out;
    int n, cols;
};

static enum kv_status cosine(const struct side *s, const void *args, struct kv_error *err)
{
    const struct cosine *a = args;
    return s->be->cosine(s->ctx, AT(s, a->a), AT(s, a->b), a->n, a->cols, AT(s, a->out), err);
}

/* Of the sums only sum |a b| / (|a| |b|) <= 1 is left: an error of 8 sqrt(n) u if they are in f32. */
static void check_cosine(void)
{
    for (int i = 0; i < times(); i++) {
        struct cosine a = { .n = rows(), .cols = width() };
        size_t count = (size_t)a.n * (size_t)a.cols;
        a.a = normals(count, 1, false), a.b = normals(count, 3, false), a.out = output((size_t)a.n * 4);
        if (i % 3 == 1) memset(a.a->cpu, 0, (size_t)a.cols * 4);
        if (i % 6 == 1) memset(a.b->cpu, 0, (size_t)a.cols * 4);
        if (i % 3 == 2) f32(a.b)[count - 1] = NAN;
        if (i % 5 == 3) memcpy(a.b->cpu, a.a->cpu, (size_t)a.cols * 4);
        if (!run_both(cosine, &a)) return;
        double *t = tolerances((size_t)a.n);
        for (int j = 0; j < a.n; j++) t[j] = (4 + 8 * sqrt(a.cols)) * UNIT_F32;
        compare(a.out, (size_t)a.n, t, "cosine");
        next_shape();
    }
}

/* ---- fold ---- */

struct fold {
    struct buffer *x, *out;
    int groups, each, n, stride;
};

static enum kv_status fold(const struct side *s, const void *args, struct kv_error *err)
{
    const struct fold *a = args;
    return s->be->fold(
        s->ctx, AT(s, a->x), (size_t)a->stride, a->groups, a->each, (size_t)a->n, AT(s, a->out), err);
}

static void check_fold(void)
{
    for (int i = 0; i < times(); i++) {
        struct fold a = { .groups = between(1, 9), .each = between(1, 17), .n = width() };
        a.stride = a.n + between(0, 3);
        size_t count = (size_t)a.groups * (size_t)a.each * (size_t)a.stride, sums = (size_t)a.groups * (size_t)a.n;
        a.x = normals(count, 1, false), a.out = output(sums * sizeof(double));
        if (i % 3 == 2) f32(a.x)[(size_t)a.stride * (size_t)(a.each - 1)] = NAN;
        if (!run_both(fold, &a)) return;
        const double *got = a.out->got, *want = a.out->cpu;
        for (size_t j = 0; j < sums; j++)
            if (got[j] != want[j] && !(isnan(got[j]) && isnan(want[j])))
                fail("sum %zu is %.17g, not %.17g", j, got[j], want[j]);
        next_shape();
    }
}

/* ---- moments ---- */

struct moments {
    struct buffer *q, *moments;
    int n, heads, head_dim, first; /* rows of the first call; the others come in a second */
};

static enum kv_status moments(const struct side *s, const void *args, struct kv_error *err)
{
    const struct moments *a = args;
    const float *q = AT(s, a->q);
    enum kv_status status =
        s->be->moments(s->ctx, q, a->first, a->heads, a->head_dim, true, AT(s, a->moments), err);
    if (status || a->first == a->n) return status;
    q += (size_t)a->first * (size_t)a->heads * (size_t)a->head_dim;
    return s->be->moments(s->ctx, q, a->n - a->first, a->heads, a->head_dim, false, AT(s, a->moments), err);
}

/* Sums of n terms x[c] x[e], each of which is a difference of two numbers. */
static void moments_tolerance(const struct moments *a, double *t)
{
    size_t d = (size_t)a->head_dim, stride = (size_t)a->heads * d, block = 2 * d + d * (d + 1) / 2;
    double unit = (4 + 8 * sqrt(a->n)) * UNIT_F32;
    for (size_t h = 0; h < (size_t)a->heads; h++)
        for (size_t i = 0; i < (size_t)a->n; i++) {
            const float *q = f32(a->q) + i * stride + h * d, *r = f32(a->q) + h * d;
            double *product = t + h * block + 2 * d;
            for (size_t c = 0; c < d; product += ++c) {
                double x = fabs((double)q[c] - (double)r[c]);
                t[h * block + d + c] += x * unit;
                for (size_t e = 0; e <= c; e++) product[e] += x * fabs((double)q[e] - (double)r[e]) * unit;
            }
        }
}

static void check_moments(void)
{
    for (int i = 0; i < times(); i++) {
        struct moments a = { .n = parity.small ? between(1, 70) : between(1, 200), .heads = between(1, 4) };
        a.head_dim = i % 3 ? ONE_OF(dims) : between(1, 40);
        a.first = between(1, a.n);
        size_t d = (size_t)a.head_dim, block = 2 * d + d * (d + 1) / 2, count = (size_t)a.heads * block;
        a.q = normals((size_t)a.n * (size_t)a.heads * d, 1, false);
        for (size_t j = 0; j < a.q->bytes / 4; j++) f32(a.q)[j] += 5;
        /* fresh sets the point; the sums are added to what is there, which alloc() made zero */
        a.moments = input(count * 4);
        a.moments->guess = true;
        if (!run_both(moments, &a)) return;
        double *t = tolerances(count);
        moments_tolerance(&a, t);
        compare(a.moments, count, t, "moments");
        next_shape();
    }
}

/* Ties go to the first; NaN and rows of no finite number have no answer. */
static void check_argmax(void)
{
    static const int sizes[] = { 1, 2, 31, 33, 1000, 16384, 16385, 50000 };
    struct kv_error err = { 0 };
    for (int i = 0; i < 32 && !failed(); i++) {
        int n = ONE_OF(sizes), want = -2, got = -2;
        struct buffer *x = normals((size_t)n, 1, false);
        reserve((struct kv_limits){
            .rows = 8, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = 64 });
        for (int k = 0; i % 4 == 1 && k < 9; k++) f32(x)[between(0, n - 1)] = 7;
        if (i % 8 == 2) f32(x)[between(0, n - 1)] = NAN;
        for (int k = 0; i % 8 == 6 && k < n; k++) f32(x)[k] = -INFINITY;
        if (i % 8 == 7) f32(x)[between(0, n - 1)] = INFINITY;
        if (kv_backend_cpu.argmax(parity.cpu, x->cpu, (size_t)n, &want, &err) ||
            parity.be->write(parity.gpu, x->gpu, x->cpu, (size_t)n * 4, &err) ||
            parity.be->argmax(parity.gpu, (const float *)x->gpu, (size_t)n, &got, &err))
            fail("%s", err.text);
        if (got != want) fail("the largest of %d numbers is at %d, not %d (kind %d)", n, got, want, i % 8);
        next_shape();
    }
}

const struct check row_checks[] = {
    { "norm", check_norm, KV_PRECISION_F32, NULL },
    { "norm", check_norm, KV_PRECISION_FAST, NULL },
    { "swiglu", check_swiglu, KV_PRECISION_F32, NULL },
    { "swiglu", check_swiglu, KV_PRECISION_FAST, NULL },
    { "rope", check_rope, KV_PRECISION_F32, NULL },
    { "rope", check_rope, KV_PRECISION_FAST, NULL },
    { "interleave", check_interleave, KV_PRECISION_F32, NULL },
    { "cosine", check_cosine, KV_PRECISION_F32, NULL },
    { "fold", check_fold, KV_PRECISION_F32, NULL },
    { "moments", check_moments, KV_PRECISION_F32, NULL },
    { "argmax", check_argmax, KV_PRECISION_F32, NULL },
};
const size_t n_row_checks = KV_COUNT(row_checks);
