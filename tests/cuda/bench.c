/* How fast the CUDA backend is on this GPU, beside what the GPU can do.
 * usage: bench [--seconds N] [--json FILE] [--smoke] [--only WORD] [--list]
 *        bench --serve [--smoke]
 *
 * Lines are TAP: a row with a gate is ok or not ok; tests/cuda/table.awk makes Markdown of the JSON. Each part is a
 * process of its own, in the order of what it is worth a second; where less time is left than a part takes, it is left
 * out and said so. The program looks for the plugin beside itself.
 *
 * --serve answers lines from stdin, for a program that takes turns with this one: after "ready DEVICE" each line
 *     attention D N           prefill attention with entropy over N tokens, heads of D
 *     decode-attention D N    one row over N tokens
 *     prefill MODEL N         a prompt of N tokens, entropy, scores and compaction (snapkv, a quarter kept)
 *     decode MODEL N          a decode step at a context of N tokens, whole cache
 * is run once and answered by "us NUMBER" or "error SENTENCE". */
#include "tests/cuda/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench bench = { .seconds = 460 };

/* ---- parts ---- */

/* Bytes and FLOP a second; returns the side of the matrices. */
static int take_rates(struct samples *copy, struct samples *matmul)
{
    size_t bytes = bench.smoke ? (size_t)1 << 16 : (size_t)1 << 30;
    int n = bench.smoke ? 32 : 8192, count = bench.smoke ? 2 : 20;
    *copy = *matmul = (struct samples){ 0 };
    for (int i = 0; i < count + 3; i++) {
        double seconds = rates_copy(bytes);
        if (i >= 3 && seconds > 0) bench_add(copy, 2 * (double)bytes / seconds);
    }
    for (int i = 0; i < count + 3; i++) {
        double seconds = rates_matmul(n);
        if (i >= 3 && seconds > 0) bench_add(matmul, 2.0 * n * n * n / seconds);
    }
    rates_close();
    if (!copy->n || !matmul->n) bench_must(kv_fail(&bench.err, KV_DEVICE, "The device's own rates cannot be had."));
    return n;
}

static void measure_rates(void)
{
    struct samples copy, matmul;
    int n = take_rates(&copy, &matmul);
    bench.copy = bench_median(&copy);
    bench.matmul = bench_median(&matmul);
    bench_keep_rates();
    copy = bench_times(1e-12, &copy), matmul = bench_times(1e-12, &matmul);
    bench_row("TB/s", &copy, (struct bench_want){ 0 }, "the device's own copy, read and written");
    bench_row("TFLOP/s", &matmul, (struct bench_want){ 0 }, "cuBLAS, bf16, %d x %d x %d", n, n, n);
}

/* A device that has slowed down by more than a tenth has made the shares of its rates too small. */
static void measure_rates_again(void)
{
    struct samples copy, matmul;
    take_rates(&copy, &matmul);
    copy = bench_times(100 / bench.copy, &copy), matmul = bench_times(100 / bench.matmul, &matmul);
    bench_row("%", &copy, (struct bench_want){ 0 }, "the device's own copy at the end, of what it was");
    bench_row("%", &matmul, (struct bench_want){ 0 }, "cuBLAS at the end, of what it was");
}

static void model(const char *name, const char *path, const char *small, double gate, double aim, bool more)
{
    const struct bench_plan plan = { .name = bench.smoke ? small : name,
        .path = bench.smoke ? small : path,
        .gate = gate,
        .aim = aim,
        .prefill = more,
        .saved = more,
        .longest = more && strstr(path, "128k") };
    bench_model(&plan);
}

static void mistral_bf16(void) { model("mistral-7b:bf16", "mistral-7b:bf16", "tiny-mistral:bf16", 80, 90, true); }
/* The long shape differs from the plain one in how many positions it has. */
static void qwen_bf16(void) { model("qwen3-4b:bf16", "qwen3-4b-128k:bf16", "long", 72, 90, true); }
static void mistral_q4(void) { model("mistral-7b:q4_1", "mistral-7b:q4_1", "tiny-mistral:q4_1", 55, 75, true); }
static void qwen_q4(void) { model("qwen3-4b:q4_1", "qwen3-4b:q4_1", "tiny-qwen3:q4_1", 45, 75, true); }
static void mistral_q4_k(void) { model("mistral-7b:q4_k", "mistral-7b:q4_k", "tiny-mistral:q4_0", 55, 75, false); }
static void qwen_q4_k(void) { model("qwen3-4b:q4_k", "qwen3-4b:q4_k", "tiny-qwen3:q8_0", 45, 75, false); }

/* seconds: what a part takes: it is begun if that much is left, and hangs if it is far from through after three times as
 * long. */
static const struct part {
    const char *name;
    void (*run)(void);
    double seconds;
} parts[] = { { "rates", measure_rates, 5 }, { "attention", bench_attention, 5 },
    { "decode-attention", bench_decode_attention, 4 }, { "scores", bench_scores, 5 }, { "select", bench_select, 5 },
    { "entropy", bench_entropy, 5 }, { "mistral-bf16", mistral_bf16, 40 }, { "mistral-q4", mistral_q4, 25 },
    { "qwen-q4", qwen_q4, 20 }, { "qwen-bf16", qwen_bf16, 50 }, { "linear", bench_linear, 12 },
    { "qwen-q4_k", qwen_q4_k, 8 }, { "mistral-q4_k", mistral_q4_k, 10 }, { "again", measure_rates_again, 5 },
    { "plain", bench_plain, 20 } };

/* false, with a sentence in why: there is no GPU. */
static bool open_device(char *facts, size_t facts_size, char *why, size_t why_size)
{
    struct settings set = { .backend = BACKEND_CUDA };
    char note[200];
    if (!rates_open(
            bench.device, sizeof bench.device, facts, facts_size, &bench.cache, &bench.memory, why, why_size))
        return false;
    bench_must(backend_pick(&set, &bench.be, note, sizeof note, &bench.err));
    return true;
}

static _Noreturn void be_part(const struct part *p, int fd)
{
    char facts[200], why[200] = "";
    report_part(fd);
    if (!open_device(facts, sizeof facts, why, sizeof why))
        bench_skip(why, "%s", p->name);
    else {
        if (p == parts) bench_note("%s", facts);
        p->run();
    }
    _exit(0);
}

/* A process of its own: what it says arrives as it says it. */
static void run_part(const struct part *p)
{
    int fd[2], status = 0;
    double limit = bench.smoke ? 600 : 3 * p->seconds + 15, left = bench_left() + 5;
    if (limit > left) limit = left;
    fflush(NULL);
    pid_t child = pipe(fd) ? -1 : fork();
    if (child < 0) {
        report_failure(p->name, strerror(errno));
        return;
    }
    if (!child) {
        close(fd[0]);
        be_part(p, fd[1]);
    }
    close(fd[1]);
    bool ended = report_take(fd[0], p->name, limit);
    if (!ended) kill(child, SIGKILL);
    close(fd[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    char why[100];
    snprintf(why, sizeof why, ended ? "It died of signal %d." : "It was not through after %d s.",
        ended ? WTERMSIG(status) : (int)limit);
    if (!ended || WIFSIGNALED(status)) report_failure(p->name, why);
}

static void run_parts(const char *only)
{
    for (size_t i = 0; i < KV_COUNT(parts); i++) {
        const struct part *p = &parts[i];
        if (i && only && !strstr(p->name, only)) continue;
        if (i && bench.copy <= 0) break; /* no GPU, or none that works */
        if (bench_left() < p->seconds)
            report_skip(p->name, "there is not the time for it");
        else
            run_part(p);
    }
}

/* ---- a row at a time ---- */

static double answer(const char *line)
{
    char what[24], model_path[200];
    int a, b;
    if (sscanf(line, "%23s %d %d", what, &a, &b) == 3 && a > 0 && b > 0 && a <= 256) {
        if (!strcmp(what, "attention")) return serve_attention(b, a, b);
        if (!strcmp(what, "decode-attention")) return serve_attention(1, a, b);
    }
    if (sscanf(line, "%23s %199s %d", what, model_path, &b) == 3 && b > 0) {
        if (!strcmp(what, "prefill")) return serve_model(false, model_path, b);
        if (!strcmp(what, "decode")) return serve_model(true, model_path, b);
    }
    kv_fail(&bench.err, KV_BAD_ARG, "There is no such row.");
    return -1;
}

static int serve(void)
{
    char line[300], facts[200], why[200] = "";
    if (!open_device(facts, sizeof facts, why, sizeof why)) {
        printf("error %s\n", why);
        return 0;
    }
    printf("ready %s\n", bench.device);
    while (fflush(stdout), fgets(line, sizeof line, stdin)) {
        double us = answer(line);
        if (us >= 0)
            printf("us %.3f\n", us);
        else
            printf("error %s\n", bench.err.text);
    }
    return 0;
}

static int list(void)
{
    for (size_t i = 0; i < KV_COUNT(parts); i++) printf("%-20s about %.0f s\n", parts[i].name, parts[i].seconds);
    return 0;
}

int main(int argc, char **argv)
{
    const char *only = NULL, *json = NULL;
    bench.began = kv_now_us();
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (!strcmp(argv[i], "--smoke"))
            bench.smoke = true;
        else if (!strcmp(argv[i], "--serve"))
            bench.serve = true;
        else if (!strcmp(argv[i], "--list"))
            return list();
        else if (!strcmp(argv[i], "--seconds") && value)
            bench.seconds = atof(argv[++i]);
        else if (!strcmp(argv[i], "--json") && value)
            json = argv[++i];
        else if (!strcmp(argv[i], "--only") && value)
            only = argv[++i];
        else {
            fprintf(
                stderr, "usage: bench [--seconds N] [--json FILE] [--smoke] [--only WORD] [--list] [--serve]\n");
            return 2;
        }
    }
    if (bench.serve) return serve();
    if (!report_open(json)) {
        fprintf(stderr, "%s cannot be written.\n", json);
        return 2;
    }
    run_parts(only);
    return !report_close();
}
