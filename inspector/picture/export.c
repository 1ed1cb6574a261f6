/* Files out: a picture, an array, a table. */
#include "inspector/picture/export.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inspector/picture/figures.h"
#include "inspector/picture/hash.h"
#include "inspector/info.h"
#include "inspector/language/line.h"
#include "inspector/picture/picture.h"
#include "inspector/json/rows.h"
#include "inspector/picture/target.h"
#include "render/csv.h"
#include "render/npy.h"
#include "render/png_writer.h"

static struct reaction target_done(struct session *s, struct target *t, const char *what)
{
    struct stat info;
    char sha[65], bytes[32];
    if (target_close(s, t) || hash_file(t->path, sha, &s->err)) return failed(s);
    unsigned long long size = stat(t->path, &info) ? 0 : (unsigned long long)info.st_size;
    rows_fact_text(s, "file", t->path);
    rows_fact_text(s, "what", what);
    rows_fact(s, "bytes", (double)size);
    rows_fact_text(s, "sha256", sha);
    fprintf(s->out, "%s: %s, %s bytes, sha256 %s%s\n", t->path, what, line_thousands(size, bytes), sha,
        session_mark(s));
    return DONE;
}

/* Takes an option off the line's beginning. */
static bool option(const char **args, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(*args, name, n) != 0 || ((*args)[n] != ' ' && (*args)[n] != '\t')) return false;
    *args += n + strspn(*args + n, " \t");
    return true;
}

/* Reads [-f] FILE; *rest is what follows in the line. */
static enum kv_status read_file(struct session *s, const char *args, char *path, bool *force, const char **rest)
{
    struct line_words words;
    size_t n = 0;
    enum kv_status st = KV_OK;
    *force = option(&args, "-f");
    bool quoted = *args == '"' || *args == '\'';
    n = quoted ? strcspn(args + 1, *args == '"' ? "\"" : "'") + 2 : strcspn(args, " \t");
    if (n > strlen(args)) n = strlen(args);
    char first[TARGET_BYTES];
    snprintf(first, sizeof first, "%.*s", (int)kv_min(n, sizeof first - 1), args);
    if ((st = line_split(first, &words, &s->err))) return st;
    *rest = args + n + strspn(args + n, " \t");
    if (words.count != 1 || !**rest)
        return kv_fail(&s->err, KV_BAD_ARG, "Arguments required ([-f] FILE, and what to export).");
    snprintf(path, TARGET_BYTES, "%s", words.word[0]);
    return KV_OK;
}

struct reaction cmd_export_png(struct session *s, const char *args)
{
    char path[TARGET_BYTES], what[96];
    struct target t;
    struct line_words words;
    struct picture p;
    bool force, early = option(&args, "-f"), raw = option(&args, "-raw16");
    if (read_file(s, args, path, &force, &args) || line_split(args, &words, &s->err) ||
        picture_read(s, &words, 0, &p) || (raw && picture_raw16(s, &p)) ||
        target_open(s, path, early || force || p.force, &t))
        return failed(s);
    struct png_recipe recipe;
    if (figures_draw(s, &p, t.fresh)) return failed(s);
    if (png_recipe_read(t.fresh, &recipe, &s->err)) return failed(s);
    snprintf(
        what, sizeof what, "%sPNG of %zux%zu with its recipe", raw ? "16-bit " : "", recipe.width, recipe.height);
    png_recipe_free(&recipe);
    return target_done(s, &t, what);
}

/* --- npy ---------------------------------------------------------------------------------------------------------------- */

/* Whether every element is a whole number that an int32 holds. */
static bool fits_int(const struct value *v)
{
    bool fits = v->integral;
    for (size_t i = 0; fits && i < v->count; i++) fits = fabs(v->number[i]) < 2147483648.0;
    return fits;
}

static enum kv_status npy_value(const char *path, const struct value *v, struct kv_error *err)
{
    struct npy npy;
    bool whole = fits_int(v);
    enum kv_status st = npy_open(&npy, path, whole ? NPY_I4 : NPY_F8, v->dim, (size_t)v->n_dim, err);
    for (size_t i = 0; !st && i < v->count; i++) {
        int32_t n = whole ? (int32_t)v->number[i] : 0;
        st = whole ? npy_put(&npy, &n, sizeof n, err) : npy_put(&npy, &v->number[i], sizeof v->number[i], err);
    }
    if (!st) return npy_commit(&npy, err);
    npy_abandon(&npy);
    return st;
}

/* A picture's numbers, row by row, panel after panel; `what` says of which shape they are. */
static enum kv_status npy_picture(
    struct session *s, const struct picture *p, const char *path, char *what, size_t size)
{
    struct picture_source src;
    struct npy npy = { 0 };
    enum kv_status st = picture_open(s, p, &src);
    size_t panels = picture_panels(s, p), shape[3] = { panels, src.matrix.rows, src.matrix.cols },
           flat = !p->panels;
    float *row = st ? NULL : kv_alloc(shape[2], sizeof *row);
    if (!st && !row) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a row of %zu.", shape[2]);
    if (!st) st = npy_open(&npy, path, NPY_F4, shape + flat, 3 - flat, &s->err);
    for (size_t i = 0; !st && i < panels * shape[1]; i++) {
        if (i % shape[1] == 0) st = picture_turn(&src, i / shape[1], &s->err);
        if (!st) st = matrix_row(&src.matrix, i % shape[1], row, &s->err);
        for (size_t j = 0; !st && j < shape[2]; j++) row[j] = isnan(row[j]) ? 0 : row[j];
        if (!st) st = npy_put(&npy, row, shape[2] * sizeof *row, &s->err);
    }
    if (flat)
        snprintf(what, size, "float32 of (%zu, %zu)", shape[1], shape[2]);
    else
        snprintf(what, size, "float32 of (%zu, %zu, %zu)", shape[0], shape[1], shape[2]);
    if (!st)
        st = npy_commit(&npy, &s->err);
    else
        npy_abandon(&npy);
    free(row);
    picture_close(&src);
    return st;
}

static void shape_text(const struct value *v, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s of (", fits_int(v) ? "int32" : "float64");
    for (int d = 0; d < v->n_dim; d++)
        at += (size_t)snprintf(out + at, size - at, "%s%zu", d ? ", " : "", v->dim[d]);
    snprintf(out + at, size - at, ")%s%s", *v->unit ? " in " : "", v->unit);
}

/* Whether the words name a picture's matrix: attn alone, which is no expression, or any with a word behind its name. */
static bool is_picture(const char *args)
{
    size_t n = strcspn(args, " ");
    const char *rest = args + n + strspn(args + n, " ");
    bool named = false;
    for (int i = 0; i < PICTURE_COUNT; i++)
        named = named || (strlen(picture_name[i]) == n && !strncmp(args, picture_name[i], n));
    bool option = *rest == '-' ? isalpha((unsigned char)rest[1]) && isalpha((unsigned char)rest[2])
                               : isalpha((unsigned char)*rest);
    return named && (*rest ? option : !strncmp(args, "attn", n) || !strncmp(args, "curve", n));
}

struct reaction cmd_export_npy(struct session *s, const char *args)
{
    char path[TARGET_BYTES], what[128];
    struct target t;
    struct line_words words;
    struct picture p;
    struct value v;
    bool force;
    enum kv_status st;
    if (read_file(s, args, path, &force, &args)) return failed(s);
    if (is_picture(args)) {
        if (line_split(args, &words, &s->err) || picture_read(s, &words, 0, &p) ||
            target_open(s, path, force || p.force, &t))
            return failed(s);
        return npy_picture(s, &p, t.fresh, what, sizeof what) ? failed(s) : target_done(s, &t, what);
    }
    if (expr_text(s, args, &v, &s->err)) return failed(s);
    if (v.kind != VALUE_NUMBER)
        st = kv_fail(&s->err, KV_BAD_ARG, "Only numbers can be written as .npy.");
    else
        st = target_open(s, path, force, &t);
    if (!st) st = npy_value(t.fresh, &v, &s->err);
    if (!st) shape_text(&v, what, sizeof what);
    value_free(&v);
    return st ? failed(s) : target_done(s, &t, what);
}

/* --- csv ---------------------------------------------------------------------------------------------------------------- */

static enum kv_status csv_budget(struct session *s, const char *path)
{
    static const char *const names[] = { "layer", "E_nats", "weight", "requested_tokens", "applied_tokens",
        "used_tokens", "bytes" };
    static const char *const values[] = { "E", "weight", "budget.req", "budget.app", "budget.used" };
    double *column[KV_COUNT(values)] = { NULL };
    struct kv_array a;
    struct csv csv;
    char element[16];
    enum kv_status st = KV_OK;
    for (size_t i = 0; i < KV_COUNT(values) && !st; i++)
        if (!(column[i] = info_copy(s, values[i], &a))) st = s->err.code;
    if (!st) st = csv_open(&csv, path, names, KV_COUNT(names), &s->err);
    for (int l = 0; !st && l < s->facts.n_layer; l++) {
        csv_count(&csv, l);
        for (size_t i = 0; i < KV_COUNT(values); i++) csv_number(&csv, column[i][l]);
        csv_number(&csv, info_kv_bytes(s, column[4][l], element, sizeof element));
        csv_end_row(&csv);
    }
    if (!st) st = csv_commit(&csv, &s->err);
    for (size_t i = 0; i < KV_COUNT(values); i++) free(column[i]);
    return st;
}

/* One row an element: its indices, its value, and what the value spells. */
static enum kv_status csv_value(struct session *s, const char *path, const struct value *v)
{
    static const char *const unnamed[] = { "index0", "index1", "index2", "index3" };
    const char *names[VALUE_DIMS + 2];
    size_t columns = 0, at[VALUE_DIMS] = { 0 };
    struct csv csv;
    bool named = v->names != VALUE_PLAIN;
    for (int d = 0; d < v->n_dim; d++) names[columns++] = v->axis[d] ? v->axis[d] : unnamed[d];
    names[columns++] = *v->unit ? v->unit : "value";
    if (named) names[columns++] = v->names == VALUE_TOKEN ? "text" : "rule";
    enum kv_status st = csv_open(&csv, path, names, columns, &s->err);
    if (st) return st;
    for (size_t i = 0; i < v->count; i++) {
        for (int d = 0; d < v->n_dim; d++) csv_count(&csv, (int64_t)(v->at[d] ? v->at[d][at[d]] : at[d]));
        csv_number(&csv, v->number[i]);
        if (v->names == VALUE_TOKEN) {
            int32_t id = (int32_t)v->number[i];
            char *text = kv_tokens_text(s->engine, &id, 1);
            csv_text(&csv, text);
            free(text);
        } else if (named)
            csv_text(&csv, value_word(v->names, v->number[i]));
        csv_end_row(&csv);
        for (int d = v->n_dim - 1; d >= 0 && ++at[d] == v->dim[d]; d--) at[d] = 0;
    }
    return csv_commit(&csv, &s->err);
}

struct reaction cmd_export_csv(struct session *s, const char *args)
{
    char path[TARGET_BYTES], what[64];
    struct target t;
    struct value v = { 0 };
    bool force;
    if (read_file(s, args, path, &force, &args)) return failed(s);
    bool budget = !strcmp(args, "budget");
    if (!budget && expr_text(s, args, &v, &s->err)) return failed(s);
    enum kv_status st = budget || v.kind == VALUE_NUMBER
                            ? target_open(s, path, force, &t)
                            : kv_fail(&s->err, KV_BAD_ARG, "Only numbers can be written as a table.");
    if (!st) st = budget ? csv_budget(s, t.fresh) : csv_value(s, t.fresh, &v);
    snprintf(what, sizeof what, "%zu rows", budget ? (size_t)s->facts.n_layer : v.count);
    value_free(&v);
    return st ? failed(s) : target_done(s, &t, what);
}

struct reaction cmd_info_png(struct session *s, const char *args)
{
    struct line_words words;
    struct png_recipe recipe;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count != 1) return refuse(s, KV_BAD_ARG, "Argument required (PNG file).");
    if (png_recipe_read(words.word[0], &recipe, &s->err)) return failed(s);
    fprintf(s->out, "%s: %zux%zu\n", words.word[0], recipe.width, recipe.height);
    for (size_t i = 0; i < recipe.count; i++)
        fprintf(s->out, "  %-22s %s\n", recipe.notes[i].key, recipe.notes[i].text);
    for (size_t i = 0; i < recipe.count; i++) {
        rows_new(s);
        rows_text(s, "key", recipe.notes[i].key);
        rows_text(s, "text", recipe.notes[i].text);
    }
    png_recipe_free(&recipe);
    return DONE;
}
