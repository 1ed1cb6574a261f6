/* What the emulator's own files need of each other. */
#ifndef EMU_FIBER_H
#define EMU_FIBER_H

#include <cstddef>

/* Fills shared memory with 0xff; `dynamic` bytes may be used. */
void emu_shared_begin(size_t dynamic);
/* A block of so many threads starts; a thread leaves the kernel. */
void emu_async_begin(int threads);
void emu_async_exit(int thread);
void emu_tensor_begin(int threads);
void emu_tensor_exit(int thread);
/* The source name of a kernel. */
void emu_function_name(const void *function, char *name, size_t size);

#endif
