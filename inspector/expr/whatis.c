/* whatis, ptype and info scope. */
#include "inspector/expr/whatis.h"

#include <math.h>
#include <string.h>

#include "inspector/expr/expr_eval.h"
#include "inspector/expr/names.h"
#include "inspector/json/rows.h"

static const char *element_name(const struct value *v)
{
    static const char *const whole[] = { [1] = "u8", [4] = "i32", [8] = "i64" }, *const real[] = {
        [1] = "f8", [4] = "f32", [8] = "f64"
    };
    if (v->width == 1 || v->width == 4 || v->width == 8) return (v->integral ? whole : real)[v->width];
    if (!v->integral) return "double";
    bool fits = true;
    for (size_t i = 0; v->number && i < v->count; i++) fits = fits && fabs(v->number[i]) <= INT32_MAX;
    return fits ? "int" : "long";
}

/* "f32 [30 layer][9 head] nats, 1080 bytes, host"; where = NULL for what operators made. */
static void type_text(const struct value *v, const char *where, char *out, size_t size)
{
    if (v->kind == VALUE_VOID) {
        snprintf(out, size, "void");
        return;
    }
    if (v->kind == VALUE_TEXT) {
        snprintf(out, size, "char [%zu]", strlen(v->text) + 1);
        return;
    }
    size_t at = (size_t)snprintf(out, size, "%s%s", element_name(v), v->n_dim ? " " : "");
    for (int d = 0; d < v->n_dim; d++)
        at += (size_t)snprintf(
            out + at, size - at, "[%zu%s%s]", v->dim[d], v->axis[d] ? " " : "", v->axis[d] ? v->axis[d] : "");
    if (*v->unit) at += (size_t)snprintf(out + at, size - at, " %s", v->unit);
    if (where) snprintf(out + at, size - at, ", %zu bytes, %s", v->count * (size_t)v->width, where);
}

/* The type of an expression, or of the last value where there is none. */
static struct reaction show_type(struct session *s, const char *args, bool explain)
{
    struct expr e;
    struct value v = { 0 };
    const char *where = NULL, *meaning = NULL;
    char text[256];
    enum kv_status st = *args ? expr_parse_all(args, &e, &s->err) : names_dollar(s, "", &v, &s->err);
    if (!st && *args) st = expr_shape(s, &e, &v, &where, &s->err);
    if (st) return failed(s);
    type_text(&v, where, text, sizeof text);
    fprintf(s->out, "type = %s\n", text);
    rows_fact_text(s, "value_type", text);
    value_free(&v);
    if (!explain || !*args) return DONE;
    const struct expr_node *root = &e.node[e.root];
    if (root->kind == EXPR_INDEX) root = &e.node[root->left];
    if (root->kind == EXPR_NAME) meaning = names_meaning(e.pool + root->text);
    if (meaning) fprintf(s->out, "%s: %s.\n", e.pool + root->text, meaning);
    return DONE;
}

struct reaction cmd_whatis(struct session *s, const char *args) { return show_type(s, args, false); }
struct reaction cmd_ptype(struct session *s, const char *args) { return show_type(s, args, true); }

struct reaction cmd_info_scope(struct session *s, const char *args)
{
    (void)args;
    struct expr e;
    const char *name;
    char text[256];
    fprintf(s->out, "Values here:\n");
    for (int i = 0; (name = names_at(i)); i++) {
        struct value v = { 0 };
        const char *where = NULL;
        struct kv_error err = { 0 };
        if (!names_meaning(name) || expr_parse_all(name, &e, &err)) continue;
        enum kv_status st = expr_shape(s, &e, &v, &where, &err);
        if (!st) type_text(&v, where, text, sizeof text);
        rows_new(s);
        rows_text(s, "name", name);
        rows_flag(s, "there", !st);
        rows_text(s, "type", st ? err.text : text);
        fprintf(
            s->out, "Symbol %s %s%s%s\n", name, st ? "is not there: " : "is ", st ? err.text : text, st ? "" : ".");
        value_free(&v);
    }
    return DONE;
}
