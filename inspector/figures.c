/* What each picture is called and labeled. */
#include "inspector/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/names.h"
#include "inspector/recipe.h"
#include "inspector/tokens.h"
#include "render/color.h"
#include "render/figure.h"
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

/* Text of tokens first..last: the prompt's, then the question's, then the reply's. */
static enum kv_status labels_make(struct session *s, int64_t first, int64_t last, struct labels *out)
{
    static const char *const parts[] = { "tok", "question", "reply" };
    size_t n = (size_t)(last - first + 1);
    *out = (struct labels){ kv_alloc(n, sizeof *out->text), kv_alloc(n, LABEL_BYTES) };
    if (!out->text || !out->bytes) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu labels.", n);
    int64_t at = 0;
    for (size_t p = 0; p < KV_COUNT(parts); p++) {
        struct kv_array ids;
        struct kv_error ignored;
        if (kv_value(s->engine, parts[p], &ids, &ignored)) continue;
        for (size_t i = 0; i < ids.dim[0]; i++, at++) {
            if (at < first || at > last) continue;
            size_t bytes;
            const char *token = kv_token_bytes(s->engine, ((const int32_t *)ids.data)[i], &bytes);
            char *label = out->bytes + (size_t)(at - first) * LABEL_BYTES;
            utf8_visible(token ? token : "", token ? bytes : 0, label, LABEL_BYTES);
            out->text[at - first] = label;
        }
    }
    return KV_OK;
}

static enum kv_status draw_kept(struct session *s, const char *path, struct figure_view *view)
{
    struct kv_array reason;
    struct labels labels = { 0 };
    static const struct {
        const char *reason;
        enum color_role role;
    } roles[] = { { "evicted", COLOR_EVICTED }, { "sink", COLOR_SINK }, { "recent", COLOR_RECENT },
        { "pin", COLOR_PINNED } };
    enum kv_status st = session_value(s, "reason", &reason);
    if (st) return st;
    size_t n = reason.dim[0] * reason.dim[1];
    uint8_t *state = kv_alloc(n, 1);
    if (!state) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a picture of %zu tokens.", n);
    for (size_t i = 0; i < n; i++) {
        const char *name = kv_reason_name[((const uint8_t *)reason.data)[i]];
        state[i] = COLOR_KEPT;
        for (size_t r = 0; r < KV_COUNT(roles); r++)
            if (!strcmp(name, roles[r].reason)) state[i] = (uint8_t)roles[r].role;
    }
    struct figure_kept kept = { reason.dim[0], reason.dim[1], state };
    st = labels_make(s, 0, (int64_t)kept.positions - 1, &labels);
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

static enum kv_status draw_map(
    struct session *s, const struct picture *p, const char *path, struct figure_view *view)
{
    struct picture_source src;
    struct labels rows = { 0 }, cols = { 0 };
    char unit[64];
    enum kv_status st = picture_open(s, p, &src);
    if (!st && p->what == PICTURE_ATTN) {
        st = labels_make(s, p->first, p->last, &rows);
        if (!st) st = labels_make(s, p->left, p->right, &cols);
        view->y = (struct figure_axis){ "query", rows.text, (size_t)p->first };
        view->x = (struct figure_axis){ "key", cols.text, (size_t)p->left };
        view->square = !p->first && !p->left && p->right == p->last;
    } else if (!st) {
        view->y.title = "layer";
        view->x.title = p->what == PICTURE_ENTROPY ? "query head" : "position";
        if (p->what == PICTURE_SCORE) {
            st = labels_make(s, 0, (int64_t)src.matrix.cols - 1, &cols);
            view->x.labels = cols.text;
        }
    }
    snprintf(unit, sizeof unit, "%s (%s)", src.quantity, src.unit);
    view->unit = unit;
    if (!st) st = figure_map(path, &src.matrix, view, &s->err);
    labels_free(&rows);
    labels_free(&cols);
    picture_close(&src);
    return st;
}

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
    if (p->what == PICTURE_ENTROPY || p->what == PICTURE_ATTN) return;
    if (*s->policy_title) snprintf(text + at, size - at, "; %s", s->policy_title);
}

enum kv_status figures_draw(struct session *s, const struct picture *p, const char *path)
{
    static const char *const titles[] = { "Attention entropy by layer and head", "Token scores by layer",
        "Tokens kept by layer", "Budgets by layer", "Attention" };
    struct recipe recipe;
    char title[96], below[256];
    snprintf(title, sizeof title, "%s", titles[p->what]);
    if (p->what == PICTURE_ATTN) snprintf(title, sizeof title, "Attention of layer %d, head %d", p->layer, p->head);
    subtitle(s, p, below, sizeof below);
    enum kv_status st = recipe_make(s, p, &recipe);
    struct figure_view view = { .title = title,
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
        st = draw_kept(s, path, &view);
    else if (!st && p->what == PICTURE_BUDGET)
        st = draw_budget(s, path, &view);
    else if (!st)
        st = draw_map(s, p, path, &view);
    recipe_free(&recipe);
    return st;
}
