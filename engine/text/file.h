/* Small text files of a folder, read whole. */
#ifndef KV_TEXT_FILE_H
#define KV_TEXT_FILE_H

#include "kernels/base.h"

/* *out [*n], with a NUL behind it, is released by the caller. KV_NOT_FOUND: no such file. KV_IO: it cannot be read, is
 * no regular file, or is larger than 256 MiB. */
enum kv_status file_read(const char *folder, const char *name, char **out, size_t *n, struct kv_error *err);

#endif
