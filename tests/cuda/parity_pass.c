/* Whole passes of a small model, and memory. A backend may queue, fuse and replay what it is given: a pass that comes
 * again with other tokens must give other results, and stepping through it the same bits as running it. */
#include "tests/cuda/parity.h"

/* ---- memory ---- */

static void check_round_trip(size_t bytes, char *text, char *back)
{
    struct kv_error err = { 0 };
    char *p = parity.be->alloc(parity.gpu, bytes), *q = parity.be->alloc(parity.gpu, bytes + 64);
    if (!p || !q) {
        fail("%zu bytes cannot be had", bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++) text[i] = (char)random_u32();
    memset(back, 1, bytes);
    if (parity.be->read(parity.gpu, back, p, bytes, &err)) fail("%s", err.text);
    for (size_t i = 0; i < bytes; i++)
        if (back[i]) fail("byte %zu of fresh memory is not 0", i);
    if (parity.be->write(parity.gpu, p, text, bytes, &err)) fail("%s", err.text);
    text[0] ^= 1; /* write() has taken its copy */
    if (parity.be->copy(parity.gpu, q + 3, p, bytes, &err)) fail("%s", err.text);
    if (parity.be->read(parity.gpu, back, q + 3, bytes, &err)) fail("%s", err.text);
    text[0] ^= 1;
    if (memcmp(text, back, bytes)) fail("%zu bytes do not come back", bytes);
    parity.be->release(parity.gpu, p, bytes), parity.be->release(parity.gpu, q, bytes + 64);
}

static void check_memory(void)
{
    static const size_t sizes[] = { 1, 3, 4, 17, 256, 1000, 65537, (size_t)1 << 20, ((size_t)1 << 20) + 1,
        5000001 };
    static char text[5000001], back[5000001];
    struct kv_backend_stats before, after;
    const void *once, *twice;
    struct kv_error err = { 0 };
    reserve((struct kv_limits){
        .rows = 8, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = 64 });
    parity.be->stats(parity.gpu, &before);
    for (size_t i = 0; i < KV_COUNT(sizes) && !failed(); i++) check_round_trip(sizes[i], text, back);
    parity.be->stats(parity.gpu, &after);
    if (after.bytes_live != before.bytes_live)
        fail("%zu bytes are still counted after release", after.bytes_live - before.bytes_live);
    if (parity.be->upload(parity.gpu, text, 1000, &once, &err) ||
        parity.be->upload(parity.gpu, text, 1000, &twice, &err))
        fail("%s", err.text);
    if (!failed() && parity.be->read(parity.gpu, back, once, 1000, &err)) fail("%s", err.text);
    if (!failed() && memcmp(back, text, 1000)) fail("uploaded weights differ");
}

static size_t free_bytes(void)
{
    struct kv_backend_stats stats;
    parity.be->stats(parity.gpu, &stats);
    return stats.bytes_free;
}

/* What was given back can be had again, in blocks of another size, for reserve() and for weights too; and is counted as
 * free until then. An emulated device is too slow for all of a large memory: EMU_MEMORY=300000000 makes it small. */
static void check_all_memory(void)
{
    static const struct kv_limits limits = {
        .rows = 8, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = 64
    };
    struct kv_error err = { 0 };
    const void *weights;
    reserve(limits);
    size_t left = free_bytes(), piece = left / 8 * 5, slack = (size_t)64 << 20;
    if (parity.small && left > (size_t)1 << 30) return;
    for (int i = 0; i < 3 && !failed(); i++) {
        size_t bytes = i == 1 ? piece / 5 * 4 : piece;
        void *p = parity.be->alloc(parity.gpu, bytes);
        if (!p) fail("%zu bytes of %zu free ones cannot be had, try %d", bytes, left, i);
        if (parity.be->alloc(parity.gpu, left)) fail("more memory than there is");
        if (!failed() && free_bytes() + bytes > left + slack)
            fail("%zu bytes free beside %zu", free_bytes(), bytes);
        parity.be->release(parity.gpu, p, bytes);
        if (!failed() && free_bytes() + slack < left) fail("%zu bytes free, before %zu", free_bytes(), left);
    }
    char *host = parity.small ? calloc(piece, 1) : NULL;
    if (!failed() && host && parity.be->upload(parity.gpu, host, piece, &weights, &err)) fail("%s", err.text);
    free(host);
    if (failed() || !host) return;
    if (parity.be->alloc(parity.gpu, piece)) fail("the same memory twice");
    reserve(limits);
}

/* More writes in a row than any staging buffer holds, with nothing that waits between them. */
static void check_writes(void)
{
    enum { WRITES = 90, BYTES = 100000 };
    static unsigned char text[BYTES], back[BYTES];
    struct kv_error err = { 0 };
    reserve((struct kv_limits){
        .rows = 8, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = 64 });
    struct buffer *b = output((size_t)WRITES * BYTES);
    for (int i = 0; i < WRITES; i++) {
        memset(text, i + 1, BYTES);
        if (parity.be->write(parity.gpu, (char *)b->gpu + (size_t)i * BYTES, text, BYTES, &err))
            fail("%s", err.text);
    }
    for (int i = 0; i < WRITES && !failed(); i++) {
        if (parity.be->read(parity.gpu, back, (char *)b->gpu + (size_t)i * BYTES, BYTES, &err))
            fail("%s", err.text);
        for (int j = 0; j < BYTES && !failed(); j++)
            if (back[j] != i + 1) fail("byte %d of write %d is %d", j, i, back[j]);
    }
}

/* ---- passes ---- */

enum { D = 64, HEADS = 4, KV_HEADS = 2, DIM = 32, WIDE = 96, VOCABULARY = 50, LAYERS = 3, ROWS = 24, CAP = 64 };

struct layer {
    struct buffer *norm, *q, *k, *v, *o, *mlp_norm, *gate, *up, *down;
    struct buffer *keys, *values, *pos, *len;
};

struct model {
    struct buffer *embedding, *norm;
    struct layer layer[LAYERS];
    struct buffer *x, *y, *q, *k, *v, *out, *gate, *up, *logits, *lse, *entropy;
    float frequency[DIM / 2];
    /* of one pass */
    int32_t ids[ROWS], pos[ROWS];
    int n;
    bool stepped;     /* sync after every op */
    uint64_t kernels; /* that the first decoded token started */
};

/* As the engine has it: f32 keeps f32. Beside 16 bits, a rounding of f32 may become one of 2^-11. */
static int cache_type(void) { return parity.precision == KV_PRECISION_F32 ? KV_TYPE_F32 : KV_TYPE_F16; }

static struct model make_model(void)
{
    struct model m = { .x = output(ROWS * D * 4), .y = output(ROWS * D * 4) };
    m.embedding = normals(VOCABULARY * D, 1, false), m.norm = normals(D, 1, false);
    for (int l = 0; l < LAYERS; l++) {
        struct layer *y = &m.layer[l];
        size_t cache = (size_t)KV_HEADS * CAP * DIM;
        y->norm = normals(D, 1, false), y->mlp_norm = normals(D, 1, false);
        y->q = normals(HEADS * DIM * D, 0.1f, false), y->o = normals(HEADS * DIM * D, 0.1f, false);
        y->k = normals(KV_HEADS * DIM * D, 0.1f, false), y->v = normals(KV_HEADS * DIM * D, 0.1f, false);
        y->gate = normals(WIDE * D, 0.1f, false), y->up = normals(WIDE * D, 0.1f, false);
        y->down = normals(WIDE * D, 0.1f, false);
        y->keys = output(cache * 4), y->values = output(cache * 4), y->pos = output(CAP * 4), y->len = input(4);
        y->len->guess = true;
    }
    m.q = output(ROWS * HEADS * DIM * 4), m.out = output(ROWS * HEADS * DIM * 4);
    m.k = output(ROWS * KV_HEADS * DIM * 4), m.v = output(ROWS * KV_HEADS * DIM * 4);
    m.gate = output(ROWS * WIDE * 4), m.up = output(ROWS * WIDE * 4), m.logits = output(ROWS * VOCABULARY * 4);
    m.lse = output(ROWS * HEADS * 4), m.entropy = output(ROWS * HEADS * 4);
    for (int c = 0; c < DIM / 2; c++) m.frequency[c] = powf(10000, -2.0f * (float)c / DIM);
    reserve((struct kv_limits){ .rows = ROWS,
        .keys = CAP,
        .seqs = 1,
        .n_head = HEADS,
        .n_kv_head = KV_HEADS,
        .head_dim = DIM,
        .widest = 256 });
    return m;
}

static struct kv_linear product(
    const struct side *s, struct buffer *w, int rows, int cols, struct buffer *y, bool add)
{
    return (struct kv_linear){ { AT(s, w), KV_TYPE_F32, rows, cols }, NULL, AT(s, y), add };
}

#define DO(call)                                                                                                   \
    do {                                                                                                           \
        enum kv_status status_ = s->be->call;                                                                      \
        if (!status_ && m->stepped) status_ = s->be->sync(s->ctx, err);                                            \
        if (status_) return status_;                                                                               \
    } while (0)

static enum kv_status run_layer(
    const struct side *s, const struct model *m, const struct layer *y, struct kv_error *err)
{
    const struct kv_rope rope = { m->frequency, 1, DIM, true };
    const struct kv_linear qkv[] = { product(s, y->q, HEADS * DIM, D, m->q, false),
        product(s, y->k, KV_HEADS * DIM, D, m->k, false), product(s, y->v, KV_HEADS * DIM, D, m->v, false) };
    const struct kv_linear o = product(s, y->o, D, HEADS * DIM, m->x, true);
    const struct kv_linear mlp[] = { product(s, y->gate, WIDE, D, m->gate, false),
        product(s, y->up, WIDE, D, m->up, false) };
    const struct kv_linear down = product(s, y->down, D, WIDE, m->x, true);
    struct kv_span cache = { AT(s, y->keys), AT(s, y->values), AT(s, y->pos), AT(s, y->len), CAP, 0, 0, NULL };
    const struct kv_seq seq = { .tail = cache, .row_pos = m->pos, .n_row = m->n };
    const struct kv_attend attend = { &seq, 1, HEADS, KV_HEADS, DIM, cache_type(), 0.18f, 0, AT(s, m->q),
        AT(s, m->out), AT(s, m->lse), AT(s, m->entropy) };
    DO(norm(s->ctx, AT(s, m->x), AT(s, y->norm), 1e-5f, m->n, D, AT(s, m->y), err));
    DO(linear(s->ctx, qkv, 3, AT(s, m->y), m->n, err));
    DO(rope(s->ctx, &rope, m->pos, AT(s, m->q), m->n, HEADS, DIM, err));
    DO(rope(s->ctx, &rope, m->pos, AT(s, m->k), m->n, KV_HEADS, DIM, err));
    DO(append(s->ctx, &cache, cache_type(), KV_HEADS, DIM, AT(s, m->k), AT(s, m->v), m->pos, m->n, err));
    DO(attend(s->ctx, &attend, err));
    DO(linear(s->ctx, &o, 1, AT(s, m->out), m->n, err));
    DO(norm(s->ctx, AT(s, m->x), AT(s, y->mlp_norm), 1e-5f, m->n, D, AT(s, m->y), err));
    DO(linear(s->ctx, mlp, 2, AT(s, m->y), m->n, err));
    DO(swiglu(s->ctx, AT(s, m->gate), AT(s, m->up), (size_t)m->n * WIDE, AT(s, m->gate), err));
    DO(linear(s->ctx, &down, 1, AT(s, m->gate), m->n, err));
    return KV_OK;
}

static enum kv_status run_pass(const struct side *s, const struct model *m, struct kv_error *err)
{
    const struct kv_matrix embedding = { AT(s, m->embedding), KV_TYPE_F32, VOCABULARY, D };
    const struct kv_linear head = product(s, m->embedding, VOCABULARY, D, m->logits, false);
    DO(embed(s->ctx, &embedding, m->ids, m->n, AT(s, m->x), err));
    for (int l = 0; l < LAYERS; l++) {
        enum kv_status status = run_layer(s, m, &m->layer[l], err);
        if (status) return status;
    }
    DO(norm(s->ctx, AT(s, m->x), AT(s, m->norm), 1e-5f, m->n, D, AT(s, m->y), err));
    DO(linear(s->ctx, &head, 1, AT(s, m->y), m->n, err));
    return KV_OK;
}

#define PASS_OPS "embed,norm,linear,rope,append,attend,swiglu"

enum { PASSES = 12 };

/* A prompt, then a token at a time, from empty caches; the logits of each pass's last row. The ids are the same always.
 * The host's arrays change as soon as the pass was given. */
static bool run_passes(const struct side *s, struct model *m, float logits[PASSES][VOCABULARY])
{
    const int32_t zero = 0;
    struct kv_error err = { 0 };
    enum kv_status status = KV_OK;
    for (int l = 0; l < LAYERS && !status; l++)
        status = s->be->write(s->ctx, AT(s, m->layer[l].len), &zero, 4, &err);
    for (int pass = 0, at = 0; pass < PASSES && !status; pass++) {
        struct kv_backend_stats before, after;
        s->be->stats(s->ctx, &before);
        m->n = pass ? 1 : 19;
        for (int i = 0; i < m->n; i++, at++) m->ids[i] = at * 7 % VOCABULARY, m->pos[i] = at;
        status = run_pass(s, m, &err);
        memset(m->ids, 0x7f, sizeof m->ids), memset(m->pos, 0x7f, sizeof m->pos);
        const float *last = (const float *)AT(s, m->logits) + (m->n - 1) * VOCABULARY;
        if (!status) status = s->be->read(s->ctx, logits[pass], last, VOCABULARY * 4, &err);
        s->be->stats(s->ctx, &after);
        if (pass == 1) m->kernels = after.kernels - before.kernels;
    }
    if (status) fail("%s", err.text);
    return !status;
}

static void check_passes(void)
{
    static float want[PASSES][VOCABULARY], first[PASSES][VOCABULARY], got[PASSES][VOCABULARY];
    const struct side cpu = { &kv_backend_cpu, parity.cpu, false }, gpu = { parity.be, parity.gpu, true };
    struct model m = make_model();
    struct kv_error err = { 0 };
    struct buffer *weights[] = { m.embedding, m.norm };
    for (size_t i = 0; i < KV_COUNT(weights); i++)
        parity.be->write(parity.gpu, weights[i]->gpu, weights[i]->cpu, weights[i]->bytes, &err);
    for (int l = 0; l < LAYERS; l++) {
        const struct layer *y = &m.layer[l];
        struct buffer *all[] = { y->norm, y->q, y->k, y->v, y->o, y->mlp_norm, y->gate, y->up, y->down };
        for (size_t i = 0; i < KV_COUNT(all); i++)
            parity.be->write(parity.gpu, all[i]->gpu, all[i]->cpu, all[i]->bytes, &err);
    }
    if (!run_passes(&cpu, &m, want) || !run_passes(&gpu, &m, first)) return;
    uint64_t layer = parity.precision == KV_PRECISION_F32 ? 6 : 5, most = LAYERS * layer + 3;
    if (has("fuse") && m.kernels > most) /* embedding, angles, head */
        fail("a decoded token is %llu kernels, not %llu", (unsigned long long)m.kernels, (unsigned long long)most);
    for (int pass = 0; pass < PASSES && !failed(); pass++) {
        double off = 0, length = 0;
        for (int i = 0; i < VOCABULARY; i++) {
            double d = (double)first[pass][i] - (double)want[pass][i];
            off += d * d, length += (double)want[pass][i] * (double)want[pass][i];
        }
        /* rounding grows by a small factor a layer: 100 u in f32; of bf16, a few times its 2^-8 */
        double allowed = parity.precision == KV_PRECISION_F32 ? 1e-5 : 3e-2;
        if (!(sqrt(off) <= allowed * sqrt(length)))
            fail("logits of pass %d are off by %.3g of their length", pass, sqrt(off / length));
        parity.worst = fmax(parity.worst, sqrt(off / length) / allowed);
    }
    for (int again = 0; again < 3 && !failed(); again++) {
        struct kv_backend_stats before, after;
        parity.be->stats(parity.gpu, &before);
        m.stepped = again == 2;
        if (!run_passes(&gpu, &m, got)) return;
        parity.be->stats(parity.gpu, &after);
        if (again == 1 && has("graphs") && after.graphs == before.graphs) {
            char text[512] = "";
            parity.be->describe(parity.gpu, text, sizeof text);
            fail("no graph ran: %s", text);
        }
        for (int pass = 0; pass < PASSES && !failed(); pass++)
            if (memcmp(got[pass], first[pass], sizeof got[pass]))
                fail("pass %d has other logits when it %s", pass, m.stepped ? "runs op by op" : "comes again");
    }
}

const struct check pass_checks[] = {
    { "memory", check_memory, KV_PRECISION_F32, NULL },
    { "memory, all of it", check_all_memory, KV_PRECISION_F32, NULL },
    { "memory, many writes", check_writes, KV_PRECISION_F32, NULL },
    { "passes of a model", check_passes, KV_PRECISION_F32, PASS_OPS },
    { "passes of a model", check_passes, KV_PRECISION_FAST, PASS_OPS },
};
const size_t n_pass_checks = KV_COUNT(pass_checks);
