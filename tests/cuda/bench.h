/* The benchmark of the CUDA backend, by parts: the frame, the device's own rates, single ops, whole models.
 *
 * Everything is timed on the host's clock around a run of ops and a sync: the queue makes one graph of a run that comes
 * again, so that short kernels follow each other as closely as in a pass. Samples are medians' raw material: the row
 * shows median, least and most. Data is random, never zero, and in what is bound by memory it is taken from more places
 * than the L2 cache holds. */
#ifndef BENCH_H
#define BENCH_H

#include "engine/state.h"

#define BENCH_SAMPLES 48
#define BENCH_NAME    120

struct samples {
    double at[BENCH_SAMPLES];
    int n;
};

struct bench {
    bool smoke;     /* shapes small enough for an emulated GPU: figures mean nothing */
    bool serve;     /* one row at a time, for a program that takes turns with this one */
    double seconds; /* that it may take */
    double began;   /* kv_now_us() */
    const struct kv_backend *be;
    double copy;          /* bytes a second, read and written, of the device's own copy */
    double matmul;        /* FLOP a second of cuBLAS in bf16 */
    size_t cache, memory; /* bytes of L2, and of all */
    char device[96];
    struct kv_error err;
};
extern struct bench bench;

/* ---- bench_time.c: samples, and what they are taken of ---- */

double bench_left(void); /* seconds; not more is begun when it is below 0 */
void bench_add(struct samples *s, double value);
double bench_median(const struct samples *s);
/* The numbers that x becomes by factor / x, or factor * x. */
struct samples bench_over(double factor, const struct samples *s);
struct samples bench_times(double factor, const struct samples *s);

/* Microseconds of one call of op(arg, i), i = 0 .. inner - 1 a sample. */
typedef void bench_op(void *arg, int i);
double bench_once(void *ctx, bench_op *op, void *arg, int inner);
void bench_time(struct samples *s, void *ctx, bench_op *op, void *arg, int warm, int count, int inner);
/* The same of two ops by turns. */
void bench_time_both(
    struct samples s[2], void *ctx, bench_op *const op[2], void *arg, int warm, int count, int inner);

/* Device memory with random numbers, uniform in +-scale: f32 or bf16. */
void *bench_random(void *ctx, int type, size_t count, float scale);
/* A span that is full: n slots of random keys and values at positions 0 .. n - 1. */
struct kv_span bench_span(void *ctx, int type, int heads, int head_dim, int n);
void bench_release_span(void *ctx, struct kv_span *span, int type, int heads, int head_dim);

/* ---- bench_report.c: what a part says goes through a pipe to the process that prints and writes it ---- */

/* Ends the part with the sentence in bench.err. */
void bench_must(enum kv_status status);
enum bench_gate { BENCH_FREE, BENCH_AT_LEAST, BENCH_AT_MOST };
/* gate, aim: what the row is held to, and what is hoped for; floor: what the device's own rates allow, in the row's
 * unit. 0 = none. */
struct bench_want {
    enum bench_gate kind;
    double gate, aim, floor;
};
/* One line, one line of JSON. */
void bench_row(const char *unit, const struct samples *s, struct bench_want want, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* A row that could not be had, and why; a line of comment. */
void bench_skip(const char *why, const char *name, ...) __attribute__((format(printf, 2, 3)));
void bench_note(const char *text, ...) __attribute__((format(printf, 1, 2)));
/* The rates have been measured: later parts begin with them. */
void bench_keep_rates(void);

/* What one op takes of a run: microseconds and calls, percent of all ops. */
void bench_op_time(const char *of, const char *op, double us, double calls, double share);

/* What a decode step saves by keeping keep percent of the context, measured by turns with the whole cache. */
struct bench_saving {
    char model[40];
    int batch, context, keep;
    double whole, least, median, most;  /* ms of a whole step, ms saved */
    double floor, predicted, allowance; /* ms of a whole step by bytes, ms saved by bytes, percent of that step */
};
void bench_save(const struct bench_saving *s);

/* Prints and writes what comes from the pipe until it is closed or the time is up: false, when it is. */
bool report_take(int fd, const char *part, double seconds);
void report_part(int fd); /* this process is a part: all that it has to say goes there */
void report_failure(const char *name, const char *why);
void report_skip(const char *name, const char *why);
bool report_open(const char *json);
bool report_close(void); /* nothing broke, and no gate was missed */

/* ---- bench_rates.cu: what this device can do at best ---- */

#ifdef __cplusplus
extern "C" {
#endif
/* false, with a sentence in why: there is no GPU. facts: what it is. */
bool rates_open(char *device, size_t size, char *facts, size_t facts_size, size_t *cache, size_t *memory, char *why,
    size_t why_size);
/* Seconds of one device-to-device copy of so many bytes; of one bf16 product of n x n matrices of random numbers. 0: it
 * failed. */
double rates_copy(size_t bytes);
double rates_matmul(int n);
void rates_close(void);
#ifdef __cplusplus
}
#endif

/* ---- parts: bench_ops.c, bench_entropy.c, bench_linear.c, bench_models.c ---- */

void bench_attention(void);
void bench_decode_attention(void);
void bench_scores(void);
void bench_select(void);
void bench_entropy(void);
void bench_linear(void);

/* A synthetic model: its decode step, and more of it where that is asked for. */
struct bench_plan {
    const char *name, *path; /* what it is called, what is opened */
    double gate, aim;        /* of the decode step, shares of the floor */
    bool prefill, saved;     /* prefill of 8k and 32k; what compression saves */
    bool longest;            /* prefill of 128k */
};
void bench_model(const struct bench_plan *plan);
/* A step and a prefill with what KVDBG_PLAIN leaves out. */
void bench_plain(void);

/* One request line of --serve: microseconds, or below 0 with the reason in bench.err. */
double serve_attention(int rows, int head_dim, int n);
double serve_model(bool decode, const char *path, int n);

#endif
