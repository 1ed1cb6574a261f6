/* GDB's rules for abbreviations, with one suggestion where a word is one slip away from a command. */
#include "inspector/language/lookup.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool lookup_word_char(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.'; }

static size_t word_length(const char *text)
{
    size_t n = 0;
    while (lookup_word_char(text[n])) n++;
    return n;
}

static bool same(const char *name, const char *word, size_t length)
{
    return strlen(name) == length && !memcmp(name, word, length);
}

bool lookup_is(const struct command *row, const char *word, size_t length)
{
    if (same(row->name, word, length)) return true;
    for (const char *p = row->aliases; p && *p;) {
        size_t n = strcspn(p, " ");
        if (n == length && !memcmp(p, word, n)) return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

int lookup_distance(const char *a, size_t na, const char *b)
{
    size_t nb = strlen(b), i = 0, j = 0;
    size_t longer = na > nb ? na : nb, shorter = na > nb ? nb : na;
    if (longer - shorter > 1) return 2;
    while (i < na && j < nb && a[i] == b[j]) i++, j++;
    if (i == na && j == nb) return 0;
    if (na == nb) {
        bool swapped = i + 1 < na && a[i] == b[i + 1] && a[i + 1] == b[i];
        size_t skip = swapped ? 2 : 1;
        return memcmp(a + i + skip, b + i + skip, na - i - skip) ? 2 : 1;
    }
    const char *rest_long = na > nb ? a + i + 1 : b + j + 1, *rest_short = na > nb ? b + j : a + i;
    return memcmp(rest_long, rest_short, shorter - i) ? 2 : 1;
}

static enum kv_status undefined(
    const struct command *rows, const char *parent, const char *word, size_t length, struct kv_error *err)
{
    const char *near = NULL;
    for (const struct command *row = rows; row->name && length > 1; row++)
        if (row->group != GROUP_HIDDEN && lookup_distance(word, length, row->name) == 1) near = row->name;
    const char *space = *parent ? " " : "";
    return kv_fail(err, KV_NOT_FOUND, "Undefined %s%scommand: \"%.*s\".  Try \"help%s%s\".%s%s%s", parent, space,
        (int)kv_min(length, 80), word, space, parent, near ? "  Did you mean \"" : "", near ? near : "",
        near ? "\"?" : "");
}

static enum kv_status ambiguous(
    const struct command *rows, const char *parent, const char *word, size_t length, struct kv_error *err)
{
    char list[320] = "";
    size_t at = 0;
    const char *comma = "";
    for (const struct command *row = rows; row->name; row++) {
        if (row->group == GROUP_HIDDEN || strncmp(row->name, word, length)) continue;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", comma, row->name);
        comma = ", ";
        if (at + 40 > sizeof list) {
            snprintf(list + at, sizeof list - at, ", ..");
            break;
        }
    }
    return kv_fail(err, KV_BAD_ARG, "Ambiguous %s%scommand \"%.*s\": %s.", parent, *parent ? " " : "",
        (int)kv_min(length, 80), word, *list ? list : "GDB has several of that prefix");
}

enum kv_status lookup_row(const struct command *rows, const char *parent, const struct command_pin *pins,
    const char *word, size_t length, const struct command **out, struct kv_error *err)
{
    *out = NULL;
    for (const struct command *row = rows; row->name; row++)
        if (same(row->name, word, length)) return *out = row, KV_OK;
    for (const struct command *row = rows; row->name; row++)
        if (lookup_is(row, word, length)) return *out = row, KV_OK;
    for (const struct command_pin *pin = pins; pin && pin->prefix; pin++) {
        if (!same(pin->prefix, word, length)) continue;
        if (!pin->name) return ambiguous(rows, parent, word, length, err);
        for (const struct command *row = rows; row->name; row++)
            if (!strcmp(row->name, pin->name)) return *out = row, KV_OK;
        return undefined(rows, parent, word, length, err);
    }
    int matches = 0;
    for (const struct command *row = rows; row->name; row++) {
        if (row->group == GROUP_HIDDEN || strncmp(row->name, word, length)) continue;
        *out = row;
        matches++;
    }
    if (matches == 1) return KV_OK;
    *out = NULL;
    return matches ? ambiguous(rows, parent, word, length, err) : undefined(rows, parent, word, length, err);
}

enum kv_status lookup_line(const struct command *rows, const struct command_pin *pins, const char *line,
    const struct command **out, const char **args, char *path, size_t size, struct kv_error *err)
{
    const struct command *row = NULL;
    path[0] = '\0';
    for (;;) {
        line += strspn(line, " \t");
        size_t n = word_length(line);
        if (!row && (*line == '!' || *line == '|')) n = 1; /* GDB's two commands that are no words */
        if (row && !n) break;
        if (!n) n = strcspn(line, " \t");
        const struct command *found;
        enum kv_status st = lookup_row(rows, path, pins, line, n, &found, err);
        if (st == KV_NOT_FOUND && row && row->run) break;
        if (st) return st;
        row = found;
        size_t at = strlen(path);
        snprintf(path + at, size - at, "%s%s", at ? " " : "", row->name);
        line += n;
        if (!row->sub) break;
        rows = row->sub;
        pins = NULL;
    }
    *out = row;
    *args = line + strspn(line, " \t");
    return KV_OK;
}
