/* printf: the format is cut into pieces of one conversion each, which libc then fills in. */
#include "inspector/expr/printf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/expr/print.h"

struct conversion {
    char piece[64];  /* "%-5.2" without its length modifier and letter */
    char letter;     /* one of dicuxXosfgeEGp */
    bool wide;       /* a long, whatever its value */
    const char *end; /* of the whole conversion in the format */
};

struct format_text {
    char text[sizeof((struct session *)0)->command]; /* between the quotes, escapes done */
    struct conversion conversion[PRINTF_ARGS];
    int n;
};

/* The quoted format without its escapes; *args is left behind the closing quote. */
static enum kv_status unquote(const char **args, char *out, size_t size, struct kv_error *err)
{
    static const char from[] = "\\abefnrtv\"", to[] = "\\\a\b\033\f\n\r\t\v\"";
    const char *p = *args, *hit;
    size_t n = 0;
    if (*p != '"') return kv_fail(err, KV_BAD_ARG, "Bad format string, missing '\"'.");
    for (p++; *p != '"'; p++) {
        if (!*p || n + 1 == size) return kv_fail(err, KV_BAD_ARG, "Bad format string, non-terminated '\"'.");
        out[n] = *p;
        if (*p == '\\') {
            if (!*++p) return kv_fail(err, KV_BAD_ARG, "Bad format string, non-terminated '\"'.");
            if (!(hit = strchr(from, *p)))
                return kv_fail(err, KV_BAD_ARG, "Unrecognized escape character \\%c in format string.", *p);
            out[n] = to[hit - from];
        }
        n++;
    }
    out[n] = '\0';
    *args = p + 1;
    return KV_OK;
}

/* One conversion at p, behind its %. */
static enum kv_status read_conversion(const char *p, struct conversion *c, struct kv_error *err)
{
    size_t n = strspn(p, "-+ 0#"), digits = strspn(p + n, "0123456789");
    bool wide = digits > 4 || strtol(p + n, NULL, 10) > PRINTF_WIDTH;
    n += digits;
    bool star = p[n] == '*';
    if (p[n] == '.') {
        star = star || p[n + 1] == '*';
        digits = strspn(p + n + 1, "0123456789");
        wide = wide || digits > 4 || strtol(p + n + 1, NULL, 10) > PRINTF_WIDTH;
        n += 1 + digits;
    }
    if (star) return kv_fail(err, KV_BAD_ARG, "`*' not supported for precision or width in printf");
    if (wide || n + 2 > sizeof c->piece)
        return kv_fail(err, KV_BAD_ARG, "A field of printf has at most %d characters.", PRINTF_WIDTH);
    snprintf(c->piece, sizeof c->piece, "%%%.*s", (int)n, p);
    size_t length = strspn(p + n, "lzjL");
    c->letter = p[n + length];
    c->wide = length > 0;
    if (length > 2 || !c->letter || !strchr("dicuxXosfgeEGpn", c->letter)) {
        char at = p[n + (length > 2 ? 2 : length)];
        return kv_fail(err, KV_BAD_ARG,
            at ? "Unrecognized format specifier '%c' in printf"
               : "Incomplete format specifier at end of format string",
            at);
    }
    if (c->letter == 'n') return kv_fail(err, KV_BAD_ARG, "Format specifier `n' not supported in printf");
    c->end = p + n + length + 1;
    return KV_OK;
}

static enum kv_status scan(struct format_text *f, struct kv_error *err)
{
    f->n = 0;
    for (const char *p = f->text; (p = strchr(p, '%'));) {
        if (*++p == '%') {
            p++;
            continue;
        }
        if (f->n == PRINTF_ARGS) return kv_fail(err, KV_BAD_ARG, "printf takes at most %d values.", PRINTF_ARGS);
        enum kv_status st = read_conversion(p, &f->conversion[f->n], err);
        if (st) return st;
        p = f->conversion[f->n++].end;
    }
    return KV_OK;
}

/* Evaluates `, EXPR, EXPR...` into value[PRINTF_ARGS]. */
static enum kv_status evaluate(struct session *s, const char *args, struct value *value, int *n)
{
    struct expr e;
    size_t used;
    while (*args == ',') {
        args++;
        args += strspn(args, " \t");
        if (!*args) break; /* GDB lets the last comma pass */
        if (*n == PRINTF_ARGS) return kv_fail(&s->err, KV_BAD_ARG, "printf takes at most %d values.", PRINTF_ARGS);
        enum kv_status st = expr_parse(args, &e, &used, &s->err);
        if (!st) st = expr_eval(s, &e, &value[*n], &s->err);
        if (st) return st;
        ++*n;
        args += used;
    }
    return *args ? kv_fail(&s->err, KV_BAD_ARG, "Invalid argument syntax") : KV_OK;
}

static enum kv_status put_number(struct session *s, const struct conversion *c, const struct value *v, FILE *out)
{
    char format[80];
    if (v->kind != VALUE_NUMBER || v->n_dim)
        return kv_fail(&s->err, KV_BAD_ARG,
            strchr("fgeEG", c->letter) ? "Invalid cast." : "Value can't be converted to integer.");
    double x = v->number[0];
    if (strchr("fgeEG", c->letter)) {
        snprintf(format, sizeof format, "%s%c", c->piece, c->letter);
        fprintf(out, format, x);
        return KV_OK;
    }
    if (!(fabs(x) < 9.2e18)) return kv_fail(&s->err, KV_BAD_ARG, "Value can't be converted to integer.");
    long long whole = (long long)x;
    if (c->letter == 'c') {
        snprintf(format, sizeof format, "%sc", c->piece);
        if ((char)whole) fprintf(out, format, (char)whole);
    } else if (c->letter == 'p') {
        snprintf(format, sizeof format, "%sp", c->piece);
        fprintf(out, format, (void *)(intptr_t)whole);
    } else {
        bool is_signed = c->letter == 'd' || c->letter == 'i';
        snprintf(format, sizeof format, "%sll%c", c->piece, c->letter);
        if (!is_signed && !c->wide && whole < 0 && whole >= INT32_MIN) whole = (uint32_t)whole;
        fprintf(out, format, whole);
    }
    return KV_OK;
}

static enum kv_status put_text(struct session *s, const struct conversion *c, const struct value *v, FILE *out)
{
    char format[80], *text = NULL;
    size_t n;
    if (v->kind == VALUE_VOID) return kv_fail(&s->err, KV_BAD_ARG, "Value can't be converted to integer.");
    if (v->kind == VALUE_TEXT)
        text = kv_strdup(v->text);
    else if (v->names == VALUE_TOKEN && !v->n_dim) {
        int32_t id = (int32_t)v->number[0];
        text = kv_tokens_text(s->engine, &id, 1);
    } else {
        FILE *memory = open_memstream(&text, &n), *shown = s->out;
        if (memory) {
            s->out = memory;
            print_value(s, v);
            s->out = shown;
            fclose(memory);
        }
    }
    if (!text) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a text.");
    snprintf(format, sizeof format, "%ss", c->piece);
    fprintf(out, format, text);
    free(text);
    return KV_OK;
}

static enum kv_status fill(struct session *s, const struct format_text *f, const struct value *value, FILE *out)
{
    enum kv_status st = KV_OK;
    int i = 0;
    for (const char *p = f->text; *p && !st;) {
        size_t plain = strcspn(p, "%");
        fwrite(p, 1, plain, out);
        p += plain;
        if (!*p) break;
        if (*++p == '%') {
            fputc(*p++, out);
            continue;
        }
        const struct conversion *c = &f->conversion[i];
        st = c->letter == 's' ? put_text(s, c, &value[i], out) : put_number(s, c, &value[i], out);
        p = c->end;
        i++;
    }
    return st;
}

enum kv_status printf_format(struct session *s, const char *args, char **out)
{
    struct format_text f;
    struct value value[PRINTF_ARGS] = { { 0 } };
    size_t size;
    int n = 0;
    *out = NULL;
    if (!*args)
        return kv_fail(&s->err, KV_BAD_ARG, "Argument required (format-control string and values to print).");
    enum kv_status st = unquote(&args, f.text, sizeof f.text, &s->err);
    args += strspn(args, " \t");
    if (!st && *args && *args != ',') st = kv_fail(&s->err, KV_BAD_ARG, "Invalid argument syntax");
    if (!st) st = scan(&f, &s->err);
    if (!st) st = evaluate(s, args, value, &n);
    if (!st && n != f.n) st = kv_fail(&s->err, KV_BAD_ARG, "Wrong number of arguments for specified format-string");
    FILE *memory = st ? NULL : open_memstream(out, &size);
    if (!st && !memory) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a text.");
    if (!st) st = fill(s, &f, value, memory);
    if (memory && fclose(memory) && !st) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a text.");
    for (int i = 0; i < PRINTF_ARGS; i++) value_free(&value[i]);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

struct reaction cmd_printf(struct session *s, const char *args)
{
    char *text;
    if (printf_format(s, args, &text)) return failed(s);
    fputs(text, s->out);
    free(text);
    return DONE;
}
