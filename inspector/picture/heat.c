/* Pictures in the terminal, as text. */
#include <ctype.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "inspector/info.h"
#include "inspector/picture/picture.h"
#include "inspector/json/rows.h"
#include "render/cells.h"

#define MOST_ROWS 36

static void put(void *ctx, const char *text, size_t n) { fwrite(text, 1, n, ctx); }

/* What this terminal can do; plain ASCII of 80 columns anywhere else, so that transcripts do not differ. */
static struct cells_view view_here(struct session *s)
{
    struct cells_view view = { .width = 80 };
    struct winsize size;
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
    if (!s->terminal) return view;
    if (!ioctl(1, TIOCGWINSZ, &size) && size.ws_col >= 20) view.width = size.ws_col;
    view.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    if ((none && *none) || !term || !strcmp(term, "dumb")) return view;
    view.color = strstr(term, "256color") ? CELLS_256 : CELLS_8;
    return view;
}

static struct reaction heat_budget(struct session *s, const struct cells_out *out, const struct cells_view *view)
{
    static const enum color_role marks[] = { COLOR_USED, COLOR_APPLIED, COLOR_REQUESTED };
    struct kv_array a;
    double *req = info_copy(s, "budget.req", &a), *app = req ? info_copy(s, "budget.app", &a) : NULL;
    double *used = app ? info_copy(s, "budget.used", &a) : NULL, most = 1;
    enum kv_status st = used ? KV_OK : s->err.code;
    for (int l = 0; !st && l < s->facts.n_layer; l++) most = fmax(most, fmax(req[l], fmax(app[l], used[l])));
    if (!st) fprintf(s->out, "Budgets in tokens: requested, applied, used (%s)\n", session_mode(s));
    for (int l = 0; !st && l < s->facts.n_layer; l++) {
        char label[16];
        snprintf(label, sizeof label, s->facts.n_layer > 10 ? "L%-2d" : "L%d", l);
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, "requested", req[l]);
        rows_number(s, "applied", app[l]);
        rows_number(s, "used", used[l]);
        const struct cells_bar bar = { label, req[l], app[l], used[l], most, NULL };
        st = cells_bar(out, &bar, view, &s->err);
    }
    if (!st) st = cells_legend(out, marks, KV_COUNT(marks), view, &s->err);
    free(req);
    free(app);
    free(used);
    return st ? failed(s) : DONE;
}

/* The numbers behind the picture, before pooling and scale; a large one has none. */
static enum kv_status heat_value(struct session *s, const struct picture_source *src)
{
    struct value v = { 0 };
    const struct matrix *m = &src->matrix;
    size_t count;
    if (!s->json || __builtin_mul_overflow(m->rows, m->cols, &count) || count > ROWS_NUMBERS) return KV_OK;
    float *row = kv_alloc(m->cols, sizeof *row);
    enum kv_status st = row ? value_array(&v, 2, (size_t[]){ m->rows, m->cols }, &s->err)
                            : kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu numbers.", m->cols);
    for (size_t i = 0; !st && i < m->rows; i++) {
        st = matrix_row(m, i, row, &s->err);
        for (size_t j = 0; !st && j < m->cols; j++) v.number[i * m->cols + j] = row[j];
    }
    if (!st) {
        snprintf(v.unit, sizeof v.unit, "%s", src->unit);
        st = rows_value(s, &v, 0);
    }
    value_free(&v);
    free(row);
    return st;
}

/* Of which layer, head and rows. */
static int heat_where(const struct picture *p, char *out, size_t size)
{
    int at = 0;
    if (p->what == PICTURE_ATTN || p->what == PICTURE_CURVE) at = snprintf(out, size, ", layer %d", p->layer);
    if (p->mean)
        at += snprintf(out + at, size - (size_t)at, "%s mean of the heads", p->what == PICTURE_ATTN ? "" : ",");
    else if (p->what == PICTURE_ATTN || PICTURE_BY_HEAD(p))
        at += snprintf(out + at, size - (size_t)at, "%s head %d", at ? "" : ",", p->head);
    if (p->what == PICTURE_ATTN)
        at += snprintf(out + at, size - (size_t)at, ", rows %lld to %lld", (long long)p->first, (long long)p->last);
    return at;
}

struct reaction cmd_heat(struct session *s, const char *args)
{
    struct line_words words;
    struct picture p;
    struct picture_source src;
    const struct cells_out out = { put, s->out };
    struct cells_view view = view_here(s);
    char title[160];
    if (line_split(args, &words, &s->err) || picture_read(s, &words, 0, &p)) return failed(s);
    if (p.what == PICTURE_BUDGET) return heat_budget(s, &out, &view);
    if (p.panels)
        return refuse(s, KV_BAD_ARG, "A terminal has room for one map; \"export png\" draws all of them.");
    enum kv_status st = picture_open(s, &p, &src);
    if (!st) {
        int at = snprintf(title, sizeof title, "%c%s", toupper(src.quantity[0]), src.quantity + 1);
        at += heat_where(&p, title + at, sizeof title - (size_t)at);
        snprintf(title + at, sizeof title - (size_t)at, " (%s)", session_mode(s));
        view.title = title;
        view.unit = src.unit;
        view.map = *p.map ? p.map : *p.vs ? "diverging" : NULL;
        view.scale = src.picture.scale;
        view.pool = p.pool;
        view.max_rows = MOST_ROWS;
        view.row_prefix = p.what == PICTURE_ATTN || p.what == PICTURE_KL ? "" : "L";
        view.col_prefix = p.what == PICTURE_ENTROPY ? "H" : "";
        view.row_first = p.what == PICTURE_ATTN ? (size_t)p.first : p.what == PICTURE_CURVE ? (size_t)p.layer : 0;
        view.col_first = p.what == PICTURE_ATTN ? (size_t)p.left : 0;
        st = heat_value(s, &src);
        if (!st) st = cells_heat(&out, &src.matrix, &view, &s->err);
    }
    picture_close(&src);
    return st ? failed(s) : DONE;
}
