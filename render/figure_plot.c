/* Numbers as columns, with a level and a mark: score curves, KL over steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/color.h"
#include "render/page.h"
#include "render/scale.h"

enum { WIDTH = 960, HEIGHT = 340, COLUMN_MOST = 44, TICKS = 32, DASH = 6, LEGEND = 26 };

static const struct text_style small = { TEXT_SANS, 11, 0x5f6770 };

struct plot {
    struct page page;
    struct scale scale;
    const struct figure_plot *data;
    struct scale_tick tick[TICKS];
    size_t ticks;
    size_t per, columns; /* numbers a column, columns */
    int x, y, w, column; /* of the frame; pixels a column */
    struct page_axis axis;
    bool present[COLOR_ROLES]; /* classes that occur */
    int foot_y;
    char unit[192], scale_text[96], count_text[24], pool_text[32], foot[192];
};

/* The largest number of a column and its class; NaN: none. */
static double column(const struct plot *p, size_t c, enum color_role *role)
{
    const struct figure_plot *d = p->data;
    double most = NAN;
    for (size_t i = c * p->per; i < kv_min((c + 1) * p->per, d->n); i++) {
        if (!isfinite(d->y[i]) || d->y[i] <= most) continue;
        most = d->y[i];
        *role = (enum color_role)d->role[i];
    }
    return most;
}

static enum kv_status fit(struct plot *p, struct kv_error *err)
{
    const struct figure_plot *d = p->data;
    double low = 0;
    p->per = (d->n + WIDTH - 1) / WIDTH;
    p->columns = (d->n + p->per - 1) / p->per;
    p->column = kv_min(WIDTH / p->columns, COLUMN_MOST);
    p->w = p->column * (int)p->columns;
    for (size_t i = 0; i < d->n; i++) {
        float v = (float)d->y[i];
        if (d->role[i] >= COLOR_ROLES)
            return kv_fail(err, KV_BAD_ARG, "Number %zu: %d is no class.", i, d->role[i]);
        scale_add(&p->scale, &v, 1);
        if (isfinite(v)) p->present[d->role[i]] = true;
        low = fmin(low, v); /* a NaN is not the smaller one */
    }
    if (d->level_text && isfinite(d->level)) scale_add(&p->scale, &(float){ (float)d->level }, 1);
    if (p->scale.view.kind == SCALE_LINEAR) { /* columns stand on zero */
        p->scale.view.fixed_min = true;
        p->scale.view.min = low;
    }
    enum kv_status status = scale_fit(&p->scale, err);
    if (!status && !(p->scale.high > p->scale.low)) p->scale.high = p->scale.low + 1; /* all zero: an empty frame */
    return status;
}

static const char *name_of(const struct plot *p, int role)
{
    const char *const *names = p->data->names;
    return names && names[role] ? names[role] : color_roles[role].name;
}

static void lay_out(struct plot *p)
{
    const struct figure_view *v = p->page.view;
    int widest = 0;
    p->ticks = scale_ticks(&p->scale, HEIGHT / 48, true, p->tick, TICKS);
    for (size_t i = 0; i < p->ticks; i++)
        widest = (int)fmax(widest, text_width(p->page.text, page_tick, p->tick[i].text));
    p->x = PAGE_PAD + (v->unit ? 22 : 0) + widest + 10;
    p->y = page_head_height(&p->page) + LEGEND;
    p->axis = (struct page_axis){
        .axis = &v->x, .cells = p->columns, .per = p->per, .count = p->data->n, .start = p->x, .size = p->column
    };
    page_axis_fit(&p->page, &p->axis);
    int head = page_head_width(&p->page), right = p->x + p->w + PAGE_PAD;
    int foot = 2 * PAGE_PAD + text_width(p->page.text, small, p->foot), legend = p->x;
    for (int role = 0; role < COLOR_ROLES; role++)
        if (p->present[role])
            legend = page_legend_as(&p->page, NULL, legend, 0, (enum color_role)role, name_of(p, role));
    p->page.width = (int)fmax(fmax(head, right), fmax(foot, legend + PAGE_PAD));
    p->foot_y = p->y + HEIGHT + p->axis.room + (v->x.title ? 20 : 0) + 16;
    p->page.height = p->foot_y + PAGE_PAD;
}

static int height_of(const struct plot *p, double v) { return (int)lround(scale_unit(&p->scale, v) * HEIGHT); }

static void draw_columns(const struct plot *p, struct canvas *c)
{
    int gap = p->column >= 6;
    for (size_t i = 0; i < p->columns; i++) {
        enum color_role role = COLOR_NODATA;
        double v = column(p, i, &role);
        if (!isfinite(v)) continue;
        int h = height_of(p, v), x = p->x + (int)i * p->column;
        if (h < 1) h = 1; /* a value that is there is seen */
        uint32_t rgb = color_roles[role].rgb, line = role == COLOR_EVICTED ? color_roles[COLOR_HATCH].rgb : rgb;
        canvas_hatch(c, x, p->y + HEIGHT - h, p->column - gap, h, rgb, line);
        if (role == COLOR_EVICTED)
            canvas_fill(c, x, p->y + HEIGHT - h, p->column - gap, 1, color_roles[COLOR_MUTED].rgb);
    }
}

static void draw_lines(const struct plot *p, struct canvas *c)
{
    const struct figure_plot *d = p->data;
    uint32_t rgb = color_roles[COLOR_REQUESTED].rgb;
    struct text_style style = { TEXT_SANS, 12, rgb };
    int level = d->level_text && isfinite(d->level) ? p->y + HEIGHT - height_of(p, d->level) : -1;
    int right = p->x + p->w;
    for (int x = p->x; level >= 0 && x < right; x += 2 * DASH)
        canvas_fill(c, x, level, (int)fmin(DASH, right - x), 1, rgb);
    if (level >= 0) {
        int above = level - 10 < p->y + 8 ? level + 11 : level - 9;
        text_draw(p->page.text, c, style, right - 6, above, TEXT_RIGHT, false, d->level_text);
    }
    if (!d->mark_text || !isfinite(d->mark)) return;
    int mark = p->x + (int)lround(d->mark / (double)p->per * p->column);
    for (int y = 0; y < HEIGHT; y += 2 * DASH) canvas_fill(c, mark, p->y + y, 1, DASH, rgb);
    bool left = mark + 8 + text_width(p->page.text, style, d->mark_text) > right;
    text_draw(p->page.text, c, style, left ? mark - 6 : mark + 6, p->y + 12, left ? TEXT_RIGHT : TEXT_LEFT, false,
        d->mark_text);
}

static void draw_page(void *ctx, struct canvas *c)
{
    const struct plot *p = ctx;
    const struct figure_view *v = p->page.view;
    page_draw_head(&p->page, c);
    for (size_t i = 0; i < p->ticks; i++) {
        int y = p->y + HEIGHT - (int)lround(p->tick[i].at * HEIGHT);
        canvas_fill(c, p->x, y, p->w, 1, color_roles[COLOR_GRID].rgb);
        canvas_fill(c, p->x - 4, y, 4, 1, color_roles[COLOR_AXIS].rgb);
        text_draw(p->page.text, c, page_tick, p->x - 8, y, TEXT_RIGHT, false, p->tick[i].text);
    }
    draw_columns(p, c);
    canvas_frame(c, p->x - 1, p->y - 1, p->w + 2, HEIGHT + 2, color_roles[COLOR_AXIS].rgb);
    draw_lines(p, c);
    page_axis_draw(&p->page, c, &p->axis, p->y + HEIGHT + 1);
    if (v->unit) text_draw(p->page.text, c, page_body, PAGE_PAD + 6, p->y + HEIGHT / 2, TEXT_CENTER, true, p->unit);
    if (v->x.title)
        text_draw(p->page.text, c, page_body, p->x + p->w / 2, p->y + HEIGHT + p->axis.room + 10, TEXT_CENTER,
            false, v->x.title);
    for (int role = 0, x = p->x; role < COLOR_ROLES; role++)
        if (p->present[role])
            x = page_legend_as(&p->page, c, x, p->y - 16, (enum color_role)role, name_of(p, role));
    text_draw(p->page.text, c, small, PAGE_PAD, p->foot_y, TEXT_LEFT, false, p->foot);
}

static enum kv_status describe(struct plot *p, struct kv_error *err)
{
    if (p->page.view->unit) scale_unit_text(&p->scale, p->page.view->unit, p->unit, sizeof p->unit);
    scale_note(&p->scale, p->scale_text, sizeof p->scale_text);
    snprintf(p->count_text, sizeof p->count_text, "%zu", p->data->n);
    snprintf(p->pool_text, sizeof p->pool_text, "none");
    if (p->per > 1) snprintf(p->pool_text, sizeof p->pool_text, "max of %zu", p->per);
    snprintf(p->foot, sizeof p->foot, "%s; %zu values%s%s", p->scale_text, p->data->n,
        p->per > 1 ? ", each column the " : "", p->per > 1 ? p->pool_text : "");
    enum kv_status status = page_note(&p->page, "kvdbg:cols", p->count_text, err);
    if (!status) status = page_note(&p->page, "kvdbg:scale", p->scale_text, err);
    return status ? status : page_note(&p->page, "kvdbg:pool", p->pool_text, err);
}

enum kv_status figure_plot(
    const char *path, const struct figure_plot *plot, const struct figure_view *view, struct kv_error *err)
{
    struct plot p = { .data = plot };
    if (!plot->n) return kv_fail(err, KV_BAD_ARG, "Nothing to draw: there are no numbers.");
    if (view->scale.kind == SCALE_RANK)
        return kv_fail(err, KV_BAD_ARG, "Columns have a linear or a log scale, no ranks.");
    enum kv_status status = page_open(&p.page, view, err);
    if (!status) status = scale_open(&p.scale, &view->scale, err);
    if (!status) status = fit(&p, err);
    if (!status) status = describe(&p, err);
    if (!status) {
        lay_out(&p);
        status = page_write(&p.page, path, draw_page, &p, err);
    }
    scale_close(&p.scale);
    page_close(&p.page);
    return status;
}
