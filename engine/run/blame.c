/* Which evictions changed the output: sets of them are given back and the reply scored again, by bisection, then delta
 * debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, algorithm ddmin), then, where few
 * smaller sets are left, all of those. */
#include "engine/regret.h"
#include "engine/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/state.h"

#define BATCH   16 /* sets scored in one call */
#define SINGLES 64 /* suspects that are tried one by one, */
#define PAIRS   24 /* and in pairs, where there are more of them than that */

struct suspect {
    struct kv_eviction at;
    float weight;
};

struct blame {
    struct kv_engine *e;
    const int32_t *reply;
    int n_reply;
    const struct kv_blame_how *how;
    struct suspect *all; /* [n] evictions of the run, the most suspected first */
    int n;
    int *best; /* [n_best] indices into all, ascending: their return restores the output */
    int n_best;
    int runs;
    bool spent;     /* `most` is reached */
    int sets, rows; /* kept sets of a layer, and of all layers */
    const int32_t **kept;
    int *n_kept;   /* [BATCH][rows] as kv_score_heads takes them */
    int32_t *room; /* [BATCH][rows][n] */
    int32_t *base; /* [rows][n] of the run */
    int *n_base;   /* [rows] */
    struct kv_verdict verdict[BATCH];
};

/* One set to try: indices into all, ascending. */
struct trial {
    const int *index;
    int n;
};

static bool restored(const struct blame *b, const struct kv_verdict *v)
{
    return isnan(b->how->bound) ? v->first_divergent < 0 : v->kl_mean <= b->how->bound;
}

/* --- trying ------------------------------------------------------------------------------------------------------- */

/* The kept sets of one trial, into set i of the batch: a row that gets nothing back is the run's own. */
static void lay_out(struct blame *b, int i, const struct trial *t)
{
    size_t n = (size_t)b->e->n;
    uint8_t *mark = (uint8_t *)(b->room + (size_t)BATCH * (size_t)b->rows * n); /* [n] behind the last set */
    for (int row = 0; row < b->rows; row++) {
        size_t cell = (size_t)i * (size_t)b->rows + (size_t)row;
        const int32_t *own = b->base + (size_t)row * n;
        int32_t *to = b->room + cell * n;
        int count = 0;
        memset(mark, 0, n);
        for (int k = 0; k < t->n; k++) {
            const struct kv_eviction *x = &b->all[t->index[k]].at;
            if (x->layer * b->sets + x->head == row) mark[x->token] = 1;
        }
        for (int k = 0; k < b->n_base[row]; k++) mark[own[k]] = 1;
        for (size_t j = 0; j < n; j++)
            if (mark[j]) to[count++] = (int32_t)j;
        b->kept[cell] = count == (int)n ? NULL : to;
        b->n_kept[cell] = count;
    }
}

/* Tries up to BATCH sets in one call. *hit = the first that restores, -1 = none, or the limit is reached. */
static enum kv_status try_batch(struct blame *b, const struct trial *t, int n, int *hit, struct kv_error *err)
{
    *hit = -1;
    if (n > b->how->most - b->runs) n = b->how->most - b->runs, b->spent = true;
    if (n < 1) return KV_OK;
    for (int i = 0; i < n; i++) lay_out(b, i, &t[i]);
    enum kv_status status =
        kv_score_heads(b->e, b->reply, b->n_reply, n, b->sets, b->kept, b->n_kept, NULL, b->verdict, err);
    if (status) return status;
    b->runs += n;
    for (int i = n - 1; i >= 0; i--)
        if (restored(b, &b->verdict[i])) *hit = i;
    engine_progress(b->e, "blame", b->runs, b->how->most);
    return KV_OK;
}

static void take(struct blame *b, const struct trial *t)
{
    memmove(b->best, t->index, (size_t)t->n * sizeof *b->best);
    b->n_best = t->n;
}

/* --- delta debugging ---------------------------------------------------------------------------------------------- */

/* Items of best, cut into parts; group[i] = which item index best[i] belongs to (a layer, or itself). */
struct parts {
    int *group,
        *scratch; /* [n] item of each index of best; sets under trial, [2 * parts][n] at most BATCH at a time */
    int items;
};

/* Part p of `of`, or all but it. */
static struct trial part_of(const struct blame *b, const struct parts *x, int p, int of, bool without, int *to)
{
    struct trial t = { to, 0 };
    int from = (int)((int64_t)x->items * p / of), end = (int)((int64_t)x->items * (p + 1) / of);
    for (int i = 0; i < b->n_best; i++) {
        bool in = x->group[i] >= from && x->group[i] < end;
        if (in != without) to[t.n++] = b->best[i];
    }
    return t;
}

/* Numbers the items of best: its layers in order, or each index of its own. */
static void number_items(const struct blame *b, struct parts *x, bool layers)
{
    int n_layer = b->e->model->shape.n_layer;
    int *first = x->scratch; /* scratch is free now: [n_layer] item of a layer */
    x->items = 0;
    for (int l = 0; l < n_layer && layers; l++) {
        bool any = false;
        for (int i = 0; i < b->n_best; i++) any = any || b->all[b->best[i]].at.layer == l;
        first[l] = x->items;
        x->items += any;
    }
    for (int i = 0; i < b->n_best; i++) x->group[i] = layers ? first[b->all[b->best[i]].at.layer] : i;
    if (!layers) x->items = b->n_best;
}

/* One round at `of` parts: a part, or all but one, that restores becomes best. *found: 0 = none, 1 = part, 2 = rest. */
static enum kv_status one_round(struct blame *b, struct parts *x, int of, int *found, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    *found = 0;
    for (int rest = 0; rest < (of > 2 ? 2 : 1) && !*found && !status; rest++)
        for (int p = 0; p < of && !*found && !status && !b->spent; p += BATCH) {
            struct trial t[BATCH];
            int n = of - p < BATCH ? of - p : BATCH, hit;
            for (int i = 0; i < n; i++)
                t[i] = part_of(b, x, p + i, of, rest, x->scratch + (size_t)i * (size_t)b->n);
            status = try_batch(b, t, n, &hit, err);
            if (status || hit < 0) continue;
            take(b, &t[hit]);
            *found = 1 + rest;
        }
    return status;
}

static enum kv_status ddmin(struct blame *b, struct parts *x, bool layers, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    number_items(b, x, layers);
    for (int of = 2; x->items > 1 && !status && !b->spent;) {
        int found;
        if (of > x->items) of = x->items;
        status = one_round(b, x, of, &found, err);
        if (found) {
            number_items(b, x, layers);
            of = found == 1 ? 2 : of > 2 ? of - 1 : 2;
        } else if (of == x->items)
            break;
        else
            of = 2 * of < x->items ? 2 * of : x->items;
    }
    return status;
}

/* The shortest beginning of best (the most suspected first) that restores, if restoring goes with length. */
static enum kv_status bisect(struct blame *b, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    int low = 0, high = b->n_best, hit; /* low does not restore, high does */
    for (int n = 1; n < high && !status && !b->spent;) {
        struct trial t[BATCH];
        int count = 0;
        for (; n < high && count < BATCH; n *= 2) t[count++] = (struct trial){ b->best, n };
        status = try_batch(b, t, count, &hit, err);
        if (!status && hit >= 0) {
            high = t[hit].n;
            low = hit ? t[hit - 1].n : 0;
            break;
        }
    }
    while (high - low > 1 && !status && !b->spent) {
        const struct trial middle = { b->best, (low + high) / 2 };
        status = try_batch(b, &middle, 1, &hit, err);
        if (!status && hit >= 0)
            high = middle.n;
        else
            low = middle.n;
    }
    b->n_best = high;
    return status;
}

/* --- smaller sets --------------------------------------------------------------------------------------------------- */

/* All single suspects, or pairs of them, where best is larger; all there are where they are few. */
static enum kv_status try_smaller(struct blame *b, int size, struct kv_error *err)
{
    int many = b->n < (size == 1 ? SINGLES : PAIRS) ? b->n : size == 1 ? SINGLES : PAIRS, n = 0, hit = -1;
    int index[BATCH][2];
    struct trial t[BATCH];
    enum kv_status status = KV_OK;
    for (int i = 0; i < many && hit < 0 && !status && !b->spent; i++)
        for (int k = size == 1 ? i : i + 1; k < (size == 1 ? i + 1 : many) && hit < 0 && !status; k++) {
            index[n][0] = i, index[n][1] = k;
            t[n] = (struct trial){ index[n], size };
            n++;
            bool last = size == 1 ? i + 1 == many : i + 2 == many;
            if (n < BATCH && !last) continue;
            status = try_batch(b, t, n, &hit, err);
            if (!status && hit >= 0) take(b, &t[hit]);
            n = 0;
        }
    return status;
}

/* --- the search --------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct kv_eviction *x = a, *y = b;
    if (x->layer != y->layer) return x->layer - y->layer;
    return x->head != y->head ? x->head - y->head : x->token - y->token;
}

static int by_weight(const void *a, const void *b)
{
    const struct suspect *x = a, *y = b;
    if (x->weight > y->weight || x->weight < y->weight) return x->weight > y->weight ? -1 : 1;
    return by_place(&x->at, &y->at);
}

static enum kv_status list_suspects(struct blame *b, struct kv_error *err)
{
    struct kv_array kept;
    struct kv_engine *e = b->e;
    enum kv_status status = kv_value(e, "kept", &kept, err);
    if (status) return status;
    b->sets = kept.n_dim == 3 ? (int)kept.dim[1] : 1;
    b->rows = (int)kept.dim[0] * b->sets;
    size_t n = (size_t)e->n, rows = (size_t)b->rows, count = 0;
    const uint8_t *in = kept.data;
    for (size_t i = 0; i < rows * n; i++) count += !in[i];
    b->all = kv_alloc(count, sizeof *b->all);
    b->best = kv_alloc(count, sizeof *b->best);
    b->base = kv_alloc(rows * n, sizeof *b->base);
    b->n_base = kv_alloc(rows, sizeof *b->n_base);
    b->room = kv_alloc((BATCH * rows + 1) * n, sizeof *b->room);
    b->kept = kv_alloc(BATCH * rows, sizeof *b->kept);
    b->n_kept = kv_alloc(BATCH * rows, sizeof *b->n_kept);
    if (!b->all || !b->best || !b->base || !b->n_base || !b->room || !b->kept || !b->n_kept)
        return kv_fail(err, KV_NO_MEMORY, "No memory to try %zu evictions.", count);
    for (size_t i = 0; i < rows * n; i++) {
        size_t row = i / n, j = i % n;
        const struct kv_eviction at = { (int32_t)(row / (size_t)b->sets), (int32_t)j,
            (int32_t)(row % (size_t)b->sets) };
        if (in[i])
            b->base[row * n + (size_t)b->n_base[row]++] = (int32_t)j;
        else
            b->all[b->n++] = (struct suspect){ at, b->how->order ? b->how->order[i] : 0 };
    }
    qsort(b->all, (size_t)b->n, sizeof *b->all, by_weight);
    for (int i = 0; i < b->n; i++) b->best[i] = i;
    b->n_best = b->n;
    return KV_OK;
}

static enum kv_status search(struct blame *b, struct kv_error *err)
{
    int n_layer = b->e->model->shape.n_layer, room = b->n > n_layer ? b->n : n_layer;
    struct parts x = { .group = kv_alloc((size_t)b->n, sizeof *x.group),
        .scratch = kv_alloc((size_t)BATCH * (size_t)room, sizeof *x.scratch) };
    enum kv_status status =
        x.group && x.scratch ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory to try %d evictions.", b->n);
    if (!status) status = ddmin(b, &x, true, err);
    if (!status) status = bisect(b, err);
    if (!status) status = ddmin(b, &x, false, err);
    for (int size = 1; size <= 2 && !status; size++)
        if (b->n_best > size) status = try_smaller(b, size, err);
    free(x.group);
    free(x.scratch);
    return status;
}

/* What was found, and the verdict of decoding with it. */
static enum kv_status conclude(struct blame *b, struct kv_blame *out, struct kv_error *err)
{
    struct kv_comparison c;
    const struct trial t = { b->best, b->n_best };
    out->eviction = kv_alloc((size_t)b->n_best, sizeof *out->eviction);
    if (!out->eviction) return kv_fail(err, KV_NO_MEMORY, "No memory for %d evictions.", b->n_best);
    for (int i = 0; i < b->n_best; i++) out->eviction[i] = b->all[b->best[i]].at;
    out->count = b->n_best;
    qsort(out->eviction, (size_t)out->count, sizeof *out->eviction, by_place);
    lay_out(b, 0, &t);
    enum kv_status status = kv_compare_heads(b->e, b->sets, b->kept, b->n_kept, b->n_reply, &c, err);
    if (status) return status;
    out->after = c.verdict[1];
    out->verified = restored(b, &c.verdict[1]);
    kv_comparison_free(&c);
    return KV_OK;
}

enum kv_status kv_blame(struct kv_engine *e, const int32_t *reply, int n_reply, const struct kv_blame_how *how,
    struct kv_blame *out, struct kv_error *err)
{
    struct blame b = { .e = e, .reply = reply, .n_reply = n_reply, .how = how };
    const struct trial nothing = { NULL, 0 };
    int hit = -1;
    *out = (struct kv_blame){ 0 };
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = engine_need_compressed(e, err);
    if (!status && e->run.tally)
        status = kv_fail(err, KV_UNSUPPORTED,
            "blame looks for evictions of one compression, and this run compresses again: set policy.every 0, then "
            "recompress.");
    if (!status && e->run.shift)
        status = kv_fail(err, KV_UNSUPPORTED,
            "blame gives evicted keys back at their true positions: set policy.positions keep, then recompress.");
    if (!status && how->most < 2)
        status = kv_fail(err, KV_BAD_ARG, "blame scores at least 2 kept sets, not %d.", how->most);
    if (!status) status = list_suspects(&b, err);
    if (!status) status = try_batch(&b, &nothing, 1, &hit, err);
    if (!status) out->before = out->after = b.verdict[0];
    out->evicted = b.n;
    out->verified = out->minimal = true;
    if (!status && hit < 0) {
        status = search(&b, err);
        out->interrupted = status == KV_STOPPED;
        out->stopped = b.spent || out->interrupted;
        out->minimal = !out->stopped;
        if (out->interrupted) status = KV_OK; /* the best so far */
        if (!status) status = conclude(&b, out, err);
    }
    out->runs = b.runs;
    if (status) kv_blame_free(out);
    free(b.all);
    free(b.best);
    free(b.base);
    free(b.n_base);
    free(b.room);
    free((void *)b.kept);
    free(b.n_kept);
    return status;
}

void kv_blame_free(struct kv_blame *b)
{
    free(b->eviction);
    *b = (struct kv_blame){ 0 };
}
