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

struct tokens_view {
    char (*text)[PIECE]; /* [n] */
    bool *newline;       /* [n] the token ends a line */
    float *share;        /* [n] of layers that keep it; NaN before compress */
    uint8_t *here;       /* [n] kept in the focused layer: 1, 0; 2 = not known */
    int n, layer, token, layers;
    int top;              /* first token of the first line shown */
    int line[512], lines; /* first token of each line drawn last, for the keys */
    double rank, margin;
    char state[96];
};

static void forget(struct tokens_view *v)
{
    free(v->text);
    free(v->newline);
    free(v->share);
    free(v->here);
    v->text = NULL;
    v->newline = NULL;
    v->share = NULL;
    v->here = NULL;
    v->n = 0;
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
    for (int i = 0; i < v->n; i++) {
        size_t bytes;
        const char *token = kv_token_bytes(s->engine, ids[i], &bytes);
        utf8_visible(token ? token : "", token ? bytes : 0, v->text[i], PIECE);
        v->newline[i] = token && memchr(token, '\n', bytes);
        v->share[i] = NAN;
        v->here[i] = 2;
    }
    for (int i = 0; i < v->n; i++) join_bytes(v, s, ids, i);
}

/* Survival, and the cursor's rank and margin in the focused layer. */
static void take_fate(struct tokens_view *v, struct session *s)
{
    struct kv_array a;
    struct kv_error err;
    v->rank = v->margin = NAN;
    if (!kv_started(s->engine) || kv_value(s->engine, "kept", &a, &err) || a.n_dim != 2) return;
    int n = (int)a.dim[1] < v->n ? (int)a.dim[1] : v->n;
    v->layers = (int)a.dim[0];
    for (int i = 0; i < n; i++) {
        int kept = 0;
        for (int l = 0; l < v->layers; l++) kept += array_number(&a, (size_t)l * a.dim[1] + (size_t)i) != 0;
        v->share[i] = (float)kept / (float)v->layers;
        v->here[i] = array_number(&a, (size_t)v->layer * a.dim[1] + (size_t)i) != 0;
    }
    size_t at = (size_t)v->layer * a.dim[1] + (size_t)v->token;
    if (v->token < n && !kv_value(s->engine, "rank", &a, &err)) v->rank = array_number(&a, at);
    if (v->token < n && !kv_value(s->engine, "margin", &a, &err)) v->margin = array_number(&a, at);
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
        v->text = kv_alloc(count, PIECE);
        v->newline = kv_alloc(count, sizeof *v->newline);
        v->share = kv_alloc(count, sizeof *v->share);
        v->here = kv_alloc(count, 1);
        if (!v->text || !v->newline || !v->share || !v->here) {
            forget(v);
            return;
        }
        v->n = n;
        v->top = 0;
    }
    v->layer = s->layer;
    v->token = s->token < n ? s->token : n - 1;
    take_text(v, s, ids);
    take_fate(v, s);
}

static void title(const void *self, char *text, size_t size)
{
    const struct tokens_view *v = self;
    size_t at = 0;
    if (!v->n) {
        snprintf(text, size, "%s", v->state);
        return;
    }
    at += (size_t)snprintf(text, size, "@%d \"%s\"", v->token, v->text[v->token]);
    if (!isnan(v->share[v->token]))
        at += (size_t)snprintf(text + at, size - at,
            "  kept in %.0f of %d layers; L%d: ", v->share[v->token] * v->layers, v->layers, v->layer);
    if (!isnan(v->rank) && v->rank >= 0)
        snprintf(text + at, size - at, isnan(v->margin) ? "rank %.0f" : "rank %.0f, margin %+.1f %%", v->rank,
            100 * v->margin);
    else if (!isnan(v->rank))
        snprintf(text + at, size - at, "forced");
}

/* The token after the last one of the line that begins with `from`. */
static int line_end(const struct tokens_view *v, int from, int cols)
{
    int width = 0, i = from;
    for (; i < v->n; i++) {
        int w = (int)utf8_width(v->text[i]);
        if (i > from && width + w > cols) break;
        width += w;
        if (v->newline[i]) return i + 1;
    }
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
    int rows = p->rows - 1, most = (int)KV_COUNT(v->line);
    (void)look;
    if (!v->n) return;
    if (rows > most) rows = most;
    if (v->token < v->top) {
        for (v->top = 0; line_end(v, v->top, p->cols) <= v->token;) v->top = line_end(v, v->top, p->cols);
    }
    for (;;) { /* scroll until the cursor is on one of the rows */
        int at = v->top;
        for (v->lines = 0; v->lines < rows && at < v->n; at = line_end(v, at, p->cols)) v->line[v->lines++] = at;
        if (v->token < at || at >= v->n) break;
        v->top = line_end(v, v->top, p->cols);
    }
    for (int r = 0; r < v->lines; r++) {
        int end = line_end(v, v->line[r], p->cols), col = 0;
        for (int i = v->line[r]; i < end; col += (int)utf8_width(v->text[i]), i++) draw_token(v, p, r, col, i);
    }
    int col = pane_text(p, p->rows - 1, 0, COLOR_TEXT, 0, "kept by all");
    col = pane_printf(p, p->rows - 1, col + 2, COLOR_KEPT, SCREEN_BOLD, "by L%d and others", v->layer);
    col = pane_text(p, p->rows - 1, col + 2, COLOR_APPLIED, SCREEN_DIM, "by others");
    pane_text(p, p->rows - 1, col + 2, COLOR_EVICTED, SCREEN_STRUCK, "by none");
}

/* The token in another line under the cursor's. */
static int line_step(const struct tokens_view *v, int cols, int by)
{
    int here = 0, first = 0, line[3] = { 0, 0, 0 };
    for (int at = 0; at < v->n; at = line_end(v, at, cols)) {
        line[0] = line[1];
        line[1] = first = at;
        if (line_end(v, at, cols) > v->token) break;
    }
    here = v->token - first;
    line[2] = line_end(v, first, cols);
    int to = by < 0 ? line[0] : line[2];
    if (to >= v->n || (by < 0 && first == 0)) return v->token;
    int end = line_end(v, to, cols);
    return to + here < end ? to + here : end - 1;
}

static bool key(void *self, struct tui *t, int k)
{
    struct tokens_view *v = self;
    struct pane p = tui_pane(t, v);
    int token = v->token;
    switch (k) {
    case TUI_LEFT: token--; break;
    case TUI_RIGHT: token++; break;
    case TUI_UP: token = line_step(v, p.cols, -1); break;
    case TUI_DOWN: token = line_step(v, p.cols, 1); break;
    case TUI_PAGE_UP:
    case TUI_PAGE_DOWN: {
        int keep = v->token;
        for (int i = 0; i < p.rows - 2; i++) v->token = line_step(v, p.cols, k == TUI_PAGE_UP ? -1 : 1);
        token = v->token;
        v->token = keep;
        break;
    }
    case TUI_HOME: token = 0; break;
    case TUI_END: token = v->n - 1; break;
    case TUI_ENTER: tui_run(t, "why @%d", v->token); return true;
    case '+': tui_edit(t, "kv pin @%d", v->token); return true;
    case '-': tui_edit(t, "kv evict @%d", v->token); return true;
    case '0': tui_edit(t, "kv unpin @%d", v->token); return true;
    default: return false;
    }
    if (!v->n) return true;
    token = token < 0 ? 0 : token >= v->n ? v->n - 1 : token;
    if (token != v->token) tui_focus(t, -1, -1, token);
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct tokens_view *v = self;
    if (row >= v->lines) return;
    int i = v->line[row], at = 0, end = line_end(v, i, tui_pane(t, v).cols);
    for (; i < end; i++) {
        at += (int)utf8_width(v->text[i]);
        if (col < at) break;
    }
    if (i < v->n) tui_focus(t, -1, -1, i < end ? i : end - 1);
}

static void close_view(void *self) { forget(self); }

static const struct view_key keys[] = {
    { "Left Right Up Down", "Move over the text: the focus of kv" },
    { "Enter", "Why the token was kept or evicted, layer by layer" },
    { "+ - 0", "Pin the token, evict it, or leave it to the policy again" },
    { NULL, NULL },
};

const struct view_ops view_tokens = { "tokens", "The prompt, colored by what survived", sizeof(struct tokens_view),
    3, 30, keys, update, title, draw, key, click, NULL, close_view };
