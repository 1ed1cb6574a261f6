/* Small multiples: panels of one size on one scale, with one color bar. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/color.h"
#include "render/page.h"

enum {
    PANELS_MOST = 256,
    WIDTH = 1160,
    PANEL_MOST = 280,
    PANEL_LEAST = 90,
    GAP = 16,
    NAME = 22,
    BAR_WIDTH = 14,
    TICKS = 32
};

static const struct text_style small = { TEXT_SANS, 11, 0x5f6770 };

struct grid {
    struct page page;
    struct scale scale;
    const struct figure_grid *data;
    struct matrix_cells *cells; /* [panels] */
    uint8_t **gone;             /* [panels] -> [out_cols] of blocks whose keys are all evicted; NULL = none */
    bool evicted, nodata;       /* some are; some cells hold none for another reason */
    struct scale_tick tick[TICKS];
    size_t ticks, across, down; /* panels a row, rows of them */
    int side;                   /* pixels that a panel may take */
    int cell_w, cell_h, w, h;   /* of every panel: they all have the first one's shape */
    int y, bar_x, bar_h, unit_x, foot_y;
    char unit[192], scale_text[96], pool_text[48], rows_text[24], cols_text[24], foot[256];
};

/* Panels a row, with the fewest holes in the last one; room for each, wide or high, so that all fit into WIDTH. */
static void share(struct grid *g)
{
    size_t n = g->data->panels, least = SIZE_MAX;
    for (size_t across = (size_t)ceil(sqrt((double)n)); across * across <= 2 * n + 1; across++) {
        size_t down = (n + across - 1) / across, holes = across * down - n;
        if (holes >= least) continue;
        least = holes;
        g->across = across;
        g->down = down;
    }
    g->side = (int)fmin(
        PANEL_MOST, fmax(PANEL_LEAST, ((double)WIDTH - GAP * (double)(g->across - 1)) / (double)g->across));
}

static enum kv_status pool_gone(struct grid *g, size_t k, const uint8_t *gone, struct kv_error *err)
{
    const struct pool *p = &g->cells[k].pool;
    if (!gone || g->page.view->gone_from >= p->rows) return KV_OK;
    g->gone[k] = kv_alloc(p->out_cols, 1);
    if (!g->gone[k]) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu columns.", p->out_cols);
    for (size_t i = 0; i < p->out_cols; i++) {
        size_t end = kv_min((i + 1) * p->cols_per, p->cols), n = 0;
        for (size_t j = i * p->cols_per; j < end; j++) n += gone[j] != 0;
        g->gone[k][i] = n == end - i * p->cols_per;
        g->evicted = g->evicted || g->gone[k][i];
    }
    return KV_OK;
}

/* Whether a cell holds no data though its keys are there: it lies ahead of its query. */
static bool bare(const struct grid *g, size_t k)
{
    const struct matrix_cells *c = &g->cells[k];
    if (!c->nodata || !g->gone[k]) return c->nodata;
    for (size_t r = 0; r < c->pool.out_rows; r++)
        for (size_t i = 0; i < c->pool.out_cols; i++)
            if (isnan(matrix_cell(c, r, i)) && !(g->gone[k][i] && r * c->pool.rows_per >= g->page.view->gone_from))
                return true;
    return false;
}

static enum kv_status read_panels(struct grid *g, struct kv_error *err)
{
    size_t side = (size_t)g->side;
    for (size_t k = 0; k < g->data->panels; k++) {
        struct matrix m = { 0 };
        const uint8_t *gone = NULL;
        enum kv_status status = g->data->panel(g->data->ctx, k, &m, &gone, err);
        if (!status) status = matrix_cells_read(&g->cells[k], &m, g->page.view->pool, side, side, &g->scale, err);
        if (!status) status = pool_gone(g, k, gone, err);
        if (status) return status;
        g->nodata = g->nodata || bare(g, k);
        if (g->cells[k].pool.rows != g->cells[0].pool.rows || g->cells[k].pool.cols != g->cells[0].pool.cols)
            return kv_fail(err, KV_BAD_ARG, "Panel %zu has another shape than the first.", k);
    }
    return scale_fit(&g->scale, err);
}

static void lay_out(struct grid *g)
{
    const struct pool *p = &g->cells[0].pool;
    const struct figure_view *v = g->page.view;
    g->cell_w = (int)fmax(1, g->side / (int)p->out_cols);
    g->cell_h = (int)fmax(1, g->side / (int)p->out_rows);
    if (v->square) g->cell_w = g->cell_h = g->cell_w < g->cell_h ? g->cell_w : g->cell_h;
    g->w = g->cell_w * (int)p->out_cols;
    g->h = g->cell_h * (int)p->out_rows;
    g->y = page_head_height(&g->page);
    int bottom = g->y + (int)g->down * (g->h + NAME + GAP) - GAP, widest = 0;
    g->bar_h = (int)fmin(400, fmax(140, bottom - g->y - NAME));
    g->ticks = scale_ticks(&g->scale, (size_t)g->bar_h / 40, true, g->tick, TICKS);
    for (size_t i = 0; i < g->ticks; i++)
        widest = (int)fmax(widest, text_width(g->page.text, page_tick, g->tick[i].text));
    g->bar_x = PAGE_PAD + (int)g->across * (g->w + GAP) + 6;
    g->unit_x = g->bar_x + BAR_WIDTH + 8 + widest + 14;
    int right = g->unit_x + (v->unit ? 8 : -14), foot = PAGE_PAD + text_width(g->page.text, small, g->foot);
    int nodata = g->bar_x + 20 + text_width(g->page.text, page_tick, "no data");
    g->page.width = (int)fmax(page_head_width(&g->page), PAGE_PAD + fmax(fmax(right, nodata), foot));
    int unit = text_width(g->page.text, page_body, g->unit);
    bottom = (int)fmax(bottom, g->y + NAME + fmax(g->bar_h + 50, unit + 10));
    g->foot_y = bottom + 18;
    g->page.height = g->foot_y + PAGE_PAD;
}

/* Evicted keys, from the first row of cells that read none of them. */
static void draw_gone(const struct grid *g, struct canvas *c, size_t k, int x, int y)
{
    size_t per = g->cells[k].pool.rows_per, first = (g->page.view->gone_from + per - 1) / per;
    int top = (int)first * g->cell_h;
    for (size_t i = 0; g->gone[k] && i < g->cells[k].pool.out_cols; i++)
        if (g->gone[k][i])
            canvas_hatch(c, x + (int)i * g->cell_w, y + top, g->cell_w, g->h - top, color_roles[COLOR_EVICTED].rgb,
                color_roles[COLOR_HATCH].rgb);
}

static void draw_panel(const struct grid *g, struct canvas *c, size_t k)
{
    int x = PAGE_PAD + (int)(k % g->across) * (g->w + GAP), y = g->y + (int)(k / g->across) * (g->h + NAME + GAP);
    char name[256];
    if (!canvas_sees(c, y, g->h + NAME + 2)) return;
    text_cut(g->page.text, page_tick, g->data->names[k], g->w + GAP - 4, name, sizeof name);
    text_draw(g->page.text, c, page_tick, x, y + 10, TEXT_LEFT, false, name);
    y += NAME;
    canvas_fill(c, x, y, g->w, g->h, color_roles[COLOR_NODATA].rgb);
    for (size_t r = 0; r < g->cells[k].pool.out_rows; r++) {
        int at = y + (int)r * g->cell_h;
        if (!canvas_sees(c, at, g->cell_h)) continue;
        for (size_t i = 0; i < g->cells[k].length[r]; i++)
            canvas_fill(c, x + (int)i * g->cell_w, at, g->cell_w, g->cell_h,
                color_at(g->page.map, scale_unit(&g->scale, g->cells[k].row[r][i])));
    }
    draw_gone(g, c, k, x, y);
    canvas_frame(c, x - 1, y - 1, g->w + 2, g->h + 2, color_roles[COLOR_AXIS].rgb);
}

static void draw_bar(const struct grid *g, struct canvas *c)
{
    int y = g->y + NAME;
    uint32_t line = color_roles[COLOR_AXIS].rgb;
    for (int i = 0; i < g->bar_h; i++)
        canvas_fill(c, g->bar_x, y + i, BAR_WIDTH, 1, color_at(g->page.map, 1 - (double)i / (g->bar_h - 1)));
    canvas_frame(c, g->bar_x - 1, y - 1, BAR_WIDTH + 2, g->bar_h + 2, line);
    for (size_t i = 0; i < g->ticks; i++) {
        int at = y + (int)lround((1 - g->tick[i].at) * (g->bar_h - 1));
        canvas_fill(c, g->bar_x + BAR_WIDTH, at, 4, 1, line);
        text_draw(g->page.text, c, page_tick, g->bar_x + BAR_WIDTH + 8, at, TEXT_LEFT, false, g->tick[i].text);
    }
    int length = text_width(g->page.text, page_body, g->unit), room = length > g->bar_h ? length : g->bar_h;
    text_draw(g->page.text, c, page_body, g->unit_x, y + room / 2, TEXT_CENTER, true, g->unit);
    if (g->evicted) page_legend(&g->page, c, g->bar_x, y + g->bar_h + 18, COLOR_EVICTED);
    if (g->nodata) page_legend(&g->page, c, g->bar_x, y + g->bar_h + (g->evicted ? 38 : 18), COLOR_NODATA);
}

static void draw_page(void *ctx, struct canvas *c)
{
    const struct grid *g = ctx;
    page_draw_head(&g->page, c);
    for (size_t k = 0; k < g->data->panels; k++) draw_panel(g, c, k);
    draw_bar(g, c);
    text_draw(g->page.text, c, small, PAGE_PAD, g->foot_y, TEXT_LEFT, false, g->foot);
}

/* "Each panel: query 0 to 93 down, key 0 to 93 across; linear scale; mean of 2x2" */
static enum kv_status describe(struct grid *g, struct kv_error *err)
{
    const struct figure_view *v = g->page.view;
    const struct pool *p = &g->cells[0].pool;
    if (v->unit) scale_unit_text(&g->scale, v->unit, g->unit, sizeof g->unit);
    scale_note(&g->scale, g->scale_text, sizeof g->scale_text);
    matrix_pool_text(&g->cells[0], g->pool_text, sizeof g->pool_text);
    bool pooled = g->pool_text[0] != 0;
    snprintf(g->foot, sizeof g->foot, "Each panel: %s %zu to %zu down, %s %zu to %zu across; %s%s%s",
        v->y.title ? v->y.title : "rows", v->y.first, v->y.first + p->rows - 1, v->x.title ? v->x.title : "columns",
        v->x.first, v->x.first + p->cols - 1, g->scale_text, pooled ? "; each cell the " : "", g->pool_text);
    if (!pooled) snprintf(g->pool_text, sizeof g->pool_text, "none");
    snprintf(g->rows_text, sizeof g->rows_text, "%zu", p->rows);
    snprintf(g->cols_text, sizeof g->cols_text, "%zu", p->cols);
    enum kv_status status = page_note(&g->page, "kvdbg:rows", g->rows_text, err);
    if (!status) status = page_note(&g->page, "kvdbg:cols", g->cols_text, err);
    if (!status) status = page_note(&g->page, "kvdbg:scale", g->scale_text, err);
    return status ? status : page_note(&g->page, "kvdbg:pool", g->pool_text, err);
}

enum kv_status figure_grid(
    const char *path, const struct figure_grid *grid, const struct figure_view *view, struct kv_error *err)
{
    struct grid g = { .data = grid };
    if (!grid->panels || grid->panels > PANELS_MOST)
        return kv_fail(err, KV_BAD_ARG, "A page takes 1 to %d panels, not %zu.", PANELS_MOST, grid->panels);
    enum kv_status status = page_open(&g.page, view, err);
    if (!status) status = color_map(view->map, &g.page.map, err);
    if (!status) status = scale_open(&g.scale, &view->scale, err);
    g.cells = kv_alloc(grid->panels, sizeof *g.cells);
    g.gone = kv_alloc(grid->panels, sizeof *g.gone);
    if (!status && (!g.cells || !g.gone))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for %zu panels.", grid->panels);
    share(&g);
    if (!status) status = read_panels(&g, err);
    if (!status) status = describe(&g, err);
    if (!status) {
        lay_out(&g);
        status = page_write(&g.page, path, draw_page, &g, err);
    }
    for (size_t k = 0; g.cells && k < grid->panels; k++) matrix_cells_free(&g.cells[k]);
    for (size_t k = 0; g.gone && k < grid->panels; k++) free(g.gone[k]);
    free(g.gone);
    free(g.cells);
    scale_close(&g.scale);
    page_close(&g.page);
    return status;
}
