/* Budgets by layer: one row a layer, applied as a bar, used as a darker bar inside it, requested as a mark, and the
 * numbers in columns beside them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/page.h"

enum { BARS = 520, COLUMN_GAP = 18, MARKS = 3, COLUMNS = 4, TICKS = 12 };

struct budget {
    struct page page;
    const struct figure_budget *data;
    struct scale scale;
    struct scale_tick tick[TICKS];
    size_t ticks;
    struct page_axis rows;
    int x, y, row_h, bottom; /* bars: left, top, pixels a layer, below the last */
    int right[COLUMNS];      /* right edges of the number columns, 0 = absent */
};

static const enum color_role mark[MARKS] = { COLOR_APPLIED, COLOR_USED, COLOR_REQUESTED };
static const struct text_style number = { TEXT_SANS, 11, 0x1a1a1a }, total = { TEXT_BOLD, 11, 0x1a1a1a };

static const double *column(const struct figure_budget *d, size_t k)
{
    return (const double *const[COLUMNS]){ d->requested, d->applied, d->used, d->bytes }[k];
}

static const char *column_name(size_t k)
{
    static const char *const name[COLUMNS] = { "requested", "applied", "used", "bytes" };
    return name[k];
}

static void number_text(size_t k, double v, char *out, size_t size)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t u = 0;
    if (!isfinite(v))
        snprintf(out, size, "–");
    else if (k < 3)
        snprintf(out, size, "%.0f", v);
    else {
        while (v >= 1024 && u + 1 < KV_COUNT(unit)) v /= 1024, u++;
        snprintf(out, size, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    }
}

static double sum_of(const struct budget *b, size_t k)
{
    double sum = 0;
    for (size_t l = 0; l < b->data->layers; l++) {
        double v = column(b->data, k)[l];
        if (isfinite(v)) sum += v;
    }
    return sum;
}

static enum kv_status fit(struct budget *b, struct kv_error *err)
{
    struct scale_view view = { .fixed_min = true };
    enum kv_status status = scale_open(&b->scale, &view, err);
    for (size_t k = 0; k < MARKS && !status; k++) {
        for (size_t l = 0; column(b->data, k) && l < b->data->layers; l++) {
            double v = column(b->data, k)[l];
            if (v < 0) return kv_fail(err, KV_BAD_ARG, "Layer %zu has a budget of %g tokens.", l, v);
            scale_add(&b->scale, &(float){ (float)v }, 1);
        }
    }
    if (!status) status = scale_fit(&b->scale, err);
    if (status) return status;
    double step = scale_nice(fmax(b->scale.high, 1) / 6);
    b->scale.high = step * ceil(fmax(b->scale.high, 1) / step); /* the axis ends at a tick */
    b->ticks = scale_ticks(&b->scale, 6, true, b->tick, TICKS);
    return KV_OK;
}

static int column_width(const struct budget *b, size_t k)
{
    char text[32];
    int widest = text_width(b->page.text, page_muted, column_name(k));
    for (size_t l = 0; l <= b->data->layers; l++) {
        number_text(k, l < b->data->layers ? column(b->data, k)[l] : sum_of(b, k), text, sizeof text);
        int width = text_width(b->page.text, total, text);
        if (width > widest) widest = width;
    }
    return widest;
}

static void lay_out(struct budget *b)
{
    struct page *p = &b->page;
    size_t layers = b->data->layers;
    b->row_h = layers <= 48 ? 20 : layers <= 96 ? 16 : 8;
    b->rows = (struct page_axis){ &p->view->y, layers, 1, layers, 0, b->row_h, true, 0, false, 0 };
    page_axis_fit(p, &b->rows);
    b->x = PAGE_PAD + (p->view->y.title ? 20 : 0) + b->rows.room;
    b->y = page_head_height(p) + 30;
    b->rows.start = b->y;
    b->bottom = b->y + b->row_h * (int)layers;
    int x = b->x + BARS + 6;
    for (size_t k = 0; k < COLUMNS; k++) {
        if (!column(b->data, k)) continue;
        x += COLUMN_GAP + column_width(b, k);
        b->right[k] = x;
    }
    int head = page_head_width(p);
    p->width = x + PAGE_PAD > head ? x + PAGE_PAD : head;
    p->height = b->bottom + 50 + PAGE_PAD;
}

static int place(const struct budget *b, double v) { return (int)lround(scale_unit(&b->scale, v) * (BARS - 1)); }

static void draw_layer(const struct budget *b, struct canvas *c, size_t l, int y)
{
    const struct figure_budget *d = b->data;
    int h = b->row_h;
    if (d->applied && isfinite(d->applied[l]))
        canvas_fill(c, b->x, y + 2, place(b, d->applied[l]) + 1, h - 4, color_roles[COLOR_APPLIED].rgb);
    if (d->used && isfinite(d->used[l]))
        canvas_fill(c, b->x, y + h / 3, place(b, d->used[l]) + 1, h - 2 * (h / 3), color_roles[COLOR_USED].rgb);
    if (d->requested && isfinite(d->requested[l]))
        canvas_fill(c, b->x + place(b, d->requested[l]) - 1, y + 1, 3, h - 2, color_roles[COLOR_REQUESTED].rgb);
    for (size_t k = 0; k < COLUMNS && l % b->rows.step == 0; k++) {
        char text[32];
        if (!b->right[k]) continue;
        number_text(k, column(d, k)[l], text, sizeof text);
        text_draw(b->page.text, c, number, b->right[k], y + h / 2, TEXT_RIGHT, false, text);
    }
}

static void draw_frame(const struct budget *b, struct canvas *c)
{
    const struct page *p = &b->page;
    for (size_t i = 0; i < b->ticks; i++) {
        int x = b->x + (int)lround(b->tick[i].at * (BARS - 1));
        canvas_fill(c, x, b->y, 1, b->bottom - b->y, color_roles[COLOR_GRID].rgb);
        canvas_fill(c, x, b->bottom, 1, 4, color_roles[COLOR_AXIS].rgb);
        text_draw(p->text, c, page_tick, x, b->bottom + 14, TEXT_CENTER, false, b->tick[i].text);
    }
    int x = b->x;
    for (size_t k = 0; k < MARKS; k++) {
        const double *has = mark[k] == COLOR_APPLIED ? b->data->applied
                            : mark[k] == COLOR_USED  ? b->data->used
                                                     : b->data->requested;
        if (has) x = page_legend(p, c, x, b->y - 18, mark[k]);
    }
    for (size_t k = 0; k < COLUMNS; k++) {
        char text[32];
        if (!b->right[k]) continue;
        text_draw(p->text, c, page_muted, b->right[k], b->y - 18, TEXT_RIGHT, false, column_name(k));
        number_text(k, sum_of(b, k), text, sizeof text);
        text_draw(p->text, c, total, b->right[k], b->bottom + 14, TEXT_RIGHT, false, text);
    }
}

static void draw_page(void *ctx, struct canvas *c)
{
    const struct budget *b = ctx;
    const struct page *p = &b->page;
    page_draw_head(p, c);
    draw_frame(b, c);
    for (size_t l = 0; l < b->data->layers; l++) {
        int y = b->y + (int)l * b->row_h;
        if (canvas_sees(c, y - 4, b->row_h + 8)) draw_layer(b, c, l, y);
    }
    canvas_fill(c, b->x - 1, b->y, 1, b->bottom - b->y + 1, color_roles[COLOR_AXIS].rgb);
    canvas_fill(c, b->x - 1, b->bottom, BARS + 1, 1, color_roles[COLOR_AXIS].rgb);
    page_axis_draw(p, c, &b->rows, b->x - 1);
    if (p->view->y.title)
        text_draw(p->text, c, page_body, PAGE_PAD + 6, (b->y + b->bottom) / 2, TEXT_CENTER, true, p->view->y.title);
    text_draw(p->text, c, page_body, b->x + BARS / 2, b->bottom + 36, TEXT_CENTER, false, "tokens");
}

enum kv_status figure_budget(
    const char *path, const struct figure_budget *budget, const struct figure_view *view, struct kv_error *err)
{
    struct budget b = { .data = budget };
    if (!budget->layers || (!budget->requested && !budget->applied && !budget->used))
        return kv_fail(err, KV_BAD_ARG, "Nothing to draw: no budgets of %zu layers were given.", budget->layers);
    enum kv_status status = page_open(&b.page, view, err);
    if (!status) status = fit(&b, err);
    if (!status) {
        lay_out(&b);
        status = page_write(&b.page, path, draw_page, &b, err);
    }
    scale_close(&b.scale);
    page_close(&b.page);
    return status;
}
