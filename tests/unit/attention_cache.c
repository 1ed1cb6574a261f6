/* Append and gather, NaN, and what the attention ops refuse. */
#include "tests/unit/attention.h"

static struct kv_seq empty_seq(const struct problem *p, int cap)
{
    struct problem shape = *p;
    int32_t pos = -1;
    struct kv_seq s = { .tail = make_span(&shape, cap, cap, false, &pos) };
    s.tail.len[0] = 0;
    return s;
}

static void check_gather(enum kv_simd simd)
{
    for (int rows = 1; rows <= 33; rows += 32) {
        struct problem p = make_problem(4, 2, 64, KV_TYPE_F16), kept;
        seed = 23;
        add_seq(&p, rows, 130, 270, false);
        finish_problem(&p, false, 1);
        void *ctx = open_cpu(simd, precision_for(rows), 2, &p);
        int32_t index[400];
        OK(attend(ctx, ready(&p), &err_));
        struct result whole = results_of(&p);
        for (int share = 1; share <= 3; share += 2) { /* all slots, then every third */
            int n = 0;
            for (int j = 0; j < 400; j += share) index[n++] = j;
            kept = p;
            kept.seq[0] = empty_seq(&p, 400);
            kept.seq[0].row_pos = p.row_pos, kept.seq[0].n_row = rows;
            OK(gather(ctx, &p.seq[0], p.a.type, 2, 64, index, n, &kept.seq[0].tail, &err_));
            CHECK(kept.seq[0].tail.len[0] == n, "gather kept %d of %d", kept.seq[0].tail.len[0], n);
            for (int i = 0; i < n; i++) {
                const struct kv_span *from = index[i] < 130 ? &p.seq[0].prefix : &p.seq[0].tail;
                int slot = index[i] < 130 ? index[i] : index[i] - 130;
                CHECK(kept.seq[0].tail.pos[i] == from->pos[slot], "position %d is %d", i, kept.seq[0].tail.pos[i]);
                for (int g = 0; g < 2; g++)
                    CHECK(!memcmp((char *)kept.seq[0].tail.v + (g * 400 + i) * 128,
                              (char *)from->v + (g * from->cap + slot) * 128, 128),
                        "values of slot %d, KV head %d differ", index[i], g);
            }
            OK(attend(ctx, ready(&kept), &err_));
            if (share == 1)
                CHECK(same_results(&p, &whole), "path %d: gathering everything changes bits", (int)simd);
            else
                compare(&kept, 0, "every third slot");
            struct kv_error err;
            CHECK(kv_backend_cpu.gather(ctx, &p.seq[0], p.a.type, 2, 64, index, n, &kept.seq[0].tail, &err) ==
                      KV_BAD_ARG,
                "gather into a used cache was accepted");
            free(kept.seq[0].tail.k), free(kept.seq[0].tail.v), free(kept.seq[0].tail.pos),
                free(kept.seq[0].tail.len);
        }
        free_results(&whole);
        kv_backend_cpu.free(ctx);
        free_problem(&p);
    }
}

static void gathers(void) { on_every_path(check_gather); }

/* Nearest even, from the two neighbors in the type, for values of every size. */
static void check_append(enum kv_simd simd)
{
    static const int types[] = { KV_TYPE_F32, KV_TYPE_F16, KV_TYPE_BF16 };
    for (size_t t = 0; t < KV_COUNT(types); t++) {
        enum { N = 70, D = 20, G = 2 };
        struct problem p = make_problem(G, G, D, types[t]);
        struct kv_error err;
        static float x[N * G * D];
        int32_t pos[N];
        seed = 41;
        p.n = 1, p.max_keys = N;
        struct kv_span span = empty_seq(&p, N).tail;
        void *ctx = open_cpu(simd, KV_PRECISION_F32, 2, &p);
        for (size_t i = 0; i < KV_COUNT(x); i++) x[i] = ldexpf(normal(), between(-30, 14));
        for (int i = 0; i < N; i++) pos[i] = 2 * i;
        OK(append(ctx, &span, p.a.type, G, D, x, x, pos, 3, &err_));
        OK(append(ctx, &span, p.a.type, G, D, x + 3 * G * D, x + 3 * G * D, pos + 3, N - 3, &err_));
        CHECK(span.len[0] == N && span.pos[N - 1] == 2 * (N - 1), "append left %d slots", span.len[0]);
        for (int i = 0; i < N; i++)
            for (int e = 0; e < G * D; e++) {
                size_t at = (size_t)((e / D) * N + i) * D + (size_t)(e % D);
                double want = (double)x[i * G * D + e], got = element(p.a.type, span.v, at);
                double ulp = p.a.type == KV_TYPE_F32   ? 0
                             : p.a.type == KV_TYPE_F16 ? fmax(ldexp(1, ilogb(want) - 10), 0x1p-24)
                                                       : ldexp(1, ilogb(want) - 7);
                CHECK(fabs(got - want) <= ulp / 2 || (isinf(got) && fabs(want) >= 65520),
                    "path %d, type %d: %.9g became %.9g", (int)simd, p.a.type, want, got);
            }
        CHECK(kv_backend_cpu.append(ctx, &span, p.a.type, G, D, x, x, pos, 1, &err) == KV_BAD_ARG &&
                  strstr(err.text, "70 slots") && span.len[0] == N,
            "a full cache took another token: %s", err.text);
        kv_backend_cpu.free(ctx);
        free(span.k), free(span.v), free(span.pos), free(span.len);
    }
}

static void appends(void) { on_every_path(check_append); }

/* ---- NaN and refusals ---- */

static void check_nan(enum kv_simd simd)
{
    for (int rows = 1; rows <= 40; rows += 39) {
        struct problem p = make_problem(4, 2, 64, KV_TYPE_F32);
        seed = 53;
        add_seq(&p, rows, 0, 400, false);
        finish_problem(&p, false, 1);
        for (int i = 0; i < 400; i++) p.seq[0].tail.pos[i] = i;
        for (int i = 0; i < rows; i++) p.row_pos[i] = 400 - rows + i;
        void *ctx = open_cpu(simd, precision_for(rows), 2, &p);
        size_t last = (size_t)rows - 1;
        p.q[last * 256 + 64 + 3] = NAN; /* the last row's second head */
        OK(attend(ctx, ready(&p), &err_));
        for (size_t r = 0; r <= last * 4 + 3; r++)
            CHECK((bool)isnan(p.entropy[r]) == (r == last * 4 + 1) &&
                      (bool)isnan(p.lse[r]) == (r == last * 4 + 1) &&
                      (bool)isnan(p.out[r * 64]) == (r == last * 4 + 1),
                "path %d: NaN in q of row %zu: row and head %zu has %g", (int)simd, last, r, (double)p.entropy[r]);
        p.q[last * 256 + 64 + 3] = 0;
        keys_of(&p)[390 * 64 + 9] = NAN; /* KV head 0, slot 390: seen by rows at 390 and later */
        OK(attend(ctx, &p.a, &err_));
        for (size_t r = 0; r <= last * 4 + 3; r++) {
            bool sees = p.row_pos[r / 4] >= 390 && r % 4 < 2;
            CHECK((bool)isnan(p.entropy[r]) == sees && (bool)isnan(p.out[r * 64]) == sees,
                "path %d: NaN in k: row and head %zu has %g", (int)simd, r, (double)p.entropy[r]);
        }
        keys_of(&p)[390 * 64 + 9] = 0;
        ((float *)p.seq[0].tail.v)[399 * 64 + 9] = NAN;
        OK(attend(ctx, &p.a, &err_));
        CHECK(isnan(p.out[last * 256 + 9]), "path %d: NaN in v is hidden", (int)simd);
        CHECK(rows == 1 || !isnan(p.out[(last - 17) * 256 + 8]), "path %d: NaN in v left its tile", (int)simd);
        kv_backend_cpu.free(ctx);
        free_problem(&p);
    }
}

static void nans(void) { on_every_path(check_nan); }

/* A logit of -inf is that of a key which weighs nothing: the same bits as from one that underflows. */
static void check_infinite(enum kv_simd simd)
{
    for (int rows = 1; rows <= 40; rows += 39) {
        struct problem p = make_problem(4, 2, 64, KV_TYPE_F32);
        size_t n = (size_t)rows * 4;
        float *was = kv_alloc(n * 66, sizeof *was);
        seed = 59;
        add_seq(&p, rows, 0, 400, false);
        finish_problem(&p, false, 1);
        for (int i = 0; i < 400; i++) p.seq[0].tail.pos[i] = i, keys_of(&p)[i * 64 + 3] = 0;
        for (int i = 0; i < rows; i++) p.row_pos[i] = 400 - rows + i;
        for (size_t r = 0; r < n; r++) p.q[r * 64 + 3] = -8;
        void *ctx = open_cpu(simd, precision_for(rows), 2, &p);
        for (int again = 0; again < 2; again++) {
            keys_of(&p)[10 * 64 + 3] = again ? 3e38f : 1e4f;
            OK(attend(ctx, ready(&p), &err_));
            bool same = !memcmp(was, p.out, n * 64 * sizeof *was) &&
                        !memcmp(was + n * 64, p.lse, n * sizeof *was) &&
                        !memcmp(was + n * 65, p.entropy, n * sizeof *was);
            CHECK(!again || same, "path %d, %d rows: entropy %g, not %g", (int)simd, rows, (double)p.entropy[0],
                (double)was[n * 65]);
            memcpy(was, p.out, n * 64 * sizeof *was);
            memcpy(was + n * 64, p.lse, n * sizeof *was);
            memcpy(was + n * 65, p.entropy, n * sizeof *was);
        }
        CHECK(p.entropy[0] > 1, "entropy %g", (double)p.entropy[0]);
        kv_backend_cpu.free(ctx);
        free_problem(&p);
        free(was);
    }
    struct kv_softmax s = kv_softmax_init();
    const float logit[] = { -INFINITY, 1, -INFINITY, 2, NAN };
    for (int i = 0; i < 5; i++) {
        float c;
        kv_softmax_add(&s, logit[i], &c);
        float want = i == 0 || i == 1 || i == 2 ? 0 : 0.5822034f; /* of e^1 and e^2 */
        CHECK(i == 4 ? isnan(kv_softmax_entropy(s)) : fabsf(kv_softmax_entropy(s) - want) < 1e-6f,
            "%d logits: entropy %g", i + 1, (double)kv_softmax_entropy(s));
    }
}

static void infinite(void) { on_every_path(check_infinite); }

static void refusals(void)
{
    struct problem p = make_problem(4, 2, 64, KV_TYPE_F32);
    struct kv_error err;
    seed = 61;
    add_seq(&p, 10, 0, 50, false);
    finish_problem(&p, false, 1);
    void *ctx = open_cpu(KV_SIMD_AUTO, KV_PRECISION_FAST, 2, &p);
    struct kv_attend a = *ready(&p);
    a.head_dim = 320;
    CHECK(kv_backend_cpu.attend(ctx, &a, &err) == KV_UNSUPPORTED && strstr(err.text, "320"), "%s", err.text);
    a = p.a, a.type = KV_TYPE_Q8_0;
    CHECK(kv_backend_cpu.attend(ctx, &a, &err) == KV_UNSUPPORTED, "%s", err.text);
    a = p.a, a.n_head = 5;
    CHECK(kv_backend_cpu.attend(ctx, &a, &err) == KV_UNSUPPORTED && strstr(err.text, "5 for 2"), "%s", err.text);
    a = p.a, a.lse = NULL;
    CHECK(kv_backend_cpu.columns(ctx, &a, p.out, 50, &err) == KV_BAD_ARG, "%s", err.text);
    CHECK(kv_backend_cpu.columns(ctx, &p.a, p.out, 49, &err) == KV_BAD_ARG && strstr(err.text, "50 slots"), "%s",
        err.text);
    CHECK(kv_backend_cpu.probabilities(ctx, &p.a, 0, p.out, 49, &err) == KV_BAD_ARG, "%s", err.text);
    CHECK(kv_backend_cpu.probabilities(ctx, &p.a, 4, p.out, 50, &err) == KV_BAD_ARG && strstr(err.text, "0 to 3"),
        "%s", err.text);
    int32_t index[2] = { 3, 3 };
    struct kv_seq to = empty_seq(&p, 8);
    CHECK(kv_backend_cpu.gather(ctx, &p.seq[0], p.a.type, 2, 64, index, 2, &to.tail, &err) == KV_BAD_ARG, "%s",
        err.text);
    index[1] = 50;
    CHECK(kv_backend_cpu.gather(ctx, &p.seq[0], p.a.type, 2, 64, index, 2, &to.tail, &err) == KV_BAD_ARG &&
              strstr(err.text, "0 to 49"),
        "%s", err.text);
    struct kv_seq many[64];
    for (int i = 0; i < 64; i++) many[i] = p.seq[0], many[i].n_row = 1, many[i].row_pos = p.row_pos;
    a = p.a, a.seq = many, a.n_seq = 64;
    if (has(KV_SIMD_AVX2))
        CHECK(kv_backend_cpu.attend(ctx, &a, &err) == KV_NOT_NOW, "more than reserved was taken");
    free(to.tail.k), free(to.tail.v), free(to.tail.pos), free(to.tail.len);
    kv_backend_cpu.free(ctx);
    free_problem(&p);
}

static const struct tap_case cases[] = {
    { "gather moves slots, and everything gathered changes no bit", gathers },
    { "append rounds to nearest even and refuses a full cache", appends },
    { "NaN comes out where it went in", nans },
    { "a logit of -inf weighs nothing", infinite },
    { "what no path takes is refused with numbers", refusals },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
