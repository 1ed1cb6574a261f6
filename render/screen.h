/* A grid of terminal cells, before any terminal: views draw into panes of it, a terminal shows it, a test prints it.
 *
 * A cell has a character of one or two columns, the role (color.h) of its text, attributes, and maybe a value of a color
 * map as its ground. Roles and values, never colors: what they look like is the terminal's business. */
#ifndef RENDER_SCREEN_H
#define RENDER_SCREEN_H

#include <stdio.h>

#include "render/color.h"

enum screen_attr {
    SCREEN_BOLD = 1,
    SCREEN_DIM = 2,
    SCREEN_UNDERLINE = 4,
    SCREEN_REVERSE = 8,
    SCREEN_STRUCK = 16, /* shown as dim where the terminal cannot */
    SCREEN_NUMBER = 32  /* a ground's number: where no ground can be shown, nothing stands for it */
};

struct screen_cell {
    uint32_t code, mark; /* a character and one combining mark, 0 = none; code 0 = the right half of a wide one */
    uint8_t role, attr;  /* enum color_role, enum screen_attr */
    uint8_t map;         /* 0 = no ground, else 1 + index into color_maps */
    uint8_t value;       /* of the map, 0..255 */
};

struct screen {
    int rows, cols;
    struct screen_cell *cell;   /* [rows][cols] */
    int cursor_row, cursor_col; /* -1 = none */
};

/* Zeroed = empty. Contents are lost. KV_NO_MEMORY leaves it as it was. */
enum kv_status screen_resize(struct screen *s, int rows, int cols, struct kv_error *err);
void screen_clear(struct screen *s);
void screen_free(struct screen *s);

/* The text, a line a row without trailing blanks; with roles, then a line a row with a letter a cell: lower case for a
 * role (see screen_role_letter), a digit or letter 0..b for a map's step, . for plain text, upper case where it is
 * reversed. */
void screen_print(const struct screen *s, bool roles, FILE *out);

/* --- panes ------------------------------------------------------------------------------------------------------- */

/* A rectangle of a screen. What falls outside is cut off. */
struct pane {
    struct screen *screen;
    int top, left, rows, cols;
};

struct pane pane_all(struct screen *s);
/* A part of a pane, cut to it. */
struct pane pane_part(const struct pane *p, int top, int left, int rows, int cols);

/* UTF-8 text at a place; returns the column behind it. Control characters become '?'. */
int pane_text(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *text);
int pane_printf(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The same, without what stands behind the last ", ", "; " or "  " that does not fit as a whole. */
int pane_phrase(const struct pane *p, int row, int col, enum color_role role, unsigned attr, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The same character over `width` columns. */
void pane_fill(const struct pane *p, int row, int col, int width, enum color_role role, unsigned attr, char c);
/* A cell of a heat map, `width` columns of ground with an optional text; t in [0, 1], NaN = no data. */
void pane_heat(
    const struct pane *p, int row, int col, int width, const struct color_map *map, double t, const char *text);
/* Reverses what is there. */
void pane_reverse(const struct pane *p, int row, int col, int width);
/* Puts the terminal's cursor here. */
void pane_cursor(const struct pane *p, int row, int col);

#endif
