/* Words, escapes, quoting, numbers: what every command needs before it can begin. */
#include "inspector/language/line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kv_status line_split(const char *text, struct line_words *out, struct kv_error *err)
{
    char *to = out->text;
    out->count = 0;
    if (strlen(text) >= sizeof out->text)
        return kv_fail(
            err, KV_BAD_ARG, "The line has %zu bytes; %zu are the limit.", strlen(text), sizeof out->text - 1);
    for (const char *p = text;;) {
        p += strspn(p, " \t");
        if (!*p) return KV_OK;
        if (out->count == LINE_WORDS)
            return kv_fail(err, KV_BAD_ARG, "More than %d words in one line.", LINE_WORDS);
        out->word[out->count++] = to;
        while (*p && *p != ' ' && *p != '\t') {
            if (*p != '"' && *p != '\'') {
                *to++ = *p++;
                continue;
            }
            char quote = *p++;
            while (*p && *p != quote) {
                if (quote == '"' && *p == '\\' && p[1]) {
                    p++;
                    *to++ = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
                    p++;
                } else {
                    *to++ = *p++;
                }
            }
            if (!*p++) return kv_fail(err, KV_BAD_ARG, "Unterminated string: %c is missing at the end.", quote);
        }
        *to++ = '\0';
    }
}

void line_unescape(const char *text, char *out)
{
    static const char from[] = "nteabfrv\\\"", to[] = "\n\t\033\a\b\f\r\v\\\"";
    for (; *text; text++) {
        if (*text != '\\') {
            *out++ = *text;
            continue;
        }
        if (!*++text) break;
        const char *known = strchr(from, *text);
        *out++ = known ? to[known - from] : *text;
    }
    *out = '\0';
}

int line_utf8(const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    if (!n) return -1;
    if (p[0] < 0x80) return 1;
    int length = p[0] >= 0xC2 && p[0] < 0xE0   ? 2
                 : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
                 : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                               : 0;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n) return -1;
        if ((p[i] & 0xC0) != 0x80) return 0;
        if (i > 1) continue;
        bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
        bool outside = (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF4 && p[1] > 0x8F);
        if (overlong || outside) return 0;
    }
    return length;
}

char *line_quote(const char *bytes, size_t n, char *out, size_t size)
{
    size_t at = 0;
    out[at++] = '"';
    for (size_t i = 0; i < n;) {
        char piece[8];
        int length = line_utf8(bytes + i, n - i), used = 1, put;
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n' || c == '\t' || c == '\r')
            put = snprintf(piece, sizeof piece, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c == '"' || c == '\\')
            put = snprintf(piece, sizeof piece, "\\%c", c);
        else if (length <= 0 || c < 0x20 || c == 0x7F)
            put = snprintf(piece, sizeof piece, "\\x%02x", c);
        else
            put = snprintf(piece, sizeof piece, "%.*s", used = length, bytes + i);
        if (at + (size_t)put + 5 > size) {
            at += (size_t)snprintf(out + at, size - at, "...");
            break;
        }
        memcpy(out + at, piece, (size_t)put);
        at += (size_t)put;
        i += (size_t)used;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}

enum kv_status line_integer(
    const char *text, long long low, long long high, const char *what, long long *out, struct kv_error *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end) return kv_fail(err, KV_BAD_ARG, "\"%.60s\" is not %s (a whole number).", text, what);
    if (errno || n < low || n > high)
        return kv_fail(err, KV_BAD_ARG, "%.40s is out of range for %s (%lld to %lld).", text, what, low, high);
    *out = n;
    return KV_OK;
}

char *line_thousands(unsigned long long n, char *out)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%llu", n), at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

char *line_bytes(double n, char *out)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t u = 0;
    for (; n >= 1023.5 && u + 1 < KV_COUNT(unit); u++) n /= 1024;
    snprintf(out, 32, "%.*f %s", u && n < 999.95 ? 1 : 0, n, unit[u]);
    return out;
}
