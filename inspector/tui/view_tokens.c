/* The tokens window: the prompt itself, and what became of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/tokens.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"
#include "render/utf8.h"

#define PIECE 48 /* bytes of a token as shown */

enum filter { FILTER_ALL, FILTER_EVICTED, FILTER_KEPT, FILTERS };

static const char *const filter_name[FILTERS] = { "all", "evicted", "kept" };

/* Where a token stands in the lines of a width. */
struct token_place {
    int row; /* -1 = left out by the filter */
    int col;
};

struct tokens_view {
    int32_t *ids;        /* [n] what text was made from */
    char (*text)[PIECE]; /* [n] */
    uint8_t *width;      /* [n] columns */
    char *bytes;         /* the prompt as it is searched: NULs made blanks, ended by one */
    int *offset;         /* [n] of a token in it */
    bool *newline;       /* [n] the token ends a line */
    float *share;        /* [n] of layers that keep it; NaN before compress */
    uint8_t *here;       /* [n] kept in the focused layer: 1, 0; 2 = not known */
    int n, layer, token, layers;
    struct token_place *place; /* [n] */
    int *first;                /* [rows] first token of a line */
    int rows, cols;            /* lines there are, and the width they are made for; 0 = to be made anew */
    int top;                   /* first line shown */
    enum filter filter;
    bool searching;
    char needle[64];
    int from; /* the token where the search began */
    double rank, margin;
    char state[96];
};

static void forget(struct tokens_view *v)
{
    free(v->ids);
    free(v->text);
    free(v->width);
    free(v->bytes);
    free(v->offset);
    free(v->newline);
    free(v->share);
    free(v->here);
    free(v->place);
    free(v->first);
    *v = (struct tokens_view){ .filter = v->filter };
}

/* A character whose bytes are spread over tokens is shown where it begins, its rest as ~. */
static void join_bytes(struct tokens_view *v, struct session *s, const int32_t *ids, int i)
{
    char all[64];
    size_t n = 0, first = 0, bytes;
    for (int k = i; k < v->n && k < i + 4; k++) {
        const char *token = kv_token_bytes(s->engine, ids[k], &bytes);
        if (!token || !bytes || n + bytes >= sizeof all) return;
        if (k > i && (token[0] & 0xC0) != 0x80) return;
        memcpy(all + n, token, bytes);
        n += bytes;
        if (k == i) first = n;
        size_t head = n; /* up to the last character's first byte */
        while (head && (all[head - 1] & 0xC0) == 0x80) head--;
        size_t length = !head                                 ? 0
                        : (unsigned char)all[head - 1] < 0xC0 ? 1
                        : (unsigned char)all[head - 1] < 0xE0 ? 2
                        : (unsigned char)all[head - 1] < 0xF0 ? 3
                                                              : 4;
        if (k == i && (!head || n - head + 1 == length)) return; /* nothing is open */
        if (head > first) return;                                /* another one begins in the same token */
        if (n - head + 1 < length) continue;
        utf8_visible(all, n, v->text[i], PIECE);
        for (int rest = i + 1; rest <= k; rest++) snprintf(v->text[rest], PIECE, "~");
        return;
    }
}

static void take_text(struct tokens_view *v, struct session *s, const int32_t *ids)
{
    size_t at = 0;
    if (v->bytes && !memcmp(v->ids, ids, (size_t)v->n * sizeof *ids)) return;
    memcpy(v->ids, ids, (size_t)v->n * sizeof *ids);
    for (int i = 0; i < v->n; i++) {
        size_t bytes;
        const char *token = kv_token_bytes(s->engine, ids[i], &bytes);
        utf8_visible(token ? token : "", token ? bytes : 0, v->text[i], PIECE);
        v->newline[i] = token && memchr(token, '\n', bytes);
        v->offset[i] = (int)at;
        at += token ? bytes : 0;
    }
    free(v->bytes);
    v->bytes = kv_alloc(at + 1, 1);
    for (int i = 0; v->bytes && i < v->n; i++) {
        size_t bytes;
        const char *token = kv_token_bytes(s->engine, ids[i], &bytes);
        for (size_t k = 0; token && k < bytes; k++) v->bytes[v->offset[i] + (int)k] = token[k] ? token[k] : ' ';
    }
    for (int i = 0; i < v->n; i++) join_bytes(v, s, ids, i);
    for (int i = 0; i < v->n; i++) v->width[i] = (uint8_t)utf8_width(v->text[i]);
    v->cols = 0;
}

/* Survival, and the cursor's rank and margin in the focused layer. */
static void take_fate(struct tokens_view *v, struct session *s)
{
    struct kv_array a;
    struct kv_error err;
    v->rank = v->margin = NAN;
    for (int i = 0; i < v->n; i++) v->share[i] = NAN, v->here[i] = 2;
    if (!kv_started(s->engine) || session_set(s, s->engine, "kept", -1, &a, &err) || a.n_dim != 2) return;
    int n = (int)a.dim[1] < v->n ? (int)a.dim[1] : v->n;
    v->layers = (int)a.dim[0];
    for (int i = 0; i < n; i++) v->share[i] = 0;
    for (int l = 0; l < v->layers; l++)
        for (int i = 0; i < n; i++) {
            bool kept = array_number(&a, (size_t)l * a.dim[1] + (size_t)i) != 0;
            v->share[i] += kept;
            if (l == v->layer) v->here[i] = kept;
        }
    for (int i = 0; i < n; i++) v->share[i] /= (float)v->layers;
    size_t at = (size_t)v->layer * a.dim[1] + (size_t)v->token;
    if (v->token < n && !session_set(s, s->engine, "rank", -1, &a, &err)) v->rank = array_number(&a, at);
    if (v->token < n && !session_set(s, s->engine, "margin", -1, &a, &err)) v->margin = array_number(&a, at);
}

static void update(void *self, struct session *s)
{
    struct tokens_view *v = self;
    struct kv_error err = s->err;
    int n = 0;
    const int32_t *ids = tokens_prompt(s, &n);
    s->err = err;
    v->state[0] = '\0';
    if (!ids) {
        forget(v);
        snprintf(v->state, sizeof v->state, "no prompt");
        return;
    }
    if (n != v->n || !v->text) {
        forget(v);
        size_t count = (size_t)n + 1;
        v->ids = kv_alloc(count, sizeof *v->ids);
        v->text = kv_alloc(count, PIECE);
        v->width = kv_alloc(count, 1);
        v->offset = kv_alloc(count, sizeof *v->offset);
        v->place = kv_alloc(count, sizeof *v->place);
        v->first = kv_alloc(count, sizeof *v->first);
        v->newline = kv_alloc(count, sizeof *v->newline);
        v->share = kv_alloc(count, sizeof *v->share);
        v->here = kv_alloc(count, 1);
        if (!v->ids || !v->text || !v->width || !v->offset || !v->place || !v->first || !v->newline || !v->share ||
            !v->here) {
            forget(v);
            return;
        }
        v->n = n;
    }
    v->layer = s->layer;
    v->token = s->token < n ? s->token : n - 1;
    take_text(v, s, ids);
    take_fate(v, s);
    if (v->filter) v->cols = 0;
}

static void title(const void *self, char *text, size_t size)
{
    const struct tokens_view *v = self;
    size_t at = 0;
    if (!v->n) {
        snprintf(text, size, "%s", v->state);
        return;
    }
    if (v->searching) {
        snprintf(text, size, "search: %s_", v->needle);
        return;
    }
    if (v->filter) at += (size_t)snprintf(text, size, "shown: %s in L%d;  ", filter_name[v->filter], v->layer);
    at += (size_t)snprintf(text + at, size - at, "@%d \"%s\"", v->token, v->text[v->token]);
    if (!isnan(v->share[v->token]))
        at += (size_t)snprintf(text + at, size - at,
            "  kept in %.0f of %d layers; L%d: ", v->share[v->token] * v->layers, v->layers, v->layer);
    if (!isnan(v->rank) && v->rank >= 0)
        snprintf(text + at, size - at, isnan(v->margin) ? "rank %.0f" : "rank %.0f, margin %+.1f %%", v->rank,
            100 * v->margin);
    else if (!isnan(v->rank))
        snprintf(text + at, size - at, "forced");
}

static bool passes(const struct tokens_view *v, int i)
{
    return v->filter == FILTER_ALL || v->here[i] == (v->filter == FILTER_KEPT);
}

/* Breaks the text into lines. Where the filter leaves something out there is a gap of one column. */
static void make_lines(struct tokens_view *v, int cols)
{
    int col = 0;
    bool ended = true, gap = false;
    v->cols = cols;
    v->rows = 0;
    for (int i = 0; i < v->n; i++) {
        v->place[i].row = -1;
        if (!passes(v, i)) {
            gap = true;
            continue;
        }
        if (gap && col) col++;
        if (ended || (col && col + v->width[i] > cols)) {
            v->first[v->rows++] = i;
            col = 0;
        }
        v->place[i] = (struct token_place){ v->rows - 1, col };
        col += v->width[i];
        ended = v->newline[i] && !v->filter;
        gap = false;
    }
}

/* The token at a line and a column, or the line's last before it. */
static int token_at(const struct tokens_view *v, int row, int col)
{
    if (!v->rows) return v->token;
    row = row < 0 ? 0 : row >= v->rows ? v->rows - 1 : row;
    int at = v->first[row];
    for (int i = at; i < v->n && v->place[i].row <= row; i++)
        if (v->place[i].row == row && v->place[i].col <= col) at = i;
    return at;
}

/* The next token that is shown; `i` itself where there is none. */
static int shown_from(const struct tokens_view *v, int i, int by)
{
    for (int k = i + by; k >= 0 && k < v->n; k += by)
        if (v->place[k].row >= 0) return k;
    return i;
}

static void draw_token(const struct tokens_view *v, const struct pane *p, int row, int col, int i)
{
    bool gone = v->share[i] == 0, some = v->share[i] > 0 && v->share[i] < 1;
    unsigned attr = gone ? SCREEN_STRUCK : v->here[i] == 0 ? SCREEN_DIM : 0;
    enum color_role role = gone                 ? COLOR_EVICTED
                           : isnan(v->share[i]) ? COLOR_TEXT
                           : some               ? COLOR_APPLIED
                                                : COLOR_TEXT;
    if (v->here[i] == 1 && some) role = COLOR_KEPT, attr = SCREEN_BOLD;
    int end = pane_text(p, row, col, role, attr, v->text[i]);
    if (i == v->token) pane_reverse(p, row, col, end - col);
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct tokens_view *v = self;
    int rows = p->rows - 1;
    (void)look;
    if (!v->n) return;
    if (v->cols != p->cols) make_lines(v, p->cols);
    int here = v->place[v->token].row;
    if (here < 0) here = v->place[shown_from(v, v->token, 1)].row;
    if (here >= 0 && here < v->top) v->top = here;
    if (here >= v->top + rows) v->top = here - rows + 1;
    if (v->top > v->rows - rows) v->top = v->rows > rows ? v->rows - rows : 0;
    for (int r = 0; r < rows && v->top + r < v->rows; r++) {
        int row = v->top + r, end = row + 1 < v->rows ? v->first[row + 1] : v->n;
        for (int i = v->first[row]; i < end; i++)
            if (v->place[i].row == row) draw_token(v, p, r, v->place[i].col, i);
    }
    if (!v->rows) pane_printf(p, 0, 0, COLOR_MUTED, 0, "None is %s in L%d.", filter_name[v->filter], v->layer);
    int col = pane_text(p, p->rows - 1, 0, COLOR_TEXT, 0, "kept by all");
    col = pane_printf(p, p->rows - 1, col + 2, COLOR_KEPT, SCREEN_BOLD, "by L%d and others", v->layer);
    col = pane_text(p, p->rows - 1, col + 2, COLOR_APPLIED, SCREEN_DIM, "by others");
    pane_text(p, p->rows - 1, col + 2, COLOR_EVICTED, SCREEN_STRUCK, "by none");
}

/* --- search ------------------------------------------------------------------------------------------------------- */

/* The token where the needle begins, from byte `at` on or else from the start on; -1 = nowhere. Letters match both
 * cases where the needle has no capital. */
static int find(const struct tokens_view *v, int at)
{
    bool exact = false;
    for (const char *p = v->needle; *p; p++) exact |= *p >= 'A' && *p <= 'Z';
    if (!v->bytes || !*v->needle) return -1;
    for (int turn = 0; turn < 2; turn++) {
        const char *text = v->bytes + (turn ? 0 : at);
        const char *hit = exact ? strstr(text, v->needle) : strcasestr(text, v->needle);
        if (!hit) continue;
        int low = 0, high = v->n - 1;
        while (low < high) { /* the last token that begins at or before the hit */
            int mid = (low + high + 1) / 2;
            if (v->offset[mid] <= hit - v->bytes)
                low = mid;
            else
                high = mid - 1;
        }
        return low;
    }
    return -1;
}

static void go_to(struct tokens_view *v, struct tui *t, int found)
{
    if (found < 0)
        tui_say(t, "The prompt has no \"%s\".", v->needle);
    else if (found != v->token)
        tui_focus(t, -1, -1, found);
}

static void search(struct tokens_view *v, struct tui *t, bool on)
{
    v->searching = on;
    tui_grab(t, v, on);
}

/* The next hit behind the cursor. */
static void search_next(struct tokens_view *v, struct tui *t)
{
    go_to(v, t, find(v, v->token + 1 < v->n ? v->offset[v->token + 1] : 0));
}

static bool search_key(struct tokens_view *v, struct tui *t, int k)
{
    size_t n = strlen(v->needle);
    char bytes[5];
    size_t more = utf8_put(k < TUI_KEY_FIRST ? (uint32_t)k : 0, bytes);
    if (k == TUI_F3) {
        search_next(v, t);
    } else if (k == TUI_ENTER) {
        search(v, t, false);
    } else if (k == TUI_ESCAPE) {
        search(v, t, false);
        go_to(v, t, v->from);
    } else if (k == TUI_BACKSPACE || k == KEY_CTRL('h')) {
        while (n && (v->needle[--n] & 0xC0) == 0x80) continue;
        v->needle[n] = '\0';
        go_to(v, t, n ? find(v, v->offset[v->from]) : v->from);
    } else if (k >= ' ' && k < TUI_KEY_FIRST && n + more < sizeof v->needle) {
        memcpy(v->needle + n, bytes, more);
        v->needle[n + more] = '\0';
        go_to(v, t, find(v, v->offset[v->from]));
    } else {
        search(v, t, false);
        return false;
    }
    return true;
}

static bool key(void *self, struct tui *t, int k)
{
    struct tokens_view *v = self;
    int token = v->token, page = tui_pane(t, v).rows - 2;
    if (v->searching) return search_key(v, t, k);
    if (!v->n) return false;
    if (!v->cols) make_lines(v, tui_pane(t, v).cols);
    struct token_place at = v->place[token];
    switch (k) {
    case TUI_LEFT: token = shown_from(v, token, -1); break;
    case TUI_RIGHT: token = shown_from(v, token, 1); break;
    case TUI_UP: token = token_at(v, at.row - 1, at.col); break;
    case TUI_DOWN: token = token_at(v, at.row + 1, at.col); break;
    case TUI_PAGE_UP: token = token_at(v, at.row - page, at.col); break;
    case TUI_PAGE_DOWN: token = token_at(v, at.row + page, at.col); break;
    case TUI_HOME: token = token_at(v, 0, 0); break;
    case TUI_END: token = token_at(v, v->rows - 1, v->cols); break;
    case TUI_ENTER: tui_run(t, "why @%d", v->token); return true;
    case '+': tui_edit(t, "kv pin @%d", v->token); return true;
    case '-': tui_edit(t, "kv evict @%d", v->token); return true;
    case '0': tui_edit(t, "kv unpin @%d", v->token); return true;
    case '/':
        v->needle[0] = '\0';
        v->from = v->token;
        search(v, t, true);
        return true;
    case TUI_F3:
        if (!v->needle[0]) return key(self, t, '/');
        search_next(v, t);
        return true;
    case '\\':
    case TUI_F4:
        v->filter = (v->filter + 1) % FILTERS;
        v->cols = 0;
        tui_say(
            t, "Tokens shown: %s in L%d.", v->filter ? filter_name[v->filter] : "all, kept or evicted,", v->layer);
        return true;
    default: return false;
    }
    if (token != v->token) tui_focus(t, -1, -1, token);
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct tokens_view *v = self;
    if (v->n && row < tui_pane(t, v).rows - 1 && v->top + row < v->rows)
        tui_focus(t, -1, -1, token_at(v, v->top + row, col));
}

static void close_view(void *self) { forget(self); }

static const struct view_key keys[] = {
    { "Left Right Up Down", "Move over the text: the focus of kv" },
    { "Enter", "Why the token was kept or evicted, layer by layer" },
    { "F3, /", "Search as you type, Enter ends it; F3 again: the next (/ where nothing is typed)" },
    { "F4, \\", "Filter: what the layer evicted, what it kept, all" },
    { "+ - 0", "Pin the token, evict it, or leave it to the policy again" },
    { NULL, NULL },
};

const struct view_ops view_tokens = { "tokens", "The prompt, colored by what survived", sizeof(struct tokens_view),
    3, 30, keys, update, title, draw, key, click, NULL, close_view };
