/* Attention: attend, columns, probabilities. Tolerances are derived row by row from the logits in f64.
 *
 * Let s[j] be the logits of a row, d[j] the error that each may have, p the softmax, D = sum p d. To first order
 *   lse     moves by at most D
 *   out     by sum p (d + D) |v|, and where P and V are rounded to bf16 by 2^-7 sum p |v| more
 *   entropy by sum p (d + D) |ln p|
 *   p       by p (d + the error of the lse that it is given)
 * d[j] is 8 sqrt(head_dim) u scale sum |q k| in f32, for the exponent a few u |s| more; where q and k are rounded to
 * bf16, six times the deviation of the sum, 2^-8 sqrt(2/3) scale sqrt(sum (q k)^2). */
#include "tests/cuda/parity_cache.h"

#include "kernels/softmax.h"

enum { SEQS = 4, ROWS_MAX = 2048 };

struct attend {
    struct cache prefix[SEQS], tail[SEQS];
    int32_t pos[ROWS_MAX];
    int n_row[SEQS], n_seq, n, keys;
    int heads, kv_heads, d, type, window;
    float scale;
    bool plain; /* neither lse nor entropy is asked for */
    struct buffer *q, *out, *lse, *entropy;
    /* of columns and probabilities */
    struct buffer *sums;
    size_t stride;
    int head;
};

/* The call's arguments for one side; seq has room for all sequences. */
static struct kv_attend call_of(const struct side *s, const struct attend *a, struct kv_seq *seq)
{
    for (int i = 0, first = 0; i < a->n_seq; first += a->n_row[i++])
        seq[i] = (struct kv_seq){ span_at(s, &a->prefix[i]), span_at(s, &a->tail[i]), a->pos + first, a->n_row[i] };
    return (struct kv_attend){ .seq = seq,
        .n_seq = a->n_seq,
        .n_head = a->heads,
        .n_kv_head = a->kv_heads,
        .head_dim = a->d,
        .type = a->type,
        .scale = a->scale,
        .window = a->window,
        .q = AT(s, a->q),
        .out = AT(s, a->out),
        .lse = a->plain ? NULL : AT(s, a->lse),
        .entropy = a->plain ? NULL : AT(s, a->entropy) };
}

static enum kv_status attend(const struct side *s, const void *args, struct kv_error *err)
{
    struct kv_seq seq[SEQS];
    const struct kv_attend call = call_of(s, args, seq);
    return s->be->attend(s->ctx, &call, err);
}

static enum kv_status columns(const struct side *s, const void *args, struct kv_error *err)
{
    const struct attend *a = args;
    struct kv_seq seq[SEQS];
    const struct kv_attend call = call_of(s, a, seq);
    return s->be->columns(s->ctx, &call, AT(s, a->sums), a->stride, err);
}

static enum kv_status probabilities(const struct side *s, const void *args, struct kv_error *err)
{
    const struct attend *a = args;
    struct kv_seq seq[SEQS];
    const struct kv_attend call = call_of(s, a, seq);
    return s->be->probabilities(s->ctx, &call, a->head, AT(s, a->sums), a->stride, err);
}

/* ---- problems ---- */

struct shape {
    int heads, kv_heads, d, type, window, n_seq;
    enum lengths lengths;
    float sharpness;
    bool anywhere; /* rows sit at any position, also in front of every key */
};

static void add_seq(struct attend *a, const struct shape *shape, int rows, int prefix, int tail)
{
    int i = a->n_seq++, at = a->n;
    a->prefix[i] = make_cache(shape->type, a->kv_heads, a->d, prefix, prefix ? between(0, 5) : 0, shape->lengths);
    a->tail[i] = make_cache_from(shape->type, a->kv_heads, a->d, tail, tail ? between(0, 5) : 0,
        shape->lengths == PACKED ? BY_HEAD : shape->lengths, a->prefix[i].cap ? a->prefix[i].last + 1 : 0);
    int32_t last = a->tail[i].cap ? a->tail[i].last : a->prefix[i].last;
    int32_t pos = shape->anywhere ? between(-2, last < 0 ? 0 : last) : last - rows + 1;
    a->n_row[i] = rows;
    a->n += rows;
    for (int j = 0; j < rows; j++, pos += shape->anywhere ? between(1, 4) : 1) a->pos[at++] = pos;
    if (a->prefix[i].cap + a->tail[i].cap > a->keys) a->keys = a->prefix[i].cap + a->tail[i].cap;
}

static void finish(struct attend *a, const struct shape *shape)
{
    size_t rows = (size_t)a->n * (size_t)a->heads;
    a->q = normals(rows * (size_t)a->d, shape->sharpness, false);
    a->out = output(rows * (size_t)a->d * 4), a->lse = output(rows * 4), a->entropy = output(rows * 4);
    reserve_attention(a->n, a->keys, SEQS, a->heads, a->kv_heads, a->d);
}

static struct attend start(const struct shape *s)
{
    return (struct attend){ .heads = s->heads,
        .kv_heads = s->kv_heads,
        .d = s->d,
        .type = s->type,
        .window = s->window,
        .scale = 1 / sqrtf((float)s->d) };
}

static struct shape random_shape(int i)
{
    static const int dims[] = { 64, 128, 80, 96, 256, 64, 128, 1, 7, 33, 40, 72, 100, 255 };
    static const int types[] = { KV_TYPE_BF16, KV_TYPE_F16, KV_TYPE_F32 };
    static const int windows[] = { 0, 0, 0, 1, 5, 17, 64, 100 };
    struct shape s = { .d = dims[i % (int)KV_COUNT(dims)], .type = types[i % 3], .window = ONE_OF(windows) };
    s.kv_heads = between(1, 3);
    s.heads = s.kv_heads * (1 + i % 16);
    s.lengths = (enum lengths)between(0, 2);
    s.sharpness = between(0, 3) ? 1 : 4;
    s.anywhere = between(0, 2) == 0;
    return s;
}

/* Rows and keys such that rows * keys * heads * d stays within what a check may take. */
static int budget_rows(const struct shape *s, int keys, double work)
{
    double rows = work / ((double)keys * s->heads * s->d);
    return rows < 1 ? 1 : rows > ROWS_MAX / SEQS ? ROWS_MAX / SEQS : (int)rows;
}

static struct attend random_problem(const struct shape *s, int i, int n_seq)
{
    static const int few[] = { 1, 1, 2, 3, 7, 8, 9 };
    static const int many[] = { 15, 16, 17, 33, 63, 64, 65, 100, 129, 200, 500 };
    double work = parity.small ? 1.5e6 : 4e7;
    struct attend a = start(s);
    for (int k = 0; k < n_seq; k++) {
        int keys = i % 5 == 0 ? between(1, 8) : between(1, parity.small ? 160 : 1500);
        int rows = i % 2 ? ONE_OF(many) : ONE_OF(few), most = budget_rows(s, keys, work / n_seq);
        int prefix = between(0, 3) ? between(0, keys) : between(0, 1) * keys;
        if (rows > most) rows = most;
        add_seq(&a, s, rows, prefix, keys - prefix);
    }
    finish(&a, s);
    a.plain = i % 7 == 6;
    return a;
}

static void tell(const struct attend *a, const struct shape *s)
{
    note("%d heads for %d, head_dim %d, type %d, window %d, %s lengths, %d sequences of %d, %d.. rows, prefix %d, "
         "tail %d",
        a->heads, a->kv_heads, a->d, a->type, a->window,
        s->lengths == SHARED    ? "shared"
        : s->lengths == BY_HEAD ? "each head's"
                                : "packed",
        a->n_seq, a->n_row[0], a->n_row[a->n_seq - 1], a->prefix[0].cap, a->tail[0].cap);
}

/* ---- the truth of one row ---- */

struct truth {
    int n;
    double *s, *delta, *p; /* [n]; p = 0 where the row does not see the slot */
    double lse, entropy, mean_delta;
};

static int slots_of(const struct attend *a, int i, int g)
{
    return cache_len(&a->prefix[i], g) + cache_len(&a->tail[i], g);
}

static const struct cache *slot_at(const struct attend *a, int i, int g, int *j)
{
    int prefix = cache_len(&a->prefix[i], g);
    if (*j < prefix) return &a->prefix[i];
    *j -= prefix;
    return &a->tail[i];
}

static double error_of(const struct attend *a, double sum, double squares, double logit)
{
    double f32_part = 2 * ((4 + 8 * sqrt(a->d)) * UNIT_F32 * sum + 4 * UNIT_F32 * fabs(logit)) + 8 * UNIT_F32;
    return f32_part + (parity.precision == KV_PRECISION_F32 ? 0 : 6 * UNIT_BF16 * sqrt(squares * 2 / 3));
}

static void truth_of(const struct attend *a, int i, int row, int h, struct truth *t)
{
    int g = h / (a->heads / a->kv_heads), first = 0;
    for (int k = 0; k < i; k++) first += a->n_row[k];
    const float *q = f32(a->q) + ((size_t)(first + row) * (size_t)a->heads + (size_t)h) * (size_t)a->d;
    int32_t pos = a->pos[first + row];
    double most = -INFINITY, all = 0;
    t->n = slots_of(a, i, g);
    for (int j = 0; j < t->n; j++) {
        int slot = j;
        const struct cache *c = slot_at(a, i, g, &slot);
        double logit = 0, sum = 0, squares = 0;
        int32_t at = cache_pos(c, g, slot);
        t->s[j] = -INFINITY;
        if (at > pos || (a->window && at <= pos - a->window)) continue;
        for (int x = 0; x < a->d; x++) {
            double product = (double)q[x] * cache_element(c, false, g, slot, x) * (double)a->scale;
            logit += product, sum += fabs(product), squares += product * product;
        }
        t->s[j] = logit;
        t->delta[j] = error_of(a, sum, squares, logit);
        most = fmax(most, logit);
    }
    for (int j = 0; j < t->n; j++) all += t->s[j] > -INFINITY ? exp(t->s[j] - most) : 0;
    t->lse = all > 0 ? most + log(all) : (double)KV_SOFTMAX_EMPTY;
    t->entropy = t->mean_delta = 0;
    for (int j = 0; j < t->n; j++) {
        t->p[j] = t->s[j] > -INFINITY ? exp(t->s[j] - t->lse) : 0;
        if (t->p[j] > 0) t->entropy -= t->p[j] * (t->s[j] - t->lse), t->mean_delta += t->p[j] * t->delta[j];
    }
    t->mean_delta += all > 0 ? (4 + 8 * sqrt(t->n)) * UNIT_F32 : 0;
}

/* One a thread; free(t.s) frees it. */
static struct truth truth_alloc(const struct attend *a)
{
    size_t n = (size_t)a->keys + 1;
    struct truth t = { .s = calloc(3 * n, sizeof *t.s) };
    if (!t.s) exit(2);
    t.delta = t.s + n, t.p = t.s + 2 * n;
    return t;
}

/* Tolerances of out, lse and entropy of one row. */
static void row_tolerance(
    const struct attend *a, int i, int h, const struct truth *t, double *out, double *lse, double *entropy)
{
    int g = h / (a->heads / a->kv_heads);
    double rounding = parity.precision == KV_PRECISION_F32 ? 0 : 2 * UNIT_BF16, logs = 0;
    for (int j = 0; j < t->n; j++) {
        int slot = j;
        const struct cache *c = slot_at(a, i, g, &slot);
        if (!(t->p[j] > 0)) continue;
        logs += t->p[j] * (t->delta[j] + t->mean_delta) * fabs(t->s[j] - t->lse);
        for (int x = 0; x < a->d; x++)
            out[x] += t->p[j] * (t->delta[j] + t->mean_delta + rounding) * fabs(cache_element(c, true, g, slot, x));
    }
    *lse = t->mean_delta + 4 * UNIT_F32 * fabs(t->lse) * (t->lse > -1e29);
    *entropy = logs + t->mean_delta;
}

static int seq_of(const struct attend *a, int *row)
{
    int i = 0;
    while (*row >= a->n_row[i]) *row -= a->n_row[i++];
    return i;
}

static void compare_attend(const struct attend *a)
{
    size_t rows = (size_t)a->n * (size_t)a->heads, d = (size_t)a->d;
    double *out = tolerances(rows * d), *lse = tolerances(rows), *entropy = tolerances(rows);
#pragma omp parallel
    {
        struct truth t = truth_alloc(a);
#pragma omp for schedule(dynamic, 16)
        for (size_t at = 0; at < rows; at++) {
            int row = (int)(at / (size_t)a->heads), h = (int)(at % (size_t)a->heads), i = seq_of(a, &row);
            truth_of(a, i, row, h, &t);
            row_tolerance(a, i, h, &t, out + at * d, lse + at, entropy + at);
        }
        free(t.s);
    }
    compare(a->out, rows * d, out, "out");
    if (!a->plain) compare(a->lse, rows, lse, "lse");
    if (!a->plain) compare(a->entropy, rows, entropy, "entropy");
    if (rows * d > 1000) compare_norm(a->out, rows * d, parity.precision == KV_PRECISION_F32 ? 2e-5 : 1e-2, "out");
}

static void check_attend(void)
{
    for (int i = 0, n = parity.small ? 42 : 200; i < n && !failed(); i++) {
        struct shape s = random_shape(i);
        struct attend a = random_problem(&s, i, between(1, SEQS));
        if (run_both(attend, &a)) compare_attend(&a);
        if (failed()) tell(&a, &s);
        next_shape();
    }
}

/* One query over each length from 1 on, and as many rows as keys: where tiles end. */
static void check_lengths(void)
{
    int last = parity.small ? 66 : 300;
    for (int n = 1; n <= last && !failed(); n += n < 20 || !parity.small ? 1 : 9) {
        struct shape s = { .heads = 4,
            .kv_heads = 2,
            .d = n % 2 ? 64 : 128,
            .type = n % 3 ? KV_TYPE_BF16 : KV_TYPE_F16,
            .sharpness = 1 };
        struct attend a = start(&s);
        add_seq(&a, &s, 1, 0, n);
        add_seq(&a, &s, n, n / 2, n - n / 2);
        finish(&a, &s);
        if (run_both(attend, &a)) compare_attend(&a);
        if (failed()) tell(&a, &s);
        next_shape();
    }
}

/* Long caches under one query: many parts to be joined. */
static void check_long(void)
{
    static const int small_keys[] = { 2100, 4500 }, full_keys[] = { 9000, 33000, 131072 };
    for (int i = 0, n = parity.small ? 2 : 3; i < n && !failed(); i++) {
        int keys = parity.small ? small_keys[i] : full_keys[i];
        struct shape s = { .heads = parity.small ? 4 : 32,
            .kv_heads = parity.small ? 1 : 8,
            .d = parity.small ? 64 : 128,
            .type = i % 2 ? KV_TYPE_F16 : KV_TYPE_BF16,
            .sharpness = 2,
            .window = i == 1 ? keys / 2 : 0 };
        struct attend a = start(&s);
        add_seq(&a, &s, 1, keys / 3, keys - keys / 3);
        add_seq(&a, &s, 2, 0, keys / 2);
        finish(&a, &s);
        if (run_both(attend, &a)) compare_attend(&a);
        if (failed()) tell(&a, &s);
        next_shape();
    }
}

/* ---- NaN ---- */

/* A NaN query makes its row NaN; a NaN key the rows of its KV head that see it; and no other row. */
static void check_attend_nan(void)
{
    for (int i = 0; i < 12 && !failed(); i++) {
        struct shape s = { .heads = 6,
            .kv_heads = 2,
            .d = i % 3 ? 64 : 40,
            .type = i % 2 ? KV_TYPE_BF16 : KV_TYPE_F32,
            .sharpness = 1 };
        struct attend a = start(&s);
        add_seq(&a, &s, i % 4 < 2 ? 3 : 40, 20, 70);
        finish(&a, &s);
        if (i < 6)
            f32(a.q)[((size_t)a.n / 2 * 6 + 1) * (size_t)a.d] = NAN;
        else
            memset((char *)a.tail[0].k->cpu + (size_t)(60 * a.d) * (s.type == KV_TYPE_F32 ? 4 : 2), 0xff, 4);
        if (!run_both(attend, &a)) return;
        const float *got = a.out->got, *lse = a.lse->got, *entropy = a.entropy->got;
        for (int r = 0; r < a.n * a.heads && !failed(); r++) {
            bool want = isnan(f32(a.lse)[r]), is = isnan(lse[r]) && isnan(entropy[r]) && isnan(got[r * a.d]);
            if (want != is || (!want && (isnan(entropy[r]) || isnan(got[r * a.d]))))
                fail("row %d, head %d: out %g, lse %g, entropy %g; %s", r / a.heads, r % a.heads,
                    (double)got[r * a.d], (double)lse[r], (double)entropy[r],
                    want ? "NaN is right" : "no NaN was in it");
        }
        if (failed()) tell(&a, &s);
        next_shape();
    }
}

/* ---- entropy against f64, on logits that are exact in every type ---- */

/* q = (1, offset, 0...), k = (x, 1, 0...), scale 1: the logit x + offset is exact, x a multiple of 1/16 below 8, random
 * or rising from key to key, so that a row's maximum goes up all the time, mostly by little. */
static void exact_logits(struct attend *a, float offset, int32_t keys, bool rising)
{
    size_t d = (size_t)a->d, bytes = a->type == KV_TYPE_F32 ? 4 : 2;
    a->scale = 1;
    memset(a->q->cpu, 0, a->q->bytes);
    for (size_t r = 0; r < (size_t)a->n * (size_t)a->heads; r++)
        f32(a->q)[r * d] = 1, f32(a->q)[r * d + 1] = offset;
    memset(a->tail[0].k->cpu, 0, a->tail[0].k->bytes);
    for (size_t j = 0; j < (size_t)keys * (size_t)a->kv_heads; j++)
        for (size_t c = 0; c < 2; c++) {
            int step = rising ? (int)(j % (size_t)keys * 255 / (size_t)keys) - 127 : between(-127, 127);
            float x = c ? 1 : (float)step / 16;
            uint32_t bits;
            memcpy(&bits, &x, 4);
            uint16_t half = (uint16_t)(bits >> 16);
            if (a->type == KV_TYPE_F16)
                half = (uint16_t)((bits >> 16 & 0x8000) | (x == 0 ? 0 : (bits >> 13 & 0x3ffff) - (112u << 10)));
            memcpy((char *)a->tail[0].k->cpu + (j * d + c) * bytes,
                a->type == KV_TYPE_F32 ? (void *)&x : (void *)&half, bytes);
        }
}

static void check_entropy(void)
{
    static const float offsets[] = { 0, 300, -300 };
    static const int types[] = { KV_TYPE_BF16, KV_TYPE_F16, KV_TYPE_F32 };
    for (int i = 0, n = parity.small ? 6 : 12; i < n && !failed(); i++) {
        int rows = i % 2 ? 17 : 1, keys = parity.small ? 3000 / (i < n / 2 ? rows : 1) : 131072;
        struct shape s = {
            .heads = 2, .kv_heads = 1, .d = i % 4 < 2 ? 64 : 128, .type = types[i % 3], .sharpness = 1
        };
        struct attend a = start(&s);
        add_seq(&a, &s, rows, 0, keys);
        finish(&a, &s);
        exact_logits(&a, offsets[(i / 3 + i) % 3], keys, i >= n / 2);
        if (!run_both(attend, &a)) return;
        struct truth t = truth_alloc(&a);
        for (int row = 0; row < rows; row += 16)
            for (int h = 0; h < a.heads && !failed(); h++) {
                truth_of(&a, 0, row, h, &t);
                double got = (double)((const float *)a.entropy->got)[row * a.heads + h];
                if (!(fabs(got - t.entropy) <= 1e-4))
                    fail("entropy of row %d, head %d over %d keys is %.7f, not %.7f", row, h, t.n, got, t.entropy);
                parity.worst = fmax(parity.worst, fabs(got - t.entropy) / 1e-4);
            }
        free(t.s);
        if (failed()) tell(&a, &s), note("offset %g", (double)offsets[(i / 3 + i) % 3]);
        next_shape();
    }
}

/* ---- columns and probabilities: both sides take the CPU's lse ---- */

static bool give_lse(struct attend *a)
{
    const struct side cpu = { &kv_backend_cpu, parity.cpu, false };
    struct kv_error err = { 0 };
    if (attend(&cpu, a, &err)) fail("%s", err.text);
    a->lse->guess = false;
    return !failed();
}

/* Of each sum: its terms' errors, and those of adding them up. */
static void columns_tolerance(const struct attend *a, double *t)
{
    double unit = (4 + 8 * sqrt(a->n)) * UNIT_F32;
#pragma omp parallel for schedule(dynamic)
    for (int h = 0; h < a->heads; h++) {
        struct truth truth = truth_alloc(a);
        for (int row = 0; row < a->n; row++) {
            truth_of(a, 0, row, h, &truth);
            for (int j = 0; j < truth.n; j++)
                if (truth.p[j] > 0)
                    t[(size_t)h * a->stride + (size_t)j] +=
                        truth.p[j] * (truth.delta[j] + unit + 8 * UNIT_F32 * fabs(truth.lse));
        }
        free(truth.s);
    }
}

static void check_columns(void)
{
    for (int i = 0, n = parity.small ? 28 : 120; i < n && !failed(); i++) {
        struct shape s = random_shape(i);
        struct attend a = random_problem(&s, i * 2 + (i % 3 > 0), 1);
        a.plain = false;
        a.stride = (size_t)a.keys + 3;
        size_t count = (size_t)a.heads * a.stride;
        a.sums = normals(count, 1, true);
        for (size_t j = 0; j < count; j++) f32(a.sums)[j] = fabsf(f32(a.sums)[j]);
        if (!give_lse(&a) || !run_both(columns, &a)) break;
        double *t = tolerances(count);
        columns_tolerance(&a, t);
        for (size_t j = 0; j < count; j++) t[j] += t[j] > 0 ? 4 * UNIT_F32 * fabs((double)f32(a.sums)[j]) : 0;
        compare(a.sums, count, t, "sum");
        if (failed()) tell(&a, &s);
        next_shape();
    }
}

static void check_probabilities(void)
{
    for (int i = 0, n = parity.small ? 28 : 120; i < n && !failed(); i++) {
        struct shape s = random_shape(i);
        struct attend a = random_problem(&s, i, 1);
        a.plain = false;
        a.stride = (size_t)a.keys + 3;
        a.head = between(0, a.heads - 1);
        size_t count = (size_t)a.n * a.stride;
        a.sums = output(count * 4);
        if (!give_lse(&a) || !run_both(probabilities, &a)) break;
        struct truth truth = truth_alloc(&a);
        double *t = tolerances(count);
        for (int row = 0; row < a.n; row++) {
            truth_of(&a, 0, row, a.head, &truth);
            for (int j = 0; j < truth.n; j++)
                t[(size_t)row * a.stride + (size_t)j] =
                    truth.p[j] > 0 ? truth.p[j] * (truth.delta[j] + 8 * UNIT_F32 * (1 + fabs(truth.lse))) + 1e-37
                                   : 0;
        }
        free(truth.s);
        compare(a.sums, count, t, "p");
        if (failed()) tell(&a, &s), note("head %d", a.head);
        next_shape();
    }
}

/* ---- refusals ---- */

static void check_refusals(void)
{
    struct shape s = { .heads = 2, .kv_heads = 1, .d = 64, .type = KV_TYPE_F16, .sharpness = 1 };
    struct attend a = start(&s);
    add_seq(&a, &s, 2, 0, 9);
    finish(&a, &s);
    struct attend bad = a;
    bad.type = KV_TYPE_Q8_0;
    must_refuse(attend, &bad, "a cache of Q8_0");
    bad = a, bad.d = 100000;
    must_refuse(attend, &bad, "head_dim 100000");
    bad = a, bad.heads = 3, bad.kv_heads = 2;
    must_refuse(attend, &bad, "3 heads for 2 KV heads");
    if (run_both(attend, &a)) compare_attend(&a); /* and what is right still works */
}

const struct check attend_checks[] = {
    { "attend, every length", check_lengths, KV_PRECISION_F32, NULL },
    { "attend, every length", check_lengths, KV_PRECISION_FAST, NULL },
    { "attend, random shapes", check_attend, KV_PRECISION_F32, NULL },
    { "attend, random shapes", check_attend, KV_PRECISION_FAST, NULL },
    { "attend, random shapes", check_attend, KV_PRECISION_INT8, NULL },
    { "attend, long caches", check_long, KV_PRECISION_F32, NULL },
    { "attend, long caches", check_long, KV_PRECISION_FAST, NULL },
    { "attend, NaN", check_attend_nan, KV_PRECISION_F32, NULL },
    { "attend, NaN", check_attend_nan, KV_PRECISION_FAST, NULL },
    { "attend, entropy of exact logits", check_entropy, KV_PRECISION_F32, NULL },
    { "attend, entropy of exact logits", check_entropy, KV_PRECISION_FAST, NULL },
    { "attend, refusals", check_refusals, KV_PRECISION_FAST, NULL },
    { "columns", check_columns, KV_PRECISION_F32, NULL },
    { "columns", check_columns, KV_PRECISION_FAST, NULL },
    { "probabilities", check_probabilities, KV_PRECISION_F32, NULL },
    { "probabilities", check_probabilities, KV_PRECISION_FAST, NULL },
};
const size_t n_attend_checks = KV_COUNT(attend_checks);
