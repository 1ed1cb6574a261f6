/* From words to a matrix. */
#include "inspector/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/names.h"
#include "render/color.h"

#define SIDE_MOST  4096
#define BLOCK_ROWS 64 /* attention rows asked for at once: memory stays rows x n whatever n is */

const char *const picture_name[PICTURE_COUNT] = { "entropy", "score", "kept", "budget", "attn" };

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

static enum kv_status read_option(
    struct session *s, const char *word, const char *value, int64_t rows, int *taken, struct picture *p)
{
    const struct color_map *map;
    bool attention = p->what == PICTURE_ATTN;
    *taken = 1;
    if (!strcmp(word, "-log")) return p->scale.kind = SCALE_LOG, KV_OK;
    if (!strcmp(word, "-rank")) return p->scale.kind = SCALE_RANK, KV_OK;
    if (!strcmp(word, "-f")) return p->force = true, KV_OK;
    *taken = 2;
    static const char *const with_value[] = { "-clip", "pool", "map", "side", "layer", "head", "rows", "cols" };
    bool known = false;
    for (size_t i = 0; i < KV_COUNT(with_value); i++) known = known || !strcmp(word, with_value[i]);
    if (!known)
        return kv_fail(&s->err, KV_BAD_ARG,
            "\"%.40s\" is none of layer L, head H, rows A..B, cols A..B, -log, -rank, -clip P, pool mean|max, map "
            "NAME, side CELLS, -f.",
            word);
    if (!value) return kv_fail(&s->err, KV_BAD_ARG, "Argument required (value of %s).", word);
    if (!strcmp(word, "-clip")) {
        double share = strtod(value, NULL);
        if (!(share > 0 && share < 50))
            return kv_fail(&s->err, KV_BAD_ARG, "-clip takes a percentile between 0 and 50, not %.40s.", value);
        p->scale.clip_low = share;
        p->scale.clip_high = 100 - share;
        return KV_OK;
    }
    if (!strcmp(word, "pool")) {
        if (strcmp(value, "mean") && strcmp(value, "max"))
            return kv_fail(&s->err, KV_BAD_ARG, "pool is mean or max, not \"%.40s\".", value);
        p->pool = strcmp(value, "max") ? POOL_MEAN : POOL_MAX;
        return KV_OK;
    }
    if (!strcmp(word, "map")) {
        enum kv_status st = color_map(value, &map, &s->err);
        if (!st) snprintf(p->map, sizeof p->map, "%s", map->name);
        return st;
    }
    if (!strcmp(word, "side")) {
        long long side;
        enum kv_status st = line_integer(value, 1, SIDE_MOST, "a number of cells a side", &side, &s->err);
        if (!st) p->side = (size_t)side;
        return st;
    }
    if (!attention)
        return kv_fail(&s->err, KV_BAD_ARG, "%s has no %s to choose; only attn has.", picture_name[p->what], word);
    if (!strcmp(word, "layer")) return bounded(s, value, "Layer", s->facts.n_layer, &p->layer);
    if (!strcmp(word, "head")) return bounded(s, value, "Head", s->facts.n_head, &p->head);
    if (!strcmp(word, "rows")) return read_range(s, word, value, rows, &p->first, &p->last);
    return read_range(s, word, value, rows, &p->left, &p->right);
}

enum kv_status picture_read(struct session *s, const struct line_words *words, int at, struct picture *p)
{
    int64_t rows = 0;
    if (at >= words->count)
        return kv_fail(&s->err, KV_BAD_ARG, "Argument required (entropy, score, kept, budget or attn).");
    *p = (struct picture){ .what = PICTURE_COUNT, .layer = s->layer, .head = s->head };
    for (int i = 0; i < PICTURE_COUNT; i++)
        if (!strcmp(words->word[at], picture_name[i])) p->what = (enum picture_what)i;
    if (p->what == PICTURE_COUNT)
        return kv_fail(
            &s->err, KV_NOT_FOUND, "\"%.40s\" is none of entropy, score, kept, budget, attn.", words->word[at]);
    enum kv_status st = KV_OK;
    if (p->what == PICTURE_ATTN && !(rows = names_rows(s)))
        return kv_fail(&s->err, KV_NOT_NOW, "attn is not available before there is a prompt.");
    p->last = rows - 1;
    p->right = -1;
    for (at++; at < words->count && !st;) {
        int taken;
        st = read_option(s, words->word[at], at + 1 < words->count ? words->word[at + 1] : NULL, rows, &taken, p);
        at += taken;
    }
    if (p->right < 0) p->right = p->last;
    return st;
}

enum kv_status picture_raw16(struct session *s, struct picture *p)
{
    if (p->what == PICTURE_BUDGET)
        return kv_fail(&s->err, KV_BAD_ARG, "Budgets are a table and no matrix: \"export csv FILE budget\".");
    if (p->scale.kind != SCALE_LINEAR || p->scale.clip_low > 0 || p->pool != POOL_MEAN || *p->map || p->side)
        return kv_fail(
            &s->err, KV_BAD_ARG, "-raw16 writes the values as they are: no -log, -rank, -clip, pool, map or side.");
    p->raw16 = true;
    return KV_OK;
}

void picture_text(const struct picture *p, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "%s", picture_name[p->what]);
    if (p->what == PICTURE_ATTN)
        at += (size_t)snprintf(text + at, size - at, " layer %d head %d rows %lld..%lld cols %lld..%lld", p->layer,
            p->head, (long long)p->first, (long long)p->last, (long long)p->left, (long long)p->right);
    if (p->scale.kind == SCALE_LOG) at += (size_t)snprintf(text + at, size - at, " -log");
    if (p->scale.kind == SCALE_RANK) at += (size_t)snprintf(text + at, size - at, " -rank");
    if (p->scale.clip_low > 0) at += (size_t)snprintf(text + at, size - at, " -clip %g", p->scale.clip_low);
    if (!p->raw16) at += (size_t)snprintf(text + at, size - at, " pool %s", pool_name(p->pool));
    if (p->side) at += (size_t)snprintf(text + at, size - at, " side %zu", p->side);
    if (*p->map) snprintf(text + at, size - at, " map %s", p->map);
}

/* --- matrices --------------------------------------------------------------------------------------------------------- */

static enum kv_status attention_row(void *ctx, size_t i, float *out, struct kv_error *err)
{
    struct picture_source *src = ctx;
    const struct picture *p = &src->picture;
    int64_t row = p->first + (int64_t)i;
    if (row < src->block_first || row >= src->block_first + src->block_rows) {
        int64_t rows = p->last - row + 1 < BLOCK_ROWS ? p->last - row + 1 : BLOCK_ROWS;
        enum kv_status st =
            kv_attention(src->session->engine, p->layer, p->head, (int)row, (int)rows, src->data, src->stride, err);
        if (st) return st;
        src->block_first = row;
        src->block_rows = rows;
    }
    const float *from = src->data + (size_t)(row - src->block_first) * src->stride;
    for (int64_t j = p->left; j <= p->right; j++) out[j - p->left] = j <= row ? from[j] : NAN;
    return KV_OK;
}

enum kv_status picture_open(struct session *s, const struct picture *p, struct picture_source *out)
{
    static const struct {
        const char *value, *quantity, *unit;
    } kinds[PICTURE_COUNT] = {
        { "entropy", "attention entropy", "nats" },
        { "score", "token score", "attention, summed" },
        { "kept", "kept tokens", "share kept" },
        { "budget.app", "budget", "tokens" },
        { NULL, "attention", "probability" },
    };
    *out = (struct picture_source){
        .session = s, .picture = *p, .quantity = kinds[p->what].quantity, .unit = kinds[p->what].unit
    };
    if (p->what == PICTURE_ATTN) {
        out->stride = (size_t)p->last + 1;
        out->block_first = -1;
        out->data = kv_alloc(BLOCK_ROWS * out->stride, sizeof *out->data);
        out->matrix = (struct matrix){ .rows = (size_t)(p->last - p->first + 1),
            .cols = (size_t)(p->right - p->left + 1),
            .row = attention_row,
            .ctx = out };
    } else {
        struct kv_array a;
        enum kv_status st = session_value(s, kinds[p->what].value, &a);
        if (st) return st;
        size_t rows = a.dim[0], cols = a.n_dim > 1 ? a.dim[1] : 1;
        out->data = kv_alloc(rows * cols, sizeof *out->data);
        for (size_t i = 0; out->data && i < rows * cols; i++) out->data[i] = (float)array_number(&a, i);
        out->matrix = (struct matrix){ .rows = rows, .cols = cols, .data = out->data };
    }
    return out->data ? KV_OK
                     : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a picture of %zu x %zu.", out->matrix.rows,
                           out->matrix.cols);
}

void picture_close(struct picture_source *src)
{
    free(src->data);
    *src = (struct picture_source){ 0 };
}
