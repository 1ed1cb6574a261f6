/* Decoding, widths, visible tokens. */
#include "render/utf8.h"

#include <stdio.h>
#include <string.h>

struct range {
    uint32_t first, last;
};

/* Unicode blocks, not single characters: a label off by a column in a rare script beats a table of 4,000 rows. */
static const struct range zero_width[] = { { 0x300, 0x36f }, { 0x483, 0x489 }, { 0x591, 0x5bd }, { 0x610, 0x61a },
    { 0x64b, 0x65f }, { 0x93c, 0x93c }, { 0x941, 0x948 }, { 0x94d, 0x94d }, { 0xe31, 0xe31 }, { 0xe34, 0xe3a },
    { 0xe47, 0xe4e }, { 0x200b, 0x200f }, { 0x202a, 0x202e }, { 0x2060, 0x2064 }, { 0x20d0, 0x20f0 },
    { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, { 0x1f3fb, 0x1f3ff }, { 0xe0000, 0xe0fff } };
static const struct range double_width[] = { { 0x1100, 0x115f }, { 0x231a, 0x231b }, { 0x23e9, 0x23ec },
    { 0x2614, 0x2615 }, { 0x26a1, 0x26a1 }, { 0x2705, 0x2705 }, { 0x274c, 0x274c }, { 0x2728, 0x2728 },
    { 0x2795, 0x2797 }, { 0x2b50, 0x2b50 }, { 0x2e80, 0x303e }, { 0x3041, 0xa4cf }, { 0xa960, 0xa97f },
    { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 },
    { 0x1f004, 0x1f004 }, { 0x1f0cf, 0x1f0cf }, { 0x1f18e, 0x1f19a }, { 0x1f200, 0x1f64f }, { 0x1f680, 0x1f6ff },
    { 0x1f7e0, 0x1f7eb }, { 0x1f900, 0x1f9ff }, { 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd } };

/* Length of the sequence that starts at p and ends before end, its code point in *code; 0 when malformed. */
static size_t decode(const unsigned char *p, const unsigned char *end, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 ? 4 : 0;
    if (!n || *p > 0xf4 || (size_t)(end - p) < n) return 0;
    *code = n == 1 ? *p : *p & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    if (*code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)) return 0;
    return n;
}

uint32_t utf8_next(const char **text)
{
    const unsigned char *p = (const unsigned char *)*text;
    uint32_t code;
    if (!*p) return 0;
    size_t n = decode(p, p + strnlen(*text, 4), &code);
    *text += n ? n : 1;
    return n ? code : 0xfffd;
}

bool utf8_valid(const char *text)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    uint32_t code;
    while (p < end) {
        size_t n = decode(p, end, &code);
        if (!n) return false;
        p += n;
    }
    return true;
}

size_t utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) return out[0] = (char)code, 1;
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out[0] = (char)((0xFF00 >> (more + 1) & 0xFF) | code >> (6 * more));
    for (size_t i = 1; i <= more; i++) out[i] = (char)(0x80 | (code >> (6 * (more - i)) & 63));
    return more + 1;
}

static bool in(const struct range *table, size_t n, uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (code > table[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && code >= table[low].first;
}

int utf8_columns(uint32_t code)
{
    if (code < 0x300) return 1;
    if (in(zero_width, KV_COUNT(zero_width), code)) return 0;
    return in(double_width, KV_COUNT(double_width), code) ? 2 : 1;
}

size_t utf8_width(const char *text)
{
    size_t columns = 0;
    for (uint32_t code; (code = utf8_next(&text));) columns += (size_t)utf8_columns(code);
    return columns;
}

void utf8_visible(const char *bytes, size_t n, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + n;
    size_t used = 0;
    bool leading = true;
    for (out[0] = 0; p < end;) {
        uint32_t code;
        size_t length = decode(p, end, &code);
        char piece[8];
        bool hidden = !length || code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (length && code == '\n')
            snprintf(piece, sizeof piece, "↵");
        else if (length && code == '\t')
            snprintf(piece, sizeof piece, "⇥");
        else if (length && code == ' ' && leading)
            snprintf(piece, sizeof piece, "·");
        else if (hidden)
            snprintf(piece, sizeof piece, "\\x%02x", length ? (unsigned)code : *p);
        else
            snprintf(piece, sizeof piece, "%.*s", (int)length, (const char *)p);
        if (!length || code != ' ') leading = false;
        size_t add = strlen(piece);
        if (used + add + 1 > size) return;
        memcpy(out + used, piece, add + 1);
        used += add;
        p += length ? length : 1;
    }
}
