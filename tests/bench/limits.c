/* What this machine can do, the denominators of every share in the bench's table.
 *
 *     limits [THREADS]
 *
 * One line of name=value: read_gbs, bytes a second (1e9) of reading 256 MiB that no cache holds, one word of every
 * 64-byte line, four streams a thread, in huge pages; huge_mib of them the system gave; read_small_gbs, the same in
 * pages of 4 KiB, whose address translation costs up to half of it on a virtual machine; f32_gflops, bf16_gflops and
 * int8_gops, multiply-adds (two operations each) of registers alone, on twelve independent chains with the widest
 * instruction the CPU has, 0 where it has none. Each is the best of several runs: a ceiling, not an average. */
#include "kernels/base.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { READ_BYTES = 256 << 20, READ_RUNS = 12, STREAMS = 4, LINE = 64 };
enum { CHAINS = 12, PEAK_STEPS = 1500000, PEAK_RUNS = 6 };

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1: huge pages now, not when the system finds time */
#endif

static double huge_mib(void)
{
    char line[200];
    double kib = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "AnonHugePages: %lf", &kib);
    if (f) fclose(f);
    return kib / 1024;
}

/* Bytes a second, 1e9; *granted gets the MiB of huge pages. */
static double read_rate(int threads, bool huge, double *granted)
{
    char *data = mmap(NULL, READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return 0;
    madvise(data, READ_BYTES, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < READ_BYTES / sizeof(uint64_t); i++) ((uint64_t *)data)[i] = i;
    if (huge) madvise(data, READ_BYTES, MADV_COLLAPSE);
    *granted = huge_mib();
    double best = 0;
    uint64_t total = 0;
    for (int run = 0; run < READ_RUNS; run++) {
        double start = kv_now_us();
#pragma omp parallel num_threads(threads) reduction(+ : total)
        {
            size_t share = READ_BYTES / (size_t)omp_get_num_threads(), stream = share / STREAMS / LINE * LINE;
            const char *p = data + (size_t)omp_get_thread_num() * share;
            for (size_t i = 0; i < stream; i += LINE)
                for (size_t s = 0; s < STREAMS; s++) total += *(const volatile uint64_t *)(p + s * stream + i);
        }
        double rate = READ_BYTES / (kv_now_us() - start) * 1e-3;
        best = rate > best ? rate : best;
    }
    munmap(data, READ_BYTES);
    return total ? best : 0;
}

#if defined(__x86_64__)
/* Twelve accumulators, the thirteenth register as both operands, all zero. */
#define REGISTERS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define CLEAR(i)     "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define FMA_512(i)   "vfmadd231ps %%zmm12, %%zmm12, %%zmm" #i "\n\t"
#define FMA_256(i)   "vfmadd231ps %%ymm12, %%ymm12, %%ymm" #i "\n\t"
#define BF16_512(i)  "vdpbf16ps %%zmm12, %%zmm12, %%zmm" #i "\n\t"
#define INT8_512(i)  "vpdpbusd %%zmm12, %%zmm12, %%zmm" #i "\n\t"
#define LOOP(name, instruction)                                                                                    \
    static void name(void)                                                                                         \
    {                                                                                                              \
        long steps = PEAK_STEPS;                                                                                   \
        __asm__ volatile(REGISTERS(CLEAR) CLEAR(12) "1:\n\t" REGISTERS(instruction) "dec %0\n\tjnz 1b\n\t"         \
                                                                                    "vzeroupper"                   \
                         : "+r"(steps)                                                                             \
                         :                                                                                         \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",   \
                         "xmm10", "xmm11", "xmm12");                                                               \
    }
LOOP(fma_512, FMA_512)
LOOP(fma_256, FMA_256)
LOOP(bf16_512, BF16_512)
LOOP(int8_512, INT8_512)

/* 1e9 operations a second; each instruction of the loop does `operations`. */
static double peak(int threads, void (*loop)(void), int operations)
{
    double best = 0;
    for (int run = 0; run < PEAK_RUNS; run++) {
        double start = kv_now_us();
#pragma omp parallel num_threads(threads)
        loop();
        double rate = (double)threads * PEAK_STEPS * CHAINS * operations / (kv_now_us() - start) * 1e-3;
        best = rate > best ? rate : best;
    }
    return best;
}
#endif

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    double f32 = 0, bf16 = 0, int8 = 0;
    if (threads < 1) return fprintf(stderr, "Threads must be 1 or more.\n"), 2;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        f32 = peak(threads, fma_512, 32);
    else if (__builtin_cpu_supports("fma"))
        f32 = peak(threads, fma_256, 16);
    if (__builtin_cpu_supports("avx512bf16")) bf16 = peak(threads, bf16_512, 64);
    if (__builtin_cpu_supports("avx512vnni")) int8 = peak(threads, int8_512, 128);
#endif
    double granted, none, read = read_rate(threads, true, &granted), small = read_rate(threads, false, &none);
    printf("threads=%d read_gbs=%.2f huge_mib=%.0f read_small_gbs=%.2f f32_gflops=%.1f bf16_gflops=%.1f "
           "int8_gops=%.1f\n",
        threads, read, granted, small, f32, bf16, int8);
    return 0;
}
