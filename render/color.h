/* Colors, once for pictures and terminals: perceptual maps for numbers, roles for classes.
 *
 * A map has 256 sRGB entries and a 12-step ladder of fixed xterm colors (16..255, never a redefined palette); the
 * lightness L* of both rises strictly, so a map reads the same in grey print. Where there is no color at all, the
 * ramp's ten characters stand for the same scale. A role says what a class (kept, evicted, ...) looks like
 * everywhere. The last map is for differences: zero is a neutral grey in the middle, and L* falls strictly from there
 * to both sides. */
#ifndef RENDER_COLOR_H
#define RENDER_COLOR_H

#include "kernels/base.h"

#define COLOR_MAPS  5
#define COLOR_STEPS 12

struct color_map {
    const char *name;
    bool diverging;    /* entry 128 and the ladder's middle step are zero */
    uint32_t rgb[256]; /* 0xRRGGBB, sRGB */
    size_t steps;      /* of the ladder */
    uint8_t ladder[COLOR_STEPS];
};

/* magma (the default), viridis, cividis, grey; diverging. */
extern const struct color_map color_maps[COLOR_MAPS];

/* Characters from low to high, for terminals without color; and those of differences, zero in the middle. */
#define COLOR_RAMP       " .:-=+*#%@"
#define COLOR_RAMP_ABOUT "=-. +*#"

/* name, 0xRRGGBB, xterm-256 index, 8-color index (0..7), ASCII mark, UTF-8 mark. The class colors are Okabe and
 * Ito's, which color-blind readers tell apart. */
#define COLOR_ROLE_LIST(X)                                                                                         \
    X(EVICTED, "evicted", 0xf3f3f3, 245, 7, '.', "·")                                                              \
    X(KEPT, "kept", 0x0072b2, 32, 4, '#', "█")                                                                     \
    X(SINK, "sink", 0xd55e00, 166, 1, 'S', "▲")                                                                    \
    X(RECENT, "recent", 0x009e73, 36, 2, 'r', "▒")                                                                 \
    X(PINNED, "pinned", 0xcc79a7, 175, 5, 'P', "◆")                                                                \
    X(REQUESTED, "requested", 0xd55e00, 166, 1, '|', "│")                                                          \
    X(APPLIED, "applied", 0x8fc1e3, 110, 6, '=', "▒")                                                              \
    X(USED, "used", 0x0072b2, 32, 4, '#', "█")                                                                     \
    X(NODATA, "no data", 0xe4ebf2, 252, 7, '/', "╱")                                                               \
    X(TEXT, "text", 0x1a1a1a, 255, 7, 0, "")                                                                       \
    X(MUTED, "muted", 0x5f6770, 246, 7, 0, "")                                                                     \
    X(AXIS, "axis", 0x8a9097, 244, 7, 0, "")                                                                       \
    X(GRID, "grid", 0xe4e7ea, 236, 7, 0, "")                                                                       \
    X(HATCH, "hatch", 0xb9bec4, 250, 7, 0, "")                                                                     \
    X(PAPER, "paper", 0xffffff, 16, 0, 0, "")                                                                      \
    X(HERE, "kept here only", 0xe69f00, 178, 3, '+', "+")                                                          \
    X(THERE, "kept there only", 0x56b4e9, 74, 6, '-', "-")

enum color_role {
#define X(id, name, rgb, xterm, ansi, ascii, utf8) COLOR_##id,
    COLOR_ROLE_LIST(X)
#undef X
        COLOR_ROLES
};

struct color_look {
    const char *name;
    uint32_t rgb;
    uint8_t xterm, ansi;
    char ascii;
    const char *utf8;
};

extern const struct color_look color_roles[COLOR_ROLES];

/* The map of that name; NULL or "" is the default. KV_BAD_ARG lists the names. */
enum kv_status color_map(const char *name, const struct color_map **out, struct kv_error *err);

/* Entry for t in [0, 1]; a NaN is the color of "no data", which no map contains. */
uint32_t color_at(const struct color_map *map, double t);

/* Which of n equal steps t in [0, 1] falls into; t must not be NaN. */
size_t color_step(double t, size_t n);

/* The sRGB of a fixed xterm color, 16..255: the cube of 6 x 6 x 6, then greys. */
uint32_t color_xterm(int index);

/* Whether dark text reads better than white on this color. */
bool color_is_light(uint32_t rgb);

/* CIE lightness L*, 0 to 100, of an sRGB color (D65). */
double color_lightness(uint32_t rgb);

#endif
