/* Pictures into files: titles, axes with token text, recipe. */
#ifndef KV_FIGURES_H
#define KV_FIGURES_H

#include "inspector/picture/picture.h"

/* Draws p into a PNG file of that name. */
enum kv_status figures_draw(struct session *s, const struct picture *p, const char *path);

#endif
