/* FreeType behind four calls. */
#include "render/text.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "render/utf8.h"

struct text {
    FT_Library library;
    FT_Face face[TEXT_FONTS];
};

static const char *const font_files[TEXT_FONTS] = { "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf" };
static const char *const font_folders[] = { "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/truetype/ttf-dejavu", "/usr/share/fonts/dejavu-sans-fonts", "/usr/share/fonts/dejavu",
    "/usr/share/fonts/TTF", "/usr/local/share/fonts" };

/* The one place that decides where fonts come from. */
static const char *font_folder(const char *asked)
{
    char path[512];
    const char *named = asked ? asked : getenv("KVDBG_FONTS");
    if (named && *named) return named;
    for (size_t i = 0; i < KV_COUNT(font_folders); i++) {
        snprintf(path, sizeof path, "%s/%s", font_folders[i], font_files[0]);
        if (!access(path, R_OK)) return font_folders[i];
    }
    return font_folders[0];
}

enum kv_status text_open(struct text **out, const char *folder, struct kv_error *err)
{
    *out = NULL;
    struct text *t = kv_alloc(1, sizeof *t);
    if (!t || FT_Init_FreeType(&t->library)) {
        free(t);
        return kv_fail(err, KV_NO_MEMORY, "No memory for the FreeType library.");
    }
    folder = font_folder(folder);
    for (size_t i = 0; i < TEXT_FONTS; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, font_files[i]);
        if (!FT_New_Face(t->library, path, 0, &t->face[i])) continue;
        text_close(t);
        return kv_fail(err, KV_NOT_FOUND,
            "The font %.200s/%s is missing or unreadable; install the package fonts-dejavu-core, or name the "
            "folder of DejaVu in KVDBG_FONTS.",
            folder, font_files[i]);
    }
    *out = t;
    return KV_OK;
}

void text_close(struct text *t)
{
    if (!t) return;
    FT_Done_FreeType(t->library); /* closes the faces too */
    free(t);
}

/* A point that walks along a line of text, in either direction of writing. */
struct pen {
    struct canvas *canvas;
    uint32_t rgb;
    int x, y; /* start of the baseline */
    bool up;
};

static void dot(const struct pen *pen, int along, int below, unsigned cover)
{
    if (pen->up)
        canvas_blend(pen->canvas, pen->x + below, pen->y - along, pen->rgb, cover);
    else
        canvas_blend(pen->canvas, pen->x + along, pen->y + below, pen->rgb, cover);
}

/* Hexadecimal digits of 3 x 5 dots, the top left dot in the highest bit. */
static const uint16_t digit_dots[16] = { 075557, 026227, 071747, 071717, 055711, 074717, 074757, 071244, 075757,
    075717, 075755, 065656, 074447, 065556, 074647, 074644 };

/* Digits of a code point in each of the box's two lines. */
static int box_digits(uint32_t code) { return code > 0xffff ? 3 : 2; }

/* Room, line, room, digits of 3 dots with one between them, room, line. */
static int box_width(uint32_t code) { return 4 * box_digits(code) + 5; }

static void draw_digit(const struct pen *pen, int along, int below, unsigned digit)
{
    for (int i = 0; i < 15; i++)
        if (digit_dots[digit] >> (14 - i) & 1) dot(pen, along + i % 3, below + i / 3, 255);
}

static void draw_box(const struct pen *pen, int along, uint32_t code)
{
    enum { HEIGHT = 15, ABOVE = 12 };
    int digits = box_digits(code), last = box_width(code) - 2;
    for (int i = 1; i <= last; i++) {
        for (int k = 0; k < HEIGHT; k++) {
            bool edge = i == 1 || i == last || k == 0 || k == HEIGHT - 1;
            if (edge) dot(pen, along + i, k - ABOVE, 120);
        }
    }
    for (int i = 0; i < 2 * digits; i++) {
        unsigned digit = code >> 4 * (2 * digits - 1 - i) & 15;
        draw_digit(pen, along + 3 + i % digits * 4, i / digits * 6 + 2 - ABOVE, digit);
    }
}

/* Characters that only tell others how to look. */
static bool invisible(uint32_t code)
{
    return (code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x2064) || (code >= 0xfe00 && code <= 0xfe0f) || code == 0xfeff ||
           (code >= 0xe0000 && code <= 0xe0fff);
}

static void draw_glyph(const struct pen *pen, int along, const FT_GlyphSlot glyph)
{
    const FT_Bitmap *map = &glyph->bitmap;
    for (int row = 0; row < (int)map->rows; row++) {
        for (int col = 0; col < (int)map->width; col++) {
            unsigned cover = map->buffer[row * map->pitch + col];
            if (cover) dot(pen, along + glyph->bitmap_left + col, row - glyph->bitmap_top, cover);
        }
    }
}

/* Advance of the string's first character, which it passes; draws it when pen is given. */
static int step(struct text *t, const struct text_style *style, const struct pen *pen, int along, const char **s)
{
    FT_Face face = t->face[style->font];
    uint32_t code = utf8_next(s);
    FT_UInt index = FT_Get_Char_Index(face, code);
    FT_Int32 flags = FT_LOAD_TARGET_LIGHT | (pen ? FT_LOAD_RENDER : 0);
    if (invisible(code)) return 0;
    if (!index || FT_Load_Glyph(face, index, flags)) {
        if (pen) draw_box(pen, along, code);
        return box_width(code);
    }
    if (pen) draw_glyph(pen, along, face->glyph);
    return (int)((face->glyph->advance.x + 32) >> 6);
}

static int walk(struct text *t, const struct text_style *style, const struct pen *pen, const char *s)
{
    int along = 0;
    FT_Set_Pixel_Sizes(t->face[style->font], 0, (FT_UInt)style->px);
    while (*s) along += step(t, style, pen, along, &s);
    return along;
}

int text_width(struct text *t, struct text_style style, const char *utf8) { return walk(t, &style, NULL, utf8); }

void text_draw(struct text *t, struct canvas *c, struct text_style style, int x, int y, enum text_anchor anchor,
    bool up, const char *utf8)
{
    /* 0.73 em is DejaVu's cap height; no glyph reaches further than 1.3 em from the middle of the line. */
    int half = (int)lround(0.73 * style.px / 2), reach = style.px * 13 / 10;
    if (!up && !canvas_sees(c, y - reach, 2 * reach)) return;
    int width = anchor == TEXT_LEFT && !up ? 0 : text_width(t, style, utf8);
    int shift = anchor == TEXT_LEFT ? 0 : anchor == TEXT_CENTER ? width / 2 : width;
    if (up && !canvas_sees(c, y + shift - width - reach, width + 2 * reach)) return;
    struct pen pen = { c, style.rgb, up ? x + half : x - shift, up ? y + shift : y + half, up };
    walk(t, &style, &pen, utf8);
}

void text_cut(struct text *t, struct text_style style, const char *utf8, int width, char *out, size_t size)
{
    const char *dots = "…", *s = utf8, *fits = utf8;
    size_t room = size - 1, tail = strlen(dots);
    int room_px = width - text_width(t, style, dots), along = 0;
    FT_Set_Pixel_Sizes(t->face[style.font], 0, (FT_UInt)style.px);
    while (*s) {
        along += step(t, &style, NULL, along, &s);
        if (along <= room_px && (size_t)(s - utf8) + tail <= room) fits = s;
    }
    bool whole = along <= width && (size_t)(s - utf8) <= room;
    size_t keep = whole ? (size_t)(s - utf8) : (size_t)(fits - utf8);
    memcpy(out, utf8, keep);
    if (!whole && keep + tail <= room) {
        memcpy(out + keep, dots, tail);
        keep += tail;
    }
    out[keep] = 0;
}
