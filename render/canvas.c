/* Clipped drawing into a band. */
#include "render/canvas.h"

static uint8_t *at(struct canvas *c, int x, int y)
{
    return c->rgb + ((size_t)(y - c->top) * (size_t)c->width + (size_t)x) * 3;
}

static void put(uint8_t *p, uint32_t rgb)
{
    p[0] = (uint8_t)(rgb >> 16);
    p[1] = (uint8_t)(rgb >> 8);
    p[2] = (uint8_t)rgb;
}

static int larger(int a, int b) { return a > b ? a : b; }
static int smaller(int a, int b) { return a < b ? a : b; }

void canvas_hatch(struct canvas *c, int x, int y, int w, int h, uint32_t rgb, uint32_t line)
{
    enum { EVERY = 6 };
    int left = larger(x, 0), right = smaller(x + w, c->width);
    int last = smaller(y + h, c->top + c->rows);
    for (int row = larger(y, c->top); row < last; row++) {
        for (int col = left; col < right; col++) put(at(c, col, row), (row + col) % EVERY ? rgb : line);
    }
}

void canvas_fill(struct canvas *c, int x, int y, int w, int h, uint32_t rgb)
{
    canvas_hatch(c, x, y, w, h, rgb, rgb);
}

void canvas_frame(struct canvas *c, int x, int y, int w, int h, uint32_t rgb)
{
    canvas_fill(c, x, y, w, 1, rgb);
    canvas_fill(c, x, y + h - 1, w, 1, rgb);
    canvas_fill(c, x, y, 1, h, rgb);
    canvas_fill(c, x + w - 1, y, 1, h, rgb);
}

void canvas_blend(struct canvas *c, int x, int y, uint32_t rgb, unsigned cover)
{
    if (x < 0 || x >= c->width || y < c->top || y >= c->top + c->rows || !cover) return;
    uint8_t *p = at(c, x, y);
    for (int i = 0; i < 3; i++) {
        unsigned ink = rgb >> (16 - 8 * i) & 255;
        p[i] = (uint8_t)((p[i] * (255 - cover) + ink * cover + 127) / 255);
    }
}
