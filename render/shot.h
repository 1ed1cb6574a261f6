/* A screen as a picture: what a terminal of 256 colors would show, a cell of 8 x 17 pixels. */
#ifndef RENDER_SHOT_H
#define RENDER_SHOT_H

#include "render/screen.h"

/* Writes a PNG; equal screens give equal bytes. KV_NOT_FOUND without fonts (render/text.h), KV_IO. */
enum kv_status shot_write(const struct screen *s, const char *path, struct kv_error *err);

#endif
