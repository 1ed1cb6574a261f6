/* What a decoded token's queries and keys go through in a layer: interleave, norm of heads, rope, append to each sequence's
 * cache, attention. A backend may do it in one kernel; then the memory that it leaves behind is, bit for bit, that of the
 * ops one by one: queries and keys turned in place, caches, positions and lengths grown. */
#include "tests/cuda/parity_cache.h"

enum { SEQS = 40, ROWS_MAX = 64, KEPT = 12 + 8 * SEQS };

struct decode {
    struct cache prefix[SEQS], tail[SEQS];
    int32_t pos[ROWS_MAX];
    int n_row[SEQS], n_seq, n, keys, unappended; /* the sequence that gets nothing appended, or -1 */
    int heads, kv_heads, d, type, window, rope_dim;
    bool halves, interleave, norms;
    float frequency[128];
    struct buffer *q, *k, *v, *q_norm, *k_norm, *out, *lse, *entropy;
    bool stepped;      /* sync after every op */
    uint64_t *kernels; /* of the last run on the device */
};

#define DO(call)                                                                                                   \
    do {                                                                                                           \
        enum kv_status status_ = s->be->call;                                                                      \
        if (!status_ && a->stepped) status_ = s->be->sync(s->ctx, err);                                            \
        if (status_) return status_;                                                                               \
    } while (0)

static enum kv_status turn(const struct side *s, const struct decode *a, struct kv_error *err)
{
    const struct kv_rope rope = { a->frequency, 1, a->rope_dim, a->halves };
    const struct {
        struct buffer *x, *norm;
        int heads;
    } side[] = { { a->q, a->q_norm, a->heads }, { a->k, a->k_norm, a->kv_heads } };
    for (int i = 0; i < 2 && a->interleave; i++)
        DO(interleave(s->ctx, AT(s, side[i].x), a->n, side[i].heads, a->d, err));
    for (int i = 0; i < 2; i++) {
        float *x = AT(s, side[i].x);
        if (a->norms) DO(norm(s->ctx, x, AT(s, side[i].norm), 1e-5f, a->n * side[i].heads, a->d, x, err));
        DO(rope(s->ctx, &rope, a->pos, x, a->n, side[i].heads, a->d, err));
    }
    return KV_OK;
}

static enum kv_status run_ops(const struct side *s, const struct decode *a, struct kv_error *err)
{
    struct kv_seq seq[SEQS];
    enum kv_status status = turn(s, a, err);
    if (status) return status;
    size_t width = (size_t)a->kv_heads * (size_t)a->d;
    for (int i = 0, first = 0; i < a->n_seq; first += a->n_row[i++]) {
        const float *k = (const float *)AT(s, a->k) + (size_t)first * width;
        const float *v = (const float *)AT(s, a->v) + (size_t)first * width;
        seq[i] = (struct kv_seq){ span_at(s, &a->prefix[i]), span_at(s, &a->tail[i]), a->pos + first, a->n_row[i] };
        if (i != a->unappended)
            DO(append(s->ctx, &seq[i].tail, a->type, a->kv_heads, a->d, k, v, a->pos + first, a->n_row[i], err));
    }
    const struct kv_attend attend = { seq, a->n_seq, a->heads, a->kv_heads, a->d, a->type, 1 / sqrtf((float)a->d),
        a->window, AT(s, a->q), AT(s, a->out), AT(s, a->lse), AT(s, a->entropy) };
    DO(attend(s->ctx, &attend, err));
    return KV_OK;
}

static enum kv_status decode(const struct side *s, const void *args, struct kv_error *err)
{
    const struct decode *a = args;
    struct kv_backend_stats before, after;
    enum kv_status status = s->be->sync(s->ctx, err);
    s->be->stats(s->ctx, &before);
    if (!status) status = run_ops(s, a, err);
    if (!status) status = s->be->sync(s->ctx, err);
    s->be->stats(s->ctx, &after);
    if (s->gpu) *a->kernels = after.kernels - before.kernels;
    return status;
}

/* ---- problems ---- */

static void add_seq(struct decode *a, int rows, int prefix, int tail, int room, enum lengths lengths)
{
    int i = a->n_seq++;
    a->prefix[i] = make_cache(a->type, a->kv_heads, a->d, prefix, 0, lengths);
    a->tail[i] = make_cache_from(a->type, a->kv_heads, a->d, tail, rows + room,
        lengths == PACKED ? BY_HEAD : lengths, prefix ? a->prefix[i].last + 1 : 0);
    int32_t last = a->tail[i].cap ? a->tail[i].last : a->prefix[i].last;
    a->n_row[i] = rows;
    for (int j = 0; j < rows; j++) a->pos[a->n++] = last += between(1, 2);
    if (a->prefix[i].cap + a->tail[i].cap > a->keys) a->keys = a->prefix[i].cap + a->tail[i].cap;
}

static void finish(struct decode *a)
{
    size_t rows = (size_t)a->n, q = rows * (size_t)a->heads, d = (size_t)a->d;
    a->q = normals(q * d, 1, true);
    a->k = normals(rows * (size_t)a->kv_heads * d, 1, true);
    a->v = normals(rows * (size_t)a->kv_heads * d, 1, false);
    a->q_norm = normals(d, 1, false), a->k_norm = normals(d, 1, false);
    a->out = output(q * d * 4), a->lse = output(q * 4), a->entropy = output(q * 4);
    for (int c = 0; c < a->rope_dim / 2; c++) a->frequency[c] = powf(10000, -2.0f * (float)c / (float)a->rope_dim);
    reserve_attention(a->n, a->keys, SEQS, a->heads, a->kv_heads, a->d);
}

static struct decode start(int i, uint64_t *kernels)
{
    static const int dims[] = { 128, 64, 80, 96, 256, 40, 100 };
    static const int types[] = { KV_TYPE_BF16, KV_TYPE_F16, KV_TYPE_F32 };
    static const int windows[] = { 0, 0, 1, 3, 40 };
    struct decode a = { .d = dims[i % (int)KV_COUNT(dims)], .type = types[i % 3], .unappended = -1 };
    a.kv_heads = between(1, 3);
    a.heads = a.kv_heads * (i % 3 ? between(1, 4) : between(1, 16));
    a.window = ONE_OF(windows);
    a.rope_dim = i % 4 == 3 ? a.d / 4 * 2 : a.d;
    a.halves = i % 2;
    a.interleave = i % 5 == 1;
    a.norms = i % 3 == 1;
    a.kernels = kernels;
    return a;
}

/* A batch whose longest sequence has `most` rows. */
static struct decode random_decode(int i, int n_seq, int most, uint64_t *kernels)
{
    struct decode a = start(i, kernels);
    for (int k = 0; k < n_seq; k++) {
        int keys = between(0, 3) ? between(1, 40) : between(100, parity.small ? 700 : 3000);
        int prefix = between(0, 2) ? between(0, keys) : 0, rows = k ? between(k % 7 == 3 ? 0 : 1, most) : most;
        add_seq(&a, rows, prefix, between(0, 3) ? keys - prefix : 0, between(0, 4), (enum lengths)between(0, 2));
    }
    finish(&a);
    return a;
}

static void tell(const struct decode *a)
{
    note("%d heads for %d, head_dim %d (%d turn), type %d, window %d, %d sequences of %d, %d.. rows, prefix %d, "
         "tail %d",
        a->heads, a->kv_heads, a->d, a->rope_dim, a->type, a->window, a->n_seq, a->n_row[0], a->n_row[a->n_seq - 1],
        a->prefix[0].cap, a->tail[0].cap);
}

/* ---- what is left behind ---- */

struct kept {
    const struct buffer *of;
    void *bytes;
    const char *name;
};

static int keep(const struct decode *a, struct kept *kept)
{
    int n = 0;
    const struct kept own[] = { { a->q, NULL, "q" }, { a->k, NULL, "k" }, { a->out, NULL, "out" },
        { a->lse, NULL, "lse" }, { a->entropy, NULL, "entropy" } };
    for (size_t i = 0; i < KV_COUNT(own); i++) kept[n++] = own[i];
    for (int i = 0; i < a->n_seq; i++)
        for (int t = 0; t < 2; t++) {
            const struct cache *c = t ? &a->tail[i] : &a->prefix[i];
            if (!c->cap) continue;
            kept[n++] = (struct kept){ c->k, NULL, "a cache's keys" };
            kept[n++] = (struct kept){ c->v, NULL, "a cache's values" };
            kept[n++] = (struct kept){ c->pos, NULL, "a cache's positions" };
            kept[n++] = (struct kept){ c->len, NULL, "a cache's lengths" };
        }
    for (int i = 0; i < n; i++) {
        if (!(kept[i].bytes = malloc(kept[i].of->bytes))) exit(2);
        memcpy(kept[i].bytes, kept[i].of->got, kept[i].of->bytes);
        memcpy(kept[i].of->cpu, kept[i].of->start, kept[i].of->bytes);
    }
    return n;
}

/* Joined, then one by one; `kernels` is what one call may start, with the angles there already. */
static void check_decode(struct decode *a, uint64_t kernels)
{
    static struct kept kept[KEPT];
    a->stepped = false;
    if (!run_both(decode, a)) {
        fail("it was refused");
        return;
    }
    uint64_t joined = *a->kernels;
    if (kernels && has("fuse") && joined != kernels)
        fail("%llu kernels were started, not %llu", (unsigned long long)joined, (unsigned long long)kernels);
    double most = parity.precision == KV_PRECISION_F32 ? 2e-3 : 1e-2;
    size_t rows = (size_t)a->n * (size_t)a->heads;
    compare_norm(a->out, rows * (size_t)a->d, most, "out");
    int n = keep(a, kept);
    a->stepped = true;
    if (run_both(decode, a) && *a->kernels < joined + (has("fuse") && joined == 1))
        fail("%llu kernels one by one", (unsigned long long)*a->kernels);
    for (int i = 0; i < n; i++) {
        if (!failed() && memcmp(kept[i].bytes, kept[i].of->got, kept[i].of->bytes))
            fail("joined, %s differ from those of single ops", kept[i].name);
        free(kept[i].bytes);
    }
    if (failed()) tell(a);
    next_shape();
}

/* ---- checks ---- */

/* Kernels of a call: one, where rows are few enough for a block to have all heads of a KV head; else rope and appends have
 * their own. */
static uint64_t kernels_of(const struct decode *a)
{
    size_t row = (size_t)a->d * (a->type == KV_TYPE_F32 ? 4 : 2);
    bool one = parity.precision != KV_PRECISION_F32 && row % 16 == 0 && row <= 512;
    for (int i = 0; i < a->n_seq; i++) one = one && a->n_row[i] && a->n_row[i] * (a->heads / a->kv_heads) <= 8;
    return one ? 1 : 2;
}

static void check_batches(void)
{
    uint64_t kernels;
    for (int i = 0, n = parity.small ? 21 : 120; i < n && !failed(); i++) {
        int rows = i % 3 ? 1 : between(1, 7);
        struct decode a = random_decode(i, i % 2 ? between(2, 9) : 1, rows, &kernels);
        check_decode(&a, kernels_of(&a));
    }
}

/* More sequences than one launch takes appends of. */
static void check_wide(void)
{
    uint64_t kernels;
    for (int i = 0; i < 3 && !failed(); i++) {
        struct decode a = start(i, &kernels);
        a.kv_heads = 1, a.heads = 2;
        for (int k = 0; k < (i ? SEQS : 32); k++) add_seq(&a, 1, 0, between(1, 30), 1, SHARED);
        finish(&a);
        if (i == 2) a.unappended = 0;
        uint64_t alone[] = { 2, 3, 4 }; /* 32 appends go along with rope */
        check_decode(&a, i < 2 && kernels_of(&a) == 1 ? 1 : alone[i]);
    }
}

/* A sequence has no room: the call fails, as on the CPU, and the next one is as good as ever. */
static void check_full(void)
{
    uint64_t kernels;
    for (int i = 0; i < 6 && !failed(); i++) {
        struct decode a = start(i, &kernels);
        a.kv_heads = 2, a.heads = 4;
        for (int k = 0; k < 3; k++) add_seq(&a, 1, 8, 20, k == i % 3 ? -1 : 1, i < 3 ? SHARED : BY_HEAD);
        finish(&a);
        int32_t *len = a.tail[i % 3].len->cpu;
        len[i < 3 ? 0 : 1] = a.tail[i % 3].cap;
        if (run_both(decode, &a)) fail("a full cache was not refused");
        if (failed()) tell(&a);
        next_shape();
        struct decode fine = random_decode(i, 2, 1, &kernels);
        check_decode(&fine, 0);
    }
}

const struct check few_checks[] = {
    { "decode, joined", check_batches, KV_PRECISION_F32, "interleave,norm,rope,append,attend" },
    { "decode, joined", check_batches, KV_PRECISION_FAST, "interleave,norm,rope,append,attend" },
    { "decode, joined, many sequences", check_wide, KV_PRECISION_F32, "interleave,norm,rope,append,attend" },
    { "decode, joined, many sequences", check_wide, KV_PRECISION_FAST, "interleave,norm,rope,append,attend" },
    { "decode, joined, a full cache", check_full, KV_PRECISION_F32, "interleave,norm,rope,append,attend" },
    { "decode, joined, a full cache", check_full, KV_PRECISION_FAST, "interleave,norm,rope,append,attend" },
};
const size_t n_few_checks = KV_COUNT(few_checks);
