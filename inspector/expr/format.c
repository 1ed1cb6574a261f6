/* How values look: letters as in GDB, where an integer is an int if it fits and a long otherwise, and a real shows the
 * bits of the type that it has in memory. */
#include "inspector/expr/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/tokens.h"

void format_parse(const char **text, struct format *f)
{
    const char *p = *text;
    char *end = (char *)p;
    long count = *p == '-' || (*p >= '0' && *p <= '9') ? strtol(p, &end, 10) : 0;
    if (end > p) f->count = count > 1000000 ? 1000000 : count < -1000000 ? -1000000 : (int)count;
    for (p = end; (*p >= 'a' && *p <= 'z'); p++) {
        if (strchr("bhwg", *p))
            f->size = *p;
        else if (*p != 'r') /* GDB's raw: there are no pretty-printers to avoid */
            f->letter = *p;
    }
    *text = p + strspn(p, " \t");
}

enum kv_status format_check(const struct format *f, const char *command, struct kv_error *err)
{
    if (f->size) return kv_fail(err, KV_BAD_ARG, "Size letters are meaningless in \"%s\" command.", command);
    if (f->count != 1)
        return kv_fail(err, KV_BAD_ARG, "Item count other than 1 is meaningless in \"%s\" command.", command);
    if (f->letter == 'i')
        return kv_fail(err, KV_BAD_ARG, "Format letter \"i\" is meaningless in \"%s\" command.", command);
    if (f->letter && !strchr("duotzacfsx", f->letter))
        return kv_fail(err, KV_BAD_ARG, "Undefined output format \"%c\".", f->letter);
    return KV_OK;
}

/* Bytes that the number takes in memory. */
static int width_of(const struct value *v, double x)
{
    if (v->width) return v->width;
    if (!v->integral) return 8;
    return x >= INT32_MIN && x <= INT32_MAX ? 4 : 8;
}

static uint64_t bits_of(const struct value *v, double x, int width)
{
    uint64_t bits;
    uint32_t half;
    float single = (float)x;
    if (v->integral) {
        bits = fabs(x) < 9.2e18 ? (uint64_t)(int64_t)x : 0;
    } else if (width == 4) {
        memcpy(&half, &single, sizeof half);
        bits = half;
    } else {
        memcpy(&bits, &x, sizeof bits);
    }
    return width < 8 ? bits & ((UINT64_C(1) << 8 * width) - 1) : bits;
}

static void binary_text(uint64_t bits, char *out, size_t size)
{
    size_t n = bits ? 64 - (size_t)__builtin_clzll(bits) : 1;
    if (n + 1 > size) n = size - 1;
    for (size_t i = 0; i < n; i++) out[i] = bits >> (n - 1 - i) & 1 ? '1' : '0';
    out[n] = '\0';
}

/* 65 'A', 0 '\000', -7 '\371' */
static void character_text(double x, char *out, size_t size)
{
    static const char plain[] = "\a\b\033\f\n\r\t\v\\'", letter[] = "abefnrtv\\'";
    int c = fabs(x) < 9.2e18 ? (signed char)(int64_t)x : 0;
    const char *hit = c ? strchr(plain, c) : NULL;
    if (hit)
        snprintf(out, size, "%d '\\%c'", c, letter[hit - plain]);
    else if (c >= 32 && c < 127)
        snprintf(out, size, "%d '%c'", c, c);
    else
        snprintf(out, size, "%d '\\%03o'", c, (unsigned)(unsigned char)c);
}

static void natural_text(struct session *s, const struct value *v, double x, char *out, size_t size)
{
    char quoted[64];
    if (v->names == VALUE_TOKEN && x >= 0)
        snprintf(out, size, "%.0f %s", x, tokens_quote(s, (int32_t)x, quoted, sizeof quoted));
    else if (value_word(v->names, x))
        snprintf(out, size, "%s", value_word(v->names, x));
    else if (isnan(x))
        snprintf(out, size, "nan");
    else if (v->integral)
        snprintf(out, size, "%.0f", x);
    else
        snprintf(out, size, "%.6g", x);
}

char *format_number(struct session *s, const struct value *v, size_t i, char letter, char *out, size_t size)
{
    double x = v->number[i];
    int width = width_of(v, x);
    uint64_t bits = bits_of(v, x, width);
    unsigned long long plain = bits;
    int shift = 64 - 8 * width;
    switch (letter) {
    case 'x': snprintf(out, size, "0x%llx", plain); break;
    case 'a': snprintf(out, size, "0x%llx", plain); break;
    case 'z': snprintf(out, size, "0x%0*llx", 2 * width, plain); break;
    case 'o': snprintf(out, size, plain ? "0%llo" : "%llo", plain); break;
    case 'u': snprintf(out, size, "%llu", plain); break;
    case 'd': snprintf(out, size, "%lld", (long long)((int64_t)(bits << shift) >> shift)); break;
    case 't': binary_text(bits, out, size); break;
    case 'c': character_text(x, out, size); break;
    case 'f':
        if (isnan(x))
            snprintf(out, size, "nan");
        else
            snprintf(out, size, v->integral ? "%.0f" : width == 4 ? "%.9g" : "%.17g", x);
        break;
    default: natural_text(s, v, x, out, size);
    }
    return out;
}

/* --- whole values -------------------------------------------------------------------------------------------------- */

struct printer {
    struct session *s;
    const struct value *v;
    const struct format_how *how;
    int left; /* elements that may still be printed */
};

static bool same_numbers(const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

/* What stands before element i of dimension d. */
static void print_lead(const struct printer *p, int d, size_t i)
{
    FILE *out = p->s->out;
    if (i) fputs(p->how->array ? "," : ", ", out);
    if (p->how->array) fprintf(out, "\n%*s", 2 * (d + 1), "");
    if (p->how->indexes) fprintf(out, "[%zu] = ", p->v->at[d] ? p->v->at[d][i] : i);
}

/* The part of dimension d that begins at element `at` and has `count` numbers. */
static void print_part(struct printer *p, int d, size_t at, size_t count)
{
    FILE *out = p->s->out;
    char text[128];
    if (d == p->v->n_dim) {
        fputs(format_number(p->s, p->v, at, p->how->letter, text, sizeof text), out);
        p->left--;
        return;
    }
    size_t n = p->v->dim[d], step = n ? count / n : 0, i = 0;
    fputc('{', out);
    for (size_t same; i < n && p->left > 0; i += same) {
        print_lead(p, d, i);
        int before = p->left;
        const double *x = p->v->number + at;
        print_part(p, d + 1, at + i * step, step);
        for (same = 1; i + same < n && same_numbers(x + i * step, x + (i + same) * step, step);) same++;
        if (same >= (size_t)p->how->repeats) {
            fprintf(out, " <repeats %zu times>", same);
            p->left = before > p->how->repeats ? before - p->how->repeats : 0; /* as GDB counts them */
        } else {
            same = 1;
        }
    }
    if (i < n) fputs("...", out);
    if (p->how->array && n) fprintf(out, "\n%*s", 2 * d, "");
    fputc('}', out);
}

static void print_text(struct session *s, const struct value *v, const struct format_how *how)
{
    char text[1200];
    size_t n = strlen(v->text), shown = kv_min(n, (size_t)how->elements);
    if (!how->letter || how->letter == 's') {
        fputs(line_quote(v->text, shown, text, sizeof text), s->out);
        if (shown < n) fputs("...", s->out);
        return;
    }
    struct value bytes;
    struct kv_error ignored;
    if (value_array(&bytes, 1, (size_t[]){ n + 1 }, &ignored)) return;
    for (size_t i = 0; i <= n; i++) bytes.number[i] = v->text[i];
    bytes.integral = true;
    bytes.width = 1;
    format_value(s, &bytes, how);
    value_free(&bytes);
}

struct format_how format_how(const struct session *s, char letter)
{
    return (struct format_how){ letter, s->pref.print_elements, s->pref.print_repeats, s->pref.print_array,
        s->pref.print_indexes };
}

void format_value(struct session *s, const struct value *v, const struct format_how *how)
{
    struct printer p = { s, v, how, how->elements };
    if (v->kind == VALUE_VOID)
        fputs("void", s->out);
    else if (v->kind == VALUE_TEXT)
        print_text(s, v, how);
    else
        print_part(&p, 0, 0, v->count);
    if (v->kind == VALUE_NUMBER && *v->unit) fprintf(s->out, " %s", v->unit);
}
