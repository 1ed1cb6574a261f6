/* What kernels/cuda/ptx.cuh calls where nvcc would see assembly; operands and fragments as the PTX ISA has them. */
#ifndef EMU_PTX_H
#define EMU_PTX_H

#include "emu.h"

#define EMU_WHERE emu_where where = emu_where::current()

/* ---- warp matrices: all 32 lanes ---- */

/* 1, 2 or 4 matrices of 8x8 16-bit elements; `row` is this lane's row address (lanes 0-7 for matrix 0, ...). */
void emu_ldmatrix(uint32_t *r, int matrices, const void *row, bool transposed, EMU_WHERE);
void emu_stmatrix(const uint32_t *r, int matrices, void *row, bool transposed, EMU_WHERE);
static inline void emu_ldmatrix_x4(uint32_t *r, const void *row, bool transposed, EMU_WHERE)
{
    emu_ldmatrix(r, 4, row, transposed, where);
}
static inline void emu_ldmatrix_x2(uint32_t *r, const void *row, bool transposed, EMU_WHERE)
{
    emu_ldmatrix(r, 2, row, transposed, where);
}
static inline void emu_stmatrix_x4(const uint32_t *r, void *row, bool transposed, EMU_WHERE)
{
    emu_stmatrix(r, 4, row, transposed, where);
}
/* c[4] f32 += a[4] b[2], bf16 or f16; m16n8k8 has a[2], b[1]. */
void emu_mma_m16n8k16(float *c, const uint32_t *a, const uint32_t *b, bool bf16, EMU_WHERE);
void emu_mma_m16n8k8(float *c, const uint32_t *a, const uint32_t *b, bool bf16, EMU_WHERE);
/* c[4] s32 += a[4] b[2], s8, m16n8k32 */
void emu_mma_m16n8k32_s8(int32_t *c, const uint32_t *a, const uint32_t *b, EMU_WHERE);

/* ---- cp.async ---- */

/* size 4, 8 or 16; the first `take` bytes come from `from`, the others are zero. */
void emu_cp_async(void *to, const void *from, int size, int take);
void emu_cp_async_commit(void);
/* All but the last `groups` committed groups have landed; -1: wait_all. */
void emu_cp_async_wait(int groups);

/* ---- mbarrier ---- */

void emu_mbarrier_init(void *barrier, unsigned count);
void emu_mbarrier_inval(void *barrier);
void emu_mbarrier_arrive(void *barrier, unsigned count = 1);
void emu_mbarrier_expect_tx(void *barrier, unsigned bytes);
static inline void emu_mbarrier_arrive_expect_tx(void *barrier, unsigned bytes)
{
    emu_mbarrier_expect_tx(barrier, bytes);
    emu_mbarrier_arrive(barrier);
}
/* Arrives when this thread's cp.asyncs so far have landed (noinc). */
void emu_cp_async_mbarrier_arrive(void *barrier);
/* Waits until the phase of this parity is over; always true. */
bool emu_mbarrier_try_wait(void *barrier, unsigned parity, EMU_WHERE);
static inline void emu_mbarrier_wait(void *barrier, unsigned parity, EMU_WHERE)
{
    emu_mbarrier_try_wait(barrier, parity, where);
}
/* Says whether it is, and lets others run. */
bool emu_mbarrier_test_wait(void *barrier, unsigned parity, EMU_WHERE);

/* ---- TMA ---- */

/* cp.async.bulk: bytes and addresses are multiples of 16. */
void emu_bulk_load(void *to, const void *from, unsigned bytes, void *barrier);
void emu_bulk_store(void *to, const void *from, unsigned bytes);
/* cp.async.bulk.tensor: coordinates with the innermost first; a CUtensorMap from cuTensorMapEncodeTiled. */
void emu_tma_load(void *to, const void *map, const int *coordinate, int dims, void *barrier);
void emu_tma_store(const void *map, const int *coordinate, int dims, const void *from);
static inline void emu_tma_load_2d(void *to, const void *map, void *barrier, int c0, int c1)
{
    const int c[] = { c0, c1 };
    emu_tma_load(to, map, c, 2, barrier);
}
static inline void emu_tma_load_3d(void *to, const void *map, void *barrier, int c0, int c1, int c2)
{
    const int c[] = { c0, c1, c2 };
    emu_tma_load(to, map, c, 3, barrier);
}
static inline void emu_tma_load_4d(void *to, const void *map, void *barrier, int c0, int c1, int c2, int c3)
{
    const int c[] = { c0, c1, c2, c3 };
    emu_tma_load(to, map, c, 4, barrier);
}
void emu_bulk_commit(void);
/* All but the last `groups` groups of stores are done, or with `read` have read their source. */
void emu_bulk_wait(int groups, bool read);

/* ---- wgmma: all 128 threads of a warpgroup ---- */

/* d[n/2] f32 (+)= A[64][16] B[16][n], bf16 or f16. scale_d false: d is replaced. A from shared memory by its
 * descriptor, or (a not NULL) from registers a[4]. transposed_*: MN-major. The sums are there after the wait. */
void emu_wgmma(float *d, int n, const uint32_t *a, uint64_t desc_a, uint64_t desc_b, bool scale_d, bool bf16,
    bool transposed_a, bool transposed_b, EMU_WHERE);
static inline void emu_wgmma_ss(float *d, int n, uint64_t desc_a, uint64_t desc_b, bool scale_d, bool bf16,
    bool transposed_a, bool transposed_b, EMU_WHERE)
{
    emu_wgmma(d, n, NULL, desc_a, desc_b, scale_d, bf16, transposed_a, transposed_b, where);
}
static inline void emu_wgmma_rs(
    float *d, int n, const uint32_t *a, uint64_t desc_b, bool scale_d, bool bf16, bool transposed_b, EMU_WHERE)
{
    emu_wgmma(d, n, a, 0, desc_b, scale_d, bf16, false, transposed_b, where);
}
void emu_wgmma_commit(void);
void emu_wgmma_wait(int groups, EMU_WHERE);

/* ---- what has no effect here, but must be said on the machine ---- */

static inline void emu_wgmma_fence(void) {}
static inline void emu_fence_proxy_async(void) {}
static inline void emu_fence_mbarrier_init(void) {}
static inline void emu_setmaxnreg(int) {}
static inline void emu_griddepcontrol_wait(void) {}
static inline void emu_griddepcontrol_launch_dependents(void) {}
static inline void emu_prefetch_tensormap(const void *) {}
/* One lane of the warp says true; all of them must ask. */
bool emu_elect_sync(unsigned mask = 0xffffffffu, EMU_WHERE);

static inline void emu_named_barrier_sync(int id, int threads, EMU_WHERE)
{
    emu_barrier(id, threads, "bar.sync", NULL, NULL, where);
}
static inline void emu_named_barrier_arrive(int id, int threads, EMU_WHERE)
{
    emu_barrier_arrive(id, threads, where);
}

#endif
