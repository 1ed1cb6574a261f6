/* Text into a canvas by FreeType: DejaVu, UTF-8, horizontal or turned up. A character that the font lacks becomes
 * a box with its code point in hexadecimal: no label ever shows another letter than its own, or none. What is invisible
 * by nature (joiners, variation selectors) takes no room. */
#ifndef RENDER_TEXT_H
#define RENDER_TEXT_H

#include "render/canvas.h"

enum text_font { TEXT_SANS, TEXT_BOLD, TEXT_MONO, TEXT_FONTS };
enum text_anchor { TEXT_LEFT, TEXT_CENTER, TEXT_RIGHT }; /* which end of the text is at the point */

struct text_style {
    enum text_font font;
    int px; /* em size in pixels */
    uint32_t rgb;
};

struct text; /* the open fonts */

/* Opens DejaVu from folder, else from the environment's KVDBG_FONTS, else from where distributions put it.
 * KV_NOT_FOUND names the Debian package fonts-dejavu-core. */
enum kv_status text_open(struct text **out, const char *folder, struct kv_error *err);
void text_close(struct text *t);

/* Advance width in pixels. */
int text_width(struct text *t, struct text_style style, const char *utf8);

/* Draws along x (or, up: bottom to top along y) with the anchored end at (x, y); across the line, the middle of
 * the capitals is at the point. */
void text_draw(struct text *t, struct canvas *c, struct text_style style, int x, int y, enum text_anchor anchor,
    bool up, const char *utf8);

/* Copies utf8 into out (size > 0 bytes), cut at a character and ended by "…" when it is wider than width pixels
 * or longer than out. */
void text_cut(struct text *t, struct text_style style, const char *utf8, int width, char *out, size_t size);

#endif
