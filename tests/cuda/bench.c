/* How fast the CUDA backend is on this GPU, beside what the GPU can do: the frame of the benchmark.
 * usage: bench [--seconds N] [--json FILE] [--smoke] [--only WORD]
 *
 * Lines are TAP: a row with a gate is ok or not ok. Those that matter most come first; when the time is up the rest is
 * left out and said so. The program looks for the plugin beside itself. */
#include "tests/cuda/bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS_MAX  512
#define RANDOM_AT ((size_t)4 << 20) /* numbers made on the host; more are copies of them */

struct bench bench = { .seconds = 460 };

struct row {
    char name[100], unit[16];
    double median, least, most, gate, aim;
    enum bench_gate kind;
    bool good;
};
static struct row rows[ROWS_MAX];
static char *below[ROWS_MAX]; /* lines */
static int n_row, n_below, number, missed;
static double began;

/* ---- frame ---- */

void bench_must(enum kv_status status)
{
    if (!status) return;
    printf("not ok %d - the benchmark goes on\n# %s\n", ++number, bench.err.text);
    exit(1);
}

double bench_left(void) { return bench.seconds - (kv_now_us() - began) * 1e-6; }

void bench_add(struct samples *s, double value)
{
    if (s->n < BENCH_SAMPLES) s->at[s->n++] = value;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct samples sorted(const struct samples *s)
{
    struct samples copy = *s;
    qsort(copy.at, (size_t)copy.n, sizeof *copy.at, ascending);
    return copy;
}

double bench_median(const struct samples *s)
{
    struct samples copy = sorted(s);
    if (!s->n) return NAN;
    return copy.n % 2 ? copy.at[copy.n / 2] : (copy.at[copy.n / 2 - 1] + copy.at[copy.n / 2]) / 2;
}

struct samples bench_over(double factor, const struct samples *s)
{
    struct samples out = *s;
    for (int i = 0; i < out.n; i++) out.at[i] = factor / out.at[i];
    return out;
}

struct samples bench_times(double factor, const struct samples *s)
{
    struct samples out = *s;
    for (int i = 0; i < out.n; i++) out.at[i] *= factor;
    return out;
}

static void json_number(const char *key, double x)
{
    if (isfinite(x)) fprintf(bench.json, ", \"%s\": %.6g", key, x);
}

static const char *wanted(const struct row *r, char *text, size_t size)
{
    text[0] = 0;
    if (r->kind != BENCH_FREE) snprintf(text, size, "%s %.4g", r->kind == BENCH_AT_LEAST ? ">=" : "<=", r->gate);
    return text;
}

void bench_row(
    const char *unit, const struct samples *s, enum bench_gate kind, double gate, double aim, const char *name, ...)
{
    if (n_row == ROWS_MAX || !s->n) return;
    struct samples in_order = sorted(s);
    struct row *r = &rows[n_row++];
    char text[32];
    va_list args;
    va_start(args, name);
    vsnprintf(r->name, sizeof r->name, name, args);
    va_end(args);
    snprintf(r->unit, sizeof r->unit, "%s", unit);
    r->median = bench_median(s), r->least = in_order.at[0], r->most = in_order.at[s->n - 1];
    r->kind = kind, r->gate = gate, r->aim = aim;
    r->good = kind == BENCH_FREE || (kind == BENCH_AT_LEAST ? r->median >= gate : r->median <= gate);
    missed += !r->good;
    printf("%sok %d - %s: %.4g %s (%.4g..%.4g)%s%s\n", r->good || bench.smoke ? "" : "not ", ++number, r->name,
        r->median, unit, r->least, r->most, kind == BENCH_FREE ? "" : ", wanted ", wanted(r, text, sizeof text));
    fflush(stdout);
    if (!bench.json) return;
    fprintf(bench.json, "{\"row\": \"%s\", \"unit\": \"%s\"", r->name, unit);
    json_number("median", r->median), json_number("min", r->least), json_number("max", r->most);
    if (kind != BENCH_FREE)
        json_number("gate", gate), fprintf(bench.json, ", \"passed\": %s", r->good ? "true" : "false");
    json_number("aim", aim);
    fprintf(bench.json, ", \"samples\": %d, \"device\": \"%s\"}\n", s->n, bench.device);
    fflush(bench.json);
}

void bench_skip(const char *why, const char *name, ...)
{
    char text[100];
    va_list args;
    va_start(args, name);
    vsnprintf(text, sizeof text, name, args);
    va_end(args);
    printf("ok %d - %s # SKIP %s\n", ++number, text, why);
}

void bench_below(const char *line)
{
    if (n_below < ROWS_MAX) below[n_below++] = kv_strdup(line);
}

/* What compression saves has a table of its own: four rows of the other are a line there. */
static void print_table(void)
{
    char text[32];
    printf("#\n# %-60s %9s %20s %-8s %-8s %6s\n", "row", "median", "least..most", "unit", "gate", "aim");
    for (int i = 0; i < n_row; i++) {
        const struct row *r = &rows[i];
        char range[40], aim[16] = "";
        if (!strncmp(r->name, BENCH_SAVED, strlen(BENCH_SAVED))) continue;
        snprintf(range, sizeof range, "%.4g..%.4g", r->least, r->most);
        if (isfinite(r->aim)) snprintf(aim, sizeof aim, "%.4g", r->aim);
        printf("# %-60s %9.4g %20s %-8s %-8s %6s%s\n", r->name, r->median, range, r->unit,
            wanted(r, text, sizeof text), aim, r->good ? "" : " MISSED");
    }
    if (n_below)
        printf("#\n# ms a step saves, measured (by bytes / copy bandwidth) share of the step, * = 46.6 %% or more\n"
               "# %-15s %11s %8s %24s %24s %24s\n",
            "model", "batch x ctx", "whole", "keep 10 %", "keep 25 %", "keep 50 %");
    for (int i = 0; i < n_below; free(below[i++])) printf("# %s\n", below[i] ? below[i] : "");
    printf("# %s: %d rows, %d gates missed, %.0f s%s\n", bench.device, n_row, missed, bench.seconds - bench_left(),
        bench.smoke ? "; made-up shapes, the figures mean nothing" : "");
}

/* ---- timing ---- */

static double run_once(void *ctx, bench_op *op, void *arg, int inner)
{
    bench_must(bench.be->sync(ctx, &bench.err));
    double from = kv_now_us();
    for (int i = 0; i < inner; i++) op(arg, i);
    bench_must(bench.be->sync(ctx, &bench.err));
    return (kv_now_us() - from) / inner;
}

void bench_time(struct samples *s, void *ctx, bench_op *op, void *arg, int warm, int count, int inner)
{
    *s = (struct samples){ 0 };
    if (bench.smoke) warm = 1, count = 2;
    for (int i = 0; i < warm + count; i++) {
        double us = run_once(ctx, op, arg, inner);
        if (i >= warm) bench_add(s, us);
    }
}

void bench_time_both(
    struct samples s[2], void *ctx, bench_op *const op[2], void *arg, int warm, int count, int inner)
{
    s[0] = s[1] = (struct samples){ 0 };
    if (bench.smoke) warm = 1, count = 2;
    for (int i = 0; i < warm + count; i++)
        for (int k = 0; k < 2; k++) {
            double us = run_once(ctx, op[k], arg, inner);
            if (i >= warm) bench_add(&s[k], us);
        }
}

/* ---- data ---- */

static uint64_t state = 88172645463325252u;

static float uniform(float scale)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return ((float)(state >> 40) * 0x1p-23F - 1) * scale;
}

static size_t size_of(int type) { return type == KV_TYPE_F32 ? 4 : 2; }

void *bench_random(void *ctx, int type, size_t count, float scale)
{
    size_t size = size_of(type), made = kv_min(count, RANDOM_AT);
    char *device = bench.be->alloc(ctx, count * size);
    unsigned char *host = kv_alloc(made, size);
    if (!device || !host) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %zu numbers.", count));
    for (size_t i = 0; i < made; i++) {
        float x = uniform(scale);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        memcpy(host + i * size, type == KV_TYPE_F32 ? (const void *)&x : (const void *)&half, size);
    }
    bench_must(bench.be->write(ctx, device, host, made * size, &bench.err));
    for (size_t at = made; at < count; at += made)
        bench_must(bench.be->copy(ctx, device + at * size, device, kv_min(made, count - at) * size, &bench.err));
    bench_must(bench.be->sync(ctx, &bench.err));
    free(host);
    return device;
}

struct kv_span bench_span(void *ctx, int type, int heads, int head_dim, int n)
{
    size_t count = (size_t)n * (size_t)heads * (size_t)head_dim;
    int32_t *pos = kv_alloc((size_t)n + 1, sizeof *pos);
    struct kv_span s = { .cap = n };
    s.pos = bench.be->alloc(ctx, ((size_t)n + 1) * sizeof *pos);
    if (!pos || !s.pos) bench_must(kv_fail(&bench.err, KV_NO_MEMORY, "No memory for %d positions.", n));
    for (int i = 0; i < n; i++) pos[i] = i;
    pos[n] = n;
    s.len = s.pos + n;
    s.k = bench_random(ctx, type, count, 1);
    s.v = bench_random(ctx, type, count, 1);
    bench_must(bench.be->write(ctx, s.pos, pos, ((size_t)n + 1) * sizeof *pos, &bench.err));
    bench_must(bench.be->sync(ctx, &bench.err));
    free(pos);
    return s;
}

void bench_release_span(void *ctx, struct kv_span *s, int type, int heads, int head_dim)
{
    size_t bytes = (size_t)s->cap * (size_t)heads * (size_t)head_dim * size_of(type);
    bench.be->release(ctx, s->k, bytes);
    bench.be->release(ctx, s->v, bytes);
    bench.be->release(ctx, s->pos, ((size_t)s->cap + 1) * sizeof *s->pos);
    *s = (struct kv_span){ 0 };
}

/* ---- the device ---- */

static void measure_rates(void)
{
    size_t bytes = bench.smoke ? (size_t)1 << 16 : (size_t)1 << 30;
    int n = bench.smoke ? 32 : 8192, count = bench.smoke ? 2 : 20;
    struct samples copy = { 0 }, matmul = { 0 };
    for (int i = 0; i < count + 3; i++) {
        double seconds = rates_copy(bytes);
        if (i >= 3 && seconds > 0) bench_add(&copy, 2 * (double)bytes / seconds);
    }
    for (int i = 0; i < count + 3; i++) {
        double seconds = rates_matmul(n);
        if (i >= 3 && seconds > 0) bench_add(&matmul, 2.0 * n * n * n / seconds);
    }
    rates_close();
    if (!copy.n || !matmul.n) bench_must(kv_fail(&bench.err, KV_DEVICE, "The device's own rates cannot be had."));
    bench.copy = bench_median(&copy);
    bench.matmul = bench_median(&matmul);
    copy = bench_times(1e-12, &copy), matmul = bench_times(1e-12, &matmul);
    bench_row("TB/s", &copy, BENCH_FREE, NAN, NAN, "the device's own copy, read and written");
    bench_row("TFLOP/s", &matmul, BENCH_FREE, NAN, NAN, "cuBLAS, bf16, %d x %d x %d", n, n, n);
}

struct part {
    const char *name;
    void (*run)(void);
};

static void mistral_bf16(void) { bench_model(bench.smoke ? "tiny-mistral:bf16" : "mistral-7b:bf16", 0.80, 0.90); }
static void qwen_q4(void) { bench_model(bench.smoke ? "tiny-qwen3:q4_1" : "qwen3-4b:q4_1", 0.45, 0.75); }
static void mistral_q4(void)
{
    if (!bench.smoke) bench_model("mistral-7b:q4_1", 0.55, 0.75);
}
static void qwen_bf16(void)
{
    if (!bench.smoke) bench_model("qwen3-4b:bf16", 0.72, 0.90);
}

static const struct part parts[] = { { "attention", bench_attention },
    { "decode-attention", bench_decode_attention }, { "mistral-bf16", mistral_bf16 }, { "mistral-q4", mistral_q4 },
    { "qwen-q4", qwen_q4 }, { "scores", bench_scores }, { "select", bench_select }, { "entropy", bench_entropy },
    { "qwen-bf16", qwen_bf16 }, { "long-prefill", bench_long_prefill } };

static void run_parts(const char *only)
{
    for (size_t i = 0; i < KV_COUNT(parts); i++) {
        if (only && !strstr(parts[i].name, only)) continue;
        if (bench_left() < 0)
            bench_skip("the time is up", "%s", parts[i].name);
        else
            parts[i].run();
    }
}

int main(int argc, char **argv)
{
    const char *only = NULL, *json = NULL;
    struct settings set = { .backend = BACKEND_CUDA };
    char why[200] = "", note[200];
    began = kv_now_us();
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (!strcmp(argv[i], "--smoke"))
            bench.smoke = true;
        else if (!strcmp(argv[i], "--seconds") && value)
            bench.seconds = atof(argv[++i]);
        else if (!strcmp(argv[i], "--json") && value)
            json = argv[++i];
        else if (!strcmp(argv[i], "--only") && value)
            only = argv[++i];
        else {
            fprintf(stderr, "usage: bench [--seconds N] [--json FILE] [--smoke] [--only WORD]\n");
            return 2;
        }
    }
    if (!rates_open(bench.device, sizeof bench.device, &bench.cache, &bench.memory, why, sizeof why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    bench_must(backend_pick(&set, &bench.be, note, sizeof note, &bench.err));
    if (json && !(bench.json = fopen(json, "w")))
        bench_must(kv_fail(&bench.err, KV_IO, "%s cannot be written.", json));
    measure_rates();
    run_parts(only);
    printf("1..%d\n", number);
    print_table();
    if (bench.json) fclose(bench.json);
    return missed && !bench.smoke;
}
