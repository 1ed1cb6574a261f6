/* The diff window: the full cache's reply beside this run's, step by step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"
#include "render/utf8.h"

#define PIECE 40

struct diff_view {
    char (*full)[PIECE], (*other)[PIECE]; /* [n] */
    bool *same;                           /* [n] */
    float *kl;                            /* [n] nats */
    int n, at, top;
    double mean, most;
    char state[96];
};

static void forget(struct diff_view *v)
{
    free(v->full);
    free(v->other);
    free(v->same);
    free(v->kl);
    *v = (struct diff_view){ .at = v->at };
}

static void take(struct session *s, int32_t id, char *out)
{
    size_t bytes;
    const char *token = kv_token_bytes(s->engine, id, &bytes);
    utf8_visible(token ? token : "", token ? bytes : 0, out, PIECE);
}

static void update(void *self, struct session *s)
{
    struct diff_view *v = self;
    struct kv_array full, other, kl;
    struct kv_error err;
    forget(v);
    snprintf(v->state, sizeof v->state, "no diff yet: Enter compares with the full cache");
    if (!kv_started(s->engine) || kv_value(s->engine, "full", &full, &err)) return;
    size_t n = full.dim[0];
    v->full = kv_alloc(n + 1, PIECE);
    v->other = kv_alloc(n + 1, PIECE);
    v->same = kv_alloc(n + 1, sizeof *v->same);
    v->kl = kv_alloc(n + 1, sizeof *v->kl);
    if (!v->full || !v->other || !v->same || !v->kl) {
        forget(v);
        return;
    }
    for (size_t i = 0; i < n; i++) take(s, ((const int32_t *)full.data)[i], v->full[i]);
    if (kv_value(s->engine, "other", &other, &err) || other.dim[0] != n) return;
    for (size_t i = 0; i < n; i++) take(s, ((const int32_t *)other.data)[i], v->other[i]);
    for (size_t i = 0; i < n; i++) v->same[i] = !strcmp(v->full[i], v->other[i]);
    if (kv_value(s->engine, "kl", &kl, &err) || kl.dim[0] != n) return;
    for (size_t i = 0; i < n; i++) {
        v->kl[i] = (float)array_number(&kl, i);
        v->most = fmax(v->most, v->kl[i]);
    }
    v->mean = s->kl_mean;
    v->n = (int)n;
    if (v->at >= v->n) v->at = v->n - 1;
    v->state[0] = '\0';
}

static void title(const void *self, char *text, size_t size)
{
    const struct diff_view *v = self;
    if (v->state[0])
        snprintf(text, size, "%s", v->state);
    else
        snprintf(
            text, size, "KL(full || this run) %.3g nats a token, most %.3g, over %d steps", v->mean, v->most, v->n);
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct diff_view *v = self;
    int rows = p->rows - 1, column = (p->cols - 20) / 3;
    if (!v->n) return;
    if (v->at < v->top) v->top = v->at;
    if (v->at >= v->top + rows) v->top = v->at - rows + 1;
    pane_text(p, 0, 0, COLOR_AXIS, 0, " step  full cache");
    pane_text(p, 0, 7 + column, COLOR_AXIS, 0, "this run");
    pane_text(p, 0, 7 + 2 * column, COLOR_AXIS, 0, "KL, nats");
    for (int r = 0; r < rows && v->top + r < v->n; r++) {
        int i = v->top + r, width = p->cols - 17 - 2 * column;
        struct pane part = pane_part(p, 1 + r, 0, 1, 6 + 2 * column);
        pane_printf(p, 1 + r, 0, COLOR_MUTED, i == v->at ? SCREEN_REVERSE : 0, "%5d", i);
        pane_text(&part, 0, 7, COLOR_TEXT, 0, v->full[i]);
        pane_fill(&part, 0, 6 + column, column, COLOR_TEXT, 0, ' ');
        pane_text(
            &part, 0, 7 + column, v->same[i] ? COLOR_TEXT : COLOR_SINK, v->same[i] ? 0 : SCREEN_BOLD, v->other[i]);
        pane_printf(p, 1 + r, 7 + 2 * column, v->same[i] ? COLOR_TEXT : COLOR_SINK, 0, "%9.2e", v->kl[i]);
        int bar = v->most > 0 ? (int)lrint(width * v->kl[i] / v->most) : 0;
        for (int c = 0; c < bar; c++)
            pane_text(p, 1 + r, 17 + 2 * column + c, COLOR_APPLIED, 0,
                look->ascii ? "=" : color_roles[COLOR_APPLIED].utf8);
    }
}

static bool key(void *self, struct tui *t, int k)
{
    struct diff_view *v = self;
    int page = tui_pane(t, v).rows - 2;
    switch (k) {
    case TUI_UP: v->at--; break;
    case TUI_DOWN: v->at++; break;
    case TUI_PAGE_UP: v->at -= page; break;
    case TUI_PAGE_DOWN: v->at += page; break;
    case TUI_HOME: v->at = 0; break;
    case TUI_END: v->at = v->n - 1; break;
    case TUI_ENTER: tui_run(t, "diff"); return true;
    default: return false;
    }
    v->at = v->at < 0 || !v->n ? 0 : v->at >= v->n ? v->n - 1 : v->at;
    return true;
}

static void close_view(void *self) { forget(self); }

static const struct view_key keys[] = {
    { "Enter", "Compare with the full cache anew" },
    { "Up Down PageUp PageDown", "Move over the steps" },
    { NULL, NULL },
};

const struct view_ops view_diff = { "diff", "The full cache's reply beside this run's, and KL by step",
    sizeof(struct diff_view), 3, 44, keys, update, title, draw, key, NULL, NULL, close_view };
