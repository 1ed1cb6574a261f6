/* Reading blocks of lines. */
#include "inspector/language/block.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/language/define.h"
#include "inspector/language/lookup.h"
#include "inspector/language/script.h"
#include "inspector/session.h"
#include "inspector/stop/stop_commands.h"

#define BLOCK_DEPTH 64

static size_t first_word(const char **line)
{
    size_t n = 0;
    *line += strspn(*line, " \t");
    while (lookup_word_char((*line)[n])) n++;
    return n;
}

bool block_is(const char *line, const char *word)
{
    size_t n = first_word(&line);
    return n == strlen(word) && !memcmp(line, word, n) && !line[n + strspn(line + n, " \t\r")];
}

enum block_kind block_opens(struct session *s, const char *line)
{
    static const struct {
        struct reaction (*run)(struct session *s, const char *args);
        enum block_kind kind;
    } kinds[] = { { cmd_if, BLOCK_IF }, { cmd_while, BLOCK_WHILE }, { cmd_define, BLOCK_LINES },
        { cmd_commands, BLOCK_LINES }, { cmd_document, BLOCK_TEXT } };
    const struct command *row;
    struct kv_error ignored;
    size_t n = first_word(&line);
    if (!n || lookup_row(session_table(s), "", command_pins, line, n, &row, &ignored)) return BLOCK_NONE;
    for (size_t i = 0; i < KV_COUNT(kinds); i++)
        if (row->run == kinds[i].run) return kinds[i].kind;
    return BLOCK_NONE;
}

void block_lines_free(struct block_line *first)
{
    while (first) {
        struct block_line *next = first->next;
        block_lines_free(first->body);
        block_lines_free(first->other);
        free(first->text);
        free(first);
        first = next;
    }
}

enum kv_status block_lines_copy(const struct block_line *first, struct block_line **out, struct kv_error *err)
{
    struct block_line **tail = out;
    *out = NULL;
    for (; first; first = first->next) {
        struct block_line *l = kv_alloc(1, sizeof *l);
        enum kv_status st = l && (l->text = kv_strdup(first->text)) ? KV_OK : KV_NO_MEMORY;
        if (!l) return kv_fail(err, st, "No memory for a line.");
        *tail = l;
        tail = &l->next;
        l->number = first->number;
        if (st) return kv_fail(err, st, "No memory for a line.");
        st = block_lines_copy(first->body, &l->body, err);
        if (!st) st = block_lines_copy(first->other, &l->other, err);
        if (st) return st;
    }
    return KV_OK;
}

struct block *block_new(struct block_line *first)
{
    struct block *b = kv_alloc(1, sizeof *b);
    if (b)
        *b = (struct block){ 1, first };
    else
        block_lines_free(first);
    return b;
}

void block_drop(struct block *b)
{
    if (!b || --b->users) return;
    block_lines_free(b->first);
    free(b);
}

struct reader {
    struct session *s;
    struct line_source *src;
    char *line;
    size_t cap;
    struct kv_error *err;
};

static struct block_line *append(struct reader *r, struct block_line ***tail)
{
    struct block_line *l = kv_alloc(1, sizeof *l);
    if (!l || !(l->text = kv_strdup(r->line))) {
        free(l);
        kv_fail(r->err, KV_NO_MEMORY, "No memory for a line of %zu bytes.", strlen(r->line));
        return NULL;
    }
    l->number = r->src->line;
    **tail = l;
    *tail = &l->next;
    return l;
}

static enum kv_status read_body(struct reader *r, enum block_kind kind, struct block_line *opener, int depth)
{
    struct block_line **tail = &opener->body, *l;
    bool other = false;
    if (depth > BLOCK_DEPTH)
        return kv_fail(
            r->err, KV_BAD_FILE, "Blocks are nested more than %d deep in line %d.", BLOCK_DEPTH, r->src->line);
    while (r->src->read(r->src, &r->line, &r->cap)) {
        if (block_is(r->line, "end")) return KV_OK;
        const char *text = r->line + strspn(r->line, " \t");
        if (kind != BLOCK_TEXT && (!*text || *text == '#')) continue;
        if (kind != BLOCK_TEXT && block_is(r->line, "else")) {
            if (kind != BLOCK_IF || other)
                return kv_fail(r->err, KV_BAD_FILE, "`else' in line %d belongs to no `if'.", r->src->line);
            other = true;
            tail = &opener->other;
            continue;
        }
        enum block_kind inner = kind == BLOCK_TEXT ? BLOCK_NONE : block_opens(r->s, r->line);
        if (!(l = append(r, &tail))) return KV_NO_MEMORY;
        enum kv_status st = inner ? read_body(r, inner, l, depth + 1) : KV_OK;
        if (st) return st;
    }
    if (r->err->code) return r->err->code; /* the source has said why */
    return kv_fail(r->err, KV_BAD_FILE, "The %s inside the block that `%.*s' begins in line %d; `end' is missing.",
        r->src->name ? "file ends" : "lines end", (int)strcspn(opener->text, " \t("), opener->text, opener->number);
}

enum kv_status block_read(struct session *s, struct line_source *src, enum block_kind kind,
    struct block_line *opener, struct kv_error *err)
{
    struct reader r = { .s = s, .src = src, .err = err };
    *err = (struct kv_error){ 0 };
    enum kv_status st = read_body(&r, kind, opener, 1);
    free(r.line);
    if (!st) return KV_OK;
    block_lines_free(opener->body);
    block_lines_free(opener->other);
    opener->body = opener->other = NULL;
    return st;
}

enum kv_status block_read_all(
    struct session *s, struct line_source *src, struct block_line **out, struct kv_error *err)
{
    struct reader r = { .s = s, .src = src, .err = err };
    struct block_line **tail = out, *l;
    enum kv_status st = KV_OK;
    *out = NULL;
    while (!st && src->read(src, &r.line, &r.cap)) {
        const char *text = r.line + strspn(r.line, " \t");
        if (!*text || *text == '#') continue;
        enum block_kind kind = block_opens(s, r.line);
        l = append(&r, &tail);
        st = !l ? KV_NO_MEMORY : kind ? read_body(&r, kind, l, 1) : KV_OK;
    }
    free(r.line);
    if (!st) return KV_OK;
    block_lines_free(*out);
    *out = NULL;
    return st;
}

void block_print(struct session *s, const struct block_line *l, int indent)
{
    for (; l; l = l->next) {
        fprintf(s->out, "%*s%s\n", indent, "", l->text + strspn(l->text, " \t"));
        bool opens = l->body || l->other || block_opens(s, l->text);
        block_print(s, l->body, indent + 2);
        if (l->other) {
            fprintf(s->out, "%*selse\n", indent, "");
            block_print(s, l->other, indent + 2);
        }
        if (opens) fprintf(s->out, "%*send\n", indent, "");
    }
}

static bool text_line(struct line_source *src, char **line, size_t *cap)
{
    const char **at = src->ctx;
    if (!**at) return false;
    size_t n = strcspn(*at, "\n");
    if (n + 1 > *cap) {
        char *grown = realloc(*line, n + 1);
        if (!grown) return false;
        *line = grown;
        *cap = n + 1;
    }
    memcpy(*line, *at, n);
    (*line)[n] = '\0';
    *at += n + ((*at)[n] == '\n');
    src->line++;
    return true;
}

void block_text_source(struct line_source *src, const char **at)
{
    *src = (struct line_source){ .read = text_line, .ctx = at };
}
