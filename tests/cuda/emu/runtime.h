/* What the emulated runtime's files share: device memory, and the queue of a stream. */
#ifndef EMU_RUNTIME_H
#define EMU_RUNTIME_H

#include "cuda_runtime.h"

#include <memory>

/* Runs now, or is recorded while the stream captures, or (EMU_LAZY=1) waits until somebody waits for it. */
void emu_submit(cudaStream_t stream, std::function<void()> work);
/* All that waits in all streams. */
void emu_drain(void);
/* Whether some stream captures; what is forbidden then invalidates the capture and returns true. */
bool emu_forbidden_now(void);
bool emu_lazy(void);

/* EMU_FAULT=N: the Nth kernel since the start touches memory that is not there. Nothing runs any more then, and every
 * call fails with cudaErrorIllegalAddress. */
bool emu_lost(void);

/* Keeps the error for cudaGetLastError. */
cudaError_t emu_failed(cudaError_t error);

/* Device memory can be touched only between these; they nest. */
void emu_open_memory(void);
void emu_close_memory(void);
bool emu_is_device(const void *p);
bool emu_is_pinned(const void *p);
/* Whether the bytes lie inside one allocation. */
bool emu_is_inside(const void *p, size_t bytes);
/* Dies when somebody wrote beside an allocation; `after` says who. */
void emu_check_memory(const void *kernel);

#endif
