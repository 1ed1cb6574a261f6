/* Finding the tokens behind a text, in the bytes that the tokens really have. */
#include "inspector/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/session.h"

char *tokens_quote(struct session *s, int32_t id, char *out, size_t size)
{
    size_t n;
    const char *bytes = kv_token_bytes(s->engine, id, &n);
    return line_quote(bytes ? bytes : "", bytes ? n : 0, out, size);
}

const int32_t *tokens_prompt(struct session *s, int *n)
{
    struct kv_array tok;
    if (session_value(s, "tok", &tok)) return NULL;
    *n = (int)tok.dim[0];
    return tok.data;
}

/* All bytes of n tokens; start[n + 1] gets each one's offset. NULL = no memory. */
static char *join(struct session *s, const int32_t *ids, int n, size_t *start)
{
    size_t total = 0, length;
    for (int i = 0; i < n; i++) {
        const char *bytes = kv_token_bytes(s->engine, ids[i], &length);
        start[i] = total;
        total += bytes ? length : 0;
    }
    start[n] = total;
    char *text = kv_alloc(total + 1, 1);
    for (int i = 0; text && i < n; i++) {
        const char *bytes = kv_token_bytes(s->engine, ids[i], &length);
        if (bytes) memcpy(text + start[i], bytes, length);
    }
    return text;
}

enum kv_status tokens_find(struct session *s, const char *text, int32_t **out, int *n, int *places)
{
    int count = 0;
    size_t length = strlen(text);
    const int32_t *ids = tokens_prompt(s, &count);
    *out = NULL;
    *n = *places = 0;
    if (!ids) return s->err.code;
    if (!length) return kv_fail(&s->err, KV_BAD_ARG, "An empty text is nowhere in the prompt.");
    size_t *start = kv_alloc((size_t)count + 1, sizeof *start);
    char *all = start ? join(s, ids, count, start) : NULL;
    *out = kv_alloc((size_t)count, sizeof **out);
    enum kv_status st =
        all && *out ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory to search %d tokens.", count);
    int token = 0;
    for (const char *at = all; !st && (at = memmem(at, start[count] - (size_t)(at - all), text, length)); at++) {
        size_t from = (size_t)(at - all), to = from + length;
        ++*places;
        while (token > 0 && start[token] > from) token--;
        for (; token < count && start[token] < to; token++)
            if (start[token + 1] > from && (!*n || (*out)[*n - 1] < token)) (*out)[(*n)++] = token;
    }
    if (!st && !*n) st = kv_fail(&s->err, KV_NOT_FOUND, "The prompt does not say \"%.80s\".", text);
    free(all);
    free(start);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

enum kv_status tokens_read(struct session *s, const char *what, int32_t **out, int *n, int *places)
{
    int count = 0;
    char *end;
    if (*what == '"') {
        struct line_words words;
        enum kv_status st = line_split(what, &words, &s->err);
        return st ? st : tokens_find(s, words.word[0], out, n, places);
    }
    if (!tokens_prompt(s, &count)) return s->err.code;
    const char *digits = what + (*what == '@');
    long from = strtol(digits, &end, 10), to = from;
    if (end == digits) return tokens_find(s, what, out, n, places);
    if (from < 0 && *what != '@') from = to = from + count;
    if (!strncmp(end, "..", 2)) {
        const char *second = end + 2;
        to = !strcmp(second, "last") ? count - 1 : strtol(second, &end, 10);
        if (!strcmp(second, "last")) end = (char *)second + 4;
    }
    if (*end) return tokens_find(s, what, out, n, places);
    if (from < 0 || to < from || to >= count)
        return kv_fail(
            &s->err, KV_BAD_ARG, "Token %.40s out of range; the prompt has %d (0-%d).", what, count, count - 1);
    *n = (int)(to - from + 1);
    *places = 1;
    *out = kv_alloc((size_t)*n, sizeof **out);
    if (!*out) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %d positions.", *n);
    for (int i = 0; i < *n; i++) (*out)[i] = (int32_t)from + i;
    return KV_OK;
}

/* ---- where: [layer R] [head N] ------------------------------------------------------------------------------- */

/* "12", "L12", "3..5" below limit. */
static enum kv_status read_range(
    struct session *s, const char *word, const char *what, int limit, int *first, int *last)
{
    char *end;
    const char *digits = word + (*word == 'L' && *what == 'l');
    long from = strtol(digits, &end, 10), to = from;
    bool good = end != digits;
    if (good && !strncmp(end, "..", 2)) {
        const char *second = end + 2;
        bool end_word = !strcmp(second, "last");
        to = end_word ? limit - 1 : strtol(second, &end, 10);
        good = end_word || end != second;
        if (end_word) end = (char *)second + 4;
    }
    if (!good || *end) return kv_fail(&s->err, KV_BAD_ARG, "\"%.40s\" is no %s: a number, or A..B.", word, what);
    if (from < 0 || from >= limit || to < 0 || to >= limit || to < from)
        return kv_fail(&s->err, KV_BAD_ARG, "%c%s %.40s out of range; model has %d (0-%d).", what[0] - 'a' + 'A',
            what + 1, word, limit, limit - 1);
    *first = (int)from;
    *last = (int)to;
    return KV_OK;
}

/* Where the words behind TOKENS begin. */
static const char *behind_tokens(const char *args)
{
    const char *p = args;
    if (*p == '"') {
        for (p++; *p && *p != '"'; p++)
            if (*p == '\\' && p[1]) p++;
        return *p ? p + 1 : p;
    }
    for (; *p; p++)
        if (!strncmp(p, " layer ", 7) || !strncmp(p, " head ", 6)) return p;
    return p;
}

enum kv_status tokens_scope(struct session *s, const char *args, struct tokens_scope *out)
{
    struct line_words words;
    const char *rest = behind_tokens(args);
    *out = (struct tokens_scope){ .first = 0, .last = s->facts.n_layer - 1, .head = -1 };
    snprintf(out->what, sizeof out->what, "%.*s", (int)(rest - args), args);
    enum kv_status st = line_split(rest, &words, &s->err);
    for (int i = 0; i < words.count && !st; i += 2) {
        const char *word = words.word[i], *value = i + 1 < words.count ? words.word[i + 1] : NULL;
        bool layer = !strcmp(word, "layer"), head = !strcmp(word, "head");
        int last;
        if (!layer && !head)
            st = kv_fail(&s->err, KV_BAD_ARG, "\"%.40s\" is neither layer nor head.", word);
        else if (!value)
            st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (number of the %s).", word);
        else if (layer)
            st = read_range(s, value, "layer", s->facts.n_layer, &out->first, &out->last);
        else if (!(st = read_range(s, value, "head", s->facts.n_head, &out->head, &last)) && last != out->head)
            st = kv_fail(&s->err, KV_BAD_ARG, "One head, not %.40s.", value);
        out->layers |= layer;
    }
    return st;
}
