/* What the files of the Jinja interpreter share; for engine/text/jinja*.c only. */
#ifndef KV_JINJA_PARTS_H
#define KV_JINJA_PARTS_H

#include "engine/text/arena.h"
#include "engine/text/jinja.h"

/* ---- values ---- */

enum jv_kind {
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_DICT,
    JV_NAMESPACE, /* a dictionary whose items templates may set */
    JV_LOOP,
    JV_MACRO,
    JV_FUNCTION /* i, a row of jinja_call.c */
};

/* All that a value points to lies in the arena, or in the request. */
struct jv {
    enum jv_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        struct jinja_text s;
        struct jlist *list;
        struct jdict *dict;
        const struct jloop *loop;
        const struct jnode *macro;
    };
};

struct jlist {
    struct jv *item;
    size_t n, room;
    bool tuple; /* written with parentheses */
};

struct jpair {
    struct jinja_text key;
    struct jv value;
};

struct jdict {
    struct jpair *pair;
    size_t n, room;
};

struct jloop {
    const struct jlist *list;
    size_t at;
};

/* ---- the program ---- */

enum jn_kind {
    JN_CONST,
    JN_NAME,
    JN_LIST,    /* items in list */
    JN_TUPLE,   /* likewise */
    JN_DICT,    /* JN_PAIR in list */
    JN_PAIR,    /* a: b */
    JN_ATTR,    /* a.name */
    JN_ITEM,    /* a[b] */
    JN_SLICE,   /* a[b:c:d] */
    JN_CALL,    /* a(list) */
    JN_KEYWORD, /* name=a, among arguments */
    JN_FILTER,  /* a | name(list) */
    JN_TEST,    /* a is name(list) */
    JN_NEGATE,
    JN_NOT,
    JN_AND,
    JN_OR,
    JN_COMPARE, /* a, then JN_OPERAND in list */
    JN_OPERAND, /* op a */
    JN_BINARY,  /* a op b */
    JN_CHOICE,  /* b if a else c */
    JN_TEXT,    /* value */
    JN_OUTPUT,  /* a */
    JN_IF,      /* if a: list, else: other */
    JN_FOR,     /* for targets in a if b: list, else: other */
    JN_SET,     /* targets = a */
    JN_CAPTURE, /* targets = what list writes */
    JN_MACRO,   /* name(targets, defaults in their a): list */
    JN_BREAK,
    JN_CONTINUE
};

enum jop {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR,
    OP_MOD,
    OP_POW,
    OP_JOIN,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

struct jnode {
    enum jn_kind kind;
    enum jop op;
    int line;
    const char *name;
    struct jv value;
    struct jnode *a, *b, *c, *d;
    struct jnode *list, *other, *target; /* first of each; they follow by next */
    struct jnode *next;
};

enum jtoken_kind {
    JT_END,
    JT_TEXT,
    JT_BLOCK,
    JT_BLOCK_END,
    JT_VALUE,
    JT_VALUE_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_OP
};

struct jtoken {
    enum jtoken_kind kind;
    int line;
    struct jinja_text text; /* of text, names, strings and operators */
    int64_t i;
    double f;
};

/* ---- the interpreter ---- */

struct jvar {
    const char *name;
    struct jv value;
    struct jvar *next;
};

struct jscope {
    struct jvar *var;
    struct jscope *up;
};

struct jout {
    char *text;
    unsigned char *mark;
    size_t n, room;
};

enum { JINJA_DEPTH = 300, JINJA_ARGUMENTS = 8 };

/* Once status is not KV_OK every function does nothing and gives undefined values. */
struct jinja {
    const struct jinja_request *request;
    struct arena arena;
    enum kv_status status;
    struct kv_error *err;
    int64_t steps;              /* left */
    int depth, line, loops;     /* loops: around what is parsed now */
    const struct jtoken *token; /* the parser's next */
    struct jscope *scope, *top;
    struct jout *out;
    enum jn_kind leaving; /* JN_BREAK or JN_CONTINUE on its way to the loop, JN_CONST = neither */
};

struct jarguments {
    struct jv value[JINJA_ARGUMENTS];
    const char *name[JINJA_ARGUMENTS]; /* NULL = by place */
    int n;
};

/* Every one of these sets j->status unless it is set. */
void jinja_fail(struct jinja *j, enum kv_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void jinja_unsupported(struct jinja *j, const char *what, const char *name); /* "the filter", "sort" */
void jinja_wrong(struct jinja *j, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* at j->line */

void *jinja_take(struct jinja *j, size_t count, size_t size); /* NULL once failed */
bool jinja_step(struct jinja *j, size_t bytes);               /* counts work done; false once failed */
bool jinja_enter(struct jinja *j);                            /* one level deeper; false once failed */
void jinja_leave(struct jinja *j);

/* ---- jinja_lex.c, jinja_parse.c ---- */

struct jtoken *jinja_lex(struct jinja *j, struct kv_string template); /* ends with JT_END; NULL once failed */
struct jnode *jinja_parse(struct jinja *j, const struct jtoken *token);
struct jnode *jinja_expression(struct jinja *j); /* jinja_expression.c */
struct jnode *jinja_primary(struct jinja *j);    /* with what may follow it, but no filters */

struct jnode *jinja_node(struct jinja *j, enum jn_kind kind);
bool jinja_is(const struct jinja *j, enum jtoken_kind kind, const char *text); /* text NULL = any */
bool jinja_skip(struct jinja *j, enum jtoken_kind kind, const char *text);     /* takes it where it is next */
void jinja_expect(struct jinja *j, enum jtoken_kind kind, const char *text);
const char *jinja_take_name(struct jinja *j);

/* ---- jinja_text.c ---- */

struct jinja_text jt_of(const char *text); /* borrowed, unmarked */
struct jinja_text jt_cut(struct jinja_text s, size_t from, size_t to);
struct jinja_text jt_join(struct jinja *j, struct jinja_text a, struct jinja_text b);
struct jinja_text jt_strip(
    struct jinja *j, struct jinja_text s, const struct jinja_text *of, bool left, bool right);
struct jinja_text jt_replace(
    struct jinja *j, struct jinja_text s, struct jinja_text from, struct jinja_text to, int64_t most);
struct jinja_text jt_case(struct jinja *j, struct jinja_text s, char how); /* u l c(apitalize) t(itle); ASCII */
bool jt_same(struct jinja_text a, struct jinja_text b);
size_t jt_find(struct jinja_text s, struct jinja_text what, size_t from); /* SIZE_MAX = not there */
size_t jt_length(struct jinja_text s);                                    /* in characters */
size_t jt_offset(struct jinja_text s, size_t character);                  /* byte where it begins, at most s.n */
void jout_put(struct jinja *j, struct jout *out, struct jinja_text s);
struct jinja_text jout_text(const struct jout *out);

/* ---- jinja_value.c ---- */

struct jv jv_string(struct jinja_text s);
struct jv jv_int(int64_t i);
struct jv jv_bool(bool b);
struct jv jv_list(struct jinja *j); /* empty */
void jv_append(struct jinja *j, struct jv list, struct jv item);
struct jv jv_dict(struct jinja *j);
void jv_put(struct jinja *j, struct jv dict, struct jinja_text key, struct jv value);
const struct jv *jv_get(struct jv dict, struct jinja_text key); /* NULL = not there; any kind is asked */
bool jv_true(struct jv v);
bool jv_number(struct jv v, double *x); /* booleans are numbers */
bool jv_same(struct jinja *j, struct jv a, struct jv b);
int jv_order(struct jinja *j, struct jv a, struct jv b); /* -1, 0, 1 */
bool jv_in(struct jinja *j, struct jv item, struct jv all);
struct jinja_text jv_text(struct jinja *j, struct jv v);             /* str() */
struct jinja_text jv_json(struct jinja *j, struct jv v, int indent); /* indent < 0 = on one line */
const struct jlist *jv_items(struct jinja *j, struct jv v);          /* what a loop goes over; never NULL */
const char *jv_kind_name(struct jv v);
struct jv jv_attribute(struct jinja *j, struct jv of, struct jinja_text name); /* undefined where there is none */
struct jv jv_item(struct jinja *j, struct jv of, struct jv key);
struct jv jv_slice(struct jinja *j, struct jv of, struct jv from, struct jv to, struct jv step);

/* ---- jinja_eval.c, jinja_call.c, jinja_filter.c, jinja_test.c ---- */

struct jv jinja_eval(struct jinja *j, const struct jnode *n);
void jinja_run(struct jinja *j, const struct jnode *first);
void jinja_set(struct jinja *j, const char *name, struct jv value);
struct jv jinja_call(struct jinja *j, const struct jnode *n);
struct jv jinja_function(const char *name); /* undefined where there is none */
struct jv jinja_filter(struct jinja *j, const char *name, struct jv v, const struct jarguments *args);
bool jinja_test(struct jinja *j, const char *name, struct jv v, const struct jarguments *args);
void jinja_arguments(struct jinja *j, const struct jnode *list, struct jarguments *args);

/* The argument of that name, or at that place among those without; undefined where it is not given. */
struct jv jinja_argument(const struct jarguments *args, int place, const char *name);

#endif
