/* The heat window: entropy of every layer and head, with a cursor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/names.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

/* What the cells show, all made of the entropy E over n keys. */
enum metric { METRIC_ENTROPY, METRIC_KEYS, METRIC_SHARE, METRICS };

static const struct {
    const char *name, *unit, *format;
} metrics[METRICS] = { { "entropy", "nats", " %.2f" }, { "effective keys, exp E", "keys", " %.1f" },
    { "of the largest, E / ln n", "%", " %.0f" } };

struct heat_view {
    float *value; /* [layers][heads] of the metric, NaN = not there yet */
    enum metric metric;
    bool log;
    int layers, heads;
    float *mean; /* [layers] */
    int layer, head;
    int top; /* first layer shown */
    double least, most;
    char state[64];
};

static void update(void *self, struct session *s)
{
    struct heat_view *v = self;
    struct kv_array a;
    struct kv_error err = { 0 };
    int layers = s->facts.n_layer, heads = s->facts.n_head;
    if (layers != v->layers || heads != v->heads) {
        float *value = kv_alloc((size_t)layers * (size_t)heads, sizeof *value);
        float *mean = kv_alloc((size_t)layers, sizeof *mean);
        if (!value || !mean) {
            free(value);
            free(mean);
            return;
        }
        free(v->value);
        free(v->mean);
        *v = (struct heat_view){
            .value = value, .mean = mean, .layers = layers, .heads = heads, .metric = v->metric, .log = v->log
        };
    }
    v->layer = s->layer;
    v->head = s->head;
    v->state[0] = '\0';
    size_t count = (size_t)layers * (size_t)heads;
    bool there = kv_started(s->engine) && !kv_value(s->engine, "entropy", &a, &err);
    double most = there ? log((double)kv_max(names_rows(s), 2)) : 1;
    for (size_t i = 0; i < count; i++) {
        double e = there ? array_number(&a, i) : NAN;
        v->value[i] = (float)(v->metric == METRIC_KEYS ? exp(e) : v->metric == METRIC_SHARE ? 100 * e / most : e);
    }
    v->least = INFINITY;
    v->most = -INFINITY;
    for (int l = 0; l < layers; l++) {
        double sum = 0;
        for (int h = 0; h < heads; h++) {
            double x = v->value[l * heads + h];
            sum += x;
            v->least = fmin(v->least, x);
            v->most = fmax(v->most, x);
        }
        v->mean[l] = (float)(sum / heads);
    }
    if (!there)
        snprintf(v->state, sizeof v->state, "%s", kv_started(s->engine) ? "not there yet" : "no request runs");
}

static void title(const void *self, char *text, size_t size)
{
    const struct heat_view *v = self;
    if (v->state[0] || !v->value) {
        snprintf(text, size, "%s", v->state);
        return;
    }
    double x = v->value[v->layer * v->heads + v->head];
    if (isnan(x))
        snprintf(text, size, "L%d H%d  not there yet", v->layer, v->head);
    else
        snprintf(text, size, "L%d H%d  %.4f %s%s%s", v->layer, v->head, x, metrics[v->metric].unit,
            v->metric ? "  " : "", v->metric ? metrics[v->metric].name : "");
}

/* Columns of a cell, so that all heads fit where they can. */
static int cell_width(const struct heat_view *v, int cols)
{
    int width = v->heads ? cols / v->heads : 1;
    return width > 6 ? 6 : width < 1 ? 1 : width;
}

/* A value's place between the least and the most. */
static double unit_of(const struct heat_view *v, double x)
{
    if (isnan(x)) return NAN;
    if (v->most <= v->least) return 0;
    bool log_scale = v->log && v->least > 0;
    return log_scale ? log(x / v->least) / log(v->most / v->least) : (x - v->least) / (v->most - v->least);
}

static void draw_row(const struct heat_view *v, const struct pane *p, const struct view_look *look, int row, int l)
{
    int width = cell_width(v, p->cols - 10);
    pane_printf(p, row, 0, COLOR_MUTED, l == v->layer ? SCREEN_BOLD : 0, "L%-3d", l);
    for (int h = 0; h < v->heads; h++) {
        double x = v->value[l * v->heads + h];
        char text[16] = "";
        if (width > 4 && !isnan(x)) snprintf(text, sizeof text, metrics[v->metric].format, x);
        pane_heat(p, row, 4 + h * width, width, look->map, unit_of(v, x), text);
        if (l == v->layer && h == v->head) pane_reverse(p, row, 4 + h * width, width);
    }
    if (!isnan(v->mean[l])) pane_printf(p, row, 4 + v->heads * width + 1, COLOR_TEXT, 0, "%5.2f", v->mean[l]);
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct heat_view *v = self;
    int rows = p->rows - 2, width = cell_width(v, p->cols - 10);
    if (!v->value) return;
    if (v->layer < v->top) v->top = v->layer;
    if (v->layer >= v->top + rows) v->top = v->layer - rows + 1;
    if (v->top > v->layers - rows) v->top = v->layers > rows ? v->layers - rows : 0;
    for (int h = 0; h < v->heads; h++)
        if (width > 2 || h % 5 == 0) pane_printf(p, 0, 4 + h * width, COLOR_AXIS, 0, width > 2 ? "H%d" : "%d", h);
    pane_text(p, 0, 4 + v->heads * width + 1, COLOR_AXIS, 0, " mean");
    for (int i = 0; i < rows && v->top + i < v->layers; i++) draw_row(v, p, look, 1 + i, v->top + i);
    if (isfinite(v->least)) {
        int col = pane_printf(p, p->rows - 1, 0, COLOR_MUTED, 0, "%.2f ", v->least);
        for (int i = 0; i < COLOR_STEPS; i++)
            pane_heat(p, p->rows - 1, col++, 1, look->map, i / (COLOR_STEPS - 1.0), NULL);
        pane_phrase(p, p->rows - 1, col, COLOR_MUTED, 0, " %.2f %s, %s", v->most, metrics[v->metric].unit,
            v->log && v->least > 0 ? "log" : "linear");
    }
}

static bool key(void *self, struct tui *t, int k)
{
    struct heat_view *v = self;
    int layer = v->layer, head = v->head, page = tui_pane(t, v).rows - 3;
    switch (k) {
    case TUI_UP: layer--; break;
    case TUI_DOWN: layer++; break;
    case TUI_LEFT: head--; break;
    case TUI_RIGHT: head++; break;
    case TUI_PAGE_UP: layer -= page; break;
    case TUI_PAGE_DOWN: layer += page; break;
    case 'm':
    case TUI_F6:
        v->metric = (v->metric + 1) % METRICS;
        tui_changed(t);
        return true;
    case 'l': v->log = !v->log; return true;
    case TUI_HOME: layer = 0; break;
    case TUI_END: layer = v->layers - 1; break;
    default: return false;
    }
    layer = layer < 0 ? 0 : layer >= v->layers ? v->layers - 1 : layer;
    head = head < 0 ? 0 : head >= v->heads ? v->heads - 1 : head;
    if ((layer != v->layer || head != v->head) && tui_focus(t, layer, head, -1)) v->layer = layer, v->head = head;
    return true;
}

static void click(void *self, struct tui *t, int row, int col)
{
    struct heat_view *v = self;
    int width = cell_width(v, tui_pane(t, v).cols - 10), layer = v->top + row - 1, head = (col - 4) / width;
    if (row < 1 || col < 4 || layer >= v->layers || head >= v->heads) return;
    if (tui_focus(t, layer, head, -1)) v->layer = layer, v->head = head;
}

static void close_view(void *self)
{
    struct heat_view *v = self;
    free(v->value);
    free(v->mean);
}

static const struct view_key keys[] = {
    { "Up Down Left Right", "Move over layers and heads: the focus of kv" },
    { "PageUp PageDown Home End", "Move over layers" },
    { "F6, m", "The next number: entropy, effective keys (exp E), share of the largest entropy (E / ln n)" },
    { "l", "Log or linear scale (m and l in SingleKey mode)" },
    { NULL, NULL },
};

const struct view_ops view_heat = { "heat", "Entropy of every layer and head, in nats", sizeof(struct heat_view), 4,
    24, keys, update, title, draw, key, click, NULL, close_view };
