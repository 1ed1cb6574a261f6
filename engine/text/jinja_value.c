/* Values: what Python does with them, as far as templates look. */
#include "engine/text/jinja_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct jv undefined = { .kind = JV_UNDEFINED };
static const struct jlist no_items = { NULL, 0, 0, false };

struct jv jv_string(struct jinja_text s) { return (struct jv){ .kind = JV_STRING, .s = s }; }
struct jv jv_int(int64_t i) { return (struct jv){ .kind = JV_INT, .i = i }; }
struct jv jv_bool(bool b) { return (struct jv){ .kind = JV_BOOL, .b = b }; }

const char *jv_kind_name(struct jv v)
{
    static const char *const names[] = { "undefined", "none", "a boolean", "a number", "a number", "a text",
        "a list", "a dictionary", "a namespace", "a loop", "a macro", "a function" };
    return names[v.kind];
}

/* ---- lists and dictionaries ---- */

struct jv jv_list(struct jinja *j)
{
    struct jlist *list = jinja_take(j, 1, sizeof *list);
    return list ? (struct jv){ .kind = JV_LIST, .list = list } : undefined;
}

void jv_append(struct jinja *j, struct jv list, struct jv item)
{
    if (list.kind != JV_LIST || !jinja_step(j, 1)) return;
    struct jlist *l = list.list;
    if (l->n == l->room) {
        struct jv *grown = jinja_take(j, l->room = 2 * l->n + 4, sizeof *grown);
        if (!grown) return;
        if (l->n) memcpy(grown, l->item, l->n * sizeof *grown);
        l->item = grown;
    }
    l->item[l->n++] = item;
}

struct jv jv_dict(struct jinja *j)
{
    struct jdict *dict = jinja_take(j, 1, sizeof *dict);
    return dict ? (struct jv){ .kind = JV_DICT, .dict = dict } : undefined;
}

static struct jdict *dict_of(struct jv v) { return v.kind == JV_DICT || v.kind == JV_NAMESPACE ? v.dict : NULL; }

const struct jv *jv_get(struct jv v, struct jinja_text key)
{
    const struct jdict *dict = dict_of(v);
    for (size_t i = 0; dict && i < dict->n; i++)
        if (jt_same(dict->pair[i].key, key)) return &dict->pair[i].value;
    return NULL;
}

void jv_put(struct jinja *j, struct jv v, struct jinja_text key, struct jv value)
{
    struct jdict *dict = dict_of(v);
    struct jv *there = (struct jv *)jv_get(v, key);
    if (!dict || !jinja_step(j, 16 * dict->n)) return;
    if (there) {
        *there = value;
        return;
    }
    if (dict->n == dict->room) {
        struct jpair *grown = jinja_take(j, dict->room = 2 * dict->n + 4, sizeof *grown);
        if (!grown) return;
        if (dict->n) memcpy(grown, dict->pair, dict->n * sizeof *grown);
        dict->pair = grown;
    }
    dict->pair[dict->n++] = (struct jpair){ key, value };
}

const struct jlist *jv_items(struct jinja *j, struct jv v)
{
    struct jv list = jv_list(j);
    if (v.kind == JV_LIST) return v.list;
    if (v.kind == JV_DICT) {
        for (size_t i = 0; i < v.dict->n; i++) jv_append(j, list, jv_string(v.dict->pair[i].key));
    } else if (v.kind == JV_STRING) {
        for (size_t i = 0, to; i < v.s.n && !j->status; i = to) {
            struct jinja_text rest = jt_cut(v.s, i, v.s.n);
            to = i + kv_max(1, jt_offset(rest, 1));
            jv_append(j, list, jv_string(jt_cut(v.s, i, to)));
        }
    } else if (v.kind != JV_UNDEFINED) {
        jinja_wrong(j, "%s has no items to go over", jv_kind_name(v));
    }
    return list.kind == JV_LIST ? list.list : &no_items;
}

/* ---- truth and order ---- */

bool jv_true(struct jv v)
{
    switch (v.kind) {
    case JV_UNDEFINED:
    case JV_NONE: return false;
    case JV_BOOL: return v.b;
    case JV_INT: return v.i != 0;
    case JV_FLOAT: return v.f != 0;
    case JV_STRING: return v.s.n != 0;
    case JV_LIST: return v.list->n != 0;
    case JV_DICT: return v.dict->n != 0;
    default: return true;
    }
}

bool jv_number(struct jv v, double *x)
{
    *x = v.kind == JV_BOOL ? v.b : v.kind == JV_INT ? (double)v.i : v.kind == JV_FLOAT ? v.f : 0;
    return v.kind == JV_BOOL || v.kind == JV_INT || v.kind == JV_FLOAT;
}

static bool same_items(struct jinja *j, struct jv a, struct jv b)
{
    bool same = true;
    if (a.kind == JV_LIST) {
        same = a.list->n == b.list->n && a.list->tuple == b.list->tuple;
        for (size_t i = 0; same && i < a.list->n; i++) same = jv_same(j, a.list->item[i], b.list->item[i]);
        return same;
    }
    same = a.dict->n == b.dict->n;
    for (size_t i = 0; same && i < a.dict->n; i++) {
        const struct jv *other = jv_get(b, a.dict->pair[i].key);
        same = other && jv_same(j, a.dict->pair[i].value, *other);
    }
    return same;
}

bool jv_same(struct jinja *j, struct jv a, struct jv b)
{
    double x, y;
    if (jv_number(a, &x) && jv_number(b, &y)) return a.kind == JV_INT && b.kind == JV_INT ? a.i == b.i : x == y;
    if (a.kind != b.kind || !jinja_enter(j)) return false;
    bool same = true;
    if (a.kind == JV_STRING)
        same = jinja_step(j, a.s.n) && jt_same(a.s, b.s);
    else if (a.kind == JV_LIST || a.kind == JV_DICT)
        same = same_items(j, a, b);
    else if (a.kind == JV_NAMESPACE)
        same = a.dict == b.dict;
    else if (a.kind == JV_LOOP)
        same = a.loop == b.loop;
    else if (a.kind == JV_MACRO)
        same = a.macro == b.macro;
    jinja_leave(j);
    return same;
}

int jv_order(struct jinja *j, struct jv a, struct jv b)
{
    double x, y;
    if (jv_number(a, &x) && jv_number(b, &y)) return x < y ? -1 : x > y;
    if (a.kind != JV_STRING || b.kind != JV_STRING) {
        jinja_wrong(j, "%s and %s have no order", jv_kind_name(a), jv_kind_name(b));
        return 0;
    }
    size_t n = kv_min(a.s.n, b.s.n);
    int order = n && jinja_step(j, n) ? memcmp(a.s.text, b.s.text, n) : 0;
    return order ? (order < 0 ? -1 : 1) : a.s.n < b.s.n ? -1 : a.s.n > b.s.n;
}

bool jv_in(struct jinja *j, struct jv item, struct jv all)
{
    if (all.kind == JV_STRING && item.kind == JV_STRING)
        return jinja_step(j, all.s.n) && (!item.s.n || jt_find(all.s, item.s, 0) != SIZE_MAX);
    if (all.kind == JV_DICT || all.kind == JV_NAMESPACE) return item.kind == JV_STRING && jv_get(all, item.s);
    if (all.kind == JV_UNDEFINED) return false;
    if (all.kind != JV_LIST) {
        jinja_wrong(j, "%s can hold nothing", jv_kind_name(all));
        return false;
    }
    for (size_t i = 0; i < all.list->n && jinja_step(j, 1); i++)
        if (jv_same(j, item, all.list->item[i])) return true;
    return false;
}

/* ---- parts ---- */

static struct jv loop_attribute(struct jinja *j, const struct jloop *loop, struct jinja_text name)
{
    const struct jlist *list = loop->list;
    size_t at = loop->at, n = list->n;
    const struct {
        const char *name;
        struct jv value;
    } known[] = {
        { "index", jv_int((int64_t)at + 1) },
        { "index0", jv_int((int64_t)at) },
        { "revindex", jv_int((int64_t)(n - at)) },
        { "revindex0", jv_int((int64_t)(n - at) - 1) },
        { "first", jv_bool(at == 0) },
        { "last", jv_bool(at + 1 == n) },
        { "length", jv_int((int64_t)n) },
        { "depth", jv_int(1) },
        { "depth0", jv_int(0) },
        { "previtem", at ? list->item[at - 1] : undefined },
        { "nextitem", at + 1 < n ? list->item[at + 1] : undefined },
    };
    for (size_t i = 0; i < KV_COUNT(known); i++)
        if (jt_same(name, jt_of(known[i].name))) return known[i].value;
    jinja_unsupported(j, "the loop's attribute", name.text);
    return undefined;
}

struct jv jv_attribute(struct jinja *j, struct jv of, struct jinja_text name)
{
    const struct jv *found = jv_get(of, name);
    if (found) return *found;
    if (of.kind == JV_LOOP) return loop_attribute(j, of.loop, name);
    if (of.kind == JV_UNDEFINED) jinja_wrong(j, "an undefined value has no attribute '%.40s'", name.text);
    return undefined;
}

struct jv jv_item(struct jinja *j, struct jv of, struct jv key)
{
    if (key.kind == JV_STRING) return jv_attribute(j, of, key.s);
    if (of.kind == JV_UNDEFINED) jinja_wrong(j, "an undefined value has no items");
    if (key.kind != JV_INT || (of.kind != JV_LIST && of.kind != JV_STRING)) return undefined;
    int64_t n = of.kind == JV_LIST ? (int64_t)of.list->n : (int64_t)jt_length(of.s),
            at = key.i < 0 ? key.i + n : key.i;
    if (at < 0 || at >= n || !jinja_step(j, of.kind == JV_STRING ? of.s.n : 1)) return undefined;
    if (of.kind == JV_LIST) return of.list->item[at];
    return jv_string(jt_cut(of.s, jt_offset(of.s, (size_t)at), jt_offset(of.s, (size_t)at + 1)));
}

/* Python's rule: from and to are counted from the end where negative, and cut to what there is. */
static int64_t bound(struct jv v, int64_t n, int64_t otherwise, int64_t low, int64_t high)
{
    int64_t i = v.kind == JV_INT ? v.i : otherwise;
    if (v.kind == JV_INT && i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

struct jv jv_slice(struct jinja *j, struct jv of, struct jv from, struct jv to, struct jv step)
{
    int64_t by = step.kind == JV_INT ? step.i : 1;
    if (of.kind == JV_STRING && by == 1) {
        int64_t n = (int64_t)jt_length(of.s), a = bound(from, n, 0, 0, n), b = bound(to, n, n, 0, n);
        if (a >= b || !jinja_step(j, of.s.n)) return jv_string(jt_of(""));
        return jv_string(jt_cut(of.s, jt_offset(of.s, (size_t)a), jt_offset(of.s, (size_t)b)));
    }
    if (of.kind != JV_LIST || by == 0 || by < -INT32_MAX || by > INT32_MAX) {
        jinja_wrong(j, "%s cannot be sliced so", jv_kind_name(of));
        return undefined;
    }
    int64_t n = (int64_t)of.list->n, low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    int64_t a = bound(from, n, by > 0 ? 0 : n - 1, low, high), b = bound(to, n, by > 0 ? n : -1, low, high);
    struct jv list = jv_list(j);
    for (; by > 0 ? a < b : a > b; a += by) jv_append(j, list, of.list->item[a]);
    return list;
}

/* ---- as text ---- */

static struct jinja_text number_text(struct jinja *j, struct jv v)
{
    char *text = jinja_take(j, 40, 1);
    if (!text) return jt_of("");
    if (v.kind == JV_INT) {
        snprintf(text, 40, "%lld", (long long)v.i);
        return jt_of(text);
    }
    for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back, as Python's repr */
        double back;
        snprintf(text, 36, "%.*g", digits, v.f);
        if (sscanf(text, "%lf", &back) == 1 && back == v.f) break;
    }
    if (strchr(text, 'e') && fabs(v.f) >= 1 && fabs(v.f) < 1e16) snprintf(text, 36, "%.0f", v.f);
    if (isfinite(v.f) && !strpbrk(text, ".en")) strcat(text, ".0");
    return jt_of(text);
}

struct writer {
    struct jinja *j;
    struct jout out;
    int indent; /* < 0 = on one line */
    bool json;  /* else Python's repr */
};

static void put(struct writer *w, const char *text) { jout_put(w->j, &w->out, jt_of(text)); }

static void new_line(struct writer *w, int level)
{
    if (w->indent < 0) return;
    put(w, "\n");
    for (int i = 0; i < level * w->indent && !w->j->status; i++) put(w, " ");
}

static void write_string(struct writer *w, struct jinja_text s)
{
    char quote = !w->json && (!memchr(s.text, '\'', s.n) || memchr(s.text, '"', s.n)) ? '\'' : '"';
    char mark[2] = { quote, 0 };
    put(w, mark);
    for (size_t i = 0, from = 0; i <= s.n && !w->j->status; i++) {
        unsigned char c = i < s.n ? (unsigned char)s.text[i] : 0;
        bool plain = i < s.n && c >= ' ' && c != '\\' && c != (unsigned char)quote && (c != 0x7F || w->json);
        if (plain) continue;
        char escape[8];
        const char *known = memchr("\n\r\t\b\f\\", c, 6), *names = "nrtbf\\";
        static const char codes[] = "\n\r\t\b\f\\";
        if (known && (w->json || (c != '\b' && c != '\f')))
            snprintf(escape, sizeof escape, "\\%c", names[known ? strchr(codes, c) - codes : 0]);
        else if (c == (unsigned char)quote)
            snprintf(escape, sizeof escape, "\\%c", quote);
        else
            snprintf(escape, sizeof escape, w->json ? "\\u%04x" : "\\x%02x", c);
        jout_put(w->j, &w->out, jt_cut(s, from, i));
        if (i < s.n) put(w, escape);
        from = i + 1;
    }
    put(w, mark);
}

static void write_value(struct writer *w, struct jv v, int level);

static void write_items(struct writer *w, struct jv v, int level)
{
    bool dict = v.kind == JV_DICT;
    size_t n = dict ? v.dict->n : v.list->n;
    bool tuple = !dict && v.list->tuple && !w->json;
    put(w, dict ? "{" : tuple ? "(" : "[");
    for (size_t i = 0; i < n && !w->j->status; i++) {
        if (i) put(w, w->indent < 0 ? ", " : ",");
        new_line(w, level + 1);
        if (dict) write_string(w, v.dict->pair[i].key);
        if (dict) put(w, ": ");
        write_value(w, dict ? v.dict->pair[i].value : v.list->item[i], level + 1);
    }
    if (n) new_line(w, level);
    put(w, dict ? "}" : tuple ? (n == 1 ? ",)" : ")") : "]");
}

static void write_value(struct writer *w, struct jv v, int level)
{
    if (!jinja_enter(w->j)) return;
    switch (v.kind) {
    case JV_STRING: write_string(w, v.s); break;
    case JV_LIST:
    case JV_DICT: write_items(w, v, level); break;
    case JV_NONE: put(w, w->json ? "null" : "None"); break;
    case JV_BOOL: put(w, w->json ? (v.b ? "true" : "false") : v.b ? "True" : "False"); break;
    case JV_INT:
    case JV_FLOAT: jout_put(w->j, &w->out, number_text(w->j, v)); break;
    default: jinja_wrong(w->j, "%s cannot be written", jv_kind_name(v));
    }
    jinja_leave(w->j);
}

struct jinja_text jv_json(struct jinja *j, struct jv v, int indent)
{
    struct writer w = { .j = j, .indent = indent, .json = true };
    write_value(&w, v, 0);
    return jout_text(&w.out);
}

struct jinja_text jv_text(struct jinja *j, struct jv v)
{
    struct writer w = { .j = j, .indent = -1 };
    if (v.kind == JV_STRING) return v.s;
    if (v.kind == JV_UNDEFINED) return jt_of("");
    write_value(&w, v, 0);
    return jout_text(&w.out);
}
