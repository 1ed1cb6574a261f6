/* A horizontal band of a picture in RGB. A figure is drawn once per band with the same calls; everything outside
 * the band is clipped, so no picture is ever held whole. Coordinates are pixels of the whole picture, y down. */
#ifndef RENDER_CANVAS_H
#define RENDER_CANVAS_H

#include "kernels/base.h"

struct canvas {
    int width;
    int top, rows; /* the band holds picture rows top .. top + rows - 1 */
    uint8_t *rgb;  /* [rows][width][3] */
};

/* Rectangle of one color 0xRRGGBB; empty when w or h <= 0. */
void canvas_fill(struct canvas *c, int x, int y, int w, int h, uint32_t rgb);

/* The same, hatched by thin diagonals in phase with the picture, so that neighbors join. */
void canvas_hatch(struct canvas *c, int x, int y, int w, int h, uint32_t rgb, uint32_t line);

/* Outline, one pixel, inside the rectangle. */
void canvas_frame(struct canvas *c, int x, int y, int w, int h, uint32_t rgb);

/* Lays color over one pixel; cover 0..255. */
void canvas_blend(struct canvas *c, int x, int y, uint32_t rgb, unsigned cover);

static inline bool canvas_sees(const struct canvas *c, int y, int h)
{
    return y < c->top + c->rows && y + h > c->top;
}

#endif
