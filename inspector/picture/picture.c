/* From words to what is to be drawn, and back. */
#include "inspector/picture/picture.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/expr/names.h"
#include "render/color.h"

#define SIDE_MOST 4096

const char *const picture_name[PICTURE_COUNT] = { "entropy", "entropy_q", "score", "kept", "budget", "attn",
    "curve", "kl", "regret" };
#define NAMES "entropy, entropy_q, score, kept, budget, attn, curve, kl, regret"

/* Which pictures take an option; bits by enum picture_what. */
#define OF(name) (1u << PICTURE_##name)
#define MAPS     (OF(ENTROPY) | OF(ENTROPY_Q) | OF(SCORE) | OF(KEPT) | OF(BUDGET) | OF(ATTN) | OF(REGRET))
#define ALL      (MAPS | OF(CURVE) | OF(KL))

enum option { LOG, RANK, CLIP, POOL, MAP, SIDE, LAYER, HEAD, HEADS, LAYERS, ROWS, COLS, VS, FORCE, OPTIONS };
static const struct {
    const char *name;
    unsigned of;
    bool value;
} options[OPTIONS] = {
    [LOG] = { "-log", ALL, false },
    [RANK] = { "-rank", MAPS, false },
    [CLIP] = { "-clip", ALL, true },
    [POOL] = { "pool", ALL, true },
    [MAP] = { "map", MAPS, true },
    [SIDE] = { "side", MAPS, true },
    [LAYER] = { "layer", OF(ATTN) | OF(CURVE), true },
    [HEAD] = { "head", OF(ATTN) | OF(ENTROPY_Q) | OF(REGRET), true },
    [HEADS] = { "heads", OF(ATTN), false },
    [LAYERS] = { "layers", OF(ATTN), false },
    [ROWS] = { "rows", OF(ATTN), true },
    [COLS] = { "cols", OF(ATTN), true },
    [VS] = { "-vs", OF(ATTN) | OF(KEPT), true },
    [FORCE] = { "-f", ALL, false },
};

static enum kv_status bounded(struct session *s, const char *word, const char *title, int limit, int *out)
{
    struct value v;
    enum kv_status st = expr_text(s, word, &v, &s->err);
    double x = !st && v.kind == VALUE_NUMBER && !v.n_dim ? v.number[0] : -1;
    value_free(&v);
    if (!st && !(x >= 0 && x < limit))
        st = kv_fail(
            &s->err, KV_BAD_ARG, "%s %.40s out of range; model has %d (0-%d).", title, word, limit, limit - 1);
    if (!st) *out = (int)x;
    return st;
}

/* A row number, last, or a negative one from the end; -1 when it is none of them. */
static int64_t read_row(const char *text, size_t length, int64_t rows)
{
    char copy[24], *end;
    snprintf(copy, sizeof copy, "%.*s", (int)kv_min(length, sizeof copy - 1), text);
    if (!strcmp(copy, "last")) return rows - 1;
    long long n = strtoll(copy, &end, 10);
    if (end == copy || *end || n >= rows || n < -rows) return -1;
    return n < 0 ? n + rows : n;
}

/* A..B or A of the rows or columns that are there. */
static enum kv_status read_range(
    struct session *s, const char *what, const char *word, int64_t limit, int64_t *from, int64_t *to)
{
    const char *dots = strstr(word, "..");
    *from = read_row(word, dots ? (size_t)(dots - word) : strlen(word), limit);
    *to = dots ? read_row(dots + 2, strlen(dots + 2), limit) : *from;
    if (*from >= 0 && *to >= *from) return KV_OK;
    return kv_fail(&s->err, KV_BAD_ARG, "The %s %.40s are out of range; A..B with 0 <= A <= B <= %lld are there.",
        what, word, (long long)limit - 1);
}

static enum kv_status read_clip(struct session *s, const char *value, struct picture *p)
{
    double share = strtod(value, NULL);
    if (!(share > 0 && share < 50))
        return kv_fail(&s->err, KV_BAD_ARG, "-clip takes a percentile between 0 and 50, not %.40s.", value);
    p->scale.clip_low = share;
    p->scale.clip_high = 100 - share;
    return KV_OK;
}

static enum kv_status read_pool(struct session *s, const char *value, struct picture *p)
{
    if (strcmp(value, "mean") && strcmp(value, "max"))
        return kv_fail(&s->err, KV_BAD_ARG, "pool is mean or max, not \"%.40s\".", value);
    p->pool = strcmp(value, "max") ? POOL_MEAN : POOL_MAX;
    return KV_OK;
}

static enum kv_status read_map(struct session *s, const char *value, struct picture *p)
{
    const struct color_map *map;
    enum kv_status st = color_map(value, &map, &s->err);
    if (!st) snprintf(p->map, sizeof p->map, "%s", map->name);
    return st;
}

static enum kv_status read_side(struct session *s, const char *value, struct picture *p)
{
    long long side;
    enum kv_status st = line_integer(value, 1, SIDE_MOST, "a number of cells a side", &side, &s->err);
    if (!st) p->side = (size_t)side;
    return st;
}

static enum kv_status read_vs(struct session *s, const char *value, struct picture *p)
{
    if (p->what == PICTURE_ATTN && strcmp(value, "full"))
        return kv_fail(
            &s->err, KV_BAD_ARG, "attn is compared with \"full\", the full cache, not \"%.40s\".", value);
    if (strlen(value) >= sizeof p->vs || strchr(value, ' '))
        return kv_fail(&s->err, KV_BAD_ARG, "-vs takes the name of a preset, not \"%.40s\".", value);
    snprintf(p->vs, sizeof p->vs, "%s", value);
    return KV_OK;
}

static enum kv_status read_value(
    struct session *s, enum option option, const char *value, int64_t rows, struct picture *p)
{
    switch (option) {
    case LOG: return p->scale.kind = SCALE_LOG, KV_OK;
    case RANK: return p->scale.kind = SCALE_RANK, KV_OK;
    case CLIP: return read_clip(s, value, p);
    case POOL: return read_pool(s, value, p);
    case MAP: return read_map(s, value, p);
    case SIDE: return read_side(s, value, p);
    case LAYER: return bounded(s, value, "Layer", s->facts.n_layer, &p->layer);
    case HEAD:
        if ((p->mean = !strcmp(value, "mean"))) return KV_OK;
        return bounded(s, value, "Head", s->facts.n_head, &p->head);
    case HEADS: return p->panels = PANELS_HEADS, KV_OK;
    case LAYERS: return p->panels = PANELS_LAYERS, KV_OK;
    case ROWS: return read_range(s, "rows", value, rows, &p->first, &p->last);
    case COLS: return read_range(s, "cols", value, rows, &p->left, &p->right);
    case VS: return read_vs(s, value, p);
    case FORCE: return p->force = true, KV_OK;
    default: return KV_OK;
    }
}

/* What the options say together. */
static enum kv_status agree(struct session *s, const struct picture *p)
{
    if (*p->vs && (p->scale.kind != SCALE_LINEAR || *p->map))
        return kv_fail(&s->err, KV_BAD_ARG,
            "A difference is linear around zero, in colors of its own: no -log, -rank or map.");
    if (p->panels && (*p->vs || p->mean))
        return kv_fail(
            &s->err, KV_BAD_ARG, "heads and layers draw each head or layer alone: no -vs, no head mean.");
    return KV_OK;
}

/* The rows of the prompt are the same over either cache: a difference begins behind them. */
static enum kv_status compared_rows(struct session *s, int64_t rows, struct picture *p)
{
    struct kv_array tok;
    enum kv_status st = session_value(s, "tok", &tok);
    p->first = st ? 0 : (int64_t)tok.dim[0];
    if (!st && p->first >= rows)
        st = kv_fail(&s->err, KV_NOT_NOW,
            "Nothing has been read over the compressed cache yet: -vs full compares rows of the question and the "
            "reply.");
    return st;
}

enum kv_status picture_read(struct session *s, const struct line_words *words, int at, struct picture *p)
{
    int64_t rows = 0;
    if (at >= words->count) return kv_fail(&s->err, KV_BAD_ARG, "Argument required (one of " NAMES ").");
    *p = (struct picture){ .what = PICTURE_COUNT, .layer = s->layer, .head = s->head };
    for (int i = 0; i < PICTURE_COUNT; i++)
        if (!strcmp(words->word[at], picture_name[i])) p->what = (enum picture_what)i;
    if (p->what == PICTURE_COUNT)
        return kv_fail(&s->err, KV_NOT_FOUND, "\"%.40s\" is none of " NAMES ".", words->word[at]);
    p->mean = PICTURE_BY_HEAD(p);
    if (p->what == PICTURE_KL || p->what == PICTURE_CURVE) p->pool = POOL_MAX;
    if (p->what == PICTURE_ATTN && !(rows = names_rows(s)))
        return kv_fail(&s->err, KV_NOT_NOW, "attn is not available before there is a prompt.");
    p->last = rows - 1;
    p->first = p->right = -1;
    for (at++; at < words->count; at++) {
        int i = 0;
        while (i < OPTIONS && strcmp(words->word[at], options[i].name)) i++;
        if (i == OPTIONS)
            return kv_fail(&s->err, KV_BAD_ARG,
                "\"%.40s\" is no option of a picture; \"help export png\" lists them.", words->word[at]);
        if (!(options[i].of >> p->what & 1))
            return kv_fail(&s->err, KV_BAD_ARG, "%s has no %s to choose.", picture_name[p->what], options[i].name);
        if (options[i].value && ++at == words->count)
            return kv_fail(&s->err, KV_BAD_ARG, "Argument required (value of %s).", options[i].name);
        enum kv_status st = read_value(s, (enum option)i, words->word[at], rows, p);
        if (st) return st;
    }
    if (p->right < 0) p->right = p->last;
    if (*p->vs && p->what == PICTURE_ATTN && p->first < 0)
        return compared_rows(s, rows, p) ? s->err.code : agree(s, p);
    if (p->first < 0) p->first = 0;
    return agree(s, p);
}

enum kv_status picture_raw16(struct session *s, struct picture *p)
{
    if (p->what == PICTURE_BUDGET)
        return kv_fail(&s->err, KV_BAD_ARG, "Budgets are a table and no matrix: \"export csv FILE budget\".");
    if (p->panels)
        return kv_fail(&s->err, KV_BAD_ARG, "-raw16 writes one matrix; \"export npy\" writes all of %s.",
            p->panels == PANELS_HEADS ? "the heads" : "the layers");
    bool plot = p->what == PICTURE_CURVE || p->what == PICTURE_KL;
    if (p->scale.kind != SCALE_LINEAR || p->scale.clip_low > 0 || (p->pool != POOL_MEAN && !plot) || *p->map ||
        p->side)
        return kv_fail(
            &s->err, KV_BAD_ARG, "-raw16 writes the values as they are: no -log, -rank, -clip, pool, map or side.");
    p->raw16 = true;
    return KV_OK;
}

size_t picture_panels(const struct session *s, const struct picture *p)
{
    return p->panels == PANELS_HEADS    ? (size_t)s->facts.n_head
           : p->panels == PANELS_LAYERS ? (size_t)s->facts.n_layer
                                        : 1;
}

void picture_text(const struct picture *p, char *text, size_t size)
{
    bool plot = p->what == PICTURE_CURVE || p->what == PICTURE_KL, attention = p->what == PICTURE_ATTN;
    size_t at = (size_t)snprintf(text, size, "%s", picture_name[p->what]);
#define ADD(...) at += (size_t)snprintf(text + at, size - at, __VA_ARGS__)
    if ((attention && p->panels != PANELS_LAYERS) || p->what == PICTURE_CURVE) ADD(" layer %d", p->layer);
    if ((attention && p->panels != PANELS_HEADS) || PICTURE_BY_HEAD(p)) {
        if (p->mean)
            ADD(" head mean");
        else
            ADD(" head %d", p->head);
    }
    if (p->panels) ADD("%s", p->panels == PANELS_HEADS ? " heads" : " layers");
    if (attention)
        ADD(" rows %lld..%lld cols %lld..%lld", (long long)p->first, (long long)p->last, (long long)p->left,
            (long long)p->right);
    if (*p->vs) ADD(" -vs %s", p->vs);
    if (p->scale.kind == SCALE_LOG) ADD(" -log");
    if (p->scale.kind == SCALE_RANK) ADD(" -rank");
    if (p->scale.clip_low > 0) ADD(" -clip %g", p->scale.clip_low);
    if (!p->raw16 && !plot) ADD(" pool %s", pool_name(p->pool));
    if (p->side) ADD(" side %zu", p->side);
    if (*p->map) ADD(" map %s", p->map);
#undef ADD
}
