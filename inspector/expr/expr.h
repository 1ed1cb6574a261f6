/* Expressions: C operators over named values.
 *
 *   E[3] / E[0] > 2      sum(kept[12])      min(kept[*]["7481"])      entropy[12][-1]@3      policy.ratio * $nprompt
 *
 * An index is a number, a..b (both included), * (all), last, a negative number (from the end), nothing (the focus) or,
 * for positions, "text" (every token of every place where the prompt says it). A name without indices, or with too
 * few, is the rest of the array. Integers divide as in C. && || ?: skip what need not be known; comparisons and ! give
 * 0 or 1; operators work element by element where one side is an array.
 *
 * Parsing needs no session and no memory: nodes live in the struct, so that hostile text can only be refused. */
#ifndef KV_EXPR_H
#define KV_EXPR_H

#include "engine/engine.h"

struct session;

#define EXPR_NODES 128
#define EXPR_POOL  1024
#define EXPR_DEPTH 32 /* of nesting */

enum expr_kind {
    EXPR_NUMBER,
    EXPR_TEXT,
    EXPR_NAME,   /* text = name */
    EXPR_DOLLAR, /* text = what follows the $ */
    EXPR_INDEX,  /* left[first, first->next, ...] */
    EXPR_UNARY,  /* op left */
    EXPR_BINARY, /* left op right */
    EXPR_CHOICE, /* left ? right : first */
    EXPR_ASSIGN, /* left op= right; EXPR_COMMA is plain =. With `after`, the value from before is the result */
    EXPR_CALL,   /* text(first, first->next, ...) */
    EXPR_RANGE,  /* left..right, in an index */
    EXPR_ALL,    /* *, in an index */
    EXPR_LAST,   /* last, in an index */
    EXPR_FOCUS   /* [], in an index */
};

enum expr_op {
    EXPR_OR,
    EXPR_AND,
    EXPR_BIT_OR,
    EXPR_BIT_XOR,
    EXPR_BIT_AND,
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_SHL,
    EXPR_SHR,
    EXPR_ADD,
    EXPR_SUB,
    EXPR_MUL,
    EXPR_DIV,
    EXPR_MOD,
    EXPR_AT,
    EXPR_COMMA,
    EXPR_NEG,
    EXPR_NOT,
    EXPR_COMPL,
    EXPR_PLUS
};

struct expr_node {
    enum expr_kind kind;
    enum expr_op op;
    int left, right, first, next; /* node numbers, -1 = none */
    double number;
    bool integral, after;
    int text; /* offset into pool */
};

struct expr {
    struct expr_node node[EXPR_NODES];
    int count, root;
    char pool[EXPR_POOL];
    int pool_used;
};

/* Parses as much of text as is one expression; *used = bytes taken (a comma or the end follows). KV_BAD_ARG with the
 * place marked by a caret. */
enum kv_status expr_parse(const char *text, struct expr *out, size_t *used, struct kv_error *err);

/* The same, and nothing may follow. */
enum kv_status expr_parse_all(const char *text, struct expr *out, struct kv_error *err);

enum value_kind { VALUE_VOID, VALUE_NUMBER, VALUE_TEXT };
enum value_names { VALUE_PLAIN, VALUE_TOKEN, VALUE_REASON, VALUE_RULE }; /* how a number is spelled out */

#define VALUE_DIMS 4
struct value {
    enum value_kind kind;
    enum value_names names;
    bool integral; /* all elements are whole numbers by type */
    int width;     /* bytes of an element where it came from; 0 = an int or a double */
    int n_dim;     /* 0 = a scalar */
    size_t dim[VALUE_DIMS];
    size_t count;                 /* product of dim */
    double *number;               /* [count], owned; a scalar has one */
    char *text;                   /* owned, VALUE_TEXT */
    char unit[16];                /* "nats", "" */
    const char *axis[VALUE_DIMS]; /* "layer", ... or NULL; not owned */
    size_t *at[VALUE_DIMS]; /* [dim] index of each element in the array it came from, owned; NULL = 0, 1, ... */
};

/* Frees what the value owns and makes it void. */
/* The word that a reason or a budget's rule stands for; NULL where there is none. */
const char *value_word(enum value_names names, double number);
void value_free(struct value *v);
enum kv_status value_scalar(struct value *v, double number, bool integral, const char *unit, struct kv_error *err);
enum kv_status value_text(struct value *v, const char *text, struct kv_error *err);
enum kv_status value_copy(struct value *to, const struct value *from, struct kv_error *err);

/* Room for n_dim dimensions (dim[]), numbers zeroed. KV_NO_MEMORY; KV_BAD_ARG above VALUE_LIMIT elements. */
#define VALUE_LIMIT ((size_t)1 << 25)
enum kv_status value_array(struct value *v, int n_dim, const size_t *dim, struct kv_error *err);

/* Evaluates; *out is owned by the caller (value_free), void on failure. */
enum kv_status expr_eval(struct session *s, const struct expr *e, struct value *out, struct kv_error *err);

/* Parse and evaluate in one. */
enum kv_status expr_text(struct session *s, const char *text, struct value *out, struct kv_error *err);

/* Whether a value counts as true: a number that is not 0 (arrays: every element). Text and void are errors. */
enum kv_status value_true(const struct value *v, bool *out, struct kv_error *err);

#endif
