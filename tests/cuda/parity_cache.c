/* Ops on a cache: append, gather, gather_heads, norms, expect; and select. */
#include "tests/cuda/parity_cache.h"

#include "kernels/select.h"

static int times(void) { return parity.small ? 8 : 60; }

static const int types[] = { KV_TYPE_F32, KV_TYPE_F16, KV_TYPE_BF16 };
static const int dims[] = { 64, 80, 96, 128, 256, 1, 7, 33, 72, 100, 255 };

/* ---- append ---- */

struct append {
    struct cache to;
    struct buffer *k, *v;
    const int32_t *pos;
    int n;
};

static enum kv_status append(const struct side *s, const void *args, struct kv_error *err)
{
    const struct append *a = args;
    struct kv_span to = span_at(s, &a->to);
    return s->be->append(
        s->ctx, &to, a->to.type, a->to.heads, a->to.d, AT(s, a->k), AT(s, a->v), a->pos, a->n, err);
}

static struct append make_append(int i, int room)
{
    static int32_t pos[256];
    enum lengths lengths = i % 3 ? SHARED : BY_HEAD;
    struct append a = { .n = i % 6 ? between(1, 40) : between(150, 250), .pos = pos };
    int len = between(0, 50);
    a.to = make_cache(ONE_OF(types), between(1, 4), ONE_OF(dims), len, a.n + room, lengths);
    size_t count = (size_t)a.n * (size_t)a.to.heads * (size_t)a.to.d;
    a.k = normals(count, 1, false), a.v = normals(count, 100, false);
    for (int j = 0; j < a.n; j++) pos[j] = a.to.last + 1 + j;
    reserve((struct kv_limits){ .rows = a.n,
        .keys = a.to.cap,
        .seqs = 1,
        .n_head = a.to.heads,
        .n_kv_head = a.to.heads,
        .head_dim = a.to.d,
        .widest = 64 });
    return a;
}

static bool is_nan_of(int type, uint16_t bits)
{
    return type == KV_TYPE_F16 ? (bits & 0x7fff) > 0x7c00 : (bits & 0x7fff) > 0x7f80;
}

/* The same bits, but that one NaN is as good as another. */
static void compare_rows(const struct buffer *b, int type, const char *what)
{
    uint16_t *got = b->got, *want = b->cpu;
    for (size_t i = 0; i < b->bytes / 2 && type != KV_TYPE_F32; i++)
        if (is_nan_of(type, got[i]) && is_nan_of(type, want[i])) got[i] = want[i];
    compare_bits(b, what);
}

static void check_append(void)
{
    for (int i = 0; i < times() * 2; i++) {
        struct append a = make_append(i, i % 4 ? between(1, 20) : 0);
        /* overflow, the smallest numbers, halves that tie, infinity and NaN */
        static const float hard[] = { 65520, -70000, 1e-8f, 6e-8f, 2.9802322e-8f, 1.00048828125f, 1.00390625f,
            1.01171875f, 3.4e38f, 1e-45f, INFINITY, -INFINITY, NAN, -0.0f };
        for (size_t j = 0; j < KV_COUNT(hard) && j < a.k->bytes / 4; j++) f32(i % 2 ? a.k : a.v)[j] = hard[j];
        if (!run_both(append, &a)) return;
        compare_rows(a.to.k, a.to.type, "k");
        compare_rows(a.to.v, a.to.type, "v");
        compare_bits(a.to.pos, "pos");
        compare_bits(a.to.len, "len");
        if (failed())
            note("%d tokens behind a cache of type %d, %d heads of %d", a.n, a.to.type, a.to.heads, a.to.d);
        next_shape();
    }
    struct append full = make_append(1, 0);
    full.n--;
    ((int32_t *)full.to.len->cpu)[0] += 2;
    must_refuse(append, &full, "a cache without room");
}

/* ---- gather ---- */

struct gather {
    struct cache prefix, tail, to;
    int32_t *index, *n; /* n[g]; all alike for gather */
    size_t stride;
    bool by_head;
};

static enum kv_status gather(const struct side *s, const void *args, struct kv_error *err)
{
    const struct gather *a = args;
    const struct kv_seq from = { .prefix = span_at(s, &a->prefix), .tail = span_at(s, &a->tail) };
    struct kv_span to = span_at(s, &a->to);
    if (a->by_head)
        return s->be->gather_heads(
            s->ctx, &from, a->to.type, a->to.heads, a->to.d, a->index, a->stride, a->n, &to, err);
    return s->be->gather(s->ctx, &from, a->to.type, a->to.heads, a->to.d, a->index, a->n[0], &to, err);
}

/* Keeps each slot with a chance that leaves none, some or all. */
static int choose(int slots, int chance, int32_t *index)
{
    int n = 0;
    for (int j = 0; j < slots; j++)
        if (between(1, 4) <= chance) index[n++] = j;
    return n;
}

static void one_gather(int i, bool by_head)
{
    static int32_t index[16 * 4096], n[16];
    int type = ONE_OF(types), d = ONE_OF(dims), heads = between(1, 4), most = 0;
    struct gather a = { .index = index, .n = n, .by_head = by_head, .stride = 4096 };
    enum lengths lengths = by_head ? i % 2 ? PACKED : BY_HEAD : SHARED;
    a.prefix = make_cache(type, heads, d, i % 3 ? between(1, parity.small ? 60 : 2000) : 0, between(0, 9), lengths);
    a.tail = make_cache(type, heads, d, i % 5 ? between(1, parity.small ? 60 : 2000) : 0, between(1, 9), lengths);
    for (int g = 0; g < heads; g++) {
        int slots = cache_len(&a.prefix, g) + cache_len(&a.tail, g);
        n[g] = choose(slots, i % 5, index + (size_t)g * a.stride);
        if (n[g] > most) most = n[g];
    }
    a.to = by_head ? make_packed(type, heads, d, n) : make_cache(type, heads, d, 0, n[0] + between(1, 5), SHARED);
    poison_cache(&a.to);
    reserve((struct kv_limits){ .rows = 8,
        .keys = most + a.prefix.cap + a.tail.cap + 1,
        .seqs = 1,
        .n_head = heads,
        .n_kv_head = heads,
        .head_dim = d,
        .widest = 64 });
    if (!run_both(gather, &a)) return;
    compare_bits(a.to.k, "k");
    compare_bits(a.to.v, "v");
    compare_bits(a.to.pos, "pos");
    compare_bits(a.to.len, "len");
    if (failed()) note("%d of %d heads of %d, type %d", n[0], heads, d, type);
    next_shape();
}

static void check_gather(void)
{
    for (int i = 0; i < times() * 2 && !failed(); i++) one_gather(i, false);
}

static void check_gather_heads(void)
{
    for (int i = 0; i < times() * 2 && !failed(); i++) one_gather(i, true);
}

/* ---- norms ---- */

struct norms {
    struct cache of;
    struct buffer *out;
    size_t stride;
    int power;
    bool values;
};

static enum kv_status norms(const struct side *s, const void *args, struct kv_error *err)
{
    const struct norms *a = args;
    struct kv_span span = span_at(s, &a->of);
    return s->be->norms(
        s->ctx, &span, a->values, a->power, a->of.type, a->of.heads, a->of.d, AT(s, a->out), a->stride, err);
}

static void check_norms(void)
{
    for (int i = 0; i < times(); i++) {
        struct norms a = { .power = 1 + i % 2, .values = i / 2 % 2 };
        a.of = make_cache(ONE_OF(types), between(1, 4), ONE_OF(dims), between(0, parity.small ? 70 : 3000), 3,
            (enum lengths)(i % 3));
        a.stride = (size_t)a.of.cap + 2;
        a.out = output((size_t)a.of.heads * a.stride * 4);
        if (!run_both(norms, &a)) return;
        size_t count = (size_t)a.of.heads * a.stride;
        double *t = tolerances(count);
        for (size_t j = 0; j < count; j++) t[j] = fabs((double)f32(a.out)[j]) * (4 + 8 * sqrt(a.of.d)) * UNIT_F32;
        compare(a.out, count, t, "norm");
        next_shape();
    }
}

/* ---- expect ---- */

struct expect {
    struct cache of;
    struct buffer *mean, *cov, *out;
    size_t stride;
    int heads;
    float scale;
};

static enum kv_status expect(const struct side *s, const void *args, struct kv_error *err)
{
    const struct expect *a = args;
    struct kv_span span = span_at(s, &a->of);
    return s->be->expect(s->ctx, &span, a->of.type, a->heads, a->of.heads, a->of.d, AT(s, a->mean), AT(s, a->cov),
        a->scale, AT(s, a->out), a->stride, err);
}

/* d^2 products k k' cov and d products k mean, in f32. */
static void expect_tolerance(const struct expect *a, double *t)
{
    size_t d = (size_t)a->of.d;
    double scale = (double)a->scale, k[256];
    for (size_t h = 0; h < (size_t)a->heads; h++)
        for (int g = (int)h / (a->heads / a->of.heads), j = 0; j < cache_len(&a->of, g); j++) {
            const float *mean = f32(a->mean) + h * d, *cov = f32(a->cov) + h * d * d;
            double sum = 0;
            for (size_t c = 0; c < d; c++) k[c] = fabs(cache_element(&a->of, false, g, j, (int)c));
            for (size_t c = 0; c < d; c++) {
                double row = 0;
                for (size_t e = 0; e < d; e++) row += fabs((double)cov[c * d + e]) * k[e];
                sum += scale * k[c] * fabs((double)mean[c]) + scale * scale / 2 * k[c] * row;
            }
            t[h * a->stride + (size_t)j] = sum * (4 + 8 * sqrt(d)) * UNIT_F32;
        }
}

static void check_expect(void)
{
    for (int i = 0; i < times(); i++) {
        struct expect a = { .scale = 0.125f };
        a.of = make_cache(ONE_OF(types), between(1, 3), ONE_OF(dims), between(0, parity.small ? 20 : 500), 3,
            (enum lengths)(i % 3));
        a.heads = a.of.heads * between(1, 4);
        a.stride = (size_t)a.of.cap + 2;
        size_t d = (size_t)a.of.d, count = (size_t)a.heads * a.stride;
        a.mean = normals((size_t)a.heads * d, 1, false), a.cov = normals((size_t)a.heads * d * d, 1, false);
        for (size_t h = 0; h < (size_t)a.heads; h++)
            for (size_t c = 0; c < d; c++)
                for (size_t e = 0; e < c; e++) f32(a.cov)[(h * d + e) * d + c] = f32(a.cov)[(h * d + c) * d + e];
        a.out = output(count * 4);
        if (!run_both(expect, &a)) return;
        double *t = tolerances(count);
        expect_tolerance(&a, t);
        compare(a.out, count, t, "logit");
        next_shape();
    }
}

/* ---- select ---- */

static struct {
    float score[140000];
    uint8_t forced[140000];
    int32_t want[140000], got[140000];
} pick;

static void fill_scores(int kind, int n)
{
    static const float special[] = { NAN, -NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-45f, -1e-45f, 1, 1 };
    for (int j = 0; j < n; j++) {
        float x = normal();
        if (kind == 1) x = 0.5f;
        if (kind == 2) x = (float)between(-2, 2);
        if (kind == 3) x = special[random_u32() % KV_COUNT(special)];
        if (kind == 4) x = expf(8 * x); /* as attention is: most near nothing */
        if (kind == 5) x = 1 + (float)between(0, 3) * 0x1p-23f;
        pick.score[j] = x;
    }
}

static void one_select(int i, int n)
{
    struct kv_error err = { 0 };
    bool mask = i / 6 % 2;
    int must = 0, got = -1, want = -1;
    fill_scores(i % 6, n);
    for (int j = 0; j < n; j++) {
        pick.forced[j] = (uint8_t)(between(0, 9) ? KV_BY_SCORE : between(0, 1) ? KV_MUST_KEEP : KV_MUST_DROP);
        must += mask && pick.forced[j] == KV_MUST_KEEP;
    }
    int budget = i % 7 == 0 ? must : i % 7 == 1 ? n : i % 7 == 2 ? n + 5 : between(must, n);
    const uint8_t *forced = mask ? pick.forced : NULL;
    memset(pick.got, 0xff, sizeof pick.got);
    if (kv_select_cpu(pick.score, forced, n, budget, pick.want, &want)) fail("the CPU refuses");
    for (int again = 0; again < 2 && !failed(); again++) {
        if (parity.be->select(parity.gpu, pick.score, forced, n, budget, pick.got, &got, &err))
            fail("%s", err.text);
        if (got != want) fail("%d of %d kept for a budget of %d, not %d", got, n, budget, want);
        for (int j = 0; j < want && !failed(); j++)
            if (pick.got[j] != pick.want[j])
                fail("the %d-th kept of %d is %d, not %d (budget %d, kind %d)", j, n, pick.got[j], pick.want[j],
                    budget, i % 6);
        if (!failed() && want < n && pick.got[want] != -1) fail("more than %d were written", want);
    }
}

/* Rows of all sizes one behind the other in pick's arrays, more than the scratch holds at once. */
static void check_select_many(void)
{
    enum { COUNT = 100, WIDTH = 1300 };
    static struct kv_select all[COUNT];
    static int got[COUNT];
    struct kv_error err = { 0 };
    reserve((struct kv_limits){
        .rows = 8, .keys = WIDTH, .seqs = 1, .n_head = 8, .n_kv_head = 8, .head_dim = 64, .widest = 64 });
    fill_scores(2, COUNT * WIDTH);
    memset(pick.got, 0xff, sizeof pick.got);
    for (int i = 0; i < COUNT; i++) {
        size_t at = (size_t)i * WIDTH;
        int n = i % 9 ? between(1, WIDTH) : 0;
        for (int j = 0; j < n; j++) pick.forced[at + (size_t)j] = between(0, 9) ? KV_BY_SCORE : KV_MUST_DROP;
        all[i] = (struct kv_select){ pick.score + at, i % 2 ? pick.forced + at : NULL, n, between(0, n),
            pick.got + at, &got[i] };
    }
    if (parity.be->select_many(parity.gpu, all, COUNT, &err)) fail("%s", err.text);
    for (int i = 0; i < COUNT && !failed(); i++) {
        const struct kv_select *s = &all[i];
        int want = -1;
        if (kv_select_cpu(s->score, s->forced, s->n, s->budget, pick.want, &want)) fail("the CPU refuses");
        if (got[i] != want) fail("row %d keeps %d, not %d", i, got[i], want);
        for (int j = 0; j < WIDTH && !failed(); j++)
            if (s->kept[j] != (j < want ? pick.want[j] : -1))
                fail("the %d-th kept of row %d is %d, not %d of %d", j, i, s->kept[j], pick.want[j], want);
    }
    all[COUNT / 2].budget = -1;
    if (!failed() && !parity.be->select_many(parity.gpu, all, COUNT, &err)) fail("a budget of -1 was taken");
}

static void check_select(void)
{
    static const int small_n[] = { 1, 2, 31, 32, 33, 255, 1000, 1025, 3000 };
    static const int full_n[] = { 1, 2, 31, 1000, 1024, 4097, 32768, 131072, 139999 };
    struct kv_error err = { 0 };
    int kept;
    reserve((struct kv_limits){
        .rows = 8, .keys = 140000, .seqs = 1, .n_head = 8, .n_kv_head = 8, .head_dim = 64, .widest = 64 });
    for (int i = 0; i < 84 && !failed(); i++) one_select(i, parity.small ? ONE_OF(small_n) : ONE_OF(full_n));
    memset(pick.forced, KV_MUST_KEEP, 10);
    if (!failed() && !parity.be->select(parity.gpu, pick.score, pick.forced, 10, 9, pick.got, &kept, &err))
        fail("10 tokens that must stay were taken for a budget of 9");
}

const struct check cache_checks[] = {
    { "append", check_append, KV_PRECISION_F32, NULL },
    { "append", check_append, KV_PRECISION_FAST, NULL },
    { "gather", check_gather, KV_PRECISION_F32, NULL },
    { "gather_heads", check_gather_heads, KV_PRECISION_F32, NULL },
    { "norms", check_norms, KV_PRECISION_F32, NULL },
    { "expect", check_expect, KV_PRECISION_F32, NULL },
    { "select", check_select, KV_PRECISION_F32, NULL },
    { "select_many", check_select_many, KV_PRECISION_F32, NULL },
};
const size_t n_cache_checks = KV_COUNT(cache_checks);
