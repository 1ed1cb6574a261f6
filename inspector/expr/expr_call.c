/* Functions of expressions. A NaN counts as the least of all numbers. */
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/expr_eval.h"
#include "inspector/expr/names.h"
#include "inspector/session.h"
#include "inspector/tokens.h"

/* --- of one array ------------------------------------------------------------------------------------------------- */

static double fold_sum(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum;
}
static double fold_mean(const double *v, size_t n) { return fold_sum(v, n) / (double)n; }
static double fold_count(const double *v, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += v[i] != 0;
    return (double)count;
}
static double fold_any(const double *v, size_t n) { return fold_count(v, n) > 0; }
static double fold_all(const double *v, size_t n) { return fold_count(v, n) == (double)n; }
static double fold_argmax(const double *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best] || (isnan(v[best]) && !isnan(v[i]))) best = i;
    return (double)best;
}
static double fold_argmin(const double *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] < v[best] || (isnan(v[best]) && !isnan(v[i]))) best = i;
    return (double)best;
}
static double fold_max(const double *v, size_t n) { return v[(size_t)fold_argmax(v, n)]; }
static double fold_min(const double *v, size_t n) { return v[(size_t)fold_argmin(v, n)]; }
static double fold_len(const double *v, size_t n) { return v ? (double)n : 0; }
static double fold_std(const double *v, size_t n)
{
    double mean = fold_mean(v, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / (double)n);
}
static double fold_norm(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

/* --- of two arrays ------------------------------------------------------------------------------------------------ */

static double pair_dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
static double pair_cos(const double *a, const double *b, size_t n)
{
    return pair_dot(a, b, n) / (fold_norm(a, n) * fold_norm(b, n));
}

/* KL(a || b) in nats; both are divided by their sums. */
static double pair_kl(const double *a, const double *b, size_t n)
{
    double sum_a = fold_sum(a, n), sum_b = fold_sum(b, n), kl = 0;
    for (size_t i = 0; i < n; i++)
        if (a[i] > 0) kl += a[i] / sum_a * log(a[i] / sum_a * sum_b / b[i]);
    return kl;
}

/* Jensen-Shannon: the mean KL of both to their mean. */
static double pair_js(const double *a, const double *b, size_t n)
{
    double sum_a = fold_sum(a, n), sum_b = fold_sum(b, n), js = 0;
    for (size_t i = 0; i < n; i++) {
        double p = a[i] / sum_a, q = b[i] / sum_b, m = (p + q) / 2;
        if (p > 0) js += p * log(p / m) / 2;
        if (q > 0) js += q * log(q / m) / 2;
    }
    return js;
}

/* Share of what is in one of two sets that is in both. */
static double pair_overlap(const double *a, const double *b, size_t n)
{
    size_t both = 0, either = 0;
    for (size_t i = 0; i < n; i++) {
        both += a[i] != 0 && b[i] != 0;
        either += a[i] != 0 || b[i] != 0;
    }
    return either ? (double)both / (double)either : 1;
}

/* --- the others: arguments are given, *out is void ------------------------------------------------------------------ */

static enum kv_status need_numbers(const char *name, const struct value *v, struct kv_error *err)
{
    if (v->kind == VALUE_NUMBER && v->count) return KV_OK;
    return kv_fail(err, KV_BAD_ARG, "%s needs numbers, not %s.", name,
        v->kind == VALUE_TEXT   ? "a text"
        : v->kind == VALUE_VOID ? "void"
                                : "an empty array");
}

static enum kv_status need_text(const char *name, const struct value *v, struct kv_error *err)
{
    return v->kind == VALUE_TEXT ? KV_OK : kv_fail(err, KV_BAD_ARG, "%s needs a text.", name);
}

struct ranked {
    double x;
    size_t at;
};

/* Largest first; equals in their order. */
static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    double x = isnan(p->x) ? -INFINITY : p->x, y = isnan(q->x) ? -INFINITY : q->x;
    return x > y ? -1 : x < y ? 1 : p->at < q->at ? -1 : p->at > q->at;
}

static struct ranked *sorted(const struct value *v, struct kv_error *err)
{
    struct ranked *list = kv_alloc(v->count, sizeof *list);
    if (!list) kv_fail(err, KV_NO_MEMORY, "No memory to sort %zu numbers.", v->count);
    for (size_t i = 0; list && i < v->count; i++) list[i] = (struct ranked){ v->number[i], i };
    if (list) qsort(list, v->count, sizeof *list, compare_ranked);
    return list;
}

static enum kv_status call_topk(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    (void)s;
    double k = arg[1].kind == VALUE_NUMBER && !arg[1].n_dim ? arg[1].number[0] : 0;
    enum kv_status st = need_numbers("topk", &arg[0], err);
    if (!st && !(k >= 1 && k <= (double)arg[0].count))
        st = kv_fail(
            err, KV_BAD_ARG, "topk takes an array and how many, from 1 to the %zu there are.", arg[0].count);
    struct ranked *list = st ? NULL : sorted(&arg[0], err);
    if (!st && !list) st = KV_NO_MEMORY;
    if (!st) st = value_array(out, 1, (size_t[]){ (size_t)k }, err);
    for (size_t i = 0; !st && i < out->count; i++) out->number[i] = (double)list[i].at;
    free(list);
    out->integral = true;
    return st;
}

static enum kv_status call_rank(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    (void)s;
    enum kv_status st = need_numbers("rank", &arg[0], err);
    struct ranked *list = st ? NULL : sorted(&arg[0], err);
    if (!st && !list) st = KV_NO_MEMORY;
    if (!st) st = value_array(out, arg[0].n_dim, arg[0].dim, err);
    for (size_t i = 0; !st && i < out->count; i++) out->number[list[i].at] = (double)i;
    free(list);
    out->integral = true;
    return st;
}

static enum kv_status call_text(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    enum kv_status st = need_numbers("text", &arg[0], err);
    int32_t *id = st ? NULL : kv_alloc(arg[0].count, sizeof *id);
    if (!st && !id) st = kv_fail(err, KV_NO_MEMORY, "No memory for %zu tokens.", arg[0].count);
    for (size_t i = 0; !st && i < arg[0].count; i++) {
        double x = arg[0].number[i];
        if (!(x >= 0 && x < s->facts.n_vocab))
            st = kv_fail(err, KV_BAD_ARG, "Token id %g out of range; the vocabulary has %d.", x, s->facts.n_vocab);
        else
            id[i] = (int32_t)x;
    }
    char *text = st ? NULL : kv_tokens_text(s->engine, id, (int)arg[0].count);
    if (!st && !text) st = kv_fail(err, KV_NO_MEMORY, "No memory for the text of %zu tokens.", arg[0].count);
    if (!st) *out = (struct value){ .kind = VALUE_TEXT, .text = text };
    free(id);
    return st;
}

static enum kv_status call_id(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    enum kv_status st = need_text("id", &arg[0], err);
    size_t n, length = st ? 0 : strlen(arg[0].text);
    for (int32_t id = 0; !st && id < s->facts.n_vocab; id++) {
        const char *bytes = kv_token_bytes(s->engine, id, &n);
        if (!bytes || n != length || memcmp(bytes, arg[0].text, n)) continue;
        st = value_scalar(out, id, true, "", err);
        out->names = VALUE_TOKEN;
        return st;
    }
    return st ? st : kv_fail(err, KV_NOT_FOUND, "No token spells just \"%.60s\".", arg[0].text);
}

/* Fraction of the kept sets, one a layer or one a KV head, that have all of the tokens: a text's, or those at positions. */
static enum kv_status call_kept(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    struct named kept = { 0 };
    int32_t *list = NULL;
    int places, n = (int)arg[0].count;
    enum kv_status st = KV_OK;
    if (arg[0].kind == VALUE_TEXT) {
        st = tokens_find(s, arg[0].text, &list, &n, &places);
        if (st && err != &s->err) kv_fail(err, st, "%s", s->err.text);
    } else if (!(st = need_numbers("kept", &arg[0], err)) && !(list = kv_alloc((size_t)n, sizeof *list))) {
        st = kv_fail(err, KV_NO_MEMORY, "No memory for %d positions.", n);
    }
    if (!st) st = names_find(s, "kept", &kept, err);
    size_t holding = 0, width = st ? 0 : kept.array.dim[kept.array.n_dim - 1];
    size_t sets = st ? 0 : kept.array.dim[0] * (kept.array.n_dim == 3 ? kept.array.dim[1] : 1);
    for (int i = 0; !st && i < n; i++) {
        double at = arg[0].kind == VALUE_TEXT ? list[i] : arg[0].number[i];
        if (at < 0) at += (double)width;
        if (!(at >= 0 && at < (double)width))
            st = kv_fail(
                err, KV_BAD_ARG, "Token %g out of range; the prompt has %zu (0-%zu).", at, width, width - 1);
        else
            list[i] = (int32_t)at;
    }
    for (size_t k = 0; !st && k < sets; k++) {
        bool all = true;
        for (int i = 0; i < n; i++) all = all && array_number(&kept.array, k * width + (size_t)list[i]) != 0;
        holding += all;
    }
    free(list);
    return st ? st : value_scalar(out, (double)holding / (double)sets, false, "", err);
}

static enum kv_status call_isvoid(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    (void)s;
    return value_scalar(out, arg[0].kind == VALUE_VOID, true, "", err);
}

static enum kv_status call_strlen(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    (void)s;
    enum kv_status st = need_text("$_strlen", &arg[0], err);
    return st ? st : value_scalar(out, (double)strlen(arg[0].text), true, "", err);
}

static enum kv_status call_streq(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    (void)s;
    enum kv_status st = need_text("$_streq", &arg[0], err);
    if (!st) st = need_text("$_streq", &arg[1], err);
    return st ? st : value_scalar(out, !strcmp(arg[0].text, arg[1].text), true, "", err);
}

static enum kv_status call_regex(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    regex_t pattern;
    (void)s;
    enum kv_status st = need_text("$_regex", &arg[0], err);
    if (!st) st = need_text("$_regex", &arg[1], err);
    if (st) return st;
    if (regcomp(&pattern, arg[1].text, REG_EXTENDED | REG_NOSUB))
        return kv_fail(err, KV_BAD_ARG, "\"%.60s\" is no regular expression.", arg[1].text);
    bool matches = !regexec(&pattern, arg[0].text, 0, NULL, 0);
    regfree(&pattern);
    return value_scalar(out, matches, true, "", err);
}

static enum kv_status call_setting(struct session *s, struct value *arg, struct value *out, struct kv_error *err)
{
    struct named named = { 0 };
    enum kv_status st = need_text("$_gdb_setting", &arg[0], err);
    if (!st && !strchr(arg[0].text, '.')) st = kv_fail(err, KV_NOT_FOUND, "No setting \"%.60s\".", arg[0].text);
    if (!st) st = names_find(s, arg[0].text, &named, err);
    if (!st && named.kind != NAMED_VALUE) st = kv_fail(err, KV_NOT_FOUND, "No setting \"%.60s\".", arg[0].text);
    if (!st) *out = named.value;
    return st;
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

#define CALL_ARGS 2

static const struct function {
    const char *name;
    int args;
    double (*fold)(const double *v, size_t n);                  /* of a whole array, */
    double (*map)(double x);                                    /* element by element, */
    double (*pair)(const double *a, const double *b, size_t n); /* of two arrays, or */
    enum kv_status (*any)(struct session *, struct value *, struct value *, struct kv_error *); /* as it likes */
    enum { GIVES_KIND, GIVES_REAL, GIVES_INDEX, GIVES_NATS, GIVES_SHARE } gives;
} functions[] = {
    { "sum", 1, .fold = fold_sum, .gives = GIVES_KIND },
    { "mean", 1, .fold = fold_mean, .gives = GIVES_REAL },
    { "min", 1, .fold = fold_min, .gives = GIVES_KIND },
    { "max", 1, .fold = fold_max, .gives = GIVES_KIND },
    { "std", 1, .fold = fold_std, .gives = GIVES_REAL },
    { "norm", 1, .fold = fold_norm, .gives = GIVES_REAL },
    { "argmax", 1, .fold = fold_argmax, .gives = GIVES_INDEX },
    { "argmin", 1, .fold = fold_argmin, .gives = GIVES_INDEX },
    { "count", 1, .fold = fold_count, .gives = GIVES_INDEX },
    { "any", 1, .fold = fold_any, .gives = GIVES_INDEX },
    { "all", 1, .fold = fold_all, .gives = GIVES_INDEX },
    { "len", 1, .fold = fold_len, .gives = GIVES_INDEX },
    { "abs", 1, .map = fabs, .gives = GIVES_KIND },
    { "sqrt", 1, .map = sqrt, .gives = GIVES_REAL },
    { "log", 1, .map = log, .gives = GIVES_REAL },
    { "log2", 1, .map = log2, .gives = GIVES_REAL },
    { "exp", 1, .map = exp, .gives = GIVES_REAL },
    { "topk", 2, .any = call_topk },
    { "rank", 1, .any = call_rank },
    { "dot", 2, .pair = pair_dot, .gives = GIVES_SHARE },
    { "cos", 2, .pair = pair_cos, .gives = GIVES_SHARE },
    { "kl", 2, .pair = pair_kl, .gives = GIVES_NATS },
    { "js", 2, .pair = pair_js, .gives = GIVES_NATS },
    { "overlap", 2, .pair = pair_overlap, .gives = GIVES_SHARE },
    { "text", 1, .any = call_text },
    { "id", 1, .any = call_id },
    { "kept", 1, .any = call_kept },
    { "$_isvoid", 1, .any = call_isvoid },
    { "$_strlen", 1, .any = call_strlen },
    { "$_streq", 2, .any = call_streq },
    { "$_regex", 2, .any = call_regex },
    { "$_gdb_setting", 1, .any = call_setting },
};

const char *expr_function(int index)
{
    return index >= 0 && (size_t)index < KV_COUNT(functions) ? functions[index].name : NULL;
}

static enum kv_status no_function(const char *name, struct kv_error *err)
{
    char list[320] = "";
    for (size_t i = 0, at = 0; i < KV_COUNT(functions) && functions[i].name[0] != '$'; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? " " : "", functions[i].name);
    return kv_fail(err, KV_NOT_FOUND, "No function \"%.60s\"; there are: %s.", name, list);
}

/* In place; a text has only a length. */
static enum kv_status call_one(const struct function *f, struct value *v, struct value *out, struct kv_error *err)
{
    if (f->fold == fold_len && v->kind == VALUE_TEXT)
        return value_scalar(out, (double)strlen(v->text), true, "", err);
    enum kv_status st = need_numbers(f->name, v, err);
    if (st) return st;
    if (f->fold)
        return value_scalar(out, f->fold(v->number, v->count),
            f->gives == GIVES_INDEX || (f->gives == GIVES_KIND && v->integral),
            f->gives == GIVES_INDEX ? "" : v->unit, err);
    for (size_t i = 0; i < v->count; i++) v->number[i] = f->map(v->number[i]);
    if (f->gives == GIVES_REAL) v->integral = false;
    v->names = VALUE_PLAIN;
    v->width = 0;
    *out = *v;
    *v = (struct value){ 0 };
    return KV_OK;
}

static enum kv_status call_pair(
    const struct function *f, struct value *arg, struct value *out, struct kv_error *err)
{
    enum kv_status st = need_numbers(f->name, &arg[0], err);
    if (!st) st = need_numbers(f->name, &arg[1], err);
    if (!st && arg[0].count != arg[1].count)
        st = kv_fail(err, KV_BAD_ARG, "%s needs two arrays of one size, not of %zu and %zu numbers.", f->name,
            arg[0].count, arg[1].count);
    for (int a = 0; !st && f->gives == GIVES_NATS && a < 2; a++)
        if (!(fold_min(arg[a].number, arg[a].count) >= 0) || !(fold_sum(arg[a].number, arg[a].count) > 0))
            st = kv_fail(err, KV_BAD_ARG, "%s needs distributions: nothing below 0, and a sum above 0.", f->name);
    if (st) return st;
    bool whole = f->pair == pair_dot && arg[0].integral && arg[1].integral;
    return value_scalar(
        out, f->pair(arg[0].number, arg[1].number, arg[0].count), whole, f->gives == GIVES_NATS ? "nats" : "", err);
}

/* X..Y as an argument: the whole numbers from X to Y. */
static enum kv_status range_value(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    double end[2];
    const int node[2] = { n->left, n->right };
    enum kv_status st = KV_OK;
    for (int i = 0; !st && i < 2; i++) {
        struct value v;
        st = expr_node(s, e, node[i], &v, err);
        if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(fabs(v.number[0]) < 1e9)))
            st = kv_fail(err, KV_BAD_ARG, "Both ends of a range must be numbers.");
        end[i] = st ? 0 : trunc(v.number[0]);
        value_free(&v);
    }
    if (!st && end[1] < end[0])
        st = kv_fail(err, KV_BAD_ARG, "The range %.0f..%.0f runs backwards.", end[0], end[1]);
    if (!st) st = value_array(out, 1, (size_t[]){ (size_t)(end[1] - end[0]) + 1 }, err);
    for (size_t i = 0; !st && i < out->count; i++) out->number[i] = end[0] + (double)i;
    out->integral = true;
    return st;
}

enum kv_status expr_call(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *err)
{
    const char *name = e->pool + n->text;
    const struct function *f = NULL;
    struct value arg[CALL_ARGS] = { { 0 } };
    int count = 0;
    for (size_t i = 0; i < KV_COUNT(functions); i++)
        if (!strcmp(name, functions[i].name)) f = &functions[i];
    if (!f) return no_function(name, err);
    for (int at = n->first; at >= 0; at = e->node[at].next) count++;
    if (count != f->args)
        return kv_fail(err, KV_BAD_ARG, "%s takes %s.", name, f->args == 1 ? "one argument" : "two arguments");
    enum kv_status st = KV_OK;
    for (int at = n->first, i = 0; !st && at >= 0; at = e->node[at].next, i++)
        st = e->node[at].kind == EXPR_RANGE ? range_value(s, e, &e->node[at], &arg[i], err)
                                            : expr_node(s, e, at, &arg[i], err);
    if (!st)
        st = f->any ? f->any(s, arg, out, err) : f->pair ? call_pair(f, arg, out, err) : call_one(f, arg, out, err);
    for (int i = 0; i < CALL_ARGS; i++) value_free(&arg[i]);
    if (st) value_free(out);
    return st;
}
