/* Ops that read weights: linear over all block types, embed. */
#include "kernels/cpu/cpu.h" /* kv_dequantize */
#include "tests/cuda/parity.h"

static const int all_types[] = {
#define X(name, number, elements, bytes, half, halves) number,
    KV_TYPE_LIST(X)
#undef X
};

/* Random blocks whose f16 fields are moderate: 0.0078 to 0.031, either sign. */
static struct buffer *weights(int type, size_t n)
{
    const struct kv_type_info *info = kv_type_info(type);
    size_t bytes = kv_type_bytes(type, n);
    struct buffer *b = input(bytes);
    uint8_t *w = b->cpu;
    for (size_t i = 0; i < bytes; i++) w[i] = (uint8_t)(random_u32() >> 13);
    for (size_t i = 0; i < bytes; i += (size_t)info->bytes) {
        uint16_t half[2] = { (uint16_t)(0x2000 | (random_u32() & 0x87ff)),
            (uint16_t)(0x2000 | (random_u32() & 0x87ff)) };
        float value = normal();
        if (type == KV_TYPE_F32) memcpy(w + i, &value, 4);
        if (type == KV_TYPE_BF16) memcpy(w + i, (char *)&value + 2, 2);
        memcpy(w + i + info->half, half, 2 * (size_t)info->halves);
    }
    return b;
}

/* Columns that the type can have: odd where it has no blocks, else odd numbers of blocks too; wide ones for few rows. */
static int columns_of(int type, int i, int n)
{
    static const int odd[] = { 1, 3, 33, 64, 100, 576, 577 };
    int block = kv_type_info(type)->elements, most = parity.small ? 288 : n < 10 ? 4352 : 1024;
    if (block == 1) return odd[i % 7];
    return block * between(1, most < 2 * block ? 2 : most / block);
}

/* ---- linear ---- */

enum { MATRICES_MAX = 3 };

struct linear {
    struct buffer *x, *w[MATRICES_MAX], *bias[MATRICES_MAX], *y[MATRICES_MAX];
    int type[MATRICES_MAX], rows[MATRICES_MAX];
    bool add[MATRICES_MAX];
    int n, cols, count;
};

static enum kv_status linear(const struct side *s, const void *args, struct kv_error *err)
{
    const struct linear *a = args;
    struct kv_linear l[MATRICES_MAX];
    for (int k = 0; k < a->count; k++)
        l[k] = (struct kv_linear){ { AT(s, a->w[k]), a->type[k], a->rows[k], a->cols },
            a->bias[k] ? AT(s, a->bias[k]) : NULL, AT(s, a->y[k]), a->add[k] };
    return s->be->linear(s->ctx, l, a->count, AT(s, a->x), a->n, err);
}

/* Variance of what rounding x to 8 bits does to one output: a step of max|x| / 127 in each group of columns. */
static double int8_variance(const float *x, const float *w, int cols, int group)
{
    double variance = 0;
    for (int c = 0; c < cols;) {
        double most = 0, squares = 0;
        for (int end = c + group; c < end && c < cols; c++) {
            most = fmax(most, fabs((double)x[c]));
            squares += (double)w[c] * (double)w[c];
        }
        variance += most * most / 127 / 127 / 12 * squares;
    }
    return variance;
}

/* One matrix. f32: sums in any order. bf16: x and w rounded, each product off by 2^-8 / sqrt(3) times sqrt(2), and six
 * times the deviation of the sum; the same bound holds where only x is rounded, and to better than bf16. Few rows of
 * quantized weights: x and w as halves; w is a scale and an offset, each rounded, whose difference is some 4 times less. */
static void check_matrix(const struct linear *a, int k)
{
    size_t cols = (size_t)a->cols, rows = (size_t)a->rows[k], count = (size_t)a->n * rows;
    int block = kv_type_info(a->type[k])->elements;
    bool int8 = parity.precision == KV_PRECISION_INT8 && block > 1, halves = block > 1 && a->n <= 32;
    const double unit = halves ? 4 * UNIT_F16 : UNIT_BF16;
    double *t = tolerances(count);
    float *w = malloc(rows * cols * sizeof *w);
    if (!w) exit(2);
    kv_dequantize(a->type[k], a->w[k]->cpu, rows * cols, w);
#pragma omp parallel for collapse(2)
    for (size_t i = 0; i < (size_t)a->n; i++)
        for (size_t r = 0; r < rows; r++) {
            const float *x = f32(a->x) + i * cols, *row = w + r * cols;
            double sum = 0, squares = 0, whole = fabs((double)f32(a->y[k])[i * rows + r]);
            for (size_t c = 0; c < cols; c++) {
                double product = fabs((double)x[c] * (double)row[c]);
                sum += product, squares += product * product;
            }
            if (a->add[k]) whole += fabs((double)((const float *)a->y[k]->start)[i * rows + r]);
            if (a->bias[k]) whole += fabs((double)f32(a->bias[k])[r]);
            double variance = parity.precision == KV_PRECISION_F32 ? 0 : squares * unit * unit * 2 / 3;
            if (int8) variance += int8_variance(x, row, a->cols, block);
            t[i * rows + r] = (4 + 8 * sqrt(a->cols)) * UNIT_F32 * sum + 4 * UNIT_F32 * whole + 6 * sqrt(variance);
        }
    free(w);
    compare(a->y[k], count, t, "y");
    if (parity.precision == KV_PRECISION_FAST && count > 64)
        compare_norm(a->y[k], count, halves ? 1e-3 : 1e-2, "y");
}

static struct linear make_linear(int type, int n, int i)
{
    static const int some_rows[] = { 1, 3, 16, 17, 33, 64, 96, 129 };
    struct linear a = { .n = n, .cols = columns_of(type, i, n), .count = i % 4 == 3 ? MATRICES_MAX : 1 };
    int widest = a.cols;
    a.x = normals((size_t)n * (size_t)a.cols, 1, false);
    for (int k = 0; k < a.count; k++) {
        a.type[k] = type;
        while (k && (a.type[k] = ONE_OF(all_types)) != type && a.cols % kv_type_info(a.type[k])->elements) {
        }
        a.rows[k] = parity.small ? ONE_OF(some_rows) : between(1, 300);
        a.w[k] = weights(a.type[k], (size_t)a.rows[k] * (size_t)a.cols);
        a.bias[k] = random_u32() % 2 ? normals((size_t)a.rows[k], 1, false) : NULL;
        a.add[k] = random_u32() % 2;
        size_t count = (size_t)n * (size_t)a.rows[k];
        a.y[k] = a.add[k] ? normals(count, 1, true) : output(count * 4);
        if (a.rows[k] > widest) widest = a.rows[k];
    }
    reserve((struct kv_limits){
        .rows = n, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = widest });
    return a;
}

static void check_types(const int *types, int n_types)
{
    static const int small_n[] = { 1, 2, 3, 5, 8, 9, 33 };
    static const int full_n[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 64, 200 };
    int count = parity.small ? (int)KV_COUNT(small_n) : (int)KV_COUNT(full_n);
    for (int t = 0; t < n_types && !failed(); t++)
        for (int i = 0; i < count && !failed(); i++) {
            struct linear a = make_linear(types[t], parity.small ? small_n[i] : full_n[i], i + t);
            bool ran = run_both(linear, &a);
            for (int k = 0; k < a.count && ran; k++) check_matrix(&a, k);
            next_shape();
            if (!failed()) continue;
            char what[128] = "";
            int used = 0;
            for (int k = 0; k < a.count; k++)
                used += snprintf(
                    what + used, sizeof what - (size_t)used, " %s[%d]", kv_type_info(a.type[k])->name, a.rows[k]);
            note("%d rows of %d columns times%s", a.n, a.cols, what);
        }
}

static const int floats[] = { KV_TYPE_F32, KV_TYPE_F16, KV_TYPE_BF16 };
static const int plain_blocks[] = { KV_TYPE_Q4_0, KV_TYPE_Q4_1, KV_TYPE_Q5_0, KV_TYPE_Q5_1, KV_TYPE_Q8_0,
    KV_TYPE_IQ4_NL };
static const int super_blocks[] = { KV_TYPE_Q2_K, KV_TYPE_Q3_K, KV_TYPE_Q4_K, KV_TYPE_Q5_K, KV_TYPE_Q6_K,
    KV_TYPE_IQ4_XS };

static void check_floats(void) { check_types(floats, KV_COUNT(floats)); }
static void check_plain_blocks(void) { check_types(plain_blocks, KV_COUNT(plain_blocks)); }
static void check_super_blocks(void) { check_types(super_blocks, KV_COUNT(super_blocks)); }

/* Matrices of several tiles of rows and of columns: blocks of a GPU share tiles, and have several of them. */
static void check_tiles(void)
{
    static const int rows_of_x[] = { 5, 8, 15, 24, 33, 64, 100 };
    const int most = parity.small ? 400 : 2600, widest = parity.small ? 1024 : 2816;
    for (int i = 0; i < (int)KV_COUNT(all_types) * 3 && !failed(); i++) {
        int type = all_types[i / 3], block = kv_type_info(type)->elements, n = rows_of_x[(i * 5 + i / 7) % 7];
        if (block == 1) continue;
        struct linear a = { .n = n, .cols = block * between(1, widest / block), .count = 1 + i % 3 };
        int tallest = a.cols;
        a.x = normals((size_t)n * (size_t)a.cols, 1, false);
        for (int k = 0; k < a.count; k++) {
            a.type[k] = type;
            a.rows[k] = between(1, most);
            a.w[k] = weights(type, (size_t)a.rows[k] * (size_t)a.cols);
            a.y[k] = output((size_t)n * (size_t)a.rows[k] * 4);
            if (a.rows[k] > tallest) tallest = a.rows[k];
        }
        reserve((struct kv_limits){
            .rows = n, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = tallest });
        bool ran = run_both(linear, &a);
        for (int k = 0; k < a.count && ran; k++) check_matrix(&a, k);
        next_shape();
        if (failed()) note("%d rows of %d columns times %s[%d]", n, a.cols, kv_type_info(type)->name, a.rows[0]);
    }
}

/* A NaN in one row of x makes that row NaN and no other. */
static void check_linear_nan(void)
{
    for (int i = 0; i < 4 && !failed(); i++) {
        struct linear a = make_linear(i % 2 ? KV_TYPE_Q4_1 : KV_TYPE_BF16, i < 2 ? 3 : 40, 5);
        if (a.count > 1) a.count = 1;
        f32(a.x)[(size_t)a.cols + (size_t)a.cols / 2] = NAN;
        if (!run_both(linear, &a)) return;
        const float *got = a.y[0]->got;
        for (int r = 0; r < a.n * a.rows[0] && !failed(); r++)
            if (isnan(got[r]) != (r / a.rows[0] == 1))
                fail("row %d, output %d is %g", r / a.rows[0], r % a.rows[0], (double)got[r]);
    }
}

/* ---- what stands beside products: a norm in front, a swiglu behind and in front of the next ---- */

struct feed {
    struct buffer *x, *norm, *y, *w[2], *gate, *up, *down, *out;
    int type[2], n, cols, wide;
    bool stepped; /* nothing is joined with its neighbours */
};

static enum kv_status feed(const struct side *s, const void *args, struct kv_error *err)
{
    const struct feed *a = args;
    const struct kv_linear both[] = { { { AT(s, a->w[0]), a->type[0], a->wide, a->cols }, NULL, AT(s, a->gate),
                                          false },
        { { AT(s, a->w[1]), a->type[1], a->wide, a->cols }, NULL, AT(s, a->up), false } };
    const struct kv_linear down = { { AT(s, a->down), a->type[0], a->cols, a->wide }, NULL, AT(s, a->out), true };
    enum kv_status status =
        s->be->norm(s->ctx, AT(s, a->x), AT(s, a->norm), 1e-5f, a->n, a->cols, AT(s, a->y), err);
    if (!status && a->stepped) status = s->be->sync(s->ctx, err);
    if (!status) status = s->be->linear(s->ctx, both, 2, AT(s, a->y), a->n, err);
    if (!status && a->stepped) status = s->be->sync(s->ctx, err);
    if (!status)
        status = s->be->swiglu(
            s->ctx, AT(s, a->gate), AT(s, a->up), (size_t)a->n * (size_t)a->wide, AT(s, a->gate), err);
    if (!status && a->stepped) status = s->be->sync(s->ctx, err);
    if (!status) status = s->be->linear(s->ctx, &down, 1, AT(s, a->gate), a->n, err);
    return status;
}

/* Joined or op by op, the bits are the same in all that is left behind. Outputs are off by a few roundings of bf16, or
 * in int8 precision of 8 bits, after two products. */
static void check_feed(void)
{
    static const int rows_of_x[] = { 1, 3, 5, 8, 9, 15, 33, 64 },
                     first[] = { KV_TYPE_Q4_1, KV_TYPE_Q8_0, KV_TYPE_Q4_K },
                     second[] = { KV_TYPE_Q4_1, KV_TYPE_Q6_K, KV_TYPE_Q4_K, KV_TYPE_BF16 };
    for (int i = 0; i < 16 && !failed(); i++) {
        struct feed a = { .n = rows_of_x[i % 8], .cols = 256 * between(1, 2), .wide = 256 * between(1, 3) };
        size_t inner = (size_t)a.n * (size_t)a.wide, outer = (size_t)a.n * (size_t)a.cols;
        a.type[0] = ONE_OF(first), a.type[1] = ONE_OF(second);
        a.x = normals(outer, 30, false), a.norm = normals((size_t)a.cols, 1, false), a.y = output(outer * 4);
        for (int k = 0; k < 2; k++) a.w[k] = weights(a.type[k], (size_t)a.wide * (size_t)a.cols);
        a.gate = output(inner * 4), a.up = output(inner * 4);
        a.down = weights(a.type[0], (size_t)a.wide * (size_t)a.cols), a.out = normals(outer, 1, true);
        reserve((struct kv_limits){ .rows = a.n,
            .keys = 8,
            .seqs = 1,
            .n_head = 1,
            .n_kv_head = 1,
            .head_dim = 64,
            .widest = a.wide > a.cols ? a.wide : a.cols });
        struct buffer *left[] = { a.y, a.gate, a.up, a.out };
        void *joined[KV_COUNT(left)] = { NULL };
        bool ran = run_both(feed, &a);
        if (ran) compare_norm(a.out, outer, parity.precision == KV_PRECISION_F32 ? 1e-4 : 3e-2, "the output");
        for (size_t k = 0; k < KV_COUNT(left) && ran; k++)
            if ((joined[k] = malloc(left[k]->bytes))) memcpy(joined[k], left[k]->got, left[k]->bytes);
        for (size_t k = 0; k < KV_COUNT(left); k++) memcpy(left[k]->cpu, left[k]->start, left[k]->bytes);
        a.stepped = true;
        ran = ran && run_both(feed, &a);
        for (size_t k = 0; k < KV_COUNT(left); k++) {
            if (ran && (!joined[k] || memcmp(joined[k], left[k]->got, left[k]->bytes)))
                fail("result %zu has other bits where ops are joined", k);
            free(joined[k]);
        }
        if (failed())
            note("%d rows, %s and %s, %d and %d columns", a.n, kv_type_info(a.type[0])->name,
                kv_type_info(a.type[1])->name, a.cols, a.wide);
        next_shape();
    }
}

/* ---- embed ---- */

struct embed {
    struct buffer *w, *x;
    const int32_t *ids;
    int type, rows, cols, n;
};

static enum kv_status embed(const struct side *s, const void *args, struct kv_error *err)
{
    const struct embed *a = args;
    const struct kv_matrix w = { AT(s, a->w), a->type, a->rows, a->cols };
    return s->be->embed(s->ctx, &w, a->ids, a->n, AT(s, a->x), err);
}

/* A value is a scale times a whole number, plus a minimum: either may be rounded before or after the sum, so a value is
 * off by some u of the largest in its row. Types without scales are exact. */
static void check_embed(void)
{
    static int32_t ids[64];
    for (size_t i = 0; i < KV_COUNT(all_types) * 2; i++) {
        struct embed a = { .type = all_types[i / 2], .ids = ids, .rows = between(1, 50), .n = between(1, 64) };
        a.cols = columns_of(a.type, (int)i, a.n);
        size_t count = (size_t)a.n * (size_t)a.cols;
        a.w = weights(a.type, (size_t)a.rows * (size_t)a.cols);
        a.x = output(count * 4);
        for (int j = 0; j < a.n; j++) ids[j] = between(0, a.rows - 1);
        reserve((struct kv_limits){
            .rows = a.n, .keys = 8, .seqs = 1, .n_head = 1, .n_kv_head = 1, .head_dim = 64, .widest = a.cols });
        if (!run_both(embed, &a)) return;
        double *t = tolerances(count), most = 0;
        for (size_t j = 0; j < count; j++) {
            if (j % (size_t)a.cols == 0) most = 0;
            for (size_t c = j; j % (size_t)a.cols == 0 && c < j + (size_t)a.cols; c++)
                most = fmax(most, fabs((double)f32(a.x)[c]));
            t[j] = kv_type_info(a.type)->elements > 1 ? 4 * UNIT_F32 * most : 0;
        }
        compare(a.x, count, t, kv_type_info(a.type)->name);
        next_shape();
    }
    int32_t beyond = 5;
    struct embed bad = { .type = KV_TYPE_F32, .ids = &beyond, .rows = 5, .cols = 4, .n = 1 };
    bad.w = weights(KV_TYPE_F32, 20), bad.x = output(16);
    must_refuse(embed, &bad, "token 5 of a vocabulary of 5");
}

const struct check linear_checks[] = {
    { "linear, F32 F16 BF16", check_floats, KV_PRECISION_F32, NULL },
    { "linear, F32 F16 BF16", check_floats, KV_PRECISION_FAST, NULL },
    { "linear, F32 F16 BF16", check_floats, KV_PRECISION_INT8, NULL },
    { "linear, blocks of 32", check_plain_blocks, KV_PRECISION_F32, NULL },
    { "linear, blocks of 32", check_plain_blocks, KV_PRECISION_FAST, NULL },
    { "linear, blocks of 32", check_plain_blocks, KV_PRECISION_INT8, NULL },
    { "linear, blocks of 256", check_super_blocks, KV_PRECISION_F32, NULL },
    { "linear, blocks of 256", check_super_blocks, KV_PRECISION_FAST, NULL },
    { "linear, blocks of 256", check_super_blocks, KV_PRECISION_INT8, NULL },
    { "linear, tiles", check_tiles, KV_PRECISION_FAST, NULL },
    { "linear, tiles", check_tiles, KV_PRECISION_INT8, NULL },
    { "linear, NaN", check_linear_nan, KV_PRECISION_F32, NULL },
    { "linear, NaN", check_linear_nan, KV_PRECISION_FAST, NULL },
    { "linear between norm and swiglu", check_feed, KV_PRECISION_F32, "norm,linear,swiglu" },
    { "linear between norm and swiglu", check_feed, KV_PRECISION_FAST, "norm,linear,swiglu" },
    { "linear between norm and swiglu", check_feed, KV_PRECISION_INT8, "norm,linear,swiglu" },
    { "embed", check_embed, KV_PRECISION_F32, NULL },
    { "embed", check_embed, KV_PRECISION_FAST, NULL },
};
const size_t n_linear_checks = KV_COUNT(linear_checks);
