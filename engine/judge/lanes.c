/* One body, compiled for each vector path. */
#include "engine/judge/lanes.h"

#include <string.h>

#define LANES 8
#define LEAST (-708.0) /* e^x is no smaller normal number */

typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t bits __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));

#define INLINE static inline __attribute__((always_inline))

/* x = k ln 2 + r, |r| <= ln 2 / 2: e^x = 2^k times a Taylor polynomial of degree 13. x <= 0. */
INLINE void exponential(const lanes *x, lanes *out)
{
    static const double term[] = { 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
        1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1 };
    const double shift = 0x1.8p52; /* added, it rounds to a whole number and leaves it in the low bits */
    lanes low = (lanes){ 0 } + LEAST;
    bits above = *x > low;
    lanes y = (lanes)((above & (bits)*x) | (~above & (bits)low));
    lanes k = y * 0x1.71547652b82fep0 + shift;
    bits exponent = (bits)k << 52;
    k -= shift;
    lanes r = (y - k * 0x1.62e42fefa3800p-1) - k * 0x1.ef35793c76730p-45;
    lanes sum = (lanes){ 0 } + term[0];
    for (size_t i = 1; i < KV_COUNT(term); i++) sum = sum * r + term[i];
    *out = (lanes)((bits)sum + exponent);
}

typedef float wide __attribute__((vector_size(16 * sizeof(float))));
typedef int32_t wide_bits __attribute__((vector_size(16 * sizeof(int32_t))));

INLINE bool most_of(const float *x, int n, float *most)
{
    wide top, next;
    wide_bits odd = { 0 };
    int v = 0;
    for (int i = 0; i < 16; i++) top[i] = x[0];
    for (; v + 16 <= n; v += 16) {
        memcpy(&next, x + v, sizeof next);
        wide_bits more = next > top;
        top = (wide)((more & (wide_bits)next) | (~more & (wide_bits)top));
        odd |= (next - next) != (wide){ 0 };
    }
    bool bad = false;
    *most = x[0];
    for (int i = 0; i < 16; i++) {
        bad = bad || odd[i];
        *most = top[i] > *most ? top[i] : *most;
    }
    for (; v < n; v++) {
        bad = bad || x[v] - x[v] != 0;
        *most = x[v] > *most ? x[v] : *most;
    }
    return !bad && *most - *most == 0;
}

INLINE void load(const float *from, double most, lanes *out)
{
    floats x;
    memcpy(&x, from, sizeof x);
    *out = __builtin_convertvector(x, lanes) - most;
}

INLINE double total(const lanes *x)
{
    return (((*x)[0] + (*x)[4]) + ((*x)[2] + (*x)[6])) + (((*x)[1] + (*x)[5]) + ((*x)[3] + (*x)[7]));
}

INLINE void sums(const float *p, const float *q, int n, double most_p, double most_q, double out[3])
{
    lanes sum_p = { 0 }, sum_q = { 0 }, moved = { 0 };
    float tail_p[LANES], tail_q[LANES];
    for (int i = 0; i < LANES; i++) { /* beyond the row: nothing that counts, and no difference */
        bool there = n - n % LANES + i < n;
        tail_p[i] = there ? p[n - n % LANES + i] : (float)(most_p - 2000);
        tail_q[i] = there ? q[n - n % LANES + i] : (float)(most_q - 2000);
    }
    for (int v = 0; v < n; v += LANES) {
        lanes x, y, share, other;
        load(v + LANES <= n ? p + v : tail_p, most_p, &x);
        load(v + LANES <= n ? q + v : tail_q, most_q, &y);
        exponential(&x, &share);
        exponential(&y, &other);
        sum_p += share;
        sum_q += other;
        moved += share * (x - y);
    }
    out[0] = total(&sum_p);
    out[1] = total(&sum_q);
    out[2] = total(&moved);
}

static bool most_plain(const float *x, int n, float *most) { return most_of(x, n, most); }

static void sums_plain(const float *p, const float *q, int n, double a, double b, double out[3])
{
    sums(p, q, n, a, b, out);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static bool most_avx2(const float *x, int n, float *most)
{
    return most_of(x, n, most);
}

__attribute__((target("avx512f,avx512dq"))) static bool most_avx512(const float *x, int n, float *most)
{
    return most_of(x, n, most);
}

__attribute__((target("avx2"))) static void sums_avx2(
    const float *p, const float *q, int n, double a, double b, double out[3])
{
    sums(p, q, n, a, b, out);
}

__attribute__((target("avx512f,avx512dq"))) static void sums_avx512(
    const float *p, const float *q, int n, double a, double b, double out[3])
{
    sums(p, q, n, a, b, out);
}
#endif

bool lanes_most(const float *x, int n, float *most)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512dq")) return most_avx512(x, n, most);
    if (__builtin_cpu_supports("avx2")) return most_avx2(x, n, most);
#endif
    return most_plain(x, n, most);
}

void lanes_sums(const float *p, const float *q, int n, double most_p, double most_q, double *sum_p, double *sum_q,
    double *moved)
{
    double out[3];
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512dq"))
        sums_avx512(p, q, n, most_p, most_q, out);
    else if (__builtin_cpu_supports("avx2"))
        sums_avx2(p, q, n, most_p, most_q, out);
    else
#endif
        sums_plain(p, q, n, most_p, most_q, out);
    *sum_p = out[0];
    *sum_q = out[1];
    *moved = out[2];
}
