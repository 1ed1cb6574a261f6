/* Calls: macros, functions, and the methods of texts and dictionaries. */
#include "engine/text/jinja_parts.h"

#include <string.h>

static const struct jv undefined = { .kind = JV_UNDEFINED };

/* ---- macros ---- */

/* Sees the template's own names and its parameters, not those of the caller. */
static struct jv call_macro(struct jinja *j, const struct jnode *macro, const struct jarguments *args)
{
    struct jscope *before = j->scope, *scope = jinja_take(j, 1, sizeof *scope);
    struct jout out = { 0 }, *out_before = j->out;
    int place = 0;
    if (!scope || !jinja_enter(j)) return undefined;
    scope->up = j->top;
    j->scope = scope;
    for (const struct jnode *p = macro->target; p && !j->status; p = p->next, place++) {
        struct jv v = jinja_argument(args, place, p->name);
        jinja_set(j, p->name, v.kind == JV_UNDEFINED && p->a ? jinja_eval(j, p->a) : v);
    }
    j->out = &out;
    jinja_run(j, macro->list);
    j->out = out_before;
    j->scope = before;
    jinja_leave(j);
    return jv_string(jout_text(&out));
}

/* ---- functions ---- */

static struct jv range(struct jinja *j, const struct jarguments *args)
{
    struct jv a = jinja_argument(args, 0, NULL), b = jinja_argument(args, 1, NULL),
              c = jinja_argument(args, 2, NULL);
    struct jv list = jv_list(j);
    if (b.kind == JV_UNDEFINED) b = a, a = jv_int(0);
    if (c.kind == JV_UNDEFINED) c = jv_int(1);
    if (a.kind != JV_INT || b.kind != JV_INT || c.kind != JV_INT || c.i == 0) {
        jinja_wrong(j, "range wants whole numbers");
        return undefined;
    }
    for (int64_t i = a.i; (c.i > 0 ? i < b.i : i > b.i) && !j->status;) {
        jv_append(j, list, jv_int(i));
        if (__builtin_add_overflow(i, c.i, &i)) break;
    }
    return list;
}

static struct jv named_values(struct jinja *j, const struct jarguments *args)
{
    struct jv all = jv_dict(j);
    for (int i = 0; i < args->n && !j->status; i++) {
        if (args->name[i])
            jv_put(j, all, jt_of(args->name[i]), args->value[i]);
        else
            jinja_unsupported(j, "a dictionary made", "from another one");
    }
    return all;
}

static struct jv call_dict(struct jinja *j, const struct jarguments *args) { return named_values(j, args); }

static struct jv call_namespace(struct jinja *j, const struct jarguments *args)
{
    struct jv all = named_values(j, args);
    if (all.kind == JV_DICT) all.kind = JV_NAMESPACE;
    return all;
}

static struct jv raise_exception(struct jinja *j, const struct jarguments *args)
{
    struct jinja_text s = jv_text(j, jinja_argument(args, 0, "message"));
    size_t end = s.n && s.text[s.n - 1] == '.' ? s.n - 1 : s.n;
    jinja_fail(j, KV_BAD_ARG, "The chat template refuses these messages: %.*s.", (int)kv_min(end, 200), s.text);
    return undefined;
}

static struct jv strftime_now(struct jinja *j, const struct jarguments *args)
{
    struct jinja_text s = jv_text(j, jinja_argument(args, 0, "format"));
    char *format = jinja_take(j, s.n + 1, 1), *text = jinja_take(j, 256, 1);
    struct tm now;
    if (!format || !text || !localtime_r(&j->request->now, &now)) return undefined;
    memcpy(format, s.text, s.n);
    return jv_string((struct jinja_text){ text, NULL, strftime(text, 256, format, &now) });
}

static const struct {
    const char *name;
    struct jv (*call)(struct jinja *j, const struct jarguments *args);
} functions[] = { { "range", range }, { "dict", call_dict }, { "namespace", call_namespace },
    { "raise_exception", raise_exception }, { "strftime_now", strftime_now } };

struct jv jinja_function(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(functions); i++)
        if (!strcmp(functions[i].name, name)) return (struct jv){ .kind = JV_FUNCTION, .i = (int64_t)i };
    return undefined;
}

/* ---- methods ---- */

/* The pieces between separators; most < 0 = all. Without a separator: the words between white space. */
static struct jv split(struct jinja *j, struct jinja_text s, struct jv by, int64_t most)
{
    struct jv list = jv_list(j);
    size_t at = 0, found;
    if (by.kind != JV_STRING) {
        s = jt_strip(j, s, NULL, true, false);
        while (s.n && !j->status) {
            size_t to = 0;
            while (to < s.n && most && jt_strip(j, jt_cut(s, to, s.n), NULL, true, false).n == s.n - to)
                to += kv_max(1, jt_offset(jt_cut(s, to, kv_min(to + 4, s.n)), 1));
            if (!most--) to = jt_strip(j, s, NULL, false, true).n;
            jv_append(j, list, jv_string(jt_cut(s, 0, to)));
            s = jt_strip(j, jt_cut(s, to, s.n), NULL, true, false);
        }
        return list;
    }
    if (!by.s.n) jinja_wrong(j, "an empty separator");
    while (!j->status && most-- && (found = jt_find(s, by.s, at)) != SIZE_MAX && jinja_step(j, found - at)) {
        jv_append(j, list, jv_string(jt_cut(s, at, found)));
        at = found + by.s.n;
    }
    jv_append(j, list, jv_string(jt_cut(s, at, s.n)));
    return list;
}

/* From the end: at most `most` separators, the last of them. */
static struct jv split_back(struct jinja *j, struct jinja_text s, struct jv by, int64_t most)
{
    struct jv all = split(j, s, by, -1), list = jv_list(j);
    if (most < 0 || all.kind != JV_LIST || by.kind != JV_STRING || (int64_t)all.list->n <= most + 1) return all;
    size_t joined = all.list->n - (size_t)most;
    struct jinja_text last = all.list->item[joined - 1].s;
    size_t end = last.n ? (size_t)(last.text - s.text) + last.n : 0;
    for (size_t i = 0; !last.n && i < joined; i++) end += all.list->item[i].s.n + (i ? by.s.n : 0);
    jv_append(j, list, jv_string(jt_cut(s, 0, end)));
    for (size_t i = joined; i < all.list->n; i++) jv_append(j, list, all.list->item[i]);
    return list;
}

static bool begins(struct jinja *j, struct jinja_text s, struct jv with, bool at_end)
{
    bool found = false;
    if (with.kind == JV_LIST) {
        for (size_t i = 0; i < with.list->n && !found && jinja_enter(j); i++) {
            found = begins(j, s, with.list->item[i], at_end);
            jinja_leave(j);
        }
        return found;
    }
    if (with.kind != JV_STRING) {
        jinja_wrong(j, "startswith and endswith want a text");
        return false;
    }
    return with.s.n <= s.n && jt_same(jt_cut(s, at_end ? s.n - with.s.n : 0, at_end ? s.n : with.s.n), with.s);
}

static struct jv find_or_count(struct jinja *j, struct jinja_text s, struct jv what, bool count)
{
    if (what.kind != JV_STRING || !what.s.n) {
        jinja_wrong(j, "find and count want a text");
        return undefined;
    }
    size_t at = jt_find(s, what.s, 0), n = 0;
    if (!count) return jv_int(at == SIZE_MAX ? -1 : (int64_t)jt_length(jt_cut(s, 0, at)));
    for (; at != SIZE_MAX && jinja_step(j, what.s.n); at = jt_find(s, what.s, at + what.s.n)) n++;
    return jv_int((int64_t)n);
}

static struct jv text_method(struct jinja *j, const char *name, struct jinja_text s, const struct jarguments *args)
{
    struct jv a = jinja_argument(args, 0, NULL), b = jinja_argument(args, 1, NULL),
              c = jinja_argument(args, 2, NULL);
    const struct jinja_text *of = a.kind == JV_STRING ? &a.s : NULL;
    struct jv most = b.kind == JV_UNDEFINED ? jinja_argument(args, -1, "maxsplit") : b;
    if (!jinja_step(j, s.n)) return undefined;
    if (!strcmp(name, "strip")) return jv_string(jt_strip(j, s, of, true, true));
    if (!strcmp(name, "lstrip")) return jv_string(jt_strip(j, s, of, true, false));
    if (!strcmp(name, "rstrip")) return jv_string(jt_strip(j, s, of, false, true));
    if (!strcmp(name, "split")) return split(j, s, a, most.kind == JV_INT ? most.i : -1);
    if (!strcmp(name, "rsplit")) return split_back(j, s, a, most.kind == JV_INT ? most.i : -1);
    if (!strcmp(name, "startswith")) return jv_bool(begins(j, s, a, false));
    if (!strcmp(name, "endswith")) return jv_bool(begins(j, s, a, true));
    if (!strcmp(name, "upper")) return jv_string(jt_case(j, s, 'u'));
    if (!strcmp(name, "lower")) return jv_string(jt_case(j, s, 'l'));
    if (!strcmp(name, "title")) return jv_string(jt_case(j, s, 't'));
    if (!strcmp(name, "capitalize")) return jv_string(jt_case(j, s, 'c'));
    if (!strcmp(name, "find")) return find_or_count(j, s, a, false);
    if (!strcmp(name, "count")) return find_or_count(j, s, a, true);
    if (!strcmp(name, "replace") && a.kind == JV_STRING && b.kind == JV_STRING)
        return jv_string(jt_replace(j, s, a.s, b.s, c.kind == JV_INT ? c.i : -1));
    if (!strcmp(name, "join"))
        return jinja_filter(j, "join", a, &(struct jarguments){ { jv_string(s) }, { NULL }, 1 });
    jinja_unsupported(j, "the method of texts", name);
    return undefined;
}

static struct jv dict_method(struct jinja *j, const char *name, struct jv d, const struct jarguments *args)
{
    struct jv list = jv_list(j), key = jinja_argument(args, 0, NULL);
    bool keys = !strcmp(name, "keys"), values = !strcmp(name, "values"), items = !strcmp(name, "items");
    if (!strcmp(name, "get")) {
        const struct jv *found = key.kind == JV_STRING ? jv_get(d, key.s) : NULL;
        struct jv otherwise = jinja_argument(args, 1, "default");
        if (otherwise.kind == JV_UNDEFINED) otherwise.kind = JV_NONE;
        return found ? *found : otherwise;
    }
    if (!keys && !values && !items) {
        jinja_unsupported(j, "the method of dictionaries", name);
        return undefined;
    }
    for (size_t i = 0; i < d.dict->n && !j->status; i++) {
        struct jv pair = jv_list(j), k = jv_string(d.dict->pair[i].key);
        if (pair.kind == JV_LIST) pair.list->tuple = true;
        jv_append(j, pair, k);
        jv_append(j, pair, d.dict->pair[i].value);
        jv_append(j, list, items ? pair : keys ? k : d.dict->pair[i].value);
    }
    return list;
}

static struct jv call_method(struct jinja *j, const struct jnode *n, struct jv of, const struct jarguments *args)
{
    const char *name = n->a->name;
    const struct jv *own = jv_get(of, jt_of(name));
    if (own && own->kind == JV_MACRO) return call_macro(j, own->macro, args);
    if (of.kind == JV_STRING) return text_method(j, name, of.s, args);
    if (of.kind == JV_DICT) return dict_method(j, name, of, args);
    if (of.kind == JV_UNDEFINED)
        jinja_wrong(j, "'%.40s' is called on an undefined value", name);
    else
        jinja_unsupported(j, "the method", name);
    return undefined;
}

struct jv jinja_call(struct jinja *j, const struct jnode *n)
{
    struct jarguments args;
    struct jv of = jinja_eval(j, n->a->kind == JN_ATTR ? n->a->a : n->a);
    jinja_arguments(j, n->list, &args);
    j->line = n->line;
    if (j->status) return undefined;
    if (n->a->kind == JN_ATTR) return call_method(j, n, of, &args);
    if (of.kind == JV_MACRO) return call_macro(j, of.macro, &args);
    if (of.kind == JV_FUNCTION) return functions[of.i].call(j, &args);
    if (n->a->kind == JN_NAME)
        jinja_unsupported(j, "the function", n->a->name);
    else
        jinja_wrong(j, "%s cannot be called", jv_kind_name(of));
    return undefined;
}
