/* The benchmark of the CUDA backend, by parts: the frame, the device's own rates, single ops, whole models.
 *
 * Everything is timed on the host's clock around a run of ops and a sync: the queue makes one graph of a run that comes
 * again, so that short kernels follow each other as closely as in a pass. Samples are medians' raw material: the row
 * shows median, least and most. Data is random, never zero, and in what is bound by memory it is taken from more places
 * than the L2 cache holds. */
#ifndef BENCH_H
#define BENCH_H

#include "engine/state.h"

#include <stdio.h>

#define BENCH_SAMPLES 48

struct samples {
    double at[BENCH_SAMPLES];
    int n;
};

struct bench {
    bool smoke;     /* shapes small enough for an emulated GPU: figures mean nothing */
    double seconds; /* that it may take */
    FILE *json;
    const struct kv_backend *be;
    double copy;          /* bytes a second, read and written, of the device's own copy */
    double matmul;        /* FLOP a second of cuBLAS in bf16 */
    size_t cache, memory; /* bytes of L2, and of all */
    char device[96];
    struct kv_error err;
};
extern struct bench bench;

/* ---- bench.c ---- */

/* Ends the program with the sentence in bench.err. */
void bench_must(enum kv_status status);
double bench_left(void); /* seconds; not more is begun when it is below 0 */
void bench_add(struct samples *s, double value);
double bench_median(const struct samples *s);
/* The numbers that x becomes by factor / x, or factor * x. */
struct samples bench_over(double factor, const struct samples *s);
struct samples bench_times(double factor, const struct samples *s);

enum bench_gate { BENCH_FREE, BENCH_AT_LEAST, BENCH_AT_MOST };
/* One line, one row of the table, one line of JSON. gate, aim: what issue and reference ask for; NAN = none. */
void bench_row(const char *unit, const struct samples *s, enum bench_gate kind, double gate, double aim,
    const char *name, ...) __attribute__((format(printf, 6, 7)));
/* Begins the names of rows that are shown below the table, a few as one line. */
#define BENCH_SAVED "saved"
void bench_below(const char *line);
/* A row that could not be had, and why. */
void bench_skip(const char *why, const char *name, ...) __attribute__((format(printf, 2, 3)));

/* Microseconds of one call of op(arg, i), i = 0 .. inner - 1 a sample. */
typedef void bench_op(void *arg, int i);
void bench_time(struct samples *s, void *ctx, bench_op *op, void *arg, int warm, int count, int inner);
/* The same of two ops by turns. */
void bench_time_both(
    struct samples s[2], void *ctx, bench_op *const op[2], void *arg, int warm, int count, int inner);

/* Device memory with random numbers, uniform in +-scale: f32 or bf16. */
void *bench_random(void *ctx, int type, size_t count, float scale);
/* A span that is full: n slots of random keys and values at positions 0 .. n - 1. */
struct kv_span bench_span(void *ctx, int type, int heads, int head_dim, int n);
void bench_release_span(void *ctx, struct kv_span *span, int type, int heads, int head_dim);

/* ---- bench_rates.cu: what this device can do at best ---- */

#ifdef __cplusplus
extern "C" {
#endif
/* false, with a sentence in why: there is no GPU. */
bool rates_open(char *device, size_t size, size_t *cache, size_t *memory, char *why, size_t why_size);
/* Seconds of one device-to-device copy of so many bytes; of one bf16 product of n x n matrices of random numbers. 0: it
 * failed. */
double rates_copy(size_t bytes);
double rates_matmul(int n);
void rates_close(void);
#ifdef __cplusplus
}
#endif

/* ---- bench_ops.c, bench_models.c ---- */

void bench_attention(void);
void bench_decode_attention(void);
void bench_scores(void);
void bench_select(void);
void bench_entropy(void);
/* Decode step, prefill and what compression saves, of one synthetic model. */
void bench_model(const char *name, double gate, double aim);
void bench_long_prefill(void);

#endif
