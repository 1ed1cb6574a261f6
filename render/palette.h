/* The palette of a page, inside render/ only: the class colors, greys for text, and the map in 192 steps. Pixels
 * are drawn in RGB (text blends) and take the nearest entry when a row is written: a third of the bytes of RGB. */
#ifndef RENDER_PALETTE_H
#define RENDER_PALETTE_H

#include "render/color.h"

enum { PALETTE_MAP = 192, PALETTE_GREYS = 46, PALETTE_SLOTS = 4096 };

struct palette {
    uint32_t color[PALETTE_MAP + PALETTE_GREYS + COLOR_ROLES];
    size_t colors;
    struct {
        uint32_t rgb;
        int index;         /* 1-based; 0 = empty */
    } slot[PALETTE_SLOTS]; /* answers so far, by hash */
};

/* map may be NULL: a page without one. */
void palette_fill(struct palette *p, const struct color_map *map);

/* Index of the nearest color to 0xRRGGBB. */
uint8_t palette_index(struct palette *p, uint32_t rgb);

#endif
