/* The attention window: a map of the focused head, of any part and at any zoom. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/names.h"
#include "inspector/picture/picture.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

#define SIDE_ROWS 96
#define SIDE_COLS 288

/* What to show; two equal ones show the same. */
struct part {
    int layer, head;
    int64_t first, last, left, right; /* query rows and key columns, both included */
    enum pool_kind pool;
    bool log;
    int rows, cols; /* cells at most */
    uint64_t tick;
    int branch;
};

struct attn_view {
    struct part want, have, made; /* made: by the engine's thread, taken by update */
    float *unit, *next;           /* [rows][cols] in [0, 1], NaN = none; next belongs to made */
    size_t out_rows, out_cols, next_rows, next_cols;
    int64_t n; /* rows that there are */
    double low, high, next_low, next_high;
    bool ready, failed;
    bool begun;  /* the first scale is chosen */
    bool zoomed; /* the part is the user's; else everything */
    char pooled[48], next_pooled[48], note[120];
};

static bool same(const struct part *a, const struct part *b) { return !memcmp(a, b, sizeof *a); }

static void update(void *self, struct session *s)
{
    struct attn_view *v = self;
    struct kv_where w;
    if (v->ready) {
        free(v->unit);
        v->unit = v->next;
        v->next = NULL;
        v->have = v->made;
        v->out_rows = v->next_rows;
        v->out_cols = v->next_cols;
        v->low = v->next_low;
        v->high = v->next_high;
        memcpy(v->pooled, v->next_pooled, sizeof v->pooled);
        v->ready = false;
    }
    v->n = 0;
    if (!kv_started(s->engine)) return;
    kv_where(s->engine, &w);
    if (w.phase > KV_PHASE_prefill) v->n = names_rows(s);
    struct part p; /* memset: parts are compared as bytes */
    memset(&p, 0, sizeof p);
    p.layer = s->layer;
    p.head = s->head;
    p.pool = v->want.pool;
    if (!v->begun) v->want.log = v->begun = true; /* sinks swamp a linear map */
    p.log = v->want.log;
    p.rows = v->want.rows;
    p.cols = v->want.cols;
    p.first = v->zoomed ? v->want.first : 0;
    p.left = v->zoomed ? v->want.left : 0;
    p.last = v->zoomed ? v->want.last : v->n - 1;
    p.right = v->zoomed ? v->want.right : v->n - 1;
    if (p.last >= v->n) p.last = v->n - 1;
    if (p.right >= v->n) p.right = v->n - 1;
    p.tick = w.tick;
    p.branch = w.branch;
    if (!same(&p, &v->want)) v->failed = false;
    v->want = p;
}

static bool wants(const void *self)
{
    const struct attn_view *v = self;
    return v->n > 0 && v->want.rows > 0 && !v->failed && !same(&v->want, &v->have);
}

/* On the engine's thread; only next_* and made are touched. */
static void compute(void *self, struct session *s)
{
    struct attn_view *v = self;
    struct part p = v->want;
    struct picture picture = { .what = PICTURE_ATTN,
        .layer = p.layer,
        .head = p.head,
        .first = p.first,
        .last = p.last,
        .left = p.left,
        .right = p.right,
        .pool = p.pool };
    struct scale_view view = { .kind = p.log ? SCALE_LOG : SCALE_LINEAR, .floor = p.log ? 1e-5 : 0 };
    struct picture_source src = { 0 };
    struct matrix_cells cells = { 0 };
    struct scale scale;
    struct kv_error before = s->err, err = { 0 };
    enum kv_status st = scale_open(&scale, &view, &err);
    if (st) return;
    st = picture_open(s, &picture, &src);
    if (!st) st = matrix_cells_read(&cells, &src.matrix, p.pool, (size_t)p.rows, (size_t)p.cols, &scale, &s->err);
    if (!st) st = scale_fit(&scale, &s->err);
    float *unit = st ? NULL : kv_alloc(cells.pool.out_rows * cells.pool.out_cols, sizeof *unit);
    if (unit) {
        v->next_rows = cells.pool.out_rows;
        v->next_cols = cells.pool.out_cols;
        for (size_t r = 0; r < v->next_rows; r++)
            for (size_t c = 0; c < v->next_cols; c++)
                unit[r * v->next_cols + c] = (float)scale_unit(&scale, matrix_cell(&cells, r, c));
        v->next_low = scale.low;
        v->next_high = scale.high;
        matrix_pool_text(&cells, v->next_pooled, sizeof v->next_pooled);
        free(v->next);
        v->next = unit;
        v->made = p;
        v->ready = true;
    }
    v->failed = st != KV_OK;
    snprintf(v->note, sizeof v->note, "%.110s", st ? s->err.text : "");
    matrix_cells_free(&cells);
    picture_close(&src);
    scale_close(&scale);
    s->err = before;
}

static void title(const void *self, char *text, size_t size)
{
    const struct attn_view *v = self;
    const struct part *p = &v->want;
    if (!v->n)
        snprintf(text, size, "not there before the prefill is done");
    else if (v->failed)
        snprintf(text, size, "%s", v->note);
    else
        snprintf(text, size, "L%d H%d, rows %lld-%lld, keys %lld-%lld%s%s%s", p->layer, p->head,
            (long long)p->first, (long long)p->last, (long long)p->left, (long long)p->right,
            *v->pooled ? ", " : "", v->pooled, same(&v->want, &v->have) ? "" : "  (working)");
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct attn_view *v = self;
    int rows = p->rows - 1, cols = p->cols - 7;
    v->want.rows = rows < SIDE_ROWS ? rows : SIDE_ROWS;
    v->want.cols = cols < SIDE_COLS ? cols : SIDE_COLS;
    if (!v->unit) return;
    double step = v->have.last - v->have.first + 1, per = v->out_rows ? step / (double)v->out_rows : 1;
    for (size_t r = 0; r < v->out_rows && (int)r < rows; r++) {
        if (r % 4 == 0)
            pane_printf(
                p, (int)r, 0, COLOR_AXIS, 0, "%6lld", (long long)(v->have.first + (int64_t)((double)r * per)));
        for (size_t c = 0; c < v->out_cols && (int)c < cols; c++) {
            double t = v->unit[r * v->out_cols + c];
            if (!isnan(t)) pane_heat(p, (int)r, 7 + (int)c, 1, look->map, t, NULL);
        }
    }
    char low[28], high[28];
    scale_text(v->low, low, sizeof low);
    scale_text(v->high, high, sizeof high);
    int col = pane_printf(p, p->rows - 1, 0, COLOR_MUTED, 0, "%s ", low);
    for (int i = 0; i < COLOR_STEPS; i++)
        pane_heat(p, p->rows - 1, col++, 1, look->map, i / (COLOR_STEPS - 1.0), NULL);
    pane_phrase(
        p, p->rows - 1, col, COLOR_MUTED, 0, " %s, %s, probability", high, v->have.log ? "log10" : "linear");
}

/* Keeps a range of `size` numbers within 0..n-1, around a middle. */
static void range(int64_t middle, int64_t size, int64_t n, int64_t *first, int64_t *last)
{
    if (size > n) size = n;
    if (size < 8) size = n < 8 ? n : 8;
    *first = middle - size / 2;
    if (*first + size > n) *first = n - size;
    if (*first < 0) *first = 0;
    *last = *first + size - 1;
}

static void zoom(struct attn_view *v, double factor)
{
    struct part *p = &v->want;
    int64_t rows = p->last - p->first + 1, cols = p->right - p->left + 1;
    range(p->first + rows / 2, (int64_t)((double)rows * factor), v->n, &p->first, &p->last);
    range(p->left + cols / 2, (int64_t)((double)cols * factor), v->n, &p->left, &p->right);
    v->zoomed = p->first > 0 || p->left > 0 || p->last < v->n - 1 || p->right < v->n - 1;
}

static void pan(struct attn_view *v, int down, int right)
{
    struct part *p = &v->want;
    int64_t rows = p->last - p->first + 1, cols = p->right - p->left + 1;
    range(p->first + rows / 2 + down * (rows / 4 + 1), rows, v->n, &p->first, &p->last);
    range(p->left + cols / 2 + right * (cols / 4 + 1), cols, v->n, &p->left, &p->right);
}

static bool key(void *self, struct tui *t, int k)
{
    struct attn_view *v = self;
    struct session *s = tui_session(t);
    bool mine = true;
    switch (k) {
    case TUI_UP: pan(v, -1, 0); break;
    case TUI_DOWN: pan(v, 1, 0); break;
    case TUI_LEFT: pan(v, 0, -1); break;
    case TUI_RIGHT: pan(v, 0, 1); break;
    case '+':
    case '=': zoom(v, 0.5); break;
    case '-': zoom(v, 2); break;
    case '0': v->zoomed = false; break;
    case 'l':
    case '/': v->want.log = !v->want.log; break;
    case 'm':
    case '*': v->want.pool = v->want.pool == POOL_MEAN ? POOL_MAX : POOL_MEAN; break;
    case '[':
        if (s && s->layer > 0) tui_focus(t, s->layer - 1, -1, -1);
        break;
    case ']':
        if (s && s->layer + 1 < s->facts.n_layer) tui_focus(t, s->layer + 1, -1, -1);
        break;
    case '{':
        if (s && s->head > 0) tui_focus(t, -1, s->head - 1, -1);
        break;
    case '}':
        if (s && s->head + 1 < s->facts.n_head) tui_focus(t, -1, s->head + 1, -1);
        break;
    case TUI_ENTER: v->failed = false; break;
    default: mine = false;
    }
    if (mine) tui_changed(t);
    return mine;
}

static void close_view(void *self)
{
    struct attn_view *v = self;
    free(v->unit);
    free(v->next);
}

static const struct view_key keys[] = {
    { "+ - 0", "Zoom in, out, or to everything" },
    { "Up Down Left Right", "Move the part that is shown" },
    { "[ ] { }", "The layer and the head before and after" },
    { "/ *, l m", "Log or linear scale; mean or max of what a cell stands for" },
    { "Enter", "Work it out again after it was stopped" },
    { NULL, NULL },
};

const struct view_ops view_attn = { "attn", "Attention of the focused head", sizeof(struct attn_view), 4, 30, keys,
    update, title, draw, key, NULL, &(const struct view_work){ wants, compute }, close_view };
