/* The grid of cells. */
#include "render/screen.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "render/utf8.h"

static const struct screen_cell blank = { .code = ' ', .role = COLOR_TEXT };

enum kv_status screen_resize(struct screen *s, int rows, int cols, struct kv_error *err)
{
    struct screen_cell *cell = kv_alloc((size_t)rows * (size_t)cols + 1, sizeof *cell);
    if (!cell) return kv_fail(err, KV_NO_MEMORY, "No memory for a screen of %dx%d.", cols, rows);
    free(s->cell);
    *s = (struct screen){ rows, cols, cell, -1, -1 };
    screen_clear(s);
    return KV_OK;
}

void screen_clear(struct screen *s)
{
    for (int i = 0; i < s->rows * s->cols; i++) s->cell[i] = blank;
    s->cursor_row = s->cursor_col = -1;
}

void screen_free(struct screen *s)
{
    free(s->cell);
    *s = (struct screen){ 0 };
}

static void put_code(uint32_t c, FILE *out)
{
    char bytes[4];
    fwrite(bytes, 1, utf8_put(c, bytes), out);
}

static char role_letter(const struct screen_cell *c)
{
    static const char letter[COLOR_ROLES] = { [COLOR_EVICTED] = 'e',
        [COLOR_KEPT] = 'k',
        [COLOR_SINK] = 's',
        [COLOR_RECENT] = 'w',
        [COLOR_PINNED] = 'p',
        [COLOR_HERE] = 'o',
        [COLOR_THERE] = 't',
        [COLOR_REQUESTED] = 'q',
        [COLOR_APPLIED] = 'a',
        [COLOR_USED] = 'u',
        [COLOR_NODATA] = 'n',
        [COLOR_TEXT] = '.',
        [COLOR_MUTED] = 'm',
        [COLOR_AXIS] = 'x',
        [COLOR_GRID] = 'g',
        [COLOR_HATCH] = 'h',
        [COLOR_PAPER] = 'i' };
    if (c->map) return "0123456789ab"[color_step(c->value / 255.0, COLOR_STEPS)];
    char l = c->role < COLOR_ROLES && letter[c->role] ? letter[c->role] : '?';
    if (c->attr & SCREEN_REVERSE) return l == '.' ? 'R' : (char)(l - 'a' + 'A');
    if (c->attr & SCREEN_STRUCK) return '-';
    return l == '.' && (c->attr & SCREEN_BOLD) ? '!' : l;
}

void screen_print(const struct screen *s, bool roles, FILE *out)
{
    for (int r = 0; r < s->rows; r++) {
        int end = s->cols;
        const struct screen_cell *row = s->cell + (size_t)r * (size_t)s->cols;
        while (end && row[end - 1].code == ' ' && (!row[end - 1].map || row[end - 1].attr & SCREEN_NUMBER)) end--;
        for (int c = 0; c < end; c++) {
            bool ramp = row[c].map && !(row[c].attr & SCREEN_NUMBER); /* as a terminal without colors shows it */
            if (row[c].code)
                put_code(ramp ? (uint32_t)COLOR_RAMP[color_step(row[c].value / 255.0, sizeof COLOR_RAMP - 1)]
                              : row[c].code,
                    out);
            if (row[c].mark) put_code(row[c].mark, out);
        }
        fputc('\n', out);
    }
    for (int r = 0; roles && r < s->rows; r++) {
        for (int c = 0; c < s->cols; c++) fputc(role_letter(s->cell + (size_t)r * (size_t)s->cols + c), out);
        fputc('\n', out);
    }
}

/* --- panes ------------------------------------------------------------------------------------------------------- */

struct pane pane_all(struct screen *s) { return (struct pane){ s, 0, 0, s->rows, s->cols }; }

struct pane pane_part(const struct pane *p, int top, int left, int rows, int cols)
{
    struct pane q = { p->screen, p->top + top, p->left + left, rows, cols };
    if (q.rows > p->rows - top) q.rows = p->rows - top;
    if (q.cols > p->cols - left) q.cols = p->cols - left;
    if (q.rows < 0) q.rows = 0;
    if (q.cols < 0) q.cols = 0;
    return q;
}

static struct screen_cell *cell_at(const struct pane *p, int row, int col)
{
    int r = p->top + row, c = p->left + col;
    if (row < 0 || col < 0 || row >= p->rows || col >= p->cols) return NULL;
    if (r < 0 || c < 0 || r >= p->screen->rows || c >= p->screen->cols) return NULL;
    return p->screen->cell + (size_t)r * (size_t)p->screen->cols + c;
}

/* Half of a wide character that loses its other half becomes a blank. */
static void split_wide(const struct pane *p, int row, int col)
{
    struct screen_cell *here = cell_at(p, row, col), *left = cell_at(p, row, col - 1);
    struct screen_cell *right = cell_at(p, row, col + 1);
    if (here && !here->code && left) left->code = ' ';
    if (here && here->code && right && !right->code) right->code = ' ';
}

static int put_char(const struct pane *p, int row, int col, enum color_role role, unsigned attr, uint32_t code)
{
    int width = utf8_columns(code);
    struct screen_cell *cell = cell_at(p, row, col);
    if (!width) {
        struct screen_cell *before = cell_at(p, row, col - 1);
        if (before && !before->code) before = cell_at(p, row, col - 2);
        if (before && !before->mark) before->mark = code;
        return col;
    }
    if (!cell) return col + width;
    struct screen_cell *second = width == 2 ? cell_at(p, row, col + 1) : NULL;
    split_wide(p, row, col);
    if (width == 2 && !second) { /* it would hang over the edge */
        *cell = (struct screen_cell){ ' ', 0, (uint8_t)role, (uint8_t)attr, 0, 0 };
        return col + 2;
    }
    *cell = (struct screen_cell){ code, 0, (uint8_t)role, (uint8_t)attr, 0, 0 };
    if (second) {
        split_wide(p, row, col + 1);
        *second = (struct screen_cell){ 0, 0, (uint8_t)role, (uint8_t)attr, 0, 0 };
        cell->code = code;
    }
    return col + width;
}

int pane_text(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *text)
{
    for (uint32_t code; (code = utf8_next(&text));)
        col = put_char(p, row, col, role, attr, code < 0x20 || (code >= 0x7F && code < 0xA0) ? '?' : code);
    return col;
}

int pane_printf(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return pane_text(p, row, col, role, attr, text);
}

/* Where the last part of a phrase begins that could be left out; NULL = it is one part. */
static char *last_part(char *text)
{
    for (char *c = text + strlen(text); --c > text;)
        if (c[0] == ' ' && (c[-1] == ',' || c[-1] == ';' || c[-1] == ' ')) return c - 1;
    return NULL;
}

int pane_phrase(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *fmt, ...)
{
    char text[1024], *part;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    while (*text && (int)utf8_width(text) > p->cols - col && (part = last_part(text))) *part = '\0';
    return pane_text(p, row, col, role, attr, text);
}

void pane_fill(const struct pane *p, int row, int col, int width, enum color_role role, unsigned attr, char c)
{
    for (int i = 0; i < width; i++) put_char(p, row, col + i, role, attr, (unsigned char)c);
}

void pane_heat(
    const struct pane *p, int row, int col, int width, const struct color_map *map, double t, const char *text)
{
    bool none = isnan(t);
    if (none) {
        pane_fill(p, row, col, width, COLOR_NODATA, 0, '/');
        return;
    }
    pane_fill(p, row, col, width, COLOR_TEXT, 0, ' ');
    bool number = text && *text;
    if (number) pane_text(p, row, col, COLOR_TEXT, 0, text);
    for (int i = 0; i < width; i++) {
        struct screen_cell *cell = cell_at(p, row, col + i);
        if (!cell) continue;
        cell->map = (uint8_t)(1 + (map - color_maps));
        cell->value = (uint8_t)lrint(255 * fmin(fmax(t, 0), 1));
        if (number) cell->attr |= SCREEN_NUMBER;
    }
}

void pane_reverse(const struct pane *p, int row, int col, int width)
{
    for (int i = 0; i < width; i++) {
        struct screen_cell *cell = cell_at(p, row, col + i);
        if (cell) cell->attr ^= SCREEN_REVERSE;
    }
}

void pane_cursor(const struct pane *p, int row, int col)
{
    if (!cell_at(p, row, col)) return;
    p->screen->cursor_row = p->top + row;
    p->screen->cursor_col = p->left + col;
}
