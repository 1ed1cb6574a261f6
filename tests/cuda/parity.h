/* Op parity: what the checks of a backend against the CPU reference share.
 *
 * A check makes its operands as buffers, which exist on both sides, and says how the op is called. run_both() calls it
 * on the CPU once and on the device twice, from the same memory (outputs full of 0xff bytes), and finds out by itself:
 * a status that differs, a second run with other bits, an input that was written, bytes written behind a buffer.
 * Then the check compares what was computed, with a tolerance that it derives.
 *
 * u = 2^-24 is the rounding error of f32, 2^-8 that of bf16. A sum of n terms t in any order is off by at most n u
 * sum |t|; roundings are as good as independent, so that 8 sqrt(n) u sum |t| is not exceeded in practice (Higham and
 * Mary, 2019), and bounds here are of that kind: a few times what is expected, and far below what a wrong term does. */
#ifndef TESTS_CUDA_PARITY_H
#define TESTS_CUDA_PARITY_H

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_F32  0x1p-24
#define UNIT_BF16 0x1p-8
#define UNIT_F16  0x1p-11

struct buffer {
    void *cpu, *gpu;
    void *start; /* what both sides had before the op */
    void *got;   /* what the device has after it */
    size_t bytes;
    bool guess; /* its content is not compared with the start: an output, or in place */
};

/* One side of a check; AT gives the address there. */
struct side {
    const struct kv_backend *be;
    void *ctx;
    bool gpu;
};
#define AT(s, buffer) ((s)->gpu ? (buffer)->gpu : (buffer)->cpu)

typedef enum kv_status op_fn(const struct side *s, const void *args, struct kv_error *err);

struct check {
    const char *name; /* op, then what is special */
    void (*run)(void);
    enum kv_precision precision;
    const char *needs; /* other ops that it calls: "norm,linear" */
};

extern struct parity {
    const struct kv_backend *be;
    void *cpu, *gpu; /* contexts; gpu is of the check's precision */
    enum kv_precision precision;
    bool small;
    int sm;       /* newest kernels that the plugin may use; 0: any */
    double worst; /* of this check: the largest error as a share of its tolerance */
} parity;

extern const struct check row_checks[], linear_checks[], cache_checks[], attend_checks[], few_checks[],
    pass_checks[];
extern const size_t n_row_checks, n_linear_checks, n_cache_checks, n_attend_checks, n_few_checks, n_pass_checks;

/* Records the check's first failure. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool failed(void);
/* Adds to the failure on which shapes it happened. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Ends what the check has made so far, for one that makes much. */
void next_shape(void);

/* Whether a part of the backend that KVDBG_PLAIN can leave out is there: "fuse", "graphs". */
static inline bool has(const char *part)
{
    const char *plain = getenv("KVDBG_PLAIN");
    return !plain || !strstr(plain, part);
}

uint32_t random_u32(void);
int between(int lo, int hi); /* both may come */
float normal(void);
int one_of(const int *list, int n);
#define ONE_OF(list) one_of(list, (int)KV_COUNT(list))

/* A buffer full of 0xff: an output. Lives until the check ends. */
struct buffer *output(size_t bytes);
/* Zeroed: an input, to be filled at ->cpu before run_both(). */
struct buffer *input(size_t bytes);
/* count f32, normal, times scale; in_place: the op may write it. */
struct buffer *normals(size_t count, float scale, bool in_place);
static inline float *f32(const struct buffer *b) { return b->cpu; }

/* Both contexts for these limits. */
void reserve(struct kv_limits limits);
static inline void reserve_attention(int rows, int keys, int seqs, int heads, int kv_heads, int head_dim)
{
    reserve((struct kv_limits){ .rows = rows,
        .keys = keys + 1,
        .seqs = seqs,
        .n_head = heads,
        .n_kv_head = kv_heads,
        .head_dim = head_dim,
        .widest = 64 });
}
/* False when they refuse alike, or have failed. */
bool run_both(op_fn *op, const void *args);
/* The device must refuse, with a sentence, and write nothing. */
void must_refuse(op_fn *op, const void *args, const char *what);

/* Compares f32 outputs, element by element: |got - want| <= tolerance[i], NaN where there is NaN, the same infinity. */
void compare(const struct buffer *b, size_t count, const double *tolerance, const char *what);
void compare_values(const float *got, const float *want, size_t count, const double *tolerance, const char *what);
/* |got - want| <= most * |want|, as vectors. */
void compare_norm(const struct buffer *b, size_t count, double most, const char *what);
/* All bytes. */
void compare_bits(const struct buffer *b, const char *what);
/* n tolerances of the check, zeroed; live until it ends. */
double *tolerances(size_t n);

#endif
