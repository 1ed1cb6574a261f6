/* Heat maps: the source is read once into cells, the scale fitted, the page laid out and drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/map.h"
#include "render/page.h"

enum {
    MAX_SIDE = 1024,
    LIMIT_SIDE = 4096,
    BAR_WIDTH = 14,
    BAR_GAP = 22,
    BAR_MIN = 140,
    BAR_MAX = 400,
    BAR_TICKS = 32,
    HATCH_LEAST = 4,
    HATCH_STEP = 6
};

struct map {
    struct page page;
    struct scale scale;
    struct matrix_cells cells;
    bool classes;                   /* cells are enum color_role */
    bool present[COLOR_ROLES];      /* classes that occur */
    int cell_w, cell_h, x, y, w, h; /* cells and map, pixels */
    int notes_x, bar_x, bar_h, unit_x, unit_y, title_x, title_y, foot_y;
    struct page_axis cols, rows;
    struct scale_tick tick[BAR_TICKS];
    size_t ticks;
    int value_px; /* type size of values in cells, 0 = none */
    char unit[192], scale_text[96], pool_text[48], rows_text[24], cols_text[24], foot[256];
};

static const struct text_style small = { TEXT_SANS, 11, 0x5f6770 };

static int clamp(size_t n, int most) { return n < 1 ? 1 : n > (size_t)most ? most : (int)n; }

static void size_cells(struct map *m)
{
    m->cell_w = clamp(960 / m->cells.pool.out_cols, 44);
    m->cell_h = clamp(680 / m->cells.pool.out_rows, 22);
    if (m->page.view->square) {
        int side = clamp(960 / kv_max(m->cells.pool.out_rows, m->cells.pool.out_cols), 32);
        m->cell_w = m->cell_h = side;
    }
    m->w = m->cell_w * (int)m->cells.pool.out_cols;
    m->h = m->cell_h * (int)m->cells.pool.out_rows;
}

/* All cells in one form, so that they compare at a glance: decimals for two or three digits of the largest value;
 * two digits with their exponent on a log scale. */
static void cell_text(const struct map *m, double v, char *out, size_t size)
{
    double top = fmax(fabs(m->scale.low), fabs(m->scale.high));
    int decimals = top > 0 ? (int)fmin(fmax(2 - floor(log10(top)), 0), 4) : 0;
    if (m->scale.view.kind == SCALE_LOG && v < 0.01)
        snprintf(out, size, v > 0 ? "%.0e" : "0", v);
    else if (top < 1e6)
        snprintf(out, size, "%.*f", decimals, v);
    else
        snprintf(out, size, "%.1e", v);
}

/* The largest type in which every value fits its cell; more than 4,096 numbers are a texture, not a table. */
static void size_values(struct map *m)
{
    m->value_px = 0;
    if (m->classes || m->cell_h < 14 || m->cell_w < 18 || m->cells.pool.out_rows * m->cells.pool.out_cols > 4096)
        return;
    for (int px = 11; px >= 9 && !m->value_px; px--) {
        int widest = 0;
        for (size_t r = 0; r < m->cells.pool.out_rows; r++) {
            for (size_t i = 0; i < m->cells.length[r]; i++) {
                char text[28];
                cell_text(m, m->cells.row[r][i], text, sizeof text);
                int width = text_width(m->page.text, (struct text_style){ TEXT_SANS, px, 0 }, text);
                if (isfinite(m->cells.row[r][i]) && width > widest) widest = width;
            }
        }
        if (widest + 6 <= m->cell_w) m->value_px = px;
    }
}

static int widest_tick(const struct map *m)
{
    int widest = 0;
    for (size_t i = 0; i < m->ticks; i++) {
        int width = text_width(m->page.text, page_tick, m->tick[i].text);
        if (width > widest) widest = width;
    }
    return widest;
}

static int notes_width(const struct map *m)
{
    const struct figure_view *v = m->page.view;
    if (!v->row_notes || m->cells.pool.rows_per > 1) return 0;
    int widest = v->row_notes_title ? text_width(m->page.text, small, v->row_notes_title) : 0;
    for (size_t r = 0; r < m->cells.pool.rows; r++) {
        int width = v->row_notes[r] ? text_width(m->page.text, page_tick, v->row_notes[r]) : 0;
        if (width > widest) widest = width;
    }
    return widest + 12;
}

/* Middle of a text that runs up beside something of this height; a longer text starts at its top and goes beyond. */
static int beside(const struct map *m, int height, const char *title, int *below)
{
    int width = title ? text_width(m->page.text, page_body, title) : 0;
    if (m->y + width + 10 > *below) *below = m->y + width + 10;
    return m->y + (width > height ? width : height) / 2;
}

static int lay_right(struct map *m)
{
    int x = m->x + m->w + notes_width(m);
    m->notes_x = x;
    if (m->classes) return x;
    m->bar_x = x + BAR_GAP;
    x = m->bar_x + BAR_WIDTH + 8 + widest_tick(m);
    int nodata = m->cells.nodata ? m->bar_x + 20 + text_width(m->page.text, page_tick, "no data") : 0;
    m->unit_x = x + 14;
    if (m->page.view->unit) x += 22;
    return x > nodata ? x : nodata;
}

/* A line of classes above the map: what its cells are, or what is marked beside their colors. */
static bool has_legend(const struct map *m)
{
    return m->classes || m->present[COLOR_EVICTED] || m->present[COLOR_SINK];
}

static void lay_out(struct map *m)
{
    const struct figure_view *v = m->page.view;
    struct page *p = &m->page;
    bool notes = v->row_notes && v->row_notes_title && m->cells.pool.rows_per == 1;
    size_cells(m);
    size_values(m);
    m->cols = (struct page_axis){ &v->x, m->cells.pool.out_cols, m->cells.pool.cols_per, m->cells.pool.cols, 0,
        m->cell_w, false, 0, false, 0 };
    m->rows = (struct page_axis){ &v->y, m->cells.pool.out_rows, m->cells.pool.rows_per, m->cells.pool.rows, 0,
        m->cell_h, true, 0, false, 0 };
    page_axis_fit(p, &m->cols);
    page_axis_fit(p, &m->rows);
    m->x = PAGE_PAD + (v->y.title ? 20 : 0) + m->rows.room;
    m->y = page_head_height(p) + (has_legend(m) ? 26 : 0) + (notes && !m->classes ? 14 : 0);
    m->cols.start = m->x;
    m->rows.start = m->y;
    m->bar_h = m->h < BAR_MIN ? BAR_MIN : m->h > BAR_MAX ? BAR_MAX : m->h;
    m->ticks = scale_ticks(&m->scale, (size_t)m->bar_h / 40, true, m->tick, BAR_TICKS);
    int right = lay_right(m) + PAGE_PAD, head = page_head_width(p);
    int foot = 2 * PAGE_PAD + text_width(p->text, small, m->foot);
    p->width = right > head ? right : head;
    if (foot > p->width) p->width = foot;
    int below_map = m->y + m->h + m->cols.room + (v->x.title ? 20 : 0);
    int below_bar = m->classes ? 0 : m->y + m->bar_h + (m->cells.nodata ? 30 : 10);
    int below = below_map > below_bar ? below_map : below_bar;
    m->title_y = beside(m, m->h, v->y.title, &below);
    m->unit_y = m->classes ? 0 : beside(m, m->bar_h, v->unit ? m->unit : NULL, &below);
    int half = v->x.title ? text_width(p->text, page_body, v->x.title) / 2 : 0;
    m->title_x = m->x + m->w / 2 > PAGE_PAD + half ? m->x + m->w / 2 : PAGE_PAD + half;
    m->foot_y = below + 16;
    p->height = m->foot_y + PAGE_PAD;
}

/* Diagonals that join from cell to cell; cut into narrow columns they would be noise, so those get level lines. */
static void hatch(const struct map *m, struct canvas *c, int x, int y, int w, int h, uint32_t rgb, uint32_t line)
{
    if (m->cell_w >= HATCH_LEAST) {
        canvas_hatch(c, x, y, w, h, rgb, line);
        return;
    }
    canvas_fill(c, x, y, w, h, rgb);
    for (int k = (HATCH_STEP - y % HATCH_STEP) % HATCH_STEP; k < h; k += HATCH_STEP)
        canvas_fill(c, x, y + k, w, 1, line);
}

/* Whether every key of a block of cells is evicted in all of its rows. */
static bool gone(const struct map *m, size_t r, size_t i)
{
    const struct figure_view *v = m->page.view;
    const struct pool *p = &m->cells.pool;
    if (!v->gone || r * p->rows_per < v->gone_from) return false;
    size_t end = kv_min((i + 1) * p->cols_per, p->cols);
    for (size_t j = i * p->cols_per; j < end; j++)
        if (!v->gone[j]) return false;
    return true;
}

static void draw_gone(const struct map *m, struct canvas *c, float value, int x, int y)
{
    int w = m->cell_w - (m->cell_w >= 10), h = m->cell_h - (m->cell_h >= 10);
    uint32_t rgb = color_roles[COLOR_EVICTED].rgb;
    if (isfinite(value)) rgb = color_at(m->page.map, scale_unit(&m->scale, value));
    hatch(m, c, x, y, w, h, rgb, color_roles[isfinite(value) ? COLOR_MUTED : COLOR_HATCH].rgb);
}

/* Small triangles that point down at the sinks' columns. */
static void draw_sinks(const struct map *m, struct canvas *c)
{
    const struct figure_view *v = m->page.view;
    const struct pool *p = &m->cells.pool;
    for (size_t j = 0; v->sinks && j < p->cols; j++) {
        if (!v->sinks[j]) continue;
        int middle = m->x + (int)(j / p->cols_per) * m->cell_w + m->cell_w / 2;
        for (int k = 0; k < 4; k++)
            canvas_fill(c, middle - k, m->y - 4 - k, 2 * k + 1, 1, color_roles[COLOR_SINK].rgb);
    }
}

static void draw_cell(const struct map *m, struct canvas *c, float value, int x, int y)
{
    int w = m->cell_w - (m->cell_w >= 10), h = m->cell_h - (m->cell_h >= 10); /* a hair of white between cells */
    if (m->classes) {
        enum color_role role = (enum color_role)value;
        uint32_t rgb = color_roles[role].rgb;
        hatch(m, c, x, y, w, h, rgb, role == COLOR_EVICTED ? color_roles[COLOR_HATCH].rgb : rgb);
        return;
    }
    uint32_t rgb = color_at(m->page.map, scale_unit(&m->scale, value));
    canvas_fill(c, x, y, w, h, rgb);
    if (!m->value_px || !isfinite(value)) return;
    char text[28];
    cell_text(m, value, text, sizeof text);
    struct text_style style = { TEXT_SANS, m->value_px, color_is_light(rgb) ? 0x1a1a1au : 0xffffffu };
    text_draw(m->page.text, c, style, x + w / 2, y + h / 2, TEXT_CENTER, false, text);
}

static void draw_cells(const struct map *m, struct canvas *c)
{
    for (size_t r = 0; r < m->cells.pool.out_rows; r++) {
        int y = m->y + (int)r * m->cell_h;
        if (!canvas_sees(c, y, m->cell_h)) continue;
        int x = m->x + (int)m->cells.length[r] * m->cell_w;
        canvas_fill(c, x, y, m->x + m->w - x, m->cell_h, color_roles[COLOR_NODATA].rgb);
        for (size_t i = 0; i < m->cells.length[r]; i++)
            draw_cell(m, c, m->cells.row[r][i], m->x + (int)i * m->cell_w, y);
        for (size_t i = 0; m->page.view->gone && i < m->cells.pool.out_cols; i++)
            if (gone(m, r, i)) draw_gone(m, c, matrix_cell(&m->cells, r, i), m->x + (int)i * m->cell_w, y);
    }
    draw_sinks(m, c);
    canvas_frame(c, m->x - 1, m->y - 1, m->w + 2, m->h + 2, color_roles[COLOR_AXIS].rgb);
}

static void draw_bar(const struct map *m, struct canvas *c)
{
    uint32_t line = color_roles[COLOR_AXIS].rgb;
    for (int i = 0; i < m->bar_h; i++) {
        double t = m->bar_h > 1 ? 1 - (double)i / (m->bar_h - 1) : 0.5;
        canvas_fill(c, m->bar_x, m->y + i, BAR_WIDTH, 1, color_at(m->page.map, t));
    }
    canvas_frame(c, m->bar_x - 1, m->y - 1, BAR_WIDTH + 2, m->bar_h + 2, line);
    for (size_t i = 0; i < m->ticks; i++) {
        int y = m->y + (int)lround((1 - m->tick[i].at) * (m->bar_h - 1));
        canvas_fill(c, m->bar_x + BAR_WIDTH, y, 4, 1, line);
        text_draw(m->page.text, c, page_tick, m->bar_x + BAR_WIDTH + 8, y, TEXT_LEFT, false, m->tick[i].text);
    }
    if (m->page.view->unit) text_draw(m->page.text, c, page_body, m->unit_x, m->unit_y, TEXT_CENTER, true, m->unit);
    if (m->cells.nodata) page_legend(&m->page, c, m->bar_x, m->y + m->bar_h + 18, COLOR_NODATA);
}

static void draw_notes(const struct map *m, struct canvas *c)
{
    const struct figure_view *v = m->page.view;
    if (!v->row_notes || m->cells.pool.rows_per > 1) return;
    if (v->row_notes_title)
        text_draw(m->page.text, c, small, m->notes_x, m->y - 10, TEXT_RIGHT, false, v->row_notes_title);
    for (size_t r = 0; r < m->cells.pool.rows; r += m->rows.step) {
        int y = m->y + (int)r * m->cell_h + m->cell_h / 2;
        if (v->row_notes[r] && canvas_sees(c, y - 10, 20))
            text_draw(m->page.text, c, page_tick, m->notes_x, y, TEXT_RIGHT, false, v->row_notes[r]);
    }
}

static void draw_page(void *ctx, struct canvas *c)
{
    const struct map *m = ctx;
    const struct figure_view *v = m->page.view;
    page_draw_head(&m->page, c);
    draw_cells(m, c);
    page_axis_draw(&m->page, c, &m->rows, m->x - 1);
    page_axis_draw(&m->page, c, &m->cols, m->y + m->h + 1);
    if (v->y.title) text_draw(m->page.text, c, page_body, PAGE_PAD + 6, m->title_y, TEXT_CENTER, true, v->y.title);
    if (v->x.title)
        text_draw(m->page.text, c, page_body, m->title_x, m->y + m->h + m->cols.room + 10, TEXT_CENTER, false,
            v->x.title);
    draw_notes(m, c);
    if (!m->classes) draw_bar(m, c);
    for (int role = 0, x = m->x; role < COLOR_ROLES; role++) {
        if (m->present[role]) x = page_legend(&m->page, c, x, m->y - 16, (enum color_role)role);
    }
    text_draw(m->page.text, c, small, PAGE_PAD, m->foot_y, TEXT_LEFT, false, m->foot);
}

static enum kv_status describe(struct map *m, struct kv_error *err)
{
    const struct pool *p = &m->cells.pool;
    if (m->page.view->unit) scale_unit_text(&m->scale, m->page.view->unit, m->unit, sizeof m->unit);
    scale_note(&m->scale, m->scale_text, sizeof m->scale_text);
    snprintf(m->rows_text, sizeof m->rows_text, "%zu", p->rows);
    snprintf(m->cols_text, sizeof m->cols_text, "%zu", p->cols);
    matrix_pool_text(&m->cells, m->pool_text, sizeof m->pool_text);
    bool pooled = m->pool_text[0] != 0;
    snprintf(m->foot, sizeof m->foot, "%s%s%zu × %zu values%s%s", m->classes ? "" : m->scale_text,
        m->classes ? "" : "; ", p->rows, p->cols, pooled ? ", each cell the " : "", m->pool_text);
    if (!pooled) snprintf(m->pool_text, sizeof m->pool_text, "none");
    enum kv_status status = page_note(&m->page, "kvdbg:rows", m->rows_text, err);
    if (!status) status = page_note(&m->page, "kvdbg:cols", m->cols_text, err);
    if (!status && !m->classes) status = page_note(&m->page, "kvdbg:scale", m->scale_text, err);
    if (!status) status = page_note(&m->page, "kvdbg:pool", m->pool_text, err);
    return status;
}

/* Whether a cell holds no data though its keys are there. */
static bool bare(const struct map *m)
{
    if (!m->cells.nodata || !m->page.view->gone) return m->cells.nodata;
    for (size_t r = 0; r < m->cells.pool.out_rows; r++)
        for (size_t i = 0; i < m->cells.pool.out_cols; i++)
            if (isnan(matrix_cell(&m->cells, r, i)) && !gone(m, r, i)) return true;
    return false;
}

/* Every class must have a look, and be whole: pooling would have made means of them. */
static enum kv_status note_classes(struct map *m, struct kv_error *err)
{
    for (size_t r = 0; m->classes && r < m->cells.pool.out_rows; r++) {
        for (size_t i = 0; i < m->cells.pool.out_cols; i++) {
            float role = matrix_cell(&m->cells, r, i);
            if (!(role >= 0 && role < COLOR_ROLES))
                return kv_fail(err, KV_BAD_ARG, "Row %zu, column %zu: %g is no class.", r, i, role);
            m->present[(size_t)role] = true;
        }
    }
    m->cells.nodata = bare(m);
    for (size_t j = 0; j < m->cells.pool.cols; j++) {
        const struct figure_view *v = m->page.view;
        m->present[COLOR_EVICTED] |= v->gone && v->gone[j] && v->gone_from < m->cells.pool.rows;
        m->present[COLOR_SINK] |= v->sinks && v->sinks[j];
    }
    return KV_OK;
}

enum kv_status map_write(const char *path, const struct matrix *source, const struct figure_view *view,
    bool classes, struct kv_error *err)
{
    struct map m = { .classes = classes };
    size_t side = view->max_side ? view->max_side : MAX_SIDE;
    if (side > LIMIT_SIDE)
        return kv_fail(err, KV_BAD_ARG, "A picture has at most %d cells a side, not %zu.", LIMIT_SIDE, side);
    enum kv_status status = page_open(&m.page, view, err);
    if (!status) status = color_map(view->map, &m.page.map, err);
    if (!status) status = scale_open(&m.scale, &view->scale, err);
    if (!status) status = matrix_cells_read(&m.cells, source, view->pool, side, side, &m.scale, err);
    if (!status) status = scale_fit(&m.scale, err);
    if (!status) status = note_classes(&m, err);
    if (!status) status = describe(&m, err);
    if (!status) {
        lay_out(&m);
        status = page_write(&m.page, path, draw_page, &m, err);
    }
    matrix_cells_free(&m.cells);
    scale_close(&m.scale);
    page_close(&m.page);
    return status;
}

enum kv_status figure_map(
    const char *path, const struct matrix *source, const struct figure_view *view, struct kv_error *err)
{
    return map_write(path, source, view, false, err);
}
