/* Attention, its entropy, column sums and probabilities: every vector path against double precision, known
 * answers, and what must change no bit. */
#include "tests/unit/attention.h"

/* ---- random shapes ---- */

static void random_shapes(enum kv_simd simd, enum kv_precision precision)
{
    static const int dims[] = { 16, 64, 80, 128, 40, 96, 20, 256 }, groups[] = { 1, 2, 3, 4, 5, 7, 8, 16 };
    static const int types[] = { KV_TYPE_F32, KV_TYPE_F16, KV_TYPE_BF16 };
    double rounding = precision == KV_PRECISION_FAST && simd == KV_SIMD_AVX512 ? 0x1.02p-7 : 0;
    seed = 0x9e3779b97f4a7c15u;
    for (int round = 0; round < 90 && !tap_state.failed; round++) {
        char what[160];
        int group = groups[between(0, 7)], g = between(1, group > 4 ? 2 : 3), d = dims[between(0, 7)];
        struct problem p = make_problem(g * group, g, d, types[between(0, 2)]);
        int seqs = round % 3 == 2 ? between(2, MAX_SEQ) : 1;
        bool large = round % 10 == 0;
        for (int s = 0; s < seqs; s++) {
            int rows = between(0, 2) ? between(1, 20) : between(1, large ? 130 : 60);
            int keys = between(1, large ? 700 : 300), prefix = between(0, 2) ? between(0, keys) : 0;
            add_seq(&p, rows, prefix, keys - prefix, !between(0, 3));
        }
        p.a.window = between(0, 2) ? 0 : between(1, 400);
        finish_problem(&p, !between(0, 2), between(0, 1) ? 1 : 3);
        snprintf(what, sizeof what, "round %d (%d/%d heads of %d, type %d, %d rows, %d keys, window %d)", round,
            p.a.n_head, g, d, p.a.type, p.n, p.max_keys, p.a.window);
        void *ctx = open_cpu(simd, precision, between(1, 3), &p);
        OK(attend(ctx, ready(&p), &err_));
        compare(&p, rounding, what);
        if (seqs == 1) compare_columns(&p, ctx, what);
        kv_backend_cpu.free(ctx);
        free_problem(&p);
    }
}

static void plain_path(void) { random_shapes(KV_SIMD_PLAIN, KV_PRECISION_F32); }
static void avx2_path(void)
{
    NEED(KV_SIMD_AVX2);
    random_shapes(KV_SIMD_AVX2, KV_PRECISION_F32);
}
static void avx2_fast_path(void)
{
    NEED(KV_SIMD_AVX2);
    random_shapes(KV_SIMD_AVX2, KV_PRECISION_FAST);
}
static void avx512_path(void)
{
    NEED(KV_SIMD_AVX512);
    random_shapes(KV_SIMD_AVX512, KV_PRECISION_F32);
}
static void avx512_fast_path(void)
{
    NEED(KV_SIMD_AVX512);
    random_shapes(KV_SIMD_AVX512, KV_PRECISION_FAST);
}

/* ---- known answers, on every path ---- */

static void check_known(enum kv_simd simd)
{
    for (int rows = 1; rows <= 64; rows *= 8) {
        struct problem p = make_problem(2, 1, 64, KV_TYPE_F32);
        seed = 7;
        add_seq(&p, rows, 0, 500, false);
        finish_problem(&p, false, 1);
        void *ctx = open_cpu(simd, precision_for(rows), 2, &p);
        for (int i = 0; i < 500; i++) p.seq[0].tail.pos[i] = i;
        for (int i = 0; i < rows; i++) p.row_pos[i] = 500 - rows + i;

        memset(p.seq[0].tail.k, 0, 500 * 64 * sizeof(float)); /* equal logits */
        OK(attend(ctx, ready(&p), &err_));
        for (int i = 0; i < rows; i++) {
            double want = log(500.0 - rows + i + 1);
            CHECK(fabs((double)p.entropy[2 * i] - want) <= 2e-6, "path %d: uniform over %d keys: %g nats, not %g",
                (int)simd, 500 - rows + i + 1, (double)p.entropy[2 * i], want);
        }
        keys_of(&p)[0] = 4000; /* slot 0 takes everything from rows with a positive first channel */
        for (int i = 0; i < rows * 2; i++) p.q[i * 64] = 1;
        OK(attend(ctx, &p.a, &err_));
        for (int i = 0; i < rows * 2; i++) {
            CHECK(
                fabsf(p.entropy[i]) <= 1e-6f, "path %d: one-hot row has %g nats", (int)simd, (double)p.entropy[i]);
            CHECK(fabsf(p.out[i * 64 + 5] - ((float *)p.seq[0].tail.v)[5]) <= 1e-6f,
                "path %d: one-hot row is not v", (int)simd);
        }
        kv_backend_cpu.free(ctx);
        free_problem(&p);
    }
}

static void known_answers(void) { on_every_path(check_known); }

static void check_first_row(enum kv_simd simd)
{
    struct problem p = make_problem(6, 2, 64, KV_TYPE_F32);
    seed = 99;
    add_seq(&p, 40, 0, 40, false);
    finish_problem(&p, false, 2);
    for (int i = 0; i < 40; i++) p.row_pos[i] = p.seq[0].tail.pos[i];
    void *ctx = open_cpu(simd, KV_PRECISION_F32, 2, &p);
    OK(attend(ctx, ready(&p), &err_));
    for (int h = 0; h < 6; h++)
        CHECK(p.entropy[h] == 0, "path %d: row 0 sees one key and has %g nats", (int)simd, (double)p.entropy[h]);
    p.row_pos[0] = -5; /* now it sees none */
    OK(attend(ctx, &p.a, &err_));
    for (int h = 0; h < 6; h++)
        CHECK(p.entropy[h] == 0 && p.lse[h] == KV_SOFTMAX_EMPTY && p.out[h * 64] == 0,
            "path %d: a row without keys gives %g, %g, %g", (int)simd, (double)p.entropy[h], (double)p.lse[h],
            (double)p.out[h * 64]);
    kv_backend_cpu.free(ctx);
    free_problem(&p);
}

static void first_rows(void) { on_every_path(check_first_row); }

/* Logits moved by +-300 through a channel in which all keys are equal: f32 logits near 300 are exact to 1.5e-5. */
static void check_shift(enum kv_simd simd)
{
    for (int rows = 1; rows <= 9; rows += 8)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct problem p = make_problem(2, 1, 64, KV_TYPE_F32);
            struct truth t = { .p = kv_alloc(8500, sizeof *t.p) };
            seed = 31;
            add_seq(&p, rows, 0, 8400, false);
            finish_problem(&p, false, 1);
            for (size_t j = 0; j < 8400; j++) keys_of(&p)[j * 64] = 16;
            for (int i = 0; i < rows * 2; i++) p.q[i * 64] = (float)sign * 300 * 8 / 16.0f;
            void *ctx = open_cpu(simd, precision_for(rows), 2, &p);
            OK(attend(ctx, ready(&p), &err_));
            for (int i = 0; i < rows; i++) {
                truth_of(&p, 0, i, 0, &t);
                CHECK(fabs((double)p.entropy[2 * i] - t.entropy) <= 1e-4,
                    "path %d, %d rows, shift %d: %.7g, not %.7g", (int)simd, rows, sign * 300,
                    (double)p.entropy[2 * i], t.entropy);
            }
            kv_backend_cpu.free(ctx);
            free_problem(&p);
            free(t.p);
        }
}

static void shift_invariance(void) { on_every_path(check_shift); }

/* ---- what must change no bit ---- */

static void check_threads(enum kv_simd simd)
{
    for (int precision = KV_PRECISION_FAST; precision <= KV_PRECISION_F32; precision++) {
        struct problem p = make_problem(6, 2, 64, KV_TYPE_F16);
        seed = 5;
        add_seq(&p, 100, 100, 600, false);
        add_seq(&p, 1, 300, 2000, false);
        add_seq(&p, 3, 0, 900, true);
        finish_problem(&p, false, 1);
        struct result one = { 0 };
        float *sums[2] = { kv_alloc(6 * 700, 4), kv_alloc(6 * 700, 4) };
        for (int threads = 1; threads <= 5; threads++) {
            void *ctx = open_cpu(simd, (enum kv_precision)precision, threads, &p);
            OK(attend(ctx, ready(&p), &err_));
            if (threads == 1) one = results_of(&p);
            CHECK(same_results(&p, &one), "path %d, precision %d: %d threads change bits", (int)simd, precision,
                threads);
            struct kv_attend first = p.a;
            first.n_seq = 1;
            memset(sums[threads > 1], 0, 6 * 700 * 4);
            OK(columns(ctx, &first, sums[threads > 1], 700, &err_));
            if (threads > 1)
                CHECK(!memcmp(sums[0], sums[1], 6 * 700 * 4), "path %d: %d threads change column sums", (int)simd,
                    threads);
            kv_backend_cpu.free(ctx);
        }
        free_results(&one), free(sums[0]), free(sums[1]);
        free_problem(&p);
    }
}

static void thread_counts(void) { on_every_path(check_threads); }

/* Rows given in one call or in several, as few as one. */
static void check_segments(enum kv_simd simd)
{
    static const int cuts[][5] = { { 0, 130 }, { 0, 64, 130 }, { 0, 1, 4, 100, 130 } };
    struct problem p = make_problem(6, 2, 64, KV_TYPE_F32);
    struct result whole = { 0 };
    seed = 11;
    add_seq(&p, 130, 57, 420, false);
    finish_problem(&p, false, 1);
    void *ctx = open_cpu(simd, KV_PRECISION_F32, 2, &p);
    for (size_t c = 0; c < KV_COUNT(cuts); c++) {
        for (int i = 0; cuts[c][i] < 130; i++) {
            size_t row = (size_t)cuts[c][i];
            struct problem part = p;
            part.seq[0].n_row = cuts[c][i + 1] - cuts[c][i];
            part.seq[0].row_pos += row;
            part.a.q += row * 6 * 64, part.a.out += row * 6 * 64, part.a.lse += row * 6, part.a.entropy += row * 6;
            OK(attend(ctx, ready(&part), &err_));
        }
        if (!c) whole = results_of(&p);
        CHECK(same_results(&p, &whole), "path %d: segments %zu change bits", (int)simd, c);
    }
    kv_backend_cpu.free(ctx);
    free_results(&whole), free_problem(&p);
}

static void segments(void) { on_every_path(check_segments); }

/* The same 16 rows one at a time, as in decoding, against one call in f32. */
static void check_decode(enum kv_simd simd)
{
    struct problem p = make_problem(9, 3, 64, KV_TYPE_F16);
    seed = 17;
    add_seq(&p, 16, 700, 900, false);
    finish_problem(&p, false, 1);
    void *ctx = open_cpu(simd, KV_PRECISION_F32, 2, &p);
    OK(attend(ctx, ready(&p), &err_));
    struct result whole = results_of(&p);
    kv_backend_cpu.free(ctx);
    ctx = open_cpu(simd, KV_PRECISION_FAST, 2, &p);
    for (size_t row = 0; row < 16; row++) {
        struct problem one = p;
        one.seq[0].n_row = 1, one.seq[0].row_pos += row;
        one.a.q += row * 9 * 64, one.a.out += row * 9 * 64, one.a.lse += row * 9, one.a.entropy += row * 9;
        OK(attend(ctx, ready(&one), &err_));
    }
    for (size_t i = 0; i < 16 * 9 * 64; i++)
        CHECK(fabsf(p.out[i] - whole.out[i]) <= 2e-6f, "path %d: decode gives %g at %zu, prefill %g", (int)simd,
            (double)p.out[i], i, (double)whole.out[i]);
    for (size_t i = 0; i < 16 * 9; i++)
        CHECK(fabsf(p.entropy[i] - whole.entropy[i]) <= 5e-6f, "path %d: decode gives %g nats at %zu, prefill %g",
            (int)simd, (double)p.entropy[i], i, (double)whole.entropy[i]);
    kv_backend_cpu.free(ctx);
    free_results(&whole), free_problem(&p);
}

static void decode_like_prefill(void) { on_every_path(check_decode); }

static const struct tap_case cases[] = {
    { "plain C on random shapes against double precision", plain_path },
    { "AVX2 on random shapes against double precision", avx2_path },
    { "AVX2 with a decode path against double precision", avx2_fast_path },
    { "AVX-512 on random shapes against double precision", avx512_path },
    { "AVX-512 with a decode path, bf16 weights and values against double precision", avx512_fast_path },
    { "uniform keys give ln k, one-hot gives 0", known_answers },
    { "a row that sees one key, a row that sees none", first_rows },
    { "entropy holds when all logits move by 300", shift_invariance },
    { "the number of threads changes no bit", thread_counts },
    { "cutting rows into calls changes no bit", segments },
    { "decoding one row at a time agrees with prefill", decode_like_prefill },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
