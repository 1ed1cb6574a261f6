/* Values compared at stage boundaries. */
#include "inspector/stop/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/print.h"

#define CHANGES 8 /* elements of an array that are told */

/* Where a value can change, so that nothing is read and the engine need not stop anywhere else. */
enum {
    WHEN_PASS = 0,     /* where a pass or a phase begins: always */
    WHEN_OBSERVE = 1,  /* behind observe, which the prefill alone does */
    WHEN_COMPRESS = 2, /* at every boundary of compress */
    WHEN_STAGE = 4,    /* at every boundary */
    WHEN_GROWS = 8     /* an array that is short at first: an index beyond its end is not there yet */
};

static const struct {
    const char *name; /* the whole name, or a beginning that ends in a dot */
    unsigned when;
} names[] = {
    { "entropy", WHEN_OBSERVE },
    { "E", WHEN_OBSERVE },
    { "entropy_q", WHEN_PASS },
    { "columns", WHEN_PASS },
    { "attn", WHEN_PASS | WHEN_GROWS },
    { "score", WHEN_COMPRESS },
    { "rank", WHEN_COMPRESS },
    { "reason", WHEN_COMPRESS },
    { "margin", WHEN_COMPRESS },
    { "kept", WHEN_COMPRESS },
    { "cut", WHEN_COMPRESS },
    { "k", WHEN_COMPRESS | WHEN_GROWS },
    { "v", WHEN_COMPRESS | WHEN_GROWS },
    { "pos", WHEN_COMPRESS | WHEN_GROWS },
    { "place", WHEN_COMPRESS | WHEN_GROWS },
    { "hidden", WHEN_PASS | WHEN_GROWS },
    { "weight", WHEN_COMPRESS },
    { "budget.", WHEN_COMPRESS },
    { "tok", WHEN_PASS },
    { "question", WHEN_PASS },
    { "reply", WHEN_PASS | WHEN_GROWS },
    { "logit", WHEN_PASS },
    { "prob", WHEN_PASS },
    { "kl", WHEN_PASS | WHEN_GROWS },
    { "full", WHEN_PASS | WHEN_GROWS },
    { "other", WHEN_PASS | WHEN_GROWS },
    { "policy.", WHEN_PASS },
    { "engine.", WHEN_PASS },
    { "decode.", WHEN_PASS },
    { "judge.", WHEN_PASS },
};

struct watch {
    char *text;
    unsigned when;
    struct value old;
    struct expr e;
};

static unsigned when_changes(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        size_t n = strlen(names[i].name);
        bool part = names[i].name[n - 1] == '.';
        if (part ? !strncmp(name, names[i].name, n) : !strcmp(name, names[i].name)) return names[i].when;
    }
    return WHEN_STAGE;
}

static unsigned when_expr_changes(const struct expr *e, bool *constant)
{
    unsigned when = WHEN_PASS;
    *constant = true;
    for (int i = 0; i < e->count; i++) {
        const struct expr_node *n = &e->node[i];
        bool name = n->kind == EXPR_NAME, variable = n->kind == EXPR_DOLLAR || n->kind == EXPR_FOCUS;
        *constant = *constant && !name && !variable;
        if (name) when |= when_changes(e->pool + n->text);
        if (variable) when |= WHEN_STAGE;
    }
    return when;
}

/* --- -location ---------------------------------------------------------------------------------------------------- */

/* What an empty index number `at` of `count` stands for now. */
static int focus_of(const struct session *s, const char *name, int at, int count)
{
    bool heads = !strncmp(name, "entropy", 7) || !strcmp(name, "attn") || !strcmp(name, "columns");
    return !at ? s->layer : at == 1 && (heads || count == 3) ? s->head : s->token;
}

/* Indices that are worked out become the numbers that they are now. */
static enum kv_status fix_indices(struct session *s, struct expr *e)
{
    for (int i = 0; i < e->count; i++) {
        if (e->node[i].kind != EXPR_INDEX) continue;
        const struct expr_node *base = &e->node[e->node[i].left];
        const char *name = base->kind == EXPR_NAME ? e->pool + base->text : "";
        int count = 0, at = 0;
        for (int part = e->node[i].first; part >= 0; part = e->node[part].next) count++;
        for (int part = e->node[i].first; part >= 0; part = e->node[part].next, at++) {
            struct expr_node *n = &e->node[part];
            struct value v = { 0 };
            if (n->kind == EXPR_ALL || n->kind == EXPR_RANGE || n->kind == EXPR_LAST || n->kind == EXPR_TEXT ||
                n->kind == EXPR_NUMBER)
                continue;
            struct expr index = *e;
            index.root = part;
            enum kv_status st = n->kind == EXPR_FOCUS
                                    ? value_scalar(&v, focus_of(s, name, at, count), true, "", &s->err)
                                    : expr_eval(s, &index, &v, &s->err);
            if (!st && (v.kind != VALUE_NUMBER || v.n_dim))
                st = kv_fail(&s->err, KV_BAD_ARG, "An index must be one whole number.");
            double number = st ? 0 : v.number[0];
            value_free(&v);
            if (st) return st;
            *n = (struct expr_node){ .kind = EXPR_NUMBER,
                .left = -1,
                .right = -1,
                .first = -1,
                .next = n->next,
                .number = number,
                .integral = true };
        }
    }
    return KV_OK;
}

/* --- the value ---------------------------------------------------------------------------------------------------- */

static bool same(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == VALUE_VOID) return true;
    if (a->kind == VALUE_TEXT) return !strcmp(a->text, b->text);
    if (a->n_dim != b->n_dim || memcmp(a->dim, b->dim, (size_t)a->n_dim * sizeof a->dim[0])) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->number[i] != b->number[i] && !(isnan(a->number[i]) && isnan(b->number[i]))) return false;
    return true;
}

/* What cannot be had here is void. */
static void value_now(struct session *s, const struct watch *w, struct value *out)
{
    struct kv_error err;
    if (expr_eval(s, &w->e, out, &err)) *out = (struct value){ 0 };
}

static void print_to(struct session *s, FILE *f, const char *what, const struct value *v)
{
    FILE *out = s->out;
    fputs(what, f);
    s->out = f;
    print_value(s, v);
    s->out = out;
    fputc('\n', f);
}

/* "Changed: layer 12: 1 -> 0; layer 14: 1 -> 0; 3 more" */
static void print_elements(FILE *f, const struct value *a, const struct value *b)
{
    bool comparable = a->kind == VALUE_NUMBER && b->kind == VALUE_NUMBER && a->n_dim && a->n_dim == b->n_dim &&
                      !memcmp(a->dim, b->dim, (size_t)a->n_dim * sizeof a->dim[0]);
    size_t told = 0, more = 0;
    for (size_t i = 0; comparable && i < a->count; i++) {
        if (a->number[i] == b->number[i] || (isnan(a->number[i]) && isnan(b->number[i]))) continue;
        if (told == CHANGES) {
            more++;
            continue;
        }
        fputs(told++ ? "; " : "Changed: ", f);
        size_t rest = i, step = a->count;
        for (int d = 0; d < a->n_dim; d++) {
            step /= a->dim[d];
            size_t at = rest / step;
            rest %= step;
            fprintf(
                f, "%s%s %zu", d ? ", " : "", a->axis[d] ? a->axis[d] : "element", a->at[d] ? a->at[d][at] : at);
        }
        fprintf(f, ": %.6g -> %.6g", a->number[i], b->number[i]);
    }
    if (more) fprintf(f, "; %zu more", more);
    if (told) fputc('\n', f);
}

enum kv_status watch_open(struct session *s, const char *text, struct watch **out)
{
    bool fixed = !strncmp(text, "-l", 2) && strchr(" \to", text[2]);
    const char *body = fixed ? text + strcspn(text, " \t") : text;
    body += strspn(body, " \t");
    struct watch *w = kv_alloc(1, sizeof *w);
    bool constant;
    *out = w;
    if (!w || asprintf(&w->text, "%s%s", fixed ? "-location " : "", body) < 0) {
        free(w);
        *out = NULL;
        return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a watchpoint.");
    }
    enum kv_status st = *body ? expr_parse_all(body, &w->e, &s->err)
                              : kv_fail(&s->err, KV_BAD_ARG, "Argument required (expression to compute).");
    if (!st) {
        w->when = when_expr_changes(&w->e, &constant);
        if (constant) st = kv_fail(&s->err, KV_BAD_ARG, "Cannot watch constant value `%.80s'.", body);
    }
    if (!st && fixed) {
        st = fix_indices(s, &w->e);
        w->when = when_expr_changes(&w->e, &constant);
    }
    if (!st) st = expr_eval(s, &w->e, &w->old, &s->err);
    if (st == KV_NOT_NOW || (st == KV_BAD_ARG && (w->when & WHEN_GROWS))) {
        st = KV_OK;
        s->err = (struct kv_error){ 0 };
    }
    if (!st) return KV_OK;
    watch_free(w);
    *out = NULL;
    return st;
}

void watch_free(struct watch *w)
{
    if (!w) return;
    value_free(&w->old);
    free(w->text);
    free(w);
}

const char *watch_text(const struct watch *w) { return w->text; }

void watch_reset(struct session *s, struct watch *w)
{
    value_free(&w->old);
    value_now(s, w, &w->old);
}

bool watch_near(const struct watch *w, const struct kv_where *now, const struct kv_where *before)
{
    if ((w->when & WHEN_STAGE) || !before || before->phase != now->phase || before->pass != now->pass) return true;
    if (now->phase == KV_PHASE_compress) return w->when & WHEN_COMPRESS;
    return (w->when & WHEN_OBSERVE) && now->phase == KV_PHASE_prefill && now->stage == KV_STAGE_oproj;
}

enum kv_unit watch_unit(const struct watch *w, const struct kv_where *now)
{
    unsigned here = now->phase == KV_PHASE_compress  ? WHEN_COMPRESS
                    : now->phase == KV_PHASE_prefill ? WHEN_OBSERVE
                                                     : 0;
    return w->when & (WHEN_STAGE | here) ? KV_UNIT_STAGE : KV_UNIT_PASS;
}

bool watch_changed(struct session *s, struct watch *w, char **said)
{
    struct value v;
    value_now(s, w, &v);
    if (same(&w->old, &v) || !said) {
        bool changed = !same(&w->old, &v);
        value_free(&v);
        return changed;
    }
    size_t size;
    FILE *f = open_memstream(said, &size);
    if (f) {
        print_to(s, f, "Old value = ", &w->old);
        print_to(s, f, "New value = ", &v);
        print_elements(f, &w->old, &v);
        fclose(f);
    }
    value_free(&w->old);
    w->old = v;
    return true;
}

bool watch_void(const struct watch *w) { return w->old.kind == VALUE_VOID; }
