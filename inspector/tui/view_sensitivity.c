/* The sensitivity window: what a layer's tokens are worth, layers x kept shares, while it is measured and afterwards. The
 * curves come from the board (lab/board.h), which may be read while a command runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/lab/board.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

/* What the cells show, all made of KL. */
enum metric { METRIC_KL, METRIC_PART, METRIC_SLOPE, METRICS };

static const struct {
    const char *what, *unit;
} metrics[METRICS] = { { "KL", "nats a token" }, { "part of all layers' KL", "%" },
    { "KL that 1 % more tokens save", "nats a token" } };

struct sensitivity_view {
    struct board board; /* its own copy of what is there */
    float *value;       /* [layers][shares] of the metric, NaN = not measured yet */
    double *plan;       /* [layers] share that the policy tuned gives each at `ratio`; NULL = there is none */
    int layers, shares; /* of the arrays */
    int panel;          /* kind and selector shown: kind * n_selector + selector */
    bool follow;        /* the panel that is being measured is shown */
    enum metric metric;
    bool linear;
    int layer, share; /* the cursor */
    int top;
    double ratio; /* policy.ratio, 0 = unset */
    double least, most;
};

static int panels(const struct sensitivity_view *v)
{
    const struct kv_profile *p = v->board.profile;
    return p ? kv_profile_kind(p, NULL) * p->n_selector : 0;
}

static bool live(const struct sensitivity_view *v) { return v->board.profile && v->board.prompt >= 0; }

/* --- figures ------------------------------------------------------------------------------------------------------ */

/* A kind's curve: as it is used, or, where that is not complete, the mean over the prompts that have a point. */
static void mean_curve(const struct kv_profile *p, int kind, int selector, int layer, double *kl)
{
    struct kv_error ignored;
    const char *name = kv_profile_kind_name(p, kind);
    bool whole = true;
    for (int i = 0; i < p->n_prompt; i++)
        whole = whole && (strcmp(p->prompt[i].kind, name) || kv_profile_measured(p, i));
    if (whole && !kv_profile_mean(p, kind, selector, layer, kl, &ignored)) return;
    for (int b = 0; b < p->n_share; b++) {
        double sum = 0;
        int n = 0;
        for (int i = 0; i < p->n_prompt; i++) {
            double x = kv_profile_curve(p, i, selector, layer)[b];
            if (strcmp(p->prompt[i].kind, name) || isnan(x)) continue;
            sum += x;
            n++;
        }
        kl[b] = n ? sum / n : NAN;
    }
}

/* From KL in place to the metric; share 1 does no damage. */
static void make_metric(struct sensitivity_view *v)
{
    const struct kv_profile *p = v->board.profile;
    for (int b = 0; b < v->shares && v->metric == METRIC_PART; b++) {
        double sum = 0;
        for (int l = 0; l < v->layers; l++)
            if (!isnan(v->value[l * v->shares + b])) sum += fmax(0, v->value[l * v->shares + b]);
        for (int l = 0; l < v->layers; l++) {
            float *x = &v->value[l * v->shares + b];
            *x = sum > 0 ? (float)(100 * fmax(0, *x) / sum) : *x;
        }
    }
    for (int i = 0; i < v->layers * v->shares && v->metric == METRIC_SLOPE; i++) {
        int b = i % v->shares;
        bool last = b + 1 == v->shares;
        double next = last ? 0 : v->value[i + 1], far = last ? 1 : p->share[b + 1];
        v->value[i] = (float)((v->value[i] - next) / (100 * (far - p->share[b])));
    }
}

static void measure_ends(struct sensitivity_view *v)
{
    v->least = INFINITY;
    v->most = -INFINITY;
    for (int i = 0; i < v->layers * v->shares; i++) {
        double x = v->value[i];
        if (isnan(x)) continue;
        v->least = fmin(v->least, x);
        v->most = fmax(v->most, x);
    }
    /* three decades, as the picture */
    if (!v->linear && v->most > 0) v->least = fmax(v->least, v->most / 1000);
}

/* Room for the profile's layers and shares; false = no memory. */
static bool make_room(struct sensitivity_view *v)
{
    const struct kv_profile *p = v->board.profile;
    if (v->value && p->n_layer == v->layers && p->n_share == v->shares) return true;
    free(v->value);
    v->layers = p->n_layer;
    v->shares = p->n_share;
    v->top = 0;
    v->value = kv_alloc((size_t)v->layers * (size_t)v->shares, sizeof *v->value);
    return v->value != NULL;
}

/* What tune would give the layers. */
static void make_plan(struct sensitivity_view *v)
{
    struct kv_error ignored;
    free(v->plan);
    v->plan = NULL;
    if (live(v) || !(v->ratio > 0)) return;
    struct kv_profile_plan plan = { .total = v->ratio,
        .share = v->plan = kv_alloc((size_t)v->layers, sizeof *v->plan) };
    if (v->plan && !kv_profile_spend(v->board.profile, &plan, &ignored)) return;
    free(v->plan);
    v->plan = NULL;
}

/* From the board's copy to what is drawn. */
static void take(struct sensitivity_view *v)
{
    const struct kv_profile *p = v->board.profile;
    double kl[KV_PROFILE_SHARES];
    if (!p || !make_room(v)) return;
    if (live(v) && v->follow)
        v->panel = kv_profile_kind(p, p->prompt[v->board.prompt].kind) * p->n_selector + v->board.selector;
    if (v->panel >= panels(v)) v->panel = 0;
    if (v->share >= v->shares) v->share = v->shares - 1;
    if (v->layer >= v->layers) v->layer = v->layers - 1;
    for (int l = 0; l < v->layers; l++) {
        mean_curve(p, v->panel / p->n_selector, v->panel % p->n_selector, l, kl);
        for (int b = 0; b < v->shares; b++) v->value[l * v->shares + b] = (float)kl[b];
    }
    make_metric(v);
    measure_ends(v);
    make_plan(v);
}

/* What is new there; a measurement that begins is followed, and the cursor begins at a quarter. */
static bool look_there(struct sensitivity_view *v)
{
    bool first = !v->board.version, was_live = live(v);
    if (!board_take(&v->board)) return false;
    const struct kv_profile *p = v->board.profile;
    if (live(v) && !was_live) v->follow = true;
    for (int b = 0; first && b < p->n_share; b++)
        if (fabs(p->share[b] - .25) < fabs(p->share[v->share] - .25)) v->share = b;
    return true;
}

static void update(void *self, struct session *s)
{
    struct sensitivity_view *v = self;
    struct kv_error ignored;
    char ratio[40] = "";
    kv_get(s->engine, "policy.ratio", ratio, sizeof ratio, &ignored);
    v->ratio = strtod(ratio, NULL);
    v->layer = s->layer;
    look_there(v);
    take(v);
}

/* --- showing ------------------------------------------------------------------------------------------------------ */

/* At most 6 characters: "0.099", "12.3", "4e-05"; percents "12.3". */
static void number(const struct sensitivity_view *v, double x, char *text, size_t size)
{
    if (v->metric == METRIC_PART)
        snprintf(text, size, "%.1f", x);
    else if (fabs(x) < 0.0005)
        snprintf(text, size, x != 0 ? "%.0e" : "0", x);
    else
        snprintf(text, size, fabs(x) < 9.9995 ? "%.3f" : fabs(x) < 999.95 ? "%.1f" : "%.0f", x);
}

static void title(const void *self, char *text, size_t size)
{
    const struct sensitivity_view *v = self;
    const struct kv_profile *p = v->board.profile;
    char what[64] = "";
    if (!p || !v->value) {
        snprintf(text, size, "no profile yet: sensitivity FILE -o PROFILE");
        return;
    }
    double x = v->value[v->layer * v->shares + v->share];
    if (isnan(x))
        snprintf(what, sizeof what, "not measured yet");
    else
        snprintf(what, sizeof what, v->metric == METRIC_PART ? "%.1f %s" : "%.3g %s", x, metrics[v->metric].unit);
    int n =
        snprintf(text, size, "%.24s, %.16s  L%d at %g %%: %s", kv_profile_kind_name(p, v->panel / p->n_selector),
            p->selector[v->panel % p->n_selector], v->layer, 100 * p->share[v->share], what);
    if (live(v) && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, "  measuring L%d of %d", v->board.layer, p->n_layer);
}

#define LEFT 4 /* columns of the layers' names, and of the plan's shares */
#define PLAN 8

static int cell_width(const struct sensitivity_view *v, int cols)
{
    int width = (cols - LEFT - PLAN) / kv_max(1, v->shares);
    return width > 7 ? 7 : width < 1 ? 1 : width;
}

static double unit_of(const struct sensitivity_view *v, double x)
{
    if (isnan(x)) return NAN;
    if (v->most <= v->least) return 0;
    if (v->linear || v->most <= 0) return (x - v->least) / (v->most - v->least);
    return x <= v->least ? 0 : log(x / v->least) / log(v->most / v->least);
}

static void draw_row(
    const struct sensitivity_view *v, const struct pane *p, const struct view_look *look, int row, int l)
{
    int width = cell_width(v, p->cols);
    bool measured = live(v) && l == v->board.layer;
    pane_printf(
        p, row, 0, measured ? COLOR_PINNED : COLOR_MUTED, l == v->layer || measured ? SCREEN_BOLD : 0, "L%-3d", l);
    for (int b = 0; b < v->shares; b++) {
        double x = v->value[l * v->shares + b];
        char text[24] = " ";
        if (width > 5 && !isnan(x)) number(v, x, text + 1, sizeof text - 1);
        pane_heat(p, row, LEFT + b * width, width, look->map, unit_of(v, x), text[1] ? text : NULL);
        if (l == v->layer && b == v->share) pane_reverse(p, row, LEFT + b * width, width);
    }
    if (v->plan) pane_printf(p, row, LEFT + v->shares * width, COLOR_TEXT, 0, " %5.1f%%", 100 * v->plan[l]);
}

static void draw_head(const struct sensitivity_view *v, const struct pane *p)
{
    int width = cell_width(v, p->cols);
    char text[16];
    for (int b = 0; b < v->shares; b++) {
        snprintf(text, sizeof text, "%.3g%%", 100 * v->board.profile->share[b]);
        if ((int)strlen(text) < width || b % 3 == 0)
            pane_text(p, 0, LEFT + b * width + (width > 5), COLOR_AXIS, 0, text);
    }
    if (v->plan) pane_printf(p, 0, LEFT + v->shares * width, COLOR_AXIS, 0, " tuned");
}

static void draw_legend(const struct sensitivity_view *v, const struct pane *p, const struct view_look *look)
{
    char least[24], most[24];
    int row = p->rows - 1;
    if (!isfinite(v->least)) return;
    number(v, v->least, least, sizeof least);
    number(v, v->most, most, sizeof most);
    int col = pane_printf(p, row, 0, COLOR_MUTED, 0, "%s ", least);
    for (int i = 0; i < COLOR_STEPS; i++) pane_heat(p, row, col++, 1, look->map, i / (COLOR_STEPS - 1.0), NULL);
    pane_phrase(p, row, col, COLOR_MUTED, 0, " %s %s, %s  %s", most, metrics[v->metric].unit,
        v->linear ? "linear" : "log", metrics[v->metric].what);
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct sensitivity_view *v = self;
    int rows = p->rows - 2;
    if (look_there(v)) take(v);
    if (!v->board.profile || !v->value) return;
    if (v->layer < v->top) v->top = v->layer;
    if (v->layer >= v->top + rows) v->top = v->layer - rows + 1;
    if (v->top > v->layers - rows) v->top = v->layers > rows ? v->layers - rows : 0;
    draw_head(v, p);
    for (int i = 0; i < rows && v->top + i < v->layers; i++) draw_row(v, p, look, 1 + i, v->top + i);
    draw_legend(v, p, look);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* The cursor moves even while a command runs; the session's focus follows when it is done. */
static void move_to(struct sensitivity_view *v, struct tui *t, int layer, int share)
{
    layer = layer < 0 || !v->layers ? 0 : layer >= v->layers ? v->layers - 1 : layer;
    share = share < 0 || !v->shares ? 0 : share >= v->shares ? v->shares - 1 : share;
    v->share = share;
    if (layer == v->layer) return;
    v->layer = layer;
    tui_focus(t, layer, -1, -1);
}

static void other_panel(struct sensitivity_view *v, int by)
{
    int n = panels(v);
    v->follow = false;
    if (n) v->panel = (v->panel + by + n) % n;
    take(v);
}

static bool key(void *self, struct tui *t, int k)
{
    struct sensitivity_view *v = self;
    int page = tui_pane(t, v).rows - 3;
    switch (k) {
    case TUI_UP: move_to(v, t, v->layer - 1, v->share); return true;
    case TUI_DOWN: move_to(v, t, v->layer + 1, v->share); return true;
    case TUI_LEFT: move_to(v, t, v->layer, v->share - 1); return true;
    case TUI_RIGHT: move_to(v, t, v->layer, v->share + 1); return true;
    case TUI_PAGE_UP: move_to(v, t, v->layer - page, v->share); return true;
    case TUI_PAGE_DOWN: move_to(v, t, v->layer + page, v->share); return true;
    case TUI_HOME: move_to(v, t, 0, v->share); return true;
    case TUI_END: move_to(v, t, v->layers - 1, v->share); return true;
    case '<': other_panel(v, -1); return true;
    case '>': other_panel(v, 1); return true;
    case 'm':
    case TUI_F6: v->metric = (v->metric + 1) % METRICS; break;
    case 'l': v->linear = !v->linear; break;
    default: return false;
    }
    take(v);
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct sensitivity_view *v = self;
    int layer = v->top + row - 1, share = (col - LEFT) / cell_width(v, tui_pane(t, v).cols);
    if (v->value && row >= 1 && col >= LEFT && layer < v->layers && share < v->shares) move_to(v, t, layer, share);
}

static void close_view(void *self)
{
    struct sensitivity_view *v = self;
    board_free(&v->board);
    free(v->value);
    free(v->plan);
}

static const struct view_key keys[] = {
    { "Up Down Left Right", "Move over layers (the focus of kv) and kept shares, while it is measured too" },
    { "PageUp PageDown Home End", "Move over layers" },
    { "< >", "Another kind of prompts, another selector" },
    { "F6, m",
        "The next number: KL, the layer's part of all layers' KL, what one more percent of its tokens saves" },
    { "l", "Linear or log scale (m and l in SingleKey mode)" },
    { NULL, NULL },
};

const struct view_ops view_sensitivity = { "sensitivity", "KL when one layer alone keeps a share of its tokens",
    sizeof(struct sensitivity_view), 4, 54, keys, update, title, draw, key, click, NULL, close_view };
