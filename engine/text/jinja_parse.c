/* Statements and what stands between them. */
#include "engine/text/jinja_parts.h"

#include <string.h>

/* Names of statements that end a body; NULL-terminated. */
static struct jnode *body(struct jinja *j, const char *const *ends);

static bool at_end(const struct jinja *j, const char *const *ends)
{
    if (!jinja_is(j, JT_BLOCK, NULL) || j->token[1].kind != JT_NAME) return false;
    for (; *ends; ends++)
        if (!strcmp(j->token[1].text.text, *ends)) return true;
    return false;
}

/* Behind a body: whether its end is the statement `name`, which is then taken, up to its own end or not. */
static bool take_end(struct jinja *j, const char *name, bool whole)
{
    if (j->status || !jinja_is(j, JT_BLOCK, NULL) || strcmp(j->token[1].text.text, name)) return false;
    j->token += 2;
    if (whole) jinja_expect(j, JT_BLOCK_END, "%}");
    return true;
}

static void need_end(struct jinja *j, const char *name)
{
    if (take_end(j, name, true)) return;
    j->line = j->token->line;
    jinja_wrong(j, "%s is missing", name);
}

/* a, b, c: JN_NAME, or JN_ATTR for a namespace's attribute. */
static struct jnode *targets(struct jinja *j)
{
    struct jnode *first = NULL, **last = &first;
    bool open = jinja_skip(j, JT_OP, "(");
    do {
        struct jnode *n = jinja_node(j, JN_NAME);
        n->name = jinja_take_name(j);
        if (jinja_skip(j, JT_OP, ".")) {
            struct jnode *of = n;
            n = jinja_node(j, JN_ATTR);
            n->a = of;
            n->name = jinja_take_name(j);
        }
        *last = n;
        last = &n->next;
    } while (jinja_skip(j, JT_OP, ","));
    if (open) jinja_expect(j, JT_OP, ")");
    return first;
}

static struct jnode *parse_if(struct jinja *j)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    struct jnode *n = jinja_node(j, JN_IF);
    if (!jinja_enter(j)) return n;
    n->a = jinja_expression(j);
    jinja_expect(j, JT_BLOCK_END, "%}");
    n->list = body(j, ends);
    if (take_end(j, "elif", false)) {
        n->other = parse_if(j);
    } else {
        if (take_end(j, "else", true)) n->other = body(j, ends + 2);
        need_end(j, "endif");
    }
    jinja_leave(j);
    return n;
}

static struct jnode *parse_for(struct jinja *j)
{
    static const char *const ends[] = { "else", "endfor", NULL };
    struct jnode *n = jinja_node(j, JN_FOR);
    n->target = targets(j);
    jinja_expect(j, JT_NAME, "in");
    n->a = jinja_expression(j);
    if (n->a->kind == JN_CHOICE && !n->a->c) { /* "x if y" behind in is the loop's filter */
        n->b = n->a->a;
        n->a = n->a->b;
    }
    if (jinja_is(j, JT_NAME, "recursive")) jinja_unsupported(j, "the loop's", "recursive");
    jinja_expect(j, JT_BLOCK_END, "%}");
    j->loops++;
    n->list = body(j, ends);
    j->loops--;
    if (take_end(j, "else", true)) n->other = body(j, ends + 1);
    need_end(j, "endfor");
    return n;
}

static struct jnode *parse_set(struct jinja *j)
{
    static const char *const ends[] = { "endset", NULL };
    struct jnode *n = jinja_node(j, JN_SET);
    n->target = targets(j);
    if (jinja_skip(j, JT_OP, "=")) {
        n->a = jinja_expression(j);
        if (jinja_is(j, JT_OP, ",")) { /* a tuple without parentheses */
            struct jnode *list = jinja_node(j, JN_TUPLE), *item = jinja_node(j, JN_KEYWORD), **last = &item->next;
            item->a = n->a;
            list->list = item;
            while (jinja_skip(j, JT_OP, ",")) {
                *last = jinja_node(j, JN_KEYWORD);
                (*last)->a = jinja_expression(j);
                last = &(*last)->next;
            }
            n->a = list;
        }
        jinja_expect(j, JT_BLOCK_END, "%}");
        return n;
    }
    n->kind = JN_CAPTURE;
    if (jinja_is(j, JT_OP, "|")) jinja_unsupported(j, "the filter on", "set");
    jinja_expect(j, JT_BLOCK_END, "%}");
    n->list = body(j, ends);
    need_end(j, "endset");
    return n;
}

static struct jnode *parse_macro(struct jinja *j)
{
    static const char *const ends[] = { "endmacro", NULL };
    struct jnode *n = jinja_node(j, JN_MACRO), **last = &n->target;
    int loops = j->loops;
    n->name = jinja_take_name(j);
    jinja_expect(j, JT_OP, "(");
    while (!j->status && !jinja_skip(j, JT_OP, ")")) {
        struct jnode *parameter = jinja_node(j, JN_NAME);
        parameter->name = jinja_take_name(j);
        if (jinja_skip(j, JT_OP, "=")) parameter->a = jinja_expression(j);
        *last = parameter;
        last = &parameter->next;
        if (!jinja_is(j, JT_OP, ")")) jinja_expect(j, JT_OP, ",");
    }
    jinja_expect(j, JT_BLOCK_END, "%}");
    j->loops = 0;
    n->list = body(j, ends);
    j->loops = loops;
    need_end(j, "endmacro");
    return n;
}

/* transformers' own: what the assistant wrote, for training. */
static struct jnode *parse_generation(struct jinja *j)
{
    static const char *const ends[] = { "endgeneration", NULL };
    struct jnode *n = jinja_node(j, JN_IF);
    n->a = jinja_node(j, JN_CONST);
    n->a->value = jv_bool(true);
    jinja_expect(j, JT_BLOCK_END, "%}");
    n->list = body(j, ends);
    need_end(j, "endgeneration");
    return n;
}

static struct jnode *parse_leave(struct jinja *j, enum jn_kind kind)
{
    struct jnode *n = jinja_node(j, kind);
    if (!j->loops) jinja_wrong(j, "break and continue are outside of a loop");
    jinja_expect(j, JT_BLOCK_END, "%}");
    return n;
}

static struct jnode *statement(struct jinja *j)
{
    static const struct {
        const char *name;
        struct jnode *(*parse)(struct jinja *j);
    } known[] = { { "if", parse_if }, { "for", parse_for }, { "set", parse_set }, { "macro", parse_macro },
        { "generation", parse_generation } };
    j->line = j->token->line;
    const char *name = jinja_take_name(j);
    for (size_t i = 0; i < KV_COUNT(known); i++)
        if (!strcmp(name, known[i].name)) return known[i].parse(j);
    if (!strcmp(name, "break")) return parse_leave(j, JN_BREAK);
    if (!strcmp(name, "continue")) return parse_leave(j, JN_CONTINUE);
    if (!strncmp(name, "end", 3) || !strcmp(name, "else") || !strcmp(name, "elif"))
        jinja_wrong(j, "%.40s ends nothing", name);
    jinja_unsupported(j, "the statement", name);
    return jinja_node(j, JN_CONST);
}

static struct jnode *body(struct jinja *j, const char *const *ends)
{
    struct jnode *first = NULL, **last = &first, *n;
    if (!jinja_enter(j)) return NULL;
    while (!j->status && !jinja_is(j, JT_END, NULL) && !at_end(j, ends)) {
        if (jinja_is(j, JT_TEXT, NULL)) {
            n = jinja_node(j, JN_TEXT);
            n->value = jv_string(j->token++->text);
        } else if (jinja_skip(j, JT_VALUE, NULL)) {
            n = jinja_node(j, JN_OUTPUT);
            n->a = jinja_expression(j);
            jinja_expect(j, JT_VALUE_END, "}}");
        } else {
            jinja_expect(j, JT_BLOCK, "{%");
            n = statement(j);
        }
        if (j->status) break;
        *last = n;
        last = &n->next;
    }
    jinja_leave(j);
    return first;
}

struct jnode *jinja_parse(struct jinja *j, const struct jtoken *token)
{
    static const char *const ends[] = { NULL };
    j->token = token;
    return j->status ? NULL : body(j, ends);
}
