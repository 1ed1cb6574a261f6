/* Selectors: how attention becomes one score a token. */
#include "engine/policy/selectors.h"

#include "kernels/select.h"

#include <math.h>
#include <stdlib.h>

/* --- attention sums to a score row ---------------------------------------------------------------------- */

/* One way from per-head sums to a score row. */
struct part {
    const char *name;
    const float *sums;   /* [n_head][n] */
    const double *added; /* [sets][n] the same added over the heads of each set; NULL = from sums */
    int first_row;       /* the sums are over the rows from this one on */
    enum { PER_NOTHING, PER_VISIBLE_ROW, PER_ROW } divide;
    enum policy_pool pool;
    int split; /* pooling does not mix keys before this one with the rest; 0 = one piece */
    const float
        *scale; /* [n_kv_head][n] multiplies the pooled rows of a KV head's query heads; NULL = nothing does */
    const float *more; /* [n_head][n] added to the sums, times weight; NULL = nothing is */
    double weight;
};

/* Row of key j of the set. */
static int row_of(const struct policy_scored *s, int j)
{
    return s->stats->position ? s->stats->position[(size_t)s->set * (size_t)s->stats->n + (size_t)j] : j;
}

/* How many of the rows from `first` on see key j. */
static int visible_rows(const struct policy_scored *s, int first, int j)
{
    const struct kv_stats *stats = s->stats;
    int own = row_of(s, j), from = own > first ? own : first, to = kv_stats_rows(stats) - 1;
    if (stats->sliding_window > 0 && to - own >= stats->sliding_window) to = own + stats->sliding_window - 1;
    return to < from ? 0 : to - from + 1;
}

static void divide_row(const struct policy_scored *s, const struct part *part, double *row)
{
    for (int j = 0; part->divide != PER_NOTHING && j < s->stats->n; j++) {
        int rows = part->divide == PER_ROW ? kv_stats_rows(s->stats) - part->first_row
                                           : visible_rows(s, part->first_row, j);
        row[j] = rows ? row[j] / rows : 0;
    }
}

/* Stride 1, the kernel centered; avg counts the zeros beyond the ends, max does not see them. */
static void pool_piece(enum policy_pool pool, int kernel, const double *row, int n, double *out)
{
    int reach = kernel / 2;
    for (int j = 0; j < n; j++) {
        int from = j > reach ? j - reach : 0, to = n - 1 - j > reach ? j + reach : n - 1;
        double value = row[from];
        for (int k = from + 1; k <= to; k++) {
            if (pool == POLICY_POOL_AVG)
                value += row[k];
            else if (row[k] > value || isnan(row[k]))
                value = row[k];
        }
        out[j] = pool == POLICY_POOL_AVG ? value / kernel : value;
    }
}

/* Divides and pools one row: row is spent, out [n] gets the result. */
static void finish_row(const struct policy_scored *s, const struct part *part, double *row, double *out)
{
    int n = s->stats->n;
    divide_row(s, part, row);
    if (part->pool == POLICY_POOL_NONE) {
        for (int j = 0; j < n; j++) out[j] = row[j];
        return;
    }
    pool_piece(part->pool, s->policy->kernel, row, part->split, out);
    pool_piece(part->pool, s->policy->kernel, row + part->split, n - part->split, out + part->split);
}

void score_pool(const struct policy_scored *s, const double *row, double *out)
{
    int pool = s->policy->pool;
    for (int j = 0; j < s->stats->n; j++) out[j] = row[j];
    if (pool == POLICY_POOL_AVG || pool == POLICY_POOL_MAX)
        pool_piece((enum policy_pool)pool, s->policy->kernel, row, s->stats->n, out);
}

/* Multiplies what `heads` query heads of KV head g have come to. */
static void scale_row(const struct policy_scored *s, const struct part *part, int g, int heads, double *row)
{
    size_t n = (size_t)s->stats->n;
    for (size_t j = 0; part->scale && j < n; j++)
        row[j] = (row[j] + heads * s->policy->epsilon) * (double)part->scale[(size_t)g * n + j];
}

/* The score row of one part from heads first..first+heads-1. Averages are linear, so without a maximum the heads
 * (of a KV head, where its values scale them) are added before they are pooled, once instead of a head at a time. */
static enum kv_status score_heads(const struct policy_scored *s, const struct part *part, int first, int heads,
    double *score, struct kv_error *err)
{
    const struct kv_stats *stats = s->stats;
    size_t n = (size_t)stats->n;
    if (!part->sums && !part->added)
        return kv_fail(err, KV_BAD_ARG, "Layer %d has no attention sums to score by.", stats->layer);
    double *row = kv_alloc(n, sizeof *row), *pooled = kv_alloc(n, sizeof *pooled);
    if (!row || !pooled) {
        free(row);
        free(pooled);
        return kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %zu tokens.", n);
    }
    bool maximum = s->policy->reduce == POLICY_REDUCE_MAX;
    bool linear = !maximum && part->pool != POLICY_POOL_MAX;
    for (size_t j = 0; j < n; j++) score[j] = maximum ? -INFINITY : 0;
    int group = stats->n_head / stats->n_kv_head, added = 0;
    if (part->added) {
        for (size_t j = 0; j < n; j++) row[j] = part->added[(size_t)s->set * n + j];
        finish_row(s, part, row, pooled);
        for (size_t j = 0; j < n; j++) score[j] += pooled[j];
    }
    for (int h = first; h < first + heads && !part->added; h++) {
        const float *head = part->sums + (size_t)h * n;
        for (size_t j = 0; j < n; j++) row[j] = added ? row[j] + (double)head[j] : (double)head[j];
        for (size_t j = 0; part->more && j < n; j++) row[j] += part->weight * (double)part->more[(size_t)h * n + j];
        added++;
        if (linear && h < first + heads - 1 && !(part->scale && (h + 1) % group == 0)) continue;
        finish_row(s, part, row, pooled);
        scale_row(s, part, h / group, added, pooled);
        added = 0;
        for (size_t j = 0; j < n; j++) {
            if (!maximum)
                score[j] += pooled[j];
            else if (pooled[j] > score[j] || isnan(pooled[j]))
                score[j] = pooled[j];
        }
    }
    for (size_t j = 0; s->policy->reduce == POLICY_REDUCE_MEAN && j < n; j++) score[j] /= heads;
    free(row);
    free(pooled);
    return KV_OK;
}

enum kv_status score_heads_of_set(const struct policy_scored *s, int *first, int *heads, struct kv_error *err)
{
    const struct kv_stats *stats = s->stats;
    int sets = policy_sets(s->policy, stats->n_kv_head);
    if (s->set < 0 || s->set >= sets)
        return kv_fail(err, KV_BAD_ARG, "Layer %d has %d kept sets, none numbered %d.", stats->layer, sets, s->set);
    *heads = stats->n_head / sets;
    *first = s->set * *heads;
    return KV_OK;
}

static enum kv_status score_part(
    const struct policy_scored *s, const struct part *part, double *score, struct kv_error *err)
{
    int first = 0, heads = 0;
    enum kv_status status = score_heads_of_set(s, &first, &heads, err);
    return status ? status : score_heads(s, part, first, heads, score, err);
}

/* --- selectors ------------------------------------------------------------------------------------------ */

/* The window begins at this row, or key, of so many. */
static int first_of_window(const struct policy_scored *s, int n)
{
    return n > s->policy->window ? n - s->policy->window : 0;
}

/* The sums that policy.rows names. */
static struct part part_of_rows(const struct policy_scored *s)
{
    struct part part = {
        .name = "sum", .sums = s->stats->columns, .added = s->stats->columns_added, .pool = s->policy->pool
    };
    if (s->policy->rows == POLICY_ROWS_WINDOW) {
        part.sums = s->stats->window;
        part.added = s->stats->window_added;
        part.first_row = first_of_window(s, kv_stats_rows(s->stats));
    }
    if (s->policy->rows == POLICY_ROWS_LAST) {
        part.sums = s->stats->last;
        part.added = s->stats->last_added;
        part.first_row = kv_stats_rows(s->stats) - 1;
    }
    if (part.pool == POLICY_POOL_AUTO) part.pool = POLICY_POOL_NONE;
    return part;
}

static struct part part_of_window(const struct policy_scored *s)
{
    return (struct part){ .name = "window",
        .sums = s->stats->window,
        .added = s->stats->window_added,
        .first_row = first_of_window(s, kv_stats_rows(s->stats)),
        .divide = PER_ROW,
        .pool = s->policy->pool == POLICY_POOL_AUTO ? POLICY_POOL_AVG : (enum policy_pool)s->policy->pool,
        .split = first_of_window(s, s->stats->n) };
}

static int parts_sum(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_rows(s);
    return 1;
}

static int parts_mean(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_rows(s);
    part[0].name = "mean";
    part[0].divide = PER_VISIBLE_ROW;
    return 1;
}

static int parts_vnorm(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_rows(s);
    part[0].name = "vnorm";
    part[0].scale = s->stats->value_norms;
    return 1;
}

static int parts_window(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_window(s);
    return 1;
}

/* The mean and, rows being divided by later, so many times the variance. */
static int parts_cake(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_window(s);
    part[0].name = "cake";
    part[0].more = s->stats->variance;
    part[0].weight = s->policy->gamma * (kv_stats_rows(s->stats) - part[0].first_row);
    return 1;
}

static int parts_last(const struct policy_scored *s, struct part *part)
{
    part[0] = (struct part){ .name = "last",
        .sums = s->stats->last,
        .added = s->stats->last_added,
        .pool = s->policy->pool == POLICY_POOL_AUTO ? POLICY_POOL_NONE : (enum policy_pool)s->policy->pool };
    return 1;
}

static int parts_mix(const struct policy_scored *s, struct part *part)
{
    part[0] = part_of_rows(s);
    part[1] = part_of_window(s);
    return 2;
}

/* Of a row, over the tokens that compete. */
static double total_of(const struct policy_scored *s, const double *score)
{
    double total = 0;
    for (int j = 0; j < s->stats->n; j++)
        if (!s->forced || s->forced[j] == KV_BY_SCORE) total += score[j];
    return total;
}

/* Divides by the total; an all-zero row stays as it is. */
static void to_shares(const struct policy_scored *s, double *score)
{
    double total = total_of(s, score);
    for (int j = 0; total != 0 && j < s->stats->n; j++) score[j] /= total;
}

/* The row of a selector with parts: the only one, or shares added. */
static enum kv_status score_parts(const struct policy_scored *s, double *score, struct kv_error *err)
{
    struct part part[POLICY_PARTS];
    int n_part = policy_selector_at(s->policy->selector)->parts(s, part);
    enum kv_status status = score_part(s, &part[0], score, err);
    if (status || n_part == 1) return status;
    double *second = kv_alloc((size_t)s->stats->n, sizeof *second);
    if (!second) return kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %d tokens.", s->stats->n);
    status = score_part(s, &part[1], second, err);
    if (!status) {
        to_shares(s, score);
        to_shares(s, second);
        for (int j = 0; j < s->stats->n; j++) score[j] += second[j];
    }
    free(second);
    return status;
}

static enum kv_status score_vnorm(const struct policy_scored *s, double *score, struct kv_error *err)
{
    if (!s->stats->value_norms)
        return kv_fail(err, KV_BAD_ARG, "Layer %d has no value norms to score by.", s->stats->layer);
    return score_parts(s, score, err);
}

static enum kv_status score_cake(const struct policy_scored *s, double *score, struct kv_error *err)
{
    if (!s->stats->variance)
        return kv_fail(err, KV_BAD_ARG, "Layer %d has no variance of attention to score by.", s->stats->layer);
    return score_parts(s, score, err);
}

static enum kv_status score_streaming(const struct policy_scored *s, double *score, struct kv_error *err)
{
    (void)err;
    for (int j = 0; j < s->stats->n; j++) score[j] = j;
    return KV_OK;
}

/* splitmix64's finalizer: a bijection that scatters neighboring inputs. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static enum kv_status score_random(const struct policy_scored *s, double *score, struct kv_error *err)
{
    (void)err;
    uint64_t stream = mixed(s->seed + 0x9e3779b97f4a7c15u) + ((uint64_t)s->stats->layer << 32 | (uint32_t)s->set);
    for (int j = 0; j < s->stats->n; j++)
        score[j] = (double)(mixed(mixed(stream) + (uint64_t)row_of(s, j)) >> 40) * 0x1p-24;
    return KV_OK;
}

/* Compress puts the layer's own selector in its place; alone it says nothing. */
static enum kv_status score_tuned(const struct policy_scored *s, double *score, struct kv_error *err)
{
    (void)score;
    return kv_fail(err, KV_BAD_ARG, "The selector tuned has no score of its own for layer %d.", s->stats->layer);
}

/* --- entry ---------------------------------------------------------------------------------------------- */

unsigned policy_selector_needs(const struct kv_policy *policy, const struct policy_selector *selector)
{
    static const unsigned of_rows[] = { [POLICY_ROWS_ALL] = KV_NEED_COLUMNS,
        [POLICY_ROWS_WINDOW] = KV_NEED_WINDOW,
        [POLICY_ROWS_LAST] = KV_NEED_LAST };
    unsigned needs = selector->needs & ~POLICY_NEED_ROWS;
    return selector->needs & POLICY_NEED_ROWS ? needs | of_rows[policy->rows] : needs;
}

bool policy_folds(const struct kv_policy *policy)
{
    const struct policy_selector *selector = policy_selector_at(policy->selector);
    const unsigned sums = POLICY_NEED_ROWS | KV_NEED_COLUMNS | KV_NEED_WINDOW | KV_NEED_LAST;
    return selector && selector->parts && !(selector->needs & ~sums) && policy->reduce != POLICY_REDUCE_MAX &&
           policy->pool != POLICY_POOL_MAX;
}

enum kv_status policy_score(const struct policy_scored *s, float *score, struct kv_error *err)
{
    const struct policy_selector *selector = policy_selector_at(s->policy->selector);
    if (!selector) return kv_fail(err, KV_BAD_ARG, "There is no selector number %d.", s->policy->selector);
    double *exact = kv_alloc((size_t)s->stats->n, sizeof *exact);
    if (!exact) return kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %d tokens.", s->stats->n);
    enum kv_status status = selector->score(s, exact, err);
    for (int j = 0; !status && j < s->stats->n; j++) score[j] = (float)exact[j];
    free(exact);
    return status;
}

/* --- what a score was made of ----------------------------------------------------------------------------- */

/* Token j of one part on its way; row is scratch. */
static enum kv_status explain_part(const struct policy_scored *s, const struct part *part, int j, double *row,
    struct policy_part *out, double *head, struct kv_error *err)
{
    struct part raw = *part, divided = *part, pooled = *part;
    int first = 0, heads = 0;
    raw.divide = PER_NOTHING;
    raw.pool = divided.pool = POLICY_POOL_NONE;
    raw.scale = divided.scale = pooled.scale = NULL;
    *out = (struct policy_part){ .name = part->name };
    enum kv_status status = score_heads_of_set(s, &first, &heads, err);
    if (!status) status = score_part(s, &raw, row, err);
    out->raw = row[j];
    if (!status) status = score_part(s, &divided, row, err);
    out->divided = row[j];
    for (int h = 0; head && h < s->stats->n_head && !status; h++) {
        head[h] = 0;
        if (h < first || h >= first + heads) continue;
        status = score_heads(s, part, h, 1, row, err);
        head[h] = row[j];
    }
    if (!status) status = score_part(s, &pooled, row, err);
    out->pooled = row[j];
    if (!status) status = score_part(s, part, row, err);
    out->scaled = row[j];
    return status;
}

enum kv_status policy_explain(const struct policy_scored *s, int j, struct policy_part out[POLICY_PARTS],
    double *head, int *n_part, struct kv_error *err)
{
    const struct policy_selector *selector = policy_selector_at(s->policy->selector);
    struct part part[POLICY_PARTS];
    if (!selector) return kv_fail(err, KV_BAD_ARG, "There is no selector number %d.", s->policy->selector);
    *n_part = selector->parts ? selector->parts(s, part) : 0;
    double *row = kv_alloc((size_t)s->stats->n, sizeof *row);
    if (!row) return kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %d tokens.", s->stats->n);
    enum kv_status status = KV_OK;
    for (int i = 0; i < *n_part && !status; i++) {
        double *heads = head ? head + (size_t)i * (size_t)s->stats->n_head : NULL;
        status = explain_part(s, &part[i], j, row, &out[i], heads, err);
        if (!status && *n_part > 1) out[i].total = total_of(s, row);
    }
    free(row);
    return status;
}

/* --- table ---------------------------------------------------------------------------------------------- */

static const struct policy_selector selectors[] = {
    { "sum", POLICY_NEED_ROWS, score_parts, parts_sum, "Attention that the token got, added up." },
    { "mean", POLICY_NEED_ROWS, score_parts, parts_mean, "The same per row that sees the token." },
    { "window", KV_NEED_WINDOW, score_parts, parts_window,
        "Attention from the last policy.window rows, pooled (SnapKV)." },
    { "cake", KV_NEED_WINDOW | KV_NEED_VARIANCE, score_cake, parts_cake,
        "window, plus policy.gamma times the variance of its rows, pooled alike (CAKE)." },
    { "last", KV_NEED_LAST, score_parts, parts_last, "Attention of the last row (TOVA)." },
    { "mix", POLICY_NEED_ROWS | KV_NEED_WINDOW, score_parts, parts_mix, "sum and window, each as shares, added." },
    { "knorm", KV_NEED_KEY_NORMS, score_knorm, NULL, "The shorter its key, the better." },
    { "vnorm", POLICY_NEED_ROWS | KV_NEED_VALUE_NORMS, score_vnorm, parts_vnorm,
        "sum, times the length of the value." },
    { "expected", KV_NEED_EXPECTED | KV_NEED_VALUE_NORMS, score_expected, NULL,
        "Attention expected from the next policy.future queries, times the length of the value." },
    { "streaming", 0, score_streaming, NULL, "The most recent tokens (StreamingLLM)." },
    { "random", 0, score_random, NULL, "Tokens drawn by lot, the control." },
    { POLICY_TUNED, POLICY_NEED_ROWS | KV_NEED_WINDOW | KV_NEED_LAST, score_tuned, NULL,
        "The one that the profile chose for the layer." },
};

const struct policy_selector *policy_selector_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(selectors) ? &selectors[row] : NULL;
}

const char *policy_selector_name(int row)
{
    const struct policy_selector *selector = policy_selector_at(row);
    return selector ? selector->name : NULL;
}
