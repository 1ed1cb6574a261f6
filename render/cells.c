/* Lines are built in memory and put whole. */
#include "render/cells.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/utf8.h"

enum { CELL_MOST = 4, LADDER_REPEAT = 2, NUMBER = 9 };

/* Eight-color terminals: hue follows lightness as far as seven hues can. */
static const uint8_t hues[] = { 4, 5, 1, 3, 7 };
static const uint8_t hues_about[KV_COUNT(hues)] = { 4, 6, 7, 3, 1 };
static const char ramp[] = COLOR_RAMP, ramp_about[] = COLOR_RAMP_ABOUT;
static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };

struct screen {
    const struct cells_view *view;
    const struct color_map *map;
    struct scale scale;
    FILE *text;
    char *buffer;
    size_t size;
    uint32_t last; /* what the previous cell of this line looked like, to say it once */
};

enum { PLAIN = UINT32_MAX };

static enum kv_status begin(struct screen *s, const struct cells_view *view, struct kv_error *err)
{
    memset(s, 0, sizeof *s);
    s->view = view;
    s->last = PLAIN;
    if (view->width && view->width < 20)
        return kv_fail(err, KV_BAD_ARG, "%zu columns are too few to draw in; 20 will do.", view->width);
    enum kv_status status = color_map(view->map, &s->map, err);
    if (!status) status = scale_open(&s->scale, &view->scale, err);
    if (!status) s->text = open_memstream(&s->buffer, &s->size);
    if (!status && !s->text) status = kv_fail(err, KV_NO_MEMORY, "No memory for terminal text.");
    return status;
}

/* Puts what was built, if all went well, and releases everything. */
static enum kv_status end(
    struct screen *s, const struct cells_out *out, enum kv_status status, struct kv_error *err)
{
    if (s->text && fclose(s->text) && !status) status = kv_fail(err, KV_NO_MEMORY, "No memory for terminal text.");
    if (!status) out->put(out->ctx, s->buffer, s->size);
    free(s->buffer);
    scale_close(&s->scale);
    return status;
}

static size_t columns(const struct screen *s) { return s->view->width ? s->view->width : 80; }

static void spaces(struct screen *s, size_t n) { fprintf(s->text, "%*s", (int)n, ""); }

/* SGR parameters for a place on the scale, as the color depth has them. */
static void sgr_scale(struct screen *s, int ground, double t)
{
    uint32_t rgb = color_at(s->map, t);
    if (s->view->color == CELLS_TRUE)
        fprintf(s->text, "%d;2;%u;%u;%u", ground, rgb >> 16, rgb >> 8 & 255, rgb & 255);
    else
        fprintf(s->text, "%d;5;%d", ground,
            isnan(t) ? color_roles[COLOR_NODATA].xterm : s->map->ladder[color_step(t, s->map->steps)]);
}

static void reset(struct screen *s)
{
    if (s->last != PLAIN) fprintf(s->text, "\033[0m");
    s->last = PLAIN;
}

/* What a cell looks like, as one number: equal neighbors need no new sequence. */
static uint32_t look(const struct screen *s, double t)
{
    if (s->view->color == CELLS_TRUE) return color_at(s->map, t);
    if (s->view->color == CELLS_256) return isnan(t) ? COLOR_STEPS : (uint32_t)color_step(t, s->map->steps);
    return (s->map->diverging ? hues_about : hues)[color_step(isnan(t) ? 1 : t, KV_COUNT(hues))];
}

static char ramp_at(const struct screen *s, double t)
{
    return s->map->diverging ? ramp_about[color_step(t, sizeof ramp_about - 1)]
                             : ramp[color_step(t, sizeof ramp - 1)];
}

static void put_cell(struct screen *s, double t, size_t width)
{
    bool ground = s->view->color >= CELLS_256 && !isnan(t);
    if (s->view->color == CELLS_NONE || (isnan(t) && s->view->color >= CELLS_256)) {
        reset(s);
    } else if (look(s, t) != s->last) {
        fprintf(s->text, "\033[");
        if (ground)
            sgr_scale(s, 48, t);
        else
            fprintf(s->text, "3%u", look(s, t));
        fprintf(s->text, "m");
        s->last = look(s, t);
    }
    char glyph = ground ? ' ' : isnan(t) ? color_roles[COLOR_NODATA].ascii : ramp_at(s, t);
    for (size_t i = 0; i < width; i++) fputc(glyph, s->text);
}

static void put_half(struct screen *s, double upper, double lower, size_t width)
{
    fprintf(s->text, "\033[");
    sgr_scale(s, 38, upper);
    fprintf(s->text, ";");
    sgr_scale(s, 48, lower);
    fprintf(s->text, "m");
    for (size_t i = 0; i < width; i++) fprintf(s->text, "▀");
    s->last = 0;
}

static size_t label(char *out, size_t size, const char *prefix, size_t number)
{
    return (size_t)snprintf(out, size, "%.8s%zu", prefix ? prefix : "", number);
}

/* Column numbers where they fit, at round steps. */
static void put_head(struct screen *s, const struct pool *p, size_t left, size_t width)
{
    char text[40];
    size_t widest = label(text, sizeof text, s->view->col_prefix, s->view->col_first + p->cols - 1);
    size_t step = (size_t)llround(scale_nice((double)(widest + 1) * (double)p->cols_per / (double)width));
    size_t at = 0, first = (step - s->view->col_first % step) % step;
    spaces(s, left);
    for (size_t j = first; j < p->cols; j += step) {
        size_t want = j / p->cols_per * width;
        size_t n = label(text, sizeof text, s->view->col_prefix, s->view->col_first + j);
        if (want < at || want + n > p->out_cols * width) continue;
        spaces(s, want - at);
        fprintf(s->text, "%s", text);
        at = want + n + 1;
        if (j + step < p->cols)
            fputc(' ', s->text);
        else
            at--;
    }
    fputc('\n', s->text);
}

static void put_rows(struct screen *s, const struct matrix_cells *c, size_t left, size_t width)
{
    bool half = s->view->half && s->view->utf8 && s->view->color >= CELLS_256;
    char text[40];
    for (size_t r = 0; r < c->pool.out_rows; r += half ? 2 : 1) {
        size_t n = label(text, sizeof text, s->view->row_prefix, s->view->row_first + r * c->pool.rows_per);
        fprintf(s->text, "%s", text);
        spaces(s, left - n);
        for (size_t i = 0; i < c->pool.out_cols; i++) {
            double t = scale_unit(&s->scale, matrix_cell(c, r, i));
            bool below = r + 1 < c->pool.out_rows;
            if (half)
                put_half(s, t, below ? scale_unit(&s->scale, matrix_cell(c, r + 1, i)) : NAN, width);
            else
                put_cell(s, t, width);
        }
        reset(s);
        fputc('\n', s->text);
    }
}

static void put_scale(struct screen *s, const struct matrix_cells *c)
{
    char low[28], high[28], note[96], pooled[48];
    size_t steps = s->view->color >= CELLS_256 ? s->map->steps
                   : s->map->diverging         ? sizeof ramp_about - 1
                                               : sizeof ramp - 1;
    scale_text(s->scale.low, low, sizeof low);
    scale_text(s->scale.high, high, sizeof high);
    scale_note(&s->scale, note, sizeof note);
    matrix_pool_text(c, pooled, sizeof pooled);
    fprintf(s->text, "%s [", low);
    for (size_t i = 0; i < steps; i++)
        put_cell(s, ((double)i + 0.5) / (double)steps, s->view->color >= CELLS_256 ? LADDER_REPEAT : 1);
    reset(s);
    fprintf(s->text, "] %s%s%s\n%s", high, s->view->unit ? " " : "", s->view->unit ? s->view->unit : "", note);
    if (*pooled) fprintf(s->text, ", each cell the %s", pooled);
    if (c->nodata) fprintf(s->text, "; %c = no data", color_roles[COLOR_NODATA].ascii);
    fputc('\n', s->text);
}

enum kv_status cells_heat(
    const struct cells_out *out, const struct matrix *matrix, const struct cells_view *view, struct kv_error *err)
{
    struct screen s;
    struct matrix_cells c = { 0 };
    char text[40];
    enum kv_status status = begin(&s, view, err);
    size_t left = label(text, sizeof text, view->row_prefix, view->row_first + matrix->rows) + 1;
    size_t room = columns(&s) > left + 1 ? columns(&s) - left : 1;
    size_t most = view->max_rows ? view->max_rows : kv_max(matrix->rows, 1);
    if (!status) status = matrix_cells_read(&c, matrix, view->pool, most, room, &s.scale, err);
    if (!status) status = scale_fit(&s.scale, err);
    if (!status) {
        size_t width = kv_min(kv_max(room / c.pool.out_cols, 1), CELL_MOST);
        if (view->title) fprintf(s.text, "%s\n", view->title);
        put_head(&s, &c.pool, left, width);
        put_rows(&s, &c, left, width);
        put_scale(&s, &c);
    }
    matrix_cells_free(&c);
    return end(&s, out, status, err);
}

enum kv_status cells_spark(const struct cells_out *out, const char *name, const float *values, size_t n,
    const struct cells_view *view, struct kv_error *err)
{
    struct screen s;
    struct matrix_cells c = { 0 };
    struct matrix row = { .rows = 1, .cols = n, .data = values };
    char low[28], high[28];
    enum kv_status status = begin(&s, view, err);
    size_t unit = view->unit ? utf8_width(view->unit) + 1 : 0;
    size_t taken = utf8_width(name) + 1 + 2 * NUMBER + 5 + unit;
    size_t room = columns(&s) > taken + 1 ? columns(&s) - taken : 1;
    if (!status) status = matrix_cells_read(&c, &row, view->pool, 1, room, &s.scale, err);
    if (!status) status = scale_fit(&s.scale, err);
    if (!status) {
        fprintf(s.text, "%s ", name);
        for (size_t i = 0; i < c.pool.out_cols; i++) {
            double t = scale_unit(&s.scale, matrix_cell(&c, 0, i));
            if (isnan(t))
                fputc(color_roles[COLOR_NODATA].ascii, s.text);
            else if (view->utf8)
                fprintf(s.text, "%s", blocks[color_step(t, KV_COUNT(blocks))]);
            else
                fputc(ramp[color_step(t, sizeof ramp - 1)], s.text);
        }
        scale_text(s.scale.low, low, sizeof low);
        scale_text(s.scale.high, high, sizeof high);
        fprintf(s.text, " %s .. %s%s%s\n", low, high, view->unit ? " " : "", view->unit ? view->unit : "");
    }
    matrix_cells_free(&c);
    return end(&s, out, status, err);
}

static void put_role(struct screen *s, enum color_role role)
{
    const struct color_look *l = &color_roles[role];
    uint32_t now = (uint32_t)role;
    if (s->view->color != CELLS_NONE && now != s->last) {
        if (s->view->color == CELLS_8)
            fprintf(s->text, "\033[3%dm", l->ansi);
        else if (s->view->color == CELLS_256)
            fprintf(s->text, "\033[38;5;%dm", l->xterm);
        else
            fprintf(s->text, "\033[38;2;%u;%u;%um", l->rgb >> 16, l->rgb >> 8 & 255, l->rgb & 255);
        s->last = now;
    }
    if (s->view->utf8)
        fprintf(s->text, "%s", l->utf8);
    else
        fputc(l->ascii, s->text);
}

static void put_tokens(struct screen *s, double tokens)
{
    if (isfinite(tokens))
        fprintf(s->text, " %*.0f", NUMBER - 1, tokens);
    else
        fprintf(s->text, " %*s", NUMBER - 1, "-");
}

enum kv_status cells_bar(
    const struct cells_out *out, const struct cells_bar *bar, const struct cells_view *view, struct kv_error *err)
{
    struct screen s;
    enum kv_status status = begin(&s, view, err);
    if (!status && !(bar->most > 0))
        status = kv_fail(err, KV_BAD_ARG, "A bar of %g tokens has no length.", bar->most);
    if (status) return end(&s, out, status, err);
    size_t taken = utf8_width(bar->label) + 1 + 3 * NUMBER + (bar->suffix ? utf8_width(bar->suffix) + 1 : 0);
    size_t room = columns(&s) > taken + 8 ? columns(&s) - taken : 8;
    double per = bar->most / (double)room;
    fprintf(s.text, "%s ", bar->label);
    for (size_t i = 0; i < room; i++) {
        double middle = ((double)i + 0.5) * per, from = (double)i * per;
        bool last = i + 1 == room;
        /* A NaN compares false everywhere, so its mark is left out. */
        if (bar->requested >= from && (bar->requested < from + per || last))
            put_role(&s, COLOR_REQUESTED);
        else if (bar->used >= middle)
            put_role(&s, COLOR_USED);
        else if (bar->applied >= middle)
            put_role(&s, COLOR_APPLIED);
        else {
            reset(&s);
            fputc(' ', s.text);
        }
    }
    reset(&s);
    put_tokens(&s, bar->requested);
    put_tokens(&s, bar->applied);
    put_tokens(&s, bar->used);
    fprintf(s.text, "%s%s\n", bar->suffix ? " " : "", bar->suffix ? bar->suffix : "");
    return end(&s, out, status, err);
}

enum kv_status cells_legend(const struct cells_out *out, const enum color_role *roles, size_t n,
    const struct cells_view *view, struct kv_error *err)
{
    struct screen s;
    enum kv_status status = begin(&s, view, err);
    for (size_t i = 0; i < n && !status; i++) {
        if (i) fprintf(s.text, "  ");
        put_role(&s, roles[i]);
        reset(&s);
        fprintf(s.text, " %s", color_roles[roles[i]].name);
    }
    if (!status) fputc('\n', s.text);
    return end(&s, out, status, err);
}
