/* regret: attention of the full cache to tokens that are not kept, by token, head and layer. */
#include "inspector/lab/regret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/regret.h"
#include "engine/runs.h"
#include "inspector/lab/stopped.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/picture/target.h"
#include "inspector/tokens.h"
#include "render/csv.h"

#define ROWS 12 /* shown unless asked otherwise */

enum by { BY_TOKEN, BY_HEAD, BY_CELL };

struct regret_options {
    int steps, rows;
    int layer, head; /* -1 = all */
    enum by by;
    const char *csv; /* file, NULL = none */
};

/* One line of the sorted table; layer, head, token: -1 = summed over. */
struct item {
    int layer, head, token;
    double mass;                 /* of evicted tokens, mean over heads that it is summed over */
    int worst_layer, worst_head; /* where it is largest */
    double worst;
};

int regret_steps(struct session *s)
{
    char setting[32] = "64";
    struct kv_error ignored;
    kv_get(s->engine, "judge.tokens", setting, sizeof setting, &ignored);
    return (int)strtol(setting, NULL, 10);
}

enum kv_status regret_may(struct session *s)
{
    struct kv_where w;
    if (kv_started(s->engine)) kv_where(s->engine, &w);
    if (kv_started(s->engine) && (w.phase > KV_PHASE_compress || (w.phase == KV_PHASE_compress && w.pass)))
        return KV_OK;
    return kv_fail(&s->err, KV_NOT_NOW, "regret is not available before compress is done.");
}

enum kv_status regret_read(struct session *s, int n, int *used)
{
    const int32_t *reply;
    enum kv_status st = kv_full_reply(s->engine, n < 2 ? 2 : n, &reply, used, &s->err);
    if (!st) st = kv_mass(s->engine, reply, *used, &s->err);
    return lab_stopped(s, st, " before the full cache's reply was read");
}

double *regret_retained(struct session *s, struct kv_engine *e)
{
    struct kv_array mass, regret;
    size_t layers = (size_t)s->facts.n_layer;
    double *share = kv_alloc(layers, sizeof *share);
    if (!share) kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu layers.", layers);
    if (!share || kv_value(e, "regret", &regret, &s->err) || kv_value(e, "mass", &mass, &s->err)) {
        free(share);
        return NULL;
    }
    size_t each = mass.dim[1] * mass.dim[2];
    for (size_t l = 0; l < layers; l++) {
        double all = 0, gone = 0;
        for (size_t i = l * each; i < (l + 1) * each; i++) {
            all += (double)((const float *)mass.data)[i];
            gone += (double)((const float *)regret.data)[i];
        }
        share[l] = 1 - gone / all;
    }
    return share;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static enum kv_status read_args(struct session *s, struct line_words *w, struct regret_options *o)
{
    static const char *const by[] = { "token", "head", "cell" };
    enum kv_status st = KV_OK;
    *o = (struct regret_options){ .steps = regret_steps(s), .rows = ROWS, .layer = -1, .head = -1 };
    for (int i = 0; i < w->count && !st; i += 2) {
        const char *name = w->word[i], *value = i + 1 < w->count ? w->word[i + 1] : NULL;
        long long n = 0;
        if (!value)
            return kv_fail(&s->err, KV_BAD_ARG,
                "%.40s needs a value: steps N, layer L, head H, -n ROWS, -by, -csv FILE.", name);
        if (!strcmp(name, "steps"))
            st = line_integer(value, 2, 1 << 20, "a number of steps", &n, &s->err), o->steps = (int)n;
        else if (!strcmp(name, "-n"))
            st = line_integer(value, 1, 1 << 20, "a number of rows", &n, &s->err), o->rows = (int)n;
        else if (!strcmp(name, "layer"))
            st = line_integer(value + (*value == 'L'), 0, s->facts.n_layer - 1, "a layer", &n, &s->err),
            o->layer = (int)n;
        else if (!strcmp(name, "head"))
            st = line_integer(value, 0, s->facts.n_head - 1, "a head", &n, &s->err), o->head = (int)n;
        else if (!strcmp(name, "-csv"))
            o->csv = value;
        else if (!strcmp(name, "-by")) {
            size_t k = 0;
            while (k < KV_COUNT(by) && strcmp(by[k], value)) k++;
            if (k == KV_COUNT(by))
                return kv_fail(&s->err, KV_BAD_ARG, "-by takes token, head or cell, not %.40s.", value);
            o->by = (enum by)k;
        } else
            st = kv_fail(&s->err, KV_BAD_ARG,
                "regret takes steps N, layer L, head H, -n ROWS, -by token|head|cell and -csv FILE, not %.40s.",
                name);
    }
    return st;
}

/* --- sorting ------------------------------------------------------------------------------------------------------- */

static int by_mass(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->mass > y->mass || x->mass < y->mass) return x->mass > y->mass ? -1 : 1;
    if (x->layer != y->layer) return x->layer - y->layer;
    return x->head != y->head ? x->head - y->head : x->token - y->token;
}

static bool in_scope(const struct regret_options *o, int l, int h)
{
    return (o->layer < 0 || o->layer == l) && (o->head < 0 || o->head == h);
}

static void add(struct item *x, int l, int h, double mass)
{
    x->mass += mass;
    if (mass <= x->worst) return;
    x->worst = mass;
    x->worst_layer = l;
    x->worst_head = h;
}

/* The table [*n], largest first, without what has no mass; the caller frees. */
static struct item *sorted(struct session *s, const struct regret_options *o, const struct kv_array *regret, int *n)
{
    int layers = (int)regret->dim[0], heads = (int)regret->dim[1], tokens = (int)regret->dim[2];
    size_t count = o->by == BY_TOKEN  ? (size_t)tokens
                   : o->by == BY_HEAD ? (size_t)layers * (size_t)heads
                                      : (size_t)layers * (size_t)heads * (size_t)tokens;
    struct item *list = kv_alloc(count, sizeof *list);
    const float *mass = regret->data;
    double over = (o->layer < 0 ? layers : 1) * (double)(o->head < 0 ? heads : 1);
    if (!list) {
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for a table of %zu rows.", count);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) list[i] = (struct item){ -1, -1, -1, 0, -1, -1, 0 };
    for (int l = 0; l < layers; l++)
        for (int h = 0; h < heads; h++)
            for (int j = 0; j < tokens && in_scope(o, l, h); j++) {
                size_t cell = ((size_t)l * (size_t)heads + (size_t)h) * (size_t)tokens + (size_t)j;
                struct item *x = &list[o->by == BY_TOKEN  ? (size_t)j
                                       : o->by == BY_HEAD ? cell / (size_t)tokens
                                                          : cell];
                if (o->by != BY_TOKEN) x->layer = l, x->head = h;
                if (o->by != BY_HEAD) x->token = j;
                add(x, l, h, (double)mass[cell]);
            }
    for (size_t i = 0; i < count && o->by == BY_TOKEN; i++) list[i].mass /= over;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (list[i].mass > 0) list[kept++] = list[i];
    qsort(list, kept, sizeof *list, by_mass);
    *n = (int)kept;
    return list;
}

/* --- showing -------------------------------------------------------------------------------------------------------- */

static void item_row(struct session *s, const struct item *x, const int32_t *ids, bool show)
{
    char text[48] = "", place[32];
    if (x->token >= 0) tokens_quote(s, ids[x->token], text, sizeof text);
    rows_new(s);
    if (x->token >= 0) rows_number(s, "position", x->token);
    if (x->token >= 0) rows_token(s, "text", ids[x->token]);
    if (x->layer >= 0) rows_number(s, "layer", x->layer);
    if (x->head >= 0) rows_number(s, "head", x->head);
    rows_number(s, "mass", x->mass);
    rows_number(s, "worst layer", x->worst_layer);
    rows_number(s, "worst head", x->worst_head);
    rows_number(s, "worst", x->worst);
    if (!show) return;
    snprintf(place, sizeof place, "L%d.%d", x->layer < 0 ? x->worst_layer : x->layer,
        x->head < 0 ? x->worst_head : x->head);
    if (x->token < 0)
        fprintf(s->out, "%-9s %10.3e\n", place, x->mass);
    else if (x->layer < 0)
        fprintf(s->out, "%8d  %-22s %10.3e   %-8s %10.3e\n", x->token, text, x->mass, place, x->worst);
    else
        fprintf(s->out, "%8d  %-22s %10.3e   %s\n", x->token, text, x->mass, place);
}

static void show_layers(struct session *s, const double *retained, const struct regret_options *o)
{
    double sum = 0;
    int worst = 0;
    for (int l = 0; l < s->facts.n_layer; l++) {
        sum += retained[l];
        if (retained[l] < retained[worst]) worst = l;
    }
    fprintf(s->out, "Attention to the prompt that is kept, %%: by layer, mean %.2f, least %.2f in layer %d\n",
        100 * sum / s->facts.n_layer, 100 * retained[worst], worst);
    for (int l = 0; l < s->facts.n_layer; l++)
        fprintf(s->out, "%s%s%d %.1f",
            l % 8 ? "  "
            : l   ? "\n  "
                  : "  ",
            o->layer == l ? "*L" : "L", l, 100 * retained[l]);
    fputc('\n', s->out);
    rows_fact(s, "retained", sum / s->facts.n_layer);
}

static enum kv_status write_csv(
    struct session *s, const char *path, const struct item *list, int n, const int32_t *ids)
{
    static const char *const names[] = { "position", "text", "layer", "head", "mass", "worst_layer", "worst_head",
        "worst" };
    struct target t;
    struct csv csv;
    enum kv_status st = target_open(s, path, false, &t);
    if (!st) st = csv_open(&csv, t.fresh, names, KV_COUNT(names), &s->err);
    for (int i = 0; i < n && !st; i++) {
        const struct item *x = &list[i];
        char *text = x->token >= 0 ? kv_tokens_text(s->engine, &ids[x->token], 1) : NULL;
        csv_count(&csv, x->token);
        csv_text(&csv, text);
        csv_count(&csv, x->layer);
        csv_count(&csv, x->head);
        csv_number(&csv, x->mass);
        csv_count(&csv, x->worst_layer);
        csv_count(&csv, x->worst_head);
        csv_number(&csv, x->worst);
        csv_end_row(&csv);
        free(text);
    }
    if (!st) st = csv_commit(&csv, &s->err);
    if (!st) st = target_close(s, &t);
    if (!st) fprintf(s->out, "%s: %d rows\n", t.path, n);
    return st;
}

static void show_table(
    struct session *s, const struct regret_options *o, const struct item *list, int n, const int32_t *ids)
{
    if (!n)
        fprintf(s->out, "It reads nothing that is evicted.\n");
    else if (o->by == BY_HEAD)
        fprintf(s->out, "%-9s %10s\n", "head", "mass");
    else
        fprintf(s->out, "%8s  %-22s %10s   %s\n", "position", "text", "mass",
            o->by == BY_TOKEN ? "worst head" : "head");
    for (int i = 0; i < n && (s->json || i < o->rows); i++) item_row(s, &list[i], ids, i < o->rows);
    if (n > o->rows) fprintf(s->out, "... %d more\n", n - o->rows);
}

struct reaction cmd_regret(struct session *s, const char *args)
{
    struct line_words words;
    struct regret_options o;
    struct kv_array regret;
    int used = 0, n = 0, n_prompt;
    if (line_split(args, &words, &s->err) || read_args(s, &words, &o)) return failed(s);
    run_end_line(s);
    if (regret_read(s, o.steps, &used)) return failed(s);
    const int32_t *ids = tokens_prompt(s, &n_prompt);
    double *retained = ids ? regret_retained(s, s->engine) : NULL;
    if (!retained) return failed(s);
    struct item *list = session_value(s, "regret", &regret) ? NULL : sorted(s, &o, &regret, &n);
    enum kv_status st = list ? KV_OK : s->err.code;
    if (!st) {
        fprintf(s->out,
            "Attention that the full cache gives tokens which this run has evicted, mean over %d rows of its reply "
            "(%s)\n",
            used - 1, session_mode(s));
        show_layers(s, retained, &o);
        show_table(s, &o, list, n, ids);
        if (o.csv) st = write_csv(s, o.csv, list, n, ids);
    }
    free(list);
    free(retained);
    return st ? failed(s) : DONE;
}
