/* Filters. */
#include "engine/text/jinja_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct jv undefined = { .kind = JV_UNDEFINED };

typedef struct jv filter_fn(struct jinja *j, struct jv v, const struct jarguments *args);

/* ---- texts ---- */

static struct jv trim(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv of = jinja_argument(args, 0, "chars");
    return jv_string(jt_strip(j, jv_text(j, v), of.kind == JV_STRING ? &of.s : NULL, true, true));
}

static struct jv upper(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    return jv_string(jt_case(j, jv_text(j, v), 'u'));
}

static struct jv lower(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    return jv_string(jt_case(j, jv_text(j, v), 'l'));
}

static struct jv capitalize(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    return jv_string(jt_case(j, jv_text(j, v), 'c'));
}

static struct jv title(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    return jv_string(jt_case(j, jv_text(j, v), 't'));
}

static struct jv replace(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv from = jinja_argument(args, 0, "old"), to = jinja_argument(args, 1, "new");
    struct jv most = jinja_argument(args, 2, "count");
    return jv_string(
        jt_replace(j, jv_text(j, v), jv_text(j, from), jv_text(j, to), most.kind == JV_INT ? most.i : -1));
}

static struct jv to_string(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    return jv_string(jv_text(j, v));
}

static struct jv to_json(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv indent = jinja_argument(args, -1, "indent");
    if (indent.kind == JV_UNDEFINED) indent = jinja_argument(args, 0, NULL);
    for (int i = 0; i < args->n; i++)
        if (args->name[i] && strcmp(args->name[i], "indent") && strcmp(args->name[i], "ensure_ascii"))
            jinja_unsupported(j, "tojson's argument", args->name[i]);
    return jv_string(jv_json(j, v, indent.kind == JV_INT && indent.i >= 0 && indent.i <= 16 ? (int)indent.i : -1));
}

/* Lines but the first, and the blank ones, get `width` spaces in front. */
static struct jv indent_lines(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv width = jinja_argument(args, 0, "width");
    bool first = jv_true(jinja_argument(args, 1, "first")), blank = jv_true(jinja_argument(args, 2, "blank"));
    struct jinja_text s = jv_text(j, v);
    struct jout out = { 0 };
    int64_t n = width.kind == JV_INT ? width.i : 4;
    for (size_t at = 0, to; at < s.n && !j->status; at = to) {
        const char *line = memchr(s.text + at, '\n', s.n - at);
        to = line ? (size_t)(line - s.text) + 1 : s.n;
        bool empty = s.text[at] == '\n';
        for (int64_t i = 0; i < n && (at ? blank || !empty : first) && !j->status; i++)
            jout_put(j, &out, jt_of(" "));
        jout_put(j, &out, jt_cut(s, at, to));
    }
    return jv_string(jout_text(&out));
}

/* ---- numbers ---- */

static struct jv to_int(struct jinja *j, struct jv v, const struct jarguments *args)
{
    double x;
    char *end, digits[32] = "";
    struct jv otherwise = jinja_argument(args, 0, "default");
    if (v.kind == JV_INT) return v;
    if (v.kind == JV_STRING) {
        struct jinja_text s = jt_strip(j, v.s, NULL, true, true);
        if (s.n && s.n < 19) memcpy(digits, s.text, s.n);
        x = strtod(digits, &end);
        if (s.n && s.n < 19 && !*end && isfinite(x)) return jv_int((int64_t)x);
    } else if (jv_number(v, &x) && fabs(x) < 9e18) {
        return jv_int((int64_t)x);
    }
    return otherwise.kind == JV_UNDEFINED ? jv_int(0) : otherwise;
}

static struct jv absolute(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    if (v.kind == JV_INT && v.i != INT64_MIN) return jv_int(v.i < 0 ? -v.i : v.i);
    if (v.kind == JV_FLOAT) return (struct jv){ .kind = JV_FLOAT, .f = fabs(v.f) };
    jinja_wrong(j, "%s has no absolute value", jv_kind_name(v));
    return undefined;
}

/* ---- collections ---- */

static struct jv length(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    if (v.kind == JV_STRING) return jv_int(jinja_step(j, v.s.n) ? (int64_t)jt_length(v.s) : 0);
    if (v.kind == JV_DICT) return jv_int((int64_t)v.dict->n);
    if (v.kind == JV_LIST) return jv_int((int64_t)v.list->n);
    if (v.kind != JV_UNDEFINED) jinja_wrong(j, "%s has no length", jv_kind_name(v));
    return jv_int(0);
}

static struct jv otherwise(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv value = jinja_argument(args, 0, "default_value");
    bool falsy = jv_true(jinja_argument(args, 1, "boolean"));
    (void)j;
    if (value.kind == JV_UNDEFINED) value = jv_string(jt_of(""));
    return v.kind == JV_UNDEFINED || (falsy && !jv_true(v)) ? value : v;
}

static struct jv attribute_of(struct jinja *j, struct jv v, struct jv name)
{
    if (name.kind == JV_STRING && jt_find(name.s, jt_of("."), 0) != SIZE_MAX)
        jinja_unsupported(j, "the attribute", "of an attribute");
    return jv_item(j, v, name);
}

static struct jv join(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv by = jinja_argument(args, 0, "d"), attribute = jinja_argument(args, 1, "attribute");
    struct jinja_text between = by.kind == JV_UNDEFINED ? jt_of("") : jv_text(j, by);
    const struct jlist *list = jv_items(j, v);
    struct jout out = { 0 };
    for (size_t i = 0; i < list->n && !j->status; i++) {
        struct jv item = list->item[i];
        if (attribute.kind != JV_UNDEFINED) item = attribute_of(j, item, attribute);
        if (i) jout_put(j, &out, between);
        jout_put(j, &out, jv_text(j, item));
    }
    return jv_string(jout_text(&out));
}

static struct jv first(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    const struct jlist *list = jv_items(j, v);
    return list->n ? list->item[0] : undefined;
}

static struct jv last(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)args;
    const struct jlist *list = jv_items(j, v);
    return list->n ? list->item[list->n - 1] : undefined;
}

static struct jv to_list(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv list = jv_list(j);
    const struct jlist *all = jv_items(j, v);
    (void)args;
    for (size_t i = 0; i < all->n && !j->status; i++) jv_append(j, list, all->item[i]);
    return list;
}

static struct jv reverse(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv list = jv_list(j);
    const struct jlist *all = jv_items(j, v);
    (void)args;
    if (v.kind == JV_STRING) jinja_unsupported(j, "the filter", "reverse on texts");
    for (size_t i = all->n; i-- > 0 && !j->status;) jv_append(j, list, all->item[i]);
    return list;
}

static struct jv pair(struct jinja *j, struct jpair p)
{
    struct jv list = jv_list(j);
    if (list.kind == JV_LIST) list.list->tuple = true;
    jv_append(j, list, jv_string(p.key));
    jv_append(j, list, p.value);
    return list;
}

static struct jv items(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv list = jv_list(j);
    (void)args;
    if (v.kind != JV_DICT && v.kind != JV_UNDEFINED) jinja_wrong(j, "%s has no keys", jv_kind_name(v));
    for (size_t i = 0; v.kind == JV_DICT && i < v.dict->n && !j->status; i++)
        jv_append(j, list, pair(j, v.dict->pair[i]));
    return list;
}

static int by_key(const void *a, const void *b)
{
    const struct jinja_text *x = &((const struct jpair *)a)->key, *y = &((const struct jpair *)b)->key;
    size_t n = kv_min(x->n, y->n);
    int order = n ? memcmp(x->text, y->text, n) : 0;
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

/* By key, as written: Jinja's case-insensitive order differs only where keys differ in case. */
static struct jv dictsort(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv list = jv_list(j);
    if (args->n) jinja_unsupported(j, "the filter", "dictsort with arguments");
    if (v.kind != JV_DICT) jinja_wrong(j, "%s has no keys", jv_kind_name(v));
    if (j->status || !jinja_step(j, 64 * v.dict->n)) return list;
    struct jpair *sorted = jinja_take(j, v.dict->n + 1, sizeof *sorted);
    if (!sorted) return list;
    if (v.dict->n) memcpy(sorted, v.dict->pair, v.dict->n * sizeof *sorted);
    qsort(sorted, v.dict->n, sizeof *sorted, by_key);
    for (size_t i = 0; i < v.dict->n && !j->status; i++) jv_append(j, list, pair(j, sorted[i]));
    return list;
}

/* map(attribute="x") or map("filter", its arguments) */
static struct jv map(struct jinja *j, struct jv v, const struct jarguments *args)
{
    struct jv list = jv_list(j), attribute = jinja_argument(args, -1, "attribute"),
              name = jinja_argument(args, 0, NULL);
    struct jv missing = jinja_argument(args, -1, "default");
    const struct jlist *all = jv_items(j, jv_true(v) ? v : undefined); /* none has nothing to go over here */
    struct jarguments rest = { .n = 0 };
    for (int i = 1; i < args->n; i++, rest.n++)
        rest.value[i - 1] = args->value[i], rest.name[i - 1] = args->name[i];
    for (size_t i = 0; i < all->n && !j->status; i++) {
        struct jv item;
        if (attribute.kind != JV_UNDEFINED) {
            item = attribute_of(j, all->item[i], attribute);
            if (item.kind == JV_UNDEFINED) item = missing;
        } else {
            item = jinja_filter(j, name.kind == JV_STRING ? jv_text(j, name).text : "", all->item[i], &rest);
        }
        jv_append(j, list, item);
    }
    return list;
}

/* select and reject take a test and its arguments; selectattr and rejectattr an attribute's name before them. */
static struct jv pick(struct jinja *j, struct jv v, const struct jarguments *args, bool attribute, bool keep)
{
    struct jv list = jv_list(j), key = jinja_argument(args, 0, NULL), test = jinja_argument(args, attribute, NULL);
    const struct jlist *all = jv_items(j, jv_true(v) ? v : undefined); /* none has nothing to go over here */
    struct jarguments rest = { .n = 0 };
    for (int i = attribute + 1; i < args->n; i++, rest.n++)
        rest.value[rest.n] = args->value[i], rest.name[rest.n] = args->name[i];
    for (size_t i = 0; i < all->n && !j->status; i++) {
        struct jv item = attribute ? attribute_of(j, all->item[i], key) : all->item[i];
        bool holds = test.kind == JV_STRING ? jinja_test(j, test.s.text, item, &rest) : jv_true(item);
        if (holds == keep) jv_append(j, list, all->item[i]);
    }
    return list;
}

static struct jv select_items(struct jinja *j, struct jv v, const struct jarguments *args)
{
    return pick(j, v, args, false, true);
}

static struct jv reject(struct jinja *j, struct jv v, const struct jarguments *args)
{
    return pick(j, v, args, false, false);
}

static struct jv select_by(struct jinja *j, struct jv v, const struct jarguments *args)
{
    return pick(j, v, args, true, true);
}

static struct jv reject_by(struct jinja *j, struct jv v, const struct jarguments *args)
{
    return pick(j, v, args, true, false);
}

static struct jv same(struct jinja *j, struct jv v, const struct jarguments *args)
{
    (void)j, (void)args;
    return v;
}

static const struct {
    const char *name;
    filter_fn *run;
} filters[] = { { "trim", trim }, { "upper", upper }, { "lower", lower }, { "capitalize", capitalize },
    { "title", title }, { "replace", replace }, { "string", to_string }, { "tojson", to_json },
    { "indent", indent_lines }, { "int", to_int }, { "abs", absolute }, { "length", length }, { "count", length },
    { "default", otherwise }, { "d", otherwise }, { "join", join }, { "first", first }, { "last", last },
    { "list", to_list }, { "reverse", reverse }, { "items", items }, { "dictsort", dictsort }, { "map", map },
    { "select", select_items }, { "reject", reject }, { "selectattr", select_by }, { "rejectattr", reject_by },
    { "safe", same } };

struct jv jinja_filter(struct jinja *j, const char *name, struct jv v, const struct jarguments *args)
{
    for (size_t i = 0; i < KV_COUNT(filters); i++) {
        if (strcmp(filters[i].name, name)) continue;
        if (!jinja_step(j, 1) || !jinja_enter(j)) return undefined;
        struct jv result = filters[i].run(j, v, args);
        jinja_leave(j);
        return result;
    }
    jinja_unsupported(j, "the filter", name);
    return undefined;
}
