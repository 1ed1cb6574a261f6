/* The kept window: what every layer keeps, position by position. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

struct kept_view {
    uint8_t *reason; /* [layers][n], indices into kv_reason_name; NULL = not there yet */
    int layers, n, layer, token, top;
    char state[64], whose[32];
};

static void update(void *self, struct session *s)
{
    struct kept_view *v = self;
    struct kv_array a;
    struct kv_error err;
    free(v->reason);
    *v = (struct kept_view){ .layer = s->layer, .token = s->token, .top = v->top };
    if (!kv_started(s->engine) || session_set(s, s->engine, "reason", -1, &a, &err)) {
        snprintf(v->state, sizeof v->state, "%s", kv_started(s->engine) ? "not compressed yet" : "no request runs");
        return;
    }
    v->layers = (int)a.dim[0];
    v->n = (int)a.dim[1];
    v->reason = kv_alloc(a.dim[0] * a.dim[1], 1);
    if (v->reason) memcpy(v->reason, a.data, a.dim[0] * a.dim[1]);
    snprintf(v->whose, sizeof v->whose, "%s", session_set_name(s));
}

/* Positions that a column stands for. */
static int per_column(const struct kept_view *v, int cols) { return cols > 0 ? (v->n + cols - 1) / cols : 1; }

static void title(const void *self, char *text, size_t size)
{
    const struct kept_view *v = self;
    if (!v->reason) {
        snprintf(text, size, "%s", v->state);
        return;
    }
    int kept = 0;
    for (int i = 0; i < v->n; i++) kept += v->reason[v->layer * v->n + i] > 0;
    snprintf(text, size, "L%d%s keeps %d of %d; @%d: %s", v->layer, v->whose, kept, v->n, v->token,
        v->token < v->n ? kv_reason_name[v->reason[v->layer * v->n + v->token]] : "not in the prompt");
}

/* The class of a block of positions: what most of the kept ones are, or evicted; *share = kept. */
static enum color_role block(const struct kept_view *v, int l, int from, int per, double *share)
{
    int count[8] = { 0 }, n = 0;
    for (int i = from; i < from + per && i < v->n; i++, n++) count[v->reason[l * v->n + i] & 7]++;
    *share = n ? 1 - (double)count[0] / n : 0;
    enum color_role role = COLOR_EVICTED;
    int most = 0;
    for (int r = 1; r < 8; r++) {
        if (count[r] <= most) continue;
        most = count[r];
        const char *name = kv_reason_name[r];
        role = !strcmp(name, "sink")     ? COLOR_SINK
               : !strcmp(name, "recent") ? COLOR_RECENT
               : !strcmp(name, "pin")    ? COLOR_PINNED
                                         : COLOR_KEPT;
    }
    return role;
}

static void draw_row(const struct kept_view *v, const struct pane *p, const struct view_look *look, int row, int l)
{
    int per = per_column(v, p->cols - 4), mark = v->token / per;
    pane_printf(p, row, 0, COLOR_MUTED, l == v->layer ? SCREEN_BOLD : 0, "L%-3d", l);
    for (int c = 0; c * per < v->n; c++) {
        double share;
        enum color_role role = block(v, l, c * per, per, &share);
        char digit[2] = { share >= 1 ? color_roles[role].ascii : (char)('0' + (int)(share * 10)), '\0' };
        bool whole = share >= 1 || share <= 0; /* a part is shown as tenths */
        char ascii[2] = { color_roles[role].ascii, '\0' };
        pane_text(p, row, 4 + c, role, 0, !whole ? digit : look->ascii ? ascii : color_roles[role].utf8);
        if (l == v->layer && c == mark) pane_reverse(p, row, 4 + c, 1);
    }
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    static const enum color_role shown[] = { COLOR_KEPT, COLOR_SINK, COLOR_RECENT, COLOR_PINNED, COLOR_EVICTED };
    struct kept_view *v = self;
    int rows = p->rows - 1, col = 0;
    if (!v->reason) return;
    if (v->layer < v->top) v->top = v->layer;
    if (v->layer >= v->top + rows) v->top = v->layer - rows + 1;
    if (v->top > v->layers - rows) v->top = v->layers > rows ? v->layers - rows : 0;
    for (int i = 0; i < rows && v->top + i < v->layers; i++) draw_row(v, p, look, i, v->top + i);
    for (size_t i = 0; i < KV_COUNT(shown); i++) {
        char ascii[2] = { color_roles[shown[i]].ascii, '\0' };
        col = pane_text(p, p->rows - 1, col, shown[i], 0, look->ascii ? ascii : color_roles[shown[i]].utf8);
        col = pane_printf(p, p->rows - 1, col, COLOR_MUTED, 0, " %s  ", color_roles[shown[i]].name);
    }
    if (per_column(v, p->cols - 4) > 1)
        pane_printf(p, p->rows - 1, col, COLOR_MUTED, 0, "%d a column, 1-9 tenths", per_column(v, p->cols - 4));
}

static bool key(void *self, struct tui *t, int k)
{
    struct kept_view *v = self;
    struct pane p = tui_pane(t, v);
    int layer = v->layer, token = v->token, per = per_column(v, p.cols - 4);
    switch (k) {
    case TUI_UP: layer--; break;
    case TUI_DOWN: layer++; break;
    case TUI_LEFT: token -= per; break;
    case TUI_RIGHT: token += per; break;
    case TUI_PAGE_UP: layer -= p.rows - 2; break;
    case TUI_PAGE_DOWN: layer += p.rows - 2; break;
    case TUI_HOME: token = 0; break;
    case TUI_END: token = v->n - 1; break;
    case TUI_ENTER: tui_run(t, "why @%d layer %d", v->token, v->layer); return true;
    default: return false;
    }
    if (!v->reason) return true;
    layer = layer < 0 ? 0 : layer >= v->layers ? v->layers - 1 : layer;
    token = token < 0 ? 0 : token >= v->n ? v->n - 1 : token;
    tui_focus(t, layer, -1, token);
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct kept_view *v = self;
    int layer = v->top + row, token = (col - 4) * per_column(v, tui_pane(t, v).cols - 4);
    if (v->reason && col >= 4 && layer < v->layers && token < v->n) tui_focus(t, layer, -1, token);
}

static void close_view(void *self) { free(((struct kept_view *)self)->reason); }

static const struct view_key keys[] = {
    { "Up Down Left Right", "Move over layers and positions: the focus of kv" },
    { "Enter", "Why the token was kept or evicted in this layer" },
    { NULL, NULL },
};

const struct view_ops view_kept = { "kept", "What each layer keeps, position by position", sizeof(struct kept_view),
    4, 30, keys, update, title, draw, key, click, NULL, close_view };
