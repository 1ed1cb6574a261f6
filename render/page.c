/* Head, legend, axes, bands. */
#include "render/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/palette.h"

enum { BAND_ROWS = 64, TICK = 4, TITLE_LINE = 26, SUBTITLE_LINE = 20, HEAD_GAP = 12 };

const struct text_style page_title = { TEXT_BOLD, 17, 0x1a1a1a };
const struct text_style page_body = { TEXT_SANS, 13, 0x1a1a1a };
const struct text_style page_muted = { TEXT_SANS, 12, 0x5f6770 };
const struct text_style page_tick = { TEXT_SANS, 12, 0x3a4047 };

enum kv_status page_open(struct page *p, const struct figure_view *view, struct kv_error *err)
{
    memset(p, 0, sizeof *p);
    p->view = view;
    enum kv_status status = text_open(&p->text, view->fonts, err);
    if (!status && view->title) status = page_note(p, "Title", view->title, err);
    for (size_t i = 0; i < view->note_count && !status; i++)
        status = page_note(p, view->notes[i].key, view->notes[i].text, err);
    if (status) page_close(p);
    return status;
}

void page_close(struct page *p)
{
    text_close(p->text);
    p->text = NULL;
}

enum kv_status page_note(struct page *p, const char *key, const char *text, struct kv_error *err)
{
    if (p->note_count == PAGE_NOTES)
        return kv_fail(err, KV_BAD_ARG, "A picture takes at most %d notes.", PAGE_NOTES);
    p->notes[p->note_count++] = (struct png_note){ key, text };
    return KV_OK;
}

static bool given(const char *text) { return text && *text; }

int page_head_height(const struct page *p)
{
    int lines = (given(p->view->title) ? TITLE_LINE : 0) + (given(p->view->subtitle) ? SUBTITLE_LINE : 0);
    return PAGE_PAD + (lines ? lines + HEAD_GAP - 4 : 0);
}

int page_head_width(const struct page *p)
{
    int title = given(p->view->title) ? text_width(p->text, page_title, p->view->title) : 0;
    int subtitle = given(p->view->subtitle) ? text_width(p->text, page_muted, p->view->subtitle) : 0;
    int want = 2 * PAGE_PAD + (title > subtitle ? title : subtitle);
    return want < PAGE_MIN_WIDTH ? PAGE_MIN_WIDTH : want > PAGE_MAX_HEAD ? PAGE_MAX_HEAD : want;
}

static void head_line(const struct page *p, struct canvas *c, struct text_style style, int y, const char *text)
{
    char cut[1024];
    text_cut(p->text, style, text, p->width - 2 * PAGE_PAD, cut, sizeof cut);
    text_draw(p->text, c, style, PAGE_PAD, y, TEXT_LEFT, false, cut);
}

void page_draw_head(const struct page *p, struct canvas *c)
{
    int y = PAGE_PAD;
    if (given(p->view->title)) {
        head_line(p, c, page_title, y + 7, p->view->title);
        y += TITLE_LINE;
    }
    if (given(p->view->subtitle)) head_line(p, c, page_muted, y + 5, p->view->subtitle);
}

int page_legend(const struct page *p, struct canvas *c, int x, int y, enum color_role role)
{
    return page_legend_as(p, c, x, y, role, color_roles[role].name);
}

int page_legend_as(const struct page *p, struct canvas *c, int x, int y, enum color_role role, const char *name)
{
    const struct color_look *look = &color_roles[role];
    if (c && role == COLOR_EVICTED)
        canvas_hatch(c, x, y - 6, 14, 12, look->rgb, color_roles[COLOR_HATCH].rgb);
    else if (c && role == COLOR_REQUESTED)
        canvas_fill(c, x + 6, y - 7, 3, 14, look->rgb);
    else if (c && role == COLOR_USED)
        canvas_fill(c, x, y - 3, 14, 6, look->rgb);
    else if (c)
        canvas_fill(c, x, y - 6, 14, 12, look->rgb);
    if (c && (role == COLOR_EVICTED || role == COLOR_NODATA))
        canvas_frame(c, x, y - 6, 14, 12, color_roles[COLOR_HATCH].rgb);
    if (c) text_draw(p->text, c, page_tick, x + 20, y, TEXT_LEFT, false, name);
    return x + 20 + text_width(p->text, page_tick, name) + 18;
}

/* "label  12": the index is next to the axis. Numbers alone where the axis has no labels. */
static void tick_text(const struct page *p, const struct page_axis *a, size_t index, char *out, size_t size)
{
    char cut[256] = "";
    const char *label = a->labels ? a->axis->labels[index] : NULL;
    if (label) text_cut(p->text, page_tick, label, PAGE_LABEL, cut, sizeof cut);
    snprintf(out, size, "%s%s%zu", cut, *cut ? "  " : "", a->axis->first + index);
}

static size_t nice_step(double least) { return least <= 1 ? 1 : (size_t)llround(scale_nice(least)); }

/* First index whose number is a multiple of the step. */
static size_t first_tick(const struct page_axis *a) { return (a->step - a->axis->first % a->step) % a->step; }

void page_axis_fit(const struct page *p, struct page_axis *a)
{
    double pixels = (double)a->size / (double)a->per; /* of one index */
    char text[400];
    a->labels = a->axis->labels != NULL;
    snprintf(text, sizeof text, "%zu", a->axis->first + a->count - 1);
    int number = text_width(p->text, page_tick, text);
    double least = a->down || a->labels ? 15 : number + 14;
    a->step = nice_step(least / pixels);
    /* Where not every index fits, numbers alone look better with air between them. */
    if (a->step > 1 && !a->labels) a->step = nice_step(2 * least / pixels);
    a->room = a->down ? number : 10;
    for (size_t i = first_tick(a); a->labels && i < a->count; i += a->step) {
        tick_text(p, a, i, text, sizeof text);
        int width = text_width(p->text, page_tick, text);
        if (width > a->room) a->room = width;
    }
    a->room += TICK + 6;
}

void page_axis_draw(const struct page *p, struct canvas *c, const struct page_axis *a, int across)
{
    uint32_t line = color_roles[COLOR_AXIS].rgb;
    char text[400];
    for (size_t i = first_tick(a); i < a->count; i += a->step) {
        int middle = a->start + (int)(i / a->per) * a->size + a->size / 2;
        if (a->down && !canvas_sees(c, middle - 10, 20)) continue;
        if (!a->down && !canvas_sees(c, across, a->room + 10)) continue;
        tick_text(p, a, i, text, sizeof text);
        if (a->down) {
            canvas_fill(c, across - TICK, middle, TICK, 1, line);
            text_draw(p->text, c, page_tick, across - TICK - 4, middle, TEXT_RIGHT, false, text);
        } else {
            canvas_fill(c, middle, across, 1, TICK, line);
            if (a->labels)
                text_draw(p->text, c, page_tick, middle, across + TICK + 4, TEXT_RIGHT, true, text);
            else
                text_draw(p->text, c, page_tick, middle, across + TICK + 10, TEXT_CENTER, false, text);
        }
    }
}

static enum kv_status write_band(
    struct png_writer *w, const struct canvas *band, struct palette *palette, uint8_t *row, struct kv_error *err)
{
    const uint8_t *pixel = band->rgb;
    enum kv_status status = KV_OK;
    for (int y = 0; y < band->rows && !status; y++) {
        for (int x = 0; x < band->width; x++, pixel += 3)
            row[x] = palette_index(palette, (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2]);
        status = png_writer_row(w, row, err);
    }
    return status;
}

enum kv_status page_write(
    struct page *p, const char *path, void (*draw)(void *ctx, struct canvas *c), void *ctx, struct kv_error *err)
{
    struct palette palette;
    struct png_shape shape = { .width = (size_t)p->width,
        .height = (size_t)p->height,
        .kind = PNG_PALETTE,
        .palette = palette.color,
        .notes = p->notes,
        .note_count = p->note_count };
    struct canvas band = { .width = p->width };
    struct png_writer *w = NULL;
    palette_fill(&palette, p->map);
    shape.colors = palette.colors;
    band.rgb = kv_alloc(BAND_ROWS, shape.width * 3);
    uint8_t *row = kv_alloc(1, shape.width);
    enum kv_status status = KV_OK;
    if (!band.rgb || !row)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for %d rows of %d pixels.", BAND_ROWS, p->width);
    if (!status) status = png_writer_open(&w, path, &shape, err);
    for (; band.top < p->height && !status; band.top += BAND_ROWS) {
        band.rows = p->height - band.top < BAND_ROWS ? p->height - band.top : BAND_ROWS;
        memset(band.rgb, 255, (size_t)band.rows * shape.width * 3);
        draw(ctx, &band);
        status = write_band(w, &band, &palette, row, err);
    }
    if (!status) {
        status = png_writer_commit(w, err);
        w = NULL;
    }
    png_writer_abandon(w);
    free(row);
    free(band.rgb);
    return status;
}
