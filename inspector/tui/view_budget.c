/* The budget window: a bar a layer, to be changed there and then. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"
#include "inspector/info.h"
#include "inspector/language/line.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

struct budget_view {
    double *requested, *applied, *used; /* [layers] tokens, NULL = not there yet */
    int32_t *next;                      /* [layers] what the next compress would apply; -1 = unknown */
    bool *fixed;                        /* [layers] by an edit */
    int layers, layer, top;
    double most, total, token_bytes;
    char state[64];
};

static void forget(struct budget_view *v)
{
    free(v->requested);
    free(v->applied);
    free(v->used);
    free(v->next);
    free(v->fixed);
    v->requested = v->applied = v->used = NULL;
    v->next = NULL;
    v->fixed = NULL;
}

static void update(void *self, struct session *s)
{
    struct budget_view *v = self;
    struct kv_array a;
    struct kv_error err = s->err, ignored;
    char element[16];
    forget(v);
    v->layers = s->facts.n_layer;
    v->layer = s->layer;
    v->state[0] = '\0';
    v->most = 1;
    v->total = 0;
    v->next = kv_alloc((size_t)v->layers, sizeof *v->next);
    v->fixed = kv_alloc((size_t)v->layers, sizeof *v->fixed);
    if (!v->next || !v->fixed) {
        forget(v);
        return;
    }
    if (kv_next_budgets(s->engine, v->next, &ignored))
        for (int l = 0; l < v->layers; l++) v->next[l] = -1;
    v->requested = info_copy(s, "budget.req", &a);
    v->applied = v->requested ? info_copy(s, "budget.app", &a) : NULL;
    v->used = v->applied ? info_copy(s, "budget.used", &a) : NULL;
    if (!v->used)
        snprintf(v->state, sizeof v->state, "%s", kv_started(s->engine) ? "not compressed yet" : "no request runs");
    s->err = err;
    v->token_bytes = info_kv_bytes(s, 1, element, sizeof element);
    for (int l = 0; l < v->layers; l++) {
        int fixed = KV_BUDGET_AUTO;
        v->fixed[l] = kv_policy_edits(s->engine, KV_POLICY_NOW, l, NULL, &fixed) && fixed != KV_BUDGET_AUTO;
        if (v->used) v->most = fmax(v->most, fmax(v->requested[l], fmax(v->applied[l], v->used[l])));
        if (v->used) v->total += v->applied[l];
        v->most = fmax(v->most, v->next[l]);
    }
}

static void title(const void *self, char *text, size_t size)
{
    const struct budget_view *v = self;
    char bytes[32];
    if (v->state[0])
        snprintf(text, size, "%s", v->state);
    else
        snprintf(
            text, size, "%.0f tokens in all layers, %s", v->total, line_bytes(v->total * v->token_bytes, bytes));
}

static void draw_bar(
    const struct budget_view *v, const struct pane *p, int row, int l, const struct view_look *look)
{
    int width = p->cols - 5 - 22, here = l == v->layer;
    double scale = width / v->most;
    char numbers[48] = "";
    pane_printf(p, row, 0, COLOR_MUTED, here ? SCREEN_BOLD : 0, "L%-3d", l);
    if (v->used) {
        int applied = (int)lrint(v->applied[l] * scale), used = (int)lrint(fmin(v->used[l], v->applied[l]) * scale);
        for (int i = 0; i < applied; i++) {
            enum color_role role = i < used ? COLOR_USED : COLOR_APPLIED;
            char ascii[2] = { color_roles[role].ascii, '\0' };
            pane_text(p, row, 4 + i, role, 0, look->ascii ? ascii : color_roles[role].utf8);
        }
        int mark = (int)lrint(v->requested[l] * scale);
        pane_text(p, row, 4 + (mark < width ? mark : width - 1), COLOR_REQUESTED, 0,
            look->ascii ? "|" : color_roles[COLOR_REQUESTED].utf8);
        snprintf(numbers, sizeof numbers, "%6.0f%6.0f%6.0f", v->requested[l], v->applied[l], v->used[l]);
    }
    int col = pane_text(p, row, p->cols - 22, COLOR_TEXT, here ? SCREEN_BOLD : 0, numbers);
    if (v->next[l] >= 0 && (!v->used || v->next[l] != (int)v->applied[l])) {
        int mark = (int)lrint(v->next[l] * scale);
        pane_text(p, row, 4 + (mark < width ? mark : width - 1), COLOR_PINNED, SCREEN_BOLD, ">");
    }
    if (v->fixed[l]) pane_text(p, row, col, COLOR_PINNED, SCREEN_BOLD, " P");
    if (here) pane_reverse(p, row, 0, 4);
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct budget_view *v = self;
    int rows = p->rows - 1;
    if (!v->next || !v->fixed) return;
    if (v->layer < v->top) v->top = v->layer;
    if (v->layer >= v->top + rows) v->top = v->layer - rows + 1;
    if (v->top > v->layers - rows) v->top = v->layers > rows ? v->layers - rows : 0;
    static const enum color_role shown[] = { COLOR_USED, COLOR_APPLIED, COLOR_REQUESTED };
    struct pane legend = pane_part(p, 0, 0, 1, p->cols - 22);
    int col = 4;
    for (size_t i = 0; i < KV_COUNT(shown); i++) {
        char ascii[2] = { color_roles[shown[i]].ascii, '\0' };
        if (col + 3 + (int)strlen(color_roles[shown[i]].name) > legend.cols) break;
        col = pane_text(&legend, 0, col, shown[i], 0, look->ascii ? ascii : color_roles[shown[i]].utf8);
        col = pane_printf(&legend, 0, col, COLOR_AXIS, 0, " %s ", color_roles[shown[i]].name);
    }
    if (col + 6 <= legend.cols) pane_text(&legend, 0, col, COLOR_PINNED, SCREEN_BOLD, ">");
    if (col + 6 <= legend.cols) pane_text(&legend, 0, col + 1, COLOR_AXIS, 0, " next");
    pane_text(p, 0, p->cols - 22, COLOR_AXIS, 0, "   req   app  used");
    for (int i = 0; i < rows && v->top + i < v->layers; i++) draw_bar(v, p, 1 + i, v->top + i, look);
}

static bool key(void *self, struct tui *t, int k)
{
    struct budget_view *v = self;
    int layer = v->layer, page = tui_pane(t, v).rows - 2;
    int step = v->used ? (int)(v->applied[v->layer] / 16) + 1 : 16;
    switch (k) {
    case TUI_UP: layer--; break;
    case TUI_DOWN: layer++; break;
    case TUI_PAGE_UP: layer -= page; break;
    case TUI_PAGE_DOWN: layer += page; break;
    case TUI_HOME: layer = 0; break;
    case TUI_END: layer = v->layers - 1; break;
    case '+':
    case '=': tui_edit(t, "set budget L%d +%d", v->layer, step); return true;
    case '-': tui_edit(t, "set budget L%d -%d", v->layer, step); return true;
    case '0': tui_edit(t, "set budget L%d auto", v->layer); return true;
    default: return false;
    }
    layer = layer < 0 ? 0 : layer >= v->layers ? v->layers - 1 : layer;
    if (layer != v->layer && tui_focus(t, layer, -1, -1)) v->layer = layer;
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct budget_view *v = self;
    int layer = v->top + row - 1;
    (void)col;
    if (row >= 1 && layer < v->layers && tui_focus(t, layer, -1, -1)) v->layer = layer;
}

static void close_view(void *self) { forget(self); }

static const struct view_key keys[] = {
    { "Up Down PageUp PageDown", "Move over layers: the focus of kv" },
    { "+ - 0", "Fix the layer's budget higher or lower, or give it back to the policy; the others re-solve" },
    { NULL, NULL },
};

const struct view_ops view_budget = { "budget", "Budgets of the layers: requested, applied, used",
    sizeof(struct budget_view), 3, 48, keys, update, title, draw, key, click, NULL, close_view };
