/* What each picture is called and labeled. */
#include "inspector/picture/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/expr/names.h"
#include "inspector/picture/recipe.h"
#include "inspector/tokens.h"
#include "render/color.h"
#include "render/figure.h"
#include "render/scale.h"
#include "render/utf8.h"

#define LABEL_BYTES 48

struct labels {
    const char **text; /* [n] */
    char *bytes;       /* [n][LABEL_BYTES] */
};

static void labels_free(struct labels *l)
{
    free(l->text);
    free(l->bytes);
}

static enum kv_status labels_open(struct session *s, size_t n, struct labels *out)
{
    *out = (struct labels){ kv_alloc(n, sizeof *out->text), kv_alloc(n, LABEL_BYTES) };
    if (out->text && out->bytes) return KV_OK;
    return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu labels.", n);
}

static void label(struct session *s, struct labels *l, size_t i, int32_t id)
{
    size_t bytes;
    const char *token = kv_token_bytes(s->engine, id, &bytes);
    char *text = l->bytes + i * LABEL_BYTES;
    utf8_visible(token ? token : "", token ? bytes : 0, text, LABEL_BYTES);
    l->text[i] = text;
}

static enum kv_status labels_ids(struct session *s, const int32_t *ids, size_t n, struct labels *out)
{
    enum kv_status st = labels_open(s, n, out);
    for (size_t i = 0; i < n && !st; i++) label(s, out, i, ids[i]);
    return st;
}

/* Text of tokens first..last: the prompt's, then the question's, then the reply's. */
static enum kv_status labels_make(struct session *s, int64_t first, int64_t last, struct labels *out)
{
    static const char *const parts[] = { "tok", "question", "reply" };
    enum kv_status st = labels_open(s, (size_t)(last - first + 1), out);
    int64_t at = 0;
    for (size_t p = 0; p < KV_COUNT(parts) && !st; p++) {
        struct kv_array ids;
        struct kv_error ignored;
        if (kv_value(s->engine, parts[p], &ids, &ignored)) continue;
        for (size_t i = 0; i < ids.dim[0]; i++, at++)
            if (at >= first && at <= last) label(s, out, (size_t)(at - first), ((const int32_t *)ids.data)[i]);
    }
    return st;
}

/* Classes of every layer and token: why it was kept, or, against another policy, by whom. */
static enum kv_status kept_classes(
    struct session *s, const struct picture *p, struct figure_kept *kept, uint8_t *state)
{
    static const struct {
        const char *reason;
        enum color_role role;
    } roles[] = { { "evicted", COLOR_EVICTED }, { "sink", COLOR_SINK }, { "recent", COLOR_RECENT },
        { "pin", COLOR_PINNED } };
    struct kv_array reason;
    struct picture_source src = { 0 };
    size_t n = kept->layers * kept->positions;
    enum kv_status st = *p->vs ? picture_open(s, p, &src) : KV_OK;
    if (!st) st = session_set(s, s->engine, "reason", session_kv_head(s, p->head), &reason, &s->err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *name = kv_reason_name[((const uint8_t *)reason.data)[i]];
        state[i] = COLOR_KEPT;
        for (size_t r = 0; r < (*p->vs ? 1 : KV_COUNT(roles)); r++)
            if (!strcmp(name, roles[r].reason)) state[i] = (uint8_t)roles[r].role;
        if (*p->vs && src.data[i] != 0) state[i] = src.data[i] > 0 ? COLOR_HERE : COLOR_THERE;
    }
    picture_close(&src);
    return st;
}

static enum kv_status draw_kept(
    struct session *s, const struct picture *p, const char *path, struct figure_view *view)
{
    struct kv_array reason;
    struct labels labels = { 0 };
    enum kv_status st = session_set(s, s->engine, "reason", session_kv_head(s, p->head), &reason, &s->err);
    if (st) return st;
    struct figure_kept kept = { reason.dim[0], reason.dim[1], NULL, *p->vs != 0 };
    uint8_t *state = kv_alloc(kept.layers * kept.positions, 1);
    if (!state) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a picture of %zu tokens.", kept.positions);
    st = kept_classes(s, p, &kept, state);
    kept.state = state;
    if (!st) st = labels_make(s, 0, (int64_t)kept.positions - 1, &labels);
    view->y.title = "layer";
    view->x = (struct figure_axis){ "position", labels.text, 0 };
    if (!st) st = figure_kept(path, &kept, view, &s->err);
    labels_free(&labels);
    free(state);
    return st;
}

static enum kv_status draw_budget(struct session *s, const char *path, struct figure_view *view)
{
    struct kv_array a;
    char element[16];
    double *req = info_copy(s, "budget.req", &a), *app = req ? info_copy(s, "budget.app", &a) : NULL;
    double *used = app ? info_copy(s, "budget.used", &a) : NULL,
           *bytes = used ? kv_alloc(a.dim[0], sizeof *bytes) : NULL;
    enum kv_status st = used ? KV_OK : s->err.code;
    if (!st && !bytes) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu layers.", a.dim[0]);
    for (size_t l = 0; !st && l < a.dim[0]; l++) bytes[l] = info_kv_bytes(s, used[l], element, sizeof element);
    struct figure_budget budget = { st ? 0 : a.dim[0], req, app, used, bytes };
    view->y.title = "layer";
    if (!st) st = figure_budget(path, &budget, view, &s->err);
    free(req);
    free(app);
    free(used);
    free(bytes);
    return st;
}

/* Columns of tokens that are kept as the first ones; NULL where nothing says so. The caller frees them. */
static uint8_t *sink_columns(struct session *s, const struct picture *p)
{
    struct kv_array reason;
    struct kv_error ignored;
    size_t n = (size_t)(p->right - p->left + 1);
    if (session_set(s, s->engine, "reason", session_kv_head(s, p->head), &reason, &ignored)) return NULL;
    uint8_t *sinks = kv_alloc(n, 1);
    for (size_t i = 0; sinks && i < n; i++) {
        size_t j = (size_t)p->left + i;
        if (j >= reason.dim[1]) break;
        uint8_t why = ((const uint8_t *)reason.data)[(size_t)p->layer * reason.dim[1] + j];
        sinks[i] = !strcmp(kv_reason_name[why], "sink");
    }
    return sinks;
}

static enum kv_status turn(void *ctx, size_t k, struct matrix *out, const uint8_t **gone, struct kv_error *err)
{
    struct picture_source *src = ctx;
    enum kv_status st = picture_turn(src, k, err);
    *out = src->matrix;
    if (!st && src->gone) *gone = src->gone + src->picture.left;
    return st;
}

static enum kv_status draw_panels(
    struct session *s, struct picture_source *src, const char *path, struct figure_view *view)
{
    enum { NAME = 32 };
    size_t n = picture_panels(s, &src->picture);
    char(*text)[NAME] = kv_alloc(n, sizeof *text);
    const char **names = kv_alloc(n, sizeof *names);
    enum kv_status st = text && names ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu names.", n);
    for (size_t k = 0; k < n && !st; k++) {
        snprintf(text[k], sizeof text[k], "%s %zu", src->picture.panels == PANELS_HEADS ? "head" : "layer", k);
        names[k] = text[k];
    }
    struct figure_grid grid = { .panels = n, .names = names, .panel = turn, .ctx = src };
    if (!st) st = figure_grid(path, &grid, view, &s->err);
    free(names);
    free(text);
    return st;
}

static enum kv_status draw_attention(
    struct session *s, struct picture_source *src, const char *path, struct figure_view *view)
{
    const struct picture *p = &src->picture;
    struct labels rows = { 0 }, cols = { 0 };
    view->y = (struct figure_axis){ "query", NULL, (size_t)p->first };
    view->x = (struct figure_axis){ "key", NULL, (size_t)p->left };
    view->square = !p->first && !p->left && p->right == p->last;
    if (src->gone && src->gone_from > p->first) view->gone_from = (size_t)(src->gone_from - p->first);
    if (p->panels) return draw_panels(s, src, path, view);
    enum kv_status st = labels_make(s, p->first, p->last, &rows);
    if (!st) st = labels_make(s, p->left, p->right, &cols);
    view->y.labels = rows.text;
    view->x.labels = cols.text;
    uint8_t *sinks = sink_columns(s, p);
    view->sinks = sinks;
    if (src->gone) view->gone = src->gone + p->left;
    if (!st) st = figure_map(path, &src->matrix, view, &s->err);
    free(sinks);
    labels_free(&rows);
    labels_free(&cols);
    return st;
}

static enum kv_status draw_map(
    struct session *s, const struct picture *p, const char *path, struct figure_view *view)
{
    struct picture_source src;
    struct labels cols = { 0 };
    char unit[96];
    enum kv_status st = picture_open(s, p, &src);
    snprintf(unit, sizeof unit, "%s (%s)", src.quantity, src.unit);
    view->unit = unit;
    view->scale = src.picture.scale;
    if (*p->vs) view->map = "diverging";
    if (!st && p->what == PICTURE_ATTN) {
        st = draw_attention(s, &src, path, view);
    } else if (!st) {
        view->y.title = "layer";
        view->x.title = p->what == PICTURE_ENTROPY     ? "query head"
                        : p->what == PICTURE_ENTROPY_Q ? "query position"
                                                       : "position";
        if (p->what != PICTURE_ENTROPY) st = labels_make(s, 0, (int64_t)src.matrix.cols - 1, &cols);
        view->x.labels = cols.text;
        if (!st) st = figure_map(path, &src.matrix, view, &s->err);
    }
    labels_free(&cols);
    picture_close(&src);
    return st;
}

/* --- columns ------------------------------------------------------------------------------------------------------------- */

/* Scores in their order, cut where the last one got in. */
static enum kv_status draw_curve(struct session *s, const struct picture *p, struct figure_plot *plot,
    uint8_t *role, const char *path, struct figure_view *view)
{
    struct kv_array rank, kept, cut;
    char level[64], mark[64], number[28];
    size_t base = (size_t)p->layer, in = 0;
    enum kv_status st;
    for (size_t r = 0; r < plot->n; r++) role[r] = COLOR_EVICTED;
    int kv_head = session_kv_head(s, p->head);
    if ((st = session_set(s, s->engine, "kept", kv_head, &kept, &s->err))) return st;
    uint8_t *stays = kv_alloc(kept.dim[1], 1);
    if (!stays) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu tokens.", kept.dim[1]);
    memcpy(stays, (const uint8_t *)kept.data + base * kept.dim[1], kept.dim[1]);
    st = session_set(s, s->engine, "rank", kv_head, &rank, &s->err);
    for (size_t j = 0; !st && j < rank.dim[1]; j++) {
        double r = array_number(&rank, base * rank.dim[1] + j);
        if (!(r >= 0 && r < (double)plot->n) || !stays[j]) continue;
        role[(size_t)r] = COLOR_KEPT;
        in = kv_max(in, (size_t)r + 1);
    }
    free(stays);
    if (!st) st = session_set(s, s->engine, "cut", kv_head, &cut, &s->err);
    if (st) return st;
    plot->level = array_number(&cut, base);
    plot->mark = (double)in;
    scale_text(plot->level, number, sizeof number);
    snprintf(level, sizeof level, "cut-off %s", number);
    snprintf(mark, sizeof mark, "%zu of %zu by score", in, plot->n);
    plot->level_text = level;
    plot->mark_text = mark;
    view->x.title = "rank";
    return figure_plot(path, plot, view, &s->err);
}

/* Steps of the last diff; those where the two choose other tokens stand out. */
static enum kv_status draw_kl(
    struct session *s, struct figure_plot *plot, uint8_t *role, const char *path, struct figure_view *view)
{
    static const char *const names[COLOR_ROLES] = {
        [COLOR_KEPT] = "both choose the same token", [COLOR_HERE] = "this run chooses another"
    };
    struct kv_array full, other;
    struct labels labels = { 0 };
    char mean[64], number[28];
    double *here = info_copy(s, "other", &other);
    enum kv_status st = here ? session_value(s, "full", &full) : s->err.code;
    for (size_t t = 0; !st && t < plot->n; t++)
        role[t] = array_number(&full, t) == here[t] ? COLOR_KEPT : COLOR_HERE;
    free(here);
    if (!st) st = labels_ids(s, full.data, plot->n, &labels);
    scale_text(s->kl_mean, number, sizeof number);
    snprintf(mean, sizeof mean, "mean %s", number);
    plot->names = names;
    plot->level = s->kl_mean;
    plot->level_text = mean;
    view->x = (struct figure_axis){ "step and the full cache's token", labels.text, 0 };
    if (!st) st = figure_plot(path, plot, view, &s->err);
    labels_free(&labels);
    return st;
}

static enum kv_status draw_columns(
    struct session *s, const struct picture *p, const char *path, struct figure_view *view)
{
    struct picture_source src;
    char unit[64];
    enum kv_status st = picture_open(s, p, &src);
    size_t n = src.matrix.cols;
    double *y = st ? NULL : kv_alloc(n, sizeof *y);
    uint8_t *role = st ? NULL : kv_alloc(n, 1);
    if (!st && (!y || !role)) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu numbers.", n);
    for (size_t i = 0; i < n && !st; i++) y[i] = src.data[i];
    if (!st && p->what == PICTURE_KL && y[0] == 0) y[0] = NAN; /* from the prefill, which both share: not judged */
    struct figure_plot plot = { .n = n, .y = y, .role = role };
    snprintf(unit, sizeof unit, "%s (%s)", src.quantity, src.unit);
    view->unit = unit;
    if (!st && p->what == PICTURE_CURVE)
        st = draw_curve(s, p, &plot, role, path, view);
    else if (!st)
        st = draw_kl(s, &plot, role, path, view);
    free(y);
    free(role);
    picture_close(&src);
    return st;
}

/* --- all of them --------------------------------------------------------------------------------------------------------- */

static enum kv_status draw_raw16(
    struct session *s, const struct picture *p, const char *path, struct figure_view *view)
{
    struct picture_source src;
    char unit[64];
    enum kv_status st = picture_open(s, p, &src);
    snprintf(unit, sizeof unit, "%s (%s)", src.quantity, src.unit);
    view->unit = unit;
    if (!st) st = figure_raw16(path, &src.matrix, view, &s->err);
    picture_close(&src);
    return st;
}

/* "SmolLM2 135M Instruct; 1254 tokens; f32, cpu; policy seed, ratio 0.25" */
static void subtitle(struct session *s, const struct picture *p, char *text, size_t size)
{
    struct kv_array tok;
    size_t n = kv_value(s->engine, "tok", &tok, &s->err) ? 0 : tok.dim[0];
    size_t at = (size_t)snprintf(text, size, "%s; %zu tokens; %s", s->facts.name, n, session_mode(s));
    if (p->what == PICTURE_ENTROPY || p->what == PICTURE_ENTROPY_Q || (p->what == PICTURE_ATTN && !*p->vs)) return;
    if (*s->policy_title) snprintf(text + at, size - at, "; %s", s->policy_title);
}

static void title(const struct picture *p, char *text, size_t size)
{
    static const char *const titles[PICTURE_COUNT] = { "Attention entropy by layer and head",
        "Attention entropy by layer and query position", "Token scores by layer", "Tokens kept by layer",
        "Budgets by layer", "Attention", "Token scores in their order", "KL from the full cache, step by step",
        "What the full cache read of evicted tokens, by layer" };
    size_t at = (size_t)snprintf(text, size, "%s", titles[p->what]);
#define ADD(...) at += (size_t)snprintf(text + at, size - at, __VA_ARGS__)
    if (p->what == PICTURE_CURVE) ADD(", layer %d", p->layer);
    if (PICTURE_BY_HEAD(p) && p->mean) ADD(", mean of the heads");
    if (PICTURE_BY_HEAD(p) && !p->mean) ADD(", head %d", p->head);
    if (*p->vs && p->what == PICTURE_KEPT) ADD(": this policy (here) and %s (there)", p->vs);
    if (p->what != PICTURE_ATTN) return;
    if (p->panels == PANELS_HEADS) ADD(" of layer %d, all heads", p->layer);
    if (p->panels == PANELS_LAYERS) ADD(" of head %d in all layers", p->head);
    if (!p->panels && p->mean) ADD(" of layer %d, mean of the heads", p->layer);
    if (!p->panels && !p->mean) ADD(" of layer %d, head %d", p->layer, p->head);
    if (*p->vs) ADD(": this run less the full cache");
#undef ADD
}

enum kv_status figures_draw(struct session *s, const struct picture *p, const char *path)
{
    struct recipe recipe;
    char above[128], below[256];
    title(p, above, sizeof above);
    subtitle(s, p, below, sizeof below);
    enum kv_status st = recipe_make(s, p, &recipe);
    struct figure_view view = { .title = above,
        .subtitle = below,
        .map = *p->map ? p->map : NULL,
        .scale = p->scale,
        .pool = p->pool,
        .max_side = p->side,
        .notes = recipe.note,
        .note_count = recipe.count };
    if (!st && p->raw16)
        st = draw_raw16(s, p, path, &view);
    else if (!st && p->what == PICTURE_KEPT)
        st = draw_kept(s, p, path, &view);
    else if (!st && p->what == PICTURE_BUDGET)
        st = draw_budget(s, path, &view);
    else if (!st && (p->what == PICTURE_CURVE || p->what == PICTURE_KL))
        st = draw_columns(s, p, path, &view);
    else if (!st)
        st = draw_map(s, p, path, &view);
    recipe_free(&recipe);
    return st;
}
