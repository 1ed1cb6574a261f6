/* What all figures share, inside render/ only: type sizes, the head (title, subtitle), axes with round numbers, and
 * writing a page band by band. */
#ifndef RENDER_PAGE_H
#define RENDER_PAGE_H

#include "render/color.h"
#include "render/figure.h"
#include "render/text.h"

enum {
    PAGE_PAD = 20,        /* white around everything */
    PAGE_MIN_WIDTH = 400, /* so that a title and a legend have room beside a tiny matrix */
    PAGE_MAX_HEAD = 1000, /* a title may widen the page up to here, then it is cut */
    PAGE_LABEL = 120,     /* pixels a label may take */
    PAGE_NOTES = 64,
};

extern const struct text_style page_title, page_body, page_muted, page_tick;

struct page {
    const struct figure_view *view;
    const struct color_map *map; /* NULL: a page without one */
    struct text *text;
    int width, height;                 /* set by the figure before page_write */
    struct png_note notes[PAGE_NOTES]; /* the view's and the figure's own; the texts are borrowed */
    size_t note_count;
};

/* Opens fonts and takes over the view's notes. */
enum kv_status page_open(struct page *p, const struct figure_view *view, struct kv_error *err);
void page_close(struct page *p);
enum kv_status page_note(struct page *p, const char *key, const char *text, struct kv_error *err);

/* Pixels from the top to below the head; the width that the head would like. */
int page_head_height(const struct page *p);
int page_head_width(const struct page *p);
void page_draw_head(const struct page *p, struct canvas *c);

/* A swatch and a name, drawn from x on, the middle at y; gives the x after it. With c NULL it only measures. */
int page_legend(const struct page *p, struct canvas *c, int x, int y, enum color_role role);
/* The same, for a page where the class has another name. */
int page_legend_as(const struct page *p, struct canvas *c, int x, int y, enum color_role role, const char *name);

/* A row or column of `cells` cells of `size` pixels, each `per` indices of `count`, with index numbers and labels.
 */
struct page_axis {
    const struct figure_axis *axis;
    size_t cells, per, count;
    int start, size; /* first pixel, pixels a cell */
    bool down;       /* along y */
    /* page_axis_fit sets: */
    size_t step; /* indices from tick to tick */
    bool labels; /* draws labels */
    int room;    /* pixels that the ticks take across the axis */
};
void page_axis_fit(const struct page *p, struct page_axis *a);

/* Draws ticks outward from `across` (x of the left edge, or y of the lower edge). */
void page_axis_draw(const struct page *p, struct canvas *c, const struct page_axis *a, int across);

/* Draws the page in bands by calling draw, and writes the file. */
enum kv_status page_write(
    struct page *p, const char *path, void (*draw)(void *ctx, struct canvas *c), void *ctx, struct kv_error *err);

#endif
