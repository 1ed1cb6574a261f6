/* SHA-256 of bytes and files, as 64 hexadecimal digits. */
#ifndef KV_HASH_H
#define KV_HASH_H

#include "kernels/base.h"

enum kv_status hash_bytes(const void *data, size_t n, char out[65], struct kv_error *err);
/* Of a whole file. KV_IO. */
enum kv_status hash_file(const char *path, char out[65], struct kv_error *err);

/* Of several files as one: of the lines that `sha256sum` prints for them, each under its name without folder. The same as
 * `sha256sum NAME... | sha256sum` in their folder. KV_IO. */
enum kv_status hash_files(const char *const *path, int n, char out[65], struct kv_error *err);

#endif
