/* Files that appear whole or not at all: bytes go to a temporary name in the same folder, are flushed and synced,
 * then renamed. Whatever fails, the temporary is removed and an older file of that name stays as it was. */
#ifndef RENDER_FILE_H
#define RENDER_FILE_H

#include <stdio.h>

#include "kernels/base.h"

/* Zeroed = closed. The strings are owned. */
struct file_out {
    FILE *stream;
    char *path; /* where it will be; a link is followed */
    char *temp;
};

/* KV_IO with a reason the user can act on: no such folder, no permission, a directory, not a regular file. */
enum kv_status file_open(struct file_out *f, const char *path, struct kv_error *err);
enum kv_status file_write(struct file_out *f, const void *data, size_t bytes, struct kv_error *err);

/* Closes and renames; on failure it has abandoned. */
enum kv_status file_commit(struct file_out *f, struct kv_error *err);

/* Drops what was written; harmless on a closed one. */
void file_abandon(struct file_out *f);

#endif
