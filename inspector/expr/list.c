/* Lines of tokens: as many as fit, or up to a newline. */
#include "inspector/expr/list.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"
#include "render/utf8.h"

#define LIST_COLUMNS 72
#define LIST_LINES   10
#define LIST_BEFORE  20 /* tokens shown before the one that was asked for */

/* What a listing reads: the ids, and which layers keep them where that is known. */
struct listing {
    const int32_t *ids;
    int count;
    double *kept; /* [n_layer][n], owned; NULL before compress */
    size_t n;
};

static enum kv_status open_listing(struct session *s, struct listing *l)
{
    struct kv_array shape = { 0 }, used;
    struct kv_error ignored;
    *l = (struct listing){ 0 };
    if (!tokens_prompt(s, &l->count)) return s->err.code;
    bool compressed = kv_started(s->engine) && !kv_value(s->engine, "score", &used, &ignored);
    l->kept = compressed ? info_copy(s, "kept", &shape) : NULL;
    l->n = shape.dim[1];
    l->ids = tokens_prompt(s, &l->count);
    return l->ids ? KV_OK : s->err.code;
}

/* In how many layers a position survived, as a mark: '#' all, 9..1 tenths, '.' none; '\0' before compress. */
static char survival(struct session *s, const struct listing *l, size_t position)
{
    int layers = 0;
    if (!l->kept || position >= l->n) return '\0';
    for (int i = 0; i < s->facts.n_layer; i++) layers += l->kept[(size_t)i * l->n + position] != 0;
    int tenths = layers * 10 / s->facts.n_layer;
    return !layers ? '.' : layers == s->facts.n_layer ? '#' : (char)('0' + (tenths ? tenths : 1));
}

static void token_row(struct session *s, const struct listing *l, int position)
{
    int layers = 0;
    rows_new(s);
    rows_number(s, "position", position);
    rows_number(s, "id", l->ids[position]);
    rows_token(s, "text", l->ids[position]);
    if (!l->kept || (size_t)position >= l->n) return;
    for (int i = 0; i < s->facts.n_layer; i++) layers += l->kept[(size_t)i * l->n + (size_t)position] != 0;
    rows_number(s, "kept in layers", layers);
}

/* One line from token `from`, up to `end` at most, and below it the marks; shown or only measured. Returns the token
 * after it. */
static int line(struct session *s, const struct listing *l, int from, int end, bool shown)
{
    char text[LIST_COLUMNS * 5], marks[LIST_COLUMNS + 1];
    size_t bytes = 0, columns = 0;
    int t = from;
    for (bool newline = false; t < end && !newline; t++) {
        char visible[80];
        size_t length;
        const char *token = kv_token_bytes(s->engine, l->ids[t], &length);
        utf8_visible(token ? token : "", token ? length : 0, visible, sizeof visible);
        size_t width = utf8_width(visible);
        if (t > from && columns + width > LIST_COLUMNS) break;
        if (width > LIST_COLUMNS) width = LIST_COLUMNS;
        if (bytes + strlen(visible) + 1 > sizeof text) break;
        memcpy(text + bytes, visible, strlen(visible) + 1);
        bytes += strlen(visible);
        char mark = shown ? survival(s, l, (size_t)t) : '\0';
        for (size_t c = 0; c < width; c++) marks[columns + c] = c || !mark ? ' ' : mark;
        columns += width;
        newline = token && memchr(token, '\n', length);
    }
    while (columns && marks[columns - 1] == ' ') columns--;
    marks[columns] = '\0';
    if (!shown) return t;
    fprintf(s->out, "%7d  %s\n", from, text);
    if (l->kept) fprintf(s->out, "%7s  %s\n", "", marks);
    return t;
}

/* Where the listing of the lines before `end` begins. */
static int begin_before(struct session *s, const struct listing *l, int end)
{
    int start[LIST_LINES], lines = 0;
    int from = end - LIST_LINES * LIST_COLUMNS;
    if (from < 0) from = 0;
    for (; from < end; lines++) {
        start[lines % LIST_LINES] = from;
        from = line(s, l, from, end, false);
    }
    return lines < LIST_LINES ? start[0] : start[lines % LIST_LINES];
}

/* "A,B", "A," and ",B": the tokens to show from and up to; -1 = not said. False where there is no comma. */
static bool read_pair(const char *args, long *from, long *to)
{
    char *end;
    const char *comma = strchr(args, ',');
    if (!comma || *args == '"') return false;
    *from = *to = -1;
    const char *first = args + (*args == '@'), *second = comma + 1 + strspn(comma + 1, " \t@");
    if (first != comma) {
        *from = strtol(first, &end, 10);
        if (end == first || end + strspn(end, " \t") != comma || *from < 0) return false;
    }
    if (*second) {
        *to = strtol(second, &end, 10);
        if (end == second || *end || *to < 0) return false;
    }
    return *from >= 0 || *to >= 0;
}

/* What the arguments ask for: *from, and *to (the last token) or -1 for ten lines. */
static enum kv_status read_range(struct session *s, const struct listing *l, const char *args, int *from, int *to)
{
    int32_t *list = NULL;
    int n = 0, places;
    long first, last;
    *to = -1;
    if (!*args) {
        bool around = s->list_next < 0;
        *from = !around ? s->list_next : s->token > LIST_BEFORE ? s->token - LIST_BEFORE : 0;
    } else if (!strcmp(args, "-")) {
        int end = s->list_next < 0 ? s->token : s->list_first;
        if (end <= 0) return kv_fail(&s->err, KV_BAD_ARG, "Already at the start of %.100s.", s->prompt_name);
        *from = begin_before(s, l, end);
        *to = end - 1;
    } else if (read_pair(args, &first, &last)) {
        if (first < 0) first = begin_before(s, l, last < l->count ? (int)last + 1 : l->count);
        *from = first < INT32_MAX ? (int)first : INT32_MAX;
        *to = last >= l->count ? l->count - 1 : (int)last;
    } else {
        enum kv_status st = tokens_read(s, args, &list, &n, &places);
        if (st) return st;
        *from = list[0] > LIST_BEFORE && n < 40 ? list[0] - LIST_BEFORE : list[0];
        if (n >= 40) *to = list[n - 1];
        free(list);
    }
    if (*from < l->count) return KV_OK;
    return kv_fail(&s->err, KV_BAD_ARG, "Token number %d out of range; %.100s has %d tokens.", *from,
        s->prompt_name, l->count);
}

struct reaction cmd_list(struct session *s, const char *args)
{
    struct listing l;
    int from = 0, to = -1;
    enum kv_status st = open_listing(s, &l);
    if (!st) st = read_range(s, &l, args, &from, &to);
    if (!st) s->list_first = from;
    int end = to < 0 ? l.count : to + 1;
    for (int i = 0; !st && from < end && (to >= 0 || i < LIST_LINES); i++) from = line(s, &l, from, end, true);
    for (int t = s->list_first; !st && t < from; t++) token_row(s, &l, t);
    if (!st && l.kept)
        fprintf(s->out, "(marks: kept in # all, 9-1 tenths, . none of %d layers; %s)\n", s->facts.n_layer,
            session_mode(s));
    if (!st) s->list_next = from;
    if (!strcmp(args, "-")) snprintf(s->repeat, sizeof s->repeat, "list -");
    free(l.kept);
    return st ? failed(s) : DONE;
}

void list_around(struct session *s, int token)
{
    struct listing l;
    if (!open_listing(s, &l)) {
        int from = token > LIST_BEFORE / 2 ? token - LIST_BEFORE / 2 : 0;
        if (from < l.count) line(s, &l, from, l.count, true);
    }
    s->err = (struct kv_error){ 0 };
    free(l.kept);
}
