/* Each cell is its ground and its character; a wide one takes two. */
#include "render/shot.h"

#include <math.h>
#include <stdlib.h>

#include "render/png_writer.h"
#include "render/text.h"
#include "render/utf8.h"

enum { CELL_WIDTH = 8, CELL_HEIGHT = 17, EM = 13 };

#define GROUND 0x15171a

static uint32_t ground_of(const struct screen_cell *c)
{
    return c->map ? color_maps[c->map - 1].rgb[c->value] : GROUND;
}

static uint32_t text_of(const struct screen_cell *c)
{
    if (c->map) return color_is_light(ground_of(c)) ? 0x101010 : 0xf4f4f4;
    uint32_t rgb = color_xterm(color_roles[c->role].xterm);
    if (!(c->attr & (SCREEN_DIM | SCREEN_STRUCK))) return rgb;
    uint32_t dim = 0;
    for (int shift = 0; shift < 24; shift += 8) /* half way to the ground */
        dim |= (((rgb >> shift & 255) + (GROUND >> shift & 255)) / 2) << shift;
    return dim;
}

static void draw_cell(struct canvas *band, struct text *fonts, const struct screen_cell *c, int x, bool wide)
{
    uint32_t ground = ground_of(c), ink = text_of(c);
    bool reversed = c->attr & SCREEN_REVERSE;
    int width = wide ? 2 * CELL_WIDTH : CELL_WIDTH;
    struct text_style style = { TEXT_MONO, EM, reversed ? ground : ink };
    char utf8[12];
    size_t n = utf8_put(c->code, utf8);
    if (c->mark) n += utf8_put(c->mark, utf8 + n);
    utf8[n] = '\0';
    canvas_fill(band, x, 0, width, CELL_HEIGHT, reversed ? ink : ground);
    if (c->code != ' ') text_draw(fonts, band, style, x, CELL_HEIGHT / 2, TEXT_LEFT, false, utf8);
    if (c->attr & SCREEN_UNDERLINE) canvas_fill(band, x, CELL_HEIGHT - 2, width, 1, style.rgb);
    if (c->attr & SCREEN_STRUCK) canvas_fill(band, x, CELL_HEIGHT / 2, width, 1, style.rgb);
}

enum kv_status shot_write(const struct screen *s, const char *path, struct kv_error *err)
{
    struct png_shape shape = { .width = (size_t)s->cols * CELL_WIDTH, .height = (size_t)s->rows * CELL_HEIGHT };
    struct canvas band = { .width = s->cols * CELL_WIDTH, .rows = CELL_HEIGHT };
    struct text *fonts = NULL;
    struct png_writer *w = NULL;
    enum kv_status st = text_open(&fonts, NULL, err);
    band.rgb = kv_alloc(shape.width * CELL_HEIGHT, 3);
    if (!st && !band.rgb) st = kv_fail(err, KV_NO_MEMORY, "No memory for a picture of %d columns.", s->cols);
    if (!st) st = png_writer_open(&w, path, &shape, err);
    for (int r = 0; r < s->rows && !st; r++) {
        const struct screen_cell *row = s->cell + (size_t)r * (size_t)s->cols;
        for (int c = 0; c < s->cols; c++)
            if (row[c].code) draw_cell(&band, fonts, &row[c], c * CELL_WIDTH, c + 1 < s->cols && !row[c + 1].code);
        for (int y = 0; y < CELL_HEIGHT && !st; y++)
            st = png_writer_row(w, band.rgb + (size_t)y * shape.width * 3, err);
    }
    if (st)
        png_writer_abandon(w);
    else
        st = png_writer_commit(w, err);
    free(band.rgb);
    text_close(fonts);
    return st;
}
