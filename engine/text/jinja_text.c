/* Texts with marks. Cutting borrows; all else makes a new text in the arena, with marks only where one has any. */
#include "engine/text/jinja_parts.h"

#include "engine/text/utf8.h"

#include <string.h>

static const struct jinja_text none = { "", NULL, 0 };

struct jinja_text jt_of(const char *text) { return (struct jinja_text){ text, NULL, strlen(text) }; }

struct jinja_text jt_cut(struct jinja_text s, size_t from, size_t to)
{
    if (from >= to) return none;
    return (struct jinja_text){ s.text + from, s.mark ? s.mark + from : NULL, to - from };
}

bool jt_same(struct jinja_text a, struct jinja_text b)
{
    return a.n == b.n && (!a.n || !memcmp(a.text, b.text, a.n));
}

size_t jt_find(struct jinja_text s, struct jinja_text what, size_t from)
{
    const char *found = from <= s.n ? memmem(s.text + from, s.n - from, what.text, what.n) : NULL;
    return found ? (size_t)(found - s.text) : SIZE_MAX;
}

/* Room is doubled, so that a text is copied a bounded number of times. */
static bool reserve(struct jinja *j, struct jout *out, size_t more, bool marked)
{
    size_t room = out->n + more <= out->room ? out->room : kv_max(2 * out->room, out->n + more + 64);
    if (room > out->room) {
        char *text = jinja_take(j, room, 1);
        if (!text) return false;
        if (out->n) memcpy(text, out->text, out->n);
        out->text = text;
    }
    if ((marked || out->mark) && (!out->mark || room > out->room)) {
        unsigned char *mark = jinja_take(j, room, 1);
        if (!mark) return false;
        if (out->mark) memcpy(mark, out->mark, out->n);
        out->mark = mark;
    }
    out->room = room;
    return true;
}

void jout_put(struct jinja *j, struct jout *out, struct jinja_text s)
{
    if (!s.n || !jinja_step(j, s.n) || !reserve(j, out, s.n, s.mark)) return;
    memcpy(out->text + out->n, s.text, s.n);
    if (s.mark) memcpy(out->mark + out->n, s.mark, s.n);
    out->n += s.n;
}

struct jinja_text jout_text(const struct jout *out)
{
    return out->n ? (struct jinja_text){ out->text, out->mark, out->n } : none;
}

struct jinja_text jt_join(struct jinja *j, struct jinja_text a, struct jinja_text b)
{
    struct jout out = { 0 };
    if (!a.n || !b.n) return a.n ? a : b;
    reserve(j, &out, a.n + b.n, a.mark || b.mark);
    jout_put(j, &out, a);
    jout_put(j, &out, b);
    return jout_text(&out);
}

/* What Python's str.strip takes: White_Space and the four separators of ASCII. */
static bool is_space(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    uint32_t c = n == 1   ? u[0]
                 : n == 2 ? (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F)
                          : (uint32_t)(u[0] & 0xF) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    if (n > 3) return false;
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool strips(const struct jinja_text *of, const char *p, size_t n)
{
    return of ? memmem(of->text, of->n, p, n) != NULL : is_space(p, n);
}

struct jinja_text jt_strip(struct jinja *j, struct jinja_text s, const struct jinja_text *of, bool left, bool right)
{
    size_t from = 0, to = s.n, length;
    while (left && from < to && utf8_next(s.text + from, to - from, &length) == UTF8_GOOD &&
           strips(of, s.text + from, length) && jinja_step(j, 1))
        from += length;
    while (right && to > from) {
        size_t back = 1;
        while (back < 4 && back < to - from && ((unsigned char)s.text[to - back] & 0xC0) == 0x80) back++;
        if (utf8_next(s.text + to - back, back, &length) != UTF8_GOOD || length != back) break;
        if (!strips(of, s.text + to - back, back) || !jinja_step(j, 1)) break;
        to -= back;
    }
    return jt_cut(s, from, to);
}

struct jinja_text jt_replace(
    struct jinja *j, struct jinja_text s, struct jinja_text from, struct jinja_text to, int64_t most)
{
    struct jout out = { 0 };
    size_t at = 0, found;
    if (!from.n) {
        jinja_unsupported(j, "the replacement", "of an empty text");
        return none;
    }
    while (most-- && (found = jt_find(s, from, at)) != SIZE_MAX && jinja_step(j, found - at)) {
        jout_put(j, &out, jt_cut(s, at, found));
        jout_put(j, &out, to);
        at = found + from.n;
    }
    if (!at) return s;
    jout_put(j, &out, jt_cut(s, at, s.n));
    return jout_text(&out);
}

/* Other letters than ASCII's keep their case: templates change that of roles and keys. */
struct jinja_text jt_case(struct jinja *j, struct jinja_text s, char how)
{
    char *text = jinja_step(j, s.n) ? jinja_take(j, s.n + 1, 1) : NULL;
    bool inside = false;
    if (!text) return none;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.text[i];
        bool upper = c >= 'A' && c <= 'Z', letter = upper || (c >= 'a' && c <= 'z');
        bool raise = how == 'u' || (how == 'c' && i == 0) || (how == 't' && !inside);
        text[i] = letter && upper != raise ? (char)(c ^ 0x20) : c;
        inside = letter;
    }
    return (struct jinja_text){ text, s.mark, s.n };
}

size_t jt_length(struct jinja_text s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.text[i] & 0xC0) != 0x80;
    return n;
}

size_t jt_offset(struct jinja_text s, size_t character)
{
    size_t i = 0;
    for (; i < s.n; i++)
        if (((unsigned char)s.text[i] & 0xC0) != 0x80 && character-- == 0) break;
    return i;
}
