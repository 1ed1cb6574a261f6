/* The CUDA machine on the host, for tests: the plugin's kernels run here where there is no GPU.
 *
 * Every thread of a block is a fiber; blocks run one after another. Between two points where threads wait for each
 * other a fiber runs alone, so a race is not seen as it happens but by its outcome, and the emulator makes the
 * outcome as bad as the rules allow:
 *   - blocks, and threads that are ready, are taken in an order shuffled by EMU_SEED;
 *   - shared memory, static and dynamic, is filled with 0xff bytes before each block, device memory at cudaMalloc;
 *   - what a copy in flight (cp.async, TMA) will write is 0xff until the copy lands, and it lands only when a wait
 *     asks for it; wgmma's sums appear only at its wait;
 *   - what waits for ever ends the program with the kernel's name, the block, and who waits where;
 *   - memory beside an allocation is looked at after each launch, and the host cannot touch device memory at all;
 *   - with EMU_LAZY=1 a stream runs only when somebody waits for it, so that a staging buffer that is written again
 *     too early gives wrong results.
 * One host thread drives it. EMU_DEVICES, EMU_SM and EMU_MEMORY make it another machine; see device.cc. */
#ifndef EMU_H
#define EMU_H

#include "vector_types.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#define EMU_THREADS_MAX   1024
#define EMU_WARP          32
#define EMU_SHARED_MAX    (227 * 1024) /* a block's, when the kernel asked for it */
#define EMU_SHARED_PLAIN  (48 * 1024)  /* without asking */
#define EMU_STATIC_WINDOW (1u << 20)   /* shared addresses from here on are static variables */

using emu_where = std::source_location;

/* CUDA's built-in variables, of the fiber that runs now. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = EMU_WARP;

/* Ends the program with a sentence that names kernel, block and thread. */
[[noreturn]] void emu_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One launch: body() runs a thread of it. */
struct emu_kernel {
    const void *function; /* for its name */
    dim3 grid, block;
    size_t shared; /* dynamic bytes */
    std::function<void()> body;
};
void emu_run(const emu_kernel &kernel);
bool emu_in_kernel(void);

/* ---- threads that wait for each other ---- */

/* Waits until all threads that count have come. `mine` is this thread's data; the last to come calls complete() with
 * everybody's, NULL for who is not there, and then all go on: so results are written into the others' data. */
using emu_complete = void (*)(void *const *data, int count);

/* All lanes of the mask that have not left the kernel; count 32, by lane. */
void emu_warp(unsigned mask, const char *what, void *mine, emu_complete complete, emu_where where);
/* The 128 threads of a warpgroup. */
void emu_warpgroup(const char *what, void *mine, emu_complete complete, emu_where where);
/* Barrier 0..15; threads 0 = the whole block. count: by order of coming. */
void emu_barrier(int id, int threads, const char *what, void *mine, emu_complete complete, emu_where where);
/* Counts as one that came, and does not wait. */
void emu_barrier_arrive(int id, int threads, emu_where where);
/* Lets others run. */
void emu_yield(emu_where where);
/* Waits until ready(object); when nobody can run, land(object) may let things happen that make it so. */
void emu_wait(const char *what, void *object, bool (*ready)(void *), void (*land)(void *), emu_where where);

int emu_thread_number(void); /* in the block */
int emu_lane(void);

/* ---- shared memory ---- */

unsigned char *emu_dynamic_shared(void);
/* The shared window's address of a pointer into shared memory, as cvta gives it; dies for others. */
uint32_t emu_shared_address(const void *p);
/* And back; [address, address + bytes) must be inside what this block has. */
unsigned char *emu_shared_pointer(uint32_t address, size_t bytes);
/* Dies unless p is a multiple of bytes, and, with `shared`, in shared memory. */
void emu_check(const void *p, size_t align, size_t bytes, bool shared, const char *what);

#endif
